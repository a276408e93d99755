"""Checkpoints of magenta.js for MusicVAE, the class of the npm package @magenta/music: folders, in and out.

config.json says how notes become numbers (dataConverter), weights_manifest.json and its shards hold the variables by
the original's names. What the class can be given is told by its source (music_vae/model.js, core/data.js, version
1.23.1): encoders of one layer; flat ones before flat decoders, and hierarchical ones of two levels before hierarchical
decoders; conductors that read nothing; layers of one size in a decoder.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magenta_lite.errors import UserError, nearest, plain
from magenta_lite.interop import provenance, tfjs_weights
from magenta_lite.interop.imported import Imported
from magenta_lite.models.music_vae import Codec, Model, original
from magenta_lite.models.music_vae.codec import HITS
from magenta_lite.models.music_vae.encoder import Bidirectional, Hierarchical
from magenta_lite.models.music_vae.hierarchy import HierarchicalDecoder
from magenta_lite.music import drums, grooves, melodies
from magenta_lite.sampler import Sampler

CONVERTERS = {
    "melody": "MelodyConverter",
    "drums": "DrumsConverter",
    "drum_roll": "DrumRollConverter",
    "trio": "TrioConverter",
    "groove": "GrooveConverter",
}
"""The client's class for each kind."""

CHORDS = "TriadChordEncoder"
"""Of its three ways to tell chords the one that is ours: no chord, and 12 triads each of four kinds."""

STEPS_PER_QUARTER = 4
OURS = "magenta_lite"
"""Where config.json keeps what the client does not ask for: bars, steps of a bar, what the encoder is given, the step,
what the model was trained on, and the licence of that data."""

_PIANO = {"minPitch": melodies.MIN_PITCH, "maxPitch": melodies.MAX_PITCH}


def read(
    path: Path,
    *,
    steps_per_bar: int | None = None,
    groove_input: str | None = None,
) -> Imported:
    """A checkpoint folder of magenta.js: config.json of type MusicVAE, weights_manifest.json and its shards.

    --steps_per_bar  sixteenth notes of a bar (16)
    --groove_input   what the encoder of a groove is given, where config.json does not tell: groove, add_closed_hh, ...

    Raises:
      UserError: a file is missing or damaged, or the model is of a kind that is not known.
    """
    path = Path(path)
    spec = tfjs_weights.read_json(path / "config.json")
    if not isinstance(spec, dict) or spec.get("type") != "MusicVAE":
        found = repr(spec.get("type")) if isinstance(spec, dict) else "something else than an object"
        raise UserError(f"{path / 'config.json'} has the type {found}: of magenta.js only MusicVAE is read")
    facts = _facts(path / "config.json", spec, steps_per_bar, groove_input)
    weights = tfjs_weights.load(path)
    try:
        codec, model = original.described(weights, **facts)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    if codec.chords != (spec.get("chordEncoder") is not None):
        raise UserError(f"{path}: config.json and the weights do not agree about whether chords are told")
    if (codec.controls == "hits") != bool(spec.get("extraControls")):
        raise UserError(f"{path}: config.json and the weights do not agree about extraControls")
    if ("hierarchical" in (model["encoder"], model["decoder"])) != ("levels" in facts):
        raise UserError(f"{path}: config.json and the weights do not agree about numSegments, the parts of a hierarchy")
    name = path.resolve().name
    source = {"file": name, "format": "magenta.js", "name": name} | _origin(spec)
    return Imported("music_vae", codec, model, weights, source)


def export(player: Sampler, out: Path, *, bytes: int = 2, sample_only: bool = False) -> None:
    """A checkpoint folder for @magenta/music: new mm.MusicVAE(URL of the folder).

    --bytes        of a weight: 2, 1, or 4 (as they are)
    --sample_only  leave out an encoder that the client cannot hold; it then samples and decodes, but encodes nothing

    Raises:
      UserError: the client cannot hold the model, for a reason that is told.
    """
    if bytes not in (1, 2, 4):
        raise UserError(f"--bytes={bytes}: expected 1, 2 or 4")
    if player.config.family != "music_vae":
        raise UserError(
            f"--format=magenta-js is for music_vae, not {player.config.family}: @magenta/music has no class for it; "
            "--format=safetensors takes all"
        )
    model, codec = player.model, player.codec
    _refuse(model)
    heard = _encoder_refused(model)
    if heard and not sample_only:
        raise UserError(f"{heard}; --sample_only exports the decoder alone")
    weights = original.weights(model)
    bad = sum(not np.isfinite(value).all() for value in weights.values())
    if bad:
        raise UserError(f"{bad} variables of the model hold numbers that are not finite: nothing was written")
    if sample_only:
        weights = _without_encoder(weights, isinstance(model.decoder, HierarchicalDecoder))
    out.mkdir()
    (out / "config.json").write_text(json.dumps(_spec(player, codec, model, sample_only), indent=2) + "\n")
    tfjs_weights.save(weights, out, bytes)


