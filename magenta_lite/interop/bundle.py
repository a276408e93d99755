"""Checkpoints of TensorFlow, without TensorFlow: V2 bundles (an index and shards of data) and V1 tables (one file).

Both say first which variables there are; numbers are read only of those that are wanted. What a file says of sizes is
held against the file before anything of that size is made, and every checksum is compared.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from magenta_lite.interop import checksum, table, wire
from magenta_lite.interop.wire import Damaged

MOST_VARIABLES = 50_000
MOST_FIELDS = 20 * MOST_VARIABLES
"""Of all messages of a file together: a variable takes a dozen."""

_MOST_DIMENSIONS = 8

_KINDS = {1: "float32", 2: "float64", 3: "int32", 9: "int64", 14: "uint16", 19: "float16"}
_OTHERS = {4: "uint8", 5: "int16", 6: "int8", 7: "string", 8: "complex64", 10: "bool", 20: "resource", 21: "variant"}
"""TensorFlow's numbers for kinds of numbers (DataType). 14 is bfloat16, the upper half of a float32."""

_VALUES = {1: 5, 2: 6, 3: 7, 9: 10, 14: 13, 19: 13}
"""The field of a TensorProto that holds values of each kind: float_val, double_val, int_val, int64_val, half_val."""


class Files(Protocol):
    """Files by name, on a disk or in an archive."""

    @property
    def sizes(self) -> dict[str, int]: ...

    def read(self, name: str, offset: int, size: int) -> bytes:
        """Exactly so many bytes; Damaged where there are fewer."""


@dataclasses.dataclass(frozen=True)
class Variable:
    """What a checkpoint says of a variable: kind is DataType's number; shard, offset, size, crc: where V2 keeps it."""

    kind: int
    shape: tuple[int, ...]
    shard: int = 0
    offset: int = 0
    size: int = 0
    crc: int = 0
    parted: bool = False

    @property
    def numbers(self) -> bool:
        """Whether it holds numbers, and not texts or other things."""
        return self.kind in _KINDS


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """version: 1 or 2. variables: by name. read(names): their numbers, float32; whole numbers where they are such."""

    version: int
    variables: dict[str, Variable]
    read: Callable[[Iterable[str]], dict[str, NDArray]]


def is_table(files: Files, name: str) -> bool:
    """Whether the file ends as a table does."""
    size = files.sizes[name]
    return size >= table.FOOTER and files.read(name, size - 8, 8) == table.MAGIC


def opened(files: Files, name: str) -> Checkpoint:
    """The checkpoint whose table is this file: the index of a bundle, or a V1 file.

    Raises:
      Damaged: it is none, is cut short, has wrong checksums, or its shards are missing.
    """
    rows = _rows(files, name)
    first = next(rows, None)
    if first is None or first[0] != b"":
        raise Damaged("a table, but not of a checkpoint: it does not begin with a header")
    # Both begin with field 1: of a V2 header the number of shards, of V1 the list of what there is.
    header: dict[int, wire.Value] = {}
    budget = wire.Budget(MOST_FIELDS)
    for number, value in wire.fields(first[1], budget):
        if number == 1 and not isinstance(value, int):
            return _v1(files, name, first[1], budget)
        if number in (1, 2):
            header[number] = value
    if 1 not in header:
        raise Damaged("a table, but not of a checkpoint: its header names no shards and no variables")
    return _v2(files, name, header, rows, budget)


def _rows(files: Files, name: str) -> Iterator[tuple[bytes, memoryview]]:
    """The table's rows; their keys must ascend."""
    before: bytes | None = None
    budget = wire.Budget(MOST_FIELDS)
    for key, value in table.entries(lambda offset, size: files.read(name, offset, size), files.sizes[name]):
        budget.take()
        if before is not None and key <= before:
            raise Damaged("a table whose names do not ascend")
        before = key
        yield key, value


