"""The shapes of SVG as subpaths of curves, in their own coordinates. The grammar of path data is svg.path's.

Every function gives a list of subpaths, empty where nothing is drawn, and raises UnreadableError where the attributes
make no sense: nothing is drawn up to the mistake, or in the place of it.
"""

import itertools
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import svg.path

from magenta_lite.sketch.curves import Arc, Bezier, Curve, Subpath, polyline

_LONGEST = 1_000  # letters of a length, or of numbers that are no points

Size = tuple[float, float]
"""Width and height of the nearest viewport, in user units, to which percentages refer."""

# Possessive, so that what does not match is found out at once.
_NUMBER = r"[-+]?(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][-+]?[0-9]++)?+"
_LENGTH = re.compile(rf"({_NUMBER})\s*+(%|[a-zA-Z]*+)")
_UNITS = {
    **{"": 1.0, "px": 1.0, "in": 96.0, "cm": 96 / 2.54, "mm": 96 / 25.4, "q": 96 / 101.6, "pt": 96 / 72, "pc": 16.0},
    **{"em": 16.0, "rem": 16.0, "ex": 8.0},  # of the usual size of text; nobody draws in them
}
_COMMAND = "[MmZzLlHhVvCcSsQqTtAa]"
_TOKEN = re.compile(rf"{_COMMAND}|{_NUMBER}")
_PATH = re.compile(rf"(?:{_COMMAND}|{_NUMBER}|[\s,]++)*+")
_SEPARATED = re.compile(rf"({_NUMBER})(?: ?, ?| |(?=[-+.])|$)")


class UnreadableError(ValueError):
    """Says, in a few words, what of an element cannot be read: "path data that cannot be read"."""


def number(text: str, reference: float = 0.0) -> float:
    """A length in user units: a number with or without a unit, or a percentage of the reference."""
    match = _LENGTH.fullmatch(text.strip()) if len(text) <= _LONGEST else None
    unit = match[2].lower() if match else "?"
    if not match or (unit != "%" and unit not in _UNITS):
        raise UnreadableError("length that cannot be read")
    return _finite(float(match[1]) * (reference / 100 if unit == "%" else _UNITS[unit]))


def numbers(text: str) -> list[float]:
    """Numbers separated by blanks or single commas."""
    found, position, text = [], 0, " ".join(text.split())
    while position < len(text):
        match = _SEPARATED.match(text, position)
        if not match:
            raise UnreadableError("list of numbers that cannot be read")
        found.append(_finite(float(match[1])))
        position = match.end()
    return found


def tokens(kind: str, attributes: Mapping[str, str], most: int) -> int:
    """How many commands and numbers a shape is made of, counted up to one more than `most`; reading each takes time."""
    text = attributes.get("d" if kind == "path" else "points", "") if kind in POINTWISE else ""
    return 1 + sum(1 for _ in itertools.islice(_TOKEN.finditer(text), most))


def subpaths(kind: str, attributes: Mapping[str, str], viewport: Size) -> list[Subpath]:
    """The subpaths of a shape, by the name of its element (a key of SHAPES)."""
    return SHAPES[kind](attributes, viewport)


def _path(attributes: Mapping[str, str], viewport: Size) -> list[Subpath]:
    text = attributes.get("d", "").strip()
    if text in ("", "none"):
        return []
    # Of what is neither a command nor a number svg.path would draw all that stands before it.
    if not _PATH.fullmatch(text):
        raise UnreadableError("path data that cannot be read")
    try:
        segments = svg.path.parse_path(text)
        beginning = segments[0]
    except (ValueError, IndexError, ArithmeticError, AssertionError):
        raise UnreadableError("path data that cannot be read") from None
    if not isinstance(beginning, svg.path.Move):
        raise UnreadableError("path data that cannot be read")
    found: list[Subpath] = []
    start = segments[0].end
    curves: list[Curve] = []
    for segment in segments:
        if isinstance(segment, svg.path.Move):
            found.append(Subpath(start, tuple(curves)))
            start, curves = segment.end, []
        elif isinstance(segment, svg.path.Close):
            found.append(Subpath(start, (*curves, Bezier((segment.start, start)))))
            curves = []
        else:
            curves += _curves(segment)
    found.append(Subpath(start, tuple(curves)))
    # A point that is only moved to is not drawn; one to which a line of no length leads is a dot.
    return [subpath for subpath in found if subpath.curves]


def _curves(segment: Any) -> list[Curve]:
    if isinstance(segment, svg.path.CubicBezier):
        return [Bezier((segment.start, segment.control1, segment.control2, segment.end))]
    if isinstance(segment, svg.path.QuadraticBezier):
        return [Bezier((segment.start, segment.control, segment.end))]
    if (
        isinstance(segment, svg.path.Arc)
        and segment.start != segment.end
        and segment.radius.real
        and segment.radius.imag
    ):
        turn = complex(math.cos(math.radians(segment.rotation)), math.sin(math.radians(segment.rotation)))
        radius = segment.radius * segment.radius_scale
        arc = Arc(
            segment.center,
            turn * radius.real,
            turn * radius.imag * 1j,
            math.radians(segment.theta),
            math.radians(segment.delta),
        )
        return [arc]
    return [Bezier((segment.start, segment.end))]


