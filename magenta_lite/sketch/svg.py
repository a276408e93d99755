"""Drawings and grids of drawings as SVG."""

from collections.abc import Sequence

import drawsvg
from numpy.typing import NDArray

from magenta_lite.sketch.grid import EDGE, GIVEN, INK, PAPER, TEXT, Cell, Lines, fit, lay_out

__all__ = ["Cell", "drawing_svg", "grid_svg", "path_data"]


def drawing_svg(strokes: NDArray, size: int = 256, *, given: int = 0) -> str:
    """One drawing as the text of an SVG file: a white square, the drawing scaled to fit, no frame.

    Args:
      strokes: stroke-3 [N, 3], in any unit.
      size: side of the square in pixels.
      given: how many of the first points were given; they are drawn in another colour.
    """
    page = lay_out([[Cell(strokes)]], size)
    picture = _blank(size, size)
    _draw(picture, *fit(strokes, size, given=given), page.pen)
    return picture.as_svg()


def grid_svg(
    cells: Sequence[Sequence[Cell]],
    size: int = 128,
    *,
    column_titles: Sequence[str] = (),
    row_titles: Sequence[str] = (),
) -> str:
    """A grid of drawings as the text of an SVG file.

    Args:
      cells: the rows, each from left to right; rows may differ in length.
      size: side of a cell in pixels; captions and titles take further room.
      column_titles: above the columns.
      row_titles: left of the rows.
    """
    page = lay_out(cells, size, column_titles=column_titles, row_titles=row_titles)
    picture = _blank(page.width, page.height)
    for placed in page.drawings:
        picture.append(
            drawsvg.Rectangle(
                _short(placed.x), _short(placed.y), size, size, rx=_short(size * 0.04), fill="none", stroke=EDGE
            )
        )
        _draw(picture, placed.given, placed.lines, page.pen)
    for label in page.labels:
        picture.append(
            drawsvg.Text(
                label.text,
                _short(label.size),
                _short(label.x),
                _short(label.y),
                fill=TEXT,
                text_anchor=label.anchor,
                dominant_baseline="central",
                font_family="system-ui, Helvetica, Arial, sans-serif",
            )
        )
    return picture.as_svg()


def path_data(lines: Lines) -> str:
    """Lines [n, 2] as the `d` of an SVG path, to a tenth of a unit; a line of one point becomes a dot."""
    parts = []
    for line in lines:
        pairs = [f"{x:.1f} {y:.1f}" for x, y in line]
        # Renderers differ on whether a segment of no length has round caps; all draw one that is very short.
        parts.append("M" + "L".join(pairs) + ("h0.01" if len(pairs) == 1 else ""))
    return "".join(parts)


def _blank(width: int, height: int) -> drawsvg.Drawing:
    picture = drawsvg.Drawing(width, height)
    picture.append(drawsvg.Rectangle(0, 0, width, height, fill=PAPER))
    return picture


def _draw(picture: drawsvg.Drawing, given: Lines, lines: Lines, pen: float) -> None:
    for part, colour in ((lines, INK), (given, GIVEN)):
        if part:
            picture.append(
                drawsvg.Path(
                    d=path_data(part),
                    fill="none",
                    stroke=colour,
                    stroke_width=_short(pen),
                    stroke_linecap="round",
                    stroke_linejoin="round",
                )
            )


def _short(value: float) -> float:
    return round(value, 2)
