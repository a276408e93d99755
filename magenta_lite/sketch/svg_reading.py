"""Drawings from SVG files: what is visible in them as polylines, in the order in which it is painted.

A stroke is a subpath of a shape, so what is only filled is drawn as its outline. Widths, colours, dashes and markers
are not looked at, but that what is painted neither by a stroke nor by a fill is invisible, as is what is hidden, or
only defined for use elsewhere. What is clipped or masked is drawn whole.
"""

import collections
import dataclasses
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from magenta_lite.errors import Rejected, plain
from magenta_lite.sketch import svg_tree
from magenta_lite.sketch.curves import Affine, Bezier, Subpath, is_finite
from magenta_lite.sketch.simplification import MOST_POINTS
from magenta_lite.sketch.svg_shapes import POINTWISE, SHAPES, Size, UnreadableError, number, numbers, subpaths, tokens
from magenta_lite.sketch.svg_tree import Element

TOLERANCE = 0.05  # of curves flattened, in 1/255 of the drawing's longer side

_MOST_ELEMENTS = svg_tree.MOST_ELEMENTS  # that a file may come to by using some of them again
_MOST_CURVES = 50_000
_MOST_TOKENS = 175_000  # numbers and commands of paths, and shapes, whether they are seen or not
_MOST_REMARKS = 30  # of different kinds
_LONGEST = 1_000  # letters of an attribute that is read each time that its element is used
_LONGEST_TRANSFORM = 10_000
_DEEPEST = 200  # elements inside each other, by way of uses too
_LARGEST = 2.0**40  # coordinate
_SMALLEST = 2.0**-100  # side of a drawing

_CONTAINERS = {"svg", "g", "a", "switch"}
_SKIPPED = {"text": "text", "image": "image", "foreignObject": "foreign object", "video": "video", "canvas": "canvas"}
# Drawn where something refers to them, or not at all.
_DEFINITIONS = {
    *("defs", "symbol", "clipPath", "mask", "marker", "pattern", "linearGradient", "radialGradient", "filter", "style"),
    *("title", "desc", "metadata", "script", "view", "cursor", "font", "font-face", "color-profile", "hatch"),
    *("animate", "animateTransform", "animateMotion", "animateColor", "set", "solidColor", "meshgradient", ""),
}
_INHERITED = {"fill": "black", "stroke": "none", "stroke-width": "1", "visibility": "visible"}
_INHERITED |= {"fill-opacity": "1", "stroke-opacity": "1"}

_FUNCTION = re.compile(r" ?,? ?([a-zA-Z]++) ?\(([^()]*+)\)")
_ALIGN = re.compile(r"(?:defer\s+)?(none|x(Min|Mid|Max)Y(Min|Mid|Max))(?:\s+(meet|slice))?$")
_PART = {"Min": 0.0, "Mid": 0.5, "Max": 1.0}


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """lines: polylines [n, 2] of the drawing, in pixels of the page, or why there is none. remarks: what of the file is
    not in them as it was, and how often.
    """

    lines: list[NDArray[np.float64]] | Rejected
    remarks: Mapping[str, int]


def read(path: str | os.PathLike[str]) -> Picture:
    """The drawing of a file, .svg or .svgz. A file that cannot be read as a whole is Rejected, with the reason."""
    return picture(svg_tree.read(Path(path)))


def picture(tree: svg_tree.Tree | Rejected) -> Picture:
    """The drawing of a tree, or the reason that there is none."""
    if isinstance(tree, Rejected):
        return Picture(tree, {})
    painter = _Painter(tree)
    try:
        painter.paint(tree.root, Affine(), dict(_INHERITED), (300.0, 150.0), ())
    except UnreadableError as error:
        return Picture(Rejected(str(error)), +painter.remarks)
    if not painter.drawn:
        return Picture(Rejected("nothing visible is drawn"), +painter.remarks)
    return Picture(_flatten(painter.drawn), +painter.remarks)


