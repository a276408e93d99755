"""The JSON of sketch-rnn-js: published generators in; ours out, for the npm package @magenta/sketch and p5.js demos.

A file is a JSON array [info, shapes, weights]: facts, a list of dimensions for each weight, and each weight as base64
of little-endian int16, value = int16 / 32767 * 10. So weights are within +-10 and on a grid of 0.000305. Gates are in
our order (i, g, f, o), and a forget bias of 1 is added at run time, as ours is.
"""

import base64
import binascii
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magenta_lite import logs, workdirs
from magenta_lite.errors import UserError, plain
from magenta_lite.interop import provenance
from magenta_lite.interop.imported import Imported
from magenta_lite.interop.measured import is_number
from magenta_lite.models.sketch_rnn import original
from magenta_lite.nn.lstm import LSTM
from magenta_lite.sampler import Sampler

FORMAT = "sketch-rnn-js"
LARGEST = 10.0
"""No weight is beyond."""
STEPS = 32767
MIXTURES = 20
"""Written into the clients."""
VERSION = 6
"""Of the format, from which on z is read as it is; before, the client took its tanh."""

_MOST_BYTES = 256 << 20
_MOST_POINTS = 100_000
_CELL = ("LSTMCell/W_xh", "LSTMCell/W_hh", "LSTMCell/bias")
_OUTPUT = ("vector_rnn/RNN/output_w", "vector_rnn/RNN/output_b")
_DECODER = tuple(f"vector_rnn/RNN/{name}" for name in _CELL)
GENERATOR = _OUTPUT + _DECODER
"""The original's variables in the order of a decoder-only model's file."""
CONDITIONAL = (
    *(f"vector_rnn/ENC_RNN/{way}/{name}" for way in ("fw", "bw") for name in _CELL),
    *(
        f"vector_rnn/{scope}/super_linear_{part}"
        for scope in ("ENC_RNN_mu", "ENC_RNN_sigma", "linear")
        for part in ("w", "b")
    ),
    *_OUTPUT,
    *_DECODER,
)
"""The same of a conditional one."""
_MODES = {2: GENERATOR, "gen": GENERATOR, 0: CONDITIONAL, 1: CONDITIONAL, "vae": CONDITIONAL}

_QUICKDRAW = {"data": "QuickDraw", "licence": "CC BY 4.0"}
_AS_IT_IS = {"builder": "quickdraw", "licence": "CC BY 4.0"}
"""Prepared data of QuickDraw's published sets: offsets are divided by the file's scale_factor and by nothing else."""

SIZE = 11.5
"""The longer side of a drawing by scale_factor: 10.5 to 15.4 of what six of seven published models draw."""


def read(
    path: Path,
    *,
    name: str | None = None,
    size: float | None = None,
    data: str | None = None,
    licence: str | None = None,
) -> Imported:
    """A .gen.json or .vae.json of sketch-rnn-js: a model that draws one class, of QuickDraw where nothing else is told.

    --name     what it draws, instead of what the file says
    --size     the longer side of a typical drawing, in the model's units (11.5 times scale_factor): what beginnings of
               your own are scaled to
    --data     what it was trained on, where the file does not say it (assumed: QuickDraw)
    --licence  of that data, where the file does not say it (assumed: CC BY 4.0)
    """
    if size is not None and not 0 < size < math.inf:
        raise UserError(f"--size={size:g}: expected a number above 0")
    info, shapes, texts = _parts(path)
    mode = info.get("mode")
    variables = _MODES.get(mode) if isinstance(mode, int | str) and not isinstance(mode, bool) else None
    if variables is None:
        raise _wrong(path, f"its mode is {mode!r}: expected 2 or 'gen' (decoder-only), 0, 1 or 'vae' (conditional)")
    if len(texts) != len(variables) or len(shapes) != len(variables):
        raise _wrong(
            path,
            f"{len(shapes)} shapes and {len(texts)} weights: expected {len(variables)} of a model of mode {mode!r}",
        )
    scale = _number(path, info, "scale_factor")
    points = _number(path, info, "max_seq_len")
    version = _number(path, info, "version")
    if not scale > 0 or not 1 <= points <= _MOST_POINTS or points != int(points):
        raise _wrong(path, f"scale_factor is {scale:g} and max_seq_len {points:g}: expected both above 0")
    if variables is CONDITIONAL and version < VERSION:
        raise UserError(
            f"{path} is a conditional model of version {version:g}, whose decoder reads tanh(z): this SketchRNN reads "
            f"z itself, as those of version {VERSION} do"
        )
    weights = {
        variable: _weight(path, number, variable, shape, text)
        for number, (variable, shape, text) in enumerate(zip(variables, shapes, texts, strict=True))
    }
    called = _name(name if name is not None else info.get("name"), path)
    facts = _facts(info) | _origin(path, info, data, licence)
    size = size or facts.pop("size", round(SIZE * scale, 1))
    try:
        codec, options = original.described(weights, scale=scale, max_points=int(points), name=called, size=size)
    except UserError as error:
        raise _wrong(path, str(error)) from None
    source = {"file": path.name, "format": FORMAT, "name": called, **facts}
    return Imported("sketch_rnn", codec, options, weights, source)


