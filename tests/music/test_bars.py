"""Sections: the steps note_seq gives on real files, and where we differ from it on purpose."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from grids import quantised_parts, score_of
from hypothesis import given, settings
from hypothesis import strategies as st
from note_seq import midi_io, sequences_lib
from pieces import file_of, off, on, track_of

from magenta_lite.errors import Rejected
from magenta_lite.music import bars, midi

COLUMNS = ("start", "end", "pitch", "velocity", "program", "is_drum", "instrument")


def rows(columns):
    table = np.column_stack([np.asarray(column, np.int64) for column in columns])
    return table[np.lexsort(table.T)]


def quantised(sequence):
    """Columns as above of note_seq's quantised notes."""
    names = ("quantized_start_step", "quantized_end_step", *COLUMNS[2:])
    return rows([[getattr(note, name) for note in sequence.notes] for name in names])


ARCHIVES = [
    ("nottingham-midi.zip", 150),
    ("pop909.zip", 100),
    ("groove-v1.0.0-midionly.zip", 100),
    ("note-seq-testdata.zip", 1),
]


@pytest.mark.parametrize(
    ("archive", "step", "containing"), [(*one, "") for one in ARCHIVES] + [("nottingham-midi.zip", 2, "IDI/xmas")]
)
def test_sections_of_real_files_are_those_of_note_seq(members, archive, step, containing):
    """Tempos aside, and where no note is nearest to the first step of another metre."""
    compared = 0
    for content in members(archive, step=step, containing=containing).values():
        score = midi.parse(content)
        sections = bars.sections(score)
        if any((section.offset[section.start == 0] < 0).any() for section in sections[1:]):
            continue
        for section, expected in zip(sections, quantised_parts(score), strict=True):
            np.testing.assert_array_equal(rows([getattr(section, name) for name in COLUMNS]), quantised(expected))
            assert section.steps_per_bar == sequences_lib.steps_per_bar_in_quantized_sequence(expected)
            assert section.steps >= section.end.max() and section.start.max() < section.steps
        assert sections[-1].steps == sections[-1].end.max()
        compared += 1
    assert compared >= 5


@pytest.mark.filterwarnings("ignore:Tempo, Key or Time signature change events found on non-zero tracks")
@pytest.mark.parametrize(("archive", "step"), ARCHIVES)
def test_steps_are_those_of_note_seq_in_seconds(members, archive, step):
    """But for exact halves, which seconds may miss by a rounding error of theirs."""
    compared = 0
    for content in members(archive, step=step).values():
        sequence = midi_io.midi_to_note_sequence(content)
        try:
            expected = sequences_lib.quantize_note_sequence(sequence, 4)
        except (sequences_lib.MultipleTempoError, sequences_lib.MultipleTimeSignatureError):
            continue
        score = midi.parse(content)
        (section,) = bars.sections(score)
        theirs = [
            (n.instrument, n.pitch, n.start_time, n.quantized_start_step, n.quantized_end_step) for n in expected.notes
        ]
        order = np.lexsort((score.start, score.pitch, score.instrument))
        ticks = 8 * np.column_stack([score.start, score.end])[order]
        halves = (ticks % (2 * score.ticks_per_quarter) == score.ticks_per_quarter).any(axis=1)
        assert halves.mean() < 0.1
        ours = np.column_stack([section.start, section.end])[order]
        np.testing.assert_array_equal(ours[~halves], np.array(sorted(theirs))[~halves, 3:])
        assert section.qpm == pytest.approx(expected.tempos[0].qpm, rel=1e-12)
        compared += 1
    assert compared >= 5


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([1, 7, 96, 480, 1024]), st.sampled_from([1, 3, 4, 12]))
def test_steps_are_the_nearest_in_fractions(seed, ticks_per_quarter, steps_per_quarter):
    rng = np.random.default_rng(seed)
    start = rng.integers(0, 20 * ticks_per_quarter, 30)
    end = start + rng.integers(1, 4 * ticks_per_quarter, 30)
    score = score_of(np.column_stack([start, end, np.full(30, 60)]).tolist(), ticks_per_quarter=ticks_per_quarter)
    (section,) = bars.sections(score, steps_per_quarter)
    for column, ticks in ((section.start, score.start), (section.end, score.end)):
        exact = [Fraction(int(tick) * steps_per_quarter, ticks_per_quarter) for tick in ticks]
        nearest = np.array([int(step + Fraction(1, 2)) for step in exact])
        if column is section.start:
            np.testing.assert_allclose(section.offset, [float(a - int(b)) for a, b in zip(exact, nearest, strict=True)])
        else:
            nearest = np.maximum(nearest, section.start + 1)
        np.testing.assert_array_equal(column, nearest)


def test_a_half_goes_up_and_no_note_has_no_steps():
    (section,) = bars.sections(score_of([(0, 10, 60), (60, 70, 60), (179, 300, 60)]))
    assert (section.start.tolist(), section.end.tolist()) == ([0, 1, 1], [1, 2, 3])
    np.testing.assert_allclose(section.offset, [0, -0.5, 179 / 120 - 1])
    assert (section.steps, section.steps_per_bar, section.metre, section.qpm) == (3, 16, (4, 4), 120)


