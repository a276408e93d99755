"""Distances of drawings and of sets: properties, and scipy's answers."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from scipy.ndimage import distance_transform_edt
from scipy.spatial.distance import cdist

from data.toy import drawings as rules
from magenta_lite.sketch import metrics, strokes
from magenta_lite.sketch.metrics import SIZE

PIXEL = 1 / (SIZE - 1)


def distance(a, b):
    return float(metrics.distances(metrics.traces([a]), metrics.traces([b]))[0, 0])


@pytest.fixture(scope="module")
def toys():
    """Sixty drawings of three classes, twenty each."""
    rng = np.random.default_rng(0)
    return [rules.draw(label, rng) for label in ("star", "sun", "spiral") for _ in range(20)]


drawings = st.lists(
    hnp.arrays(np.float64, st.tuples(st.integers(1, 8), st.just(2)), elements=st.integers(-100, 100).map(float)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(drawings, drawings)
def test_a_drawing_is_no_distance_from_itself_and_others_are_as_far_both_ways(some, others):
    a, b = strokes.from_polylines(some), strokes.from_polylines(others)
    assert distance(a, a) == 0
    assert distance(a, b) == pytest.approx(distance(b, a), abs=1e-6)
    assert 0 <= distance(a, b) <= np.sqrt(2) + 1e-6


@settings(max_examples=60, deadline=None)
@given(drawings, st.floats(0.01, 100), st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)))
def test_place_and_size_do_not_matter(lines, factor, shift):
    moved = [line * factor + np.array(shift) for line in lines]
    # What lies between two pixels may fall on either one.
    assert distance(strokes.from_polylines(lines), strokes.from_polylines(moved)) < PIXEL


def test_order_and_direction_and_cutting_of_lines_do_not_matter(toys):
    for drawing in toys[::10]:
        lines = strokes.to_polylines(drawing)
        backwards = [line[::-1] for line in reversed(lines)]
        halved = [np.insert(line, np.arange(1, len(line)), (line[1:] + line[:-1]) / 2, axis=0) for line in lines]
        twice = [*lines, *lines]
        for same in (backwards, halved, twice):
            assert distance(drawing, strokes.from_polylines(same)) < PIXEL / 10


def test_it_is_the_chamfer_distance_of_points_on_the_lines(toys):
    """Against the distances of points a quarter of a pixel apart, on no grid."""
    for a, b in zip(toys[::7], toys[3::7], strict=False):
        one, other = _points(a), _points(b)
        between = cdist(one, other)
        expected = (between.min(axis=0).mean() + between.min(axis=1).mean()) / 2
        assert distance(a, b) == pytest.approx(expected, rel=0.15, abs=PIXEL / 2)


def _points(drawing):
    """Points of the normalised drawing, evenly along its lines."""
    lines = strokes.to_polylines(drawing)
    every = np.concatenate(lines)
    low, high = every.min(axis=0), every.max(axis=0)
    found = []
    for line in lines:
        line = (line - (low + high) / 2) / (high - low).max()
        for start, end in itertools.pairwise(line):
            steps = int(np.ceil(np.hypot(*(end - start)) / (PIXEL / 4))) + 1
            found.append(start + (end - start) * np.linspace(0, 1, steps)[:, None])
    return np.concatenate(found)


def test_two_parallel_lines_are_as_far_apart_as_they_are():
    box = [[0, 0], [0, 64], [64, 64], [64, 0], [0, 0]]
    inner = strokes.from_polylines([box, [[0, 20], [64, 20]]])
    lower = strokes.from_polylines([box, [[0, 28], [64, 28]]])
    # One line in five moves by 8 of 64; near the sides the box is nearer.
    assert distance(inner, lower) == pytest.approx(8 / 64 / 5, rel=0.15)


def test_what_is_perturbed_more_is_farther(toys):
    rng = np.random.default_rng(1)
    means = []
    for size in (0, 1, 2, 4, 8, 16):
        found = []
        for drawing in toys[:30]:
            noisy = drawing.copy()
            points = np.cumsum(drawing[:, :2], axis=0) + rng.normal(0, size, (len(drawing), 2))
            noisy[:, :2] = np.diff(points, axis=0, prepend=0)
            found.append(distance(drawing, noisy))
        means.append(np.mean(found))
    assert means == sorted(means)
    assert means[0] < PIXEL / 10 < PIXEL < means[-1]


def test_a_class_is_nearer_to_itself(toys):
    found = metrics.traces(toys)
    within = metrics.distances(found, found)
    np.fill_diagonal(within, np.inf)
    label = np.arange(60) // 20
    assert np.mean(label[within.argmin(axis=1)] == label) > 0.9


def test_dots_and_nothing_are_drawings_too():
    dot, nothing = strokes.from_polylines([[[3, 4]]]), np.zeros((0, 3), np.float32)
    assert distance(dot, nothing) == 0
    across = strokes.from_polylines([[[0, 0], [64, 0]]])
    # From the middle to the line nothing; from the line to its middle a quarter of it.
    assert distance(dot, across) == pytest.approx(0.25 / 2, abs=0.01)
    assert distance(nothing, strokes.from_polylines([[[0, 0], [0, 9]]])) == pytest.approx(0.25 / 2, abs=0.01)


def test_the_pen_that_is_lifted_draws_nothing():
    apart = strokes.from_polylines([[[0, 0], [0, 64]], [[64, 0], [64, 64]]])
    touched = metrics._touched([apart])[0]
    assert touched.sum() == 2 * SIZE
    assert touched[:, 0].all()
    assert touched[:, -1].all()


def test_distance_maps_are_exact():
    rng = np.random.default_rng(0)
    touched = rng.random((20, SIZE, SIZE)) < rng.choice([0.0005, 0.01, 0.3], (20, 1, 1))
    touched[:, 0, 3] = True
    expected = np.stack([distance_transform_edt(~one) for one in touched])
    np.testing.assert_allclose(metrics._distance_map(touched), expected, rtol=1e-6)


def test_pairs_are_the_diagonal(toys):
    some, others = metrics.traces(toys[:6]), metrics.traces(toys[30:36])
    expected = metrics.distances(some, others).diagonal()
    np.testing.assert_allclose(metrics.paired_distances(some, others), expected, rtol=1e-5)


@pytest.mark.parametrize("together", [1, 7, 64])
def test_the_nearest_of_a_long_list(toys, monkeypatch, together):
    monkeypatch.setattr(metrics, "_COMPARED", together)
    monkeypatch.setattr(metrics, "_TOGETHER", 5)
    some = metrics.traces(toys[::9])
    value, number = metrics.nearest(some, iter(toys[:30]))
    every = metrics.distances(some, metrics.traces(toys[:30]))
    np.testing.assert_allclose(value, every.min(axis=1), atol=1e-6)
    np.testing.assert_array_equal(every[np.arange(len(some)), number], every.min(axis=1))
    np.testing.assert_array_equal(number[:4], [0, 9, 18, 27])
    none, nowhere = metrics.nearest(some, [])
    assert np.isinf(none).all()
    assert (nowhere == -1).all()


def test_sizes():
    drawing = strokes.from_polylines([[[0, 0], [3, 4], [-3, 10]], [[5, 5]]])
    found = metrics.sizes([drawing, np.zeros((0, 3)), drawing[:1]])
    assert found["points"].tolist() == [3, 0, 1]
    assert found["strokes"].tolist() == [2, 0, 1]
    assert found["width"].tolist() == [8, 0, 3]
    assert found["height"].tolist() == [10, 0, 4]
    assert found["longer_side"].tolist() == [10, 0, 4]


numbers = hnp.arrays(np.float64, st.integers(1, 12), elements=st.integers(-20, 20).map(float))


@settings(max_examples=60, deadline=None)
@given(numbers, numbers)
def test_sets_of_numbers_as_scipy_compares_them(some, others):
    assert metrics.wasserstein(some, others) == pytest.approx(stats.wasserstein_distance(some, others), abs=1e-9)
    u = stats.mannwhitneyu(others, some).statistic / (len(some) * len(others))
    assert metrics.chance_below(some, others) == pytest.approx(u)


def test_precision_and_recall_as_their_definition_says(toys):
    real, made = metrics.traces(toys[:40:2]), metrics.traces(toys[1:60:3])
    within, among = metrics.distances(real, real), metrics.distances(made, made)
    between = metrics.distances(real, made)
    precision = np.mean([any(between[i, j] <= sorted(within[i])[3] for i in range(20)) for j in range(20)])
    recall = np.mean([any(between[i, j] <= sorted(among[j])[3] for j in range(20)) for i in range(20)])
    assert metrics.precision_recall(within, among, between) == (precision, recall)
    assert 0 < recall < 1


def test_precision_falls_with_what_is_foreign_and_recall_with_what_is_missing(toys):
    real, same = metrics.traces(toys[:40:2]), metrics.traces(toys[1:40:2])
    narrow, wide = metrics.traces([toys[0]] * 10 + [toys[2]] * 10), metrics.traces(toys[1:40:4] + toys[40:50])

    def found(made):
        return metrics.precision_recall(
            metrics.distances(real, real), metrics.distances(made, made), metrics.distances(real, made)
        )

    precision, recall = found(same)
    assert precision > 0.8
    assert recall > 0.8
    assert found(narrow)[0] == 1
    assert found(narrow)[1] < 0.3
    assert found(wide)[0] < 0.7
    few = np.zeros((3, 3))
    assert metrics.precision_recall(few, few, few) == (None, None)


def test_the_mean_of_pairs_leaves_out_the_same_one(toys):
    found = metrics.traces(toys[:5])
    within = metrics.distances(found, found)
    assert metrics.mean_of_pairs(within) == pytest.approx(within[~np.eye(5, dtype=bool)].mean())
    assert metrics.mean_of_pairs(within[:1, :1]) is None
