"""The tfds builder of drawings made by rules."""

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from data.drawing_records import Drawings
from data.prepare import SPLITS, Item
from data.toy import drawings
from magenta_lite.errors import UserError, nearest

RULES = Path(drawings.__file__)


class Toy(Drawings):
    """Drawings made by rules, in as many variations as are asked for."""

    name = "toy"

    def __init__(self, *, labels: Sequence[str], count: int, seed: int, data_dir: str) -> None:
        """Draws `count` drawings of each label for train, and a tenth of that, but at least one, for valid and test.

        Raises:
          UserError: an unknown label, one named twice, a count below 1 or a seed below 0.
        """
        check_options(labels, count, seed)
        self.counts = {split: count if split == "train" else max(1, count // 10) for split in SPLITS}
        self.seed = seed
        super().__init__(labels=labels, data_dir=data_dir)

    def items(self, split: str) -> Iterator[Item]:
        """Yields drawings named "train/17"; one depends on seed, split, label and its number alone."""
        for label in self.labels:
            for index in range(self.counts[split]):
                stream = np.random.default_rng([self.seed, SPLITS.index(split), zlib.crc32(label.encode()), index])
                place = f"{split}/{index}"
                yield Item(RULES.name, place, label, f"{label}/{place}", drawings.draw(label, stream))

    def count(self, split: str) -> int:
        """Drawings to make."""
        return len(self.labels) * self.counts[split]


def check_options(labels: Sequence[str], count: int, seed: int) -> None:
    """Raises UserError where Toy would."""
    for label in labels:
        if label not in drawings.CLASSES:
            raise UserError(f"--classes: no rules for {label!r}: {nearest(label, drawings.CLASSES)}")
    if not labels or len(set(labels)) < len(labels):
        raise UserError("--classes: name at least one class, and each one once")
    if count < 1:
        raise UserError(f"--count={count}: expected at least 1")
    if seed < 0:
        raise UserError(f"--seed={seed}: expected 0 or more")
