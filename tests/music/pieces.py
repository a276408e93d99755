"""Music that tests share: MIDI files byte by byte, notes by chance, and ways to compare."""

import struct

import numpy as np

from magenta_lite.music.notes import Notes


def variable(number):
    sevens = [number & 127]
    while number := number >> 7:
        sevens.append(128 | number & 127)
    return bytes(reversed(sevens))


def track_of(*events, end=True):
    """A track of (ticks since the last, bytes)."""
    body = b"".join(variable(ticks) + bytes(event) for ticks, event in events) + b"\x00\xff\x2f\x00" * end
    return b"MTrk" + struct.pack(">I", len(body)) + body


def file_of(*tracks, kind=1, division=480):
    return b"MThd" + struct.pack(">IHHH", 6, kind, len(tracks), division) + b"".join(tracks)


def on(pitch, velocity=64, channel=0):
    return 0x90 | channel, pitch, velocity


def off(pitch, channel=0):
    return 0x80 | channel, pitch, 0


def columns(notes, *names):
    """Columns as sorted rows, so that notes in another order are the same."""
    rows = np.column_stack([np.asarray(getattr(notes, name), np.float64) for name in names])
    return rows[np.lexsort(rows.T)]


ALL = ("start", "end", "pitch", "velocity", "program", "is_drum", "instrument")


def rows_of(sequence):
    """The same columns of a NoteSequence."""
    rows = np.array(
        [(n.start_time, n.end_time, n.pitch, n.velocity, n.program, n.is_drum, n.instrument) for n in sequence.notes],
        np.float64,
    ).reshape(-1, 7)
    return rows[np.lexsort(rows.T)]


def random_notes(seed, count=60, instruments=2, pitches=4, seconds=6.0):
    """Notes on a coarse grid of time with few pitches, so that many coincide, and a pedal for each instrument."""
    rng = np.random.default_rng(seed)
    start = rng.integers(0, 40, count) * seconds / 40
    changes = rng.integers(0, 30)
    return Notes(
        start=start,
        end=start + rng.integers(1, 12, count) * seconds / 40,
        pitch=60 + rng.integers(0, pitches, count),
        velocity=rng.integers(1, 128, count),
        instrument=rng.integers(0, instruments, count),
        pedal_time=np.sort(rng.integers(0, 60, changes) * seconds / 40),
        pedal_down=rng.random(changes) < 0.5,
        pedal_instrument=rng.integers(0, instruments, changes),
    )
