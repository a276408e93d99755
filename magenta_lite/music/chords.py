"""Chords as numbers: 0 for none, then twelve roots from C on for each of the major, minor, augmented and diminished.

The numbers of note_seq's TriadChordOneHotEncoding. Whatever more a chord has, a seventh or another bass, is left out.
"""

import dataclasses
import functools
import re

import numpy as np
from numpy.typing import NDArray

from magenta_lite.errors import Rejected, UserError
from magenta_lite.music.bars import Section, split
from magenta_lite.music.score import Score

NO_CHORD = "N.C."
MAJOR, MINOR, AUGMENTED, DIMINISHED = 1, 13, 25, 37
"""The numbers of the triads on C."""
CLASSES = 49
ROOTS = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")

_ENDINGS = {MAJOR: "", MINOR: "m", AUGMENTED: "aug", DIMINISHED: "dim"}
_TRIADS = {(0, 0, 0): MAJOR, (0, -1, 0): MINOR, (0, 0, 1): AUGMENTED, (0, -1, -1): DIMINISHED}

# What may follow a root, with its first, third and fifth degree, in semitones from those of a major triad.
_Degrees = tuple[int | None, int | None, int | None]
_KINDS: dict[str, _Degrees] = {
    **dict.fromkeys(("", "maj", "M", "7", "maj7", "M7", "6", "9", "maj9", "M9", "6/9"), (0, 0, 0)),
    **dict.fromkeys(("11", "maj11", "M11", "13", "maj13", "M13"), (0, 0, 0)),
    **{
        minor + more: (0, -1, 0)
        for minor in ("m", "min", "-")
        for more in ("", "7", "6", "9", "11", "13", "maj7", "M7", "(maj7)", "(M7)")
    },
    **dict.fromkeys(("+", "aug", "+7", "aug7", "+9", "aug9"), (0, 0, 1)),
    **dict.fromkeys(("o", "dim", "o7", "dim7", "m7b5", "-7b5", "/o", "/o7"), (0, -1, -1)),
    **dict.fromkeys(("sus2", "sus", "sus4", "sus7", "7sus", "5"), (0, None, 0)),
    "ped": (0, None, None),
}
_PITCH_CLASSES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_ROOT = r"[A-G](?:#*|b*)(?![#b])"
_CHANGE = r"\(?(add[#b]?|no|#|b)([0-9]+)\)?"
_SYMBOL = re.compile(
    rf"({_ROOT})({'|'.join(map(re.escape, _KINDS))})((?:\(?(?:add[#b]?|no|#|b)[0-9]+\)?)*)(?:/{_ROOT})?"
)


@dataclasses.dataclass(frozen=True, eq=False)
class Changes:
    """Chords over time: number [M], uint8, holds from time [M] on, in ticks (int64) or seconds (float64), ascending.

    Before the first there is no chord, and the last one goes on.
    """

    time: NDArray
    number: NDArray[np.uint8]


def name(number: int) -> str:
    """The name of a chord: C, F#m, Ebaug, Bdim; N.C. for none. Raises ValueError where it is not 0 to 48."""
    if not 0 <= number < CLASSES:
        raise ValueError(f"expected a chord's number from 0 to {CLASSES - 1}, got {number}")
    if number == 0:
        return NO_CHORD
    kind, root = divmod(number - 1, 12)
    return ROOTS[root] + _ENDINGS[1 + 12 * kind]


def number(symbol: str) -> int:
    """The number of a chord symbol's triad: 0 for N.C., 10 for A, A7 or A6/C#, 22 for Am or Am7, and so on.

    It reads what note_seq's chord_symbols_lib does.

    Raises:
      UserError: it is no chord symbol, or the chord's third and fifth make none of the four triads (Csus4, C5).
    """
    if symbol == NO_CHORD:
        return 0
    if not (match := _SYMBOL.fullmatch(symbol)):
        raise UserError(f"{symbol!r} is no chord: expected a root and a kind, like C, F#m7, Gdim, or {NO_CHORD}")
    root, kind, changes = match.groups()
    degrees = dict(zip((1, 3, 5), _KINDS[kind], strict=True))
    for change, text in re.findall(_CHANGE, changes):
        if (degree := int(text)) in degrees:
            degrees[degree] = _changed(degrees[degree], change)
    triad = _TRIADS.get((degrees[1], degrees[3], degrees[5]))  # type: ignore[arg-type]
    if triad is None:
        raise UserError(f"{symbol!r} is no major, minor, augmented or diminished chord: name one of those")
    return triad + (_PITCH_CLASSES[root[0]] + root.count("#") - root.count("b")) % 12


