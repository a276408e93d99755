"""The losses and options of small models with random weights, against what can be said without them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from small_sketch_rnn import (
    CODEC,
    LENGTHS,
    N_MAX,
    log_softmax,
    make,
    make_batch,
    make_keys,
    posterior_mean,
    run,
    sampler,
    teacher_forced,
)

from magenta_lite.errors import UserError
from magenta_lite.models.sketch_rnn import Codec, Model
from magenta_lite.nn import latent

pytestmark = pytest.mark.usefixtures("quick_to_compile")


@pytest.mark.parametrize(("conditional", "count"), [(True, 2_186_107), (False, 1_123_963)])
def test_as_many_parameters_as_the_original(conditional, count):
    model = nnx.eval_shape(lambda: Model(CODEC, rngs=nnx.Rngs(0), conditional=conditional))
    assert sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(model, nnx.Param))) == count


DROPOUT = {"recurrent_keep": 0.6, "input_keep": 0.7, "output_keep": 0.8}


@pytest.mark.parametrize(
    ("train", "options"),
    [(True, DROPOUT | {"label_size": 2}), (False, {"pen_positions": "all", "encoder_cell": "layer_norm"})],
)
def test_a_longer_bucket_changes_nothing(train, options):
    model = make(**options)
    short, long = (run(model, make_batch(padded), train) for padded in (7, N_MAX))
    assert short.keys() == long.keys()
    for name, pair in short.items():
        for a, b in zip(pair, long[name], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5, err_msg=name)


def test_dropout_is_there():
    """Each kind by itself changes the loss of training."""
    batch, off = make_batch(), dict.fromkeys(DROPOUT, 1.0) | {"conditional": False}
    plain = run(make(**off), batch, train=True)["L_s"][0]
    for name in DROPOUT:
        dropped = run(make(**off | {name: DROPOUT[name]}), batch, train=True)["L_s"][0]
        assert np.abs(dropped - plain).max() > 1e-4, name


def test_one_mask_for_the_whole_sequence():
    keys = make_keys(3)
    once = make(dropout_mask="sequence", recurrent_keep=0.5)
    kept = once._kept(once.decoder, keys, 20)
    assert kept.shape == (1, 3, 6)
    assert (kept == kept[:1]).all()
    assert len(np.unique(kept[0], axis=0)) > 1
    step = make(recurrent_keep=0.5)
    assert len(np.unique(step._kept(step.decoder, keys, 20), axis=0)) > 1


def test_filling_the_batch_changes_no_sum():
    model = make(label_size=2, kl_min=0.0)
    alone, filled = run(model, make_batch(), train=True), run(model, make_batch(fill=3), train=True)
    for name, pair in alone.items():
        for a, b in zip(pair, filled[name], strict=True):
            assert (b[len(LENGTHS) :] == 0).all(), name
            np.testing.assert_allclose(a.sum(), b.sum(), rtol=1e-5, err_msg=name)


def nats_by_hand(outputs, strokes, n_max):
    """(offset nats of every point, pen nats and whether the pen is right at all N_max + 1 positions) of one sketch.

    outputs [positions, 3 + 6 M]; in float64, with the densities themselves.
    """
    outputs, n = np.asarray(outputs, np.float64), len(strokes)
    offsets, pen, right = np.zeros(n), np.zeros(len(outputs)), np.zeros(len(outputs), bool)
    for i, row in enumerate(outputs):
        state = 2 if i >= n else int(strokes[i, 2])
        pen[i], right[i] = -log_softmax(row[:3])[state], row[:3].argmax() == state
        if i < n:
            logits, mu_x, mu_y, log_x, log_y, rho = np.split(row[3:], 6)
            density = 0.0
            for j, weight in enumerate(np.exp(log_softmax(logits))):
                r, a, b = np.tanh(rho[j]), np.exp(log_x[j]), np.exp(log_y[j])
                covariance = np.array([[a * a, r * a * b], [r * a * b, b * b]])
                away = strokes[i, :2] - [mu_x[j], mu_y[j]]
                exponent = -away @ np.linalg.inv(covariance) @ away / 2
                density += weight * np.exp(exponent) / (2 * np.pi * np.sqrt(np.linalg.det(covariance)))
            offsets[i] = -np.log(density)
    return offsets, pen, right


@pytest.mark.parametrize("positions", ["sketch", "all"])
def test_which_positions_are_counted(positions, monkeypatch):
    """Offsets at the N_s points; the pen there and at the first end token, or at all N_max; / N_max."""
    monkeypatch.setattr(latent, "draw", lambda _, mean, __: mean)
    n_max, lengths = 10, (4, 1, 10)
    model = make(Codec(scale=1.0, n_max=n_max, labels=("ant",)), pen_positions=positions, kl_weight=0.7, kl_min=100.0)
    batch = make_batch(n_max, lengths)
    metrics = run(model, batch)
    outputs = teacher_forced(model, batch, posterior_mean(model)(batch), n_max)
    assert outputs.shape[0] == n_max + 1
    for b, n in enumerate(lengths):
        offsets, pen, right = nats_by_hand(outputs[:, b], np.asarray(batch["strokes"][b, :n], np.float64), n_max)
        # The end token of the sketch of N_max points stands behind the last position of the paper's sum.
        pen_sum = pen[:n_max].sum() if positions == "all" else pen[: min(n + 1, n_max)].sum()
        expected = {
            "L_s": offsets.sum() / n_max,
            "L_p": pen_sum / n_max,
            "L_p_sketch": pen[: n + 1].sum() / n_max,
            "nats_per_point": offsets.sum() + pen[: n + 1].sum(),
            "pen_accuracy": right[: n + 1].sum(),
        }
        expected["L_R"] = expected["L_s"] + expected["L_p"]
        expected["L_R_sketch"] = expected["L_s"] + expected["L_p_sketch"]
        for name, value in expected.items():
            assert metrics[name][0][b] == pytest.approx(value, rel=1e-4, abs=1e-4), (name, b)
            weight = n + 1 if name in ("nats_per_point", "pen_accuracy") else 1
            assert metrics[name][1][b] == weight, name
    assert (metrics["N_max"][0] == n_max).all()
    # The objective of evaluation: the final weight of the KL term, and no floor.
    reconstruction = metrics["L_R" if positions == "all" else "L_R_sketch"][0]
    np.testing.assert_allclose(metrics["loss"][0], reconstruction + 0.7 * metrics["L_KL"][0], rtol=1e-6)
    np.testing.assert_allclose(metrics["KL_nats"][0], 3 * metrics["L_KL"][0], rtol=1e-6)
    assert "kl_weight" not in metrics


def test_decoder_only_has_no_kl():
    metrics = run(make(conditional=False), make_batch(), train=True)
    assert not {"L_KL", "KL_nats", "kl_weight"} & metrics.keys()
    np.testing.assert_array_equal(metrics["loss"][0], metrics["L_R_sketch"][0])


KL = {"kl_weight": 0.5, "kl_weight_start": 0.1, "kl_weight_rate": 0.9}
KL_WEIGHT = 0.5 - (0.5 - 0.1) * 0.9**7
PARTS = ("L_R_sketch", "L_KL", "loss")


@pytest.fixture(scope="module")
def in_training():
    """Metrics by example, and by part the gradient of its sum, of one model with a floor as an argument."""
    graph, state = nnx.split(make(**KL))

    @jax.jit
    def compiled(batch, kl_min):
        def of(state):
            model = nnx.merge(graph, state)
            object.__setattr__(model, "kl_min", kl_min)
            pairs = model(batch, keys=make_keys(len(batch["real"])), step=7, train=True)
            return jnp.stack([pairs[name][0].sum() for name in PARTS]), pairs

        _, pull, pairs = jax.vjp(of, state, has_aux=True)
        (gradients,) = jax.vmap(pull)(jnp.eye(len(PARTS)))
        flat = jnp.concatenate([leaf.reshape(len(PARTS), -1) for leaf in jax.tree.leaves(gradients)], axis=1)
        return {name: pair[0] for name, pair in pairs.items()}, dict(zip(PARTS, flat, strict=True))

    return lambda batch, kl_min: jax.device_get(compiled(batch, jnp.float32(kl_min)))


def test_the_floor_is_a_gate_of_the_whole_batch(in_training):
    batch, n = make_batch(fill=2), len(LENGTHS)
    free, gradients = in_training(batch, 0.0)
    kl = free["L_KL"][:n]
    assert kl.min() < 0.95 * kl.mean() < 1.05 * kl.mean() < kl.max()
    np.testing.assert_allclose(free["kl_weight"][:n], KL_WEIGHT, rtol=1e-5)
    both = gradients["L_R_sketch"] + KL_WEIGHT * gradients["L_KL"]
    assert np.abs(both - gradients["L_R_sketch"]).max() > 1e-2
    # The mean of the real sketches is just above the floor, then just below, although some are on the other side.
    for share, kl_part, gradient in ((0.999, kl, both), (1.001, 1.001 * kl.mean(), gradients["L_R_sketch"])):
        metrics, ours = in_training(batch, share * kl.mean())
        np.testing.assert_allclose(metrics["loss"][:n], free["L_R_sketch"][:n] + KL_WEIGHT * kl_part, rtol=1e-5)
        np.testing.assert_allclose(ours["loss"], gradient, rtol=1e-4, atol=1e-4)
        # z and all that is made of it know nothing of the floor.
        for name in ("L_s", "L_p", "L_KL", "KL_nats"):
            np.testing.assert_array_equal(metrics[name], free[name])


def test_what_fills_the_batch_has_no_gradient(in_training):
    batch = make_batch(fill=2)
    noise = make_batch(8, (6, 2, 8, 1, 3, 5))
    real = batch["real"] > 0
    other = batch | {
        "strokes": jnp.where(real[:, None, None], batch["strokes"], noise["strokes"]),
        "length": jnp.where(real, batch["length"], noise["length"]),
    }
    for kl_min in (0.0, 0.3):
        (_, ours), (_, theirs) = in_training(batch, kl_min), in_training(other, kl_min)
        assert np.isfinite(ours["loss"]).all()
        np.testing.assert_allclose(ours["loss"], theirs["loss"], rtol=1e-5, atol=1e-5)


def test_labels_are_read_by_encoder_and_decoder():
    model = make(label_size=2, recurrent_keep=1.0)
    batch = make_batch()
    other = batch | {"label": (batch["label"] + 1) % 3}
    mean = posterior_mean(model)
    assert np.abs(mean(batch) - mean(other)).min() > 1e-4
    z = jnp.ones((4, 3))
    drawn = sampler(model)
    one, two = (drawn(make_keys(4), 6, z=z, condition={"label": b["label"]}, temperature=0.0) for b in (batch, other))
    assert (np.abs(one["strokes"] - two["strokes"]).max(axis=(1, 2)) > 1e-4).all()
    mean = posterior_mean(make())
    np.testing.assert_array_equal(mean(batch), mean(other))


def test_posterior_reads_the_points_alone():
    """What stands behind the last point is no part of a sketch."""
    mean, batch = posterior_mean(make()), make_batch()
    behind = jnp.arange(8)[None, :, None] >= batch["length"][:, None, None]
    other = batch | {"strokes": jnp.where(behind, 9.0, batch["strokes"])}
    np.testing.assert_array_equal(mean(other), mean(batch))
    # Forwards and backwards both matter: a changed first and a changed last point change every dimension.
    first = batch | {"strokes": batch["strokes"].at[:, 0, 0].add(1.0)}
    assert np.abs(mean(first) - mean(batch)).min() > 1e-4


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("encoder_cell", "lstms"),
        ("decoder_cell", "gru"),
        ("dropout_mask", "steps"),
        ("pen_positions", "none"),
        ("compute_dtype", "float16"),
        ("recurrent_keep", 0.0),
        ("input_keep", 1.1),
        ("output_keep", -0.5),
        ("recurrent_keep", float("nan")),
        ("encoder_size", 0),
        ("decoder_size", -1),
        ("latent_size", 0),
        ("mixtures", 0),
        ("kl_weight_rate", 1.5),
        ("kl_weight_rate", -0.1),
        ("log_sigma_min", -20.5),
        ("log_sigma_min", 0.5),
    ],
)
def test_wrong_options_are_named(field, value):
    with pytest.raises(UserError, match=rf"config\.model\.{field}={value!r}") as caught:
        Model(CODEC, rngs=nnx.Rngs(0), **{field: value})
    assert "\n" not in str(caught.value)


def test_labels_need_two_classes():
    with pytest.raises(UserError, match=r"config\.model\.label_size=8"):
        Model(Codec(scale=1.0, n_max=9, labels=("ant",)), rngs=nnx.Rngs(0), label_size=8)


def test_a_negative_label_size_is_named():
    with pytest.raises(UserError, match=r"config\.model\.label_size=-1"):
        nnx.eval_shape(lambda: Model(CODEC, rngs=nnx.Rngs(0), label_size=-1))
