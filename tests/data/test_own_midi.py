"""A person's own folder of MIDI files, friendly and hostile ones."""

import csv
import json
import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from data import reading_pool
from data.midi import files, reading
from data.midi.__main__ import main
from data.prepare import SPLITS
from magenta_lite.errors import Rejected, UserError
from magenta_lite.music import midi
from magenta_lite.music.score import Score
from magenta_lite.pipeline import PreparedData

REPOSITORY = Path(__file__).parents[2]
SHARES = [1.0, 1.0, 1.0]
COLUMNS = ("start", "end", "pitch", "velocity", "program", "instrument", "tempo_qpm", "metre", "pedal_time", "names")


def melody(number, notes=12, ending=b"\x00\xff\x2f\x00", division=480, drums=0):
    """The bytes of a MIDI file, different for each number, with a name, a tempo, a metre, a pedal and maybe drums."""
    events = b"\x00\xff\x03\x02ab\x00\xff\x51\x03\x07\xa1\x20\x00\xff\x58\x04\x03\x02\x18\x08\x00\xb0\x40\x7f"
    for step in range(notes):
        pitch = 40 + (number * 7 + step * (number + 1)) % 48
        events += bytes([step % 100, 0x90, pitch, 64 + number % 40, 60, 0x80, pitch, 0])
    drum = (36, 38, 42, 46, 45, 48)[number % 6]
    events += bytes([9, 0x99, drum, 90, 9, 0x89, drum, 0]) * drums
    events += b"\x00\xb0\x40\x00" + ending
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, division) + b"MTrk" + struct.pack(">I", len(events)) + events


@pytest.fixture
def folder(tmp_path):
    """Twelve good files, in folders and in all spellings of their endings."""
    endings = (".mid", ".MID", ".midi", ".Kar")
    for number in range(12):
        path = tmp_path / "my songs" / ("jazz", "folk/old")[number % 2] / f"{number:02}{endings[number % 4]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(melody(number))
    return tmp_path / "my songs"


def rejected(out):
    with (out / "rejected.csv").open(newline="", encoding="utf-8") as file:
        return sorted(list(csv.reader(file))[1:])


def records(out):
    data = PreparedData(out)
    return {record["name"]: record for split in SPLITS for record in data.examples(split)}


def test_every_file_comes_back_as_it_is_read(folder, tmp_path):
    main(str(folder), out=str(tmp_path / "out"), split=SHARES)
    found = records(tmp_path / "out")
    assert len(found) == 12
    for name, record in found.items():
        assert record["label"] == "my songs"
        ours, theirs = Score.unpack(record).notes(), midi.read(folder.parent / name).notes()
        for column in COLUMNS:
            np.testing.assert_array_equal(getattr(ours, column), getattr(theirs, column), column)
    data = PreparedData(tmp_path / "out")
    for split in SPLITS:
        assert [len(record["start"]) for record in data.examples(split)] == data.lengths[split].tolist()


def test_hostile_files_are_listed_and_cost_no_other(folder, tmp_path, capsys):
    good = melody(50)
    friendly = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}
    (folder / "a cut.mid").write_bytes(good[:-20])
    (folder / "b garbage.mid").write_bytes(np.random.default_rng(0).bytes(5000))
    (folder / "c empty.mid").write_bytes(b"")
    (folder / "d division.mid").write_bytes(melody(51, division=0))
    (folder / "e giant.mid").write_bytes(melody(52, ending=b"\xff\xff\xff\x7f\x90\x40\x40" * 40 + b"\x00\xff\x2f\x00"))
    (folder / "f.mid").mkdir()
    (folder / "f.mid" / "inside.mid").write_bytes(melody(53))
    os.symlink(folder / "g.mid", folder / "g.mid")
    os.symlink(folder, folder / "again")
    os.mkfifo(folder / "h.mid")
    (folder / "i same.mid").write_bytes(melody(1))
    (folder / "j short.mid").write_bytes(melody(54, notes=9))
    (folder / "k long.mid").write_bytes(good + bytes(midi.MAX_BYTES))
    (folder / ".hidden.mid").write_bytes(b"")
    (folder / ".git").mkdir()
    (folder / ".git" / "x.mid").write_bytes(b"")
    (folder / "notes.txt").write_text("to do")
    main(str(folder), out=str(tmp_path / "out"), split=SHARES)
    found = {file: (item, reason) for file, item, reason in rejected(tmp_path / "out")}
    assert found.keys() == {
        "a cut.mid",
        "b garbage.mid",
        "c empty.mid",
        "d division.mid",
        "e giant.mid",
        "g.mid",
        "h.mid",
        "i same.mid",
        "j short.mid",
        "k long.mid",
    }
    assert found["g.mid"] == found["h.mid"] == ("", "file that cannot be read")
    assert found["i same.mid"] == ("folk/old/01.MID", "same file as another")
    assert found["j short.mid"] == ("", "fewer than 10 notes")
    assert found["k long.mid"][1] == f"more than {midi.MAX_BYTES >> 20} MB"
    assert set(records(tmp_path / "out")) == {f"my songs/{name}" for name in friendly | {"f.mid/inside.mid"}}
    assert "passed over, no MIDI by their names: 1 files" in capsys.readouterr().out