def export(player: Sampler, out: Path, *, name: str | None = None, clip: bool = False) -> None:
    """One .json: a decoder-only model for @magenta/sketch and the p5.js demos, a conditional one for the demos alone.

    Plain LSTMs of 20 mixtures without labels, whose weights are within +-10; they are rounded to multiples of 0.000305.

    --name  what it draws (the names of its classes)
    --clip  sets weights beyond +-10 to that instead of refusing them: published models have some at 10 exactly, which
            training on moves a little beyond
    """
    model = player.model
    _refuse(player)
    variables = CONDITIONAL if model.conditional else GENERATOR
    weights = original.weights(model)
    bad = sum(not np.isfinite(weights[variable]).all() for variable in variables)
    if bad:
        raise UserError(f"{player.workdir}: {bad} variables hold numbers that are not finite: nothing was written")
    rounded = {variable: np.rint(weights[variable].astype(np.float64) * (STEPS / LARGEST)) for variable in variables}
    beyond = {variable: int((np.abs(array) > STEPS).sum()) for variable, array in rounded.items()}
    if any(beyond.values()):
        worst = max(variables, key=lambda variable: np.abs(rounded[variable]).max())
        value = weights[worst].flat[np.abs(weights[worst]).argmax()]
        told = f"{sum(beyond.values()):,} of its weights are beyond +-10, furthest {value:.6g} in {worst}"
        if not clip:
            raise UserError(f"{player.workdir}: {told}, and {FORMAT} holds no more: --clip sets them to 10")
        print(f"{told}: set to +-10")
        rounded = {variable: np.clip(array, -STEPS, STEPS) for variable, array in rounded.items()}
    texts = [base64.b64encode(rounded[variable].astype("<i2").tobytes()).decode() for variable in variables]
    shapes = [list(rounded[variable].shape) for variable in variables]
    with open(out, "w", encoding="ascii") as file:
        json.dump([_info(player, name), shapes, texts], file, allow_nan=False)


def _refuse(player: Sampler) -> None:
    """Raises UserError where the model is not such as the format's clients run."""
    if player.config.family != "sketch_rnn":
        raise UserError(f"{player.workdir} is of the family {player.config.family}: {FORMAT} holds SketchRNNs")
    model = player.model
    cells = {"decoder": model.decoder} | ({"encoder": model.forward} if model.conditional else {})
    other = [f"its {part} is a {type(cell).__name__}" for part, cell in cells.items() if not isinstance(cell, LSTM)]
    if model.label_size:
        other.append("it is told labels")
    if model.mixtures != MIXTURES:
        other.append(f"it has {model.mixtures} mixtures")
    if other:
        raise UserError(
            f"{player.workdir} cannot be written as {FORMAT}, whose clients run plain LSTMs of {MIXTURES} mixtures "
            f"without labels: {', '.join(other)}; --format=safetensors holds any model"
        )


def _info(player: Sampler, name: str | None) -> dict[str, Any]:
    """What clients ask for, and what import will want to know again."""
    codec, origin = player.codec, workdirs.origin(player.workdir)
    info: dict[str, Any] = {
        "name": name or _text(origin.get("name")) or "+".join(codec.labels),
        "mode": 1 if player.model.conditional else 2,
        "version": VERSION,
        "max_seq_len": codec.n_max,
        "scale_factor": codec.scale,
    }
    for field, metric in (("r_loss", "L_R"), ("kl_loss", "L_KL")):
        logged = dict(logs.read(player.workdir, "valid", metric)).get(player.step, origin.get(field))
        if is_number(logged):
            info[field] = logged
    facts = {"made_by": "magenta_lite", "size": codec.size, "data": provenance.trained_on(player.workdir)}
    facts["licence"] = provenance.licence(player.workdir)
    units: dict[str, Any] = _units(origin) or {"digest": workdirs.data_digest(player.workdir)}
    return info | facts | {"units_of": units}


