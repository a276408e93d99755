"""What a stranger's file seems to be, by its first bytes and its name."""

import zipfile
from pathlib import Path

from magenta_lite.interop import table

_SIGNS = (
    (b"\x89PNG\r\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF"),
    (b"\x89HDF\r\n", "an HDF5 file, as Keras writes (.h5)"),
    (b"\x93NUMPY", "a numpy array (.npy)"),
    (b"MThd", "a MIDI file"),
    (b"RIFF", "a sound or a film (RIFF)"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"TFL3", "a TensorFlow Lite model"),
    (b"\x7fELF", "a program"),
)
_LITE = b"TFL3"  # at the fifth byte


def of(path: Path) -> str:
    """ "tar", "zip", "table", "mag", "text" or "json" where it may be a model's, else words for what it seems to be.

    Raises:
      OSError: the file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(512)
        file.seek(max(size - len(table.MAGIC), 0))
        tail = file.read(len(table.MAGIC))
    if path.name.endswith(".index") or (size >= table.FOOTER and tail == table.MAGIC):
        return "table"
    if not size:
        return "an empty file"
    if head[257:262] == b"ustar" or (head[:2] == b"\x1f\x8b"):
        return "tar"
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _zip(path)
    for sign, words in _SIGNS:
        if head.startswith(sign) or (sign == _LITE and head[4:8] == sign):
            return words
    if path.suffix == ".mag":
        return "mag"
    if head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return "a pickle, which could run any program and is never read"
    if len(head) > 8 and 0 < int.from_bytes(head[:8], "little") < size and head[8:9] == b"{":
        return "a safetensors file"
    try:
        text = head[:-4].decode() if len(head) == 512 else head.decode()
    except UnicodeDecodeError:
        text = "\0"
    if all(letter.isprintable() or letter.isspace() for letter in text):
        return "json" if text.lstrip()[:1] in ("[", "{") else "text"
    return "mag" if head[:1] == b"\n" else "a file of a kind that is not known"


def _zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, UnicodeDecodeError, OverflowError):
        return "a zip archive that is cut short or damaged"
    if any(name.endswith(".index") for name in names):
        return "zip"
    if any(name.endswith("data.pkl") for name in names):
        return "a checkpoint of PyTorch (.pt), a pickle, which could run any program and is never read"
    if names and all(name.endswith(".npy") for name in names):
        return "numpy arrays (.npz)"
    if "model.weights.h5" in names:
        return "a Keras model (.keras)"
    return "zip"
