"""Slices of passages: which windows, how transposed, what is told, and the way back to notes."""

import numpy as np
import pytest

from magenta_lite.errors import Rejected, UserError
from magenta_lite.models.music_vae.codec import Codec
from magenta_lite.music import chords, drums, melodies, midi_writing
from magenta_lite.music.notes import Notes
from magenta_lite.pipeline import PreparedData

C4 = 60 - melodies.MIN_PITCH + melodies.FIRST_NOTE


def passage(*bars, **columns):
    """A melody of bars of four steps each."""
    events = np.array([event for bar in bars for event in bar], np.uint8)
    return {"melody": events, "chord": np.zeros(len(events), np.uint8), "name": "here", "label": "", **columns}


A, B = [C4, 0, C4 + 4, 0], [C4 + 7, 0, 0, 1]
REST, HELD = [0, 0, 0, 0], [0, 0, 1, 0]


def test_windows_slide_by_a_bar_sound_and_are_each_taken_once():
    codec = Codec(bars=1, steps_per_bar=4)
    example = passage(A, B, A, HELD, REST, A)
    assert codec.windows(example, distinct=False) == [0, 1, 2, 5]
    assert codec.windows(example) == [0, 1]
    assert Codec(bars=2, steps_per_bar=4).windows(example) == [0, 1, 2, 4]


def test_as_many_takes_as_windows():
    codec = Codec(bars=2, steps_per_bar=4)
    np.testing.assert_array_equal(codec.takes(np.array([8, 12, 40])), [1, 2, 9])
    np.testing.assert_array_equal(codec.lengths(np.array([4, 8, 40])), [0, 8, 8])


def test_training_takes_every_distinct_window_equally_often():
    codec = Codec(bars=1, steps_per_bar=4)
    example, rng = passage(A, A, A, A, B), np.random.default_rng(0)
    firsts = [int(codec.encode(example, rng)["tokens"][0, 0]) for _ in range(400)]
    assert set(firsts) == {C4, C4 + 7}
    assert 150 < firsts.count(C4) < 250


def test_what_sounds_where_a_window_begins_is_left_out():
    codec = Codec(bars=1, steps_per_bar=4)
    example = passage(A, [0, 1, C4, 0], bar=1)
    assert codec.encode(example)["tokens"][:, 0].tolist() == [0, 0, C4, 0]


def test_an_excerpt_does_not_depend_on_the_window_that_is_named():
    codec = Codec(bars=1, steps_per_bar=4)
    whole = codec.excerpt(passage(A, B))["tokens"]
    np.testing.assert_array_equal(codec.excerpt(passage(A, B, bar=0))["tokens"], whole)
    np.testing.assert_array_equal(codec.excerpt(passage(A, B, bar=1))["tokens"], whole)
    assert codec.encode(passage(A, B, bar=1))["tokens"][0, 0] == C4 + 7


def test_silence_is_refused():
    assert isinstance(Codec(bars=1, steps_per_bar=4).encode(passage(REST, HELD)), Rejected)


def test_transposing_moves_melody_and_chords_together_and_stays_in_range():
    codec = Codec(bars=1, steps_per_bar=4, transpose=30, chords=True)
    example = passage([melodies.CLASSES - 3, 0, 1, C4], chord=np.full(4, chords.number("C"), np.uint8))
    rng, shifts = np.random.default_rng(0), set()
    for _ in range(200):
        arrays = codec.encode(example, rng)
        shift = int(arrays["tokens"][3, 0]) - C4
        shifts.add(shift)
        assert arrays["tokens"][:, 0].tolist() == [melodies.CLASSES - 3 + shift, 0, 1, C4 + shift]
        assert set(arrays["chord"].tolist()) == {int(chords.transpose(np.array([1]), shift)[0])}
    assert max(shifts) == 2
    assert min(shifts) < -20


def test_trios_keep_their_parts_apart():
    codec = Codec(kind="trio", bars=1, steps_per_bar=4, transpose=2)
    beat = np.array([1, 0, 3, 0], np.uint64)
    example = {"melody": np.array(A, np.uint8), "bass": np.array([C4 - 24, 0, 0, 0], np.uint8), "drums": beat}
    tokens = codec.encode({**example, "name": "t"}, np.random.default_rng(3))["tokens"]
    assert tokens[0, 0] - tokens[0, 1] == 24
    np.testing.assert_array_equal(tokens[:, 2], drums.reduced(beat))
    notes = codec.decode({"tokens": tokens})
    assert sorted(set(notes.program[~notes.is_drum].tolist())) == [0, 33]
    assert notes.is_drum.sum() == 2, "both bits of the last mask are kicks"


