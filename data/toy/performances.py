"""Short piano pieces by rule, with a hand's irregularity: something to learn from when there is no data at hand.

Each style is a function from a random generator and a harmony to notes in beats. `perform` adds what all players have
in common: a tempo that breathes with the phrases and slows at the end, louder melodies, fingers that are not quite
together, and a pedal that follows the harmony.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from magenta_lite.music.score import Score

TICKS_PER_QUARTER = 480
TICKS_PER_SECOND = 960  # at 120 quarter notes a minute, as recordings of performances have it: beats are not in them
SHORTEST, LONGEST = 20.0, 60.0  # seconds, give or take a few

_TONICS = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
_SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 11)}
# What may follow each triad inside a phrase, by degrees of the scale counted from 0.
_FOLLOWS = {0: (3, 4, 5, 1, 3), 1: (4, 4, 3), 3: (4, 0, 1, 4), 4: (0, 5, 0, 3), 5: (3, 1, 4)}
_BARS = 4  # of a phrase

_Note = tuple[float, float, int, float]
"""Beat, length in beats, pitch, and weight: 1 of a melody, 0 of what accompanies it."""


@dataclasses.dataclass(frozen=True)
class Piece:
    """What a style writes for: chords, one a bar, as degrees; how many beats a bar has; and the key."""

    chords: tuple[int, ...]
    beats: int
    tonic: int
    mode: str

    def pitch(self, degree: int, octave: int = 0) -> int:
        """The MIDI number of a degree of the scale, 0 being the tonic from C4 on."""
        return 60 + self.tonic + 12 * (octave + degree // 7) + _SCALES[self.mode][degree % 7]

    def bars(self) -> Iterator[tuple[float, int, bool]]:
        """Yields the beat on which each bar begins, its chord, and whether it is the last one."""
        for bar, chord in enumerate(self.chords):
            yield float(bar * self.beats), chord, bar == len(self.chords) - 1


@dataclasses.dataclass(frozen=True)
class _Style:
    write: Callable[[np.random.Generator, Piece], list[_Note]]
    beats: int
    tempo: tuple[float, float]  # quarter notes a minute, from and to
    pedal: bool
    swing: float  # how far the tempo breathes


def perform(style: str, rng: np.random.Generator) -> tuple[Score, str]:
    """A performance of a piece in a style, and its title ("waltz in G minor").

    The same state of rng gives the same piece. It has one tempo, no metre, a piano, and lasts about 20 to 60 seconds;
    no key is struck while it is down.

    Raises:
      ValueError: style is not one of STYLES.
    """
    if style not in _STYLES:
        raise ValueError(f"expected one of {', '.join(STYLES)}, got {style!r}")
    rule = _STYLES[style]
    tempo = rng.uniform(*rule.tempo)
    phrase = _BARS * rule.beats * 60 / tempo
    phrases = int(rng.integers(np.ceil(SHORTEST / phrase), np.floor(LONGEST / phrase) + 1))
    piece = Piece(
        _harmony(rng, phrases), rule.beats, int(rng.integers(-5, 7)), str(rng.choice(["major", "minor"], p=[0.6, 0.4]))
    )
    notes = rule.write(rng, piece)
    beat, length, pitch, weight = (np.array(column, float) for column in zip(*notes, strict=True))
    seconds = _tempo(rng, piece, tempo, rule.swing)
    start = seconds(beat) + rng.normal(0, 0.008, len(beat)) - 0.012 * weight
    end = seconds(beat + length * rng.uniform(0.88, 1.0, len(beat)))
    swell = np.sin(np.pi * (beat / (_BARS * rule.beats) % 1))
    accent = 5.0 * (beat % rule.beats == 0)
    level = rng.uniform(48, 66)
    velocity = level + 8 * swell + accent + 14 * weight + rng.normal(0, 3, len(beat))
    columns = _keys(_ticks(start), _ticks(end), pitch.astype(int), np.clip(np.rint(velocity), 1, 127).astype(int))
    pedal = _pedal(rng, piece, seconds) if rule.pedal else np.zeros((0, 3), np.int64)
    count = len(columns[0])
    score = Score(
        ticks_per_quarter=TICKS_PER_QUARTER,
        **dict(zip(("start", "end", "pitch", "velocity"), columns, strict=True)),
        program=np.zeros(count, int),
        is_drum=np.zeros(count, bool),
        instrument=np.zeros(count, int),
        tempo=np.array([[0, 500_000]]),
        metre=np.zeros((0, 3), np.int64),
        pedal=pedal,
        names=("piano",),
    )
    return score, f"{style} in {_TONICS[piece.tonic % 12]} {piece.mode}"


def _harmony(rng: np.random.Generator, phrases: int) -> tuple[int, ...]:
    """Phrases of four chords from the tonic on: A A B A and so on; the last one ends on the dominant and the tonic."""

    def phrase(close: tuple[int, ...]) -> list[int]:
        chords = [0]
        while len(chords) < _BARS - len(close):
            chords.append(int(rng.choice(_FOLLOWS[chords[-1]])))
        return [*chords, *close]

    first, other = phrase((4,)), phrase((4,))
    plan = [other if number % 4 == 2 else first for number in range(phrases - 1)]
    return tuple(itertools.chain(*plan, phrase((4, 0))))


def _tempo(
    rng: np.random.Generator, piece: Piece, tempo: float, swing: float
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Beats -> seconds: faster in the middle of a phrase, slower at its end and most so at the last."""
    whole = len(piece.chords) * piece.beats
    beats = np.arange(0, whole + 4, 0.25)
    within = beats / (_BARS * piece.beats) % 1
    slow = 1 - swing * np.sin(np.pi * within) + 1.2 * swing * np.clip(within - 0.85, 0, None) / 0.15
    slow += 0.5 * np.clip((beats - whole + piece.beats) / piece.beats, 0, 1) ** 2
    slow *= 1 + rng.normal(0, 0.015, len(beats))
    time = 0.25 + np.concatenate([[0], np.cumsum(slow[:-1]) * 0.25 * 60 / tempo])
    return lambda wanted: np.interp(wanted, beats, time)


