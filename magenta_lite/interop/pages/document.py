"""What every page is made of: one HTML file with its style, its scripts, its settings and its weights."""

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx
from numpy.typing import NDArray

from magenta_lite import workdirs
from magenta_lite.errors import UserError, plain
from magenta_lite.interop import licences, provenance
from magenta_lite.interop.card_words import FAMILIES
from magenta_lite.sampler import Sampler

LARGEST = 32767
"""The largest whole number that stands for a weight: numbers are symmetric, so that 0 stays 0."""

MUSIC = ("network.js", "lstm_stack.js", "sound.js", "midi_file.js", "note_roll.js")
"""Scripts of every page that is heard."""

MOST_PARAMETERS = 50_000_000
"""Of a page of music, beyond which it is refused: 133 MB to load, seconds for a bar, and slower than the music."""

_FOLDER = Path(__file__).parent


def document(
    title: str,
    *,
    body: str,
    settings: Mapping[str, Any],
    weights: Mapping[str, NDArray],
    scripts: Sequence[str],
    styles: Sequence[str] = (),
) -> str:
    """The page's text. It refers to nothing outside itself, and tells the browser to fetch nothing.

    title: plain text, for the browser's tab. body: HTML that is trusted: whoever makes it escapes what is not.
    settings: anything that JSON can say; the scripts find it as `page.settings`. weights: by name, float32; the scripts
    find them as `page.tensors()`. scripts: names of files of this folder, run in this order behind page.js; each can be
    read again by the page, to start a worker with it. styles: files of this folder, behind page.css.

    Raises:
      UserError: a weight is not finite.
    """
    listed, blocks = [], []
    for number, (name, value) in enumerate(weights.items()):
        numbers, scales = quantised(name, value)
        listed.append({"name": name, "shape": list(value.shape), "scale": _base64(scales.astype("<f4").tobytes())})
        text = _base64(numbers.astype("<i2").tobytes())
        blocks.append(f'<script type="text/plain" id="weights-{number}">{text}</script>')
    sources = {name: (_FOLDER / name).read_text(encoding="utf-8") for name in ("page.js", *scripts)}
    # Scripts run by their sums alone: were a name or a label ever to become a script, it would not run.
    sums = " ".join(f"'sha256-{_sum(source)}'" for source in sources.values())
    policy = (
        f"default-src 'none'; script-src {sums}; style-src 'unsafe-inline'; img-src data: blob:; "
        "media-src data: blob:; worker-src blob:; base-uri 'none'; form-action 'none'"
    )
    style = "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in ("page.css", *styles))
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html.escape(title)}</title>",
            '<link rel="icon" href="data:,">',
            f"<style>{style}</style>",
            "</head>",
            "<body>",
            body,
            f'<script type="application/json" id="settings">{_json({**settings, "tensors": listed})}</script>',
            *blocks,
            *(f'<script data-name="{name}">{source}</script>' for name, source in sources.items()),
            "</body>",
            "</html>\n",
        ]
    )


def quantised(name: str, value: NDArray) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Whole numbers in -32767..32767, and the scales that make weights of them again, one for each column or [1].

    A column, all that leads to one output, has a scale of its own, or a few large weights would coarsen all others.

    Raises:
      UserError: a weight is not finite.
    """
    value = np.asarray(value, np.float64)
    if not np.isfinite(value).all():
        raise UserError(f"{name} holds numbers that are not finite: train again, or take another --checkpoint")
    others = tuple(range(value.ndim - 1)) if value.ndim > 1 else None
    largest = np.abs(value).max(axis=others, initial=0.0)
    # What is smaller than the least normal number is as good as 0.
    scales = np.maximum(np.atleast_1d(largest) / LARGEST, np.finfo(np.float32).tiny).astype(np.float32)
    return np.clip(np.rint(value / scales.astype(np.float64)), -LARGEST, LARGEST).astype(np.int16), scales


def parameters(player: Sampler) -> dict[str, NDArray[np.float32]]:
    """All parameters of the model by their path, as in "decoder.w_hh"; kernels are [inputs, outputs]."""
    flat = nnx.to_flat_state(nnx.state(player.model, nnx.Param))
    return {".".join(map(str, path)): np.asarray(value[...], np.float32) for path, value in flat}


def need_small(weights: Mapping[str, NDArray], large: bool) -> None:
    """Raises UserError where a page of music would have more than MOST_PARAMETERS; large: it may."""
    size = sum(value.size for value in weights.values())
    if size > MOST_PARAMETERS and not large:
        raise UserError(
            f"--format=html: {size:,} parameters would make a page of {size * 8 / 3e6:,.0f} MB, slower than its music: "
            f"expected at most {MOST_PARAMETERS:,}, or --large"
        )


def facts(player: Sampler) -> dict[str, str]:
    """What a visitor should know of the model, as far as it is known, by headings."""
    imported = workdirs.origin(player.workdir)
    size = sum(value.size for value in parameters(player).values())
    steps = f", after {player.step:,} steps" if player.step else ""
    found = {
        "Model": f"{FAMILIES[player.config.family].title}, {size:,} parameters{steps}",
        "Comes from": ", ".join(str(imported[name]) for name in ("file", "format") if imported.get(name)),
        "Trained on": provenance.trained_on(player.workdir),
        "Licence of the data": provenance.licence(player.workdir),
        "What it asks for": _asked(player.workdir),
    }
    return {name: plain(str(value)) for name, value in found.items() if value}


def _asked(workdir: Path) -> str:
    """What the licences of the data ask for, in words; of several each behind its name."""
    data = provenance.data(workdir)
    found = {licence.name: licence for one in data for licence in licences.several(one.licence)}
    said = [licence.meaning if len(found) == 1 else f"{name}: {licence.meaning}" for name, licence in found.items()]
    closed = any(map(licences.non_commercial, found))
    return " ".join([*(["Not for commercial purposes."] if closed else []), *said])


def facts_list(found: Mapping[str, str]) -> str:
    """The facts as an HTML list, escaped."""
    rows = (f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in found.items())
    return f'<dl class="facts">{"".join(rows)}</dl>'


def _json(value: Any) -> str:
    """JSON in which nothing can end the element it stands in."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _sum(source: str) -> str:
    return _base64(hashlib.sha256(source.encode()).digest())


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