def _changed(degree: int | None, change: str) -> int | None:
    alter = change.count("#") - change.endswith("b")
    if change == "no":
        return None
    return alter if degree is None or change.startswith("add") else degree + alter


def transpose(numbers: NDArray[np.integer], semitones: int) -> NDArray[np.uint8]:
    """Chords higher by so many semitones, of the same kind; no chord stays none."""
    kind, root = np.divmod(np.asarray(numbers).astype(np.int64) - 1, 12)
    return np.where(np.asarray(numbers) == 0, 0, 1 + 12 * kind + (root + semitones) % 12).astype(np.uint8)


def per_step(
    changes: Changes, section: Section, ticks_per_quarter: int, *, start: int, steps: int
) -> NDArray[np.uint8]:
    """The chord of each of a section's steps from start on, uint8 [steps]. Times of changes are in ticks.

    A chord begins on the step that is nearest, a half going up; of several that begin on one, the last holds.
    """
    numerator, denominator = section.metre
    # Steps are counted as notes' are, in units in which everything is whole.
    unit, quarter = 2 * section.steps_per_bar * denominator, 4 * numerator * ticks_per_quarter
    begin = ((changes.time - section.tick) * unit + quarter) // (2 * quarter)
    place = np.searchsorted(begin, start + np.arange(steps), side="right")
    return np.concatenate([np.zeros(1, np.uint8), changes.number])[place]


def read_pop909(text: str) -> Changes | Rejected:
    """Chords of a chord_midi.txt of POP909, in seconds: lines of start, end and a chord as Harte writes it (Bb:min7/5).

    Sevenths, sixths and so on give their triad (hdim7 and dim7 the diminished one), N and X none. A chord without a
    third (sus2, sus4, 5) gives the triad of its neighbour on the same root, of the following one if both are, and none
    where there is no such neighbour.
    """
    rows: list[tuple[float, float, int, int | None]] = []  # start, end, root, the triad on C
    for line in text.splitlines():
        if not line.strip():
            continue
        try:
            start, end, name = line.split()
            rows.append((float(start), float(end), *_harte(name)))
        except (ValueError, KeyError):
            return Rejected("chords that cannot be read")
        if not np.isfinite(rows[-1][:2]).all():
            return Rejected("chords that cannot be read")
    triads = [triad for _, _, _, triad in rows]
    for index, (_, _, root, triad) in enumerate(rows):
        if triad is None:
            around = [place for place in (index + 1, index - 1) if 0 <= place < len(rows) and rows[place][2] == root]
            triads[index] = next((rows[place][3] for place in around if rows[place][3]), 0)
    time, numbers = [0.0], [0]
    for (begin, until, root, _), triad in zip(rows, triads, strict=True):
        for moment, chord in ((begin, triad + root if triad else 0), (until, 0)):
            if moment < time[-1]:
                return Rejected("chords out of order")
            if moment == time[-1]:
                time.pop()
                numbers.pop()
            time.append(moment)
            numbers.append(chord)
    return Changes(np.array(time), np.array(numbers, np.uint8))


