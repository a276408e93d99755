"""A layer with attention over its own last outputs, beside the plain ones of nn.driven_lstm."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from magenta_lite.nn import initializers
from magenta_lite.nn.driven_lstm import DrivenLSTM, affine

LayerState = tuple[jax.Array, ...]


class AttentionLayer(nnx.Module):
    """A DrivenLSTM that also reads, and whose output also mixes in, a weighted mean of its last `length` outputs.

    The additive attention of Bahdanau et al. 2015, with the layer's state as the query, around the cell as in the
    original's AttentionCellWrapper; outputs before the first are zeros, and are attended to like others.
    State: c, h, attended [B, H], the last outputs [B, length, H] and their features, of the same shape.
    """

    def __init__(self, inputs: int, units: int, length: int, *, dtype: Any, rngs: nnx.Rngs):
        """inputs: columns of what the layer reads; length: outputs that are attended to."""
        self.inputs, self.length = inputs, length
        self.cell = DrivenLSTM(inputs, units, dtype=dtype, rngs=rngs)
        kernel = initializers.glorot(rngs.params(), (inputs + units, inputs))
        self.of_input, self.of_attended = nnx.Param(kernel[:inputs]), nnx.Param(kernel[inputs:])
        self.bias = nnx.Param(jnp.zeros(inputs))
        self.output = nnx.Linear(2 * units, units, kernel_init=initializers.glorot, rngs=rngs)
        self.query = nnx.Linear(2 * units, units, kernel_init=initializers.glorot, rngs=rngs)
        self.feature = nnx.Param(initializers.glorot(rngs.params(), (units, units)))
        self.score = nnx.Param(initializers.glorot(rngs.params(), (units, 1))[:, 0])

    def first_state(self, batch: int) -> LayerState:
        units = self.cell.units
        memory = jnp.zeros((batch, self.length, units))
        return (*self.cell.first_state(batch), jnp.zeros((batch, units)), memory, memory)

    @property
    def reading(self) -> tuple[jax.Array, jax.Array]:
        """Kernel [I, I] and bias [I] that turn what is read into what the cell reads, without what is attended to."""
        return self.of_input[...], self.bias[...]

    def drive(self, x: jax.Array) -> jax.Array:
        """The drive [..., I] of inputs [..., I]."""
        return affine(x, *self.reading, self.cell.dtype)

    def step(self, state: LayerState, drive: jax.Array) -> tuple[LayerState, jax.Array]:
        """The next state and the output [B, H]."""
        c, h, attended, memory, features = state
        read = drive + attended @ self.of_attended[...]
        (c, h), _ = self.cell.step((c, h), self.cell.drive(read))
        query = self.query(jnp.concatenate([c, h], axis=1))
        scores = jnp.tanh(features + query[:, None]) @ self.score[...]
        attended = jnp.einsum("bl,blh->bh", jax.nn.softmax(scores), memory)
        output = self.output(jnp.concatenate([h, attended], axis=1))
        memory = jnp.concatenate([memory[:, 1:], output[:, None]], axis=1)
        features = jnp.concatenate([features[:, 1:], (output @ self.feature[...])[:, None]], axis=1)
        return (c, h, attended, memory, features), output

    def __call__(self, drive: jax.Array, state: LayerState) -> tuple[jax.Array, LayerState]:
        """Outputs [T, B, H] and the last state, for drive [T, B, I]."""
        state, outputs = lax.scan(self.step, state, drive)
        return outputs, state
