"""Compressed files that are read only as far as they may unpack: a kilobyte can hold a gigabyte."""

import io
from typing import IO, Protocol

SMALL = 4 << 20  # bytes that anything may unpack to
DENSEST = 30  # times that a larger file may be larger than its compressed form; drawings as text, and MIDI, reach 5


class Readable(Protocol):
    """All that is needed of a file."""

    def read(self, size: int, /) -> bytes: ...


class _Bounded(io.RawIOBase):
    def __init__(self, file: Readable, most: int) -> None:
        self.file = file
        self.most = self.left = most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        content = self.file.read(min(len(buffer), self.left + 1))
        self.left -= len(content)
        if self.left < 0:
            raise OSError(f"it unpacks to more than {self.most:,} bytes, as no set of drawings does")
        buffer[: len(content)] = content
        return len(content)


def bounded(file: Readable, packed: int) -> IO[bytes]:
    """The unpacked content of a file, to be read from here on; OSError where it grows as no sound file does.

    Args:
      file: open for reading, and left open.
      packed: bytes that it takes compressed, on the disk.
    """
    return io.BufferedReader(_Bounded(file, max(SMALL, DENSEST * packed)), 1 << 16)