def _flatten(drawn: list[Subpath]) -> list[NDArray[np.float64]] | Rejected:
    corners = np.array([point for subpath in drawn for point in subpath.hull()])
    side = float(max(np.ptp(corners.real), np.ptp(corners.imag)))
    # The hull is larger than the drawing, which is known only when it has been flattened once.
    lines = _flattened(drawn, side)
    if isinstance(lines, Rejected):
        return lines
    side = float(np.ptp(np.concatenate(lines), axis=0).max())
    return _flattened(drawn, side) if side > 0 else lines


def _flattened(drawn: list[Subpath], side: float) -> list[NDArray[np.float64]] | Rejected:
    """The polylines of subpaths, for a drawing whose longer side is about this."""
    lines, points = [], 0
    for subpath in drawn:
        # What is smaller than any screen's point is one, whatever its curves are.
        lines.append(subpath.flattened(max(side, _SMALLEST) * TOLERANCE / 255))
        points += len(lines[-1])
        if points > MOST_POINTS:
            return Rejected(f"more than {MOST_POINTS:,} points")
    return lines


class _Painter:
    """Walks through the elements in painting order and collects the subpaths that are visible."""

    def __init__(self, tree: svg_tree.Tree) -> None:
        self.tree = tree
        self.drawn: list[Subpath] = []
        self.remarks: collections.Counter[str] = collections.Counter()
        self.elements = self.curves = self.tokens = self.depth = 0
        # Of what uses may draw again and again.
        self.shapes: dict[tuple[int, Size | None], list[Subpath]] = {}
        self.transforms: dict[str, Affine] = {}
        self.page: Size | None = None
        if tree.unread_rules:
            self.remarks["style rule not applied"] += tree.unread_rules

    def paint(
        self, element: Element, affine: Affine, style: dict[str, str], viewport: Size, using: tuple[Element, ...]
    ) -> None:
        """Paints an element and what is inside.

        Args:
          element: any one.
          affine: from its parent's coordinates to the page's.
          style: what it inherits.
          viewport: to which percentages refer.
          using: the uses that led here, from the outermost.
        """
        self.elements += 1
        if self.elements > _MOST_ELEMENTS:
            raise UnreadableError(f"more than {_MOST_ELEMENTS:,} elements")
        if self.depth >= _DEEPEST:
            raise UnreadableError(f"more than {_DEEPEST} elements inside each other")
        self.depth += 1
        self._paint(element, affine, style, viewport, using)
        self.depth -= 1

    def _paint(
        self, element: Element, affine: Affine, style: dict[str, str], viewport: Size, using: tuple[Element, ...]
    ) -> None:
        kind = element.kind
        if kind in _DEFINITIONS:
            return
        if element.style.get("display") == "none" or _is_zero(element.style.get("opacity", "1")):
            self.remarks["invisible element left out"] += 1
            return
        if kind in _SKIPPED:
            self.remarks[f"{_SKIPPED[kind]} left out"] += 1
            return
        style = style | {name: element.style[name] for name in _INHERITED if _says(element.style.get(name))}
        for name in ("clip-path", "mask"):
            if element.style.get(name, "none") != "none":
                self.remarks[f"{name} not applied"] += 1
        if kind in SHAPES:
            self._shape(element, affine @ self._transform(element), style, viewport)
        elif kind == "use":
            self._use(element, affine @ self._transform(element), style, viewport, using)
        elif kind in _CONTAINERS:
            affine = affine @ self._transform(element)
            if kind == "svg":
                inner, viewport = self._viewport(element, viewport, outermost=element is self.tree.root)
                affine = affine @ inner
            children = element.children
            if kind == "switch":
                children = [child for child in children if "requiredExtensions" not in child.attributes][:1]
            for child in children:
                self.paint(child, affine, style, viewport, using)
        else:
            remark = f"element <{plain(kind[:30])}> left out"
            many = len(self.remarks) >= _MOST_REMARKS and remark not in self.remarks
            self.remarks["other elements left out" if many else remark] += 1

    def _shape(self, element: Element, affine: Affine, style: dict[str, str], viewport: Size) -> None:
        key = id(element), None if element.kind in POINTWISE else viewport
        if key not in self.shapes:
            self.tokens += tokens(element.kind, element.style, _MOST_TOKENS)
            if self.tokens > _MOST_TOKENS:
                raise UnreadableError(f"more than {_MOST_TOKENS:,} numbers")
            self.shapes[key] = subpaths(element.kind, element.style, viewport)
        found = self.shapes[key]
        if not found:
            return
        stroked = _paints(style["stroke"], style["stroke-opacity"]) and not _is_zero(style["stroke-width"])
        filled = _paints(style["fill"], style["fill-opacity"]) and element.kind != "line"
        if style["visibility"] in ("hidden", "collapse") or not (stroked or filled):
            self.remarks["invisible element left out"] += 1
            return
        self.curves += sum(len(subpath.curves) for subpath in found)
        if self.curves > _MOST_CURVES:
            raise UnreadableError(f"more than {_MOST_CURVES:,} curves")
        moved = [subpath.moved(affine) for subpath in found]
        if not all(is_finite(subpath, _LARGEST) for subpath in moved):
            raise UnreadableError("coordinates out of range")
        if not stroked and not self.drawn and self._covers_page(moved):
            self.remarks["background of the page left out"] += 1
            return
        self.remarks["fill drawn as its outline"] += not stroked
        self.drawn += moved

    def _transform(self, element: Element) -> Affine:
        """The map from an element's coordinates to those of its parent."""
        text = element.style.get("transform", "none")
        if not _says(text) or text == "none":
            return Affine()
        if "transform-origin" in element.style:
            raise UnreadableError("transform-origin, which is not read")
        if text not in self.transforms:
            self.transforms[text] = transform(text)
        return self.transforms[text]

    def _use(
        self, element: Element, affine: Affine, style: dict[str, str], viewport: Size, using: tuple[Element, ...]
    ) -> None:
        target = element.attributes.get("href", "").strip()
        if not target.startswith("#"):
            self.remarks["use of another file left out"] += 1
            return
        used = self.tree.ids.get(target[1:])
        if used is None:
            self.remarks["use of what is not there left out"] += 1
            return
        if element in using:
            raise UnreadableError("use that leads to itself")
        using = (*using, element)
        x, y = (number(element.style.get(name, "0"), viewport[axis]) for axis, name in enumerate("xy"))
        affine = affine @ Affine(origin=complex(x, y))
        if used.kind not in ("symbol", "svg"):
            return self.paint(used, affine, style, viewport, using)
        # What is used so is a viewport of its own, in the size that the use asks for.
        size = {name: value for name, value in element.style.items() if name in ("width", "height")}
        return self.paint(
            dataclasses.replace(used, kind="svg", style=used.style | size), affine, style, viewport, using
        )

    def _viewport(self, element: Element, around: Size, *, outermost: bool) -> tuple[Affine, Size]:
        """The map from the inside of an svg element to the outside, and the size of the inside."""
        style = element.style
        box = None
        if _says(style.get("viewBox")):
            box = numbers(style["viewBox"]) if len(style["viewBox"]) <= _LONGEST else []
            if len(box) != 4 or box[2] < 0 or box[3] < 0:
                raise UnreadableError("viewBox that cannot be read")
            if box[2] == 0 or box[3] == 0:
                raise UnreadableError("viewBox without a size")
        if outermost and box is not None:
            around = (box[2], box[3])  # unless width and height say otherwise, the page is as large as its viewBox
        sizes = []
        for axis, name in enumerate(("width", "height")):
            text = style.get(name, "auto")
            try:
                sizes.append(number("100%" if text == "auto" else text, around[axis]))
            except UnreadableError:
                if not outermost:
                    raise
                sizes.append(around[axis])  # "100vw": how large a page is shown does not change what is on it
        width, height = sizes
        if width <= 0 or height <= 0:
            raise UnreadableError("svg element without a size")
        corner = 0j
        if not outermost:
            corner = complex(*(number(style.get(name, "0"), around[axis]) for axis, name in enumerate("xy")))
        elif box is not None or ("width" in style and "height" in style):
            self.page = width, height
        if box is None:
            return Affine(origin=corner), (width, height)
        return Affine(origin=corner) @ _fit(box, (width, height), style), (box[2], box[3])

    def _covers_page(self, moved: list[Subpath]) -> bool:
        """Whether this is one rectangle or the like that reaches over the whole page."""
        if self.page is None or len(moved) != 1 or not all(isinstance(curve, Bezier) for curve in moved[0].curves):
            return False
        corners = moved[0].hull()
        if len(set(corners)) != 4:
            return False
        slack = 0.005 * max(self.page)
        sides = ([point.real for point in corners], self.page[0]), ([point.imag for point in corners], self.page[1])
        return all(min(values) <= slack and max(values) >= side - slack for values, side in sides)