def _parts(path: Path) -> tuple[dict[str, Any], list[Any], list[Any]]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise _wrong(path, f"{path.stat().st_size:,} bytes, expected at most {_MOST_BYTES:,}")
        found = json.loads(path.read_bytes().decode())
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise _wrong(path, f"no valid JSON: {error}") from None
    if not isinstance(found, list):
        keys = f" with {', '.join(list(found)[:5])}" if isinstance(found, dict) and found else ""
        raise _wrong(path, f"JSON of something else: {_kind(found)}{keys}")
    kinds = [_kind(part) for part in found[:4]]
    if kinds != ["an object", "a list", "a list"]:
        raise _wrong(path, f"JSON of something else: a list of {', '.join(kinds) or 'nothing'}")
    return found[0], found[1], found[2]


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return kinds.get(type(value), "a number")


def _number(path: Path, info: Mapping[str, Any], field: str) -> float:
    value = info.get(field)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9:  # not a number is not
        shown = "missing" if value is None else plain(repr(value))[:40]
        raise _wrong(path, f"its {field} is {shown}: expected a number")
    return float(value)


def _weight(path: Path, number: int, variable: str, shape: Any, text: Any) -> NDArray[np.float32]:
    where = f"weight {number} ({variable.removeprefix('vector_rnn/')})"
    dimensions = 1 if variable.endswith(("_b", "bias")) else 2
    whole = isinstance(shape, list) and all(type(size) is int and 0 < size <= original.LARGEST * 4 for size in shape)
    if not whole or len(shape) != dimensions:
        sizes = f"{dimensions} size{'s' * (dimensions > 1)}"
        raise _wrong(path, f"the shape of {where} is {plain(repr(shape))[:60]}: expected {sizes} above 0")
    if not isinstance(text, str):
        raise _wrong(path, f"{where} is {_kind(text)}: expected base64")
    try:
        content = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise _wrong(path, f"{where} is no base64 ({error})") from None
    if len(content) != 2 * math.prod(shape):
        raise _wrong(
            path, f"{where} has {len(content):,} bytes: expected {2 * math.prod(shape):,}, two for each of {shape}"
        )
    return (np.frombuffer(content, "<i2").astype(np.float64) * (LARGEST / STEPS)).astype(np.float32).reshape(shape)


def _name(value: Any, path: Path) -> str:
    name = plain(value).strip()[:100] if isinstance(value, str) else ""
    return name or plain(path.name.split(".")[0])[:100] or "drawing"


def _text(value: Any) -> str:
    return plain(value)[:1000] if isinstance(value, str) else ""


def _origin(path: Path, info: Mapping[str, Any], data: str | None, licence: str | None) -> dict[str, Any]:
    """What a model was trained on, under which licence, in whose units: ours say it, of others it is told or assumed.

    What is told of one of both may leave the other unknown: QuickDraw and its licence are assumed together.
    """
    told = {"data": _text(data), "licence": provenance.kept(licence) if licence else ""}
    if info.get("made_by") == "magenta_lite":
        own = {"data": _text(info.get("data")), "licence": provenance.kept(info.get("licence"))}
        assumed = provenance.assumed(own)
        for field, value in told.items():
            if value and own[field] not in ("", provenance.UNKNOWN, value) and not assumed:
                raise UserError(f"--{field}={value}: {path} says {own[field][:200]}: leave the flag out")
        if assumed and told["licence"] and own["licence"] != told["licence"] + provenance.ASSUMED:
            own["data"] = ""
        facts: dict[str, Any] = own | {"units_of": _units(info)}
    elif told["data"].startswith("QuickDraw") or (not told["data"] and told["licence"] in ("", _QUICKDRAW["licence"])):
        facts = _QUICKDRAW | {"units_of": _AS_IT_IS} | ({} if any(told.values()) else {"assumed": True})
    else:
        facts = {"licence": provenance.UNKNOWN}
    facts |= {field: value for field, value in told.items() if value}
    return {field: value for field, value in facts.items() if value}


def _units(facts: Mapping[str, Any]) -> dict[str, str]:
    """In whose units a model is, as an import keeps it; empty where that is not told."""
    units = facts.get("units_of")
    if not isinstance(units, dict) or not all(isinstance(value, str) for value in units.values()):
        return {}
    return {plain(name)[:100]: plain(value)[:100] for name, value in list(units.items())[:4]}


def _facts(info: Mapping[str, Any]) -> dict[str, Any]:
    """What else the file knows."""
    facts: dict[str, Any] = {}
    for field in ("version", "r_loss", "kl_loss", "training_size"):
        value = info.get(field)
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12:
            facts[field] = value
    if info.get("made_by") != "magenta_lite":
        return facts
    size = info.get("size")
    if isinstance(size, int | float) and not isinstance(size, bool) and 0 < size < 1e9:
        facts["size"] = float(size)
    return facts


def _wrong(path: Path, reason: str) -> UserError:
    return UserError(f"{path} is no model of sketch-rnn-js ({reason}): expected [info, shapes, weights] in base64")
