"""Files on the disk and inside zips, whatever is in them; light, since processes that only read files import it."""

import contextlib
import dataclasses
import gzip
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO

from magenta_lite.errors import plain as plain  # for all that import it from here
from magenta_lite.unpacking import bounded

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others unpack to any size before it is known
DAMAGE = (
    *(OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError, RuntimeError),
    *(ValueError, struct.error),  # names and numbers in the directory of a zip
)
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
    def open(self, archives: Mapping[Path, zipfile.ZipFile]) -> Iterator[IO[bytes]]:
        """The content, open for reading from the beginning; raises one of DAMAGE where it cannot be read.

        Reading raises OSError, one of them, where the content grows far beyond what is on the disk.

        archives: as opened_archives gives them.
        """
        with contextlib.ExitStack() as stack:
            file: IO[bytes]
            packed = self.path.stat().st_size
            if self.inner is None:
                file = stack.enter_context(self.path.open("rb"))
            else:
                info = archives[self.path].getinfo(self.inner)
                if info.compress_type not in _METHODS:
                    raise NotImplementedError(f"packed by method {info.compress_type}")
                packed = min(packed, info.compress_size)
                file = stack.enter_context(archives[self.path].open(info))
            if self.name.endswith(".gz"):
                file = stack.enter_context(gzip.GzipFile(fileobj=file))
            yield file if self.inner is None and not self.name.endswith(".gz") else bounded(file, packed)


@contextlib.contextmanager
def opened_archives(files: Iterable[Member]) -> Iterator[dict[Path, zipfile.ZipFile]]:
    """The zips that files are in, by path; to open one takes as long as to read a few small files inside."""
    with contextlib.ExitStack() as stack:
        paths = sorted({file.path for file in files if file.inner is not None})
        yield {path: stack.enter_context(zipfile.ZipFile(path)) for path in paths}
