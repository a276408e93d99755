"""Sheets of slices as files."""

from pathlib import Path

from magenta_lite.music import midi_writing
from magenta_lite.sheet import Sheet


def write(sheet: Sheet, folder: Path) -> list[Path]:
    """MIDI files, a row after the other; the paths written."""
    paths = []
    for row, items in enumerate(sheet.rows):
        for column, item in enumerate(items):
            path = folder / f"{row:03d}-{column:03d}.mid"
            midi_writing.write(item.value, path)
            paths.append(path)
    return paths
