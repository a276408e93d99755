"""Flags of data.midi that say which passages are wanted."""

from collections.abc import Sequence

from data.midi.extraction import KINDS, Wanted
from magenta_lite.errors import UserError, nearest

CHORDS = ("none", "infer", "pop909")
"""Where the chords of melodies are from."""

PROGRAMS = ("0-31",)
"""The original's for melodies: pianos, chromatic percussion, organs and guitars."""


def wanted(
    kind: str,
    metre: Sequence[str] | None,
    programs: Sequence[str] | None,
    tracks: Sequence[str] | None,
    chords: str,
) -> Wanted | None:
    """The passages that the flags ask for; None for whole pieces.

    Raises:
      UserError: a flag that says nothing, or nothing to this kind.
    """
    if kind not in ("pieces", *KINDS):
        raise UserError(f"--kind={kind}: {nearest(kind, ('pieces', *KINDS))}")
    if chords not in CHORDS:
        raise UserError(f"--chords={chords}: {nearest(chords, CHORDS)}")
    given = {"metre": metre, "programs": programs, "tracks": tracks, "chords": None if chords == "none" else chords}
    for name, value in given.items():
        if value is None:
            continue
        if kind == "pieces":
            raise UserError(f"--{name} chooses passages: add --kind=melodies, drums, trios or grooves")
        if kind != "melodies" and name in ("programs", "chords"):
            raise UserError(f"--{name} is of melodies: leave it out, or add --kind=melodies")
    if kind == "pieces":
        return None
    metres = parse_metres(("4/4",) if metre is None else metre)
    chosen = parse_programs(PROGRAMS if programs is None else programs) if kind == "melodies" else ()
    return Wanted(kind, metres, chosen, tuple(tracks or ()), infer=chords == "infer")


def parse_metres(texts: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """["3/4", "6/8"] as numbers; raises UserError where that is none, or bars are of different or broken length."""
    metres = []
    for text in texts:
        numerator, _, denominator = text.partition("/")
        if not (numerator.isdecimal() and denominator.isdecimal() and int(numerator) and int(denominator)):
            raise UserError(f"--metre={text}: expected a metre, as in --metre=4/4")
        metres.append((int(numerator), int(denominator)))
        if 16 * metres[-1][0] % metres[-1][1]:
            raise UserError(f"--metre={text}: a bar of it is no whole number of sixteenth notes")
    if len({steps_per_bar(metre) for metre in metres}) != 1:
        bars = ", ".join(f"{text} has {steps_per_bar(metre)}" for text, metre in zip(texts, metres, strict=True))
        raise UserError(f"--metre={','.join(texts)}: expected bars of as many sixteenth notes: {bars or 'name one'}")
    return tuple(dict.fromkeys(metres))


def parse_programs(texts: Sequence[str]) -> tuple[int, ...]:
    """["0-31", "40"] as numbers; raises UserError where that is none from 0 to 127."""
    chosen: set[int] = set()
    for text in texts:
        first, dash, last = text.partition("-")
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last) <= 127):
            raise UserError(f"--programs={text}: expected numbers from 0 to 127, as in --programs=0-31,40")
        chosen |= set(range(int(first), int(last) + 1))
    if not chosen:
        raise UserError("--programs: name at least one, as in --programs=0-31")
    return tuple(sorted(chosen))


def steps_per_bar(metre: tuple[int, int]) -> int:
    """Sixteenth notes in a bar."""
    return 16 * metre[0] // metre[1]
