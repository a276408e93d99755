"""Grooves: what the original's converter makes of real drumming, written out plainly, and inputs of each model."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from note_seq import midi_io, sequences_lib

from magenta_lite.music import bars, drums, grooves, midi
from magenta_lite.music.conversions import to_note_sequence
from magenta_lite.music.midi_writing import to_bytes

SEEDS = st.integers(0, 2**31)


def original(sequence, steps_per_bar=16):
    """Hits, velocities and offsets of a NoteSequence as the original counts them: three float64 [T, 9]."""
    quantised = sequences_lib.quantize_note_sequence(sequence, 4)
    length = 60.0 / quantised.tempos[0].qpm / 4
    found = {}
    for note in sorted(quantised.notes, key=lambda note: (note.start_time, note.pitch)):
        (instrument,) = (number for number, own in enumerate(grooves.ROLAND) if note.pitch in own)
        found.setdefault((int(note.quantized_start_step), instrument), []).append(note)
    total = (max(step for step, _ in found) // steps_per_bar + 1) * steps_per_bar
    hits, velocities, offsets = np.zeros((3, total, 9))
    for (step, instrument), notes in found.items():
        note = max(notes, key=lambda note: note.velocity)
        hits[step, instrument] = 1
        velocities[step, instrument] = note.velocity / 127
        offsets[step, instrument] = 2 * (length * step - note.start_time) / length
    return hits, velocities, offsets


def groove_of(seed, steps=32):
    """A groove by chance: velocity and offset."""
    rng = np.random.default_rng(seed)
    velocity = np.where(rng.random((steps, 9)) < 0.3, rng.integers(1, 128, (steps, 9)), 0).astype(np.uint8)
    offset = np.where(velocity > 0, rng.uniform(-0.5, 0.5, (steps, 9)), 0).astype(np.float32)
    return velocity, offset


def test_real_drumming_gives_what_the_original_makes_of_it(members):
    compared = 0
    for name, content in members("groove-v1.0.0-midionly.zip", step=150).items():
        (section,) = bars.sections(midi.parse(content))
        (groove,) = grooves.extract(section)
        assert groove.start == 0
        assert (groove.velocity.dtype, groove.offset.dtype) == (np.uint8, np.float32)
        expected = original(midi_io.midi_to_note_sequence(content), section.steps_per_bar)
        found = grooves.features(groove.velocity, groove.offset)
        np.testing.assert_allclose(found, np.concatenate(expected, axis=1), atol=2e-4, err_msg=name)
        compared += len(found)
    assert compared > 1000


def test_a_bar_of_silence_stays_and_longer_silence_ends_a_groove():
    def made(*hits, **options):
        velocity = np.zeros((160, 9), np.uint8)
        velocity[list(hits), 0] = 90
        score = midi.parse(to_bytes(grooves.to_notes(velocity, np.zeros((160, 9)), qpm=120)))
        (section,) = bars.sections(score)
        return [(groove.start, len(groove.velocity)) for groove in grooves.extract(section, **options)]

    assert made(20, 50) == [(0, 64)]
    assert made(5, 40, 96, 110) == [(0, 48), (96, 16)]
    assert made(5, 40, 96, 110, gap_bars=1) == [(0, 16), (32, 16), (96, 16)]
    assert made(40) == [(32, 16)]


def test_other_pitches_and_other_instruments_are_left_out():
    velocity, offset = groove_of(3)
    notes = grooves.to_notes(velocity, offset, qpm=100)
    shaken = notes.replace(pitch=np.where(notes.pitch == 36, 70, notes.pitch))
    (section,) = bars.sections(midi.parse(to_bytes(shaken)))
    (groove,) = grooves.extract(section)
    assert not groove.velocity[:, 0].any()
    np.testing.assert_array_equal(groove.velocity[:, 1:], velocity[:, 1:])
    (wider,) = grooves.extract(section, pitches=drums.PITCHES)
    assert ((wider.velocity[:, 2] > 0) == (velocity[:, [0, 2]] > 0).any(axis=1)).all()
    piano = notes.replace(is_drum=np.zeros(len(notes), bool))
    (section,) = bars.sections(midi.parse(to_bytes(piano)))
    assert grooves.extract(section) == []


def test_written_pitches_mean_the_same_in_both_mappings():
    for instrument, own in enumerate(grooves.ROLAND):
        assert own[0] in drums.PITCHES[instrument]


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.sampled_from([60.0, 97.0, 200.0]))
def test_what_is_written_is_read_again(seed, qpm):
    velocity, offset = groove_of(seed)
    velocity[-1, 0], offset[-1, 0] = 80, 0.2
    offset[0] = np.abs(offset[0])  # nothing begins before the piece
    offset = np.clip(offset, -0.49, 0.49)
    content = to_bytes(grooves.to_notes(velocity, offset, qpm=qpm))
    (section,) = bars.sections(midi.parse(content))
    (groove,) = grooves.extract(section)
    np.testing.assert_array_equal(groove.velocity, velocity)
    np.testing.assert_allclose(groove.offset, offset, atol=0.02)  # a tick is a 55th of a step
    expected = original(to_note_sequence(grooves.to_notes(velocity, offset, qpm=qpm)))
    np.testing.assert_allclose(grooves.features(velocity, offset), np.concatenate(expected, axis=1), atol=1e-5)


def test_a_hit_before_the_beginning_begins_there():
    velocity, offset = np.zeros((16, 9), np.uint8), np.zeros((16, 9), np.float32)
    velocity[0, 1], offset[0, 1] = 100, -0.4
    assert grooves.to_notes(velocity, offset, qpm=120).start.tolist() == [0]


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_features_hold_everything_but_what_has_no_hit(seed):
    velocity, offset = groove_of(seed)
    numbers = grooves.features(velocity, offset)
    assert numbers.dtype == np.float32
    assert numbers.shape == (32, 27)
    assert not np.signbit(numbers[:, 18:][velocity == 0]).any()
    again, offsets = grooves.from_features(numbers)
    np.testing.assert_array_equal(again, velocity)
    np.testing.assert_allclose(offsets, offset, atol=1e-6)
    np.testing.assert_array_equal(grooves.features(velocity[None], offset[None])[0], numbers)


def test_numbers_of_a_network_become_hits_within_range():
    numbers = np.zeros((2, 27), np.float32)
    numbers[0, [0, 1, 2]] = 0.9, 0.51, 0.5
    numbers[0, [9, 10, 11]] = 1.3, 0.001, 0.7
    numbers[0, [18, 19, 20]] = -1.4, 0.5, 0.9
    velocity, offset = grooves.from_features(numbers)
    assert velocity[0].tolist() == [127, 1, 0, 0, 0, 0, 0, 0, 0]
    assert offset[0].tolist() == [0.5, -0.25, 0, 0, 0, 0, 0, 0, 0]
    assert not velocity[1].any()


def inputs_of(kind, velocity, offset, kept=None):
    """The original's tensors for the encoder, step by step, with the places of notes that are not dropped."""
    hits, velocities, offsets = np.split(grooves.features(velocity, offset).astype(np.float64), 3, axis=1)
    whole = [hits.copy(), velocities.copy(), offsets.copy()]
    if kept is not None:
        velocities = velocities * kept
    if kind.startswith("tap"):
        loudest = [int(np.argmax(row)) for row in velocities]
        for number, column in enumerate(whole):
            tapped = np.zeros_like(column)
            for step, instrument in enumerate(loudest):
                tapped[step, 3] = column[step, instrument]
            whole[number] = tapped
        whole[1][:] = 0
    if kind == "humanize":
        whole[1][:] = whole[2][:] = 0
    if kind == "add_closed_hh":
        for column in whole:
            column[:, 2] = 0
    return np.concatenate(whole, axis=1)


