"""Events against the published code, in whole pieces of MAESTRO and in pieces made up."""

import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from magenta_lite.errors import UserError
from magenta_lite.models.performance_rnn import controls, events
from magenta_lite.models.performance_rnn.codec import Codec
from magenta_lite.models.performance_rnn.vocabulary import (
    NOTE_OFF,
    NOTE_ON,
    TIME_SHIFT,
    VELOCITY,
    EventVocabulary,
    NoteVocabulary,
    features,
)
from magenta_lite.music import midi

PIECES = (
    "2006/MIDI-Unprocessed_17_R1_2006_01-06_ORIG_MID--AUDIO_17_R1_2006_04_Track04_wav.midi",
    "2015/MIDI-Unprocessed_R2_D2-12-13-15_mid--AUDIO-from_mp3_12_R2_2015_wav--2.midi",
)


@pytest.fixture(scope="module")
def contents(shared):
    with zipfile.ZipFile(shared("data", "maestro-v3.0.0-midi.zip")) as archive:
        return [archive.read(f"maestro-v3.0.0/{name}") for name in PIECES]


def published(content, steps_per_second):
    """The piece as note_seq reads, sustains and quantises it."""
    from note_seq import midi_io, sequences_lib

    sequence = sequences_lib.apply_sustain_control_changes(midi_io.midi_to_note_sequence(content))
    return sequences_lib.quantize_note_sequence_absolute(sequence, steps_per_second)


def encoded(content, **options):
    return Codec(**options).encode({**midi.parse(content).pack(), "name": "piece"})


@pytest.mark.parametrize(
    ("steps_per_second", "max_shift", "bins", "which"), [(100, 100, 32, 0), (125, 125, 32, 1), (100, 100, 0, 1)]
)
def test_events_are_the_published_ones(contents, steps_per_second, max_shift, bins, which):
    from note_seq import performance_encoder_decoder, performance_lib

    performance = performance_lib.Performance(
        published(contents[which], steps_per_second), num_velocity_bins=bins, max_shift_steps=max_shift
    )
    one_hot = performance_encoder_decoder.PerformanceOneHotEncoding(bins, max_shift)
    ours = encoded(contents[which], steps_per_second=steps_per_second, max_shift=max_shift, velocity_bins=bins)
    assert ours["tokens"][:, 0].tolist() == [one_hot.encode_event(event) for event in performance]