def die(min_notes, file):
    """In the place of reading: two files end the process."""
    if "/03" in file[1]:
        os._exit(1)
    if "/04" in file[1]:
        os.abort()
    return reading.read_piece(min_notes, file)


def test_a_reader_that_dies_costs_its_file(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("data.midi.__main__.read_piece", die)
    main(str(folder), out=str(tmp_path / "out"), split=SHARES, processes=1)
    assert [(name[-6:-4], reason) for name, _, reason in rejected(tmp_path / "out")] == [
        ("03", reading_pool.CRASHED.reason),
        ("04", reading_pool.CRASHED.reason),
    ]
    assert len(records(tmp_path / "out")) == 10


def test_a_zip_and_any_number_of_processes_give_the_same(folder, tmp_path):
    packed = tmp_path / "my songs.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*.*")):
            archive.write(path, path.relative_to(folder).as_posix())
        archive.writestr("__MACOSX/._00.mid", "")
    for source, out, processes in ((folder, "one", 1), (folder, "three", 3), (packed, "zip", 2)):
        main(str(source), out=str(tmp_path / out), split=SHARES, processes=processes)
    for path in sorted((tmp_path / "one").glob("*record*")):
        assert path.read_bytes() == (tmp_path / "three" / path.name).read_bytes(), path
        assert path.read_bytes() == (tmp_path / "zip" / path.name).read_bytes(), path


def test_subfolders_are_labels_where_that_is_asked_for(folder, tmp_path):
    (folder / "loose.mid").write_bytes(melody(30))
    main(str(folder), out=str(tmp_path / "out"), labels=True, split=SHARES)
    assert json.loads((tmp_path / "out" / "source.json").read_text())["labels"] == ["folk", "jazz", "my songs"]
    assert {name.partition("/")[0] for name in records(tmp_path / "out")} == {"folk", "jazz", "my songs"}
    # What all files lie in is no label.
    found = files.Found(folder, ("a/b/c/1.mid", "a/b/2.mid", "a/b/d/e/3.mid"), (), 0)
    from data.midi.survey import labels_of

    assert labels_of(found, True) == ["c", "my songs", "d"]


def test_a_file_stays_in_its_split_and_changes_are_noticed(folder, tmp_path):
    main(str(folder), out=str(tmp_path / "one"), split=SHARES)
    before = {name: split for split in SPLITS for name in _names(tmp_path / "one", split)}
    (folder / "more.mid").write_bytes(melody(40))
    with pytest.raises(UserError, match="the content of my songs changed"):
        main(str(folder), out=str(tmp_path / "one"), split=SHARES)
    main(str(folder), out=str(tmp_path / "two"), split=SHARES)
    after = {name: split for split in SPLITS for name in _names(tmp_path / "two", split)}
    assert after.items() >= before.items()


def _names(out, split):
    return [record["name"] for record in PreparedData(out).examples(split)]


