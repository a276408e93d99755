"""Initial weights that the original code uses and jax.nn.initializers has no name for."""

import jax
import jax.numpy as jnp
from jax.nn import initializers

glorot = initializers.glorot_uniform()


def gaussian(deviation: float) -> jax.nn.initializers.Initializer:
    """A normal distribution around 0."""
    return initializers.normal(deviation)


def orthogonal_gates(key: jax.Array, shape: tuple[int, int], dtype: jnp.dtype = jnp.float32) -> jax.Array:
    """[H, 4H]: four orthogonal [H, H] blocks, one a gate."""
    rows, columns = shape
    keys = jax.random.split(key, columns // rows)
    return jnp.concatenate([initializers.orthogonal()(k, (rows, rows), dtype) for k in keys], axis=1)
