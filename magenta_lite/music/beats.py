"""Beats that somebody marked: a score by them, where its own ticks are not those of the music.

POP909's songs are such: their tempo is right, but the music begins anywhere, and their metre is mostly 1/4. By their
ticks, notes are as far from a sixteenth note's grid as numbers by chance; by their beats they are on it.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from magenta_lite.music.score import Score

TICKS_PER_BEAT = 960


@dataclasses.dataclass(frozen=True, eq=False)
class Beats:
    """Times of B beats, float64 [B], seconds, ascending; and whether each begins a bar, bool [B].

    Raises ValueError where there are fewer than two beats, they do not ascend, or none begins a bar.
    """

    time: NDArray[np.float64]
    downbeat: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.time.ndim != 1 or self.time.shape != self.downbeat.shape or len(self.time) < 2:
            raise ValueError(f"{len(self.time)} beats and {len(self.downbeat)} marks: expected as many, at least 2")
        if not (np.diff(self.time) > 0).all() or not np.isfinite(self.time).all():
            raise ValueError("the beats do not ascend")
        if not self.downbeat.any():
            raise ValueError("no beat begins a bar")

    def ticks(self, seconds: NDArray[np.float64]) -> NDArray[np.int64]:
        """The nearest ticks, TICKS_PER_BEAT to a beat, of times >= 0; tick 0 begins the bar in which second 0 is.

        Between two beats time passes evenly, before the first and behind the last as it does next to them; bars before
        the first downbeat are as long as the one it begins.
        """
        first, lengths = self._bars()
        lead = -(-(first - self._position(np.zeros(1))[0]) // lengths[0]) * lengths[0]
        return np.rint((self._position(np.asarray(seconds, np.float64)) - first + lead) * TICKS_PER_BEAT).astype(
            np.int64
        )

    def score(self, score: Score) -> Score:
        """The same music with a quarter note to each beat: in bars of the beats from one downbeat to the next.

        Times in seconds are as they were, up to half a tick, but that they begin later by what is before second 0.
        """
        start = self.ticks(score.seconds(score.start))
        end = np.maximum(self.ticks(score.seconds(score.end)), start + 1)
        pedal = score.pedal.copy()
        pedal[:, 0] = self.ticks(score.seconds(pedal[:, 0]))
        order = np.lexsort((score.pitch, start))
        begins = self.ticks(self.time)
        tempo = np.column_stack([begins[:-1], np.rint(np.diff(self.time) * 1e6).astype(np.int64)])
        tempo[0, 0] = 0
        lengths = self._bars()[1]
        metre = np.column_stack([begins[self.downbeat], lengths, np.full(len(lengths), 4)])
        metre[0, 0] = 0
        columns = ("pitch", "velocity", "program", "is_drum", "instrument")
        return dataclasses.replace(
            score,
            ticks_per_quarter=TICKS_PER_BEAT,
            start=start[order],
            end=end[order],
            tempo=_changes(tempo),
            metre=_changes(metre),
            pedal=pedal,
            **{name: getattr(score, name)[order] for name in columns},
        )

    def _bars(self) -> tuple[int, NDArray[np.int64]]:
        """Number of the first downbeat, and of the beats in each bar; the last is as long as the one before, or 4."""
        downbeats = np.flatnonzero(self.downbeat)
        lengths = np.diff(downbeats)
        return int(downbeats[0]), np.append(lengths, lengths[-1] if len(lengths) else 4)

    def _position(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Times in beats from the first."""
        before = np.clip(np.searchsorted(self.time, seconds, side="right") - 1, 0, len(self.time) - 2)
        return before + (seconds - self.time[before]) / np.diff(self.time)[before]


def _changes(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """A map's rows [K, ..] without those that only repeat the one before at a later tick."""
    return rows[np.append(True, (rows[1:, 1:] != rows[:-1, 1:]).any(axis=1))]
