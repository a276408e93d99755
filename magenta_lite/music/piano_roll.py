"""Pictures of notes: time to the right in seconds, pitch upwards, how hard a note is struck as its colour.

Lengths are in pixels, x to the right and y down, from the picture's upper left corner.
"""

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from magenta_lite.files import writing
from magenta_lite.music import drums
from magenta_lite.music.colours import BASS, DRUMS, NOTES
from magenta_lite.music.notes import PITCHES, Notes
from magenta_lite.music.roll_layout import (
    LANE_SEMITONES,
    LANES,
    LEFT,
    Bars,
    Row,
    height_in_semitones,
    lay_out,
    pitch_range,
)

PAPER = "#ffffff"
KEYS = "#f5f5f8"  # behind the pitches of black keys
OCTAVE = "#d9d9e2"  # below each C
GRID = "#ececf1"  # lines of time
BAR = "#a9a9b8"
EDGE = "#c9c9d3"
TEXT = "#4a4a57"
GIVEN = "#e8590c"
GIVEN_PAPER = "#fff1e4"
GIVEN_KEYS = "#fbe7d6"

_SHARP = 4  # steps of a pixel along the time axis that edges of notes are drawn to
_BLACK = (1, 3, 6, 8, 10)  # pitch classes
_BASSES = range(32, 40)  # programs
_LANE = np.full(PITCHES, -1)
for _number, _pitches in enumerate(drums.PITCHES):
    _LANE[list(_pitches)] = _number
_SMALL, _PLAIN, _LARGE = 11, 12, 14  # font sizes


def picture(
    notes: Notes,
    *,
    seconds_per_row: float = 30.0,
    width: int = 1200,
    semitone: int = 5,
    given_seconds: float = 0.0,
    title: str = "",
    bars: Bars | None = None,
) -> Image.Image:
    """A piano roll as an RGB picture. Without notes it is an empty roll.

    Args:
      notes: any piece; a longer one than a row holds is wrapped.
      seconds_per_row: about; a piece of one row fills its width, and one of over MOST_ROWS rows gets more in each.
      width: of the picture in pixels, at least 200.
      semitone: its height in pixels. The pitches that occur are shown, and at least two octaves.
      given_seconds: the part before was given, not made; its background is shaded.
      title: a few words in the upper left corner.
      bars: whole bars are shown, with their lines and numbers in place of seconds, and drums on nine lanes of their
        own below; those of none of the classes of music.drums are left out.
    """
    layout = lay_out(notes, seconds_per_row=seconds_per_row, width=width, semitone=semitone, bars=bars)
    canvas = Image.new("RGB", (layout.width, layout.height), PAPER)
    for row in layout.rows:
        _draw_row(canvas, notes, row, layout.low, layout.high, given_seconds, lanes=layout.lanes, bars=bars)
    draw = ImageDraw.Draw(canvas)
    legend = _draw_legend(canvas, width - 16, 20, [notes], given=given_seconds > 0)
    draw.text((40, 20), _fit(title, legend - 60, _LARGE), fill=TEXT, font=_font(_LARGE), anchor="lm")
    return canvas


def write(
    notes: Notes,
    path: str | os.PathLike[str],
    given_seconds: float = 0.0,
    *,
    title: str = "",
    bars: Bars | None = None,
) -> None:
    """Writes the picture of these notes as a PNG, whole or not at all; see picture.

    Raises:
      UserError: the file cannot be written.
    """
    with writing(path) as file:
        picture(notes, given_seconds=given_seconds, title=title, bars=bars).save(file, "PNG", optimize=True)


