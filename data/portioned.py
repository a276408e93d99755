"""Sets whose records are written in portions, by processes that share nothing but a disk.

A portion is a folder: the records of each split in a file that becomes a shard of the set as it is, their lengths, and
tables of what was kept and rejected. The main process holds four bytes a record.
"""

import abc
import collections
import contextlib
import csv
import json
import os
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python import array_record_module
from tensorflow_datasets.core import example_serializer

from data.prepare import SPLITS, Item, PreparedSet, features, sorted_columns, writing_records
from magenta_lite.errors import Rejected

_ABOUT = "about.json"


class Portion:
    """Writes the records of a portion into its folder, one at a time, and lists what is rejected; use `with`."""

    def __init__(self, folder: Path, columns: Mapping[str, Any], labels: Sequence[str]) -> None:
        """columns: features of the records besides label and name. labels: of the whole set."""
        self._folder = folder
        self._features = features(columns, labels)
        self._serializer = example_serializer.ExampleSerializer(self._features.get_serialized_info())
        self._lengths = {split: array("i") for split in SPLITS}
        self._kept: dict[str, collections.Counter[str]] = {split: collections.Counter() for split in SPLITS}
        self._rejected: dict[str, collections.Counter[str]] = {split: collections.Counter() for split in SPLITS}
        self._writers: dict[str, Any] = {}
        self._lists: dict[str, IO[str]] = {}

    def __enter__(self) -> "Portion":
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        """Closes the files, and says what is in them, if all went well."""
        with contextlib.ExitStack() as stack:
            for file in self._lists.values():
                stack.callback(file.close)
            for writer in self._writers.values():
                stack.callback(writer.close)
            if kind is not None:
                # The failure that is being told matters; those of closing what it left do not.
                with contextlib.suppress(RuntimeError, OSError):
                    stack.close()
                return
            with writing_records():
                stack.close()
        for split, lengths in self._lengths.items():
            (self._folder / f"{split}.lengths").write_bytes(lengths.tobytes())
        about = {"kept": self._kept, "rejected": self._rejected}
        (self._folder / _ABOUT).write_text(json.dumps(about), encoding="utf-8")

    def add(self, split: str, item: Item, record: tuple[int, dict[str, Any]] | Rejected) -> None:
        """Writes an item's record, its length and its columns, or lists the item."""
        if isinstance(record, Rejected):
            self._rejected[split][record.reason] += 1
            if split not in self._lists:
                path = self._folder / f"{split}.csv"
                self._lists[split] = path.open("w", newline="", encoding="utf-8")
            csv.writer(self._lists[split]).writerow((item.file, item.place, record.reason))
            return
        length, columns = record
        encoded = self._features.encode_example({**columns, "label": item.label, "name": item.name})
        with writing_records():
            if split not in self._writers:
                path = str(self._folder / split)
                self._writers[split] = array_record_module.ArrayRecordWriter(path, "group_size:1")
            self._writers[split].write(sorted_columns(self._serializer.serialize_example(encoded)))
        self._kept[split][item.label] += 1
        self._lengths[split].append(length)


class PortionedSet(PreparedSet):
    """A set that is put together from portions."""

    def __init__(self, *, labels: Sequence[str], data_dir: str) -> None:
        super().__init__(labels=labels, data_dir=data_dir)
        self._portions: list[Path] = []

    @abc.abstractmethod
    def write(self) -> list[Path]:
        """Writes the portions that are not there yet; the folders of all, in their order."""

    def build(self) -> None:
        """Puts the portions together; a build that died meanwhile is gone on with."""
        self._portions = self.write()
        abouts = [json.loads((folder / _ABOUT).read_text(encoding="utf-8")) for folder in self._portions]
        made = Path(self.data_dir)
        made.mkdir(parents=True, exist_ok=True)
        infos = []
        for split in SPLITS:
            counts = []
            for folder, about in zip(self._portions, abouts, strict=True):
                for label, count in about["kept"][split].items():
                    self.kept[split][label] += count
                self.rejected[split].update(about["rejected"][split])
                lengths = (folder / f"{split}.lengths").read_bytes()
                self.lengths[split].frombytes(lengths)
                counts.append(len(lengths) // self.lengths[split].itemsize)
            template = self._get_filename_template(split_name=split)
            full = [(folder, count) for folder, count in zip(self._portions, counts, strict=True) if count]
            paths = [template.sharded_filepath(shard_index=n, num_shards=len(full)) for n in range(len(full))]
            for (folder, _), path in zip(full, paths, strict=True):
                if not os.path.exists(path):  # else it was moved before
                    os.rename(folder / split, path)
            infos.append(
                tfds.core.SplitInfo(
                    name=split,
                    shard_lengths=[count for _, count in full],
                    num_bytes=sum(os.path.getsize(path) for path in paths),
                    filename_template=template,
                )
            )
        self.info.set_splits(tfds.core.splits.SplitDict(infos))
        self.info.download_size = 0
        self.info.write_to_directory(self.data_dir)

    def listed(self, split: str) -> Iterator[tuple[str, str, str]]:
        """File, place and reason of what was rejected, after a build."""
        for folder in self._portions:
            if (path := folder / f"{split}.csv").exists():
                with path.open(newline="", encoding="utf-8") as file:
                    yield from csv.reader(file)


def lengths_of(portion: Path, split: str) -> np.ndarray:
    """The lengths of a portion's records, int32."""
    return np.fromfile(portion / f"{split}.lengths", np.int32)
