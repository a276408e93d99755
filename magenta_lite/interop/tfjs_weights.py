"""The weights of TensorFlow.js: weights_manifest.json, and shards of numbers beside it.

The manifest is a list of groups, each with `paths` of its shards, which are read as one, and `weights`: name, shape,
dtype, and quantization where they are not stored as they are: float16, or uint8 and uint16 with min and scale, value =
number * scale + min.
"""

import json
import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magenta_lite.errors import UserError, plain

MANIFEST = "weights_manifest.json"
SHARD = 4 * 2**20
"""Bytes of a shard at most, so that browsers keep them."""

_MOST_JSON = 4 * 2**20
"""Bytes; config.json has 2 kB, and the manifest of the largest model 20."""

_LONGEST, _MOST_NUMBERS = 2**40, 2**62
"""Of a dimension, and of a weight: beyond what any file holds, and small enough to be counted with and written."""

_STORED = {"float32": "<f4", "float16": "<f2", "int32": "<i4", "uint16": "<u2", "uint8": "u1", "bool": "u1"}
_PLAIN, _QUANTISED = ("float32", "int32", "bool"), ("float16", "uint16", "uint8")
_QUANTISATIONS = {1: "uint8", 2: "uint16"}


def load(folder: Path) -> dict[str, NDArray]:
    """The weights of a folder by name: float32, or as they are where they are whole numbers.

    Raises:
      UserError: a file is missing, no JSON or something else than is expected, or shards are shorter or longer than
        their weights.
    """
    path = folder / MANIFEST
    groups = read_json(path)
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        raise UserError(f"{path}: expected a list of groups of weights")
    found: dict[str, NDArray] = {}
    seen: set[tuple[int, int]] = set()
    for group in groups:
        paths, entries = group.get("paths"), group.get("weights")
        if not _texts(paths) or not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise UserError(f"{path}: expected groups with paths and weights, which are lists")
        weights = [_Entry(path, entry) for entry in entries]
        stored = _shards(folder, paths, sum(weight.bytes for weight in weights), seen)
        first = 0
        for weight in weights:
            if weight.name in found:
                raise UserError(f"{path}: the weight {weight.name!r} is there twice")
            found[weight.name] = value = weight.values(stored, first)
            if not np.isfinite(value).all():
                raise UserError(f"{path}: the weight {weight.name!r} holds numbers that are not finite")
            first += weight.bytes
    return found


def save(weights: Mapping[str, NDArray[np.float32]], folder: Path, bytes: int) -> None:
    """Writes finite weights into a folder that is there; bytes: 4, or 2 or 1 of quantised numbers, by `quantised`."""
    entries: list[dict[str, Any]] = []
    parts: list[bytearray] = [bytearray()]
    for name, value in weights.items():
        entry: dict[str, Any] = {"name": name, "shape": list(value.shape), "dtype": "float32"}
        numbers: NDArray = value.astype("<f4")
        if bytes != 4:
            numbers, entry["quantization"] = quantised(value, bytes)
        entries.append(entry)
        rest = memoryview(numbers.tobytes())
        while len(rest):
            if len(parts[-1]) == SHARD:
                parts.append(bytearray())
            space = SHARD - len(parts[-1])
            parts[-1] += rest[:space]
            rest = rest[space:]
    names = [f"group1-shard{number}of{len(parts)}.bin" for number in range(1, len(parts) + 1)]
    for name, part in zip(names, parts, strict=True):
        (folder / name).write_bytes(part)
    (folder / MANIFEST).write_text(json.dumps([{"paths": names, "weights": entries}]))


def quantised(value: NDArray[np.float32], bytes: int) -> tuple[NDArray, dict[str, Any]]:
    """Numbers of 1 or 2 bytes, and what tells how to read them. 0 stays 0; others are off by one scale at most."""
    most = 2 ** (8 * bytes) - 1
    low, high = min(0.0, float(value.min(initial=0))), max(0.0, float(value.max(initial=0)))
    # Subtracted first, the smallest numbers would give a scale of 0.
    scale = high / most - low / most or 1.0
    zero = round(-low / scale)
    numbers = np.clip(np.rint(value.astype(np.float64) / scale) + zero, 0, most)
    told = {"dtype": _QUANTISATIONS[bytes], "min": -zero * scale, "scale": scale}
    return numbers.astype(_STORED[_QUANTISATIONS[bytes]]), told