def _rect(attributes: Mapping[str, str], viewport: Size) -> list[Subpath]:
    x, width = _along(attributes, viewport, 0, "x", "width")
    y, height = _along(attributes, viewport, 1, "y", "height")
    if width < 0 or height < 0:
        raise UnreadableError("size below 0")
    if width == 0 or height == 0:
        return []
    rx, ry = _radii(attributes, viewport)
    rx, ry = min(rx, width / 2), min(ry, height / 2)
    if rx == 0 or ry == 0:
        corners = [complex(x, y), complex(x + width, y), complex(x + width, y + height), complex(x, y + height)]
        return [polyline([*corners, corners[0]])]
    start = complex(x + rx, y)
    curves: list[Curve] = []
    here = start
    for quarter, (right, down) in enumerate(((1, 0), (1, 1), (0, 1), (0, 0))):
        centre = complex(x + width - rx if right else x + rx, y + height - ry if down else y + ry)
        arc = Arc(centre, rx, 1j * ry, (quarter - 1) * math.pi / 2, math.pi / 2)
        curves += [Bezier((here, arc.at(arc.begin))), arc]
        here = arc.at(arc.begin + arc.sweep)
    return [Subpath(start, tuple(curve for curve in curves if not _is_point(curve)))]


def _circle(attributes: Mapping[str, str], viewport: Size) -> list[Subpath]:
    radius = number(attributes.get("r", "0"), math.hypot(*viewport) / math.sqrt(2))
    return _whole(attributes, viewport, radius, radius)


def _ellipse(attributes: Mapping[str, str], viewport: Size) -> list[Subpath]:
    return _whole(attributes, viewport, *_radii(attributes, viewport))


def _whole(attributes: Mapping[str, str], viewport: Size, rx: float, ry: float) -> list[Subpath]:
    (x,), (y,) = _along(attributes, viewport, 0, "cx"), _along(attributes, viewport, 1, "cy")
    if rx < 0:
        raise UnreadableError("size below 0")
    centre = complex(x, y)
    return [Subpath(centre + rx, (Arc(centre, rx, 1j * ry, 0.0, 2 * math.pi),))] if rx and ry else []


def _line(attributes: Mapping[str, str], viewport: Size) -> list[Subpath]:
    x1, x2 = _along(attributes, viewport, 0, "x1", "x2")
    y1, y2 = _along(attributes, viewport, 1, "y1", "y2")
    return [polyline([complex(x1, y1), complex(x2, y2)])]


def _polyline(attributes: Mapping[str, str], viewport: Size) -> list[Subpath]:
    points = _points(attributes)
    return [polyline(points)] if len(points) > 1 else []


def _polygon(attributes: Mapping[str, str], viewport: Size) -> list[Subpath]:
    points = _points(attributes)
    return [polyline([*points, points[0]])] if len(points) > 1 else []


def _points(attributes: Mapping[str, str]) -> list[complex]:
    values = numbers(attributes.get("points", ""))
    if len(values) % 2:
        raise UnreadableError("odd number of coordinates")
    return [complex(x, y) for x, y in zip(values[::2], values[1::2], strict=True)]


POINTWISE = ("path", "polyline", "polygon")
"""Shapes that are as long as their text, and that do not depend on the viewport."""

SHAPES: dict[str, Callable[[Mapping[str, str], Size], list[Subpath]]] = {
    "path": _path,
    "rect": _rect,
    "circle": _circle,
    "ellipse": _ellipse,
    "line": _line,
    "polyline": _polyline,
    "polygon": _polygon,
}


def _radii(attributes: Mapping[str, str], viewport: Size) -> tuple[float, float]:
    """rx and ry of a rectangle or an ellipse; one that is not given is the other one."""
    given = [attributes.get(name, "auto").strip() for name in ("rx", "ry")]
    radii = [None if text == "auto" else number(text, viewport[axis]) for axis, text in enumerate(given)]
    rx, ry = (next((radius for radius in order if radius is not None), 0.0) for order in (radii, radii[::-1]))
    if rx < 0 or ry < 0:
        raise UnreadableError("size below 0")
    return rx, ry


def _along(attributes: Mapping[str, str], viewport: Size, axis: int, *names: str) -> list[float]:
    return [number(attributes.get(name, "0"), viewport[axis]) for name in names]


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise UnreadableError("coordinates out of range")
    return value


def _is_point(curve: Curve) -> bool:
    return isinstance(curve, Bezier) and len(set(curve.points)) == 1
