"""What was read of MIDI files as bytes, and back: numbers, texts and arrays of them, and nothing that could be run.

Results wait in files beside the set that is made of them, where others may have put files of their own.
"""

import json
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

Record = dict[str, Any]
"""Columns by name: arrays and numbers of numpy, texts, and Python's own whole numbers."""


def pack(records: Sequence[Record]) -> bytes:
    """The records as bytes."""
    head: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for record in records:
        told: dict[str, Any] = {}
        for name, value in record.items():
            if isinstance(value, np.ndarray | np.generic):
                content = np.ascontiguousarray(value).tobytes()
                told[name] = [value.dtype.str, list(value.shape), len(content)]
                parts.append(content)
            elif isinstance(value, str | int | float | None):
                told[name] = value
            else:
                raise TypeError(f"a column of {type(value).__name__}: {name}")
        head.append(told)
    return zlib.compress(join(json.dumps(head).encode(), b"".join(parts)), 1)


def unpack(content: bytes) -> list[Record]:
    """The records that `pack` was given. Raises ValueError where it was not what made the bytes."""
    try:
        head, rest = split(zlib.decompress(content))
    except zlib.error as error:
        raise ValueError(str(error)) from None
    records, place = [], 0
    for told in json.loads(head):
        record: Record = {}
        for name, value in told.items():
            if isinstance(value, list):
                kind, shape, size = np.dtype(str(value[0])), value[1], int(value[2])
                if kind.hasobject:
                    raise ValueError(f"a column of {kind}")
                array = np.frombuffer(rest[place : place + size], kind).reshape(shape)
                record[name] = array[()] if not shape else array.copy()
                place += size
            else:
                record[name] = value
        records.append(record)
    return records


def join(head: bytes, *parts: bytes) -> bytes:
    """Parts one after the other, each with its length before it but the last."""
    return b"".join(len(part).to_bytes(8, "big") + part for part in (head, *parts[:-1])) + parts[-1]


def split(content: bytes, count: int = 2) -> list[bytes]:
    """The parts that `join` put together. Raises ValueError where they are not there."""
    parts: list[bytes] = []
    begin = 0
    for _ in range(count - 1):
        end = begin + 8 + int.from_bytes(content[begin : begin + 8], "big")
        if not begin + 8 <= end <= len(content):
            raise ValueError("it ends too early")
        parts.append(content[begin + 8 : end])
        begin = end
    return [*parts, content[begin:]]
