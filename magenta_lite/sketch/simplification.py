"""Drawings in any unit brought into the form of QuickDraw's simplified ones: a box of 255, few points, whole numbers.

Polylines are lists of float [n, 2], absolute coordinates, x to the right and y downwards; see strokes.py.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from magenta_lite.errors import Rejected
from magenta_lite.sketch.strokes import IntricateError, simplify

BOX = 255  # the longer side of a simplified drawing
EPSILON = 2.0  # how far QuickDraw let simplifying move a line, in the same unit

MOST_POINTS = 100_000  # of a drawing; raw ones of QuickDraw have about 1,000
_LONGEST = 200_000.0  # way of the pen in a box of 255, which is resampled; in QuickDraw's it is 36,000 at most

_PATIENCE = 500  # distances to measure for each point of a line, so that no line of up to 1,000 points is refused
_INTRICATE = Rejected("lines too intricate to be simplified")

Lines = list[NDArray[np.float64]]


def as_published(lines: Sequence[NDArray]) -> Lines | Rejected:
    """A raw QuickDraw drawing, simplified as the published simplified ones were.

    The rule is that of the data set's own description: moved to the upper left corner, scaled to a longer side of 255,
    resampled at a spacing of 1, simplified by Ramer-Douglas-Peucker with epsilon 2. What it leaves open is settled by
    what gives the published numbers (95 in 100 drawings to the last one): a stroke's last point is always resampled,
    distances are to endless lines, numbers are rounded last, and a dot is one point twice.
    """
    boxed = fit_box(lines)
    if isinstance(boxed, Rejected):
        return boxed
    if sum(float(np.hypot(*np.diff(line, axis=0).T).sum()) for line in boxed) > _LONGEST:
        return Rejected(f"lines longer than {_LONGEST:,.0f} in a box of {BOX}")
    try:
        return [_two(np.rint(_simplify(resample(line), EPSILON, endless=True))) for line in boxed]
    except IntricateError:
        return _INTRICATE


def simplified(lines: Sequence[NDArray], epsilon: float) -> Lines | Rejected:
    """A drawing of any origin in QuickDraw's form: its longer side 255, simplified, in whole numbers.

    Unlike `as_published` it is not resampled first, so that corners stay where they are, and distances are to segments,
    so that what doubles back is kept. Points that fall together when rounded are one; a dot is one point twice.

    Args:
      lines: polylines in any unit.
      epsilon: how far simplifying may move a line, in 1/255 of the longer side.
    """
    boxed = fit_box(lines)
    if isinstance(boxed, Rejected):
        return boxed
    try:
        return [_two(_distinct(np.rint(_simplify(line, epsilon)))) for line in boxed]
    except IntricateError:
        return _INTRICATE


def fit_box(lines: Sequence[NDArray]) -> Lines | Rejected:
    """The lines moved and scaled alike, so that their least x and y are 0 and the longer side is 255.

    Lines without points are left out. Rejected: no points at all, all of them in one place, or more than MOST_POINTS.
    """
    lines = [np.asarray(line, np.float64) for line in lines if len(line)]
    if not lines:
        return Rejected("drawing without points")
    if sum(map(len, lines)) > MOST_POINTS:
        return Rejected(f"more than {MOST_POINTS:,} points")
    points = np.concatenate(lines)
    corner = points.min(axis=0)
    side = float((points.max(axis=0) - corner).max())
    # Multiplied first: that is how the published numbers come out.
    return [(line - corner) * BOX / side for line in lines] if side > 0 else Rejected("drawing of a single point")


def resample(line: NDArray, spacing: float = 1.0) -> NDArray[np.float64]:
    """Points [m, 2] on a polyline [n, 2], every `spacing` along it from its beginning, and its end."""
    line = np.asarray(line, np.float64)
    way = np.zeros(len(line))
    np.cumsum(np.hypot(np.diff(line[:, 0]), np.diff(line[:, 1])), out=way[1:])
    stops = np.append(np.arange(0, way[-1], spacing), way[-1])
    return np.stack([np.interp(stops, way, line[:, 0]), np.interp(stops, way, line[:, 1])], axis=1)


def _simplify(line: NDArray, epsilon: float, *, endless: bool = False) -> NDArray[np.float64]:
    return simplify(line, epsilon, endless=endless, most=_PATIENCE * len(line))


def _distinct(line: NDArray) -> NDArray:
    """The points without those that repeat the one before."""
    return line[np.append(True, (np.diff(line, axis=0) != 0).any(axis=1))]


def _two(line: NDArray) -> NDArray:
    """The line; a dot, one point, as QuickDraw writes it: twice."""
    return line if len(line) > 1 else np.concatenate([line, line])
