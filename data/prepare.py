"""Prepared sets: how they are written, whole or not at all, and what lies beside the records.

A kind of records is a subclass of `PreparedSet` (`Drawings`, `Pieces`), and a builder is a subclass of that, which says
where its items come from; `prepare` runs it into one directory. data/README.md describes that directory for readers.
"""

import abc
import collections
import contextlib
import csv
import dataclasses
import errno
import functools
import hashlib
import io
import itertools
import json
import os
import shlex
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core.writer import ExampleWriter
from tensorflow_datasets.proto import tf_example_pb2
from tqdm import tqdm

from data.scratch import FULL, UnfinishedError, scratch, sweep
from magenta_lite.errors import Rejected, UserError

SPLITS = ("train", "valid", "test")

# Every file of a set may be open at once.
_MOST_SHARDS = 256


@dataclasses.dataclass(frozen=True, eq=False)
class Item:
    """One drawing or piece of a source.

    file: name of the file it is from. place: where in the file, for the list of rejected ones ("train/17", "line 17").
    label: its class. name: of its record. content: what its kind of records is made of, or Rejected.
    """

    file: str
    place: str
    label: str
    name: str
    content: Any


@dataclasses.dataclass(frozen=True)
class Origin:
    """What a prepared set is made from: equal origins give equal records.

    builder: name of the builder ("quickdraw").
    version: raised when the same sources and options begin to give other records.
    options: what was asked for, JSON-able.
    sources: file name -> sha256 of its content, in hexadecimal.
    labels: names of the classes; a record's label is an index into them. None: the builder finds them in the sources.
    licence: of the drawings or pieces, if known.
    command: the command line that makes the set.
    """

    builder: str
    version: str
    options: Mapping[str, Any]
    sources: Mapping[str, str]
    labels: tuple[str, ...] | None
    licence: str | None
    command: str

    def contents(self) -> dict[str, Any]:
        """What decides the records: everything but the licence and the command."""
        return {
            "builder": self.builder,
            "version": self.version,
            "options": dict(self.options),
            "sources": dict(self.sources),
            "labels": None if self.labels is None else list(self.labels),
        }

    @property
    def digest(self) -> str:
        """sha256 of the contents, in hexadecimal."""
        return hashlib.sha256(json.dumps(self.contents(), sort_keys=True).encode()).hexdigest()


class _Info(tfds.core.DatasetInfo):
    def initialize_from_bucket(self) -> None:
        """Nothing: these sets are made here, and tfds would leave an empty temporary folder behind each time."""


class _Writer(ExampleWriter):
    """Writes records with their columns by name: as they come, their order differs from process to process."""

    def write(self, path: Any, examples: Iterable[tuple[Any, bytes]]) -> Any:
        """Writes serialized records."""
        with writing_records():
            return super().write(path, ((key, sorted_columns(record)) for key, record in examples))


