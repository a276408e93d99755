"""What a person asks a mode of slices for: flags checked before anything is read."""

import math
from typing import Any

from magenta_lite.errors import UserError
from magenta_lite.music import audio

MOST = 4096
"""Slices of a sheet at most."""


SLOWEST, FASTEST = 10, 1000
"""Quarter notes a minute."""

AMOUNT = 1000.0
"""How often a vector is added to z at most."""


def at_most(**counts: int) -> None:
    """Raises UserError where so many of each, multiplied, are more than MOST: slices=9, temperatures=2."""
    total = math.prod(counts.values())
    if total > MOST:
        parts = " x ".join(f"{count:,} {name}" for name, count in counts.items() if count > 1)
        raise UserError(f"{parts}{f' = {total:,}' if ' x ' in parts else ''}: a sheet has at most {MOST:,}")


def check(**flags: Any) -> None:
    """Raises UserError for the first flag outside its range; what is none of these flags is passed over."""
    for name, low, high in (
        ("n", 1, MOST),
        ("steps", 2, 1000),
        ("examples", 8, 10_000_000),
        ("sample_rate", 8000, 96000),
        ("qpm", SLOWEST, FASTEST),
    ):
        value = flags.get(name)
        if value is not None and not low <= value <= high:
            raise UserError(f"--{name}={value:g}: expected {low} to {high}")
    for value in flags.get("amount") or ():
        if not -AMOUNT <= value <= AMOUNT:
            raise UserError(f"--amount={value:g}: expected {-AMOUNT:g} to {AMOUNT:g}")
    for name, valid in (
        ("posterior", ("mean", "sample")),
        ("way", ("slerp", "lerp")),
        ("hits", ("given", "model")),
    ):
        if name in flags and flags[name] not in valid:
            raise UserError(f"--{name}={flags[name]}: expected {' or '.join(valid)}")
    if flags.get("corners") not in (None, 2, 4):
        raise UserError(f"--corners={flags['corners']}: expected 2, the ends of a way, or 4, those of a grid")
    for name in ("input", "items", "slice", "amount", "chords"):
        if flags.get(name) is not None and not len(flags[name]):
            raise UserError(f"--{name}= is empty")
    if flags.get("slice") is not None and flags.get("input") is None:
        raise UserError("--slice says which slice of a MIDI file: give the file by --input")
    if flags.get("input") is not None:
        for name in ("items", "data_dir"):
            if flags.get(name) is not None:
                raise UserError(f"--input and --{name} both say where to start from: give one of them")
    audio.check(flags.get("soundfont"), flags.get("audio", True))
