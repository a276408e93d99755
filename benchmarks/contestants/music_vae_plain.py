"""A yardstick: MusicVAE with its decoder as the original's graph has it, in plain JAX.

Every event is a one-hot row with the embedding beside it, a cell is one product of [inputs, h], the output is taken at
every step, scheduled sampling draws in the same pass, bars are 16 graphs one after the other, and lax.scan and autodiff
do the rest. Encoder, losses, optimizer and noise are ours; its values and gradients must be, before it is timed.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from benchmarks.contestants import music_vae_parts as parts
from benchmarks.contestants import protocol
from magenta_lite import models
from magenta_lite.command import run
from magenta_lite.models.music_vae.decoder import Decoder, FlatDecoder, first_state, shifted
from magenta_lite.models.music_vae.hierarchy import HierarchicalDecoder
from magenta_lite.models.music_vae.layers import Stack
from magenta_lite.models.music_vae.model import Model
from magenta_lite.runtime import keep_compiled, keep_memory

TOLERANCE = 1e-4
"""Of the loss and of every gradient, as a share of its largest component."""

Layers = list[tuple[jax.Array, jax.Array]]
State = tuple[jax.Array, ...]


class Scheduled(NamedTuple):
    """What is read before each step in scheduled sampling, not drawn yet: events [T, B, S] before and at each step."""

    before: jax.Array
    truth: jax.Array
    keys: jax.Array
    share: jax.Array


def layers(stack: Stack) -> Layers:
    """Kernel [I + H, 4H] and bias of each, as the original stores them."""
    if stack.residual or stack.keep < 1:
        raise SystemExit("the plain decoder has no residual connections and no dropout")
    return [(jnp.concatenate([layer.w_xh[...], layer.w_hh[...]]), layer.bias[...][None]) for layer in stack.layers]


def cells(kernels: Layers, state: State, x: jax.Array) -> tuple[State, jax.Array]:
    after: list[jax.Array] = []
    for number, (kernel, bias) in enumerate(kernels):
        c, h = state[2 * number : 2 * number + 2]
        i, g, f, o = jnp.split(jnp.concatenate([x, h], axis=1) @ kernel + bias, 4, axis=1)
        c = jax.nn.sigmoid(f + 1) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        x = jax.nn.sigmoid(o) * jnp.tanh(c)
        after += [c, x]
    return tuple(after), x


def steps(core: Decoder, kernels: Layers, before: jax.Array | Scheduled, embedding: jax.Array) -> jax.Array:
    """Outputs [T, B, size] of a core begun from an embedding [B, E]."""

    def joined(events: jax.Array) -> jax.Array:
        own = jnp.broadcast_to(embedding, (*events.shape[:-1], embedding.shape[-1]))
        return jnp.concatenate([core.output.part(events).dense(), own], axis=-1)

    state = first_state(core.to_state, core.stack, embedding)
    if not isinstance(before, Scheduled):

        def forced(state: State, x: jax.Array) -> tuple[State, jax.Array]:
            state, output = cells(kernels, state, x)
            return state, core.projection(output)

        return lax.scan(forced, state, joined(before))[1]

    def one(carry: tuple[State, jax.Array], now: Any) -> tuple[Any, jax.Array]:
        (state, read), (t, truth) = carry, now
        state, output = cells(kernels, state, joined(read))
        logits = core.projection(output)
        keys = jax.vmap(lambda key: jax.random.fold_in(key, t))(before.keys)
        drawn = core.output.draw(keys, lax.stop_gradient(logits), jnp.ones(len(logits)))
        uniform = jax.vmap(lambda key: jax.random.uniform(jax.random.fold_in(key, 1)))(keys)
        return (state, jnp.where((uniform < before.share)[:, None], drawn, truth)), logits

    return lax.scan(one, (state, before.before[0]), (jnp.arange(len(before.truth)), before.truth))[1]


class PlainFlat(FlatDecoder):
    """All steps in one loop."""

    def teacher_forced(self, before: Any, z: jax.Array, controls: None, keys: Any, encoder: Any = None) -> Any:
        (core,) = self.cores
        return [steps(core, layers(core.stack), before[0], z)]


class PlainHierarchical(HierarchicalDecoder):
    """Bar after bar."""

    def teacher_forced(self, before: Any, z: jax.Array, controls: None, keys: Any, encoder: Any = None) -> Any:
        (stack,), (to_state,), (bars,) = self.conductors.stacks, self.conductors.maps, self.conductors.lengths
        conductor, kernels = layers(stack), [layers(core.stack) for core in self.cores]
        state, outputs = first_state(to_state, stack, z), []
        for bar in range(bars):
            here = slice(bar * self.steps, (bar + 1) * self.steps)
            state, said = cells(conductor, state, jnp.zeros((len(z), 1)))
            cores = zip(self.cores, kernels, before, strict=True)
            outputs.append([steps(core, own, events[here], said) for core, own, events in cores])
        return [jnp.concatenate(of_core) for of_core in zip(*outputs, strict=True)]


class Plain(Model):
    """MusicVAE with the plain decoder, under the same names of parameters."""

    def __init__(self, codec: Any, *, rngs: nnx.Rngs, **options: Any):
        super().__init__(codec, rngs=rngs, **options)
        made = self.decoder
        if isinstance(made, FlatDecoder):
            self.decoder = PlainFlat(made.cores[0])
        elif self.samples_inputs or made.conductors.conductor_input != "none" or len(made.conductors.lengths) > 1:
            raise SystemExit("the plain hierarchical decoder is that of the named configs")
        else:
            self.decoder = PlainHierarchical(made.conductors, list(made.cores), made.steps)

    def _scheduled(self, events: Any, z: Any, controls: None, keys: jax.Array, share: jax.Array) -> Any:
        return [Scheduled(shifted(self.decoder.cores, events)[0], events[0], keys, share)]


def plain(ours: Model, found: Any) -> Plain:
    """The plain model with the weights of ours."""
    options = found.model.to_dict()
    graph, _ = nnx.split(nnx.eval_shape(lambda: Plain(ours.codec, rngs=nnx.Rngs(0), **options)))
    return nnx.merge(graph, nnx.state(ours))


def check(ours: Model, other: Plain, found: Any, batch: dict[str, np.ndarray], part: str) -> float:
    """The largest difference of the two in the loss and the gradients; SystemExit where it is beyond TOLERANCE."""
    results = []
    for model in (ours, other):
        if part == "decoder":
            graph, state = nnx.split(model.decoder)
            z = parts.latent(model, found, batch)
            run_once = jax.value_and_grad(lambda *given, graph=graph: parts.nats(graph, *given), argnums=(0, 1))
            given: Sequence[Any] = (state, z, batch["tokens"])
        else:
            graph, state = nnx.split(model)
            keys = jax.random.split(jax.random.key(found.seed), len(batch["tokens"]))

            def loss(state: Any, batch: Any, keys: jax.Array, graph: Any = graph) -> jax.Array:
                # A step at which inputs are drawn half of the time, where they are drawn at all.
                return nnx.merge(graph, state)(batch, keys=keys, step=6900, train=True)["loss"][0].mean()

            run_once, given = jax.value_and_grad(loss), (state, batch, keys)
        results.append(jax.tree.leaves(jax.device_get(jax.jit(run_once)(*given))))
    apart = max(float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-30)) for a, b in zip(*results, strict=True))
    if not apart <= TOLERANCE:
        raise SystemExit(f"the plain {part} is not ours: {apart:.1e} apart, at most {TOLERANCE:g} was expected")
    return apart


def main(variant: str, batch_size: int, part: str = "step", seed: int = 0) -> int:
    """Takes steps when asked; tells of each its loss, and how far values and gradients are from ours."""
    keep_compiled()
    found, codec = parts.settings(variant, batch_size, seed)
    ours = models.build(found, codec)
    model = plain(ours, found)
    apart = check(ours, model, found, parts.slices(codec, 2, seed), part)
    del ours
    step = parts.PARTS[part](model, found, parts.slices(codec, batch_size, seed))
    del model
    step()
    protocol.serve(parts.counted(lambda: {**step(), "apart": apart}))
    return 0


if __name__ == "__main__":
    keep_memory()
    run(main)
