"""What is read of one MIDI file: a whole piece, or its passages; light, since every reading process imports it."""

from pathlib import PurePosixPath
from typing import NamedTuple

from data import packing
from data.midi import extraction, files, kept, pop909
from data.midi.extraction import Wanted
from magenta_lite.errors import Rejected
from magenta_lite.music import midi
from magenta_lite.music.score import Score

File = tuple[str, str, bytes | None]
"""Source and name of a file, and its content, if it comes from an archive that has no index."""


class Read(NamedTuple):
    """What a file holds: records, how many; columns, all of theirs by kept.pack; signature, of near_duplicates.

    elsewhere, lost, why: as in extraction.Extracted.
    """

    records: int
    columns: bytes
    signature: bytes
    elsewhere: dict[str, int]
    lost: dict[str, int]
    why: str


def read_piece(min_notes: int, file: File) -> Read | Rejected:
    """The columns of a whole piece: one record."""
    score = _score(min_notes, file)
    if isinstance(score, Rejected):
        return score
    packed = packing.pack_score(score)
    if isinstance(packed, Rejected):
        return packed
    return Read(1, kept.pack([packed]), extraction.signature(score).tobytes(), {}, {}, "")


def read_passages(min_notes: int, wanted: Wanted, chords: str, file: File) -> Read | Rejected:
    """The columns of a piece's passages. chords: "pop909" where beats and chords lie beside files that have any."""
    score, changes = _score(min_notes, file), None
    lost: dict[str, int] = {}
    if chords == "pop909" and not isinstance(score, Rejected):
        beats, harmony = (files.content(file[0], name) for name in beside(file[1]))
        if isinstance(beats, Rejected) or isinstance(harmony, Rejected):
            lost[f"pieces' chords: no {pop909.BEATS} and {pop909.CHORDS} beside them, so their own bars are taken"] = 1
        else:
            counted = pop909.read(score, beats.decode("utf-8", "replace"), harmony.decode("utf-8", "replace"))
            score, changes = (counted, None) if isinstance(counted, Rejected) else counted
    if isinstance(score, Rejected):
        return score
    found = extraction.extract(score, wanted, changes)
    signature, lost = found.signature.tobytes(), {**found.lost, **lost}
    return Read(len(found.passages), kept.pack(found.passages), signature, found.elsewhere, lost, found.why)


def beside(name: str) -> tuple[str, str]:
    """The names of POP909's texts of beats and chords that belong to a file."""
    folder = PurePosixPath(name).parent
    return str(folder / pop909.BEATS), str(folder / pop909.CHORDS)


def _score(min_notes: int, file: File) -> Score | Rejected:
    source, name, content = file
    found = files.content(source, name) if content is None else content
    score = found if isinstance(found, Rejected) else midi.parse(found)
    if isinstance(score, Rejected) or len(score.start) >= min_notes:
        return score
    return Rejected(f"fewer than {min_notes} notes")
