"""Where drawings as ndjson lie: files, folders of them, and zips that hold many."""

import contextlib
import dataclasses
import gzip
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import IO, Any

from magenta_lite.errors import Rejected, UserError
from magenta_lite.sketch import ndjson

ENDINGS = (".ndjson", ".ndjson.gz")

DAMAGE = (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError)
"""What reading a damaged, encrypted or unknown kind of file raises."""


_DAMAGED = Rejected("the file is damaged: the rest of it cannot be read")


@dataclasses.dataclass(frozen=True)
class Member:
    """A file of drawings: one on the disk, or one inside a zip (inner, its name there)."""

    path: Path
    inner: str | None = None

    @property
    def name(self) -> str:
        """The file's name, inside a zip with its folder."""
        return plain(self.path.name if self.inner is None else self.inner)

    @property
    def stem(self) -> str:
        """The file's name without folder and endings: what is drawn in it, in published files."""
        return PurePosixPath(self.name).name.removesuffix(".gz").removesuffix(".ndjson") or "drawing"

    @contextlib.contextmanager
    def open(self, archives: Mapping[Path, zipfile.ZipFile]) -> Iterator[IO[bytes] | gzip.GzipFile]:
        """The content, open for reading from the beginning; raises one of DAMAGE where it cannot be read.

        archives: as opened_archives gives them.
        """
        with contextlib.ExitStack() as stack:
            file: IO[bytes] | gzip.GzipFile
            if self.inner is None:
                file = stack.enter_context(self.path.open("rb"))
            else:
                file = stack.enter_context(archives[self.path].open(self.inner))
            if self.name.endswith(".gz"):
                file = stack.enter_context(gzip.GzipFile(fileobj=file))
            yield file


@contextlib.contextmanager
def opened_archives(files: Iterable[Member]) -> Iterator[dict[Path, zipfile.ZipFile]]:
    """The zips that files are in, by path; to open one takes as long as to read a few small files inside."""
    with contextlib.ExitStack() as stack:
        paths = sorted({file.path for file in files if file.inner is not None})
        yield {path: stack.enter_context(zipfile.ZipFile(path)) for path in paths}


def is_ndjson(path: Path) -> bool:
    """Whether a source holds ndjson: a file of it, a zip with such files inside, or a folder without .npz files."""
    if path.is_dir():
        return any(child.name.endswith(ENDINGS) for child in path.iterdir()) and not any(path.glob("*.npz"))
    return path.name.endswith((*ENDINGS, ".zip"))


def members(source: Path) -> list[Member]:
    """The files of drawings in a source, by name; hidden ones (.name, __MACOSX) are passed over.

    Raises:
      UserError: the source is not there, cannot be read, or holds none.
    """
    if source.is_dir():
        found = [Member(path) for path in source.iterdir() if _counts(path.name)]
    elif not source.exists():
        raise UserError(f"--source={source}: no such file or folder")
    elif source.suffix == ".zip":
        try:
            with zipfile.ZipFile(source) as archive:
                found = [Member(source, name) for name in archive.namelist() if _counts(name)]
        except (OSError, zipfile.BadZipFile) as error:
            raise UserError(
                f"--source={source}: no zip that can be read ({error}): is the download complete?"
            ) from None
    elif source.name.endswith(ENDINGS):
        found = [Member(source)]
    else:
        raise UserError(f"--source={source}: expected a folder, a .zip, or a file that ends in {' or '.join(ENDINGS)}")
    if not found:
        raise UserError(f"--source={source} holds no files that end in {' or '.join(ENDINGS)}")
    return sorted(found, key=lambda member: member.name)


def texts(
    file: Member, archives: Mapping[Path, zipfile.ZipFile] = MappingProxyType({})
) -> Iterator[tuple[int, bytes | Rejected]]:
    """The lines of a file with their numbers; what is damaged is Rejected, and the last one."""
    number = 0
    try:
        with file.open(archives) as content:
            for number, text in ndjson.texts(content):
                yield number, text
    except DAMAGE:
        yield number + 1, _DAMAGED


def key_of(row: dict[str, Any] | Rejected, file: str, number: int) -> str:
    """What decides on the split of a line of a file: its key_id, or where it stands if it has none."""
    key = None if isinstance(row, Rejected) else row.get("key_id")
    text = plain(str(key)) if isinstance(key, str | int) and not isinstance(key, bool) else ""
    return text or f"{file}:{number}"


def plain(text: str) -> str:
    """The text on one line and without what cannot be printed, for names that land in lists, files and terminals."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))


def _counts(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return name.endswith(ENDINGS) and not any(part.startswith((".", "__MACOSX")) for part in parts)
