"""A page to see and hear pieces: one HTML file that needs no server and no network, in light or dark."""

import base64
import dataclasses
import html
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from magenta_lite.errors import UserError
from magenta_lite.files import writing
from magenta_lite.music import piano_roll, roll_layout
from magenta_lite.music.notes import Notes

__all__ = ["Piece", "Section", "write_page"]


@dataclasses.dataclass(frozen=True, eq=False)
class Piece:
    """A piece on the page.

    caption: a few words. audio: a WAV of it, whose time 0 is the piece's; none: it is only shown. given_seconds: the
    part before was given, not made. midi: a file to take away. bars: to be shown in place of seconds.
    """

    notes: Notes
    caption: str = ""
    audio: str | os.PathLike[str] | None = None
    given_seconds: float = 0.0
    midi: str | os.PathLike[str] | None = None
    bars: roll_layout.Bars | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Section:
    """A part of the page: the heading, plain text in which a blank line begins a paragraph, and the pieces below."""

    title: str
    text: str = ""
    pieces: Sequence[Piece] = ()


def write_page(
    path: str | os.PathLike[str], title: str, sections: Sequence[Section], *, made: str = "", embed: bool = False
) -> None:
    """Writes the page. Piano rolls are in it, with a line that runs along as a piece plays; a click on one plays there.

    Args:
      path: the HTML file, written whole or not at all; its folder is made if missing.
      title: the page's heading.
      sections: shown in order.
      made: a line under the heading that says how the page was made.
      embed: puts sound and MIDI into the page, 14 MB for a minute; else they are files it points to, relative to it.

    Raises:
      UserError: the file cannot be written, or one to embed not be read.
    """
    folder = Path(path).parent
    made = f'<p class="made">{html.escape(made)}</p>' if made else ""
    parts = [f"<header><h1>{html.escape(title)}</h1>{made}</header>"]
    for section in sections:
        paragraphs = [f"<p>{html.escape(part.strip())}</p>" for part in section.text.split("\n\n") if part.strip()]
        figures = [_figure(piece, folder, embed) for piece in section.pieces]
        heading = f"<h2>{html.escape(section.title)}</h2>"
        parts.append("\n".join(["<section>", heading, *paragraphs, *figures, "</section>"]))
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + f"\n</main>\n<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )
    with writing(path) as file:
        file.write(page.encode())


def _figure(piece: Piece, folder: Path, embed: bool) -> str:
    layout = roll_layout.lay_out(piece.notes, bars=piece.bars)
    picture = io.BytesIO()
    roll = piano_roll.picture(piece.notes, given_seconds=piece.given_seconds, bars=piece.bars)
    roll.save(picture, "PNG", optimize=True)
    source = "data:image/png;base64," + base64.b64encode(picture.getvalue()).decode()
    # Of each row the seconds it shows, and its box in shares of the picture: where the running line is.
    rows = [
        [row.begin, row.end]
        + [round(at / layout.width, 5) for at in (row.left, row.right)]
        + [round(at / layout.height, 5) for at in (row.top, row.bottom)]
        for row in layout.rows
    ]
    caption = html.escape(piece.caption)
    words = [f"<b>{caption}</b>"] if caption else []
    words.append(f"<span>{len(piece.notes):,} notes, {piece.notes.duration:.1f} s</span>")
    if piece.midi is not None:
        address, name = _address(piece.midi, folder, embed, "audio/midi"), html.escape(Path(piece.midi).name)
        words.append(f'<a href="{address}" download="{name}">MIDI</a>')
    sound = ""
    if piece.audio is not None:
        address = _address(piece.audio, folder, embed, "audio/wav")
        sound = f'<audio controls preload="none" src="{address}"></audio>'
    return (
        f'<figure data-rows="{html.escape(json.dumps(rows))}"><figcaption>{" ".join(words)}</figcaption>\n'
        f'<div class="roll"><img alt="piano roll{": " + caption if caption else ""}" width="{layout.width}"'
        f' height="{layout.height}" src="{source}"><i></i></div>{sound}</figure>'
    )


