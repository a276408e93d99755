"""Simple drawings by rule, with a hand's irregularity: something to learn from when there is no data at hand.

Each class is a function from a random generator to lines in a unit of its own (y grows downwards), in the order in
which people draw them; `draw` adds what all hands have in common: a wobble, a slant, a size, and few points.
"""

import itertools
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from magenta_lite.sketch.strokes import from_polylines, simplify

BOX = 255  # the longer side of a drawing, as in QuickDraw
EPSILON = 3.0  # how far simplifying may move a line, in the same unit
STEP = 0.04  # between the points of a line before it is simplified

Line = NDArray[np.float64]  # [n, 2]
TOP = -np.pi / 2


def draw(label: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """A drawing of a class as stroke-3, float32 [N, 3], whole numbers in a box of 255, N from 8 to 60.

    The same state of rng gives the same drawing.

    Raises:
      ValueError: label is not one of CLASSES.
    """
    if label not in _RULES:
        raise ValueError(f"expected one of {', '.join(CLASSES)}, got {label!r}")
    lines = [_wobble(line, rng) for line in _RULES[label](rng)]
    angle = rng.normal(0, 0.05)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    stretch = np.exp(rng.normal(0, 0.09, size=2))
    lines = [line * stretch @ turn for line in lines]
    points = np.concatenate(lines)
    low, high = points.min(axis=0), points.max(axis=0)
    scale = rng.uniform(0.75, 1.0) * BOX / (high - low).max()
    return from_polylines([_distinct(np.rint(simplify((line - low) * scale, EPSILON))) for line in lines])


def _line(*corners: ArrayLike) -> Line:
    """Straight from corner to corner, with points close enough to be bent by a wobble."""
    points = np.array(corners, float)
    pieces = [points[:1]]
    for start, end in itertools.pairwise(points):
        count = max(1, round(float(np.hypot(*(end - start))) / STEP))
        pieces.append(start + (end - start) * np.linspace(0, 1, count + 1)[1:, None])
    return np.concatenate(pieces)


def _arc(x: float, y: float, width: float, height: float, begin: float, end: float) -> Line:
    """Part of an ellipse around (x, y) with these half axes, from angle to angle; clockwise if end > begin."""
    count = max(4, round(abs(end - begin) * max(width, height) / STEP))
    angle = np.linspace(begin, end, count + 1)
    return np.stack([x + width * np.cos(angle), y + height * np.sin(angle)], axis=1)


def _loop(rng: np.random.Generator, x: float, y: float, width: float, height: float) -> Line:
    """A closed ellipse as hands draw it: from about the top, against the clock, ends that do not quite meet."""
    begin = TOP + rng.normal(0, 0.35)
    loop = _arc(x, y, width, height, begin, begin - 2 * np.pi - rng.normal(0.05, 0.12))
    return loop + np.linspace(0, 1, len(loop))[:, None] * rng.normal(0, 0.06, size=2) * min(width, height)


def _join(*lines: Line) -> Line:
    """One line without lifting the pen."""
    return np.concatenate(lines)


def _near(rng: np.random.Generator, value: float, spread: float = 0.12) -> float:
    """The value, give or take the fraction `spread` of it."""
    return value * rng.uniform(1 - spread, 1 + spread)


def _wobble(line: Line, rng: np.random.Generator) -> Line:
    """The line, moved a little as a whole and bent by two slow waves along its way."""
    steps = np.hypot(*np.diff(line, axis=0, prepend=line[:1]).T)
    way = np.cumsum(steps)[:, None]
    size = min(1.0, float(way[-1, 0]))
    waves = [
        rng.normal(0, strength, size=2) * np.sin(way * rng.uniform(0.6, 1.4) * pace + rng.uniform(0, 2 * np.pi, size=2))
        for strength, pace in ((0.022, 2.0), (0.010, 6.0))
    ]
    return line + rng.normal(0, 0.012, size=2) + size * (waves[0] + waves[1])


def _distinct(points: Line) -> Line:
    """The points without those that repeat the one before."""
    return points[np.r_[True, (np.diff(points, axis=0) != 0).any(axis=1)]]


def _eye(rng: np.random.Generator, x: float, y: float, size: float, style: str) -> Line:
    if style == "round":
        return _loop(rng, x, y, size, size)
    return _line((x, y - size), (x, y + size))


def _face(rng: np.random.Generator) -> list[Line]:
    style = rng.choice(["round", "stroke"], p=[0.35, 0.65])
    apart, high, size = _near(rng, 0.38), _near(rng, 0.28, 0.25), _near(rng, 0.11, 0.3)
    lines = [_loop(rng, 0, 0, 1, _near(rng, 1.05, 0.1))]
    lines += [_eye(rng, side * apart, -high, size, style) for side in (-1, 1)]
    if rng.random() < 0.5:
        lines.append(_line((0.02, -0.08), (-0.1, 0.2), (0.06, 0.22)))
    width = _near(rng, 0.48)
    if rng.random() < 0.75:
        lines.append(_arc(0, 0.32, width, _near(rng, 0.3, 0.3), np.pi - 0.15, 0.15))
    else:
        lines.append(_arc(0, 0.72, width, _near(rng, 0.25, 0.3), np.pi + 0.2, 2 * np.pi - 0.2))
    return lines


def _house(rng: np.random.Generator) -> list[Line]:
    wide, tall, peak, eaves = _near(rng, 1.0), _near(rng, 0.8), _near(rng, 0.75), rng.uniform(0, 0.18)
    door = rng.uniform(-0.45, 0.1) * wide
    lines = [
        _line((-wide, -tall), (-wide, tall), (wide, tall), (wide, -tall), (-wide, -tall)),
        _line((-wide - eaves, -tall), (rng.normal(0, 0.05), -tall - peak), (wide + eaves, -tall)),
        _line((door, tall), (door, 0.0), (door + 0.4, 0.0), (door + 0.4, tall)),
    ]
    if rng.random() < 0.6:
        x, y, side = door + 0.62, -0.35, _near(rng, 0.28)
        lines.append(_line((x, y), (x, y + side), (x + side, y + side), (x + side, y), (x, y)))
    if rng.random() < 0.45:
        x = 0.5 * wide
        lines.append(
            _line((x, -tall - peak * 0.5), (x, -tall - peak), (x + 0.22, -tall - peak), (x + 0.22, -tall - 0.2))
        )
    return lines


def _star(rng: np.random.Generator) -> list[Line]:
    inner = _near(rng, 0.42, 0.15)
    angles = TOP + np.arange(11) * np.pi / 5 + rng.normal(0, 0.05, 11)
    radius = np.where(np.arange(11) % 2, inner, 1.0) * rng.uniform(0.92, 1.08, 11)
    corners = np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)
    corners[-1] = corners[0] + rng.normal(0, 0.03, 2)
    return [_line(*corners)]


