"""Melodies: those of note_seq on real files and on notes by chance, and where the original loses some of them."""

import numpy as np
import pytest
from grids import original_melodies, quantised_parts, score_of
from hypothesis import given, settings
from hypothesis import strategies as st
from note_seq.melodies_lib import Melody
from note_seq.melody_encoder_decoder import MelodyOneHotEncoding

from magenta_lite.music import bars, melodies, midi, midi_writing
from magenta_lite.music.conversions import from_note_sequence

ENCODING = MelodyOneHotEncoding(21, 109)
SEEDS = st.integers(0, 2**31)


def encoded(found):
    """Of (instrument, start, Melody's events), start and events in our numbers."""
    return [(start, [ENCODING.encode_event(event) for event in events]) for _, start, events in found]


def ours(section, **options):
    found = melodies.extract(section, **options)
    assert all(melody.events.dtype == np.uint8 for melody in found)
    assert all(melody.start % section.steps_per_bar == 0 for melody in found)
    return [(melody.start, melody.events.tolist()) for melody in found]


def decoded(events):
    return [ENCODING.decode_event(int(event)) for event in events]


def random_score(seed, ticks_per_quarter=24, count=40):
    """Notes of few pitches, some beyond the piano's, of three instruments of which one is drums; silences of bars."""
    rng = np.random.default_rng(seed)
    notes = []
    for instrument, (program, is_drum) in enumerate([(0, 0), (33, 0), (0, 1)]):
        start = rng.integers(0, 12 * 96, count) + 96 * rng.integers(0, 6) * (rng.random(count) < 0.3)
        end = start + rng.integers(1, rng.choice([8, 60, 200]), count)
        pitch = rng.choice([20, 21, 60, 61, 62, 108, 109], count)
        notes += [(*note, program, is_drum, instrument) for note in np.column_stack([start, end, pitch]).tolist()]
    return score_of(notes, metre=[(0, *[(4, 4), (3, 4), (6, 8)][seed % 3])], ticks_per_quarter=ticks_per_quarter)


def test_events_are_the_original_s():
    assert ENCODING.num_classes == melodies.CLASSES == 90
    assert decoded([melodies.NO_EVENT, melodies.NOTE_OFF, melodies.FIRST_NOTE, 89]) == [-2, -1, 21, 108]


@pytest.mark.parametrize(
    ("archive", "step", "containing"),
    [
        ("nottingham-midi.zip", 70, ""),
        ("nottingham-midi.zip", 6, "IDI/xmas"),
        ("pop909.zip", 150, ""),
        ("maestro-v3.0.0-midi.zip", 1200, ""),
        ("note-seq-testdata.zip", 1, ""),
    ],
)
def test_melodies_of_real_files_are_those_of_note_seq(members, archive, step, containing):
    compared = 0
    for content in members(archive, step=step, containing=containing).values():
        score = midi.parse(content)
        for section, quantised in zip(bars.sections(score), quantised_parts(score), strict=True):
            assert ours(section) == encoded(original_melodies(quantised))
            compared += 1
    assert compared >= 2


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from([1, 1.5, 2, 4, float("inf")]), st.sampled_from([None, (0,), range(32, 40), ()]))
def test_melodies_of_notes_by_chance_are_those_of_note_seq(seed, gap_bars, programs):
    score = random_score(seed)
    (section,), (quantised,) = bars.sections(score), quantised_parts(score)
    expected = original_melodies(quantised, programs=programs, gap_bars=gap_bars)
    assert ours(section, programs=programs, gap_bars=gap_bars) == encoded(expected)
    for instrument in range(4):
        one = [melody for melody in expected if melody[0] == instrument]
        assert ours(section, programs=programs, gap_bars=gap_bars, instrument=instrument) == encoded(one)


def test_a_melody_is_whole_bars():
    score = score_of([(480, 600, 60), (720, 1920, 62), (720, 840, 61), (960, 1080, 64), (3840, 3960, 65)])
    first, second = melodies.extract(bars.sections(score)[0])
    assert (first.start, second.start) == (0, 32)
    assert first.events.tolist() == [0, 0, 0, 0, 41, 1, 43, 0, 45, 1, 0, 0, 0, 0, 0, 0]
    assert second.events.tolist() == [46, 1, *[0] * 14]


def test_a_gap_begins_where_the_last_note_ends():
    notes = [(0, 240, 60), (240 + 1920, 2400, 62)]
    assert [melody.start for melody in melodies.extract(bars.sections(score_of(notes))[0])] == [0, 16]
    notes[0] = (0, 360, 60)
    (melody,) = melodies.extract(bars.sections(score_of(notes))[0])
    assert len(melody.events) == 32 and melody.events[3] == melodies.NOTE_OFF


@pytest.mark.parametrize("gap_bars", [0, 0.5, -1, float("nan")])
def test_gaps_of_less_than_a_bar_are_refused(gap_bars):
    with pytest.raises(ValueError, match="expected at least 1"):
        melodies.extract(bars.sections(score_of([(0, 480, 60)]))[0], gap_bars=gap_bars)


