"""MIDI files out: type 1, tempo and metre in the first track, then a track for each instrument."""

import os
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from magenta_lite.files import writing
from magenta_lite.music.midi import DRUMS, MAX_TICKS, MAX_TRACKS, SUSTAIN
from magenta_lite.music.notes import DEFAULT_QPM, Notes

TICKS_PER_QUARTER = 960
"""Half a tick is 0.26 ms at 120 quarters a minute. Twice the usual 480, so files of that come back as they were."""

_CHANNELS = [channel for channel in range(16) if channel != DRUMS]


def write(notes: Notes, path: str | os.PathLike[str], *, ticks_per_quarter: int = TICKS_PER_QUARTER) -> Path:
    """A MIDI file of notes, whole or not at all. Raises UserError where it cannot be written."""
    content = to_bytes(notes, ticks_per_quarter=ticks_per_quarter)
    path = Path(path)
    with writing(path) as file:
        file.write(content)
    return path


def to_bytes(notes: Notes, *, ticks_per_quarter: int = TICKS_PER_QUARTER) -> bytes:
    """A MIDI file's content; read again, times are within half a tick and the rest is as it was.

    A tick is a share of a quarter note, so it depends on the tempo. Instruments are numbered anew, without gaps; of
    more than 15 some share a channel, but none the drums'. MIDI ends all notes of a pitch at once: one that is struck
    again while it sounds ends there, and those that begin together end together. No note is shorter than a tick.

    Raises ValueError where MIDI has no place for it: a metre's denominator that is no power of two, too many ticks
    (MAX_TICKS) or instruments (MAX_TRACKS).
    """
    if not 1 <= ticks_per_quarter < 2**15:
        raise ValueError(f"{ticks_per_quarter} ticks in a quarter note: expected 1 to 32767")
    clock = _Clock(notes, ticks_per_quarter)
    tracks = [_track([(tick, 0, event) for tick, event in clock.events()] + _metres(notes, clock))]
    start, end = clock.ticks(notes.start), clock.ticks(notes.end)
    pedal = clock.ticks(notes.pedal_time)
    keys = np.column_stack([notes.instrument, notes.is_drum, notes.program]).astype(np.int64).reshape(-1, 3)
    groups, group = np.unique(keys, axis=0, return_inverse=True)
    if len(groups) >= MAX_TRACKS:
        raise ValueError(f"{len(groups)} instruments: expected fewer than {MAX_TRACKS}")
    melodic = 0
    for number, (instrument, is_drum, program) in enumerate(groups.tolist()):
        channel = DRUMS if is_drum else _CHANNELS[melodic % len(_CHANNELS)]
        melodic += not is_drum
        rows = np.flatnonzero(group == number)
        events = [(0, 0, bytes([0xC0 + channel, program]))]
        if name := notes.names[instrument] if instrument < len(notes.names) else "":
            events.insert(0, (0, 0, _meta(0x03, name.encode())))
        for change in np.flatnonzero(notes.pedal_instrument == instrument).tolist():
            events.append(
                (int(pedal[change]), 2, bytes([0xB0 + channel, SUSTAIN, 127 * int(notes.pedal_down[change])]))
            )
        begin, pitch = start[rows], notes.pitch[rows]
        for row, tick, off in zip(rows.tolist(), begin.tolist(), _ends(begin, end[rows], pitch).tolist(), strict=True):
            events.append((tick, 3, bytes([0x90 + channel, notes.pitch[row], notes.velocity[row]])))
            events.append((off, 1, bytes([0x80 + channel, notes.pitch[row], 0])))
        tracks.append(_track(events))
    return b"".join([b"MThd", struct.pack(">IHHH", 6, 1, len(tracks), ticks_per_quarter), *tracks])