def _address(file: str | os.PathLike[str], folder: Path, embed: bool, kind: str) -> str:
    """A file's address in the page: its content, or its path from the page's folder."""
    if not embed:
        return html.escape(quote(Path(os.path.relpath(file, folder)).as_posix()))
    try:
        content = Path(file).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {file}: {(error.strerror or str(error)).lower()}") from None
    return f"data:{kind};base64," + base64.b64encode(content).decode()


_STYLE = """
:root { color-scheme: light dark;
  --page: #f6f5f1; --card: #ffffff; --edge: #e3e1da; --ink: #1b1b25; --text: #33323c; --soft: #77757f;
  --accent: #3b5bdb; }
@media (prefers-color-scheme: dark) { :root {
  --page: #15151b; --card: #1e1e27; --edge: #31313d; --ink: #f1efe8; --text: #d8d6de; --soft: #918f9c;
  --accent: #91a7ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; }
main { max-width: 78rem; margin: 0 auto; padding: 3rem 1.5rem 4rem; }
h1 { margin: 0; font-size: 2.2rem; line-height: 1.15; letter-spacing: -0.02em; color: var(--ink); }
h2 { margin: 0; font-size: 1.3rem; letter-spacing: -0.01em; color: var(--ink); }
p { max-width: 44rem; margin: 0.5rem 0 0; }
.made { color: var(--soft); overflow-wrap: anywhere; }
section { margin-top: 3rem; }
figure { margin: 1rem 0 0; padding: 0.8rem 1rem 1rem; background: var(--card); border: 1px solid var(--edge);
  border-radius: 10px; }
figcaption { display: flex; flex-wrap: wrap; gap: 0 1rem; font-size: 0.9rem; color: var(--soft); }
figcaption b { font-weight: 600; color: var(--ink); overflow-wrap: anywhere; }
a { color: var(--accent); }
.roll { position: relative; margin: 0.5rem 0; overflow: hidden; border-radius: 6px; background: #ffffff; }
.roll img { display: block; width: 100%; height: auto; }
.roll i { position: absolute; display: none; width: 2px; margin-left: -1px; background: #e8590c; pointer-events: none; }
.playing .roll i { display: block; }
audio { display: block; width: 100%; height: 2.4rem; }
figure:has(audio) .roll { cursor: pointer; }
@media (prefers-color-scheme: dark) { .roll img { filter: invert(0.9) hue-rotate(180deg); }
  .roll { background: #1a1a1a; } }
"""

_SCRIPT = """
for (const figure of document.querySelectorAll("figure")) {
  const audio = figure.querySelector("audio"), roll = figure.querySelector(".roll"), line = figure.querySelector("i");
  if (!audio) continue;
  const rows = JSON.parse(figure.dataset.rows);
  const place = () => {
    const now = audio.currentTime, row = rows.find((one) => now < one[1]);
    figure.classList.toggle("playing", Boolean(row) && now > 0);
    if (row) {
      const [begin, end, left, right, top, bottom] = row;
      line.style.left = 100 * (left + (right - left) * (now - begin) / (end - begin)) + "%";
      line.style.top = 100 * top + "%";
      line.style.height = 100 * (bottom - top) + "%";
    }
    if (!audio.paused) requestAnimationFrame(place);
  };
  audio.addEventListener("play", () => {
    document.querySelectorAll("audio").forEach((other) => { if (other !== audio) other.pause(); });
    place();
  });
  for (const event of ["pause", "seeked", "ended"]) audio.addEventListener(event, place);
  roll.addEventListener("click", (event) => {
    const box = roll.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
    const row = rows.find((one) => y < one[5]) || rows[rows.length - 1];
    const share = Math.min(Math.max((x - row[2]) / (row[3] - row[2]), 0), 1);
    audio.play().then(() => { audio.currentTime = row[0] + share * (row[1] - row[0]); }).catch(() => {});
  });
}
"""
