"""What a model can be told beside the events: notes a second, and how much each pitch class sounds. Host only, numpy.

Both are measured over a window that begins at an event and lies ahead of it, and stay the same until time moves on.
Equal to the published code's performance_controls, but that a crop's windows look beyond its end.
"""

import numpy as np
from numpy.typing import NDArray

from magenta_lite.models.performance_rnn.events import steps_of
from magenta_lite.models.performance_rnn.vocabulary import NOTE_OFF, NOTE_ON, EventVocabulary

DENSITY, HISTOGRAM = "notes_per_second", "pitch_class_histogram"
CONTROLS = (DENSITY, HISTOGRAM)

DENSITY_WINDOW, HISTOGRAM_WINDOW = 3.0, 5.0
"""Seconds."""

DENSITY_EDGES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""Notes a second, between the 8 bins that the model is told."""

PRIOR = 0.01
"""Seconds that every pitch class has at least."""

CLASSES = 12

DEFAULT_DENSITY = 15.0
"""Notes a second, where nothing is asked for, as in the original; the default histogram is flat."""


def density(events: NDArray[np.integer], vocabulary: EventVocabulary, steps_per_second: int) -> NDArray[np.float64]:
    """Notes a second in the 3 s from each event [T, 1] on, [T]; near the end in what is left, 0 where nothing is."""
    begin, until, rows, steps = _windows(events, vocabulary, round(DENSITY_WINDOW * steps_per_second))
    on = np.concatenate([[0], np.cumsum(_is(events, vocabulary, NOTE_ON))])
    covered = np.minimum(steps[until] - steps[begin], round(DENSITY_WINDOW * steps_per_second))
    count = on[until] - on[begin]
    values = np.divide(count * steps_per_second, covered, out=np.zeros(len(begin)), where=covered > 0)
    return values[rows]


def density_bins(values: NDArray[np.float64] | float) -> NDArray[np.int32]:
    """The bin, 0 to 7, of densities in notes a second."""
    return np.searchsorted(DENSITY_EDGES, values, side="right").astype(np.int32)


def histogram(events: NDArray[np.integer], vocabulary: EventVocabulary, steps_per_second: int) -> NDArray[np.float64]:
    """Shares [T, 12] of the sounding time of each pitch class in the 5 s from each event [T, 1] on; rows sum to 1."""
    begin, until, rows, _ = _windows(events, vocabulary, round(HISTOGRAM_WINDOW * steps_per_second))
    number = events[:, 0].astype(np.int64)
    off = vocabulary.offset(NOTE_OFF)
    note = np.flatnonzero(_is(events, vocabulary, NOTE_ON) | _is(events, vocabulary, NOTE_OFF))
    pitch = number[note] % off  # note-ons come first, and as many note-offs
    by_pitch = np.lexsort((note, pitch))
    following = np.full(len(note), len(events))
    same = pitch[by_pitch][1:] == pitch[by_pitch][:-1]
    following[by_pitch[:-1][same]] = note[by_pitch[1:][same]]
    # A pitch sounds from each note-on to its next event, which may be a note-on again.
    change = np.zeros((len(events) + 1, CLASSES))
    on = number[note] < off
    np.add.at(change, (note[on], pitch[on] % CLASSES), 1)
    np.add.at(change, (following[on], pitch[on] % CLASSES), -1)
    sounding = np.cumsum(change, axis=0)[:-1] * (steps_of(events, vocabulary) / steps_per_second)[:, None]
    time = np.concatenate([np.zeros((1, CLASSES)), np.cumsum(sounding, axis=0)])
    return normalised(time[until] - time[begin] + PRIOR)[rows]


def normalised(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights [..., 12] as shares; flat where all are 0."""
    total = weights.sum(axis=-1, keepdims=True)
    return np.where(total > 0, weights / np.where(total > 0, total, 1), 1 / CLASSES)


def _is(events: NDArray[np.integer], vocabulary: EventVocabulary, type: str) -> NDArray[np.bool_]:
    low = vocabulary.offset(type)
    size = next(one.size for one in vocabulary.ranges if one.type == type)
    return (events[:, 0] >= low) & (events[:, 0] < low + size)


def _windows(
    events: NDArray[np.integer], vocabulary: EventVocabulary, window: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Where windows begin (the first event, and each after a shift) and end, the window of each event, and steps.

    Ends are the first events that are `window` steps or more later; steps [T + 1] is the time before each event.
    """
    moves = steps_of(events, vocabulary)
    steps = np.concatenate([[0], np.cumsum(moves)])
    fresh = np.concatenate([[True], moves[:-1] > 0])[: len(events)]
    begin = np.flatnonzero(fresh)
    until = np.minimum(np.searchsorted(steps, steps[begin] + window, side="left"), len(events))
    return begin, until, np.cumsum(fresh) - 1, steps