def test_sources_of_which_nothing_can_be_kept(tmp_path):
    folder = tmp_path / "in"
    with pytest.raises(UserError, match="no such file or folder"):
        main(str(folder))
    folder.mkdir()
    (folder / "a.txt").write_text("")
    with pytest.raises(UserError, match=r"holds no files that end in \.mid, \.midi, \.kar"):
        main(str(folder))
    (folder / "a.mid").write_bytes(b"")
    with pytest.raises(UserError, match="nothing to keep: rejected 1 no MIDI file"):
        main(str(folder), out=str(tmp_path / "out"))
    with pytest.raises(UserError, match="expected a folder, a zip or a tar"):
        main(str(folder / "a.mid"))
    with pytest.raises(UserError, match="--min_notes=0"):
        main(str(folder), min_notes=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_lengths_leave_drums_out(folder, tmp_path, capsys):
    (folder / "drums.mid").write_bytes(melody(20, notes=0, drums=30))
    (folder / "both.mid").write_bytes(melody(21, notes=4, drums=6))
    (folder / "few.mid").write_bytes(melody(22, notes=4, drums=5))
    main(str(folder), out=str(tmp_path / "out"), split=SHARES)
    data = PreparedData(tmp_path / "out")
    found = {}
    for split in SPLITS:
        for record, length in zip(data.examples(split), data.lengths[split].tolist(), strict=True):
            found[Path(record["name"]).name] = length, len(record["start"])
            if record["name"].endswith("/drums.mid"):
                drums = f"drums alone in {split}: 1 of {len(data.lengths[split])} pieces"
    assert found.pop("drums.mid") == (0, 30)
    assert found.pop("both.mid") == (4, 10)
    assert set(found.values()) == {(12, 12)}
    assert rejected(tmp_path / "out") == [["few.mid", "", "fewer than 10 notes"]]
    assert data.source["notes"] == [drums]
    assert drums in capsys.readouterr().out


def test_splits_of_drums_alone_are_told(tmp_path):
    for number in range(6):
        path = tmp_path / "beats" / f"{number}.mid"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(melody(number, notes=0, drums=10 + number))
    main(str(tmp_path / "beats"), out=str(tmp_path / "out"), split=SHARES)
    data = PreparedData(tmp_path / "out")
    assert data.source["longest"] == dict.fromkeys(SPLITS, 0)
    assert data.source["notes"] == [
        f"drums alone in {split}: {len(data.lengths[split])} of {len(data.lengths[split])} pieces; all of them, so "
        "nothing is left for families without drums"
        for split in SPLITS
    ]


@pytest.mark.parametrize(("count", "held"), [(1, "1 piece"), (2, "2 pieces")])
def test_too_few_pieces_for_three_splits(tmp_path, count, held):
    (tmp_path / "in").mkdir()
    for number in range(4):
        (tmp_path / "in" / f"{number}.mid").write_bytes(melody(number % count))
    message = f"/in holds {held}: at least 3 are needed, one for each of train, valid and test$"
    with pytest.raises(UserError, match=message):
        main(str(tmp_path / "in"), out=str(tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_damaged_members_of_a_zip(tmp_path):
    packed = tmp_path / "songs.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for number in range(6):
            archive.writestr(f"{number}.mid", melody(number))
    packed.write_bytes(packed.read_bytes().replace(melody(3), melody(3)[:-30] + bytes(30)))
    main(str(packed), out=str(tmp_path / "out"), split=SHARES)
    assert rejected(tmp_path / "out") == [["3.mid", "", "file that cannot be read"]]
    assert isinstance(files.content(str(packed), "3.mid"), Rejected)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_in_every_kind_of_zip_costs_its_file(tmp_path, method):
    packed = tmp_path / "songs.zip"
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.writestr("0.mid", melody(0))
        end = archive.start_dir
    content = bytearray(packed.read_bytes())
    content[end - 20 : end] = bytes(20)
    content[50:70] = b"\xff" * 20
    packed.write_bytes(content)
    assert files.content(str(packed), "0.mid") == files.UNREADABLE


def test_what_every_reading_process_imports_is_light():
    heavy = "m for m in sys.modules if 'sketch' in m or m in ('data.line_files', 'tensorflow_datasets', 'note_seq')"
    program = f"import sys, data.midi.reading; print([{heavy}])"
    found = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
