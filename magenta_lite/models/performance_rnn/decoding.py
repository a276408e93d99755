"""The sampling loop: one event a step for all performances at once, until each has reached its time or its events."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from magenta_lite.models.performance_rnn import events
from magenta_lite.models.performance_rnn.vocabulary import TIME_SHIFT, EventVocabulary, Vocabulary
from magenta_lite.nn import mixture_density

READ = 64
"""Events of a beginning that are read by one pass of the layers over a sequence."""

Told = dict[str, jax.Array]
State = Any
Advance = Callable[[State, jax.Array, Told], tuple[State, jax.Array]]
"""The next state, and the logits [B, sum of fields] of the event that follows tokens [B, F]."""
Run = Callable[[jax.Array, Told, State], State]
"""The state after tokens [T, B, F]."""


class Choice(NamedTuple):
    """How an event is drawn; each is [B], or None where it is off. They are applied in this order.

    temperature: logits are divided by it; 0: the likeliest. top_k: only the k likeliest. top_p: of these the fewest
    likeliest whose shares add up to it. min_p: of these the ones that have this share of the likeliest's probability.
    Numbers as likely as the last that is kept are kept too.
    """

    temperature: jax.Array
    top_k: jax.Array | None = None
    top_p: jax.Array | None = None
    min_p: jax.Array | None = None


class Wanted(NamedTuple):
    """What is asked for.

    length: events, or with steps the most that may be used. steps: int32 [B], the time wanted, or None. told: what the
    model is told: told [B], and density [B, S], histogram [B, S, 12], S values each for an equal part of the whole.
    """

    length: int
    steps: jax.Array | None
    told: Told


class Begun(NamedTuple):
    """Where sampling begins: state, the event [B, F] to read next, and how many events [B] were given."""

    state: State
    last: jax.Array
    given: jax.Array


class Clock:
    """What events do to the time, by vocabulary."""

    def __init__(self, vocabulary: Vocabulary):
        self.fields, self.by_event = vocabulary.fields, isinstance(vocabulary, EventVocabulary)
        self.longest = vocabulary.max_shift
        if isinstance(vocabulary, EventVocabulary):
            self._moves = jnp.asarray(events.steps_of(np.arange(vocabulary.fields[0])[:, None], vocabulary), jnp.int32)
            self._shift = vocabulary.number(TIME_SHIFT, vocabulary.max_shift)

    def moves(self, tokens: jax.Array) -> jax.Array:
        """Steps [...] by which the events [..., F] move the time on."""
        return self._moves[tokens[..., 0]] if self.by_event else tokens[..., 0] * self.fields[1] + tokens[..., 1]

    def held(self, tokens: jax.Array, time: jax.Array, left: int | jax.Array, steps: jax.Array) -> jax.Array:
        """The events, or the longest shift where with `left` events from here on the time could else not be reached."""
        if not self.by_event:
            return tokens
        short = left <= -(-(steps - time) // self.longest)
        return jnp.where(short[:, None], self._shift, tokens)

    def cut(self, tokens: jax.Array, count: jax.Array, steps: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Events [B, T, F] of which `count` [B] were made, cut at the time [B]; how many are left, and who reached it.

        The shift that goes beyond is shortened, so that the time is exact. Notes that begin beyond are left out.
        """
        there = jnp.arange(tokens.shape[1])[None] < count[:, None]
        time = jnp.cumsum(jnp.where(there, self.moves(tokens), 0), axis=1)
        before = ((time < steps[:, None]) & there).sum(1)
        if not self.by_event:
            return tokens, before, before < count
        last = jnp.minimum(before, tokens.shape[1] - 1)[:, None]
        beyond = jnp.maximum(jnp.take_along_axis(time, last, axis=1)[:, 0] - steps, 0)
        tokens = tokens.at[jnp.arange(len(tokens)), last[:, 0], 0].add(-beyond)
        return tokens, jnp.minimum(before + 1, count), before < count


class _Carry(NamedTuple):
    position: jax.Array
    """How many events were made."""
    state: State
    last: jax.Array
    time: jax.Array
    """[B] int32: steps."""
    tokens: jax.Array
    """[length, B, F]."""


