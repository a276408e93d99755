"""What a model gives every event of whole pieces, or of windows of them, summed piece by piece.

Both ways are one program over a batch of rows: a row reads a sequence chunk by chunk, its state carried from one to the
next, and when the sequence ends, the row begins another one with the state reset. A window is a short sequence.
"""

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from magenta_lite.models.performance_rnn import events
from magenta_lite.models.performance_rnn.model import Model
from magenta_lite.models.performance_rnn.vocabulary import EventVocabulary, Vocabulary

Arrays = dict[str, NDArray]

WINDOW = 512
"""Events of a window, of which the first is only read: the original's length of training examples."""

CHUNK = WINDOW - 1
"""Events scored by one call of the program, in each row: a window fits."""

TOLD_EVERY = 10.0
"""Seconds between two lines about how far it is."""


@dataclasses.dataclass(frozen=True, eq=False)
class Sums:
    """Of the scored events of P pieces, float64: nats [P]; steps [P], by which they move time on; and by type of event.

    events, right: {type: [P]}, how many there are, and how many of them are the likeliest. Notes have one type.
    """

    nats: NDArray[np.float64]
    steps: NDArray[np.float64]
    events: dict[str, NDArray[np.float64]]
    right: dict[str, NDArray[np.float64]]


def windows(pieces: Iterable[tuple[int, Arrays]], length: int = WINDOW) -> Iterator[tuple[int, Arrays]]:
    """Each piece in windows of `length` events, one after the other, the last one shorter."""
    for number, arrays in pieces:
        for start in range(0, len(arrays["tokens"]), length):
            yield number, {name: part(value, slice(start, start + length)) for name, value in arrays.items()}


def part(value: NDArray, rows: slice) -> NDArray:
    """Rows of an array that has a time axis; what has none stays."""
    return value[rows] if np.ndim(value) else value


