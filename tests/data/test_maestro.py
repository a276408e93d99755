"""MAESTRO from its zip or its folder, and what is no MAESTRO."""

import csv
import io
import json
import re
import shlex
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from data.maestro import builder
from data.maestro.__main__ import main
from data.prepare import SPLITS
from magenta_lite.errors import UserError
from magenta_lite.music import midi
from magenta_lite.music.score import Score
from magenta_lite.pipeline import PreparedData

ROOT = "maestro-v3.0.0"


@pytest.fixture(scope="module")
def published(shared):
    return shared("data", "maestro-v3.0.0-midi.zip")


def table(archive):
    text = archive.read(f"{ROOT}/{builder.TABLE}").decode()
    return list(csv.DictReader(io.StringIO(text))), text


@pytest.fixture(scope="module")
def part(published, tmp_path_factory):
    """The published zip with the table, and the two shortest performances of each split."""
    path = tmp_path_factory.mktemp("maestro") / "part.zip"
    with zipfile.ZipFile(published) as whole, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as chosen:
        rows, text = table(whole)
        chosen.writestr(f"{ROOT}/{builder.TABLE}", text)
        for split in ("train", "validation", "test"):
            names = [f"{ROOT}/{row['midi_filename']}" for row in rows if row["split"] == split]
            for name in sorted(names, key=lambda name: whole.getinfo(name).file_size)[:2]:
                chosen.writestr(name, whole.read(name))
    return path


@pytest.fixture(scope="module")
def prepared(part):
    main(source=str(part), out=str(part.parent / "set"), partial=True)
    return PreparedData(part.parent / "set")


def test_the_table_has_the_official_splits(published):
    found = builder.survey(published)
    assert found.complete
    assert {split: len(rows) for split, rows in found.rows.items()} == builder.FILES
    assert sum(builder.FILES.values()) == 1276


def test_records_are_the_files(prepared, part):
    with zipfile.ZipFile(part) as archive:
        rows = {row["midi_filename"]: row for row in table(archive)[0]}
        for split, published in zip(SPLITS, ("train", "validation", "test"), strict=True):
            assert len(prepared.lengths[split]) == 2
            for number, record in enumerate(prepared.examples(split)):
                name = record["name"].removeprefix("maestro/")
                assert rows[name]["split"] == published
                assert record["title"] == f"{rows[name]['canonical_composer']}: {rows[name]['canonical_title']}"
                ours, theirs = Score.unpack(record).notes(), midi.parse(archive.read(f"{ROOT}/{name}")).notes()
                assert len(ours) == len(theirs) == prepared.lengths[split][number]
                for column in ("start", "end", "pitch", "velocity", "pedal_time", "pedal_down", "tempo_qpm"):
                    np.testing.assert_array_equal(getattr(ours, column), getattr(theirs, column))


def test_what_lies_beside_the_records(prepared):
    assert prepared.labels == ("maestro",)
    assert prepared.source["licence"] == "CC BY-NC-SA 4.0"
    assert prepared.source["notes"] == ["a part of MAESTRO: 6 of 1,276 performances"]


def test_an_extracted_folder_gives_the_same_records(prepared, part, tmp_path):
    with zipfile.ZipFile(part) as archive:
        archive.extractall(tmp_path)
    for source, out in ((tmp_path, "one"), (tmp_path / ROOT, "two")):
        main(source=str(source), out=str(tmp_path / "made" / out), partial=True)
        for path in prepared.folder.glob("*record*"):
            assert path.read_bytes() == (tmp_path / "made" / out / path.name).read_bytes()


def test_a_part_is_refused_unless_it_is_asked_for(part, tmp_path):
    with pytest.raises(UserError, match=r"6 of MAESTRO's 1,276 performances, it lacks 20.*\.midi, \.\.\.: .*--partial"):
        main(source=str(part), out=str(tmp_path / "out"))
    assert not list(tmp_path.iterdir())


