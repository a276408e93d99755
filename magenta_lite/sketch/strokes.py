"""Drawings as arrays, and how to turn one form into another.

A drawing begins with the pen down at the origin. x grows to the right and y grows downwards, as on a screen.

- stroke-3, float [N, 3]: a row is (dx, dy, lifted), the offset from the point before and 1 if the pen is lifted after
  reaching this point, else 0. The first row is a segment drawn from the origin, which has no row of its own. The last
  row's pen is 1. A run is the rows up to and including one with pen 1; the first row of every run but the first is a
  move with the pen up.
- stroke-5, float [T, 5]: a row is (dx, dy, down, up, end), where the last three are one-hot: the pen stays down after
  this point, is lifted after it, or the drawing is over and the row holds no point. Sequences for a model begin with
  the start token (0, 0, 1, 0, 0) and are padded with (0, 0, 0, 0, 1).
- polylines, a list of float [n, 2]: absolute coordinates, one array for each time the pen touches the paper.

Offsets may be in any unit: simplified QuickDraw's are 1/255 of the drawing's longer side, a codec's are in standard
deviations.
"""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

START = (0.0, 0.0, 1.0, 0.0, 0.0)
END = (0.0, 0.0, 0.0, 0.0, 1.0)


class IntricateError(ValueError):
    """A line that would take very long to simplify, as ones made for that do."""


def to_polylines(strokes: ArrayLike) -> list[NDArray[np.float64]]:
    """The lines of a stroke-3 drawing [N, 3], each float64 [n, 2]; the first begins at the origin.

    A zero-length first row stands for the origin itself, so it adds no second point there. A run of one row is a dot
    (one point), except for the first, which is a segment from the origin. A last row with the pen still down ends its
    line all the same. No rows, no lines.
    """
    strokes = _stroke3(strokes)
    if not len(strokes):
        return []
    points = np.cumsum(strokes[:, :2], axis=0, dtype=np.float64)
    breaks = np.flatnonzero(strokes[:-1, 2] > 0.5) + 1
    lines = np.split(points, breaks)
    if strokes[0, 0] or strokes[0, 1]:
        lines[0] = np.concatenate([np.zeros((1, 2)), lines[0]])
    return lines


def from_polylines(lines: Iterable[ArrayLike]) -> NDArray[np.float32]:
    """The stroke-3 drawing, float32 [N, 3], of polylines; the inverse of to_polylines up to a shift.

    The first point of all moves to the origin and has no row, so N is one less than the number of points. A line of
    one point, a dot, is one row with pen 1. A drawing that begins with a dot begins with the row (0, 0, 1), and only
    then is N the number of points. Lines without points are left out; without any point the result is [0, 3].

    Raises:
      ValueError: a line is not [n, 2].
    """
    arrays = [np.asarray(line, np.float64) for line in lines]
    for line in arrays:
        if line.size and (line.ndim != 2 or line.shape[1] != 2):
            raise ValueError(f"expected lines of shape [n, 2], got {line.shape}")
    arrays = [line for line in arrays if line.size]
    if not arrays:
        return np.zeros((0, 3), np.float32)
    points = np.concatenate(arrays)
    strokes = np.zeros((len(points), 3), np.float32)
    strokes[1:, :2] = np.diff(points, axis=0)
    strokes[np.cumsum([len(line) for line in arrays]) - 1, 2] = 1
    return strokes if len(arrays[0]) == 1 else strokes[1:]


def split(strokes: ArrayLike, given: int) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """The polylines of the first `given` rows of a stroke-3 drawing [N, 3], and those of the rest.

    Where the pen is down at the cut, the rest begins at the last given point, so that nothing is missing in between.
    """
    strokes = _stroke3(strokes)
    given = min(max(given, 0), len(strokes))
    if given == 0:
        return [], to_polylines(strokes)
    first = to_polylines(strokes[:given])
    rest = strokes[given:].astype(np.float64)
    if not len(rest):
        return first, []
    here = strokes[:given, :2].sum(axis=0, dtype=np.float64)
    lines = np.split(here + np.cumsum(rest[:, :2], axis=0), np.flatnonzero(rest[:-1, 2] > 0.5) + 1)
    if strokes[given - 1, 2] < 0.5:
        lines[0] = np.concatenate([here[None], lines[0]])
    return first, lines


def to_stroke5(strokes: ArrayLike, length: int) -> NDArray[np.float32]:
    """A stroke-3 drawing [N, 3] as float32 [length + 1, 5]: the start token, the N points, then padding.

    A drawing of exactly `length` points has no row with the end flag.

    Raises:
      ValueError: the drawing has more than `length` points.
    """
    strokes = _stroke3(strokes)
    n = len(strokes)
    if n > length:
        raise ValueError(f"expected at most {length} points, got {n}")
    rows = np.zeros((length + 1, 5), np.float32)
    rows[0, 2] = 1
    rows[1 : n + 1, :2] = strokes[:, :2]
    rows[1 : n + 1, 3] = strokes[:, 2] > 0.5
    rows[1 : n + 1, 2] = 1 - rows[1 : n + 1, 3]
    rows[n + 1 :, 4] = 1
    return rows


def from_stroke5(rows: ArrayLike, *, start_token: bool = True) -> NDArray[np.float32]:
    """The stroke-3 drawing, float32 [N, 3], held in stroke-5 rows [T, 5], cut at the first end flag.

    The last row's pen is set to 1 even when the rows stop with the pen down, as generated ones may.

    Args:
      rows: [T, 5], with one-hot pen states.
      start_token: whether the first row is the start token, to be dropped.

    Raises:
      ValueError: rows is not [T, 5].
    """
    rows = np.asarray(rows)
    if rows.ndim != 2 or rows.shape[1] != 5:
        raise ValueError(f"expected stroke-5 rows of shape [T, 5], got {rows.shape}")
    rows = rows[1:] if start_token else rows
    ends = np.flatnonzero(rows[:, 4] > 0.5)
    rows = rows[: ends[0]] if len(ends) else rows
    strokes = rows[:, [0, 1, 3]].astype(np.float32)
    strokes[:, 2] = strokes[:, 2] > 0.5
    strokes[-1:, 2] = 1
    return strokes


