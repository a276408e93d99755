"""Likelihoods of a split against a float64 model in numpy, example by example."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from magenta_lite import evaluation
from magenta_lite.pipeline import PreparedData
from magenta_lite.sampler import Sampler


@pytest.fixture(scope="module", params=["workdir", "decoder_only"])
def sampler(request):
    return Sampler(request.getfixturevalue(request.param))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(cell, rows, h, c, constants):
    """Outputs of an LSTM, a step at a time (Hochreiter & Schmidhuber 1997; gates in the original's order)."""
    w_x, w_h, bias = (np.asarray(w[...], np.float64) for w in (cell.w_xh, cell.w_hh, cell.bias))
    found = []
    for row in rows:
        i, j, f, o = np.split(np.concatenate([row, constants]) @ w_x + h @ w_h + bias, 4)
        c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(j)
        h = sigmoid(o) * np.tanh(c)
        found.append(h)
    return np.array(found)


def linear(layer, x):
    return x @ np.asarray(layer.kernel[...], np.float64) + np.asarray(layer.bias[...], np.float64)


def by_hand(model, encoded, noise):
    """Sums over one sketch: offset nats and pen nats up to the end, KL nats, pen states that are right, points."""
    strokes = np.asarray(encoded["strokes"], np.float64)
    n = len(strokes)
    label = np.asarray(model.label[...], np.float64)[encoded["label"]] if model.label_size else np.zeros(0)
    rows = np.zeros((n + 2, 5))
    rows[0, 2] = 1
    rows[1 : n + 1] = np.column_stack([strokes[:, :2], 1 - strokes[:, 2], strokes[:, 2], np.zeros(n)])
    rows[n + 1, 4] = 1
    z, kl = np.zeros(0), 0.0
    if model.conditional:
        ends = [
            lstm(cell, points, np.zeros(cell.units), np.zeros(cell.units), label)[-1]
            for cell, points in ((model.forward, rows[1 : n + 1]), (model.backward, rows[n:0:-1]))
        ]
        mean, log_var = (linear(layer, np.concatenate(ends)) for layer in (model.mean, model.log_var))
        z = mean + np.exp(log_var / 2) * noise
        kl = -0.5 * np.sum(1 + log_var - mean**2 - np.exp(log_var))
    state = np.tanh(linear(model.to_state, z)) if model.conditional else np.zeros(2 * model.decoder.units)
    c, h = np.split(state, 2)
    outputs = linear(model.output, lstm(model.decoder, rows[:-1], h, c, np.concatenate([z, label])))
    offsets = pens = right = 0.0
    for i, out in enumerate(outputs):
        pen = out[:3] - np.log(np.exp(out[:3]).sum())
        truth = rows[i + 1, 2:].argmax()
        pens -= pen[truth]
        right += pen.argmax() == truth
        if i < n:
            logit, x, y, log_sx, log_sy, rho = np.split(out[3:], 6)
            weight, sx, sy, rho = np.exp(logit) / np.exp(logit).sum(), np.exp(log_sx), np.exp(log_sy), np.tanh(rho)
            dx, dy = (rows[i + 1, 0] - x) / sx, (rows[i + 1, 1] - y) / sy
            together = (dx**2 + dy**2 - 2 * rho * dx * dy) / (1 - rho**2)
            offsets -= np.log(np.sum(weight * np.exp(-together / 2) / (2 * np.pi * sx * sy * np.sqrt(1 - rho**2))))
    return offsets, pens, kl, right, n


def noise_of(number, size, seed):
    """What z of the example of that place is drawn with."""
    key = jax.random.split(jax.random.fold_in(jax.random.key(seed), number), 4)[1]
    return np.asarray(jax.random.normal(key, (size,)), np.float64)


def test_likelihoods_are_those_computed_by_hand(sampler, toy):
    split, seed = evaluation.Split(sampler, str(toy), "train"), 3
    order = split.rows[np.argsort(split.lengths[split.rows], kind="stable")]
    sums = np.array(
        [
            by_hand(
                sampler.model, sampler.codec.encode(split.example(row)), noise_of(i, sampler.model.latent_size, seed)
            )
            for i, row in enumerate(order)
        ]
    )
    offsets, pens, kl, right, points = sums.T
    n_max = sampler.codec.n_max
    # The paper's sum has N_max positions: of a sketch that long it has no end token.
    last = points == n_max
    assert last.any()
    nats = offsets + pens
    expected = {
        "L_s": offsets.mean() / n_max,
        "L_p_sketch": pens.mean() / n_max,
        "L_R_sketch": nats.mean() / n_max,
        "nats_per_sketch": nats.mean(),
        "nats_per_point": nats.sum() / (points + 1).sum(),
        "pen_accuracy": right.sum() / (points + 1).sum(),
        "negative_elbo": (nats + kl).mean(),
        "N_max": n_max,
        "scale": sampler.codec.scale,
    }
    if sampler.has_latent:
        expected |= {"KL_nats": kl.mean(), "L_KL": kl.mean() / sampler.model.latent_size}
    for batch_size in (7, 40, 64):
        found = evaluation.likelihood(sampler.model, split.batches(batch_size, 3), seed=seed)
        for name, value in expected.items():
            assert found[name].value == pytest.approx(value, rel=1e-5, abs=1e-5), (name, batch_size)
    assert found["L_R"].value == pytest.approx(found["L_s"].value + found["L_p"].value, abs=1e-6)
    assert found["L_R"].value < found["L_R_sketch"].value
    assert found["nats_per_sketch"].error == pytest.approx(nats.std(ddof=1) / np.sqrt(len(nats)), rel=1e-4)
    assert found["N_max"].error == 0


def test_the_sum_of_scores_is_the_nats_of_sketches(decoder_only, toy):
    """Of a decoder alone; with z, scores are given the posterior mean, and likelihoods a z drawn around it."""
    sampler = Sampler(decoder_only)
    split = evaluation.Split(sampler, str(toy), "train")
    graph, state = nnx.split(sampler.model)
    score = jax.jit(lambda state, batch: nnx.merge(graph, state).score(batch)[0])
    total = 0.0
    for batch in split.batches(8, 2):
        # One position more, for the end token.
        batch = batch | {"strokes": np.pad(batch["strokes"], ((0, 0), (0, 1), (0, 0)))}
        nats = score(state, jax.tree.map(jnp.asarray, batch))
        real = batch["real"][:, None]
        total += float(np.sum((np.asarray(nats["offset"]) + np.asarray(nats["pen"])) * real, dtype=np.float64))
    found = evaluation.likelihood(sampler.model, split.batches(16, 3), seed=0)
    assert total / len(split.rows) == pytest.approx(found["nats_per_sketch"].value, rel=1e-5)


def test_every_example_is_counted_or_refused_with_its_reason(decoder_only, toy):
    sampler = Sampler(decoder_only)
    split = evaluation.Split(sampler, str(toy), "train")
    stored = PreparedData(toy).lengths["train"]
    assert 0 < len(split.rows) < len(stored)
    assert split.refused == {"longer than 25 points": int((stored > 25).sum())}
    assert len(split.rows) + split.refused.total() == len(stored)
    seen = sum(batch["real"].sum() for batch in split.batches(7, 2))
    assert seen == len(split.rows)


def test_an_error_is_the_spread_of_other_splits():
    """Of a ratio, against many draws."""
    rng = np.random.default_rng(0)

    def draw():
        weight = rng.integers(1, 30, 200).astype(float)
        return np.stack([weight * rng.normal(2, 1, 200), weight])

    ratios = [evaluation._ratio(draw()) for _ in range(400)]
    assert np.std([one.value for one in ratios]) == pytest.approx(np.mean([one.error for one in ratios]), rel=0.1)
    one = evaluation._ratio(np.array([[3.0], [2.0]]))
    assert one.value == 1.5
    assert np.isnan(one.error)


def test_numbers_that_are_none_are_null():
    found = evaluation.plain({"a": np.float32(np.nan), "b": [np.int64(3), np.inf, 1 / 3], "c": {"d": np.bool_(True)}})
    assert found == {"a": None, "b": [3, None, 0.333333], "c": {"d": True}}
