"""Attributes of slices made by hand, and vectors of a latent space whose axes are known."""

import types

import numpy as np
import pytest

from magenta_lite.errors import UserError
from magenta_lite.models.music_vae import Codec, attributes
from magenta_lite.music import melodies

BAR = 16


def melody(*notes, steps=BAR):
    """Events [T] of (step, pitch)."""
    events = np.zeros(steps, np.int32)
    for step, pitch in notes:
        events[step] = pitch - melodies.MIN_PITCH + melodies.FIRST_NOTE
    return events


def onsets(*steps, length=BAR):
    return np.isin(np.arange(length), steps)[:, None]


def tokens(*streams):
    return {"tokens": np.stack(streams, axis=1)}


QUARTERS = melody((0, 60), (4, 64), (8, 67), (12, 72))


def test_note_density_is_notes_a_step():
    assert attributes.note_density(onsets(0, 4, 8, 12)) == 0.25
    assert attributes.note_density(onsets()) == 0
    assert attributes.note_density(np.ones((8, 9), bool)) == 9


@pytest.mark.parametrize(
    ("steps", "sixteenth", "eighth"),
    [
        ((0, 4, 8, 12), 0, 0),
        ((0, 2, 4, 6), 0, 0),  # on eighths, but each has the quarter before it
        ((2, 6, 10, 14), 0, 1),  # off the beat throughout
        ((1, 5), 1, 0),
        ((0, 1), 0, 0),  # the eighth before the second is struck
        ((3, 6), 0.5, 0.5),
        ((0, 3, 6, 8, 12), 0.2, 0.2),  # a clave: 3 comes between, 6 without 4
        ((5, 6), 0.5, 0.5),  # a sixteenth before does not make 6 a follower
        ((), 0, 0),
    ],
)
def test_syncopation(steps, sixteenth, eighth):
    assert attributes.sixteenth_syncopation(onsets(*steps), BAR) == pytest.approx(sixteenth)
    assert attributes.eighth_syncopation(onsets(*steps), BAR) == pytest.approx(eighth)


def test_syncopation_counts_from_bar_lines_and_looks_across_them():
    # In bars of 14 sixteenths the second begins between two quarters of the first one's count.
    assert attributes.eighth_syncopation(onsets(14, 18, length=28), 14) == 0
    assert attributes.eighth_syncopation(onsets(16, length=28), 14) == 1
    # What sounded before the slice is unknown, and counts as nothing.
    assert attributes.sixteenth_syncopation(onsets(15, 16, 17, length=32), 16) == pytest.approx(1 / 3)


def test_every_drum_is_its_own_voice():
    hits = np.zeros((BAR, 2), bool)
    hits[[0, 4], 0], hits[[2, 6], 1] = True, True
    assert attributes.eighth_syncopation(hits, BAR) == 0.5
    assert attributes.eighth_syncopation(hits.any(axis=1)[:, None], BAR) == 0


def test_intervals_and_keys():
    assert attributes.average_interval(QUARTERS) == pytest.approx((4 + 3 + 5) / 3)
    assert attributes.average_interval(melody((0, 72), (1, 60))) == 12
    assert attributes.average_interval(melody((3, 60))) == 0
    assert attributes.c_diatonic(QUARTERS) == 1
    sharp = np.where(QUARTERS > 0, QUARTERS + 1, 0)
    assert attributes.c_diatonic(sharp) == 0.25  # of C#, F, G# and C# one is white
    assert attributes.best_diatonic(sharp) == 1
    chromatic = melody(*((step, 60 + step) for step in range(12)))
    assert attributes.c_diatonic(chromatic) == attributes.best_diatonic(chromatic) == pytest.approx(7 / 12)
    for measure in (attributes.average_interval, attributes.c_diatonic, attributes.best_diatonic):
        assert measure(np.array([0, 1, 0, 1])) == 0  # a note-off is no note


