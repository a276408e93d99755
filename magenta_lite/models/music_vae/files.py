"""The slices that a MIDI file holds, for a codec; and pieces put together."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from magenta_lite.errors import Rejected, UserError
from magenta_lite.music import chords, drums, grooves, melodies, midi, trios
from magenta_lite.music.bars import Section, sections
from magenta_lite.music.notes import Notes
from magenta_lite.music.score import Score

if TYPE_CHECKING:
    from magenta_lite.models.music_vae.codec import Codec

ENDINGS = (".mid", ".midi", ".kar")


def slices(codec: "Codec", path: Path) -> Iterator[tuple[str, dict[str, Any] | Rejected]]:
    """Every slice of a MIDI file that sounds, each once: (where in it, the passage with its `bar`).

    Raises:
      UserError: no such file, or no MIDI file by its name.
    """
    score = read(path)
    if isinstance(score, Rejected):
        return iter([(path.name, score)])
    return _slices(codec, path.name, score)


def read(path: Path) -> Score | Rejected:
    """The music of a MIDI file. Raises UserError where it is missing, or no MIDI file by its name."""
    if not path.name.lower().endswith(ENDINGS):
        raise UserError(f"{path}: expected music as {', '.join(ENDINGS)}")
    return midi.read(path)


def _slices(codec: "Codec", file: str, score: Score) -> Iterator[tuple[str, dict[str, Any] | Rejected]]:
    seen: set[bytes] = set()
    others: set[str] = set()
    changes = chords.infer(score) if codec.chords else None
    for section in sections(score):
        if section.steps_per_bar != codec.steps_per_bar:
            others.add("{}/{}".format(*section.metre))
            continue
        for start, player, columns in _passages(codec, section, score.names):
            if isinstance(changes, chords.Changes):
                steps = len(columns["melody"])
                columns["chord"] = chords.per_step(changes, section, score.ticks_per_quarter, start=start, steps=steps)
            columns = _filled(codec, columns)
            for bar in codec.windows({"name": file, **columns}):
                first = start // codec.steps_per_bar + bar + 1
                span = f"bar {first}" if codec.bars == 1 else f"bars {first} to {first + codec.bars - 1}"
                name = ", ".join(filter(None, [f"{file}: {span}", player]))
                example = {**columns, "name": name, "label": "", "bar": bar, "qpm": section.qpm}
                if (content := codec.window(example, bar).tobytes()) not in seen:
                    seen.add(content)
                    yield name, example
    if not seen:
        wanted = {"melody": "melody", "trio": "melody, bass and drums together"}.get(codec.kind, "drums")
        metre = f", which is in {', '.join(sorted(others))}" if others else ""
        yield file, Rejected(f"no {wanted} in bars of {codec.steps_per_bar} sixteenths found in it{metre}")


def _passages(
    codec: "Codec", section: Section, names: Sequence[str]
) -> Iterator[tuple[int, str, dict[str, np.ndarray]]]:
    """(first step, who plays it, columns) of each passage of a section."""
    if codec.kind == "melody":
        for instrument in np.unique(section.instrument[~section.is_drum]).tolist():
            called = names[instrument] if instrument < len(names) else ""
            player = f"instrument {instrument + 1}" + (f" ({called})" if called else "")
            for one in melodies.extract(section, instrument=instrument):
                yield one.start, player, {"melody": one.events, "chord": np.zeros(len(one.events), np.uint8)}
    elif codec.kind == "trio":
        for number, trio in enumerate(trios.extract(section), 1):
            yield trio.start, f"trio {number}", {"melody": trio.melody, "bass": trio.bass, "drums": trio.drums}
    elif codec.kind == "groove":
        for groove in grooves.extract(section, pitches=grooves.PITCHES):
            yield groove.start, "", {"velocity": groove.velocity, "offset": groove.offset}
    else:
        for track in drums.extract(section):
            yield track.start, "", {"drums": track.masks}


def _filled(codec: "Codec", columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A passage with silence behind it, where it is shorter than a slice: a loop whose last bar rests is one, too."""
    missing = codec.steps - len(next(iter(columns.values())))
    if missing <= 0:
        return columns
    filled = {}
    for name, column in columns.items():
        filled[name] = np.concatenate([column, np.zeros((missing, *column.shape[1:]), column.dtype)])
        events = np.flatnonzero(column) if name in ("melody", "bass") else np.zeros(0)
        if len(events) and column[int(events[-1])] >= melodies.FIRST_NOTE:
            filled[name][len(column)] = melodies.NOTE_OFF
    return filled


def together(parts: Sequence[Notes], qpm: float) -> Notes:
    """Notes of several parts as one piece, of one tempo."""
    columns = ("start", "end", "pitch", "velocity", "program", "is_drum", "instrument")
    joined: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in columns}
    return Notes(**joined, tempo_time=np.zeros(1), tempo_qpm=np.full(1, qpm))


def one_after_another(pieces: Sequence[Notes], seconds: float) -> Notes:
    """Pieces of so many seconds each as one, of the first one's tempo."""
    moved = [
        piece.replace(start=piece.start + number * seconds, end=piece.end + number * seconds)
        for number, piece in enumerate(pieces)
    ]
    return together(moved, float(pieces[0].tempo_qpm[0]))