def _fit(box: list[float], size: Size, style: Mapping[str, str]) -> Affine:
    """The map of a viewBox onto 0..width, 0..height."""
    text = style.get("preserveAspectRatio", "xMidYMid")
    match = _ALIGN.match(text.strip()) if len(text) <= _LONGEST else None
    if not match:
        raise UnreadableError("preserveAspectRatio that cannot be read")
    scales = size[0] / box[2], size[1] / box[3]
    shift = 0j
    if match[1] != "none":
        scale = max(scales) if match[4] == "slice" else min(scales)
        scales = scale, scale
        shift = complex(
            (size[0] - box[2] * scale) * _PART[match[2]],
            (size[1] - box[3] * scale) * _PART[match[3]],
        )
    return Affine(scales[0], 1j * scales[1], shift - complex(box[0] * scales[0], box[1] * scales[1]))


def transform(text: str) -> Affine:
    """The map that a list of transforms describes: "translate(3 4) rotate(45)"."""
    try:
        return _product(text if len(text) <= _LONGEST_TRANSFORM else "?")
    except UnreadableError:
        raise UnreadableError("transform that cannot be read") from None


def _product(text: str) -> Affine:
    affine, position = Affine(), 0
    text = " ".join(text.split())
    while position < len(text):
        match = _FUNCTION.match(text, position)
        if not match:
            raise UnreadableError(text)
        affine = affine @ _function(match[1], numbers(re.sub(r"(?<=\d)(?:px|deg)\b", "", match[2])))
        position = match.end()
    return affine


