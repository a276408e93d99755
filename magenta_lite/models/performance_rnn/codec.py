"""Performances <-> arrays of event numbers, whole or as random, augmented crops."""

import dataclasses
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from magenta_lite.errors import Rejected, UserError, nearest
from magenta_lite.models.performance_rnn import controls, events, output
from magenta_lite.models.performance_rnn.vocabulary import EventVocabulary, NoteVocabulary, Vocabulary
from magenta_lite.music import midi, transforms
from magenta_lite.music.notes import Notes
from magenta_lite.music.score import Score
from magenta_lite.options import check_types, refuse_decided
from magenta_lite.sheet import Sheet

Example = dict[str, Any]
"""The columns of a Score as pack() makes them; name: where it comes from; label."""

Arrays = dict[str, NDArray]

LONGEST_NOTE = 5.0
"""Seconds after which a sampled note ends, as in the original: an open note never hangs."""

MOST_EVENTS = 1 << 18
"""Of a crop; the longest piece of MAESTRO has about half as many."""

MOST_PARTS = 500
"""Values of a control over a piece."""

EVENTS_A_NOTE = {"events": 4, "notes": 1}
"""About: of MAESTRO 4.05; a note-on, a note-off, and shifts and velocities, some of which notes share."""


@dataclasses.dataclass(frozen=True)
class Codec:
    """How performances become events, and how they are varied in training. All are options.

    encoding: "events" (a number for each note-on, note-off, time-shift, velocity) or "notes" (six numbers a note).
    steps_per_second: of the time grid. max_shift: steps of the longest time-shift; of a note's, with encoding "notes".
    max_duration: steps of the longest note, with encoding "notes". velocity_bins: loudnesses told apart; 0: none.
    sustain: notes are held as long as the pedal holds them.
    controls: what the model is told: "notes_per_second", "pitch_class_histogram", both or nothing.
    optional_controls: half of the training examples are told nothing, so that sampling may leave controls out.
    crop: events in a training example, and in an excerpt for validation. transpose: training pieces are moved by up to
    so many semitones up or down. stretch: their times are multiplied by 1 - stretch to 1 + stretch.
    """

    noun: ClassVar[str] = "crops"
    reads: ClassVar[tuple[str, str]] = ("pitch", "pieces of music")

    labels: tuple[str, ...] = ()
    encoding: str = "events"
    steps_per_second: int = 100
    max_shift: int = 100
    max_duration: int = 1000
    velocity_bins: int = 32
    sustain: bool = True
    controls: tuple[str, ...] = ()
    optional_controls: bool = False
    crop: int = 512
    transpose: int = 3
    stretch: float = 0.05

    def __post_init__(self) -> None:
        check_types("config.codec", vars(self), type(self))
        object.__setattr__(self, "labels", tuple(self.labels))
        object.__setattr__(self, "controls", tuple(self.controls))
        for field, good, expected in (
            ("encoding", self.encoding in EVENTS_A_NOTE, "events or notes"),
            ("steps_per_second", 1 <= self.steps_per_second <= 1000, "1 to 1000"),
            ("max_shift", 1 <= self.max_shift <= 10_000, "1 to 10000 steps"),
            ("max_duration", 1 <= self.max_duration <= 10_000, "1 to 10000 steps"),
            ("velocity_bins", 0 <= self.velocity_bins <= 127, "0 (none) to 127"),
            ("crop", self.crop >= 2, "at least 2 events, of which the first is only read"),
            ("crop", self.crop <= MOST_EVENTS, f"at most {MOST_EVENTS} events"),
            ("transpose", 0 <= self.transpose <= 64, "0 to 64 semitones"),
            ("stretch", 0 <= self.stretch < 1, "a share in 0..1, 1 left out"),
        ):
            if not good:
                raise UserError(f"config.codec.{field}={getattr(self, field)}: expected {expected}")
        for name in self.controls:
            if name not in controls.CONTROLS:
                raise UserError(f"config.codec.controls: no control {name!r}: {nearest(name, controls.CONTROLS)}")
        if self.encoding == "notes" and (self.controls or not self.velocity_bins):
            raise UserError("config.codec.encoding=notes takes no controls, and velocity_bins of at least 1")
        if self.encoding == "notes" and not (_composite(self.max_shift + 1) and _composite(self.max_duration)):
            raise UserError(
                "config.codec.encoding=notes: max_shift + 1 and max_duration are parted in two, so they must have "
                f"divisors: not {self.max_shift} and {self.max_duration}; 1000 and 1000 are usual"
            )
        if self.optional_controls and not self.controls:
            raise UserError("config.codec.optional_controls=True: name the config.codec.controls to be left out")

    @property
    def vocabulary(self) -> Vocabulary:
        """Which number stands for which event."""
        if self.encoding == "notes":
            return NoteVocabulary(self.max_shift, self.max_duration, self.velocity_bins)
        return EventVocabulary(self.max_shift, self.velocity_bins)

    @classmethod
    def from_data(cls, options: dict[str, Any], data: Any) -> tuple["Codec", dict[str, int]]:
        """The codec for prepared data, and how many items its limits touch, by what is done to them.

        data has labels, lengths (notes of every piece, by split) and examples(split), an iterator.

        Raises:
          UserError: no piece of the train split has a note.
        """
        refuse_decided("config.codec", options, ("labels",))
        codec = cls(labels=data.labels, **options)
        touched: dict[str, int] = {}
        for split, lengths in data.lengths.items():
            if empty := int((lengths == 0).sum()):
                touched[f"{split}: refused, no notes"] = empty
        if not codec.lengths(data.lengths["train"]).any():
            raise UserError("no piece of the train split has a note: check the data")
        if codec.encoding == "notes":
            for split in data.lengths:
                for example in data.examples(split):
                    for what, count in codec._numbers(codec._notes(example), 1.0)[1].items():
                        touched[f"{split}: {what}"] = touched.get(f"{split}: {what}", 0) + count
        return codec, {what: count for what, count in touched.items() if count}

    def check(self, data: Any) -> None:
        """Raises UserError where prepared data holds no pieces of music."""
        data.need(*self.reads)

    def lengths(self, stored: NDArray[np.integer]) -> NDArray[np.integer]:
        """The events of a crop, for pieces of these numbers of notes; 0 where they are refused."""
        return np.where(stored > 0, self.crop, 0)

    def takes(self, stored: NDArray[np.integer]) -> NDArray[np.integer]:
        """How often a pass over the data crops each piece: so that all events are taken about equally often."""
        return np.maximum(-(-stored * EVENTS_A_NOTE[self.encoding] // self.crop), 1)

    def read(self, path: str | os.PathLike[str]) -> Iterator[tuple[str, Example | Rejected]]:
        """The piece of a MIDI file.

        Raises:
          UserError: no such file, or no MIDI file by its name.
        """
        if not str(path).lower().endswith((".mid", ".midi", ".kar")):
            raise UserError(f"{path}: expected a performance as .mid, .midi or .kar")
        score = midi.read(path)
        name = Path(path).name
        return iter([(name, score if isinstance(score, Rejected) else {**score.pack(), "name": name})])

    def encode(self, example: Example, rng: np.random.Generator | None = None) -> Arrays | Rejected:
        """tokens int32 [T, F], the event numbers; and what the model is told, at each event.

        density int32 [T], a bin; histogram float32 [T, 12]; told, float32: 1, or 0 where the controls are left out.
        The whole piece; with rng, as for training: a crop at random, of the piece transposed and stretched at random.
        """
        notes = self._notes(example)
        factor = 1.0
        if rng is not None:
            shift = rng.integers(-self.transpose, self.transpose + 1)
            if len(notes):
                shift = np.clip(shift, -notes.pitch.min(), 127 - notes.pitch.max())
            notes = notes.replace(pitch=notes.pitch + np.int16(shift))
            factor = rng.uniform(1 - self.stretch, 1 + self.stretch)
        tokens, _ = self._numbers(notes, factor)
        if not len(tokens):
            return Rejected("no notes")
        first, last = 0, len(tokens)
        if rng is not None and last > self.crop:
            first = int(rng.integers(0, last - self.crop + 1))
            last = first + self.crop
        return self._arrays(tokens, first, last, told=rng is None or not self.optional_controls or rng.random() < 0.5)

    def excerpt(self, example: Example) -> Arrays | Rejected:
        """What training validates on: one crop of the piece, always the same, where its name decides."""
        tokens, _ = self._numbers(self._notes(example), 1.0)
        if not len(tokens):
            return Rejected("no notes")
        place = int.from_bytes(
            hashlib.sha256(str(example["name"]).encode("utf-8", "surrogatepass")).digest()[:6], "big"
        )
        first = place % max(len(tokens) - self.crop + 1, 1)
        return self._arrays(tokens, first, min(first + self.crop, len(tokens)), told=True)

    def decode(self, arrays: Arrays) -> Notes:
        """A piece from tokens [T, F] and length; no note is longer than 5 s, and every open one ends with the piece.

        steps, where it is given, is when the piece ends.
        """
        numbers = arrays["tokens"][: int(arrays["length"])]
        longest = round(LONGEST_NOTE * self.steps_per_second)
        vocabulary = self.vocabulary
        if isinstance(vocabulary, NoteVocabulary):
            quantised = events.from_notes(numbers, vocabulary)
        else:
            quantised, _ = events.from_events(numbers, vocabulary, longest=longest)
        end = np.minimum(quantised.end, quantised.start + longest)
        if "steps" in arrays:
            end = np.minimum(end, np.maximum(int(arrays["steps"]), quantised.start))
        return Notes(
            start=quantised.start / self.steps_per_second,
            end=end / self.steps_per_second,
            pitch=quantised.pitch,
            velocity=np.minimum(quantised.velocity, 127),
        )

    def condition(
        self,
        *,
        notes_per_second: Sequence[float] | None = None,
        pitch_class_histogram: Sequence[Sequence[float]] | None = None,
        told: bool = True,
    ) -> Arrays:
        """What a person may ask for, each value for an equal part of the piece.

        density int32 [S], bins of notes a second; histogram float32 [S, 12], shares of weights from C on; told float32,
        where the model was trained with optional_controls: 1 where something is asked for and it is to be heard.

        Raises:
          UserError: the model was not told of it in training, or a value is none that it can be told.
        """
        for name, values in ((controls.DENSITY, notes_per_second), (controls.HISTOGRAM, pitch_class_histogram)):
            if values is not None and name not in self.controls:
                known = ", ".join(self.controls) or "nothing"
                raise UserError(f"--{name}: the model was not told of it in training, but of {known}")
            if values is not None and not 1 <= len(values) <= MOST_PARTS:
                raise UserError(f"--{name}: {len(values)} values, expected 1 to {MOST_PARTS}")
        asked: Arrays = {}
        if notes_per_second is not None:
            for value in notes_per_second:
                if not 0 <= value < np.inf:
                    raise UserError(f"--{controls.DENSITY}={value:g}: expected 0 or more notes a second")
            asked["density"] = controls.density_bins(np.asarray(notes_per_second, np.float64))
        if pitch_class_histogram is not None:
            for weights in pitch_class_histogram:
                row = np.asarray(weights, np.float64)
                if len(row) != controls.CLASSES or not (np.isfinite(row) & (row >= 0)).all() or not row.any():
                    shown = ",".join(f"{weight:g}" for weight in weights)
                    raise UserError(
                        f"--{controls.HISTOGRAM}={shown}: expected {controls.CLASSES} weights, from C to B, "
                        "0 or more and not all 0"
                    )
            rows = np.asarray(pitch_class_histogram, np.float64)
            asked["histogram"] = controls.normalised(rows / rows.max(axis=-1, keepdims=True)).astype(np.float32)
        if self.optional_controls:
            asked["told"] = np.array(told and bool(asked), np.float32)
        return asked

    def write(self, sheet: Sheet, folder: Path) -> list[Path]:
        """A sheet of pieces as MIDI files and piano rolls; the paths written."""
        return output.write(sheet, folder)

    def adapt(self, example: Example) -> Example:
        """A piece of another data set: as it is, since seconds and pitches are the same everywhere."""
        return example

    def _notes(self, example: Example) -> Notes:
        notes = Score.unpack(example).notes()
        if notes.is_drum.any():
            notes = notes.select(~notes.is_drum)
        return transforms.sustain(notes) if self.sustain else notes

    def _numbers(self, notes: Notes, factor: float) -> tuple[NDArray[np.int32], dict[str, int]]:
        """Event numbers [T, F] of notes whose times are multiplied by factor, and what was cut."""
        stretched = notes if factor == 1.0 else notes.replace(start=notes.start * factor, end=notes.end * factor)
        start, end = transforms.quantise(stretched, self.steps_per_second)
        quantised = events.Quantised(start, end, notes.pitch, notes.velocity)
        vocabulary = self.vocabulary
        if isinstance(vocabulary, NoteVocabulary):
            return events.to_notes(quantised, vocabulary)
        return events.to_events(quantised, vocabulary), {}

    def _arrays(self, tokens: NDArray[np.int32], first: int, last: int, told: bool) -> Arrays:
        arrays: Arrays = {"tokens": tokens[first:last]}
        vocabulary = self.vocabulary
        if self.controls and isinstance(vocabulary, EventVocabulary):
            if controls.DENSITY in self.controls:
                values = controls.density(tokens, vocabulary, self.steps_per_second)
                arrays["density"] = controls.density_bins(values[first:last])
            if controls.HISTOGRAM in self.controls:
                shares = controls.histogram(tokens, vocabulary, self.steps_per_second)
                arrays["histogram"] = shares[first:last].astype(np.float32)
            if self.optional_controls:
                arrays["told"] = np.array(told, np.float32)
        return arrays


def _composite(number: int) -> bool:
    return any(number % i == 0 for i in range(2, int(number**0.5) + 1))
