"""SVG files that are meant to do harm: refused, at once."""

import re
import time

import pytest

from magenta_lite.errors import Rejected
from magenta_lite.sketch import svg_reading, svg_tree

LINE = '<path d="M0 0L4 0"/>'


def svg(body, attributes=""):
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {attributes}>{body}</svg>'
    )


def picture(text):
    return svg_reading.picture(svg_tree.parse(text.encode()))


def entities(count):
    names = [f'<!ENTITY e{i} "' + f"&e{i - 1};" * 10 + '">' for i in range(1, count)]
    return f'<!DOCTYPE svg [<!ENTITY e0 "lol">{"".join(names)}]>' + svg(f"<text>&e{count - 1};</text>")


BOMB = f'<g id="g0">{LINE}</g>' + "".join(
    f'<g id="g{i}">' + f'<use href="#g{i - 1}"/>' * 10 + "</g>" for i in range(1, 12)
)
CHAIN = "".join(f'<g id="g{i}"><use href="#g{i + 1}"/></g>' for i in range(5000))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (entities(12), "entities that could grow or lead elsewhere"),
        (
            '<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + svg("&a;"),
            "entities that could grow or lead elsewhere",
        ),
        ('<!DOCTYPE svg [<!ENTITY % a SYSTEM "x.dtd"> %a;]>' + svg(LINE), "entities that could grow or lead elsewhere"),
        (f'<!DOCTYPE svg [<!ENTITY a "{"x" * 1000}">]>' + svg(LINE), "entities that could grow or lead elsewhere"),
        ('<!DOCTYPE svg SYSTEM "http://localhost/x.dtd">' + svg("&a;"), "entity without a declaration"),
        (svg(LINE)[:-6], "not well-formed XML"),
        ("", "not well-formed XML"),
        ("GIF89a", "not well-formed XML"),
        ('<?xml version="1.0" encoding="utf-7"?><svg/>', "encoding that is not read"),
        ("<html><body/></html>", "not an SVG file"),
        ("<g>" * 300 + "</g>" * 300, "more than 200 elements inside each other"),
        (svg(BOMB), "more than 50,000 elements"),
        (svg(CHAIN), "more than 200 elements inside each other"),
        (svg('<g id="a"><use href="#b"/></g><g id="b"><use href="#a"/></g>'), "use that leads to itself"),
        (svg('<path d="M0 0L1e400 1"/>'), "coordinates out of range"),
        (svg('<path d="M0 0L1e200 1"/>'), "coordinates out of range"),
        (svg(f'<path transform="scale({"9" * 400})" d="M0 0L1 1"/>'), "transform that cannot be read"),
        (svg('<g transform="scale(1e30)"><path d="M0 0L1e30 1"/></g>'), "coordinates out of range"),
        (svg('<circle r="1e999"/>'), "coordinates out of range"),
        (svg('<path d="M0 0L1 1 L 5 q"/>'), "path data that cannot be read"),
        (svg('<path d="hello"/>'), "path data that cannot be read"),
        (svg('<path d="L5 5"/>'), "path data that cannot be read"),
        (svg('<path d="M0 0L nan 1"/>'), "path data that cannot be read"),
        (svg('<polyline points="1,2 3"/>'), "odd number of coordinates"),
        (svg('<polyline points="1,2,,3 4"/>'), "list of numbers that cannot be read"),
        (svg(f'<polyline points="{"1" * 100_000}x"/>'), "list of numbers that cannot be read"),
        (svg('<rect width="-5" height="5"/>'), "size below 0"),
        (svg('<rect width="5 apples" height="5"/>'), "length that cannot be read"),
        (svg('<path transform="rotate(x)" d="M0 0h1"/>'), "transform that cannot be read"),
        (svg('<path transform="turn(3)" d="M0 0h1"/>'), "transform that cannot be read"),
        (svg(f'<path transform="rotate(1{" " * 100_000}" d="M0 0h1"/>'), "transform that cannot be read"),
        (svg(LINE, 'viewBox="0 0 x 1"'), "list of numbers that cannot be read"),
        (svg(LINE, 'viewBox="0 0 0 1"'), "viewBox without a size"),
        (svg(f"<style>{'a' * 300_000}</style>"), "style sheet that is too long"),
        (svg(f"<style>{'@{' * 100_000}</style>"), "nothing visible is drawn"),
        ("x" * (9 << 20), "larger than 8 MB"),
    ],
)
def test_files_that_do_harm_are_refused_at_once(text, reason):
    start = time.process_time()
    assert picture(text).lines == Rejected(reason)
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("before", "inside", "reason"),
    [
        ('<?xml version="1.0" encoding="unicode_escape"?>', LINE, "encoding that is not read"),
        (f"<!DOCTYPE svg [{'<!ATTLIST g a CDATA #IMPLIED>' * 501}]>", LINE, "more than 500 declared attributes"),
        ('<!DOCTYPE svg [<!ENTITY a "b">]>', f'<g x="{"&a;" * 10_001}"/>', "entities that could grow"),
        ("", f'<g xmlns:z="{"z" * 1001}"/>', "namespace that is too long"),
        ("", f"<g {' '.join(f'a{n}=_' for n in range(501)).replace('_', chr(34) * 2)}/>", "more than 500 attributes"),
        ("", f'<path style="{"".join(f"a{n}:1;" for n in range(501))}" d="M0 0h1"/>', "more than 500 attributes"),
        ("", f"<style>*{{{''.join(f'a{n}:1;' for n in range(400))}}}</style>{'<g/>' * 13_000}", "style sheet that"),
        ("", f'<path visibility="hidden" d="M0 0{"h1" * 40_000}"/>' * 3, "more than 175,000 numbers"),
        ("", f'<path d="M0 0{"C0 9 9 9 9 0" * 20_000}"/>', "more than 100,000 points|more than 175,000 numbers"),
        ("", f'<rect width="{"0" * 1000}1" height="1"/>', "length that cannot be read"),
        ("", f'<g transform="{"translate(1)" * 900}"/>', "transform that cannot be read"),
        ("", f'<svg viewBox="0 0{" " * 1000}1 1"/>', "viewBox that cannot be read"),
    ],
)  # fmt: skip
def test_what_takes_endless_time_or_memory_is_refused(before, inside, reason):
    found = picture(before + svg(inside)).lines
    assert isinstance(found, Rejected) and re.search(reason, found.reason), found
