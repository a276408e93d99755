"""Small SketchRNNs with random weights, batches for them, and what both test files ask of them."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from magenta_lite.models.sketch_rnn import Codec, Model

N_MAX = 24
CODEC = Codec(scale=1.0, n_max=N_MAX, labels=("ant", "bee", "cat"))
SIZES = {"encoder_size": 4, "decoder_size": 6, "latent_size": 3, "mixtures": 2}
LENGTHS = (5, 1, 7, 3)


def make(codec=CODEC, **options):
    """A model whose weights are all random, none 0 or tiny as at the start, so that everything has an effect."""
    graph, state = nnx.split(nnx.eval_shape(lambda: Model(codec, rngs=nnx.Rngs(0), **SIZES | options)))
    rng = np.random.default_rng(1)
    model = nnx.merge(graph, jax.tree.map(lambda w: jnp.asarray(rng.normal(0, 0.5, w.shape), jnp.float32), state))
    model.output.bias[...] = model.output.bias[...].at[2].set(-1.5)  # so that sketches last a few points
    return model


def make_batch(padded=8, lengths=LENGTHS, fill=0):
    """Sketches padded to `padded` points, and behind them `fill` examples that only fill the batch."""
    rng = np.random.default_rng(2)
    strokes = np.zeros((len(lengths) + fill, padded, 3), np.float32)
    for row, length in zip(strokes, lengths, strict=False):
        row[:length] = np.column_stack([rng.normal(0, 1, (length, 2)), rng.integers(0, 2, length)])
    zeros = [0] * fill
    return {
        "strokes": jnp.asarray(strokes),
        "length": jnp.array([*lengths, *zeros], jnp.int32),
        "label": jnp.array([*(i % 3 for i in range(len(lengths))), *zeros], jnp.int32),
        "real": jnp.array([*(1.0 for _ in lengths), *zeros]),
    }


def make_keys(n, seed=0):
    return jax.random.split(jax.random.key(seed), n)


def run(model, batch, train=False, step=7):
    """Metrics, compiled; the keys are those of the examples, however many there are."""
    graph, state = nnx.split(model)
    keys = jnp.stack([jax.random.fold_in(jax.random.key(0), i) for i in range(len(batch["real"]))])
    call = jax.jit(lambda state, batch, keys: nnx.merge(graph, state)(batch, keys=keys, step=step, train=train))
    return {name: [np.asarray(v) for v in pair] for name, pair in call(state, batch, keys).items()}


def teacher_forced(model, batch, z, total=None):
    """Outputs [positions, batch, 3 + 6 M], without dropout."""

    def outputs(batch, z):
        return model._teacher_forced(model._rows(batch["strokes"], batch["length"], total), z, batch, None)

    return np.asarray(jax.jit(outputs)(batch, z), np.float64)


def posterior_mean(model):
    return jax.jit(lambda batch: model.posterior(batch)[0])


def sampler(model):
    """model.sample, compiled once for each shape."""
    graph, state = nnx.split(model)
    call = jax.jit(
        lambda state, keys, given, max_length: nnx.merge(graph, state).sample(keys, max_length=max_length, **given),
        static_argnums=3,
    )
    return lambda keys, max_length=None, **given: jax.device_get(call(state, keys, given, max_length))


def log_softmax(x):
    return x - np.log(np.exp(x - x.max()).sum()) - x.max()
