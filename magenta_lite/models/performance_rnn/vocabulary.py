"""Vocabularies of performances: which number stands for which event. Host only, numpy.

A vocabulary has *fields*, the numbers that make one event. Event by event (Oore et al. 2018, "This Time with Feeling",
section 3) there is one: note-on, note-off, time-shift or velocity. Note by note there are six, drawn independently of
each other: time-shift and duration are parted in two, as in the published code (NotePerformance).
"""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

NOTE_ON, NOTE_OFF, TIME_SHIFT, VELOCITY, DURATION = "note_on", "note_off", "time_shift", "velocity", "duration"
PITCHES, VELOCITIES = 128, 127


@dataclasses.dataclass(frozen=True)
class Range:
    """A type of event and its values, low to high, both included."""

    type: str
    low: int
    high: int

    @property
    def size(self) -> int:
        return self.high - self.low + 1


@dataclasses.dataclass(frozen=True)
class EventVocabulary:
    """One number an event: ranges one after the other, in the order of the original: on, off, shift, velocity.

    max_shift: steps of the longest time-shift. velocity_bins: 0 leaves velocity out. With 100 and 32 there are 388.
    """

    max_shift: int = 100
    velocity_bins: int = 32

    @property
    def ranges(self) -> tuple[Range, ...]:
        """The types in the order of their numbers."""
        ranges = [Range(NOTE_ON, 0, PITCHES - 1), Range(NOTE_OFF, 0, PITCHES - 1), Range(TIME_SHIFT, 1, self.max_shift)]
        return (*ranges, Range(VELOCITY, 1, self.velocity_bins)) if self.velocity_bins else tuple(ranges)

    @property
    def fields(self) -> tuple[int, ...]:
        """Classes of each field."""
        return (sum(one.size for one in self.ranges),)

    @property
    def first(self) -> NDArray[np.int32]:
        """[1], what a piece begins with where nothing is given: the longest time-shift, as in the original."""
        return np.array([self.number(TIME_SHIFT, self.max_shift)], np.int32)

    def offset(self, type: str) -> int:
        """The number of a type's lowest value; raises ValueError for a type that it has not."""
        offset = 0
        for one in self.ranges:
            if one.type == type:
                return offset
            offset += one.size
        raise ValueError(f"no events of the type {type!r}: there are {', '.join(one.type for one in self.ranges)}")

    def number(self, type: str, value: int) -> int:
        """The number of an event; raises ValueError naming value, range and type."""
        offset = self.offset(type)
        one = next(one for one in self.ranges if one.type == type)
        if not one.low <= value <= one.high:
            raise ValueError(f"{type} {value} is outside {one.low}..{one.high}")
        return offset + value - one.low

    def event(self, number: int) -> tuple[str, int]:
        """Type and value of a number; raises ValueError for one that stands for nothing."""
        rest = number
        for one in self.ranges:
            if 0 <= rest < one.size:
                return one.type, one.low + rest
            rest -= one.size
        raise ValueError(f"event number {number} is outside 0..{self.fields[0] - 1}")


@dataclasses.dataclass(frozen=True)
class NoteVocabulary:
    """Six numbers a note: shift (two), pitch, velocity, duration (two); classes 13, 77, 128, 32, 25, 40.

    Shifts of 0 to max_shift steps, durations of 1 to max_duration, each as major * size of minor + minor. The sizes are
    those whose sum is smallest.
    """

    max_shift: int = 1000
    max_duration: int = 1000
    velocity_bins: int = 32

    @property
    def names(self) -> tuple[str, ...]:
        """Of the fields."""
        return ("shift_major", "shift_minor", "pitch", "velocity", "duration_major", "duration_minor")

    @property
    def fields(self) -> tuple[int, ...]:
        """Classes of each field."""
        return (*_parts(self.max_shift + 1), PITCHES, self.velocity_bins, *_parts(self.max_duration))

    @property
    def first(self) -> NDArray[np.int32]:
        """[6], what a piece begins with where nothing is given: middle C at once, softest, one step long."""
        return np.array([0, 0, 60, 0, 0, 0], np.int32)


Vocabulary = EventVocabulary | NoteVocabulary


def _parts(count: int) -> tuple[int, int]:
    """count = major * minor with the smallest sum."""
    major = min((i for i in range(1, count) if count % i == 0), key=lambda i: i + count // i)
    return major, count // major


def velocity_bin_size(bins: int) -> int:
    """Velocities in a bin: 4 of 32 bins; the last bins may be empty."""
    return -(-VELOCITIES // bins)


def features(vocabulary: EventVocabulary) -> NDArray[np.float32]:
    """The modulo encoding of every event [classes, 5 + 5 + 3 (+ 3)]: points on circles beside a bit for the type.

    A pitch lies on a circle of 144 and its class on one of 12; shifts and velocities on circles of their own sizes.
    Source: the published code, ModuloPerformanceEventSequenceEncoderDecoder.
    """
    blocks: list[tuple[int, NDArray[Any]]] = []
    for one in vocabulary.ranges:
        value = np.arange(one.size)
        circles = [144, 12] if one.type in (NOTE_ON, NOTE_OFF) else [one.size]
        columns = [np.ones(one.size)]
        for circle in circles:
            angle = 2 * np.pi * (value % circle) / circle
            columns += [np.cos(angle), np.sin(angle)]
        blocks.append((one.size, np.column_stack(columns)))
    table = np.zeros((vocabulary.fields[0], sum(block.shape[1] for _, block in blocks)), np.float32)
    row = column = 0
    for size, block in blocks:
        table[row : row + size, column : column + block.shape[1]] = block
        row, column = row + size, column + block.shape[1]
    return table