def _ticks(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(np.maximum(seconds, 0) * TICKS_PER_SECOND).astype(np.int64)


def _keys(start: NDArray, end: NDArray, pitch: NDArray, velocity: NDArray) -> tuple[NDArray, ...]:
    """The notes in the order of (start, pitch), each ended before its key is struck again."""
    order = np.lexsort((start, pitch))
    start, end, pitch, velocity = (column[order] for column in (start, end, pitch, velocity))
    again = np.append(np.where(np.diff(pitch) == 0, start[1:], np.iinfo(np.int64).max), np.iinfo(np.int64).max)
    end = np.minimum(np.maximum(end, start + 40), again - 1)
    # Of two voices on one key at once, the later one stays.
    apart = again - start > 40
    order = np.lexsort((pitch[apart], start[apart]))
    return tuple(column[apart][order] for column in (start, end, pitch, velocity))


def _pedal(rng: np.random.Generator, piece: Piece, seconds: Callable) -> NDArray[np.int64]:
    """Down a moment after each bar begins, up just as the next one does."""
    bars = np.array([begin for begin, _, _ in piece.bars()])
    down = seconds(bars) + rng.uniform(0.05, 0.15, len(bars))
    up = seconds(bars + piece.beats) + rng.uniform(-0.02, 0.03, len(bars))
    ticks = _ticks(np.stack([down, up], axis=1)).ravel()
    return np.stack([ticks, np.zeros_like(ticks), np.tile([1, 0], len(bars))], axis=1)


def _melody(rng: np.random.Generator, piece: Piece, rhythms: Sequence[Sequence[float]]) -> list[_Note]:
    """A line of steps and small leaps that lands on tones of the chord where a bar begins and ends on the tonic."""
    motif = [rhythms[rng.integers(len(rhythms))] for _ in range(2)]
    degree, notes = int(rng.choice([2, 4, 7])), []
    for bar, (begin, chord, last) in enumerate(piece.bars()):
        rhythm = rhythms[rng.integers(len(rhythms))] if bar % _BARS == _BARS - 2 else motif[bar % 2]
        if last:
            return [*notes, (begin, float(piece.beats), piece.pitch(7 * round(degree / 7)), 1.0)]
        beat = begin
        for number, length in enumerate(rhythm):
            if number == 0:
                degree = _nearest(chord, degree + int(rng.integers(-1, 2)))
            else:
                degree += int(rng.choice([-2, -1, 1, 2], p=[0.12, 0.4, 0.36, 0.12]))
            degree = degree - 3 if degree > 12 else degree + 3 if degree < -1 else degree
            notes.append((beat, length, piece.pitch(degree), 1.0))
            beat += length
    return notes


def _nearest(chord: int, degree: int) -> int:
    """The tone of a triad that is next to a degree."""
    return min(
        range(degree - 3, degree + 4), key=lambda tone: ((tone - chord) % 7 not in (0, 2, 4), abs(tone - degree))
    )


def _arpeggio(rng: np.random.Generator, piece: Piece) -> list[_Note]:
    tones = (0, 2, 4, 7, 9, 11, 14, 11, 9, 7, 4, 2) if rng.random() < 0.5 else (0, 4, 7, 9, 11, 9, 7, 4)
    step = 4 / len(tones) if len(tones) == 8 else 1 / 3
    notes: list[_Note] = []
    for begin, chord, last in piece.bars():
        notes.append((begin, 4.0, piece.pitch(chord, -3 if chord > 3 else -2), 0.5))
        if last:
            return notes + [(begin, 4.0, piece.pitch(tone, 0), 0.5) for tone in (0, 2, 4, 7)]
        notes += [
            (begin + number * step, step, piece.pitch(chord + tone, -1), 0.6 * (tone == max(tones)))
            for number, tone in enumerate(tones)
        ]
    return notes


def _waltz(rng: np.random.Generator, piece: Piece) -> list[_Note]:
    rhythms = [(1.0, 1.0, 1.0), (2.0, 1.0), (1.5, 0.5, 1.0), (1.0, 0.5, 0.5, 0.5, 0.5), (3.0,)]
    notes = _melody(rng, piece, rhythms[:4] if rng.random() < 0.5 else rhythms)
    for begin, chord, last in piece.bars():
        notes.append((begin, 1.0, piece.pitch(chord, -2), 0.2))
        tones = [_nearest(chord, tone) for tone in (-5, -3, -1)]
        for beat in (1.0,) if last else (1.0, 2.0):
            notes += [(begin + beat, 0.6, piece.pitch(tone), 0.0) for tone in sorted(set(tones))]
    return notes


def _chorale(rng: np.random.Generator, piece: Piece) -> list[_Note]:
    notes: list[_Note] = []
    voices, bass = [int(rng.choice([7, 9])), 4, 0], -7
    for begin, chord, last in piece.bars():
        second = chord if rng.random() < 0.5 else int(rng.choice(_FOLLOWS[chord]))
        for beat, harmony in ((0.0, chord),) if last else ((0.0, chord), (2.0, second)):
            # Soprano, alto and tenor go to the nearest tone, each in its own range.
            moved = [voice + int(rng.integers(-1, 2)) for voice in voices]
            held = np.clip(moved, (6, 2, -2), (11, 7, 3)).tolist()
            voices = [_nearest(harmony, voice) for voice in held]
            bass = min((harmony - 7, harmony - 14), key=lambda low: abs(low - bass))
            length = 4.0 if last else 2.0
            passing = not last and rng.random() < 0.35
            notes.append((begin + beat, 1.0 if passing else length, piece.pitch(voices[0]), 1.0))
            notes += [(begin + beat, length, piece.pitch(tone), 0.0) for tone in (*voices[1:], bass)]
            if passing:
                notes.append((begin + beat + 1, 1.0, piece.pitch(voices[0] + int(rng.choice([-1, 1]))), 0.8))
    return notes


def _scales(rng: np.random.Generator, piece: Piece) -> list[_Note]:
    notes: list[_Note] = []
    up, top = rng.random() < 0.5, int(rng.choice([0, 7]))
    for begin, chord, last in piece.bars():
        tones = [_nearest(chord, tone) for tone in (-7, -5, -3)]
        notes += [(begin, 3.8, piece.pitch(tone), 0.0) for tone in sorted({*tones, chord - 14})]
        if last:
            return [*notes, (begin, 4.0, piece.pitch(7), 1.0)]
        for half in (0, 1):
            steps = range(8) if up ^ bool(half) else range(7, -1, -1)
            run = [chord + top - (7 if chord + top > 9 else 0) + step for step in steps]
            notes += [(begin + 2 * half + n / 4, 0.25, piece.pitch(degree), 0.8) for n, degree in enumerate(run)]
    return notes


def _alberti(rng: np.random.Generator, piece: Piece) -> list[_Note]:
    rhythms = [(2.0, 1.0, 1.0), (1.0, 1.0, 1.0, 1.0), (1.5, 0.5, 2.0), (1.0, 0.5, 0.5, 1.0, 1.0), (3.0, 1.0)]
    notes = _melody(rng, piece, rhythms)
    for begin, chord, last in piece.bars():
        low, middle, high = (tone - (7 if chord > 3 else 0) for tone in (chord, chord + 2, chord + 4))
        if last:
            return notes + [(begin, 4.0, piece.pitch(tone, -1), 0.0) for tone in (low, middle, high)]
        for number, tone in enumerate((low, high, middle, high) * 2):
            notes.append((begin + number / 2, 0.5, piece.pitch(tone, -1), 0.1 * (number % 4 == 0)))
    return notes


_STYLES: dict[str, _Style] = {
    "alberti": _Style(_alberti, 4, (96, 138), False, 0.05),
    "arpeggio": _Style(_arpeggio, 4, (56, 84), True, 0.08),
    "chorale": _Style(_chorale, 4, (60, 84), True, 0.06),
    "scales": _Style(_scales, 4, (84, 120), False, 0.05),
    "waltz": _Style(_waltz, 3, (120, 168), True, 0.1),
}
STYLES: tuple[str, ...] = tuple(_STYLES)
