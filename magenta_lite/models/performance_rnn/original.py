"""The original's weights, by the names of its TensorFlow variables, and what model has them.

Its LSTM kernels are [inputs + H, 4H], with the gates in our order (i, j, f, o); its forget bias of 1 is added at run
time, as ours is. Cells trained by cuDNN are stored with the 1 in the bias; then it is taken out. The names around
attention are those that magenta.js reads, within the first cell; those around residual layers are taken from
TensorFlow's source: of neither is a published checkpoint known.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from magenta_lite.errors import UserError, nearest
from magenta_lite.models.performance_rnn import controls
from magenta_lite.models.performance_rnn.codec import Codec
from magenta_lite.models.performance_rnn.layers import AttentionLayer
from magenta_lite.models.performance_rnn.model import Model
from magenta_lite.models.performance_rnn.vocabulary import EventVocabulary, NoteVocabulary, features
from magenta_lite.nn.driven_lstm import DrivenLSTM

Weights = Mapping[str, NDArray]

DENSITY, PITCHES = (controls.DENSITY,), (controls.HISTOGRAM,)
CONFIGS: dict[str, dict[str, Any]] = {
    "performance": {"velocity_bins": 0},
    "performance_with_dynamics": {},
    "performance_with_dynamics_compact": {},
    "performance_with_dynamics_and_modulo_encoding": {"inputs": "modulo"},
    "performance_with_dynamics_and_note_encoding": {"encoding": "notes", "max_shift": 1000},
    "density_conditioned_performance_with_dynamics": {"controls": DENSITY},
    "pitch_conditioned_performance_with_dynamics": {"controls": PITCHES},
    "multiconditioned_performance_with_dynamics": {"controls": DENSITY + PITCHES},
    "optional_multiconditioned_performance_with_dynamics": {"controls": DENSITY + PITCHES, "optional_controls": True},
}
"""The original's named configs, which are also the ids of its bundles, as options of the codec and of the model."""

_CELL = re.compile(
    r"(?:cudnn_lstm/)?rnn/multi_rnn_cell/cell_(\d+)/(input_projection_wrapper/)?(attention_cell_wrapper/)?"
    r"(basic_lstm_cell|cudnn_compatible_lstm_cell|lstm_cell)/(?:kernel|weights)"
)
_OUTPUT = "fully_connected"
_EXAMPLE = "rnn/multi_rnn_cell/cell_0/basic_lstm_cell/kernel"
_UNCOUNTED = 128 + 128 + 100
"""Classes of events beside the velocities: note-ons, note-offs, and time-shifts of up to 100 steps."""


def recognised(names: Collection[str]) -> bool:
    """Whether these are variables of one of the original's models of events; which one, their shapes tell."""
    return f"{_OUTPUT}/weights" in names and any(_CELL.fullmatch(name) for name in names)


