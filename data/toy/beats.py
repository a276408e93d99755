"""Beats by rule, of 4 to 16 bars, with loud and soft hits, a feel and fills: for drum tracks and for grooves.

Each style is a function that draws two bars of hits; `play` repeats them, with a fill and a crash where a phrase ends,
and plays each drum a little late or early, as a drummer's habit is. Pitches are those that the Groove data knows.
"""

import dataclasses
from collections.abc import Callable, Collection

import numpy as np

from data.toy.scores import STEPS_PER_BAR, Note, Part, played
from magenta_lite.music.score import Score

KICK, CROSS_STICK, SNARE, CLOSED, PEDAL, OPEN = 36, 37, 38, 42, 44, 46
LOW_TOM, MID_TOM, HIGH_TOM, CRASH, RIDE = 43, 47, 50, 49, 51

_Hit = tuple[float, int, float]
"""Step in two bars, pitch, velocity."""

_TRIPLET = 8 / 3  # the second of two swung eighths
_PHRASE = 4  # bars


def drum(style: str, rng: np.random.Generator) -> tuple[Score, str]:
    """A beat in a style as a score, and its title ("shuffle at 112").

    The same state of rng gives the same beat: drums alone, 4/4, one tempo, a hit in every bar.

    Raises:
      ValueError: style is not one of STYLES.
    """
    if style not in _STYLES:
        raise ValueError(f"expected one of {', '.join(STYLES)}, got {style!r}")
    bars = int(rng.choice([4, 8, 8, 16]))
    qpm = tempo(style, rng)
    fills = set(range(_PHRASE - 1, bars, _PHRASE)) if rng.random() < 0.6 else {bars - 1}
    part = Part("drums", 0, play(style, rng, bars, fills), is_drum=True)
    return played([part], qpm, rng, looseness=_STYLES[style].looseness), f"{style} at {qpm:g}"


def tempo(style: str, rng: np.random.Generator) -> float:
    """Quarter notes a minute that are usual in a style."""
    return float(rng.integers(*_STYLES[style].tempo))


def play(style: str, rng: np.random.Generator, bars: int, fills: Collection[int]) -> list[Note]:
    """So many bars of a beat, with a fill in the second half of some, by number, and a crash behind each."""
    rule = _STYLES[style]
    pattern = rule.pattern(rng)
    pattern += _extras(rule.extras, pattern, rng)
    feel = {pitch: rng.normal(late, 0.03) for pitch, late in rule.late.items()}
    fill = _fill(rng)
    notes = []
    for bar in range(bars):
        for step, pitch, velocity in pattern:
            at = step - (bar % 2) * STEPS_PER_BAR
            if not 0 <= at < STEPS_PER_BAR or (bar in fills and at >= fill[0][0] and pitch != PEDAL):
                continue
            if bar - 1 in fills and at == 0 and pitch in (CLOSED, RIDE):
                continue
            notes.append(Note(bar * STEPS_PER_BAR + at + feel.get(pitch, 0.0), 1, pitch, velocity))
        if bar - 1 in fills:
            notes.append(Note(bar * STEPS_PER_BAR, 1, CRASH, 110))
        if bar in fills:
            notes += [Note(bar * STEPS_PER_BAR + step, 1, pitch, velocity) for step, pitch, velocity in fill]
    return notes


def _extras(extras: dict[int, tuple[float, float]], pattern: list[_Hit], rng: np.random.Generator) -> list[_Hit]:
    """A drummer's own hits, off the beats: of each drum a few, by its chance and velocity, where it is not hit yet."""
    taken = {(int(step + 0.5), pitch) for step, pitch, _ in pattern}
    return [
        (float(step), pitch, velocity)
        for pitch, (chance, velocity) in extras.items()
        for step in np.flatnonzero(rng.random(2 * STEPS_PER_BAR) < chance).tolist()
        if step % 4 and (step, pitch) not in taken
    ]


def _fill(rng: np.random.Generator) -> list[_Hit]:
    """The last beats of a bar: down the drums, louder and louder."""
    begin = int(rng.choice([8, 8, 12]))
    pace = int(rng.choice([1, 2])) if begin == 8 else 1
    steps = list(range(begin, STEPS_PER_BAR, pace))
    way = np.linspace(0, 3.99, len(steps)).astype(int)
    drums = (SNARE, HIGH_TOM, MID_TOM, LOW_TOM)
    loud = np.linspace(70, 115, len(steps))
    hits = [(float(step), drums[place], float(level)) for step, place, level in zip(steps, way, loud, strict=True)]
    return [*hits, (float(begin), KICK, 95.0)]


