"""Files that lie together: in a folder, a .tar, a .zip, or in a GeneratorBundle (.mag). Nothing is unpacked to a disk.

Names within archives are only names: "../../x" leads nowhere. What is compressed is read no further than sound
checkpoints can be compressed, and an archive with more than a few thousand files is none of a model.
"""

import contextlib
import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from magenta_lite.interop import wire
from magenta_lite.interop.wire import Damaged
from magenta_lite.unpacking import DENSEST, SMALL

MOST_FILES = 10_000
MOST_REWINDS = 64
LARGEST_MAG = 1 << 31
"""Bytes; no protocol buffer is larger."""

_MOST_FIELDS = 1000
"""Of a .mag, outside of its checkpoint: it has about eight."""


class Files:
    """Files by name, each opened once and read piece by piece."""

    def __init__(self, sizes: dict[str, int], open_: Callable[[str], IO[bytes]], stack: contextlib.ExitStack):
        """sizes: bytes of each file. open_: opens one to be read and sought in; the stack closes it."""
        self.sizes = sizes
        self._open, self._stack = open_, stack
        self._opened: dict[str, IO[bytes]] = {}

    def read(self, name: str, offset: int, size: int) -> bytes:
        """Exactly so many bytes from there on.

        Raises:
          Damaged: there are fewer, or what they are packed in is damaged.
        """
        if offset + size > self.sizes[name]:
            raise Damaged(f"{name} ends after {self.sizes[name]:,} bytes, and {size:,} were expected at {offset:,}")
        with _packed():
            if name not in self._opened:
                self._opened[name] = self._stack.enter_context(self._open(name))
            file = self._opened[name]
            file.seek(offset)
            content = file.read(size)
        if len(content) != size:
            raise Damaged(f"{name} ends after {offset + len(content):,} bytes; there should be {self.sizes[name]:,}")
        return content


@contextlib.contextmanager
def opened(path: Path, kind: str) -> Iterator[Files]:
    """The files of a folder, of a "tar" or "zip" archive, or those that lie beside a file.

    Raises:
      Damaged: the archive is damaged, or holds too much. OSError: the file cannot be read.
    """
    with contextlib.ExitStack() as stack:
        with _packed():
            if kind == "tar":
                files = _tar(path, stack)
            elif kind == "zip":
                files = _zip(path, stack)
            else:
                files = _beside(path if path.is_dir() else path.parent, stack)
        yield files


def of_memory(contents: dict[str, bytes | memoryview]) -> Files:
    """Files that are in memory already."""
    sizes = {name: len(content) for name, content in contents.items()}
    return Files(sizes, lambda name: io.BytesIO(contents[name]), contextlib.ExitStack())


def generator(content: bytes) -> tuple[Files, str, str]:
    """What a GeneratorBundle of note_seq holds: files, the generator's id, and what the bundle's maker wrote of it.

    Its fields are generator_details (id), checkpoint_file, metagraph_file and bundle_details (description). There is
    one checkpoint file, of V1; where there are two, they are taken for an index and its data.

    Raises:
      Damaged: it is none, or holds no checkpoint.
    """
    checkpoints: list[memoryview] = []
    id_ = description = ""
    budget = wire.Budget(_MOST_FIELDS)

    def first(value: wire.Value, otherwise: str) -> str:
        """The text of the first field 1 within."""
        within = wire.fields(wire.message(value), budget)
        return next((wire.text(one) for field, one in within if field == 1), otherwise)

    for number, value in wire.fields(content, budget):
        if number == 1:
            id_ = first(value, id_)
        elif number == 2:
            if len(checkpoints) == 2:
                raise Damaged("it holds more than two checkpoint files; one was expected")
            checkpoints.append(wire.message(value))
        elif number == 4:
            description = first(value, "")
        elif number != 3:
            raise Damaged(f"a field {number}, which no bundle of a generator has")
    if not checkpoints:
        raise Damaged("it holds no checkpoint")
    names = ["checkpoint"] if len(checkpoints) == 1 else ["checkpoint.index", "checkpoint.data-00000-of-00001"]
    return of_memory(dict(zip(names, checkpoints, strict=True))), id_, description


def _beside(folder: Path, stack: contextlib.ExitStack) -> Files:
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}
    return Files(sizes, lambda name: (folder / name).open("rb"), stack)


class _Bounded(io.RawIOBase):
    """An unpacked file that can be sought in, up to a place that no sound one reaches."""

    def __init__(self, file: IO[bytes], most: int):
        self._file, self._most, self._rewinds = file, most, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence != 0 or offset > self._most:
            raise Damaged(f"it unpacks to more than {self._most:,} bytes, as no model does")
        if offset < self._file.tell():  # all is unpacked anew
            self._rewinds += 1
            if self._rewinds > MOST_REWINDS:
                raise Damaged("its files lie so that it would have to be unpacked again and again")
        return self._file.seek(offset)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._file.tell() + len(buffer) > self._most:
            raise Damaged(f"it unpacks to more than {self._most:,} bytes, as no model does")
        content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


def _tar(path: Path, stack: contextlib.ExitStack) -> Files:
    file: IO[bytes] = stack.enter_context(path.open("rb"))
    if file.read(2) == b"\x1f\x8b":
        file.seek(0)
        most = max(SMALL, DENSEST * path.stat().st_size)
        unpacked: IO[bytes] = gzip.GzipFile(fileobj=file)  # type: ignore[assignment]
        file = io.BufferedReader(_Bounded(unpacked, most), 1 << 16)
    file.seek(0)
    archive = stack.enter_context(tarfile.open(fileobj=file, mode="r:"))  # noqa: SIM115  (the stack closes it)
    members: dict[str, tarfile.TarInfo] = {}
    for count, member in enumerate(archive):
        if count == MOST_FILES:
            raise Damaged(f"it holds more than {MOST_FILES:,} files")
        if member.isreg() and not member.issparse():
            members[member.name.removeprefix("./")] = member

    def open_(name: str) -> IO[bytes]:
        found = archive.extractfile(members[name])
        assert found is not None  # of a regular file it is one
        return found

    return Files({name: member.size for name, member in members.items()}, open_, stack)


def _zip(path: Path, stack: contextlib.ExitStack) -> Files:
    archive = stack.enter_context(zipfile.ZipFile(path))
    members = {member.filename: member for member in archive.infolist() if not member.is_dir()}
    if len(members) > MOST_FILES:
        raise Damaged(f"it holds more than {MOST_FILES:,} files")
    total = sum(member.file_size for member in members.values())
    if total > max(SMALL, DENSEST * path.stat().st_size):
        raise Damaged(f"it unpacks to {total:,} bytes, as no model does")

    def open_(name: str) -> IO[bytes]:
        member = members[name]
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Damaged(f"{name} is packed by method {member.compress_type}, as no model is")
        return archive.open(member)

    return Files({name: member.file_size for name, member in members.items()}, open_, stack)


@contextlib.contextmanager
def _packed() -> Iterator[None]:
    """What the libraries of archives say of damaged ones, as Damaged."""
    try:
        yield
    except Damaged:
        raise
    except tarfile.ReadError as error:
        raise Damaged(f"it is no .tar archive, or a damaged one ({error})") from None
    except (
        tarfile.TarError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, EOFError, OverflowError, ValueError,
        RuntimeError,  # of a .zip with a password; NotImplementedError among them
    ) as error:  # fmt: skip
        raise Damaged(f"the archive is damaged ({str(error) or type(error).__name__})") from None
