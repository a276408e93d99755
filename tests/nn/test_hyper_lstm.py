"""The cells with layer normalisation are their equations, written out in float64."""

import numpy as np
import pytest

KEEP = 0.7
EPSILON = 1e-3


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def normalised(x, norm, groups):
    """Each of `groups` equal parts of every row by itself."""
    out = np.empty_like(x)
    size = x.shape[1] // groups
    for row in range(len(x)):
        for k in range(groups):
            part = slice(k * size, (k + 1) * size)
            deviation = np.sqrt(np.var(x[row, part]) + EPSILON)
            out[row, part] = (x[row, part] - np.mean(x[row, part])) / deviation
    return out * norm["gamma"] + norm["beta"]


def gated(weights, gates, c, kept):
    """The next c and h from gates that are not normalised yet."""
    i, g, f, o = np.split(normalised(gates, weights["norm_gates"], 4), 4, axis=1)
    g = np.tanh(g) if kept is None else np.tanh(g) * kept / KEEP
    c = c * sigmoid(f + 1) + sigmoid(i) * g
    return c, np.tanh(normalised(c, weights["norm_c"], 1)) * sigmoid(o)


def layer_norm_lstm(weights, xs, state, kept):
    h, c = state
    outputs = []
    for t, x in enumerate(xs):
        gates = x @ weights["w_xh"] + h @ weights["w_hh"]
        c, h = gated(weights, gates, c, None if kept is None else kept[t])
        outputs.append(h)
    return np.array(outputs), (h, c)


def hyper_lstm(weights, xs, state, kept, points):
    """xs holds `points` columns of the input, then constants; the hyper cell's rows are [input, h, constants]."""
    h, u, c, c_hyper = state
    units, outputs = h.shape[1], []
    for t, x in enumerate(xs):
        seen = np.concatenate([x[:, :points], h, x[:, points:]], axis=1)
        gates = seen @ weights["hyper"]["w_xh"] + u @ weights["hyper"]["w_hh"]
        c_hyper, u = gated(weights["hyper"], gates, c_hyper, None)
        z_x = u @ weights["embed_x"] + weights["bias_x"]
        z_h = u @ weights["embed_h"] + weights["bias_h"]
        z_b = u @ weights["embed_b"]
        pre = np.empty((len(x), 4 * units))
        for k in range(4):
            gate = slice(k * units, (k + 1) * units)
            size = weights["scale_x"].shape[1]
            embedding = slice(k * size, (k + 1) * size)
            pre[:, gate] = (
                (z_x[:, embedding] @ weights["scale_x"][k]) * (x @ weights["w_xh"][:, gate])
                + (z_h[:, embedding] @ weights["scale_h"][k]) * (h @ weights["w_hh"][:, gate])
                + z_b[:, embedding] @ weights["scale_b"][k]
                + weights["bias"][gate]
            )
        c, h = gated(weights, pre, c, None if kept is None else kept[t])
        outputs.append(h)
    return np.array(outputs), (h, u, c, c_hyper)


@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("kind", ["layer_norm", "hyper"])
def test_the_cell_is_its_equations(make_cell, inputs, run, weights, kind, dropped):
    cell = make_cell(kind, keep=KEEP)
    given = inputs(cell)
    kept = given["kept"] if dropped else None
    outputs, last = run(cell, given["xs"], given["state"], given["constants"], kept)
    state = [part.astype(np.float64) for part in given["state"]]
    xs = np.array([np.concatenate([x, given["constants"]], axis=1) for x in given["xs"]], np.float64)
    if kind == "layer_norm":
        expected, expected_last = layer_norm_lstm(weights(cell), xs, state, kept)
    else:
        expected, expected_last = hyper_lstm(weights(cell), xs, state, kept, points=given["xs"].shape[2])
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=2e-5)
    for ours, theirs in zip(last, expected_last, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("kind", ["layer_norm", "hyper"])
def test_without_constants_their_rows_do_nothing(make_cell, inputs, run, kind):
    cell = make_cell(kind)
    given = inputs(cell)
    none, _ = run(cell, given["xs"], given["state"])
    zero, _ = run(cell, given["xs"], given["state"], 0 * given["constants"])
    np.testing.assert_allclose(none, zero, rtol=1e-6, atol=1e-7)


def test_a_constant_row_is_normalised_to_the_shift(make_cell):
    norm = make_cell("layer_norm").norm_gates
    rows = np.full((2, 16), [[7.0], [-3.0]], np.float32)
    np.testing.assert_allclose(norm(rows), np.broadcast_to(norm.beta[...], (2, 16)), atol=1e-6)
