"""The tfds builder of sketchrnn drawings."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from data.archives import plain
from data.drawing_records import Drawings
from data.prepare import Item
from data.quickdraw import npz


class QuickDraw(Drawings):
    """Drawings of the sketchrnn `.npz` files: QuickDraw's classes, and the sets published in the same layout."""

    name = "quickdraw"

    def __init__(self, *, files: Mapping[str, Path], data_dir: str) -> None:
        """files: label -> its `.npz` file, in the order of the labels."""
        self.files = dict(files)
        super().__init__(labels=tuple(self.files), data_dir=data_dir)

    def items(self, split: str) -> Iterator[Item]:
        """Yields the drawings of one label after the other, each in file order, named "train/17"."""
        for label, path in self.files.items():
            for index, array in enumerate(npz.read(path, split)):
                place = f"{split}/{index}"
                yield Item(plain(path.name), place, label, f"{label}/{place}", array)

    def count(self, split: str) -> int:
        """Drawings that the files' headers declare."""
        return sum(npz.count(path, split) for path in self.files.values())
