"""SketchRNN's page: a person draws a beginning, and the model nine endings."""

import html
import string
from pathlib import Path

from magenta_lite import workdirs
from magenta_lite.interop.pages.document import document, facts, facts_list, parameters
from magenta_lite.sampler import Sampler

TEMPERATURE = 0.4
"""What the page begins with."""

IMPORTED_TEMPERATURE = 0.65
"""The same of an imported model: at 0.4 the published ones hardly ever end a drawing, at 0.6 two times out of three."""

SCRIPTS = ("network.js", "sketch_rnn_model.js", "sketch_rnn_lines.js", "sketch_rnn.js")

_BODY = Path(__file__).with_name("sketch_rnn.html")


def page(player: Sampler, *, title: str = "", large: bool = False) -> str:
    """The page's text. Every SketchRNN has one: any cell, any size, conditional or not, with labels or without.

    title: the page's heading. large: for other families, whose large models are refused without it.
    """
    config, codec, model = player.config.model, player.codec, player.model
    title = title or _title(codec.labels)
    settings = {
        "decoderCell": config.decoder_cell,
        "encoderCell": config.encoder_cell,
        "latent": model.latent_size,
        "mixtures": model.mixtures,
        "logSigmaMin": model.log_sigma_min,
        "labelSize": model.label_size,
        "labels": list(codec.labels) if model.label_size else [],
        "scale": codec.scale,
        "size": codec.size,
        "limit": codec.limit,
        "longest": codec.n_max,
        "maxPoints": codec.max_points,
    }
    body = string.Template(_BODY.read_text(encoding="utf-8")).substitute(
        title=html.escape(title),
        words=html.escape(_words(codec.labels)),
        temperature=IMPORTED_TEMPERATURE if workdirs.origin(player.workdir) else TEMPERATURE,
        facts=facts_list(facts(player)),
    )
    return document(
        title, body=body, settings=settings, weights=parameters(player), scripts=SCRIPTS, styles=("sketch_rnn.css",)
    )


def _title(labels: tuple[str, ...]) -> str:
    return f"Finish my {labels[0].replace('_', ' ')}" if len(labels) == 1 else "Finish my drawing"


def _words(labels: tuple[str, ...]) -> str:
    """What it knows how to draw."""
    if len(labels) < 2:
        return f"All drawings that it has seen were of one class: {labels[0].replace('_', ' ')}." if labels else ""
    shown = ", ".join(label.replace("_", " ") for label in labels[:12])
    return f"It was trained on {shown}{' and others' if len(labels) > 12 else ''}."
