"""Modes of slices: what they write, what they are given, what they keep, and mistakes in one line."""

import sys
import types

import numpy as np
import pytest
from PIL import Image
from small_music_vae import QUIET, names, read, untrained

import sample
from magenta_lite import sampler
from magenta_lite.errors import Rejected, UserError
from magenta_lite.models.music_vae import modes, starting
from magenta_lite.music import chords, melodies, midi_writing
from magenta_lite.music.notes import Notes
from magenta_lite.sampler import Sampler

pytestmark = pytest.mark.usefixtures("quick_to_compile", "few_programs", "blank")


@pytest.fixture(scope="module")
def of_melodies(tmp_path_factory, toy_melodies):
    return untrained(tmp_path_factory.mktemp("runs") / "melodies", toy_melodies)


@pytest.fixture(scope="module")
def of_chords(tmp_path_factory, toy_melodies):
    return untrained(tmp_path_factory.mktemp("runs") / "chords", toy_melodies, chords=True)


@pytest.fixture
def tune(tmp_path):
    """A MIDI file of two bars, and one of four different ones: one slice of two bars, and three."""
    paths = []
    for name, bars in (("short", 2), ("long", 4)):
        events = np.zeros(16 * bars, np.uint8)
        events[::4] = melodies.FIRST_NOTE + 40 + np.arange(4 * bars)
        notes = melodies.to_notes(events, qpm=120.0)
        paths.append(str(midi_writing.write(notes, tmp_path / f"{name}.mid")))
    return paths


def test_a_way_is_found_before_the_generic_mode_and_can_be_heard(of_melodies, tmp_path, monkeypatch):
    flags = ["--mode=interpolate", "--steps=3", "--items=0,1", "--qpm=90", "--sample_rate=8000", "--temperature=0.3"]
    words = ["sample.py", f"--workdir={of_melodies.workdir}", *flags, f"--out={tmp_path / 'out'}"]
    monkeypatch.undo()  # pictures, too
    monkeypatch.setattr(sys, "argv", words)
    # What a program of its own would compile again.
    monkeypatch.setattr(sample, "keep_compiled", lambda: None)
    monkeypatch.setattr(sampler, "Sampler", lambda workdir, checkpoint: of_melodies)
    sample.main()
    stems = ["000", "001", "002", "given-000", "given-001", "way"]
    for kind, more in (("mid", []), ("wav", []), ("png", ["rolls"])):
        assert names(tmp_path / "out", kind) == sorted(f"{stem}.{kind}" for stem in [*stems, *more])
    page = (tmp_path / "out" / "page.html").read_text()
    assert page.count("<audio") == page.count("data:audio/wav") == page.count("data:audio/midi") == 6
    # The whole way is its steps, one after the other, each of two bars.
    whole, seconds = read(tmp_path / "out" / "way.mid"), 8 * 60 / 90
    assert float(whole.tempo_qpm[0]) == pytest.approx(90, rel=1e-4)
    parts = [read(tmp_path / "out" / f"{number:03d}.mid") for number in range(3)]
    starts = np.concatenate([part.start + number * seconds for number, part in enumerate(parts)])
    np.testing.assert_allclose(whole.start, starts, atol=2e-3)
    np.testing.assert_array_equal(whole.pitch, np.concatenate([part.pitch for part in parts]))
    with Image.open(tmp_path / "out" / "rolls.png") as picture:
        assert picture.width > 1000


def test_new_slices_at_several_temperatures(of_melodies, tmp_path):
    modes.generate(of_melodies, folder=tmp_path / "two", n=2, temperature=(1.0, 0.5), **QUIET)
    modes.generate(of_melodies, folder=tmp_path / "one", n=2, **QUIET)
    assert names(tmp_path / "two", "mid") == [f"{number:03d}.mid" for number in range(4)]
    assert (tmp_path / "two" / "003.mid").read_bytes() == (tmp_path / "one" / "001.mid").read_bytes()
    assert not names(tmp_path / "one", "wav")
    assert read(tmp_path / "one" / "000.mid").duration <= 4 + 1e-3


