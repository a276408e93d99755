"""Notes to and from note_seq's NoteSequence and pretty_midi's PrettyMIDI, which are imported when they are needed.

Times are the same to the last bit. What Notes do not hold is left out: keys, texts, pitch bends, and all controls but
the sustain pedal.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from magenta_lite.music.midi import SUSTAIN
from magenta_lite.music.midi_writing import TICKS_PER_QUARTER
from magenta_lite.music.notes import DEFAULT_QPM, Notes

if TYPE_CHECKING:
    import pretty_midi
    from note_seq.protobuf import music_pb2


def to_note_sequence(notes: Notes) -> "music_pb2.NoteSequence":
    """The same as a NoteSequence, its notes in order of instrument, start and pitch; the pedal is 127 or 0."""
    from note_seq.protobuf import music_pb2

    sequence = music_pb2.NoteSequence(ticks_per_quarter=TICKS_PER_QUARTER, total_time=notes.duration)
    for time, qpm in _tempos(notes):
        sequence.tempos.add(time=time, qpm=qpm)
    for time, (numerator, denominator) in zip(notes.metre_time.tolist(), notes.metre.tolist(), strict=True):
        sequence.time_signatures.add(time=time, numerator=numerator, denominator=denominator)
    for number, name in enumerate(notes.names):
        if name:
            sequence.instrument_infos.add(instrument=number, name=name)
    players: dict[int, tuple[int, bool]] = {}
    for (instrument, program, is_drum), rows in _groups(notes):
        players.setdefault(instrument, (program, is_drum))
        columns = (column[rows].tolist() for column in (notes.start, notes.end, notes.pitch, notes.velocity))
        for start, end, pitch, velocity in zip(*columns, strict=True):
            sequence.notes.add(
                start_time=start,
                end_time=end,
                pitch=pitch,
                velocity=velocity,
                instrument=instrument,
                program=program,
                is_drum=is_drum,
            )
    for time, down, instrument in _pedals(notes):
        program, is_drum = players.get(instrument, (0, False))
        sequence.control_changes.add(
            time=time,
            control_number=SUSTAIN,
            control_value=127 * down,
            instrument=instrument,
            program=program,
            is_drum=is_drum,
        )
    return sequence


def from_note_sequence(sequence: "music_pb2.NoteSequence") -> Notes:
    """The notes of a NoteSequence in seconds. Raises ValueError where a value is not MIDI's, or it is quantised."""
    if sequence.quantization_info.steps_per_quarter or sequence.quantization_info.steps_per_second:
        raise ValueError("the NoteSequence is quantised: expected seconds")
    names: dict[int, str] = {info.instrument: info.name for info in sequence.instrument_infos}
    sustain = [change for change in sequence.control_changes if change.control_number == SUSTAIN]
    sustain.sort(key=lambda change: change.time)
    return _notes(
        [(n.start_time, n.end_time, n.pitch, n.velocity, n.program, n.is_drum, n.instrument) for n in sequence.notes],
        tempos=[(tempo.time, tempo.qpm) for tempo in sorted(sequence.tempos, key=lambda tempo: tempo.time)],
        metres=[(metre.time, metre.numerator, metre.denominator) for metre in sequence.time_signatures],
        pedals=[(change.time, change.control_value >= 64, change.instrument) for change in sustain],
        names=names,
    )


def to_pretty_midi(notes: Notes) -> "pretty_midi.PrettyMIDI":
    """The same as a PrettyMIDI, an instrument for each instrument and program; the pedal is 127 or 0."""
    import pretty_midi

    tempos = _tempos(notes)
    midi = pretty_midi.PrettyMIDI(resolution=TICKS_PER_QUARTER, initial_tempo=tempos[0][1])
    for time, qpm in tempos[1:]:  # in the way of note_seq: pretty_midi has no function for it
        midi._tick_scales.append((midi.time_to_tick(time), 60.0 / (midi.resolution * qpm)))
        midi._update_tick_to_time(0)
    for time, (numerator, denominator) in zip(notes.metre_time.tolist(), notes.metre.tolist(), strict=True):
        midi.time_signature_changes.append(pretty_midi.TimeSignature(numerator, denominator, time))
    pedals: dict[int, list[Any]] = {}
    for time, down, number in _pedals(notes):
        pedals.setdefault(number, []).append(pretty_midi.ControlChange(SUSTAIN, 127 * down, time))
    for (number, program, is_drum), rows in _groups(notes):
        name = notes.names[number] if number < len(notes.names) else ""
        instrument = pretty_midi.Instrument(program, is_drum, name)
        columns = (column[rows].tolist() for column in (notes.velocity, notes.pitch, notes.start, notes.end))
        instrument.notes = [pretty_midi.Note(*row) for row in zip(*columns, strict=True)]
        instrument.control_changes = list(pedals.get(number, []))
        midi.instruments.append(instrument)
    return midi


