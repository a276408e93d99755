"""What a stack of layers reads: events, latent vectors and controls side by side, multiplied without being joined."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from magenta_lite.models.music_vae.layers import Read
from magenta_lite.nn.driven_lstm import affine, large_product


class Part(Protocol):
    """Some of the columns that are read."""

    @property
    def columns(self) -> int:
        """How many."""

    def product(self, kernel: jax.Array, dtype: Any) -> jax.Array:
        """Its product [..., J] with its rows of the kernel."""

    def dense(self) -> jax.Array:
        """The columns themselves, [..., columns]."""


class OneHot(NamedTuple):
    """numbers: int32 [..., S], one of each stream, negative for none; sizes: classes of each stream."""

    numbers: jax.Array
    sizes: tuple[int, ...]

    @property
    def columns(self) -> int:
        return sum(self.sizes)

    def product(self, kernel: jax.Array, dtype: Any) -> jax.Array:
        """Rows of the kernel, looked up."""
        rows = jnp.split(kernel, np.cumsum(self.sizes)[:-1].tolist())
        found = []
        for stream, (size, part) in enumerate(zip(self.sizes, rows, strict=True)):
            number = self.numbers[..., stream]
            # No event is a row of zeros: cheaper than a pass over what was looked up.
            found.append(jnp.pad(part, ((0, 1), (0, 0)))[jnp.where(number < 0, size, number)])
        return functools.reduce(jnp.add, found)

    def dense(self) -> jax.Array:
        parts = [jax.nn.one_hot(self.numbers[..., i], size) for i, size in enumerate(self.sizes)]
        return jnp.concatenate(parts, axis=-1)


class Dense(NamedTuple):
    """x: float32 [..., K]."""

    x: jax.Array

    @property
    def columns(self) -> int:
        return self.x.shape[-1]

    def product(self, kernel: jax.Array, dtype: Any) -> jax.Array:
        return large_product(dtype, self.x, kernel)

    def dense(self) -> jax.Array:
        return self.x


class Constant(NamedTuple):
    """z: [B, Z], the same at all of the steps [T, B, Z], or at one step where steps is None: multiplied once."""

    z: jax.Array
    steps: int | None

    @property
    def columns(self) -> int:
        return self.z.shape[-1]

    def product(self, kernel: jax.Array, dtype: Any) -> jax.Array:
        once = large_product(dtype, self.z, kernel)
        return once if self.steps is None else once[None]

    def dense(self) -> jax.Array:
        return self.z if self.steps is None else jnp.broadcast_to(self.z[None], (self.steps, *self.z.shape))


CHORDS = 49
"""No chord, and 12 triads each that are major, minor, augmented, diminished."""


def told(controls: jax.Array | None) -> list[Part]:
    """What is told at each step: chords int32 [..., 1], or numbers float32 [..., K], or nothing."""
    if controls is None:
        return []
    return [OneHot(controls, (CHORDS,)) if jnp.issubdtype(controls.dtype, jnp.integer) else Dense(controls)]


def reading(dtype: Any, parts: Sequence[Part]) -> Read:
    """Reads the parts, whose columns lie in this order."""
    return functools.partial(_read, dtype, tuple(parts))


def nothing(steps: int | None, batch: int) -> Read:
    """Reads zeros: as the original's conductors, whose kernels have one row for it, which is never used."""

    def read(kernel: jax.Array, bias: jax.Array, mask: jax.Array | None) -> jax.Array:
        return jnp.broadcast_to(bias, (batch, bias.shape[-1]) if steps is None else (steps, batch, bias.shape[-1]))

    return read


def _read(dtype: Any, parts: tuple[Part, ...], kernel: jax.Array, bias: jax.Array, mask: jax.Array | None) -> jax.Array:
    if mask is not None:
        return affine(jnp.concatenate([part.dense() for part in parts], axis=-1) * mask, kernel, bias, dtype)
    edges = np.cumsum([part.columns for part in parts])[:-1].tolist()
    products = [part.product(rows, dtype) for part, rows in zip(parts, jnp.split(kernel, edges), strict=True)]
    total = functools.reduce(jnp.add, products)
    return total + bias.reshape((1,) * (total.ndim - 1) + (-1,))
