"""Distances between drawings, and between sets of them.

The distance of two drawings is the symmetric chamfer distance of their traces. A drawing is moved and scaled until its
bounding box is centred in a square and the longer side fills it; its trace is the set of pixels, of SIZE x SIZE, that
its lines and dots touch. The distance is the mean, over the ink of one, of the way to the nearest ink of the other, and
the mean of that in both directions. Unit: the longer side of a drawing; range 0 to the square's diagonal, 1.41. 0.02
means that ink lies 2 % of the drawing's size away from the other's ink. It is 0 for a drawing and itself, the same in
both directions, and blind to place and size, to the order and direction of lines, and to how finely a line is cut into
points; a line drawn twice counts once. It is no metric: the triangle inequality does not hold. Differences below a
pixel, 1/64 of the longer side, are lost for a point by itself; the mean over hundreds of pixels is finer.

Chamfer matching: Barrow et al. 1977, "Parametric correspondence and chamfer matching"; as a distance of generated
shapes: Fan et al. 2017, "A Point Set Generation Network", section 3.2. By way of distance maps it is two matrix
products for a set of drawings against another, whatever the number of points.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

SIZE = 65
"""Pixels along a side of a trace; odd, so that a line through the middle falls on pixels, not between two rows."""

_TOGETHER = 64  # drawings traced at once: bounds memory, and stays in the processor's cache
_COMPARED = 256  # drawings of a long list compared at once

Drawing = NDArray
"""stroke-3 [N, 3], in any unit."""


@dataclasses.dataclass(frozen=True, eq=False)
class Traces:
    """What distances of n drawings are made from, pixel by pixel.

    ink: float32 [n, SIZE * SIZE], the same share for each touched pixel, sum 1. away: float32 [n, SIZE * SIZE], from
    each pixel to the nearest touched one, in longer sides of the drawing.
    """

    ink: NDArray[np.float32]
    away: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ink)

    def __getitem__(self, rows: slice | NDArray) -> "Traces":
        return Traces(self.ink[rows], self.away[rows])


def traces(drawings: Sequence[Drawing]) -> Traces:
    """The traces of drawings, stroke-3 [N, 3] of finite numbers. One without points, or without size, is a dot."""
    ink = np.zeros((len(drawings), SIZE * SIZE), np.float32)
    away = np.zeros_like(ink)
    for start in range(0, len(drawings), _TOGETHER):
        touched = _touched(drawings[start : start + _TOGETHER])
        rows = slice(start, start + len(touched))
        flat = touched.reshape(len(touched), -1)
        ink[rows] = flat / flat.sum(axis=1, keepdims=True, dtype=np.float32)
        away[rows] = _distance_map(touched).reshape(flat.shape) / np.float32(SIZE - 1)
    return Traces(ink, away)


def distances(some: Traces, others: Traces) -> NDArray[np.float32]:
    """The distance of each of n drawings to each of m others, [n, m], in longer sides, 0 to 1.41."""
    return np.float32(0.5) * (some.ink @ others.away.T + some.away @ others.ink.T)


def paired_distances(some: Traces, others: Traces) -> NDArray[np.float32]:
    """The distance of each of n drawings to its partner among n others, [n]."""
    there = np.einsum("ni,ni->n", some.ink, others.away)
    return np.float32(0.5) * (there + np.einsum("ni,ni->n", some.away, others.ink))


def nearest(some: Traces, drawings: Iterable[Drawing]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """For each of n drawings the distance to the nearest one of a long list, which is read once, and its number there.

    Without any, the distances are infinite and the numbers -1.
    """
    least = np.full(len(some), np.inf, np.float32)
    number = np.full(len(some), -1)
    seen = 0
    for part in _parts(drawings, _COMPARED):
        found = distances(some, traces(part))
        closest = found.argmin(axis=1)
        value = found[np.arange(len(some)), closest]
        number = np.where(value < least, seen + closest, number)
        least = np.minimum(value, least)
        seen += len(part)
    return least, number


def sizes(drawings: Iterable[Drawing]) -> dict[str, NDArray[np.float64]]:
    """Of each drawing: points (rows), strokes (lines, dots among them), width, height and longer_side in its unit."""
    rows = []
    for drawing in drawings:
        drawing = np.asarray(drawing, np.float64)
        points = np.concatenate([np.zeros((1, 2)), np.cumsum(drawing[:, :2], axis=0)])
        width, height = points.max(axis=0) - points.min(axis=0)
        lifts = int((drawing[:-1, 2] > 0.5).sum()) + (len(drawing) > 0)
        rows.append((len(drawing), lifts, width, height, max(width, height)))
    columns = np.array(rows, np.float64).reshape(len(rows), 5).T
    return dict(zip(("points", "strokes", "width", "height", "longer_side"), columns, strict=True))


def wasserstein(some: NDArray, others: NDArray) -> float:
    """Wasserstein-1 distance of two sets of numbers, in their unit: how far the one must be moved to become the other.

    The area between their cumulative distributions; the sets may differ in number, and neither is empty.
    """
    values = np.sort(np.concatenate([some, others]).astype(np.float64))
    below = [np.searchsorted(np.sort(part), values[:-1], side="right") / len(part) for part in (some, others)]
    return float(np.sum(np.abs(below[0] - below[1]) * np.diff(values)))


def chance_below(some: NDArray, others: NDArray) -> float:
    """How probable it is that one of `some` is less than one of `others`, ties counting half; 0 to 1.

    Mann and Whitney's U over its largest value: 0.5 where both come from one distribution.
    """
    ordered = np.sort(others)
    less = len(ordered) - np.searchsorted(ordered, some, side="right")
    ties = len(ordered) - np.searchsorted(ordered, some, side="left") - less
    return float((less + ties / 2).mean() / len(ordered))


def precision_recall(
    real: NDArray, made: NDArray, between: NDArray, neighbours: int = 3
) -> tuple[float, float] | tuple[None, None]:
    """Improved precision and recall (Kynkaanniemi et al. 2019, section 2), from distances instead of features.

    The region of a set is made of a ball around each member, which reaches to its `neighbours`-th nearest fellow.
    Precision is the share of the made that lie in the region of the real, recall of the real in that of the made; both
    0 to 1. They rise with the number of examples: compare at equal numbers. None where a set has too few for a ball.

    Args:
      real: [n, n], distances of the real ones. made: [m, m], of the made ones. between: [n, m].
      neighbours: 3 in the paper.
    """
    if min(len(real), len(made)) <= neighbours:
        return None, None
    # The nearest of all is the example itself.
    reach_real, reach_made = (np.sort(within, axis=1)[:, neighbours] for within in (real, made))
    precision = (between <= reach_real[:, None]).any(axis=0).mean()
    recall = (between <= reach_made[None, :]).any(axis=1).mean()
    return float(precision), float(recall)


def mean_of_pairs(within: NDArray) -> float | None:
    """The mean distance of two different members of a set, from the distances [n, n]; None for fewer than two."""
    n = len(within)
    return float((within.sum(dtype=np.float64) - np.trace(within)) / (n * (n - 1))) if n > 1 else None


def _parts(drawings: Iterable[Drawing], size: int) -> Iterator[list[Drawing]]:
    iterator = iter(drawings)
    while part := list(itertools.islice(iterator, size)):
        yield part


def _touched(drawings: Sequence[Drawing]) -> NDArray[np.bool_]:
    """Which pixels [n, SIZE (y), SIZE (x)] the normalised drawings touch: at least one each, and no gaps in a line."""
    count = np.array([len(drawing) for drawing in drawings])
    first = np.cumsum(count + 1) - (count + 1)  # where the origin of each drawing stands among all points
    rows = np.concatenate([np.concatenate([np.zeros((1, 3)), drawing]) for drawing in drawings]).astype(np.float64)
    owner = np.repeat(np.arange(len(drawings)), count + 1)
    points = np.cumsum(rows[:, :2], axis=0)
    points -= points[first][owner]
    low, high = np.minimum.reduceat(points, first), np.maximum.reduceat(points, first)
    side = (high - low).max(axis=1)
    side[side == 0] = 1
    points = (points - ((low + high) / 2)[owner]) / side[owner, None]
    pixels = (points + 0.5) * (SIZE - 1)
    # A point is reached from the one before, with the pen down unless that one lifted it; the origin is reached from
    # itself, and is drawn because the first row is a segment from it.
    before = np.maximum(np.arange(len(points)) - 1, 0)
    alone = rows[before, 2] > 0.5
    alone[first] = True
    before = np.where(alone, np.arange(len(points)), before)
    # Two steps a pixel leave none out that the line runs through for longer than half a pixel.
    steps = 1 + np.ceil(2 * np.abs(pixels - pixels[before]).max(axis=1)).astype(int)
    which = np.repeat(np.arange(len(points)), steps)
    step = np.arange(len(which)) - np.repeat(np.cumsum(steps) - steps, steps)
    share = (step / np.maximum(steps - 1, 1)[which])[:, None]
    x, y = np.rint(pixels[before][which] * share + pixels[which] * (1 - share)).astype(int).T
    touched = np.zeros((len(drawings), SIZE, SIZE), bool)
    touched[owner[which], y, x] = True
    return touched


def _distance_map(touched: NDArray[np.bool_]) -> NDArray[np.float32]:
    """For each pixel [n, y, x] the Euclidean distance to the nearest touched one, in pixels; exact.

    Along x first, then the least of along-x and along-y squared, as Felzenszwalb & Huttenlocher 2012 take it apart.
    """
    along = np.where(np.ascontiguousarray(np.moveaxis(touched, 2, 0)), np.uint16(0), np.uint16(2 * SIZE))  # [x, n, y]
    for x in range(1, SIZE):
        np.minimum(along[x], along[x - 1] + np.uint16(1), out=along[x])
    for x in range(SIZE - 2, -1, -1):
        np.minimum(along[x], along[x + 1] + np.uint16(1), out=along[x])
    squared = np.square(np.ascontiguousarray(np.moveaxis(along, 2, 0)))  # [y, x, n]
    least = squared.copy()
    for step in range(1, SIZE):
        more = np.uint16(step * step)
        np.minimum(least[step:], squared[:-step] + more, out=least[step:])
        np.minimum(least[:-step], squared[step:] + more, out=least[:-step])
    return np.moveaxis(np.sqrt(least, dtype=np.float32), 2, 0)
