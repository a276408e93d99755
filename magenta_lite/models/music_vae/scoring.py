"""What a model gives slices, passage by passage: likelihoods, reconstructions, and both with the z of others.

A batch is one program, in which everything is drawn side by side: slices reconstructed at two temperatures, and decoded
from the z of another and from 0.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from magenta_lite.models.music_vae import agreement
from magenta_lite.models.music_vae.agreement import Pairs
from magenta_lite.models.music_vae.codec import Codec
from magenta_lite.models.music_vae.decoder import Draws, shifted
from magenta_lite.models.music_vae.model import Model
from magenta_lite.nn import latent

ROWS = {"cpu": 64}
"""Slices of a batch, an even number; on an accelerator 256."""

TOLD_EVERY = 10.0
"""Seconds between two lines about how far it is."""

Example = dict[str, Any]
Arrays = dict[str, NDArray]
Totals = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclasses.dataclass(frozen=True, eq=False)
class Sums:
    """Of P passages.

    groups: {group: {name: (totals, weights)}}, float64 [P] each. slices: how many of each, [P]. variance: [Z], over all
    slices, of the posterior's mean.
    """

    groups: dict[str, dict[str, Totals]]
    slices: NDArray[np.int64]
    variance: NDArray[np.float64]


def apart(codec: Codec, example: Example) -> list[int]:
    """Bars at which windows that lie side by side begin, from the first bar on: those that sound, each content once."""
    found, seen = [], set()
    for bar in codec.windows(example, distinct=False):
        if bar % codec.bars == 0 and (content := codec.window(example, bar).tobytes()) not in seen:
            seen.add(content)
            found.append(bar)
    return found


def encoded(codec: Codec, example: Example, bar: int) -> Arrays:
    """The slice of a passage that begins at a bar, and sounds."""
    arrays = codec.encode({**example, "bar": bar})
    assert isinstance(arrays, dict), arrays
    return arrays


def paired(passages: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """A random order of slices, of which the 1st and 2nd, the 3rd and 4th, ... are of different passages.

    passages: [n], the number of each slice's. Where one has more than half of them, some of its own meet.
    """
    count, half = len(passages), len(passages) // 2
    order = rng.permutation(count)
    # By passage, these in random order: what lies half of all apart is of the same one only if that is longer.
    places = rng.permutation(passages.max() + 1)[passages[order]]
    order = order[np.argsort(places, kind="stable")]
    pairs = np.stack([order[:half], order[half : 2 * half]], axis=1)
    return np.concatenate([rng.permutation(rng.permuted(pairs, axis=1)).ravel(), order[2 * half :]])


def score(
    model: Model,
    passages: Sequence[Example],
    *,
    seed: int,
    rows: int | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Sums:
    """Scores all slices of passages that `apart` finds, at least one; rows: slices of a batch, an even number.

    Slices come in random order, two and two (`paired`), and these exchange z; what is drawn depends on (seed, place in
    the order). So the number of rows changes the result by rounding alone.
    """
    rows = rows or ROWS.get(jax.default_backend(), 256)
    slices = [(number, bar) for number, one in enumerate(passages) for bar in apart(model.codec, one)]
    numbers = np.array([number for number, _ in slices], np.int64)
    order = paired(numbers, np.random.default_rng([seed, 6]))
    of_passage = numbers[order]
    graph, state = nnx.split(model)

    @jax.jit
    def program(state: Any, batch: Any, first: Any) -> tuple[dict[str, Pairs], jax.Array]:
        return _groups(nnx.merge(graph, state), batch, _keys(seed, first, rows))

    groups: dict[str, dict[str, NDArray[np.float64]]] = {}
    means: list[NDArray] = []
    began = told = time.monotonic()
    for first in range(0, len(order), rows):
        chosen = [slices[place] for place in order[first : first + rows]]
        batch = _stack([encoded(model.codec, passages[number], bar) for number, bar in chosen], rows)
        found, mean = jax.device_get(program(state, batch, first))
        means.append(mean[: len(chosen)].astype(np.float64))
        for group, pairs in found.items():
            for name, pair in pairs.items():
                sums = groups.setdefault(group, {}).setdefault(name, np.zeros((2, len(passages))))
                for column, part in zip(sums, pair, strict=True):
                    np.add.at(column, of_passage[first : first + rows], part[: len(chosen)].astype(np.float64))
        if time.monotonic() - told > TOLD_EVERY:
            told, done = time.monotonic(), first + len(chosen)
            tell(f"{done:,} of {len(order):,} slices scored, {done / (told - began):,.0f} a second")
    return Sums(
        {group: {name: (sums[0], sums[1]) for name, sums in named.items()} for group, named in groups.items()},
        np.bincount(of_passage, minlength=len(passages)),
        np.concatenate(means).var(axis=0),
    )


def elbo(model: Model, slices: Sequence[Arrays], *, seed: int, rows: int | None = None) -> NDArray[np.float64]:
    """reconstruction_nats + KL_nats of encoded slices, [n], with z drawn once from each one's posterior."""
    rows = rows or 4 * ROWS.get(jax.default_backend(), 256)
    graph, state = nnx.split(model)
    found = []
    for first in range(0, len(slices), rows):
        part = slices[first : first + rows]
        found.append(np.asarray(_elbo(graph, state, _stack(part, rows), seed, first), np.float64)[: len(part)])
    return np.concatenate(found)


