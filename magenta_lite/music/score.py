"""Scores: music in ticks, as MIDI files and prepared data hold it, and its way to seconds."""

import dataclasses
import functools
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magenta_lite.music.notes import Notes


@dataclasses.dataclass(frozen=True, eq=False)
class Score:
    """Notes in ticks, in the order of (start, pitch).

    ticks_per_quarter: at least 1. start, end: int64 [N], ticks. pitch, velocity, program, is_drum, instrument, names:
    as in Notes. tempo: int64 [M, 2], tick and microseconds a quarter note. metre: int64 [K, 3], tick, numerator and
    denominator. pedal: int64 [P, 3], tick, instrument, and 1 where the sustain pedal goes down, 0 where up.
    """

    ticks_per_quarter: int
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    pitch: NDArray[np.integer]
    velocity: NDArray[np.integer]
    program: NDArray[np.integer]
    is_drum: NDArray[np.bool_]
    instrument: NDArray[np.integer]
    tempo: NDArray[np.int64]
    metre: NDArray[np.int64]
    pedal: NDArray[np.int64]
    names: tuple[str, ...] = ()

    def seconds(self, ticks: NDArray[np.integer]) -> NDArray[np.float64]:
        """Ticks as seconds, to the last bit as pretty_midi computes them.

        A tempo at tick 0 replaces the default of 120, and one that changes nothing is passed over.
        """
        starts, scales, offsets = self._tempo_map
        ticks = np.asarray(ticks, np.int64)
        segment = np.searchsorted(starts, ticks, side="right") - 1
        return offsets[segment] + scales[segment] * (ticks - starts[segment])

    @functools.cached_property
    def _tempo_map(self) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Where the tempo changes: the tick, seconds a tick from there on, and seconds until there; the first at 0."""
        starts, scales = [0], [60.0 / (120.0 * self.ticks_per_quarter)]
        for tick, microseconds in self.tempo.tolist():
            scale = 60.0 / ((6e7 / microseconds) * self.ticks_per_quarter)
            if tick == 0:
                starts, scales = [0], [scale]
            elif scale != scales[-1]:
                starts.append(tick)
                scales.append(scale)
        offsets = [0.0]
        for (first, last), scale in zip(itertools.pairwise(starts), scales, strict=False):
            offsets.append(offsets[-1] + scale * (last - first))
        return np.array(starts), np.array(scales), np.array(offsets)

    def notes(self) -> Notes:
        """The same in seconds. Tempos that change nothing are left out; there is always one at 0."""
        _, scales, tempo_time = self._tempo_map
        return Notes(
            start=self.seconds(self.start),
            end=self.seconds(self.end),
            pitch=self.pitch,
            velocity=self.velocity,
            program=self.program,
            is_drum=self.is_drum,
            instrument=self.instrument,
            tempo_time=tempo_time,
            tempo_qpm=60.0 / (scales * self.ticks_per_quarter),
            metre_time=self.seconds(self.metre[:, 0]),
            metre=self.metre[:, 1:],
            pedal_time=self.seconds(self.pedal[:, 0]),
            pedal_down=self.pedal[:, 2] != 0,
            pedal_instrument=self.pedal[:, 1],
            names=self.names,
        )

    def pack(self) -> dict[str, Any]:
        """The columns as small arrays, for storing: starts and the pedal's ticks as differences.

        ticks_per_quarter; start, duration uint32 [N]; pitch, velocity, program uint8 [N]; is_drum bool [N]; instrument
        uint16 [N]; tempo uint32 [M, 2]; metre uint32 [K, 3]; pedal uint32 [P, 3]; names, joined by newlines.
        """
        pedal = self.pedal.copy()
        pedal[:, 0] = np.diff(pedal[:, 0], prepend=0)
        return {
            "ticks_per_quarter": self.ticks_per_quarter,
            "start": np.diff(self.start, prepend=0).astype(np.uint32),
            "duration": (self.end - self.start).astype(np.uint32),
            "pitch": self.pitch.astype(np.uint8),
            "velocity": self.velocity.astype(np.uint8),
            "program": self.program.astype(np.uint8),
            "is_drum": self.is_drum.astype(np.bool_),
            "instrument": self.instrument.astype(np.uint16),
            "tempo": self.tempo.astype(np.uint32),
            "metre": self.metre.astype(np.uint32),
            "pedal": pedal.astype(np.uint32),
            "names": "\n".join(name.replace("\n", " ") for name in self.names),
        }

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> "Score":
        """The score of which `pack` made these columns."""
        start = np.cumsum(packed["start"], dtype=np.int64)
        pedal = np.asarray(packed["pedal"], np.int64).reshape(-1, 3)
        pedal = np.column_stack([np.cumsum(pedal[:, 0]), pedal[:, 1:]])
        names = packed["names"]
        names = names.decode() if isinstance(names, bytes) else str(names)
        return cls(
            ticks_per_quarter=int(packed["ticks_per_quarter"]),
            start=start,
            end=start + np.asarray(packed["duration"], np.int64),
            pitch=np.asarray(packed["pitch"]),
            velocity=np.asarray(packed["velocity"]),
            program=np.asarray(packed["program"]),
            is_drum=np.asarray(packed["is_drum"], np.bool_),
            instrument=np.asarray(packed["instrument"]),
            tempo=np.asarray(packed["tempo"], np.int64).reshape(-1, 2),
            metre=np.asarray(packed["metre"], np.int64).reshape(-1, 3),
            pedal=pedal,
            names=tuple(names.split("\n")) if names else (),
        )
