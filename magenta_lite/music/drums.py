"""Drum tracks: which drums are struck at each step, as sets in bits; note_seq's DrumTrack in numbers."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from magenta_lite.music.bars import Section
from magenta_lite.music.notes import PITCHES as MIDI_PITCHES
from magenta_lite.music.notes import Notes

PITCHES: tuple[tuple[int, ...], ...] = (
    (36, 35),
    (38, 27, 28, 31, 32, 33, 34, 37, 39, 40, 56, 65, 66, 75, 85),
    (42, 44, 54, 68, 69, 70, 71, 73, 78, 80, 22),
    (46, 67, 72, 74, 79, 81, 26),
    (45, 29, 41, 43, 61, 64, 84),
    (48, 47, 60, 63, 77, 86, 87),
    (50, 30, 62, 76, 83),
    (49, 52, 55, 57, 58),
    (51, 53, 59, 82),
)
"""The original's nine classes, by pitches of General MIDI and of Roland: kick, snare, closed and open hi-hat, low, mid
and high tom, crash, ride. Other percussion counts as what it sounds like; the first of a class stands for it."""

# fmt: off
ALL: tuple[int, ...] = (
    36, 35, 38, 27, 28, 31, 32, 33, 34, 37, 39, 40, 56, 65, 66, 75, 85, 42, 44, 54, 68, 69, 70, 71, 73, 78, 80, 46, 67,
    72, 74, 79, 81, 45, 29, 41, 61, 64, 84, 48, 47, 60, 63, 77, 86, 87, 50, 30, 43, 62, 76, 83, 49, 55, 57, 58, 51, 52,
    53, 59, 82,
)
# fmt: on
"""The 61 single drums, General MIDI's, in the original's order, which is that of its classes as they once were."""

ROLAND = {22: 42, 26: 46}
"""The edges of Roland's hi-hat, and what of ALL they are taken for. The original has them in its classes, but not among
its single drums, where it would lose a tenth of the Groove data set."""

_BITS = np.zeros(MIDI_PITCHES, np.uint64)
_BITS[list(ALL)] = np.uint64(1) << np.arange(len(ALL), dtype=np.uint64)
_BITS[list(ROLAND)] = _BITS[list(ROLAND.values())]
_CLASSES = np.array([np.bitwise_or.reduce(_BITS[list(pitches)]) for pitches in PITCHES])


class Drums(NamedTuple):
    """A passage: where it begins, in steps of its section, at a bar line; and a set of drums for each step.

    masks: uint64 [T], T a multiple of the section's steps_per_bar; bit k is set where pitch ALL[k] is struck.
    """

    start: int
    masks: NDArray[np.uint64]


def extract(section: Section, *, gap_bars: float = 1, instrument: int | None = None) -> list[Drums]:
    """The drum tracks, in order of start, of all instruments that are drums together: what note_seq's DrumTrack takes.

    A track ends where nothing is struck for so many bars after a step with a drum, and is filled up to whole bars.
    All of it is kept: the original takes of a piece five windows by chance.

    instrument: only this one. Raises ValueError where gap_bars is less than 1, as for melodies.
    """
    if not gap_bars >= 1:
        raise ValueError(f"a gap of {gap_bars} bars: expected at least 1")
    bits = np.where(section.is_drum, _BITS[section.pitch], np.uint64(0))
    if instrument is not None:
        bits[section.instrument != instrument] = 0
    struck = np.flatnonzero(bits)
    if not len(struck):
        return []
    steps, first = np.unique(section.start[struck], return_index=True)
    masks = np.bitwise_or.reduceat(bits[struck], first)
    silent = np.diff(steps) - 1 >= gap_bars * section.steps_per_bar
    tracks = []
    for part in np.split(np.arange(len(steps)), np.flatnonzero(silent) + 1):
        first_bar = int(steps[part[0]]) // section.steps_per_bar
        bars = int(steps[part[-1]]) // section.steps_per_bar + 1 - first_bar
        track = np.zeros(bars * section.steps_per_bar, np.uint64)
        start = first_bar * section.steps_per_bar
        track[steps[part] - start] = masks[part]
        tracks.append(Drums(start, track))
    return tracks


def reduced(masks: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """Sets of the 61 pitches [...] as sets of the 9 classes, uint16 [...]: bit k is set where any of PITCHES[k] is."""
    struck = np.asarray(masks, np.uint64)[..., None] & _CLASSES != 0
    return (struck << np.arange(len(PITCHES))).sum(axis=-1).astype(np.uint16)


def to_notes(
    masks: NDArray[np.integer],
    *,
    qpm: float,
    reduced: bool = False,
    velocity: int = 80,
    steps_per_quarter: int = 4,
    instrument: int = 9,
) -> Notes:
    """The notes of sets of drums [T] at a tempo, a step long each: note_seq's DrumTrack.to_sequence.

    reduced: the sets are of the 9 classes, not of the 61 pitches. Raises ValueError where a set has other bits, or the
    tempo or the steps in a quarter note are not above 0.
    """
    pitches = np.array([kind[0] for kind in PITCHES] if reduced else ALL)
    masks = np.asarray(masks)
    bad = (masks < 0) | (masks >= 1 << len(pitches))
    if bad.any():
        raise ValueError(f"a set of drums is {masks[bad][0]}: expected {len(pitches)} bits")
    if not (0 < qpm < np.inf and steps_per_quarter > 0):
        raise ValueError(f"{qpm} quarters a minute, {steps_per_quarter} steps in each: expected more than 0")
    bits = masks.astype(np.uint64)[:, None] >> np.arange(len(pitches), dtype=np.uint64)
    steps, drums = np.nonzero(bits & np.uint64(1))
    seconds = np.arange(len(masks) + 1, dtype=np.float64) * (60.0 / qpm / steps_per_quarter)
    return Notes(
        start=seconds[steps],
        end=seconds[steps + 1],
        pitch=pitches[drums],
        velocity=np.asarray(velocity),
        is_drum=np.asarray(True),
        instrument=np.asarray(instrument),
        tempo_time=np.zeros(1),
        tempo_qpm=np.full(1, qpm),
    )
