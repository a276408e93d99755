"""Transforms: what note_seq makes of the same notes, exactly, on real performances and on notes by chance."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from note_seq import midi_io, sequences_lib
from pieces import ALL, columns, random_notes, rows_of

from magenta_lite.music import midi
from magenta_lite.music.conversions import from_note_sequence, to_note_sequence
from magenta_lite.music.notes import Notes
from magenta_lite.music.transforms import quantise, quantise_to_quarters, slice_, stretch, sustain, transpose

REFUSED = (
    sequences_lib.MultipleTempoError,
    sequences_lib.MultipleTimeSignatureError,
    sequences_lib.BadTimeSignatureError,
)
SEEDS = st.integers(0, 2**31)


@pytest.fixture(scope="module")
def performances(members):
    """MAESTRO's: contents, of 2004 one in which the pedal goes up and down in one tick."""
    contents = list(members("maestro-v3.0.0-midi.zip", step=300).values())
    return contents + list(members("maestro-v3.0.0-midi.zip", containing="XP_16_R2_2004_01_ORIG").values())[:1]


def steps(sequence):
    rows = [(n.quantized_start_step, n.quantized_end_step, n.pitch, n.instrument) for n in sequence.notes]
    rows = np.array(rows, np.int64).reshape(-1, 4)
    return rows[np.lexsort(rows.T)]


def our_steps(notes, start, end):
    rows = np.column_stack([start, end, notes.pitch, notes.instrument]).astype(np.int64)
    return rows[np.lexsort(rows.T)]


def test_sustain_and_steps_of_whole_performances(performances):
    for content in performances:
        sequence = sequences_lib.apply_sustain_control_changes(midi_io.midi_to_note_sequence(content))
        notes = sustain(midi.parse(content).notes())
        np.testing.assert_array_equal(columns(notes, *ALL), rows_of(sequence))
        assert len(notes.pedal_time) == len(notes.pedal_down) == len(notes.pedal_instrument) == 0
        quantised = sequences_lib.quantize_note_sequence_absolute(sequence, 100)
        np.testing.assert_array_equal(our_steps(notes, *quantise(notes, 100)), steps(quantised))


@settings(max_examples=200, deadline=None)
@given(SEEDS)
def test_sustain_where_much_happens_at_once(seed):
    notes = random_notes(seed)
    drums = notes.replace(is_drum=notes.pitch == 60)
    sequence = to_note_sequence(drums)
    expected = sequences_lib.apply_sustain_control_changes(sequence)
    np.testing.assert_array_equal(columns(sustain(drums), *ALL), rows_of(expected))


def test_sustain_takes_milliseconds():
    notes = random_notes(1, count=7000, instruments=1, pitches=60, seconds=700.0)
    pedal = np.arange(0, 700, 0.1)
    notes = notes.replace(
        pedal_time=pedal, pedal_down=np.arange(len(pedal)) % 2 == 0, pedal_instrument=np.zeros(len(pedal))
    )
    taken = []
    for _ in range(5):
        begun = time.perf_counter()
        sustain(notes)
        taken.append(time.perf_counter() - begun)
    assert min(taken) < 0.02  # 2.3 ms when nothing else runs


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.sampled_from([1, 3, 31, 100]))
def test_steps_a_second(seed, steps_per_second):
    notes = random_notes(seed)
    expected = sequences_lib.quantize_note_sequence_absolute(to_note_sequence(notes), steps_per_second)
    start, end = quantise(notes, steps_per_second)
    assert start.dtype == end.dtype == np.int64
    np.testing.assert_array_equal(our_steps(notes, start, end), steps(expected))


def test_a_half_goes_up_and_no_note_has_no_steps():
    start, end = quantise(Notes([0, 0.5, 1.25], [0, 0.74, 2.5], [1, 2, 3], 64), 2)
    assert (start.tolist(), end.tolist()) == ([0, 1, 3], [1, 2, 5])


@pytest.mark.filterwarnings("ignore:Tempo, Key or Time signature change events found on non-zero tracks")
def test_steps_a_quarter_of_tunes(members):
    for content in members("nottingham-midi.zip", step=300).values():
        notes, sequence = midi.parse(content).notes(), midi_io.midi_to_note_sequence(content)
        try:
            expected = sequences_lib.quantize_note_sequence(sequence, 4)
        except REFUSED:
            with pytest.raises(ValueError, match="changes from"):
                quantise_to_quarters(notes, 4)
            continue
        np.testing.assert_array_equal(our_steps(notes, *quantise_to_quarters(notes, 4)), steps(expected))


