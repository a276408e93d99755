"""Protocol buffers as they lie in a file: numbered fields, without the classes that somebody would have to generate."""

import array
import struct
from collections.abc import Iterator

Value = int | memoryview


class Damaged(ValueError):
    """Bytes that are not what they should be; says what is wrong, without the file's name."""


class Budget:
    """How many fields may still be read. A file of 0.4 MB unpacks to millions of empty ones, and each takes time."""

    def __init__(self, most: int):
        self._most = self._left = most

    def take(self, count: int = 1) -> None:
        """Raises Damaged where these are too many."""
        self._left -= count
        if self._left < 0:
            raise Damaged(f"it holds more than {self._most:,} fields, as no model does")


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


def fields(message: bytes | memoryview, budget: Budget) -> Iterator[tuple[int, Value]]:
    """Number and value of each field: whole numbers as such, all else as bytes. Each is taken from the budget.

    Raises:
      Damaged: the message is cut short, or none, or holds too many fields.
    """
    view, at = memoryview(message), 0
    while at < len(view):
        budget.take()
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


def numbers(message: bytes | memoryview, number: int, most: int, budget: Budget) -> "array.array[int]":
    """The whole numbers of one field, packed or one by one, of eight bytes each; each is taken from the budget.

    Raises:
      Damaged: there are more than `most`, or than the budget allows.
    """
    found = array.array("Q")
    for one, value in fields(message, budget):
        if one != number:
            continue
        for whole in [value] if isinstance(value, int) else _packed(value):
            if len(found) == most:
                raise Damaged(f"more numbers than the {most:,} that were expected")
            budget.take()
            found.append(whole)
    return found


def _packed(content: memoryview) -> Iterator[int]:
    at = 0
    while at < len(content):
        whole, at = varint(content, at)
        yield whole


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
