"""The original's weights give the original's posterior, reconstruction and KL."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from magenta_lite.models.music_vae import Codec, Model, original

CODECS = {
    "cat-mel_2bar": {},
    "cat-drums_2bar": {"kind": "drums"},
    "nade-drums_2bar": {"kind": "drum_roll"},
    "flat-trio": {"kind": "trio", "bars": 16},
    "hierdec-mel_4x4": {"bars": 4, "steps_per_bar": 4},
    "hier-mel_4x4": {"bars": 4, "steps_per_bar": 4},
    "hierdec-trio_4x4": {"kind": "trio", "bars": 4, "steps_per_bar": 4},
    "groovae_2bar_humanize": {"kind": "groove", "groove_input": "humanize"},
}


def batch_of(name, arrays):
    """What the original's converters made of the events, in our form."""
    batch, y = {"real": jnp.ones(3)}, arrays["input/y"]
    if name.startswith("groovae"):
        return batch | {"given": jnp.asarray(arrays["input/x"]), "groove": jnp.asarray(y)}
    if name.startswith("nade"):
        return batch | {"roll": jnp.asarray(y, jnp.uint8)}
    sizes = (90, 90, 512) if "trio" in name else (y.shape[-1],)
    parts = np.split(y, np.cumsum(sizes)[:-1], axis=-1)
    return batch | {"tokens": jnp.stack([jnp.asarray(part.argmax(-1), jnp.int32) for part in parts], -1)}


@pytest.fixture(params=CODECS)
def case(request, shared):
    """A file of the original's outputs, our model with its weights, and the batch it was given."""
    with np.load(shared("parity", f"music_vae_{request.param}.npz")) as file:
        arrays = dict(file)
    h = json.loads(str(arrays["hparams"]))
    model = Model(
        Codec(**CODECS[request.param]),
        rngs=nnx.Rngs(0),
        encoder="hierarchical" if request.param.startswith("hier-") else "flat",
        decoder="hierarchical" if request.param.startswith("hier") else "flat",
        latent_size=h["z_size"],
        encoder_layers=h["enc_rnn_size"],
        decoder_layers=h["dec_rnn_size"],
        nade_hidden=h.get("nade_num_hidden", 1),
    )
    weights = {k.removeprefix("weight/"): v for k, v in arrays.items() if k.startswith("weight/")}
    original.load(model, weights)
    ours = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
    assert ours == sum(weight.size for weight in weights.values())
    return model, batch_of(request.param, arrays), arrays


def test_posterior_reconstruction_and_kl_equal_the_originals(case, monkeypatch):
    model, batch, arrays = case
    mean, log_var = jax.jit(lambda: model.posterior(batch))()
    np.testing.assert_allclose(mean, arrays["output/mean"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(np.exp(log_var / 2), arrays["output/stddev"], rtol=1e-4)
    # z is given, as the noise is the original's own.
    monkeypatch.setattr("magenta_lite.nn.latent.draw", lambda *_: jnp.asarray(arrays["output/z"]))
    keys = jax.random.split(jax.random.key(0), 3)
    metrics = jax.jit(lambda: model(batch, keys=keys, step=0, train=False))()
    for ours, theirs in (("reconstruction_nats", "reconstruction_nats"), ("KL_nats", "kl_nats")):
        np.testing.assert_allclose(metrics[ours][0], arrays[f"output/{theirs}"], rtol=1e-4)
