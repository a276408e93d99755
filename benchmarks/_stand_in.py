"""Stand-ins for large data, made of real data by small distortions; the same for the same numbers."""

import dataclasses
import json
import os
import shutil
import time
import zipfile
from multiprocessing import get_context
from pathlib import Path

import numpy as np

SHARED = Path(os.environ.get("MAGENTA_LITE_DATA", Path(__file__).parents[2] / "shared"))
DRAWINGS = SHARED / "data/quickdraw/ndjson/simplified_25_per_class.zip"
TUNES = SHARED / "data/pop909.zip"


def make_drawings(folder: Path, drawings: int, processes: int) -> None:
    """Writes the stand-in, a file a class, in the form of QuickDraw's simplified drawings."""
    if folder.exists():
        print(f"source: {folder} is there")
        return
    began = time.perf_counter()
    with zipfile.ZipFile(DRAWINGS) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".ndjson"))
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    shares = [(name, drawings * (n + 1) // len(names) - drawings * n // len(names), n) for n, name in enumerate(names)]
    with get_context("spawn").Pool(processes) as pool:
        pool.starmap(_make_class, [(partial, *share) for share in shares], chunksize=4)
    partial.rename(folder)
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"source: {drawings:,} drawings of {len(names)} classes, {size / 1e6:,.0f} MB", end="")
    print(f" in {time.perf_counter() - began:.0f} s")


def _make_class(folder: Path, name: str, count: int, number: int) -> None:
    with zipfile.ZipFile(DRAWINGS) as archive:
        rows = [json.loads(line) for line in archive.read(name).splitlines()]
    rng = np.random.default_rng([number, 7])
    with (folder / Path(name).name).open("w") as file:
        for index in range(count):
            row = rows[index % len(rows)]
            key = str(4_500_000_000_000_000 + number * 10_000_000_000 + index)
            file.write(json.dumps({**row, "key_id": key, "drawing": _distorted(row["drawing"], rng)}) + "\n")


def _distorted(drawing: list[list[list[int]]], rng: np.random.Generator) -> list[list[list[int]]]:
    """The strokes turned by up to 8 degrees, stretched and sheared by up to a tenth, points moved by about a unit."""
    lengths = [len(stroke[0]) for stroke in drawing]
    points = np.concatenate([np.array(stroke[:2], np.float64) for stroke in drawing], axis=1)
    angle, shear = rng.uniform(-0.14, 0.14), rng.uniform(-0.1, 0.1)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = turn @ np.array([[1.0, shear], [0.0, 1.0]]) @ (points * rng.uniform(0.9, 1.1, (2, 1)))
    points += rng.normal(0, 0.7, points.shape)
    points -= points.min(axis=1, keepdims=True)
    points = np.rint(points * (255 / max(points.max(), 1))).astype(int)
    return [stroke.tolist() for stroke in np.split(points, np.cumsum(lengths)[:-1], axis=1)]


def make_tunes(folder: Path, pieces: int, processes: int) -> None:
    """Writes pieces of piano: pop songs, each often, with a third of their notes moved and some left out."""
    if folder.exists():
        print(f"pieces: {folder} is there")
        return
    began = time.perf_counter()
    with zipfile.ZipFile(TUNES) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".mid"))
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    shares = [(partial, name, range(n, pieces, len(names))) for n, name in enumerate(names[:pieces])]
    with get_context("spawn").Pool(processes) as pool:
        notes = sum(pool.starmap(_make_pieces, shares, chunksize=4))
    partial.rename(folder)
    print(f"pieces: {pieces:,}, with {notes:,} notes, in {time.perf_counter() - began:.0f} s")


def _make_pieces(folder: Path, name: str, numbers: range) -> int:
    from magenta_lite.music import midi, midi_writing

    with zipfile.ZipFile(TUNES) as archive:
        notes = midi.parse(archive.read(name)).notes()  # published files are sound
    count = 0
    for number in numbers:
        rng = np.random.default_rng([number, 9])
        kept = rng.random(len(notes.pitch)) < 0.9
        moved = notes.pitch + rng.integers(-5, 6, len(kept)) * (rng.random(len(kept)) < 1 / 3)
        columns = {key: getattr(notes, key)[kept] for key in ("start", "end", "velocity", "program", "is_drum")}
        changed = dataclasses.replace(
            notes, **columns, pitch=np.clip(moved, 0, 127)[kept], instrument=notes.instrument[kept]
        )
        midi_writing.write(changed, folder / f"{number % 100:02}" / f"{number}.mid")
        count += int(kept.sum())
    return count
