"""Where a mode starts: the slices that a person names in MIDI files, and beats of any length."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from magenta_lite.errors import Rejected, UserError
from magenta_lite.models.music_vae import files
from magenta_lite.models.music_vae.codec import Codec
from magenta_lite.models.music_vae.flags import FASTEST, SLOWEST
from magenta_lite.music import chords, grooves
from magenta_lite.music.bars import Section, sections
from magenta_lite.music.notes import DEFAULT_QPM

LISTED = 100
"""Slices of a file that are told of at most."""

SNARE = 38

Arrays = dict[str, NDArray]
Found = list[tuple[dict[str, Any], Arrays]]


def start(
    sampler: Any,
    count: int,
    input: Sequence[str] | None,
    slice: Sequence[int] | None,
    items: list[int] | None,
    data_dir: str | None,
    split: str,
) -> Found:
    """(example, its encoding) of what a person gave a sampler.Sampler, or of `count` examples evenly spread."""
    if input is not None:
        return from_files(sampler.codec, input, slice)
    return sampler.starting_examples(input=None, items=items, data_dir=data_dir, split=split, count=count)


def tempo(found: Found | None, asked: float | None) -> float:
    """Quarter notes a minute: those asked for, or of the first slice that is given, or 120; says if slices differ."""
    if asked is not None:
        return asked
    given = [float(example.get("qpm", DEFAULT_QPM)) for example, _ in found or []]
    given = [qpm for qpm in given if SLOWEST <= qpm <= FASTEST] or [DEFAULT_QPM]
    if max(given) - min(given) > 0.5:
        print(f"tempos differ, {min(given):.0f} to {max(given):.0f}: the first, {given[0]:.0f}, is taken, or --qpm")
    return given[0]


def chord_names(numbers: NDArray[np.integer]) -> str:
    """The chords of a slice's steps, each named where it begins: C Am F G."""
    new = np.append(True, numbers[1:] != numbers[:-1])
    return " ".join(chords.name(number) for number in numbers[new].tolist())


def from_files(codec: Codec, paths: Sequence[str], chosen: Sequence[int] | None) -> Found:
    """(example, its encoding) of slices of MIDI files.

    chosen: numbers from 0: of one file any of its slices, of several files one of each. Where it is None, a file with
    one slice gives that one; the slices of another are printed.

    Raises:
      UserError: a file is missing or holds no slice, or several and none is chosen; or no such slice.
    """
    found: list[list[tuple[str, Any]]] = []  # of each file its candidates
    for path in paths:
        candidates: list[tuple[str, Any]] = list(codec.read(path))
        if isinstance(candidates[0][1], Rejected):
            raise UserError(f"{path}: {candidates[0][1].reason}")
        found.append(candidates)
    if chosen is None:
        several = [(path, candidates) for path, candidates in zip(paths, found, strict=True) if len(candidates) > 1]
        for path, candidates in several:
            if len(several) > 1:
                print(path)
            _print_slices(codec, candidates)
        if several:
            hold = " and ".join(f"{path} holds {len(candidates):,} slices" for path, candidates in several)
            which = f", one of each file: --slice={','.join('0' * len(paths))}" if len(paths) > 1 else ": --slice=0"
            raise UserError(f"{hold}, listed above: say which to take{which}")
        chosen = [0] * len(paths)
    elif len(paths) == 1:
        found = found * len(chosen)
        paths = list(paths) * len(chosen)
    elif len(chosen) != len(paths):
        raise UserError(f"--slice: {len(chosen)} numbers for {len(paths)} files: expected one of each")
    examples: Found = []
    for path, candidates, number in zip(paths, found, chosen, strict=True):
        if not 0 <= number < len(candidates):
            raise UserError(f"--slice={number}: {path} has {len(candidates)}, numbered from 0")
        name, example = candidates[number]
        encoded = codec.encode(example)
        if isinstance(encoded, Rejected):
            raise UserError(f"{name}: {encoded.reason}")
        examples.append((example, encoded))
    return examples


def _print_slices(codec: Codec, candidates: Sequence[tuple[str, Any]]) -> None:
    for number, (name, example) in enumerate(candidates[:LISTED]):
        encoded = codec.encode(example)
        notes = 0 if isinstance(encoded, Rejected) else len(codec.decode(encoded))
        told = "" if isinstance(encoded, Rejected) or "chord" not in encoded else f", {chord_names(encoded['chord'])}"
        print(f"{number:5}  {name}, {notes} notes{told}")
    if len(candidates) > LISTED:
        print(f"       and {len(candidates) - LISTED:,} more, up to {len(candidates) - 1}")


def need_groove_input(codec: Codec, mode: str, inputs: Sequence[str]) -> None:
    """Raises UserError where a mode is for models whose encoder was given something else."""
    if codec.kind != "groove" or codec.groove_input not in inputs:
        has = f"config.codec.groove_input={codec.groove_input}" if codec.kind == "groove" else f"kind={codec.kind}"
        wanted = " or ".join(f"config.codec.groove_input={one}" for one in inputs)
        raise UserError(f"--mode={mode} needs a model that was trained for it, by {wanted}: this one has {has}")


