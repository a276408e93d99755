"""The tfds builders of drawings and of music made by rules."""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from data.drawing_records import Drawings
from data.music_records import Pieces
from data.packing import pack_score
from data.passage_records import Passages
from data.prepare import SPLITS, Item
from data.toy import drawings, passages, performances
from magenta_lite.errors import Rejected, UserError, nearest

CLASSES = {"drawings": drawings.CLASSES, "performances": performances.STYLES, **passages.CLASSES}
"""What there are rules for, by kind."""

RULES = {
    "drawings": (Path(drawings.__file__),),
    "performances": (Path(performances.__file__),),
    **passages.RULES,
}
"""The files of the rules, the first of them naming the items."""


class Toy(Drawings):
    """Drawings made by rules, in as many variations as are asked for."""

    name = "toy"

    def __init__(self, *, labels: Sequence[str], count: int, seed: int, data_dir: str) -> None:
        """Draws `count` drawings of each label for train, and a tenth of that, but at least one, for valid and test.

        Raises:
          UserError: an unknown label, one named twice, a count below 1 or a seed below 0.
        """
        check_options("drawings", labels, count, seed)
        self.counts = _counts(count)
        self.seed = seed
        super().__init__(labels=labels, data_dir=data_dir)

    def items(self, split: str) -> Iterator[Item]:
        """Yields drawings named "train/17"; one depends on seed, split, label and its number alone."""
        for label, place, stream in _variations(self.labels, self.counts, self.seed, split):
            yield Item(RULES["drawings"][0].name, place, label, f"{label}/{place}", drawings.draw(label, stream))

    def count(self, split: str) -> int:
        """Drawings to make."""
        return len(self.labels) * self.counts[split]


class ToyPerformances(Pieces):
    """Short piano pieces made by rules, as they might be played."""

    name = "toy_performances"

    def __init__(self, *, labels: Sequence[str], count: int, seed: int, data_dir: str) -> None:
        """Plays `count` pieces of each label for train, and a tenth of that, but at least one, for valid and test.

        Raises:
          UserError: as Toy.
        """
        check_options("performances", labels, count, seed)
        self.counts = _counts(count)
        self.seed = seed
        super().__init__(labels=labels, data_dir=data_dir)

    def items(self, split: str) -> Iterator[Item]:
        """Yields pieces named "train/17"; one depends on seed, split, label and its number alone."""
        for label, place, stream in _variations(self.labels, self.counts, self.seed, split):
            score, title = performances.perform(label, stream)
            packed = pack_score(score)
            content = packed if isinstance(packed, Rejected) else {**packed, "title": title}
            yield Item(RULES["performances"][0].name, place, label, f"{label}/{place}", content)

    def count(self, split: str) -> int:
        """Pieces to make."""
        return len(self.labels) * self.counts[split]


class ToyPassages(Passages):
    """Melodies, drum tracks, grooves or trios made by rules, taken from scores as those of real files are."""

    name = "toy_passages"

    def __init__(self, *, kind: str, labels: Sequence[str], count: int, seed: int, data_dir: str) -> None:
        """Plays `count` pieces of each label for train, and a tenth of that, but at least one, for valid and test.

        Raises:
          UserError: as Toy.
        """
        check_options(kind, labels, count, seed)
        self.counts = _counts(count)
        self.seed = seed
        super().__init__(kind=kind, labels=labels, data_dir=data_dir)

    def items(self, split: str) -> Iterator[Item]:
        """Yields passages named "train/17", one of each piece; drums and grooves of one name are of one beat."""
        for label, place, stream in _variations(self.labels, self.counts, self.seed, split):
            content = passages.passage(self.kind, label, stream)
            yield Item(RULES[self.kind][0].name, place, label, f"{label}/{place}", content)

    def count(self, split: str) -> int:
        """Pieces to make."""
        return len(self.labels) * self.counts[split]


def check_options(kind: str, labels: Sequence[str], count: int, seed: int) -> None:
    """Raises UserError where the builder of the kind would."""
    if kind not in CLASSES:
        raise UserError(f"--kind={kind}: {nearest(kind, CLASSES)}")
    for label in labels:
        if label not in CLASSES[kind]:
            raise UserError(f"--classes: no rules for {label!r}: {nearest(label, CLASSES[kind])}")
    if not labels or len(set(labels)) < len(labels):
        raise UserError("--classes: name at least one class, and each one once")
    if count < 1:
        raise UserError(f"--count={count}: expected at least 1")
    if seed < 0:
        raise UserError(f"--seed={seed}: expected 0 or more")


def _counts(count: int) -> dict[str, int]:
    return {split: count if split == "train" else max(1, count // 10) for split in SPLITS}


def _variations(
    labels: Sequence[str], counts: Mapping[str, int], seed: int, split: str
) -> Iterator[tuple[str, str, np.random.Generator]]:
    """Each label as often as it is asked for, with a place ("train/17") and the randomness of that place."""
    for label in labels:
        for index in range(counts[split]):
            stream = np.random.default_rng([seed, SPLITS.index(split), zlib.crc32(label.encode()), index])
            yield label, f"{split}/{index}", stream
