"""Workdirs with models of a few units and random weights, as training leaves them."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from magenta_lite import models, workdirs
from magenta_lite.checkpoint import Checkpoints
from magenta_lite.pipeline import PreparedData
from magenta_lite.sampler import Sampler
from magenta_lite.training import State

ROOT = Path(__file__).parents[2]
LITTLE = {
    "sketch_rnn": {"encoder_size": 4, "decoder_size": 6, "latent_size": 3, "mixtures": 2},
    "performance_rnn": {"layers": (6, 6)},
    "music_vae": {"latent_size": 3, "encoder_layers": (4,), "decoder_layers": (5,)},
}
STEP = 7


def made(folder: Path, family: str, data: Path, codec=(), **model) -> Sampler:
    """The sampler of a workdir of prepared data; all weights are random, so that everything has an effect."""
    config = importlib.import_module(f"configs.{family}").get_config("tiny")
    config.data.dir = str(data)
    config.codec.update(dict(codec))
    config.model.update(LITTLE[family] | model)
    codec, held = workdirs.prepare(folder, config, PreparedData(data))
    held.close()
    state = nnx.state(models.outline(config, codec), nnx.Param)
    rng = np.random.default_rng(1)
    state = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(0, 0.5, leaf.shape), jnp.float32), state)
    checkpoints = Checkpoints(folder)
    checkpoints.save_best(State(state, {"count": jnp.zeros(())}, jnp.asarray(STEP)), 1.25)
    checkpoints.close()
    lines = [
        {"step": 1, "split": "train", "time": 1e9, "loss": 3.0},
        {"step": STEP, "split": "train", "time": 1e9 + 65},
        {"step": STEP, "split": "valid", "time": 1e9 + 66, "loss": 1.25, "nats_per_point": 0.5},
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Sampler(folder)


def interop(*words) -> subprocess.CompletedProcess:
    """python -m magenta_lite.interop WORDS, as a person types it."""
    command = [sys.executable, "-m", "magenta_lite.interop", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, env=os.environ)


def refused(*words) -> str:
    """The one line that a command ends with, which changes nothing."""
    done = interop(*words)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert done.stderr.startswith("error: ") and len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done.stderr.strip()


def same_samples(one: Sampler, other: Sampler) -> bool:
    """Whether both draw the same to the last bit."""
    options = {"max_length": 20} if one.config.family != "music_vae" else {}
    if "label" in one.conditions:
        options["condition"] = {"label": np.array([0, 1, 0], np.int32)}
    drawn = [player.sample(3, seed=5, temperature=0.7, **options) for player in (one, other)]
    return all(
        mine.keys() == theirs.keys() and all(np.array_equal(mine[name], theirs[name]) for name in mine)
        for mine, theirs in zip(*drawn, strict=True)
    )
