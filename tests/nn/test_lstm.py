"""The LSTM is its equations, and its own backward pass is what autodiff makes of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from magenta_lite.nn.lstm import initial_state

KEEP = 0.7


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_hand(weights, keep, xs, state, constants=None, kept=None):
    """A float64 loop: gates i, g, f, o; a forget bias of 1; dropout on g alone."""
    w_xh, w_hh, bias = weights["w_xh"], weights["w_hh"], weights["bias"]
    c, h = (part.astype(np.float64) for part in state)
    units, outputs = c.shape[1], []
    for t, x in enumerate(xs.astype(np.float64)):
        if constants is not None:
            x = np.concatenate([x, constants], axis=1)
        gates = x @ w_xh[: x.shape[1]] + h @ w_hh + bias
        i, g, f, o = (gates[:, k * units : (k + 1) * units] for k in range(4))
        g = np.tanh(g)
        if kept is not None:
            g = g * kept[t] / keep
        c = sigmoid(f + 1) * c + sigmoid(i) * g
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return np.array(outputs), (c, h)


@pytest.mark.parametrize("left_out", [(), ("kept",), ("constants",), ("kept", "constants")])
def test_forward_is_the_equations(make_cell, inputs, run, weights, left_out):
    cell = make_cell("lstm", keep=KEEP)
    given = {name: value for name, value in inputs(cell).items() if name not in left_out}
    outputs, (c, h) = run(cell, **given)
    expected, (c_expected, h_expected) = by_hand(weights(cell), KEEP, **given)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(c, c_expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(h, h_expected, rtol=1e-5, atol=1e-5)


def gradients(cell, given, plain):
    """Of a random weighting of all outputs and of the last state, for every weight and every float input."""
    graph, state = nnx.split(cell)
    given = dict(given)
    kept = given.pop("kept", None)
    rng = np.random.default_rng(3)
    steps, batch, _ = given["xs"].shape
    weighting = rng.normal(size=(steps + 2, batch, cell.w_hh.shape[0])).astype(np.float32)

    def loss(state, given):
        cell, (xs, first) = nnx.merge(graph, state), (given["xs"], given["state"])
        if plain:
            shift = cell.shift(given.get("constants"), batch)
            last, outputs = lax.scan(lambda s, now: cell.step(s, now[0], shift, now[1]), first, (xs, kept))
        else:
            outputs, last = cell(xs, first, given.get("constants"), kept)
        return jnp.sum(jnp.concatenate([outputs, jnp.stack(last)]) * weighting)

    return jax.jit(jax.grad(loss, argnums=(0, 1)))(state, given)


@pytest.mark.parametrize("left_out", [(), ("kept",), ("kept", "constants")])
def test_backward_is_autodiff_of_a_plain_scan(make_cell, inputs, left_out):
    cell = make_cell("lstm", keep=KEEP)
    given = {name: value for name, value in inputs(cell).items() if name not in left_out}
    ours, theirs = gradients(cell, given, plain=False), gradients(cell, given, plain=True)
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(ours)]
    assert len(names) == 3 + 3 + (not left_out or "constants" not in left_out)
    for name, a, b in zip(names, jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert np.abs(b).max() > 1e-2, name
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("columns", [5, 9])
@pytest.mark.parametrize("steps", [1, 15, 16, 17, 37])
def test_stopping_early_is_a_shorter_run(make_cell, steps, columns):
    """Outputs, last state and all gradients; what lies behind the stop is neither read nor written."""
    cell = make_cell("lstm", keep=KEEP, inputs=columns)
    rng = np.random.default_rng(0)
    time, batch, units = 37, 3, cell.units
    xs = rng.normal(size=(time, batch, columns)).astype(np.float32)
    state = tuple(rng.normal(size=(batch, units)).astype(np.float32) for _ in range(2))
    kept = rng.random((time, batch, units)) < KEEP
    weighting = rng.normal(size=(steps + 2, batch, units)).astype(np.float32)
    graph, parameters = nnx.split(cell)

    def loss(parameters, xs, state, length):
        outputs, last = nnx.merge(graph, parameters)(xs, state, None, kept[: len(xs)], length)
        return jnp.sum(jnp.concatenate([outputs[:steps], jnp.stack(last)]) * weighting)

    both = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))
    value, (weights, d_xs, first) = both(parameters, xs, state, jnp.int32(steps))
    expected, (weights_short, d_xs_short, first_short) = both(parameters, xs[:steps], state, None)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(d_xs[:steps], d_xs_short, rtol=1e-4, atol=1e-5)
    assert not np.any(d_xs[steps:])
    for a, b in zip(jax.tree.leaves((weights, first)), jax.tree.leaves((weights_short, first_short)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_one_mask_for_all_steps_is_that_mask_at_every_step(make_cell, inputs):
    cell = make_cell("lstm", keep=KEEP)
    given = inputs(cell)
    once, every = given["kept"][:1], np.broadcast_to(given["kept"][:1], given["kept"].shape)
    ours, theirs = (gradients(cell, given | {"kept": kept}, plain=False) for kept in (once, every))
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_gradient_of_the_last_state_alone(make_cell, inputs):
    """Nothing is read but the last c, or the last h: the outputs' own gradients are zero."""
    cell = make_cell("lstm")
    given = inputs(cell)

    def ours(xs):
        return tuple(jnp.sum(jnp.sin(part)) for part in cell(xs, given["state"])[1])

    def theirs(xs):
        shift = cell.shift(None, xs.shape[1])
        last, _ = lax.scan(lambda s, x: cell.step(s, x, shift), given["state"], xs)
        return tuple(jnp.sum(jnp.sin(part)) for part in last)

    both = jax.jit(lambda xs: (jax.jacrev(ours)(xs), jax.jacrev(theirs)(xs)))
    for a, b in zip(*both(given["xs"]), strict=True):
        assert np.abs(b).max() > 1e-2
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_bfloat16_products(make_cell, inputs, run, weights):
    cell = make_cell("lstm", keep=KEEP, dtype=jnp.bfloat16)
    given = inputs(cell)
    outputs, (c, h) = run(cell, **given)
    assert {outputs.dtype, c.dtype, h.dtype} == {jnp.dtype("float32")}
    expected, _ = by_hand(weights(cell), KEEP, **given)
    error = np.abs(outputs - expected).max()
    # bfloat16 has 8 bits: an error far below 1e-4 would mean that it was not used.
    assert 1e-4 < error < 0.05
    exact = gradients(make_cell("lstm", keep=KEEP), given, plain=False)
    for a, b in zip(jax.tree.leaves(gradients(cell, given, plain=False)), jax.tree.leaves(exact), strict=True):
        assert a.dtype == jnp.float32
        assert np.linalg.norm(a - b) < 0.05 * np.linalg.norm(b)


