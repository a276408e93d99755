"""The page of a Performance RNN: it plays on and on, and its wishes can be changed while it does."""

import html
import string
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magenta_lite.errors import UserError
from magenta_lite.interop.pages.document import MUSIC, document, facts, facts_list, need_small, parameters
from magenta_lite.models.performance_rnn import controls
from magenta_lite.models.performance_rnn.codec import LONGEST_NOTE
from magenta_lite.models.performance_rnn.vocabulary import (
    NOTE_OFF,
    TIME_SHIFT,
    VELOCITY,
    EventVocabulary,
    features,
    velocity_bin_size,
)
from magenta_lite.sampler import Sampler

_SCRIPTS = (*MUSIC, "performance_rnn_stream.js", "performance_rnn.js")
_BODY = string.Template(Path(__file__).with_name("performance_rnn.html").read_text(encoding="utf-8"))


def page(player: Sampler, *, title: str = "", large: bool = False) -> str:
    """The page's text.

    Raises:
      UserError: the model attends to its last outputs, or has more than MOST_PARAMETERS, unless `large`.
    """
    settings, weights = described(player)
    need_small(weights, large)
    heading = title or "A piano that plays on"
    return document(
        heading,
        body=_BODY.substitute(title=html.escape(heading), facts=facts_list(facts(player))),
        settings=settings,
        weights=weights,
        scripts=_SCRIPTS,
        styles=("music.css",),
    )


def described(player: Sampler) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
    """What the scripts have to know of the model, and its weights by the names that they have there.

    Of a model that reads points on circles the first kernel is multiplied with them: rows are those of events.

    Raises:
      UserError: the model attends to its last outputs.
    """
    model, codec, given = player.model, player.codec, parameters(player)
    if "layers.0.query.kernel" in given:
        raise UserError(
            "--format=html: the first layer attends to its last outputs (config.model.attention), which the page "
            "cannot: models without attention have a page"
        )
    vocabulary = codec.vocabulary
    sizes = [layer.units for layer in model.layers]
    # What reads events is the first map of the stack there: of a residual one, or of the first layer.
    there = ("stack.maps.0.kernel", "stack.maps.0.bias", "projection.kernel", "projection.bias")
    if not model.residual:
        there = ("stack.layers.0.w_xh", "stack.layers.0.bias", "layers.0.w_xh", "layers.0.bias")
    weights = {f"stack.{name}": value for name, value in given.items() if name.startswith("layers.")}
    weights |= {name: given[name] for name in ("output.kernel", "output.bias")}
    weights |= {there[0]: given[there[2]], there[1]: given[there[3]]}
    if model.inputs == "modulo":
        told, kernel = np.split(weights[there[0]], [model.control_size])
        weights[there[0]] = np.concatenate([told, features(vocabulary) @ kernel])
    bins = codec.velocity_bins
    settings = {
        "fields": list(vocabulary.fields),
        "first": vocabulary.first.tolist(),
        "stepsPerSecond": codec.steps_per_second,
        "longest": round(LONGEST_NOTE * codec.steps_per_second),
        "velocityBin": velocity_bin_size(bins) if bins else 1,
        "offsets": _offsets(vocabulary) if isinstance(vocabulary, EventVocabulary) else {},
        "sizes": sizes,
        "residual": model.residual,
        "conditions": list(model.conditions),
        "densityEdges": list(controls.DENSITY_EDGES),
        "densityBins": len(controls.DENSITY_EDGES) + 1,
        "density": controls.DEFAULT_DENSITY,
    }
    return settings, weights


def _offsets(vocabulary: EventVocabulary) -> dict[str, int]:
    """Where note-offs, shifts and velocities begin."""
    offsets = {"off": vocabulary.offset(NOTE_OFF), "shift": vocabulary.offset(TIME_SHIFT)}
    return {**offsets, "velocity": vocabulary.offset(VELOCITY) if vocabulary.velocity_bins else vocabulary.fields[0]}
