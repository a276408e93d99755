"""Drawings and grids of drawings as PNG, and as GIF that draws them stroke by stroke."""

import os
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont

from magenta_lite.files import writing
from magenta_lite.sketch.grid import EDGE, GIVEN, INK, PAPER, TEXT, Cell, Page, Placed, lay_out

__all__ = ["Cell", "drawing_gif", "drawing_png", "grid_gif", "grid_image", "grid_png"]

_SUPERSAMPLE = 4
_MOST_PIXELS = 48_000_000  # of the supersampled picture, to bound memory
_LEVELS = 20  # shades from paper to a colour in a GIF's palette


def drawing_png(strokes: NDArray, path: str | os.PathLike[str], size: int = 256, *, given: int = 0) -> None:
    """Writes one drawing, stroke-3 [N, 3] in any unit, as a PNG about size pixels wide; see grid_png."""
    grid_png([[Cell(strokes, given=given)]], path, size)


def drawing_gif(
    strokes: NDArray, path: str | os.PathLike[str], size: int = 256, *, given: int = 0, seconds: float = 2.5
) -> None:
    """Writes one drawing, stroke-3 [N, 3] in any unit, as a GIF that draws it; see grid_gif."""
    grid_gif([[Cell(strokes, given=given)]], path, size, seconds=seconds)


def grid_png(
    cells: Sequence[Sequence[Cell]],
    path: str | os.PathLike[str],
    size: int = 128,
    *,
    column_titles: Sequence[str] = (),
    row_titles: Sequence[str] = (),
) -> None:
    """Writes a grid of drawings as a PNG; arguments as for grid_image."""
    picture = grid_image(cells, size, column_titles=column_titles, row_titles=row_titles)
    with writing(path) as file:
        picture.save(file, "PNG", optimize=True)


def grid_image(
    cells: Sequence[Sequence[Cell]],
    size: int = 128,
    *,
    column_titles: Sequence[str] = (),
    row_titles: Sequence[str] = (),
) -> Image.Image:
    """A grid of drawings as an RGB picture.

    Args:
      cells: the rows, each from left to right; rows may differ in length.
      size: side of a cell in pixels; captions and titles take further room.
      column_titles: above the columns.
      row_titles: left of the rows.
    """
    page = lay_out(cells, size, column_titles=column_titles, row_titles=row_titles)
    *_, picture = _frames(page, 1)
    return picture


def grid_gif(
    cells: Sequence[Sequence[Cell]],
    path: str | os.PathLike[str],
    size: int = 128,
    *,
    column_titles: Sequence[str] = (),
    row_titles: Sequence[str] = (),
    seconds: float = 3.0,
    hold: float = 1.5,
) -> None:
    """Writes a grid as a GIF that draws all cells at once, each at its own even speed, over and over.

    Args:
      cells, size, column_titles, row_titles: as for grid_image.
      seconds: how long drawing takes; at most 60 frames, about 18 a second if that is enough.
      hold: how many seconds the finished grid stays.
    """
    page = lay_out(cells, size, column_titles=column_titles, row_titles=row_titles)
    count = int(np.clip(round(seconds * 18), 1, 59))
    palette = _palette()
    frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in _frames(page, count)]
    # GIF counts in hundredths of a second.
    each = max(20, 10 * round(100 * seconds / count))
    durations = [each] * count + [round(1000 * hold)]
    with writing(path) as file:
        # With no disposal given, Pillow leaves out of each frame what the frame before it shows: a tenth of the size.
        frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)


def _frames(page: Page, count: int) -> Iterator[Image.Image]:
    """The page before anything is drawn, then count pictures of drawings that grow, the last one finished."""
    sharp = _SUPERSAMPLE
    while sharp > 1 and page.width * page.height * sharp**2 > _MOST_PIXELS:
        sharp -= 1
    canvas = Image.new("RGB", (page.width * sharp, page.height * sharp), PAPER)
    draw = ImageDraw.Draw(canvas)
    for placed in page.drawings:
        corner = np.array([placed.x, placed.y]) * sharp
        box = [*corner, *(corner + page.size * sharp)]
        draw.rounded_rectangle(box, radius=0.04 * page.size * sharp, outline=EDGE, width=sharp)
    width = page.pen * sharp
    segments = [_segments(placed, sharp) for placed in page.drawings]
    for step in range(count + 1):
        if step:
            for starts, ends, lengths, colours in segments:
                _draw(draw, starts, ends, lengths, colours, (step - 1) / count, step / count, width)
        picture = canvas.reduce(sharp)
        _write_labels(picture, page)
        yield picture


_Segments = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], list[str]]


def _segments(placed: Placed, sharp: int) -> _Segments:
    """Where the segments of a drawing start [m, 2] and end [m, 2], the way travelled up to each end [m], and colours.

    A dot is a segment of no length, as is the beginning of each line.
    """
    starts: list[NDArray] = []
    ends: list[NDArray] = []
    colours: list[str] = []
    for lines, colour in ((placed.given, GIVEN), (placed.lines, INK)):
        for line in lines:
            starts += [line[:1], line[:-1]]
            ends += [line[:1], line[1:]]
            colours += [colour] * len(line)
    if not colours:
        return np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0), []
    start, end = np.concatenate(starts) * sharp, np.concatenate(ends) * sharp
    return start, end, np.cumsum(np.hypot(*(end - start).T)), colours


def _draw(
    draw: ImageDraw.ImageDraw,
    starts: NDArray,
    ends: NDArray,
    travelled: NDArray,
    colours: list[str],
    begin: float,
    finish: float,
    width: float,
) -> None:
    """Draws what lies between two fractions, 0 to 1, of the way along a drawing's segments."""
    if not colours:
        return
    total = float(travelled[-1])
    first = int(np.searchsorted(travelled, begin * total)) if begin else 0
    last = len(colours) - 1 if finish == 1 else int(np.searchsorted(travelled, finish * total))
    for index in range(first, min(last, len(colours) - 1) + 1):
        length = travelled[index] - (travelled[index - 1] if index else 0.0)
        before = travelled[index] - length
        near, far = (np.clip((x * total - before) / length, 0, 1) if length else 0.0 for x in (begin, finish))
        along = ends[index] - starts[index]
        a = starts[index] + near * along
        b = starts[index] + (1.0 if finish == 1 else far) * along
        draw.line([*a, *b], fill=colours[index], width=max(1, round(width)))
        for x, y in (a, b):
            draw.ellipse([x - width / 2, y - width / 2, x + width / 2, y + width / 2], fill=colours[index])


def _write_labels(picture: Image.Image, page: Page) -> None:
    draw = ImageDraw.Draw(picture)
    for label in page.labels:
        anchor = "mm" if label.anchor == "middle" else "lm"
        draw.text((label.x, label.y), label.text, fill=TEXT, font=ImageFont.load_default(label.size), anchor=anchor)


def _palette() -> Image.Image:
    """The shades between the paper and each colour, as the palette picture that quantize takes."""
    paper = np.array(ImageColor.getrgb(PAPER))
    shades = [
        np.rint(paper + (np.array(ImageColor.getrgb(colour)) - paper) * level)
        for colour in (INK, GIVEN, TEXT)
        for level in np.linspace(0, 1, _LEVELS)
    ]
    shades.append(np.array(ImageColor.getrgb(EDGE)))
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.array(shades).astype(np.uint8).tobytes())
    return palette
