"""What a model was trained on, and whose licence that data is under, from source.json of its workdir."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from magenta_lite import config as configs
from magenta_lite.errors import plain
from magenta_lite.interop.licences import ASSUMED as ASSUMED
from magenta_lite.interop.licences import BEGAN
from magenta_lite.interop.licences import UNKNOWN as UNKNOWN

_SETS = {
    "quickdraw": "QuickDraw",
    "quickdraw_lines": "QuickDraw",
    "maestro": "MAESTRO v3.0.0",
    "groove": "Groove MIDI Dataset v1.0.0",
    "toy": "the toy drawings of magenta_lite",
    "toy_performances": "the toy performances of magenta_lite",
    "toy_passages": "the toy passages of magenta_lite",
    "own_drawings": "somebody's own drawings",
    "own_midi": "somebody's own MIDI files",
    "own_passages": "somebody's own MIDI files",
}
"""What each builder of data/ makes."""

_OTHERS = {
    "aaron_sheep": "aaron_sheep (The Sheep Market)",
    "omniglot": "omniglot",
    "kanji.rdp100": "kanji",
    "kanji.rdp200": "kanji",
    "short_kanji": "kanji",
}
"""Sets in the same form, which the same builder reads."""

_LABELS = 8
"""Names of classes that are told; of more their number."""

_CHAIN = 1000
"""Models, each begun from the next, that are looked at; the data of those before is unknown. JSON holds hardly more."""

LONGEST = 64 << 10
"""Letters of a licence. A longer one is unknown: no part of it may be left out."""

SPLITS = ("train", "valid", "test")


@dataclasses.dataclass(frozen=True)
class Data:
    """The data of one model: its own, or that of one that it began from.

    name: of the set. licence: as its builder, or whoever prepared it, wrote it down; "unknown". labels: of its classes,
    where they say more than the name. counts: {split: examples}, empty where unknown. model: what the model is called
    that was trained on it; empty for the model itself. step: how long that was trained. imported: what is known of a
    model that somebody else trained.
    """

    name: str
    licence: str
    labels: tuple[str, ...]
    counts: dict[str, int]
    model: str
    step: int
    imported: dict[str, Any]

    @property
    def title(self) -> str:
        """The name and its classes."""
        few = ", ".join(self.labels) if len(self.labels) <= _LABELS else f"{len(self.labels)} classes"
        return self.name + (f" ({few})" if few else "")

    @property
    def text(self) -> str:
        """The title, and how many examples there are to train on."""
        return self.title + (f", {self.counts['train']:,} examples to train on" if self.counts.get("train") else "")


def data(workdir: Path) -> list[Data]:
    """Of the model in a workdir first, then of the one that it began from, and so on.

    Raises:
      UserError: source.json is there and cannot be read.
    """
    path = Path(workdir) / "source.json"
    source = configs.read_json(path) if path.exists() else {}
    return list(_chain(source if isinstance(source, dict) else {}))


def licence(workdir: Path) -> str:
    """The licence of all data that went into a model, in one line: "CC BY 4.0", or "unknown".

    Of a model that began from another one, that one's is added where it differs.
    """
    found = list(dict.fromkeys(one.licence for one in data(workdir)))
    return f"; {BEGAN}".join(found)


def trained_on(workdir: Path) -> str:
    """What a model was trained on, in one line."""
    return "; and, before that, ".join(dict.fromkeys(one.text for one in data(workdir)))


def _chain(source: dict[str, Any]) -> Iterator[Data]:
    model, step = "", 0
    for _ in range(_CHAIN):
        yield _of(source, model, step)
        following = source.get("begun_from")
        if not isinstance(following, dict):
            return
        source = following
        model, step = _text(source.get("workdir")) or "another model", _number(source.get("step"))
    yield Data("unknown data", UNKNOWN, (), {}, "another model", 0, {})


def kept(licence: Any) -> str:
    """The licence that somebody wrote down, whole and on one line; "unknown" where that is no text, or is too long."""
    whole = isinstance(licence, str) and len(licence) <= LONGEST
    return (plain(licence) if whole else "") or UNKNOWN


def assumed(imported: dict[str, Any]) -> bool:
    """Whether an importer took data and licence of a model for granted; imported: of its source.json."""
    return imported.get("assumed") is True or kept(imported.get("licence")).endswith(ASSUMED)


def _of(source: dict[str, Any], model: str, step: int) -> Data:
    imported = source.get("imported")
    if isinstance(imported, dict):
        name, licence = _text(imported.get("data")) or "unknown data", kept(imported.get("licence"))
        if imported.get("assumed") is True:
            name, licence = f"{name}, assumed", licence.removesuffix(ASSUMED) + ASSUMED
        labels = tuple(filter(None, [_text(imported.get("name"))]))
        return Data(name, licence, labels, {}, model, step, imported)
    builder = _text(source.get("builder"))
    labels = tuple(filter(None, map(_text, _list(source.get("labels")))))
    name = _SETS.get(builder, builder or "unknown data")
    if builder == "maestro":
        labels = ()
    if builder == "quickdraw" and (others := {_OTHERS[label] for label in labels if label in _OTHERS}):
        labels = tuple(label for label in labels if label not in _OTHERS)
        name = " and ".join([*sorted(others), *([name] if labels else [])])
    counts = source.get("counts")
    sums = {
        split: sum(map(_number, classes.values()))
        for split, classes in (counts.items() if isinstance(counts, dict) else ())
        if split in SPLITS and isinstance(classes, dict)
    }
    return Data(name, kept(source.get("licence")), labels, sums, model, step, {})


def _text(value: Any) -> str:
    return plain(value)[:500] if isinstance(value, str) else ""


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else 0


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
