"""Small SketchRNNs of random weights: as workdirs, and as the JSON of sketch-rnn-js."""

import base64
import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from magenta_lite.interop import imported
from magenta_lite.models.sketch_rnn import Codec

ENCODER, DECODER, LATENT = 7, 9, 5


def shapes(conditional, decoder=DECODER, latent=LATENT, mixtures=20):
    """Of the weights, in the order of the format."""

    def cell(inputs, units):
        return [(inputs, 4 * units), (units, 4 * units), (4 * units,)]

    output = [(decoder, 3 + 6 * mixtures), (3 + 6 * mixtures,)]
    if not conditional:
        return output + cell(5, decoder)
    z = [(2 * ENCODER, latent), (latent,)] * 2 + [(latent, 2 * decoder), (2 * decoder,)]
    return cell(5, ENCODER) * 2 + z + output + cell(5 + latent, decoder)


def content(conditional, seed=0, **info):
    """[info, shapes, weights] of random weights."""
    rng = np.random.default_rng(seed)
    sizes = shapes(conditional)
    weights = [np.clip(rng.normal(0, 1500, size), -32767, 32767).astype("<i2") for size in sizes]
    facts = {"name": "ant", "mode": 1 if conditional else 2, "version": 6, "max_seq_len": 60, "scale_factor": 40.5}
    texts = [base64.b64encode(weight.tobytes()).decode() for weight in weights]
    return [facts | info, [list(size) for size in sizes], texts]


def written(folder, conditional, name="ant.gen.json", **info):
    """The path of such a file."""
    path = folder / name
    path.write_text(json.dumps(content(conditional, **info)))
    return path


def workdir(folder, weights, codec=None, **model):
    """A workdir of a model with these variables of the original, or random ones; model: options of it."""
    codec = codec or Codec(scale=40.5, n_max=60, labels=("ant",))
    found = imported.Imported("sketch_rnn", codec, model, weights, {"file": "ant", "format": "test"})
    if not weights:
        found = dataclasses.replace(found, load=_random)
    imported.write(found, folder)
    return folder


def _random(model, _):
    """Every parameter, whatever it is called."""
    rng = np.random.default_rng(0)
    state = nnx.state(model, nnx.Param)
    nnx.update(model, jax.tree.map(lambda leaf: jnp.asarray(rng.normal(0, 0.1, leaf.shape), jnp.float32), state))
