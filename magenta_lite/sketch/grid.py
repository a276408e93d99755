"""Grids of drawings laid out on a page, in the same way for SVG, PNG and GIF.

Lengths are in pixels, x to the right and y down, from the page's upper left corner.
"""

import dataclasses
import unicodedata
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from magenta_lite.sketch.strokes import split

PAPER = "#ffffff"
INK = "#1b1b25"  # drawings
GIVEN = "#e8590c"  # the part of a drawing that was given
TEXT = "#4a4a57"  # captions and titles
EDGE = "#e6e6ec"  # frames of cells

PEN = 0.018  # width of a stroke over the size of a cell
THINNEST = 1.4  # stroke, in pixels, that can still be seen in a small cell
MARGIN = 0.11  # of a cell, empty on each side of a drawing

Lines = list[NDArray[np.float64]]


@dataclasses.dataclass(frozen=True, eq=False)
class Cell:
    """One drawing of a grid.

    strokes: stroke-3 [N, 3], in any unit; [0, 3] leaves the cell empty.
    caption: a few words under the drawing, or nothing.
    given: how many of the first points were given; they are drawn in another colour.
    """

    strokes: NDArray
    caption: str = ""
    given: int = 0


@dataclasses.dataclass(frozen=True)
class Label:
    """A line of text: x of its start or middle, y of its middle, font size."""

    text: str
    x: float
    y: float
    size: float
    anchor: Literal["start", "middle"]


@dataclasses.dataclass(frozen=True, eq=False)
class Placed:
    """A drawing on the page: its cell's upper left corner, and the lines, each [n, 2], given and of its own."""

    x: float
    y: float
    given: Lines
    lines: Lines


_LETTERS = 500  # of a label that are looked at; fewer fit any cell


@dataclasses.dataclass(frozen=True, eq=False)
class Page:
    """A grid laid out: the page's width and height, a cell's size, the width of a stroke, and what is where."""

    width: int
    height: int
    size: float
    pen: float
    drawings: list[Placed]
    labels: list[Label]


def fit(strokes: NDArray, size: float, *, given: int = 0, x: float = 0, y: float = 0) -> tuple[Lines, Lines]:
    """The lines of the given part and of the rest, scaled uniformly and centred in a square with a margin.

    Args:
      strokes: stroke-3 [N, 3]; without points there are no lines, and a single dot lands in the middle.
      size: side of the square.
      given: number of leading points that count as given.
      x, y: the square's upper left corner.
    """
    first, rest = split(strokes, given)
    if not first and not rest:
        return [], []
    points = np.concatenate(first + rest)
    low, high = points.min(axis=0), points.max(axis=0)
    side = float((high - low).max())
    scale = size * (1 - 2 * MARGIN) / side if side > 0 else 1.0
    middle = np.array([x, y]) + size / 2
    place = [[(line - (low + high) / 2) * scale + middle for line in part] for part in (first, rest)]
    return place[0], place[1]


def lay_out(
    cells: Sequence[Sequence[Cell]],
    size: float,
    *,
    column_titles: Sequence[str] = (),
    row_titles: Sequence[str] = (),
) -> Page:
    """Places rows of cells; rows may differ in length, titles may be fewer than rows and columns.

    Args:
      cells: the rows, each from left to right.
      size: side of a cell; captions and titles take further room.
      column_titles: above the columns.
      row_titles: left of the rows.
    """
    font = max(10.0, 0.09 * size)
    line = 1.7 * font
    gap = round(0.06 * size)
    caption = line if any(cell.caption for row in cells for cell in row) else 0.0
    wanted = max((_width(title[:_LETTERS], 1.1 * font) for title in row_titles), default=0.0)
    left = gap + (min(wanted, 1.2 * size) + gap if wanted else 0.0)
    top = gap + (1.2 * line if any(column_titles) else 0.0)
    drawings, labels = [], []
    for column, title in enumerate(column_titles):
        labels.append(_label(title, left + column * (size + gap) + size / 2, top - 0.7 * line, 1.1 * font, size))
    for row, title in enumerate(row_titles):
        middle = top + row * (size + caption + gap) + size / 2
        labels.append(_label(title, gap, middle, 1.1 * font, left - gap, anchor="start"))
    for row, members in enumerate(cells):
        for column, cell in enumerate(members):
            x, y = left + column * (size + gap), top + row * (size + caption + gap)
            given, lines = fit(cell.strokes, size, given=cell.given, x=x, y=y)
            drawings.append(Placed(x, y, given, lines))
            if cell.caption:
                labels.append(_label(cell.caption, x + size / 2, y + size + caption / 2, font, size))
    columns = max([len(row) for row in cells] + [len(column_titles), 1])
    rows = max(len(cells), len(row_titles), 1)
    return Page(
        width=int(np.ceil(left + columns * (size + gap))),
        height=int(np.ceil(top + rows * (size + caption + gap))),
        size=size,
        pen=max(THINNEST, PEN * size),
        drawings=drawings,
        labels=[label for label in labels if label.text],
    )


def _label(
    text: str, x: float, y: float, font: float, room: float, anchor: Literal["start", "middle"] = "middle"
) -> Label:
    """The text in a smaller font if that makes it fit the room, and cut short if it still does not."""
    text = " ".join(text[:_LETTERS].split())
    width = _width(text, font)
    if width > room:
        smaller = max(0.85, room / width) * font
        while text and _width(text + "…", smaller) > room and width * smaller / font > room:
            text = text[:-1]
        if width * smaller / font > room:
            text = text.rstrip() + "…"
        font = smaller
    return Label(text, x, y, font, anchor)


def _width(text: str, font: float) -> float:
    """About how wide a sans-serif font sets the text, on the safe side."""
    return font * sum(1.0 if unicodedata.east_asian_width(letter) in "WF" else 0.56 for letter in text)
