"""SVG files as drawings: every command, shape and map, what is not seen, and what is meant to do harm."""

import gzip
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from magenta_lite.errors import Rejected
from magenta_lite.sketch import svg_reading, svg_tree
from magenta_lite.sketch.strokes import from_polylines, to_polylines
from magenta_lite.sketch.svg import drawing_svg

LINE = '<path d="M0 0L4 0"/>'


def svg(body, attributes=""):
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {attributes}>{body}</svg>'
    )


def picture(text):
    return svg_reading.picture(svg_tree.parse(text.encode()))


def lines(body, attributes=""):
    found = picture(svg(body, attributes)).lines
    assert isinstance(found, list), found
    return [line.round(6).tolist() for line in found]


@pytest.mark.parametrize(
    ("d", "expected"),
    [
        ("M1 2L3 4 5 6", [[[1, 2], [3, 4], [5, 6]]]),
        ("m1 2 2 2l2 2", [[[1, 2], [3, 4], [5, 6]]]),
        ("M1,2H5V7h-1v-1", [[[1, 2], [5, 2], [5, 7], [4, 7], [4, 6]]]),
        ("M0 0h3v3z", [[[0, 0], [3, 0], [3, 3], [0, 0]]]),
        ("M0 0h3zm1 1h1", [[[0, 0], [3, 0], [0, 0]], [[1, 1], [2, 1]]]),
        ("M0 0h3zv2", [[[0, 0], [3, 0], [0, 0]], [[0, 0], [0, 2]]]),
        ("M.5.5-1-.5", [[[0.5, 0.5], [-1, -0.5]]]),
        ("M0 0 M5 5h1e0", [[[5, 5], [6, 5]]]),
        ("M0 0L1 1M7 7z", [[[0, 0], [1, 1]], [[7, 7], [7, 7]]]),
        ("M0 0A0 9 0 0 1 3 3A1 1 0 0 1 3 3", [[[0, 0], [3, 3], [3, 3]]]),
    ],
)
def test_path_data(d, expected):
    assert lines(f'<path d="{d}"/>') == expected


def bezier(points, count=400):
    t = np.linspace(0, 1, count)[:, None]
    n = len(points) - 1
    return sum(math.comb(n, k) * t**k * (1 - t) ** (n - k) * np.array(points[k], float) for k in range(n + 1))


@pytest.mark.parametrize(
    ("d", "controls"),
    [
        ("M0 0C0 9 9 9 9 0S18-9 18 0", [[(0, 0), (0, 9), (9, 9), (9, 0)], [(9, 0), (9, -9), (18, -9), (18, 0)]]),
        ("M1 1c0 9 9 9 9 0s9-9 9 0", [[(1, 1), (1, 10), (10, 10), (10, 1)], [(10, 1), (10, -8), (19, -8), (19, 1)]]),
        ("M0 0S9 9 9 0", [[(0, 0), (0, 0), (9, 9), (9, 0)]]),
        ("M0 0Q5 9 9 0T18 0", [[(0, 0), (5, 9), (9, 0)], [(9, 0), (13, -9), (18, 0)]]),
        ("M1 1q4 9 9 0t9 0", [[(1, 1), (5, 10), (10, 1)], [(10, 1), (15, -8), (19, 1)]]),
    ],
)
def test_curves_and_smooth_ones(d, controls):
    (line,) = picture(svg(f'<path d="{d}"/>')).lines
    expected = np.concatenate([bezier(points) for points in controls])
    gaps = np.abs(line[:, None] - expected[None]).sum(axis=2)
    assert gaps.min(axis=1).max() < 0.1
    assert gaps.min(axis=0).max() < 1.0


@pytest.mark.parametrize("large", [0, 1])
@pytest.mark.parametrize("sweep", [0, 1])
@pytest.mark.parametrize("turn", [0, 30, 145])
def test_arcs_lie_on_their_ellipse_and_take_the_side_asked_for(large, sweep, turn):
    """The implicit equation, with the axes turned back; the area swept tells large from small and left from right."""
    (line,) = picture(svg(f'<path d="M10 20A30 18 {turn} {large} {sweep} 40 32"/>')).lines
    angle = math.radians(turn)
    back = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    unit = line @ back / [30, 18]
    start, end = unit[0], unit[-1]
    np.testing.assert_allclose(line[[0, -1]], [[10, 20], [40, 32]], atol=1e-9)
    # In units of the half axes the ellipse is a circle of radius 1, whose two centres are known.
    middle, half = (start + end) / 2, (end - start) / 2
    side = np.array([-half[1], half[0]]) / np.hypot(*half) * math.sqrt(1 - half @ half)
    centre = middle + side if large != sweep else middle - side
    np.testing.assert_allclose(np.hypot(*(unit - centre).T), 1, atol=1e-9)
    angles = np.unwrap(np.arctan2(*(unit - centre).T[::-1]))
    assert (angles[-1] - angles[0] > 0) == bool(sweep)
    assert (abs(angles[-1] - angles[0]) > math.pi) == bool(large)


