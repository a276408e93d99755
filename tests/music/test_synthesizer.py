import itertools
import zipfile

import numpy as np
import pytest

from magenta_lite.music import midi, synthesizer
from magenta_lite.music.notes import Notes

RATE = 22050
EMPTY = Notes([], [], [], [])


def one(pitch=69, velocity=80, start=0.5, end=2.0, **columns):
    return Notes([start], [end], [pitch], [velocity], **columns)


def level(samples, begin, end):
    """Root mean square between two times."""
    return float(np.sqrt((samples[int(begin * RATE) : int(end * RATE)].astype(float) ** 2).mean()))


def spectrum(samples, begin, end):
    part = samples[int(begin * RATE) : int(end * RATE)].mean(axis=1)
    size = 8 * len(part)
    return np.fft.rfftfreq(size, 1 / RATE), np.abs(np.fft.rfft(part * np.hanning(len(part)), size))


def centroid(samples):
    axis, power = spectrum(samples, 0.5, 0.8)
    return float((axis * power**2).sum() / (power**2).sum())


@pytest.mark.parametrize(("pitch", "hertz"), [(57, 220.0), (69, 440.0), (81, 880.0), (93, 1760.0)])
@pytest.mark.parametrize("program", [0, 16, 24, 40, 56, 73])
def test_the_fundamental_is_in_tune(pitch, hertz, program):
    samples = synthesizer.render(one(pitch, program=program), RATE)
    axis, size = spectrum(samples, 0.7, 1.7)
    around = (axis > 0.8 * hertz) & (axis < 1.25 * hertz)
    assert axis[around][size[around].argmax()] == pytest.approx(hertz, rel=0.003)
    assert size[around].max() > 0.1 * size.max()
    assert size[axis < 0.7 * hertz].max() < 0.1 * size.max()  # nothing an octave below


def test_partials_of_strings_are_stretched():
    axis, size = spectrum(synthesizer.render(one(69, 127), RATE), 0.6, 1.6)
    eighth = (axis > 7.6 * 440) & (axis < 8.6 * 440)
    assert 8.02 < axis[eighth][size[eighth].argmax()] / 440 < 8.4


def test_silent_before_the_start_and_fading_after_the_end():
    samples = synthesizer.render(one(start=0.5, end=1.0), RATE)
    assert (samples[: int(0.5 * RATE)] == 0).all()
    assert len(samples) == int((1.0 + synthesizer.TAIL) * RATE)
    sounding = level(samples, 0.7, 1.0)
    assert level(samples, 1.3, 1.6) < 0.1 * sounding
    assert level(samples, 2.5, 3.0) < 1e-4 * sounding


@pytest.mark.parametrize("pitch", [21, 36, 48, 60, 72, 84])
def test_a_held_string_dies_away_and_sounds_on(pitch):
    samples = synthesizer.render(one(pitch, start=0, end=4.0), RATE)
    levels = [level(samples, begin, begin + 0.5) for begin in (0, 1, 2, 3)]
    assert levels == sorted(levels, reverse=True)
    assert levels[2] > 1e-3 * levels[0]


def test_low_strings_sound_longer_than_high_ones():
    def kept(pitch):
        samples = synthesizer.render(one(pitch, start=0, end=2.0), RATE)
        return level(samples, 1, 1.5) / level(samples, 0, 0.5)

    found = [kept(pitch) for pitch in (36, 60, 84)]
    assert found == sorted(found, reverse=True)


def test_harder_strokes_are_louder_and_brighter():
    played = [synthesizer.render(one(60, velocity), RATE) for velocity in (10, 40, 80, 127)]
    peaks = [np.abs(samples).max() for samples in played]
    assert all(after > 1.5 * before for before, after in itertools.pairwise(peaks))
    colours = [centroid(samples) for samples in played]
    assert colours == sorted(colours)
    assert colours[-1] > 1.1 * colours[0]


def test_low_is_left_and_high_is_right():
    low, high = (synthesizer.render(one(pitch), RATE) for pitch in (30, 100))
    assert level(low[:, 0], 0.5, 1) > 1.2 * level(low[:, 1], 0.5, 1)
    assert level(high[:, 1], 0.5, 1) > 1.2 * level(high[:, 0], 0.5, 1)


