"""Dropout masks from one key an example, so that the noise does not depend on the number of devices."""

import jax
import jax.numpy as jnp


def masks(keys: jax.Array, keep: float, steps: int, units: int) -> jax.Array:
    """[steps, B, units] bool, True with probability keep (to 1 / 65536); the first steps are the same for any `steps`.

    Two masks share 32 random bits: half the cost of a bernoulli draw, where drawing is a tenth of a training step.
    """

    def one(key: jax.Array) -> jax.Array:
        bits = jax.random.bits(key, (steps, (units + 1) // 2), jnp.uint32)
        halves = jax.lax.bitcast_convert_type(bits, jnp.uint16).reshape(steps, -1)[:, :units]
        return halves < jnp.uint32(round(keep * 65536)).astype(jnp.uint32)

    return jax.vmap(one, out_axes=1)(keys)