def unroll(
    advance: Advance, clock: Clock, begun: Begun, keys: jax.Array, choice: Choice, wanted: Wanted
) -> dict[str, jax.Array]:
    """Samples tokens [B, length, F] and their length [B]; each row depends on its own inputs only.

    ended: bool [B], False where the events did not do for the time, which was then filled with the longest shifts.
    """
    rows = len(keys)

    def body(carry: _Carry) -> _Carry:
        told = at(wanted, carry.time, carry.position)
        state, logits = advance(carry.state, carry.last, told)
        last = draw(noise(keys, begun.given + carry.position, len(clock.fields)), logits, clock.fields, choice)
        if wanted.steps is not None:
            last = clock.held(last, carry.time, wanted.length - carry.position, wanted.steps)
        tokens = lax.dynamic_update_index_in_dim(carry.tokens, last, carry.position, 0)
        return _Carry(carry.position + 1, state, last, carry.time + clock.moves(last), tokens)

    def more(carry: _Carry) -> jax.Array:
        room = carry.position < wanted.length
        return room if wanted.steps is None else room & (carry.time < wanted.steps).any()

    tokens = jnp.zeros((wanted.length, rows, len(clock.fields)), jnp.int32)
    start = _Carry(jnp.zeros((), jnp.int32), begun.state, begun.last, jnp.zeros(rows, jnp.int32), tokens)
    end = lax.while_loop(more, body, start)
    return finished(clock, end.tokens.swapaxes(0, 1), jnp.broadcast_to(end.position, (rows,)), wanted)


def finished(clock: Clock, tokens: jax.Array, count: jax.Array, wanted: Wanted) -> dict[str, jax.Array]:
    """The result from tokens [B, T, F] of which `count` [B] were made."""
    ended = jnp.ones(len(tokens), bool)
    if wanted.steps is not None:
        tokens, count, ended = clock.cut(tokens, count, wanted.steps)
        if clock.by_event:
            # Whoever was held to the longest shift was so up to the last event there was.
            ended = ended & (count < wanted.length)
    return {"tokens": tokens, "length": count, "ended": ended}


