"""Layers of LSTMs, one reading the other, with the original's dropout of inputs and residual connections."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from magenta_lite.nn import dropout, initializers
from magenta_lite.nn.driven_lstm import DrivenLSTM, affine

State = tuple[jax.Array, ...]
"""c and h of each layer in turn, [B, H] each: the order in which a linear map from an embedding lays them out."""

Read = Callable[[jax.Array, jax.Array, jax.Array | None], jax.Array]
"""Of what the first layer reads: its product with a kernel [I, J], plus a bias [J], as [T, B, J] or [B, J].

The last argument is a mask [T, B, I] that inputs are multiplied by, in training with dropout."""


class Stack(nnx.Module):
    """Layers of LSTMs. With dropout each layer's inputs are dropped, with a new mask at every step.

    residual: what a layer reads is added to what it gives; where sizes differ, as in the first layer, it reads a linear
    map of the inputs.
    """

    def __init__(self, inputs: int, sizes: Sequence[int], *, keep: float, residual: bool, dtype: Any, rngs: nnx.Rngs):
        """inputs: columns that the first layer reads; sizes: units of each; keep: share of inputs kept by dropout."""
        self.inputs, self.sizes, self.keep, self.residual, self.dtype = inputs, tuple(sizes), keep, residual, dtype
        self.state_sizes = tuple(size for units in sizes for size in (units, units))
        layers: list[DrivenLSTM] = []
        maps: list[nnx.Linear | None] = []
        for before, units in zip((inputs, *sizes), sizes, strict=False):
            mapped = residual and (before != units or not layers)
            maps.append(nnx.Linear(before, units, kernel_init=initializers.glorot, rngs=rngs) if mapped else None)
            layers.append(DrivenLSTM(units if mapped else before, units, dtype=dtype, rngs=rngs))
        self.layers, self.maps = nnx.List(layers), nnx.List(maps)

    def first_state(self, batch: int) -> State:
        """Zeros."""
        return tuple(jnp.zeros((batch, size)) for size in self.state_sizes)

    def cut(self, flat: jax.Array) -> State:
        """The state that flat [B, sum(state_sizes)] lays out."""
        edges = [sum(self.state_sizes[:i]) for i in range(1, len(self.state_sizes))]
        return tuple(jnp.split(flat, edges, axis=-1))

    def __call__(self, read: Read, state: State, steps: int, keys: jax.Array | None = None) -> tuple[jax.Array, State]:
        """Outputs [T, B, H] of the last layer, and the state of all; keys [B] for dropout, None for none."""
        masks = self._masks(keys, steps)
        after: list[jax.Array] = []
        outputs: jax.Array | None = None
        for number, layer in enumerate(self.layers):
            added, drive = self._drive(number, outputs, read, None if masks is None else masks[number])
            outputs, last = layer(drive, state[2 * number : 2 * number + 2])
            outputs = outputs if added is None else outputs + added
            after += last
        assert outputs is not None
        return outputs, tuple(after)

    def step(self, read: Read, state: State) -> tuple[jax.Array, State]:
        """One step: the output [B, H] of the last layer, and the next state."""
        after: list[jax.Array] = []
        output: jax.Array | None = None
        for number, layer in enumerate(self.layers):
            added, drive = self._drive(number, output, read, None)
            new, output = layer.step(state[2 * number : 2 * number + 2], drive)
            output = output if added is None else output + added
            after += new
        assert output is not None
        return output, tuple(after)

    def _drive(
        self, number: int, x: jax.Array | None, read: Read, mask: jax.Array | None
    ) -> tuple[jax.Array | None, jax.Array]:
        """What is added to what the layer gives, if anything, and its drive; x: what the layer before gave."""
        layer, mapped = self.layers[number], self.maps[number]
        if x is not None:
            x = x if mask is None else x * mask
            read = functools.partial(_read_all, x, self.dtype)
        if mapped is not None:
            x = read(mapped.kernel[...], mapped.bias[...], mask)  # type: ignore[index]
            return x, layer.drive(x)
        return x if self.residual else None, read(*layer.reading, mask)

    def _masks(self, keys: jax.Array | None, steps: int) -> list[jax.Array] | None:
        """What the inputs of each layer are multiplied by: 0, or 1 / keep; None without dropout."""
        if keys is None or self.keep == 1:
            return None
        masks = []
        for number, size in enumerate((self.inputs, *self.sizes[:-1])):
            mine = jax.vmap(lambda key, number=number: jax.random.fold_in(key, number))(keys)
            masks.append(dropout.masks(mine, self.keep, steps, size) / self.keep)
        return masks


def _read_all(x: jax.Array, dtype: Any, kernel: jax.Array, bias: jax.Array, mask: jax.Array | None) -> jax.Array:
    """A Read of x, whose mask has been applied."""
    return affine(x, kernel, bias, dtype)