def sheet(
    rows: Sequence[tuple[str, Sequence[Notes]]],
    *,
    seconds: float | None = None,
    cell: tuple[int, int] = (380, 200),
    given_seconds: float = 0.0,
    column_titles: Sequence[str] = (),
    captions: Sequence[Sequence[str]] = (),
    bars: Bars | None = None,
) -> Image.Image:
    """Several rolls in a grid, all to the same scale of time and of pitch, as an RGB picture.

    Args:
      rows: a title, shown above the row, and the row's pieces from left to right; rows may differ in length.
      seconds: how much of each piece is shown; as many as the longest lasts, where not given.
      cell: about the width and height of a roll in pixels; the height is rounded to whole pixels a semitone.
      given_seconds: as for picture.
      column_titles: above the columns.
      captions: of each row, a few words above each of its pieces.
      bars: as for picture; cells are as many bars wide as the longest piece has.
    """
    pieces = [piece for _, row in rows for piece in row]
    seconds = max(max((piece.duration for piece in pieces), default=0.0) if seconds is None else seconds, 0.1)
    seconds = seconds if bars is None else bars.shown(seconds)
    low, high, lanes = pitch_range([piece.select(piece.start < seconds) for piece in pieces], bars is not None)
    semitones = height_in_semitones(low, high, lanes)
    wide, tall = cell[0], semitones * max(1, round(cell[1] / semitones))
    columns = max([len(row) for _, row in rows] + [len(column_titles), 1])
    left, gap, line, foot = LEFT[lanes], 14, 26, 26
    small = 18 if any(map(any, captions)) else 0
    top = 40 + (line if any(column_titles) else 0)
    heights = [small + tall + gap + (line if title else 0) for title, _ in rows]
    canvas = Image.new("RGB", (left + columns * (wide + gap) + 4, top + sum(heights) + foot), PAPER)
    draw = ImageDraw.Draw(canvas)
    _draw_legend(canvas, canvas.width - 18, 20, pieces, given=given_seconds > 0)
    for column, title in enumerate(column_titles):
        middle = left + column * (wide + gap) + wide / 2
        draw.text((middle, 52), _fit(title, wide, _PLAIN), fill=TEXT, font=_font(_PLAIN), anchor="mm")
    for number, ((title, row), height) in enumerate(zip(rows, heights, strict=True)):
        if title:
            room = canvas.width - left - (300 if not number and not any(column_titles) else 20)
            draw.text((left, top + line / 2 - 3), _fit(title, room, _LARGE), fill=TEXT, font=_font(_LARGE), anchor="lm")
        upper = top + (line if title else 0) + small
        for column, piece in enumerate(row):
            x = left + column * (wide + gap)
            box = Row(0.0, seconds, x, upper, x + wide, upper + tall)
            lowest = all(column >= len(other) for _, other in rows[number + 1 :])
            how = {"names": column == 0, "times": lowest, "lanes": lanes}
            _draw_row(canvas, piece, box, low, high, given_seconds, bars=bars, **how)
            if small and number < len(captions) and column < len(captions[number]):
                words = _fit(captions[number][column], wide, _PLAIN)
                draw.text((x, upper - small / 2), words, fill=TEXT, font=_font(_PLAIN), anchor="lm")
        top += height
    return canvas


def write_sheet(path: str | os.PathLike[str], rows: Sequence[tuple[str, Sequence[Notes]]], **options: object) -> None:
    """Writes the sheet of these rolls as a PNG, whole or not at all; options as for sheet.

    Raises:
      UserError: the file cannot be written.
    """
    with writing(path) as file:
        sheet(rows, **options).save(file, "PNG", optimize=True)  # type: ignore[arg-type]


def _draw_row(
    canvas: Image.Image,
    notes: Notes,
    row: Row,
    low: int,
    high: int,
    given_seconds: float,
    *,
    names: bool = True,
    times: bool = True,
    lanes: bool = False,
    bars: Bars | None = None,
) -> None:
    """Draws what sounds between a row's two times, with its axes; wider than the row by _SHARP, then reduced."""
    wide, tall = row.right - row.left, row.bottom - row.top
    semitone = tall / height_in_semitones(low, high, lanes)
    lane_of = np.where(notes.is_drum, _LANE[notes.pitch], -1) if lanes else np.full(len(notes), -1)
    last_lane = tall - LANE_SEMITONES * semitone
    scale = wide * _SHARP / (row.end - row.begin)
    strip = Image.new("RGB", (wide * _SHARP, tall), PAPER)
    draw = ImageDraw.Draw(strip)

    def band(x: float, y: float, right: float, bottom: float, fill: str | tuple[int, ...]) -> None:
        # Pillow draws the far edges too.
        if right > x and bottom > y:
            draw.rectangle([round(x), round(y), max(round(right) - 1, round(x)), round(bottom) - 1], fill=fill)

    given = float(np.clip((given_seconds - row.begin) * scale, 0, wide * _SHARP))
    band(0, 0, given, tall, GIVEN_PAPER)
    for pitch in range(low, high + 1):
        y = (high - pitch) * semitone
        if pitch % 12 in _BLACK:
            band(0, y, wide * _SHARP, y + semitone, KEYS)
            band(0, y, given, y + semitone, GIVEN_KEYS)
    ticks = _ticks(row.begin, row.end, wide) if bars is None else _bar_lines(row, bars)
    for number in range(len(LANES) if lanes else 0):
        y = last_lane - number * LANE_SEMITONES * semitone
        band(0, y, wide * _SHARP, y + 1, GRID)
    for beat in () if bars is None else _bar_lines(row, Bars(bars.seconds / bars.beats)):
        x = (beat - row.begin) * scale
        band(x, 0, x + _SHARP, tall, GRID)
    for tick in ticks:
        x = (tick - row.begin) * scale
        band(x, 0, x + _SHARP, tall, GRID if bars is None else BAR)
    for pitch in range(low, high + 1):
        if pitch % 12 == 0 and pitch > low:
            y = (high - pitch + 1) * semitone
            band(0, y - 1, wide * _SHARP, y, OCTAVE)
    for index in np.flatnonzero((notes.start < row.end) & (notes.end >= row.begin)).tolist():
        pitch, loud = int(notes.pitch[index]), int(notes.velocity[index])
        x, right = ((float(time[index]) - row.begin) * scale for time in (notes.start, notes.end))
        # A pixel is left free behind a note, so that one struck again is seen as two.
        right = max(right - _SHARP, x + 1.5 * _SHARP)
        ramp = DRUMS if notes.is_drum[index] else BASS if notes.program[index] in _BASSES else NOTES
        colour = tuple(ramp[loud].tolist())
        if lanes and notes.is_drum[index]:
            y = last_lane - int(lane_of[index]) * LANE_SEMITONES * semitone
            if lane_of[index] >= 0 and right > 0:
                band(max(x, 0), y + 1, right, y + LANE_SEMITONES * semitone, colour)
            continue
        y = (high - pitch) * semitone
        if low <= pitch <= high and right > 0:
            band(max(x, 0), y, right, y + max(semitone - (semitone > 3), 1), colour)
    canvas.paste(strip.reduce((_SHARP, 1)), (row.left, row.top))
    draw = ImageDraw.Draw(canvas)
    draw.rectangle([row.left - 1, row.top - 1, row.right, row.bottom], outline=EDGE)
    if 0 < given < wide * _SHARP:
        x = row.left + round(given / _SHARP)
        draw.line([x, row.top - 1, x, row.bottom], fill=GIVEN, width=2)
    for pitch in range(low, high + 1):
        if names and pitch % 12 == 0 and (semitone * 12 >= 13 or pitch % 24 == 12):
            y = row.top + (high - pitch + 0.5) * semitone
            place = (row.left - 7, float(np.clip(y, row.top + 4, row.bottom - 4)))
            draw.text(place, f"C{pitch // 12 - 1}", fill=TEXT, font=_font(_SMALL), anchor="rm")
    for number, name in enumerate(LANES if lanes and names else ()):
        y = row.top + last_lane - (number - 0.5) * LANE_SEMITONES * semitone
        if semitone * LANE_SEMITONES >= 9 or number % 2 == 0:
            draw.text((row.left - 7, y), name, fill=TEXT, font=_font(_SMALL), anchor="rm")
    for tick in ticks if times else ():
        x = row.left + round((tick - row.begin) * scale / _SHARP)
        draw.line([x, row.bottom, x, row.bottom + 3], fill=EDGE)
        text = _time(tick) + (" s" if tick == ticks[0] and ":" not in _time(tick) else "")
        if bars is not None:
            number, every = round(tick / bars.seconds), max(1, round(24 * _SHARP / (bars.seconds * scale) + 0.5))
            text = "" if number % every or tick > row.end - bars.seconds / 2 else f"{number + 1}"
            x += 2 if text else 0
        if x < canvas.width - 14:
            draw.text((x, row.bottom + 6), text, fill=TEXT, font=_font(_SMALL), anchor="ma")


