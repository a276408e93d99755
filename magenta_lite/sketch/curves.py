"""Straight lines, Bezier curves and elliptical arcs, moved by affine maps and flattened into polylines.

Points are complex numbers, x + iy. Maps are applied to curves before they are flattened, so that the tolerance is in
the unit of the result; all three kinds stay what they are under such a map.
"""

import cmath
import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True)
class Affine:
    """The map x + iy -> x * x_axis + y * y_axis + origin."""

    x_axis: complex = 1
    y_axis: complex = 1j
    origin: complex = 0

    def linear(self, offset: complex) -> complex:
        """Where an offset, a difference of points, goes."""
        return offset.real * self.x_axis + offset.imag * self.y_axis

    def __call__(self, point: complex) -> complex:
        return self.linear(point) + self.origin

    def __matmul__(self, first: "Affine") -> "Affine":
        """The map that does `first` and then this one."""
        return Affine(self.linear(first.x_axis), self.linear(first.y_axis), self(first.origin))


@dataclasses.dataclass(frozen=True)
class Bezier:
    """A Bezier curve of degree 1 (a straight line), 2 or 3, by its control points, the ends among them."""

    points: tuple[complex, ...]

    def moved(self, affine: Affine) -> "Bezier":
        """The curve under a map."""
        return Bezier(tuple(map(affine, self.points)))

    def hull(self) -> tuple[complex, ...]:
        """Points whose bounding box holds the curve."""
        return self.points

    def flattened(self, tolerance: float) -> NDArray[np.complex128]:
        """Points [n] on the curve, the beginning left out, whose chords are within tolerance of it."""
        points = np.array(self.points)
        degree = len(points) - 1
        if degree == 1:
            return points[1:]
        # A chord of a step h in t is within h^2 max|B''| / 8 of the curve.
        bend = degree * (degree - 1) * float(np.abs(np.diff(points, 2)).max())
        t = _steps(math.sqrt(bend / (8 * tolerance)))
        weights = np.stack([math.comb(degree, k) * t**k * (1 - t) ** (degree - k) for k in range(degree + 1)], axis=1)
        return weights @ points


@dataclasses.dataclass(frozen=True)
class Arc:
    """The part of an ellipse centre + cos(a) * cosine + sin(a) * sine for a from begin to begin + sweep, in radians."""

    centre: complex
    cosine: complex
    sine: complex
    begin: float
    sweep: float

    def moved(self, affine: Affine) -> "Arc":
        """The arc under a map."""
        return Arc(affine(self.centre), affine.linear(self.cosine), affine.linear(self.sine), self.begin, self.sweep)

    def hull(self) -> tuple[complex, ...]:
        """Points whose bounding box holds the ellipse."""
        reach = complex(math.hypot(self.cosine.real, self.sine.real), math.hypot(self.cosine.imag, self.sine.imag))
        return self.centre - reach, self.centre + reach

    def at(self, angle: float) -> complex:
        """The point for an angle."""
        return self.centre + math.cos(angle) * self.cosine + math.sin(angle) * self.sine

    def flattened(self, tolerance: float) -> NDArray[np.complex128]:
        """Points [n] on the arc, the beginning left out, whose chords are within tolerance of it."""
        # The second derivative is the offset from the centre, at most the longer half axis.
        bend = math.hypot(abs(self.cosine), abs(self.sine)) * self.sweep**2
        angle = self.begin + self.sweep * _steps(math.sqrt(bend / (8 * tolerance)))
        return self.centre + np.cos(angle) * self.cosine + np.sin(angle) * self.sine


Curve = Bezier | Arc


@dataclasses.dataclass(frozen=True)
class Subpath:
    """What is drawn without lifting the pen: where it begins, and the curves from there, each where the last ended."""

    start: complex
    curves: tuple[Curve, ...]

    def moved(self, affine: Affine) -> "Subpath":
        """The subpath under a map."""
        return Subpath(affine(self.start), tuple(curve.moved(affine) for curve in self.curves))

    def hull(self) -> list[complex]:
        """Points whose bounding box holds the subpath."""
        return [self.start, *(point for curve in self.curves for point in curve.hull())]

    def flattened(self, tolerance: float) -> NDArray[np.float64]:
        """The polyline [n, 2] whose segments are within tolerance of the curves."""
        flat = np.concatenate([[complex(self.start)], *(curve.flattened(tolerance) for curve in self.curves)])
        return np.stack([flat.real, flat.imag], axis=1)


def is_finite(subpath: Subpath, most: float) -> bool:
    """Whether every coordinate is a number of at most this size."""
    return all(cmath.isfinite(point) and max(abs(point.real), abs(point.imag)) <= most for point in subpath.hull())


def polyline(points: Sequence[complex]) -> Subpath:
    """Straight lines from point to point."""
    return Subpath(points[0], tuple(Bezier(pair) for pair in itertools.pairwise(points)))


def _steps(count: float) -> NDArray[np.float64]:
    """The ends of that many equal parts of 0..1, rounded up, at least one."""
    parts = max(1, math.ceil(count))
    return np.arange(1, parts + 1) / parts
