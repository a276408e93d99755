"""Trios by rule: a lead, a bass and drums, of 16 to 40 bars in the form of a song.

The sections of a form (A A B A and so on) are four or eight bars long; one that comes again is played again, the bass
goes with the chords, and the drums lead into each section with a fill.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from data.toy import beats, melodies
from data.toy.scores import STEPS_PER_BAR, Note, Part, played
from magenta_lite.music.score import Score

FORMS = ("AABA", "ABAB", "AABAB", "ABABB", "ABCAB")

_Figure = tuple[tuple[int, int, int], ...]
"""Step in a bar, steps it lasts, and the tone, in degrees of the scale above the chord's root; 7 is the octave."""


def perform(style: str, rng: np.random.Generator) -> tuple[Score, str]:
    """A trio in a style, and its title ("funk in E minor, AABA").

    The same state of rng gives the same trio: three instruments, 4/4, one tempo, all three in every two bars.

    Raises:
      ValueError: style is not one of STYLES.
    """
    if style not in _STYLES:
        raise ValueError(f"expected one of {', '.join(STYLES)}, got {style!r}")
    rule, key = _STYLES[style], melodies.Key.draw(rng)
    form, bars = str(rng.choice(FORMS)), int(rng.choice([4, 8]))
    written = {}
    for number, letter in enumerate(sorted(set(form))):
        written[letter] = melodies.section(rule.leads[number % len(rule.leads)], rng, key, bars)
    sections = [written[letter] for letter in form]
    sections[-1] = sections[-1].closed()
    lead, harmony = melodies.lay_out(sections, key)
    figure = rule.figures[rng.integers(len(rule.figures))]
    fills = {bar for bar in range(bars - 1, len(harmony), bars)}
    parts = [
        Part("lead", int(rng.choice(rule.programs)), lead),
        Part("bass", int(rng.choice([32, 33, 34, 36])), _bass(figure, harmony, key)),
        Part("drums", 0, beats.play(style, rng, len(harmony), fills), is_drum=True),
    ]
    return played(parts, beats.tempo(style, rng), rng, looseness=0.05), f"{style} in {key}, {form}"


def _bass(figure: _Figure, harmony: Sequence[int], key: melodies.Key) -> list[Note]:
    """The figure on each bar's chord, and on the last one a long root."""
    notes = []
    for bar, chord in enumerate(harmony):
        last = bar == len(harmony) - 1
        for step, length, tone in ((0, STEPS_PER_BAR - 4, 0),) if last else figure:
            root = key.pitch(chord, chord) - 24
            pitch = key.pitch(chord + tone, chord) - 24 - (12 if root > 43 else 0)
            notes.append(Note(bar * STEPS_PER_BAR + step, length, pitch, 84 + 8 * (step == 0)))
    return notes


@dataclasses.dataclass(frozen=True)
class _Style:
    leads: tuple[str, ...]  # styles of melodies, for the sections A, B and so on
    figures: tuple[_Figure, ...]
    programs: tuple[int, ...]


_STYLES = {
    "bossa": _Style(
        ("folk", "arpeggio"),
        (((0, 6, 0), (6, 2, 4), (8, 6, 4), (14, 2, 0)), ((0, 6, 0), (6, 2, 0), (8, 6, 4), (14, 2, 4))),
        (0, 24),
    ),
    "funk": _Style(
        ("riff", "riff"),
        (((0, 2, 0), (3, 1, 0), (6, 2, 7), (10, 2, 4), (14, 2, 6)), ((0, 3, 0), (6, 1, 7), (7, 3, 7), (13, 2, 4))),
        (7, 16, 27),
    ),
    "house": _Style(
        ("arpeggio", "riff"),
        (((2, 2, 0), (6, 2, 0), (10, 2, 0), (14, 2, 7)), ((2, 2, 0), (6, 2, 7), (10, 2, 0), (14, 2, 7))),
        (4, 5, 16),
    ),
    "rock": _Style(
        ("folk", "riff"),
        (
            ((0, 2, 0), (2, 2, 0), (4, 2, 0), (6, 2, 0), (8, 2, 0), (10, 2, 0), (12, 2, 0), (14, 2, 0)),
            ((0, 6, 0), (6, 2, 0), (8, 4, 4), (12, 4, 0)),
        ),
        (29, 30, 18),
    ),
    "shuffle": _Style(
        ("folk", "sequence"),
        (((0, 4, 0), (4, 4, 2), (8, 4, 4), (12, 4, 5)), ((0, 4, 0), (4, 4, 4), (8, 4, 7), (12, 4, 4))),
        (0, 17, 26),
    ),
}
STYLES: tuple[str, ...] = tuple(_STYLES)