def _function(name: str, values: list[float]) -> Affine:
    match name, values:
        case "matrix", [a, b, c, d, e, f]:
            return Affine(complex(a, b), complex(c, d), complex(e, f))
        case "translate", [x, *rest] if len(rest) < 2:
            return Affine(origin=complex(x, *rest))
        case "scale", [x, *rest] if len(rest) < 2:
            return Affine(x, 1j * (rest[0] if rest else x))
        case "rotate", [angle]:
            turn = complex(math.cos(math.radians(angle)), math.sin(math.radians(angle)))
            return Affine(turn, 1j * turn)
        case "rotate", [angle, x, y]:
            return Affine(origin=complex(x, y)) @ _function("rotate", [angle]) @ Affine(origin=-complex(x, y))
        case "skewX", [angle]:
            return Affine(1, complex(math.tan(math.radians(angle)), 1))
        case "skewY", [angle]:
            return Affine(complex(1, math.tan(math.radians(angle))))
    raise UnreadableError(name)


def _says(value: str | None) -> bool:
    return value is not None and value not in ("", "inherit")


def _paints(paint: str, opacity: str) -> bool:
    return paint not in ("none", "transparent") and not _is_zero(opacity)


def _is_zero(text: str) -> bool:
    try:
        return number(text, 1.0) == 0
    except UnreadableError:
        return False