def test_chords_are_told_where_the_model_knows_them(of_chords, of_melodies, tmp_path, monkeypatch):
    told, draw = [], Sampler.sample

    def spy(self, count, **how):
        told.append(how["condition"]["chord"])
        # One program is enough: that of new slices.
        if how["z"] is None:
            return draw(self, count, **how)
        return [{"tokens": np.zeros((32, 1), np.int32)}] * count

    monkeypatch.setattr(Sampler, "sample", spy)
    modes.generate(of_chords, folder=tmp_path / "a", n=2, chords=["C", "Am"], **QUIET)
    expected = np.repeat([chords.number("C"), chords.number("Am")], 16)
    np.testing.assert_array_equal(told.pop(), np.stack([expected] * 2))
    found = of_chords.starting_examples(input=None, items=[0, 1], data_dir=None, split="test", count=2)
    own = np.stack([encoded["chord"] for _, encoded in found])
    assert own.any(axis=1).all()
    modes.reconstruct(of_chords, folder=tmp_path / "b", items=[1, 0], temperature=(0.5,), **QUIET)
    np.testing.assert_array_equal(told.pop(), own[::-1])
    # On a way those of the nearer slice, unless chords are asked for.
    modes.interpolate(of_chords, folder=tmp_path / "c", items=[0, 1], steps=2, **QUIET)
    np.testing.assert_array_equal(told.pop(), own)
    modes.interpolate(of_chords, folder=tmp_path / "d", chords=["C", "Am"], steps=2, **QUIET)
    np.testing.assert_array_equal(told.pop(), np.stack([expected] * 2))
    with pytest.raises(UserError, match="the model was told of chords in training: give --chords=C,G,Am,F"):
        modes.generate(of_chords, folder=tmp_path / "e", **QUIET)
    with pytest.raises(UserError, match="--chords: the model was not told of chords"):
        modes.generate(of_melodies, folder=tmp_path / "e", chords=["C"], **QUIET)


def test_chords_of_a_file_are_inferred(of_chords, of_melodies, tmp_path):
    times = np.arange(4) * 2.0
    triads = [(60, 64, 67), (57, 60, 64), (65, 69, 72), (67, 71, 74)]
    start, pitch = np.repeat(times, 3), np.concatenate(triads)
    piece = Notes(start=start, end=start + 2, pitch=pitch, velocity=80)
    path = str(midi_writing.write(piece, tmp_path / "chords.mid"))
    ((_, encoded),) = starting.from_files(of_chords.codec, [path], [0])
    wanted = [chords.number(name) for name in ("C", "Am")]
    assert encoded["chord"][[8, 24]].tolist() == wanted
    assert "chord" not in starting.from_files(of_melodies.codec, [path], [0])[0][1]


