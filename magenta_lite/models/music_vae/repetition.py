"""What slices repeat: their own bars, each other, and the training data."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magenta_lite.models.music_vae.codec import Codec
from magenta_lite.music import drums, melodies

Symbols = NDArray[np.int64]
"""Events as numbers [T, S]: classes of melodies, and sets of drums as bits."""


def of_passage(codec: Codec, example: dict[str, Any]) -> Symbols:
    """The events of a whole passage, as those of slices."""
    if codec.kind in ("melody", "trio"):
        columns = [example["melody"]]
        if codec.kind == "trio":
            columns += [example["bass"], drums.reduced(example["drums"])]
        return np.stack(columns, axis=1).astype(np.int64)
    if codec.kind == "groove":
        hits = example["velocity"] > 0
        return (hits.astype(np.int64) << np.arange(hits.shape[1])).sum(axis=1)[:, None]
    masks = example["drums"] if codec.kind == "drum_roll" and codec.drum_classes == len(drums.ALL) else None
    return (drums.reduced(example["drums"]) if masks is None else masks).astype(np.int64)[:, None]


def melodic(codec: Codec) -> int:
    """How many of the streams, the first ones, are melodies."""
    return {"melody": 1, "trio": 2}.get(codec.kind, 0)


def within(codec: Codec, slices: Sequence[Symbols]) -> dict[str, float | None]:
    """repeated_bars and similarity, as evaluation.py defines them, over all slices; None where there is nothing."""
    repeated = out_of = 0
    similar = []
    for symbols in slices:
        bars = symbols.reshape(codec.bars, codec.steps_per_bar, -1)
        sounds = _sounds(codec, bars)
        seen = {bars[0].tobytes()}
        for bar, sounding in zip(bars[1:], sounds[1:], strict=True):
            out_of += bool(sounding)
            repeated += bool(sounding) and bar.tobytes() in seen
            seen.add(bar.tobytes())
        pairs = sounds[1:] & sounds[:-1]
        similar += (bars[1:] == bars[:-1])[pairs].mean(axis=(1, 2)).tolist()
    return {
        "repeated_bars": repeated / out_of if out_of else None,
        "similarity": float(np.mean(similar)) if similar else None,
    }


def distinct(slices: Sequence[Symbols]) -> float:
    """Share of slices that are left where of equal ones one is kept."""
    return len({one.tobytes() for one in slices}) / len(slices)


def windows(codec: Codec, symbols: Symbols) -> list[bytes]:
    """8 bytes for each two bars (one, of slices of one) that begin at a bar line and sound, whatever their key.

    Two windows have the same bytes if they are the same when moved to one key; drums are not moved. What sounds into a
    window is no part of it.
    """
    length = min(codec.bars, 2) * codec.steps_per_bar
    if len(symbols) < length:
        return []
    views = np.lib.stride_tricks.sliding_window_view(symbols, length, axis=0)[:: codec.steps_per_bar]
    parts = views.swapaxes(1, 2)[_sounds(codec, views.swapaxes(1, 2))]
    count = melodic(codec)
    if count and len(parts):
        parts = parts.copy()
        lines = parts[..., :count]
        notes = lines >= melodies.FIRST_NOTE
        lines[~np.logical_or.accumulate(notes, axis=1)] = melodies.NO_EVENT
        # The first note of the first line that has one; silent lines have nothing to be moved.
        flat, sounding = lines.swapaxes(1, 2).reshape(len(lines), -1), notes.swapaxes(1, 2).reshape(len(lines), -1)
        first = flat[np.arange(len(flat)), sounding.argmax(axis=1)]
        moved = lines - first[:, None, None] + 2 * melodies.CLASSES
        parts[..., :count] = np.where(notes, moved, lines)
    return [hashlib.blake2b(part.tobytes(), digest_size=8).digest() for part in parts]


def copied(codec: Codec, slices: Iterable[Symbols], known: set[bytes]) -> float | None:
    """Share of the windows of slices that are among known ones; None without any."""
    found = [one in known for symbols in slices for one in windows(codec, symbols)]
    return float(np.mean(found)) if found else None


def sounds(codec: Codec, symbols: Symbols) -> bool:
    """Whether anything begins to sound in a slice."""
    return bool(_sounds(codec, symbols[None])[0])


def _sounds(codec: Codec, parts: NDArray) -> NDArray[np.bool_]:
    """In which of parts [n, T, S] something begins to sound."""
    least = np.where(np.arange(parts.shape[-1]) < melodic(codec), melodies.FIRST_NOTE, 1)
    return np.asarray((parts >= least).any(axis=(1, 2)))
