"""Sheets of slices as files: MIDI, piano rolls by bars, sound, and a page to see and hear them."""

import os
from collections.abc import Mapping
from pathlib import Path

from magenta_lite.music import audio, midi_writing, page, piano_roll, roll_layout
from magenta_lite.music.notes import DEFAULT_QPM, Notes
from magenta_lite.sheet import Item, Sheet

SHOWN = 64
"""Pieces on the sheet of all: more are not looked at."""

CELLS = ((8, 4, 380), (24, 2, 780), (1 << 30, 1, 1580))
"""For pieces of fewer bars than the first number: how many are on a line, and how many pixels wide each is."""

EMBEDDED = 1 << 26
"""Bytes of sound that are put into a page; more are left in their files."""


def write(
    sheet: Sheet,
    folder: Path,
    *,
    steps_per_bar: int = 16,
    bars: int = 1,
    sound: bool = False,
    soundfont: str | os.PathLike[str] | None = None,
    sample_rate: int = 44100,
    ways: Mapping[int, Notes] | None = None,
    texts: Mapping[int, str] | None = None,
    name: str = "page.html",
    title: str = "Slices of music",
    made: str = "",
) -> list[Path]:
    """Writes a sheet of slices (Notes); returns the paths.

    NNN.mid and NNN.png, its piano roll, of each sampled slice, row by row, given-NNN of those that were given, and with
    `sound` their WAVs, through soundfont or the built-in synthesizer; rolls.png, all of the sheet; and a page with
    players, a section for each row.

    Args:
      bars: of a slice, at least shown.
      ways: of some rows, by number, all of it as one piece: way.mid and so on, way-ROW where there are several.
      texts: of some rows, plain text for the page.
      name, title, made: the page's file, heading, and how it was made.
    """
    writer = _Writer(folder, steps_per_bar, bars, sound, soundfont, sample_rate)
    ways, texts = ways or {}, texts or {}
    sections, captions = [], []
    numbers = {True: 0, False: 0}
    for row, items in enumerate(sheet.rows):
        pieces, words = [], []
        for item in items:
            number = numbers[item.sampled]
            numbers[item.sampled] += 1
            stem = f"{number:03d}" if item.sampled else f"given-{number:03d}"
            words.append(": ".join(filter(None, [stem if item.sampled else "", item.caption])) or stem)
            pieces.append(writer.piece(item, stem, words[-1]))
        if row in ways:
            stem = "way" if len(ways) == 1 else f"way-{row}"
            pieces.insert(0, writer.piece(Item(ways[row]), stem, "the whole way"))
        captions.append(words)
        heading = sheet.row_titles[row] if row < len(sheet.row_titles) else ""
        sections.append(page.Section(heading, texts.get(row, ""), pieces))
    rolls = folder / "rolls.png"
    values = [item.value for items in sheet.rows for item in items]
    grid = writer.bars_of(values[0] if values else None)
    longest = max([grid.shown(value.duration) for value in values], default=0.0) / grid.seconds
    columns, wide = next(cell for most, *cell in CELLS if longest < most)
    lines, words_of_lines = _lines(sheet, captions, columns)
    if (total := sum(map(len, sheet.rows))) > (shown := sum(len(row) for _, row in lines)):
        print(f"rolls.png shows the first {shown} of {total} slices")
    mixed = any(0 < value.is_drum.sum() < len(value) for value in values)
    piano_roll.write_sheet(rolls, lines, captions=words_of_lines, bars=grid, cell=(wide, 280 if mixed else 160))
    heard = sum(path.stat().st_size for path in writer.paths if path.suffix == ".wav")
    page.write_page(folder / name, title, sections, made=made, embed=heard <= EMBEDDED)
    if heard > EMBEDDED:
        print(f"{name} plays the WAV files beside it: keep them together")
    return [*writer.paths, rolls, folder / name]


class _Writer:
    """Writes the files of single pieces, and remembers their paths."""

    def __init__(
        self,
        folder: Path,
        steps_per_bar: int,
        bars: int,
        sound: bool,
        soundfont: str | os.PathLike[str] | None,
        sample_rate: int,
    ):
        self.paths: list[Path] = []
        self._folder, self._steps_per_bar, self._bars = folder, steps_per_bar, bars
        self._sound, self._soundfont, self._sample_rate = sound, soundfont, sample_rate

    def piece(self, item: Item, stem: str, caption: str) -> page.Piece:
        notes, path = item.value, self._folder / stem
        bars = self.bars_of(notes)
        midi = midi_writing.write(notes, path.with_suffix(".mid"))
        piano_roll.write(notes, path.with_suffix(".png"), title=caption, bars=bars)
        self.paths += [midi, path.with_suffix(".png")]
        wav = None
        if self._sound:
            wav = path.with_suffix(".wav")
            samples = audio.render(notes, soundfont=self._soundfont, sample_rate=self._sample_rate)
            audio.write_wav(samples, wav, self._sample_rate)
            self.paths.append(wav)
        return page.Piece(notes, caption, audio=wav, midi=midi, bars=bars)

    def bars_of(self, notes: Notes | None) -> roll_layout.Bars:
        """Bars at the notes' tempo. Where they are not whole quarters, no beats are shown."""
        qpm = float(notes.tempo_qpm[0]) if notes is not None and len(notes.tempo_qpm) else DEFAULT_QPM
        quarters, rest = divmod(self._steps_per_bar, 4)
        return roll_layout.Bars(self._steps_per_bar * 15 / qpm, 1 if rest else quarters, self._bars)


def _lines(
    sheet: Sheet, captions: list[list[str]], columns: int
) -> tuple[list[tuple[str, list[Notes]]], list[list[str]]]:
    """The first SHOWN slices, rows cut into lines, with a title above the first line of each row; and their captions.

    Rows that are a little longer than a line are given one, as those that compare a few things.
    """
    lines: list[tuple[str, list[Notes]]] = []
    words: list[list[str]] = []
    room = SHOWN
    longest = max(map(len, sheet.rows), default=0)
    columns = longest if longest <= columns + columns // 2 else columns
    for number, row in enumerate(sheet.rows):
        title = sheet.row_titles[number] if number < len(sheet.row_titles) else ""
        shown = row[:room]
        room -= len(shown)
        for start in range(0, len(shown), max(columns, 1)):
            part = slice(start, min(start + columns, len(shown)))
            lines.append((title if start == 0 else "", [item.value for item in shown[part]]))
            words.append(captions[number][part])
    return lines, words
