"""Where QuickDraw and its relatives are published, in which forms, under which licences."""

import urllib.parse
import zipfile
from pathlib import Path

from data.download import NotFoundError, fetch
from magenta_lite.errors import UserError

FORMS = ("sketchrnn", "simplified", "raw")

_QUICKDRAW = {
    "sketchrnn": "https://storage.googleapis.com/quickdraw_dataset/sketchrnn/{name}.npz",
    "simplified": "https://storage.googleapis.com/quickdraw_dataset/full/simplified/{name}.ndjson",
    "raw": "https://storage.googleapis.com/quickdraw_dataset/full/raw/{name}.ndjson",
}
_OTHERS = "https://github.com/hardmaru/sketch-rnn-datasets/raw/master/{folder}/{{name}}.npz"
_FOLDERS = {
    "aaron_sheep": "aaron_sheep",
    "omniglot": "omniglot",
    "kanji.rdp100": "kanji",
    "kanji.rdp200": "kanji",
    "short_kanji": "kanji",
}
_LICENCES = {"aaron_sheep": "CC BY-NC 4.0", "omniglot": "as published", "kanji": "CC BY-SA 3.0"}


def download(name: str, form: str, cache: Path, url: str | None) -> Path:
    """The file of a class in one of the forms, fetched to the cache unless it is there.

    Args:
      name: of the class, with spaces or underscores.
      form: one of FORMS.
      cache: the folder to keep it in.
      url: where to fetch from instead, with {name} in the place of the class.

    Raises:
      UserError: no such class, or it cannot be fetched, or what came is something else.
    """
    known = form == "sketchrnn" and name.replace(" ", "_") in _FOLDERS
    published = name.replace(" ", "_") if known else name.replace("_", " ")
    path = cache / f"{published}.npz" if form == "sketchrnn" else cache / form / f"{published}.ndjson"
    if path.exists():
        return path
    template = url or (_OTHERS.format(folder=_FOLDERS[published]) if known else _QUICKDRAW[form])
    if "{name}" not in template:
        raise UserError(f"--url={template}: write {{name}} where the class belongs")
    try:
        fetch(template.replace("{name}", urllib.parse.quote(published)), path)
    except NotFoundError as error:
        raise UserError(f"no class {name!r}: {error}") from None
    if not (zipfile.is_zipfile(path) if form == "sketchrnn" else _is_ndjson(path)):
        path.unlink()
        raise UserError(f"{template.replace('{name}', published)}: what came is no {path.suffix} file")
    return path


def licence(classes: list[str]) -> str:
    """The licence of classes of the sketchrnn form; where they differ, each with its classes."""
    groups: dict[str, list[str]] = {}
    for name in classes:
        known = _LICENCES.get(_FOLDERS.get(name.replace(" ", "_"), ""), QUICKDRAW_LICENCE)
        groups.setdefault(known, []).append(name)
    if len(groups) == 1:
        return next(iter(groups))
    return "; ".join(f"{licence}: {', '.join(names)}" for licence, names in groups.items())


QUICKDRAW_LICENCE = "CC BY 4.0"


def _is_ndjson(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(1) == b"{"
