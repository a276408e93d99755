"""Beats and taps as a person gives them to grooves' models, and what comes out."""

import copy
import dataclasses

import numpy as np
import pytest
from small_music_vae import QUIET, names, read, untrained

from magenta_lite.errors import UserError
from magenta_lite.models.music_vae import modes, sheets, starting
from magenta_lite.music import grooves, midi_writing
from magenta_lite.music.notes import Notes
from magenta_lite.sampler import Sampler

pytestmark = pytest.mark.usefixtures("quick_to_compile", "few_programs", "blank")


@pytest.fixture(scope="module")
def of_melodies(tmp_path_factory, toy_melodies):
    return untrained(tmp_path_factory.mktemp("runs") / "melodies", toy_melodies)


@pytest.fixture(scope="module")
def humanizing(tmp_path_factory, toy_grooves):
    folder = tmp_path_factory.mktemp("runs") / "humanize"
    return untrained(folder, toy_grooves, kind="groove", groove_input="humanize")


@pytest.fixture(scope="module")
def tapping(humanizing):
    """The same model, given taps: only the codec differs."""
    other = copy.copy(humanizing)
    other.codec = dataclasses.replace(humanizing.codec, groove_input="tap_fixed_velocity")
    return other


@pytest.fixture(scope="module")
def told_hits(tmp_path_factory, toy_grooves):
    folder = tmp_path_factory.mktemp("runs") / "hits"
    return untrained(folder, toy_grooves, kind="groove", groove_input="hits_control")


def beat_file(path, bars=5, silent=0, qpm=100.0):
    velocity = np.zeros((16 * bars, 9), np.uint8)
    velocity[16 * silent :: 2, 2], velocity[16 * silent + 4 :: 8, 1], velocity[16 * silent :: 8, 0] = 90, 90, 90
    velocity[-4:, 5] = 90
    notes = grooves.to_notes(velocity, np.zeros(velocity.shape, np.float32), qpm=qpm)
    return str(midi_writing.write(notes, path)), velocity


def test_a_humanized_beat_keeps_its_hits(humanizing, tmp_path):
    path, velocity = beat_file(tmp_path / "beat.mid", bars=6, silent=1)
    modes.humanize(humanizing, folder=tmp_path / "out", input=path, n=2, **QUIET)
    assert names(tmp_path / "out", "mid") == ["000.mid", "001.mid", "given-000.mid"]
    step = 60 / 100 / 4
    for number in range(2):
        performed = read(tmp_path / "out" / f"{number:03d}.mid")
        assert float(performed.tempo_qpm[0]) == pytest.approx(100, rel=1e-4)
        kinds = [[own[0] for own in grooves.ROLAND].index(pitch) for pitch in performed.pitch.tolist()]
        places = np.rint(performed.start / step).astype(int)
        assert sorted(zip(places.tolist(), kinds, strict=True)) == list(
            zip(*map(list, np.nonzero(velocity)), strict=True)
        )
        assert len(np.unique(performed.velocity)) > 3
        assert np.abs(performed.start / step - places).max() > 1e-3
    modes.humanize(humanizing, folder=tmp_path / "own", input=path, hits="model", temperature=(1.0,), **QUIET)
    drawn = read(tmp_path / "own" / "000.mid")
    assert drawn.start.min() >= 16 * step - step / 2
    assert drawn.duration <= 6 * 16 * step + 2 * step
    assert len(drawn) != np.count_nonzero(velocity)


def test_every_performance_of_every_seed_has_its_own_noise(humanizing, tmp_path, monkeypatch):
    path, _ = beat_file(tmp_path / "beat.mid", bars=4)
    beat, read_as, made = starting.beat(humanizing.codec, path), [], []
    draw = Sampler.sample

    def spy(self, *count, **how):
        read_as.append(how["z"])
        made.append(draw(self, *count, **how))
        return made[-1]

    monkeypatch.setattr(Sampler, "sample", spy)
    for seed, count in ((0, 3), (1, 2), (0, 2)):
        sheets.Maker(humanizing, seed).performances(beat, True, count, 1.0)
    ways = [z for call in read_as[:2] for z in call.reshape(-1, 2, call.shape[1])]
    np.testing.assert_array_equal(ways[0], ways[3])  # the mean
    assert len({way.tobytes() for way in ways}) == 4
    # The same vectors are drawn anew, and fewer performances are the first of more.
    assert len({one["groove"].tobytes() for call in made[:2] for one in call}) == 10
    for ours, theirs in zip(made[2], made[0], strict=False):
        np.testing.assert_array_equal(ours["groove"], theirs["groove"])