@pytest.mark.parametrize("kind", ["lstm", "layer_norm", "hyper"])
def test_a_flat_vector_is_cut_into_the_state(make_cell, kind):
    cell = make_cell(kind)
    flat = np.arange(2 * sum(cell.state_sizes), dtype=np.float32).reshape(2, -1)
    state = initial_state(cell, 2, jnp.asarray(flat))
    assert tuple(part.shape[1] for part in state) == cell.state_sizes
    np.testing.assert_array_equal(np.concatenate(state, axis=1), flat)
    assert all(
        part.shape == (2, size) and not part.any()
        for part, size in zip(initial_state(cell, 2), cell.state_sizes, strict=True)
    )


@pytest.mark.parametrize("kind", ["lstm", "layer_norm", "hyper"])
def test_step_by_step_is_the_whole_run(make_cell, inputs, run, kind):
    cell = make_cell(kind, keep=KEEP)
    given = inputs(cell)
    outputs, last = run(cell, **given)
    shift, state, step = cell.shift(given["constants"], 5), given["state"], jax.jit(cell.step)
    for x, kept, expected in zip(given["xs"], given["kept"], outputs, strict=True):
        state, output = step(state, x, shift, kept)
        np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-6)
    for part, expected in zip(state, last, strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["lstm", "layer_norm", "hyper"])
def test_constants_are_inputs_that_stay_the_same(make_cell, inputs, run, kind):
    cell = make_cell(kind)
    given = inputs(cell)
    xs, constants, state = given["xs"], given["constants"], given["state"]
    every_step = np.concatenate([xs, np.broadcast_to(constants, (len(xs), *constants.shape))], axis=2)
    outputs, _ = run(cell, xs, state, constants)
    np.testing.assert_allclose(run(cell, every_step, state)[0], outputs, rtol=1e-5, atol=1e-5)
    assert np.abs(run(cell, xs, state, 0 * constants)[0] - outputs).max() > 1e-2
