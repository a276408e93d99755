"""Weights of the original TensorFlow code, by their variable names ("vector_rnn/RNN/output_w", ...).

Its cells keep W_xh and W_hh apart, with the gates in our order (i, j, f, o); its forget bias of 1 is added at run time,
as ours is. Its state goes from z in our order, too: c, h of the plain cell, h, c of the others.
"""

import dataclasses
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from magenta_lite.errors import UserError
from magenta_lite.models.sketch_rnn.codec import Codec
from magenta_lite.models.sketch_rnn.model import CELLS, Model
from magenta_lite.nn.hyper_lstm import HyperLSTM, LayerNormLSTM
from magenta_lite.nn.lstm import LSTM, Cell

Weights = Mapping[str, NDArray]

MAX_POINTS = 250
"""N_max of the original's default data set, and the most that its loader lets in."""

LARGEST = 1 << 16
"""Units, dimensions of z or mixtures: what a shape claims beyond that is no model."""

LOG_SIGMA_MIN = -20.0
"""The original has no least sigma; of published generators some reach exp(-14.4)."""

_OUTPUT = "vector_rnn/RNN/output_w"
_LINEAR = {"mean": "ENC_RNN_mu", "log_var": "ENC_RNN_sigma", "to_state": "linear"}
_CELLS: dict[type[Cell], str] = {LSTM: "LSTMCell", LayerNormLSTM: "LayerNormLSTMCell", HyperLSTM: "HyperLSTMCell"}
_GATES = "ijfo"


def recognised(names: Collection[str]) -> bool:
    """Whether variables of these names are a SketchRNN's."""
    return _OUTPUT in names