def bounds(strokes: ArrayLike) -> tuple[float, float, float, float]:
    """(min_x, max_x, min_y, max_y) of a stroke-3 drawing [N, 3], the origin included; all zero if it is empty."""
    strokes = _stroke3(strokes)
    points = np.zeros((len(strokes) + 1, 2))
    np.cumsum(strokes[:, :2], axis=0, out=points[1:])
    (min_x, min_y), (max_x, max_y) = points.min(axis=0), points.max(axis=0)
    return float(min_x), float(max_x), float(min_y), float(max_y)


def random_scale(strokes: ArrayLike, factor: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """A stroke-3 drawing stretched in x and in y by two independent factors, uniform in [1 - factor, 1 + factor].

    Args:
      strokes: [N, 3]; left as it is.
      factor: 0 (no change) to 1.
      rng: two numbers are drawn from it.
    """
    scaled = np.array(strokes, np.float32)
    scaled[:, :2] *= rng.uniform(1 - factor, 1 + factor, size=2)
    return scaled


def drop_points(strokes: ArrayLike, probability: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """A stroke-3 drawing with some interior points left out at random, as SketchRNN's published augmentation does.

    A row that is the fourth or later of its run and not the run's last is merged, with the given probability, into the
    row kept before it: that row's point (the third of the run or a later one) is skipped. Where runs begin and end,
    their first two points and the total displacement stay the same.

    Args:
      strokes: [N, 3]; left as it is.
      probability: of each such row, 0 to 1.
      rng: N numbers are drawn from it.
    """
    strokes = np.asarray(strokes, np.float32)
    n = len(strokes)
    if not n:
        return strokes.copy()
    down = strokes[:, 2] < 0.5
    keep = rng.random(n) >= probability
    keep |= ~down
    # A run begins after each lifted pen, so the first three rows of a run are those with a lift (or the beginning)
    # one to three rows earlier.
    keep[:3] = True
    for lag in (1, 2, 3):
        keep[lag:] |= ~down[:-lag]
    kept = np.flatnonzero(keep)
    result = np.empty((len(kept), 3), np.float32)
    result[:, :2] = np.add.reduceat(strokes[:, :2], kept, axis=0)
    result[:, 2] = strokes[kept, 2]
    return result


def simplify(
    points: ArrayLike, epsilon: float, *, endless: bool = False, most: float = math.inf
) -> NDArray[np.float64]:
    """The points of one polyline that Ramer-Douglas-Peucker keeps, float64 [m, 2], its ends among them.

    Every point left out lies within epsilon of the segment between the kept points around it. Distances are to the
    segment, not to the endless line through it, so lines that double back or close on themselves keep their shape.
    Points repeated in a row are given once. A closed line that stays within epsilon of its ends becomes one point.

    Args:
      points: [n, 2], a line in absolute coordinates.
      epsilon: largest error, in the unit of the points; >= 0. QuickDraw used 2 in a box of 255.
      endless: measure to the endless line all the same, as QuickDraw did: what doubles back may then be lost.
      most: distances to measure; hands' drawings take about 10 n, and n^2 / 2 are always enough.

    Raises:
      IntricateError: that many do not suffice.
    """
    points = np.asarray(points, np.float64).reshape(-1, 2)
    n = len(points)
    if n < 2:
        return points.copy()
    line = points[:, 0] + 1j * points[:, 1]
    keep = np.zeros(n, bool)
    keep[[0, -1]] = True
    pending = [(0, n - 1)]
    left = most
    while pending:
        first, last = pending.pop()
        if last - first < 2:
            continue
        left -= last - first
        if left < 0:
            raise IntricateError(f"simplifying a line of {n:,} points takes too long")
        if endless:
            distances, unit = _to_line(line[first + 1 : last], line[first], line[last])
        else:
            distances, unit = _to_segment(points[first + 1 : last], points[first], points[last]), 1.0
        farthest = int(distances.argmax())
        if distances[farthest] > epsilon * unit:
            middle = first + 1 + farthest
            keep[middle] = True
            pending += [(first, middle), (middle, last)]
    kept = points[keep]
    return kept[:1] if len(kept) == 2 and np.array_equal(kept[0], kept[1]) else kept


def _to_segment(points: NDArray, start: NDArray, end: NDArray) -> NDArray:
    """Distances [n] of points [n, 2] to the segment from start to end, which may be one point."""
    along = end - start
    squared = float(along @ along)
    away = points - start
    if squared > 0:
        away = away - np.clip(away @ along / squared, 0, 1)[:, None] * along
    return np.hypot(away[:, 0], away[:, 1])


def _to_line(points: NDArray, start: complex, end: complex) -> tuple[NDArray, float]:
    """Distances [n] of points [n], complex, to the endless line through start and end, and the unit they are in.

    Pieces of lines are short, so that what counts is how few operations there are.
    """
    along = end - start
    squared = along.real**2 + along.imag**2
    if squared == 0:
        return np.abs(points - start), 1.0
    return np.abs(((points - start) * along.conjugate()).imag), math.sqrt(squared)


def _stroke3(strokes: ArrayLike) -> NDArray:
    strokes = np.asarray(strokes)
    if strokes.ndim != 2 or strokes.shape[1] != 3:
        raise ValueError(f"expected stroke-3 of shape [N, 3], got {strokes.shape}")
    return strokes
