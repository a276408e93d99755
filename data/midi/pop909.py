"""POP909's texts: the beats and the chords that lie beside each of its MIDI files.

The bars of the MIDI files are not those of the music: 617 of 909 say 1/4, and beats fall anywhere between theirs. With
the published beats, notes of the melody lie 0.003 steps from the next sixteenth, in the median of the pieces; without
them 0.26, as far as chance would put them.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from magenta_lite.errors import Rejected
from magenta_lite.music import chords
from magenta_lite.music.chords import Changes
from magenta_lite.music.score import Score

BEATS, CHORDS = "beat_midi.txt", "chord_midi.txt"
"""The files beside 001/001.mid."""

_TICKS = 480  # of a quarter note, which is a beat


def read(score: Score, beats: str, harmony: str) -> tuple[Score, Changes] | Rejected:
    """The piece on its published beats, in which bars are what lies between downbeats, and its chords in ticks.

    beats: lines of seconds, 1.0 where half a bar begins, 1.0 where a bar does. harmony: as chords.read_pop909 has it.
    """
    changes = chords.read_pop909(harmony)
    if isinstance(changes, Rejected):
        return changes
    try:
        rows = np.array([line.split() for line in beats.splitlines() if line.strip()], np.float64).reshape(-1, 3)
    except ValueError:
        return Rejected("beats that cannot be read")
    time, down = rows[:, 0], np.flatnonzero(rows[:, 2])
    if len(down) < 2 or not np.isfinite(time).all() or not (np.diff(time) > 0).all():
        return Rejected("beats that cannot be read")
    bars = np.diff(down)
    begin, end = _beats(time, score.seconds(score.start)), _beats(time, score.seconds(score.end))
    # What comes before the first downbeat lies in whole bars of its length.
    lead = bars[0] * np.ceil(max(down[0], down[0] - begin.min(initial=0)) / bars[0]) - down[0]
    start = _ticks(begin + lead)
    order = np.lexsort((score.pitch, start))
    metre = [(0, bars[0], 4)]
    metre += [(_TICKS * (down[bar] + lead), bars[bar], 4) for bar in range(1, len(bars)) if bars[bar] != bars[bar - 1]]
    slow = np.rint(np.diff(time) * 1e6)
    changed = np.flatnonzero(np.diff(slow, prepend=0) != 0)
    tempo = np.column_stack([_TICKS * (changed + lead), slow[changed]])
    tempo[0, 0] = 0
    pedal = score.pedal.copy()
    pedal[:, 0] = np.maximum(_ticks(_beats(time, score.seconds(pedal[:, 0])) + lead), 0)
    counted = dataclasses.replace(
        score,
        ticks_per_quarter=_TICKS,
        start=start[order],
        end=np.maximum(_ticks(end + lead), start + 1)[order],
        **{name: getattr(score, name)[order] for name in ("pitch", "velocity", "program", "is_drum", "instrument")},
        tempo=tempo.astype(np.int64),
        metre=np.array(metre, np.float64).astype(np.int64),
        pedal=pedal,
    )
    return counted, Changes(_ticks(_beats(time, changes.time) + lead), changes.number)


def _beats(time: NDArray[np.float64], seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seconds as beats, the first of `time` being 0; before the first and behind the last their distance goes on."""
    place = np.clip(np.searchsorted(time, seconds, side="right") - 1, 0, len(time) - 2)
    return place + (seconds - time[place]) / (time[place + 1] - time[place])


def _ticks(beats: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(beats * _TICKS).astype(np.int64)