def _harte(chord: str) -> tuple[int, int | None]:
    """The root's pitch class, and the number of the triad on C: 0 for no chord, None without a third."""
    if chord in ("N", "X"):
        return -1, 0
    root, _, kind = chord.partition("/")[0].partition(":")
    pitch_class = (_PITCH_CLASSES[root[0]] + root.count("#") - root.count("b")) % 12
    if kind.startswith(("sus", "(")) or kind in ("1", "5"):
        return pitch_class, None
    for beginnings, triad in ((("min",), MINOR), (("aug",), AUGMENTED), (("dim", "hdim"), DIMINISHED)):
        if kind.startswith(beginnings):
            return pitch_class, triad
    if kind and not kind.startswith(("maj", "6", "7", "9", "11", "13")):
        raise ValueError(kind)
    return pitch_class, MAJOR


_CHORDS_A_BAR = {(2, 2): 1, (2, 4): 1, (3, 4): 1, (4, 4): 2, (6, 8): 2}
_MOST_FRAMES = 1000
_KEY_CHANGE, _CHORD_CHANGE, _OUT_OF_KEY, _CONCENTRATION = 0.001, 0.5, 0.01, 100.0
_UNPITCHED = [*range(96, 104), *range(112, 128)]  # programs: effects and percussion
_SCALE = (0, 2, 4, 5, 7, 9, 11)
# Chords that are inferred, as semitones above the root, with their triad's number.
_INFERRED = (
    ((0, 4, 7), MAJOR),
    ((0, 3, 7), MINOR),
    ((0, 4, 8), AUGMENTED),
    ((0, 3, 6), DIMINISHED),
    ((0, 4, 7, 10), MAJOR),
    ((0, 4, 7, 11), MAJOR),
    ((0, 3, 7, 10), MINOR),
    ((0, 3, 6, 10), DIMINISHED),
)


def infer(score: Score) -> Changes | Rejected:
    """Chords that fit the notes of a piece, in ticks: what note_seq's infer_chords_for_sequence finds.

    One or two a bar, by the most likely sequence of keys and chords; 0 where no pitches sound. Each part in one metre
    is looked at by itself, whatever its tempos. A part in other metres than 2/2, 2/4, 3/4, 4/4 and 6/8, or one of more
    than 1,000 chords, has none; if no part has any, the piece is Rejected.
    """
    parts = split(score)
    time, numbers, failures = [0], [0], [part for part in parts if isinstance(part, Rejected)]
    for place, part in enumerate(parts):
        if isinstance(part, Rejected):
            continue
        until = None if place == len(parts) - 1 else part.tick + part.steps * score.ticks_per_quarter // 4
        found = _infer_part(score, part, until)
        if isinstance(found, Rejected):
            failures.append(found)
            found = Changes(np.array([part.tick]), np.zeros(1, np.uint8))
        time += found.time.tolist() + ([] if until is None else [until])
        numbers += found.number.tolist() + ([] if until is None else [0])
    if len(failures) == len(parts):
        return failures[0] if failures else Rejected("no notes")
    # Of several at one tick, and of equal ones in a row, one is kept: the last, and the first.
    ticks, chords = np.array(time), np.array(numbers, np.uint8)
    keep = np.append(ticks[1:] > ticks[:-1], True)
    ticks, chords = ticks[keep], chords[keep]
    new = np.append(True, chords[1:] != chords[:-1])
    return Changes(ticks[new], chords[new])


def _infer_part(score: Score, part: Section, until: int | None) -> Changes | Rejected:
    if part.metre not in _CHORDS_A_BAR:
        return Rejected("metre in which chords are not inferred")
    numerator, denominator = part.metre
    each = score.ticks_per_quarter * 4 * numerator / denominator / _CHORDS_A_BAR[part.metre]
    rows = score.start >= part.tick
    if until is not None:
        rows &= score.start < until
    start = (score.start[rows] - part.tick) / each
    end = (np.minimum(score.end[rows], until or np.iinfo(np.int64).max) - part.tick) / each
    frames = int(np.ceil(end.max(initial=0)))
    if frames > _MOST_FRAMES:
        return Rejected(f"more than {_MOST_FRAMES:,} chords to infer")
    if not frames:
        return Rejected("no notes")
    heard = ~score.is_drum[rows] & ~np.isin(score.program[rows], _UNPITCHED)
    chords = _most_likely(_pitch_classes(start[heard], end[heard], score.pitch[rows][heard], frames))
    return Changes(part.tick + np.rint(np.arange(frames) * each).astype(np.int64), chords)


