"""Beats: what they make of scores that are on a grid, off it, and of POP909's songs."""

import dataclasses
import zipfile

import numpy as np
import pytest
from grids import score_of

from magenta_lite.music import bars, midi
from magenta_lite.music.beats import TICKS_PER_BEAT, Beats


def beats(time, downbeats):
    return Beats(np.array(time, float), np.isin(np.arange(len(time)), list(downbeats)))


def test_a_score_on_its_own_beats_stays_as_it_is():
    rng = np.random.default_rng(0)
    start = rng.integers(0, 20 * 480, 50)
    rows = np.column_stack([start, start + rng.integers(1, 900, 50), rng.integers(40, 80, 50)])
    score = score_of(rows.tolist(), metre=[(0, 3, 4)], tempo=[(0, 400_000)])
    again = beats(np.arange(30) * 0.4, range(0, 30, 3)).score(score)
    assert again.ticks_per_quarter == TICKS_PER_BEAT == 960
    np.testing.assert_array_equal(again.start, 2 * score.start)
    np.testing.assert_array_equal(again.end, 2 * score.end)
    assert (again.tempo.tolist(), again.metre.tolist()) == ([[0, 400_000]], [[0, 3, 4]])


def test_bars_begin_at_downbeats():
    """Three beats before the first one: the bar that they end begins before second 0."""
    marked = beats(0.25 + 0.5 * np.arange(20), [3, 7, 11, 13, 17])
    seconds = np.array([0.0, 0.25, 1.75, 3.75, 5.75, 6.75, 8.75, 9.75, 20.25])
    np.testing.assert_array_equal(marked.ticks(seconds) / 960, [0.5, 1, 4, 8, 12, 14, 18, 20, 41])
    score = marked.score(score_of([(240, 480, 60), (1680, 2160, 62)]))
    assert score.metre.tolist() == [[0, 4, 4], [12 * 960, 2, 4], [14 * 960, 4, 4]]
    (section,) = bars.sections(score)
    assert (section.start.tolist(), section.end.tolist(), section.steps_per_bar) == ([4, 16], [6, 20], 16)


def test_the_tempo_follows_the_beats():
    marked = beats([1.0, 1.5, 2.5, 2.75], [0])
    np.testing.assert_array_equal(marked.ticks(np.array([0.5, 1.25, 2, 2.5, 2.625, 3])) / 960, [3, 4.5, 5.5, 6, 6.5, 8])
    score = marked.score(score_of([(960, 1440, 60), (1920, 1930, 62)]))
    assert score.tempo.tolist() == [[0, 500_000], [5 * 960, 1_000_000], [6 * 960, 250_000]]
    seconds = score.seconds(score.start) - 1.0  # tick 0 is at -1 s: a bar of four beats before the first
    np.testing.assert_allclose(seconds, [1, 2], atol=1e-9)


def test_the_pedal_comes_along_and_no_note_is_lost():
    score = dataclasses.replace(score_of([(0, 1, 60)]), pedal=np.array([[0, 0, 1], [480, 0, 0]]))
    slow = beats([0.0, 100.0], [0]).score(score)
    assert (slow.start.tolist(), slow.end.tolist()) == ([0], [1])
    assert slow.pedal.tolist() == [[0, 0, 1], [5, 0, 0]]


@pytest.mark.parametrize(
    ("time", "downbeats", "reason"),
    [
        ([0.0], [0], "1 beats and 1 marks"),
        ([0.0, 1.0, 1.0], [0], "do not ascend"),
        ([0.0, np.nan], [0], "do not ascend"),
        ([0.0, 1.0], [], "no beat begins a bar"),
    ],
)
def test_beats_that_cannot_be_are_refused(time, downbeats, reason):
    with pytest.raises(ValueError, match=reason):
        beats(time, downbeats)


def test_songs_of_pop909_are_on_the_grid_of_their_beats(shared):
    own, marked = [], []
    with zipfile.ZipFile(shared("data", "pop909.zip")) as file:
        for number in range(1, 910, 60):
            folder = f"pop909/POP909/{number:03d}/"
            score = midi.parse(file.read(f"{folder}{number:03d}.mid"))
            lines = np.array([line.split() for line in file.read(f"{folder}beat_midi.txt").splitlines()], float)
            again = Beats(lines[:, 0], lines[:, 2] == 1).score(score)
            shift = again.seconds(again.start).min() - score.seconds(score.start).min()
            seconds = np.sort(score.seconds(score.start)) + shift
            np.testing.assert_allclose(again.seconds(again.start), seconds, atol=2e-3)
            own.append(np.concatenate([section.offset for section in bars.sections(score)]))
            marked.append(np.concatenate([section.offset for section in bars.sections(again)]))
    assert np.abs(np.concatenate(own)).mean() > 0.2  # 0.25 by chance
    assert np.median(np.abs(np.concatenate(marked))) < 0.03