@pytest.fixture
def tiny(tmp_path):
    """A folder like MAESTRO's, of one performance of one note in each split."""
    note = b"\x00\x90\x40\x40\x60\x80\x40\x00\x00\xff\x2f\x00"
    piece = b"MThd" + struct.pack(">IHHH", 6, 0, 1, 480) + b"MTrk" + struct.pack(">I", len(note)) + note
    rows = ["canonical_composer,canonical_title,split,year,midi_filename,audio_filename,duration"]
    (tmp_path / "tiny" / "2018").mkdir(parents=True)
    for split in ("train", "validation", "test"):
        rows.append(f"A. Composer,Sonata,{split},2018,2018/{split}.midi,2018/{split}.wav,1.5")
        (tmp_path / "tiny" / "2018" / f"{split}.midi").write_bytes(piece)
    (tmp_path / "tiny" / builder.TABLE).write_text("\n".join([*rows, ""]))
    return tmp_path / "tiny"


def test_other_numbers_than_the_published_are_an_error_or_a_note(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(builder, "FILES", dict.fromkeys(SPLITS, 1))
    monkeypatch.setattr(builder, "NOTES", {"train": 5_000, "valid": 1, "test": 1})
    differs = "train has 1 notes in 1 pieces, MAESTRO v3.0.0 has 5,000 in 1"
    with pytest.raises(UserError, match=rf"{re.escape(differs)}: .* add --partial"):
        main(source=str(tiny), out=str(tmp_path / "out"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny"]
    main(source=str(tiny), out=str(tmp_path / "out"), partial=True)
    about = json.loads((tmp_path / "out" / "source.json").read_text())
    assert about["notes"] == [differs]
    assert about["options"] == {"partial": True}
    assert shlex.split(about["command"])[-1] == "--partial=True"


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("A. Composer,Sonata", 5),
        ("A. Composer,Sonata,train,2018,2018/tra", 5),
        ("A. Composer,Sonata,training,2018,2018/train.midi,2018/train.wav,1.5", 5),
        ("A. Composer,Sonata,train,2018,2018/train.midi,2018/train.wav,1.5,and,more", 5),
        ('A. Composer,"Sonata\nin C', 6),
    ],
)
def test_a_broken_table_is_told_with_its_line(tiny, tmp_path, line, number):
    with (tiny / builder.TABLE).open("a") as file:
        file.write(line)
    for partial in (False, True):
        with pytest.raises(UserError, match=rf"maestro-v3\.0\.0\.csv in it is broken in line {number}$"):
            main(source=str(tiny), out=str(tmp_path / "out"), partial=partial)


def test_damaged_performances_are_listed(part, tmp_path):
    with zipfile.ZipFile(part) as archive:
        archive.extractall(tmp_path)
    names = sorted(tmp_path.glob(f"{ROOT}/20*/*.midi"))
    bad = next(path for path in names if "train" in _split(part, path.name))
    bad.write_bytes(bad.read_bytes()[:1000])
    main(source=str(tmp_path), out=str(tmp_path / "out"), partial=True)
    about = json.loads((tmp_path / "out" / "source.json").read_text())
    assert about["rejected"] == {"train": {"cut short": 1}, "valid": {}, "test": {}}


def _split(part, name):
    with zipfile.ZipFile(part) as archive:
        return next(row["split"] for row in table(archive)[0] if row["midi_filename"].endswith(name))


def test_sources_that_are_none(tmp_path):
    (tmp_path / "text.zip").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("readme.txt", "")
    for name, message in (
        ("none", "no such file or folder"),
        ("text.zip", "no zip that can be read"),
        ("empty.zip", r"no maestro-v3\.0\.0\.csv in it: expected maestro-v3\.0\.0-midi\.zip"),
        (".", r"no maestro-v3\.0\.0\.csv in it"),
    ):
        with pytest.raises(UserError, match=message):
            main(source=str(tmp_path / name), out=str(tmp_path / "out"))
    (tmp_path / builder.TABLE).write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="is not MAESTRO's table"):
        main(source=str(tmp_path), out=str(tmp_path / "out"))


def test_all_of_it_has_the_published_numbers_of_notes():
    """Where the whole of it has been prepared, since preparing takes ten seconds."""
    folder = Path(__file__).parents[2] / "prepared" / "maestro"
    if not folder.exists():
        pytest.skip("prepared/maestro is not there (python -m data.maestro)")
    lengths = PreparedData(folder).lengths
    assert {split: int(lengths[split].sum()) for split in SPLITS} == builder.NOTES
