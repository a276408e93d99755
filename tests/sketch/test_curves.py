"""Curves flattened: on the curve, close to it, and the same before a map as after it."""

import itertools
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from magenta_lite.sketch.curves import Affine, Arc, Bezier, Subpath

number = st.integers(-1000, 1000).map(lambda n: n / 10)
point = st.builds(complex, number, number)
beziers = st.lists(point, min_size=2, max_size=4).map(lambda points: Bezier(tuple(points)))
arcs = st.builds(Arc, point, point, point, st.floats(-7, 7), st.floats(-6.3, 6.3))
affines = st.builds(Affine, point, point, point)


def de_casteljau(points, t):
    while len(points) > 1:
        points = [a + (b - a) * t for a, b in itertools.pairwise(points)]
    return points[0]


def exact(curve, t):
    if isinstance(curve, Bezier):
        return de_casteljau(curve.points, t)
    angle = curve.begin + t * curve.sweep
    return curve.centre + curve.cosine * math.cos(angle) + curve.sine * math.sin(angle)


def apart(points, line):
    """Distances [n] of complex points to a complex polyline."""
    least = np.full(len(points), np.inf)
    for a, b in itertools.pairwise(line):
        along = ((points - a) * np.conj(b - a)).real / abs(b - a) ** 2 if a != b else np.zeros(len(points))
        least = np.minimum(least, abs(points - a - np.clip(along, 0, 1) * (b - a)))
    return least


@given(beziers | arcs, st.sampled_from([0.1, 1.0, 7.0]))
def test_flattened_curves_are_on_the_curve_and_close_to_it(curve, tolerance):
    flat = curve.flattened(tolerance)
    steps = np.arange(1, len(flat) + 1) / len(flat)
    np.testing.assert_allclose(flat, [exact(curve, t) for t in steps], atol=1e-9)
    between = np.array([exact(curve, t) for t in np.linspace(0, 1, 97)])
    assert apart(between, np.concatenate([[exact(curve, 0)], flat])).max() <= tolerance + 1e-9


def test_no_more_points_than_it_takes():
    """Of a circle, chords of n equal parts are 1 - cos(pi / n) from it."""
    for tolerance in (0.1, 0.01, 0.001):
        n = len(Arc(0, 1, 1j, 0.0, 2 * math.pi).flattened(tolerance))
        least = math.pi / math.acos(1 - tolerance)
        assert least <= n <= 1.5 * least + 1
    assert len(Bezier((0j, 5j)).flattened(1e-9)) == 1


@given(beziers | arcs, affines, st.floats(0, 1))
def test_a_map_may_come_before_or_after(curve, affine, t):
    np.testing.assert_allclose(exact(curve.moved(affine), t), affine(exact(curve, t)), atol=1e-6)


@given(affines, affines, point)
def test_maps_are_matrices(one, two, z):
    def matrix(affine):
        rows = [[f(c) for c in (affine.x_axis, affine.y_axis, affine.origin)] for f in (np.real, np.imag)]
        return np.array([*rows, [0, 0, 1]])

    expected = matrix(one) @ matrix(two) @ [z.real, z.imag, 1]
    got = (one @ two)(z)
    np.testing.assert_allclose([got.real, got.imag], expected[:2], rtol=1e-9, atol=1e-6)


@given(point, st.lists(beziers | arcs, max_size=3))
def test_hulls_hold_the_curves(start, curves):
    subpath = Subpath(start, tuple(curves))
    points = np.concatenate([[start], *[[exact(curve, t) for t in np.linspace(0, 1, 33)] for curve in curves]])
    hull = np.array(subpath.hull())
    for axis in (np.real, np.imag):
        assert axis(hull).min() <= axis(points).min() + 1e-9
        assert axis(hull).max() >= axis(points).max() - 1e-9