def test_events_are_undone_up_to_the_grid(contents):
    codec = Codec()
    arrays = encoded(contents[0])
    decoded = codec.decode({**arrays, "length": len(arrays["tokens"])})
    notes = codec._notes(midi.parse(contents[0]).pack())
    assert len(decoded) == len(notes)
    order = np.lexsort((notes.pitch, np.floor(notes.start * 100 + 0.5)))
    np.testing.assert_allclose(decoded.start, notes.start[order], atol=0.00501)
    np.testing.assert_array_equal(decoded.pitch, notes.pitch[order])
    np.testing.assert_array_equal(decoded.velocity, 1 + (notes.velocity[order] - 1) // 4 * 4)
    # Two notes of one pitch that sound at once may change ends; all others end where they ended, or after 5 s.
    ends = np.minimum(notes.end[order], decoded.start + 5)
    assert np.mean(np.abs(decoded.end - ends) > 0.0151) < 0.01


def test_notes_of_the_decoder_are_the_published_ones(contents):
    """From the same events, ill-formed ones among them."""
    from note_seq import performance_encoder_decoder, performance_lib

    one_hot = performance_encoder_decoder.PerformanceOneHotEncoding(32)
    tokens = np.concatenate(
        [encoded(contents[0])["tokens"][500:1500], np.random.default_rng(0).integers(0, 388, (1000, 1))]
    )
    performance = performance_lib.Performance(steps_per_second=100, num_velocity_bins=32)
    for event in tokens[:, 0]:
        performance.append(one_hot.decode_event(int(event)))
    sequence = performance.to_sequence(max_note_duration=5.0)
    theirs = sorted((n.start_time, n.pitch, n.end_time, n.velocity) for n in sequence.notes)
    notes = Codec().decode({"tokens": tokens, "length": len(tokens)})
    ours = sorted(zip(notes.start, notes.pitch, notes.end, notes.velocity, strict=True))
    assert len(ours) == len(theirs)
    np.testing.assert_allclose(np.array(ours), np.array(theirs), atol=1e-9)


def test_notes_are_the_published_ones(contents):
    from note_seq import performance_encoder_decoder, performance_lib

    quantised = published(contents[0], 100)
    performance = performance_lib.NotePerformance(
        quantised, num_velocity_bins=32, max_shift_steps=10_000, max_duration_steps=10_000
    )
    for event in performance:
        assert event[0].event_value <= 1000
    encoder = performance_encoder_decoder.NotePerformanceEventSequenceEncoderDecoder(32)
    ours = encoded(contents[0], encoding="notes", max_shift=1000)["tokens"]
    fits = [event[3].event_value <= 1000 for event in performance]
    theirs = [encoder.events_to_label(performance, i) for i in np.flatnonzero(fits)]
    np.testing.assert_array_equal(ours[fits], theirs)
    assert list(NoteVocabulary().fields) == encoder.num_classes


def test_controls_are_the_published_ones(contents):
    from note_seq import performance_controls, performance_encoder_decoder, performance_lib

    one_hot = performance_encoder_decoder.PerformanceOneHotEncoding(32)
    tokens = encoded(contents[1])["tokens"][:1500]
    performance = performance_lib.Performance(steps_per_second=100, num_velocity_bins=32)
    for event in tokens[:, 0]:
        performance.append(one_hot.decode_event(int(event)))
    density = performance_controls.NoteDensityPerformanceControlSignal(3.0, list(controls.DENSITY_EDGES))
    values = density.extract(performance)
    ours = controls.density(tokens, EventVocabulary(), 100)
    np.testing.assert_allclose(ours, values, rtol=1e-12)
    bins = [density.encoder.events_to_input(values, i).index(1.0) for i in range(len(values))]
    np.testing.assert_array_equal(controls.density_bins(ours), bins)
    histogram = performance_controls.PitchHistogramPerformanceControlSignal(5.0, 0.01)
    shares = histogram.extract(performance)
    theirs = [histogram.encoder.events_to_input(shares, i) for i in range(len(shares))]
    np.testing.assert_allclose(controls.histogram(tokens, EventVocabulary(), 100), theirs, rtol=1e-9)


@pytest.mark.parametrize(("max_shift", "bins"), [(100, 32), (125, 32), (100, 0)])
def test_numbers_and_modulo_features_are_the_published_ones(max_shift, bins):
    pytest.importorskip("note_seq")
    from note_seq import performance_encoder_decoder

    vocabulary = EventVocabulary(max_shift, bins)
    one_hot = performance_encoder_decoder.PerformanceOneHotEncoding(bins, max_shift)
    modulo = performance_encoder_decoder.ModuloPerformanceEventSequenceEncoderDecoder(bins, max_shift)
    types = {1: NOTE_ON, 2: NOTE_OFF, 3: TIME_SHIFT, 4: VELOCITY}
    assert vocabulary.fields == (one_hot.num_classes,)
    table = features(vocabulary)
    for number in range(one_hot.num_classes):
        event = one_hot.decode_event(number)
        assert vocabulary.event(number) == (types[event.event_type], event.event_value)
        assert vocabulary.number(*vocabulary.event(number)) == number
        np.testing.assert_allclose(table[number], modulo.events_to_input([event], 0), atol=1e-6)
    assert vocabulary.first[0] == modulo.default_event_label


def test_an_event_out_of_range_is_named():
    with pytest.raises(ValueError, match=r"time_shift 101 is outside 1\.\.100"):
        EventVocabulary().number(TIME_SHIFT, 101)
    with pytest.raises(ValueError, match=r"388 is outside 0\.\.387"):
        EventVocabulary().event(388)
    with pytest.raises(ValueError, match="no events of the type 'velocity'"):
        EventVocabulary(velocity_bins=0).number(VELOCITY, 1)


PIECE = st.lists(
    st.tuples(st.integers(0, 900), st.integers(1, 300), st.integers(0, 127), st.integers(1, 127)), min_size=1
)


def quantised(piece):
    rows = np.array(sorted(piece, key=lambda note: (note[0], note[2])), np.int64)
    return events.Quantised(rows[:, 0], rows[:, 0] + rows[:, 1], rows[:, 2], rows[:, 3])


@given(PIECE, st.sampled_from([7, 100]), st.sampled_from([0, 1, 32, 127]))
def test_every_note_comes_back(piece, max_shift, bins):
    vocabulary = EventVocabulary(max_shift, bins)
    notes = quantised(piece)
    numbers = events.to_events(notes, vocabulary)
    again, wrong = events.from_events(numbers, vocabulary)
    assert wrong == {"note-offs without a note-on": 0, "notes without an end": 0}
    assert events.steps_of(numbers, vocabulary).sum() == notes.end.max()
    np.testing.assert_array_equal(again.start, notes.start)
    np.testing.assert_array_equal(again.pitch, notes.pitch)
    # Of notes of one pitch that overlap, the one that began first ends first.
    for pitch in np.unique(notes.pitch):
        mine = notes.pitch == pitch
        np.testing.assert_array_equal(np.sort(again.end[mine]), np.sort(notes.end[mine]))


@given(PIECE)
def test_every_note_comes_back_note_by_note(piece):
    notes = quantised(piece)
    numbers, cut = events.to_notes(notes, NoteVocabulary())
    assert not any(cut.values())
    assert (numbers < np.array(NoteVocabulary().fields)).all()
    again = events.from_notes(numbers, NoteVocabulary())
    for name in ("start", "end", "pitch"):
        np.testing.assert_array_equal(getattr(again, name), getattr(notes, name))
    np.testing.assert_array_equal(again.velocity, 1 + (notes.velocity - 1) // 4 * 4)


def test_what_note_numbers_cannot_say_is_cut_and_counted():
    notes = events.Quantised(*(np.array(column, np.int64) for column in ([5, 2000], [1800, 2001], [60, 62], [64, 64])))
    numbers, cut = events.to_notes(notes, NoteVocabulary())
    assert cut == {"shifts cut to 1000 steps": 1, "durations cut to 1000 steps": 1}
    again = events.from_notes(numbers, NoteVocabulary())
    assert again.start.tolist() == [5, 1005]
    assert again.end.tolist() == [1005, 1006]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoding": "midi"}, "encoding=midi: expected events or notes"),
        ({"crop": 1}, "crop=1: expected at least 2"),
        ({"stretch": 1.0}, "stretch=1.0"),
        ({"controls": ("loudness",)}, "no control 'loudness'"),
        ({"encoding": "notes", "max_shift": 1000, "controls": ("notes_per_second",)}, "takes no controls"),
        ({"encoding": "notes", "max_shift": 100}, "must have divisors"),
        ({"optional_controls": True}, "name the config.codec.controls"),
    ],
)
def test_settings_are_checked(options, message):
    with pytest.raises(UserError, match=message):
        Codec(**options)
