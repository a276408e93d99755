"""Grooves: which drums are hit on each step, how hard, and how far from it. The representation of GrooVAE.

A groove is two arrays, steps by the nine INSTRUMENTS: velocity, uint8 [T, 9], 0 where there is no hit, and offset,
float32 [T, 9], in steps, -0.5 to 0.5, positive where a hit is late, 0 where there is none. Gillick et al. 2019,
"Learning to Groove with Inverse Sequence Transformations"; the original's GrooveConverter.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from magenta_lite.music import drums
from magenta_lite.music.bars import Section
from magenta_lite.music.notes import Notes

INSTRUMENTS = (
    "kick",
    "snare",
    "closed hi-hat",
    "open hi-hat",
    "low tom",
    "mid tom",
    "high tom",
    "crash cymbal",
    "ride cymbal",
)
CLOSED_HI_HAT, OPEN_HI_HAT = 2, 3

ROLAND = (
    (36,),
    (38, 37, 40),
    (42, 22, 44),
    (46, 26),
    (43, 58),
    (47, 45),
    (50, 48),
    (49, 52, 55, 57),
    (51, 53, 59),
)
"""The pitches of each instrument on the drum kit of the Groove data; they are written as the first one of each.

Of General MIDI's mapping (drums.PITCHES) this one says otherwise of 45, 48 and 58; the first ones are the same in both.
"""

_ROLANDS = {pitch for own in ROLAND for pitch in own}
PITCHES = tuple(
    (*own, *(pitch for pitch in general if pitch not in _ROLANDS))
    for own, general in zip(ROLAND, drums.PITCHES, strict=True)
)
"""The same, and General MIDI's where they say nothing: for beats from anywhere, in data as in what a person gives."""

INPUTS = ("groove", "humanize", "tap_fixed_velocity", "tap_fixed_velocity_note_dropout", "add_closed_hh")
"""What an encoder may be given in place of the groove that is to come out; see `encoder_input`."""

MOST_DROPPED = 0.8
"""The largest share of notes that tap_fixed_velocity_note_dropout leaves out, if they were next to silent."""

_SOFTEST = 0.2  # even the loudest hits are dropped with this share of the probability


class Groove(NamedTuple):
    """A passage: where it begins, in steps of its section, at a bar line; and what is hit, in whole bars.

    velocity: uint8 [T, 9], 0 to 127. offset: float32 [T, 9], in steps, -0.5 to 0.5.
    """

    start: int
    velocity: NDArray[np.uint8]
    offset: NDArray[np.float32]


