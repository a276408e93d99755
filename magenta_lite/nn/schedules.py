"""Values that change with the training step: functions step -> value, the same one for the same numbers.

So two models of the same options are equal to JAX, and share their compiled programs.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from magenta_lite.errors import UserError

Schedule = Callable[[jax.Array | int], jax.Array]


@functools.cache
def anneal(start: float, end: float, rate: float) -> Schedule:
    """end - (end - start) * rate**step: from start towards end; rate in [0, 1].

    SketchRNN's learning rate and KL weight, and MusicVAE's beta, are all this.
    """
    return lambda step: end - (end - start) * jnp.power(rate, jnp.asarray(step, jnp.float32))


@functools.cache
def constant(rate: float) -> Schedule:
    """rate, at every step. Raises UserError where it is no share in 0..1."""
    _check("constant", rate, 0 <= rate <= 1, "0 to 1")
    return lambda step: jnp.full(jnp.shape(step), rate, jnp.float32)


def exponential(rate: float) -> Schedule:
    """1 - rate**step: from 0 towards 1. Raises UserError unless 0 < rate < 1."""
    _check("exponential", rate, 0 < rate < 1, "above 0, below 1")
    return anneal(0.0, 1.0, rate)


@functools.cache
def inverse_sigmoid(rate: float) -> Schedule:
    """1 - rate / (rate + exp(step / rate)): a half at step rate * ln(rate). Raises UserError where rate < 1."""
    _check("inverse_sigmoid", rate, 1 <= rate < math.inf, "at least 1")
    # rate / (rate + exp(step / rate)) = sigmoid(ln(rate) - step / rate), which no step makes overflow.
    return lambda step: 1 - jax.nn.sigmoid(math.log(rate) - jnp.asarray(step, jnp.float32) / rate)


SAMPLING: dict[str, Callable[[float], Schedule]] = {
    "constant": constant,
    "exponential": exponential,
    "inverse_sigmoid": inverse_sigmoid,
}
"""Shares of inputs that a decoder draws itself in training (Bengio et al. 2015, section 2.4)."""


def _check(schedule: str, rate: float, good: bool, expected: str) -> None:
    if not good:
        raise UserError(f"config.model.sampling_rate={rate} of sampling_schedule={schedule}: expected {expected}")
