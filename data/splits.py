"""Splits for sources that come without: a drawing's key decides, and nothing else.

The key's sha256 gives a number in 0..1. With the shares 90,5,5 a drawing below 0.90 is for training, below 0.95 for
validation, else for the test. So a drawing lands in the same split in every set that it is part of, whatever the order
of the files, whatever else lies beside it, on every machine; and two drawings of one key are never parted.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from data.prepare import SPLITS
from magenta_lite.errors import UserError

SHARES = [90.0, 5.0, 5.0]


def check_shares(shares: Sequence[float]) -> None:
    """Raises UserError unless there is a share above 0 for each of train, valid and test."""
    if len(shares) != len(SPLITS) or not all(0 < share < float("inf") for share in shares):
        shown = ",".join(f"{share:g}" for share in shares)
        raise UserError(
            f"--split={shown}: expected three shares above 0, of train, valid and test, as in --split=90,5,5"
        )


def place(key: str) -> float:
    """The key's number, from 0 to 1: the first 53 bits of the sha256 of its UTF-8."""
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def assign(places: NDArray[np.float64], shares: Sequence[float]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The split of each drawing, and how many drawings are elsewhere than their place alone would have put them.

    Where a split stayed empty, as happens with a few dozen drawings, the borders between the splits move just as far as
    it takes to put one key into each. Fewer than three keys cannot be parted so, and stay where they are.

    Args:
      places: [n], of the keys of the drawings.
      shares: of train, valid and test, in any unit.

    Returns:
      split [n], an index into SPLITS; moved [3], drawings of each split that came from another one.
    """
    borders = np.cumsum(shares)[:-1] / np.sum(shares)
    wanted = np.searchsorted(borders, places, side="right").astype(np.uint8)
    distinct = np.unique(places)
    counts = np.bincount(np.searchsorted(borders, distinct, side="right"), minlength=len(SPLITS))
    if len(distinct) < len(SPLITS) or counts.all():
        return wanted, np.zeros(len(SPLITS), np.int64)
    while not counts.all():
        counts[counts.argmax()] -= 1
        counts[counts.argmin()] += 1
    ranked = np.repeat(np.arange(len(SPLITS), dtype=np.uint8), counts)
    split = ranked[np.searchsorted(distinct, places)]
    return split, np.bincount(split[split != wanted], minlength=len(SPLITS))
