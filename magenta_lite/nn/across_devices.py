"""Statistics of the whole batch, wherever its examples are."""

import contextlib

import jax
import jax.numpy as jnp

AXIS = "devices"
"""The name of the mapped axis over which training and evaluation spread a batch."""


def batch_mean(values: jax.Array, weights: jax.Array) -> jax.Array:
    """Weighted mean over the batch [B] on all devices; outside a mapped step, over the arrays given."""
    totals = jnp.stack([jnp.sum(values * weights), jnp.sum(weights)])
    with contextlib.suppress(NameError):  # raised where no such axis is mapped: the arrays given are all there is
        totals = jax.lax.psum(totals, AXIS)
    return totals[0] / totals[1]
