"""Prepares MAESTRO v3.0.0: python -m data.maestro"""

from pathlib import Path

from data import published_midi
from data.maestro.builder import FILES, LABEL, Maestro, survey
from data.prepare import Origin, command_line, prepare
from magenta_lite.command import run
from magenta_lite.errors import UserError

URL = "https://storage.googleapis.com/magentadata/datasets/maestro/v3.0.0/maestro-v3.0.0-midi.zip"


def main(
    source: str | None = None,
    out: str = "prepared/maestro",
    partial: bool = False,
    cache: str = "~/.cache/magenta_lite/maestro",
    url: str = URL,
) -> int:
    """Prepares MAESTRO v3.0.0, 1,276 piano performances in the published splits, for training.

    --source   maestro-v3.0.0-midi.zip, or the folder that was in it; without it the zip (58 MB) is downloaded once, to
               --cache, and an interrupted download is continued
    --out      directory to make
    --partial  take a source that lacks files of MAESTRO, or has other notes than the published
    --url      where to download from instead

    Example: python -m data.maestro --source=maestro-v3.0.0-midi.zip
    """
    archive = Path(cache).expanduser() / "maestro-v3.0.0-midi.zip"
    path = published_midi.downloaded(url, archive) if source is None else Path(source)
    found = survey(path)
    if not found.complete and not partial:
        held = sum(map(len, found.rows.values()))
        lacks = f", it lacks {', '.join(found.missing[:3])}{', ...' if len(found.missing) > 3 else ''}"
        raise UserError(
            f"{path} holds {held:,} of MAESTRO's {sum(FILES.values()):,} performances"
            f"{lacks if found.missing else ''}: get the whole of it, or add --partial"
        )
    target = Path(out)
    origin = Origin(
        builder=Maestro.name,
        version=str(Maestro.VERSION),
        options={"partial": partial},
        sources=found.sources,
        labels=(LABEL,),
        licence="CC BY-NC-SA 4.0",
        command=command_line("data.maestro", source=source, out=target, partial=partial or None),
    )
    prepare(target, origin, lambda data_dir: Maestro(source=found, partial=partial, data_dir=data_dir))
    return 0


if __name__ == "__main__":
    run(main)
