"""A yardstick: one large float32 matrix product, which is as fast as this machine multiplies in JAX."""

import jax
import jax.numpy as jnp

from benchmarks.contestants import protocol
from magenta_lite.command import run

SIZE = 2048
FLOPS = 2 * SIZE**3


def main(dtype: str = "float32") -> int:
    """Multiplies when asked."""
    matrix = jax.random.normal(jax.random.key(0), (SIZE, SIZE)).astype(jnp.dtype(dtype))
    product = jax.jit(lambda a: a @ a)
    product(matrix).block_until_ready()

    def step():
        product(matrix).block_until_ready()
        return {}

    protocol.serve(step)
    return 0


if __name__ == "__main__":
    run(main)
