"""Where MIDI files lie, and what one of them holds; light, since every reading process imports it."""

import dataclasses
import functools
import hashlib
import os
import pickle
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np

from data import packing
from data.archives import DAMAGE
from magenta_lite.errors import Rejected, UserError
from magenta_lite.music import midi

ENDINGS = (".mid", ".midi", ".kar")

UNREADABLE = Rejected("file that cannot be read")


@dataclasses.dataclass(frozen=True)
class Found:
    """What a folder or zip holds: names of MIDI files, folders that cannot be read, how many files are something else.

    Names are paths in the folder or zip, with slashes, sorted.
    """

    source: Path
    names: tuple[str, ...]
    closed: tuple[str, ...]
    others: int


def find(source: Path) -> Found:
    """The MIDI files in a folder or a zip, however deep; hidden ones (.name) are passed over, links to folders too.

    Raises:
      UserError: no such source, or none in it.
    """
    names, closed, others = [], [], 0
    if not source.exists():
        raise UserError(f"--source={source}: no such file or folder")
    if source.is_dir():
        listed = _walk(source, closed)
    else:
        try:
            with zipfile.ZipFile(source) as archive:
                listed = iter([name for name in archive.namelist() if not name.endswith("/")])
        except DAMAGE as error:
            raise UserError(f"--source={source}: expected a folder or a zip: {error}") from None
    for name in listed:
        if any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts):
            continue
        if name.lower().endswith(ENDINGS):
            names.append(name)
        else:
            others += 1
    if not names:
        raise UserError(f"--source={source} holds no files that end in {', '.join(ENDINGS)}")
    return Found(source, tuple(sorted(set(names))), tuple(sorted(closed)), others)


def sha256(file: tuple[str, str]) -> bytes | Rejected:
    """The hash of a file's content, of (source, name); of one that is too long, of its beginning."""
    content = _content(*file)
    return content if isinstance(content, Rejected) else hashlib.sha256(content).digest()


def read(file: tuple[str, str]) -> tuple[int, bytes] | Rejected:
    """The number of notes of a file, of (source, name), and its packed columns for `restore`."""
    content = _content(*file)
    packed = packing.read(content)
    if isinstance(packed, Rejected):
        return packed
    return len(packed["start"]), zlib.compress(pickle.dumps(packed), 1)


def restore(columns: bytes) -> dict[str, np.ndarray | str | int]:
    """The columns that `read` packed a moment ago; for nothing that was ever in a file of a stranger."""
    return pickle.loads(zlib.decompress(columns))


def _walk(folder: Path, closed: list[str]) -> Iterator[str]:
    def unreadable(error: OSError) -> None:
        closed.append(Path(error.filename).relative_to(folder).as_posix())

    for parent, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent, name).relative_to(folder).as_posix() for name in names)


def _content(source: str, name: str) -> bytes | Rejected:
    """The first bytes of a file, one more than are ever read where it is longer."""
    try:
        with _open(source, name) as file:
            return file.read(midi.MAX_BYTES + 1)
    except DAMAGE:
        return UNREADABLE


def _open(source: str, name: str) -> IO[bytes]:
    path = Path(source)
    if not path.is_dir():
        return _archive(source).open(name)
    # Of a pipe nobody knows when it ends.
    if not (path / name).is_file():
        raise OSError(f"{name} is no file")
    return (path / name).open("rb")


@functools.lru_cache(maxsize=1)
def _archive(source: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(source)
