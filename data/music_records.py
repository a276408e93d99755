"""Records of music: scores in ticks, packed as `Score.pack` packs them, as a music family reads them."""

from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from data.packing import pack_score
from data.prepare import SPLITS, Item, PreparedSet
from magenta_lite.errors import Rejected
from magenta_lite.music.score import Score

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

    Records hold the columns of `Score.pack`, `title`, `label` and `name`; their length is the number of notes that are
    not drums. The sustain pedal is not applied: its changes are a column.
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
        return len(packed["start"]) - int(np.count_nonzero(packed["is_drum"])), {"title": "", **packed}

    def check(self) -> None:
        """Tells how many pieces are drums alone, which are nothing to a family that plays no drums."""
        for split in SPLITS:
            lengths = self.lengths[split]
            drums = lengths.count(0)
            if drums:
                rest = "" if drums < len(lengths) else "; all of them, so nothing is left for families without drums"
                self.notes.append(f"drums alone in {split}: {drums:,} of {len(lengths):,} pieces{rest}")
