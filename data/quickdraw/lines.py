"""Drawings as lines of JSON, QuickDraw's simplified and raw ones, in portions of any number.

The portions are gone through twice, by processes that share nothing: once for what is in them, which decides on labels
and splits, and once to write them.
"""

import bisect
import collections
import dataclasses
import functools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data import splits
from data.archives import Member, opened_archives, plain
from data.drawing_records import Drawings
from data.line_files import Part, key_of, texts
from data.portioned import Portion, PortionedSet
from data.portions import work
from data.prepare import SPLITS, Item
from magenta_lite.errors import Rejected, UserError, nearest
from magenta_lite.sketch import ndjson
from magenta_lite.sketch.simplification import as_published
from magenta_lite.sketch.strokes import from_polylines


@dataclasses.dataclass(frozen=True)
class Wanted:
    """Which drawings, and how.

    classes: with spaces or underscores; None: all. form: "raw" or "simplified"; None: each drawing is what it looks
    like. recognized: only drawings that the game recognized. shares: of train, valid and test.
    """

    classes: tuple[str, ...] | None
    form: str | None
    recognized: bool
    shares: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Way:
    """How the work is done: in how many processes here, or on Apache Beam with its options."""

    processes: int = 1
    beam: tuple[str, ...] | None = None


class QuickDrawLines(PortionedSet, Drawings):
    """Drawings of QuickDraw's ndjson files, simplified or raw, split by their keys."""

    name = "quickdraw_lines"
    KEEPS = ("keys", "records", name)

    def __init__(self, *, portions: Sequence[tuple[Part, ...]], wanted: Wanted, way: Way, data_dir: str) -> None:
        """Goes through the portions once, and decides which line goes where.

        A line's class is its word, or the name of its file where it has none. What is no drawing at all has a split
        too, by its place, so that it is listed once.

        Raises:
          UserError: a class of which there is no drawing.
        """
        self.portions, self.wanted, self.way = list(portions), wanted, way
        folder = Path(data_dir) / "keys"
        found = self._work(functools.partial(survey, wanted), folder)
        abouts = [json.loads((one / "found.json").read_text(encoding="utf-8")) for one in found]
        labels: dict[str, str] = {}
        others: collections.Counter[str] = collections.Counter()
        for about in abouts:
            labels = {**about["labels"], **labels}
            others.update(about["others"])
        super().__init__(labels=_ordered(labels, others, wanted.classes, self.portions), data_dir=data_dir)
        self.borders = splits.borders_of(wanted.shares)
        if not np.sum([about["counts"] for about in abouts], axis=0).all():
            # Where a split is empty, it is so in every portion.
            places = np.concatenate([np.load(one / "places.npy") for one in found])
            self.borders = splits.moved_borders(places, wanted.shares)
            self.notes += splits.tell_moved(splits.assign(places, wanted.shares)[1])
        if others:
            self.notes.append(f"left alone, of other classes than asked for: {others.total():,}")

    def write(self) -> list[Path]:
        """Writes the drawings of one file after the other, named by their keys ("cat/5201136883597312")."""
        function = functools.partial(write, self.wanted, self.labels, tuple(self.borders.tolist()))
        return self._work(function, Path(self.data_dir).parents[1] / "records")

    def _work(self, function: Any, folder: Path) -> list[Path]:
        return work(function, self.portions, folder, processes=self.way.processes, beam=self.way.beam)


def survey(wanted: Wanted, portion: Sequence[Part], folder: Path) -> None:
    """Writes what a portion holds to found.json: labels, as they are first spelled, by their names with spaces; others,
    lines of classes that were not asked for, by class; counts, of each split, of lines that may become records.

    And the places of these, float64, to places.npy, if a split has none.
    """
    labels: dict[str, str] = {}
    others: collections.Counter[str] = collections.Counter()
    places: list[float] = []
    for _, _, row, label, key in _lines(wanted, portion):
        if key is None:
            others[label] += 1
        elif not isinstance(row, Rejected):
            labels.setdefault(spaced(label), label)
            # Only what may be kept can fill a split that would be empty.
            if not wanted.recognized or row.get("recognized") is True:
                places.append(splits.place(key))
    found = np.array(places, np.float64)
    counts = np.bincount(splits.of(found, splits.borders_of(wanted.shares)), minlength=len(SPLITS)).tolist()
    if not all(counts):
        np.save(folder / "places.npy", found)
    about = {"labels": labels, "others": others, "counts": counts}
    (folder / "found.json").write_text(json.dumps(about), encoding="utf-8")


