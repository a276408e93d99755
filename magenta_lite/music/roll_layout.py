"""Where things are on pictures of notes: rows of time, whole bars, the pitches shown, and lanes for drums.

Lengths are in pixels, x to the right and y down, from the picture's upper left corner.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from magenta_lite.music.notes import Notes

MOST_ROWS = 24
"""Of a picture; what is longer gets more seconds in a row."""

LANES = ("kick", "snare", "closed hat", "open hat", "low tom", "mid tom", "high tom", "crash", "ride")
"""The classes of music.drums, from the lowest lane up."""

LANE_SEMITONES = 3
"""As high as so many is a lane."""

LEFT = {False: 40, True: 76}
"""Pixels for the names of pitches, or of drums."""

_FEWEST = 25  # semitones shown at least
_SHORTEST = 4.0  # seconds shown at least


@dataclasses.dataclass(frozen=True)
class Bars:
    """Bars to draw lines of: how long each lasts, its beats, and how many are shown at least, and on one line."""

    seconds: float
    beats: int = 4
    count: int = 1

    def shown(self, duration: float) -> float:
        """Seconds of the whole bars that a piece of that duration takes; a last hit may be late, and end beyond."""
        return self.seconds * max(self.count, int(np.ceil(duration / self.seconds - 0.04)))

    def in_row(self, duration: float) -> float:
        """Seconds of the bars that hold so much, as many times `count` as it takes."""
        together = self.seconds * self.count
        return together * int(np.ceil(duration / together - 1e-6))


@dataclasses.dataclass(frozen=True)
class Row:
    """A part of a piece on a picture: the seconds it shows, and its box."""

    begin: float
    end: float
    left: int
    top: int
    right: int
    bottom: int


@dataclasses.dataclass(frozen=True)
class Layout:
    """A picture laid out: its size, the pitches shown, low to high, its rows, and whether drums have lanes below.

    Without pitches high is low - 1.
    """

    width: int
    height: int
    low: int
    high: int
    rows: tuple[Row, ...]
    lanes: bool = False


def lay_out(
    notes: Notes, *, seconds_per_row: float = 30.0, width: int = 1200, semitone: int = 5, bars: Bars | None = None
) -> Layout:
    """Where things are on the picture of these notes; arguments as for picture."""
    if not seconds_per_row > 0 or width < 200 or semitone < 1:
        raise ValueError(f"{seconds_per_row} seconds in {width} pixels, {semitone} a semitone: nothing can be seen")
    low, high, lanes = pitch_range([notes], bars is not None)
    seconds = max(notes.duration, _SHORTEST) if bars is None else bars.shown(notes.duration)
    # A tenth of a row more is squeezed in: a last row of a chord alone is no use.
    count = int(np.clip(np.ceil(seconds / seconds_per_row - 0.1), 1, MOST_ROWS))
    each = seconds if count == 1 else max(seconds_per_row, seconds / count)
    if bars is not None and count > 1:
        each = bars.in_row(seconds / count)
        count = int(np.ceil(seconds / each - 1e-6))
    left, right, top, between = LEFT[lanes], width - 16, 44, 30
    tall = height_in_semitones(low, high, lanes) * semitone
    rows = []
    for number in range(count):
        begin, end = number * each, min((number + 1) * each, seconds)
        edge = left + max(round((right - left) * (end - begin) / each), 1)
        rows.append(Row(begin, end, left, top, edge, top + tall))
        top += tall + between
    return Layout(width, top, low, high, tuple(rows), lanes)


def pitches_shown(pieces: Sequence[Notes]) -> tuple[int, int]:
    """The lowest and highest pitch a roll of these pieces shows: a margin around what occurs, at least two octaves."""
    occurring = np.concatenate([piece.pitch for piece in pieces] or [np.zeros(0, np.int16)])
    low, high = (int(occurring.min()) - 1, int(occurring.max()) + 1) if len(occurring) else (60, 72)
    if (missing := _FEWEST - (high - low + 1)) > 0:
        low, high = low - missing // 2, high + missing - missing // 2
    shift = max(0, -low) - max(0, high - 127)
    return max(0, low + shift), min(127, high + shift)


def pitch_range(pieces: Sequence[Notes], lanes: bool) -> tuple[int, int, bool]:
    """The pitches shown, and whether drums have lanes: where they may, and there are any."""
    lanes = lanes and any(piece.is_drum.any() for piece in pieces)
    if not lanes:
        return *pitches_shown(pieces), False
    pitched = [piece.select(~piece.is_drum) for piece in pieces]
    return (*pitches_shown(pitched), True) if any(map(len, pitched)) else (0, -1, True)


def height_in_semitones(low: int, high: int, lanes: bool) -> int:
    """The height of all pitches and lanes, in semitones; one is left free between them."""
    between = 1 if high >= low else 0
    return high - low + 1 + (between + len(LANES) * LANE_SEMITONES if lanes else 0)
