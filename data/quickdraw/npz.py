"""Reads the published sketchrnn `.npz` files without running the pickles inside.

Such a file is a zip of `train.npy`, `valid.npy` and `test.npy`, each an object array of drawings, and an object array
is stored as a pickle: a program that may import and call anything. So no pickle is run here. The interpreter below
knows only the instructions that lists, tuples, numbers, text and bytes need; the few names that an array's pickle
mentions stand for harmless local classes, and every array is made here, from bytes whose count has been checked.
"""

import contextlib
import io
import math
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from magenta_lite.errors import UserError

SPLITS = ("train", "valid", "test")

_LARGEST = 240 << 20  # bytes of one entry, which is held twice; the largest published one has about 0.2 GB
_DENSEST = 50  # times an entry may be larger than its compressed form; published ones reach 5
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others unpack to any size before it is known
# Of a pickle: this many, and so many for each compressed byte; published ones take 0.2. Each may take 100 bytes.
_INSTRUCTIONS = 1_000_000, 1
_AXES = 8  # of a shape
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_REAL = re.compile(r"([iu][1248]|f[248])$")


def read(path: Path, split: str) -> list[NDArray[Any] | None]:
    """The drawings of one split, in file order.

    Args:
      path: a `.npz` file in the layout of the sketchrnn sets.
      split: "train", "valid" or "test".

    Returns:
      One entry per drawing: an array of real numbers of any shape (a sound drawing is [N, 3]), or None in the place of
      what is not an array.

    Raises:
      UserError: the file cannot be read, has no such split, or asks for anything but arrays of real numbers.
    """
    with _entry(path, split) as (file, info):
        # With a size, no more is unpacked than that: what follows it in a file that lies is left where it is.
        data = io.BytesIO(file.read(info.file_size))
        shape, fortran, dtype = _header(data)
        if not dtype.hasobject:
            # Drawings of equal length may have been saved as one plain array [n, N, 3].
            if len(shape) != 3:
                raise _RefusedError(f"an array {list(shape)} of {dtype}: expected an array of drawings, each [N, 3]")
            return list(_array(shape, dtype.str, fortran, data.getbuffer()[data.tell() :]))
        fixed, each = _INSTRUCTIONS
        outer = _ArrayUnpickler(data, fixed + each * info.compress_size).load()
        if not isinstance(outer, _Array) or not isinstance(outer.content, list):
            raise _RefusedError("not an object array of drawings")
        if outer.shape != shape or len(shape) != 1:
            raise _RefusedError(f"an object array {_shown(outer.shape)}: expected a list of drawings")
        return [_drawing(item) for item in outer.content]


def count(path: Path, split: str) -> int:
    """How many drawings a split declares, without reading them.

    Raises:
      UserError: as `read` does, of what shows in the header.
    """
    with _entry(path, split) as (file, info):
        shape, _, _ = _header(file)
        if not shape or not 0 <= shape[0] <= info.file_size:
            raise _RefusedError(f"an array {_shown(shape)} in {info.file_size:,} bytes")
        return shape[0]


