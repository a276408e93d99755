"""Beam search over events, in one program for all performances, as in the original's beam_search."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from magenta_lite.models.performance_rnn import decoding
from magenta_lite.models.performance_rnn.decoding import Advance, Begun, Choice, Clock, Wanted


class Beam(NamedTuple):
    """size sequences are kept, each is copied branches times, and after so many events the likeliest are kept again."""

    size: int = 1
    branches: int = 1
    events: int = 1


class _Carry(NamedTuple):
    position: jax.Array
    state: Any
    last: jax.Array
    """[n R, F], as all that has R = size * branches rows for each of the n performances."""
    time: jax.Array
    score: jax.Array
    """[n, R]: log-likelihood."""
    tokens: jax.Array
    """[length, n R, F]: what was drawn, each where it was drawn."""
    parents: jax.Array
    """[length, n, R]: the row before the event that the row with it comes from."""
    found: jax.Array
    """[n]: events of those that have reached their time, 0 of others."""
    best: jax.Array
    """[n]: the row of those."""


def search(
    advance: Advance, clock: Clock, begun: Begun, keys: jax.Array, choice: Choice, wanted: Wanted, beam: Beam
) -> dict[str, jax.Array]:
    """Like decoding.unroll, but of each performance the likeliest sequence that the search finds.

    Sequences are compared when they have the same number of events. One that has reached its time goes on until then,
    and a performance is found as soon as its likeliest sequence is such a one; what is beyond the time is cut off.
    """
    n, rows = len(keys), beam.size * beam.branches
    flat = n * rows

    def spread(array: jax.Array) -> jax.Array:
        return jnp.repeat(array, rows, axis=0)

    state, last, given = jax.tree.map(spread, begun)
    choice = jax.tree.map(spread, choice)
    each = wanted._replace(
        steps=None if wanted.steps is None else spread(wanted.steps), told=jax.tree.map(spread, wanted.told)
    )
    # The first row draws what plain sampling draws.
    number = jnp.arange(rows, dtype=jnp.uint32)
    apart = jax.vmap(lambda key: jax.vmap(lambda i: jax.random.fold_in(key, jnp.uint32(2**32 - 1) - i))(number))(keys)
    keys = jnp.where(number[None] == 0, keys[:, None], apart).reshape(flat)
    first = (wanted.length - 1) % beam.events + 1

    def best(score: jax.Array) -> jax.Array:
        """The rows of the likeliest, copied: [n, R]."""
        return jnp.repeat(lax.top_k(score, beam.size)[1], beam.branches, axis=1)

    def taken(tree: Any, source: jax.Array) -> Any:
        place = (jnp.arange(n)[:, None] * rows + source).reshape(flat)
        return jax.tree.map(lambda array: array[place], tree)

    def event(carry: _Carry) -> _Carry:
        told = decoding.at(each, carry.time, carry.position)
        state, logits = advance(carry.state, carry.last, told)
        uniform = decoding.noise(keys, given + carry.position, len(clock.fields))
        last = decoding.draw(uniform, logits, clock.fields, choice)
        if each.steps is not None:
            last = clock.held(last, carry.time, each.length - carry.position, each.steps)
        gained = decoding.log_probability(last, logits, clock.fields, choice).reshape(n, rows)
        return carry._replace(
            position=carry.position + 1,
            state=state,
            last=last,
            time=carry.time + clock.moves(last),
            score=carry.score + gained,
            tokens=lax.dynamic_update_index_in_dim(carry.tokens, last, carry.position, 0),
        )

    def body(carry: _Carry) -> _Carry:
        # Before the first there is nothing to choose from: all rows are the same.
        source = jnp.where(carry.position > 0, best(carry.score), jnp.arange(rows)[None])
        state, last, time = taken((carry.state, carry.last, carry.time), source)
        carry = carry._replace(
            state=state,
            last=last,
            time=time,
            score=jnp.take_along_axis(carry.score, source, axis=1),
            parents=lax.dynamic_update_index_in_dim(carry.parents, source, carry.position, 0),
        )
        drawn = lax.fori_loop(0, jnp.where(carry.position > 0, beam.events, first), lambda _, now: event(now), carry)
        if wanted.steps is None:
            return drawn
        leader = drawn.score.argmax(1)
        arrived = jnp.take_along_axis(drawn.time.reshape(n, rows), leader[:, None], axis=1)[:, 0] >= wanted.steps
        fresh = arrived & (drawn.found == 0)
        return drawn._replace(
            found=jnp.where(fresh, drawn.position, drawn.found), best=jnp.where(fresh, leader, drawn.best)
        )

    def more(carry: _Carry) -> jax.Array:
        return (carry.position < wanted.length) & (carry.found == 0).any()

    zeros = jnp.zeros(n, jnp.int32)
    start = _Carry(
        position=jnp.zeros((), jnp.int32),
        state=state,
        last=last,
        time=jnp.zeros(flat, jnp.int32),
        score=jnp.zeros((n, rows)),
        tokens=jnp.zeros((wanted.length, flat, len(clock.fields)), jnp.int32),
        parents=jnp.tile(jnp.arange(rows, dtype=jnp.int32), (wanted.length, n, 1)),
        found=zeros,
        best=zeros,
    )
    end = lax.while_loop(more, body, start)
    row = jnp.where(end.found > 0, end.best, end.score.argmax(1))
    count = jnp.where(end.found > 0, end.found, end.position)

    def back(row: jax.Array, step: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        position, tokens, parents = step
        found = tokens.reshape(n, rows, -1)[jnp.arange(n), row]
        before = jnp.take_along_axis(parents, row[:, None], axis=1)[:, 0]
        return jnp.where(position < count, before, row), found

    history = (jnp.arange(wanted.length), end.tokens, end.parents)
    _, tokens = lax.scan(back, row, history, reverse=True)
    return decoding.finished(clock, tokens.swapaxes(0, 1), count, wanted)
