"""Trios: a melody, a bass and drums, where all three play; what the original's TrioConverter takes out of a score."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from magenta_lite.music import drums, melodies
from magenta_lite.music.bars import Section

MELODY_PROGRAMS, BASS_PROGRAMS = range(32), range(32, 40)
"""Pianos, tuned percussion, organs and guitars; and basses. Other programs are no part of a trio."""

MAX_BARS = 1024
"""How much of a section is looked at, as in the original."""

_MELODY, _BASS, _DRUMS, _OTHER = range(4)


class Trio(NamedTuple):
    """A passage: where it begins, in steps of its section, at a bar line; and its three parts.

    melody, bass: uint8 [T], events as in melodies. drums: uint64 [T], sets as in drums. T is a multiple of the
    section's steps_per_bar. A part may have silent bars. What sounds where it begins is not struck again: there may be
    a note-off before the first note.
    """

    start: int
    melody: NDArray[np.uint8]
    bass: NDArray[np.uint8]
    drums: NDArray[np.uint64]


def extract(section: Section, *, gap_bars: int = 2) -> Iterator[Trio]:
    """Each trio of a melody's, a bass's and a drummer's instrument, in their order and that of time, one by one.

    An instrument is of the kind that all of its notes are of, or of none. It covers the bars in which its notes are,
    and so many bars before and behind them; a trio is the longest run of bars that all three cover. At either end of
    the section, so many bars count as covered where any of the three covers one of them. What an instrument plays is
    its melody or drum track without a limit of gaps. The original cuts a trio into windows of 16 bars, and takes of a
    piece five of them by chance. It passes over the 128th instrument and all behind it.

    Raises ValueError where gap_bars is negative.
    """
    if gap_bars < 0:
        raise ValueError(f"a gap of {gap_bars} bars: expected at least 0")
    instruments, player = np.unique(section.instrument, return_inverse=True)
    kinds = _kinds(section, player, len(instruments))
    if not {_MELODY, _BASS, _DRUMS} <= set(kinds.tolist()):
        return
    passages = {}
    for row in np.flatnonzero(kinds != _OTHER).tolist():
        if (passage := _passage(section, int(instruments[row]))) is not None:
            passages[row] = passage
    groups = [[row for row in passages if kinds[row] == kind] for kind in (_MELODY, _BASS, _DRUMS)]
    coverage = _coverage(section, player, len(instruments), gap_bars)
    last = max(len(coverage) - gap_bars, 0)
    for group in itertools.product(*groups):
        covered = coverage[:, group]
        together = np.all(covered, axis=1)
        together[:gap_bars] = covered[:gap_bars].any()
        together[last:] = covered[last:].any()
        edges = np.flatnonzero(np.diff(together, prepend=False, append=False)) * section.steps_per_bar
        for start, end in edges.reshape(-1, 2).tolist():
            melody, bass, drum = (_cut(*passages[row], start, end) for row in group)
            yield Trio(start, melody, bass, drum)


def _kinds(section: Section, player: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The kind of each of `count` instruments; player: of each note, its instrument's number among them."""
    program = section.program.astype(np.int64)
    kind = np.select(
        [section.is_drum, np.isin(program, MELODY_PROGRAMS), np.isin(program, BASS_PROGRAMS)],
        [_DRUMS, _MELODY, _BASS],
        _OTHER,
    )
    plays = np.zeros((count, _OTHER + 1), bool)
    plays[player, kind] = True
    return np.where(plays.sum(axis=1) == 1, plays.argmax(axis=1), _OTHER)


def _passage(section: Section, instrument: int) -> tuple[int, NDArray] | None:
    """Where an instrument's melody or drum track begins and what it is; None where it has no notes for one."""
    for start, masks in drums.extract(section, gap_bars=np.inf, instrument=instrument):
        return start, masks
    for start, events in melodies.extract(section, gap_bars=np.inf, instrument=instrument):
        sounds = events[np.flatnonzero(events)[-1]] >= melodies.FIRST_NOTE
        return start, np.append(events, np.uint8(melodies.NOTE_OFF if sounds else melodies.NO_EVENT))
    return None


def _coverage(section: Section, player: NDArray[np.int64], count: int, gap_bars: int) -> NDArray[np.bool_]:
    """Whether each of `count` instruments plays within gap_bars of each bar, bool [bars, count]."""
    first, end = section.start // section.steps_per_bar, -(-section.end // section.steps_per_bar)
    bars = min(int(end.max()), MAX_BARS)
    inside = first < bars
    changes = np.zeros((bars + 1, count), np.int64)
    np.add.at(changes, (first[inside], player[inside]), 1)
    np.add.at(changes, (np.minimum(end[inside], bars), player[inside]), -1)
    plays = np.cumsum(changes[:-1], axis=0) > 0
    coverage = plays.copy()
    for shift in range(1, min(gap_bars, bars) + 1):
        coverage[shift:] |= plays[:-shift]
        coverage[:-shift] |= plays[shift:]
    return coverage


def _cut(begins: int, column: NDArray, start: int, end: int) -> NDArray:
    """A passage's values from a step to another, nothing where it has none."""
    part = np.zeros(end - start, column.dtype)
    first, last = max(begins, start), min(begins + len(column), end)
    if first < last:
        part[first - start : last - start] = column[first - begins : last - begins]
    return part
