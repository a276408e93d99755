"""SVG files as trees of elements with the styles that apply to them. Nothing is fetched, and nothing grows.

The XML is read by the standard library's expat. It never opens what a file refers to; entities that a file declares
(old Illustrator files name their namespaces so) are short texts or the file is refused.
"""

import dataclasses
import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.parsers import expat

from magenta_lite.errors import Rejected

LARGEST = 8 << 20  # bytes of a file, unpacked: a hand's drawing holds thousands, a map that is no drawing millions
_DEEPEST = 200  # elements inside each other
_ENTITY = 100  # letters of a declared entity
_STYLES = 1 << 18  # letters of style sheets
_APPLIED = 20_000_000  # elements times rules

_SPACES = ("", "http://www.w3.org/2000/svg")
_LINK = "http://www.w3.org/1999/xlink href"

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_SELECTOR = re.compile(r"(\*|[\w-]+)?((?:[.#][\w-]+)*)$")


@dataclasses.dataclass(eq=False)
class Element:
    """An element: its name in SVG ("" for what belongs to other vocabularies), attributes without namespaces, content.

    style: the declarations that apply to it itself, by property; what it inherits is not among them.
    """

    kind: str
    attributes: dict[str, str]
    children: list["Element"] = dataclasses.field(default_factory=list)
    text: str = ""
    style: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class Tree:
    """The root, the elements by their id, and how many rules of style sheets are of a kind that is not applied."""

    root: Element
    ids: dict[str, Element]
    unread_rules: int


class _RefusedError(Exception):
    """Says why a file is not read."""


def read(path: Path) -> Tree | Rejected:
    """The tree of a file, .svg or gzipped .svgz; Rejected if it is too large, damaged, dangerous or no SVG."""
    try:
        with gzip.open(path) if path.suffix == ".svgz" else path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error):
        return Rejected("file that cannot be read")
    return parse(content)


def parse(content: bytes) -> Tree | Rejected:
    """The tree of a file's content; Rejected as by read."""
    if len(content) > LARGEST:
        return Rejected(f"larger than {LARGEST >> 20} MB")
    try:
        elements = _elements(content)
    except _RefusedError as refused:
        return Rejected(str(refused))
    except (expat.ExpatError, ValueError, LookupError):  # the latter two for odd encodings
        return Rejected("not well-formed XML")
    if elements[0].kind != "svg":
        return Rejected("not an SVG file")
    ids: dict[str, Element] = {}
    for element in elements:
        if "id" in element.attributes:
            ids.setdefault(element.attributes["id"], element)
    rules, unread = _rules("\n".join(element.text for element in elements if element.kind == "style"))
    if len(rules) * len(elements) > _APPLIED:
        return Rejected("style sheet that is too long")
    for element in elements:
        _apply(rules, element)
    return Tree(elements[0], ids, unread)


def declarations(text: str) -> dict[str, str]:
    """The declarations of a style attribute or rule: property -> value, both in lower case but for what is in url()."""
    found = {}
    for declaration in text.split(";"):
        name, colon, value = declaration.partition(":")
        if colon:
            found[name.strip().lower()] = value.replace("!important", "").strip()
    return found


def _elements(content: bytes) -> list[Element]:
    """All elements in the order of the file, the root first."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.specified_attributes = True
    elements: list[Element] = []
    open_: list[Element] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(open_) >= _DEEPEST:
            raise _RefusedError(f"more than {_DEEPEST} elements inside each other")
        space, _, local = name.rpartition(" ")
        kept = {("href" if key == _LINK else key): value for key, value in attributes.items()}
        element = Element(local if space in _SPACES else "", kept)
        if open_:
            open_[-1].children.append(element)
        elements.append(element)
        open_.append(element)

    def end(_: str) -> None:
        open_.pop()

    def text(letters: str) -> None:
        if open_[-1].kind == "style":
            open_[-1].text += letters
            if len(open_[-1].text) > _STYLES:
                raise _RefusedError("style sheet that is too long")

    def entity(name: str, parameter: int, value: str | None, *_: Any) -> None:
        if parameter or value is None or len(value) > _ENTITY or "&" in value:
            raise _RefusedError("entities that could grow or lead elsewhere")

    def skipped(*_: Any) -> None:
        raise _RefusedError("entity without a declaration")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.EntityDeclHandler = entity
    parser.SkippedEntityHandler = skipped
    parser.Parse(content, True)
    return elements


_Rule = tuple[tuple[int, int, int], str, list[str], dict[str, str]]
"""Specificity, element or *, [".class", "#id"], declarations."""


def _rules(sheet: str) -> tuple[list[_Rule], int]:
    """The rules of a style sheet, the strongest last, and how many there are that are not understood."""
    rules: list[_Rule] = []
    unread = 0
    for selectors, body in _blocks(sheet):
        if selectors.startswith("@"):
            unread += selectors.startswith(("@media", "@supports", "@layer"))
            continue
        for selector in selectors.split(","):
            match = _SELECTOR.match(selector.strip())
            if not match or not selector.strip():
                unread += 1
                continue
            parts = re.findall(r"[.#][\w-]+", match[2])
            ids = sum(part[0] == "#" for part in parts)
            rank = (ids, len(parts) - ids, int(bool(match[1]) and match[1] != "*"))
            rules.append((rank, match[1] or "*", parts, declarations(body)))
    return sorted(rules, key=lambda rule: rule[0]), unread


def _blocks(sheet: str) -> Iterator[tuple[str, str]]:
    """What stands before each outer pair of braces, and what right inside of it."""
    depth, before, inside = 0, "", ""
    for piece in re.split(r"([{}])", _COMMENT.sub("", sheet)):
        if piece == "{":
            depth += 1
        elif piece == "}":
            if depth == 1:
                yield before, inside
                before = inside = ""
            depth = max(0, depth - 1)
        elif depth == 0:
            before = piece.rpartition(";")[2].strip()
        elif depth == 1:
            inside = piece


def _apply(rules: list[_Rule], element: Element) -> None:
    """Sets the element's style: its attributes, then rules from the weakest, then its own style attribute."""
    element.style.update({name: value.strip() for name, value in element.attributes.items()})
    marks = {f".{name}" for name in element.attributes.get("class", "").split()}
    marks.add(f"#{element.attributes.get('id', '')}")
    for _, kind, parts, body in rules:
        if kind in ("*", element.kind) and marks.issuperset(parts):
            element.style.update(body)
    element.style.update(declarations(element.attributes.get("style", "")))
