"""The mean of a batch is the same on one device and on four."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magenta_lite.nn.across_devices import AXIS, batch_mean


@pytest.fixture
def values():
    return np.random.default_rng(0).uniform(1, 2, 12).astype(np.float32)


def test_weighted_mean_of_what_is_given(values):
    weights = (np.arange(12) % 3 > 0).astype(np.float32)
    expected = values[weights > 0].mean(dtype=np.float64)
    np.testing.assert_allclose(batch_mean(values, weights), expected, rtol=1e-5)
    np.testing.assert_allclose(jax.jit(batch_mean)(values, weights), expected, rtol=1e-5)
    np.testing.assert_allclose(batch_mean(values, 2.5 * weights), expected, rtol=1e-5)


def test_over_four_devices_one_of_them_empty(values):
    devices = jax.local_devices(backend="cpu")
    if len(devices) < 4:
        pytest.skip("needs four CPU devices")
    # Unequal shares: a mean of the devices' means would be another number, and the last device's 0 / 0.
    weights = np.array([1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0], np.float32)
    mean = jax.pmap(batch_mean, axis_name=AXIS, devices=devices[:4])(values.reshape(4, 3), weights.reshape(4, 3))
    expected = values[weights > 0].mean(dtype=np.float64)
    np.testing.assert_allclose(mean, np.full(4, expected), rtol=1e-5)


def test_no_gradient_is_lost(values):
    weights = jnp.ones(12)
    np.testing.assert_allclose(jax.grad(batch_mean)(jnp.asarray(values), weights), np.full(12, 1 / 12), rtol=1e-5)
