"""Notes: columns in order and in range, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from magenta_lite.music.notes import Notes

TIMES = st.floats(0, 1e4)


@given(st.lists(st.tuples(TIMES, TIMES, st.integers(0, 127), st.integers(1, 127))))
def test_notes_are_sorted_by_start_and_pitch(rows):
    start, length, pitch, velocity = zip(*rows, strict=True) if rows else ([],) * 4
    notes = Notes(start, np.add(start, length), pitch, velocity)
    found = list(zip(notes.start.tolist(), notes.pitch.tolist(), notes.velocity.tolist(), strict=True))
    expected = sorted(zip(start, pitch, velocity, strict=True), key=lambda row: row[:2])
    assert found == expected
    assert notes.duration == max(notes.end, default=0)


def test_one_number_stands_for_all():
    notes = Notes([0, 1], [1, 2], [60, 62], 64, program=3, is_drum=True)
    assert notes.velocity.tolist() == [64, 64] and notes.program.tolist() == [3, 3] and notes.is_drum.all()
    assert {notes.pitch.dtype, notes.velocity.dtype, notes.instrument.dtype} == {np.dtype(np.int16)}
    assert len(notes.tempo_time) == len(notes.metre) == len(notes.pedal_time) == 0


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        (dict(pitch=[128]), r"pitch\[0\] is 128: expected 0 to 127"),
        (dict(pitch=[60.5]), "pitch holds fractions"),
        (dict(pitch=[70000]), "pitch holds 70000"),
        (dict(velocity=[0]), r"velocity\[0\] is 0: expected 1 to 127"),
        (dict(program=[-1]), "program"),
        (dict(start=[-1]), "start"),
        (dict(end=[np.inf]), "end"),
        (dict(start=[np.nan]), "start"),
        (dict(start=[2]), "note 0 ends at 1.0 s, before it starts"),
        (dict(pitch=[60, 61]), r"pitch has the shape \(2,\), start has 1 notes"),
        (dict(tempo_time=[0]), "tempo_qpm has 0 rows, tempo_time has 1"),
        (dict(tempo_time=[0], tempo_qpm=[0]), "tempo_qpm"),
        (dict(pedal_time=[0], pedal_down=[True]), "pedal_instrument has 0 rows"),
    ],
)
def test_what_is_refused(columns, reason):
    with pytest.raises(ValueError, match=reason):
        Notes(**{"start": [0], "end": [1], "pitch": [60], "velocity": [64], **columns})


def test_select_and_replace_keep_the_maps():
    notes = Notes([0, 1], [1, 2], [60, 62], 64, tempo_time=[0], tempo_qpm=[90])
    part = notes.select(notes.pitch > 60)
    assert part.pitch.tolist() == [62] and part.tempo_qpm.tolist() == [90]
    assert notes.replace(velocity=9).velocity.tolist() == [9, 9]
