"""Which model an original's variables belong to, by their names and shapes, and what else is known of it."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from flax import nnx
from numpy.typing import NDArray

from magenta_lite.errors import UserError, nearest
from magenta_lite.models.music_vae.codec import GROOVE_INPUTS, HITS, Codec
from magenta_lite.models.music_vae.model import Model
from magenta_lite.models.music_vae.reading import CHORDS
from magenta_lite.models.music_vae.variables import variables

CONFIGS = {
    "cat-mel_2bar": ("melody", 2),
    "cat-drums_2bar": ("drums", 2),
    "nade-drums_2bar": ("drum_roll", 2),
    "flat-mel_16bar": ("melody", 16),
    "hierdec-mel_16bar": ("melody", 16),
    "hier-mel_16bar": ("melody", 16),
    "flat-trio_16bar": ("trio", 16),
    "hierdec-trio_16bar": ("trio", 16),
    "hier-trio_16bar": ("trio", 16),
    "groovae_2bar": ("groove", 2),
    "groovae_4bar": ("groove", 4),
}
"""The original's named configs, by how their names begin: kind, and bars of 16 steps. Their sizes are in the variables.
Of grooves, what follows says what the encoder is given."""

OUTPUTS = {90: "melody", 512: "drums", 27: "groove", 90 + 90 + 512: "trio"}
"""Kinds by the number of their outputs; drum_roll is known by its NADE."""

TOLD = {"melody": (0, CHORDS), "groove": (0, 9)}
"""How many numbers a model may be told at each step, by kind."""

_TRAINING = re.compile(r"global_step|beta[12]_power|.*/(Adam(_\d+)?|ExponentialMovingAverage)|_CHECKPOINTABLE.*")
_CELL = "bidirectional_rnn/fw/multi_rnn_cell/cell_0/lstm_cell"


def recognised(names: Iterable[str]) -> bool:
    """Whether these are names of the variables of a MusicVAE, any one."""
    own = ("encoder/mu/", "encoder/sigma/", "decoder/z_to_initial_state/", "core_decoder/")
    return any(name.startswith(own) for name in names)


def config_in(text: str) -> str | None:
    """The original's named config that a text contains, such as a file's name; None without one."""
    starts = "|".join(map(re.escape, CONFIGS))
    found = re.search(rf"({starts})(_[a-z_]*[a-z])?", text)
    return found[0] if found else None


def described(
    weights: Mapping[str, NDArray],
    *,
    config: str | None = None,
    kind: str | None = None,
    bars: int | None = None,
    steps_per_bar: int | None = None,
    levels: tuple[int, ...] | None = None,
    groove_input: str | None = None,
) -> tuple[Codec, dict[str, Any]]:
    """The codec, and the model's options, that an original's variables belong to.

    Kind, shapes, layers and sizes are found in the variables. What these do not tell must be known: config, a name of
    CONFIGS, or one that begins like it; or else bars of a slice, steps_per_bar (16), levels (bars, steps_per_bar) of a
    hierarchy, the longest parts first; groove_input, what the encoder of a groove is given. kind is only held against
    what is found. What is given goes before what the config says.

    Raises:
      UserError: a variable is missing, one too many or of another shape than the others ask for; it is a model that is
        not known; something has to be given; or what is given does not fit.
    """
    shapes = {name: tuple(value.shape) for name, value in weights.items() if not _TRAINING.fullmatch(name)}
    named_kind, named_bars, named_input = _config(config)
    core, cores = _core(shapes)
    nade = _shape(shapes, f"{core}/nade/w_enc", 3) if f"{core}/nade/w_enc" in shapes else None
    found = _kind(shapes, nade, cores, core)
    for given, what in ((named_kind, f"config={config}"), (kind, f"kind={kind}")):
        if given not in (None, found):
            raise UserError(f"{what} does not fit: the variables are those of kind {found}")
    hierarchical = core != "decoder"
    heard = "encoder/hierarchical_level_0" if "encoder/hierarchical_level_0" in _scopes(shapes) else "encoder"
    options: dict[str, Any] = {
        "encoder": "flat" if heard == "encoder" else "hierarchical",
        "decoder": "hierarchical" if hierarchical else "flat",
        "latent_size": _shape(shapes, "encoder/mu/kernel", 2)[1],
        "encoder_layers": _units(shapes, f"{heard}/cell_{{}}/{_CELL}"),
        "decoder_layers": _units(shapes, f"{core}/multi_rnn_cell/cell_{{}}/lstm_cell"),
    }
    if nade:
        options["nade_hidden"] = nade[2]
    told = _told(shapes, found, core, nade)
    if told not in TOLD.get(found, (0,)):
        raise UserError(
            f"it is told {told} numbers at each step: expected {CHORDS} of a melody (chords, as triads), 9 of a groove "
            "(its hits), or none"
        )
    if found == "groove":
        groove_input = HITS if told else groove_input or named_input
        if groove_input is None:
            raise UserError(
                f"its variables do not tell what its encoder is given: give groove_input, of {', '.join(GROOVE_INPUTS)}"
            )
        if groove_input == HITS and not told:
            raise UserError(f"groove_input={HITS} does not fit: the model is told nothing")
    elif groove_input is not None:
        raise UserError(f"groove_input={groove_input} is for grooves, and this is a model of kind {found}")
    bars, steps_per_bar, levels = _lengths(shapes, bars, steps_per_bar, levels, named_bars)
    if levels != (bars, steps_per_bar):
        options["levels"] = levels
    known: dict[str, Any] = {"chords": found == "melody" and told > 0}
    if nade:
        known["drum_classes"] = nade[0]
    if groove_input:
        known["groove_input"] = groove_input
    codec = Codec(kind=found, bars=bars, steps_per_bar=steps_per_bar, **known)
    if hierarchical:
        options["conductor_input"] = _conductor_input(shapes, options, cores)
    _check(shapes, codec, options)
    return codec, options


def _config(name: str | None) -> tuple[str | None, int | None, str | None]:
    """Kind, bars and groove input of a named config; None each where there is none."""
    if name is None:
        return None, None, None
    start = next((start for start in CONFIGS if name == start or name.startswith(f"{start}_")), None)
    if start is None:
        raise UserError(f"config={name} is no config of the original: {nearest(name, CONFIGS)}")
    kind, bars = CONFIGS[start]
    given = None
    if kind == "groove":
        rest = name[len(start) + 1 :].removesuffix("_tfds").replace("hits_control", HITS)
        given = rest if rest in GROOVE_INPUTS else "groove" if bars == 4 else None
    return kind, bars, given


def _core(shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, int]:
    """The scope of the first decoder of steps, and how many there are."""
    scopes = _scopes(shapes)
    if "control_preprocessing" in scopes:
        raise UserError("it reads what it is told by an LSTM of its own (control_preprocessing), which is not known")
    split = [scope for scope in scopes if re.fullmatch(r"core_decoder/core_decoder_\d+", scope)]
    if split:
        return "core_decoder/core_decoder_0/decoder", len(split)
    if any(re.fullmatch(r"core_decoder_\d+", scope) for scope in scopes):
        raise UserError("its flat decoder has one core for each stream, which is not known: expected one for all")
    return ("core_decoder/decoder" if "core_decoder" in scopes else "decoder"), 1


def _kind(shapes: Mapping[str, tuple[int, ...]], nade: tuple[int, ...] | None, cores: int, core: str) -> str:
    sizes = [
        _shape(shapes, f"{core.replace('core_decoder_0', f'core_decoder_{number}')}/output_projection/bias", 1)[0]
        for number in range(cores)
    ]
    if nade and cores == 1:
        if nade[0] not in (9, 61):
            raise UserError(f"its NADE is one of {nade[0]} drums: expected 9 or 61")
        return "drum_roll"
    total = sum(sizes)
    if nade or total not in OUTPUTS or (cores > 1 and sizes != [90, 90, 512]):
        raise UserError(
            f"its decoder has {' + '.join(map(str, sizes))} outputs: expected 90 (melody), 512 (drums), 27 (groove), "
            "90 + 90 + 512 (trio), or a NADE of 9 or 61 drums"
        )
    return OUTPUTS[total]


def _told(shapes: Mapping[str, tuple[int, ...]], kind: str, core: str, nade: tuple[int, ...] | None) -> int:
    """How many numbers the decoder is told at each step, beside its events and its embedding."""
    kernel = _shape(shapes, f"{core}/multi_rnn_cell/cell_0/lstm_cell/kernel", 2)
    embedding = _shape(shapes, f"{core}/z_to_initial_state/kernel", 2)[0]
    depth = nade[0] if nade else _shape(shapes, f"{core}/output_projection/bias", 1)[0]
    return kernel[0] - kernel[1] // 4 - embedding - depth


def _lengths(
    shapes: Mapping[str, tuple[int, ...]],
    bars: int | None,
    steps_per_bar: int | None,
    levels: tuple[int, ...] | None,
    named: int | None,
) -> tuple[int, int, tuple[int, ...]]:
    """Bars, steps of a bar, and levels."""
    scopes = _scopes(shapes)
    heard, played = (
        sum(re.fullmatch(rf"{part}/hierarchical_level_\d+", scope) is not None for scope in scopes)
        for part in ("encoder", "decoder")
    )
    depth = max(heard, played + 1 if played else 0)
    if heard and played and heard != played + 1:
        raise UserError(f"its encoder has {heard} levels and its decoder {played + 1}: expected as many")
    if levels is not None and min(levels, default=0) < 1:
        raise UserError(f"levels={','.join(map(str, levels))}: expected whole numbers of at least 1")
    if levels is not None and depth and len(levels) != depth:
        raise UserError(f"levels={','.join(map(str, levels))} does not fit: the model has {depth}")
    steps_per_bar = steps_per_bar or (bars and levels and math.prod(levels) // bars) or 16
    if levels is not None and bars is None:
        bars = math.prod(levels) // steps_per_bar
    bars = bars or named
    if bars is None:
        raise UserError(
            "its variables do not tell how long its slices are: give --bars=NUMBER, or --config=NAME, its name in the "
            "original, such as cat-mel_2bar_small or flat-trio_16bar"
        )
    if levels is None and depth > 2:
        raise UserError(f"it has {depth} levels, whose lengths its variables do not tell: give --levels, longest first")
    if levels is not None and math.prod(levels) != bars * steps_per_bar:
        raise UserError(
            f"levels={','.join(map(str, levels))}: expected a product of {bars * steps_per_bar}, {bars} bars of "
            f"{steps_per_bar} steps"
        )
    return bars, steps_per_bar, levels if levels is not None and depth else (bars, steps_per_bar)


def _conductor_input(shapes: Mapping[str, tuple[int, ...]], options: Mapping[str, Any], cores: int) -> str:
    """What the last conductor reads, by the rows of its kernel."""
    last = max(scope for scope in _scopes(shapes) if re.fullmatch(r"decoder/hierarchical_level_\d+", scope))
    kernel = _shape(shapes, f"{last}/cell_0/lstm_cell/kernel", 2)
    embedding = _shape(shapes, f"{last}/initial_state/kernel", 2)[0]
    read = kernel[0] - kernel[1] // 4
    known = {1: "none", 2 * sum(options["decoder_layers"]) * cores + embedding: "state"}
    if options["encoder"] == "hierarchical":
        known.setdefault(2 * options["encoder_layers"][-1] + embedding, "reencoded")
    if read not in known:
        raise UserError(f"its conductor reads {read} numbers: expected {', '.join(f'{n} ({known[n]})' for n in known)}")
    return known[read]


def _check(shapes: Mapping[str, tuple[int, ...]], codec: Codec, options: Mapping[str, Any]) -> None:
    """Holds names and shapes against those of the model that was found."""
    wanted = nnx.eval_shape(lambda: Model(codec, rngs=nnx.Rngs(0), **options))
    expected = {variable.name: variable.shape for variable in variables(wanted)}
    for name, shape in expected.items():
        if _shape(shapes, name, len(shape)) != shape:
            raise UserError(f"the variable {name} has the shape {shapes[name]}: expected {shape}")
    if unknown := sorted(set(shapes) - set(expected)):
        raise UserError(
            f"{len(unknown)} of its variables are unknown, {unknown[0]!r} is one: expected those of a model with plain "
            "LSTMs, without residual connections"
        )


def _scopes(shapes: Iterable[str]) -> set[str]:
    """All that names begin with, up to a slash."""
    return {name[: cut.start()] for name in shapes for cut in re.finditer("/", name)}


def _shape(shapes: Mapping[str, tuple[int, ...]], name: str, axes: int) -> tuple[int, ...]:
    if name not in shapes:
        raise UserError(f"the variable {name} is missing")
    if len(shapes[name]) != axes or min(shapes[name]) < 1:
        raise UserError(f"the variable {name} has the shape {shapes[name]}: expected {axes} axes")
    return shapes[name]


def _units(shapes: Mapping[str, tuple[int, ...]], cell: str) -> tuple[int, ...]:
    """Of each layer; cell: the scope of its LSTM, with {} for its number."""
    units: list[int] = []
    while not units or f"{cell.format(len(units))}/bias" in shapes:
        units.append(_shape(shapes, f"{cell.format(len(units))}/bias", 1)[0] // 4)
    return tuple(units)
