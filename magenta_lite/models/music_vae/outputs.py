"""What a decoder says of each step: classes of one or several streams, hits of many drums at once, or a groove.

Each kind of output has: `depth`, columns of an event when it is read; `size`, columns of the linear layer that it is
made from; `kinds`, names of what nats and accuracies are told of; and

    nothing(batch) -> what is read before the first event
    part(events) -> a Part of what is read
    nats(outputs [..., size], events) -> [..., K], of each of K kinds
    right(outputs, events) -> (hits [..., K], out of [..., K])
    draw(keys [B], outputs [B, size], temperature [B]) -> events

Events are int32 [..., S] (Categorical) or float32 [..., depth].
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from magenta_lite.models.music_vae.reading import Dense, OneHot, Part
from magenta_lite.nn import mixture_density

ERRORS = ("velocities", "offsets")
"""Of these kinds `right` tells errors, not hits."""

Pair = tuple[jax.Array, jax.Array]


class Categorical(nnx.Module):
    """One class of each stream."""

    def __init__(self, sizes: Sequence[int], kinds: Sequence[str]):
        """sizes: classes of each stream; kinds: what the streams are called."""
        self.sizes, self.kinds = tuple(sizes), tuple(kinds)
        self.depth = self.size = sum(sizes)

    def nothing(self, batch: int) -> jax.Array:
        return jnp.full((batch, len(self.sizes)), -1, jnp.int32)

    def part(self, events: jax.Array) -> Part:
        return OneHot(events, self.sizes)

    def nats(self, outputs: jax.Array, events: jax.Array) -> jax.Array:
        """Cross-entropy of each stream."""
        nats = []
        for stream, logits in enumerate(self._split(outputs)):
            chosen = jnp.take_along_axis(logits, events[..., stream, None], axis=-1)[..., 0]
            nats.append(jax.nn.logsumexp(logits, axis=-1) - chosen)
        return jnp.stack(nats, -1)

    def right(self, outputs: jax.Array, events: jax.Array) -> Pair:
        """Whether the class is the likeliest one; out of 1."""
        likeliest = jnp.stack([logits.argmax(-1) for logits in self._split(outputs)], -1)
        hits = (likeliest == events).astype(jnp.float32)
        return hits, jnp.ones_like(hits)

    def draw(self, keys: jax.Array, outputs: jax.Array, temperature: jax.Array) -> jax.Array:
        """From softmax(logits / temperature); at 0 the likeliest."""
        uniform = jax.vmap(lambda key: jax.random.uniform(key, (len(self.sizes),)))(keys)
        drawn = [
            mixture_density.categorical(uniform[:, stream], logits, temperature)
            for stream, logits in enumerate(self._split(outputs))
        ]
        return jnp.stack(drawn, -1).astype(jnp.int32)

    def _split(self, outputs: jax.Array) -> list[jax.Array]:
        return jnp.split(outputs, np.cumsum(self.sizes)[:-1].tolist(), axis=-1)


class Nade(nnx.Module):
    """Hits of many drums at once, each depending on those before it (Larochelle & Murray 2011, with the step's biases).

    a_0 = hidden biases; p(v_i = 1) = sigmoid(b_i + w_dec_i . sigmoid(a_i)); a_i+1 = a_i + v_i w_enc_i.
    """

    def __init__(self, depth: int, hidden: int, kinds: Sequence[str], *, rngs: nnx.Rngs):
        """depth: drums; hidden: units."""
        self.depth, self.hidden, self.kinds = depth, hidden, tuple(kinds)
        self.size = hidden + depth
        scale = jax.nn.initializers.truncated_normal(depth**-0.5)  # the original's
        self.w_enc = nnx.Param(scale(rngs.params(), (depth, hidden)))
        self.w_dec = nnx.Param(scale(rngs.params(), (depth, hidden)))

    def nothing(self, batch: int) -> jax.Array:
        return jnp.zeros((batch, self.depth))

    def part(self, events: jax.Array) -> Part:
        return Dense(events)

    def nats(self, outputs: jax.Array, events: jax.Array) -> jax.Array:
        """Of all drums together."""
        logits = self._teacher_forced(outputs, events)
        return (jax.nn.softplus(logits) - logits * events).sum(-1, keepdims=True)

    def right(self, outputs: jax.Array, events: jax.Array) -> Pair:
        """Whether every drum is as it is likelier to be, those before it given; out of 1."""
        logits = self._teacher_forced(outputs, events)
        hits = ((logits >= 0) == (events > 0.5)).all(-1, keepdims=True).astype(jnp.float32)
        return hits, jnp.ones_like(hits)

    def draw(self, keys: jax.Array, outputs: jax.Array, temperature: jax.Array) -> jax.Array:
        """Drum by drum from sigmoid(logit / temperature); at 0 the likelier."""
        uniform = jax.vmap(lambda key: jax.random.uniform(key, (self.depth,)))(keys)

        def choose(i: jax.Array, logit: jax.Array) -> jax.Array:
            share = jax.nn.sigmoid(logit / jnp.maximum(temperature, 1e-30))
            return (jnp.where(temperature > 0, uniform[:, i], 0.5) < share).astype(jnp.float32)

        return self._one_by_one(outputs, choose)[1]

    def _teacher_forced(self, outputs: jax.Array, events: jax.Array) -> jax.Array:
        flat = events.reshape(-1, self.depth)
        logits, _ = self._one_by_one(outputs.reshape(-1, self.size), lambda i, logit: flat[:, i])
        return logits.reshape(events.shape)

    def _one_by_one(self, outputs: jax.Array, choose: Any) -> Pair:
        """Logits and events [N, depth]; choose(i, logit [N]) -> event [N]."""
        hidden, biases = outputs[:, : self.hidden], outputs[:, self.hidden :]

        def one(hidden: jax.Array, now: tuple[jax.Array, ...]) -> tuple[jax.Array, Pair]:
            i, bias, w_enc, w_dec = now
            logit = bias + jax.nn.sigmoid(hidden) @ w_dec
            event = choose(i, logit)
            return hidden + event[:, None] * w_enc[None], (logit, event)

        numbers = jnp.arange(self.depth)
        _, (logits, events) = lax.scan(one, hidden, (numbers, biases.T, self.w_enc[...], self.w_dec[...]))
        return logits.T, events.T


class Groove(nnx.Module):
    """Hit, velocity and offset of each drum: columns [hits, velocities, offsets] (Gillick et al. 2019).

    A hit is drawn; velocity in 0..1 and offset in -1..1 are what is expected, whatever the temperature.
    """

    kinds = ("hits", "velocities", "offsets")

    def __init__(self, drums: int):
        self.drums = drums
        self.depth = self.size = 3 * drums

    def nothing(self, batch: int) -> jax.Array:
        return jnp.zeros((batch, self.depth))

    def part(self, events: jax.Array) -> Part:
        return Dense(events)

    def nats(self, outputs: jax.Array, events: jax.Array) -> jax.Array:
        """Cross-entropy of hits, and squared errors of velocities and of offsets, which stand for nats in the loss."""
        hit, velocity, offset = jnp.split(outputs, 3, axis=-1)
        hits, velocities, offsets = jnp.split(events, 3, axis=-1)
        share = jax.nn.sigmoid(hit)
        tiny = 1e-7  # the original's, inside its logs
        cross_entropy = -hits * jnp.log(share + tiny) - (1 - hits) * jnp.log(1 - share + tiny)
        errors = jnp.square(jax.nn.sigmoid(velocity) - velocities), jnp.square(jnp.tanh(offset) - offsets)
        return jnp.stack([cross_entropy.sum(-1), *(error.sum(-1) for error in errors)], -1)

    def right(self, outputs: jax.Array, events: jax.Array) -> Pair:
        """How many drums hit, or not, as they are likelier to; the other two are told as mean absolute errors.

        Velocities (of 1) and offsets (of half a step) are compared where there is a hit, and out of the number of hits.
        """
        hit, velocity, offset = jnp.split(outputs, 3, axis=-1)
        hits, velocities, offsets = jnp.split(events, 3, axis=-1)
        count = hits.sum(-1)
        right = ((hit >= 0) == (hits > 0.5)).sum(-1).astype(jnp.float32)
        errors = jnp.abs(jax.nn.sigmoid(velocity) - velocities), jnp.abs(jnp.tanh(offset) - offsets)
        found = jnp.stack([right, *((error * hits).sum(-1) for error in errors)], -1)
        return found, jnp.stack([jnp.full_like(count, self.drums), count, count], -1)

    def draw(self, keys: jax.Array, outputs: jax.Array, temperature: jax.Array) -> jax.Array:
        hit, velocity, offset = jnp.split(outputs, 3, axis=-1)
        uniform = jax.vmap(lambda key: jax.random.uniform(key, (self.drums,)))(keys)
        share = jax.nn.sigmoid(hit / jnp.maximum(temperature, 1e-30)[:, None])
        hits = jnp.where(temperature[:, None] > 0, uniform, 0.5) < share
        return jnp.concatenate([hits.astype(jnp.float32), jax.nn.sigmoid(velocity), jnp.tanh(offset)], axis=-1)