@pytest.mark.parametrize(
    ("maps", "reason"),
    [
        ({"tempo_time": [0, 2], "tempo_qpm": [120, 90]}, "the tempo changes from 120 to 90 quarters a minute"),
        ({"tempo_time": [2], "tempo_qpm": [90]}, "the tempo changes from 120 to 90"),
        ({"metre_time": [0, 2], "metre": [[4, 4], [3, 4]]}, "the metre changes from 4/4 to 3/4"),
        ({"metre_time": [2], "metre": [[3, 4]]}, "the metre changes from 4/4 to 3/4"),
        ({"metre_time": [0], "metre": [[4, 6]]}, "the metre is 4/6"),
        ({"tempo_time": [2, 3], "tempo_qpm": [120, 120]}, None),
        ({"metre_time": [0, 2], "metre": [[3, 4], [3, 4]]}, None),
    ],
)
def test_steps_a_quarter_need_one_tempo_and_metre(maps, reason):
    notes = Notes([0], [1], [60], 64, **maps)
    if reason:
        with pytest.raises(ValueError, match=reason):
            quantise_to_quarters(notes, 4)
        with pytest.raises(REFUSED):
            sequences_lib.quantize_note_sequence(to_note_sequence(notes), 4)
    else:
        np.testing.assert_array_equal(quantise_to_quarters(notes, 4), [[0], [8]])


@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf])
def test_steps_and_factors_above_zero(value):
    notes = random_notes(0)
    with pytest.raises(ValueError, match="above 0"):
        quantise(notes, value)
    with pytest.raises(ValueError, match="above 0"):
        stretch(notes, value)


def test_transpose_leaves_drums(performances):
    notes = midi.parse(performances[0]).notes()
    notes = notes.replace(is_drum=np.arange(len(notes)) % 7 == 0)
    expected, gone = sequences_lib.transpose_note_sequence(to_note_sequence(notes), 60)
    assert gone
    np.testing.assert_array_equal(columns(transpose(notes, 60, drop=True), *ALL), rows_of(expected))
    with pytest.raises(ValueError, match=rf"^{gone} of {len(notes)} notes would leave the pitches 0 to 127"):
        transpose(notes, 60)
    np.testing.assert_array_equal(transpose(transpose(notes, 3), -3).pitch, notes.pitch)


@given(SEEDS, st.integers(-200, 200))
@settings(deadline=None)
def test_what_is_transposed_and_kept_is_in_range(seed, semitones):
    notes = random_notes(seed)
    inside = (notes.pitch + semitones >= 0) & (notes.pitch + semitones < 128)
    np.testing.assert_array_equal(transpose(notes, semitones, drop=True).pitch, notes.pitch[inside] + semitones)


def test_stretch_as_note_seq(performances):
    notes = midi.parse(performances[1]).notes()
    expected = sequences_lib.stretch_note_sequence(to_note_sequence(notes), 1.05)
    stretched = stretch(notes, 1.05)
    np.testing.assert_array_equal(columns(stretched, *ALL), rows_of(expected))
    other = from_note_sequence(expected)
    for name in ("tempo_time", "tempo_qpm", "metre_time", "pedal_time", "pedal_down"):
        np.testing.assert_array_equal(getattr(stretched, name), getattr(other, name))
    assert stretch(notes, 1) is notes


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.floats(0, 3), st.floats(0, 4))
def test_slices_as_note_seq(seed, start, length):
    notes = random_notes(seed).replace(
        tempo_time=[0, 1, 2.5], tempo_qpm=[100, 120, 90], metre_time=[0, 2], metre=[[4, 4], [3, 4]]
    )
    expected = sequences_lib.extract_subsequence(to_note_sequence(notes), start, start + length)
    part = slice_(notes, start, start + length)
    np.testing.assert_array_equal(columns(part, *ALL), rows_of(expected))
    other = from_note_sequence(expected)
    for names in (("tempo_time", "tempo_qpm"), ("metre_time",), ("pedal_time", "pedal_down", "pedal_instrument")):
        np.testing.assert_array_equal(columns(part, *names), columns(other, *names))


def test_a_slice_goes_on_from_the_state_before():
    notes = Notes(
        [0, 1, 2, 3],
        [5, 5, 2.5, 4],
        [60, 61, 62, 63],
        64,
        tempo_time=[0, 1],
        tempo_qpm=[100, 50],
        pedal_time=[0.5, 2.5],
        pedal_down=[True, False],
        pedal_instrument=[0, 0],
    )
    part = slice_(notes, 1, 3)
    assert (part.start.tolist(), part.end.tolist(), part.pitch.tolist()) == ([0, 1], [2, 1.5], [61, 62])
    assert (part.tempo_time.tolist(), part.tempo_qpm.tolist()) == ([0], [50])
    assert (part.pedal_time.tolist(), part.pedal_down.tolist()) == ([0, 1.5], [True, False])
    with pytest.raises(ValueError, match="0 <= start <= end"):
        slice_(notes, 2, 1)


@pytest.mark.parametrize(
    "change", [sustain, lambda n: transpose(n, 2), lambda n: stretch(n, 2), lambda n: slice_(n, 0, 1)]
)
def test_nothing_is_changed_in_place_and_no_notes_are_no_trouble(change):
    notes = random_notes(3)
    before = {name: getattr(notes, name).copy() for name in (*ALL, "pedal_time", "pedal_down", "tempo_time")}
    change(notes)
    for name, column in before.items():
        np.testing.assert_array_equal(getattr(notes, name), column)
    assert len(change(Notes([], [], [], []))) == 0
