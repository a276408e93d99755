"""Melodies by rule over known chords, of 2 to 32 bars: something to learn from when there is no data at hand.

Each style is a function that writes one section over its chords; `compose` puts sections together, A A B A or one
alone, and lets the last bar come to rest on the tonic.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from data.toy.scores import STEPS_PER_BAR, TICKS_PER_STEP, Note, Part, played
from magenta_lite.music import chords
from magenta_lite.music.chords import Changes
from magenta_lite.music.score import Score

_Tone = tuple[int, int, int]
"""Step from the beginning of a section, steps it lasts, degree of the scale: 0 is the tonic near middle C."""

_SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
_MAJOR, _MINOR, _DIMINISHED = chords.MAJOR, chords.MINOR, chords.DIMINISHED
# The triads on the degrees of the scale; in minor the fifth has a major one.
_TRIADS = {
    "major": (_MAJOR, _MINOR, _MINOR, _MAJOR, _MAJOR, _MINOR, _DIMINISHED),
    "minor": (_MINOR, _DIMINISHED, _MAJOR, _MINOR, _MAJOR, _MAJOR, _MAJOR),
}
PROGRESSIONS = {
    "major": ((0, 3, 4, 0), (0, 5, 3, 4), (0, 4, 5, 3), (0, 3, 0, 4), (0, 1, 4, 0), (5, 3, 0, 4)),
    "minor": ((0, 5, 2, 6), (0, 3, 4, 0), (0, 6, 5, 4), (0, 3, 6, 2), (0, 0, 3, 4)),
}
"""Four bars of chords, as degrees of the scale."""
_REST = 4  # steps of silence behind a last note


@dataclasses.dataclass(frozen=True)
class Key:
    """A tonic, in semitones from C4, and a mode, major or minor."""

    tonic: int
    mode: str

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Key":
        """Any of the twenty-four, major ones somewhat more often."""
        return cls(int(rng.integers(-5, 7)), str(rng.choice(["major", "minor"], p=[0.6, 0.4])))

    def pitch(self, degree: int, chord: int) -> int:
        """The MIDI number of a degree over a chord: in minor the seventh degree is raised over the fifth's chord."""
        raised = self.mode == "minor" and chord == 4 and degree % 7 == 6
        return 60 + self.tonic + 12 * (degree // 7) + _SCALES[self.mode][degree % 7] + raised

    def chord(self, degree: int) -> int:
        """The number of the triad on a degree, as in magenta_lite.music.chords."""
        return _TRIADS[self.mode][degree] + (self.tonic + _SCALES[self.mode][degree]) % 12

    def __str__(self) -> str:
        return f"{chords.ROOTS[self.tonic % 12]} {self.mode}"


@dataclasses.dataclass(frozen=True)
class Section:
    """Bars of a melody: their chords, one a bar, as degrees, and the tones."""

    harmony: tuple[int, ...]
    tones: tuple[_Tone, ...]

    def closed(self) -> "Section":
        """The same with a last bar that rests on the tonic."""
        last = (len(self.harmony) - 1) * STEPS_PER_BAR
        tones = tuple(tone for tone in self.tones if tone[0] < last)
        near = round(tones[-1][2] / 7) * 7
        return Section((*self.harmony[:-1], 0), (*tones, (last, STEPS_PER_BAR - _REST, near)))


def compose(style: str, rng: np.random.Generator) -> tuple[Score, Changes, str]:
    """A melody in a style, its chords in ticks, and its title ("folk in D minor").

    The same state of rng gives the same melody: one instrument, 4/4, one tempo, never a bar of silence.

    Raises:
      ValueError: style is not one of STYLES.
    """
    if style not in _STYLES:
        raise ValueError(f"expected one of {', '.join(STYLES)}, got {style!r}")
    rule, key = _STYLES[style], Key.draw(rng)
    bars = int(rng.choice(rule.bars))
    if style == "folk" and bars > 8:
        first, other = (section(style, rng, key, bars // 4) for _ in "AB")
        sections = [first, first.closed(), other, first.closed()]
    else:
        sections = [section(style, rng, key, bars).closed()]
    notes, harmony = lay_out(sections, key)
    qpm = float(rng.integers(*rule.tempo))
    score = played([Part("melody", int(rng.choice(rule.programs)), notes)], qpm, rng)
    return score, changes(harmony, key), f"{style} in {key}"


def section(style: str, rng: np.random.Generator, key: Key, bars: int) -> Section:
    """Some bars in a style, over chords of one progression."""
    given = PROGRESSIONS[key.mode][rng.integers(len(PROGRESSIONS[key.mode]))]
    harmony = tuple((given * -(-bars // len(given)))[:bars])
    return Section(harmony, tuple(_STYLES[style].write(rng, harmony)))


def lay_out(sections: Sequence[Section], key: Key) -> tuple[list[Note], list[int]]:
    """Sections one after the other, as notes, and all their chords; notes on beats are louder."""
    notes: list[Note] = []
    harmony: list[int] = []
    for part in sections:
        begin = len(harmony) * STEPS_PER_BAR
        for step, length, degree in part.tones:
            accent = 10 * (step % STEPS_PER_BAR == 0) + 5 * (step % 4 == 0)
            pitch = key.pitch(degree, part.harmony[step // STEPS_PER_BAR])
            notes.append(Note(begin + step, length, pitch, 72 + accent))
        harmony += part.harmony
    return notes, harmony


def changes(harmony: Sequence[int], key: Key) -> Changes:
    """The chords of bars, in ticks."""
    bars = np.arange(len(harmony)) * STEPS_PER_BAR * TICKS_PER_STEP
    return Changes(bars, np.array([key.chord(degree) for degree in harmony], np.uint8))


def nearest(chord: int, degree: int) -> int:
    """The tone of the triad on a degree of the scale that is nearest to another degree."""
    around = range(degree - 3, degree + 4)
    return min(around, key=lambda tone: ((tone - chord) % 7 not in (0, 2, 4), abs(tone - degree)))


def _within(degree: int, low: int = -2, high: int = 12) -> int:
    """The degree, an octave lower or higher where it has gone too far."""
    return degree - 7 if degree > high else degree + 7 if degree < low else degree


def _scale(rng: np.random.Generator, harmony: Sequence[int]) -> list[_Tone]:
    """Runs that turn at each bar, from a tone of its chord, in eighths, dotted ones, or sixteenths up and back."""
    rhythm = ((2,) * 8, (3, 1) * 4, (1, 3) * 4, (1,) * 16)[rng.integers(4)]
    up, above, tones = bool(rng.random() < 0.5), int(rng.choice([0, 0, 2, 4])), []
    for bar, chord in enumerate(harmony):
        rising = up ^ bool(bar % 2)
        degree = _within(chord + above, 0, 4) if rising else _within(chord + above + 7, 5, 11)
        step = bar * STEPS_PER_BAR
        for number, length in enumerate(rhythm):
            place = min(number, 16 - number)
            tones.append((step, length, degree + (place if rising else -place)))
            step += length
    return tones


def _arpeggio(rng: np.random.Generator, harmony: Sequence[int]) -> list[_Tone]:
    """Broken chords in eighths, in one order for all bars: four tones, and then the same, or others, or back again."""
    first, other = (rng.permutation([0, 2, 4, 7]).tolist() for _ in range(2))
    order = first + (first, other, first[::-1])[rng.integers(3)]
    high = 7 * bool(rng.random() < 0.3)
    return [
        (bar * STEPS_PER_BAR + 2 * number, 2, chord - (7 if chord > 3 else 0) + high + tone)
        for bar, chord in enumerate(harmony)
        for number, tone in enumerate(order)
    ]


_RHYTHMS = (
    (4, 4, 4, 4),
    (4, 2, 2, 4, 4),
    (6, 2, 4, 4),
    (2, 2, 2, 2, 4, 4),
    (6, 2, 6, 2),
    (4, 4, 2, 2, 4),
    (2, 2, 4, 2, 2, 4),
)


def _folk(rng: np.random.Generator, harmony: Sequence[int]) -> list[_Tone]:
    """Two rhythms in turn, steps and small leaps, tones of the chord on strong beats; each fourth bar rests."""
    rhythms = [_RHYTHMS[number] for number in rng.permutation(len(_RHYTHMS))[:2]]
    degree, tones = int(rng.choice([2, 4, 7])), []
    walk: list[list[int]] = []
    for bar, chord in enumerate(harmony):
        resting = bar % 4 == 3
        rhythm = (4, 8) if resting else rhythms[bar % 2]
        if bar % 4 != 2 or not walk:
            moves = rng.choice([-2, -1, 1, 2], size=len(rhythm), p=[0.12, 0.4, 0.36, 0.12]).tolist()
        else:
            moves = walk[-2]  # the third bar goes as the first one did, from where it is
        walk.append(moves)
        step = bar * STEPS_PER_BAR
        for move, length in zip(moves, rhythm, strict=True):
            degree = _within(degree + move)
            if step % 8 == 0:
                degree = nearest(chord, degree)
            tones.append((step, length, degree))
            step += length
    return tones


def _riff(rng: np.random.Generator, harmony: Sequence[int]) -> list[_Tone]:
    """A figure of one bar, off the beat, that is played again over each chord; each fourth bar answers it."""
    five = (0, 2, 3, 4, 6, 7, 9)

    def figure() -> list[tuple[int, int, int]]:
        slots = np.flatnonzero(rng.random(8) < np.array([1.0, 0.35, 0.5, 0.75, 0.3, 0.75, 0.4, 0.5])) * 2
        place, made = int(rng.integers(1, 4)), []
        for start, following in zip(slots.tolist(), [*slots.tolist()[1:], STEPS_PER_BAR], strict=True):
            made.append((start, min(following - start, 3 if rng.random() < 0.4 else 4), five[place]))
            place = int(np.clip(place + rng.choice([-1, 1, 0, 2], p=[0.4, 0.35, 0.15, 0.1]), 0, len(five) - 1))
        return made

    motif, answer = figure(), figure()
    tones = []
    for bar, chord in enumerate(harmony):
        shift = _within(chord, -3, 3)
        for start, length, tone in answer if bar % 4 == 3 else motif:
            tones.append((bar * STEPS_PER_BAR + start, length, tone + shift))
    return tones


def _sequence(rng: np.random.Generator, harmony: Sequence[int]) -> list[_Tone]:
    """A motif of one bar that is played again a step lower, or higher, in each bar of a phrase of four."""
    rhythm = _RHYTHMS[rng.integers(len(_RHYTHMS))]
    motif = np.cumsum([0, *rng.choice([-2, -1, 1, 2], size=len(rhythm) - 1)])
    down = bool(rng.random() < 0.7)
    tones = []
    for bar in range(len(harmony)):
        begin = (8 - bar % 4) if down else (3 + bar % 4)
        step = bar * STEPS_PER_BAR
        for length, move in zip(rhythm, motif.tolist(), strict=True):
            tones.append((step, length, int(np.clip(begin + move, -3, 13))))
            step += length
    return tones


@dataclasses.dataclass(frozen=True)
class _Style:
    write: Callable[[np.random.Generator, Sequence[int]], list[_Tone]]
    bars: tuple[int, ...]
    tempo: tuple[int, int]  # quarter notes a minute, from and to
    programs: tuple[int, ...] = (0,)


_STYLES = {
    "arpeggio": _Style(_arpeggio, (2, 4, 8, 8, 16), (90, 140), (0, 24)),
    "folk": _Style(_folk, (8, 16, 16, 32), (90, 130), (0, 21, 22)),
    "riff": _Style(_riff, (4, 8, 8, 16), (90, 126), (26, 27, 30)),
    "scale": _Style(_scale, (2, 4, 8, 8, 16), (80, 120), (0, 6)),
    "sequence": _Style(_sequence, (4, 8, 8, 16), (80, 120), (0, 6, 19)),
}
STYLES: tuple[str, ...] = tuple(_STYLES)
