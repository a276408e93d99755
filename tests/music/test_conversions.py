"""Notes as others hold them: equal to what note_seq and pretty_midi read, field by field, and back again."""

import io
import subprocess
import sys

import numpy as np
import pretty_midi
import pytest
from note_seq import midi_io
from note_seq.protobuf import music_pb2
from pieces import ALL, columns, random_notes

from magenta_lite.music import midi
from magenta_lite.music.conversions import from_note_sequence, from_pretty_midi, to_note_sequence, to_pretty_midi
from magenta_lite.music.notes import Notes

MAPS = ("tempo_time", "tempo_qpm", "metre_time", "metre", "pedal_time", "pedal_down", "pedal_instrument")


@pytest.fixture(scope="module")
def contents(members):
    return [
        *members("maestro-v3.0.0-midi.zip", step=500).values(),
        *members("groove-v1.0.0-midionly.zip", step=200).values(),
        *members("pop909.zip", step=300).values(),
        *members("note-seq-testdata.zip").values(),
    ]


def fields(messages):
    return sorted(tuple((field.name, value) for field, value in message.ListFields()) for message in messages)


def same(one, other, maps=MAPS):
    np.testing.assert_array_equal(columns(one, *ALL), columns(other, *ALL))
    for name in maps:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.filterwarnings("ignore:Tempo, Key or Time signature change events found on non-zero tracks")
def test_note_seq_reads_the_same(contents):
    for content in contents:
        notes = midi.parse(content).notes()
        ours, theirs = to_note_sequence(notes), midi_io.midi_to_note_sequence(content)
        for name in ("notes", "tempos", "time_signatures", "instrument_infos"):
            assert fields(getattr(ours, name)) == fields(getattr(theirs, name)), name
        assert ours.total_time == theirs.total_time
        same(from_note_sequence(theirs), notes, maps=MAPS[:4])
        same(from_note_sequence(ours), notes)


@pytest.mark.filterwarnings("ignore:Tempo, Key or Time signature change events found on non-zero tracks")
def test_pretty_midi_reads_the_same(contents):
    for content in contents[2:]:
        notes = midi.parse(content).notes()
        same(from_pretty_midi(pretty_midi.PrettyMIDI(io.BytesIO(content))), notes, maps=MAPS[:4])
        back = from_pretty_midi(to_pretty_midi(notes))
        same(back, notes, maps=["metre_time", "metre"])
        np.testing.assert_allclose(back.tempo_qpm, notes.tempo_qpm, rtol=1e-12)
        assert back.names == notes.names


def test_there_and_back():
    notes = random_notes(4).replace(
        metre_time=[0.0], metre=[[3, 4]], tempo_time=[0.0], tempo_qpm=[77.0], names=("A", "")
    )
    same(from_note_sequence(to_note_sequence(notes)), notes)
    assert from_note_sequence(to_note_sequence(notes)).names == ("A", "")
    same(from_pretty_midi(to_pretty_midi(notes)), notes)
    for empty in (from_note_sequence(music_pb2.NoteSequence()), from_pretty_midi(pretty_midi.PrettyMIDI())):
        assert len(empty) == 0
    assert len(from_note_sequence(to_note_sequence(Notes([], [], [], [])))) == 0


def test_what_is_no_midi_is_refused():
    sequence = music_pb2.NoteSequence()
    sequence.notes.add(pitch=60, velocity=0, end_time=1)
    with pytest.raises(ValueError, match="velocity"):
        from_note_sequence(sequence)
    sequence.quantization_info.steps_per_quarter = 4
    with pytest.raises(ValueError, match="quantised"):
        from_note_sequence(sequence)


def test_neither_library_is_imported_before_it_is_needed():
    program = "import sys, magenta_lite.music.conversions; print({'note_seq', 'pretty_midi'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
