"""Where MIDI files lie: in a folder, a zip or a tar; light, since every reading process imports it."""

import bz2
import dataclasses
import functools
import gzip
import hashlib
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from data.archives import DAMAGE
from magenta_lite.errors import Rejected, UserError
from magenta_lite.music import midi

ENDINGS = (".mid", ".midi", ".kar")

UNREADABLE = Rejected("file that cannot be read")

_TARS: dict[str, Any] = {
    ".tar": open,
    ".tar.gz": gzip.open,
    ".tgz": gzip.open,
    ".tar.bz2": bz2.open,
    ".tar.xz": lzma.open,
}


@dataclasses.dataclass(frozen=True)
class Found:
    """What a folder, zip or tar holds: names of MIDI files, folders that cannot be read, how many files are not MIDI.

    Names are paths in the folder or archive, with slashes, sorted.
    """

    source: Path
    names: tuple[str, ...]
    closed: tuple[str, ...]
    others: int


def stem(source: Path) -> str:
    """What a source is called, without the ending of an archive."""
    name = source.resolve().name
    return name.removesuffix(next((ending for ending in (".zip", *_TARS) if name.lower().endswith(ending)), ""))


def is_tar(source: Path) -> bool:
    """Whether a source is a tar, by its name: what can only be read from its beginning to its end."""
    return source.is_file() and source.name.lower().endswith(tuple(_TARS))


def find(source: Path) -> Found:
    """The MIDI files in a folder or a zip, however deep; hidden ones (.name) are passed over, links to folders too.

    Raises:
      UserError: no such source, or none in it.
    """
    closed: list[str] = []
    if not source.exists():
        raise UserError(f"--source={source}: no such file or folder")
    if source.is_dir():
        listed = _walk(source, closed)
    else:
        try:
            with zipfile.ZipFile(source) as archive:
                listed = iter([name for name in archive.namelist() if not name.endswith("/")])
        except DAMAGE as error:
            raise UserError(
                f"--source={source}: expected a folder, a zip or a tar ({', '.join(_TARS)}): {error}"
            ) from None
    return _found(source, listed, closed)


def hash_tar(source: Path, watch: Callable[[Iterator], Iterable] = iter) -> tuple[Found, list[bytes]]:
    """The MIDI files in a tar, and the sha256 of each as `sha256` has it, in one pass over it.

    watch: is given what goes by, for a progress bar.

    Raises:
      UserError: it is broken, or there is none in it.
    """
    hashes: dict[str, bytes] = {}
    names = []
    for name, file in watch(_members(source)):
        names.append(name)
        if _is_midi(name) and name not in hashes:
            hashes[name] = hashlib.sha256(file.read(midi.MAX_BYTES + 1)).digest()
    found = _found(source, names, ())
    return found, [hashes[name] for name in found.names]


def stream_tar(source: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of the MIDI files in a tar, in its order; of a long one, the beginning. Nothing is unpacked.

    Of several of one name the first. Raises UserError where the tar is broken.
    """
    seen = set()
    for name, file in _members(source):
        if _is_midi(name) and name not in seen:
            seen.add(name)
            yield name, file.read(midi.MAX_BYTES + 1)


def content(source: str, name: str) -> bytes | Rejected:
    """The first bytes of a file in a folder or zip, one more than are ever read where it is longer."""
    try:
        with _open(source, name) as file:
            return file.read(midi.MAX_BYTES + 1)
    except (*DAMAGE, KeyError):  # KeyError: not in the zip
        return UNREADABLE


def sha256(file: tuple[str, str]) -> bytes | Rejected:
    """The hash of a file's content, of (source, name); of one that is too long, of its beginning."""
    found = content(*file)
    return found if isinstance(found, Rejected) else hashlib.sha256(found).digest()


def _found(source: Path, listed: Iterable[str], closed: Iterable[str]) -> Found:
    names, others = set(), 0
    for name in listed:
        if _is_midi(name):
            names.add(name)
        elif not _is_hidden(name):
            others += 1
    if not names:
        raise UserError(f"--source={source} holds no files that end in {', '.join(ENDINGS)}")
    return Found(source, tuple(sorted(names)), tuple(sorted(closed)), others)


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


def _is_midi(name: str) -> bool:
    return name.lower().endswith(ENDINGS) and not _is_hidden(name)


def _walk(folder: Path, closed: list[str]) -> Iterator[str]:
    def unreadable(error: OSError) -> None:
        closed.append(Path(error.filename).relative_to(folder).as_posix())

    for parent, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent, name).relative_to(folder).as_posix() for name in names)


def _members(source: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Names and files of a tar; a file has to be read before the next is asked for."""
    opener = _TARS[max((ending for ending in _TARS if source.name.lower().endswith(ending)), key=len)]
    count = 0
    try:
        # tarfile's own decompression takes an archive that is cut short for a whole one.
        with opener(source, "rb") as whole, tarfile.open(fileobj=whole, mode="r|") as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # it would hold on to all of them
                file = archive.extractfile(member) if member.isreg() else None
                if file is not None:
                    yield PurePosixPath(member.name).as_posix().lstrip("/"), file
                    count += 1
            while whole.read(1 << 20):
                pass
    except (*DAMAGE, tarfile.TarError) as error:
        raise UserError(
            f"--source={source}: broken after {count:,} files ({error}): is the download complete?"
        ) from None


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
