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


def of(places: NDArray[np.float64] | float, borders: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The split of each place, an index into SPLITS; borders: [2], where valid and test begin."""
    return np.searchsorted(borders, places, side="right").astype(np.uint8)


def borders_of(shares: Sequence[float]) -> NDArray[np.float64]:
    """Where valid and test begin, by the shares of train, valid and test, in any unit."""
    return np.cumsum(shares)[:-1] / np.sum(shares)


def moved_borders(places: NDArray[np.float64], shares: Sequence[float]) -> NDArray[np.float64]:
    """Where valid and test begin of drawings in these places.

    Where a split would be empty, as happens with a few dozen drawings, the borders between the splits move just as far
    as it takes to put one key into each. Fewer than three keys cannot be parted so, and stay where they are.
    """
    borders = borders_of(shares)
    distinct = np.unique(places)
    counts = np.bincount(of(distinct, borders), minlength=len(SPLITS))
    if len(distinct) < len(SPLITS) or counts.all():
        return borders
    while not counts.all():
        counts[counts.argmax()] -= 1
        counts[counts.argmin()] += 1
    return distinct[np.cumsum(counts)[:-1]]


def assign(places: NDArray[np.float64], shares: Sequence[float]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The split of each drawing, and how many drawings are elsewhere than their place alone would have put them.

    Args:
      places: [n], of the keys of the drawings.
      shares: of train, valid and test, in any unit.

    Returns:
      split [n], an index into SPLITS, by the moved borders; moved [3], drawings of each split that came from another.
    """
    split, wanted = of(places, moved_borders(places, shares)), of(places, borders_of(shares))
    return split, np.bincount(split[split != wanted], minlength=len(SPLITS))


def tell_moved(moved: NDArray[np.int64]) -> list[str]:
    """A line about each split that drawings were put into, [3] of them, because it would have been empty."""
    pairs = zip(SPLITS, moved.tolist(), strict=True)
    return [f"put into {split}, which would have been empty: {count:,}" for split, count in pairs if count]