def test_arcs_too_small_to_reach_are_scaled_up_and_flags_need_no_blanks():
    (line,) = picture(svg('<path d="M0 0a1 1 0 0110 0"/>')).lines
    np.testing.assert_allclose(np.hypot(line[:, 0] - 5, line[:, 1]), 5, atol=1e-9)
    assert line[:, 1].min() == pytest.approx(-5, abs=0.01)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ('<rect x="1" y="2" width="3" height="4"/>', [[[1, 2], [4, 2], [4, 6], [1, 6], [1, 2]]]),
        ('<line x1="1" y1="2" x2="3" y2="4" stroke="red"/>', [[[1, 2], [3, 4]]]),
        ('<polyline points="1,2 3,4,5-6"/>', [[[1, 2], [3, 4], [5, -6]]]),
        ('<polygon points="1,2 3,4 5 6"/>', [[[1, 2], [3, 4], [5, 6], [1, 2]]]),
        ('<line x1="10%" y1="10%" x2="50%" y2="1in" stroke="red"/>', [[[10, 20], [50, 96]]]),
    ],
)
def test_straight_shapes(shape, expected):
    assert lines(shape, 'viewBox="0 0 100 200"') == expected


def test_round_shapes():
    ((*points,),) = lines('<circle cx="5" cy="6" r="2"/>')
    np.testing.assert_allclose(np.hypot(*(np.array(points) - [5, 6]).T), 2, atol=1e-5)
    assert points[0] == points[-1] == [7, 6]
    ((*points,),) = lines('<ellipse cx="5" cy="6" rx="2" ry="8"/>')
    np.testing.assert_allclose(np.hypot(*((np.array(points) - [5, 6]) / [2, 8]).T), 1, atol=1e-5)
    ((*points,),) = lines('<rect x="1" y="2" width="30" height="40" rx="4"/>')
    inside = np.clip(np.array(points), [5, 6], [27, 38])
    np.testing.assert_allclose(np.hypot(*(np.array(points) - inside).T), 4, atol=1e-5)
    assert points[0] == points[-1] == [5, 2]
    ((*points,),) = lines('<rect width="10" height="4" rx="99" ry="99"/>')  # no more than half of each side: an ellipse
    np.testing.assert_allclose(np.hypot(*((np.array(points) - [5, 2]) / [5, 2]).T), 1, atol=1e-5)


def rotation(degrees):
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def shift(x, y):
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])


small = st.integers(-40, 40).map(lambda n: n / 4)
transforms = st.one_of(
    st.tuples(small, small).map(lambda v: ("translate({} {})".format(*v), shift(*v))),
    small.map(lambda x: (f"translate({x})", shift(x, 0))),
    st.tuples(small, small).map(lambda v: ("scale({},{})".format(*v), np.diag([*v, 1]))),
    small.map(lambda x: (f"scale({x})", np.diag([x, x, 1]))),
    small.map(lambda a: (f"rotate({a})", rotation(a))),
    st.tuples(small, small, small).map(
        lambda v: ("rotate({} {},{})".format(*v), shift(v[1], v[2]) @ rotation(v[0]) @ shift(-v[1], -v[2]))
    ),
    small.map(lambda a: (f"skewX({a})", np.array([[1, math.tan(math.radians(a)), 0], [0, 1, 0], [0, 0, 1]]))),
    small.map(lambda a: (f"skewY({a})", np.array([[1, 0, 0], [math.tan(math.radians(a)), 1, 0], [0, 0, 1]]))),
    st.tuples(*[small] * 6).map(
        lambda v: ("matrix({},{} {} {},{},{})".format(*v), np.array([v[0::2], v[1::2], [0, 0, 1]]))
    ),
)


@given(st.lists(st.lists(transforms, max_size=3), min_size=1, max_size=4))
def test_nested_transforms_are_products_of_matrices(levels):
    body, expected = '<polyline points="1,2 -3,4 5,-6"/>', np.array([[1, -3, 5], [2, 4, -6], [1, 1, 1]])
    for level in reversed(levels):
        body = f'<g transform="{" ".join(text for text, _ in level)}">{body}</g>'
        for _, matrix in reversed(level):
            expected = matrix @ expected
    (line,) = picture(svg(body)).lines
    np.testing.assert_allclose(line, expected[:2].T, rtol=1e-9, atol=1e-7 * (1 + np.abs(expected).max()))


