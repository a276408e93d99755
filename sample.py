"""Samples from a trained model: python sample.py --workdir=DIR --mode=generate [--temperature=0.2,0.5 ...]

Modes: generate, reconstruct, interpolate, continue, arithmetic, and those of the model's family (SketchRNN: gallery;
Performance RNN: generate and continue of its own, score, gallery; MusicVAE: most of its own, attribute, humanize, tap,
gallery). `--workdir=DIR --mode=MODE --help` lists the flags of a mode. Everything is read from the workdir.
"""

import functools
import inspect
import math
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from magenta_lite.command import guard, parse, usage
from magenta_lite.errors import UserError, nearest
from magenta_lite.runtime import keep_compiled


def common(
    workdir: str, mode: str = "generate", out: str | None = None, overwrite: bool = False, checkpoint: str = "best"
) -> None:
    """Samples from the model of a workdir.

    --workdir    folder of a run of train.py
    --mode       generate, reconstruct, interpolate, continue, arithmetic, or one of the family's own, which come first
    --out        folder to write (WORKDIR/samples/MODE-SEED); one that holds files is refused without --overwrite,
                 which replaces files of the same names and leaves others
    --checkpoint best, last, or a step
    """


def main() -> None:
    keep_compiled()
    from magenta_lite import config, models, modes, sampler

    argv = sys.argv[1:]
    help_asked = "--help" in argv or "-h" in argv
    first = {"workdir": None, "mode": "generate"} | _peek(argv)
    available = dict(modes.MODES)
    if first["workdir"] is not None:
        family = config.load(Path(first["workdir"]) / "config.json").family
        available |= _functions(models.family(family))
    if first["mode"] not in available:
        raise UserError(f"--mode={first['mode']} is no mode: {nearest(first['mode'], available)}")
    mode = available[first["mode"]]
    flags = functools.partial(mode, None)  # the sampler is not a flag
    if "folder" in inspect.signature(mode).parameters:
        flags = functools.partial(flags, folder=None)
    if help_asked:
        print(usage(common, flags))
        return
    values = parse(argv, common, flags)
    _check(values)
    workdir, chosen = Path(values.pop("workdir")), values.pop("mode", "generate")
    out = values.pop("out", None) or workdir / "samples" / f"{chosen}-{values.get('seed', 0)}"
    folder = _Folder(Path(out).absolute(), values.pop("overwrite", False))
    player = sampler.Sampler(workdir, values.pop("checkpoint", "best"))
    with folder as partial:
        if "folder" in inspect.signature(mode).parameters:
            mode(player, folder=partial, **values)
        else:
            player.codec.write(mode(player, **values), partial)
    print(f"{folder.count} files in {folder.path}, from step {player.step} of {workdir}")


def _peek(argv: list[str]) -> dict[str, str]:
    """Workdir and mode, on which the other flags depend."""
    found = {}
    for word, following in zip(argv, [*argv, ""][1:], strict=True):
        for name in ("workdir", "mode"):
            if word == f"--{name}":
                found[name] = following
            elif word.startswith(f"--{name}="):
                found[name] = word.partition("=")[2]
    return found


def _functions(family: Any) -> dict[str, Any]:
    """The family's own modes: the public functions of its modes.py; continue_ is continue, a word of Python's."""
    module = __import__(f"{family.__name__}.modes", fromlist=["modes"])
    return {
        name.rstrip("_"): function
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }


def _check(values: dict[str, Any]) -> None:
    for temperature in values.get("temperature", []):
        if not (temperature >= 0 and math.isfinite(temperature)):
            raise UserError(f"--temperature={temperature}: expected 0 (greedy) or more")
    if not 0 <= values.get("seed", 0) < 2**31:
        raise UserError(f"--seed={values['seed']}: expected 0 or more, below {2**31}")
    if "temperature" in values and not values["temperature"]:
        raise UserError("--temperature= is empty: expected numbers, such as --temperature=0.2,0.5")


class _Folder:
    """A folder filled beside its place, then moved there; with overwrite, file by file among what is there."""

    def __init__(self, path: Path, overwrite: bool):
        self.path, self.count = path, 0
        self._partial = path.with_name(f".{path.name}.{os.getpid()}")
        if not path.name or (path.exists() and not path.is_dir()):
            raise UserError(f"--out={path}: expected a folder to write")
        if path.is_dir() and any(path.iterdir()) and not overwrite:
            raise UserError(f"{path} holds files already: give another --out, or --overwrite")

    def __enter__(self) -> Path:
        try:
            self._partial.mkdir(parents=True)
        except OSError as error:
            raise UserError(f"--out={self.path}: cannot be made ({error.strerror})") from None
        return self._partial

    def __exit__(self, failed: type | None, *_: Any) -> None:
        if failed is None:
            files = sorted(self._partial.iterdir())
            self.count = len(files)
            self.path.mkdir(parents=True, exist_ok=True)
            for file in files:
                os.replace(file, self.path / file.name)
        shutil.rmtree(self._partial)


if __name__ == "__main__":
    guard(main)
