"""Divergence, noise and ways between two points of a latent space."""

import hypothesis.extra.numpy as arrays
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from magenta_lite.nn.latent import draw, kl_nats, lerp, slerp

SHARE = st.floats(0, 1)
VECTOR = arrays.arrays(np.float64, 5, elements=st.floats(-100, 100).map(lambda v: round(v, 3)))


@pytest.mark.parametrize("mean", [-2.5, 0.0, 1.3])
@pytest.mark.parametrize("log_var", [-5.0, 0.0, 1.5])
def test_kl_is_the_integral(mean, log_var):
    sigma = np.exp(log_var / 2)
    x, width = np.linspace(mean - 12 * sigma, mean + 12 * sigma, 20_001, retstep=True)
    log_q = -((x - mean) ** 2) / (2 * sigma**2) - np.log(sigma * np.sqrt(2 * np.pi))
    log_p = -(x**2) / 2 - np.log(np.sqrt(2 * np.pi))
    integral = np.sum(np.exp(log_q) * (log_q - log_p)) * width
    kl = kl_nats(jnp.full((2, 3), mean), jnp.full((2, 3), log_var))
    np.testing.assert_allclose(kl, np.full((2, 3), integral), rtol=1e-5, atol=1e-6)


def test_noise_has_the_posteriors_mean_and_deviation():
    n = 20_000
    mean, log_var = np.array([3.0, -1.0, 0.0]), np.array([-4.0, 0.0, 2.0])
    keys = jax.random.split(jax.random.key(0), n)
    rows = [jnp.broadcast_to(jnp.asarray(v, jnp.float32), (n, 3)) for v in (mean, log_var)]
    z = np.asarray(draw(keys, *rows), np.float64)
    variance = np.exp(log_var)
    assert (np.abs(z.mean(axis=0) - mean) < 5 * np.sqrt(variance / n)).all()
    assert (np.abs(z.var(axis=0) / variance - 1) < 5 * np.sqrt(2 / n)).all()
    assert (np.abs(np.corrcoef(z.T) - np.eye(3)) < 5 / np.sqrt(n)).all()


def test_noise_is_of_the_examples_own_key():
    keys = jax.random.split(jax.random.key(0), 4)
    mean, log_var = jnp.zeros((4, 3)), jnp.zeros((4, 3))
    z = draw(keys, mean, log_var)
    np.testing.assert_array_equal(draw(keys[2:3], mean[:1], log_var[:1])[0], z[2])
    assert len(np.unique(z)) == z.size


@given(VECTOR, VECTOR, st.sampled_from([slerp, lerp]), st.sampled_from([np.float64, np.float32]))
def test_ends_are_exact(a, b, way, dtype):
    a, b = a.astype(dtype), b.astype(dtype)
    for t, end in ((0, a), (0.0, a), (1, b), (1.0, b)):
        assert way(a, b, t).tobytes() == end.tobytes()


@given(VECTOR, VECTOR, SHARE)
def test_lerp_is_the_straight_line(a, b, t):
    np.testing.assert_allclose(lerp(a, b, t), a + t * (b - a), atol=1e-10)


@given(VECTOR, VECTOR, SHARE, st.floats(0.1, 10))
def test_slerp_turns_by_a_share_of_the_angle(a, b, t, length):
    """Between vectors of one length: a turned towards b, in their plane, by t times the angle between them."""
    assume(min(np.linalg.norm(a), np.linalg.norm(b)) > 0.1)
    a, b = length * a / np.linalg.norm(a), length * b / np.linalg.norm(b)
    across = b - (a @ b) / (a @ a) * a
    assume(np.linalg.norm(across) > 1e-3 * length)
    across *= length / np.linalg.norm(across)
    angle = np.arctan2(b @ across, b @ a)
    turned = np.cos(t * angle) * a + np.sin(t * angle) * across
    result = slerp(a, b, t)
    np.testing.assert_allclose(result, turned, atol=1e-6 * length)
    assert np.linalg.norm(result) == pytest.approx(length, rel=1e-6)


@given(VECTOR, VECTOR, SHARE)
def test_slerp_goes_both_ways(a, b, t):
    np.testing.assert_allclose(slerp(a, b, t), slerp(b, a, 1 - t), rtol=1e-6, atol=1e-6)


def test_slerp_of_a_right_angle():
    a, b = np.array([2.0, 0.0]), np.array([0.0, 4.0])
    np.testing.assert_allclose(slerp(a, b, 1 / 3), [2 * np.sin(np.pi / 3), 4 * np.sin(np.pi / 6)])


@given(VECTOR, st.floats(0.01, 100), SHARE)
def test_slerp_of_parallel_vectors_is_straight(a, factor, t):
    b = factor * a
    np.testing.assert_allclose(slerp(a, b, t), a + t * (b - a), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("factor", [-0.5, -1.0, -2.0])
def test_slerp_of_opposite_vectors_is_straight(dtype, factor):
    """Rounding leaves them not quite opposite; the angle then says nothing, least of all in float32."""
    for seed in range(20):
        a = np.random.default_rng(seed).normal(size=128).astype(dtype)
        b = dtype(factor) * a
        for t in (0.25, 0.5, 0.9):
            np.testing.assert_allclose(slerp(a, b, t), a + t * (b - a), rtol=1e-4, atol=1e-5)


@given(VECTOR, SHARE, st.sampled_from([np.float64, np.float32]))
def test_slerp_with_zero_is_straight(a, t, dtype):
    a, zero = a.astype(dtype), np.zeros(5, dtype)
    np.testing.assert_allclose(slerp(a, zero, t), (1 - t) * a, rtol=1e-5)
    np.testing.assert_allclose(slerp(zero, a, t), t * a, rtol=1e-5)
    np.testing.assert_array_equal(slerp(zero, zero, t), zero)
