"""What a source holds, before anything in it is read as music: names, hashes, labels; and all of it, read once."""

import collections
import contextlib
import hashlib
from array import array
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from tqdm import tqdm

from data import near_duplicates
from data.archives import plain
from data.midi import files, kept
from data.midi.files import Found
from data.midi.reading import File, Read
from data.reading_pool import read_all
from magenta_lite.errors import Rejected, UserError

Hash = bytes | Rejected
Reader = Callable[[Callable[[File], Read | Rejected], Iterator[File]], Generator[Read | Rejected, None, None]]
"""Reads files with a function and gives results in their order."""


def survey(source: Path, processes: int) -> tuple[Found, list[Hash]]:
    """The MIDI files of a source and the sha256 of each content, in the order of their names.

    A tar is gone through once for this, and once more when it is read: what is in it decides whether the set is there
    already, and files of the same content are read once.

    Raises:
      UserError: no such source, or nothing in it, or a broken tar.
    """
    if files.is_tar(source):
        found, hashes = files.hash_tar(source, lambda members: _bar(members, "comparing", None))
        return found, list(hashes)
    found = files.find(source)
    return found, hash_all(found, found.names, processes)


def hash_all(found: Found, names: Sequence[str], processes: int) -> list[Hash]:
    """The sha256 of the content of each of these files of a folder or zip, in their order."""
    pairs = ((str(found.source), name) for name in names)
    return list(_bar(read_all(files.sha256, pairs, processes=processes), "comparing", len(names)))


def digest(names: Sequence[str], hashes: Sequence[Hash]) -> str:
    """sha256 of all names and contents, in hexadecimal."""
    whole = hashlib.sha256()
    for name, content in zip(names, hashes, strict=True):
        shown = content.reason if isinstance(content, Rejected) else content.hex()
        whole.update(f"{name}\0{shown}\n".encode("utf-8", "surrogatepass"))
    return whole.hexdigest()


def labels_of(found: Found, subfolders: bool) -> list[str]:
    """The label of every file: what the source is called, or the topmost folder in which not all files are."""
    own = plain(files.stem(found.source)) or "midi"
    if not subfolders:
        return [own] * len(found.names)
    parents = [PurePosixPath(name).parent.parts for name in found.names]
    shared = 0
    while all(len(parts) > shared and parts[shared] == parents[0][shared] for parts in parents):
        shared += 1
    return [plain(parts[shared]) if len(parts) > shared else own for parts in parents]


class Contents:
    """All that was read of a source: for each file its records, or why there are none. They wait on the disk.

    records: int64 [files], how many. rejected: by the file's number, the name of the file that it is the same as, and
    the reason. first: int64 [files], the first of each file's group of near-duplicates. elsewhere, lost: as in
    reading.Read, of all files.
    """

    def __init__(
        self,
        found: Found,
        hashes: Sequence[Hash],
        function: Callable[[File], Read | Rejected],
        spool: Path,
        read: Reader,
    ) -> None:
        """Reads every content once, with the function, and keeps what comes in a new file, the spool."""
        self.found = found
        count = len(found.names)
        self.records = np.zeros(count, np.int64)
        self.rejected: dict[int, tuple[str, Rejected]] = {}
        self.elsewhere: collections.Counter[str] = collections.Counter()
        self.lost: collections.Counter[str] = collections.Counter()
        self._spool, self._place = spool, np.zeros((count, 2), np.int64)  # where a file's records begin and end
        self._signatures = np.full((count, near_duplicates.SIGNATURE), near_duplicates.NONE, np.uint32)
        self._same(hashes)
        order = array("q")
        with spool.open("wb") as file, contextlib.closing(read(function, self._wanted(order))) as results:
            for number, result in enumerate(_bar(results, "reading", count - len(self.rejected))):
                self._keep(order[number], result, file)
        self.first = self._groups()
        del self._signatures

    def of(self, index: int) -> list[dict[str, Any]]:
        """The records of a file."""
        begin, end = self._place[index].tolist()
        with self._spool.open("rb") as file:
            file.seek(begin)
            return kept.unpack(file.read(end - begin))

    def reasons(self) -> str:
        """How many files were rejected for which reason."""
        counts = collections.Counter(why.reason for _, why in self.rejected.values()).most_common()
        return ", ".join(f"{count:,} {reason}" for reason, count in counts)

    def _same(self, hashes: Sequence[Hash]) -> None:
        first: dict[bytes, int] = {}
        for index, content in enumerate(hashes):
            if isinstance(content, Rejected):
                self.rejected[index] = "", content
            elif (other := first.setdefault(content, index)) != index:
                self.rejected[index] = plain(self.found.names[other]), Rejected("same file as another")

    def _wanted(self, order: array) -> Iterator[File]:
        """The files to be read; their numbers are added to order, as they are asked for."""
        source, names = self.found.source, self.found.names
        if not files.is_tar(source):
            for index, name in enumerate(names):
                if index not in self.rejected:
                    order.append(index)
                    yield str(source), name, None
            return
        numbers = {name: index for index, name in enumerate(names) if index not in self.rejected}
        for name, content in files.stream_tar(source):
            if name in numbers:
                order.append(numbers.pop(name))
                yield str(source), name, content
        if numbers:
            raise UserError(f"--source={source} changed while it was read: try again")

    def _keep(self, index: int, result: Read | Rejected, file: Any) -> None:
        if isinstance(result, Rejected):
            self.rejected[index] = "", result
            return
        self.elsewhere.update(result.elsewhere)
        self.lost.update(result.lost)
        if result.why:
            self.rejected[index] = "", Rejected(result.why)
            return
        begin = file.tell()
        file.write(result.columns)
        self._place[index] = begin, file.tell()
        self.records[index] = result.records
        self._signatures[index] = np.frombuffer(result.signature, np.uint32)

    def _groups(self) -> np.ndarray:
        kept = np.flatnonzero(self.records)
        first = np.arange(len(self.records))
        first[kept] = kept[near_duplicates.groups(self._signatures[kept])]
        return first


def _bar(each: Iterable, what: str, total: int | None) -> tqdm:
    return tqdm(each, desc=what, total=total, unit=" files", leave=False, disable=None)
