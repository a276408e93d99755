"""The step: the same on one device and on four, dropout, noise and the KL floor included."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from magenta_lite import training
from magenta_lite.errors import UserError
from magenta_lite.models.sketch_rnn import Codec, Model
from magenta_lite.training import Steps, fetch, make_optimizer, on_host, ratios

OPTIMIZER = {
    "learning_rate": 1e-3,
    "min_learning_rate": 1e-5,
    "decay_rate": 0.9999,
    "clip_value": 1.0,
    "clip_norm": 0.0,
}


def tiny(**options):
    codec = Codec(scale=1.0, n_max=12, labels=("a", "b"))
    sizes = {"encoder_size": 8, "decoder_size": 12, "latent_size": 4, "mixtures": 3, "label_size": 2}
    return Model(codec, rngs=nnx.Rngs(0), **{**sizes, **options})


def batch(seed, rows=10, steps=12):
    rng = np.random.default_rng(seed)
    length = rng.integers(3, steps + 1, rows)
    strokes = rng.normal(size=(rows, steps, 3)).astype(np.float32)
    strokes[..., 2] = rng.random((rows, steps)) < 0.2
    strokes[np.arange(steps) >= length[:, None]] = 0
    return {
        "strokes": strokes,
        "label": rng.integers(0, 2, rows).astype(np.int32),
        "length": length.astype(np.int32),
        "real": np.ones(rows, np.float32),
    }


def train(devices, steps=20, kl_min=0.2, optimizer=None):
    # Noise and all: recurrent, input and output dropout, z.
    model = tiny(kl_min=kl_min, input_keep=0.8, output_keep=0.8, kl_weight_start=0.5)
    run = Steps(model, optimizer or make_optimizer(**OPTIMIZER), seed=3, devices=jax.devices()[:devices])
    state, history = run.start(), []
    for step in range(steps):
        state, sums = run.train(state, batch(step))
        history.append(ratios(fetch(sums)))
    return on_host(state), history


def test_one_device_and_four_agree_across_the_floor():
    """A batch of 10 over 4 devices, 20 steps; the floor lies where the KL passes it on the way."""
    plain = train(1, kl_min=0.0)[1]
    floor = float(np.median([metrics["L_KL"] for metrics in plain]))
    one, history_one = train(1, kl_min=floor)
    four, history_four = train(4, kl_min=floor)
    below = [metrics["L_KL"] < floor for metrics in history_one]
    assert any(below)
    assert not all(below)
    for a, b in zip(history_one, history_four, strict=True):
        for name in a:
            np.testing.assert_allclose(b[name], a[name], rtol=1e-5, atol=1e-7, err_msg=name)
    for a, b in zip(jax.tree.leaves(one.parameters), jax.tree.leaves(four.parameters), strict=True):
        assert np.linalg.norm(a - b) <= 1e-5 * np.linalg.norm(a) + 1e-8


def test_evaluation_agrees_and_counts_every_example():
    """Five batches of 10 against the same 45 examples one by one; on 4 devices too."""
    model = tiny()
    batches = [batch(seed) for seed in range(5)]
    batches[-1]["real"][5:] = 0
    values = {}
    for devices in (1, 4):
        run = Steps(model, make_optimizer(**OPTIMIZER), 0, jax.devices()[:devices])
        values[devices] = run.evaluate(run.start().parameters, batches)
    for name in values[1]:
        np.testing.assert_allclose(values[4][name], values[1][name], rtol=1e-5, err_msg=name)
    singles = []
    alone = jax.jit(lambda one, key: model(one, keys=key[None], step=0, train=False))
    for number, rows in enumerate(batches):
        for i in np.flatnonzero(rows["real"]):
            key = jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 1), number), i)
            one = {name: jnp.asarray(value[i : i + 1]) for name, value in rows.items()}
            singles.append({name: (float(a[0]), float(b[0])) for name, (a, b) in alone(one, key).items()})
    assert len(singles) == 45
    for name in values[1]:
        total, weight = (sum(single[name][part] for single in singles) for part in (0, 1))
        np.testing.assert_allclose(values[1][name], total / weight, rtol=1e-4, atol=1e-7, err_msg=name)


def test_optimizer_is_adam_by_its_published_schedule():
    """Against Adam written out, with clipping by value, in float64."""
    options = OPTIMIZER | {"learning_rate": 0.1, "min_learning_rate": 0.01, "decay_rate": 0.5}
    optimizer = make_optimizer(**options)
    x = {"x": jnp.array([1.0, -2.0])}
    state = optimizer.init(x)
    m, v, expected = np.zeros(2), np.zeros(2), np.array([1.0, -2.0])
    for step in range(5):
        gradient = np.array([3.0, -0.5]) * (step + 1)
        updates, state = optimizer.update({"x": jnp.asarray(gradient, jnp.float32)}, state, x)
        x = optax.apply_updates(x, updates)
        gradient = np.clip(gradient, -1, 1)
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        rate = 0.01 + 0.09 * 0.5**step
        expected -= rate * (m / (1 - 0.9 ** (step + 1))) / (np.sqrt(v / (1 - 0.999 ** (step + 1))) + 1e-8)
    np.testing.assert_allclose(x["x"], expected, rtol=1e-4)


def test_clipping_by_norm():
    optimizer = make_optimizer(**OPTIMIZER | {"clip_value": 0.0, "clip_norm": 1.0})
    small, large = ({"x": jnp.array([3.0, 4.0]) * factor} for factor in (1.0, 100.0))
    a, b = (optimizer.update(g, optimizer.init(g), g)[1] for g in (small, large))
    for left, right in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-6)


def test_gradients_of_too_large_a_norm_count_as_zeros():
    """Not as clipped ones: Adam's moments stay what zeros make of them."""
    optimizer = make_optimizer(**OPTIMIZER | {"clip_value": 0.0, "clip_norm": 1.0, "zero_norm": 10.0})
    small, large, zero = ({"x": jnp.array([3.0, 4.0]) * factor} for factor in (2.0, 2.1, 0.0))
    after = [jax.tree.leaves(optimizer.update(g, optimizer.init(g), g)[1]) for g in (small, large, zero)]
    assert any(not np.array_equal(a, b) for a, b in zip(after[0], after[2], strict=True))
    for left, right in zip(after[1], after[2], strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize(
    ("field", "value"),
    [("min_learning_rate", 1.0), ("decay_rate", 1.5), ("clip_value", -1.0), ("clip_norm", -2.0), ("zero_norm", -1.0)],
)
def test_a_wrong_optimizer_option_is_named(field, value):
    with pytest.raises(UserError, match=rf"config\.optimizer\.{field}"):
        make_optimizer(**OPTIMIZER | {field: value})


def test_bfloat16_computes_nearly_the_same():
    values = {}
    for dtype in ("float32", "bfloat16"):
        run = Steps(tiny(compute_dtype=dtype), make_optimizer(**OPTIMIZER), 0, jax.devices()[:1])
        state, sums = run.train(run.start(), batch(0))
        values[dtype] = ratios(fetch(sums))["loss"]
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(state.parameters))
    assert values["bfloat16"] != values["float32"]
    np.testing.assert_allclose(values["bfloat16"], values["float32"], rtol=2e-2)


def test_not_finite_names_the_metric():
    assert training.not_finite({"a": np.array([1.0, 2.0]), "loss": np.array([np.nan, 1.0])}) == "loss"
    assert training.not_finite({"a": np.array([1.0, 2.0])}) is None


def test_a_metric_that_nothing_was_weighed_for_is_left_out():
    """Pieces of one loudness have no velocity events to be right about: that is no divergence."""
    sums = {"loss": np.array([6.0, 3.0]), "accuracy_velocity": np.array([0.0, 0.0])}
    assert ratios(sums) == {"loss": 2.0}
