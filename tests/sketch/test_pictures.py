import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from magenta_lite.errors import UserError
from magenta_lite.sketch.gallery import Section, write_page
from magenta_lite.sketch.grid import GIVEN, INK, MARGIN, Cell, fit, lay_out
from magenta_lite.sketch.raster import drawing_gif, drawing_png, grid_gif, grid_image, grid_png
from magenta_lite.sketch.svg import drawing_svg, grid_svg

SQUARE = np.array([[100, 0, 0], [0, 100, 0], [-100, 0, 0], [0, -100, 1], [50, 50, 1]], np.float32)
EMPTY = np.zeros((0, 3), np.float32)
GRID = [[Cell(SQUARE, "a <b> & \"c\" 'd'", given=2), Cell(EMPTY, "none")], [Cell(SQUARE * [3, 1, 1])]]
SVG = "{http://www.w3.org/2000/svg}"


def rgb(colour):
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def has(picture, colour):
    pixels = np.asarray(picture.convert("RGB")).astype(int)
    return bool((np.abs(pixels - rgb(colour)).max(axis=2) < 25).any())


def test_fit_scales_uniformly_into_the_margins():
    given, lines = fit(SQUARE * [2, 1, 1], 100, given=2, x=10, y=20)
    points = np.concatenate(given + lines)
    low, high = points.min(axis=0), points.max(axis=0)
    np.testing.assert_allclose((low + high) / 2, [60, 70])
    np.testing.assert_allclose(high - low, [100 * (1 - 2 * MARGIN), 50 * (1 - 2 * MARGIN)])
    np.testing.assert_allclose(given[-1][-1], lines[0][0])


def test_labels_fit_their_room():
    page = lay_out([[Cell(SQUARE, "word " * 40)]], 100, column_titles=["short"], row_titles=["x" * 90])
    captions = {label.text for label in page.labels}
    assert "short" in captions
    assert all(len(text) < 30 for text in captions)
    assert sum(text.endswith("…") for text in captions) == 2


def test_svg_is_well_formed_with_the_captions_as_given():
    root = ElementTree.fromstring(grid_svg(GRID, column_titles=["<x>", "y"], row_titles=["1 & 2"]).encode())
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert texts == ["<x>", "y", "1 & 2", "a <b> & \"c\" 'd'", "none"]
    assert [path.get("stroke") for path in root.iter(f"{SVG}path")] == [INK, GIVEN, INK]
    assert len(list(root.iter(f"{SVG}rect"))) == 4
    assert all(path.get("stroke-linecap") == "round" for path in root.iter(f"{SVG}path"))


@pytest.mark.parametrize("strokes", [SQUARE, EMPTY, [[0, 0, 1]], [[1, 0, 0], [1, 0, 1]]])
def test_one_drawing_of_any_kind(strokes, tmp_path):
    strokes = np.asarray(strokes, np.float32)
    text = drawing_svg(strokes, 200)
    root = ElementTree.fromstring(text.encode())
    assert (root.get("width"), root.get("height")) == ("200", "200")
    assert "nan" not in text
    numbers = [float(n) for path in root.iter(f"{SVG}path") for n in re.findall(r"[\d.]+", path.get("d"))]
    assert all(0 <= number <= 200 for number in numbers)
    drawing_png(strokes, tmp_path / "a.png", 256)
    drawing_gif(strokes, tmp_path / "a.gif", 64, seconds=0.3)
    with Image.open(tmp_path / "a.png") as picture:
        inside = np.asarray(picture.convert("L"))[20:-20, 20:-20]
        assert bool((inside < 160).any()) == bool(len(strokes))


def test_png_shows_both_colours_on_white(tmp_path):
    grid_png(GRID, tmp_path / "a.png", 80, column_titles=["x", "y"])
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG"
        assert picture.getpixel((0, 0)) == (255, 255, 255)
        assert has(picture, INK)
        assert has(picture, GIVEN)
        page = lay_out(GRID, 80, column_titles=["x", "y"])
        assert picture.size == (page.width, page.height)


def test_png_agrees_with_where_the_lines_are():
    page = lay_out(GRID, 100)
    dark = np.asarray(grid_image(GRID, 100).convert("L")) < 200
    for placed in page.drawings:
        for x, y in np.concatenate([np.zeros((0, 2)), *placed.given, *placed.lines]):
            assert dark[int(y), int(x)]
        x, y = int(placed.x) + 5, int(placed.y) + 5
        assert not dark[y : y + 4, x : x + 90].any()


def test_gif_draws_more_and_more_then_holds_and_loops(tmp_path):
    grid_gif(GRID, tmp_path / "a.gif", 80, seconds=1.0, hold=1.5)
    with Image.open(tmp_path / "a.gif") as film:
        assert film.info["loop"] == 0
        assert film.n_frames == 19
        ink, durations = [], []
        for index in range(film.n_frames):
            film.seek(index)
            durations.append(film.info["duration"])
            ink.append(int((np.asarray(film.convert("L")) < 128).sum()))
        last = film.convert("RGB")
    assert ink == sorted(ink)
    assert ink[0] < ink[9] < ink[-1]
    assert durations == [60] * 18 + [1500]
    assert np.abs(np.asarray(last).astype(int) - np.asarray(grid_image(GRID, 80))).mean() < 0.5


def test_gif_stays_within_sixty_frames(tmp_path):
    drawing_gif(SQUARE, tmp_path / "a.gif", 48, seconds=30)
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 60
    assert (tmp_path / "a.gif").stat().st_size < 100_000


class Balanced(HTMLParser):
    """Checks that every element is closed, and collects what the page asks the network for."""

    def __init__(self):
        super().__init__()
        self.open, self.links, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        self.links += [value for name, value in attributes if name in ("src", "href", "srcset")]
        if tag not in ("meta", "br", "img", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_page_is_one_whole_file(tmp_path):
    path = tmp_path / "deep" / "index.html"
    curve = {"loss <1>": [(step, 1 / (step + 1)) for step in range(5000)], "flat": [(0, 2.0), (10, float("nan"))]}
    sections = [
        Section("One & two", "First.\n\nSecond <i>.", GRID, column_titles=["x"], row_titles=["r", "<s>"]),
        Section("Nothing", "", []),
    ]
    write_page(path, "A <title>", sections, curve, made="python sample.py --n=3 && true")
    page = path.read_text(encoding="utf-8")
    parser = Balanced()
    parser.feed(page)
    text = "".join(parser.text)
    assert parser.open == []
    assert parser.links == []
    assert not re.search(r"url\(|@import|https?://", page)
    for expected in ("A <title>", "Second <i>.", "a <b> & \"c\" 'd'", "<s>", "loss <1>", "--n=3 && true"):
        assert expected in text
    assert page.count("<figure") == 3
    assert not re.search(r"\bnan\b", page)
    assert [file.name for file in path.parent.iterdir()] == ["index.html"]


def test_page_without_a_curve_or_a_place(tmp_path):
    write_page(tmp_path / "a.html", "t", [], {})
    assert "Learning curve" not in (tmp_path / "a.html").read_text(encoding="utf-8")
    write_page(tmp_path / "a.html", "t", [], {"loss": [(1, float("inf"))]})
    write_page(tmp_path / "a.html", "t", [], {"loss": [(1, 3.0)]})
    with pytest.raises(UserError, match="cannot write"):
        write_page(tmp_path / "a.html" / "b.html", "t", [])
