"""Prepares sketchrnn drawings: python -m data.quickdraw --classes=pig,face"""

import hashlib
import urllib.parse
import zipfile
from pathlib import Path

from data.download import NotFoundError, fetch
from data.prepare import Origin, command_line, hash_file, prepare
from data.quickdraw.builder import QuickDraw
from magenta_lite.command import run
from magenta_lite.errors import UserError, nearest

_QUICKDRAW = "https://storage.googleapis.com/quickdraw_dataset/sketchrnn/{name}.npz"
_OTHERS = "https://github.com/hardmaru/sketch-rnn-datasets/raw/master/{folder}/{{name}}.npz"
_FOLDERS = {
    "aaron_sheep": "aaron_sheep",
    "omniglot": "omniglot",
    "kanji.rdp100": "kanji",
    "kanji.rdp200": "kanji",
    "short_kanji": "kanji",
}
_LICENCES = {"aaron_sheep": "CC BY-NC 4.0", "omniglot": "as published", "kanji": "CC BY-SA 3.0"}


def main(
    classes: list[str],
    source: str | None = None,
    out: str | None = None,
    cache: str = "~/.cache/magenta_lite/quickdraw",
    url: str | None = None,
) -> int:
    """Prepares classes of QuickDraw, or sets published in the same form, for training.

    --classes  names of published sketchrnn .npz files: cat, "alarm clock" or alarm_clock, cat.full, aaron_sheep,
               omniglot, kanji.rdp100, short_kanji; several become one set that keeps their labels
    --source   folder that holds the files; without it they are downloaded once, to --cache
    --out      directory to make (prepared/quickdraw/cat+bus)
    --url      where to download from instead, with {name} in the place of the class

    Example: python -m data.quickdraw --classes=cat,bus
    """
    _check_names(classes)
    files = {
        name: _find(Path(source), name) if source is not None else _download(Path(cache).expanduser(), name, url)
        for name in classes
    }
    target = Path(out) if out is not None else Path("prepared/quickdraw") / _folder_name(classes)
    origin = Origin(
        builder=QuickDraw.name,
        version=str(QuickDraw.VERSION),
        options={"classes": list(classes)},
        sources={path.name: hash_file(path) for path in files.values()},
        labels=tuple(classes),
        licence=_licence(classes),
        command=command_line("data.quickdraw", classes=classes, source=source, out=target, url=url),
    )
    prepare(target, origin, lambda data_dir: QuickDraw(files=files, data_dir=data_dir))
    return 0


def _check_names(classes: list[str]) -> None:
    if not classes:
        raise UserError("--classes is empty: name at least one, as in --classes=cat,bus")
    seen: set[str] = set()
    for name in classes:
        if name != name.strip() or name.startswith(".") or "/" in name or "\\" in name:
            raise UserError(f"--classes: {name!r} is not the name of a class (cat, alarm_clock, aaron_sheep)")
        if _spaced(name) in seen:
            raise UserError(f"--classes: {name!r} is named twice")
        seen.add(_spaced(name))


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _find(folder: Path, name: str) -> Path:
    if not folder.is_dir():
        raise UserError(f"--source={folder}: no such folder")
    held = {path.stem: path for path in sorted(folder.glob("*.npz"))}
    # The published files are named with spaces, and many people keep them with underscores.
    for spelling in (name, _spaced(name), name.replace(" ", "_")):
        if spelling in held:
            return held[spelling]
    hint = nearest(name, held) if held else "it holds no .npz files"
    raise UserError(f"no class {name!r} in --source={folder}: {hint}")


def _download(cache: Path, name: str, url: str | None) -> Path:
    known = name.replace(" ", "_") in _FOLDERS
    published = name.replace(" ", "_") if known else _spaced(name)
    path = cache / f"{published}.npz"
    if path.exists():
        return path
    template = url or (_OTHERS.format(folder=_FOLDERS[published]) if known else _QUICKDRAW)
    if "{name}" not in template:
        raise UserError(f"--url={template}: write {{name}} where the class belongs")
    try:
        fetch(template.replace("{name}", urllib.parse.quote(published)), path)
    except NotFoundError as error:
        raise UserError(f"no class {name!r}: {error}") from None
    if not zipfile.is_zipfile(path):
        path.unlink()
        raise UserError(f"{template.replace('{name}', published)}: what came is no .npz file")
    return path


def _folder_name(classes: list[str]) -> str:
    name = "+".join(classes)
    if len(name) <= 100:
        return name
    return f"{len(classes)}_classes_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _licence(classes: list[str]) -> str:
    by_class = {name: _LICENCES.get(_FOLDERS.get(name.replace(" ", "_"), ""), "CC BY 4.0") for name in classes}
    if len(set(by_class.values())) == 1:
        return by_class[classes[0]]
    return "; ".join(f"{name}: {licence}" for name, licence in by_class.items())


if __name__ == "__main__":
    run(main)
