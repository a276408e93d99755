"""Weights of the original TensorFlow code, by their variable names, into this model."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from magenta_lite.models.sketch_rnn.model import Model
from magenta_lite.nn.hyper_lstm import HyperLSTM, LayerNormLSTM
from magenta_lite.nn.lstm import LSTM, Cell

Weights = Mapping[str, NDArray]

_LINEAR = {"mean": "ENC_RNN_mu", "log_var": "ENC_RNN_sigma", "to_state": "linear"}
_CELLS: dict[type[Cell], str] = {LSTM: "LSTMCell", LayerNormLSTM: "LayerNormLSTMCell", HyperLSTM: "HyperLSTMCell"}
_GATES = "ijfo"


def load(model: Model, weights: Weights) -> None:
    """Sets every parameter of a model without labels from the original's variables ("vector_rnn/RNN/output_w", ...).

    Raises:
      KeyError: a variable is missing. ValueError: one has another shape than the model's.
    """
    if model.conditional:
        _cell(model.forward, weights, "vector_rnn/ENC_RNN/fw/")
        _cell(model.backward, weights, "vector_rnn/ENC_RNN/bw/")
        for name, scope in _LINEAR.items():
            linear = getattr(model, name)
            _set(linear.kernel, weights[f"vector_rnn/{scope}/super_linear_w"])
            _set(linear.bias, weights[f"vector_rnn/{scope}/super_linear_b"])
    _cell(model.decoder, weights, "vector_rnn/RNN/")
    _set(model.output.kernel, weights["vector_rnn/RNN/output_w"])
    _set(model.output.bias, weights["vector_rnn/RNN/output_b"])


def _cell(cell: Cell, weights: Weights, scope: str) -> None:
    scope += _CELLS[type(cell)] + "/"
    _set(cell.w_xh, weights[scope + "W_xh"])
    _set(cell.w_hh, weights[scope + "W_hh"])
    if isinstance(cell, LSTM | HyperLSTM):
        _set(cell.bias, weights[scope + "bias"])
    if isinstance(cell, LayerNormLSTM | HyperLSTM):
        _norms(cell, weights, scope)
    if isinstance(cell, HyperLSTM):
        _hyper(cell, weights, scope)


def _norms(cell: LayerNormLSTM | HyperLSTM, weights: Weights, scope: str) -> None:
    for norm, name in ((cell.norm_gates, "ln_all"), (cell.norm_c, "ln_c")):
        _set(norm.gamma, weights[f"{scope}{name}/ln_gamma"])
        _set(norm.beta, weights[f"{scope}{name}/ln_beta"])


def _hyper(cell: HyperLSTM, weights: Weights, scope: str) -> None:
    inner = scope + "LayerNormLSTMCell/"
    # The original's hyper cell reads [x, constants, h]; ours reads the constants last.
    w_xh, units = weights[inner + "W_xh"], cell.units
    constants = w_xh[cell.inputs : -units]
    _set(cell.hyper.w_xh, np.concatenate([w_xh[: cell.inputs], w_xh[-units:], constants]))
    _set(cell.hyper.w_hh, weights[inner + "W_hh"])
    _norms(cell.hyper, weights, inner)

    def gates(part: str, name: str) -> list[NDArray]:
        return [weights[f"{scope}hyper_{gate}{part}/{name}"] for gate in _GATES]

    for part, embed, bias, scale in (
        ("x", cell.embed_x, cell.bias_x, cell.scale_x),
        ("h", cell.embed_h, cell.bias_h, cell.scale_h),
    ):
        _set(embed, np.concatenate(gates(part, "zw/super_linear_w"), axis=1))
        _set(bias, np.concatenate(gates(part, "zw/super_linear_b")))
        _set(scale, np.stack(gates(part, "alpha/super_linear_w")))
    _set(cell.embed_b, np.concatenate(gates("h", "zb/super_linear_w"), axis=1))
    _set(cell.scale_b, np.stack(gates("h", "beta/super_linear_w")))


def _set(parameter: nnx.Param[Any] | None, value: NDArray) -> None:
    assert parameter is not None  # flax types a linear map's bias as optional
    if parameter.shape != value.shape:
        raise ValueError(f"expected shape {parameter.shape}, got {value.shape}")
    parameter[...] = jnp.asarray(value, jnp.float32)
