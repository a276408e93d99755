import itertools

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from magenta_lite.sketch.strokes import (
    END,
    START,
    bounds,
    drop_points,
    from_polylines,
    from_stroke5,
    random_scale,
    simplify,
    split,
    to_polylines,
    to_stroke5,
)


@st.composite
def drawings(draw, least=1):
    """Stroke-3 as in QuickDraw: whole numbers, a first row that moves, a last pen of 1."""
    n = draw(st.integers(least, 60))
    offsets = draw(arrays.arrays(np.int16, (n, 2), elements=st.integers(-300, 300)))
    pens = draw(arrays.arrays(np.int16, n, elements=st.integers(0, 1)))
    strokes = np.concatenate([offsets, pens[:, None]], axis=1).astype(np.float32)
    if n:
        strokes[-1, 2] = 1
        strokes[0, 0] += not strokes[0, :2].any()
    return strokes


@given(drawings(least=0))
def test_polylines_and_back(strokes):
    np.testing.assert_array_equal(from_polylines(to_polylines(strokes)), strokes)


@given(st.lists(arrays.arrays(np.float64, st.tuples(st.integers(1, 9), st.just(2)), elements=st.integers(-999, 999))))
def test_lines_and_back_up_to_a_shift(lines):
    # Only a point repeated at the very beginning is not kept: it cannot be told from the origin.
    if lines and len(lines[0]) > 1 and (lines[0][0] == lines[0][1]).all():
        lines[0][1:] += 1
    back = to_polylines(from_polylines(lines))
    assert len(back) == len(lines)
    for line, same in zip(lines, back, strict=True):
        np.testing.assert_array_equal(line - lines[0][0], same)


def test_literal_drawing():
    strokes = np.array([[3, 0, 0], [0, 4, 1], [1, 1, 1], [5, 5, 0], [1, 0, 1]], np.float32)
    lines = to_polylines(strokes)
    assert [line.tolist() for line in lines] == [[[0, 0], [3, 0], [3, 4]], [[4, 5]], [[9, 10], [10, 10]]]
    assert bounds(strokes) == (0, 10, 0, 10)
    assert to_stroke5(strokes, 6).tolist() == [
        list(START),
        [3, 0, 1, 0, 0],
        [0, 4, 0, 1, 0],
        [1, 1, 0, 1, 0],
        [5, 5, 1, 0, 0],
        [1, 0, 0, 1, 0],
        list(END),
    ]


def test_zero_first_row_is_the_origin_itself():
    assert [line.tolist() for line in to_polylines([[0, 0, 0], [5, 0, 1]])] == [[[0, 0], [5, 0]]]
    assert [line.tolist() for line in to_polylines([[0, 0, 1], [5, 0, 1]])] == [[[0, 0]], [[5, 0]]]


def test_dots_survive_wherever_they_are():
    lines = [[[7, 7]], [[8, 8], [9, 9]], [[1, 1]]]
    assert [line.tolist() for line in to_polylines(from_polylines(lines))] == [
        [[0, 0]],
        [[1, 1], [2, 2]],
        [[-6, -6]],
    ]


def test_nothing_drawn():
    assert to_polylines(np.zeros((0, 3))) == []
    assert from_polylines([]).shape == from_polylines([np.zeros((0, 2))]).shape == (0, 3)
    assert bounds(np.zeros((0, 3))) == (0, 0, 0, 0)
    assert from_stroke5([START, END]).shape == (0, 3)
    assert drop_points(np.zeros((0, 3)), 0.5, np.random.default_rng(0)).shape == (0, 3)
    assert simplify([], 1.0).shape == (0, 2)


@given(drawings(least=0), st.integers(0, 5))
def test_stroke5_and_back(strokes, spare):
    rows = to_stroke5(strokes, len(strokes) + spare)
    assert rows.shape == (len(strokes) + spare + 1, 5)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows[:, 2:].sum(axis=1), 1)
    np.testing.assert_array_equal(from_stroke5(rows), strokes)
    np.testing.assert_array_equal(from_stroke5(rows[1:], start_token=False), strokes)


def test_stroke5_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="at most 1 points, got 2"):
        to_stroke5([[1, 1, 0], [1, 1, 1]], 1)
    with pytest.raises(ValueError, match="stroke-5"):
        from_stroke5(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="stroke-3"):
        to_polylines(np.zeros((3, 5)))


def test_stroke5_ends_at_the_first_end_flag_with_the_pen_lifted():
    rows = np.array([START, (1, 2, 1, 0, 0), (3, 4, 1, 0, 0), END, (5, 6, 1, 0, 0)])
    assert from_stroke5(rows).tolist() == [[1, 2, 0], [3, 4, 1]]