def described(
    weights: Weights, *, config: str | None = None, attention: int | None = None
) -> tuple[Codec, dict[str, Any]]:
    """The codec and the options of the model that has these variables.

    config: the original's name of it (CONFIGS), which is held against the shapes; they tell it alone, too. attention:
    how many outputs the first layer attends to, which is not in the variables.

    Raises:
      UserError: a variable is missing or has a shape that no such model has, or config or attention does not fit.
    """
    if config is not None and config not in CONFIGS:
        raise UserError(f"{config} is no config of Performance RNN: {nearest(config, CONFIGS)}")
    cells = _cells(weights)
    units = tuple(len(weights[f"{cell}/bias"]) // 4 for cell, _ in cells)
    classes = _found(weights, f"{_OUTPUT}/weights", 2).shape[1]
    first, how = cells[0]
    size = _reads(weights, first, how, units[0])
    options = _by_shapes(size, classes)
    if config is not None and options != CONFIGS[config]:
        raise UserError(
            f"config {config} does not fit: {size} inputs and {classes} classes are those of {_named(options)}"
        )
    inputs = options.pop("inputs", "one_hot")
    model: dict[str, Any] = {"layers": units, "inputs": inputs, "residual": "input_projection_wrapper/" in how}
    if "attention_cell_wrapper/" in how:
        if attention is None or attention < 1:
            raise UserError(
                "its first layer attends to its last outputs; to how many is not in a checkpoint: give --attention"
            )
        model["attention"] = attention
    elif attention:
        raise UserError(f"--attention={attention}: no layer of this model attends to its last outputs")
    codec = Codec(**options)
    shapes = nnx.eval_shape(lambda: Model(codec, rngs=nnx.Rngs(0), **model))
    for name, parameters in _places(shapes, cells):
        expected = _joined_shape(name, parameters)
        if _found(weights, name, len(expected)).shape != expected:
            raise UserError(f"the variable {name} has the shape {weights[name].shape}, {expected} was expected")
    return codec, model


def load(model: Model, weights: Weights) -> None:
    """Sets the model's weights to those of an original one of the same shape, given by their variables' names.

    Raises:
      KeyError: a variable is missing. ValueError: one has another shape.
    """
    cells = _cells(weights)
    if len(cells) != len(model.layers):
        raise ValueError(f"{len(cells)} cells, where the model has {len(model.layers)} layers")
    for name, parameters in _places(model, cells):
        value = np.asarray(weights[name], np.float32)
        if value.shape != _joined_shape(name, parameters):
            raise ValueError(f"{name}: expected {_joined_shape(name, parameters)}, found {value.shape}")
        if name.endswith("cudnn_compatible_lstm_cell/bias"):
            value = value - np.repeat(np.array([0, 0, 1, 0], np.float32), len(value) // 4)
        if name.endswith("/attn_w"):
            value = value[0, 0]
        rows = np.cumsum([parameter.shape[0] for parameter in parameters])[:-1]
        for parameter, part in zip(parameters, np.split(value, rows), strict=True):
            parameter.set_value(jnp.asarray(part))


def weights(model: Model) -> dict[str, NDArray[np.float32]]:
    """The model's weights by the names of the original's variables: what `load` takes."""
    wrapper = "input_projection_wrapper/" if model.residual else ""
    cells = []
    for number, layer in enumerate(model.layers):
        how = (wrapper if number == 0 else "") + (
            "attention_cell_wrapper/" if isinstance(layer, AttentionLayer) else ""
        )
        cells.append((f"rnn/multi_rnn_cell/cell_{number}/{how}basic_lstm_cell", how))
    found = {}
    for name, parameters in _places(model, cells):
        value = np.concatenate([np.asarray(parameter[...]) for parameter in parameters])
        found[name] = value[None, None] if name.endswith("/attn_w") else value
    return found


def _by_shapes(size: int, classes: int) -> dict[str, Any]:
    """Options of the codec, and `inputs` where it is not one-hot, of a model that reads `size` numbers an event."""
    notes = NoteVocabulary()
    if classes == sum(notes.fields):
        if size != classes:
            raise UserError(f"it reads {size} numbers and has the {classes} classes of notes, which would read as many")
        return dict(CONFIGS["performance_with_dynamics_and_note_encoding"])
    bins = classes - _UNCOUNTED
    if not 0 <= bins <= 127:
        raise UserError(
            f"it has {classes} classes of events, and reads {size} numbers: performances have {_UNCOUNTED}, and one "
            f"for each loudness (388), or as notes {sum(notes.fields)}; models of melodies, drums, ... are not read"
        )
    options: dict[str, Any] = {} if bins == Codec.velocity_bins else {"velocity_bins": bins}
    modulo = features(EventVocabulary(velocity_bins=bins)).shape[1]
    told: dict[int, dict[str, Any]] = {
        0: {},
        8: {"controls": DENSITY},
        12: {"controls": PITCHES},
        20: {"controls": DENSITY + PITCHES},
    }
    told |= {1 + width: {**more, "optional_controls": True} for width, more in told.items() if width}
    if size - classes in told:
        return options | told[size - classes]
    if size - modulo in told:
        return options | told[size - modulo] | {"inputs": "modulo"}
    raise UserError(
        f"it reads {size} numbers an event: {classes} (one-hot) or {modulo} (modulo) were expected, and 8 more for a "
        "density, 12 for a histogram of pitch classes, 1 for whether these are told"
    )


def _named(options: dict[str, Any]) -> str:
    names = [name for name, wanted in CONFIGS.items() if wanted == options]
    return names[0] if names else "none of the original's configs"


def _cells(weights: Weights) -> list[tuple[str, str]]:
    """Scope of each cell, from the first layer on, and the wrappers around it."""
    found: dict[int, tuple[str, str]] = {}
    for name in weights:
        if match := _CELL.fullmatch(name):
            number = int(match[1])
            if number in found:
                raise UserError(f"the variables {found[number][0]}/... and {name} are of the same layer")
            found[number] = (name.rpartition("/")[0], (match[2] or "") + (match[3] or ""))
    if sorted(found) != list(range(len(found))) or not found:
        raise UserError(f"variables of layer(s) {sorted(found)}: one is missing, like {_EXAMPLE}")
    for number, (_, how) in found.items():
        if number and how:
            raise UserError(f"layer {number} has a wrapper, {how[:-1]}, which only the first can have here")
    cells = [found[number] for number in range(len(found))]
    for cell, _ in cells:
        if len(_found(weights, f"{cell}/bias", 1)) % 4:
            raise UserError(f"the variable {cell}/bias has {len(weights[f'{cell}/bias'])} numbers, not four a unit")
    return cells


def _found(weights: Weights, name: str, dimensions: int) -> NDArray:
    if name not in weights:
        raise UserError(f"the variable {name} is missing, which Performance RNN has")
    if weights[name].ndim != dimensions:
        raise UserError(
            f"the variable {name} has the shape {weights[name].shape}, {dimensions} dimension(s) were expected"
        )
    return weights[name]


def _reads(weights: Weights, cell: str, how: str, units: int) -> int:
    """How many numbers an event is to the first layer."""
    if "input_projection_wrapper/" in how:
        scope = cell.partition("input_projection_wrapper/")[0]
        return len(_found(weights, f"{scope}input_projection_wrapper/kernel", 2))
    if how:  # what attention adds is the last of what its own kernel reads, and the cell reads the event's size
        return len(_found(weights, cell.rpartition("/")[0] + "/kernel", 2)) - units
    return len(_found(weights, f"{cell}/kernel", 2)) - units


def _places(model: Model, cells: list[tuple[str, str]]) -> Iterator[tuple[str, list[nnx.Param]]]:
    """Every variable, and the parameters that lie in its rows, one below the other."""
    if model.residual:
        scope = cells[0][0].partition("input_projection_wrapper/")[0] + "input_projection_wrapper"
        yield f"{scope}/kernel", [model.projection.kernel]
        yield f"{scope}/bias", _bias(model.projection)
    for layer, (cell, _) in zip(model.layers, cells, strict=True):
        lstm = layer.cell if isinstance(layer, AttentionLayer) else layer
        assert isinstance(lstm, DrivenLSTM)
        yield f"{cell}/kernel", [lstm.w_xh, lstm.w_hh]
        yield f"{cell}/bias", [lstm.bias]
        if isinstance(layer, AttentionLayer):
            scope = cell.rpartition("/")[0]
            yield f"{scope}/kernel", [layer.of_input, layer.of_attended]
            yield f"{scope}/bias", [layer.bias]
            yield f"{scope}/attention/attn_w", [layer.feature]
            yield f"{scope}/attention/attn_v", [layer.score]
            yield f"{scope}/attention/kernel", [layer.query.kernel]
            yield f"{scope}/attention/bias", _bias(layer.query)
            yield f"{scope}/attention_output_projection/kernel", [layer.output.kernel]
            yield f"{scope}/attention_output_projection/bias", _bias(layer.output)
    yield f"{_OUTPUT}/weights", [model.output.kernel]
    yield f"{_OUTPUT}/biases", _bias(model.output)


def _bias(linear: nnx.Linear) -> list[nnx.Param]:
    assert linear.bias is not None  # flax types a linear map's bias as optional
    return [linear.bias]


def _joined_shape(name: str, parameters: list[nnx.Param]) -> tuple[int, ...]:
    shape = (sum(parameter.shape[0] for parameter in parameters), *parameters[0].shape[1:])
    return (1, 1, *shape) if name.endswith("/attn_w") else shape
