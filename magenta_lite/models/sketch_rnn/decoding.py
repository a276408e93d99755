"""The sampling loop: all drawings advance together, one point a step, until the last has ended."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from magenta_lite.nn import mixture_density
from magenta_lite.nn.lstm import State

UP, END = 1, 2
"""Pen states; 0 is down."""

Advance = Callable[[State, jax.Array], tuple[State, jax.Array, mixture_density.Mixture]]


def unroll(
    advance: Advance,
    state: State,
    keys: jax.Array,
    temperature: jax.Array,
    prime: dict[str, jax.Array],
    steps: int,
) -> dict[str, jax.Array]:
    """Samples up to `steps` points of n sketches, starting with the points of `prime`.

    advance(state, rows [n, 5]) gives the next state, pen logits [n, 3] and the mixture [n, M] of the next offset.
    Returns strokes [n, steps, 3], length [n] int32, ended [n] bool.
    """
    n = keys.shape[0]
    given = jnp.pad(prime["strokes"], ((0, 0), (0, steps), (0, 0)))[:, :steps].swapaxes(0, 1)
    given_length = prime["length"]

    def draw(key: jax.Array, logits: jax.Array, mixture: mixture_density.Mixture, t: jax.Array) -> tuple:
        key_pen, key_offset = jax.random.split(key)
        return mixture_density.categorical(key_pen, logits, t), mixture_density.sample(key_offset, mixture, t)

    def step(carry: tuple) -> tuple:
        i, state, rows, strokes, length, ended = carry
        state, logits, mixture = advance(state, rows)
        # A beginning that is given does not shift the noise of what follows: the key is that of the position.
        pen, offset = jax.vmap(draw)(
            jax.vmap(lambda key: jax.random.fold_in(key, i))(keys), logits, mixture, temperature
        )
        forced = i < given_length
        pen = jnp.where(forced, given[i, :, 2].astype(pen.dtype), pen)
        offset = jnp.where(forced[:, None], given[i, :, :2], offset)
        ended = ended | (pen == END)
        point = jnp.where(ended[:, None], 0.0, jnp.column_stack([offset, (pen == UP).astype(jnp.float32)]))
        strokes = strokes.at[i].set(point)
        rows = jnp.concatenate([point[:, :2], jax.nn.one_hot(pen, 3)], axis=1)
        return i + 1, state, rows, strokes, length + ~ended, ended

    start = jnp.tile(jnp.array([[0.0, 0.0, 1.0, 0.0, 0.0]]), (n, 1))
    empty = (jnp.zeros((steps, n, 3)), jnp.zeros(n, jnp.int32), jnp.zeros(n, bool))
    carry = (jnp.zeros((), jnp.int32), state, start, *empty)
    *_, strokes, length, ended = lax.while_loop(lambda c: (c[0] < steps) & ~jnp.all(c[5]), step, carry)
    return {"strokes": strokes.swapaxes(0, 1), "length": length, "ended": ended}
