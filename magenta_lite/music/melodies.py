"""Melodies: what one instrument plays, the highest note at a time, as an event a step; note_seq's Melody in numbers."""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from magenta_lite.music.bars import Section
from magenta_lite.music.notes import Notes

NO_EVENT, NOTE_OFF, FIRST_NOTE = 0, 1, 2
"""Events: nothing begins or ends, a note ends, and the number from which on notes begin."""

MIN_PITCH, MAX_PITCH = 21, 108
"""The pitches of a piano; others are no part of a melody."""

CLASSES = FIRST_NOTE + MAX_PITCH - MIN_PITCH + 1
"""The 90 events, in the order of note_seq's MelodyOneHotEncoding(21, 109)."""


class Melody(NamedTuple):
    """A passage: where it begins, in steps of its section, at a bar line; and an event a step.

    events: uint8 [T], 0 to 89, T a multiple of the section's steps_per_bar. A note lasts until the next one begins, a
    note-off, or the end.
    """

    start: int
    events: NDArray[np.uint8]


def extract(
    section: Section,
    *,
    programs: Collection[int] | None = None,
    gap_bars: float = 1,
    instrument: int | None = None,
) -> list[Melody]:
    """The melodies of each instrument that is no drum, in order of instrument and start: what note_seq's Melody takes.

    Of notes that begin at one step the highest is taken, whichever of its like comes first; each ends where the next
    begins. A melody ends where nothing sounds for so many bars, and is filled up to whole bars. All of it is kept: the
    original cuts melodies at 100 bars, and takes of a piece five windows by chance.

    programs: only those. instrument: only this one. Raises ValueError where gap_bars is less than 1: a bar would then
    belong to two melodies, of which the original loses one.
    """
    if not gap_bars >= 1:
        raise ValueError(f"a gap of {gap_bars} bars: expected at least 1")
    rows = _highest(section, programs, instrument)
    begins, ends, players = section.start[rows], section.end[rows], section.instrument[rows]
    other = players[1:] != players[:-1]
    ends[:-1] = np.where(other, ends[:-1], np.minimum(ends[:-1], begins[1:]))
    silent = begins[1:] - ends[:-1] >= gap_bars * section.steps_per_bar
    parts = np.split(np.arange(len(rows)), np.flatnonzero(other | silent) + 1) if len(rows) else []
    melodies = []
    for part in parts:
        start = int(begins[part[0]]) // section.steps_per_bar * section.steps_per_bar
        bars = -((start - int(ends[part[-1]])) // section.steps_per_bar)
        events = np.zeros(bars * section.steps_per_bar + 1, np.uint8)
        events[ends[part] - start] = NOTE_OFF
        events[begins[part] - start] = section.pitch[rows[part]] - MIN_PITCH + FIRST_NOTE
        melodies.append(Melody(start, events[:-1]))
    return melodies


def _highest(section: Section, programs: Collection[int] | None, instrument: int | None) -> NDArray[np.int64]:
    """Rows of the highest notes that begin at each step, in order of instrument and start."""
    wanted = ~section.is_drum & (section.pitch >= MIN_PITCH) & (section.pitch <= MAX_PITCH)
    if programs is not None:
        wanted &= np.isin(section.program, list(programs))
    if instrument is not None:
        wanted &= section.instrument == instrument
    rows = np.flatnonzero(wanted)
    rows = rows[np.lexsort((-section.pitch[rows].astype(np.int64), section.start[rows], section.instrument[rows]))]
    start, player = section.start[rows], section.instrument[rows]
    again = (start[1:] == start[:-1]) & (player[1:] == player[:-1])
    return rows[~np.append(False, again)[: len(rows)]]


def window(events: NDArray[np.uint8], start: int, length: int) -> NDArray[np.uint8]:
    """A copy of so many of a melody's events from a step on, [length], as slices of note_seq's Melody are.

    What sounds where the window begins is left out: a note-off before the first note becomes no event. Raises
    ValueError where the window is not within the melody.
    """
    if not 0 <= start <= start + length <= len(events):
        raise ValueError(f"steps {start} to {start + length} of a melody of {len(events)}")
    part = events[start : start + length].copy()
    part[: np.append(np.flatnonzero(part >= FIRST_NOTE), length)[0]] = NO_EVENT
    return part


def to_notes(
    events: NDArray[np.integer],
    *,
    qpm: float,
    program: int = 0,
    velocity: int = 80,
    steps_per_quarter: int = 4,
    instrument: int = 0,
) -> Notes:
    """The notes of a melody's events [T] at a tempo: note_seq's Melody.to_sequence.

    Note-offs where nothing sounds mean nothing. Raises ValueError where an event is not 0 to 89, or the tempo or the
    steps in a quarter note are not above 0.
    """
    events = np.asarray(events)
    if not ((events >= 0) & (events < CLASSES)).all():
        raise ValueError(f"events from {events.min()} to {events.max()}: expected 0 to {CLASSES - 1}")
    if not (0 < qpm < np.inf and steps_per_quarter > 0):
        raise ValueError(f"{qpm} quarters a minute, {steps_per_quarter} steps in each: expected more than 0")
    begins, ends = np.flatnonzero(events >= FIRST_NOTE), np.append(np.flatnonzero(events), len(events))
    seconds = np.arange(len(events) + 1, dtype=np.float64) * (60.0 / qpm / steps_per_quarter)
    return Notes(
        start=seconds[begins],
        end=seconds[ends[np.searchsorted(ends, begins, side="right")]],
        pitch=events[begins].astype(np.int64) - FIRST_NOTE + MIN_PITCH,
        velocity=np.asarray(velocity),
        program=np.asarray(program),
        instrument=np.asarray(instrument),
        tempo_time=np.zeros(1),
        tempo_qpm=np.full(1, qpm),
    )
