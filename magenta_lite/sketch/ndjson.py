"""QuickDraw's ndjson files: one drawing a line, simplified or raw, plain or gzipped.

A line is a JSON object with `word`, `key_id`, `recognized` and `drawing`, a list of strokes [[x, ...], [y, ...]]. Raw
files add a third list to each stroke, milliseconds, which is not used here.
"""

import gzip
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from magenta_lite.errors import Rejected, UserError
from magenta_lite.sketch.files import writing
from magenta_lite.sketch.strokes import from_polylines, to_polylines

BOX = 255  # the longer side of a simplified drawing


def read(path: str | os.PathLike[str]) -> Iterator[tuple[str, dict[str, Any] | Rejected]]:
    """The drawings of one file, in order, as (name, example); blank lines are passed over.

    The name is "file name:line number". An example has
      strokes: stroke-3, float32 [N, 3], in the file's own unit (exact for whole numbers), first point at the origin;
      label: the line's word, or the file's name without its endings where a line has none;
      name: the name once more.
    A line that is not a drawing gives Rejected in the example's place.

    Args:
      path: a file of JSON lines in UTF-8, gzipped if its name ends in .gz.

    Raises:
      UserError: the file cannot be opened (at once), or is damaged as a whole (when reading gets there).
    """
    path = Path(path)
    try:
        path.open("rb").close()
    except OSError as error:
        raise UserError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from None
    return _examples(path)


def write(drawings: Iterable[Mapping[str, Any]], path: str | os.PathLike[str]) -> None:
    """Writes drawings as QuickDraw's simplified files are: moved to the corner, scaled to 0..255, rounded.

    What read gave of a simplified file is written without any change of shape.
    The file appears whole or not at all, in place of an older one; its folder is made if missing.

    Args:
      drawings: each with strokes, stroke-3 [N, 3] in any unit, and if known label (the word written, default "") and
        name (the key_id written, default the drawing's place in the file, from 0).
      path: the file to write, gzipped if its name ends in .gz.

    Raises:
      UserError: the file cannot be written.
    """
    with writing(path) as file:
        # No name and no time inside, so that the same drawings give the same bytes.
        out = gzip.GzipFile("", "wb", fileobj=file, mtime=0) if Path(path).suffix == ".gz" else file
        for index, drawing in enumerate(drawings):
            row = {
                "word": drawing.get("label") or "",
                "key_id": str(drawing.get("name") or index),
                "recognized": True,
                "drawing": _boxed(drawing["strokes"]),
            }
            out.write(json.dumps(row, separators=(",", ":")).encode() + b"\n")
        if out is not file:
            out.close()


def _examples(path: Path) -> Iterator[tuple[str, dict[str, Any] | Rejected]]:
    stem = path.name.removesuffix(".gz").removesuffix(".ndjson")
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
        try:
            for number, text in enumerate(lines, start=1):
                if text.strip():
                    name = f"{path.name}:{number}"
                    yield name, _example(text, name, stem)
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"cannot read {path}: {error}") from None


def _example(text: bytes, name: str, stem: str) -> dict[str, Any] | Rejected:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        return Rejected("not a line of JSON")
    if not isinstance(row, dict):
        return Rejected("not a JSON object")
    drawing = row.get("drawing")
    if not isinstance(drawing, list):
        return Rejected("no list named drawing")
    lines = []
    for stroke in drawing:
        line = _line(stroke)
        if isinstance(line, Rejected):
            return line
        lines.append(line)
    strokes = from_polylines(lines)
    if not len(strokes):
        return Rejected("drawing without points")
    word = row.get("word")
    return {"strokes": strokes, "label": word if isinstance(word, str) and word else stem, "name": name}


def _line(stroke: Any) -> NDArray[np.float64] | Rejected:
    """The [n, 2] points of [[x, ...], [y, ...], ...]."""
    if not isinstance(stroke, list) or len(stroke) < 2 or not all(isinstance(axis, list) for axis in stroke[:2]):
        return Rejected("stroke that is not [[x, ...], [y, ...]]")
    if len(stroke[0]) != len(stroke[1]):
        return Rejected("stroke with unequal numbers of x and y")
    # bool is a kind of int, and true is no coordinate.
    if not all(type(value) in (int, float) for axis in stroke[:2] for value in axis):
        return Rejected("coordinate that is not a number")
    try:
        points = np.array(stroke[:2], np.float64).T
    except OverflowError:
        return Rejected("coordinates out of range")
    # float32 holds whole numbers exactly up to 2**24; the comparison is false for NaN too.
    return points if (np.abs(points) < 2**23).all() else Rejected("coordinates out of range")


def _boxed(strokes: ArrayLike) -> list[list[list[int]]]:
    """The strokes of a drawing as [[x, ...], [y, ...]] in whole numbers, its longer side 255 or just below."""
    lines = to_polylines(strokes)
    if not lines:
        return []
    points = np.concatenate(lines)
    corner = points.min(axis=0)
    side = (points.max(axis=0) - corner).max()
    # Simplifying takes points away after scaling, so many of QuickDraw's own drawings end a little short of 255: whole
    # numbers that nearly fill the box are what a simplified file held, and go back unchanged.
    as_is = side == 0 or (0.9 * BOX <= side <= BOX and bool((points == np.rint(points)).all()))
    scale = 1.0 if as_is else BOX / side
    return [np.rint((line - corner) * scale).astype(int).T.tolist() for line in lines]
