"""Scores of what rules play: parts on a grid of sixteenths, as hands would play them, in ticks."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from magenta_lite.music.score import Score

TICKS_PER_STEP = 120
STEPS_PER_BAR = 16
CLEAR = 0.4
"""Steps that hands are off the grid at most, so that it can always be told what they meant."""


@dataclasses.dataclass(frozen=True)
class Note:
    """One note: steps from the beginning (fractions are off the grid on purpose), steps it lasts, pitch, velocity."""

    step: float
    length: float
    pitch: int
    velocity: float


@dataclasses.dataclass(frozen=True)
class Part:
    """What one instrument plays: its name, its MIDI program, which is 0 for drums, and its notes."""

    name: str
    program: int
    notes: Sequence[Note]
    is_drum: bool = False


def played(parts: Sequence[Part], qpm: float, rng: np.random.Generator, *, looseness: float = 0.06) -> Score:
    """The score of all parts in 4/4: times are off by so many steps (standard deviation), velocities by a few."""
    rows = [
        (note.step, note.length, note.pitch, note.velocity, part.program, part.is_drum, instrument)
        for instrument, part in enumerate(parts)
        for note in part.notes
    ]
    step, length, *others = np.array(rows, np.float64).T
    nearest = np.floor(step + 0.5)
    off = np.clip(step - nearest + rng.normal(0, looseness, len(step)), -CLEAR, CLEAR)
    start = np.maximum(np.rint((nearest + off) * TICKS_PER_STEP), 0)
    # What lasts until the next step has to end a little before it.
    end = np.rint((nearest + length - rng.uniform(0.05, 0.3, len(step))) * TICKS_PER_STEP)
    pitch, velocity, program, is_drum, instrument = others
    velocity = np.clip(np.rint(velocity + rng.normal(0, 4, len(step))), 1, 127)
    columns = np.stack([start, np.maximum(end, start + 20), pitch, velocity, program, is_drum, instrument])
    order = np.lexsort((pitch, start))
    start, end, pitch, velocity, program, is_drum, instrument = columns[:, order].astype(np.int64)
    return Score(
        ticks_per_quarter=4 * TICKS_PER_STEP,
        start=start,
        end=end,
        pitch=pitch,
        velocity=velocity,
        program=program,
        is_drum=is_drum != 0,
        instrument=instrument,
        tempo=np.array([[0, round(6e7 / qpm)]]),
        metre=np.array([[0, 4, 4]]),
        pedal=np.zeros((0, 3), np.int64),
        names=tuple(part.name for part in parts),
    )
