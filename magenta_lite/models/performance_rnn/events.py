"""Quantised notes <-> events, vectorised. Host only, numpy. Steps are whole numbers, steps_per_second of them a second.

Equal, event for event, to the published code's performance_lib (Performance and NotePerformance).
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from magenta_lite.models.performance_rnn.vocabulary import (
    NOTE_OFF,
    NOTE_ON,
    TIME_SHIFT,
    VELOCITY,
    EventVocabulary,
    NoteVocabulary,
    velocity_bin_size,
)

Steps = NDArray[np.int64]


@dataclasses.dataclass(frozen=True, eq=False)
class Quantised:
    """Notes in steps, in the order of (seconds of the start, pitch): start < end, int64 [N]; pitch, velocity [N]."""

    start: Steps
    end: Steps
    pitch: NDArray[np.integer]
    velocity: NDArray[np.integer]


def to_events(notes: Quantised, vocabulary: EventVocabulary) -> NDArray[np.int32]:
    """Event numbers [T, 1].

    Notes begin and end in the order of (step, note, beginning before end); before the first of a step comes the
    time-shift from the step before, in parts of at most max_shift, and before a note-on its velocity, if its bin
    differs from that of the note-on before.
    """
    count = len(notes.start)
    if not count:
        return np.zeros((0, 1), np.int32)
    step = np.concatenate([notes.start, notes.end])
    note = np.tile(np.arange(count), 2)
    order = np.lexsort((np.repeat([0, 1], count), note, step))
    step, note, ends = step[order], note[order], order >= count

    shift = np.diff(step, prepend=0)
    whole = np.maximum(-(-shift // vocabulary.max_shift) - 1, 0)  # full shifts before the last one
    shifts = whole + (shift > 0)
    louder = np.zeros(len(step), bool)
    if vocabulary.velocity_bins:
        bins = (notes.velocity.astype(np.int64) - 1) // velocity_bin_size(vocabulary.velocity_bins)
        began = bins[note[~ends]]
        louder[~ends] = np.diff(began, prepend=-1) != 0

    place = np.cumsum(shifts + louder + 1) - 1  # where the note-on or note-off itself stands
    events = np.full(place[-1] + 1, vocabulary.offset(TIME_SHIFT) + vocabulary.max_shift - 1, np.int32)
    offset = np.where(ends, vocabulary.offset(NOTE_OFF), vocabulary.offset(NOTE_ON))
    events[place] = offset + notes.pitch[note]
    if vocabulary.velocity_bins:
        events[place[louder] - 1] = vocabulary.offset(VELOCITY) + bins[note[louder]]
    moved = shift > 0
    last = (shift - whole * vocabulary.max_shift)[moved]
    events[(place - louder - 1)[moved]] = vocabulary.offset(TIME_SHIFT) + last - 1
    return events[:, None]


def from_events(
    events: NDArray[np.integer], vocabulary: EventVocabulary, *, velocity: int = 100, longest: int | None = None
) -> tuple[Quantised, dict[str, int]]:
    """Notes of event numbers [T, 1], and what did not fit: {"note-offs without a note-on", "notes without an end"}.

    A note-off ends the note of its pitch that began first. A note without an end goes on to the end of the events; no
    note is longer than `longest` steps. Notes of no length are left out, as in the original.

    velocity: of notes before the first velocity event, and of all where the vocabulary has none.
    """
    shift_offset, off_offset = vocabulary.offset(TIME_SHIFT), vocabulary.offset(NOTE_OFF)
    velocity_offset = vocabulary.offset(VELOCITY) if vocabulary.velocity_bins else vocabulary.fields[0]
    bin_size = velocity_bin_size(vocabulary.velocity_bins) if vocabulary.velocity_bins else 1
    step, made, orphans = 0, [], 0
    open_notes: dict[int, list[tuple[int, int]]] = {}
    for event in events[:, 0].tolist():
        if event < off_offset:
            open_notes.setdefault(event, []).append((step, velocity))
        elif event < shift_offset:
            pitch = event - off_offset
            waiting = open_notes.get(pitch)
            if not waiting:
                orphans += 1
                continue
            began, loud = waiting.pop(0)
            if step > began:
                made.append((began, step, pitch, loud))
        elif event < velocity_offset:
            step += event - shift_offset + 1
        else:
            velocity = 1 + (event - velocity_offset) * bin_size
    unended = 0
    for pitch, waiting in open_notes.items():
        for began, loud in waiting:
            unended += 1
            if step > began:
                made.append((began, step, pitch, loud))
    columns = np.array(made, np.int64).reshape(-1, 4)
    columns = columns[np.lexsort((columns[:, 2], columns[:, 0]))]
    start, end, pitches, velocities = columns.T
    if longest is not None:
        end = np.minimum(end, start + longest)
    return Quantised(start, end, pitches, velocities), {
        "note-offs without a note-on": orphans,
        "notes without an end": unended,
    }


def to_notes(notes: Quantised, vocabulary: NoteVocabulary) -> tuple[NDArray[np.int32], dict[str, int]]:
    """Note numbers [N, 6], and how many shifts and durations were cut to the longest that there is a number for."""
    shift = np.diff(notes.start, prepend=0)
    duration = notes.end - notes.start
    cut = {
        f"shifts cut to {vocabulary.max_shift} steps": int((shift > vocabulary.max_shift).sum()),
        f"durations cut to {vocabulary.max_duration} steps": int((duration > vocabulary.max_duration).sum()),
    }
    _, shift_minor, _, bins, _, duration_minor = vocabulary.fields
    shift = np.minimum(shift, vocabulary.max_shift)
    duration = np.minimum(duration, vocabulary.max_duration) - 1
    loudness = (notes.velocity.astype(np.int64) - 1) // velocity_bin_size(bins)
    columns = (
        shift // shift_minor,
        shift % shift_minor,
        notes.pitch,
        loudness,
        duration // duration_minor,
        duration % duration_minor,
    )
    return np.column_stack(columns).astype(np.int32), cut


def from_notes(events: NDArray[np.integer], vocabulary: NoteVocabulary) -> Quantised:
    """Notes of note numbers [N, 6]."""
    events = np.asarray(events, np.int64)
    _, shift_minor, _, bins, _, duration_minor = vocabulary.fields
    start = np.cumsum(events[:, 0] * shift_minor + events[:, 1])
    duration = events[:, 4] * duration_minor + events[:, 5] + 1
    return Quantised(start, start + duration, events[:, 2], 1 + events[:, 3] * velocity_bin_size(bins))


def steps_of(events: NDArray[np.integer], vocabulary: EventVocabulary | NoteVocabulary) -> NDArray[np.int64]:
    """By how many steps each event [T, F] moves the time on, int64 [T]."""
    events = np.asarray(events, np.int64)
    if isinstance(vocabulary, NoteVocabulary):
        return events[:, 0] * vocabulary.fields[1] + events[:, 1]
    value = events[:, 0] - vocabulary.offset(TIME_SHIFT) + 1
    return np.where((value >= 1) & (value <= vocabulary.max_shift), value, 0)