def _fish(rng: np.random.Generator) -> list[Line]:
    thick, tail = _near(rng, 0.52, 0.2), _near(rng, 0.42, 0.2)
    x = np.linspace(0.95, -1.0, 40)
    # The body's half height: nothing at the nose (-1), and a narrow waist where the tail begins.
    half = thick * np.sqrt(np.clip(1 - ((x + 0.1) / 0.92) ** 2, 0, None))
    under = np.stack([x, half], axis=1)[x < 0.8]
    over = np.stack([x, -half], axis=1)[x < 0.8][::-1]
    high, low = (1.35, -tail), (1.35, tail)
    lines = [_join(_line(high, under[0]), under, over, _line(over[-1], low, high))]
    lines.append(_eye(rng, -0.6, -0.12, 0.07, rng.choice(["round", "stroke"])))
    if rng.random() < 0.5:
        lines.append(_arc(-0.5, 0, 0.2, thick * 0.6, -1.1, 1.1))
    if rng.random() < 0.4:
        lines.append(_line((-0.2, -thick * 0.95), (0.15, -thick - 0.28), (0.3, -thick * 0.85)))
    return lines


def _boat(rng: np.random.Generator) -> list[Line]:
    deck, keel, depth, mast = _near(rng, 1.0), _near(rng, 0.62), _near(rng, 0.4, 0.2), _near(rng, 1.35, 0.1)
    lines = [
        _line((-deck, 0), (-keel, depth), (keel, depth), (deck, 0), (-deck, 0)),
        _line((0, 0), (0, -mast)),
        _line((0, -mast), (_near(rng, 0.8), -0.2), (0.02, -0.18)),
    ]
    if rng.random() < 0.5:
        lines.append(_line((0, -mast * 0.9), (-_near(rng, 0.6), -0.2), (-0.02, -0.2)))
    if rng.random() < 0.4:
        x = np.linspace(-1.3, 1.3, 66)
        lines.append(np.stack([x, depth + 0.12 + 0.08 * np.sin(x * 7.2)], axis=1))
    return lines


