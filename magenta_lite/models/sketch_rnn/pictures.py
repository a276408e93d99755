"""Sheets of drawings as files: an SVG each, and all of them as SVG, PNG, GIF and ndjson."""

import re
from pathlib import Path

from magenta_lite.files import writing
from magenta_lite.sheet import Sheet
from magenta_lite.sketch import ndjson, raster, svg
from magenta_lite.sketch.grid import Cell

SHOWN = 400
"""Cells in a picture of all: a page of more is not looked at, and its GIF would take minutes."""
ANIMATED = 100
"""Cells in the GIF."""
SIZE = 128


def write(sheet: Sheet, folder: Path) -> list[Path]:
    """Writes a sheet of drawings (stroke-3 in the data's units); returns the paths.

    NNN-LABEL.svg for each sampled drawing, row by row; grid.svg and grid.png of the whole sheet; grid.gif, which draws
    it; drawings.ndjson in QuickDraw's format. Sheets too large to look at are cut in grid.* alone, and that is printed.
    """
    paths = []
    sampled = [item for row in sheet.rows for item in row if item.sampled]
    for number, item in enumerate(sampled):
        paths.append(folder / safe_name(f"{number:03d}-{item.label}".strip("-"), ".svg"))
        _write_text(paths[-1], svg.drawing_svg(item.value, given=item.given))
    if sampled:
        paths.append(folder / "drawings.ndjson")
        drawings = (
            {"strokes": item.value, "label": item.label, "name": str(number)} for number, item in enumerate(sampled)
        )
        ndjson.write(drawings, paths[-1])
        rows, row_titles = _first(sheet, SHOWN)
    if len(rows) < len(sheet.rows):
        print(f"grid.svg and grid.png show the first {sum(map(len, rows))} of {sum(map(len, sheet.rows))} drawings")
    paths += [folder / "grid.svg", folder / "grid.png", folder / "grid.gif"]
    _write_text(paths[-3], svg.grid_svg(rows, SIZE, row_titles=row_titles, column_titles=sheet.column_titles))
    raster.grid_png(rows, paths[-2], SIZE, row_titles=row_titles, column_titles=sheet.column_titles)
    rows, row_titles = _first(sheet, ANIMATED)
    raster.grid_gif(rows, paths[-1], SIZE, row_titles=row_titles, column_titles=sheet.column_titles)
    return paths


def cells(sheet: Sheet) -> list[list[Cell]]:
    """The sheet's rows as cells of a grid."""
    return [[Cell(item.value, item.caption, item.given) for item in row] for row in sheet.rows]


def safe_name(text: str, ending: str) -> str:
    """A file name of letters, digits, dots, dashes and underscores, at most 80 long, that leaves no folder."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).lstrip(".")[: 80 - len(ending)] + ending


def _first(sheet: Sheet, limit: int) -> tuple[list[list[Cell]], list[str]]:
    """As many whole rows as hold at most `limit` cells, but at least one."""
    rows: list[list[Cell]] = []
    count = 0
    for row in cells(sheet):
        if rows and count + len(row) > limit:
            break
        rows.append(row)
        count += len(row)
    return rows, list(sheet.row_titles[: len(rows)])


def _write_text(path: Path, text: str) -> None:
    with writing(path) as file:
        file.write(text.encode())
