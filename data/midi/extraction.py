"""Passages of a piece: its melodies, drum tracks, trios or grooves, each once, and what they are recognized by.

Light, since every reading process imports it.
"""

import collections
import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from data import near_duplicates
from magenta_lite.errors import Rejected
from magenta_lite.music import chords, drums, grooves, melodies, midi, trios
from magenta_lite.music.bars import Section, split
from magenta_lite.music.chords import Changes
from magenta_lite.music.score import Score

KINDS = ("melodies", "drums", "trios", "grooves")


@dataclasses.dataclass(frozen=True)
class Wanted:
    """Which passages: kind, one of KINDS; metres, whose bars have equally many steps.

    programs: of melodies; none, all. tracks: names of those to take, or their numbers; none, all. infer: whether chords
    are inferred, from all tracks. pitches: of the nine drums of a groove.
    """

    kind: str
    metres: tuple[tuple[int, int], ...] = ((4, 4),)
    programs: tuple[int, ...] = ()
    tracks: tuple[str, ...] = ()
    infer: bool = False
    pitches: tuple[tuple[int, ...], ...] = grooves.PITCHES


class Extracted(NamedTuple):
    """What a piece holds: passages, the columns of each; signature, as near_duplicates has it.

    elsewhere: passages in other metres, by metre ("3/4"). lost: parts and chords that are left out, by the reason.
    why: there are no passages, else empty.
    """

    passages: list[dict[str, Any]]
    signature: np.ndarray
    elsewhere: dict[str, int]
    lost: dict[str, int]
    why: str


def extract(score: Score, wanted: Wanted, changes: Changes | None = None) -> Extracted:
    """The passages that are wanted of a piece, equal ones once; changes: its chords, in ticks, where they are known."""
    lost: collections.Counter[str] = collections.Counter()
    if wanted.infer and wanted.kind == "melodies":
        found = chords.infer(score)
        if isinstance(found, Rejected):
            lost[f"pieces without chords: {found.reason}"] += 1
        else:
            changes = found
    if wanted.tracks:
        score = _only(score, wanted.tracks)
    elsewhere: collections.Counter[str] = collections.Counter()
    passages: dict[tuple[bytes, ...], dict[str, Any]] = {}
    others: set[tuple[str, tuple[bytes, ...]]] = set()
    grams: list[np.ndarray] = []
    for section in split(score):
        if isinstance(section, Rejected):
            lost[f"parts {section.reason.partition(', ')[2] or 'of ' + section.reason}"] += 1
            continue
        metre = f"{section.metre[0]}/{section.metre[1]}"
        for start, columns in _passages(section, wanted):
            if section.metre not in wanted.metres:
                key = metre, tuple(column.tobytes() for column in columns.values())
                elsewhere[metre] += key not in others
                others.add(key)
                continue
            if wanted.kind == "melodies" and changes is not None:
                columns["chord"] = chords.per_step(
                    changes, section, score.ticks_per_quarter, start=start, steps=len(columns["melody"])
                )
            same = tuple(column.tobytes() for column in columns.values())
            if same not in passages:
                passages[same] = {**columns, "qpm": section.qpm}
                grams += _grams(columns, section.steps_per_bar)
    why = "" if passages else _why(score, wanted, elsewhere)
    return Extracted(list(passages.values()), near_duplicates.signature(grams), dict(elsewhere), dict(lost), why)


def read(wanted: Wanted, content: bytes | Rejected) -> tuple[int, Extracted] | Rejected:
    """The number of notes in a MIDI file's content, and its passages; what is Rejected already stays so."""
    score = content if isinstance(content, Rejected) else midi.parse(content)
    return score if isinstance(score, Rejected) else (len(score.start), extract(score, wanted))


def signature(score: Score) -> np.ndarray:
    """What a whole piece is recognized by: the highest notes of each instrument; bars of drums, if it has no others."""
    grams = []
    quarter = score.ticks_per_quarter
    step = (score.start * 8 + quarter) // (2 * quarter)
    for instrument in np.unique(score.instrument[~score.is_drum]):
        rows = np.flatnonzero((score.instrument == instrument) & ~score.is_drum)
        rows = rows[np.lexsort((-score.pitch[rows].astype(int), step[rows]))]
        rows = rows[np.diff(step[rows], prepend=-1) > 0]
        grams.append(near_duplicates.melody_grams(step[rows], score.pitch[rows]))
    if score.is_drum.all():
        for section in split(score):
            if isinstance(section, Section):
                for track in drums.extract(section):
                    grams += _grams({"drums": track.masks}, section.steps_per_bar)
    return near_duplicates.signature(grams)


def _passages(section: Section, wanted: Wanted) -> Iterator[tuple[int, dict[str, Any]]]:
    """Where each passage of a section begins, in steps, and its columns."""
    if wanted.kind == "melodies":
        for melody in melodies.extract(section, programs=wanted.programs or None):
            yield melody.start, {"melody": melody.events}
    elif wanted.kind == "drums":
        for track in drums.extract(section):
            yield track.start, {"drums": track.masks}
    elif wanted.kind == "trios":
        for trio in trios.extract(section):
            yield trio.start, {"melody": trio.melody, "bass": trio.bass, "drums": trio.drums}
    else:
        for groove in grooves.extract(section, pitches=wanted.pitches):
            yield groove.start, {"velocity": groove.velocity, "offset": groove.offset}


def _grams(columns: dict[str, Any], steps_per_bar: int) -> Iterator[np.ndarray]:
    for name, column in columns.items():
        if name in ("melody", "bass"):
            step = np.flatnonzero(column >= melodies.FIRST_NOTE)
            yield near_duplicates.melody_grams(step, column[step])
        elif name in ("drums", "velocity"):
            struck = drums.reduced(column) if name == "drums" else (column > 0) @ (1 << np.arange(column.shape[1]))
            yield near_duplicates.drum_grams(struck.reshape(-1, steps_per_bar))


def _only(score: Score, tracks: tuple[str, ...]) -> Score:
    chosen = [
        number
        for number in np.unique(score.instrument).tolist()
        if str(number) in tracks or (number < len(score.names) and score.names[number].strip() in tracks)
    ]
    rows = np.isin(score.instrument, chosen)
    columns = ("start", "end", "pitch", "velocity", "program", "is_drum", "instrument")
    return dataclasses.replace(score, **{name: getattr(score, name)[rows] for name in columns})


def _why(score: Score, wanted: Wanted, elsewhere: dict[str, int]) -> str:
    """Why a piece has no passage."""
    if elsewhere:
        return f"{wanted.kind} in {next(iter(elsewhere)) if len(elsewhere) == 1 else 'other metres'} alone"
    if not len(score.start):
        return f"no tracks {', '.join(wanted.tracks)}"
    if wanted.kind in ("drums", "grooves"):
        return f"no {'hits' if score.is_drum.any() else 'drums'}"
    if wanted.kind == "trios":
        return "no melody, bass and drums that play together"
    played = ~score.is_drum & (np.isin(score.program, wanted.programs) if wanted.programs else True)
    if not played.any():
        return "drums alone" if score.is_drum.all() else "no notes of the programs"
    return "no melodies"
