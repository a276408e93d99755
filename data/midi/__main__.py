"""Prepares a folder of a person's own MIDI files: python -m data.midi --source=FOLDER"""

from pathlib import Path

from data.midi.builder import OwnMidi, digest, hash_all, labels_of
from data.midi.files import find
from data.prepare import Origin, command_line, prepare
from data.reading_pool import cores
from data.splits import SHARES, check_shares
from magenta_lite.command import run
from magenta_lite.errors import UserError


def main(
    source: str,
    out: str | None = None,
    split: list[float] | None = None,
    min_notes: int = 10,
    labels: bool = False,
    licence: str | None = None,
    processes: int | None = None,
) -> int:
    """Prepares a folder or a zip of MIDI files (.mid, .midi, .kar), however deep they lie, for training.

    --source     folder or zip; identical files are kept once
    --out        directory to make (prepared/midi/NAME)
    --split      shares of train, valid and test (90,5,5)
    --min_notes  pieces of fewer notes are left out
    --labels     the names of subfolders are the labels; without it there is one, the name of the source
    --licence    of the pieces, to be written beside them
    --processes  how many read at once (one for each core)

    Example: python -m data.midi --source=my_midi
    """
    if min_notes < 1:
        raise UserError(f"--min_notes={min_notes}: expected at least 1")
    if processes is not None and processes < 1:
        raise UserError(f"--processes={processes}: expected at least 1")
    shares = SHARES if split is None else split
    check_shares(shares)
    found = find(Path(source))
    readers = min(processes or cores(), len(found.names))
    hashes = hash_all(found, readers)
    names = labels_of(found, labels)
    stem = found.source.resolve().name.removesuffix(".zip")
    target = Path(out) if out is not None else Path("prepared/midi") / (stem or "midi")
    flags = {"split": split, "min_notes": min_notes, "labels": labels or None, "licence": licence}
    origin = Origin(
        builder=OwnMidi.name,
        version=str(OwnMidi.VERSION),
        options={"split": list(map(float, shares)), "min_notes": min_notes, "labels": labels},
        sources={found.source.resolve().name: digest(found, hashes)},
        labels=tuple(sorted(set(names))),
        licence=licence,
        command=command_line("data.midi", source=source, out=target, **flags),
    )
    prepare(
        target,
        origin,
        lambda data_dir: OwnMidi(
            found=found,
            hashes=hashes,
            labels=names,
            shares=shares,
            min_notes=min_notes,
            processes=readers,
            data_dir=data_dir,
        ),
    )
    return 0


if __name__ == "__main__":
    run(main)