def _v2(
    files: Files,
    name: str,
    header: dict[int, wire.Value],
    rows: Iterator[tuple[bytes, memoryview]],
    budget: wire.Budget,
) -> Checkpoint:
    shards = wire.whole(header[1])
    if header.get(2, 0) != 0:
        raise Damaged("its numbers are big-endian, which only machines of another kind have written")
    if not name.endswith(".index"):
        raise Damaged("an index, but its name does not end with .index, so its data cannot be found")
    prefix = name.removesuffix(".index")
    variables: dict[str, Variable] = {}
    for key, value in rows:
        if len(variables) == MOST_VARIABLES:
            raise Damaged(f"more than {MOST_VARIABLES:,} variables")
        if key[:1] == b"\0":  # a part of a variable, under a coded name
            continue
        variables[wire.text(memoryview(key))] = _entry(value, budget)
    of_shard: dict[int, int] = {}
    for variable in variables.values():
        of_shard[variable.shard] = of_shard.get(variable.shard, 0) + variable.size

    def path(shard: int) -> str:
        return f"{prefix}.data-{shard:05}-of-{shards:05}"

    for shard, total in of_shard.items():
        if not 0 <= shard < shards:
            raise Damaged(f"a variable in shard {shard}, of {shards}")
        if path(shard) not in files.sizes:
            raise Damaged(f"its data is missing: {path(shard)} is not beside the index")
        if total > files.sizes[path(shard)]:
            there = files.sizes[path(shard)]
            raise Damaged(f"{path(shard)} is cut short: it has {there:,} bytes, and the index speaks of {total:,}")
    _apart(variables)

    def read(names: Iterable[str]) -> dict[str, NDArray]:
        ordered = sorted(names, key=lambda one: (variables[one].shard, variables[one].offset))
        return {one: _stored(files, path(variables[one].shard), one, variables[one]) for one in ordered}

    return Checkpoint(2, variables, read)


def _apart(variables: dict[str, Variable]) -> None:
    """Raises Damaged where two variables have bytes in common."""
    ordered = sorted((one.shard, one.offset, one.size, name) for name, one in variables.items() if one.size)
    for (shard, offset, size, name), following in itertools.pairwise(ordered):
        if (shard, offset + size) > following[:2]:
            raise Damaged(f"the variables {name} and {following[3]} share bytes")


def _entry(message: memoryview, budget: wire.Budget) -> Variable:
    told: dict[str, int] = {}
    shape: tuple[int, ...] = ()
    parted = False
    names = {1: "kind", 3: "shard", 4: "offset", 5: "size"}
    for number, value in wire.fields(message, budget):
        if number in names:
            told[names[number]] = wire.whole(value)
        elif number == 2:
            shape = _shape(wire.message(value), budget)
        elif number == 6:
            told["crc"] = wire.fixed32(value)
        elif number == 7:
            parted = True
    return Variable(**{"kind": 0, **told}, shape=shape, parted=parted)


def _shape(message: memoryview, budget: wire.Budget) -> tuple[int, ...]:
    """Of a TensorShapeProto."""
    dims: list[int] = []
    for number, value in wire.fields(message, budget):
        if number == 2:
            if len(dims) == _MOST_DIMENSIONS:
                raise Damaged(f"a variable of more than {_MOST_DIMENSIONS} dimensions")
            dims.append(0)
            for field, size in wire.fields(wire.message(value), budget):
                if field == 1:
                    dims[-1] = wire.whole(size)
        elif number == 3 and value:
            raise Damaged("a variable of unknown shape")
    return tuple(dims)


def _stored(files: Files, path: str, name: str, variable: Variable) -> NDArray:
    _readable(name, variable)
    kind = np.dtype(_KINDS[variable.kind])
    count = math.prod(variable.shape)
    if count * kind.itemsize != variable.size:
        raise Damaged(f"the variable {name} of shape {variable.shape} takes {variable.size:,} bytes")
    if variable.offset + variable.size > files.sizes[path]:
        raise Damaged(f"{path} is cut short: the variable {name} lies behind its end")
    content = files.read(path, variable.offset, variable.size)
    if checksum.masked(content) != variable.crc:
        raise Damaged(f"the checksum of the variable {name} is wrong: bytes of {path} were changed")
    return _converted(np.frombuffer(content, kind.newbyteorder("<")), variable)


def _readable(name: str, variable: Variable) -> None:
    if variable.parted:
        raise Damaged(f"the variable {name} is stored in parts, which no model of the original code is")
    if variable.kind not in _KINDS:
        raise Damaged(f"the variable {name} is of the kind {_OTHERS.get(variable.kind, variable.kind)}, not of numbers")
    if 0 in variable.shape:
        raise Damaged(f"the variable {name} of shape {variable.shape} is empty")