def test_nothing_is_cut_at_a_hundred_bars():
    notes = [(480 * beat, 480 * beat + 480, 60 + beat % 12) for beat in range(4 * 150)]
    (melody,) = melodies.extract(bars.sections(score_of(notes))[0])
    assert len(melody.events) == 150 * 16
    assert np.count_nonzero(melody.events) == len(notes)


def test_a_melody_goes_on_where_the_tempo_changes():
    """The original makes two of it, and a bar line where there is none."""
    notes = [(480 * beat, 480 * beat + 480, 60 + beat) for beat in range(12)]
    (melody,) = melodies.extract(bars.sections(score_of(notes, tempo=[(0, 500_000), (1440, 400_000)]))[0])
    assert melody.events[::4].tolist() == list(range(41, 53))


def test_other_metres_are_kept():
    score = score_of([(0, 480, 60), (480, 720, 62), (1440, 2160, 64)], metre=[(0, 3, 4)])
    (melody,) = melodies.extract(bars.sections(score)[0])
    assert melody.events.tolist() == [41, 0, 0, 0, 43, 0, 1, 0, 0, 0, 0, 0, 45, 0, 0, 0, 0, 0, 1, *[0] * 5]


def test_drums_and_what_a_piano_has_not_are_no_melody():
    (section,) = bars.sections(score_of([(0, 480, 20), (0, 480, 109), (480, 960, 60, 0, 1, 1)]))
    assert melodies.extract(section) == []


@settings(max_examples=150, deadline=None)
@given(SEEDS)
def test_windows_are_slices_of_note_seq_s_melody(seed):
    rng = np.random.default_rng(seed)
    events = (rng.integers(0, 90, 64) * (rng.random(64) < 0.2) + (rng.random(64) < 0.2)).clip(0, 89).astype(np.uint8)
    start = int(rng.integers(0, 65))
    length = int(rng.integers(0, 65 - start))
    before = events.copy()
    part = melodies.window(events, start, length)
    whole = Melody(decoded(events))
    assert decoded(part) == list(whole[start : start + length])
    part[:] = 7
    np.testing.assert_array_equal(events, before)


@pytest.mark.parametrize(("start", "length"), [(-1, 4), (0, 9), (8, 1), (0, -1)])
def test_windows_are_within_the_melody(start, length):
    with pytest.raises(ValueError, match="of a melody of 8"):
        melodies.window(np.zeros(8, np.uint8), start, length)


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.floats(40, 240), st.sampled_from([4, 8, 24]))
def test_notes_are_those_of_note_seq(seed, qpm, steps_per_quarter):
    rng = np.random.default_rng(seed)
    events = rng.choice([0, 0, 0, 1, 2, 41, 42, 89], 48)
    melody = Melody(decoded(events), steps_per_quarter=steps_per_quarter)
    # note_seq drops a note-off before the first note, which means nothing.
    expected = from_note_sequence(melody.to_sequence(velocity=70, instrument=3, program=5, qpm=qpm))
    notes = melodies.to_notes(
        events, qpm=qpm, program=5, velocity=70, steps_per_quarter=steps_per_quarter, instrument=3
    )
    for name in ("start", "end"):
        np.testing.assert_allclose(getattr(notes, name), getattr(expected, name), rtol=1e-12)
    for name in ("pitch", "velocity", "program", "is_drum", "instrument"):
        np.testing.assert_array_equal(getattr(notes, name), getattr(expected, name), err_msg=name)
    assert notes.tempo_qpm.tolist() == [qpm]


def test_melodies_are_the_same_after_a_midi_file(members):
    compared = 0
    for content in members("nottingham-midi.zip", step=100).values():
        for section in bars.sections(midi.parse(content)):
            for melody in melodies.extract(section):
                notes = melodies.to_notes(melody.events, qpm=section.qpm, program=7)
                notes = notes.replace(metre_time=[0.0], metre=[section.metre])
                (back,) = bars.sections(midi.parse(midi_writing.to_bytes(notes)))
                assert (back.program == 7).all() and (back.velocity == 80).all()
                assert ours(back) == [(0, melody.events.tolist())]
                compared += 1
    assert compared > 20


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"events": np.array([0, 90])}, "events from 0 to 90: expected 0 to 89"),
        ({"events": np.array([-1])}, "expected 0 to 89"),
        ({"qpm": 0}, "0 quarters a minute"),
        ({"steps_per_quarter": 0}, "0 steps in each"),
        ({"velocity": 0}, r"velocity\[0\] is 0"),
    ],
)
def test_notes_that_cannot_be_are_refused(change, reason):
    with pytest.raises(ValueError, match=reason):
        melodies.to_notes(**{"events": np.array([41]), "qpm": 120, **change})


def test_no_events_are_no_notes():
    assert len(melodies.to_notes(np.zeros(0, np.uint8), qpm=120)) == 0
    assert len(melodies.to_notes(np.array([0, 1, 0]), qpm=120)) == 0
