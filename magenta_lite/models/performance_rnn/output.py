"""Pieces as files: MIDI, piano rolls, and sound."""

import os
from collections.abc import Sequence
from pathlib import Path

from magenta_lite.music import audio, midi_writing, piano_roll
from magenta_lite.music.notes import Notes
from magenta_lite.sheet import Item, Sheet

SHOWN = 64
"""Pieces on the sheet of all: more are not looked at."""
COLUMNS = 4


def write(
    sheet: Sheet,
    folder: Path,
    *,
    given_seconds: Sequence[float] = (),
    sound: bool = False,
    soundfont: str | os.PathLike[str] | None = None,
    sample_rate: int = 44100,
) -> list[Path]:
    """Writes a sheet of pieces (Notes); returns the paths.

    NNN.mid and NNN.png, its piano roll, for each sampled piece, row by row; NNN.wav with `sound`, through soundfont or
    the built-in synthesizer; rolls.png, all of the sheet. given_seconds: of each row, how long a beginning is given.
    """
    paths: list[Path] = []
    given = [*given_seconds] or [0.0] * len(sheet.rows)
    number = 0
    for seconds, row in zip(given, sheet.rows, strict=True):
        for item in row:
            if not item.sampled:
                continue
            stem = folder / f"{number:03d}"
            paths.append(midi_writing.write(item.value, stem.with_suffix(".mid")))
            paths.append(stem.with_suffix(".png"))
            piano_roll.write(item.value, paths[-1], given_seconds=seconds, title=item.caption)
            if sound:
                paths.append(stem.with_suffix(".wav"))
                samples = audio.render(item.value, soundfont=soundfont, sample_rate=sample_rate)
                audio.write_wav(samples, paths[-1], sample_rate)
            number += 1
    paths.append(folder / "rolls.png")
    rows = _lines(sheet)
    total = sum(map(len, sheet.rows))
    if total > (shown := sum(len(row) for _, row in rows)):
        print(f"rolls.png shows the first {shown} of {total} pieces")
    # One number for all of the sheet: where rows differ, none is shaded.
    piano_roll.write_sheet(paths[-1], rows, given_seconds=given[0] if len(set(given)) == 1 else 0.0)
    return paths


def _lines(sheet: Sheet) -> list[tuple[str, list[Notes]]]:
    """The first SHOWN pieces, rows cut into lines of COLUMNS, with a title above the first line of each row."""
    lines: list[tuple[str, list[Notes]]] = []
    room = SHOWN
    for number, row in enumerate(sheet.rows):
        title = sheet.row_titles[number] if number < len(sheet.row_titles) else ""
        shown: Sequence[Item] = row[:room]
        room -= len(shown)
        for start in range(0, len(shown), COLUMNS):
            lines.append((title if start == 0 else "", [item.value for item in shown[start : start + COLUMNS]]))
    return lines
