"""SVG files of strangers: entities, references, nested uses, numbers, styles and encodings that lie or grow."""

import functools
import gzip
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawing_mutations import damage, gzipped, numbered, shuffle_tokens
from harness import Reader, survive
from hypothesis import given, settings
from hypothesis import strategies as st
from svg_mutations import HOSTILE, built

from data.toy import drawings as toy
from magenta_lite.errors import Rejected
from magenta_lite.sketch.grid import Cell
from magenta_lite.sketch.svg import drawing_svg, grid_svg

WORST = Path(__file__).parent / "worst" / "svg"


@functools.cache
def own() -> tuple[str, ...]:
    """Files that the project writes: drawings, and a sheet of them."""
    found = [toy.draw(label, np.random.default_rng(7)) for label in toy.CLASSES]
    sheet = grid_svg([[Cell(strokes, "caption") for strokes in found[:3]]], 64, row_titles=["row"])
    return (*(drawing_svg(strokes, given=3) for strokes in found), sheet)


def one(rng: random.Random) -> tuple[str, bytes]:
    """A hostile file: its name and content."""
    match rng.randrange(10):
        case 0 | 1:
            text = shuffle_tokens(rng, rng.choice(own()), HOSTILE)
        case 2:
            text = shuffle_tokens(rng, built(rng), HOSTILE)
        case 3:
            text = rng.choice(own())
        case _:
            text = built(rng)
    coding = (
        "utf-8"
        if rng.random() < 0.92
        else rng.choice(("utf-16", "utf-16-be", "utf-8-sig", "latin1", "cp037", "utf-32"))
    )
    content = text.encode(coding, "replace")
    if rng.random() < 0.25:
        content = damage(rng, content, [text.encode() for text in own()])
    return ("drawing.svgz", gzipped(rng, content)) if rng.random() < 0.15 else ("drawing.svg", content)


@functools.cache
def codec() -> Any:
    from magenta_lite.models.sketch_rnn.codec import Codec

    return Codec(scale=30.0, n_max=250, labels=("cat",))


def read(folder: Path, file: tuple[str, bytes]) -> Any:
    """Reads a file as a builder does, and one that is not large as what somebody starts from, too."""
    from magenta_lite.sketch import simplification, strokes, svg_reading

    path = folder / file[0]
    path.write_bytes(file[1])
    picture = svg_reading.read(path)
    assert all(remark.isprintable() for remark in picture.remarks), picture.remarks
    assert len(picture.remarks) < 50
    if isinstance(picture.lines, Rejected):
        return picture.lines
    lines = simplification.simplified(picture.lines, simplification.EPSILON)
    if isinstance(lines, Rejected):
        return lines
    drawing = strokes.from_polylines(lines)
    assert len(drawing) and np.isfinite(drawing).all()
    if len(file[1]) > 100_000:
        return drawing
    ((name, example),) = codec().read(path)
    assert name == file[0] and np.array_equal(example["strokes"], drawing)
    return codec().encode(example)


def svg(inside: str, before: str = "", attributes: str = "") -> tuple[str, bytes]:
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return "drawing.svg", f"{before}<svg {spaces} {attributes}>{inside}</svg>".encode()