def at(wanted: Wanted, time: jax.Array, position: jax.Array) -> Told:
    """What is told [B, ...] at the event of this position, after so many steps [B]."""
    told: Told = {}
    for name, values in wanted.told.items():
        if name == "told":
            told[name] = values
            continue
        parts = values.shape[1]
        if wanted.steps is None:
            part = jnp.broadcast_to(position * parts // wanted.length, time.shape)
        else:
            part = jnp.minimum(time, wanted.steps - 1) * parts // wanted.steps
        told[name] = values[jnp.arange(len(values)), part]
    return told


def noise(keys: jax.Array, position: jax.Array, fields: int) -> jax.Array:
    """Uniform [B, fields] of keys [B] at positions [B]."""
    return jax.vmap(lambda key, at: jax.random.uniform(jax.random.fold_in(key, at), (fields,)))(keys, position)


def draw(uniform: jax.Array, logits: jax.Array, fields: tuple[int, ...], choice: Choice) -> jax.Array:
    """Events [B, F], each field drawn by itself from its part of logits [B, sum of fields]; uniform [B, F]."""
    parts = jnp.split(logits, np.cumsum(fields)[:-1].tolist(), axis=-1)
    drawn = [
        mixture_density.categorical(uniform[:, field], truncated(part, choice), choice.temperature)
        for field, part in enumerate(parts)
    ]
    return jnp.stack(drawn, axis=-1).astype(jnp.int32)


def truncated(logits: jax.Array, choice: Choice) -> jax.Array:
    """Logits [B, K] with those that are not to be drawn at -inf."""
    if choice.top_k is None and choice.top_p is None and choice.min_p is None:
        return logits
    away = (logits - logits.max(-1, keepdims=True)) / jnp.maximum(choice.temperature, 1e-30)[:, None]
    least = jnp.full((len(logits), 1), -jnp.inf)
    if choice.top_k is not None or choice.top_p is not None:
        falling = -jnp.sort(-away, axis=-1)
        kept = jnp.full(len(logits), logits.shape[1])
        if choice.top_k is not None:
            kept = jnp.minimum(choice.top_k, kept)
        if choice.top_p is not None:
            among = jnp.arange(logits.shape[1])[None] < kept[:, None]
            total = jnp.cumsum(jnp.where(among, jnp.exp(falling), 0), axis=-1)
            # All before which the sum is not yet reached, of which the first is always one.
            reached = (total[:, :-1] >= choice.top_p[:, None] * total[:, -1:]).sum(-1)
            kept = jnp.minimum(logits.shape[1] - reached, kept)
        least = jnp.take_along_axis(falling, kept[:, None] - 1, axis=-1)
    if choice.min_p is not None:
        least = jnp.maximum(least, jnp.log(choice.min_p)[:, None])
    # The likeliest stays, whatever was rounded.
    return jnp.where(away >= jnp.minimum(least, 0), logits, -jnp.inf)


def log_probability(tokens: jax.Array, logits: jax.Array, fields: tuple[int, ...], choice: Choice) -> jax.Array:
    """Of events [B, F] at the temperature, [B]; what top_k, top_p and min_p leave out is not considered."""
    total = jnp.zeros(len(tokens))
    for field, part in enumerate(jnp.split(logits, np.cumsum(fields)[:-1].tolist(), axis=-1)):
        scaled = (part - part.max(-1, keepdims=True)) / jnp.maximum(choice.temperature, 1e-30)[:, None]
        chosen = jnp.take_along_axis(scaled, tokens[:, field, None], axis=-1)[:, 0]
        total = total + chosen - jax.nn.logsumexp(scaled, axis=-1)
    return total


def read(
    run: Run, advance: Advance, state: State, tokens: jax.Array, told: Told, length: jax.Array, first: jax.Array
) -> Begun:
    """What follows beginnings tokens [B, P, F], of which `length` [B] are given; first [F] is read where none is.

    told: [B, P, ...] of the beginnings' own events; told [B] of all of them. Read is all but the last event: as far as
    all beginnings go in passes over READ events, then one by one.
    """
    rows, time = tokens.shape[:2]
    length = jnp.minimum(length, time)
    step = jnp.broadcast_to(first, (rows, len(first)))
    if not time:
        return Begun(state, step, length)
    each = min(time, READ)
    events_first = tokens.swapaxes(0, 1)
    # Reading an event, the model is told of the next one.
    ahead = {
        name: jnp.broadcast_to(value, (time, rows)) if name == "told" else jnp.roll(value.swapaxes(0, 1), -1, axis=0)
        for name, value in told.items()
    }

    def several(number: jax.Array, state: State) -> State:
        def part(array: jax.Array) -> jax.Array:
            return lax.dynamic_slice_in_dim(array, number * each, each)

        return run(part(events_first), jax.tree.map(part, ahead), state)

    def one(position: jax.Array, state: State) -> State:
        after, _ = advance(state, events_first[position], {name: value[position] for name, value in ahead.items()})
        goes_on = position < length - 1
        return jax.tree.map(lambda new, old: jnp.where(_column(goes_on, new), new, old), after, state)

    passes = jnp.maximum(length.min() - 1, 0) // each
    state = lax.fori_loop(0, passes, several, state)
    state = lax.fori_loop(passes * each, length.max() - 1, one, state)
    last = jnp.take_along_axis(tokens, jnp.maximum(length - 1, 0)[:, None, None], axis=1)[:, 0]
    return Begun(state, jnp.where(length[:, None] > 0, last, step), length)


def joined(prime: jax.Array, given: jax.Array, tokens: jax.Array, length: jax.Array) -> jax.Array:
    """Beginnings [B, P, F], of which `given` [B] count, and behind them the events [B, T, F], of which `length` do."""
    both = jnp.concatenate([prime, tokens], axis=1)
    place = jnp.arange(both.shape[1])[None]
    source = jnp.where(place < given[:, None], place, place - given[:, None] + prime.shape[1])
    taken = jnp.take_along_axis(both, jnp.minimum(source, both.shape[1] - 1)[..., None], axis=1)
    return jnp.where((place < (given + length)[:, None])[..., None], taken, 0)


def _column(mask: jax.Array, like: jax.Array) -> jax.Array:
    return mask.reshape(-1, *[1] * (like.ndim - 1))