def test_what_is_measured_depends_on_the_kind():
    kick_and_hat = np.zeros(BAR, np.int32)
    kick_and_hat[::4] = 0b101
    drums = attributes.measure(Codec(kind="drums", bars=1), [{"tokens": kick_and_hat[:, None]}])
    assert {name: float(value[0]) for name, value in drums.items()} == {
        "note_density": 0.5,
        "sixteenth_syncopation": 0,
        "eighth_syncopation": 0,
    }
    roll = (kick_and_hat[:, None] >> np.arange(9)) & 1
    groove = np.concatenate([roll, np.full((BAR, 18), 0.9)], axis=1).astype(np.float32)
    for kind, arrays in (("drum_roll", {"roll": roll.astype(np.uint8)}), ("groove", {"groove": groove})):
        assert attributes.measure(Codec(kind=kind, bars=1), [arrays]) == drums
    trio = attributes.measure(Codec(kind="trio", bars=1), [tokens(QUARTERS, melody((0, 40)), kick_and_hat)])
    assert (float(trio["note_density"][0]), float(trio["bass_density"][0])) == (0.25, 1 / 16)
    assert float(trio["drum_density"][0]) == 0.5
    assert float(trio["c_diatonic"][0]) == 1


class Drawn:
    """Stands for a sampler: z is (notes of the slice, 100), and is decoded into as many quarters."""

    codec = Codec(bars=1)
    conditions = ()
    model = types.SimpleNamespace(latent_size=2)

    def posterior(self, encoded):
        counts = [(one["tokens"] >= melodies.FIRST_NOTE).sum() for one in encoded]
        mean = np.array([[count, 100] for count in counts], np.float32)
        return mean, np.zeros_like(mean)

    def sample(self, count, *, z, **how):
        assert how["condition"] == {}
        return [tokens(self.notes(round(float(one[0])))) for one in z]

    @staticmethod
    def notes(count):
        return melody(*((step, 60) for step in range(count)))


def test_a_vector_is_the_top_quartile_less_the_bottom_one():
    slices = [tokens(Drawn.notes(count)) for count in (1, 2, 3, 4, 5, 6, 7, 8)]
    vectors = attributes.vectors(Drawn(), slices[::-1])
    np.testing.assert_allclose(vectors["note_density"], [7.5 - 1.5, 0])
    # Intervals are 0 throughout, and so is what they say of z.
    assert "average_interval" not in vectors
    with pytest.raises(UserError, match="expected at least 8"):
        attributes.vectors(Drawn(), slices[:7])


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([1] * 9 + [5], 4),  # few have more: they against the rest
        ([1] + [5] * 9, 4),
        ([1, 1, 1, 1, 3, 5, 5, 5], 4),  # all of a quartile's edge belong to it
        ([1, 1, 3, 3, 3, 3, 5, 9], 6),
    ],
)
def test_equal_values_are_treated_alike(counts, expected):
    slices = [tokens(Drawn.notes(count)) for count in counts]
    for ordered in (slices, slices[::-1]):
        assert attributes.vectors(Drawn(), ordered)["note_density"][0] == pytest.approx(expected)


def test_the_table_of_effects():
    slices = [tokens(Drawn.notes(count)) for count in (1, 1, 2, 2, 3, 3, 4, 4)]
    examples = [tokens(Drawn.notes(count)) for count in (4, 6)]
    table = attributes.effect_table(Drawn(), examples, slices)
    assert set(table) == {"note_density"}
    assert table["note_density"]["note_density"] == pytest.approx(100 * 3 / 5)
    assert table["note_density"]["average_interval"] is None  # of 0 there are no percent
    less = attributes.effect_table(Drawn(), examples, slices, amount=-1)
    assert less["note_density"]["note_density"] == pytest.approx(-100 * 3 / 5)


def test_training_slices_are_spread_over_passages():
    codec = Codec(bars=1)
    long, short = (np.tile(melody((0, 60), (4, 62)).astype(np.uint8), bars) for bars in (6, 1))
    for bar in range(6):
        long[bar * BAR] += bar
    passages = [{"melody": long, "name": "long"}, {"melody": short, "name": "short"}]
    slices = attributes.training_slices(codec, passages, 4)
    assert [int(one["tokens"][0, 0]) for one in slices] == [41, 46, 41]
    assert len(attributes.training_slices(codec, passages, 1)) == 1
    assert len(attributes.training_slices(codec, passages, 100)) == 7
