"""Prepared data -> batches: shuffled, encoded, bucketed by length, padded, prefetched.

Which examples are in the batch of a step, in which order, and how each is augmented is a function of (seed, step)
alone: there is no position to save, and threads, devices and hosts change nothing. The stream of examples is one
permutation of the split after the other. A window of it is sorted by length and cut into batches, which are shuffled;
each batch is padded to the smallest bucket that holds its longest example.
"""

import functools
import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grain
import numpy as np
from numpy.typing import NDArray

from magenta_lite.errors import Rejected, UserError
from magenta_lite.records import Records

Batch = dict[str, NDArray]

_SURVEYED = 16
"""Windows from whose batches the buckets are chosen."""

MOST_PASSES = 16
"""Times that one batch may hold an example, each in another order and augmentation."""

WINDOW = 32
"""Batches cut from one sorted window: more leave less padding, and make batches more alike in length."""


class PreparedData:
    """A folder written by a builder of data/.

    labels: class names. lengths: {split: int32 [records]}, the length of every example as stored.
    """

    def __init__(self, folder: str | Path, build_command: str = ""):
        """build_command: with {dir} and {classes} (the folder's name, + becoming a comma) to be filled in.

        Raises:
          UserError: the folder holds no prepared data; says the command that prepares it.
        """
        self.folder = Path(folder)
        if not (self.folder / "source.json").exists():
            # A folder of another builder does not tell its classes.
            classes = self.folder.name.replace("+", ",") if self.folder.parent.name == "quickdraw" else "..."
            command = build_command.replace("{dir}", shlex.quote(str(folder)))
            command = command.replace("{classes}", shlex.quote(classes))
            how = f": prepare it with `{command}`" if build_command else ""
            raise UserError(f"no prepared data in {folder} (config.data.dir){how}")
        self.source = json.loads((self.folder / "source.json").read_text())
        self.labels = tuple(self.source["labels"])
        with np.load(self.folder / "lengths.npz") as lengths:
            self.lengths = {split: lengths[split] for split in lengths.files}

    def need(self, column: str, what: str) -> None:
        """Raises UserError where records have no such column, as data of another kind: drawings for pieces."""
        columns = json.loads((self.folder / "features.json").read_text())["featuresDict"]["features"]
        if column not in columns:
            raise UserError(f"{self.folder} holds no {what}: its records have {', '.join(sorted(columns))}")

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_builder", "_opened")}

    @functools.cached_property
    def _builder(self) -> Any:
        import tensorflow_datasets as tfds  # half a second, and sampling does without

        return tfds.builder_from_directory(self.folder)

    @functools.cached_property
    def _opened(self) -> dict[str, Records]:
        return {split: Records(self._builder, split) for split in self.lengths}

    def example(self, split: str, index: int) -> dict[str, Any]:
        """The example of that number, as its builder stored it; its label as the class name, texts as str."""
        stored = self._opened[split][int(index)]
        record = {name: value.decode() if isinstance(value, bytes) else value for name, value in stored.items()}
        record["label"] = self.labels[int(record["label"])]
        return record

    def examples(self, split: str) -> Iterator[dict[str, Any]]:
        """All examples of a split, in the order of lengths."""
        return (self.example(split, index) for index in range(len(self.lengths[split])))


def bucket_lengths(lengths: NDArray[np.integer], count: int) -> tuple[int, ...]:
    """At most `count` padded lengths, ascending, that hold all lengths with the least padding in total.

    Exact, by dynamic programming over the distinct lengths.
    """
    distinct, counts = np.unique(lengths, return_counts=True)
    below = np.concatenate([[0], np.cumsum(counts)])
    cost = distinct * below[1:].astype(np.float64)
    choices = []
    for _ in range(min(count, len(distinct)) - 1):
        # cost[j]: the least padded total of lengths up to distinct[j], the last bucket being distinct[j].
        total = cost[None, :] + (below[1:, None] - below[None, 1:]) * distinct[:, None]
        total = np.where(np.tri(len(distinct), k=-1, dtype=bool), total, np.inf)
        total[np.arange(len(distinct)), np.arange(len(distinct))] = cost
        choices.append(total.argmin(axis=1))
        cost = total.min(axis=1)
    edges, last = [len(distinct) - 1], len(distinct) - 1
    for choice in reversed(choices):
        last = int(choice[last])
        edges.append(last)
    return tuple(int(distinct[edge]) for edge in sorted(set(edges)))


