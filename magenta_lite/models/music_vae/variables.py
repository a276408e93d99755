"""The original's TensorFlow variables: their names, and which of our parameters each of them holds.

Its LSTM kernels are [inputs + H, 4H], with the gates in our order (i, j, f, o); its forget bias of 1 is added at run
time, as ours is. The variables of a NADE have an axis of length 1 that ours have not.
"""

from collections.abc import Iterator
from typing import NamedTuple

from flax import nnx

from magenta_lite.errors import UserError
from magenta_lite.models.music_vae.decoder import Decoder
from magenta_lite.models.music_vae.encoder import Bidirectional
from magenta_lite.models.music_vae.hierarchy import HierarchicalDecoder
from magenta_lite.models.music_vae.layers import Stack
from magenta_lite.models.music_vae.model import Model
from magenta_lite.models.music_vae.outputs import Nade


class Variable(NamedTuple):
    """name: the variable's. parts: our parameters, whose rows lie one after the other in it. single: an axis of its own
    of length 1, or None."""

    name: str
    parts: tuple[nnx.Param, ...]
    single: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        rows = sum(part.shape[0] for part in self.parts)
        shape = (rows, *self.parts[0].shape[1:])
        return shape if self.single is None else (*shape[: self.single], 1, *shape[self.single :])


def variables(model: Model) -> Iterator[Variable]:
    """Those of a model, all of its parameters once each.

    Raises:
      UserError: the model has residual connections, whose linear maps have no names here.
    """
    if any(stack.residual for stack in _stacks(model)):
        raise UserError("the model has residual connections, whose variables have no known names in the original")
    yield from _linear(model.mean, "encoder/mu")
    yield from _linear(model.deviation, "encoder/sigma")
    if isinstance(model.encoder, Bidirectional):
        yield from _bidirectional(model.encoder, "encoder")
    else:
        for number, level in enumerate(model.encoder.levels):
            yield from _bidirectional(level, f"encoder/hierarchical_level_{number}")
    cores = model.decoder.cores
    if not isinstance(model.decoder, HierarchicalDecoder):
        yield from _decoder(cores[0], "decoder")
        return
    conductors = model.decoder.conductors
    for number, (stack, to_state) in enumerate(zip(conductors.stacks, conductors.maps, strict=True)):
        scope = f"decoder/hierarchical_level_{number}"
        yield from _linear(to_state, f"{scope}/initial_state")
        yield from _stack(stack, [f"{scope}/cell_{layer}" for layer in range(len(stack.layers))])
    for number, core in enumerate(cores):
        of_core = "core_decoder" if len(cores) == 1 else f"core_decoder/core_decoder_{number}"
        yield from _decoder(core, f"{of_core}/decoder")


def _stacks(model: Model) -> Iterator[Stack]:
    for level in [model.encoder] if isinstance(model.encoder, Bidirectional) else model.encoder.levels:
        yield from (*level.forward, *level.backward)
    if isinstance(model.decoder, HierarchicalDecoder):
        yield from model.decoder.conductors.stacks
    yield from (core.stack for core in model.decoder.cores)


def _linear(linear: nnx.Linear, name: str) -> Iterator[Variable]:
    assert linear.bias is not None
    yield Variable(f"{name}/kernel", (linear.kernel,))
    yield Variable(f"{name}/bias", (linear.bias,))


def _stack(stack: Stack, names: list[str]) -> Iterator[Variable]:
    for layer, name in zip(stack.layers, names, strict=True):
        yield Variable(f"{name}/lstm_cell/kernel", (layer.w_xh, layer.w_hh))
        yield Variable(f"{name}/lstm_cell/bias", (layer.bias,))


def _bidirectional(encoder: Bidirectional, scope: str) -> Iterator[Variable]:
    for way, stacks in (("fw", encoder.forward), ("bw", encoder.backward)):
        for number, stack in enumerate(stacks):
            yield from _stack(stack, [f"{scope}/cell_{number}/bidirectional_rnn/{way}/multi_rnn_cell/cell_0"])


def _decoder(core: Decoder, scope: str) -> Iterator[Variable]:
    yield from _linear(core.to_state, f"{scope}/z_to_initial_state")
    yield from _linear(core.projection, f"{scope}/output_projection")
    yield from _stack(core.stack, [f"{scope}/multi_rnn_cell/cell_{number}" for number in range(len(core.stack.layers))])
    if isinstance(core.output, Nade):
        yield Variable(f"{scope}/nade/w_enc", (core.output.w_enc,), 1)
        yield Variable(f"{scope}/nade/w_dec_t", (core.output.w_dec,), 2)
