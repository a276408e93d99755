"""How likely the pieces of a split are, and what samples are like beside excerpts of them and of training pieces.

An event is a note-on, a note-off, a time-shift or a velocity; with the encoding "notes" it is a note, and its six
numbers are to be told. Nothing is transposed or stretched. A model with controls is told what is true of the piece.

likelihood: two protocols, each over all pieces of the split
  whole_pieces               each piece from its first event to its last, the state carried all the way; the first event
                             of a piece is only read
  windows                    consecutive windows of 512 events, each from the state 0; the first event of a window is
                             only read, 511 are scored, as in the original. What is left at the end of a piece is a
                             shorter window, scored too if it has two events or more. The model knows less of what was
                             before, so its numbers are a little worse.
likelihood.*: of the scored events
  pieces, events, notes      how many pieces; scored events; note-ons among them, or notes
  seconds                    by which these events move the time on
  nats_per_event             -sum of log p over events; 0 and up, lower is better, log(388) = 5.96 is guessing. The
                             "loss" of training, and the number by which models of one encoding are compared
  perplexity                 exp(nats_per_event); 1 and up. Its standard error is that one's times the perplexity
  nats_per_note              the same sum over notes: of use across encodings
  nats_per_second            the same sum over seconds
  nats_per_step              the same sum over steps of the time grid: the published code's "loss per step", if 10 ms
  accuracy                   share of events that the model holds for the likeliest, 0 to 1; of notes: all six numbers
  accuracy_note_on, accuracy_note_off, accuracy_time_shift, accuracy_velocity
                             the same of the events of one type
standard_error: of the numbers of the same names. Pieces are the units, in both protocols: sqrt(P / (P - 1) * sum over
                             pieces of (total - value * weight)^2) / sum of weights. How far a number would vary with
                             other pieces; the difference of two models on the same pieces varies less.

Samples last 30 s, begin from nothing, and are drawn at one temperature (1 is the model's own distribution). Of each of
as many pieces of the split, chosen at random, and of as many training pieces ("training": what a model would get that
plays exactly like its training data, and so the noise of the measurement) there is an excerpt of 30 s from a random
place: the notes that begin there, as the model's events have them, cut at 30 s as samples are; shorter pieces are taken
whole. Notes of all three end after 5 s at the latest, and open ones with the 30 s. A model with controls is told, at
each second, what is true of an excerpt of the split, one after the other: its samples are nearer to the split for that.

samples
  count, temperature, seed   as asked for
  seconds                    of each, 30
  excerpts                   how many of the split, one a piece; training_excerpts: of the training data
  ended                      share that reached the 30 s in 6,000 events; others were filled with silence; 0 to 1
  empty                      share without a note, 0 to 1
features: of the notes of each sample or excerpt; FEATURES, below, says what they are
  samples, split, training   mean and deviation (standard, from one excerpt to the next), for those that are one number
  samples, training          oa, kld, kld_mgeval: agreement with the split; AGREEMENT, below, says how
histograms: inter_onset (50 ms bins to 2 s, and what is longer), duration (24 bins, 8 a decade from 10 ms), velocity (32
                             bins of 4), pitch (128), of all notes of a set together
  overlap, overlap_training  sum of the lesser shares, of samples (of training) and split; 0 to 1, 1 is best
  samples, split             the shares themselves (of pitch left out)
stuck_notes (not with the encoding "notes", where every note ends): 0 to 1, of samples, split, training
  held                       share of note-ons, of those with 5 s left, whose note-off does not come within 5 s. Real
                             ones are held that long by the pedal
  unended                    share of all note-ons without a note-off before the 30 s are over
  orphans                    share of note-offs without a note-on
copied: n events in a row that occur in a training piece as they are (not transposed), against all training pieces
  training_pieces, training_events
                             what was looked through
  events_8, events_16, events_32    with n = 8, 16, 32, of samples, and of the split in the same time as the excerpts,
                             with the events of notes that began before
  share                      of all n events in a row those that occur; 0 to 1. A model that copies is above the split
  longest_mean, longest_max  events of the longest passage of a sample or excerpt of which all n in a row occur
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from magenta_lite.errors import Rejected
from magenta_lite.models.performance_rnn import controls, events
from magenta_lite.models.performance_rnn import likelihood as scores
from magenta_lite.models.performance_rnn.codec import LONGEST_NOTE, Codec
from magenta_lite.models.performance_rnn.vocabulary import (
    NOTE_OFF,
    NOTE_ON,
    TIME_SHIFT,
    EventVocabulary,
    NoteVocabulary,
    Vocabulary,
)
from magenta_lite.music import metrics
from magenta_lite.sampler import Sampler

DEFINITIONS = (("FEATURES", metrics.features), ("AGREEMENT: OA, KLD", metrics.compare))
"""What defines the numbers of these groups, in its docstring."""

SAMPLES = 64
"""Drawn where nothing is asked for: half an hour of music."""

SECONDS = 30
"""Of a sample and of an excerpt."""

MOST_EVENTS = 6000
"""Of a sample: a real excerpt has 1,100 on average."""

NGRAMS = (8, 16, 32)

ROWS = {"cpu": 48}
"""Sequences scored side by side; on an accelerator 256."""

Example = dict[str, Any]
Numbers = dict[str, Any]
Tell = Callable[[str], None]
Pair = tuple[NDArray[np.float64], NDArray[np.float64]]
Tokens = NDArray[np.integer]
"""Events [T, F]."""


def likelihood(
    sampler: Sampler, examples: Iterable[Example], *, seed: int, tell: Tell, rows: int | None = None
) -> dict[str, dict[str, float | Pair]]:
    """The protocols that this module's docstring defines; a ratio as its totals and weights, piece by piece [P].

    examples: all of the split. seed: nothing here is random. rows: sequences that are scored side by side.
    """
    # Longest first; how many events a piece has, its notes tell well enough.
    pieces = sorted(examples, key=lambda example: len(example["start"]), reverse=True)
    rows = rows or ROWS.get(jax.default_backend(), 256)
    found = {}
    for name, parts in (("whole_pieces", iter), ("windows", scores.windows)):
        began = time.monotonic()
        tell(f"{name}: scoring {len(pieces):,} pieces")
        encoded = parts(_encoded(sampler.codec, pieces))
        sums = scores.score(sampler.model, encoded, len(pieces), rows=rows, tell=tell)
        found[name] = _numbers(sums, sampler.codec)
        tell(f"{name}: {found[name]['events']:,.0f} events in {time.monotonic() - began:,.1f} s")
    return found


def _encoded(codec: Codec, pieces: list[Example]) -> Iterator[tuple[int, dict[str, NDArray]]]:
    for number, piece in enumerate(pieces):
        encoded = codec.encode(piece)
        if not isinstance(encoded, Rejected):
            yield number, encoded


def _numbers(sums: scores.Sums, codec: Codec) -> dict[str, float | Pair]:
    """What the docstring defines, from the sums of pieces."""
    count = np.sum(list(sums.events.values()), axis=0)
    right = np.sum(list(sums.right.values()), axis=0)
    notes = sums.events.get(NOTE_ON, count)
    seconds = sums.steps / codec.steps_per_second
    of_type = {f"accuracy_{name}": (sums.right[name], one) for name, one in sums.events.items()}
    return {
        "pieces": len(sums.nats),
        "events": int(count.sum()),
        "notes": int(notes.sum()),
        "seconds": float(seconds.sum()),
        "nats_per_event": (sums.nats, count),
        "perplexity": float(np.exp(sums.nats.sum() / count.sum())) if count.sum() else np.nan,
        "nats_per_note": (sums.nats, notes),
        "nats_per_second": (sums.nats, seconds),
        "nats_per_step": (sums.nats, sums.steps),
        "accuracy": (right, count),
        **(of_type if len(of_type) > 1 else {}),
    }


def samples(
    sampler: Sampler,
    examples: list[Example],
    training: Iterable[Example],
    *,
    count: int,
    temperature: float,
    seed: int,
    tell: Tell,
) -> dict[str, Numbers]:
    """Draws `count` samples and gives the numbers that this module's docstring defines, in its groups.

    Args:
      examples: of the split that is evaluated, at least one, in random order.
      training: all that the model was trained on but `examples`, in random order.
    """
    codec, clock = sampler.codec, _Clock(tell)
    rng = np.random.default_rng([seed, 5])
    pieces = [(tokens, _place(tokens, codec, rng)) for tokens in _all_tokens(codec, examples)]
    split = [_excerpt(tokens, first, codec) for tokens, first in pieces]
    steps = SECONDS * codec.steps_per_second
    drawn = sampler.sample(
        count,
        seed=seed,
        temperature=temperature,
        condition=_told(split, sampler, count),
        max_length=MOST_EVENTS,
        steps=np.full(count, steps, np.int32),
    )
    made = [_cut(one["tokens"][: int(one["length"])], steps, codec.vocabulary) for one in drawn]
    clock.tell(f"{count:,} samples of {sum(map(len, made)):,} events drawn")
    known: list[NDArray] = []
    excerpts: list[Tokens] = []
    for tokens in _all_tokens(codec, training):
        known.append(_one_number(tokens, codec.vocabulary))
        if len(excerpts) < count:
            excerpts.append(_excerpt(tokens, _place(tokens, codec, rng), codec))
    clock.tell(f"{len(known):,} training pieces of {sum(map(len, known)):,} events read")
    sets = {"samples": made, "split": split, "training": excerpts}
    found: dict[str, Numbers] = {
        "samples": {
            "count": count,
            "temperature": temperature,
            "seed": seed,
            "seconds": SECONDS,
            "excerpts": len(split),
            "training_excerpts": len(excerpts),
            "ended": np.mean([one["ended"] for one in drawn]),
        }
    }
    notes = {
        name: [codec.decode({"tokens": tokens, "length": len(tokens), "steps": np.array(steps)}) for tokens in pieces]
        for name, pieces in sets.items()
    }
    found["samples"]["empty"] = np.mean([len(piece) == 0 for piece in notes["samples"]])
    found["features"] = _features({name: [metrics.features(piece) for piece in some] for name, some in notes.items()})
    pooled = {name: metrics.pooled(pieces) for name, pieces in notes.items()}
    found["histograms"] = {name: _histogram(name, pooled) for name in pooled["samples"]}
    clock.tell("features and histograms compared")
    if isinstance(codec.vocabulary, EventVocabulary):
        stuck = {name: _stuck(pieces, codec.vocabulary, codec.steps_per_second) for name, pieces in sets.items()}
        found["stuck_notes"] = {name: {group: one[name] for group, one in stuck.items()} for name in stuck["samples"]}
    passages = {"samples": made, "split": [_passage(tokens, first, codec) for tokens, first in pieces]}
    compared = {name: [_one_number(one, codec.vocabulary) for one in some] for name, some in passages.items()}
    found["copied"] = {"training_pieces": len(known), "training_events": sum(map(len, known))}
    for n in NGRAMS:
        index = metrics.NgramIndex.build(known, n)
        found["copied"][f"events_{n}"] = {name: _copied(pieces, index) for name, pieces in compared.items()}
    clock.tell("passages looked up in the training data")
    return found


class _Clock:
    """Tells what is done, and how long it took."""

    def __init__(self, tell: Tell):
        self._tell, self._last = tell, time.monotonic()

    def tell(self, line: str) -> None:
        now = time.monotonic()
        self._tell(f"{line} in {now - self._last:.1f} s")
        self._last = now


def _all_tokens(codec: Codec, examples: Iterable[Example]) -> Iterator[Tokens]:
    for example in examples:
        encoded = codec.encode(example)
        if not isinstance(encoded, Rejected):
            yield encoded["tokens"]


def _place(tokens: Tokens, codec: Codec, rng: np.random.Generator) -> int:
    """The step at which an excerpt of a piece begins: anywhere, but that SECONDS are left where there are as many."""
    length = int(events.steps_of(tokens, codec.vocabulary).sum())
    return int(rng.integers(0, max(length - SECONDS * codec.steps_per_second, 0) + 1))


def _excerpt(tokens: Tokens, first: int, codec: Codec) -> Tokens:
    """SECONDS of a piece from a step on: the notes that begin there, cut at the end as samples are."""
    vocabulary, steps = codec.vocabulary, SECONDS * codec.steps_per_second
    if isinstance(vocabulary, NoteVocabulary):
        notes = events.from_notes(tokens, vocabulary)
    else:
        notes, _ = events.from_events(tokens, vocabulary)
    rows = (notes.start >= first) & (notes.start < first + steps)
    part = events.Quantised(notes.start[rows] - first, notes.end[rows] - first, notes.pitch[rows], notes.velocity[rows])
    if isinstance(vocabulary, NoteVocabulary):
        return events.to_notes(part, vocabulary)[0]
    return _cut(events.to_events(part, vocabulary), steps, vocabulary)


def _passage(tokens: Tokens, first: int, codec: Codec) -> Tokens:
    """All events of the same time, as they stand, those of notes that began before among them."""
    moved = np.cumsum(events.steps_of(tokens, codec.vocabulary))
    return tokens[(moved >= first) & (moved < first + SECONDS * codec.steps_per_second)]


def _cut(tokens: Tokens, steps: int, vocabulary: Vocabulary) -> Tokens:
    """Events up to the time `steps`; a time-shift that goes beyond is shortened."""
    moved = np.cumsum(events.steps_of(tokens, vocabulary))
    kept = int((moved < steps).sum())
    if kept == len(tokens) or isinstance(vocabulary, NoteVocabulary):
        return tokens[:kept]
    tokens = tokens[: kept + 1].copy()
    tokens[-1] -= moved[kept] - steps
    return tokens


def _told(split: list[Tokens], sampler: Sampler, count: int) -> dict[str, NDArray]:
    """The controls of `count` samples: at each second those of an excerpt, one after the other."""
    codec = sampler.codec
    vocabulary = codec.vocabulary
    if not sampler.conditions or not isinstance(vocabulary, EventVocabulary):
        return {}
    told: dict[str, list[NDArray]] = {name: [] for name in ("told", "density", "histogram")}
    for tokens in split:
        density, histogram = np.zeros(SECONDS), np.full((SECONDS, controls.CLASSES), 1 / controls.CLASSES)
        if len(tokens):  # else 30 s of silence, and no note is asked for
            moves = events.steps_of(tokens, vocabulary)
            seconds = np.arange(SECONDS) * codec.steps_per_second
            place = np.minimum(np.searchsorted(np.cumsum(moves) - moves, seconds), len(tokens) - 1)
            density = controls.density(tokens, vocabulary, codec.steps_per_second)[place]
            histogram = controls.histogram(tokens, vocabulary, codec.steps_per_second)[place]
        told["told"].append(np.ones((), np.float32))
        told["density"].append(controls.density_bins(density))
        told["histogram"].append(histogram.astype(np.float32))
    which = np.arange(count) % len(split)
    return {name: np.stack(told[name])[which] for name in sampler.conditions}


def _features(features: dict[str, list[dict[str, NDArray]]]) -> Numbers:
    agreement = {name: metrics.compare(features[name], features["split"]) for name in ("samples", "training")}
    found: Numbers = {}
    for name, first in features["samples"][0].items():
        found[name] = {}
        for group, pieces in features.items():
            values = np.array([piece[name] for piece in pieces])
            spread = {"mean": values.mean(), "deviation": values.std()} if np.ndim(first) == 0 and len(pieces) else {}
            agreed = agreement.get(group, {}).get(name, {})
            one = spread | {key: agreed[key] for key in ("oa", "kld", "kld_mgeval") if key in agreed}
            if one:
                found[name][group] = one
    return found


def _histogram(name: str, pooled: dict[str, dict[str, NDArray]]) -> Numbers:
    found: Numbers = {
        "overlap": metrics.overlap(pooled["samples"][name], pooled["split"][name]),
        "overlap_training": metrics.overlap(pooled["training"][name], pooled["split"][name]),
    }
    if name != "pitch":
        for group in ("samples", "split"):
            counts = pooled[group][name]
            found[group] = (counts / max(counts.sum(), 1)).tolist()
    return found


def _stuck(pieces: list[Tokens], vocabulary: EventVocabulary, steps_per_second: int) -> dict[str, float | None]:
    """Shares of notes that are held too long, do not end, or end without a beginning."""
    longest = round(LONGEST_NOTE * steps_per_second)
    held = early = unended = orphans = ons = offs = 0
    for tokens in pieces:
        notes, odd = events.from_events(tokens, vocabulary)
        moved = np.cumsum(events.steps_of(tokens, vocabulary))
        on = tokens[:, 0] < vocabulary.offset(NOTE_OFF)
        held += int((notes.end - notes.start > longest).sum())
        early += int((moved[on] < moved[-1] - longest).sum()) if len(tokens) else 0
        unended += odd["notes without an end"]
        orphans += odd["note-offs without a note-on"]
        ons += int(on.sum())
        offs += int(((tokens[:, 0] < vocabulary.offset(TIME_SHIFT)) & ~on).sum())
    return {
        "held": held / early if early else None,
        "unended": unended / ons if ons else None,
        "orphans": orphans / offs if offs else None,
    }


def _one_number(tokens: Tokens, vocabulary: Vocabulary) -> NDArray[np.uint16]:
    """A number for each event [T, F]; of a note a hash of its six, which 1 in 65,536 others share."""
    if isinstance(vocabulary, EventVocabulary):
        return tokens[:, 0].astype(np.uint16)
    number = np.ravel_multi_index(tuple(tokens.T), vocabulary.fields).astype(np.uint64)
    return (number * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(48)).astype(np.uint16)


def _copied(pieces: list[NDArray[np.uint16]], index: metrics.NgramIndex) -> Numbers:
    found = metrics.ngram_overlap(pieces, index)
    return {"share": found.share, "longest_mean": found.longest.mean(), "longest_max": found.longest.max()}
