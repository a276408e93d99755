"""The original's weights, by the names of its TensorFlow variables.

Its LSTM kernels are [inputs + H, 4H], with the gates in our order (i, j, f, o); its forget bias of 1 is added at run
time, as ours is.
"""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from magenta_lite.models.music_vae.decoder import Decoder
from magenta_lite.models.music_vae.encoder import Bidirectional
from magenta_lite.models.music_vae.hierarchy import HierarchicalDecoder
from magenta_lite.models.music_vae.layers import Stack
from magenta_lite.models.music_vae.model import Model
from magenta_lite.models.music_vae.outputs import Nade

Weights = Mapping[str, NDArray]


def load(model: Model, weights: Weights) -> None:
    """Sets the model's weights to those of an original one of the same shape, given by their variables' names.

    Raises:
      KeyError: a variable is missing.
      ValueError: one has another shape.
    """
    _set_linear(model.mean, weights, "encoder/mu")
    _set_linear(model.deviation, weights, "encoder/sigma")
    if isinstance(model.encoder, Bidirectional):
        _set_bidirectional(model.encoder, weights, "encoder")
    else:
        for number, level in enumerate(model.encoder.levels):
            _set_bidirectional(level, weights, f"encoder/hierarchical_level_{number}")
    cores = model.decoder.cores
    if not isinstance(model.decoder, HierarchicalDecoder):
        _set_decoder(cores[0], weights, "decoder")
    else:
        conductors = model.decoder.conductors
        for number, (stack, to_state) in enumerate(zip(conductors.stacks, conductors.maps, strict=True)):
            scope = f"decoder/hierarchical_level_{number}"
            _set_linear(to_state, weights, f"{scope}/initial_state")
            _set_stack(stack, weights, [f"{scope}/cell_{layer}" for layer in range(len(stack.layers))])
        for number, core in enumerate(cores):
            of_core = "core_decoder" if len(cores) == 1 else f"core_decoder/core_decoder_{number}"
            _set_decoder(core, weights, f"{of_core}/decoder")
    if isinstance(nade := cores[0].output, Nade):
        _set(nade.w_enc, weights["decoder/nade/w_enc"][:, 0])
        _set(nade.w_dec, weights["decoder/nade/w_dec_t"][:, :, 0])


def _set(parameter: nnx.Param | None, value: NDArray) -> None:
    if parameter is None or parameter.shape != value.shape:
        raise ValueError(f"expected {None if parameter is None else parameter.shape}, found {value.shape}")
    parameter[...] = jnp.asarray(value, np.float32)


def _set_linear(linear: nnx.Linear, weights: Weights, name: str) -> None:
    _set(linear.kernel, weights[f"{name}/kernel"])
    _set(linear.bias, weights[f"{name}/bias"])


def _set_stack(stack: Stack, weights: Weights, names: Sequence[str]) -> None:
    for layer, name in zip(stack.layers, names, strict=True):
        kernel = weights[f"{name}/lstm_cell/kernel"]
        inputs = len(kernel) - layer.units
        _set(layer.w_xh, kernel[:inputs])
        _set(layer.w_hh, kernel[inputs:])
        _set(layer.bias, weights[f"{name}/lstm_cell/bias"])


def _set_bidirectional(encoder: Bidirectional, weights: Weights, scope: str) -> None:
    for way, stacks in (("fw", encoder.forward), ("bw", encoder.backward)):
        for number, stack in enumerate(stacks):
            _set_stack(stack, weights, [f"{scope}/cell_{number}/bidirectional_rnn/{way}/multi_rnn_cell/cell_0"])


def _set_decoder(core: Decoder, weights: Weights, scope: str) -> None:
    _set_linear(core.to_state, weights, f"{scope}/z_to_initial_state")
    _set_linear(core.projection, weights, f"{scope}/output_projection")
    names = [f"{scope}/multi_rnn_cell/cell_{number}" for number in range(len(core.stack.layers))]
    _set_stack(core.stack, weights, names)