class PreparedSet(tfds.core.ShardBasedBuilder, abc.ABC):
    """A tfds builder whose records are written in the order in which they are read.

    Records hold the columns of their kind, `label` and `name`.
    After a build, `lengths`, `kept` and `rejected` tell what became of every item, and `notes` what else a person has
    to know, a line each.
    """

    VERSION = tfds.core.Version("1.0.0")
    # tfds would look for a file of checksums beside the code, with importlib_resources, which it does not install.
    url_infos: ClassVar[dict[str, Any]] = {}

    # Of a kind of records: what they are called, what their length counts, and the recipe that trains on them.
    noun: ClassVar[str]
    unit: ClassVar[str]
    recipe: ClassVar[str]
    # Records in a file. Reading one takes time in proportion to the records of its file (about 1 ns each), and tfds
    # holds those of a file in memory while it writes them.
    shard: ClassVar[int] = 16_384

    def __init__(self, *, labels: Sequence[str], data_dir: str) -> None:
        self.labels = tuple(labels)
        self.lengths = {split: array("i") for split in SPLITS}
        self.kept = {split: dict.fromkeys(self.labels, 0) for split in SPLITS}
        self.rejected: dict[str, collections.Counter[str]] = {split: collections.Counter() for split in SPLITS}
        self._listed: dict[str, list[tuple[str, str, str]]] = {split: [] for split in SPLITS}
        self.notes: list[str] = []
        super().__init__(data_dir=data_dir, file_format="array_record")

    @abc.abstractmethod
    def columns(self) -> dict[str, Any]:
        """The features of this kind of records, besides label and name."""

    @abc.abstractmethod
    def record(self, item: Item) -> tuple[int, dict[str, Any]] | Rejected:
        """The length of an item's record, and its columns; the item's content is not Rejected."""

    def items(self, split: str) -> Iterator[Item]:
        """Yields every item of a split, the rejected ones among them."""
        raise NotImplementedError  # by those that write in another way

    def count(self, split: str) -> int:
        """How many items there are, the rejected ones among them."""
        raise NotImplementedError

    def build(self) -> None:
        """Writes the records to `data_dir`, and tells what became of every item."""
        # tfds announces itself on standard output; progress bars go to standard error and stay.
        with contextlib.redirect_stdout(io.StringIO()):
            self.download_and_prepare()

    def listed(self, split: str) -> Iterator[tuple[str, str, str]]:
        """File, place and reason of what was rejected, after a build."""
        yield from self._listed[split]

    def check(self) -> None:
        """Called after a build, for more notes; raises UserError where the set is not what it claims to be."""

    def _info(self) -> tfds.core.DatasetInfo:
        return _Info(
            builder=self,
            description=type(self).__doc__,
            features=features(self.columns(), self.labels),
            disable_shuffling=True,
        )

    def _example_writer(self) -> ExampleWriter:
        return _Writer(self.info.file_format)

    def _shard_iterators_per_split(self, dl_manager: Any) -> dict[str, list[Callable[[], Iterator[Any]]]]:
        return {split: self._shards(split) for split in SPLITS}

    def _shards(self, split: str) -> list[Callable[[], Iterator[Any]]]:
        total = self.count(split)
        size = max(self.shard, -(-total // _MOST_SHARDS))
        # tfds writes one shard after the other, so each continues where the last one stopped.
        records = self._records(split, total)
        return [functools.partial(itertools.islice, records, size) for _ in range(max(1, -(-total // size)))]

    def _records(self, split: str, total: int) -> Iterator[tuple[int, dict[str, Any]]]:
        with tqdm(desc=f"{self.name} {split}", total=total, unit=f" {self.noun}", leave=False, disable=None) as bar:
            for item in self.items(split):
                bar.update()
                record = item.content if isinstance(item.content, Rejected) else self.record(item)
                if isinstance(record, Rejected):
                    self.rejected[split][record.reason] += 1
                    self._listed[split].append((item.file, item.place, record.reason))
                    continue
                length, columns = record
                self.kept[split][item.label] += 1
                self.lengths[split].append(length)
                yield len(self.lengths[split]), {**columns, "label": item.label, "name": item.name}


def prepare(out: Path, origin: Origin, build: Callable[[str], PreparedSet], keeps: Collection[str] = ()) -> None:
    """Makes the prepared directory `out`, whole or not at all, and prints what came of it.

    Args:
      out: the directory to make. When it exists already and came from an equal origin, nothing is done.
      origin: what the set is made from.
      build: data_dir -> the builder, not yet run.
      keeps: names of what in data_dir a build that ended early leaves for the next one, which goes on with it.

    Raises:
      UserError: `out` holds something else or cannot be made, or a split keeps no drawing.
    """
    if _is_prepared(out, origin):
        sweep(out)
        print(f"already prepared: {out}")
        return
    with scratch(out, origin.digest, keeps) as folder:
        builder = build(str(folder))
        builder.build()
        _require_records(builder)
        builder.check()
        made = Path(builder.data_dir)
        _write_companions(made, dataclasses.replace(origin, labels=builder.labels), builder)
        try:
            os.rename(made, out)
        except OSError as error:
            raise UnfinishedError(f"{out}: cannot be put in place ({error.strerror}): choose another --out") from error
    print(report(out, builder))


def features(columns: Mapping[str, Any], labels: Sequence[str]) -> tfds.features.FeaturesDict:
    """What records of these columns hold."""
    label = tfds.features.ClassLabel(names=list(labels))
    return tfds.features.FeaturesDict({**columns, "label": label, "name": tfds.features.Text()})


def sorted_columns(record: bytes) -> bytes:
    """The serialized record with its columns by name."""
    return tf_example_pb2.Example.FromString(record).SerializeToString(deterministic=True)


@contextlib.contextmanager
def writing_records() -> Iterator[None]:
    """What array_record cannot write raises OSError, as it does elsewhere."""
    try:
        yield
    except RuntimeError as error:
        if "write" not in str(error):
            raise
        code = next((code for code in FULL if os.strerror(code) in str(error)), errno.EIO)
        raise OSError(code, os.strerror(code)) from error


def hash_file(path: Path) -> str:
    """sha256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def command_line(module: str, **flags: Any) -> str:
    """The shell command that runs a module with these flags; those that are None are left out."""
    words = ["python", "-m", module]
    for name, value in flags.items():
        if value is not None:
            shown = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            words.append(f"--{name}={shown}")
    return shlex.join(words)


def report(out: Path, builder: PreparedSet) -> str:
    """A table of the splits, why drawings were rejected, and the command that trains on the set."""
    rows = [("split", "kept", "rejected", "longest")]
    for split in SPLITS:
        lengths = builder.lengths[split]
        rows.append(
            (split, f"{len(lengths):,}", f"{builder.rejected[split].total():,}", f"{max(lengths)} {builder.unit}")
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    for split in SPLITS:
        lines += [f"rejected from {split}: {count:,} {reason}" for reason, count in _reasons(builder, split).items()]
    missing = [label for label, count in builder.kept["train"].items() if not count]
    if missing:
        lines.append(f"nothing to train on of {len(missing)} of {len(builder.labels)} classes: {', '.join(missing)}")
    lines += builder.notes
    train = ["python", "train.py", f"--config={builder.recipe}", "--workdir=runs/NAME", f"--config.data.dir={out}"]
    return "\n".join([f"prepared {out}", *lines, f"next: {shlex.join(train)}"])


def _is_prepared(out: Path, origin: Origin) -> bool:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    try:
        found = json.loads((out / "source.json").read_text())
        digest = found["digest"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{out} exists and is no prepared set: choose another --out or delete it") from None
    # Where only the sources tell the labels, the same sources gave the same ones.
    asked = origin if origin.labels is not None else dataclasses.replace(origin, labels=tuple(found["labels"]))
    if digest == asked.digest:
        return True
    differences = "; ".join(_differences(found, origin.contents())) or "its digest"
    raise UserError(f"{out} was prepared from something else: {differences}: choose another --out or delete it")


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name in ("builder", "version"):
        if old.get(name) != new[name]:
            yield f"{name} was {old.get(name)}, now {new[name]}"
    for name in ("options", "sources"):
        before, now = old.get(name) or {}, new[name]
        for key in sorted(before.keys() | now.keys()):
            if before.get(key) == now.get(key):
                continue
            if name == "options":
                yield f"{key} was {_show(before.get(key))}, now {_show(now.get(key))}"
            elif key in before and key in now:
                yield f"the content of {key} changed ({before[key][:8]}, now {now[key][:8]})"


def _show(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _reasons(builder: PreparedSet, *splits: str) -> dict[str, int]:
    return dict(sum((builder.rejected[split] for split in splits), collections.Counter()).most_common())


def _require_records(builder: PreparedSet) -> None:
    empty = [split for split in SPLITS if not builder.lengths[split]]
    if empty:
        where, splits = ("", SPLITS) if len(empty) == len(SPLITS) else (f" in {empty[0]}", (empty[0],))
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in _reasons(builder, *splits).items())
        raise UserError(f"nothing to keep{where}: " + (f"rejected {reasons}" if reasons else "it is empty"))


def _write_companions(directory: Path, origin: Origin, builder: PreparedSet) -> None:
    np.savez(
        directory / "lengths.npz",
        allow_pickle=False,
        **{split: np.frombuffer(lengths, np.int32) for split, lengths in builder.lengths.items()},
    )
    with (directory / "rejected.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("file", "item", "reason"))
        for split in SPLITS:
            table.writerows(builder.listed(split))
    source = {
        **origin.contents(),
        "digest": origin.digest,
        "command": origin.command,
        "licence": origin.licence,
        "counts": builder.kept,
        "rejected": {split: _reasons(builder, split) for split in SPLITS},
        "longest": {split: max(lengths) for split, lengths in builder.lengths.items()},
        "notes": builder.notes,
    }
    (directory / "source.json").write_text(json.dumps(source, indent=2) + "\n", encoding="utf-8")
