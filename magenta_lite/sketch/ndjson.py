"""QuickDraw's ndjson files: one drawing a line, simplified or raw, plain or gzipped.

A line is a JSON object with `word`, `key_id`, `recognized` and `drawing`, a list of strokes [[x, ...], [y, ...]]. Raw
drawings have a third list in each stroke, milliseconds; x and y are then pixels of someone's screen.
"""

import contextlib
import gzip
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from magenta_lite.errors import Rejected, UserError, plain
from magenta_lite.files import writing
from magenta_lite.sketch.simplification import BOX, as_published
from magenta_lite.sketch.strokes import from_polylines, to_polylines
from magenta_lite.unpacking import bounded

LONGEST = 1 << 20  # bytes of a line, which take 50 times as much when read; the longest of QuickDraw's holds 0.1 MB
MOST_STROKES = 10_000  # of a drawing; QuickDraw's have about 50 at most

_SHORTEST = 20  # bytes of a line that holds a drawing
_PATIENCE = 10_000  # shorter ones in a row, of which a kilobyte can hold millions when compressed

Lines = list[NDArray[np.float64]]


def read(path: str | os.PathLike[str]) -> Iterator[tuple[str, dict[str, Any] | Rejected]]:
    """The drawings of one file, in order, as (name, example); blank lines are passed over.

    The name is "file name:line number". An example has
      strokes: stroke-3, float32 [N, 3], first point at the origin; of a simplified drawing as it is (exact for whole
        numbers), of a raw one simplified as QuickDraw's are, in a box of 255;
      label: the line's word, on one line and printable, or the file's name without its endings where a line has none;
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


def texts(file: IO[bytes]) -> Iterator[tuple[int, bytes | Rejected]]:
    """The lines of an open file, in order, with their numbers; blank ones are passed over.

    What is longer than LONGEST is Rejected; no more than one line is held in memory. After 10,000 lines in a row that
    are too short for a drawing the rest is Rejected.
    """
    number = short = 0
    while text := file.readline(LONGEST + 1):
        number += 1
        short = 0 if len(text) >= _SHORTEST else short + 1
        if short == _PATIENCE:
            yield number, Rejected(f"{_PATIENCE:,} lines in a row that are no drawings: the rest is not read")
            return
        if len(text) > LONGEST:
            while not text.endswith(b"\n") and (text := file.readline(LONGEST)):
                pass
            yield number, Rejected(f"line longer than {LONGEST >> 20} MB")
        elif not text.isspace():
            yield number, text


def polylines(row: Mapping[str, Any]) -> Lines | Rejected:
    """The strokes of a row, each float64 [n, 2] in the row's own unit; Rejected if they are not what strokes are."""
    drawing = row.get("drawing")
    if not isinstance(drawing, list):
        return Rejected("no list named drawing")
    if len(drawing) > MOST_STROKES:
        return Rejected(f"more than {MOST_STROKES:,} strokes")
    lines = []
    for stroke in drawing:
        line = _line(stroke)
        if isinstance(line, Rejected):
            return line
        lines.append(line)
    return lines if any(len(line) for line in lines) else Rejected("drawing without points")


def is_raw(row: Mapping[str, Any]) -> bool:
    """Whether the drawing of a row is a raw one: a stroke of it has times."""
    drawing = row.get("drawing")
    return isinstance(drawing, list) and any(isinstance(stroke, list) and len(stroke) > 2 for stroke in drawing)


def word(row: Mapping[str, Any]) -> str | None:
    """What the row says is drawn, if it does."""
    found = row.get("word")
    return found if isinstance(found, str) and found else None


def _examples(path: Path) -> Iterator[tuple[str, dict[str, Any] | Rejected]]:
    stem = plain(path.name.removesuffix(".gz").removesuffix(".ndjson"))
    with _open(path) as file:
        try:
            for number, text in texts(file):
                name = plain(f"{path.name}:{number}")
                row = parse(text)
                yield name, row if isinstance(row, Rejected) else _example(row, name, stem)
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"cannot read {path}: {plain(str(error))}") from None


@contextlib.contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    if path.suffix != ".gz":
        with path.open("rb") as file:
            yield file
    else:
        with gzip.GzipFile(path) as unpacked:
            yield bounded(unpacked, path.stat().st_size)


def parse(text: bytes | Rejected) -> dict[str, Any] | Rejected:
    """The JSON object of a line; Rejected if it is none, or was rejected before."""
    if isinstance(text, Rejected):
        return text
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        return Rejected("not a line of JSON")
    return row if isinstance(row, dict) else Rejected("not a JSON object")


def _example(row: dict[str, Any], name: str, stem: str) -> dict[str, Any] | Rejected:
    lines = polylines(row)
    if not isinstance(lines, Rejected) and is_raw(row):
        lines = as_published(lines)
    if isinstance(lines, Rejected):
        return lines
    return {"strokes": from_polylines(lines), "label": plain(word(row) or "") or stem, "name": name}


def _line(stroke: Any) -> NDArray[np.float64] | Rejected:
    """The [n, 2] points of [[x, ...], [y, ...], ...]."""
    if not isinstance(stroke, list) or len(stroke) < 2 or not all(isinstance(axis, list) for axis in stroke[:2]):
        return Rejected("stroke that is not [[x, ...], [y, ...]]")
    if len(stroke[0]) != len(stroke[1]):
        return Rejected("stroke with unequal numbers of x and y")
    # bool is a kind of int, and true is no coordinate.
    if not all(set(map(type, axis)) <= {int, float} for axis in stroke[:2]):
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