class Beat(NamedTuple):
    """The drums of a whole file, in whole bars: velocity uint8 [T, 9], offset float32 [T, 9]; qpm: where it begins."""

    velocity: NDArray[np.uint8]
    offset: NDArray[np.float32]
    qpm: float


def beat(codec: Codec, path: str, *, tapped: bool = False) -> Beat:
    """The beat of a MIDI file, its silence included; parts in other metres are silent. One tempo is kept.

    tapped: of a file without drums, every note is a tap.

    Raises:
      UserError: the file is missing, cannot be read, or has no drums in bars of the codec's length.
    """
    score = files.read(Path(path))
    if isinstance(score, Rejected):
        raise UserError(f"{path}: {score.reason}")
    parts = sections(score)
    if tapped and not any(part.is_drum.any() for part in parts):
        parts = [_taps(part) for part in parts]
    velocity, offset = np.zeros((0, 9), np.uint8), np.zeros((0, 9), np.float32)
    others, qpm, lost = set(), 0.0, 0
    known = [pitch for own in grooves.PITCHES for pitch in own]
    for part in parts:
        if part.steps_per_bar == codec.steps_per_bar:
            # Where it is in the file, but at a bar line, whatever the metres before.
            bar = max(
                -(-part.tick * 4 // (score.ticks_per_quarter * codec.steps_per_bar)),
                len(velocity) // part.steps_per_bar,
            )
            for groove in grooves.extract(part, pitches=grooves.PITCHES):
                first = bar * codec.steps_per_bar + groove.start
                silent = ((0, first - len(velocity)), (0, 0))
                velocity = np.concatenate([np.pad(velocity, silent), groove.velocity])
                offset = np.concatenate([np.pad(offset, silent), groove.offset])
            lost += int((part.is_drum & ~np.isin(part.pitch, known)).sum())
            qpm = qpm or (part.qpm if velocity.any() else 0.0)
        elif part.is_drum.any():
            others.add("{}/{}".format(*part.metre))
    metres = f"the parts in {', '.join(sorted(others))}" if others else ""
    if not qpm:
        raise UserError(f"{path}: no drums in bars of {codec.steps_per_bar} sixteenths{metres and f', only {metres}'}")
    if metres:
        print(f"{path}: {metres} are left silent")
    if lost:
        print(f"{path}: {lost} notes of drums that are none of the nine are left out")
    if len(score.tempo) > 1:
        print(f"{path}: of its tempos the first is kept, {qpm:g} quarters a minute")
    return Beat(velocity, offset, qpm)


class Cut(NamedTuple):
    """A slice of a beat: the bar where it begins, the first of its bars that is not in the one before, its encoding."""

    bar: int
    new: int
    encoded: Arrays


def cut(codec: Codec, whole: Beat) -> list[Cut]:
    """The slices that hold all of a beat, one after the other, from where it sounds.

    The last one begins earlier, so as to be full. A beat that is shorter than a slice is repeated.
    """
    total = len(whole.velocity) // codec.steps_per_bar
    sounds = whole.velocity.reshape(total, -1).max(axis=1) > 0
    times = -(-codec.bars // total)
    columns: dict[str, NDArray] = {
        "velocity": np.tile(whole.velocity, (times, 1)),
        "offset": np.tile(whole.offset, (times, 1)),
    }
    cuts, new = [], 0
    while new < total:
        if not sounds[new]:
            new += 1
            continue
        bar = max(min(new, total - codec.bars), 0)
        encoded = codec.encode({"name": "", "bar": bar, **columns})
        assert not isinstance(encoded, Rejected)
        cuts.append(Cut(bar, new, encoded))
        new = bar + codec.bars
    return cuts


def joined(codec: Codec, whole: Beat, cuts: Sequence[Cut], made: Sequence[Arrays], keep_hits: bool) -> tuple[Beat, int]:
    """The slices made of a beat, as one beat; and how many hits of the given beat the model had left out.

    keep_hits: hit is what was given, as the model plays it: a hit that it left out is as loud as it plays that drum on
    average, or all of them, and on the step.
    """
    bar, steps = codec.steps_per_bar, len(whole.velocity)
    given: NDArray[np.bool_] = np.asarray(whole.velocity > 0)
    velocity, offset = np.zeros_like(whole.velocity), np.zeros_like(whole.offset)
    for one, arrays in zip(cuts, made, strict=True):
        first, last = one.new * bar, min((one.bar + codec.bars) * bar, steps)
        own = grooves.from_features(arrays["groove"][(one.new - one.bar) * bar :])
        velocity[first:last], offset[first:last] = (column[: last - first] for column in own)
    missing: NDArray[np.bool_] = np.asarray(given & (velocity == 0))
    if keep_hits:
        everywhere = float(velocity[velocity > 0].mean()) if velocity.any() else 80.0
        for drum in range(velocity.shape[1]):
            loud = velocity[:, drum][velocity[:, drum] > 0]
            velocity[missing[:, drum], drum] = round(float(loud.mean()) if len(loud) else everywhere)
        velocity[~given], offset[~given] = 0, 0
    return Beat(velocity, offset, whole.qpm), int(missing.sum())


def _taps(part: Section) -> Section:
    count = len(part.pitch)
    return dataclasses.replace(part, is_drum=np.ones(count, bool), pitch=np.full(count, SNARE))