def test_a_file_of_several_slices_lists_them(of_melodies, tune, tmp_path, capsys):
    short, long = tune
    ((_, encoded),) = starting.from_files(of_melodies.codec, [short], None)  # there is but one
    assert (encoded["tokens"] >= melodies.FIRST_NOTE).sum() == 8
    modes.reconstruct(of_melodies, folder=tmp_path / "a", input=[short], slice=[0, 0], temperature=(0.5,), **QUIET)
    given = read(tmp_path / "a" / "given-000.mid")
    np.testing.assert_array_equal(given.pitch, read(short).pitch)
    np.testing.assert_allclose(given.start, read(short).start, atol=1e-3)
    with pytest.raises(
        UserError, match=r"long.mid holds 3 slices, listed above: say which to take: --slice=0"
    ) as raised:
        modes.reconstruct(of_melodies, folder=tmp_path / "b", input=[long], **QUIET)
    assert "\n" not in str(raised.value)
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == ["0", "1", "2"]
    assert "bars 2 to 3" in listed[1]
    assert listed[1].endswith("8 notes")
    modes.reconstruct(of_melodies, folder=tmp_path / "c", input=[long], slice=[2, 0], temperature=(0.5,), **QUIET)
    assert len(names(tmp_path / "c", "mid")) == 4
    np.testing.assert_array_equal(read(tmp_path / "c" / "given-000.mid").pitch, read(long).pitch[8:])
    np.testing.assert_array_equal(read(tmp_path / "c" / "given-001.mid").pitch, read(long).pitch[:8])
    modes.interpolate(of_melodies, folder=tmp_path / "d", input=[short, long], slice=[0, 1], steps=2, **QUIET)
    np.testing.assert_array_equal(read(tmp_path / "d" / "given-001.mid").pitch, read(long).pitch[4:12])
    for chosen, expected in (([3], "--slice=3: .*long.mid has 3, numbered from 0"), ([], "--slice= is empty")):
        with pytest.raises(UserError, match=expected):
            modes.reconstruct(of_melodies, folder=tmp_path / "e", input=[long], slice=chosen, **QUIET)
    with pytest.raises(UserError, match="3 numbers for 2 files: expected one of each"):
        modes.interpolate(of_melodies, folder=tmp_path / "e", input=tune, slice=[0, 1, 2], **QUIET)
    capsys.readouterr()
    with pytest.raises(UserError, match=r"long.mid holds 3 slices, listed above: say .*--slice=0,0$"):
        modes.interpolate(of_melodies, folder=tmp_path / "e", input=tune, **QUIET)
    assert len(capsys.readouterr().out.splitlines()) == 3
    with pytest.raises(UserError, match=r"long.mid holds 3 slices and .*long.mid holds 3 slices, .*--slice=0,0$"):
        modes.interpolate(of_melodies, folder=tmp_path / "e", input=[long, long], **QUIET)
    assert len(capsys.readouterr().out.splitlines()) == 2 * 4


def test_bars_are_those_of_the_whole_file(of_melodies, tmp_path):
    start = np.arange(22) * 0.5
    metre = {"metre_time": [0.0, 4.0, 7.0], "metre": [[4, 4], [3, 4], [4, 4]]}
    piece = Notes(start=start, end=start + 0.5, pitch=60 + np.arange(22), velocity=80, **metre)
    path = midi_writing.write(piece, tmp_path / "metres.mid")
    spans = [name.split(": ")[1].split(",")[0] for name, _ in of_melodies.codec.read(path)]
    assert spans == ["bars 1 to 2", "bars 5 to 6"]


def test_a_loop_is_one_slice(of_melodies, of_chords, tmp_path, capsys, monkeypatch):
    def loop(name, ends):
        start = np.arange(4.0)
        piece = Notes(start=start, end=[1, 2, 3, ends], pitch=[60, 64, 67, 72], velocity=80)
        return str(midi_writing.write(piece, tmp_path / name))

    # Its last note rings on into a third bar.
    ((example, encoded),) = starting.from_files(of_melodies.codec, [loop("rings.mid", 4.4)], None)
    assert len(example["melody"]) == 32
    assert (encoded["tokens"] >= melodies.FIRST_NOTE).sum() == 4
    # One of a bar: silence, and the chord that was.
    start = np.repeat([0.0, 1.0], 3)
    bar = Notes(start=start, end=start + 1, pitch=[60, 64, 67, 60, 64, 67], velocity=80)
    path = str(midi_writing.write(bar, tmp_path / "bar.mid"))
    ((_, encoded),) = starting.from_files(of_chords.codec, [path], None)
    assert set(encoded["chord"].tolist()) == {chords.number("C")}
    assert (encoded["tokens"][16:] >= melodies.FIRST_NOTE).sum() == 0
    assert starting.chord_names(np.array([1, 1, 22, 1])) == "C Am C"
    monkeypatch.setattr(chords, "infer", lambda score: Rejected("for some reason"))
    starting.from_files(of_chords.codec, [path], None)
    assert "bar.mid: the model is told no chords" in capsys.readouterr().out


