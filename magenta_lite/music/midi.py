"""MIDI files in, through symusic."""

import os
from pathlib import Path

import numpy as np
import symusic

from magenta_lite.errors import Rejected
from magenta_lite.music.score import Score

SUSTAIN = 64
"""Number of the sustain pedal's control changes; 64 and above is down."""


def read(path: str | os.PathLike[str]) -> Score | Rejected:
    """The music of a MIDI file."""
    return parse(Path(path).read_bytes())


def parse(content: bytes) -> Score | Rejected:
    """The music of a MIDI file's content."""
    try:
        score = symusic.Score.from_midi(content)
    except Exception:
        return Rejected("no MIDI that can be read")
    columns: dict[str, list] = {name: [] for name in ("start", "end", "pitch", "velocity", "program", "instrument")}
    drums, pedals = [], []
    for number, track in enumerate(score.tracks):
        notes = track.notes.numpy()
        count = len(notes["time"])
        columns["start"].append(notes["time"].astype(np.int64))
        columns["end"].append(notes["time"].astype(np.int64) + notes["duration"])
        columns["pitch"].append(notes["pitch"])
        columns["velocity"].append(notes["velocity"])
        columns["program"].append(np.full(count, track.program))
        columns["instrument"].append(np.full(count, number))
        drums.append(np.full(count, track.is_drum))
        controls = track.controls.numpy()
        pedal = controls["number"] == SUSTAIN
        ticks, down = controls["time"][pedal], (controls["value"][pedal] >= 64).astype(np.int64)
        changes = np.flatnonzero(np.diff(down, prepend=0))
        pedals.append(np.column_stack([ticks[changes], np.full(len(changes), number), down[changes]]))
    if not score.tracks:
        return Rejected("no notes")
    together = {name: np.concatenate(parts) for name, parts in columns.items()}
    order = np.lexsort((together["pitch"], together["start"]))
    tempo = score.tempos.numpy()
    pedal = np.concatenate(pedals).astype(np.int64).reshape(-1, 3)
    return Score(
        ticks_per_quarter=score.ticks_per_quarter,
        **{name: column[order] for name, column in together.items()},
        is_drum=np.concatenate(drums)[order],
        tempo=np.column_stack([tempo["time"], tempo["mspq"]]).astype(np.int64),
        metre=np.array([(m.time, m.numerator, m.denominator) for m in score.time_signatures], np.int64).reshape(-1, 3),
        pedal=pedal[np.argsort(pedal[:, 0], kind="stable")],
        names=tuple(track.name for track in score.tracks),
    )
