"""Values that change with the training step: functions step -> value."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

Schedule = Callable[[jax.Array | int], jax.Array]


def anneal(start: float, end: float, rate: float) -> Schedule:
    """end - (end - start) * rate**step: from start towards end; rate in [0, 1].

    SketchRNN's learning rate and KL weight, and MusicVAE's beta, are all this.
    """
    return lambda step: end - (end - start) * jnp.power(rate, jnp.asarray(step, jnp.float32))
