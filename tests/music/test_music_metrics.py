import math
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from magenta_lite.music import metrics, midi
from magenta_lite.music.notes import Notes

EMPTY = Notes([], [], [], [])
SCALE = Notes([0, 0.5, 1, 1.5], [0.5, 1, 1.5, 2], [60, 62, 64, 72], [10, 20, 30, 127])


def random_piece(seed, count=60, high=84):
    random = np.random.default_rng(seed)
    start = np.sort(random.uniform(0, 20, count))
    end = start + random.exponential(0.4, count)
    return Notes(start, end, random.integers(40, high, count), random.integers(1, 128, count))


def test_the_numbers_of_a_scale():
    found = metrics.features(SCALE)
    expected = {
        "note_density": 2,
        "note_count": 4,
        "polyphony": 1,
        "note_length": 0.5,
        "velocity": 46.75,
        "velocity_deviation": np.std([10, 20, 30, 127]),
        "inter_onset": 0.5,
        "pitch_count": 4,
        "pitch_range": 12,
        "pitch_interval": 4,
        "pitch_class_entropy": 1.5,
        "pitch_class_entropy_4s": 1.5,
    }
    assert {name: float(value) for name, value in found.items() if value.shape == ()} == pytest.approx(expected)
    classes = np.zeros(12)
    classes[[0, 2, 4]] = [0.5, 0.25, 0.25]
    np.testing.assert_allclose(found["pitch_class_histogram"], classes)
    steps = np.zeros((12, 12))
    steps[[0, 2, 4], [2, 4, 0]] = 1 / 3
    np.testing.assert_allclose(found["pitch_class_transitions"], steps)
    assert found["inter_onset_histogram"][10] == 1  # 0.50 to 0.55 s
    np.testing.assert_array_equal(np.flatnonzero(found["velocity_histogram"]), [2, 5, 7, 31])
    assert found["duration_histogram"].max() == 1


def test_every_piece_has_the_same_features_in_the_same_shapes():
    pieces = [EMPTY, SCALE, SCALE.select(np.array([0])), random_piece(0), SCALE.replace(is_drum=np.ones(4, bool))]
    found = [metrics.features(piece) for piece in pieces]
    shapes = [{name: (value.shape, value.dtype) for name, value in one.items()} for one in found]
    assert all(one == shapes[0] for one in shapes)
    assert all(np.isfinite(value).all() for one in found for value in one.values())
    assert all((value == 0).all() for value in found[0].values())
    sums = {float(value.sum().round(12)) for one in found for value in one.values() if value.ndim}
    assert sums == {0.0, 1.0}


def test_drums_have_time_and_velocity_but_no_pitch():
    drums = Notes([0, 1], [0.5, 2], [36, 60], [64, 64], is_drum=[True, False])
    found = metrics.features(drums)
    assert (found["note_count"], found["pitch_count"], found["pitch_range"]) == (2, 1, 0)
    assert found["pitch_histogram"][36] == 0


@given(st.integers(0, 10_000), st.integers(-12, 12), st.floats(0.5, 2))
@settings(max_examples=25, deadline=None)
def test_transposing_and_stretching(seed, semitones, factor):
    piece = random_piece(seed)
    moved = piece.replace(pitch=piece.pitch + semitones, start=piece.start * factor, end=piece.end * factor)
    before, after = metrics.features(piece), metrics.features(moved)
    for name in ("polyphony", "pitch_class_entropy", "pitch_range", "pitch_interval", "velocity_histogram"):
        np.testing.assert_allclose(before[name], after[name], atol=1e-9)
    np.testing.assert_allclose(np.roll(before["pitch_class_histogram"], semitones), after["pitch_class_histogram"])
    np.testing.assert_allclose(before["note_density"] / factor, after["note_density"])
    np.testing.assert_allclose(before["inter_onset"] * factor, after["inter_onset"])


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_polyphony_as_counted_on_a_fine_grid(seed):
    piece = random_piece(seed, count=20)
    times = np.linspace(0, piece.duration, 20_001)
    sounding = ((piece.start <= times[:, None]) & (times[:, None] < piece.end)).sum(axis=1)
    assert metrics.polyphony(piece) == pytest.approx(sounding[sounding > 0].mean(), rel=0.01)


def test_polyphony_of_chords():
    chord = Notes([0, 0, 0, 5], [1, 1, 1, 6], [60, 64, 67, 60], 64)
    assert metrics.polyphony(chord) == 2
    assert metrics.polyphony(Notes([1.0], [1.0], [60], [64])) == 0
    assert metrics.polyphony(Notes([0, 1], [10, 2], [60, 64], 64)) == pytest.approx(1.1)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=12))
