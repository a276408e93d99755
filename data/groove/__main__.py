"""Prepares the Groove MIDI data set: python -m data.groove"""

from pathlib import Path

from data import published_midi
from data.groove.builder import FILES, KINDS, Groove, survey
from data.midi.options import parse_metres, steps_per_bar
from data.prepare import Origin, command_line, prepare
from magenta_lite.command import run
from magenta_lite.errors import UserError, nearest

URL = "https://storage.googleapis.com/magentadata/datasets/groove/groove-v1.0.0-midionly.zip"


def main(
    source: str | None = None,
    kind: str = "grooves",
    out: str | None = None,
    metre: list[str] | None = None,
    partial: bool = False,
    cache: str = "~/.cache/magenta_lite/groove",
    url: str = URL,
) -> int:
    """Prepares Groove v1.0.0, 1,150 beats and fills of ten drummers in the published splits, for MusicVAE.

    --source   groove-v1.0.0-midionly.zip, or the folder that was in it; without it the zip (3 MB) is downloaded once,
               to --cache
    --kind     grooves: hits, velocities and offsets of nine drums; drums: which drums are struck on each step
    --out      directory to make (prepared/groove, prepared/groove-drums)
    --metre    of what is taken (4/4, all but 12 files); several, where bars are equally long, as in --metre=3/4,6/8
    --partial  take a source that lacks files of Groove, or has other notes than the published

    Example: python -m data.groove --source=groove-v1.0.0-midionly.zip
    """
    if kind not in KINDS:
        raise UserError(f"--kind={kind}: {nearest(kind, KINDS)}")
    metres = parse_metres(("4/4",) if metre is None else metre)
    archive = Path(cache).expanduser() / "groove-v1.0.0-midionly.zip"
    path = published_midi.downloaded(url, archive) if source is None else Path(source)
    found = survey(path)
    if not found.complete and not partial:
        held = sum(map(len, found.rows.values()))
        lacks = f", it lacks {', '.join(found.missing[:3])}{', ...' if len(found.missing) > 3 else ''}"
        raise UserError(
            f"{path} holds {held:,} of Groove's {sum(FILES.values()):,} files"
            f"{lacks if found.missing else ''}: get the whole of it, or add --partial"
        )
    target = Path(out or ("prepared/groove" if kind == "grooves" else f"prepared/groove-{kind}"))
    origin = Origin(
        builder=Groove.name,
        version=str(Groove.VERSION),
        options={
            "kind": kind,
            "metre": [f"{one}/{other}" for one, other in metres],
            "partial": partial,
            "steps_per_bar": steps_per_bar(metres[0]),
        },
        sources=found.sources,
        labels=found.styles,
        licence="CC BY 4.0",
        command=command_line(
            "data.groove",
            source=source,
            kind=None if kind == "grooves" else kind,
            out=target,
            metre=metre,
            partial=partial or None,
        ),
    )
    prepare(
        target,
        origin,
        lambda data_dir: Groove(source=found, kind=kind, metres=metres, partial=partial, data_dir=data_dir),
    )
    return 0


if __name__ == "__main__":
    run(main)
