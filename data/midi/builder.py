"""The tfds builder of a person's own MIDI files."""

import collections
import contextlib
import hashlib
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from data.archives import plain
from data.midi import files
from data.midi.files import Found
from data.music_records import Pieces
from data.prepare import SPLITS, Item
from data.reading_pool import read_all
from data.splits import assign, place
from magenta_lite.errors import Rejected, UserError

Hash = bytes | Rejected


def hash_all(found: Found, processes: int) -> list[Hash]:
    """The sha256 of every file's content, in their order."""
    pairs = ((str(found.source), name) for name in found.names)
    hashes = read_all(files.sha256, pairs, processes=processes)
    return list(_bar(hashes, "comparing", found))


def digest(found: Found, hashes: Sequence[Hash]) -> str:
    """sha256 of all names and contents, in hexadecimal."""
    whole = hashlib.sha256()
    for name, content in zip(found.names, hashes, strict=True):
        shown = content.reason if isinstance(content, Rejected) else content.hex()
        whole.update(f"{name}\0{shown}\n".encode("utf-8", "surrogatepass"))
    return whole.hexdigest()


def labels_of(found: Found, subfolders: bool) -> list[str]:
    """The label of every file: what the source is called, or the topmost folder in which not all files are."""
    own = plain(found.source.resolve().name.removesuffix(".zip")) or "midi"
    if not subfolders:
        return [own] * len(found.names)
    parents = [PurePosixPath(name).parent.parts for name in found.names]
    shared = 0
    while all(len(parts) > shared and parts[shared] == parents[0][shared] for parts in parents):
        shared += 1
    return [plain(parts[shared]) if len(parts) > shared else own for parts in parents]


class OwnMidi(Pieces):
    """Pieces of a folder or zip of MIDI files, each content once."""

    name = "own_midi"
    VERSION = tfds.core.Version("1.1.0")  # since lengths leave drums out

    def __init__(
        self,
        *,
        found: Found,
        hashes: Sequence[Hash],
        labels: Sequence[str],
        shares: Sequence[float],
        min_notes: int,
        processes: int,
        data_dir: str,
    ) -> None:
        """Reads every file, since what can be read decides the splits, and keeps what it reads in a file in data_dir.

        hashes, labels: of every file found. shares: of train, valid and test. min_notes: what has fewer is rejected.
        processes: how many read at once.

        Raises:
          UserError: nothing can be kept.
        """
        self.found, self.file_labels = found, labels
        self._spool = Path(data_dir) / "spool"
        self._end = array("q")  # of each file's columns in the spool; where the one before it ends, it is rejected
        self._rejected: dict[int, tuple[str, Rejected]] = {}  # with the file that it is the same as
        self._read(hashes, min_notes, processes)
        if len(self._rejected) == len(found.names):
            counts = collections.Counter(why.reason for _, why in self._rejected.values()).most_common()
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts)
            raise UserError(f"--source={found.source}: nothing to keep: rejected {reasons}")
        pieces = len(found.names) - len(self._rejected)
        if pieces < len(SPLITS):
            raise UserError(
                f"--source={found.source} holds {pieces} piece{'s' if pieces > 1 else ''}: at least {len(SPLITS)} are "
                "needed, one for each of train, valid and test"
            )
        bad = np.zeros(len(found.names), bool)
        bad[list(self._rejected)] = True
        places = np.array([place(name) for name in found.names])
        self._split = np.empty(len(places), np.uint8)
        # Rejected files are listed where they would have been, but fill no split.
        self._split[~bad], moved = assign(places[~bad], shares)
        self._split[bad], _ = assign(places[bad], shares)
        super().__init__(labels=sorted(set(labels)), data_dir=data_dir)
        for split, count in zip(SPLITS, moved, strict=True):
            if count:
                self.notes.append(f"put into {split}, which would have been empty: {count}")
        if found.others:
            self.notes.append(f"passed over, no MIDI by their names: {found.others:,} files")
        self.notes += [f"passed over, a folder that cannot be read: {plain(name)}" for name in found.closed]

    def items(self, split: str) -> Iterator[Item]:
        """Yields the pieces in the order of their files' names, named "label/jazz/1.mid"."""
        with self._spool.open("rb") as spool:
            for index in np.flatnonzero(self._split == SPLITS.index(split)).tolist():
                same, content = self._rejected.get(index, ("", None))
                if content is None:
                    begin = self._end[index - 1] if index else 0
                    spool.seek(begin)
                    content = files.restore(spool.read(self._end[index] - begin))
                name, label = plain(self.found.names[index]), self.file_labels[index]
                yield Item(name, same, label, f"{label}/{name}", content)

    def count(self, split: str) -> int:
        """Files of the split."""
        return int((self._split == SPLITS.index(split)).sum())

    def _read(self, hashes: Sequence[Hash], min_notes: int, processes: int) -> None:
        first: dict[bytes, int] = {}
        for index, content in enumerate(hashes):
            if isinstance(content, Rejected):
                self._rejected[index] = "", content
            elif (other := first.setdefault(content, index)) != index:
                self._rejected[index] = plain(self.found.names[other]), Rejected("same file as another")
        source = str(self.found.source)
        wanted = [(source, name) for index, name in enumerate(self.found.names) if index not in self._rejected]
        with (
            self._spool.open("wb") as spool,
            contextlib.closing(read_all(files.read, wanted, processes=processes)) as results,
        ):
            for index in _bar(range(len(hashes)), "reading", self.found):
                if index not in self._rejected:
                    result = next(results)
                    if isinstance(result, Rejected):
                        self._rejected[index] = "", result
                    elif result[0] < min_notes:
                        self._rejected[index] = "", Rejected(f"fewer than {min_notes} notes")
                    else:
                        spool.write(result[1])
                self._end.append(spool.tell())


def _bar(each, what: str, found: Found):
    return tqdm(each, desc=what, total=len(found.names), unit=" files", leave=False, disable=None)
