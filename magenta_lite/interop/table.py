"""Sorted tables as LevelDB and TensorFlow write them: blocks of keys and values, with checksums: docs/interop.md."""

import struct
from collections.abc import Callable, Iterator

from magenta_lite.interop import checksum, snappy
from magenta_lite.interop.wire import Damaged, varint

MAGIC = bytes.fromhex("57fb808b247547db")
FOOTER = 48
_TRAILER = 5
"""Bytes behind a block: the way it is packed, and the checksum."""

LONGEST_KEY = 1024
"""Bytes; names of variables have a hundred. A key takes its beginning from the one before, so it needs a limit."""

Read = Callable[[int, int], bytes]
"""read(offset, size): so many bytes of the file; Damaged where they are not there."""


def entries(read: Read, size: int) -> Iterator[tuple[bytes, memoryview]]:
    """Keys and values of a table of `size` bytes, in their order; a block at a time is held.

    Raises:
      Damaged: it is none, or cut short, or a checksum is wrong.
    """
    if size < FOOTER:
        raise Damaged(f"{size} bytes are no table: its end alone takes {FOOTER}")
    footer = read(size - FOOTER, FOOTER)
    if footer[-8:] != MAGIC:
        raise Damaged("it does not end as a table does: it is cut short, or none")
    meta, at = _handle(footer, 0)
    index, _ = _handle(footer, at)
    _block(read, size, meta)  # which is always empty, but may have been changed
    behind = 0
    for _, value in _items(_block(read, size, index)):
        place, _ = _handle(value, 0)
        if place[0] < behind:  # in the file's order: else a small file could hold one block a million times
            raise Damaged("blocks that are not one behind the other")
        behind = place[0] + place[1] + _TRAILER
        yield from _items(_block(read, size, place))


def _handle(content: bytes | memoryview, at: int) -> tuple[tuple[int, int], int]:
    """Offset and size of a block, and where the next thing begins."""
    offset, at = varint(content, at)
    size, at = varint(content, at)
    return (offset, size), at


def _block(read: Read, end: int, place: tuple[int, int]) -> bytes:
    offset, size = place
    if size > end or offset + size + _TRAILER > end - FOOTER:
        raise Damaged(f"a block of {size:,} bytes at {offset:,}, where the file has {end:,}")
    block = read(offset, size + _TRAILER)
    content, kind = memoryview(block)[:size], block[size]
    wanted, found = struct.unpack("<I", block[size + 1 :])[0], checksum.masked(memoryview(block)[: size + 1])
    if wanted != found:
        raise Damaged(f"the checksum of the block at {offset:,} is wrong: bytes were changed")
    if kind == 0:
        return bytes(content)
    if kind == 1:
        return snappy.unpack(content)
    raise Damaged(f"a block is packed in the way {kind}: 0 (not at all) and 1 (snappy) are known")


def _items(block: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Keys, of which each takes its beginning from the one before, and values."""
    view = memoryview(block)
    if len(view) < 4:
        raise Damaged("a block without an end")
    restarts = struct.unpack("<I", view[-4:])[0]
    end = len(view) - 4 * (restarts + 1)
    if end < 0:
        raise Damaged("a block that is shorter than it says")
    key, at = b"", 0
    while at < end:
        shared, at = varint(view, at)
        own, at = varint(view, at)
        size, at = varint(view, at)
        if shared > len(key) or own + size > end - at:
            raise Damaged("an entry that is longer than its block")
        if shared + own > LONGEST_KEY:
            raise Damaged(f"a name of {shared + own:,} bytes")
        key = key[:shared] + bytes(view[at : at + own])
        yield key, view[at + own : at + own + size]
        at += own + size
