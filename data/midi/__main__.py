"""Prepares a folder of a person's own MIDI files: python -m data.midi --source=FOLDER"""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from data import on_beam
from data.midi.builder import OwnMidi, OwnPassages
from data.midi.files import Found, is_tar, stem
from data.midi.keeping import KEEPS, read_here, read_on_beam
from data.midi.options import steps_per_bar, wanted
from data.midi.reading import beside, read_passages, read_piece
from data.midi.survey import digest, hash_all, labels_of, survey
from data.prepare import Origin, command_line, prepare
from data.reading_pool import cores
from data.splits import SHARES, check_shares
from magenta_lite.command import run
from magenta_lite.errors import UserError


def main(
    source: str,
    kind: str = "pieces",
    out: str | None = None,
    split: list[float] | None = None,
    min_notes: int = 10,
    labels: bool = False,
    only: str | None = None,
    licence: str | None = None,
    metre: list[str] | None = None,
    tracks: list[str] | None = None,
    programs: list[str] | None = None,
    chords: str = "none",
    processes: int | None = None,
    beam: bool = False,
    beam_options: str = "",
) -> int:
    """Prepares the MIDI files (.mid, .midi, .kar) of a folder, a zip or a tar, however deep they lie, for training.

    --source     folder, zip, .tar, .tar.gz, .tgz, .tar.bz2 or .tar.xz; nothing is unpacked; identical files are kept
                 once, and pieces that are nearly the same are in one split
    --kind       pieces, for Performance RNN; melodies, drums, trios or grooves, for MusicVAE
    --out        directory to make (prepared/midi/NAME, prepared/KIND/NAME)
    --split      shares of train, valid and test (90,5,5)
    --min_notes  pieces of fewer notes are left out
    --labels     the names of subfolders are the labels; without it there is one, the name of the source
    --only       take the files whose paths end like this, as in --only="melody/*.mid"
    --licence    of the pieces, to be written beside them
    --metre      of melodies and so on (4/4); several, where bars are equally long, as in --metre=3/4,6/8
    --tracks     take melodies and so on from these tracks alone, by name, or by number from 0
    --programs   of melodies, MIDI's from 0 on (0-31, pianos to guitars); 0-127 is all
    --chords     of melodies: none; infer, from all tracks; pop909, from the texts beside each file, by whose beats the
                 bars go, too
    --processes  how many read at once (one for each core)
    --beam       read on Apache Beam, a folder or zip; the set is the same
    --beam_options  Beam's own, as in --beam_options="--runner=FlinkRunner --flink_master=HOST:8081" (its DirectRunner)

    A build that was ended goes on with what it has read when the same command is given again.

    Example: python -m data.midi --source=my_midi --kind=melodies
    """
    passages = wanted(kind, metre, programs, tracks, chords)
    if min_notes < 1:
        raise UserError(f"--min_notes={min_notes}: expected at least 1")
    if processes is not None and processes < 1:
        raise UserError(f"--processes={processes}: expected at least 1")
    shares = SHARES if split is None else split
    check_shares(shares)
    path = Path(source)
    words = _check_reading(path, chords, beam, beam_options)
    found, hashes = survey(path, processes or cores())
    if only is not None:
        found, hashes = _only(found, hashes, only)
    readers = min(processes or cores(), len(found.names))
    texts = [name for one in found.names for name in beside(one)] if chords == "pop909" else []
    whole = digest([*found.names, *texts], [*hashes, *(hash_all(found, texts, readers) if texts else [])])
    own = "midi" if passages is None else kind
    target = Path(out) if out is not None else Path("prepared") / own / (stem(path) or "midi")
    options: dict[str, Any] = {"kind": kind, "split": list(map(float, shares)), "min_notes": min_notes}
    options |= {"labels": labels, "only": only}
    flags: dict[str, Any] = {
        "split": split,
        "min_notes": min_notes,
        "labels": labels or None,
        "only": only,
        "licence": licence,
    }
    if passages is None:
        function = functools.partial(read_piece, min_notes)
        build: Callable[..., OwnMidi | OwnPassages] = OwnMidi
    else:
        function = functools.partial(read_passages, min_notes, passages, chords)
        steps = steps_per_bar(passages.metres[0])
        build = functools.partial(OwnPassages, kind=kind, steps_per_bar=steps)
        chosen = {"metre": [f"{one}/{other}" for one, other in passages.metres], "tracks": tracks, "chords": chords}
        options |= {**chosen, "programs": list(passages.programs), "steps_per_bar": steps}
        asked = {"metre": metre, "tracks": tracks, "programs": programs, "chords": chords if chords != "none" else None}
        flags = {"kind": kind, **flags, **asked}
    names = labels_of(found, labels)
    builder = OwnMidi if passages is None else OwnPassages
    origin = Origin(
        builder=builder.name,
        version=str(builder.VERSION),
        options=options,
        sources={path.resolve().name: whole},
        labels=tuple(sorted(set(names))),
        licence=licence,
        command=command_line("data.midi", source=source, out=target, **flags),
    )

    def built(data_dir: str) -> OwnMidi | OwnPassages:
        reader = functools.partial(read_on_beam, options=words) if beam else read_here
        read = functools.partial(reader, folder=Path(data_dir) / KEEPS, processes=readers)
        return build(
            found=found,
            hashes=hashes,
            file_labels=names,
            shares=shares,
            function=function,
            read=read,
            data_dir=data_dir,
        )

    prepare(target, origin, built, keeps=(KEEPS,))
    return 0


def _check_reading(source: Path, chords: str, beam: bool, beam_options: str) -> list[str]:
    """Beam's options; raises UserError where a source cannot be read in the way that is asked for."""
    if beam_options and not beam:
        raise UserError(f"--beam_options={beam_options}: add --beam")
    words = on_beam.check(beam_options) if beam else []
    for flag, given in (("beam", beam), ("chords=pop909", chords == "pop909")):
        if given and is_tar(source):
            raise UserError(f"--{flag} reads a folder or a zip, not {source}, which has no index: unpack it first")
    return words


def _only(found: Found, hashes: list, pattern: str) -> tuple[Found, list]:
    """The files whose paths end like the pattern, and their hashes; no star stands for a slash."""
    pairs = [pair for pair in zip(found.names, hashes, strict=True) if PurePosixPath(pair[0]).match(pattern)]
    if not pairs:
        raise UserError(f"--only={pattern}: no MIDI file has such a path; there is {found.names[0]}")
    names, kept = zip(*pairs, strict=True)
    return dataclasses.replace(found, names=names), list(kept)


if __name__ == "__main__":
    run(main)