def extract(section: Section, *, pitches: Sequence[Sequence[int]] = ROLAND, gap_bars: int = 2) -> list[Groove]:
    """The grooves of a section's drums: whole bars, up to the one of the last hit.

    Of hits of one instrument on one step the loudest counts, and of equal ones the first. A groove ends where at least
    `gap_bars` whole bars are silent; with fewer they stay in it. The original does not stop there, but its data has no
    such silence.

    pitches: those of each instrument; other drums are left out.
    """
    instrument_of = np.full(128, -1)
    for number, own in enumerate(pitches):
        instrument_of[list(own)] = number
    rows = np.flatnonzero(section.is_drum & (instrument_of[section.pitch] >= 0))
    if not len(rows):
        return []
    # Later ones overwrite: the loudest comes last, and among equals the first to be played.
    order = np.lexsort((section.start[rows] + section.offset[rows], -section.velocity[rows].astype(int)))
    rows = rows[order[::-1]]
    step, instrument = section.start[rows], instrument_of[section.pitch[rows]]
    bars = int(step.max()) // section.steps_per_bar + 1
    velocity = np.zeros((bars * section.steps_per_bar, len(pitches)), np.uint8)
    offset = np.zeros(velocity.shape, np.float32)
    velocity[step, instrument] = section.velocity[rows]
    offset[step, instrument] = section.offset[rows]
    played = np.unique(step // section.steps_per_bar)
    breaks = np.flatnonzero(np.diff(played) > gap_bars) + 1
    grooves = []
    for part in np.split(played, breaks):
        first = 0 if part[0] < gap_bars else int(part[0])
        steps = slice(first * section.steps_per_bar, (int(part[-1]) + 1) * section.steps_per_bar)
        grooves.append(Groove(steps.start, velocity[steps], offset[steps]))
    return grooves


def to_notes(
    velocity: NDArray[np.integer],
    offset: NDArray[np.floating],
    *,
    qpm: float,
    steps_per_quarter: int = 4,
    instrument: int = 9,
) -> Notes:
    """A groove as drums, each hit a step long. One that would begin before 0 seconds, begins there."""
    seconds = 60 / qpm / steps_per_quarter
    step, number = np.nonzero(velocity)
    start = np.maximum((step + offset[step, number].astype(np.float64)) * seconds, 0.0)
    return Notes(
        start=start,
        end=start + seconds,
        pitch=np.array([own[0] for own in ROLAND])[number],
        velocity=velocity[step, number],
        is_drum=np.asarray(True),
        instrument=np.asarray(instrument),
        tempo_time=np.zeros(1),
        tempo_qpm=np.full(1, qpm),
    )


def features(velocity: NDArray[np.integer], offset: NDArray[np.floating]) -> NDArray[np.float32]:
    """The numbers of a groove that the original's networks read and write: float32 [..., 27].

    Nine hits, 0 or 1; nine velocities, 0 to 1; nine offsets, -1 to 1, and these positive where a hit is early.
    """
    velocity = np.asarray(velocity)
    # Subtracted from 0, since -2 * 0 would be -0.
    columns = [velocity > 0, velocity / np.float32(127), 0 - 2 * np.asarray(offset, np.float32)]
    return np.concatenate(columns, axis=-1, dtype=np.float32)


def from_features(numbers: NDArray[np.floating]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Velocity and offset of such numbers [..., 27]: a hit is one above 0.5, and has a velocity of at least 1."""
    hits, loud, early = np.split(np.asarray(numbers, np.float32), 3, axis=-1)
    velocity = np.clip(np.rint(loud * 127), 1, 127).astype(np.uint8)
    offset = np.clip(0 - early / 2, -0.5, 0.5)
    return np.where(hits > 0.5, velocity, 0).astype(np.uint8), np.where(hits > 0.5, offset, 0).astype(np.float32)


def encoder_input(
    kind: str,
    velocity: NDArray[np.integer],
    offset: NDArray[np.floating],
    rng: np.random.Generator | None = None,
) -> NDArray[np.float32]:
    """What the encoder is given where this groove is to come out, as `features`: float32 [T, 27].

    groove: the groove itself (groovae_4bar, hits_control). humanize: hits alone. tap_fixed_velocity: the times of
    `tap`, without velocities. tap_fixed_velocity_note_dropout: the same of what `drop_notes` leaves, by chance of rng.
    add_closed_hh: without the closed hi-hat.

    Raises:
      ValueError: kind is not one of INPUTS, or notes are to be dropped without rng.
    """
    heard = velocity
    if kind == "tap_fixed_velocity_note_dropout":
        if rng is None:
            raise ValueError("notes are dropped by chance: expected rng")
        heard = drop_notes(velocity, rng)
    if kind.startswith("tap_fixed_velocity") and kind in INPUTS:
        return _without_velocities(features(*tap(velocity, offset, heard)))
    if kind == "humanize":
        return _without_velocities(features(velocity, np.zeros_like(offset)))
    if kind == "add_closed_hh":
        return features(*without(velocity, offset, CLOSED_HI_HAT))
    if kind == "groove":
        return features(velocity, offset)
    raise ValueError(f"expected one of {', '.join(INPUTS)}, got {kind!r}")


def drop_notes(
    velocity: NDArray[np.integer], rng: np.random.Generator, most: float = MOST_DROPPED
) -> NDArray[np.integer]:
    """The velocities with some hits left out, soft ones more often.

    A groove has one probability, from 0 to `most`; a hit is dropped with that times 1 - velocity / 127, which counts as
    0.2 where it is less.
    """
    chance = rng.uniform(0.0, most)
    dropped = rng.random(velocity.shape) < chance * np.maximum(_SOFTEST, 1 - velocity / 127)
    return np.where(dropped, 0, velocity).astype(velocity.dtype)


def tap(
    velocity: NDArray[np.integer], offset: NDArray[np.floating], heard: NDArray[np.integer] | None = None
) -> tuple[NDArray[np.integer], NDArray[np.floating]]:
    """A groove tapped with one finger: the loudest hit of each step, on the open hi-hat's place, with its offset.

    heard: the velocities that decide which one that is (all). Where none are heard, the original takes the kick, which
    is there if the groove has it: a kick alone is never dropped.
    """
    steps = np.arange(len(velocity))
    loudest = (velocity if heard is None else heard).argmax(axis=-1)
    tapped, offsets = np.zeros_like(velocity), np.zeros_like(offset)
    tapped[:, OPEN_HI_HAT] = velocity[steps, loudest]
    offsets[:, OPEN_HI_HAT] = offset[steps, loudest]
    return tapped, offsets


def without(
    velocity: NDArray[np.integer], offset: NDArray[np.floating], *instruments: int
) -> tuple[NDArray[np.integer], NDArray[np.floating]]:
    """The groove without some instruments, given by their places in INSTRUMENTS."""
    velocity, offset = velocity.copy(), offset.copy()
    velocity[..., list(instruments)] = 0
    offset[..., list(instruments)] = 0
    return velocity, offset


def hits(velocity: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Which instruments are hit, bool [T, 9]: the control of groovae_2bar_hits_control, beside the groove itself.

    The original gives it to the encoder and, at each step, to the decoder.
    """
    return np.asarray(velocity) > 0


def _without_velocities(numbers: NDArray[np.float32]) -> NDArray[np.float32]:
    numbers[..., len(INSTRUMENTS) : 2 * len(INSTRUMENTS)] = 0
    return numbers
