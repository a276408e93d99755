"""The tfds builder of a folder of a person's own drawings."""

import collections
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data.archives import Member, plain
from data.drawing_records import Drawings
from data.line_files import ENDINGS, key_of, texts
from data.prepare import SPLITS, Item
from data.splits import assign, place
from magenta_lite.errors import Rejected, UserError
from magenta_lite.sketch import ndjson, svg_reading
from magenta_lite.sketch.simplification import simplified
from magenta_lite.sketch.strokes import from_polylines

SVG = (".svg", ".svgz")

_UNREADABLE = Rejected("file that cannot be read")


@dataclasses.dataclass(frozen=True, eq=False)
class Collection:
    """What a folder holds: the files that were read, labels, the drawings of each split, notes for a person."""

    files: tuple[Path, ...]
    labels: tuple[str, ...]
    items: Mapping[str, Sequence[Item]]
    notes: tuple[str, ...]


class OwnDrawings(Drawings):
    """Drawings of a folder of SVG and ndjson files, simplified into the form of QuickDraw's."""

    name = "own_drawings"  # "drawings" is what tfds calls the base class

    def __init__(self, *, collection: Collection, data_dir: str) -> None:
        self.collection = collection
        super().__init__(labels=collection.labels, data_dir=data_dir)
        self.notes += collection.notes

    def items(self, split: str) -> Iterator[Item]:
        """Yields the drawings in the order of the names of their files."""
        yield from self.collection.items[split]

    def count(self, split: str) -> int:
        """All of the split."""
        return len(self.collection.items[split])


def collect(folder: Path, epsilon: float, shares: Sequence[float]) -> Collection:
    """Reads every file of a folder and of its subfolders; hidden ones (.name) are passed over.

    Args:
      folder: files in a subfolder, however deep, have the subfolder's name for a label; those beside the subfolders
        have the word that an ndjson file says, or the folder's own name.
      epsilon: how far simplifying may move a line, in 1/255 of the drawing's longer side.
      shares: of train, valid and test.

    Raises:
      UserError: no such folder, or no drawing in it can be used.
    """
    if not folder.is_dir():
        raise UserError(f"--source={folder}: no such folder")
    files = sorted(_files(folder))
    remarks: collections.Counter[str] = collections.Counter()
    touched: collections.Counter[str] = collections.Counter()
    items: list[Item] = []
    keys: list[str] = []
    for path in tqdm(files, desc="drawings", unit=" files", leave=False, disable=None):
        found = (
            _svg(path, folder, epsilon, remarks, touched) if path.name.endswith(SVG) else _other(path, folder, epsilon)
        )
        for key, item in found:
            keys.append(key)
            items.append(item)
    good = np.array([not isinstance(item.content, Rejected) for item in items], bool)
    if not good.any():
        reasons = collections.Counter(item.content.reason for item in items).most_common()
        why = ", ".join(f"{count:,} {reason}" for reason, count in reasons)
        raise UserError(f"--source={folder}: nothing to keep: " + (f"rejected {why}" if why else "there are no files"))
    places = np.array([place(key) for key in keys])
    split = np.empty(len(items), np.uint8)
    # Rejected drawings are listed where they would have been, but fill no split.
    split[good], moved = assign(places[good], shares)
    split[~good], _ = assign(places[~good], shares)
    notes = [f"put into {name}, which would have been empty: {n}" for name, n in zip(SPLITS, moved, strict=True) if n]
    notes += [f"{count:,} {remark}, in {touched[remark]:,} files" for remark, count in remarks.most_common()]
    return Collection(
        files=tuple(path for path in files if _is_readable(path)),
        labels=tuple(sorted({item.label for item, kept in zip(items, good, strict=True) if kept})),
        items={
            name: [item for item, mine in zip(items, split == number, strict=True) if mine]
            for number, name in enumerate(SPLITS)
        },
        notes=tuple(notes),
    )


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent, name) for name in names if not name.startswith("."))


def _label(path: Path, folder: Path) -> str | None:
    """The subfolder that a file is in."""
    parts = path.relative_to(folder).parts
    return plain(parts[0]) if len(parts) > 1 else None


def _svg(
    path: Path, folder: Path, epsilon: float, remarks: collections.Counter[str], touched: collections.Counter[str]
) -> Iterator[tuple[str, Item]]:
    picture = svg_reading.read(path) if _is_readable(path) else svg_reading.Picture(_UNREADABLE, {})
    remarks.update(picture.remarks)
    touched.update(picture.remarks.keys())
    label = _label(path, folder) or _own_name(folder)
    name = plain(path.relative_to(folder).as_posix())
    yield name, Item(name, "", label, f"{label}/{name}", _strokes(picture.lines, epsilon))


def _other(path: Path, folder: Path, epsilon: float) -> Iterator[tuple[str, Item]]:
    name = plain(path.relative_to(folder).as_posix())
    label = _label(path, folder)
    if not path.name.endswith(ENDINGS):
        reason = Rejected(f"neither {', '.join(SVG)} nor {' or '.join(ENDINGS)}")
        yield name, Item(name, "", label or _own_name(folder), name, reason)
        return
    if not _is_readable(path):
        yield name, Item(name, "", label or _own_name(folder), name, _UNREADABLE)
        return
    for number, text in texts(Member(path)):
        row = ndjson.parse(text)
        key = key_of(row, name, number)
        said = None if isinstance(row, Rejected) else plain(ndjson.word(row) or "")
        mine = label or said or _own_name(folder)
        lines = row if isinstance(row, Rejected) else ndjson.polylines(row)
        yield key, Item(name, f"line {number}", mine, f"{mine}/{key}", _strokes(lines, epsilon))


def _strokes(lines: Sequence[NDArray] | Rejected, epsilon: float) -> NDArray[np.float32] | Rejected:
    kept = lines if isinstance(lines, Rejected) else simplified(lines, epsilon)
    return kept if isinstance(kept, Rejected) else from_polylines(kept)


def _is_readable(path: Path) -> bool:
    """False for what may not be read, links to nothing, and pipes, of which nobody knows when they end."""
    return path.is_file() and os.access(path, os.R_OK)


def _own_name(folder: Path) -> str:
    return plain(folder.resolve().name) or "drawings"
