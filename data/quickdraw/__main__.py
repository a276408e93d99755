"""Prepares drawings of QuickDraw: python -m data.quickdraw --classes=pig,face"""

import hashlib
from pathlib import Path

from data.archives import Member, plain
from data.line_files import cut, is_ndjson, members
from data.on_beam import check
from data.prepare import Origin, command_line, hash_file, prepare
from data.quickdraw import published
from data.quickdraw.builder import QuickDraw
from data.quickdraw.lines import QuickDrawLines, Wanted, Way, choose, spaced
from data.reading_pool import cores
from data.splits import SHARES, check_shares
from magenta_lite.command import run
from magenta_lite.errors import UserError, nearest


def main(
    classes: list[str],
    source: str | None = None,
    out: str | None = None,
    format: str | None = None,
    recognized: bool = False,
    split: list[float] | None = None,
    cache: str = "~/.cache/magenta_lite/quickdraw",
    url: str | None = None,
    processes: int | None = None,
    beam: bool = False,
    beam_options: str = "",
) -> int:
    """Prepares classes of QuickDraw, or sets published in the same forms, for training.

    --classes     names of classes: cat, "alarm clock" or alarm_clock, cat.full, aaron_sheep, omniglot, kanji.rdp100,
                  short_kanji; several become one set that keeps their labels; all: every class that --source holds
    --source      folder of .npz files or of .ndjson files, or a .zip, .ndjson or .ndjson.gz; without it the classes are
                  downloaded once, to --cache
    --out         directory to make (prepared/quickdraw/cat+bus)
    --format      which published form: sketchrnn (.npz, split), simplified or raw (.ndjson, split here; raw drawings
                  are simplified here, as the published ones were). Without it: what --source holds, or sketchrnn
    --recognized  only drawings that the game recognized (.ndjson alone says so)
    --split       shares of train, valid and test, where the source has no splits (90,5,5)
    --url         where to download from instead, with {name} in the place of the class
    --processes   how many read .ndjson at once (one for each core)
    --beam        do so on Apache Beam; the set is the same
    --beam_options  Beam's own, as in --beam_options="--runner=FlinkRunner --flink_master=HOST:8081" (its DirectRunner)

    A build of .ndjson that was ended goes on where it was when the same command is given again.

    Example: python -m data.quickdraw --classes=cat,bus
    """
    _check_names(classes)
    if format is not None and format not in published.FORMS:
        raise UserError(f"--format={format}: {nearest(format, published.FORMS)}")
    if processes is not None and processes < 1:
        raise UserError(f"--processes={processes}: expected at least 1")
    if beam_options and not beam:
        raise UserError(f"--beam_options={beam_options}: add --beam")
    lines = is_ndjson(Path(source)) if format is None and source is not None else format not in (None, "sketchrnn")
    flags = {"source": source, "format": format, "recognized": recognized or None, "split": split, "url": url}
    folder = Path(cache).expanduser()
    if lines:
        found, labels = _files(classes, source, format, folder, url)
        shares = SHARES if split is None else split
        check_shares(shares)
        files = choose(found, labels)
        portions, hashes = cut(files, processes or cores())
        wanted = Wanted(None if labels is None else tuple(labels), format, recognized, tuple(map(float, shares)))
        way = Way(processes or cores(), tuple(check(beam_options)) if beam else None)
        target = _target(out, classes, format or "ndjson")
        origin = Origin(
            builder=QuickDrawLines.name,
            version=str(QuickDrawLines.VERSION),
            options={"classes": classes, "format": format, "recognized": recognized, "split": list(map(float, shares))},
            sources=hashes,
            labels=None,
            licence=published.QUICKDRAW_LICENCE,
            command=command_line("data.quickdraw", classes=classes, out=target, **flags),
        )
        prepare(
            target,
            origin,
            lambda data_dir: QuickDrawLines(portions=portions, wanted=wanted, way=way, data_dir=data_dir),
            keeps=QuickDrawLines.KEEPS,
        )
        return 0
    if beam:
        raise UserError("--beam: .npz files are small, and read by one process: leave it out")
    if recognized:
        raise UserError("--recognized: sketchrnn files do not say which drawings were: add --format=simplified")
    if split is not None:
        raise UserError("--split: sketchrnn files are split already: leave it out, or add --format=simplified")
    arrays = _arrays(classes, source, folder, url)
    target = _target(out, classes)
    origin = Origin(
        builder=QuickDraw.name,
        version=str(QuickDraw.VERSION),
        options={"classes": list(arrays)},
        sources={path.name: hash_file(path) for path in arrays.values()},
        labels=tuple(arrays),
        licence=published.licence(list(arrays)),
        command=command_line("data.quickdraw", classes=classes, out=target, **flags),
    )
    prepare(target, origin, lambda data_dir: QuickDraw(files=arrays, data_dir=data_dir))
    return 0


def _check_names(classes: list[str]) -> None:
    if not classes:
        raise UserError("--classes is empty: name at least one, as in --classes=cat,bus")
    seen: set[str] = set()
    for name in classes:
        if name != plain(name) or name.startswith(".") or "/" in name or "\\" in name:
            raise UserError(f"--classes: {name!r} is not the name of a class (cat, alarm_clock, aaron_sheep)")
        if spaced(name) in seen:
            raise UserError(f"--classes: {name!r} is named twice")
        seen.add(spaced(name))


def _files(
    classes: list[str], source: str | None, form: str | None, cache: Path, url: str | None
) -> tuple[list[Member], list[str] | None]:
    """The files of drawings as .ndjson, and the classes; None: all that are in them."""
    if source is not None:
        return members(Path(source)), None if classes == ["all"] else classes
    _no_all(classes)
    return [Member(published.download(name, str(form), cache, url)) for name in classes], classes


def _arrays(classes: list[str], source: str | None, cache: Path, url: str | None) -> dict[str, Path]:
    """The .npz file of each class, by the name that it was asked for."""
    if source is None:
        _no_all(classes)
        return {name: published.download(name, "sketchrnn", cache, url) for name in classes}
    folder = Path(source)
    if not folder.is_dir() and not (folder.is_file() and folder.suffix == ".npz"):
        raise UserError(f"--source={folder}: no such folder")
    held: dict[str, Path] = {}
    for path in sorted(folder.glob("*.npz")) if folder.is_dir() else [folder]:
        if path.name.startswith(".") or not path.is_file():
            continue
        if (name := plain(path.stem)) in held:
            raise UserError(f"--source={folder} holds two files named {name!r}: rename one")
        held[name] = path
    if not held:
        raise UserError(f"no class {classes[0]!r} in --source={folder}: it holds no .npz files")
    if classes == ["all"]:
        return held
    found = {}
    for name in classes:
        # The published files are named with spaces, and many people keep them with underscores.
        spellings = [spelling for spelling in (name, spaced(name), name.replace(" ", "_")) if spelling in held]
        if not spellings:
            raise UserError(f"no class {name!r} in --source={folder}: {nearest(name, held)}")
        found[name] = held[spellings[0]]
    return found


def _no_all(classes: list[str]) -> None:
    if classes == ["all"]:
        raise UserError("--classes=all takes what --source=... holds: to download, name the classes")


def _target(out: str | None, classes: list[str], form: str = "") -> Path:
    if out is not None:
        return Path(out)
    name = "+".join(classes)
    if len(name) > 100:
        name = f"{len(classes)}_classes_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return Path("prepared/quickdraw") / form / name


if __name__ == "__main__":
    run(main)