def test_entropy_as_scipy_has_it(counts):
    expected = stats.entropy(counts, base=2) if sum(counts) else 0.0
    assert metrics.entropy(counts) == pytest.approx(expected, abs=1e-12)


def test_entropy_of_windows():
    piece = Notes([1, 1.1, 6, 6.1, 6.2, 20], [7, 7, 7, 7, 7, 21], [60, 61, 60, 72, 84, 60], 64)
    assert metrics.features(piece)["pitch_class_entropy_4s"] == pytest.approx((1 + 0 + 0) / 3)


def test_overlap_of_histograms():
    assert metrics.overlap([1, 2, 1], [10, 20, 10]) == pytest.approx(1)
    assert metrics.overlap([1, 0], [0, 3]) == 0
    assert metrics.overlap([1, 1, 0], [0, 1, 1]) == pytest.approx(0.5)
    assert metrics.overlap([0, 0], [1, 1]) is None
    with pytest.raises(ValueError, match="shapes"):
        metrics.overlap([1], [1, 2])


def test_pooled_histograms_count_every_note_once():
    pieces = [random_piece(seed, count) for seed, count in enumerate((5, 50, 100))]
    total = metrics.pooled(iter(pieces))
    assert total["velocity"].sum() == total["duration"].sum() == total["pitch"].sum() == 155
    assert total["inter_onset"].sum() == 152
    assert (metrics.pooled([])["pitch"] == 0).all()


@pytest.mark.parametrize("count", [2, 3, 50, 3000])
def test_density_as_scipy_has_it(count):
    values = np.random.default_rng(count).gamma(2.0, 3.0, count)
    at = np.linspace(values.min() - 3, values.max() + 3, 500)
    expected = stats.gaussian_kde(values)(at)
    np.testing.assert_allclose(metrics.density(values, at), expected, rtol=2e-3, atol=1e-4 * expected.max())


def published(intra, inter):
    """The area and the divergence as the toolbox of Yang and Lerch computes them, and the divergence in between."""
    p, q = stats.gaussian_kde(intra), stats.gaussian_kde(inter)
    low, high = min(intra.min(), inter.min()), max(intra.max(), inter.max())
    area = integrate.quad(lambda x: min(p(x)[0], q(x)[0]), low, high, epsabs=1e-4)[0]
    own = [np.linspace(values.min(), values.max(), 1000) for values in (intra, inter)]
    released = stats.entropy(p(own[0]), q(own[1]))
    scale = [f.integrate_box_1d(low, high) for f in (p, q)]
    grid = np.linspace(low, high, 20_001)
    p_grid, q_grid = p(grid) / scale[0], q(grid) / scale[1]
    return area, integrate.trapezoid(p_grid * np.log(p_grid / q_grid), grid), released


@pytest.mark.parametrize("seed", range(3))
def test_agreement_as_published(seed):
    random = np.random.default_rng(seed)
    intra, inter = random.gamma(2.0, 1.0, 90), random.gamma(2.0 + seed / 2, 1.0 + seed / 4, 100)
    found = metrics.agreement(intra, inter)
    area, divergence, released = published(intra, inter)
    assert found["oa"] == pytest.approx(area, abs=2e-3)
    assert found["kld"] == pytest.approx(divergence, abs=3e-3)
    assert found["kld_mgeval"] == pytest.approx(released, abs=3e-3)


def test_compare_takes_all_pairs():
    real, made = [{"a": np.array([x, 0.0])} for x in (0, 3, 10)], [{"a": np.array([0.0, y])} for y in (4.0, 0.0)]
    found = metrics.compare(made, real)["a"]
    assert found["intra_real_mean"] == pytest.approx((3 + 7 + 10) / 3)
    assert found["intra_generated_mean"] == pytest.approx(4)
    assert found["inter_mean"] == pytest.approx((4 + 5 + math.hypot(10, 4) + 0 + 3 + 10) / 6)
    inter = np.array([4, 5, math.hypot(10, 4), 0, 3, 10])
    area, divergence, released = published(np.array([3, 10, 3, 7, 10, 7.0]), inter)
    assert found["oa"] == pytest.approx(area, abs=2e-3)
    assert found["kld"] == pytest.approx(divergence, abs=3e-3)
    assert found["kld_mgeval"] == pytest.approx(released, abs=3e-3)


def test_likeness_is_preferred():
    real = [metrics.features(random_piece(seed)) for seed in range(30)]
    like = [metrics.features(random_piece(seed)) for seed in range(100, 130)]
    other = [metrics.features(random_piece(seed, count=200, high=48)) for seed in range(100, 130)]
    near, far = metrics.compare(like, real), metrics.compare(other, real)
    assert set(near) == set(real[0])
    for name in ("note_density", "pitch_range", "pitch_histogram", "pitch_class_transitions"):
        assert near[name]["oa"] > far[name]["oa"] + 0.2
        assert near[name]["oa"] > 0.7
        assert far[name]["kld"] is None or near[name]["kld"] < far[name]["kld"]