def _spec(player: Sampler, codec: Codec, model: Model, sample_only: bool) -> dict[str, Any]:
    """config.json of a model that the client can hold."""
    classes = [[pitch] for pitch in drums.ALL] if codec.drum_classes == len(drums.ALL) else drums.PITCHES
    made: dict[str, dict[str, Any]] = {
        "melody": _PIANO,
        "drums": {"pitchClasses": classes},
        "drum_roll": {"pitchClasses": classes},
        "trio": {"melArgs": _PIANO, "bassArgs": _PIANO, "drumsArgs": {"pitchClasses": classes}},
        "groove": {
            "pitchClasses": grooves.PITCHES,
            "stepsPerQuarter": STEPS_PER_QUARTER,
            "humanize": codec.groove_input == "humanize",
            "tapify": codec.groove_input.startswith("tap_fixed_velocity"),
        },
    }
    args: dict[str, Any] = {"numSteps": codec.steps, **made[codec.kind]}
    if isinstance(model.decoder, HierarchicalDecoder):
        args["numSegments"] = model.decoder.conductors.lengths[0]
    spec: dict[str, Any] = {"type": "MusicVAE", "dataConverter": {"type": CONVERTERS[codec.kind], "args": args}}
    if codec.controls == "chord":
        spec["chordEncoder"] = CHORDS
    elif codec.controls == "hits":
        spec["extraControls"] = [{"name": "hits", "depth": len(grooves.INSTRUMENTS)}]
    own: dict[str, Any] = {"bars": codec.bars, "steps_per_bar": codec.steps_per_bar, "step": player.step}
    own["sample_only"] = sample_only
    own |= {"data": provenance.trained_on(player.workdir), "licence": provenance.licence(player.workdir)}
    if codec.kind == "groove":
        own["groove_input"] = codec.groove_input
    return spec | {OURS: own}


def _refuse(model: Model) -> None:
    """Raises UserError where the client cannot hold the decoder."""
    decoder = model.decoder
    sizes = set(decoder.cores[0].stack.sizes)
    if len(sizes) > 1:
        raise UserError(f"decoder_layers of several sizes ({', '.join(map(str, sorted(sizes)))}): the client has one")
    if isinstance(decoder, HierarchicalDecoder):
        if len(decoder.conductors.lengths) > 1:
            raise UserError(f"{len(decoder.conductors.lengths) + 1} levels: the client has two, segments and steps")
        if decoder.conductors.conductor_input != "none":
            raise UserError(
                f"conductor_input={decoder.conductors.conductor_input}: the client's conductor reads nothing"
            )
    elif model.codec.kind == "trio":
        raise UserError(
            "a flat decoder of a trio: the client has a core for each stream, as hierarchical decoders have "
            "(configs/music_vae.py:hier-trio_16bar)"
        )
    for stack in (core.stack for core in decoder.cores):
        if stack.residual:
            raise UserError("residual connections: the client has none")


def _encoder_refused(model: Model) -> str:
    """Why the client cannot hold the encoder; empty where it can."""
    encoder, hierarchical = model.encoder, isinstance(model.decoder, HierarchicalDecoder)
    if isinstance(encoder, Hierarchical) != hierarchical:
        ways = ("a flat", "a hierarchical") if hierarchical else ("a hierarchical", "a flat")
        return f"{ways[0]} encoder before {ways[1]} decoder: the client has both flat, or both hierarchical"
    levels = [encoder] if isinstance(encoder, Bidirectional) else list(encoder.levels)
    if max(len(level.forward) for level in levels) > 1:
        return "encoder_layers of more than one layer: the client has one"
    if hierarchical and len(levels) != 2:
        return f"an encoder of {len(levels)} levels: the client has two"
    return ""


def _without_encoder(weights: dict[str, NDArray[np.float32]], hierarchical: bool) -> dict[str, NDArray[np.float32]]:
    """With an encoder that the client finds but cannot multiply with any input: it fails, rather than say something."""
    latent = weights["encoder/mu/bias"].shape[0]
    kept = {name: value for name, value in weights.items() if not name.startswith("encoder/")}
    for scope in ("encoder/hierarchical_level_0", "encoder/hierarchical_level_1") if hierarchical else ("encoder",):
        for way in ("fw", "bw"):
            cell = f"{scope}/cell_0/bidirectional_rnn/{way}/multi_rnn_cell/cell_0/lstm_cell"
            kept |= {f"{cell}/kernel": np.zeros((1, 4), np.float32), f"{cell}/bias": np.zeros(4, np.float32)}
    none = {"encoder/mu/kernel": np.zeros((1, latent), np.float32), "encoder/mu/bias": np.zeros(latent, np.float32)}
    return kept | none


def _origin(spec: dict[str, Any]) -> dict[str, Any]:
    """What a folder of ours tells of the model's training; of others nothing is known."""
    own: Any = spec.get(OURS)
    own = own if isinstance(own, dict) else {}
    found: dict[str, Any] = {}
    step = own.get("step")
    if type(step) is int and 0 <= step < 2**31:
        found["steps"] = step
    if isinstance(data := own.get("data"), str):
        found["data"] = plain(data)[:1000]
    if "licence" in own:
        found["licence"] = provenance.kept(own["licence"])
    return found


