"""The decoder of steps: a stack of LSTMs begun from an embedding (z, or what a conductor says of a bar).

It reads the event before, the embedding and the controls, and says what the event is. One of them is a flat decoder;
one for each stream, begun anew at every bar, are the cores of a hierarchical one.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from magenta_lite.models.music_vae.layers import Read, Stack, State
from magenta_lite.models.music_vae.outputs import Categorical, Groove, Nade
from magenta_lite.models.music_vae.reading import Constant, reading, told
from magenta_lite.nn import initializers

Output = Categorical | Nade | Groove


class Draws(NamedTuple):
    """How events are drawn: keys [B]; temperature [B]; position: of the first step, for the noise.

    truth: events [T, B, ...] of which each step reads the one before it, but with probability `share` what was drawn;
    None to always read what was drawn.
    """

    keys: jax.Array
    temperature: jax.Array
    position: jax.Array | int = 0
    truth: jax.Array | None = None
    share: jax.Array | float = 1.0


class Decoder(nnx.Module):
    """One stack, and the output that it feeds."""

    def __init__(
        self,
        output: Output,
        embedding: int,
        controls: int,
        sizes: Sequence[int],
        *,
        dtype: Any,
        rngs: nnx.Rngs,
        **options: Any,
    ):
        """embedding, controls: columns of both; sizes: units of the layers; options: as Stack."""
        self.output, self.dtype = output, dtype
        self.stack = Stack(output.depth + embedding + controls, sizes, dtype=dtype, rngs=rngs, **options)
        self.to_state = from_embedding(embedding, self.stack, rngs)
        self.projection = nnx.Linear(sizes[-1], output.size, kernel_init=initializers.glorot, rngs=rngs)

    def teacher_forced(
        self,
        before: jax.Array,
        embedding: jax.Array,
        controls: jax.Array | None,
        keys: jax.Array | None = None,
    ) -> tuple[jax.Array, State]:
        """Outputs [T, B, size] at steps that read events `before` [T, B, ...]; and the last state.

        embedding [B, E]; controls [T, B, ...]: what is told at every step; keys [B] for dropout, None for none.
        """
        steps = len(before)
        read = self._reading(before, Constant(embedding, steps), controls)
        states, last = self.stack(read, first_state(self.to_state, self.stack, embedding), steps, keys)
        return self.projection(states), last

    def draw(
        self, before: jax.Array, embedding: jax.Array, controls: jax.Array | None, steps: int, draws: Draws
    ) -> tuple[jax.Array, jax.Array, State]:
        """What was read before each step and what was drawn at it, [T, B, ...] each; and the last state.

        before: what the first step reads, [B, ...]; controls [T, B, ...].
        """

        def one(carry: tuple[State, jax.Array], now: Any) -> tuple[Any, Any]:
            (state, before), (t, control, truth) = carry, now
            output, state = self.stack.step(self._reading(before, Constant(embedding, None), control), state)
            keys = jax.vmap(lambda key: jax.random.fold_in(key, draws.position + t))(draws.keys)
            drawn = self.output.draw(keys, self.projection(output), draws.temperature)
            read = drawn
            if truth is not None:
                uniform = jax.vmap(lambda key: jax.random.uniform(jax.random.fold_in(key, 1)))(keys)
                own = (uniform < draws.share).reshape(-1, *(1,) * (drawn.ndim - 1))
                read = jnp.where(own, drawn, truth)
            return (state, read), (before, drawn)

        start = first_state(self.to_state, self.stack, embedding)
        (last, _), (reads, drawn) = lax.scan(
            one, (start, before), (jnp.arange(steps), controls, draws.truth), length=steps
        )
        return reads, drawn, last

    def _reading(self, before: jax.Array, embedding: Constant, controls: jax.Array | None) -> Read:
        return reading(self.dtype, [self.output.part(before), embedding, *told(controls)])


class FlatDecoder(nnx.Module):
    """One decoder over all steps. Lists are of one for each core, here of one; encoder is for hierarchical ones."""

    def __init__(self, core: Decoder):
        self.cores = nnx.List([core])

    def teacher_forced(
        self,
        before: list[jax.Array],
        z: jax.Array,
        controls: jax.Array | None,
        keys: jax.Array | None,
        encoder: Any = None,
    ) -> list[jax.Array]:
        """Outputs [T, B, size] of each core at steps that read `before`, [T, B, ...] of each."""
        return [self.cores[0].teacher_forced(before[0], z, controls, keys)[0]]

    def scheduled(
        self, truth: list[jax.Array], z: jax.Array, controls: jax.Array | None, draws: Draws, encoder: Any = None
    ) -> list[jax.Array]:
        """What steps read in scheduled sampling (Bengio et al. 2015), [T, B, ...] of each core."""
        (events,), (core,) = truth, self.cores
        own = draws._replace(truth=events)
        return [core.draw(core.output.nothing(z.shape[0]), z, controls, len(events), own)[0]]

    def draw(
        self, z: jax.Array, controls: jax.Array | None, steps: int, draws: Draws, encoder: Any = None
    ) -> list[jax.Array]:
        """Events [T, B, ...] of each core."""
        (core,) = self.cores
        return [core.draw(core.output.nothing(z.shape[0]), z, controls, steps, draws)[1]]


def shifted(cores: Sequence[Decoder], events: list[jax.Array]) -> list[jax.Array]:
    """What is read before each of events [T, B, ...]: the event before, and nothing at first."""
    return [
        jnp.concatenate([core.output.nothing(own.shape[1])[None], own[:-1]])
        for core, own in zip(cores, events, strict=True)
    ]


def from_embedding(columns: int, stack: Stack, rngs: nnx.Rngs) -> nnx.Linear:
    """The linear map from an embedding to a stack's first state."""
    return nnx.Linear(columns, sum(stack.state_sizes), kernel_init=initializers.gaussian(0.001), rngs=rngs)


def first_state(to_state: nnx.Linear, stack: Stack, embedding: jax.Array) -> State:
    """tanh(linear(embedding [B, E]))."""
    return stack.cut(jnp.tanh(to_state(embedding)))
