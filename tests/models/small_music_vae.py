"""A MusicVAE of a few units in a workdir, and what its modes' tests ask of files."""

import jax.numpy as jnp
from flax import nnx

from configs.music_vae import get_config
from magenta_lite import models, workdirs
from magenta_lite.checkpoint import Checkpoints
from magenta_lite.music import midi
from magenta_lite.pipeline import PreparedData
from magenta_lite.sampler import Sampler
from magenta_lite.training import State

QUIET = {"audio": False}


def untrained(folder, data, **codec):
    """The sampler of a workdir with a tiny model, as training writes it."""
    config = get_config("tiny")
    config.data.dir = str(data)
    config.codec.transpose = 0
    config.codec.update(codec)
    config.model.update({"latent_size": 4, "encoder_layers": (6,), "decoder_layers": (7,)})
    codec, held = workdirs.prepare(folder, config, PreparedData(data))
    held.close()
    made = models.build(config, codec)
    # Weights that start near 0 would hide what depends on z.
    for linear in (made.mean, *(core.to_state for core in made.decoder.cores)):
        linear.kernel[...] = 300 * linear.kernel[...]
    checkpoints = Checkpoints(folder)
    checkpoints.save_best(State(nnx.split(made, nnx.Param)[1], {"count": jnp.zeros(())}, jnp.asarray(1)), 1.0)
    checkpoints.close()
    return Sampler(folder)


def read(path):
    return midi.read(path).notes()


def names(folder, kind):
    return sorted(path.name for path in folder.glob(f"*.{kind}"))