@pytest.mark.parametrize(
    ("body", "attributes", "expected"),
    [
        (
            f'<defs><g id="a">{LINE}</g></defs><use href="#a" x="5" y="6" transform="scale(2)"/>',
            "",
            [[10, 12], [18, 12]],
        ),
        (
            '<use xlink:href="#a" x="1"/><defs><path id="a" d="M0 0L4 0" transform="rotate(90)"/></defs>',
            "",
            [[1, 0], [1, 4]],
        ),
        (
            '<symbol id="s" viewBox="0 0 9 9"><path d="M0 0L9 9"/></symbol><use href="#s" width="100" height="50"/>',
            "",
            [[25, 0], [75, 50]],
        ),
        ('<path d="M0 0L10 10"/>', 'viewBox="0 0 10 10" width="100" height="50"', [[25, 0], [75, 50]]),
        (
            '<path d="M0 0L10 10"/>',
            'viewBox="0 0 10 10" width="100" height="50" preserveAspectRatio="none"',
            [[0, 0], [100, 50]],
        ),
        (
            '<path d="M0 0L10 10"/>',
            'viewBox="0 0 10 10" width="100" height="50" preserveAspectRatio="xMaxYMid slice"',
            [[0, -25], [100, 75]],
        ),
        (
            '<svg x="10" y="10" width="20" height="20" viewBox="1 1 1 1"><path d="M1 1L2 2"/></svg>',
            'width="100" height="100"',
            [[10, 10], [30, 30]],
        ),
        (
            f'<switch><foreignObject requiredExtensions="x"/><g>{LINE}</g><path d="M1 1h1"/></switch>',
            "",
            [[0, 0], [4, 0]],
        ),
        (f"<style>g > path {{fill:none}} @media print {{path{{display:none}}}}</style>{LINE}", "", [[0, 0], [4, 0]]),
        (
            "<style>/* x */ .a, .b {fill:none;stroke:#000} #k{display:none}</style>"
            '<path id="k" d="M9 9h1"/><path class="x a" d="M0 0L4 0"/>',
            "",
            [[0, 0], [4, 0]],
        ),
        (
            '<g visibility="hidden"><path visibility="visible" d="M0 0L4 0"/><path d="M9 9h1"/></g>',
            "",
            [[0, 0], [4, 0]],
        ),
    ],
)
def test_uses_viewports_and_styles(body, attributes, expected):
    assert lines(body, attributes) == [expected]


@pytest.mark.parametrize(
    ("body", "remarks"),
    [
        ('<path style="display:none" d="M0 0h1"/>', {"invisible element left out": 1}),
        ('<g display="none"><path d="M0 0h1"/><path d="M0 0h1"/></g>', {"invisible element left out": 1}),
        ('<g opacity="0"><path d="M0 0h1"/></g>', {"invisible element left out": 1}),
        ('<path fill="none" d="M0 0h24v24H0z"/>', {"invisible element left out": 1}),
        ('<line x2="5"/>', {"invisible element left out": 1}),
        (
            '<g style="fill:none"><path stroke="red" stroke-width="0" d="M0 0h1"/></g>',
            {"invisible element left out": 1},
        ),
        ("<style>.h{display:none!important}</style><path class='h' d='M0 0h1'/>", {"invisible element left out": 1}),
        (f'<defs>{LINE}</defs><clipPath id="c">{LINE}</clipPath><marker>{LINE}</marker><mask>{LINE}</mask>', {}),
        (f"<symbol>{LINE}</symbol><pattern>{LINE}</pattern>", {}),
        ('<text>hello</text><image href="file:///etc/passwd"/><text/>', {"text left out": 2, "image left out": 1}),
        (
            '<use href="other.svg#a"/><use href="#none"/>',
            {"use of another file left out": 1, "use of what is not there left out": 1},
        ),
        ('<path/><path d="M1 1"/><circle r="0"/><rect width="5"/><polyline points="1 1"/>', {}),
        ('<blob d="M0 0h1"/>', {"element <blob> left out": 1}),
    ],
)
def test_what_is_not_seen_is_not_drawn_and_counted(body, remarks):
    found = picture(svg(body))
    assert found.lines == Rejected("nothing visible is drawn")
    assert found.remarks == remarks


