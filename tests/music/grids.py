"""What tests of music on a grid share: scores of a few notes, and what note_seq and the original make of them."""

import math

import numpy as np
from note_seq import drums_lib, melodies_lib, sequences_lib
from note_seq.protobuf import music_pb2

from magenta_lite.music.score import Score


def score_of(notes, metre=(), tempo=(), ticks_per_quarter=480):
    """A score of notes (start, end, pitch, program, is_drum, instrument) in ticks; the last three may be left out."""
    rows = sorted(tuple(note) + (0, 0, 0)[len(note) - 3 :] for note in notes)
    start, end, pitch, program, is_drum, instrument = np.array(rows, np.int64).reshape(-1, 6).T
    return Score(
        ticks_per_quarter,
        start,
        end,
        pitch.astype(np.int16),
        np.full(len(start), 64, np.int16),
        program.astype(np.int16),
        is_drum != 0,
        instrument.astype(np.int16),
        tempo=np.array(tempo, np.int64).reshape(-1, 2),
        metre=np.array(metre, np.int64).reshape(-1, 3),
        pedal=np.zeros((0, 3), np.int64),
    )


def sequence_of(score):
    """A NoteSequence in which a quarter note lasts a second throughout, so that halves of steps are exact."""
    sequence = music_pb2.NoteSequence(total_time=float(score.end.max(initial=0) / score.ticks_per_quarter))
    sequence.tempos.add(qpm=60)
    for tick, numerator, denominator in score.metre.tolist():
        sequence.time_signatures.add(time=tick / score.ticks_per_quarter, numerator=numerator, denominator=denominator)
    names = ("start", "end", "pitch", "velocity", "program", "is_drum", "instrument")
    for start, end, *rest in zip(*(getattr(score, name).tolist() for name in names), strict=True):
        times = {"start_time": start / score.ticks_per_quarter, "end_time": end / score.ticks_per_quarter}
        sequence.notes.add(**times, **dict(zip(names[2:], rest, strict=True)))
    return sequence


def quantised_parts(score):
    """The parts of a score in one metre each, quantised, as the original's converters take them; with notes."""
    parts = sequences_lib.split_note_sequence_on_time_changes(sequence_of(score))
    return [sequences_lib.quantize_note_sequence(part, 4) for part in parts if part.notes]


def keep_notes(sequence, wanted):
    """Leaves in a NoteSequence the notes for which `wanted` is true."""
    notes = [note for note in sequence.notes if wanted(note)]
    copy = music_pb2.NoteSequence()
    copy.CopyFrom(sequence)
    del copy.notes[:]
    copy.notes.extend(notes)
    return copy


def original_melodies(quantised, *, programs=None, gap_bars=1.0):
    """(instrument, first step, events) of each Melody that the original's loop takes from a quantised NoteSequence."""
    quantised = keep_notes(
        quantised, lambda note: 21 <= note.pitch <= 108 and (programs is None or note.program in programs)
    )
    found = []
    for instrument in sorted({note.instrument for note in quantised.notes}):
        search = 0
        while True:
            melody = melodies_lib.Melody()
            melody.from_quantized_sequence(
                quantised,
                search_start_step=search,
                instrument=instrument,
                gap_bars=gap_bars,
                ignore_polyphonic_notes=True,
                pad_end=True,
            )
            if not len(melody):
                break
            found.append((instrument, melody.start_step, list(melody)))
            search = math.ceil(melody.end_step / melody.steps_per_bar) * melody.steps_per_bar
    return found


def original_drums(quantised, known, *, gap_bars=1.0):
    """(first step, sets of pitches) of each DrumTrack that the original's loop takes, of the pitches in `known`."""
    quantised = keep_notes(quantised, lambda note: note.is_drum and note.pitch in known)
    found, search = [], 0
    while True:
        track = drums_lib.DrumTrack()
        track.from_quantized_sequence(quantised, search_start_step=search, gap_bars=gap_bars, pad_end=True)
        if not len(track):
            return found
        found.append((track.start_step, list(track)))
        search = math.ceil(track.end_step / track.steps_per_bar) * track.steps_per_bar