@contextlib.contextmanager
def _entry(path: Path, split: str) -> Iterator[tuple[IO[bytes], zipfile.ZipInfo]]:
    """The entry of a split, open for reading; whatever fails while it is open becomes a UserError of one line."""
    stem = f"{split}.npy"
    try:
        with zipfile.ZipFile(path) as archive:
            held = {info.filename: info for info in archive.infolist()}
            missing = [name for name in SPLITS if f"{name}.npy" not in held]
            if missing:
                raise UserError(
                    f"{path}: no {', '.join(missing)} inside: a sketchrnn file holds train, valid and test, "
                    f"this one holds {_plain(', '.join(sorted(held))) or 'nothing'}"
                )
            info = held[stem]
            if info.compress_type not in _METHODS:
                raise _RefusedError(f"packed by method {info.compress_type}, as no set of drawings is")
            info.compress_size = min(info.compress_size, path.stat().st_size)  # it may say anything
            if info.file_size > _LARGEST:
                raise _RefusedError(f"{info.file_size:,} bytes, expected at most {_LARGEST:,}: part it into files")
            if info.file_size > _DENSEST * max(info.compress_size, 1 << 16):
                raise _RefusedError(
                    f"would unpack {info.compress_size:,} to {info.file_size:,} bytes, as no set of drawings does"
                )
            with archive.open(info) as file:
                yield file, info
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except _RefusedError as error:
        raise UserError(f"{path}: {stem}: {_plain(error)}") from None
    # Damage shows in a dozen ways: zipfile and zlib have several each, the interpreter meets an empty stack, a missing
    # memo, a tuple too short.
    except Exception as error:
        cause = _plain(f"{type(error).__name__}: {error}")
        raise UserError(f"{path}: {stem} cannot be read ({cause}): is the download complete?") from error


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise _RefusedError(f"array format {version[0]}.{version[1]} is not one that drawings are stored in")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy warns of headers of Python 2, and Python of odd escapes in them
        return _HEADERS[version](file)


class _RefusedError(Exception):
    """The entry asks for something that a set of drawings has no need of."""


def _plain(text: object) -> str:
    """The text without control characters: names inside a hostile file must not reach a terminal as they are."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in str(text)[:300])
    return shown if len(shown) < 300 else shown + "..."


def _drawing(item: Any) -> NDArray[Any] | None:
    if not isinstance(item, _Array):
        return None
    if not isinstance(item.content, np.ndarray):
        raise _RefusedError("an object array inside a drawing: expected real numbers")
    return item.content


def _array(shape: tuple[int, ...], dtype: str, fortran: bool, content: bytes | memoryview) -> NDArray[Any]:
    """An array over the content itself: a copy of a large file would be another one."""
    kind = np.dtype(dtype) if _REAL.match(dtype.lstrip("<>=|")) else None
    if kind is None:
        raise _RefusedError(f"an array of {dtype!r}: expected real numbers")
    # The size is compared before anything is allocated: a shape is only a claim.
    if not _is_shape(shape) or math.prod(shape) * kind.itemsize != len(content):
        raise _RefusedError(f"an array {_shown(shape)} of {dtype} in {len(content)} bytes")
    return np.frombuffer(content, kind).reshape(shape, order="F" if fortran else "C")


def _is_shape(shape: Any) -> bool:
    """Whether this can be an array's shape; products of numbers without a limit can take hours."""
    return (
        isinstance(shape, tuple)
        and len(shape) <= _AXES
        and all(type(size) is int and 0 <= size < 2**48 for size in shape)
    )


def _shown(shape: Any) -> str:
    return str(list(shape)) if _is_shape(shape) else "of an impossible shape"


class _Dtype:
    """Stands for numpy.dtype: remembers a name such as "i2" and a byte order."""

    def __init__(self, name: Any, *_: Any) -> None:
        if not isinstance(name, str) or not (name in ("O", "O4", "O8") or _REAL.match(name)):
            raise _RefusedError(f"an array of {name!r}: expected real numbers")
        self.name = name
        self.order = "="

    def restore(self, state: tuple[Any, ...]) -> None:
        _, order, subtype, names, fields = state[:5]
        if order not in ("<", ">", "=", "|") or not (subtype is None and names is None and fields is None):
            raise _RefusedError("an array of records: expected real numbers")
        self.order = order