class _Entry:
    """A weight of the manifest, held against what is known."""

    def __init__(self, path: Path, entry: dict[str, Any]):
        name, shape = entry.get("name"), entry.get("shape")
        if not isinstance(name, str):
            raise UserError(f"{path}: a weight has no name")
        self.name = name
        sizes = shape if isinstance(shape, list) and len(shape) <= 8 else [None]
        if not all(type(n) is int and 0 < n < _LONGEST for n in sizes) or math.prod(sizes) >= _MOST_NUMBERS:
            raise UserError(f"{path}: the weight {name!r} has the shape {_shown(shape)}: expected a few whole numbers")
        self.shape, self.dtype, self.scale, self.low = tuple(sizes), entry.get("dtype"), 1.0, 0.0
        known: tuple[str, ...] = _PLAIN
        told: Any = entry.get("quantization")
        if told is not None:
            known, self.dtype = _QUANTISED, told.get("dtype") if isinstance(told, dict) else None
        if self.dtype not in known:
            expected = ", ".join(known)
            raise UserError(f"{path}: the weight {name!r} has the dtype {_shown(self.dtype)!r}: expected {expected}")
        if self.dtype in ("uint8", "uint16"):
            self.scale, self.low = (_number(path, name, told, field) for field in ("scale", "min"))
        self.quantised = told is not None
        self.bytes = math.prod(self.shape) * np.dtype(_STORED[self.dtype]).itemsize

    def values(self, stored: bytes, first: int) -> NDArray:
        numbers = np.frombuffer(stored, _STORED[str(self.dtype)], math.prod(self.shape), first).reshape(self.shape)
        if self.dtype in ("uint8", "uint16") and self.quantised:
            with np.errstate(over="ignore"):  # what is beyond float32 becomes infinite, which `load` refuses
                return (numbers.astype(np.float64) * self.scale + self.low).astype(np.float32)
        return numbers.astype(np.float32) if self.dtype in ("float32", "float16") else numbers


def _number(path: Path, name: str, told: dict[str, Any], field: str) -> float:
    value = told.get(field)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e38:
        raise UserError(f"{path}: the weight {name!r} has {field} {_shown(value)}: expected a number")
    return float(value)


def _shown(value: Any) -> str:
    """The beginning of a value of JSON; of a nested one, which may be too deep to be written, the kind."""
    if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(one, list | dict) for one in value)):
        return f"a nested {type(value).__name__}"
    return str(value)[:100]


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _shards(folder: Path, names: list[str], expected: int, seen: set[tuple[int, int]]) -> bytes:
    """What the shards of a group hold together; seen: files of other groups, to which those of this one are added."""
    paths, sizes = [], []
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name or not name:
            raise UserError(f"{folder / MANIFEST}: {plain(name)!r} is no shard's name in the folder")
        paths.append(folder / name)
    try:
        for path in paths:
            status = _regular(path)
            # By the file and not by its name: ./s is s, and so is a link to it.
            if (status.st_dev, status.st_ino) in seen:
                raise UserError(f"{folder / MANIFEST}: a shard is named twice: {plain(path.name)!r}")
            seen.add((status.st_dev, status.st_ino))
            sizes.append(status.st_size)
        size = sum(sizes)
        if size == expected:
            return b"".join(_content(path, size) for path, size in zip(paths, sizes, strict=True))
    except (OSError, ValueError) as error:
        missing = getattr(error, "filename", None) or folder
        raise UserError(f"cannot read {missing}: {getattr(error, 'strerror', None) or error}") from None
    raise UserError(
        f"{folder}: the shards {', '.join(names[:3])}{' ...' * (len(names) > 3)} have {size:,} bytes together, where "
        f"their weights ask for {expected:,}: expected whole files of one checkpoint"
    )


def _regular(path: Path) -> os.stat_result:
    """What is known of a file; UserError of a device, a pipe or a folder, which may be without an end."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"cannot read {path}: it is no regular file")
    return status


def _content(path: Path, size: int) -> bytes:
    """So many bytes, also where the file has grown since; it may have fewer."""
    with path.open("rb") as file:
        return file.read(size)


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
      UserError: it cannot be read, is none, or is larger than any of a model.
    """
    try:
        size = _regular(path).st_size
        if size > _MOST_JSON:
            raise UserError(f"{path} has {size:,} bytes: expected at most {_MOST_JSON:,}")
        return json.loads(_content(path, size))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON ({plain(str(error))[:100]})") from None
