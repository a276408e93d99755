"""Latent spaces: the posterior's noise and divergence, and ways between two points."""

import jax
import jax.numpy as jnp
import numpy as np


def draw(keys: jax.Array, mean: jax.Array, log_var: jax.Array) -> jax.Array:
    """z [B, Z] = mean + exp(log_var / 2) * noise, one key an example (Kingma & Welling 2014)."""
    noise = jax.vmap(lambda key: jax.random.normal(key, mean.shape[1:]))(keys)
    return mean + jnp.exp(log_var / 2) * noise


def kl_nats(mean: jax.Array, log_var: jax.Array) -> jax.Array:
    """KL(N(mean, exp(log_var)) || N(0, 1)) of each dimension, in nats; same shape as mean."""
    return -0.5 * (1 + log_var - mean * mean - jnp.exp(log_var))


def lerp(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    """The straight way: a at t = 0, b at t = 1, exactly."""
    return a if t == 0 else b if t == 1 else (1 - t) * a + t * b


def slerp(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    """Spherical interpolation of two vectors [Z] (White 2016): a at t = 0, b at t = 1, exactly.

    The angle is taken between the normalised vectors and applied to the raw ones. Parallel, opposite and zero vectors,
    for which the angle says nothing, are interpolated on the straight line.
    """
    # Near opposite directions sin(omega) is lost in float32's rounding.
    a, b, dtype = a.astype(np.float64), b.astype(np.float64), a.dtype
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    if t in (0, 1) or min(lengths) == 0:
        return lerp(a, b, t).astype(dtype)
    omega = np.arccos(np.clip(np.dot(a / lengths[0], b / lengths[1]), -1.0, 1.0))
    if np.sin(omega) < 1e-6:
        return lerp(a, b, t).astype(dtype)
    return ((np.sin((1 - t) * omega) * a + np.sin(t * omega) * b) / np.sin(omega)).astype(dtype)