@functools.partial(jax.jit, static_argnums=0)
def _elbo(graph: Any, state: Any, batch: Any, seed: Any, first: Any) -> jax.Array:
    keys = _keys(seed, first, len(batch["real"]))
    return nnx.merge(graph, state)(batch, keys=keys, step=jnp.int32(0), train=False)["elbo_nats"][0]


def _stack(slices: Sequence[Arrays], rows: int) -> Arrays:
    """A batch; rows behind the last slice are the first one again, and `real` is 0 there."""
    filled = [*slices, *[slices[0]] * (rows - len(slices))]
    batch = {name: np.stack([one[name] for one in filled]) for name in slices[0]}
    return batch | {"real": (np.arange(rows) < len(slices)).astype(np.float32)}


def _keys(seed: Any, first: Any, rows: int) -> jax.Array:
    return jax.vmap(lambda number: jax.random.fold_in(jax.random.key(seed), number))(first + jnp.arange(rows))


def _groups(model: Model, batch: Any, keys: jax.Array) -> tuple[dict[str, Pairs], jax.Array]:
    """{group: {name: (total [B], weight [B])}} of a batch, and the posteriors' means [B, Z]."""
    real, partner = batch["real"], jnp.arange(len(keys)) ^ 1
    z_keys, read_keys, free_keys = (jax.vmap(lambda key, n=n: jax.random.fold_in(key, n))(keys) for n in range(3))
    mean, log_var = model.posterior(batch)
    own = latent.draw(z_keys, mean, log_var)
    # The last of an odd number has no partner.
    given = {"": (own, real), "z_swapped_": (own[partner], real * real[partner]), "z_zero_": (0 * own, real)}
    latents = [z for z, _ in given.values()]
    events = model.events(batch)
    ones = jnp.ones(len(keys))
    read = model.decoder.scheduled(events, own, model.controls(batch), Draws(read_keys, ones), model.reencoder)
    before = shifted(model.decoder.cores, events)
    *forced, sampled_inputs = _forced(model, batch, [before, before, before, read], events, [*latents, own])
    kl = latent.kl_nats(mean, log_var).sum(1)
    nats = forced[0]["reconstruction_nats"][0]
    forced[0] |= {
        "loss": agreement.mean(nats + model.beta * jnp.maximum(kl - model.free_nats, 0)),
        "KL_nats": agreement.mean(kl),
        "KL_bits": agreement.mean(kl / math.log(2)),
        "elbo_nats": agreement.mean(nats + kl),
        "elbo_nats_per_step": (nats + kl, jnp.full_like(kl, model.codec.steps)),
    }
    drawn = _free(model, batch, free_keys, [*latents, own], [1.0, 1.0, 1.0, 0.0])
    found = {f"{name}teacher_forced": pairs for name, pairs in zip(given, forced, strict=True)}
    found["sampled_inputs"] = {name: pair for name, pair in sampled_inputs.items() if "nats" not in name}
    found |= {f"{name}sampled": pairs for name, pairs in zip(given, drawn, strict=False)} | {"argmax": drawn[-1]}
    for group, pairs in found.items():
        weight = given["z_swapped_"][1] if group.startswith("z_swapped_") else real
        found[group] = {name: (total * weight, out_of * weight) for name, (total, out_of) in pairs.items()}
    return found, mean


def _forced(
    model: Model, batch: Any, before: list[list[jax.Array]], events: list[jax.Array], latents: list[jax.Array]
) -> list[Pairs]:
    """For each of some z [B, Z]: how far steps agree with events that read its `before`, [T, B, ...] of each core."""
    many, told = len(latents), model.controls(batch)
    made = model.decoder.teacher_forced(
        [jnp.concatenate(own, axis=1) for own in zip(*before, strict=True)],
        jnp.concatenate(latents),
        None if told is None else jnp.concatenate([told] * many, axis=1),
        None,
        model.reencoder,
    )
    parts = [jnp.split(output, many, axis=1) for output in made]
    return [
        agreement.forced(model.codec, model.decoder.cores, [part[i] for part in parts], events) for i in range(many)
    ]


def _free(
    model: Model, batch: Any, keys: jax.Array, latents: list[jax.Array], temperatures: list[float]
) -> list[Pairs]:
    """For each of some z [B, Z]: how far what is drawn from it agrees with the batch; all draw the same noise."""
    many, size = len(latents), len(keys)
    drawn = model.sample(
        jnp.concatenate([keys] * many),
        temperature=jnp.repeat(jnp.array(temperatures), size),
        z=jnp.concatenate(latents),
        condition={name: jnp.concatenate([batch[name]] * many) for name in model.conditions},
    )
    name = model.codec.arrays
    return [agreement.free(model.codec, batch[name], part) for part in jnp.split(drawn[name], many)]