def test_a_given_tempo_is_kept(of_melodies, tune, tmp_path, capsys):
    slow, long = tmp_path / "slow.mid", tune[1]
    midi_writing.write(melodies.to_notes(np.tile([42, 0, 0, 0], 8).astype(np.uint8), qpm=80.0), slow)
    found = starting.from_files(of_melodies.codec, [str(slow), long], [0, 1])
    assert starting.tempo(found[:1], None) == pytest.approx(80, rel=1e-4)
    assert not capsys.readouterr().out
    assert starting.tempo(found, None) == pytest.approx(80, rel=1e-4)
    assert "tempos differ, 80 to 120: the first, 80, is taken" in capsys.readouterr().out
    assert (starting.tempo(found, 90.0), starting.tempo(None, None)) == (90.0, 120.0)
    modes.reconstruct(of_melodies, folder=tmp_path / "out", input=[str(slow)], temperature=(0.0,), **QUIET)
    for name in ("000", "given-000"):
        assert float(read(tmp_path / "out" / f"{name}.mid").tempo_qpm[0]) == pytest.approx(80, rel=1e-4)


def test_ways_end_where_reconstructions_are(of_melodies, tune, tmp_path):
    options = {"temperature": (0.0,), **QUIET}
    modes.interpolate(of_melodies, folder=tmp_path / "way", items=[0, 1], steps=2, way="lerp", **options)
    modes.reconstruct(of_melodies, folder=tmp_path / "ends", items=[0, 1], **options)
    for number in range(2):
        ours, theirs = (tmp_path / name / f"00{number}.mid" for name in ("way", "ends"))
        assert ours.read_bytes() == theirs.read_bytes()
    # Nothing given: between samples of the prior; of four, a grid.
    modes.interpolate(of_melodies, folder=tmp_path / "grid", corners=4, steps=2, **options)
    assert names(tmp_path / "grid", "mid") == [*(f"{number:03d}.mid" for number in range(4)), "way-0.mid", "way-1.mid"]
    lower = [read(tmp_path / "grid" / f"{stem}.mid") for stem in ("002", "003", "way-1")]
    np.testing.assert_array_equal(lower[2].pitch, np.concatenate([lower[0].pitch, lower[1].pitch]))
    modes.arithmetic(of_melodies, folder=tmp_path / "sum", items=[0, 0, 1], n=2, **options)
    assert (tmp_path / "sum" / "000.mid").read_bytes() == (tmp_path / "ends" / "001.mid").read_bytes()


def test_an_attribute_is_added_and_measured(of_melodies, tmp_path, capsys):
    folder = tmp_path / "out"
    start = {"items": [0, 1], "temperature": (0.0,), "qpm": 120.0, **QUIET}
    options = {"amount": (-1.0, 0.0, 2.0), "examples": 40, **start}
    modes.attribute(of_melodies, folder=folder, attribute="average_interval", **options)
    assert len(names(folder, "mid")) == 2 + 3 * 2
    titles = capsys.readouterr().out.splitlines()
    assert [title.split(",")[0] for title in titles] == [f"{one} x average_interval" for one in ("-1", "+0", "+2")]
    modes.reconstruct(of_melodies, folder=tmp_path / "same", **start)
    assert (folder / "002.mid").read_bytes() == (tmp_path / "same" / "000.mid").read_bytes()
    page = (folder / "page.html").read_text()
    pitches = read(folder / "003.mid").pitch.astype(int)
    intervals = np.abs(np.diff(pitches))
    assert f"003: {intervals.mean() if len(intervals) else 0:.3g}<" in page
    assert "other data" not in "".join(titles)
    other = types.SimpleNamespace(**{**vars(of_melodies), "starting_examples": of_melodies.starting_examples})
    other.workdir = tmp_path
    (tmp_path / "source.json").write_text('{"digest": "other"}')
    assert len(modes._training(other, None, 8)) == 8
    assert f"is other data than {tmp_path} was trained on" in capsys.readouterr().out
    for flags, expected in (
        ({"attribute": "note_densty"}, "--attribute=note_densty: did you mean 'note_density'?"),
        ({"training_dir": str(tmp_path / "none")}, "none, the data of this run, is not there"),
        ({"examples": 3}, "--examples=3: expected 8 to"),
    ):
        with pytest.raises(UserError, match=expected.replace("?", r"\?")):
            modes.attribute(of_melodies, folder=tmp_path / "no", **{**options, **flags})