def _tree(rng: np.random.Generator) -> list[Line]:
    bumps, wide, tall = int(rng.integers(6, 9)), _near(rng, 0.8), _near(rng, 0.7)
    angle = np.linspace(0, 2 * np.pi, 120)
    swell = 0.86 + 0.2 * np.abs(np.sin(bumps * angle / 2))
    around = np.pi / 2 + 0.3 - angle
    crown = np.stack([wide * swell * np.cos(around), tall * swell * np.sin(around)], axis=1)
    foot, thick = tall + _near(rng, 0.7), _near(rng, 0.17)
    return [
        crown,
        _line((-thick, tall * 0.95), (-thick, foot - 0.25), (-thick - 0.08, foot)),
        _line((thick, tall * 0.95), (thick, foot - 0.25), (thick + 0.08, foot), (-thick - 0.08, foot)),
    ]


def _sun(rng: np.random.Generator) -> list[Line]:
    rays, inner, length = int(rng.integers(7, 11)), _near(rng, 0.72, 0.06), _near(rng, 0.42, 0.2)
    lines = [_loop(rng, 0, 0, 0.55, 0.55)]
    for angle in TOP + np.arange(rays) * 2 * np.pi / rays + rng.normal(0, 0.06, rays):
        way = np.array([np.cos(angle), np.sin(angle)])
        lines.append(_line(inner * way, (inner + _near(rng, length, 0.2)) * way))
    return lines


def _flower(rng: np.random.Generator) -> list[Line]:
    petals, foot = int(rng.integers(4, 6)), _near(rng, 1.9, 0.1)
    angle = np.linspace(0, 2 * np.pi, 140)
    reach = 0.3 + _near(rng, 0.5) * np.abs(np.sin(petals * angle / 2))
    around = TOP - angle
    lines = [
        _loop(rng, 0, 0, 0.24, 0.24),
        np.stack([reach * np.cos(around), reach * np.sin(around)], axis=1),
        _line((0, 0.6), (rng.normal(0, 0.06), 1.2), (rng.normal(0, 0.12), foot)),
    ]
    if rng.random() < 0.6:
        side = rng.choice([-1, 1])
        out = _near(rng, 0.6)
        lines.append(_line((0, 1.5), (side * out * 0.5, 1.15), (side * out, 1.1), (side * out * 0.6, 1.4), (0, 1.5)))
    return lines


def _cup(rng: np.random.Generator) -> list[Line]:
    wide, foot, tall = 0.75, _near(rng, 0.55), _near(rng, 0.8)
    lines = [
        _loop(rng, 0, -tall, wide, _near(rng, 0.16, 0.3)),
        _line((-wide, -tall), (-foot, tall), (foot, tall), (wide, -tall)),
        _arc(0.66, -0.05, _near(rng, 0.5), _near(rng, 0.42), TOP + 0.1, np.pi / 2 + 0.15),
    ]
    if rng.random() < 0.45:
        y = np.linspace(-tall - 0.3, -tall - 0.85, 20)
        lines += [np.stack([x + 0.07 * np.sin(y * 10), y], axis=1) for x in (-0.22, 0.22)]
    return lines


def _spiral(rng: np.random.Generator) -> list[Line]:
    turns, begin = rng.uniform(2.0, 3.0), rng.uniform(0, 2 * np.pi)
    way = np.linspace(0, 1, 160)
    angle = begin + 2 * np.pi * turns * way
    return [np.stack([way * np.cos(angle), way * np.sin(angle)], axis=1) + rng.normal(0, 0.02, 2)]