def _both(steps: Collection[float], pitch: int, velocity: float, accent: float = 0.0) -> list[_Hit]:
    """The same hits in both bars; those on the first of a beat are louder by the accent."""
    return [
        (bar * STEPS_PER_BAR + step, pitch, velocity + accent * (step % 4 == 0)) for bar in range(2) for step in steps
    ]


def _choose(rng: np.random.Generator, *options: tuple[int, ...]) -> tuple[int, ...]:
    return options[rng.integers(len(options))]


def _rock(rng: np.random.Generator) -> list[_Hit]:
    time = RIDE if rng.random() < 0.3 else CLOSED
    hits = _both(range(0, 16, 2), time, 72, accent=18) + _both((4, 12), SNARE, 110)
    hits += _both(_choose(rng, (0, 8), (0, 6, 8), (0, 8, 10), (0, 7, 10)), KICK, 104)
    if rng.random() < 0.5:
        hits.append((STEPS_PER_BAR + 14, KICK, 92))
    return hits


def _bossa(rng: np.random.Generator) -> list[_Hit]:
    clave = (0, 6, 12, 20, 26) if rng.random() < 0.6 else (4, 10, 16, 22, 28)
    hits = [(float(step), CROSS_STICK, 84.0) for step in clave]
    hits += _both(range(0, 16, 2), CLOSED if rng.random() < 0.6 else RIDE, 54, accent=8)
    return hits + _both((0, 6, 8, 14), KICK, 70) + _both((4, 12), PEDAL, 50)


def _house(rng: np.random.Generator) -> list[_Hit]:
    hits = _both((0, 4, 8, 12), KICK, 116) + _both((2, 6, 10, 14), OPEN, 88) + _both((4, 12), SNARE, 100)
    if rng.random() < 0.4:
        hits += _both([step for step in range(16) if step % 4 != 2], CLOSED, 58)
    return hits


def _funk(rng: np.random.Generator) -> list[_Hit]:
    hits = _both(_choose(rng, (0, 2, 10), (0, 6, 10, 13), (0, 3, 7, 10)), KICK, 106) + _both((4, 12), SNARE, 112)
    hits += _both(_choose(rng, (7, 9), (7, 9, 15), (6, 9, 11, 14)), SNARE, 34)
    opened = 10 if rng.random() < 0.5 else 14
    hits += _both([step for step in range(16) if step != opened], CLOSED, 56, accent=24)
    return [*hits, (STEPS_PER_BAR + opened, OPEN, 84), (opened, CLOSED, 60)]


def _shuffle(rng: np.random.Generator) -> list[_Hit]:
    if rng.random() < 0.5:
        hits = _both((0, 4, 8, 12), CLOSED, 88) + _both([4 * beat + _TRIPLET for beat in range(4)], CLOSED, 60)
    else:
        hits = _both((0, 4, 8, 12), RIDE, 84) + _both((4 + _TRIPLET, 12 + _TRIPLET), RIDE, 66)
        hits += _both((4, 12), PEDAL, 60)
    hits += _both((4, 12), SNARE, 106) + _both(_choose(rng, (0, 8), (0, 4, 8, 12)), KICK, 92)
    if rng.random() < 0.6:
        hits += _both((8 + _TRIPLET,), KICK, 84)
    return hits


@dataclasses.dataclass(frozen=True)
class _Style:
    pattern: Callable[[np.random.Generator], list[_Hit]]
    tempo: tuple[int, int]  # quarter notes a minute, from and to
    late: dict[int, float]  # steps that a drum is behind the grid
    looseness: float
    extras: dict[int, tuple[float, float]]  # a drum's chance of a hit more on a step, and its velocity


_STYLES = {
    "bossa": _Style(_bossa, (110, 150), {CROSS_STICK: 0.06}, 0.05, {CROSS_STICK: (0.08, 66), OPEN: (0.05, 60)}),
    "funk": _Style(_funk, (88, 116), {SNARE: 0.1, CLOSED: 0.03}, 0.05, {KICK: (0.06, 88), SNARE: (0.08, 32)}),
    "house": _Style(_house, (118, 130), {OPEN: -0.02}, 0.01, {CLOSED: (0.25, 50), SNARE: (0.06, 60)}),
    "rock": _Style(_rock, (92, 150), {SNARE: 0.08, CLOSED: -0.05}, 0.06, {KICK: (0.06, 84), SNARE: (0.05, 34)}),
    "shuffle": _Style(_shuffle, (84, 140), {SNARE: 0.09, RIDE: -0.04}, 0.05, {KICK: (0.04, 76), SNARE: (0.06, 34)}),
}
STYLES: tuple[str, ...] = tuple(_STYLES)
