"""How many multiplications the matrix products of a MusicVAE need, however they are written.

A product is rows x the size of its kernel. For B slices of T steps: an LSTM of H units multiplies h by [H, 4H] at each
of B T steps, but at an encoder's first, whose h is zeros; a layer above another reads it, [I, 4H] at each of B T steps;
so does the output. Once a sequence, B rows: mean and deviation of z, the first state that is made of an embedding, and
its share [E, 4H] in the gates of what it begins. Of a hierarchical decoder a sequence is a bar for the cores (B x bars
rows; T steps are all bars' together), and the slice for the conductor, which steps once a bar and reads nothing. Events
are looked up, which is no product; what scheduled sampling draws comes of the same pass forwards.
"""

from typing import Any

FORWARDS = 2
"""Operations of a multiplication: the product, and the sum."""

FORWARDS_AND_BACK = 3 * FORWARDS
"""The same again for the gradient of what is multiplied, and of the kernel."""


def decoder(model: Any, batch: int) -> float:
    """Of batch slices, conductors and cores."""
    rows, begun, multiplied = batch * model.codec.steps, batch, 0.0
    conductors = getattr(model.decoder, "conductors", None)
    if conductors is not None:
        for stack, to_state, length in zip(conductors.stacks, conductors.maps, conductors.lengths, strict=True):
            multiplied += begun * to_state.kernel.size
            begun *= length
            multiplied += begun * _stack(stack)
    for core in model.decoder.cores:
        embedded = core.to_state.kernel.shape[0] * 4 * core.stack.sizes[0]
        multiplied += begun * (core.to_state.kernel.size + embedded)
        multiplied += rows * (_stack(core.stack) + core.projection.kernel.size)
    return multiplied


def flat_encoder(model: Any, batch: int) -> float:
    """Of batch slices, up to mean and deviation of z."""
    rows, multiplied = batch * model.codec.steps, batch * (model.mean.kernel.size + model.deviation.kernel.size)
    for stacks in (model.encoder.forward, model.encoder.backward):
        for number, stack in enumerate(stacks):
            (layer,) = stack.layers
            multiplied += (rows - batch) * layer.w_hh.size + (rows * layer.w_xh.size if number else 0)
    return multiplied


def _stack(stack: Any) -> int:
    """Of one step of its layers, the first of which looks up what it reads."""
    return sum(layer.w_hh.size for layer in stack.layers) + sum(layer.w_xh.size for layer in stack.layers[1:])