def bombs() -> list[tuple[str, tuple[str, bytes]]]:
    """Files that ask for much; the largest are as large as what is read at all."""
    million = 1_000_000
    use = '<use href="#a"/>'
    tens = [f'<use href="#n{number}"/>' * 10 for number in range(29)]
    nested = "".join(f'<g id="n{number}">{uses}</g>' for number, uses in enumerate(tens, 1))
    many = {
        "no-end-of-moves": f'<path d="M0 0{"m1 1" * million}"/>',
        "closes": f'<path d="M0 0L1 1{"z" * 7 * million}"/>',
        "lines": f'<path d="M0 0{"h1" * 3 * million}"/>',
        "arcs": f'<path d="M0 0{"a9 9 0 0 1 1 1" * 400_000}"/>',
        "arcs-up-to-the-limit": f'<path d="M0 0{"a9 9 0 0 1 1 1" * 21_000}"/>',
        "cubics-up-to-the-limit": f'<path d="M0 0{"c0 9 9 9 9 1" * 24_000}"/>',
        "hidden-paths": f'<path visibility="hidden" d="M0 0{"h1" * 90_000}"/>' * 30,
        "points": f'<polyline points="{"1 " * 3 * million}"/>',
        "long-number": f'<path d="M0 0L{"9" * 7 * million} 1"/>',
        "long-fraction": f'<path d="M0 0L0.{"9" * 7 * million} 1"/>',
        "long-length": f'<rect width="{"9" * 7 * million}x" height="1"/>',
        "zigzag": f'<polyline points="{" ".join(f"{n % 2 * 9999} {n}" for n in range(60_000))}"/>',
        "zigzags": "".join(
            f'<polyline points="{" ".join(f"{n % 2 * 9999} {n + m}" for n in range(2500))}"/>' for m in range(20)
        ),
        "spiral": f'<polyline points="{" ".join(f"{n} 0 0 {n} {-n} 0 0 {-n}" for n in range(15_000))}"/>',
        "elements": "<g/>" * 2 * million,
        "attributes": "<g " + " ".join(f'a{n}=""' for n in range(700_000)) + "/>",
        "different-elements": "".join(f"<e{n}/>" for n in range(90_000)),
        "nested-uses": f'<g id="n0"><path d="M0 0L9 9"/></g>{nested}<use href="#n29"/>',
        "nested-uses-of-nothing": f'<g id="n0"/>{nested}<use href="#n29"/>',
        "uses-of-a-long-transform": f'<g id="a" transform="{"translate(1)" * 20_000}"/>' + use * 99_000,
        "uses-of-a-long-path": f'<symbol id="a"><path visibility="hidden" d="M0 0{"h1" * 90_000}"/></symbol>'
        + "".join(f'<use href="#a" width="{n}" height="9"/>' for n in range(1, 9000)),
        "uses-of-many-declarations": f'<symbol id="a" style="{"".join(f"a{n}:1;" for n in range(90_000))}"/>'
        + use * 99_000,
        "uses-with-many-declarations": f'<g id="a">{use.replace("#a", "#b") * 9999}</g><symbol id="b"/>'
        + f'<use href="#a" style="{"".join(f"a{n}:1;" for n in range(90_000))}"/>',
        "comments-in-styles": f"<style>{'/* ' * 80_000}</style>",
        "styles-in-pieces": f"<style>{'a<!---->' * 260_000}</style>",
        "many-styles": f"<style>{'/* ' * 80_000}</style>" * 25,
        "long-rules": "<style>*{" + "".join(f"a{n}:1;" for n in range(30_000)) + "}</style>" + "<g/>" * 90_000,
        "many-rules": f"<style>{'*{x:1}' * 190}</style>" + "<g/>" * 99_000,
        "long-selectors": f"<style>{'.a' * 120_000}{{x:1}}</style>" + '<g class="a"/>' * 90_000,
        "long-namespace": f'<g xmlns:z="{"z" * 3 * million}">{"<z:a/>" * 500_000}</g>',
        "deep": "<g>" * 100_000,
        "viewboxes": f'<symbol id="a" viewBox="{" " * million}0 0 1 1"/>' + use * 99_000,
        "long-aspect": f'<symbol id="a" viewBox="0 0 1 1" preserveAspectRatio="{"defer" + " " * million}x"/>'
        + use * 99_000,
        "far": '<path d="M0 0L1e11 1"/><path d="' + "M0 0C1e11 0 0 1e11 1e-9 0" * 5000 + '"/>',
    }
    files = {name: svg(inside) for name, inside in many.items()}
    defaults = "".join(f'a{n} CDATA "" ' for n in range(200_000))
    files["default-attributes"] = svg("<g/>" * 800_000, f"<!DOCTYPE svg [<!ATTLIST g {defaults}>]>")
    files["entities"] = svg(f'<g x="{"&a;" * 2 * million}"/>', f'<!DOCTYPE svg [<!ENTITY a "{"猫" * 100}">]>')
    laughs = "".join(f'<!ENTITY l{n} "' + f"&l{n - 1};" * 10 + '">' for n in range(1, 12))
    files["billion-laughs"] = svg("<g>&l11;</g>", f'<!DOCTYPE svg [<!ENTITY l0 "lol">{laughs}]>')
    files["quadratic-blow-up"] = svg("&a;" * 100_000, f'<!DOCTYPE svg [<!ENTITY a "{"a" * 100_000}">]>')
    files["gzip"] = ("drawing.svgz", gzip.compress(b"<svg>" + bytes(100 << 20)))
    files["gzipped-gzip"] = ("drawing.svgz", gzip.compress(files["gzip"][1]))
    return list(files.items())