def test_where_the_tempo_changes_nothing_ends():
    """The original makes two pieces of it, of which the second has its bar lines elsewhere."""
    notes, tempo = [(0, 480, 60), (480, 1440, 62), (1440, 1920, 64)], [(0, 500_000), (960, 250_000)]
    (section,) = bars.sections(score_of(notes, tempo=tempo))
    assert (section.start.tolist(), section.end.tolist()) == ([0, 4, 12], [4, 12, 16])
    assert section.qpm == 120
    content = file_of(
        track_of((0, b"\xff\x51\x03\x07\xa1\x20"), (960, b"\xff\x51\x03\x03\xd0\x90")),
        track_of((0, on(60)), (480, off(60)), (0, on(62)), (960, off(62)), (0, on(64)), (480, off(64))),
    )
    (section,) = bars.sections(midi.parse(content))
    assert section.end.tolist() == [4, 12, 16]
    first, second = sequences_lib.split_note_sequence_on_time_changes(midi_io.midi_to_note_sequence(content))
    assert [note.pitch for note in first.notes] == [60, 62]
    assert first.notes[1].end_time == 1.0  # cut
    assert second.notes[0].start_time == 0.25


def test_a_metre_begins_a_section_and_ends_the_notes_of_the_one_before():
    notes = [(0, 480, 60), (1440, 2880, 62), (1920, 2400, 64)]
    metre, tempo = [(0, 4, 4), (1920, 3, 4), (1920, 3, 4), (9999, 4, 4)], [(0, 500_000), (1920, 1_000_000)]
    first, second = bars.sections(score_of(notes, metre, tempo))
    assert (first.start.tolist(), first.end.tolist(), first.steps, first.tick) == ([0, 12], [4, 16], 16, 0)
    assert (second.start.tolist(), second.end.tolist(), second.steps_per_bar) == ([0], [4], 12)
    assert (second.tick, second.qpm, second.metre, len(second)) == (1920, 60, (3, 4), 1)


def test_a_downbeat_played_early_belongs_to_the_bar_it_begins():
    """The original leaves it to the section before, of which it makes a bar more."""
    first, second = bars.sections(score_of([(0, 480, 60), (1890, 2400, 62)], [(1920, 3, 4)]))
    assert (first.start.tolist(), first.steps) == ([0], 16)
    assert (second.start.tolist(), second.end.tolist(), second.offset.tolist()) == ([0], [4], [-0.25])


def test_a_metre_may_change_between_steps():
    first, second = bars.sections(score_of([(0, 40, 60), (1795, 1900, 62), (1830, 2500, 64)], [(1870, 3, 4)]))
    assert (first.start.tolist(), first.end.tolist(), first.steps) == ([0, 15], [1, 16], 16)
    assert (second.start.tolist(), second.offset.tolist()) == ([0], [(1830 - 1870) / 120])


@pytest.mark.parametrize(
    ("metre", "expected"),
    [
        ([], [(4, 4)]),
        ([(0, 3, 4)], [(3, 4)]),
        ([(480, 3, 4)], [(4, 4), (3, 4)]),
        ([(0, 4, 4), (0, 1, 4)], [(1, 4)]),
        ([(480, 3, 4), (0, 6, 8)], [(6, 8), (3, 4)]),
        ([(480, 4, 4), (960, 4, 4)], [(4, 4)]),
        ([(480, 3, 4), (480, 4, 4)], [(4, 4)]),
        ([(100, 3, 4), (240, 4, 4)], [(4, 4), (4, 4)]),
    ],
)
def test_metres(metre, expected):
    parts = bars.sections(score_of([(0, 480, 60), (960, 1440, 62)], metre))
    assert [part.metre for part in parts] == expected
    assert all(part.steps_per_bar == 16 * part.metre[0] // part.metre[1] for part in parts)


def test_what_has_no_grid_is_rejected():
    notes = [(0, 480, 60), (1920, 2400, 62), (3840, 4000, 64)]
    parts = bars.split(score_of(notes, [(0, 4, 4), (1920, 7, 32), (3840, 4, 4)]))
    assert parts[1] == Rejected("in 7/32, whose bars are not whole steps")
    assert [part.tick for part in bars.sections(score_of(notes, [(1920, 7, 32), (3840, 4, 4)]))] == [0, 3840]
    assert bars.sections(score_of(notes, [(0, 7, 32)]), steps_per_quarter=8)[0].steps_per_bar == 7
    assert bars.split(score_of([(0, 2**28 - 1, 60)])) == [Rejected("more than 1048576 steps in one metre")]
    assert bars.split(score_of([])) == []


def test_sections_are_not_compared_by_their_arrays():
    section = bars.sections(score_of([(0, 480, 60)]))[0]
    assert section != dataclasses.replace(section)
