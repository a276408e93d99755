"""The slices that a MIDI file holds, for a codec; and pieces put together."""

import bisect
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from magenta_lite.errors import Rejected, UserError, plain
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
    if isinstance(changes, Rejected):
        print(f"{file}: the model is told no chords, since none could be inferred ({changes.reason})")
    bars_before = _bars_before(score)
    for section in sections(score):
        if section.steps_per_bar != codec.steps_per_bar:
            others.add("{}/{}".format(*section.metre))
            continue
        before = bars_before(section.tick)
        for start, player, columns in _passages(codec, section, score.names):
            if isinstance(changes, chords.Changes):
                steps = len(columns["melody"])
                columns["chord"] = chords.per_step(changes, section, score.ticks_per_quarter, start=start, steps=steps)
            columns = _fitted(codec, columns)
            for bar in codec.windows({"name": file, **columns}):
                first = before + start // codec.steps_per_bar + bar + 1
                span = f"bar {first}" if codec.bars == 1 else f"bars {first} to {first + codec.bars - 1}"
                name = ", ".join(filter(None, [f"{file}: {span}", plain(player)]))
                example = {**columns, "name": name, "label": "", "bar": bar, "qpm": section.qpm}
                if (content := codec.window(example, bar).tobytes()) not in seen:
                    seen.add(content)
                    yield name, example
    if not seen:
        wanted = {"melody": "melody", "trio": "melody, bass and drums together"}.get(codec.kind, "drums")
        metre = f", which is in {', '.join(sorted(others))}" if others else ""
        yield file, Rejected(f"no {wanted} in bars of {codec.steps_per_bar} sixteenths found in it{metre}")


def _bars_before(score: Score) -> Callable[[int], int]:
    """Bars of the whole piece before a section that begins at a tick, silent ones and those in other metres, too."""
    starts, counts, metres = [0], [0], [(4, 4)]

    def before(tick: int) -> int:
        place = bisect.bisect_right(starts, tick) - 1
        bar = score.ticks_per_quarter * 4 * metres[place][0]
        return counts[place] - ((starts[place] - tick) * metres[place][1] // bar)

    for at, numerator, denominator in sorted(score.metre.tolist(), key=lambda change: change[0]):
        if (numerator, denominator) != metres[-1]:
            counts.append(before(at))
            starts.append(at)
            metres.append((numerator, denominator))
    return before


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


def _fitted(codec: "Codec", columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A passage that is meant as one slice, a loop, made as long as one.

    Behind a shorter one is silence, as where its last bar rests, and its last chord goes on. Of a longer one in which
    nothing begins after a slice's end, what only rings on is cut.
    """
    missing = codec.steps - len(next(iter(columns.values())))
    if missing <= 0:
        later = any(
            (column[codec.steps :] >= (melodies.FIRST_NOTE if name in ("melody", "bass") else 1)).any()
            for name, column in columns.items()
            if name not in ("chord", "offset")
        )
        return columns if later else {name: column[: codec.steps] for name, column in columns.items()}
    filled = {}
    for name, column in columns.items():
        last = column[-1:] if name == "chord" else np.zeros((1, *column.shape[1:]), column.dtype)
        filled[name] = np.concatenate([column, np.repeat(last, missing, axis=0)])
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
