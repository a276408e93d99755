"""Passages of a person's own MIDI files: which ones, what is told of the others, from a folder, a tar, or on Beam."""

import importlib.util
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import mido
import numpy as np
import pytest

from data.midi import extraction, files
from data.midi import pop909 as texts
from data.midi.__main__ import main
from data.prepare import SPLITS
from magenta_lite.errors import Rejected, UserError
from magenta_lite.music import bars, chords, drums, melodies, midi
from magenta_lite.pipeline import PreparedData

REPOSITORY = Path(__file__).parents[2]
SHARES = [1.0, 1.0, 1.0]
LEAD, BASS, BEAT = (0, 4, "lead"), (1, 33, "bass"), (9, 0, "beat")  # channel, program, name


def song(seed, parts=(LEAD,), metres=((4, 4),), bars=4, again=1):
    """The bytes of a MIDI file: parts of eighth notes by chance, so many bars in each metre, and all of it again."""
    rng = np.random.default_rng(seed)
    file = mido.MidiFile(ticks_per_beat=96)
    ahead = mido.MidiTrack()
    time = 0
    for over, under in metres * again:
        ahead.append(mido.MetaMessage("time_signature", numerator=over, denominator=under, time=time))
        time = 96 * 4 * over * bars // under
    file.tracks.append(ahead)
    eighths = sum(8 * over * bars // under for over, under in metres)
    for channel, program, name in parts:
        track = mido.MidiTrack([mido.MetaMessage("track_name", name=name)])
        track.append(mido.Message("program_change", channel=channel, program=program))
        pitches = rng.choice([36, 38, 42, 46] if channel == 9 else range(48, 72), eighths)
        for pitch in np.tile(pitches, again).tolist():
            track.append(mido.Message("note_on", channel=channel, note=pitch, velocity=80))
            track.append(mido.Message("note_off", channel=channel, note=pitch, time=48))
        file.tracks.append(track)
    content = io.BytesIO()
    file.save(file=content)
    return content.getvalue()


def write(folder, songs):
    for name, content in songs.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def records(out):
    data = PreparedData(out)
    return {record["name"].partition("/")[2]: record for split in SPLITS for record in data.examples(split)}


def source(out):
    return json.loads((out / "source.json").read_text())


@pytest.fixture(scope="module")
def band(tmp_path_factory):
    """Songs of a lead, a bass and a beat; and what lacks some of it."""
    songs = {f"song {seed}.mid": song(seed, (LEAD, BASS, BEAT), bars=4 + seed) for seed in range(4)}
    songs |= {
        "alone.mid": song(10),
        "beat.mid": song(11, (BEAT,)),
        "horn.mid": song(12, ((0, 60, "horn"),)),
        "mixed.mid": song(13, (LEAD, BASS, BEAT), ((4, 4), (3, 4), (5, 16))),
        "waltz.mid": song(14, (LEAD, BASS, BEAT), ((3, 4),)),
    }
    return write(tmp_path_factory.mktemp("own") / "band", songs)


WHY = {
    "melodies": {"beat.mid": "drums alone", "horn.mid": "no notes of the programs"},
    "drums": {"alone.mid": "no drums", "horn.mid": "no drums"},
    "trios": dict.fromkeys(("alone.mid", "beat.mid", "horn.mid"), "no melody, bass and drums that play together"),
    "grooves": {"alone.mid": "no drums", "horn.mid": "no drums"},
}


@pytest.mark.parametrize("kind", extraction.KINDS)
def test_passages_of_every_piece_and_why_others_have_none(band, tmp_path, capsys, kind):
    out = tmp_path / "out"
    main(str(band), kind=kind, out=str(out), split=SHARES, processes=1)
    found = records(out)
    expected = {f"{path.name}/0" for path in band.iterdir()} - {f"{name}/0" for name in [*WHY[kind], "waltz.mid"]}
    assert found.keys() == expected
    for name, record in found.items():
        section = bars.sections(midi.read(band / name.partition("/")[0]))[0]
        if kind == "melodies":
            (melody,) = melodies.extract(section, programs=range(32))
            np.testing.assert_array_equal(record["melody"], melody.events)
            assert not record["chord"].any()
        elif kind in ("drums", "trios"):
            np.testing.assert_array_equal(record["drums"], drums.extract(section)[0].masks)
        else:
            assert ((record["velocity"] > 0).sum(axis=1) == np.tile([1, 0], len(record["velocity"]) // 2)).all()
        assert (record["steps_per_bar"], record["qpm"], record["label"]) == (16, 120, "band")
    with (out / "rejected.csv").open() as file:
        rejected = dict(line.strip().replace('"', "").split(",", 1) for line in list(file)[1:])
    assert {name: why.strip(",") for name, why in rejected.items()} == {
        **WHY[kind],
        "waltz.mid": f"{kind} in 3/4 alone",
    }
    about = source(out)
    assert about["options"]["kind"] == kind
    assert about["options"]["steps_per_bar"] == 16
    assert about["longest"].keys() == set(SPLITS)
    assert f"left out, {kind} in other metres: 2 in 3/4, 1 in 5/16" in about["notes"]
    counts = [len(PreparedData(out).lengths[split]) for split in SPLITS]
    shown = ", ".join(f"{count} in {split}" for count, split in zip(counts, SPLITS, strict=True))
    assert f"the {kind} are of {len(found)} pieces: {shown}" in about["notes"]
    assert "next: python train.py --config=configs/music_vae.py:" in capsys.readouterr().out


def test_other_metres_programs_and_tracks(tmp_path):
    contents = [song(seed, (LEAD, BASS), ((3, 4), (6, 8), (4, 4))) for seed in range(3)]
    folder = write(tmp_path / "in", {f"{number}.mid": content for number, content in enumerate(contents)})
    flags = {"metre": ["3/4", "6/8"], "tracks": ["bass"], "programs": ["30-33", "50"]}
    main(str(folder), kind="melodies", out=str(tmp_path / "out"), split=SHARES, processes=1, **flags)
    found = records(tmp_path / "out")
    assert len(found) == 6
    assert {int(record["steps_per_bar"]) for record in found.values()} == {12}
    for name, record in found.items():
        file, _, number = name.partition("/")
        section = bars.sections(midi.read(folder / file))[int(number)]
        (melody,) = melodies.extract(section, programs=[33])
        np.testing.assert_array_equal(record["melody"], melody.events)
    score = midi.parse(contents[0])
    for tracks, programs, count in (((), (), 2), (("1",), (), 1), (("lead", "bass"), (33,), 1), (("0",), (33,), 0)):
        wanted = extraction.Wanted("melodies", tracks=tracks, programs=programs)
        assert len(extraction.extract(score, wanted).passages) == count


def test_equal_passages_of_a_piece_are_kept_once():
    score = midi.parse(song(0, (LEAD,), ((4, 4), (3, 4)), again=3))
    found = extraction.extract(score, extraction.Wanted("melodies"))
    assert [len(passage["melody"]) for passage in found.passages] == [64]
    assert found.elsewhere == {"3/4": 1}


def test_chords_are_inferred_from_all_tracks():
    content = song(0, (LEAD, BASS), bars=8)
    score = midi.parse(content)
    wanted = extraction.Wanted("melodies", tracks=("lead",), infer=True)
    (passage,) = extraction.extract(score, wanted).passages
    changes = chords.infer(score)
    (section,) = bars.sections(score)
    np.testing.assert_array_equal(passage["chord"], chords.per_step(changes, section, 96, start=0, steps=128))
    assert len(set(passage["chord"].tolist())) > 2


def pack(folder, path, mode):
    with tarfile.open(path, mode) as archive:
        for number, file in enumerate(sorted(folder.rglob("*"), reverse=True)):
            archive.add(file, f"./x/{file.relative_to(folder)}", recursive=False)
            if number == 2:  # a second one of a name, and no files of ours
                again = tarfile.TarInfo("x/song 3.mid")
                archive.addfile(again)
                archive.addfile(tarfile.TarInfo("x/.hidden.mid"))
                archive.addfile(tarfile.TarInfo("x/readme.txt"))
    return path


def test_a_tar_gives_the_same_as_a_folder(band, tmp_path):
    packed = pack(band, tmp_path / "band.tar.gz", "w:gz")
    flags = {"kind": "drums", "split": SHARES, "processes": 1, "only": "[!m]*.mid"}
    main(str(packed), out=str(tmp_path / "tar"), **flags)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "band").mkdir()
    write(tmp_path / "in" / "band" / "x", {path.name: path.read_bytes() for path in band.iterdir()})
    main(str(tmp_path / "in" / "band"), out=str(tmp_path / "folder"), **flags)
    for path in (tmp_path / "folder").iterdir():
        if path.name != "source.json":
            assert path.read_bytes() == (tmp_path / "tar" / path.name).read_bytes(), path
    ours, theirs = source(tmp_path / "tar"), source(tmp_path / "folder")
    assert list(ours["sources"].values()) == list(theirs["sources"].values())
    assert "passed over, no MIDI by their names: 1 files" in ours["notes"]
    assert sum(map(sum, (data.values() for data in ours["counts"].values()))) == 5


@pytest.mark.parametrize("ending", [".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"])
def test_a_tar_that_is_cut_short_is_told(band, tmp_path, ending):
    packed = pack(band, tmp_path / f"band{ending}", f"w:{ending[-3:].strip('.').replace('tgz', 'gz')}")
    assert len(list(files.stream_tar(packed))) == 9
    packed.write_bytes(packed.read_bytes()[: -len(packed.read_bytes()) // 3])
    with pytest.raises(UserError, match=r"broken after \d files .*: is the download complete\?"):
        main(str(packed), kind="melodies", out=str(tmp_path / "out"))
    packed.write_bytes(b"no tar")
    with pytest.raises(UserError, match="broken after 0 files"):
        main(str(packed), kind="melodies", out=str(tmp_path / "out"))


def test_flags_that_say_nothing(band, tmp_path):
    for flags, message in (
        ({"kind": "melody"}, "--kind=melody: did you mean 'melodies'"),
        ({"metre": ["4/4"]}, "--metre chooses passages: add --kind=melodies"),
        ({"kind": "drums", "programs": ["1"]}, "--programs is of melodies"),
        ({"kind": "melodies", "metre": ["4"]}, "--metre=4: expected a metre"),
        ({"kind": "melodies", "metre": ["5/32"]}, "--metre=5/32: a bar of it is no whole number of sixteenth notes"),
        (
            {"kind": "melodies", "metre": ["4/4", "3/4"]},
            "expected bars of as many sixteenth notes: 4/4 has 16, 3/4 has",
        ),
        ({"kind": "melodies", "programs": ["0-128"]}, "--programs=0-128: expected numbers from 0 to 127"),
        ({"kind": "melodies", "chords": "guess"}, "--chords=guess: valid: infer, none, pop909"),
        ({"kind": "melodies", "tracks": ["flute"]}, "nothing to keep: rejected 9 no tracks flute"),
        ({"only": "*.kar"}, r"--only=\*\.kar: no MIDI file has such a path; there is alone\.mid"),
        ({"beam_options": "--runner=X"}, "--beam_options=--runner=X: add --beam"),
    ):
        with pytest.raises(UserError, match=message):
            main(str(band), out=str(tmp_path / "out"), processes=1, **flags)
    packed = pack(band, tmp_path / "band.tgz", "w:gz")
    with pytest.raises(UserError, match=r"--chords=pop909 reads a folder or a zip, not .*band\.tgz"):
        main(str(packed), kind="melodies", chords="pop909", out=str(tmp_path / "out"))


def test_beam_gives_the_same_set(band, tmp_path):
    command = [sys.executable, "-m", "data.midi", f"--source={band}", "--kind=trios", "--split=1,1,1"]
    if importlib.util.find_spec("apache_beam") is None:
        asked = [*command, f"--out={tmp_path / 'beam'}", "--beam"]
        told = subprocess.run(asked, cwd=REPOSITORY, capture_output=True, text=True)
        assert (told.returncode, told.stderr.count("\n")) == (2, 1)
        assert "--beam needs Apache Beam: pip install" in told.stderr
        pytest.skip("Apache Beam is not installed (pip install -e '.[beam]')")
    for out, flags in (("plain", []), ("beam", ["--beam"])):
        subprocess.run([*command, f"--out={tmp_path / out}", *flags], cwd=REPOSITORY, check=True, capture_output=True)
    for path in (tmp_path / "plain").iterdir():
        ours = (tmp_path / "beam" / path.name).read_bytes()
        assert (
            ours.replace(b"out=" + bytes(tmp_path / "beam"), b"out=" + bytes(tmp_path / "plain")) == path.read_bytes()
        )


@pytest.fixture
def pop909(shared, tmp_path):
    """Four songs of POP909 with their texts, the last without."""
    packed = tmp_path / "pop.zip"
    with zipfile.ZipFile(shared("data", "pop909.zip")) as whole, zipfile.ZipFile(packed, "w") as chosen:
        for number in ("001", "002", "004", "005"):
            for name in (f"{number}.mid", "beat_midi.txt", "chord_midi.txt"):
                if number != "005" or name.endswith(".mid"):
                    chosen.writestr(f"{number}/{name}", whole.read(f"pop909/POP909/{number}/{name}"))
    return packed


def test_pop909_goes_by_its_own_beats_and_chords(pop909, tmp_path):
    out = tmp_path / "out"
    main(str(pop909), kind="melodies", chords="pop909", tracks=["MELODY"], out=str(out), split=SHARES, processes=1)
    why = f"pieces' chords: no {texts.BEATS} and {texts.CHORDS} beside them, so their own bars are taken"
    assert f"left out, 1 {why}" in source(out)["notes"]
    found = records(out)
    # The last goes by the bars of its file, which are wrong: they are of one quarter.
    assert {name.partition("/")[0] for name in found} == {"001", "002", "004"}
    with zipfile.ZipFile(pop909) as archive:
        score = midi.parse(archive.read("001/001.mid"))
        beats, harmony = (archive.read(f"001/{name}").decode() for name in (texts.BEATS, texts.CHORDS))
    counted, changes = texts.read(score, beats, harmony)
    steps = counted.start * 4 / counted.ticks_per_quarter
    assert np.median(np.abs(steps - np.rint(steps))) < 0.01
    # Notes are as far apart in seconds as they were, chords change on beats, and bars begin on downbeats.
    assert np.ptp(counted.seconds(counted.start) - score.seconds(score.start)) < 0.01
    time, _, down = np.array([line.split() for line in beats.splitlines()], float).T
    quarter = counted.ticks_per_quarter
    rows = [line.split() for line in harmony.splitlines()]
    begin = next(float(start) for start, _, chord in rows if chord == "B:maj")
    assert changes.time[changes.number == chords.number("B")][0] == quarter * np.abs(time - begin).argmin()
    (section,) = (section for section in bars.sections(counted) if section.steps_per_bar == 16)
    assert (np.flatnonzero(down) * 4 % 16 == section.tick * 4 // quarter % 16).all()
    record = found["001/001.mid/0"]
    assert set(record["chord"].tolist()) <= set(changes.number.tolist())
    assert record["chord"].any()
    assert record["qpm"] == pytest.approx(90, rel=0.01)


@pytest.mark.parametrize(
    "beats", ["", "1.0 1.0", "0 1 1\n2 1 1\n1 1 1", "0 1 1\n1 0 0", "0 a 1\n1 1 1", "0 1 1\nnan 1 1"]
)
def test_beats_that_are_none(beats):
    assert texts.read(midi.parse(song(0)), beats, "0 1 C:maj") == Rejected("beats that cannot be read")


def test_notes_before_the_first_beat_lie_in_bars():
    beats = "\n".join(f"{0.5 + 0.5 * beat} 0 {float(beat % 3 == 1)}" for beat in range(20))
    counted, changes = texts.read(midi.parse(song(0)), beats, "1 2 C:maj")
    # Half a second is a beat; the first note is two beats before the first downbeat, and a bar has three.
    assert counted.start[0] == counted.ticks_per_quarter
    assert counted.metre.tolist() == [[0, 3, 4]]
    assert changes.time.tolist() == [counted.ticks_per_quarter * beat for beat in (1, 3, 5)]
