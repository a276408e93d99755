"""The tfds builder of drawings as lines of JSON, QuickDraw's simplified and raw ones."""

import array
import collections
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data.archives import Member, opened_archives, plain
from data.drawing_records import Drawings
from data.line_files import key_of, texts
from data.prepare import SPLITS, Item
from data.splits import assign, place
from magenta_lite.errors import Rejected, UserError, nearest
from magenta_lite.sketch import ndjson
from magenta_lite.sketch.simplification import as_published
from magenta_lite.sketch.strokes import from_polylines

_OTHER = len(SPLITS)  # in the place of a split: a line of a class that was not asked for

# What a line is before it is looked at closely: kept if it can be, sure to be rejected, or of a class not asked for.
_GOOD, _BAD, _FOREIGN = range(3)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a first reading of the files found.

    labels: the classes. splits: for each file, the split of every line that is not blank, uint8 [lines], 3 where the
    line is left alone. counts: lines of each split. notes: what a person has to know.
    """

    labels: tuple[str, ...]
    splits: tuple[NDArray[np.uint8], ...]
    counts: tuple[int, ...]
    notes: tuple[str, ...]


class QuickDrawLines(Drawings):
    """Drawings of QuickDraw's ndjson files, simplified or raw, split by their keys."""

    name = "quickdraw_lines"

    def __init__(
        self, *, files: Sequence[Member], plan: Plan, form: str | None, recognized: bool, data_dir: str
    ) -> None:
        """files: as they were planned. form: "raw" or "simplified"; None: each drawing is what it looks like.
        recognized: only drawings that the game recognized.
        """
        self.files = list(files)
        self.plan = plan
        self.form = form
        self.recognized = recognized
        super().__init__(labels=plan.labels, data_dir=data_dir)
        self.notes += plan.notes

    def items(self, split: str) -> Iterator[Item]:
        """Yields the drawings of one file after the other, named by their keys ("cat/5201136883597312")."""
        labels = {spaced(label): label for label in self.labels}
        with opened_archives(self.files) as archives:
            for file, splits in zip(self.files, self.plan.splits, strict=True):
                wanted = splits == SPLITS.index(split)
                if not wanted.any():
                    continue
                for (number, text), mine in zip(texts(file, archives), wanted, strict=True):
                    if mine:
                        row = ndjson.parse(text)
                        label = labels.get(spaced(_label(row, file)), "")  # none, where the line is no drawing
                        name = f"{label}/{key_of(row, file.name, number)}"
                        yield Item(file.name, f"line {number}", label, name, self._strokes(row))

    def count(self, split: str) -> int:
        """Lines of the split."""
        return self.plan.counts[SPLITS.index(split)]

    def _strokes(self, row: dict[str, Any] | Rejected) -> NDArray[np.float32] | Rejected:
        if isinstance(row, Rejected):
            return row
        if self.recognized and row.get("recognized") is not True:
            return Rejected("not recognized")
        lines = ndjson.polylines(row)
        if not isinstance(lines, Rejected) and (self.form == "raw" or (self.form is None and ndjson.is_raw(row))):
            lines = as_published(lines)
        return lines if isinstance(lines, Rejected) else from_polylines(lines)


def choose(files: Sequence[Member], classes: Sequence[str] | None) -> list[Member]:
    """The files that hold the classes: those that are named for them, or, where one has no such file, all."""
    if classes is None:
        return list(files)
    asked = {spaced(name) for name in classes}
    named = [file for file in files if spaced(file.stem) in asked]
    return named if {spaced(file.stem) for file in named} == asked else list(files)


def plan(files: Sequence[Member], classes: Sequence[str] | None, *, recognized: bool, shares: Sequence[float]) -> Plan:
    """Reads the files once, one line at a time, and decides which line goes where.

    A line's class is its word, or the name of its file where it has none. What is no drawing at all has a split too, by
    its place, so that it is listed once.

    Args:
      files: of drawings.
      classes: the ones to keep, with spaces or underscores; None: all of them.
      recognized: unrecognized drawings are going to be rejected, so that a split cannot consist of them.
      shares: of train, valid and test.

    Raises:
      UserError: a class of which there is no drawing.
    """
    asked = None if classes is None else {spaced(name): place for place, name in enumerate(classes)}
    labels: dict[str, str] = {}  # as they are first spelled, by their name with spaces
    others: collections.Counter[str] = collections.Counter()
    places, states = array.array("d"), []
    with opened_archives(files) as archives:
        for file in tqdm(files, desc="reading keys", unit=" files", leave=False, disable=None):
            state = bytearray()
            for number, text in texts(file, archives):
                row = ndjson.parse(text)
                label = _label(row, file)
                if isinstance(row, Rejected):
                    state.append(_BAD)
                elif asked is not None and spaced(label) not in asked:
                    others[label] += 1
                    state.append(_FOREIGN)
                    continue
                else:
                    labels.setdefault(spaced(label), label)
                    state.append(_BAD if recognized and row.get("recognized") is not True else _GOOD)
                places.append(place(key_of(row, file.name, number)))
            states.append(np.frombuffer(bytes(state), np.uint8))
    for name in classes or ():
        if spaced(name) not in labels:
            known = {*labels.values(), *others}
            hint = nearest(name.replace("_", " "), known) if known else "there are no drawings at all"
            raise UserError(f"no class {name!r} in {_places(files)}: {hint}")
    state = np.concatenate(states) if states else np.zeros(0, np.uint8)
    splits, notes = _assign(state, np.frombuffer(places, np.float64), shares)
    if others:
        notes.append(f"left alone, of other classes than asked for: {others.total():,}")
    ends = np.cumsum([len(part) for part in states])[:-1]
    counts = np.bincount(splits, minlength=len(SPLITS))[: len(SPLITS)]
    order = None if asked is None else asked.__getitem__
    return Plan(
        tuple(labels[name] for name in sorted(labels, key=order)),
        tuple(np.split(splits, ends)),
        tuple(map(int, counts)),
        tuple(notes),
    )


def spaced(name: str) -> str:
    """The name of a class with spaces, as it is published; many people keep files with underscores."""
    return name.replace("_", " ")


def _assign(state: NDArray, places: NDArray, shares: Sequence[float]) -> tuple[NDArray[np.uint8], list[str]]:
    """The splits [lines] of lines in these states, of which all but those of other classes have places."""
    bad = state[state != _FOREIGN] == _BAD
    mine = np.empty(len(places), np.uint8)
    # Only what may be kept can fill a split that would be empty.
    mine[~bad], moved = assign(places[~bad], shares)
    mine[bad], _ = assign(places[bad], shares)
    splits = np.full(len(state), _OTHER, np.uint8)
    splits[state != _FOREIGN] = mine
    return splits, [
        f"put into {split}, which would have been empty: {count:,}"
        for split, count in zip(SPLITS, moved, strict=True)
        if count
    ]


def _label(row: dict[str, Any] | Rejected, file: Member) -> str:
    word = None if isinstance(row, Rejected) else ndjson.word(row)
    return plain(word or "") or file.stem


def _places(files: Sequence[Member]) -> str:
    paths: list[Path] = sorted({file.path for file in files})
    return str(paths[0]) if len(paths) == 1 else f"{paths[0].parent}"
