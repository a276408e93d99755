"""Bars: a score on a grid of steps, in sections of one metre each. What melodies, drums and trios are taken from.

Steps are counted in ticks. Where the tempo changes nothing ends here; the original makes a piece of its own of each
stretch of one tempo, cuts the notes that sound across, and begins a new bar there.
"""

import dataclasses
import itertools

import numpy as np
from numpy.typing import NDArray

from magenta_lite.errors import Rejected
from magenta_lite.music.notes import DEFAULT_QPM
from magenta_lite.music.score import Score

MAX_STEPS = 1 << 20
"""The longest section. A day at 120 quarters a minute has two thirds as many; what is longer is a mistake, and would
cost memory."""


@dataclasses.dataclass(frozen=True, eq=False)
class Section:
    """The N notes of a part of a piece that is in one metre, at least one. Bars are counted from its beginning.

    start, end: int64 [N], steps from its beginning, 0 <= start < steps, start < end <= steps, in order of start.
    offset: float64 [N], -0.5 to 0.5, steps from the start to where the note truly began. pitch, velocity, program,
    is_drum, instrument: [N], as in Notes. steps_per_bar: at least 1. metre: numerator and denominator. steps: of the
    whole section. qpm: quarter notes a minute where it begins. tick: of the score, where it begins.
    """

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    offset: NDArray[np.float64]
    pitch: NDArray[np.integer]
    velocity: NDArray[np.integer]
    program: NDArray[np.integer]
    is_drum: NDArray[np.bool_]
    instrument: NDArray[np.integer]
    steps_per_bar: int
    metre: tuple[int, int]
    steps: int
    qpm: float
    tick: int

    def __len__(self) -> int:
        return len(self.start)


def sections(score: Score, steps_per_quarter: int = 4) -> list[Section]:
    """The sections of `split`, without what is rejected."""
    return [part for part in split(score, steps_per_quarter) if isinstance(part, Section)]


def split(score: Score, steps_per_quarter: int = 4) -> list[Section | Rejected]:
    """Parts of a score from one change of the metre to the next, in order; parts without notes are left out.

    The metre is 4/4 until one is given, and one that changes nothing is passed over. Steps are the nearest, a half
    going up, and a note of no steps gets one: what note_seq's quantize_note_sequence gives for a piece of one tempo.
    A note belongs to the section in which its step is, and ends with it. The original goes by the time itself: of a
    downbeat that is played a little early, it makes another bar of the section before.

    Rejected are parts whose bars are not a whole number of steps, or that have more than MAX_STEPS steps.
    """
    changes = _metres(score)
    ticks = np.array([tick for tick, _ in changes])
    # In units of half a step times a quarter's ticks, in which everything is whole.
    unit, half = 2 * steps_per_quarter, score.ticks_per_quarter
    where = np.searchsorted(ticks * unit, score.start * unit + half, side="right") - 1
    limits = [*ticks[1:].tolist(), None]
    order = np.argsort(where, kind="stable")
    bounds = np.searchsorted(where[order], np.arange(len(changes) + 1))
    tempo = score.tempo[np.argsort(score.tempo[:, 0], kind="stable")]
    parts: list[Section | Rejected] = []
    for number, ((tick, metre), limit) in enumerate(zip(changes, limits, strict=True)):
        rows = order[bounds[number] : bounds[number + 1]]
        if not len(rows):
            continue
        ends = score.end[rows] if limit is None else np.minimum(score.end[rows], limit)
        begun = (score.start[rows] - tick) * unit
        start = (begun + half) // (2 * half)
        end = np.maximum(((ends - tick) * unit + half) // (2 * half), start + 1)
        steps = int(end.max()) if limit is None else -((tick - limit) * unit // (2 * half))
        steps_per_bar, rest = divmod(4 * steps_per_quarter * metre[0], metre[1])
        if rest:
            parts.append(Rejected(f"in {metre[0]}/{metre[1]}, whose bars are not whole steps"))
        elif steps > MAX_STEPS:
            parts.append(Rejected(f"more than {MAX_STEPS} steps in one metre"))
        else:
            part = Section(
                start=start,
                end=end,
                offset=begun / (2 * half) - start,
                pitch=score.pitch[rows],
                velocity=score.velocity[rows],
                program=score.program[rows],
                is_drum=score.is_drum[rows],
                instrument=score.instrument[rows],
                steps_per_bar=steps_per_bar,
                metre=metre,
                steps=steps,
                qpm=_qpm(tempo, tick),
                tick=tick,
            )
            parts.append(part)
    return parts


def _metres(score: Score) -> list[tuple[int, tuple[int, int]]]:
    """Where the metre changes, and what to, the first at tick 0. Of several at one tick the last holds."""
    given = {0: (4, 4)}
    for tick, numerator, denominator in score.metre[np.argsort(score.metre[:, 0], kind="stable")].tolist():
        given[tick] = numerator, denominator
    changes = [next(iter(given.items()))]
    changes += [after for before, after in itertools.pairwise(given.items()) if after[1] != before[1]]
    return changes


def _qpm(tempo: NDArray[np.int64], tick: int) -> float:
    """The tempo at a tick, in quarter notes a minute; tempo: as in Score, in the order of ticks."""
    place = np.searchsorted(tempo[:, 0], tick, side="right")
    return float(6e7 / tempo[place - 1, 1]) if place else DEFAULT_QPM