@pytest.mark.parametrize("kind", grooves.INPUTS)
def test_inputs_of_the_encoder_are_the_originals(kind):
    for seed in range(20):
        velocity, offset = groove_of(seed)
        before = velocity.copy(), offset.copy()
        kept = None
        if kind.endswith("dropout"):
            kept = grooves.drop_notes(velocity, np.random.default_rng(seed)) > 0
            assert not kept[velocity > 0].all()
        found = grooves.encoder_input(kind, velocity, offset, np.random.default_rng(seed))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, inputs_of(kind, velocity, offset, kept), atol=1e-6)
        np.testing.assert_array_equal(velocity, before[0])
        np.testing.assert_array_equal(offset, before[1])


def test_where_all_are_dropped_the_kick_is_tapped_if_there_is_one():
    velocity, offset = np.zeros((3, 9), np.uint8), np.zeros((3, 9), np.float32)
    velocity[0, [0, 2]], velocity[1, 2], velocity[2, [0, 2]] = (60, 90), 90, (60, 90)
    heard = velocity.copy()
    heard[:2] = 0
    tapped, _ = grooves.tap(velocity, offset, heard)
    assert tapped[:, grooves.OPEN_HI_HAT].tolist() == [60, 0, 90]
    assert grooves.tap(velocity, offset)[0].sum(axis=1).tolist() == [90, 90, 90]


def test_soft_notes_are_dropped_more_often_by_one_chance_for_each_groove():
    velocity = np.repeat(np.array([[13, 64, 127]], np.uint8), 4000, axis=0)
    rng = np.random.default_rng(5)
    shares = np.array([(grooves.drop_notes(velocity, rng) == 0).mean(axis=0) for _ in range(60)])
    weights = np.array([1 - 13 / 127, 1 - 64 / 127, 0.2])
    chance = shares / weights
    np.testing.assert_allclose(chance, chance.mean(axis=1, keepdims=True) @ np.ones((1, 3)), atol=0.1)
    assert 0 <= chance.min() < 0.1 < 0.7 < chance.max() < 0.9
    assert 0.3 < chance.mean() < 0.5
    kept = grooves.drop_notes(velocity, rng)
    assert kept.dtype == np.uint8
    assert set(np.unique(kept)) <= {0, 13, 64, 127}


def test_what_is_no_input_is_said():
    velocity, offset = groove_of(0)
    with pytest.raises(ValueError, match="expected one of groove, humanize, tap_fixed_velocity"):
        grooves.encoder_input("tap", velocity, offset)
    with pytest.raises(ValueError, match="expected rng"):
        grooves.encoder_input("tap_fixed_velocity_note_dropout", velocity, offset)


def test_hits_are_the_control():
    velocity, _ = groove_of(1)
    control = grooves.hits(velocity)
    assert control.dtype == bool
    assert (control == (velocity > 0)).all()