def score(
    model: Model,
    sequences: Iterable[tuple[int, Arrays]],
    pieces: int,
    *,
    rows: int,
    chunk: int = CHUNK,
    tell: Callable[[str], None] = lambda line: None,
) -> Sums:
    """Scores sequences of encoded events, each from the state 0; the first event of each is only read.

    Rows and chunk change the result by rounding alone.

    Args:
      sequences: (number of the piece, encoded events); long ones first, so that rows end at about the same time. They
        are encoded while the device works.
      pieces: how many there are; numbers are below.
      rows: sequences that are read side by side; halved as they come to an end.
      chunk: events of each that one call of the program scores.
    """
    graph, parameters = nnx.split(model)
    first = model.first_state(1)

    @jax.jit
    def advance(parameters: Any, state: Any, batch: Any, last: jax.Array, begins: jax.Array) -> Any:
        def reset(new: jax.Array, old: jax.Array) -> jax.Array:
            return jnp.where(begins.reshape(-1, *[1] * (old.ndim - 1)), new, old)

        state = jax.tree.map(reset, first, state)
        parts, (state, _) = nnx.merge(graph, parameters).score(batch, (state, last))
        return parts["nats"], parts["right"], state

    adding = _Adding(model.vocabulary, pieces)
    waiting = iter(sequences)
    slots: list[_Row | None] = [None] * rows
    state = jax.tree.map(lambda one: jnp.broadcast_to(one, (rows, *one.shape[1:])), first)
    pending = None
    began = told = time.monotonic()
    while True:
        exhausted = _fill(slots, waiting)
        busy = [place for place, row in enumerate(slots) if row]
        if not busy:
            break
        if exhausted and len(slots) > 1 and len(busy) <= len(slots) // 2:
            kept = np.array((busy + [p for p in range(len(slots)) if p not in busy])[: max(len(slots) // 2, 1)])
            slots = [slots[place] for place in kept]
            state = jax.tree.map(lambda array, kept=kept: array[kept], state)
            continue
        batch, last, begins, numbers = _chunk(slots, chunk)
        nats, right, state = advance(parameters, state, batch, last, begins)
        if pending:
            adding.take(*pending)  # of the chunk before, while this one runs
        pending = (numbers, batch["tokens"], batch["length"], nats, right)
        if time.monotonic() - told > TOLD_EVERY:
            told = time.monotonic()
            tell(f"{adding.done:,} events scored, {adding.done / (told - began):,.0f} a second")
    if pending:
        adding.take(*pending)
    return adding.sums()


@dataclasses.dataclass
class _Row:
    """A sequence that is being read; place: of the next event to be scored."""

    number: int
    arrays: Arrays
    place: int = 1


def _fill(slots: list[_Row | None], waiting: Iterator[tuple[int, Arrays]]) -> bool:
    """Gives every empty slot a sequence with something to score; True if there are no more."""
    for place, row in enumerate(slots):
        if row and row.place < len(row.arrays["tokens"]):
            continue
        slots[place] = None
        for number, arrays in waiting:
            if len(arrays["tokens"]) > 1:
                slots[place] = _Row(number, arrays)
                break
    return any(row is None for row in slots)


def _chunk(slots: list[_Row | None], chunk: int) -> tuple[Arrays, NDArray, NDArray, NDArray]:
    """The next events of all rows [R, chunk], the event before each, which rows begin, and the pieces' numbers.

    Moves the rows on. Rows without a sequence have the length 0.
    """
    pattern = next(row.arrays for row in slots if row)
    batch: Arrays = {
        name: np.zeros((len(slots), *((chunk, *value.shape[1:]) if np.ndim(value) else ())), value.dtype)
        for name, value in pattern.items()
    }
    batch["length"] = np.zeros(len(slots), np.int32)
    last = np.zeros((len(slots), pattern["tokens"].shape[1]), np.int32)
    begins, numbers = np.zeros(len(slots), bool), np.zeros(len(slots), np.int64)
    for place, row in enumerate(slots):
        if row is None:
            continue
        count = min(chunk, len(row.arrays["tokens"]) - row.place)
        for name, value in row.arrays.items():
            if np.ndim(value):
                batch[name][place, :count] = value[row.place : row.place + count]
            else:
                batch[name][place] = value
        batch["length"][place] = count
        last[place] = row.arrays["tokens"][row.place - 1]
        begins[place], numbers[place] = row.place == 1, row.number
        row.place += count
    return batch, last, begins, numbers


class _Adding:
    """Adds up chunks, in float64."""

    def __init__(self, vocabulary: Vocabulary, pieces: int):
        self.vocabulary, self.done = vocabulary, 0
        if isinstance(vocabulary, EventVocabulary):
            self.types = tuple(one.type for one in vocabulary.ranges)
            self.type_of = np.repeat(np.arange(len(self.types)), [one.size for one in vocabulary.ranges])
        else:
            self.types, self.type_of = ("note",), np.zeros(vocabulary.fields[0], np.int64)
        self.nats, self.steps = np.zeros(pieces), np.zeros(pieces)
        self.events, self.right = np.zeros((pieces, len(self.types))), np.zeros((pieces, len(self.types)))

    def take(self, numbers: NDArray, tokens: NDArray, length: NDArray, nats: jax.Array, right: jax.Array) -> None:
        """Of the pieces `numbers` [R]: their events [R, T, F] up to `length` [R], and what the model gave them."""
        row, place = np.nonzero(np.arange(tokens.shape[1]) < length[:, None])
        piece, event = numbers[row], tokens[row, place]
        kind = self.type_of[event[:, 0]]
        np.add.at(self.nats, piece, np.asarray(nats)[row, place].astype(np.float64))
        np.add.at(self.steps, piece, events.steps_of(event, self.vocabulary))
        np.add.at(self.events, (piece, kind), 1)
        np.add.at(self.right, (piece, kind), np.asarray(right)[row, place])
        self.done += len(row)

    def sums(self) -> Sums:
        return Sums(
            self.nats,
            self.steps,
            dict(zip(self.types, self.events.T, strict=True)),
            dict(zip(self.types, self.right.T, strict=True)),
        )
