"""What a stranger's file is, and who reads it."""

from collections.abc import Callable
from pathlib import Path

from magenta_lite.errors import UserError
from magenta_lite.interop.imported import Imported

Reader = Callable[..., Imported]
"""reader(path, *, flags) -> Imported; its keyword parameters are flags of the command."""

EXPECTED = (
    "expected a sketch-rnn-js .json, a checkpoint of the TensorFlow code (.ckpt.index, .tar, .tgz, .zip, .mag), or a "
    "folder of magenta.js with config.json and weights_manifest.json"
)


def reader(path: Path) -> Reader:
    """Who reads the file or folder, by its contents.

    Raises:
      UserError: it is not there, or nothing that is read; says what it seems to be and what was expected.
    """
    if not path.exists() and not path.with_name(path.name + ".index").exists():
        raise UserError(f"cannot read {path}: no such file")
    if path.is_dir() and (path / "weights_manifest.json").exists():
        from magenta_lite.interop import magenta_js

        return magenta_js.read
    if path.is_file() and path.name.endswith(".json"):
        from magenta_lite.interop import sketch_rnn_js

        return sketch_rnn_js.read
    from magenta_lite.interop import tensorflow_code

    return tensorflow_code.read
