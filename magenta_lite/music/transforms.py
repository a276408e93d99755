"""Notes into other notes, and into steps. Nothing is changed in place."""

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magenta_lite.music.notes import DEFAULT_QPM, PITCHES, Notes


def transpose(notes: Notes, semitones: int, *, drop: bool = False) -> Notes:
    """All but drums higher by so many semitones, or lower where it is negative.

    Raises ValueError where a note would leave 0 to 127; with `drop` such notes are left out.
    """
    pitch = np.where(notes.is_drum, notes.pitch, notes.pitch.astype(np.int64) + semitones)
    inside = (pitch >= 0) & (pitch < PITCHES)
    if inside.all():
        return notes.replace(pitch=pitch)
    if not drop:
        count = int((~inside).sum())
        raise ValueError(f"{count} of {len(notes)} notes would leave the pitches 0 to 127 by {semitones:+d} semitones")
    return notes.select(inside).replace(pitch=pitch[inside])


def stretch(notes: Notes, factor: float) -> Notes:
    """All times multiplied by a factor, and tempos divided by it: 2 is half as fast. Raises ValueError unless > 0."""
    if not 0 < factor < np.inf:
        raise ValueError(f"the factor is {factor}: expected a number above 0")
    if factor == 1:
        return notes
    tempo_time, tempo_qpm = notes.tempo_time, notes.tempo_qpm
    if not len(tempo_time):
        tempo_time, tempo_qpm = np.zeros(1), np.full(1, DEFAULT_QPM)
    return notes.replace(
        start=notes.start * factor,
        end=notes.end * factor,
        tempo_time=tempo_time * factor,
        tempo_qpm=tempo_qpm / factor,
        metre_time=notes.metre_time * factor,
        pedal_time=notes.pedal_time * factor,
    )


def slice_(notes: Notes, start: float, end: float) -> Notes:
    """What begins from start until before end, in seconds, with start as the new 0.

    Notes that still sound at the end are cut there, and those that began before the start are left out: note_seq's
    extract_subsequence. Tempo, metre and each instrument's pedal begin as they were at the start. Raises ValueError
    unless 0 <= start <= end.
    """
    if not 0 <= start <= end:
        raise ValueError(f"from {start} to {end} s: expected 0 <= start <= end")
    part = notes.select((notes.start >= start) & (notes.start < end))
    tempo = _from(notes.tempo_time, start, end)
    metre = _from(notes.metre_time, start, end)
    pedal = np.zeros(0, np.int64)
    for instrument in np.unique(notes.pedal_instrument):
        rows = np.flatnonzero(notes.pedal_instrument == instrument)
        pedal = np.concatenate([pedal, rows[_from(notes.pedal_time[rows], start, end)]])
    pedal = pedal[np.argsort(notes.pedal_time[pedal], kind="stable")]
    return part.replace(
        start=part.start - start,
        end=np.minimum(part.end, end) - start,
        tempo_time=np.maximum(notes.tempo_time[tempo] - start, 0),
        tempo_qpm=notes.tempo_qpm[tempo],
        metre_time=np.maximum(notes.metre_time[metre] - start, 0),
        metre=notes.metre[metre],
        pedal_time=np.maximum(notes.pedal_time[pedal] - start, 0),
        pedal_down=notes.pedal_down[pedal],
        pedal_instrument=notes.pedal_instrument[pedal],
    )


def _from(time: NDArray[np.float64], start: float, end: float) -> NDArray[np.int64]:
    """Rows of a map, in order: the last until the start, and those between start and end."""
    order = np.argsort(time, kind="stable")
    first = np.searchsorted(time[order], start, side="right")
    last = np.searchsorted(time[order], end, side="left")
    return order[max(first - 1, 0) : max(last, first)]


