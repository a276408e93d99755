"""MIDI files as the columns of a record; light, since processes that only read files import it."""

from typing import Any

import numpy as np

from magenta_lite.errors import Rejected
from magenta_lite.music import midi
from magenta_lite.music.score import Score

_MOST = 2**32  # of a column of uint32


def read(content: bytes | Rejected) -> dict[str, Any] | Rejected:
    """The columns of a MIDI file's content; what is Rejected already stays so."""
    score = content if isinstance(content, Rejected) else midi.parse(content)
    return score if isinstance(score, Rejected) else pack_score(score)


def pack_score(score: Score) -> dict[str, Any] | Rejected:
    """The columns of a score's record; Rejected without notes, or where a number has no room in its column."""
    if not len(score.start):
        return Rejected("no notes")
    ticks = np.concatenate([score.start[:1], np.diff(score.start), score.end - score.start])
    maps = np.concatenate([np.diff(score.pedal[:, 0], prepend=0), score.tempo.ravel(), score.metre.ravel()])
    fits = min(ticks.min(), maps.min(initial=0)) >= 0 and max(ticks.max(), maps.max(initial=0)) < _MOST
    if not fits or not 0 < score.ticks_per_quarter < 2**31:
        return Rejected("times out of range")
    if max(score.instrument.max(), score.pedal[:, 1].max(initial=0)) >= 2**16:
        return Rejected("more than 65,536 instruments")
    packed = score.pack()
    # What a file calls its instruments may hold anything.
    packed["names"] = packed["names"].encode("utf-8", "replace").decode()
    return packed
