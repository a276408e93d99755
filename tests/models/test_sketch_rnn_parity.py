"""With the original's weights and inputs, every cell gives the original's outputs."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from magenta_lite.models.sketch_rnn import Codec, Model, original

CASES = [f"{cell}_{kind}" for cell in ("lstm", "layer_norm", "hyper") for kind in ("cond", "uncond")]


@pytest.fixture(params=CASES)
def case(request, shared):
    """A file of the original's outputs, our model with its weights, and the batch it was given."""
    with np.load(shared("parity", f"sketch_rnn_{request.param}.npz")) as file:
        arrays = dict(file)
    h = json.loads(str(arrays["hparams"]))
    model = Model(
        Codec(scale=1.0, n_max=h["max_seq_len"], labels=("a",)),
        rngs=nnx.Rngs(0),
        conditional=h["conditional"],
        encoder_cell=h["enc_model"],
        encoder_size=h["enc_rnn_size"],
        decoder_cell=h["dec_model"],
        decoder_size=h["dec_rnn_size"],
        latent_size=h["z_size"],
        mixtures=h["num_mixture"],
        recurrent_keep=1.0,
        kl_weight=h["kl_weight"],
        pen_positions="all",
    )
    prefix = "weight/"
    original.load(model, {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)})
    rows = arrays["input/strokes5"][:, 1:]
    batch = {
        "strokes": jnp.asarray(np.concatenate([rows[..., :2], rows[..., 3:4]], axis=2)),
        "length": jnp.asarray(arrays["input/lengths"]),
        "label": jnp.zeros(len(rows), jnp.int32),
        "real": jnp.ones(len(rows)),
    }
    return model, batch, arrays


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_posterior(case):
    model, batch, arrays = case
    if not model.conditional:
        pytest.skip("decoder-only: no posterior")
    mean, log_var = model.posterior(batch)
    close(mean, arrays["train/mean"])
    close(log_var, arrays["train/presig"])
    kl = model(batch, keys=jax.random.split(jax.random.key(0), 4), step=0, train=False)["L_KL"]
    close(np.maximum(kl[0].sum() / kl[1].sum(), 0.2), arrays["train/kl_cost"])


def test_mixture_and_pen(case):
    model, batch, arrays = case
    rows = model._rows(batch["strokes"], batch["length"], None)
    z = jnp.asarray(arrays["train/z"]) if model.conditional else None
    outputs = model._teacher_forced(rows, z, batch, None)[:-1].swapaxes(0, 1).reshape(80, -1)
    pen, mixture = model._split(outputs)
    close(pen, arrays["train/pen_logits"])
    close(jax.nn.softmax(mixture.logits), arrays["train/pi"])
    close(mixture.mu_x, arrays["train/mu1"])
    close(mixture.mu_y, arrays["train/mu2"])
    close(jnp.exp(mixture.log_sigma_x), arrays["train/sigma1"])
    close(jnp.exp(mixture.log_sigma_y), arrays["train/sigma2"])
    close(mixture.rho, arrays["train/rho"])


def test_reconstruction_loss(case, monkeypatch):
    """L_R of both of the original's modes; z is given, as the noise is the original's own."""
    model, batch, arrays = case
    if model.conditional:
        monkeypatch.setattr("magenta_lite.nn.latent.draw", lambda *_: jnp.asarray(arrays["train/z"]))
    metrics = model(batch, keys=jax.random.split(jax.random.key(0), 4), step=0, train=False)
    mean = {name: float(total.sum() / weight.sum()) for name, (total, weight) in metrics.items()}
    close(mean["L_R"], arrays["train/r_cost"])
    # In inference the original leaves out the pen's loss from the end flag on, the first end token included.
    rows = model._rows(batch["strokes"], batch["length"], None)
    z = jnp.asarray(arrays["infer/z"]) if model.conditional else None
    _, pen, _ = model._nats(model._teacher_forced(rows, z, batch, None), rows, batch["length"])
    before_end = jnp.where(jnp.arange(len(pen))[:, None] < batch["length"][None], pen, 0)
    close(mean["L_s"] + float(before_end.sum() / before_end.shape[1]) / 20, arrays["infer/r_cost"])
