"""The tfds builder of sketchrnn drawings."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from data.prepare import Drawings
from data.quickdraw import npz


class QuickDraw(Drawings):
    """Drawings of the sketchrnn `.npz` files: QuickDraw's classes, and the sets published in the same layout."""

    name = "quickdraw"

    def __init__(self, *, files: Mapping[str, Path], data_dir: str) -> None:
        """files: label -> its `.npz` file, in the order of the labels."""
        self.files = dict(files)
        super().__init__(labels=tuple(self.files), data_dir=data_dir)

    def drawings(self, label: str, split: str) -> Iterator[tuple[str, Any]]:
        """Yields ("train/17", array) in file order."""
        for index, array in enumerate(npz.read(self.files[label], split)):
            yield f"{split}/{index}", array

    def file(self, label: str) -> str:
        """Name of the label's `.npz` file."""
        return self.files[label].name

    def count(self, label: str, split: str) -> int:
        """Drawings that the file's header declares."""
        return npz.count(self.files[label], split)
