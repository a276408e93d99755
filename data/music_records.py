"""Records of music: scores in ticks, packed as `Score.pack` packs them, as a music family reads them."""

from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from data.prepare import Item, PreparedSet
from magenta_lite.errors import Rejected
from magenta_lite.music.score import Score

_MOST = 2**32  # of a column of uint32

_COLUMNS = {
    "start": ((None,), np.uint32),
    "duration": ((None,), np.uint32),
    "pitch": ((None,), np.uint8),
    "velocity": ((None,), np.uint8),
    "program": ((None,), np.uint8),
    "is_drum": ((None,), np.bool_),
    "instrument": ((None,), np.uint16),
    "tempo": ((None, 2), np.uint32),
    "metre": ((None, 3), np.uint32),
    "pedal": ((None, 3), np.uint32),
}


class Pieces(PreparedSet):
    """Performances and songs; the content of an item is a Score, or the columns that `pack_score` made of one.

    Records hold the columns of `Score.pack`, `title`, `label` and `name`; their length is the number of notes. The
    sustain pedal is not applied: its changes are a column.
    """

    noun = "pieces"
    unit = "notes"
    recipe = "configs/performance_rnn.py"
    shard = 1024  # a piece is some 100 kB while it waits to be written

    def columns(self) -> dict[str, Any]:
        """Those of a packed score, and the title."""
        arrays = {
            name: tfds.features.Tensor(shape=shape, dtype=dtype, encoding="bytes")
            for name, (shape, dtype) in _COLUMNS.items()
        }
        text = tfds.features.Text()
        return {**arrays, "ticks_per_quarter": np.int32, "names": text, "title": text}

    def record(self, item: Item) -> tuple[int, dict[str, Any]] | Rejected:
        """The score packed, if it has a note and fits; no title is an empty one."""
        packed = pack_score(item.content) if isinstance(item.content, Score) else item.content
        if isinstance(packed, Rejected):
            return packed
        return len(packed["start"]), {"title": "", **packed}


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