class _Array:
    """Stands for numpy.ndarray: its shape, and an array of numbers or, for object arrays, a list of items."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = ()
        self.content: NDArray[Any] | list[Any] | None = None

    def restore(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, content = state
        if not isinstance(dtype, _Dtype) or not isinstance(shape, tuple):
            raise _RefusedError("an array without a shape or a type")
        self.shape = shape
        if dtype.name.startswith("O"):
            if not isinstance(content, list) or not _is_shape(shape) or math.prod(shape) != len(content):
                raise _RefusedError(f"an object array {_shown(shape)} with another number of items")
            self.content = content
        else:
            if isinstance(content, str):  # Python 2 wrote bytes as text
                content = content.encode("latin1")
            if not isinstance(content, bytes):
                raise _RefusedError("an array whose numbers are not bytes")
            self.content = _array(shape, dtype.order + dtype.name, bool(fortran), content)


class _NdarrayName:
    """Stands for the class numpy.ndarray where a pickle only mentions it."""


def _reconstruct(kind: Any, *_: Any) -> _Array:
    if kind is not _NdarrayName:
        raise _RefusedError("an array of an unknown class")
    return _Array()


def _encode(text: Any, encoding: Any = None) -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise _RefusedError("_codecs.encode of anything but latin1 text")
    return text.encode("latin1")


_STANDS_FOR = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _NdarrayName,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
}
_CALLABLE = (_reconstruct, _Dtype, _encode)


class _Instructions(dict[int, Callable[[Any], None]]):
    def __missing__(self, code: int) -> Callable[[Any], None]:
        name = next((op.name for op in pickletools.opcodes if ord(op.code) == code), hex(code))
        raise _RefusedError(f"refused the pickle instruction {name}: arrays of numbers do not need it")


class _Counted(_Instructions):
    """The same, so many times and no more: a kilobyte can hold millions, each of which takes time and memory."""

    def __init__(self, most: int) -> None:
        super().__init__(_ArrayUnpickler.dispatch)
        self.left = most

    def __getitem__(self, code: int) -> Callable[[Any], None]:
        self.left -= 1
        if self.left < 0:
            raise _RefusedError("more pickle instructions than a set of drawings of this size needs")
        return super().__getitem__(code)


# The interpreter written in Python, not the C one: its instructions can be chosen one by one. The C one resolves
# registered extension codes without asking, and a memo index or a length of eight bytes makes it allocate gigabytes.
class _ArrayUnpickler(pickle._Unpickler):
    stack: list[Any]
    dispatch = _Instructions(
        (ord(code), pickle._Unpickler.dispatch[ord(code)])
        for code in (
            *(pickle.PROTO, pickle.FRAME, pickle.STOP, pickle.MARK, pickle.GLOBAL, pickle.STACK_GLOBAL),
            *(pickle.BINPUT, pickle.LONG_BINPUT, pickle.MEMOIZE, pickle.BINGET, pickle.LONG_BINGET),
            *(pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.BININT, pickle.BININT1, pickle.BININT2),
            *(pickle.LONG1, pickle.BINSTRING, pickle.SHORT_BINSTRING, pickle.BINUNICODE, pickle.SHORT_BINUNICODE),
            *(pickle.BINBYTES, pickle.SHORT_BINBYTES, pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1),
            *(pickle.TUPLE2, pickle.TUPLE3, pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS),
        )
    )

    def __init__(self, file: io.BytesIO, most: int) -> None:
        super().__init__(file, encoding="latin1")
        self.dispatch = _Counted(most)

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in of an admitted name; every other name is refused, and nothing is imported."""
        try:
            return _STANDS_FOR[module, name]
        except KeyError:
            raise _RefusedError(f"refused {module}.{name}: only arrays of numbers are read") from None

    def _call(self) -> None:
        arguments = self.stack.pop()
        function = self.stack.pop()
        if function not in _CALLABLE:
            raise _RefusedError("refused a call of something that is no array")
        self.stack.append(function(*arguments))

    def _restore(self) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], _Array | _Dtype):
            raise _RefusedError("refused to set the state of something that is no array")
        self.stack[-1].restore(state)

    dispatch[ord(pickle.REDUCE)] = _call
    dispatch[ord(pickle.BUILD)] = _restore
