"""Passages <-> slices of some bars, as numbers: which of their windows, how transposed, and what is told."""

import dataclasses
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from magenta_lite.errors import Rejected, UserError, nearest
from magenta_lite.models.music_vae import files, output
from magenta_lite.music import chords, drums, grooves, melodies
from magenta_lite.music.notes import DEFAULT_QPM, Notes
from magenta_lite.options import check_types, refuse_decided
from magenta_lite.sheet import Sheet

Example = dict[str, Any]
"""The columns of a passage; name: where it comes from; label. bar: which window of it is meant, where one is."""

Arrays = dict[str, NDArray]

KINDS = {
    "melody": ("melody", "melodies"),
    "drums": ("drums", "drums"),
    "drum_roll": ("drums", "drums"),
    "trio": ("bass", "trios"),
    "groove": ("offset", "grooves"),
}
"""For each kind the column that its records are known by, and what they are called."""

HITS = "hits_control"
"""The groove input of which the decoder, too, is told the hits."""

GROOVE_INPUTS = (*grooves.INPUTS, HITS)
BASS_PROGRAM = 33  # the original's: an electric bass, fingered


@dataclasses.dataclass(frozen=True)
class Codec:
    """How passages become slices. All are options, but labels and steps_per_bar, which the data decides.

    kind: melody (90 classes), drums (512 combinations of nine drums), drum_roll (hits of 9 or 61 drums, drum_classes),
    trio (melody, bass and drums), groove (hits, velocities and offsets of nine drums). bars: of a slice. transpose:
    melodies, bass lines and chords are moved by up to so many semitones in training. chords: the model is told the
    chord of every step. groove_input: what the encoder is given for a groove, of GROOVE_INPUTS.
    steps_per_bar: sixteenth notes of a bar.
    """

    noun: ClassVar[str] = "slices"
    reads: ClassVar[tuple[str, str]] = ("steps_per_bar", "melodies, drums, trios or grooves")

    labels: tuple[str, ...] = ()
    kind: str = "melody"
    bars: int = 2
    steps_per_bar: int = 16
    transpose: int = 0
    chords: bool = False
    drum_classes: int = 9
    groove_input: str = "groove"

    def __post_init__(self) -> None:
        check_types("config.codec", vars(self), type(self))
        object.__setattr__(self, "labels", tuple(self.labels))
        for field, name, valid in (
            ("kind", self.kind, tuple(KINDS)),
            ("groove_input", self.groove_input, GROOVE_INPUTS),
        ):
            if name not in valid:
                raise UserError(f"config.codec.{field}={name!r} is unknown: {nearest(name, valid)}")
        for field, good, expected in (
            ("bars", 1 <= self.bars <= 1024, "1 to 1024"),
            ("steps_per_bar", 1 <= self.steps_per_bar <= 1024, "1 to 1024"),
            ("transpose", 0 <= self.transpose <= 48, "0 to 48 semitones"),
            ("drum_classes", self.drum_classes in (len(drums.PITCHES), len(drums.ALL)), "9 or 61"),
        ):
            if not good:
                raise UserError(f"config.codec.{field}={getattr(self, field)}: expected {expected}")
        if self.chords and self.kind != "melody":
            raise UserError(f"config.codec.chords=True is for config.codec.kind=melody, not {self.kind}")
        if self.groove_input != "groove" and self.kind != "groove":
            raise UserError(
                f"config.codec.groove_input={self.groove_input} is for config.codec.kind=groove, not {self.kind}"
            )

    @property
    def steps(self) -> int:
        """Of a slice."""
        return self.bars * self.steps_per_bar

    @property
    def classes(self) -> tuple[int, ...]:
        """Of each stream of tokens."""
        melody, combinations = melodies.CLASSES, 2 ** len(drums.PITCHES)
        return {
            "melody": (melody,),
            "drums": (combinations,),
            "trio": (melody, melody, combinations),
        }.get(self.kind, ())

    @property
    def streams(self) -> tuple[str, ...]:
        """What they are called."""
        return {"melody": ("melody",), "trio": ("melody", "bass", "drums")}.get(self.kind, ("drums",))

    @property
    def arrays(self) -> str:
        """What an encoded slice is called: tokens, roll or groove."""
        return {"drum_roll": "roll", "groove": "groove"}.get(self.kind, "tokens")

    @property
    def input_size(self) -> int:
        """Columns that the encoder reads at each step, without what it is told."""
        if self.kind == "groove":
            return 3 * len(grooves.INSTRUMENTS)
        if self.kind == "drums":
            return len(drums.PITCHES) + 1
        return self.drum_classes + 1 if self.kind == "drum_roll" else sum(self.classes)

    @property
    def controls(self) -> str:
        """What the model is told at each step: chord, hits, or nothing."""
        return "chord" if self.chords else "hits" if self.groove_input == HITS else ""

    @classmethod
    def from_data(cls, options: dict[str, Any], data: Any) -> tuple["Codec", dict[str, int]]:
        """The codec for prepared data, and how many passages its limits touch, by what is done to them.

        Raises:
          UserError: `check` refuses the data, or no passage of the train split is long enough.
        """
        refuse_decided("config.codec", options, ("labels",))
        codec = cls(labels=data.labels, **{"steps_per_bar": data.source["options"]["steps_per_bar"], **options})
        codec.check(data)
        touched = {}
        for split, lengths in data.lengths.items():
            if short := int((codec.lengths(lengths) == 0).sum()):
                touched[f"{split}: refused, shorter than {codec.bars} bars"] = short
        if not codec.lengths(data.lengths["train"]).any():
            raise UserError(f"no passage of the train split has {codec.bars} bars: give a smaller config.codec.bars")
        return codec, touched

    def check(self, data: Any) -> None:
        """Refuses prepared data that slices cannot be cut from.

        Raises:
          UserError: passages are of another kind, their bars have another number of steps, or chords are asked for and
            the data was prepared without.
        """
        for column in (KINDS[self.kind], *([("chord", "chords")] if self.chords else [])):
            data.need(*column)
        options = data.source["options"]
        if options["steps_per_bar"] != self.steps_per_bar:
            raise UserError(
                f"the bars of {data.folder} have {options['steps_per_bar']} steps, those of the codec "
                f"{self.steps_per_bar} (config.codec.steps_per_bar): prepare data of that --metre"
            )
        if self.chords and options.get("chords") == "none":
            raise UserError(
                f"{data.folder} was prepared without chords, which config.codec.chords=True tells the model: "
                "prepare it with --chords=infer"
            )

    def lengths(self, stored: NDArray[np.integer]) -> NDArray[np.integer]:
        """The steps of a slice, for passages of so many steps; 0 where they are shorter, and refused."""
        return np.where(stored >= self.steps, self.steps, 0)

    def takes(self, stored: NDArray[np.integer]) -> NDArray[np.integer]:
        """How often a pass over the data takes a slice of each passage: as many times as it has windows."""
        return np.maximum((stored - self.steps) // self.steps_per_bar + 1, 1)

    def read(self, path: str | os.PathLike[str]) -> Iterator[tuple[str, Example | Rejected]]:
        """Every slice of a MIDI file that sounds, each once: (where in it, the passage with its `bar`).

        Raises:
          UserError: no such file, or no MIDI file by its name.
        """
        return files.slices(self, Path(path))

    def windows(self, example: Example, distinct: bool = True) -> list[int]:
        """The bars at which slices of a passage begin: those that sound, and of equal ones the first."""
        sounding = self._sounding(example)
        if not distinct or len(sounding) < 2:
            return sounding.tolist()
        rows = self._bytes(example, sounding).reshape(len(sounding), -1)
        _, first = np.unique(rows.view(f"V{rows.shape[1]}"), return_index=True)
        return sounding[np.sort(first)].tolist()

    def encode(self, example: Example, rng: np.random.Generator | None = None) -> Arrays | Rejected:
        """tokens int32 [T, S]; or roll uint8 [T, K]; or groove and given float32 [T, 27]; and what the model is told.

        chord int32 [T]; hits float32 [T, 9]. Of the window that the example names, or else of the excerpt's. With rng,
        as for training: of one of the passage's distinct windows, transposed at random.
        """
        windows = self._sounding(example)
        if not len(windows):
            short = len(example[self._columns()[0]]) < self.steps
            return Rejected(f"shorter than {self.bars} bars" if short else f"no {self.bars} bars that sound")
        if rng is None:
            bar = example["bar"] if "bar" in example else windows[_number(example["name"]) % len(windows)]
            return self._encode(example, int(bar), 0, None)
        windows = np.array(self.windows(example))
        bar = int(windows[rng.integers(len(windows))])
        return self._encode(example, bar, int(rng.integers(-self.transpose, self.transpose + 1)), rng)

    def excerpt(self, example: Example) -> Arrays | Rejected:
        """What training validates on: one window of the passage, always the same, where its name decides."""
        return self.encode({name: value for name, value in example.items() if name != "bar"})

    def decode(self, arrays: Arrays) -> Notes:
        """The slice as notes, at 120 quarters a minute or at `qpm`, where that is given."""
        qpm = float(arrays.get("qpm", DEFAULT_QPM))
        if self.kind == "groove":
            return grooves.to_notes(*grooves.from_features(arrays["groove"]), qpm=qpm)
        if self.kind == "drum_roll":
            powers = 1 << np.arange(self.drum_classes, dtype=np.uint64)
            masks = (arrays["roll"].astype(np.uint64) * powers).sum(axis=1, dtype=np.uint64)
            return drums.to_notes(masks, qpm=qpm, reduced=self.drum_classes == len(drums.PITCHES))
        tokens = arrays["tokens"]
        if self.kind == "drums":
            return drums.to_notes(tokens[:, 0].astype(np.uint64), qpm=qpm, reduced=True)
        melody = melodies.to_notes(tokens[:, 0].astype(np.uint8), qpm=qpm)
        if self.kind == "melody":
            return melody
        bass = melodies.to_notes(tokens[:, 1].astype(np.uint8), qpm=qpm, program=BASS_PROGRAM, instrument=1)
        beat = drums.to_notes(tokens[:, 2].astype(np.uint64), qpm=qpm, reduced=True)
        return files.together([melody, bass, beat], qpm)

    def condition(self, *, chords: Sequence[str] | None = None, hits: NDArray | None = None) -> Arrays:
        """What a person may ask for: names of chords, each for an equal part of the slice; or hits [T, 9].

        Raises:
          UserError: the model was not told of it in training, a name is no chord, or there are more than steps.
        """
        asked = {"chord": chords, "hits": hits}
        for name, value in asked.items():
            flag = "chords" if name == "chord" else name
            if value is not None and name != self.controls:
                raise UserError(f"--{flag}: the model was not told of {flag} in training")
            if value is None and name == self.controls:
                missing = "--chords=C,G,Am,F" if name == "chord" else "a groove to take the hits of"
                raise UserError(f"the model was told of {flag} in training: give {missing}")
        if chords is not None:
            return {"chord": _spread(chords, self.steps)}
        return {} if hits is None else {"hits": np.asarray(hits, np.float32)}

    def write(self, sheet: Sheet, folder: Path) -> list[Path]:
        """A sheet of slices as MIDI files, piano rolls and a page; the paths written."""
        return output.write(sheet, folder, steps_per_bar=self.steps_per_bar, bars=self.bars)

    def adapt(self, example: Example) -> Example:
        """A passage of another data set: as it is, since steps and pitches are the same everywhere."""
        return example

    def _columns(self) -> tuple[str, ...]:
        return {
            "melody": ("melody", "chord") if self.chords else ("melody",),
            "trio": ("melody", "bass", "drums"),
            "groove": ("velocity", "offset"),
        }.get(self.kind, ("drums",))

    def _sounding(self, example: Example) -> NDArray[np.integer]:
        """Bars at which windows begin in which something begins to sound."""
        sounds = np.zeros(len(example[self._columns()[0]]), bool)
        for name in self._columns():
            if name in ("melody", "bass"):
                sounds |= example[name] >= melodies.FIRST_NOTE
            elif name in ("drums", "velocity"):
                column = drums.reduced(example[name]) if name == "drums" and self.drum_classes == 9 else example[name]
                sounds |= (column > 0).reshape(len(sounds), -1).any(axis=1)
        count = len(sounds) // self.steps_per_bar - self.bars + 1
        bars = sounds[: len(sounds) // self.steps_per_bar * self.steps_per_bar].reshape(-1, self.steps_per_bar).any(1)
        before = np.concatenate([[0], np.cumsum(bars)])
        begins = np.arange(max(count, 0))
        return begins[before[begins + self.bars] > before[begins]]

    def window(self, example: Example, bar: int) -> NDArray[np.uint8]:
        """The columns of a window, [T, ...] side by side as bytes: equal windows are equal here."""
        return self._bytes(example, np.array([bar]))[0]

    def _bytes(self, example: Example, bars: NDArray[np.integer]) -> NDArray[np.uint8]:
        """The same of several windows, [N, T, ...]: all at once, since training asks for them at every example."""
        steps = bars[:, None] * self.steps_per_bar + np.arange(self.steps)[None]
        parts = []
        for name in self._columns():
            column = example[name]
            if name == "drums" and self.drum_classes == 9:
                column = drums.reduced(column)
            rows = column[steps]
            if self.kind == "melody" and name == "melody":
                # As melodies.window: nothing before the first note.
                rows = np.where(np.logical_or.accumulate(rows >= melodies.FIRST_NOTE, axis=1), rows, melodies.NO_EVENT)
            rows = np.ascontiguousarray(rows, column.dtype)
            parts.append(rows.view(np.uint8).reshape(*steps.shape, -1))
        return np.concatenate(parts, axis=2)

    def _encode(self, example: Example, bar: int, shift: int, rng: np.random.Generator | None) -> Arrays:
        first = bar * self.steps_per_bar
        here = slice(first, first + self.steps)
        if self.kind == "groove":
            return self._groove(example["velocity"][here], example["offset"][here], rng)
        if self.kind == "drum_roll":
            masks = example["drums"][here]
            masks = drums.reduced(masks).astype(np.uint64) if self.drum_classes == len(drums.PITCHES) else masks
            return {"roll": ((masks[:, None] >> np.arange(self.drum_classes, dtype=np.uint64)) & 1).astype(np.uint8)}
        if self.kind == "drums":
            return {"tokens": drums.reduced(example["drums"][here]).astype(np.int32)[:, None]}
        if self.kind == "melody":
            streams: list[NDArray] = [melodies.window(example["melody"], first, self.steps)]
        else:
            streams = [example["melody"][here], example["bass"][here]]
        streams, shift = _transposed(streams, shift)
        if self.kind == "trio":
            streams.append(drums.reduced(example["drums"][here]))
        arrays: Arrays = {"tokens": np.stack(streams, axis=1).astype(np.int32)}
        if self.chords:
            arrays["chord"] = chords.transpose(example["chord"][here], shift).astype(np.int32)
        return arrays

    def _groove(
        self, velocity: NDArray[np.uint8], offset: NDArray[np.float32], rng: np.random.Generator | None
    ) -> Arrays:
        kind = "groove" if self.groove_input == HITS else self.groove_input
        if kind.endswith("note_dropout") and rng is None:
            kind = kind.removesuffix("_note_dropout")  # which notes a person leaves out is not for chance to say
        arrays: Arrays = {
            "groove": grooves.features(velocity, offset),
            "given": grooves.encoder_input(kind, velocity, offset, rng),
        }
        if self.groove_input == HITS:
            arrays["hits"] = grooves.hits(velocity).astype(np.float32)
        return arrays


def _transposed(streams: list[NDArray], shift: int) -> tuple[list[NDArray], int]:
    """Melodies moved together by as much of the shift as keeps every note in range, and that shift."""
    streams = [events.astype(np.int32) for events in streams]
    notes = np.concatenate([events[events >= melodies.FIRST_NOTE] for events in streams])
    if len(notes) and shift:
        shift = int(np.clip(shift, melodies.FIRST_NOTE - notes.min(), melodies.CLASSES - 1 - notes.max()))
    return [np.where(events >= melodies.FIRST_NOTE, events + shift, events) for events in streams], shift


def _spread(names: Sequence[str], steps: int) -> NDArray[np.int32]:
    """The chord of each step, where each chord holds for an equal part."""
    if not 1 <= len(names) <= steps:
        raise UserError(f"--chords: {len(names)} chords, expected 1 to {steps}")
    numbers = np.array([chords.number(name) for name in names], np.int32)
    return numbers[np.arange(steps) * len(names) // steps]


def _number(name: str) -> int:
    """A number that a name decides."""
    return int.from_bytes(hashlib.sha256(str(name).encode("utf-8", "surrogatepass")).digest()[:6], "big")