def from_pretty_midi(midi: "pretty_midi.PrettyMIDI") -> Notes:
    """The notes of a PrettyMIDI; its instruments keep their numbers. Raises ValueError where a value is not MIDI's."""
    return _notes(
        [
            (note.start, note.end, note.pitch, note.velocity, instrument.program, instrument.is_drum, number)
            for number, instrument in enumerate(midi.instruments)
            for note in instrument.notes
        ],
        tempos=list(zip(*midi.get_tempo_changes(), strict=True)),
        metres=[(metre.time, metre.numerator, metre.denominator) for metre in midi.time_signature_changes],
        pedals=sorted(
            (
                (change.time, change.value >= 64, number)
                for number, instrument in enumerate(midi.instruments)
                for change in instrument.control_changes
                if change.number == SUSTAIN
            ),
            key=lambda change: change[0],
        ),
        names={number: instrument.name for number, instrument in enumerate(midi.instruments)},
    )


def _notes(
    rows: list[tuple[Any, ...]],
    tempos: list[tuple[float, float]],
    metres: list[tuple[float, int, int]],
    pedals: list[tuple[float, bool, int]],
    names: dict[int, str],
) -> Notes:
    start, end, pitch, velocity, program, is_drum, instrument = _columns(rows, 7)
    tempo_time, tempo_qpm = _columns(tempos, 2)
    metre_time, numerator, denominator = _columns(metres, 3)
    pedal_time, pedal_down, pedal_instrument = _columns(pedals, 3)
    last = int(max(instrument.max(initial=-1), pedal_instrument.max(initial=-1)))
    return Notes(
        start=start,
        end=end,
        pitch=pitch,
        velocity=velocity,
        program=program,
        is_drum=is_drum != 0,
        instrument=instrument,
        tempo_time=tempo_time,
        tempo_qpm=tempo_qpm,
        metre_time=metre_time,
        metre=np.column_stack([numerator, denominator]),
        pedal_time=pedal_time,
        pedal_down=pedal_down != 0,
        pedal_instrument=pedal_instrument,
        names=tuple(names.get(number, "") for number in range(last + 1)),
    )


def _columns(rows: Iterable[tuple[Any, ...]], count: int) -> NDArray:
    return np.array(list(rows), np.float64).reshape(-1, count).T


def _tempos(notes: Notes) -> list[tuple[float, float]]:
    """Seconds and quarters a minute, in order, with one at 0."""
    tempos = sorted(zip(notes.tempo_time.tolist(), notes.tempo_qpm.tolist(), strict=True), key=lambda tempo: tempo[0])
    return tempos if tempos and tempos[0][0] == 0 else [(0.0, DEFAULT_QPM), *tempos]


def _groups(notes: Notes) -> Iterator[tuple[tuple[int, int, bool], NDArray[np.int64]]]:
    """Instrument, program and whether it is drums, with the rows of its notes in order."""
    keys = np.column_stack([notes.instrument, notes.program, notes.is_drum]).astype(np.int64)
    groups, group = np.unique(keys, axis=0, return_inverse=True)
    for number, (instrument, program, is_drum) in enumerate(groups.tolist()):
        yield (instrument, program, bool(is_drum)), np.flatnonzero(group == number)


def _pedals(notes: Notes) -> Iterator[tuple[float, bool, int]]:
    columns = notes.pedal_time, notes.pedal_down, notes.pedal_instrument
    return zip(*(column.tolist() for column in columns), strict=True)