def described(
    weights: Weights,
    *,
    scale: float | None = None,
    max_points: int | None = None,
    name: str | None = None,
    size: float | None = None,
) -> tuple[Codec, dict[str, Any]]:
    """The codec and the options of the model that has these variables; others than its own are passed over.

    scale: standard deviation of the offsets it was trained on, max_points: N_max of its data, name: of what it draws,
    size: the typical longer side of a drawing, in the data's units (255, as QuickDraw's). None of these is in the
    variables.

    Raises:
      UserError: no scale, or a variable that is missing or has a shape that no such model has; names it.
    """
    if scale is None:
        raise UserError(
            "the offsets' scale is not in a checkpoint: give --scale=NUMBER, the standard deviation of the train "
            "split's offsets (18.5198 for aaron_sheep)"
        )
    columns = _shape(weights, _OUTPUT, 2)[1]
    if columns < 9 or (columns - 3) % 6:
        raise UserError(f"the variable {_OUTPUT} has {columns} columns: expected 3 + 6 for each mixture")
    options: dict[str, Any] = {"conditional": any("/ENC_RNN" in variable for variable in weights)}
    options["decoder_cell"], options["decoder_size"] = _kind(weights, "vector_rnn/RNN/")
    if options["conditional"]:
        options["encoder_cell"], options["encoder_size"] = _kind(weights, "vector_rnn/ENC_RNN/fw/")
        options["latent_size"] = _shape(weights, "vector_rnn/ENC_RNN_mu/super_linear_w", 2)[1]
    options |= {"mixtures": (columns - 3) // 6, "log_sigma_min": LOG_SIGMA_MIN}
    n_max = MAX_POINTS if max_points is None else max_points
    more = {} if size is None else {"size": size}
    codec = Codec(scale=scale, n_max=n_max, labels=(name or "drawing",), max_points=max(n_max, MAX_POINTS), **more)
    for field in ("decoder_size", "encoder_size", "latent_size", "mixtures"):
        if not 1 <= options.get(field, 1) <= LARGEST:
            raise UserError(f"{field} would be {options[field]}, by the shapes of the variables: no such model is read")
    model = nnx.eval_shape(lambda: Model(codec, rngs=nnx.Rngs(0), **options))
    for place in _places(model):
        for variable, expected in zip(place.names, place.shapes, strict=True):
            if variable not in weights:
                raise UserError(f"the variable {variable} is missing, which this SketchRNN has")
            if weights[variable].shape != expected:
                found = tuple(weights[variable].shape)
                raise UserError(f"the variable {variable} is {found}: expected {expected}, by the others")
    return codec, options


def load(model: Model, weights: Weights) -> None:
    """Sets every parameter of a model without labels from the original's variables.

    Raises:
      KeyError: a variable is missing. ValueError: one has another shape than the model's.
    """
    for place in _places(model):
        parts = [np.asarray(weights[variable]) for variable in place.names]
        for variable, part, expected in zip(place.names, parts, place.shapes, strict=True):
            if part.shape != expected:
                raise ValueError(f"{variable}: expected shape {expected}, got {part.shape}")
        place.parameter[...] = jnp.asarray(place.join(parts), jnp.float32)


def weights(model: Model) -> dict[str, NDArray[np.float32]]:
    """The variables, float32, of which `load` makes this model.

    Raises:
      ValueError: the model has labels, which the original's have not.
    """
    if model.label_size:
        raise ValueError("the original has no labels")
    found = dict[str, NDArray[np.float32]]()
    for place in _places(model):
        parts = place.split(np.asarray(place.parameter[...], np.float32))
        found |= {name: np.ascontiguousarray(part) for name, part in zip(place.names, parts, strict=True)}
    return found


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where one of our parameters is in the original: variables, and how they are joined to it and cut from it."""

    parameter: nnx.Param[Any]
    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    join: Callable[[list[NDArray]], NDArray]
    split: Callable[[NDArray], list[NDArray]]


def _places(model: Model) -> Iterator[_Place]:
    if model.conditional:
        yield from _cell(model.forward, "vector_rnn/ENC_RNN/fw/")
        yield from _cell(model.backward, "vector_rnn/ENC_RNN/bw/")
        for name, scope in _LINEAR.items():
            linear = getattr(model, name)
            yield _whole(linear.kernel, f"vector_rnn/{scope}/super_linear_w")
            yield _whole(linear.bias, f"vector_rnn/{scope}/super_linear_b")
    yield from _cell(model.decoder, "vector_rnn/RNN/")
    yield _whole(model.output.kernel, _OUTPUT)
    yield _whole(model.output.bias, "vector_rnn/RNN/output_b")


def _cell(cell: Cell, scope: str) -> Iterator[_Place]:
    scope += _CELLS[type(cell)] + "/"
    yield _whole(cell.w_xh, scope + "W_xh")
    yield _whole(cell.w_hh, scope + "W_hh")
    if isinstance(cell, LSTM | HyperLSTM):
        yield _whole(cell.bias, scope + "bias")
    if isinstance(cell, LayerNormLSTM | HyperLSTM):
        yield from _norms(cell, scope)
    if isinstance(cell, HyperLSTM):
        yield from _hyper(cell, scope)


def _norms(cell: LayerNormLSTM | HyperLSTM, scope: str) -> Iterator[_Place]:
    for norm, name in ((cell.norm_gates, "ln_all"), (cell.norm_c, "ln_c")):
        yield _whole(norm.gamma, f"{scope}{name}/ln_gamma")
        yield _whole(norm.beta, f"{scope}{name}/ln_beta")


def _hyper(cell: HyperLSTM, scope: str) -> Iterator[_Place]:
    inner = scope + "LayerNormLSTMCell/"
    inputs, units = cell.inputs, cell.units
    shape = cell.hyper.w_xh.shape

    # The original's hyper cell reads [x, constants, h]; ours reads the constants last.
    def constants_last(parts: list[NDArray]) -> NDArray:
        rows = parts[0]
        return np.concatenate([rows[:inputs], rows[-units:], rows[inputs:-units]])

    def constants_between(rows: NDArray) -> list[NDArray]:
        return [np.concatenate([rows[:inputs], rows[inputs + units :], rows[inputs : inputs + units]])]

    yield _Place(cell.hyper.w_xh, (inner + "W_xh",), (shape,), constants_last, constants_between)
    yield _whole(cell.hyper.w_hh, inner + "W_hh")
    yield from _norms(cell.hyper, inner)
    for part, embed, bias, scale in (
        ("x", cell.embed_x, cell.bias_x, cell.scale_x),
        ("h", cell.embed_h, cell.bias_h, cell.scale_h),
    ):
        yield _beside(embed, 1, scope, f"{part}/zw/super_linear_w")
        yield _beside(bias, 0, scope, f"{part}/zw/super_linear_b")
        yield _stacked(scale, scope, f"{part}/alpha/super_linear_w")
    yield _beside(cell.embed_b, 1, scope, "h/zb/super_linear_w")
    yield _stacked(cell.scale_b, scope, "h/beta/super_linear_w")


def _whole(parameter: nnx.Param[Any] | None, name: str) -> _Place:
    assert parameter is not None  # flax types a linear map's bias as optional
    return _Place(parameter, (name,), (parameter.shape,), lambda parts: parts[0], lambda value: [value])


def _gates(scope: str, name: str) -> tuple[str, ...]:
    return tuple(f"{scope}hyper_{gate}{name}" for gate in _GATES)


def _beside(parameter: nnx.Param[Any], axis: int, scope: str, name: str) -> _Place:
    """The four gates' variables side by side."""
    shape = list(parameter.shape)
    shape[axis] //= len(_GATES)
    return _Place(
        parameter,
        _gates(scope, name),
        (tuple(shape),) * len(_GATES),
        lambda parts: np.concatenate(parts, axis),
        lambda value: np.split(value, len(_GATES), axis),
    )


def _stacked(parameter: nnx.Param[Any], scope: str, name: str) -> _Place:
    """The four gates' variables one behind the other."""
    shapes = (tuple(parameter.shape[1:]),) * len(_GATES)
    return _Place(parameter, _gates(scope, name), shapes, np.stack, list)


def _kind(weights: Weights, scope: str) -> tuple[str, int]:
    """The cell below a scope, as the config names it, and its units."""
    there = {found[1] for name in weights if (found := re.match(re.escape(scope) + r"(\w+)/W_hh$", name))}
    for name, kind in CELLS.items():
        if there == {_CELLS[kind]}:
            return name, _shape(weights, f"{scope}{_CELLS[kind]}/W_hh", 2)[0]
    cells = ", ".join(_CELLS.values())
    beside = ", ".join(sorted(there)) or "none"
    raise UserError(f"there is no cell below {scope}: expected the variable W_hh of one of {cells}; found {beside}")


def _shape(weights: Weights, name: str, dimensions: int) -> tuple[int, ...]:
    if name not in weights:
        raise UserError(f"the variable {name} is missing, which every SketchRNN of this kind has")
    if weights[name].ndim != dimensions:
        found = tuple(weights[name].shape)
        raise UserError(f"the variable {name} is {found}: expected {dimensions} dimensions")
    return weights[name].shape