@given(drawings(), st.integers(0, 70))
def test_split_loses_no_segment(strokes, cut):
    def segments(lines):
        return sorted((*a, *b) for line in lines for a, b in itertools.pairwise(line.tolist()))

    first, rest = split(strokes, cut)
    assert sorted(segments(first) + segments(rest)) == segments(to_polylines(strokes))


def test_random_scale_stretches_each_axis_by_one_factor():
    strokes = np.array([[10, 20, 0], [-30, 40, 1]], np.float32)
    factors = np.array(
        [random_scale(strokes, 0.25, np.random.default_rng(seed))[:, :2] / strokes[:, :2] for seed in range(200)]
    )
    np.testing.assert_allclose(factors[:, 0], factors[:, 1], rtol=1e-6)
    assert factors.min() >= 0.75
    assert factors.max() <= 1.25
    assert np.ptp(factors) > 0.45
    assert abs(np.corrcoef(factors[:, 0].T)[0, 1]) < 0.3


def published_dropping(strokes, probability, draws):
    """One row at a time: runs are counted from the row after a lifted pen, and the first three rows stay."""
    kept, in_run = [], 0
    for (dx, dy, pen), chance in zip(strokes.tolist(), draws, strict=True):
        if pen == 0 and in_run >= 3 and chance < probability:
            kept[-1][0] += dx
            kept[-1][1] += dy
        else:
            kept.append([dx, dy, pen])
        in_run = 0 if pen else in_run + 1
    return kept


@given(drawings(), st.floats(0, 1), st.integers(0, 1000))
def test_drop_points_is_the_published_rule(strokes, probability, seed):
    before = strokes.copy()
    dropped = drop_points(strokes, probability, np.random.default_rng(seed))
    draws = np.random.default_rng(seed).random(len(strokes))
    np.testing.assert_array_equal(strokes, before)
    np.testing.assert_array_equal(dropped, published_dropping(strokes, probability, draws))


@given(drawings(), st.floats(0, 1))
def test_drop_points_keeps_the_ends_of_lines(strokes, probability):
    dropped = drop_points(strokes, probability, np.random.default_rng(0))
    np.testing.assert_array_equal(dropped[:, :2].sum(axis=0), strokes[:, :2].sum(axis=0))
    for line, thinner in zip(to_polylines(strokes), to_polylines(dropped), strict=True):
        np.testing.assert_array_equal(line[[0, -1]], thinner[[0, -1]])
        assert {tuple(point) for point in thinner.tolist()} <= {tuple(point) for point in line.tolist()}


def test_drop_points_at_its_two_ends():
    strokes = np.ones((10, 3), np.float32) * [1, 1, 0]
    strokes[-1, 2] = 1
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(drop_points(strokes, 0, rng), strokes)
    assert drop_points(strokes, 1, rng).tolist() == [[1, 1, 0], [1, 1, 0], [7, 7, 0], [1, 1, 1]]


def distance(point, a, b):
    ab = b - a
    t = 0.0 if not ab.any() else np.clip((point - a) @ ab / (ab @ ab), 0, 1)
    return float(np.linalg.norm(point - a - t * ab))


def douglas_peucker(points, epsilon):
    if len(points) < 3:
        return list(points)
    apart = [distance(point, points[0], points[-1]) for point in points[1:-1]]
    if max(apart) <= epsilon:
        return [points[0], points[-1]]
    middle = 1 + int(np.argmax(apart))
    return douglas_peucker(points[: middle + 1], epsilon)[:-1] + douglas_peucker(points[middle:], epsilon)


# Few distinct points, so that repeats, closed lines and lines that double back are common.
lines = arrays.arrays(np.float64, st.tuples(st.integers(2, 25), st.just(2)), elements=st.integers(0, 6))


@given(lines, st.sampled_from([0.0, 0.3, 1.1, 2.7]))
def test_simplify_keeps_what_the_recursion_keeps_and_stays_within_epsilon(points, epsilon):
    kept = simplify(points, epsilon)
    expected = np.array(douglas_peucker(points, epsilon))
    if len(expected) == 2 and (expected[0] == expected[1]).all():
        expected = expected[:1]
    np.testing.assert_array_equal(kept, expected)
    np.testing.assert_array_equal(kept[[0, -1]], points[[0, -1]])
    segments = list(zip(kept, [*kept[1:], kept[-1]], strict=True))
    for point in points:
        assert min(distance(point, a, b) for a, b in segments) <= epsilon + 1e-9


def test_simplify_long_lines_without_recursion():
    zigzag = np.stack([np.arange(5000), np.arange(5000) % 2], axis=1)
    assert len(simplify(zigzag, 0.4)) == 5000
    assert len(simplify(zigzag, 1.0)) == 2
