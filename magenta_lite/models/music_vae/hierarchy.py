"""The hierarchical decoder: conductors say what each bar is about, cores play it (Roberts et al. 2018, section 3.2).

A conductor of a level is a stack of LSTMs begun from z, or from what the conductor above says; each of its outputs is
the embedding of a segment of the level below, and at last of a bar. As in the original's named models it reads nothing
(conductor_input "none"): bars depend on each other through it alone, so all of them lie side by side in one batch. Its
two other ways read what became of the segment before: the last state of the level below ("state"), or the segment
encoded again ("reencoded"), so that bars follow each other.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from magenta_lite.models.music_vae.decoder import Decoder, Draws, first_state, from_embedding, shifted
from magenta_lite.models.music_vae.encoder import Hierarchical
from magenta_lite.models.music_vae.layers import Stack, State
from magenta_lite.models.music_vae.reading import Dense, nothing, reading

CONDUCTOR_INPUTS = ("none", "state", "reencoded")

Play = Callable[[jax.Array, Any, Any], tuple[Any, list[State], Any, Any]]
"""Plays a bar: (embedding, what the bars before left, what is given of this bar) ->
(what it leaves, last states, events that it read and played [T, B, ...] for a re-encoder, what is wanted of it)."""


class Conductors(nnx.Module):
    """The levels above the cores."""

    def __init__(
        self,
        latent: int,
        lengths: Sequence[int],
        sizes: Sequence[int],
        conductor_input: str,
        cores: Sequence[Decoder],
        encoder: Hierarchical | None,
        *,
        dtype: Any,
        rngs: nnx.Rngs,
        **options: Any,
    ):
        """latent: columns of z. lengths: segments of each level, the highest first. sizes: units of the layers.

        encoder: of the model, whose levels encode again what was played, with conductor_input "reencoded".
        """
        self.lengths, self.conductor_input, self.dtype = tuple(lengths), conductor_input, dtype
        below = [2 * sum(sizes)] * (len(lengths) - 1) + [sum(sum(core.stack.state_sizes) for core in cores)]
        embeddings = [latent] + [sizes[-1]] * (len(lengths) - 1)
        stacks, maps = [], []
        for level, embedding in enumerate(embeddings):
            # Where nothing is read, a row of the kernel reads zeros: so weights and their number are the original's.
            fed = {
                "none": 1,
                "state": below[level] + embedding,
                "reencoded": (encoder.levels[0].size if encoder else 0) + embedding,
            }[conductor_input]
            stacks.append(Stack(fed, sizes, dtype=dtype, rngs=rngs, **options))
            maps.append(from_embedding(embedding, stacks[-1], rngs))
        self.stacks, self.maps, self.below = nnx.List(stacks), nnx.List(maps), tuple(below)

    def embeddings(self, z: jax.Array, keys: jax.Array | None) -> jax.Array:
        """Of every bar [bars, B, E], for z [B, Z], where conductors read nothing."""
        said = z[None]
        for level, (stack, to_state, length) in enumerate(zip(self.stacks, self.maps, self.lengths, strict=True)):
            count, batch, _ = said.shape
            flat = said.reshape(count * batch, -1)
            seeds = None
            if keys is not None:
                of = [jax.vmap(lambda k, n=level * 4096 + i: jax.random.fold_in(k, n))(keys) for i in range(count)]
                seeds = jnp.concatenate(of)
            start = first_state(to_state, stack, flat)
            outputs, _ = stack(nothing(length, count * batch), start, length, seeds)
            said = outputs.reshape(length, count, batch, -1).swapaxes(0, 1).reshape(length * count, batch, -1)
        return said

    def follow(self, z: jax.Array, play: Play, left: Any, given: Any, encoder: Hierarchical | None) -> tuple[Any, Any]:
        """What is wanted of every bar [bars, ...], and what the last one left; bar after bar.

        left: what the first bar finds; given: [bars, ...] of each bar.
        """
        levels = len(self.lengths)
        given = jax.tree.map(lambda array: array.reshape(*self.lengths, *array.shape[1:]), given)
        left, _, wanted = self._level(0, z, play, left, given, encoder)
        return jax.tree.map(lambda array: array.reshape(-1, *array.shape[levels:]), wanted), left

    def _level(
        self, level: int, embedding: jax.Array, play: Play, left: Any, given: Any, encoder: Hierarchical | None
    ) -> tuple[Any, jax.Array, Any]:
        """What is left, what the level above reads of it [B, F], what is wanted of its bars."""
        if level == len(self.lengths):
            left, states, played, wanted = play(embedding, left, given)
            if self.conductor_input == "reencoded":
                assert encoder is not None
                return left, encoder.level(0, played, None), wanted
            return left, jnp.concatenate([part for state in states for part in state], axis=-1), wanted
        stack, batch = self.stacks[level], embedding.shape[0]
        state = first_state(self.maps[level], stack, embedding)

        def one(carry: Any, now: Any) -> tuple[Any, Any]:
            state, fed, left = carry
            read = nothing(None, batch)
            if self.conductor_input != "none":
                read = reading(self.dtype, [Dense(jnp.concatenate([fed, embedding], axis=1))])
            output, state = stack.step(read, state)
            left, fed, wanted = self._level(level + 1, output, play, left, now, encoder)
            return (state, fed, left), (wanted, fed if self.conductor_input == "reencoded" else None)

        width = encoder.levels[0].size if encoder and self.conductor_input == "reencoded" else self.below[level]
        (state, _, left), (wanted, feds) = lax.scan(one, (state, jnp.zeros((batch, width)), left), given)
        if self.conductor_input == "reencoded" and level:
            assert encoder is not None
            return left, encoder.level(len(self.lengths) - level, feds, None), wanted
        return left, jnp.concatenate(state, axis=-1), wanted


class HierarchicalDecoder(nnx.Module):
    """Conductors over cores, one core for each stream. Its methods are those of decoder.FlatDecoder."""

    def __init__(self, conductors: Conductors, cores: Sequence[Decoder], steps: int):
        """steps: of a bar."""
        self.conductors, self.cores, self.steps = conductors, nnx.List(cores), steps

    def teacher_forced(
        self,
        before: list[jax.Array],
        z: jax.Array,
        controls: jax.Array | None,
        keys: jax.Array | None,
        encoder: Hierarchical | None,
    ) -> list[jax.Array]:
        """Outputs [T, B, size] of each core at steps that read `before`, [T, B, ...] of each."""
        batch = z.shape[0]
        if self.conductors.conductor_input == "none":
            said = self.conductors.embeddings(z, keys)
            bars = len(said)
            flat = said.reshape(bars * batch, -1)
            seeds = None if keys is None else jnp.concatenate([_fold(keys, 2**20 + bar) for bar in range(bars)])
            told = None if controls is None else self._side_by_side(controls)
            outputs = []
            for number, (core, events) in enumerate(zip(self.cores, before, strict=True)):
                own = None if seeds is None else _fold(seeds, number)
                made, _ = core.teacher_forced(self._side_by_side(events), flat, told, own)
                outputs.append(self._one_after_the_other(made, batch))
            return outputs

        def play(embedding: jax.Array, left: Any, given: Any) -> tuple[Any, list[State], Any, Any]:
            events, following, told = given
            made = [
                core.teacher_forced(own, embedding, told, None) for core, own in zip(self.cores, events, strict=True)
            ]
            return left, [state for _, state in made], self._played(following), [output for output, _ in made]

        # What a bar played: what its steps read from the second on, and the first event of the next bar's reading.
        following = [jnp.concatenate([events[1:], events[-1:]]) for events in before]
        given = ([self._bars(e) for e in before], [self._bars(e) for e in following], self._bars(controls))
        outputs, _ = self.conductors.follow(z, play, (), given, encoder)
        return [output.reshape(-1, *output.shape[2:]) for output in outputs]

    def scheduled(
        self,
        truth: list[jax.Array],
        z: jax.Array,
        controls: jax.Array | None,
        draws: Draws,
        encoder: Hierarchical | None,
    ) -> list[jax.Array]:
        """What steps read in scheduled sampling, [T, B, ...] of each core, where each bar first reads the truth.

        As in the original, so that all bars are drawn at once also here.
        """
        before = shifted(self.cores, truth)
        firsts = [events.reshape(-1, self.steps, *events.shape[1:])[:, 0] for events in before]
        if self.conductors.conductor_input == "none":
            said = self.conductors.embeddings(z, None)
            bars, batch = said.shape[:2]
            told = None if controls is None else self._side_by_side(controls)
            keys = jnp.concatenate([_fold(draws.keys, bar) for bar in range(bars)])
            temperature = jnp.tile(draws.temperature, bars)
            reads = []
            for number, (core, first, own) in enumerate(zip(self.cores, firsts, truth, strict=True)):
                mine = Draws(_fold(keys, number), temperature, 0, self._side_by_side(own), draws.share)
                first = first.reshape(bars * batch, *first.shape[2:])
                read, _, _ = core.draw(first, said.reshape(bars * batch, -1), told, self.steps, mine)
                reads.append(self._one_after_the_other(read, batch))
            return reads

        def play(embedding: jax.Array, left: Any, given: Any) -> tuple[Any, list[State], Any, Any]:
            bar, first, own, told = given
            reads, states, followed = [], [], []
            for number, core in enumerate(self.cores):
                mine = Draws(_fold(draws.keys, number), draws.temperature, bar * self.steps, own[number], draws.share)
                read, _, state = core.draw(first[number], embedding, told, self.steps, mine)
                reads.append(read)
                states.append(state)
                followed.append(jnp.concatenate([read[1:], own[number][-1:]]))
            return left, states, self._played(followed), reads

        given = (
            jnp.arange(int(np.prod(self.conductors.lengths))),
            firsts,
            [self._bars(own) for own in truth],
            self._bars(controls),
        )
        reads, _ = self.conductors.follow(z, play, (), given, encoder)
        return [read.reshape(-1, *read.shape[2:]) for read in reads]

    def draw(
        self,
        z: jax.Array,
        controls: jax.Array | None,
        steps: int,
        draws: Draws,
        encoder: Hierarchical | None,
    ) -> list[jax.Array]:
        """Events [T, B, ...] of each core, drawn bar after bar: each first reads the last event of the one before."""
        bars = int(np.prod(self.conductors.lengths))
        before = [core.output.nothing(z.shape[0]) for core in self.cores]

        def play(embedding: jax.Array, left: Any, given: Any) -> tuple[Any, list[State], Any, Any]:
            bar, told = given
            drawn, states = [], []
            for number, (core, last) in enumerate(zip(self.cores, left, strict=True)):
                own = draws._replace(keys=_fold(draws.keys, number), position=bar * self.steps)
                _, events, state = core.draw(last, embedding, told, self.steps, own)
                drawn.append(events)
                states.append(state)
            return [events[-1] for events in drawn], states, self._played(drawn), drawn

        given = (jnp.arange(bars), self._bars(controls))
        if self.conductors.conductor_input == "none":
            said = self.conductors.embeddings(z, None)

            def one(left: Any, now: Any) -> tuple[Any, Any]:
                left, _, _, drawn = play(now[0], left, now[1])
                return left, drawn

            _, drawn = lax.scan(one, before, (said, given))
        else:
            drawn, _ = self.conductors.follow(z, play, before, given, encoder)
        return [events.reshape(-1, *events.shape[2:]) for events in drawn]

    def _played(self, events: list[jax.Array]) -> jax.Array | None:
        """What a re-encoder reads of a bar."""
        if self.conductors.conductor_input != "reencoded":
            return None
        parts = [core.output.part(own).dense() for core, own in zip(self.cores, events, strict=True)]
        return jnp.concatenate(parts, axis=-1)

    def _bars(self, array: jax.Array | None) -> jax.Array | None:
        """[T, B, ...] -> [bars, steps, B, ...]."""
        return None if array is None else array.reshape(-1, self.steps, *array.shape[1:])

    def _side_by_side(self, array: jax.Array) -> jax.Array:
        """[T, B, ...] -> [steps, bars * B, ...]."""
        bars = array.reshape(-1, self.steps, *array.shape[1:]).swapaxes(0, 1)
        return bars.reshape(self.steps, -1, *array.shape[2:])

    def _one_after_the_other(self, array: jax.Array, batch: int) -> jax.Array:
        """The way back."""
        bars = array.reshape(self.steps, -1, batch, *array.shape[2:]).swapaxes(0, 1)
        return bars.reshape(-1, batch, *array.shape[2:])


def _fold(keys: jax.Array, number: Any) -> jax.Array:
    return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)