@pytest.mark.parametrize(("bars", "silent", "expected"), [(5, 0, [0, 2, 3]), (4, 1, [1, 2]), (2, 0, [0]), (1, 0, [0])])
def test_slices_hold_all_of_a_beat(humanizing, tmp_path, bars, silent, expected):
    codec = humanizing.codec
    path, velocity = beat_file(tmp_path / "beat.mid", bars, silent)
    beat = starting.beat(codec, path)
    np.testing.assert_array_equal(beat.velocity, velocity)
    cuts = starting.cut(codec, beat)
    assert [one.bar for one in cuts] == expected
    # What a model would give back that changes nothing is the beat itself.
    again, missing = starting.joined(codec, beat, cuts, [one.encoded for one in cuts], keep_hits=False)
    np.testing.assert_array_equal(again.velocity, velocity)
    assert missing == 0
    # One that plays nothing leaves the hits where they are.
    silence = [{"groove": np.zeros((codec.steps, 27), np.float32)} for _ in cuts]
    again, missing = starting.joined(codec, beat, cuts, silence, keep_hits=True)
    np.testing.assert_array_equal(again.velocity > 0, velocity > 0)
    assert missing == np.count_nonzero(velocity)


def test_taps_on_a_keyboard_are_taps(tapping, tmp_path):
    start = np.array([0, 3, 6, 10, 12, 16, 20, 30]) * 0.125
    taps = Notes(start=start, end=start + 0.1, pitch=[60, 72, 48, 60, 61, 62, 63, 64], velocity=70)
    drums = taps.replace(is_drum=np.ones(8, bool), pitch=np.full(8, 38))
    keyboard, pad = (midi_writing.write(one, tmp_path / f"{n}.mid") for n, one in enumerate((taps, drums)))
    for name, path in (("keyboard", keyboard), ("pad", pad)):
        modes.tap(tapping, folder=tmp_path / name, input=str(path), temperature=(1.0,), **QUIET)
    made, same = (tmp_path / name / "000.mid" for name in ("keyboard", "pad"))
    assert made.read_bytes() == same.read_bytes()
    assert len(np.unique(read(made).pitch)) > 1


def test_a_model_that_is_told_hits_gets_those_of_a_groove(told_hits, tmp_path, monkeypatch):
    path, velocity = beat_file(tmp_path / "beat.mid", bars=2)
    draw, told = Sampler.sample, []
    monkeypatch.setattr(Sampler, "sample", lambda self, *n, **how: told.append(how) or draw(self, *n, **how))
    modes.generate(told_hits, folder=tmp_path / "a", n=2, input=[path], **QUIET)
    np.testing.assert_array_equal(told.pop()["condition"]["hits"], np.stack([velocity > 0] * 2).astype(np.float32))
    modes.generate(told_hits, folder=tmp_path / "b", n=2, **QUIET)
    assert names(tmp_path / "b", "mid") == ["000.mid", "001.mid", "given-000.mid"]
    with pytest.raises(UserError, match="hits in training: give a groove"):
        modes.interpolate(told_hits, folder=tmp_path / "c", **QUIET)


def test_beats_go_to_models_that_were_trained_for_them(humanizing, of_melodies, tmp_path):
    path, _ = beat_file(tmp_path / "beat.mid")
    for given, mode, expected in (
        (of_melodies, modes.humanize, "--mode=humanize needs .*groove_input=humanize: this one has kind=melody"),
        (humanizing, modes.tap, "--mode=tap needs .* this one has config.codec.groove_input=humanize"),
    ):
        with pytest.raises(UserError, match=expected):
            mode(given, folder=tmp_path, input=path)
    waltz = Notes(start=[0.0], end=[0.1], pitch=[36], velocity=90, is_drum=True, metre_time=[0.0], metre=[[3, 4]])
    with pytest.raises(UserError, match="no drums in bars of 16 sixteenths, only the parts in 3/4"):
        starting.beat(humanizing.codec, str(midi_writing.write(waltz, tmp_path / "waltz.mid")))