def survive_reading(tmp_path: Path, inputs: Any) -> Any:
    outcome = survive(functools.partial(read, tmp_path), inputs, out=tmp_path, before=functools.partial(warm, tmp_path))
    print(outcome)
    assert not outcome.failures, str(outcome)
    return outcome


def warm(folder: Path) -> None:
    """What is slow to import."""
    read(folder, svg('<path d="M0 0L9 9"/>'))


def test_mutated_files(tmp_path, times):
    outcome = survive_reading(tmp_path, numbered("svg", times(400, 20_000), one))
    assert outcome.taken > outcome.inputs / 20 and outcome.refused.total() > outcome.inputs / 3


def test_bombs(tmp_path):
    survive_reading(tmp_path, bombs())


REASONS = {
    "arc-flags-of-two.svg": "path data that cannot be read",
    "closes.svgz": "more than 175,000 numbers",
    "codec-of-python.svg": "encoding that is not read",
    "comments-without-end.svgz": "nothing visible is drawn",
    "file-of-the-system.svg": "entities that could grow or lead elsewhere",
    "long-namespace.svgz": "namespace that is too long",
    "mistake-behind-a-line.svg": "path data that cannot be read",
    "not-a-number-arc.svg": "path data that cannot be read",
    "path-close-then-line.svg": "path data that cannot be read",
    "path-of-a-close.svg": "path data that cannot be read",
    "smaller-than-numbers.svg": None,
    "smooth-after-line.svg": "path data that cannot be read",
    "uses-of-a-long-transform.svgz": "transform that cannot be read",
}
"""Of the worst inputs, each of which once took all memory, minutes, or a traceback; None: it is read."""


def test_the_worst_are_refused_with_their_reasons(tmp_path):
    assert {path.name for path in WORST.iterdir()} == set(REASONS)
    reading = functools.partial(read, tmp_path)
    with Reader(reading, out=tmp_path, before=functools.partial(warm, tmp_path)) as reader:
        for name, reason in REASONS.items():
            found = reader.check((f"drawing.{name.partition('.')[2]}", (WORST / name).read_bytes()), name).refused
            assert found == reason, (name, found)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    folder = tmp_path_factory.mktemp("read")
    with Reader(functools.partial(read, folder), out=folder, before=functools.partial(warm, folder)) as found:
        yield found


NUMBERS = st.one_of(st.floats(-99, 99), st.floats(), st.integers(-9, 9)).map(str)
STEPS = st.tuples(st.sampled_from("MmZzLlHhVvCcSsQqTtAa"), st.lists(NUMBERS, max_size=7))
DATA = st.lists(STEPS, max_size=6).map(lambda steps: "".join(letter + " ".join(values) for letter, values in steps))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(data=DATA | st.text("MmLlAaZzQ0123456789.,-+e \n"), transform=st.lists(NUMBERS, min_size=6, max_size=6))
def test_any_path(reader, data, transform):
    reader.check(svg(f'<path transform="matrix({" ".join(transform)})" d="M0 0{data}"/><path d="{data}"/>'))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(content=st.binary(max_size=200) | st.text("<>/ =\"'&;!-[]svgpathuse#{}:*.", max_size=200).map(str.encode))
def test_any_bytes(reader, content):
    reader.check(("drawing.svg", content))
    reader.check(("drawing.svg", svg("")[1].replace(b"</svg>", content + b"</svg>")))