def sustain(notes: Notes) -> Notes:
    """Notes as long as the pedal holds them, without pedals: note_seq's apply_sustain_control_changes.

    A note that ends while its instrument's pedal is down lasts until the pedal goes up, until its pitch is struck again
    with the pedal down, or until the last event of all. A note that is struck again at its own start is left out. At
    equal times the pedal goes down, then up, then notes begin, then they end. Drums are not changed.
    """
    end, keep = notes.end.copy(), np.ones(len(notes), bool)
    last = max(notes.end[~notes.is_drum].max(initial=0), notes.pedal_time.max(initial=0))
    for instrument in np.unique(notes.pedal_instrument[notes.pedal_down]):
        rows = np.flatnonzero((notes.instrument == instrument) & ~notes.is_drum)
        rows = rows[np.argsort(notes.pitch[rows], kind="stable")]  # by pitch, and by start within one
        pedal = np.flatnonzero(notes.pedal_instrument == instrument)
        pedal = pedal[np.lexsort((~notes.pedal_down[pedal], notes.pedal_time[pedal]))]
        time, down = notes.pedal_time[pedal], notes.pedal_down[pedal]
        held = np.concatenate([[False], down])
        ups = time[~down]
        let_go = np.append(ups, last)[np.searchsorted(ups, end[rows], side="right")]
        until = np.where(held[np.searchsorted(time, end[rows], side="right")], let_go, end[rows])
        struck = _struck_again(
            notes.pitch[rows], notes.start[rows], held[np.searchsorted(time, notes.start[rows], side="right")]
        )
        keep[rows] = struck != notes.start[rows]
        end[rows] = np.minimum(until, struck)
    nothing = np.zeros(0)
    maps = {"pedal_time": nothing, "pedal_down": nothing, "pedal_instrument": nothing}
    return notes.replace(end=end, **maps) if keep.all() else notes.replace(end=end, **maps).select(keep)


def _struck_again(pitch: NDArray, start: NDArray[np.float64], held: NDArray[np.bool_]) -> NDArray[np.float64]:
    """When the pitch of each note [N] is next struck with the pedal held, else inf. Notes come by (pitch, start)."""
    count = len(pitch)
    following = np.minimum.accumulate(np.append(np.where(held, np.arange(count), count), count)[::-1])[::-1][1:]
    same = np.append(pitch, -1)[following] == pitch
    return np.where(same, np.append(start, np.inf)[following], np.inf)


def quantise(notes: Notes, steps_per_second: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The nearest steps of starts and of ends, int64 [N] each, a half going up; a note of no steps gets one.

    As note_seq's quantize_note_sequence_absolute. Raises ValueError unless there are more than 0 steps in a second.
    """
    if not 0 < steps_per_second < np.inf:
        raise ValueError(f"{steps_per_second} steps a second: expected a number above 0")
    start = np.floor(notes.start * steps_per_second + 0.5).astype(np.int64)
    end = np.floor(notes.end * steps_per_second + 0.5).astype(np.int64)
    return start, np.where(end == start, end + 1, end)


def quantise_to_quarters(notes: Notes, steps_per_quarter: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The same for steps of a quarter note: note_seq's quantize_note_sequence.

    Raises ValueError where tempo or metre change (from 120 and from 4/4 where none is given for 0), or the metre's
    denominator is no power of two.
    """
    metres = _values(notes.metre_time, [tuple(row) for row in notes.metre.tolist()], (4, 4))
    if len(metres) > 1:
        raise ValueError("the metre changes from {}/{} to {}/{}".format(*metres[0], *metres[1]))
    numerator, denominator = metres[0]
    if denominator < 1 or denominator & (denominator - 1) or numerator < 1:
        raise ValueError(f"the metre is {numerator}/{denominator}: expected a denominator of 1, 2, 4, 8 or so on")
    tempos = _values(notes.tempo_time, notes.tempo_qpm.tolist(), DEFAULT_QPM)
    if len(tempos) > 1:
        raise ValueError(f"the tempo changes from {tempos[0]:g} to {tempos[1]:g} quarters a minute")
    return quantise(notes, steps_per_quarter * tempos[0] / 60.0)


def _values(time: NDArray[np.float64], values: list[Any], default: Any) -> list[Any]:
    """What a map holds, one after the other without repeats; the default is first where nothing is given for 0."""
    ordered = [values[row] for row in np.argsort(time, kind="stable")]
    if not (time == 0).any():
        ordered = [default, *ordered]
    return [value for value, _ in itertools.groupby(ordered)]