def _pitch_classes(start: NDArray, end: NDArray, pitch: NDArray, frames: int) -> NDArray[np.float64]:
    """How long each pitch class sounds in each frame, [frames, 12], as vectors of length 1; times are in frames."""
    first = np.floor(start).astype(int)
    count = np.maximum(np.ceil(end).astype(int) - first, 1)
    note = np.repeat(np.arange(len(start)), count)
    frame = np.arange(len(note)) + np.repeat(first - np.cumsum(count) + count, count)
    sounding = np.zeros((frames, 12))
    length = np.minimum(end[note], frame + 1) - np.maximum(start[note], frame)
    np.add.at(sounding, (np.minimum(frame, frames - 1), pitch[note] % 12), length)
    norm = np.linalg.norm(sounding, axis=1, keepdims=True)
    return np.divide(sounding, norm, out=sounding, where=norm > 0)


@functools.cache
def _model() -> tuple[NDArray, NDArray, NDArray, NDArray, NDArray]:
    """The chords' pitch classes [97, 12] and numbers [97]; logs of what chords do: in a key [12, 97], from one to the
    next in a key [12, 97, 97], and first in another key [12, 97]."""
    tones, numbers = np.zeros((1 + 12 * len(_INFERRED), 12)), np.zeros(1 + 12 * len(_INFERRED), np.uint8)
    for root in range(12):
        for kind, (semitones, triad) in enumerate(_INFERRED):
            place = 1 + root * len(_INFERRED) + kind
            tones[place, [(root + semitone) % 12 for semitone in semitones]] = 1
            numbers[place] = triad + root
    keys = np.zeros((12, 12))
    for key in range(12):
        keys[key, [(key + semitone) % 12 for semitone in _SCALE]] = 1
    inside, outside = keys @ tones.T, (1 - keys) @ tones.T
    chance = (1 - _OUT_OF_KEY) ** inside * _OUT_OF_KEY**outside
    chance /= chance.sum(axis=1, keepdims=True)
    # What the last chord would have had is shared among the others.
    following = _CHORD_CHANGE * (chance[:, None, :] + chance[:, :, None] / (len(tones) - 1))
    following[:, np.arange(len(tones)), np.arange(len(tones))] = 1 - _CHORD_CHANGE
    norm = np.linalg.norm(tones, axis=1, keepdims=True)
    vectors = np.divide(tones, norm, out=np.zeros_like(tones), where=norm > 0)
    return (
        vectors,
        numbers,
        np.log(chance),
        np.log((1 - _KEY_CHANGE) * following),
        np.log(_KEY_CHANGE / 11 * chance),
    )


def _most_likely(sounding: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The chord of each frame [frames] on the most likely path of keys and chords (Viterbi's algorithm)."""
    vectors, numbers, first, following, elsewhere = _model()
    fit = _CONCENTRATION * sounding @ vectors.T
    count = len(numbers)
    best = first - np.log(12) + fit[0]
    back = np.zeros((len(fit), 12, count), np.int64)  # key * count + chord of the frame before
    for frame in range(1, len(fit)):
        came = best[:, :, None] + following
        stayed, chord = came.max(axis=1), came.argmax(axis=1)
        # A new key forgets the chord, so all that matters is the best of the other keys.
        others = np.where(np.eye(12, dtype=bool), -np.inf, best.max(axis=1))
        key = others.argmax(axis=1)
        changed = others.max(axis=1)[:, None] + elsewhere
        back[frame] = np.where(
            changed > stayed,
            (key * count + best.argmax(axis=1)[key])[:, None],
            np.arange(12)[:, None] * count + chord,
        )
        best = np.maximum(stayed, changed) + fit[frame]
    path = [int(best.argmax())]
    for frame in range(len(fit) - 1, 0, -1):
        path.append(int(back[frame].flat[path[-1]]))
    return numbers[np.array(path[::-1]) % count]