def _snail(rng: np.random.Generator) -> list[Line]:
    way = np.linspace(0, 1, 120)
    angle = np.pi / 2 + 0.3 - 2 * np.pi * _near(rng, 2.1, 0.1) * (1 - way)
    shell = np.stack([0.1 + 0.72 * way * np.cos(angle), 0.72 * way * np.sin(angle)], axis=1)
    neck = -_near(rng, 1.0, 0.08)
    body = _line((1.2, 0.8), (0.1, 0.74), (neck + 0.15, 0.72), (neck - 0.02, 0.1))
    head = _join(
        body,
        _arc(neck - 0.17, -0.02, 0.2, 0.2, 0.5, -np.pi),
        _line((neck - 0.36, 0.05), (neck - 0.3, 0.95), (1.2, 0.8)),
    )
    lines = [shell, head]
    for x in (-0.26, -0.08):
        lines.append(_line((neck + x, -0.2), (neck + x + rng.normal(0, 0.06) - 0.06, -_near(rng, 0.6))))
    return lines


def _bird(rng: np.random.Generator) -> list[Line]:
    size, tail = _near(rng, 0.33), _near(rng, 0.5, 0.2)
    lines = [
        _loop(rng, -0.75, -0.55, size, size),
        _line((-0.75 - size, -0.65), (-1.1 - size, -0.5), (-0.75 - size * 0.95, -0.42)),
        _eye(rng, -0.82, -0.62, 0.05, "stroke"),
        _join(
            _arc(0, 0, 0.85, 0.55, np.pi + 0.15, np.pi / 2 - 1.0),
            _line((0.75, 0.2), (0.85 + tail, -0.35), (0.7, -0.25)),
            _arc(0, 0, 0.85, 0.5, -0.6, -np.pi * 0.62),
        ),
        _arc(0.1, -0.1, 0.4, _near(rng, 0.3), np.pi, 0.2),
    ]
    for x in (-0.12, 0.18):
        lines.append(_line((x, 0.55), (x, 0.95), (x - 0.16, 1.0)))
    return lines


def _cat(rng: np.random.Generator) -> list[Line]:
    ear, wide, chin = _near(rng, 0.55), 1.0, _near(rng, 0.85)
    lines = [
        _join(
            _line((-0.3, -0.72), (-0.78, -0.72 - ear), (-0.92, -0.35)),
            _arc(0, 0, wide, chin, np.pi + 0.35, -0.35),
            _line((0.92, -0.35), (0.78, -0.72 - ear), (0.3, -0.72), (-0.3, -0.72)),
        )
    ]
    style, size = rng.choice(["round", "stroke"], p=[0.3, 0.7]), _near(rng, 0.11)
    lines += [_eye(rng, side * 0.38, -0.2, size, style) for side in (-1, 1)]
    lines.append(_line((-0.12, 0.12), (0.12, 0.12), (0, 0.26), (-0.12, 0.12)))
    if rng.random() < 0.5:
        lines.append(_join(_arc(-0.17, 0.3, 0.17, 0.16, np.pi - 0.3, 0), _arc(0.17, 0.3, 0.17, 0.16, np.pi, 0.3)))
    for side in (-1, 1):
        for y in (0.15, 0.35):
            lines.append(_line((side * 0.5, y), (side * _near(rng, 1.35), y * 2.2 - 0.3)))
    return lines


def _umbrella(rng: np.random.Generator) -> list[Line]:
    ribs, foot = int(rng.integers(3, 5)), _near(rng, 0.95)
    edges = np.linspace(1, -1, ribs + 1)
    scallops = [_arc((a + b) / 2, 0, (a - b) / 2, 0.16, 0, -np.pi) for a, b in itertools.pairwise(edges)]
    return [
        _join(_arc(0, 0, 1, _near(rng, 0.9), np.pi, 2 * np.pi), *scallops),
        _join(_line((0, -0.1), (0, foot)), _arc(-0.17, foot, 0.17, 0.2, 0, np.pi)),
    ]


_RULES: dict[str, Callable[[np.random.Generator], list[Line]]] = {
    "bird": _bird,
    "boat": _boat,
    "cat": _cat,
    "cup": _cup,
    "face": _face,
    "fish": _fish,
    "flower": _flower,
    "house": _house,
    "snail": _snail,
    "spiral": _spiral,
    "star": _star,
    "sun": _sun,
    "tree": _tree,
    "umbrella": _umbrella,
}
CLASSES: tuple[str, ...] = tuple(_RULES)