class Plan:
    """Which examples make the batch of each step of training; buckets: the padded lengths."""

    def __init__(
        self,
        lengths: NDArray[np.integer],
        batch_size: int,
        seed: int,
        bucket_count: int,
        takes: NDArray[np.integer] | None = None,
    ):
        """Raises UserError where a batch is too large for so few examples.

        lengths: of the encoded examples, 0 where refused; at least one is not.

        takes: how often one pass over the data takes each example (once): a long one of which training crops a part.

        bucket_count: padded lengths at most: those that pad the batches of the first windows least, and hold the
        longest example of all.
        """
        self.lengths, self.batch_size, self.seed = lengths, batch_size, seed
        usable = np.flatnonzero(lengths).astype(np.int32)  # half the memory: of 50 million drawings, it counts
        self._usable = usable if takes is None else np.repeat(usable, takes[usable])
        if batch_size > MOST_PASSES * len(self._usable):
            raise UserError(
                f"config.batch_size={batch_size}: the train split has {len(self._usable):,} examples, and a batch may "
                f"take each at most {MOST_PASSES} times"
            )
        self._permutation = functools.lru_cache(2)(self._shuffle)
        self._window = functools.lru_cache(4)(self._sort_and_cut)
        longest = np.concatenate([lengths[self._window(window)].max(axis=1) for window in range(_SURVEYED)])
        self.buckets = bucket_lengths(np.append(longest, lengths.max()), bucket_count)

    def batch(self, step: int) -> tuple[NDArray[np.integer], int]:
        """Indices [batch_size] of the examples of a step, and the length to pad them to."""
        rows = self._window(step // WINDOW)[step % WINDOW]
        return rows, padded_length(self.lengths[rows].max(), self.buckets)

    def _shuffle(self, epoch: int) -> NDArray[np.integer]:
        return np.random.default_rng([self.seed, 0, epoch]).permutation(self._usable)

    def _sort_and_cut(self, window: int) -> NDArray[np.integer]:
        size, count = WINDOW * self.batch_size, len(self._usable)
        start, stop = window * size, (window + 1) * size
        # Cut before they are joined: a permutation of a large set is not copied for a window of it.
        parts = [
            self._permutation(epoch)[max(start - epoch * count, 0) : stop - epoch * count]
            for epoch in range(start // count, (stop - 1) // count + 1)
        ]
        rows = np.concatenate(parts)
        rows = rows[np.argsort(self.lengths[rows], kind="stable")].reshape(WINDOW, self.batch_size)
        return np.random.default_rng([self.seed, 1, window]).permutation(rows)


def padded_length(longest: int, buckets: tuple[int, ...]) -> int:
    """The smallest bucket that holds it; its own length where none does."""
    return next((bucket for bucket in buckets if bucket >= longest), int(longest))


def training_batches(
    data: PreparedData,
    encode: Callable[..., dict[str, NDArray] | Rejected],
    plan: Plan,
    start: int,
    stop: int,
    part: slice | None = None,
    threads: int = 1,
) -> Iterator[Batch]:
    """The batches of steps start..stop-1 of the train split, made ahead of time by threads.

    part: the rows of each batch that are wanted here; where it reaches beyond the batch, it is filled up with real = 0.
    """

    def make(step: int) -> Batch:
        rows, length = plan.batch(step)

        def example(position: int) -> dict[str, NDArray]:
            row, rng = rows[position], np.random.default_rng([plan.seed, 2, step, position])
            return _usable(encode(data.example("train", row), rng), row)

        return _collate_part(example, len(rows), length, part)

    dataset = grain.MapDataset.range(start, stop).map(make)
    return iter(dataset.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=4 * threads)))


def evaluation_batches(
    data: PreparedData,
    split: str,
    encode: Callable[..., dict[str, NDArray] | Rejected],
    lengths: NDArray[np.integer],
    batch_size: int,
    buckets: tuple[int, ...],
    part: slice | None = None,
) -> Iterator[Batch]:
    """Every usable example of a split once, sorted by length; the last batch is filled up with real = 0.

    part: as of training_batches.
    """
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]

    def make(start: int) -> Batch:
        rows = order[start : start + batch_size]
        return _collate_part(
            lambda position: _usable(encode(data.example(split, rows[position])), rows[position]),
            len(rows),
            padded_length(lengths[rows].max(), buckets),
            part or slice(0, batch_size),
        )

    dataset = grain.MapDataset.source(list(range(0, len(order), batch_size))).map(make)
    return iter(dataset.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=2)))


def _collate_part(example: Callable[[int], dict[str, NDArray]], count: int, length: int, part: slice | None) -> Batch:
    """The part of a batch of `count` examples, each made by its position, filled up where it reaches beyond them."""
    part = part or slice(0, count)
    positions = range(count)[part]
    if positions:
        return collate([example(position) for position in positions], length, part.stop - part.start)
    # All of it fills up: what is of the right kind is found by way of the first example.
    other = collate([example(0)], length, part.stop - part.start)
    return {name: np.zeros_like(value) for name, value in other.items()}


def collate(examples: list[dict[str, NDArray]], length: int, rows: int | None = None) -> Batch:
    """Encoded examples -> arrays [rows, ...]: those with a time axis are padded with zeros to `length`.

    Adds length [rows] int32 and real [rows] float32; rows behind the last example are all zeros.
    """
    rows = rows or len(examples)
    batch: Batch = {}
    for name, first in examples[0].items():
        first = np.asarray(first)
        shape = (rows, length, *first.shape[1:]) if first.ndim else (rows,)
        batch[name] = np.zeros(shape, first.dtype)
        for row, example in enumerate(examples):
            if first.ndim:
                batch[name][row, : len(example[name])] = example[name]
            else:
                batch[name][row] = example[name]
    timed = next(name for name, value in examples[0].items() if np.ndim(value))
    batch["length"] = np.zeros(rows, np.int32)
    batch["length"][: len(examples)] = [len(example[timed]) for example in examples]
    batch["real"] = (np.arange(rows) < len(examples)).astype(np.float32)
    return batch


def _usable(encoded: dict[str, NDArray] | Rejected, row: int) -> dict[str, NDArray]:
    if isinstance(encoded, Rejected):
        raise UserError(f"example {row} was planned, then refused: {encoded.reason}; prepare the data again")
    return encoded
