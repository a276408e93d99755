"""What is timed of a MusicVAE, whichever its decoder: random slices, a whole training step, or the decoder alone."""

import runpy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from magenta_lite.errors import UserError
from magenta_lite.models.music_vae import Codec
from magenta_lite.models.music_vae.decoder import shifted
from magenta_lite.training import Steps, fetch, make_optimizer

ROOT = Path(__file__).parents[2]


def settings(variant: str, batch_size: int, seed: int) -> tuple[Any, Codec]:
    """The settings of a MusicVAE variant, and its codec without data."""
    try:
        found = runpy.run_path(str(ROOT / "configs/music_vae.py"))["get_config"](variant)
    except ValueError as error:
        raise UserError(str(error)) from None
    found.batch_size, found.seed = batch_size, seed
    codec = Codec(**found.codec.to_dict())
    if not codec.classes or codec.controls:
        raise UserError(f"{variant}: expected slices of tokens, told of nothing (melodies, drums, trios)")
    return found, codec


def slices(codec: Codec, count: int, seed: int) -> dict[str, np.ndarray]:
    """A batch of events drawn evenly: what a step costs does not depend on them."""
    shape = (count, codec.steps, len(codec.classes))
    tokens = np.random.default_rng(seed).integers(0, codec.classes, shape, dtype=np.int32)
    return {"tokens": tokens, "real": np.ones(count, np.float32)}


def whole(model: Any, found: Any, batch: dict[str, np.ndarray]) -> Callable[[], dict[str, float]]:
    """A training step as train.py takes it, without its input."""
    steps = Steps(model, make_optimizer(**found.optimizer), found.seed, jax.local_devices()[:1])
    state = steps.start()

    def step() -> dict[str, float]:
        nonlocal state
        state, sums = steps.train(state, batch)
        total, weight = fetch(sums)["loss"]
        return {"loss": float(total / weight)}

    return step


def decoder(model: Any, found: Any, batch: dict[str, np.ndarray]) -> Callable[[], dict[str, float]]:
    """The decoder forwards and backwards, z and the inputs given; no weight is changed."""
    graph, state = nnx.split(model.decoder)
    z = latent(model, found, batch)
    gradients = jax.jit(jax.value_and_grad(lambda *given: nats(graph, *given), argnums=(0, 1)))

    def step() -> dict[str, float]:
        value, _ = jax.block_until_ready(gradients(state, z, batch["tokens"]))
        return {"loss": float(value)}

    return step


def latent(model: Any, found: Any, batch: dict[str, np.ndarray]) -> jax.Array:
    """z [B, Z] of the prior."""
    return jax.random.normal(jax.random.key(found.seed), (len(batch["tokens"]), model.latent_size))


def nats(graph: Any, state: Any, z: jax.Array, tokens: jax.Array) -> jax.Array:
    """The mean of the slices' cross-entropy, teacher-forced, of the decoder that nnx.split gave."""
    played = nnx.merge(graph, state)
    tokens = tokens.swapaxes(0, 1)
    events = [tokens] if len(played.cores) == 1 else list(jnp.split(tokens, len(played.cores), axis=-1))
    made = played.teacher_forced(shifted(played.cores, events), z, None, None, None)
    total = [core.output.nats(out, own).sum() for core, out, own in zip(played.cores, made, events, strict=True)]
    return sum(total) / len(z)


PARTS = {"step": whole, "decoder": decoder}


def product(dtype: str) -> Callable[[], dict[str, float]]:
    """One large product, as contestants/product.py."""
    matrix = jax.random.normal(jax.random.key(0), (2048, 2048)).astype(jnp.dtype(dtype))
    multiply = jax.jit(lambda a: a @ a)

    def step() -> dict[str, float]:
        multiply(matrix).block_until_ready()
        return {}

    return step


def counted(step: Callable[[], dict[str, float]]) -> Callable[[], dict[str, float]]:
    """The same, which also tells the seconds of all cores that it took: beside other work, the steadier figure."""

    def counting() -> dict[str, float]:
        began = time.process_time()
        told = step()
        return {**told, "cpu": time.process_time() - began}

    return counting
