"""Passages of music made by rules: each piece a score first, from which they are taken as from real files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data.toy import beats, melodies, scores, trios
from magenta_lite.music import bars, chords, drums, grooves
from magenta_lite.music import melodies as lines
from magenta_lite.music import trios as ensembles

CLASSES = {"melodies": melodies.STYLES, "drums": beats.STYLES, "grooves": beats.STYLES, "trios": trios.STYLES}
"""What there are rules for, by kind."""

RULES: Mapping[str, tuple[Path, ...]] = {
    kind: tuple(Path(str(module.__file__)) for module in modules)
    for kind, modules in {
        "melodies": (melodies, scores),
        "drums": (beats, scores),
        "grooves": (beats, scores),
        "trios": (trios, melodies, beats, scores),
    }.items()
}
"""The files of the rules."""


def passage(kind: str, style: str, rng: np.random.Generator) -> dict[str, Any]:
    """The columns of a passage of a kind, all of a piece in a style, with its qpm and title.

    The same state of rng gives the same piece, and the drums and the groove of one beat. Raises ValueError where the
    kind is not one of CLASSES or the style not one of the kind's.
    """
    if kind == "melodies":
        score, changes, title = melodies.compose(style, rng)
        (section,) = bars.sections(score)
        (melody,) = lines.extract(section)
        chord = chords.per_step(changes, section, score.ticks_per_quarter, start=melody.start, steps=len(melody.events))
        columns: dict[str, Any] = {"melody": melody.events, "chord": chord}
    elif kind in ("drums", "grooves"):
        score, title = beats.drum(style, rng)
        (section,) = bars.sections(score)
        if kind == "drums":
            (track,) = drums.extract(section)
            columns = {"drums": track.masks}
        else:
            (groove,) = grooves.extract(section)
            columns = {"velocity": groove.velocity, "offset": groove.offset}
    elif kind == "trios":
        score, title = trios.perform(style, rng)
        (section,) = bars.sections(score)
        (trio,) = ensembles.extract(section)
        columns = {"melody": trio.melody, "bass": trio.bass, "drums": trio.drums}
    else:
        raise ValueError(f"expected one of {', '.join(CLASSES)}, got {kind!r}")
    return {**columns, "qpm": section.qpm, "title": title}