def test_the_same_notes_sound_the_same():
    chord = Notes([0, 0, 0.2], [1, 1, 1], [60, 64, 38], [90, 40, 100], is_drum=[False, False, True])
    np.testing.assert_array_equal(synthesizer.render(chord, RATE), synthesizer.render(chord, RATE))


def test_two_notes_are_the_sum_of_each():
    first, second = one(60, 60, 0.5, 2.0), one(67, 60, 1.0, 2.0)
    both = Notes([0.5, 1.0], [2.0, 2.0], [60, 67], [60, 60])
    apart = synthesizer.render(first, RATE) + synthesizer.render(second, RATE)
    np.testing.assert_allclose(synthesizer.render(both, RATE), apart, atol=1e-5)


def test_never_beyond_the_range_and_never_clipped():
    many = Notes(np.repeat([0.0, 1.0], 88), np.full(176, 2.0), np.tile(np.arange(21, 109), 2), np.full(176, 127))
    samples = synthesizer.render(many, RATE)
    assert 0.9 < np.abs(samples).max() < 1
    assert np.isfinite(samples).all()
    assert (np.diff(np.sort(np.abs(samples).ravel())[-20:]) > 0).any()  # bent, not flat


def test_zero_notes_and_notes_without_length():
    assert synthesizer.render(EMPTY, RATE).shape == (0, 2)
    samples = synthesizer.render(Notes([0.0], [0.0], [60], [64]), RATE)
    assert np.abs(samples).max() > 0.01


@pytest.mark.parametrize("pitch", [0, 20, 109, 127])
@pytest.mark.parametrize("rate", [8000, 48000])
def test_every_pitch_at_every_rate(pitch, rate):
    samples = synthesizer.render(one(pitch), rate)
    assert np.isfinite(samples).all()
    assert samples.shape == (4 * rate, 2)


@pytest.mark.parametrize("program", range(0, 128, 8))
def test_every_family_sounds_and_ends(program):
    samples = synthesizer.render(one(60, 90, program=program), RATE)
    assert 0.02 < np.abs(samples).max() < 1
    assert level(samples, 3.9, 4.0) < 0.03 * level(samples, 0.6, 1.0)


def test_drums_are_told_apart():
    def colour(pitch):
        samples = synthesizer.render(one(pitch, 100, is_drum=True), RATE)
        assert 0.05 < np.abs(samples).max() < 1
        return centroid(samples)

    kick, snare, hat = colour(36), colour(38), colour(42)
    assert kick < 300 < snare < 5000 < hat
    assert all(np.abs(synthesizer.drum(pitch, RATE)).max() > 0.1 for pitch in range(128))


def test_the_pedal_holds_notes_until_it_goes_up():
    pedal = {"pedal_time": [0.4, 3.0], "pedal_down": [True, False], "pedal_instrument": [0] * 2}
    dry, held = (synthesizer.render(one(48, end=1.0, **columns), RATE) for columns in ({}, pedal))
    count = int(1.0 * RATE)
    np.testing.assert_allclose(held[:count], dry[:count], atol=1e-6)
    assert level(held, 2.5, 2.9) > 20 * level(dry, 2.5, 2.9)
    assert level(held, 4.0, 4.5) < 0.1 * level(held, 2.5, 2.9)
    assert len(held) == int((3.0 + synthesizer.TAIL) * RATE)


def test_a_pedal_that_goes_up_much_later_does_not_hold_so_long():
    late = one(end=1.0, pedal_time=[0.0, 1e9], pedal_down=[True, False], pedal_instrument=[0, 0])
    samples = synthesizer.render(late, 8000)
    assert len(samples) == int((1.0 + synthesizer.PEDAL + synthesizer.TAIL) * 8000)


def test_a_real_performance_is_played(real_piece):
    samples = synthesizer.render(real_piece, RATE)
    assert 0.2 < np.abs(samples).max() < 1
    assert (np.abs(samples) > 0.9).mean() < 1e-3
    assert 0.01 < level(samples, 0, real_piece.duration) < 0.3


@pytest.fixture(scope="module")
def real_piece(shared):
    with zipfile.ZipFile(shared("data", "maestro-v3.0.0-midi.zip")) as archive:
        name = min((one for one in archive.infolist() if one.filename.endswith(".midi")), key=lambda one: one.file_size)
        return midi.parse(archive.read(name)).notes()
