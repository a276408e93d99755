"""Protocol buffers as they lie in a file: numbered fields, without the classes that somebody would have to generate."""

import struct
from collections.abc import Iterator

Value = int | memoryview


class Damaged(ValueError):
    """Bytes that are not what they should be; says what is wrong, without the file's name."""


def varint(content: bytes | memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where the next thing begins.

    Raises:
      Damaged: it goes beyond the end, or beyond 64 bits.
    """
    number = shift = 0
    while shift < 64:
        if at >= len(content):
            raise Damaged("it ends in the midst of a number")
        byte = content[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    raise Damaged("a number of more than 64 bits")


def fields(message: bytes | memoryview) -> Iterator[tuple[int, Value]]:
    """Number and value of each field: whole numbers as such, all else as bytes.

    Raises:
      Damaged: the message is cut short, or none.
    """
    view, at = memoryview(message), 0
    while at < len(view):
        tag, at = varint(view, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = varint(view, at)
            yield number, value
            continue
        if kind == 2:
            size, at = varint(view, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise Damaged(f"a field of the kind {kind}, which no message has")
        if number == 0 or size > len(view) - at:
            raise Damaged(f"a field of {size:,} bytes where {len(view) - at:,} are left")
        yield number, view[at : at + size]
        at += size


def numbers(message: bytes | memoryview, number: int) -> list[int]:
    """All whole numbers of one field, packed or one by one; those of four bytes, too."""
    found: list[int] = []
    for one, value in fields(message):
        if one != number:
            continue
        if isinstance(value, int):
            found.append(value)
        else:
            at = 0
            while at < len(value):
                whole, at = varint(value, at)
                found.append(whole)
    return found


def fixed32(value: Value) -> int:
    """The number in a field of four bytes."""
    if isinstance(value, int) or len(value) != 4:
        raise Damaged("a number of four bytes was expected")
    return int(struct.unpack("<I", value)[0])


def message(value: Value) -> memoryview:
    """The bytes of a field that holds a message or a text."""
    if isinstance(value, int):
        raise Damaged("a number where a message was expected")
    return value


def whole(value: Value) -> int:
    """The number of a field that holds one."""
    if not isinstance(value, int):
        raise Damaged("a message where a number was expected")
    return value


def text(value: Value) -> str:
    """The text of a field."""
    try:
        return bytes(message(value)).decode()
    except UnicodeDecodeError:
        raise Damaged("a name that is no text") from None