@pytest.mark.parametrize(
    ("intra", "inter", "oa", "kld"),
    [
        ([0, 0], [0, 0, 0], 1.0, 0.0),
        ([0, 0], [5, 5], 0.0, None),
        ([0, 0], [1, 2], 0.0, None),
        ([1, 2], [3, 3], 0.0, None),
    ],
)
def test_distances_that_are_all_the_same(intra, inter, oa, kld):
    found = metrics.agreement(np.array(intra, float), np.array(inter, float))
    assert (found["oa"], found["kld"], found["kld_mgeval"]) == (oa, kld, kld)


def test_sets_that_are_too_small_have_no_agreement():
    one = {"a": np.zeros(())}
    found = metrics.compare([one], [one, one])["a"]
    assert found["oa"] is None
    assert found["inter_mean"] == 0
    assert found["intra_generated_mean"] is None
    assert metrics.compare([one, one], [one])["a"]["kld"] is None
    assert metrics.compare([], []) == {}
    apart = metrics.agreement(np.array([0.0, 1e-3]), np.array([1e3, 1e3 + 1e-3]))
    assert apart["oa"] < 1e-6
    assert apart["kld"] is None


def naive(pieces, corpus, n):
    known = {tuple(tokens[i : i + n]) for tokens in corpus for i in range(len(tokens) - n + 1)}
    flags = [[tuple(tokens[i : i + n]) in known for i in range(len(tokens) - n + 1)] for tokens in pieces]
    longest = []
    for row in flags:
        best = run = 0
        for found in row:
            run = run + 1 if found else 0
            best = max(best, run)
        longest.append(best + n - 1 if best else 0)
    count = sum(map(len, flags))
    return sum(map(sum, flags)) / count if count else None, [np.mean(row) if row else np.nan for row in flags], longest


@pytest.mark.parametrize("n", [1, 2, 3, 5, 7, 8, 16, 31])
def test_ngrams_as_sets_of_tuples_have_them(n):
    random = np.random.default_rng(n)
    corpus = [random.integers(0, 3, length) for length in (0, 5, 40, 200)]
    pieces = [random.integers(0, 3, 60), corpus[3][20:90], np.r_[corpus[2], corpus[3]], random.integers(0, 3, 4)]
    found = metrics.ngram_overlap(pieces, metrics.NgramIndex.build(iter(corpus), n))
    share, shares, longest = naive(pieces, corpus, n)
    assert found.share == pytest.approx(share)
    np.testing.assert_allclose(found.shares, shares)
    np.testing.assert_array_equal(found.longest, longest)
    assert found.shares[1] == 1
    assert found.longest[1] == 70


def test_hashes_are_of_the_numbers_alone_and_differ():
    tokens = np.arange(5000) % 388
    np.testing.assert_array_equal(
        metrics.ngram_hashes(tokens.astype(np.int16), 8), metrics.ngram_hashes(tokens.astype(np.int64), 8)
    )
    random = np.random.default_rng(0).integers(0, 2, 200_000)
    windows = np.lib.stride_tricks.sliding_window_view(random, 16)
    assert len(np.unique(metrics.ngram_hashes(random, 16))) == len(np.unique(windows @ (2 ** np.arange(16))))


def test_nothing_is_copied_from_or_into_nothing():
    empty = metrics.NgramIndex.build([], 8)
    assert metrics.ngram_overlap([np.arange(20)], empty).share == 0
    assert metrics.ngram_overlap([np.arange(3)], empty).share is None
    with pytest.raises(ValueError, match="65535"):
        metrics.ngram_hashes(np.array([-1, 2]), 1)


def test_real_performances_are_like_themselves(shared):
    with zipfile.ZipFile(shared("data", "maestro-v3.0.0-midi.zip")) as archive:
        names = sorted(one.filename for one in archive.infolist() if one.filename.endswith(".midi"))[::70]
        pieces = [midi.parse(archive.read(name)).notes() for name in names]
    found = [metrics.features(piece) for piece in pieces]
    for one in found:
        assert 2 < one["note_density"] < 40
        assert 1 < one["polyphony"] < 10
        assert 2 < one["pitch_class_entropy"] < 3.585
        assert one["pitch_class_entropy_4s"] < one["pitch_class_entropy"]
        assert one["pitch_range"] <= 87
    agreed = metrics.compare(found[::2], found[1::2])
    assert np.mean([one["oa"] for one in agreed.values()]) > 0.6
    halves = [metrics.pooled(pieces[part::2]) for part in range(2)]
    assert all(metrics.overlap(halves[0][name], halves[1][name]) > 0.7 for name in halves[0])
