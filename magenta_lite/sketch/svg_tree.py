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
MOST_ELEMENTS = 50_000
_DEEPEST = 200  # elements inside each other
_ENTITY = 100  # letters of a declared entity
_ENTITIES = 10_000  # uses of declared entities
_ATTRIBUTES = 500  # of an element, or declarations that apply to it
_NAMESPACE = 1_000  # letters, which are part of the name of every element
_STYLES = 1 << 18  # letters of style sheets
_COMPARED = 10_000_000  # elements times rules
_APPLIED = 5_000_000  # declarations of rules, of all elements

_SPACES = ("", "http://www.w3.org/2000/svg")
_LINK = "http://www.w3.org/1999/xlink href"

# Python would take any codec of its own for one, unicode_escape as well.
_ENCODING = re.compile(r"(utf-?(8|16)|(us-)?ascii|(iso-?8859|windows|cp|koi8|latin|mac|x-mac)[a-z0-9_-]{0,12})$")
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
    if len(rules) * len(elements) > _COMPARED:
        return Rejected("style sheet that is too long")
    applied = 0
    for element in elements:
        applied += _apply(rules, element)
        if applied > _APPLIED:
            return Rejected("style sheet that is too long")
        if len(element.style) > _ATTRIBUTES:
            return Rejected(f"element with more than {_ATTRIBUTES} attributes")
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
    sheets: dict[int, list[str]] = {}  # of the style elements, by their places
    letters_of_sheets = defaults = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(open_) >= _DEEPEST:
            raise _RefusedError(f"more than {_DEEPEST} elements inside each other")
        if len(elements) >= MOST_ELEMENTS:
            raise _RefusedError(f"more than {MOST_ELEMENTS:,} elements")
        if len(attributes) > _ATTRIBUTES:
            raise _RefusedError(f"element with more than {_ATTRIBUTES} attributes")
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
        nonlocal letters_of_sheets
        if open_[-1].kind == "style":
            sheets.setdefault(id(open_[-1]), []).append(letters)
            letters_of_sheets += len(letters)
            if letters_of_sheets > _STYLES:
                raise _RefusedError("style sheet that is too long")

    def entity(name: str, parameter: int, value: str | None, *_: Any) -> None:
        short = not parameter and value is not None and len(value) <= _ENTITY and "&" not in value
        if not short or content.count(b"&") > _ENTITIES:
            raise _RefusedError("entities that could grow or lead elsewhere")

    def default(*_: Any) -> None:
        nonlocal defaults
        defaults += 1  # each is looked at for every element
        if defaults > _ATTRIBUTES:
            raise _RefusedError(f"more than {_ATTRIBUTES} declared attributes")

    def declaration(_: str, encoding: str | None, *__: Any) -> None:
        if encoding is not None and not _ENCODING.match(encoding.lower()):
            raise _RefusedError("encoding that is not read")

    def namespace(_: str | None, uri: str | None) -> None:
        if uri is not None and len(uri) > _NAMESPACE:
            raise _RefusedError("namespace that is too long")

    def skipped(*_: Any) -> None:
        raise _RefusedError("entity without a declaration")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.EntityDeclHandler = entity
    parser.XmlDeclHandler = declaration
    parser.AttlistDeclHandler = default
    parser.StartNamespaceDeclHandler = namespace
    parser.SkippedEntityHandler = skipped
    parser.Parse(content, True)
    for element in elements:
        element.text = "".join(sheets.get(id(element), ()))
    return elements


_Rule = tuple[tuple[int, int, int], str, frozenset[str], dict[str, str]]
"""Specificity, element or *, {".class", "#id"}, declarations."""


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
            rules.append((rank, match[1] or "*", frozenset(parts), declarations(body)))
    return sorted(rules, key=lambda rule: rule[0]), unread


def _blocks(sheet: str) -> Iterator[tuple[str, str]]:
    """What stands before each outer pair of braces, and what right inside of it."""
    depth, before, inside = 0, "", ""
    for piece in re.split(r"([{}])", _without_comments(sheet)):
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


def _without_comments(sheet: str) -> str:
    """The sheet without /* what is between these */; a comment without an end reaches to the end, as in browsers."""
    kept, place = [], 0
    while (begin := sheet.find("/*", place)) >= 0:
        kept.append(sheet[place:begin])
        end = sheet.find("*/", begin + 2)
        place = len(sheet) if end < 0 else end + 2
    return "".join([*kept, sheet[place:]])


def _apply(rules: list[_Rule], element: Element) -> int:
    """Sets the element's style: its attributes, then rules from the weakest, then its own style attribute.

    Returns how many declarations of rules that took.
    """
    applied = 0
    element.style.update({name: value.strip() for name, value in element.attributes.items()})
    marks = {f".{name}" for name in element.attributes.get("class", "").split()}
    marks.add(f"#{element.attributes.get('id', '')}")
    for _, kind, parts, body in rules:
        if kind in ("*", element.kind) and marks.issuperset(parts):
            element.style.update(body)
            applied += len(body)
    element.style.update(declarations(element.attributes.get("style", "")))
    return applied