def test_drum_rolls_are_the_bits_of_the_masks():
    masks = np.array([0, 1 << 60, (1 << 3) | 1, 0], np.uint64)
    full = Codec(kind="drum_roll", drum_classes=61, bars=1, steps_per_bar=4)
    roll = full.encode({"drums": masks, "name": "d"})["roll"]
    assert [np.flatnonzero(row).tolist() for row in roll] == [[], [60], [0, 3], []]
    assert sorted(full.decode({"roll": roll}).pitch.tolist()) == sorted(drums.ALL[bit] for bit in (0, 3, 60))
    few = Codec(kind="drum_roll", bars=1, steps_per_bar=4).encode({"drums": masks, "name": "d"})["roll"]
    combined = Codec(kind="drums", bars=1, steps_per_bar=4).encode({"drums": masks, "name": "d"})["tokens"]
    np.testing.assert_array_equal((few * (1 << np.arange(9))).sum(1), combined[:, 0])


@pytest.mark.parametrize(
    ("task", "given"), [("groove", "all"), ("humanize", "hits"), ("tap_fixed_velocity_note_dropout", "tap")]
)
def test_grooves_come_out_whole_whatever_the_encoder_is_given(toy_grooves, task, given):
    codec = Codec(kind="groove", groove_input=task)
    example = PreparedData(toy_grooves).example("train", 1)
    for rng in (None, np.random.default_rng(0)):
        arrays = codec.encode({**example, "bar": 0}, rng)
        hits, velocities, _ = np.split(arrays["given"], 3, axis=1)
        assert (np.split(arrays["groove"], 3, axis=1)[1] > 0).any()
        if given == "all":
            np.testing.assert_array_equal(arrays["given"], arrays["groove"])
        elif given == "hits":
            np.testing.assert_array_equal(hits, arrays["groove"][:, :9])
            assert not arrays["given"][:, 9:].any()
        else:
            assert hits.any(axis=0).tolist() == [drum == 3 for drum in range(9)]
            assert not velocities.any()


def test_chords_asked_for_are_spread_over_the_slice():
    codec = Codec(bars=1, steps_per_bar=4, chords=True)
    names = ["C", "Am"]
    assert codec.condition(chords=names)["chord"].tolist() == [chords.number(n) for n in ["C", "C", "Am", "Am"]]
    for asked, message in (({}, "give --chords"), ({"chords": ["H"]}, "H"), ({"chords": ["C"] * 5}, "1 to 4")):
        with pytest.raises(UserError, match=message):
            codec.condition(**asked)
    with pytest.raises(UserError, match="not told of chords"):
        Codec().condition(chords=["C"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "melodie"}, "did you mean 'melody'"),
        ({"bars": 0}, "bars=0"),
        ({"chords": True, "kind": "drums"}, "chords=True is for"),
        ({"groove_input": "humanize"}, "is for config.codec.kind=groove"),
        ({"drum_classes": 10}, "9 or 61"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        Codec(**options)


def test_data_of_another_kind_or_bar_is_refused(toy_melodies, toy_drums):
    data = PreparedData(toy_melodies)
    codec, _ = Codec.from_data({}, data)
    assert codec.steps == 32
    for options, folder, message in (
        ({"kind": "drums"}, toy_melodies, "holds no drums"),
        ({}, toy_drums, "holds no melodies"),
        ({"steps_per_bar": 12}, toy_melodies, "bars of .* have 16 steps"),
        ({"bars": 1000}, toy_melodies, "smaller config.codec.bars"),
    ):
        with pytest.raises(UserError, match=message):
            Codec.from_data(options, PreparedData(folder))


def test_files_give_every_slice_once_with_its_place(tmp_path):
    """Two bars in 4/4, again, two others, and one bar more of a second instrument."""
    second = 0.5
    starts = np.array([0, 1, 2, 3, 4, 5, 6, 7])
    one = Notes(start=starts * second, end=(starts + 1) * second, pitch=60 + starts, velocity=80)
    two = Notes(start=starts[:2] * second, end=(starts[:2] + 1) * second, pitch=70, velocity=80, instrument=1)
    columns = ("start", "end", "pitch", "velocity", "instrument")
    twice = [one, one.replace(start=one.start + 4, end=one.end + 4), two]
    notes = Notes(**{name: np.concatenate([getattr(part, name) for part in twice]) for name in columns})
    path = tmp_path / "tune.mid"
    midi_writing.write(notes, path)
    found = list(Codec().read(path))
    places = [name.split(", ")[0].removeprefix("tune.mid: ") for name, _ in found]
    assert places == ["bars 1 to 2", "bars 2 to 3", "bars 1 to 2"]
    tokens = Codec().encode(found[2][1])["tokens"][:, 0]
    # A loop whose last bar rests is filled up.
    assert np.flatnonzero(tokens).tolist() == [0, 4, 8]
    assert tokens[8] == melodies.NOTE_OFF
    ((_, rejected),) = Codec(kind="drums").read(path)
    assert isinstance(rejected, Rejected)
    assert "no drums" in rejected.reason
    with pytest.raises(UserError, match="expected music as"):
        Codec().read(tmp_path / "tune.txt")