def write(
    wanted: Wanted, labels: Sequence[str], borders: Sequence[float], portion: Sequence[Part], folder: Path
) -> None:
    """Writes a portion's records, of these labels; borders: where valid and test begin."""
    spelled = {spaced(label): label for label in labels}
    with Portion(folder, Drawings.columns(), labels) as out:
        for name, number, row, label, key in _lines(wanted, portion):
            if key is None:
                continue
            label = spelled.get(spaced(label), "")  # none, where the line is no drawing
            split = SPLITS[bisect.bisect_right(borders, splits.place(key))]
            item = Item(name, f"line {number}", label, f"{label}/{key}", _strokes(wanted, row))
            out.add(split, item, item.content if isinstance(item.content, Rejected) else Drawings.record(item))


def choose(files: Sequence[Member], classes: Sequence[str] | None) -> list[Member]:
    """The files that hold the classes: those that are named for them, or, where one has no such file, all."""
    if classes is None:
        return list(files)
    asked = {spaced(name) for name in classes}
    named = [file for file in files if spaced(file.stem) in asked]
    return named if {spaced(file.stem) for file in named} == asked else list(files)


def spaced(name: str) -> str:
    """The name of a class with spaces, as it is published; many people keep files with underscores."""
    return name.replace("_", " ")


def _lines(
    wanted: Wanted, portion: Sequence[Part]
) -> Iterator[tuple[str, int, dict[str, Any] | Rejected, str, str | None]]:
    """File, number, row, label and key of every line of a portion; no key where its class was not asked for."""
    asked = None if wanted.classes is None else {spaced(name) for name in wanted.classes}
    with opened_archives([part.file for part in portion]) as archives:
        for part in portion:
            name, stem = part.file.name, part.file.stem
            for number, text in texts(part, archives):
                row = ndjson.parse(text)
                word = None if isinstance(row, Rejected) else ndjson.word(row)
                label = plain(word or "") or stem
                foreign = asked is not None and not isinstance(row, Rejected) and spaced(label) not in asked
                yield name, number, row, label, None if foreign else key_of(row, name, number)


def _strokes(wanted: Wanted, row: dict[str, Any] | Rejected) -> NDArray[np.float32] | Rejected:
    if isinstance(row, Rejected):
        return row
    if wanted.recognized and row.get("recognized") is not True:
        return Rejected("not recognized")
    lines = ndjson.polylines(row)
    if not isinstance(lines, Rejected) and (wanted.form == "raw" or (wanted.form is None and ndjson.is_raw(row))):
        lines = as_published(lines)
    return lines if isinstance(lines, Rejected) else from_polylines(lines)


def _ordered(
    labels: dict[str, str],
    others: collections.Counter[str],
    classes: Sequence[str] | None,
    portions: Sequence[Sequence[Part]],
) -> tuple[str, ...]:
    """The labels, in the order in which they were asked for, or by name; raises UserError where one has no drawing."""
    for name in classes or ():
        if spaced(name) not in labels:
            known = {*labels.values(), *others}
            hint = nearest(name.replace("_", " "), known) if known else "there are no drawings at all"
            raise UserError(f"no class {name!r} in {_where(portions)}: {hint}")
    return tuple(labels[spaced(name)] for name in classes) if classes else tuple(labels[n] for n in sorted(labels))


def _where(portions: Sequence[Sequence[Part]]) -> str:
    paths = sorted({part.file.path for portion in portions for part in portion})
    return str(paths[0]) if len(paths) == 1 else f"{paths[0].parent}"
