"""The weights of TensorFlow.js: weights_manifest.json, and shards of numbers beside it.

The manifest is a list of groups, each with `paths` of its shards, which are read as one, and `weights`: name, shape,
dtype, and quantization where they are not stored as they are: float16, or uint8 and uint16 with min and scale, value =
number * scale + min.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magenta_lite.errors import UserError, plain

MANIFEST = "weights_manifest.json"
SHARD = 4 * 2**20
"""Bytes of a shard at most, so that browsers keep them."""

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
    seen: set[str] = set()
    for group in groups:
        paths, entries = group.get("paths"), group.get("weights")
        if not _texts(paths) or not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise UserError(f"{path}: expected groups with paths and weights, which are lists")
        if len(seen | set(paths)) < len(seen) + len(paths):
            raise UserError(f"{path}: a shard is named twice")
        seen |= set(paths)
        weights = [_Entry(path, entry) for entry in entries]
        stored = _shards(folder, paths, sum(weight.bytes for weight in weights))
        first = 0
        for weight in weights:
            if weight.name in found:
                raise UserError(f"{path}: the weight {weight.name!r} is there twice")
            found[weight.name] = weight.values(stored, first)
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
        if not isinstance(shape, list) or len(shape) > 8 or not all(type(n) is int and n > 0 for n in shape):
            raise UserError(f"{path}: the weight {name!r} has the shape {shape}: expected a few whole numbers")
        self.shape, self.dtype, self.scale, self.low = tuple(shape), entry.get("dtype"), 1.0, 0.0
        known: tuple[str, ...] = _PLAIN
        told: Any = entry.get("quantization")
        if told is not None:
            known, self.dtype = _QUANTISED, told.get("dtype") if isinstance(told, dict) else None
        if self.dtype not in known:
            raise UserError(f"{path}: the weight {name!r} has the dtype {self.dtype!r}: expected {', '.join(known)}")
        if self.dtype in ("uint8", "uint16"):
            self.scale, self.low = (_number(path, name, told, field) for field in ("scale", "min"))
        self.quantised = told is not None
        self.bytes = math.prod(self.shape) * np.dtype(_STORED[self.dtype]).itemsize

    def values(self, stored: bytes, first: int) -> NDArray:
        numbers = np.frombuffer(stored, _STORED[str(self.dtype)], math.prod(self.shape), first).reshape(self.shape)
        if self.dtype in ("uint8", "uint16") and self.quantised:
            return (numbers.astype(np.float64) * self.scale + self.low).astype(np.float32)
        return numbers.astype(np.float32) if self.dtype in ("float32", "float16") else numbers


def _number(path: Path, name: str, told: dict[str, Any], field: str) -> float:
    value = told.get(field)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e38:
        raise UserError(f"{path}: the weight {name!r} has {field} {value!r}: expected a number")
    return float(value)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _shards(folder: Path, names: list[str], expected: int) -> bytes:
    """What the shards of a group hold together."""
    paths = []
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name or not name:
            raise UserError(f"{folder / MANIFEST}: {plain(name)!r} is no shard's name in the folder")
        paths.append(folder / name)
    try:
        size = sum(path.stat().st_size for path in paths)
        if size == expected:
            return b"".join(path.read_bytes() for path in paths)
    except (OSError, ValueError) as error:
        missing = getattr(error, "filename", None) or folder
        raise UserError(f"cannot read {missing}: {getattr(error, 'strerror', None) or error}") from None
    raise UserError(
        f"{folder}: the shards {', '.join(names[:3])}{' ...' * (len(names) > 3)} have {size:,} bytes together, where "
        f"their weights ask for {expected:,}: expected whole files of one checkpoint"
    )


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
      UserError: it cannot be read, or is none.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON ({plain(str(error))[:100]})") from None
