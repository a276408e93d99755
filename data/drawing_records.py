"""Records of drawings: stroke-3, as a sketch family reads them."""

from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from data.prepare import Item, PreparedSet
from magenta_lite.errors import Rejected


class Drawings(PreparedSet):
    """Drawings in stroke-3; the content of an item is an array that ought to be one.

    Records hold `strokes` float32 [N, 3] (dx, dy, pen lifted after this point), `label` and `name`; their length is N.
    """

    noun = "drawings"
    unit = "points"
    recipe = "configs/sketch_rnn.py"

    @staticmethod
    def columns() -> dict[str, Any]:
        """Strokes."""
        return {"strokes": tfds.features.Tensor(shape=(None, 3), dtype=np.float32, encoding="bytes")}

    @staticmethod
    def record(item: Item) -> tuple[int, dict[str, Any]] | Rejected:
        """The strokes as float32, where they are stroke-3."""
        strokes = check_strokes(item.content)
        return strokes if isinstance(strokes, Rejected) else (len(strokes), {"strokes": strokes})


def check_strokes(array: Any) -> np.ndarray | Rejected:
    """The drawing as float32 [N, 3] if it is stroke-3: N >= 1, finite, pen 0 or 1; otherwise Rejected.

    Integers up to 2**24 keep their value; wider numbers are rounded to float32.
    """
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf":
        return Rejected("not an array of numbers")
    if array.size == 0:
        return Rejected("no points")
    if array.ndim != 2 or array.shape[1] != 3:
        return Rejected("not [N, 3]")
    with np.errstate(over="ignore"):
        strokes = array.astype(np.float32)
    if not np.isfinite(strokes).all():
        return Rejected("not finite")
    pen = strokes[:, 2]
    if not ((pen == 0) | (pen == 1)).all():
        return Rejected("pen not 0 or 1")
    return strokes