def _facts(path: Path, spec: dict[str, Any], steps_per_bar: int | None, groove_input: str | None) -> dict[str, Any]:
    """What config.json tells of the model, for original.described."""
    own: Any = spec.get(OURS)
    own = own if isinstance(own, dict) else {}
    if own.get("sample_only") is True:
        raise UserError(
            f"{path.parent} was exported with --sample_only, without its encoder: import the workdir it is of"
        )
    kind, args = _converter(path, spec.get("dataConverter"))
    for name in ("conditionOnKey", "useBooleanDecoder"):
        if spec.get(name):
            raise UserError(f"{path} has {name}: a model of this kind is not known")
    if spec.get("chordEncoder") not in (None, CHORDS):
        raise UserError(f"{path} has chordEncoder={spec['chordEncoder']!r}: expected {CHORDS}, whose triads are known")
    hits = [{"name": "hits", "depth": len(grooves.INSTRUMENTS)}]
    if spec.get("extraControls") not in (None, [], hits):
        raise UserError(f"{path} has extraControls: expected only the hits of a groove, {hits}")
    steps = _whole(path, args, "numSteps")
    if steps_per_bar is None:
        steps_per_bar = own["steps_per_bar"] if type(own.get("steps_per_bar")) is int else 16
    if steps_per_bar < 1 or steps % steps_per_bar:
        raise UserError(f"{path}: {steps} steps are no whole bars of {steps_per_bar}: give --steps_per_bar")
    facts: dict[str, Any] = {"kind": kind, "bars": steps // steps_per_bar, "steps_per_bar": steps_per_bar}
    if args.get("numSegments"):
        segments = _whole(path, args, "numSegments")
        if steps % segments:
            raise UserError(f"{path}: {steps} steps cannot be cut into {segments} segments (numSegments)")
        facts["levels"] = (segments, steps // segments)
    if kind == "groove":
        told = _groove_input(args)
        kept = own.get("groove_input")
        if spec.get("extraControls"):
            told = HITS
        elif (isinstance(kept, str) and kept.startswith(told)) or (told == "groove" and kept == "add_closed_hh"):
            told = kept
        facts["groove_input"] = groove_input or told
    elif groove_input is not None:
        raise UserError(f"--groove_input={groove_input} is for grooves, and this is a model of kind {kind}")
    return facts


def _groove_input(args: Mapping[str, Any]) -> str:
    return "humanize" if args.get("humanize") else "tap_fixed_velocity" if args.get("tapify") else "groove"


def _converter(path: Path, converter: Any) -> tuple[str, dict[str, Any]]:
    """The kind and the arguments of a dataConverter that makes the numbers that ours do."""
    name, args = (converter.get("type"), converter.get("args")) if isinstance(converter, dict) else (None, None)
    if not isinstance(name, str) or not isinstance(args, dict):
        raise UserError(f"{path}: expected a dataConverter with a type and args")
    kinds = {name: kind for kind, name in CONVERTERS.items()}
    if name not in kinds:
        raise UserError(f"{path} has the dataConverter {name}, which is not known: {nearest(name, kinds)}")
    kind = kinds[name]
    melodic: dict[str, list[Any]] = {"melody": [args], "trio": [args.get("melArgs"), args.get("bassArgs")]}
    for part in melodic.get(kind, []):
        found = {field: part.get(field) for field in _PIANO} if isinstance(part, dict) else part
        if found != _PIANO:
            raise UserError(f"{path}: melodies of {found}: expected {_PIANO}")
    _drums(path, kind, args.get("drumsArgs") if kind == "trio" else args)
    if kind == "groove" and (args.get("splitInstruments") or args.get("stepsPerQuarter", 4) != STEPS_PER_QUARTER):
        raise UserError(f"{path}: grooves with splitInstruments, or of other steps than sixteenth notes, are not known")
    return kind, args


def _drums(path: Path, kind: str, args: Any) -> None:
    """Refuses drums that are others than ours, by the pitch that each is written as."""
    classes = args.get("pitchClasses") if isinstance(args, dict) and kind != "melody" else None
    if classes is None:
        return
    firsts = [
        own[0] if isinstance(own, list) and own else None for own in (classes if isinstance(classes, list) else [])
    ]
    known = [[own[0] for own in table] for table in (drums.PITCHES, grooves.PITCHES)]
    if firsts not in known + [list(drums.ALL)] * (kind == "drum_roll"):
        raise UserError(f"{path}: pitchClasses of other drums, or in another order, than the original's 9 or 61")


def _whole(path: Path, args: Mapping[str, Any], name: str) -> int:
    value = args.get(name)
    if type(value) is not int or not 1 <= value <= 2**20:
        raise UserError(f"{path}: {name} is {value!r}: expected a whole number of at least 1")
    return value