class _Clock:
    """Seconds into ticks. Tempos are whole microseconds and begin at whole ticks, whose seconds are known exactly."""

    def __init__(self, notes: Notes, ticks_per_quarter: int) -> None:
        order = np.argsort(notes.tempo_time, kind="stable")
        times, qpms = notes.tempo_time[order].tolist(), notes.tempo_qpm[order].tolist()
        if not times or times[0] > 0:
            times, qpms = [0.0, *times], [DEFAULT_QPM, *qpms]
        self.first, self.seconds, self.scales, self.tempos = [0], [0.0], [0.0], [0]
        for time, qpm in zip(times, qpms, strict=True):
            tempo = round(min(max(6e7 / qpm, 1), 2**24 - 1))
            tick = int(self.ticks(np.array([time]))[0]) if time else 0
            if tick > self.first[-1]:
                self.seconds.append(self.seconds[-1] + self.scales[-1] * (tick - self.first[-1]))
                self.first.append(tick)
                self.scales.append(0.0)
                self.tempos.append(0)
            self.scales[-1], self.tempos[-1] = tempo / 1e6 / ticks_per_quarter, tempo

    def ticks(self, seconds: NDArray[np.float64]) -> NDArray[np.int64]:
        """The nearest ticks."""
        segment = np.searchsorted(self.seconds, seconds, side="right") - 1
        within = (seconds - np.array(self.seconds)[segment]) / np.array(self.scales)[segment]
        ticks = np.array(self.first)[segment] + np.rint(within)
        if (ticks >= MAX_TICKS).any():
            raise ValueError(f"{seconds.max():g} s are more than {MAX_TICKS} ticks: MIDI has no place for so many")
        return ticks.astype(np.int64)

    def events(self) -> list[tuple[int, bytes]]:
        return [
            (tick, _meta(0x51, tempo.to_bytes(3, "big"))) for tick, tempo in zip(self.first, self.tempos, strict=True)
        ]


def _metres(notes: Notes, clock: _Clock) -> list[tuple[int, int, bytes]]:
    events = []
    for tick, (numerator, denominator) in zip(
        clock.ticks(notes.metre_time).tolist(), notes.metre.tolist(), strict=True
    ):
        power = denominator.bit_length() - 1
        if denominator < 1 or denominator != 1 << power or not 1 <= numerator <= 255:
            raise ValueError(f"the metre {numerator}/{denominator} cannot be written as MIDI")
        events.append((tick, 0, _meta(0x58, bytes([numerator, power, 24, 8]))))
    return events


def _ends(start: NDArray[np.int64], end: NDArray[np.int64], pitch: NDArray[np.integer]) -> NDArray[np.int64]:
    """Ends of an instrument's notes at which one note-off for a pitch means only the notes that should end there."""
    order = np.lexsort((start, pitch))
    start, pitch = start[order], pitch[order]
    first = np.flatnonzero(np.append(True, (start[1:] != start[:-1]) | (pitch[1:] != pitch[:-1])))
    latest = np.maximum(np.maximum.reduceat(end[order], first), start[first] + 1)
    again = pitch[first][1:] == pitch[first][:-1]
    latest[:-1] = np.where(again, np.minimum(latest[:-1], start[first][1:]), latest[:-1])
    ends = np.empty_like(end)
    ends[order] = np.repeat(latest, np.diff(np.append(first, len(start))))
    return ends


def _meta(kind: int, value: bytes) -> bytes:
    return bytes([0xFF, kind]) + _variable(len(value)) + value


def _variable(number: int) -> bytes:
    """A number below 2**28 in sevens of bits, the highest first."""
    sevens = [number & 0x7F]
    while number := number >> 7:
        sevens.append(0x80 | (number & 0x7F))
    return bytes(reversed(sevens))


def _track(events: list[tuple[int, int, bytes]]) -> bytes:
    """A chunk of events: tick, place among those of one tick, and message."""
    parts, last = [], 0
    for tick, _, message in sorted(events, key=lambda event: event[:2]):
        parts += [_variable(tick - last), message]
        last = tick
    body = b"".join(parts) + b"\x01\xff\x2f\x00"
    return b"MTrk" + struct.pack(">I", len(body)) + body
