"""A page that shows drawings: one HTML file that needs no server and no network, in light or dark."""

import dataclasses
import html
import math
import os
from collections.abc import Mapping, Sequence

import numpy as np

from magenta_lite.files import writing
from magenta_lite.sketch.grid import PEN, Cell, fit
from magenta_lite.sketch.svg import path_data

__all__ = ["Cell", "Section", "write_page"]

_SIDE = 100  # of a cell's own coordinates
_DRAWING_SECONDS = 2.0  # to draw a drawing when it is played
_CHART = (720, 300)  # width and height
_CHART_EDGES = (64, 16, 14, 44)  # left, right, top, bottom: room for the axes' labels
_CHART_POINTS = 600  # of one series; longer ones are averaged over neighbours
_SERIES = 6  # colours of lines in the style sheet, used in turn


@dataclasses.dataclass(frozen=True, eq=False)
class Section:
    """A part of the page.

    title: the heading.
    text: plain text; a blank line begins a paragraph.
    grid: rows of cells from left to right; a row may be shorter than others.
    column_titles, row_titles: above the columns and left of the rows; none, or as many as there are.
    """

    title: str
    text: str
    grid: Sequence[Sequence[Cell]]
    column_titles: Sequence[str] = ()
    row_titles: Sequence[str] = ()


def write_page(
    path: str | os.PathLike[str],
    title: str,
    sections: Sequence[Section],
    loss_curve: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    *,
    made: str = "",
) -> None:
    """Writes the page; drawings draw themselves under the pointer, when clicked, and all together on a button.

    Args:
      path: the HTML file, written whole or not at all; its folder is made if missing.
      title: the page's heading.
      sections: shown in order.
      loss_curve: name -> (step, value) in order of steps, for a chart; values that are not finite leave a gap.
      made: a line under the heading that says how the page was made.

    Raises:
      UserError: the file cannot be written.
    """
    made = f'<p class="made">{html.escape(made)}</p>' if made else ""
    parts = [f"<header><h1>{html.escape(title)}</h1>{made}</header>"]
    parts += [_section(section) for section in sections]
    series = {name: list(points) for name, points in (loss_curve or {}).items() if len(points)}
    if series:
        parts.append(f'<section><h2>Learning curve</h2>\n<div class="chart">{_chart(series)}</div></section>')
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + f"\n</main>\n<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )
    with writing(path) as file:
        file.write(page.encode())


def _section(section: Section) -> str:
    paragraphs = "".join(f"<p>{html.escape(part.strip())}</p>" for part in section.text.split("\n\n") if part.strip())
    columns = max([len(row) for row in section.grid] + [len(section.column_titles)], default=0)
    button = '<button type="button" class="play" aria-label="Draw all">▶ draw</button>' if columns else ""
    lines = [f"<section><div class='head'><h2>{html.escape(section.title)}</h2>{button}</div>{paragraphs}"]
    if columns:
        titled = any(section.row_titles)
        template = ("max-content " if titled else "") + f"repeat({columns}, minmax(4.5rem, 9rem))"
        lines.append(f'<div class="scroll"><div class="grid" style="grid-template-columns:{template}">')
        if any(section.column_titles):
            titles = [*section.column_titles, *[""] * (columns - len(section.column_titles))]
            lines += ["<span></span>"] * titled
            lines += [f'<span class="column">{html.escape(title)}</span>' for title in titles]
        for index, row in enumerate(section.grid):
            if titled:
                title = section.row_titles[index] if index < len(section.row_titles) else ""
                lines.append(f'<span class="row">{html.escape(title)}</span>')
            lines += [_figure(cell) for cell in row]
            lines += ["<span></span>"] * (columns - len(row))
        lines.append("</div></div>")
    lines.append("</section>")
    return "\n".join(lines)


def _figure(cell: Cell) -> str:
    """A cell as a figure; each line is a path with its own time to begin and to take when the drawing is played."""
    given, lines = fit(cell.strokes, _SIDE, given=cell.given)
    # A dot takes time too, or it would appear together with what follows.
    lengths = [float(np.hypot(*np.diff(line, axis=0).T).sum()) + 4.0 for line in given + lines]
    seconds = _DRAWING_SECONDS / (sum(lengths) or 1.0)
    paths, begin = [], 0.0
    for index, (line, length) in enumerate(zip(given + lines, lengths, strict=True)):
        kind = ' class="given"' if index < len(given) else ""
        style = f"--b:{begin * seconds:.2f}s;--t:{length * seconds:.2f}s"
        paths.append(f'<path{kind} pathLength="1" style="{style}" d="{path_data([line])}"/>')
        begin += length
    caption = html.escape(cell.caption)
    return (
        f'<figure tabindex="0"><svg viewBox="0 0 {_SIDE} {_SIDE}" role="img" aria-label="{caption or "drawing"}">'
        f"{''.join(paths)}</svg>{f'<figcaption>{caption}</figcaption>' if caption else ''}</figure>"
    )


