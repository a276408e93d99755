"""A mixture of correlated normal distributions in the plane (Graves 2013, section 4.1), in log space."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

LOG_SIGMA_MIN = -9.0
"""Sigma is at least exp(-9) = 1.2e-4 of the data's scale: repeated quantised offsets cannot make an endless spike."""
ATANH_RHO_MAX = 6.0
"""|rho| is at most tanh(6) = 0.99999, so that 1 - rho^2 is never 0 in float32."""


class Mixture(NamedTuple):
    """Parameters for M components; every array is [..., M]."""

    logits: jax.Array
    mu_x: jax.Array
    mu_y: jax.Array
    log_sigma_x: jax.Array
    log_sigma_y: jax.Array
    rho: jax.Array


def from_outputs(outputs: jax.Array, log_sigma_min: float = LOG_SIGMA_MIN) -> Mixture:
    """[..., 6 M] network outputs, in the published order pi, mu_x, mu_y, sigma_x, sigma_y, rho.

    log_sigma_min: no sigma is below exp of this; down to -20 squares of offsets in units of sigma stay finite.
    """
    logits, mu_x, mu_y, log_sigma_x, log_sigma_y, rho = jnp.split(outputs, 6, axis=-1)
    return Mixture(
        logits,
        mu_x,
        mu_y,
        jnp.maximum(log_sigma_x, log_sigma_min),
        jnp.maximum(log_sigma_y, log_sigma_min),
        jnp.tanh(jnp.clip(rho, -ATANH_RHO_MAX, ATANH_RHO_MAX)),
    )


def log_density(mixture: Mixture, x: jax.Array, y: jax.Array) -> jax.Array:
    """Log of the density at (x, y), each [...], in nats per unit area: exact far from every component too.

    The original takes log(density + 1e-6) in linear space, which flattens the loss of outliers at 13.8 nats.
    """
    x, y = x[..., None], y[..., None]
    u = (x - mixture.mu_x) * jnp.exp(-mixture.log_sigma_x)
    v = (y - mixture.mu_y) * jnp.exp(-mixture.log_sigma_y)
    one_minus = (1 - mixture.rho) * (1 + mixture.rho)
    exponent = -(u * u + v * v - 2 * mixture.rho * u * v) / (2 * one_minus)
    norm = math.log(2 * math.pi) + mixture.log_sigma_x + mixture.log_sigma_y + 0.5 * jnp.log(one_minus)
    weighted = mixture.logits + exponent - norm
    return jax.nn.logsumexp(weighted, axis=-1) - jax.nn.logsumexp(mixture.logits, axis=-1)


def sample(uniform: jax.Array, mixture: Mixture, temperature: jax.Array) -> jax.Array:
    """Points [..., 2] of mixtures [..., M]: weights pi^(1/T), variance times T (Ha & Eck 2017, section 3.3).

    uniform: [..., 3] in [0, 1), the noise. temperature: [...] or a scalar, >= 0; at 0 the mean of the heaviest
    component. The published Python sampler multiplies the *deviation* by T instead; for its pictures at temperature T
    ask for T^2 here.
    """
    j = categorical(uniform[..., 0], mixture.logits, temperature)
    chosen = jax.nn.one_hot(j, mixture.logits.shape[-1], dtype=bool)
    _, mu_x, mu_y, log_sigma_x, log_sigma_y, rho = (jnp.where(chosen, values, 0).sum(-1) for values in mixture)
    # Two normal draws of two uniform ones (Box & Muller 1958); 1 - u is never 0.
    radius = jnp.sqrt(-2 * temperature * jnp.log1p(-uniform[..., 1]))
    angle = 2 * math.pi * uniform[..., 2]
    a, b = radius * jnp.cos(angle), radius * jnp.sin(angle)
    x = mu_x + jnp.exp(log_sigma_x) * a
    y = mu_y + jnp.exp(log_sigma_y) * (rho * a + jnp.sqrt(1 - rho * rho) * b)
    return jnp.stack([x, y], axis=-1)


def categorical(uniform: jax.Array, logits: jax.Array, temperature: jax.Array) -> jax.Array:
    """Indices [...] drawn from softmax(logits / T) for logits [..., K] and T >= 0; at 0 the first of the largest.

    uniform: [...] in [0, 1), the noise. temperature: [...] or a scalar.
    """
    temperature = jnp.broadcast_to(temperature, uniform.shape)
    # The largest weighs 1; as T goes to 0 the others go to 0, and 1e-30 is near enough.
    away = logits - logits.max(-1, keepdims=True)
    total = jnp.cumsum(jnp.exp(away / jnp.maximum(temperature, 1e-30)[..., None]), axis=-1)
    # Among equals chance would choose, but not at 0.
    at = jnp.where(temperature > 0, uniform, 0) * total[..., -1]
    return jnp.sum(total[..., :-1] <= at[..., None], axis=-1)