def _converted(values: NDArray, variable: Variable) -> NDArray:
    if variable.kind == 14:
        values = (values.astype(np.uint32) << 16).view(np.float32)
    kind = np.int64 if values.dtype.kind == "i" else np.float32
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, which is refused later
        return values.astype(kind).reshape(variable.shape)


def _v1(files: Files, name: str, first: memoryview, budget: wire.Budget) -> Checkpoint:
    variables: dict[str, Variable] = {}
    for field, meta in wire.fields(first, budget):
        for number, value in wire.fields(wire.message(meta), budget) if field == 1 else ():
            if number == 1:
                if len(variables) == MOST_VARIABLES:
                    raise Damaged(f"more than {MOST_VARIABLES:,} variables")
                one, variable = _meta(wire.message(value), budget)
                variables[one] = variable

    def read(names: Iterable[str]) -> dict[str, NDArray]:
        wanted = set(names)
        found: dict[str, NDArray] = {}
        budget = wire.Budget(MOST_FIELDS)
        for key, value in _rows(files, name):
            if key == b"":
                continue
            for number, data in wire.fields(value, budget):
                if number == 2:
                    one, values = _slice(wire.message(data), wanted, variables, budget)
                    if values is not None:
                        found[one] = values
        for one in wanted - found.keys():
            raise Damaged(f"the variable {one} is listed, but is not there")
        return found

    return Checkpoint(1, variables, read)


def _meta(message: memoryview, budget: wire.Budget) -> tuple[str, Variable]:
    """Of a SavedSliceMeta."""
    shape: tuple[int, ...] = ()
    name, kind, parts, explicit = "", 0, 0, False
    for number, value in wire.fields(message, budget):
        if number == 1:
            name = wire.text(value)
        elif number == 2:
            shape = _shape(wire.message(value), budget)
        elif number == 3:
            kind = wire.whole(value)
        elif number == 4:
            parts += 1
            explicit |= _explicit(wire.message(value), budget)
    return name, Variable(kind, shape, parted=parts > 1 or explicit)


def _explicit(slice_: memoryview, budget: wire.Budget) -> bool:
    """Whether a TensorSliceProto leaves anything out: an extent that is all of a dimension has no length."""
    extents = (wire.message(value) for number, value in wire.fields(slice_, budget) if number == 1)
    return any(number == 2 for extent in extents for number, _ in wire.fields(extent, budget))


def _slice(
    message: memoryview, wanted: set[str], variables: dict[str, Variable], budget: wire.Budget
) -> tuple[str, NDArray | None]:
    """Name and numbers of a SavedSlice, if it is wanted."""
    name, data = "", memoryview(b"")
    for number, value in wire.fields(message, budget):
        if number == 1:
            name = wire.text(value)
        elif number == 3:
            data = wire.message(value)
    if name not in wanted:
        return name, None
    variable = variables[name]
    _readable(name, variable)
    count = math.prod(variable.shape)
    values = _values(data, variable.kind, count, budget)
    if len(values) != count:
        raise Damaged(f"the variable {name} of shape {variable.shape} has {len(values):,} numbers")
    return name, _converted(values, variable)


def _values(tensor: memoryview, kind: int, count: int, budget: wire.Budget) -> NDArray:
    """The numbers of a TensorProto, of which `count` are expected: as raw bytes, packed, or one by one."""
    dtype = np.dtype(_KINDS[kind])
    content = bytearray()
    for number, value in wire.fields(tensor, budget):
        if number == 4 or (number == _VALUES[kind] and kind in (1, 2) and not isinstance(value, int)):
            content += wire.message(value)
            if len(content) > count * dtype.itemsize:
                raise Damaged(f"{len(content):,} bytes or more, where {count * dtype.itemsize:,} were expected")
    if content:
        if len(content) % dtype.itemsize:
            raise Damaged(f"{len(content):,} bytes are no numbers of {dtype.itemsize} bytes")
        return np.frombuffer(content, dtype.newbyteorder("<"))
    if kind in (1, 2):
        return np.empty(0, dtype)
    listed = np.frombuffer(wire.numbers(tensor, _VALUES[kind], count, budget), np.uint64)
    if kind in (14, 19):
        return (listed & 0xFFFF).astype("<u2").view(dtype)
    return listed.view(np.int64)
