"""Drum tracks: those of note_seq on real files and on hits by chance, and where the original loses some of them."""

import numpy as np
import pytest
from grids import original_drums, quantised_parts, score_of
from hypothesis import given, settings
from hypothesis import strategies as st
from note_seq.drums_encoder_decoder import DEFAULT_DRUM_TYPE_PITCHES, MultiDrumOneHotEncoding
from note_seq.drums_lib import DrumTrack

from magenta_lite.music import bars, drums, midi, midi_writing
from magenta_lite.music.conversions import from_note_sequence

KNOWN = [pitch for pitches in DEFAULT_DRUM_TYPE_PITCHES for pitch in pitches]
SEEDS = st.integers(0, 2**31)


def sets(masks, pitches=drums.ALL):
    """Bits as sets of pitches."""
    return [frozenset(pitch for bit, pitch in enumerate(pitches) if int(mask) >> bit & 1) for mask in masks]


def original(quantised, **options):
    """As the original's, with what an open or closed hi-hat is taken for."""
    found = original_drums(quantised, KNOWN, **options)
    return [
        (start, [frozenset(drums.ROLAND.get(pitch, pitch) for pitch in event) for event in events])
        for start, events in found
    ]


def ours(section, **options):
    found = drums.extract(section, **options)
    assert all(track.masks.dtype == np.uint64 for track in found)
    return [(track.start, sets(track.masks)) for track in found]


def random_score(seed, count=50):
    """Hits of drums of two instruments and of a piano, with silences of bars; some of pitches that are no drum."""
    rng = np.random.default_rng(seed)
    start = rng.integers(0, 8 * 96, count) + 96 * rng.integers(0, 8) * (rng.random(count) < 0.4)
    pitch = rng.choice([22, 35, 36, 38, 42, 46, 51, 0, 25, 88, 127], count)
    kind = rng.integers(0, 3, count)
    rows = np.column_stack([start, start + rng.integers(1, 30, count), pitch, 0 * kind, kind > 0, kind])
    return score_of(rows.tolist(), metre=[(0, *[(4, 4), (3, 4), (6, 8)][seed % 3])], ticks_per_quarter=24)


def test_pitches_are_the_original_s():
    assert [list(pitches) for pitches in drums.PITCHES] == DEFAULT_DRUM_TYPE_PITCHES
    assert len(drums.ALL) == len(set(drums.ALL)) == 61
    assert sorted([*drums.ALL, *drums.ROLAND]) == sorted(KNOWN)


@pytest.mark.parametrize(("archive", "step"), [("groove-v1.0.0-midionly.zip", 80), ("note-seq-testdata.zip", 1)])
def test_tracks_of_real_files_are_those_of_note_seq(members, archive, step):
    compared = 0
    for content in members(archive, step=step).values():
        score = midi.parse(content)
        for section, quantised in zip(bars.sections(score), quantised_parts(score), strict=True):
            expected = original(quantised)
            assert ours(section) == expected
            compared += len(expected)
    assert compared >= 2


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.sampled_from([1, 1.5, 3, float("inf")]))
def test_tracks_of_hits_by_chance_are_those_of_note_seq(seed, gap_bars):
    score = random_score(seed)
    (section,), (quantised,) = bars.sections(score), quantised_parts(score)
    assert ours(section, gap_bars=gap_bars) == original(quantised, gap_bars=gap_bars)
    one = score_of([row for row in zip_rows(score) if row[-1] == 2], score.metre.tolist(), ticks_per_quarter=24)
    expected = [track for part in quantised_parts(one) for track in original(part, gap_bars=gap_bars)]
    assert ours(section, gap_bars=gap_bars, instrument=2) == expected
    assert ours(section, instrument=0) == []


def zip_rows(score):
    names = ("start", "end", "pitch", "program", "is_drum", "instrument")
    return list(zip(*(getattr(score, name).tolist() for name in names), strict=True))


def test_the_edge_of_a_hi_hat_is_kept():
    hits = [(0, 60, 22, 0, 1), (120, 180, 26, 0, 1), (240, 300, 22, 0, 1), (240, 300, 42, 0, 1)]
    (track,) = drums.extract(bars.sections(score_of(hits))[0])
    assert sets(track.masks)[:4] == [{42}, {46}, {42}, set()]
    assert drums.reduced(track.masks)[:4].tolist() == [4, 8, 4, 0]


def test_a_gap_is_counted_behind_the_step_of_a_hit():
    hits = [(0, 60, 36, 0, 1), (17 * 120, 2100, 38, 0, 1)]
    assert [track.start for track in drums.extract(bars.sections(score_of(hits))[0])] == [0, 16]
    hits[1] = (16 * 120, 2000, 38, 0, 1)
    (track,) = drums.extract(bars.sections(score_of(hits))[0])
    assert np.flatnonzero(track.masks).tolist() == [0, 16]