def _chart(series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """The SVG of a line chart: value over step, with axes, ticks and a legend."""
    width, height = _CHART
    left, right, top, bottom = _CHART_EDGES
    curves = {name: _thin(np.array(points, float).reshape(-1, 2)) for name, points in series.items()}
    every = np.concatenate(list(curves.values()))
    finite = every[np.isfinite(every).all(axis=1)]
    if not len(finite):
        return "<p>No finite values.</p>"
    x_ticks, y_ticks = _ticks(*_span(finite[:, 0])), _ticks(*_span(finite[:, 1]))
    x_low, x_high = _span(finite[:, 0])
    y_low, y_high = min(y_ticks[0], finite[:, 1].min()), max(y_ticks[-1], finite[:, 1].max())

    def across(step: float) -> float:
        return left + (step - x_low) / (x_high - x_low) * (width - left - right)

    def down(value: float) -> float:
        return height - bottom - (value - y_low) / (y_high - y_low) * (height - top - bottom)

    parts = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="learning curve">']
    for tick in y_ticks:
        y = down(tick)
        parts.append(f'<line class="rule" x1="{left}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="y" x="{left - 10}" y="{y:.1f}">{_number(tick)}</text>')
    base = height - bottom
    parts.append(f'<line class="axis" x1="{left}" x2="{width - right}" y1="{base}" y2="{base}"/>')
    for tick in x_ticks:
        x = across(tick)
        if left - 1 <= x <= width - right + 1:
            parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{base}" y2="{base + 4}"/>')
            parts.append(f'<text class="x" x="{x:.1f}" y="{base + 16}">{_number(tick)}</text>')
    parts.append(f'<text class="x" x="{(left + width - right) / 2:.1f}" y="{height - 8}">step</text>')
    for index, curve in enumerate(curves.values()):
        data, pen = [], "M"
        for step, value in curve:
            if math.isfinite(step) and math.isfinite(value):
                data.append(f"{pen}{across(step):.1f} {down(value):.1f}")
                pen = "L"
            else:
                pen = "M"
        parts.append(f'<path class="s{index % _SERIES}" d="{"".join(data)}"/>')
    legend = "".join(
        f'<li class="s{index % _SERIES}"><i></i>{html.escape(name)} <b>{_last(curve)}</b></li>'
        for index, (name, curve) in enumerate(curves.items())
    )
    return "".join(parts) + f'</svg><ul class="legend">{legend}</ul>'


def _thin(curve: np.ndarray) -> np.ndarray:
    """A curve [n, 2] with at most _CHART_POINTS points, each the mean of as many neighbours."""
    together = -(-len(curve) // _CHART_POINTS)
    return np.array([curve[i : i + together].mean(axis=0) for i in range(0, len(curve), together)])


def _span(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers from at or below low to at or above high."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    return [step * index for index in range(math.floor(low / step), math.ceil(high / step) + 1)]


def _number(value: float) -> str:
    if abs(value) >= 1e6:
        return f"{value / 1e6:g}M"
    if abs(value) >= 1e4:
        return f"{value / 1e3:g}k"
    return f"{value:.10g}".replace("-", "−")


def _last(curve: np.ndarray) -> str:
    values = curve[np.isfinite(curve[:, 1]), 1]
    return f"{values[-1]:.4g}".replace("-", "−") if len(values) else ""


_STYLE = (
    """
:root { color-scheme: light dark;
  --page: #f6f5f1; --card: #ffffff; --edge: #e3e1da; --ink: #1b1b25; --text: #33323c; --soft: #77757f;
  --given: #e8590c; --accent: #3b5bdb;
  --c0: #3b5bdb; --c1: #e8590c; --c2: #2b8a3e; --c3: #ae3ec9; --c4: #0c8599; --c5: #b7950b; }
@media (prefers-color-scheme: dark) { :root {
  --page: #15151b; --card: #1e1e27; --edge: #31313d; --ink: #f1efe8; --text: #d8d6de; --soft: #918f9c;
  --given: #ff922b; --accent: #91a7ff;
  --c0: #91a7ff; --c1: #ff922b; --c2: #69db7c; --c3: #e599f7; --c4: #66d9e8; --c5: #ffe066; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 3rem 1.5rem 4rem; }
h1 { margin: 0; font-size: 2.2rem; line-height: 1.15; letter-spacing: -0.02em; color: var(--ink); }
h2 { margin: 0; font-size: 1.3rem; letter-spacing: -0.01em; color: var(--ink); }
p { max-width: 44rem; margin: 0.5rem 0 0; }
.made { color: var(--soft); overflow-wrap: anywhere; }
section { margin-top: 3rem; }
.head { display: flex; align-items: center; gap: 1rem; }
.play { font: inherit; font-size: 0.8rem; padding: 0.1rem 0.7rem; border: 1px solid var(--edge); border-radius: 1rem;
  background: var(--card); color: var(--soft); cursor: pointer; }
.play:hover { color: var(--accent); border-color: var(--accent); }
.scroll { overflow-x: auto; margin-top: 1rem; padding: 2px; }
.grid { display: grid; gap: 0.6rem; width: max-content; max-width: 100%; align-items: start; }
.column { align-self: end; text-align: center; font-size: 0.82rem; color: var(--soft); }
.row { align-self: center; max-width: 10rem; padding-right: 0.6rem; font-size: 0.82rem; color: var(--soft); }
figure { margin: 0; min-width: 0; cursor: pointer; }
figure svg { display: block; width: 100%; background: var(--card); border: 1px solid var(--edge);
  border-radius: 10px; }
figure:hover svg, figure:focus-visible svg { border-color: var(--accent); }
figure:focus { outline: none; }
figcaption { margin-top: 0.2rem; text-align: center; font-size: 0.78rem; line-height: 1.3; color: var(--soft);
  overflow-wrap: anywhere; }
figure path { fill: none; stroke: var(--ink); stroke-width: PEN; stroke-linecap: round; stroke-linejoin: round; }
figure path.given { stroke: var(--given); }
@media (hover: hover) { figure:not(.still):hover path { ANIMATION } }
figure.play-once path { ANIMATION }
@keyframes draw { 0% { opacity: 0; stroke-dasharray: 1 2; stroke-dashoffset: 1; } 1% { opacity: 1; }
  100% { stroke-dasharray: 1 2; stroke-dashoffset: 0; } }
@media (prefers-reduced-motion: reduce) { figure path { animation: none !important; } }
.chart { margin-top: 1rem; max-width: 52rem; padding: 1rem 1rem 0.8rem; background: var(--card);
  border: 1px solid var(--edge); border-radius: 10px; }
.chart { overflow-x: auto; }
.chart svg { display: block; width: 100%; min-width: 30rem; }
.chart path { fill: none; stroke-width: 1.7; stroke-linejoin: round; stroke-linecap: round; }
.chart .rule { stroke: var(--edge); } .chart .axis { stroke: var(--soft); }
.chart text { fill: var(--soft); font-size: 12px; } .chart .x { text-anchor: middle; }
.chart .y { text-anchor: end; dominant-baseline: central; }
.legend { display: flex; flex-wrap: wrap; gap: 0.2rem 1.4rem; margin: 0.4rem 0 0; padding: 0 0 0 0.5rem;
  list-style: none; font-size: 0.85rem; }
.legend i { display: inline-block; width: 1.2rem; height: 3px; margin-right: 0.5rem; border-radius: 2px;
  vertical-align: middle; background: var(--c); }
.legend b { font-weight: 600; color: var(--ink); }
path[class^="s"] { stroke: var(--c); }
""".replace("ANIMATION", "animation: draw var(--t) linear var(--b) both;").replace("PEN", str(PEN * _SIDE))
    + "\n".join(f".s{index} {{ --c: var(--c{index}); }}" for index in range(_SERIES))
)

_SCRIPT = """
function play(figure) {
  figure.classList.remove("play-once");
  figure.classList.add("still");  // the pointer resting on it must not play it a second time
  void figure.getBoundingClientRect();
  figure.classList.add("play-once");
}
for (const figure of document.querySelectorAll("figure")) {
  figure.addEventListener("click", () => play(figure));
  figure.addEventListener("keydown", (event) => { if (event.key === "Enter") play(figure); });
  figure.addEventListener("mouseleave", () => figure.classList.remove("still", "play-once"));
}
for (const button of document.querySelectorAll(".play"))
  button.addEventListener("click", () => button.closest("section").querySelectorAll("figure").forEach(play));
"""
