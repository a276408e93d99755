"""The page of a MusicVAE: a square between four slices to wander in, decoded and heard as one goes."""

import html
import string
from pathlib import Path
from typing import Any

from magenta_lite.errors import UserError
from magenta_lite.interop.pages.document import MUSIC, document, facts, facts_list, need_small, parameters
from magenta_lite.models.music_vae.hierarchy import Conductors
from magenta_lite.models.music_vae.outputs import Categorical, Nade
from magenta_lite.music import chords, drums, grooves
from magenta_lite.sampler import Sampler

TITLES = {
    "melody": "melodies",
    "drums": "drum beats",
    "drum_roll": "drum beats",
    "trio": "trios",
    "groove": "grooves",
}

DRUM_NAMES = ("kick", "snare", "closed hat", "open hat", "low tom", "mid tom", "high tom", "crash", "ride")
"""What the page calls the original's classes of drums, in their order."""

# fmt: off
OTHER_DRUMS = {
    27: "high Q", 28: "slap", 29: "scratch", 30: "scratch 2", 31: "sticks", 32: "click", 33: "click", 34: "bell",
    35: "kick 2", 37: "side stick", 39: "clap", 40: "snare 2", 41: "low floor", 43: "floor tom", 44: "pedal hat",
    47: "mid tom 2", 52: "china", 53: "ride bell", 54: "tambourine", 55: "splash", 56: "cowbell", 57: "crash 2",
    58: "vibraslap", 59: "ride 2", 60: "high bongo", 61: "low bongo", 62: "mute conga", 63: "open conga",
    64: "low conga", 65: "high timbale", 66: "low timbale", 67: "high agogo", 68: "low agogo", 69: "cabasa",
    70: "maracas", 71: "whistle", 72: "whistle 2", 73: "guiro", 74: "guiro 2", 75: "claves", 76: "high block",
    77: "low block", 78: "mute cuica", 79: "open cuica", 80: "mute triangle", 81: "triangle", 82: "shaker",
    83: "sleigh bell", 84: "bell tree", 85: "castanets", 86: "mute surdo", 87: "surdo",
}
# fmt: on
"""Single drums that are not the first of their class, by pitch, as General MIDI has them; and Roland's low tom."""

_SCRIPTS = (*MUSIC, "music_vae_decoder.js", "music_vae.js")
_BODY = string.Template(Path(__file__).with_name("music_vae.html").read_text(encoding="utf-8"))


def page(player: Sampler, *, title: str = "", large: bool = False) -> str:
    """The page's text.

    Raises:
      UserError: the decoder reads what the page has not (a groove's hits, a slice encoded again), or has more
        than MOST_PARAMETERS, unless `large`.
    """
    settings, weights = described(player)
    need_small(weights, large)
    heading = title or f"Between four {TITLES[player.codec.kind]}"
    bars = f"{player.codec.bars} bars" if player.codec.bars > 1 else "one bar"
    body = _BODY.substitute(title=html.escape(heading), bars=bars, facts=facts_list(facts(player)))
    return document(
        heading,
        body=body,
        settings=settings,
        weights=weights,
        scripts=_SCRIPTS,
        styles=("music.css",),
    )


def described(player: Sampler) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the scripts have to know of the decoder, and its weights by name.

    Raises:
      UserError: the decoder reads what the page has not.
    """
    model, codec = player.model, player.codec
    conductors: Conductors | None = getattr(model.decoder, "conductors", None)
    if codec.controls == "hits":
        raise UserError(
            "--format=html: the decoder is told the hits of a groove (config.codec.groove_input=hits_control), "
            "of which the page has none; other grooves have a page"
        )
    if conductors is not None and conductors.conductor_input == "reencoded":
        raise UserError(
            "--format=html: the decoder encodes its bars again (config.model.conductor_input=reencoded), and the page "
            "has no encoder: conductor_input none and state have a page"
        )
    stack = model.decoder.cores[0].stack
    settings = {
        "kind": codec.kind,
        "steps": codec.steps,
        "stepsPerBar": codec.steps_per_bar,
        "latent": model.latent_size,
        "outputs": [_output(core.output) for core in model.decoder.cores],
        "decoder": {
            "sizes": list(stack.sizes),
            "residual": stack.residual,
            "lengths": list(conductors.lengths) if conductors else None,
            "conductorInput": conductors.conductor_input if conductors else "none",
            "barSteps": codec.steps if conductors is None else model.decoder.steps,
            "controls": codec.controls,
        },
        "drums": _pitches(codec),
        "drumNames": {pitch: _drum_name(pitch) for pitch in _pitches(codec)},
        "chords": [chords.name(number) for number in range(chords.CLASSES)] if codec.controls else [],
    }
    weights = {name: value for name, value in parameters(player).items() if name.startswith("decoder.")}
    return settings, weights


def _output(output: Any) -> dict[str, Any]:
    if isinstance(output, Categorical):
        return {"kind": "categorical", "sizes": list(output.sizes)}
    if isinstance(output, Nade):
        return {"kind": "nade", "depth": output.depth, "hidden": output.hidden}
    return {"kind": "groove", "depth": output.depth}


def _drum_name(pitch: int) -> str:
    if pitch in OTHER_DRUMS:
        return OTHER_DRUMS[pitch]
    return next((name for name, own in zip(DRUM_NAMES, drums.PITCHES, strict=True) if pitch in own), str(pitch))


def _pitches(codec: Any) -> list[int]:
    """The pitch of each drum that the codec's events speak of."""
    if codec.kind == "groove":
        return [own[0] for own in grooves.ROLAND]
    if codec.kind == "drum_roll" and codec.drum_classes != len(drums.PITCHES):
        return list(drums.ALL)
    return [own[0] for own in drums.PITCHES] if codec.kind != "melody" else []