def test_a_track_goes_on_where_the_tempo_changes_and_in_other_metres():
    hits = [(480 * beat, 480 * beat + 60, 36, 0, 1) for beat in range(9)]
    score = score_of(hits, metre=[(0, 3, 4)], tempo=[(0, 500_000), (700, 400_000)])
    (track,) = drums.extract(bars.sections(score)[0])
    assert len(track.masks) == 36
    assert np.flatnonzero(track.masks).tolist() == list(range(0, 36, 4))


@pytest.mark.parametrize("gap_bars", [0, 0.5, float("nan")])
def test_gaps_of_less_than_a_bar_are_refused(gap_bars):
    with pytest.raises(ValueError, match="expected at least 1"):
        drums.extract(bars.sections(score_of([(0, 480, 36, 0, 1)]))[0], gap_bars=gap_bars)


@settings(max_examples=50, deadline=None)
@given(SEEDS)
def test_reduced_sets_are_note_seq_s_classes(seed):
    rng = np.random.default_rng(seed)
    masks = rng.integers(0, 1 << 61, 20, dtype=np.uint64) & rng.integers(0, 1 << 61, 20, dtype=np.uint64)
    masks[::3] = np.uint64(1) << rng.integers(0, 61, len(masks[::3]), dtype=np.uint64)
    masks[0] = 0
    encoding = MultiDrumOneHotEncoding()
    kinds = drums.reduced(masks)
    assert kinds.dtype == np.uint16
    assert kinds.tolist() == [encoding.encode_event(event) for event in sets(masks)]
    assert drums.reduced(masks.reshape(4, 5)).shape == (4, 5)
    first = [kind[0] for kind in drums.PITCHES]
    assert sets(kinds, first) == [encoding.decode_event(int(kind)) for kind in kinds]


@pytest.mark.parametrize("reduced", [False, True])
def test_notes_are_those_of_note_seq(reduced):
    rng = np.random.default_rng(3)
    count, pitches = (9, [kind[0] for kind in drums.PITCHES]) if reduced else (61, drums.ALL)
    masks = np.array([sum(1 << int(bit) for bit in rng.choice(count, size, False)) for size in rng.integers(0, 4, 32)])
    track = DrumTrack(sets(masks, pitches), steps_per_quarter=8)
    expected = from_note_sequence(track.to_sequence(velocity=70, qpm=97))
    notes = drums.to_notes(masks, qpm=97, reduced=reduced, velocity=70, steps_per_quarter=8)
    for name in ("start", "end"):
        np.testing.assert_allclose(getattr(notes, name), getattr(expected, name), rtol=1e-12)
    for name in ("pitch", "velocity", "program", "is_drum", "instrument"):
        np.testing.assert_array_equal(getattr(notes, name), getattr(expected, name), err_msg=name)


@pytest.mark.parametrize("reduced", [False, True])
def test_tracks_are_the_same_after_a_midi_file(members, reduced):
    compared = 0
    for content in members("groove-v1.0.0-midionly.zip", step=100).values():
        for section in bars.sections(midi.parse(content)):
            for track in drums.extract(section):
                masks = drums.reduced(track.masks) if reduced else track.masks
                notes = drums.to_notes(masks, qpm=section.qpm, reduced=reduced)
                notes = notes.replace(metre_time=[0.0], metre=[section.metre])
                (back,) = bars.sections(midi.parse(midi_writing.to_bytes(notes)))
                (again,) = drums.extract(back)
                assert again.start == 0
                found = drums.reduced(again.masks) if reduced else again.masks
                np.testing.assert_array_equal(found, masks)
                compared += 1
    assert compared >= 8


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"masks": np.array([1 << 61], np.uint64)}, "a set of drums is 2305843009213693952: expected 61 bits"),
        ({"masks": np.array([511, 512]), "reduced": True}, "a set of drums is 512: expected 9 bits"),
        ({"masks": np.array([-1])}, "a set of drums is -1"),
        ({"qpm": -1}, "-1 quarters a minute"),
        ({"steps_per_quarter": 0}, "0 steps in each"),
    ],
)
def test_notes_that_cannot_be_are_refused(change, reason):
    with pytest.raises(ValueError, match=reason):
        drums.to_notes(**{"masks": np.array([1]), "qpm": 120, **change})


def test_no_hits_are_no_notes():
    assert drums.extract(bars.sections(score_of([(0, 480, 60)]))[0]) == []
    assert len(drums.to_notes(np.zeros(16, np.uint64), qpm=120)) == 0
    assert len(drums.to_notes(np.zeros(0, np.uint64), qpm=120)) == 0
