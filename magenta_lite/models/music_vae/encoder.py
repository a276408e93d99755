"""Encoders: stacked bidirectional LSTMs, over all steps or bar by bar and then over the bars."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from magenta_lite.models.music_vae.layers import Read, Stack
from magenta_lite.models.music_vae.reading import Dense, reading


class Bidirectional(nnx.Module):
    """Layers of two LSTMs, one in each direction; a layer reads what both of the layer before gave."""

    def __init__(self, inputs: int, sizes: Sequence[int], *, dtype: Any, **options: Any):
        """inputs: columns that are read; sizes: units of each layer, in each direction; options: as Stack."""
        self.dtype, self.size = dtype, 2 * sizes[-1]
        columns = (inputs, *(2 * size for size in sizes))
        pairs = list(zip(columns, sizes, strict=False))
        self.forward = nnx.List([Stack(columns, (size,), dtype=dtype, **options) for columns, size in pairs])
        self.backward = nnx.List([Stack(columns, (size,), dtype=dtype, **options) for columns, size in pairs])

    def __call__(self, read: Read, backward: Read, steps: int, batch: int, keys: jax.Array | None) -> jax.Array:
        """The last state h of both directions [B, 2H] of the last layer.

        backward: reads the same with time reversed. keys [B] for dropout, None for none.
        """
        layers = list(zip(self.forward, self.backward, strict=True))
        for number, (ahead, back) in enumerate(layers):
            seeds = [None, None] if keys is None else [_fold(keys, 2 * number + way) for way in (0, 1)]
            there, _ = ahead(read, ahead.first_state(batch), steps, seeds[0])
            again, _ = back(backward, back.first_state(batch), steps, seeds[1])
            if number + 1 < len(layers):
                joined = jnp.concatenate([there, again[::-1]], axis=2)
                read, backward = reading(self.dtype, [Dense(joined)]), reading(self.dtype, [Dense(joined[::-1])])
        return jnp.concatenate([there[-1], again[-1]], axis=1)


class Hierarchical(nnx.Module):
    """A bidirectional encoder for each level: over the steps of a bar, over what it says of each bar, and so on."""

    def __init__(self, inputs: int, sizes: Sequence[int], lengths: Sequence[int], *, dtype: Any, **options: Any):
        """lengths: how many each level reads, the lowest first: [16, 16] reads 16 steps, then 16 bars."""
        self.lengths, self.dtype = tuple(lengths), dtype
        levels, columns = [], inputs
        for _ in lengths:
            levels.append(Bidirectional(columns, sizes, dtype=dtype, **options))
            columns = levels[-1].size
        self.levels, self.size = nnx.List(levels), columns

    def __call__(self, x: jax.Array, keys: jax.Array | None) -> jax.Array:
        """[B, 2H] for x [T, B, I]."""
        batch = x.shape[1]
        for level, length in enumerate(self.lengths):
            # Segments lie in the batch: all bars are read at once.
            count = len(x) // length
            x = x.reshape(count, length, batch, -1).swapaxes(0, 1).reshape(length, count * batch, -1)
            seeds = None
            if keys is not None:
                of_level = _fold(keys, level)
                seeds = jnp.concatenate([_fold(of_level, segment) for segment in range(count)])
            x = self.level(level, x, seeds).reshape(count, batch, -1)
        return x[0]

    def level(self, level: int, x: jax.Array, keys: jax.Array | None) -> jax.Array:
        """What one level says, [B, 2H], of x [T, B, I]."""
        read, backward = reading(self.dtype, [Dense(x)]), reading(self.dtype, [Dense(x[::-1])])
        return self.levels[level](read, backward, len(x), x.shape[1], keys)


def _fold(keys: jax.Array, number: int) -> jax.Array:
    return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)
