"""The driven recurrence against a plain scan, its values and its gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from magenta_lite.nn.driven_lstm import driven

TIME, BATCH, UNITS = 7, 3, 5


def plainly(drive, w_hh, c, h):
    """The equations, step by step, with jax's own derivative."""

    def step(state, now):
        c, h = state
        i, g, f, o = jnp.split(now + h @ w_hh, 4, axis=1)
        c = c * jax.nn.sigmoid(f + 1) + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jnp.tanh(c) * jax.nn.sigmoid(o)
        return (c, h), h

    last, outputs = lax.scan(step, (c, h), drive)
    return outputs, last


@pytest.fixture(scope="module")
def arguments():
    shapes = ((TIME, BATCH, 4 * UNITS), (UNITS, 4 * UNITS), (BATCH, UNITS), (BATCH, UNITS))
    keys = jax.random.split(jax.random.key(1), len(shapes))
    return [jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True)]


def test_outputs_are_those_of_a_plain_scan(arguments):
    ours = jax.jit(lambda *a: driven(jnp.float32, *a))(*arguments)
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(plainly(*arguments)), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-6)


def test_a_long_sequence_is_the_same(arguments):
    """Of which the weights are transposed first."""
    drive = jax.random.normal(jax.random.key(9), (40, BATCH, 4 * UNITS))
    ours = jax.jit(lambda *a: driven(jnp.float32, *a))(drive, *arguments[1:])
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(plainly(drive, *arguments[1:])), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-6)


def test_gradients_are_those_of_a_plain_scan(arguments):
    weights = [jax.random.normal(jax.random.key(n), (TIME, BATCH, UNITS)) for n in range(3)]

    def number(run):
        def f(*a):
            outputs, (c, h) = run(*a)
            return (outputs * weights[0]).sum() + (c * weights[1][0]).sum() + (h * weights[2][0]).sum()

        return jax.jit(jax.grad(f, argnums=(0, 1, 2, 3)))

    ours = number(lambda *a: driven(jnp.float32, *a))(*arguments)
    theirs = number(plainly)(*arguments)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5)


def test_one_step(arguments):
    drive, *rest = arguments
    outputs, (_, h) = driven(jnp.float32, drive[:1], *rest)
    np.testing.assert_array_equal(outputs[0], h)
    assert np.isfinite(jax.grad(lambda w: driven(jnp.float32, drive[:1], w, *rest[1:])[0].sum())(rest[0])).all()


def test_operands_may_be_bfloat16(arguments):
    outputs, _ = driven(jnp.bfloat16, *arguments)
    exact, _ = driven(jnp.float32, *arguments)
    assert outputs.dtype == jnp.float32
    np.testing.assert_allclose(outputs, exact, atol=0.05)
    assert not np.array_equal(outputs, exact)
