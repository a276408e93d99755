"""What a person asks a mode of performances for: flags checked, and as options of the sampler."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from magenta_lite.errors import UserError
from magenta_lite.models.performance_rnn.codec import Codec
from magenta_lite.music import audio

MOST_SECONDS, MOST_EVENTS, MOST = 3600.0, 1_000_000, 4096

BUDGET = {"events": 400, "notes": 100}
"""Events a second that are made at most before the rest of the time is left empty: MAESTRO has 40 on average."""

AT_ONCE = 1 << 26
"""Numbers that a call of the program holds at most."""

Arrays = dict[str, NDArray]


def check(**flags: Any) -> None:
    """Raises UserError for the first flag outside its range."""
    if flags.get("seconds") is not None and flags.get("events") is not None:
        raise UserError("--seconds and --events both say how much to make: give one of them")
    for name, low, high in (
        ("n", 1, MOST),
        ("events", 1, MOST_EVENTS),
        ("top_k", 0, 1_000_000),
        ("beam_size", 1, 64),
        ("branch_factor", 1, 64),
        ("steps_per_iteration", 1, 10_000),
        ("sample_rate", 8000, 96000),
    ):
        if flags.get(name) is not None:
            between(name, flags[name], low, high)
    for name, zero, most in (
        ("seconds", False, MOST_SECONDS),
        ("primer_seconds", False, MOST_SECONDS),
        ("top_p", False, 1.0),
        ("min_p", True, 1.0),
    ):
        value = flags.get(name)
        if value is not None and not (0 < value <= most or (zero and value == 0)):
            expected = f"0 to {most:g}" if zero else f"above 0, at most {most:g}"
            raise UserError(f"--{name}={value:g}: expected {expected}")
    at_most(
        "n",
        flags.get("n", 1) * flags.get("beam_size", 1) * flags.get("branch_factor", 1),
        "performances at once, with all branches",
    )
    audio.check(flags.get("soundfont"), flags.get("audio", True))


def between(flag: str, value: int, low: int, high: int) -> None:
    """Raises UserError where a flag's value is outside low to high."""
    if not low <= value <= high:
        raise UserError(f"--{flag}={value}: expected {low} to {high}")


def at_most(flag: str, count: int, what: str) -> None:
    """Raises UserError where there are more than MOST of what a flag leads to."""
    if count > MOST:
        raise UserError(f"--{flag}: {count} {what}, expected at most {MOST}")


def how(
    codec: Codec,
    seconds: float | None,
    events: int | None,
    top_k: int,
    top_p: float,
    min_p: float,
    beam_size: int,
    branch_factor: int,
    steps_per_iteration: int,
) -> dict[str, Any]:
    """Options of Model.sample, numbers of numpy for what is given to each row."""
    how: dict[str, Any] = {}
    if events is not None:
        how["max_length"] = events
    else:
        seconds = 30.0 if seconds is None else seconds
        steps = max(1, round(seconds * codec.steps_per_second))
        room = 512 + int(seconds * BUDGET[codec.encoding]) + -(-steps // codec.max_shift)
        # Powers of two: few programs.
        how |= {"steps": np.int32(steps), "max_length": 1 << (room - 1).bit_length()}
    if top_k:
        how["top_k"] = np.int32(top_k)
    if top_p < 1:
        how["top_p"] = np.float32(top_p)
    if min_p > 0:
        how["min_p"] = np.float32(min_p)
    branches = beam_size * branch_factor
    if branches > 1:
        how |= {
            "beam_size": beam_size,
            "branch_factor": branch_factor,
            "steps_per_iteration": steps_per_iteration,
        }
    each = how["max_length"] * branches * (len(codec.vocabulary.fields) + (branches > 1))
    return how | {"at_once": max(1, min(AT_ONCE // each, MOST // branches))}


def asked(codec: Codec, notes_per_second: list[float] | None, pitch_class_histogram: str | None, told: bool) -> Arrays:
    """The controls asked for, as the model is told them.

    Raises:
      UserError: the model has no such control, or must be told.
    """
    if not told and not codec.optional_controls:
        raise UserError("--told=false: the model was not trained to go without (config.codec.optional_controls)")
    if not told and (notes_per_second is not None or pitch_class_histogram is not None):
        raise UserError("--told=false: leave out what it is not to be told")
    return codec.condition(notes_per_second=notes_per_second, pitch_class_histogram=_lists(pitch_class_histogram))


def _lists(text: str | None) -> list[list[float]] | None:
    if text is None:
        return None
    try:
        return [[float(part) for part in row.split(",")] for row in text.split(";") if row.strip()]
    except ValueError:
        message = "expected lists of 12 numbers, parted by commas, and lists by semicolons"
        raise UserError(f"--pitch_class_histogram={text}: {message}") from None