def test_the_gallery_can_be_heard(of_melodies, tmp_path):
    modes.gallery(of_melodies, folder=tmp_path, temperature=(0.5,), sample_rate=8000)
    page = (tmp_path / "gallery.html").read_text()
    for title in ("New slices, T = 0.5", "Again: ", "A way"):
        assert title in page
    assert page.count("<audio") == len(names(tmp_path, "wav")) == len(names(tmp_path, "mid"))


@pytest.mark.parametrize(
    ("mode", "flags", "expected"),
    [
        (modes.generate, {"n": 0}, "--n=0: expected 1 to 4096"),
        (modes.generate, {"qpm": 5.0}, "--qpm=5: expected 10 to 1000"),
        (modes.generate, {"qpm": float("nan")}, "--qpm=nan"),
        (modes.generate, {"sample_rate": 1}, "--sample_rate=1"),
        (modes.generate, {"soundfont": "none.sf2"}, "--soundfont=none.sf2: no such file"),
        (modes.generate, {"items": [0]}, "nothing is given to new slices"),
        (modes.reconstruct, {"posterior": "mode"}, "--posterior=mode: expected mean or sample"),
        (modes.reconstruct, {"slice": [0]}, "give the file by --input"),
        (modes.reconstruct, {"input": ["a.mid"], "items": [0]}, "give one of them"),
        (modes.reconstruct, {"input": ["a.txt"]}, "a.txt: expected music as .mid"),
        (modes.interpolate, {"steps": 1}, "--steps=1: expected 2 to 1000"),
        (modes.interpolate, {"way": "curved"}, "--way=curved: expected slerp or lerp"),
        (modes.interpolate, {"corners": 3}, "--corners=3: expected 2"),
        (modes.interpolate, {"items": [0, 1, 0]}, "between 2 slices or 4, not 3"),
        (modes.interpolate, {"items": [0, 1], "corners": 4}, "--corners=4, but 2 slices are given"),
        (modes.interpolate, {"items": [0, 1, 0, 1], "corners": 2}, "--corners=2, but 4 slices are given"),
        (modes.interpolate, {"corners": 4, "steps": 65}, "65 steps x 65 rows = 4,225: a sheet has at most 4,096"),
        (modes.generate, {"n": 2049, "temperature": (0.1, 1.0)}, "2,049 slices x 2 temperatures = 4,098: a sheet has"),
        (modes.reconstruct, {"items": [0] * 5000, "temperature": (0.1,)}, "5,000 slices: a sheet has at most 4,096"),
        (modes.attribute, {"n": 2000, "amount": (0.0, 1.0, 2.0)}, "2,000 slices x 3 amounts = 6,000"),
        (modes.arithmetic, {"items": [0, 1]}, "takes 3 slices, not 2"),
        (modes.attribute, {"amount": ()}, "--amount= is empty"),
        (modes.attribute, {"amount": (1.0, float("nan"))}, "--amount=nan: expected -1000 to 1000"),
        (modes.attribute, {"amount": (float("-inf"),)}, "--amount=-inf: expected -1000 to 1000"),
        (modes.humanize, {"input": "a.mid", "hits": "some"}, "--hits=some: expected given or model"),
    ],
)
def test_limits_of_flags(of_melodies, tmp_path, mode, flags, expected):
    with pytest.raises(UserError) as raised:
        mode(of_melodies, folder=tmp_path, **flags)
    assert expected in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_slices_are_not_continued(of_melodies):
    with pytest.raises(UserError, match="MusicVAE continues nothing"):
        modes.continue_(of_melodies)