def test_the_paper_is_no_part_of_the_drawing():
    """What this project writes comes back, without the white square behind it; a frame with a line stays."""
    strokes = np.array([[30, 0, 0], [0, 40, 1], [-10, -10, 0], [5, 5, 0], [1, -9, 1]], np.float32)
    found = picture(drawing_svg(strokes, 200))
    assert found.remarks == {"background of the page left out": 1}
    back, lines_ = from_polylines(found.lines), to_polylines(strokes)
    scale = np.ptp(np.concatenate(found.lines), axis=0).max() / np.ptp(np.concatenate(lines_), axis=0).max()
    np.testing.assert_allclose(back[:, :2], strokes[:, :2] * scale, atol=0.05)
    np.testing.assert_array_equal(back[:, 2], strokes[:, 2])
    page = 'viewBox="0 0 10 10" width="100vw"'
    assert lines('<rect width="100%" height="100%"/>' + LINE, page) == [[[0, 0], [4, 0]]]
    assert len(lines('<rect width="10" height="5"/>' + LINE, page)) == 2
    assert len(lines(LINE + '<rect width="10" height="10"/>', page)) == 2
    frame = '<rect width="10" height="10" stroke="black"/>'
    assert len(lines(frame + LINE, 'viewBox="0 0 10 10"')) == 2


def test_what_is_drawn_otherwise_is_remarked():
    body = '<path d="M0 0h1v1z"/><g clip-path="url(#c)"><path stroke="red" mask="url(#m)" d="M0 0h1"/></g>'
    body += "<style>a b {fill:none} @media print {b {fill:none}}</style>"
    assert picture(svg(body)).remarks == {
        "fill drawn as its outline": 1,
        "clip-path not applied": 1,
        "mask not applied": 1,
        "style rule not applied": 2,
    }


def test_entities_that_name_namespaces_are_harmless():
    head = '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd" '
    head += '[<!ENTITY ns "http://www.w3.org/2000/svg">]>'
    (line,) = picture(f'{head}<svg xmlns="&ns;">{LINE}</svg>').lines
    assert line.tolist() == [[0, 0], [4, 0]]


@given(st.binary(max_size=200) | st.text("<>svgpath d=\"M0L1'/ &;", max_size=60).map(lambda s: svg(s).encode()))
def test_anything_else_is_rejected_or_drawn(content):
    found = svg_reading.picture(svg_tree.parse(content)).lines
    assert isinstance(found, Rejected) or all(np.isfinite(line).all() for line in found)


@given(st.text("MmLlHhVvCcSsQqTtAaZz0123456789.-+e, ", max_size=40))
def test_any_path_data_is_rejected_or_drawn(d):
    found = picture(svg(f'<path d="M0 0{d}"/>')).lines
    assert isinstance(found, Rejected) or all(np.isfinite(line).all() and len(line) > 1 for line in found)


def test_files_plain_and_packed(tmp_path):
    (tmp_path / "a.svg").write_text(svg(LINE))
    (tmp_path / "b.svgz").write_bytes(gzip.compress(svg(LINE).encode()))
    (tmp_path / "c.svgz").write_bytes(gzip.compress(bytes(100 << 20)))
    (tmp_path / "d.svgz").write_text(svg(LINE))
    a, b, c, d = (svg_reading.read(tmp_path / name).lines for name in ("a.svg", "b.svgz", "c.svgz", "d.svgz"))
    assert a[0].tolist() == b[0].tolist() == [[0, 0], [4, 0]]
    assert (c, d) == (Rejected("larger than 8 MB"), Rejected("file that cannot be read"))


@pytest.mark.parametrize("d", ["z", "M0 0L1 1#", "M0 0L1 1 2 2 x", "M0 0A1 1 0 2 0 5 5", "M0 0L١ ٢", "M0 0 1 1--1"])
def test_path_data_with_a_mistake_is_refused_and_not_drawn_in_part(d):
    assert picture(svg(f'{LINE}<path d="{d}"/>')).lines == Rejected("path data that cannot be read")


def test_drawings_smaller_than_numbers_are_drawn():
    ((*points,),) = picture(svg('<path d="M0 0Q5e-324 0 0 5e-324"/>')).lines
    assert points[-1].tolist() == [0, 5e-324]


def test_comments_in_style_sheets():
    sheet = "/* {fill:none} */path{stroke:red}/**/path{fill:none/*}*/}/* line{stroke:red} without an end"
    body = f"<style>{sheet}</style>{LINE}"
    assert lines(body + '<line x2="5"/>') == [[[0, 0], [4, 0]]]
    assert picture(svg(body)).remarks == {}


def test_remarks_of_many_kinds_are_not_listed_one_by_one():
    remarks = picture(svg(LINE + "".join(f"<e{n}/>" for n in range(99)))).remarks
    assert len(remarks) < 35 and sum(remarks.values()) == 99 + remarks.get("fill drawn as its outline", 0)
