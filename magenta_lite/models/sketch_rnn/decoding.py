"""The sampling loop: one point a step for all drawings in hand, where a drawing that ends makes room for the next."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from magenta_lite.nn import mixture_density
from magenta_lite.nn.lstm import State

UP, END = 1, 2
"""Pen states; 0 is down."""

START = (0.0, 0.0, 1.0, 0.0, 0.0)
"""The row before the first point: no offset, pen down."""

SLOTS = 256
"""Drawings in hand at once on a CPU: products of more rows are no faster, and the last drawings keep fewer waiting."""

MANY_SLOTS = 4096
"""The same on an accelerator, where a step takes hardly longer for many drawings than for few."""

FEWEST = 32
"""When no drawing waits any more, the slots become fewer with those in use, down to so many or a few more."""

Advance = Callable[[State, jax.Array, Any], tuple[State, jax.Array, mixture_density.Mixture]]


class _Slots(NamedTuple):
    """The drawings in hand, S of them."""

    number: jax.Array
    """[S] int32: which drawing; n where there is none."""
    position: jax.Array
    """[S] int32: the point it is at."""
    state: State
    rows: jax.Array
    """[S, 5]: the point before, as the decoder reads it."""


Carry = tuple[jax.Array, _Slots, jax.Array]
"""The number of the next drawing that waits; those in hand; points [n, steps, 3] as far as they are drawn."""


def unroll(
    advance: Advance,
    state: State,
    shift: Any,
    keys: jax.Array,
    temperature: jax.Array,
    prime: dict[str, jax.Array],
    steps: int,
) -> dict[str, jax.Array]:
    """Samples up to `steps` points of n sketches, starting with the points of `prime`.

    advance(state, rows [S, 5], shift) gives the next state, pen logits [S, 3] and the mixture [S, M] of the next
    offset. state, of the first step, and shift are trees of arrays [n, ...], or [1, ...] where all sketches share them.
    Each sketch depends on its own inputs only, and not on how many are drawn at once or with which others.

    Returns strokes [n, steps, 3], length [n] int32, ended [n] bool.
    """
    n = keys.shape[0]
    first = state
    # A beginning that is given does not shift the noise of what follows: the key is that of the position.
    keys = jax.vmap(jax.vmap(jax.random.fold_in, (None, 0)), (0, None))(keys, jnp.arange(steps))
    noise = jax.vmap(jax.vmap(lambda key: jax.random.uniform(key, (4,))))(keys)

    def step(slots: _Slots, points: jax.Array) -> tuple[_Slots, jax.Array]:
        number, position = slots.number, slots.position
        state, logits, mixture = advance(slots.state, slots.rows, _of(shift, number))
        uniform = noise[number, position]
        pen = mixture_density.categorical(uniform[:, 0], logits, temperature[number])
        offset = mixture_density.sample(uniform[:, 1:], mixture, temperature[number])
        if prime["strokes"].shape[1]:
            forced = position < jnp.minimum(prime["length"][number], prime["strokes"].shape[1])
            given = prime["strokes"][number, jnp.minimum(position, prime["strokes"].shape[1] - 1)]
            pen = jnp.where(forced, given[:, 2].astype(pen.dtype), pen)
            offset = jnp.where(forced[:, None], given[:, :2], offset)
        # What is no point has a number behind the last, where nothing is written.
        drawn = jnp.where(pen == END, n, number)
        point = jnp.column_stack([offset, pen.astype(jnp.float32)])
        points = points.at[drawn, position].set(point, mode="drop")
        rows = jnp.concatenate([offset, jax.nn.one_hot(pen, 3)], axis=1)
        position = position + 1
        slots = _Slots(jnp.where(position == steps, n, drawn), position, state, rows)
        return slots, points

    def refilled(waiting: jax.Array, slots: _Slots) -> tuple[jax.Array, _Slots]:
        """The next drawings in the slots that have become free; waiting: the number of the next one."""
        free = slots.number == n
        taken = jnp.minimum(waiting + jnp.cumsum(free) - 1, n)
        number = jnp.where(free, taken, slots.number)
        fresh = _begin(number, _of(first, number))
        slots = jax.tree.map(lambda old, new: jnp.where(_column(free, new), new, old), slots, fresh)
        return jnp.minimum(waiting + free.sum(), n), slots

    def body(refill: bool, carry: Carry) -> Carry:
        waiting, slots, points = carry
        slots, points = step(slots, points)
        if refill:
            waiting, slots = refilled(waiting, slots)
        return waiting, slots, points

    sizes = _sizes(n)
    number = jnp.arange(sizes[0])
    slots = _begin(number, jax.tree.map(lambda a: jnp.broadcast_to(a, (sizes[0], *a.shape[1:])), _of(first, number)))
    waiting = jnp.asarray(sizes[0])
    # Every row says "end" until a point is written there.
    points = jnp.zeros((n, steps, 3)).at[:, :, 2].set(END)
    for size, smaller in zip(sizes, [*sizes[1:], 0], strict=True):
        if size < len(slots.number):
            in_use = jnp.argsort(slots.number)[:size]
            slots = jax.tree.map(lambda array, in_use=in_use: array[in_use], slots)
        refill = size == sizes[0] < n
        goes_on = functools.partial(_more, n, smaller)
        waiting, slots, points = lax.while_loop(goes_on, functools.partial(body, refill), (waiting, slots, points))
    there = points[:, :, 2] != END
    length = there.sum(1)
    return {"strokes": jnp.where(there[..., None], points, 0), "length": length, "ended": length < steps}


def _sizes(n: int) -> list[int]:
    """How many slots there are, at first and then as the last drawings end: each is a loop to compile, 0.5 s."""
    sizes = [min(n, SLOTS if jax.default_backend() == "cpu" else MANY_SLOTS)]
    while (size := sizes[-1]) >= 2 * FEWEST:
        sizes += [size * 3 // 4, size // 2] if size > 2 * FEWEST else [size // 2]
    return sizes


def _more(n: int, smaller: int, carry: Carry) -> jax.Array:
    """Whether to go on with as many slots: some drawings still wait, or more are in hand than `smaller` slots hold."""
    waiting, slots, _ = carry
    return (waiting < n) | ((slots.number < n).sum() > smaller)


def _begin(number: jax.Array, state: State) -> _Slots:
    rows = jnp.tile(jnp.array([START]), (len(number), 1))
    return _Slots(number, jnp.zeros_like(number), state, rows)


def _of(tree: Any, number: jax.Array) -> Any:
    """The rows of these drawings, from arrays with a row for each or one for all."""
    return jax.tree.map(lambda array: array if len(array) == 1 else array[number], tree)


def _column(mask: jax.Array, like: jax.Array) -> jax.Array:
    return mask.reshape(-1, *[1] * (like.ndim - 1))
