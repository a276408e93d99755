"""What a stranger's file is, and who reads it."""

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

from magenta_lite.errors import UserError
from magenta_lite.interop.imported import Imported

Reader = Callable[..., Imported]
"""reader(path, *, flags) -> Imported; its keyword parameters are flags of the command."""

EXPECTED = (
    "expected a sketch-rnn-js .json, a checkpoint of the TensorFlow code (.ckpt.index, .tar, .tgz, .zip, .mag), a "
    ".safetensors that `export` wrote, or a folder of magenta.js with config.json and weights_manifest.json"
)
_OF_TENSORFLOW = {"table", "tar", "zip", "mag"}


def reader(path: Path) -> Reader:
    """Who reads the file or folder, by its contents.

    Raises:
      UserError: it is not there, or nothing that is read; says what it seems to be and what was expected.
    """
    from magenta_lite.interop import kinds, packs, tensorflow_code

    if path.is_dir():
        if (path / "weights_manifest.json").exists():
            from magenta_lite.interop import magenta_js

            return magenta_js.read
        if (path / "config.json").exists() and not _holds_tables(path):
            if (path / "codec.json").exists():
                raise UserError(f"{path} is a workdir of this project already: {EXPECTED}")
            raise UserError(f"{path} is a folder of magenta.js whose weights_manifest.json is missing: {EXPECTED}")
        return tensorflow_code.read
    if not path.exists():
        if path.with_name(path.name + ".index").exists():
            return tensorflow_code.read
        if re.match(r"\w\w+:/", str(path)):
            raise UserError(f"{path} is an address: download it first, and give the file")
        raise UserError(f"cannot read {path}: no such file")
    if not path.is_file():
        raise UserError(f"cannot read {path}: it is no regular file")
    if tensorflow_code.SHARD.search(path.name) and path.with_name(tensorflow_code.index_of(path.name)).exists():
        return tensorflow_code.read
    try:
        what = kinds.of(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from None
    if path.name in ("config.json", "weights_manifest.json"):
        raise UserError(f"{path} is a part of a model of magenta.js: give the folder that it is in")
    if what == "json" or (path.suffix == ".json" and what in ("text", "an empty file")):
        from magenta_lite.interop import sketch_rnn_js

        return sketch_rnn_js.read
    if what == "a safetensors file" or path.suffix == ".safetensors":
        from magenta_lite.interop import safetensors_file

        return safetensors_file.read
    if what == "zip" and packs.is_pack(path):
        raise UserError(f"{path} is a pack: python -m magenta_lite.interop unpack {path} --workdir=DIR")
    if what in _OF_TENSORFLOW or path.name == "checkpoint":
        return tensorflow_code.read
    if tensorflow_code.SHARD.search(path.name):
        index = tensorflow_code.index_of(path.name)
        raise UserError(f"{path} is a part of a checkpoint, whose index is not beside it: {index} is missing")
    words = "a text file" if what == "text" else what
    raise UserError(f"{path} is {words}: {EXPECTED}")


def _holds_tables(folder: Path) -> bool:
    """Whether a checkpoint of TensorFlow, or what seems to be one, is in the folder."""
    from magenta_lite.interop import kinds

    with contextlib.suppress(OSError):  # which the reader tells
        return any(one.is_file() and kinds.of(one) == "table" for one in sorted(folder.iterdir()))
    return True
