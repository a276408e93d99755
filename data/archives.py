"""Files on the disk and inside zips, whatever is in them; light, since processes that only read files import it."""

import contextlib
import dataclasses
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO

DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError, RuntimeError)
"""What reading a damaged, encrypted or unknown kind of file raises."""


@dataclasses.dataclass(frozen=True)
class Member:
    """A file: one on the disk, or one inside a zip (inner, its name there)."""

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


def plain(text: str) -> str:
    """The text on one line and without what cannot be printed, for names that land in lists, files and terminals."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))
