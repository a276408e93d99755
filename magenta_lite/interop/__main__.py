"""Other people's models in, ours out: python -m magenta_lite.interop import|export|pack|unpack ...

import FILE --workdir=DIR                      a published model becomes a workdir like any other
export --workdir=DIR --format=FORMAT --out=PATH   a model for browsers and other programs
pack --workdir=DIR --out=FILE.zip              one file with weights, config, metrics, licence and a card
unpack FILE.zip --workdir=DIR                  and back

`... COMMAND --help` lists the flags; those of `import` depend on FILE, those of `export` on the format.
"""

import functools
import importlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from magenta_lite.command import guard, parse, usage
from magenta_lite.errors import UserError, nearest

FORMATS = {
    "sketch-rnn-js": "sketch_rnn_js",
    "magenta-js": "magenta_js",
    "safetensors": "safetensors_file",
    "html": "pages",
}
"""The module of each format; its `export(player, out, **flags)` makes `out`, a file or a folder."""


def import_(file: str, workdir: str) -> None:
    """Makes a workdir of a published model: sample.py, evaluate.py and train.py --init_from take it like any other.

    FILE        .gen.json and .vae.json of sketch-rnn-js; .tar, .tgz, .zip, .ckpt.index (or the name before it), .mag of
                the TensorFlow code; a folder of magenta.js; .safetensors of export
    --workdir   folder to make
    """


def export(workdir: str, format: str, out: str, checkpoint: str = "best", overwrite: bool = False) -> None:
    """Writes a model for other programs.

    --workdir     folder of a run, or of an import
    --format      sketch-rnn-js, magenta-js, safetensors or html
    --out         file or folder to make; one that is there is refused without --overwrite,
                  which replaces files of the same names
    --checkpoint  best, last, or a step
    """


def pack(workdir: str, out: str, checkpoint: str = "best", overwrite: bool = False) -> None:
    """Packs a workdir into one file: weights, config, metrics, licence of the data, and a card with pictures.

    --workdir     folder of a run, or of an import
    --out         .zip to make; one that is there is refused without --overwrite
    --checkpoint  best, last, or a step: that one alone goes along
    """


def main() -> int | None:
    commands: dict[str, Callable[[list[str]], None]] = {
        "import": _import,
        "export": _export,
        "pack": _pack,
        "unpack": _unpack,
    }
    words = sys.argv[1:]
    if not words or words[0] in ("--help", "-h"):
        print(__doc__)
        return None
    if words[0] not in commands:
        raise UserError(f"{words[0]} is no command: {nearest(words[0], commands)}")
    commands[words[0]](words[1:])
    return None


def _import(words: list[str]) -> None:
    from magenta_lite import workdirs
    from magenta_lite.interop import formats, imported

    file, words, help_asked = _file(words)
    if file is None:
        if help_asked:
            print(usage(functools.partial(import_, "")))
            return
        raise UserError("import what? python -m magenta_lite.interop import FILE --workdir=DIR")
    reader = formats.reader(Path(file))
    flags = functools.partial(reader, None)  # the path is not a flag
    command = functools.partial(import_, "")
    if help_asked:
        print(usage(command, flags))
        return
    values = parse(words, command, flags)
    workdir = Path(values.pop("workdir"))
    workdirs.need_free(workdir)
    found = reader(Path(file), **values)
    count = imported.write(found, workdir)
    print(f"{found.family}, {count:,} parameters, from {file}: {workdir}")


def _export(words: list[str]) -> None:
    if "--format" in words[:-1]:
        place = words.index("--format")
        words = [*words[:place], f"--format={words[place + 1]}", *words[place + 2 :]]
    chosen = next((word.partition("=")[2] for word in words if word.startswith("--format=")), None)
    if chosen is not None and chosen not in FORMATS:
        raise UserError(f"--format={chosen}: {nearest(chosen, FORMATS)}")
    if chosen is None:
        if {"--help", "-h"} & set(words):
            print(usage(export))
            return
        raise UserError(f"flag --format=... is required: {', '.join(FORMATS)}")
    exporter = importlib.import_module(f"magenta_lite.interop.{FORMATS[chosen]}").export
    rest = [word for word in words if not word.startswith("--format=")]
    _write(rest, exporter, functools.partial(export, format=chosen))


def _pack(words: list[str]) -> None:
    from magenta_lite.interop import packs

    _write(words, packs.pack, pack)


def _write(words: list[str], maker: Callable[..., None], command: Callable[..., None]) -> None:
    """Has `maker(player, path, **flags)` make a file or folder, whole or not at all."""
    flags = functools.partial(maker, None, None)  # the player and the path are not flags
    if {"--help", "-h"} & set(words):
        print(usage(command, flags))
        return
    values = parse(words, command, flags)
    from magenta_lite.sampler import Sampler

    values.pop("format", None)
    out = _free(values.pop("out"), values.pop("overwrite", False))
    player = Sampler(Path(values.pop("workdir")), values.pop("checkpoint", "best"))
    size = _whole(out, lambda partial: maker(player, partial, **values))
    print(f"{out} ({size:,} bytes), from step {player.step} of {player.workdir}")


def _unpack(words: list[str]) -> None:
    from magenta_lite.interop import packs

    file, words, help_asked = _file(words)
    command = functools.partial(packs.unpack, "")
    if help_asked:
        print(usage(command))
        return
    if file is None:
        raise UserError("unpack what? python -m magenta_lite.interop unpack FILE --workdir=DIR")
    packs.unpack(file, **parse(words, command))


def _file(words: list[str]) -> tuple[str | None, list[str], bool]:
    """The word that is neither a flag nor its value, the others without --help, and whether that is there."""
    asked = {"--help", "-h"} & set(words)
    flags: list[str] = []
    files: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        of_flag = before.startswith("--") and "=" not in before and before != "--help"
        if word in ("--help", "-h"):
            continue
        (flags if of_flag or word.startswith("--") else files).append(word)
    if len(files) > 1:
        raise UserError(f"unexpected argument {files[1]!r}: flags are written --name=value")
    return (files[0] if files else None), flags, bool(asked)


def _free(out: str, overwrite: bool) -> Path:
    path = Path(out).absolute()
    if path.exists() and not overwrite:
        raise UserError(f"--out={out} is there already: give another one, or --overwrite")
    return path


def _whole(out: Path, make: Callable[[Path], Any]) -> int:
    """Has a file or folder made beside its place, puts it there when it is whole, and returns its bytes.

    A folder that is there gets the new files one by one, in the place of those of the same names, the list of weights
    last; weights of an older export that it does not list go.
    """
    partial = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        make(partial)
        if out.is_dir() and not partial.is_dir():
            raise UserError(f"--out={out} is a folder: expected a file to make")
        size = _size(partial)
        if not out.is_dir():
            os.replace(partial, out)
            return size
        files = sorted(partial.iterdir(), key=lambda file: (file.name == "weights_manifest.json", file.name))
        for file in files:
            os.replace(file, out / file.name)
        for old in set(out.glob("group*-shard*of*.bin")) - {out / file.name for file in files}:
            old.unlink()
        return size
    except OSError as error:
        raise UserError(f"--out={out} cannot be written ({error.strerror or error})") from None
    finally:
        if partial.is_dir():
            shutil.rmtree(partial)
        else:
            partial.unlink(missing_ok=True)


def _size(out: Path) -> int:
    return sum(path.stat().st_size for path in ([out] if out.is_file() else out.rglob("*")) if path.is_file())


if __name__ == "__main__":
    guard(main)