def _draw_legend(canvas: Image.Image, right: int, middle: int, pieces: Sequence[Notes], *, given: bool) -> float:
    """Draws what the colours mean, up to `right`; returns where it begins."""
    drums = any(piece.is_drum.any() for piece in pieces)
    basses = any((np.isin(piece.program, _BASSES) & ~piece.is_drum).any() for piece in pieces)
    shown = [("drums", DRUMS)] if drums else []
    shown += [("bass", BASS)] if basses else []
    shown += [("velocity", NOTES)] if not shown or any((~piece.is_drum).any() for piece in pieces) else []
    draw = ImageDraw.Draw(canvas)
    x = float(right)

    def text(words: str) -> None:
        nonlocal x
        draw.text((x, middle), words, fill=TEXT, font=_font(_SMALL), anchor="rm")
        x -= draw.textlength(words, font=_font(_SMALL)) + 6

    for words, ramp in shown:
        text("127")
        bar = Image.fromarray(np.broadcast_to(ramp[None, 1:], (8, 127, 3)).copy()).resize((84, 8))
        canvas.paste(bar, (round(x) - 84, middle - 4))
        x -= 90
        text("1")
        text(words)
        x -= 10
    if given:
        text("given")
        draw.rectangle([x - 14, middle - 5, x - 1, middle + 4], fill=GIVEN_PAPER, outline=GIVEN)
        x -= 24
    return x


def _ticks(begin: float, end: float, width: float) -> list[float]:
    """Round times between the two, about 80 pixels apart or more."""
    wanted = (end - begin) * 80 / width
    step = next((one for one in (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600) if one >= wanted), 1800)
    return [number * step for number in range(int(np.ceil(begin / step - 1e-9)), int(end / step + 1e-9) + 1)]


def _bar_lines(row: Row, bars: Bars) -> list[float]:
    """Seconds at which bars begin or end, of those a row shows."""
    first, last = np.ceil(row.begin / bars.seconds - 1e-6), np.floor(row.end / bars.seconds + 1e-6)
    return [number * bars.seconds for number in range(int(first), int(last) + 1)]


def _time(seconds: float) -> str:
    """12, 0.5, or 1:05 from a minute on."""
    if seconds < 60:
        return f"{seconds:.3g}"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _fit(text: str, room: float, size: int) -> str:
    """The text on one line, cut short where it does not fit the room."""
    text = " ".join(text.split())
    font = _font(size)
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(text + "…") > room:
        text = text[:-1]
    return text.rstrip() + "…"
