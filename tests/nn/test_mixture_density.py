"""The mixture's density and its samples are those of the textbook's formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magenta_lite.nn.mixture_density import (
    ATANH_RHO_MAX,
    LOG_SIGMA_MIN,
    Mixture,
    categorical,
    from_outputs,
    log_density,
    sample,
)

DRAWS = 20_000
WEIGHTS = np.array([0.5, 0.3, 0.15, 0.05])


def mixture(logits, mu_x, mu_y, sigma_x, sigma_y, rho):
    sigmas = np.log(sigma_x), np.log(sigma_y)
    return Mixture(*(jnp.asarray(v, jnp.float32) for v in (logits, mu_x, mu_y, *sigmas, rho)))


def naive_density(m, x, y):
    """In float64, by the covariance matrix of each component; no logarithms on the way."""
    m = Mixture(*(np.asarray(v, np.float64) for v in m))
    pi = np.exp(m.logits - m.logits.max())
    total = 0.0
    for j, weight in enumerate(pi / pi.sum()):
        a, b = np.exp(m.log_sigma_x[j]), np.exp(m.log_sigma_y[j])
        covariance = np.array([[a * a, m.rho[j] * a * b], [m.rho[j] * a * b, b * b]])
        away = np.array([x - m.mu_x[j], y - m.mu_y[j]])
        exponent = -away @ np.linalg.inv(covariance) @ away / 2
        total += weight * np.exp(exponent) / (2 * np.pi * np.sqrt(np.linalg.det(covariance)))
    return total


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_density_is_the_naive_one(seed):
    rng = np.random.default_rng(seed)
    m = from_outputs(jnp.asarray(rng.normal(0, 1, 6 * 3), jnp.float32))
    x, y = rng.normal(0, 1.5, 2).astype(np.float32)
    expected = np.log(naive_density(m, float(x), float(y)))
    np.testing.assert_allclose(_value_and_gradient_of(m, x, y)[0], expected, rtol=2e-4, atol=2e-4)


def test_outputs_in_the_published_order():
    m = from_outputs(jnp.arange(12.0) / 10)
    np.testing.assert_allclose(m.logits, [0.0, 0.1])
    np.testing.assert_allclose(m.mu_x, [0.2, 0.3])
    np.testing.assert_allclose(m.mu_y, [0.4, 0.5])
    np.testing.assert_allclose(m.log_sigma_x, [0.6, 0.7])
    np.testing.assert_allclose(m.log_sigma_y, [0.8, 0.9])
    np.testing.assert_allclose(m.rho, np.tanh([1.0, 1.1]), rtol=1e-6)


def test_density_integrates_to_one():
    m = mixture([0, 1, -1], [0, 2, -1], [1, -1, 0], [1, 0.5, 1.5], [0.6, 1, 0.8], [0, 0.9, -0.7])
    line, width = np.linspace(-12, 12, 601, retstep=True)
    x, y = np.meshgrid(line, line)
    grid = Mixture(*(v[None, None] for v in m)), jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)
    log_p = jax.jit(log_density)(*grid)
    assert float(np.exp(np.asarray(log_p, np.float64)).sum() * width**2) == pytest.approx(1, abs=1e-4)


@jax.jit
def _value_and_gradient_of(m, x, y):
    return jax.value_and_grad(log_density, argnums=(0, 1, 2))(m, x, y)


@jax.jit
def _value_and_gradient(outputs, x, y):
    return jax.value_and_grad(lambda o, x, y: log_density(from_outputs(o), x, y), argnums=(0, 1, 2))(outputs, x, y)


def test_far_away_the_density_is_exact():
    """1e4 sigmas away: the naive density is 0, its logarithm is not."""
    sigma = np.array([0.01, 0.02])
    m = mixture([0, 0], [0, 0], [0, 0], sigma, sigma, [0, 0])
    for x, y in ((100.0, 0.0), (-60.0, 80.0), (0.0, -1000.0)):
        parts = np.log(0.5) - (x * x + y * y) / (2 * sigma**2) - np.log(2 * np.pi * sigma**2)
        value, gradient = _value_and_gradient_of(m, jnp.float32(x), jnp.float32(y))
        np.testing.assert_allclose(value, np.logaddexp(*parts), rtol=1e-5)
        assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))
        # The wider component is all there is at this distance.
        np.testing.assert_allclose(gradient[1:], [-x / sigma[1] ** 2, -y / sigma[1] ** 2], rtol=1e-5)


@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=12, max_size=12),
    st.floats(-1e4, 1e4, width=32),
    st.floats(-1e4, 1e4, width=32),
)
@settings(deadline=None, max_examples=60)
def test_extreme_outputs_stay_finite(outputs, x, y):
    value, gradient = _value_and_gradient(jnp.asarray(outputs, jnp.float32), jnp.float32(x), jnp.float32(y))
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in gradient)


def test_no_spike_is_endless():
    """A point repeated for ever: the density is bounded by the smallest sigmas and the largest correlation."""
    outputs = jnp.array([0.0, 1.0, 1.0, -1e3, -1e3, 1e3])
    value, gradient = _value_and_gradient(outputs, jnp.float32(1), jnp.float32(1))
    rho = np.tanh(ATANH_RHO_MAX)
    highest = -np.log(2 * np.pi) - 2 * LOG_SIGMA_MIN - 0.5 * np.log1p(-(rho**2))
    assert float(value) == pytest.approx(highest, abs=0.01)
    np.testing.assert_array_equal(gradient[0][3:], 0)


def test_the_least_sigma_may_be_lower():
    """exp(-20), as models of others need it: far away and all but certain, numbers stay finite."""
    outputs = jnp.array([0.0, 1.0, 1.0, -1e3, -1e3, 1e3])
    m = from_outputs(outputs, -20.0)
    np.testing.assert_array_equal(m.log_sigma_x, -20.0)
    np.testing.assert_array_equal(m.log_sigma_y, -20.0)
    near, far = log_density(m, jnp.float32(1), jnp.float32(1)), log_density(m, jnp.float32(1000), jnp.float32(-1000))
    highest = -np.log(2 * np.pi) + 40 - 0.5 * np.log1p(-(np.tanh(ATANH_RHO_MAX) ** 2))
    assert float(near) == pytest.approx(highest, abs=0.01)
    assert np.isfinite(far)


def draws(m, temperature, seed=0):
    return np.asarray(_draws(jax.random.key(seed), m, temperature), np.float64)


@jax.jit
def _draws(key, m, temperature):
    many = jax.tree.map(lambda values: jnp.broadcast_to(values, (DRAWS, *values.shape)), m)
    return sample(jax.random.uniform(key, (DRAWS, 3)), many, temperature)


@jax.jit
def _indices(key, logits, temperature):
    many = jnp.broadcast_to(logits, (DRAWS, *logits.shape))
    return categorical(jax.random.uniform(key, (DRAWS,)), many, temperature)


@pytest.mark.parametrize("temperature", [0.25, 1.0, 2.0])
def test_variance_is_multiplied_by_the_temperature(temperature):
    sigma_x, sigma_y, rho = 2.0, 0.5, -0.8
    points = draws(mixture([0], [3], [-1], [sigma_x], [sigma_y], [rho]), temperature)
    covariance = temperature * np.array([[sigma_x**2, rho * sigma_x * sigma_y], [rho * sigma_x * sigma_y, sigma_y**2]])
    # Five standard errors of a mean, and of a covariance.
    error = 5 * np.sqrt(np.diag(covariance) / DRAWS)
    assert (np.abs(points.mean(axis=0) - [3, -1]) < error).all()
    variances = np.diag(covariance)
    error = 5 * np.sqrt((np.outer(variances, variances) + covariance**2) / DRAWS)
    assert (np.abs(np.cov(points.T) - covariance) < error).all()


def chi_square(counts, shares):
    expected = shares * counts.sum()
    return np.sum((counts - expected) ** 2 / expected)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_weights_are_raised_to_one_over_the_temperature(temperature):
    # Four narrow components far apart: a point tells which one it came from.
    at = np.array([0.0, 10.0, 20.0, 30.0])
    points = draws(mixture(np.log(WEIGHTS) + 5, at, -at, [1e-2] * 4, [1e-2] * 4, [0] * 4), temperature)
    components = np.rint(points[:, 0] / 10).astype(int)
    np.testing.assert_allclose(points, np.stack([at[components], -at[components]], axis=1), atol=0.2)
    shares = WEIGHTS ** (1 / temperature)
    # 21.1 is passed once in 10,000 seeds with three degrees of freedom.
    assert chi_square(np.bincount(components, minlength=4), shares / shares.sum()) < 21.1


def test_at_zero_the_mean_of_the_heaviest():
    m = mixture(np.log(WEIGHTS[::-1]), [1, 2, 3, 4], [5, 6, 7, 8], [9] * 4, [9] * 4, [0.5] * 4)
    np.testing.assert_array_equal(draws(m, 0.0)[:50], np.full((50, 2), [4, 8]))


@pytest.mark.parametrize("temperature", [0.0, 0.5, 2.0])
def test_categorical(temperature):
    logits = jnp.asarray(np.log(WEIGHTS) - 7, jnp.float32)
    counts = np.bincount(_indices(jax.random.key(1), logits, temperature), minlength=4)
    if temperature == 0:
        assert counts.tolist() == [DRAWS, 0, 0, 0]
    else:
        shares = WEIGHTS ** (1 / temperature)
        assert chi_square(counts, shares / shares.sum()) < 21.1


def test_any_noise_and_temperature_gives_an_index_that_can_be():
    """The ends of the noise, 0 and the float before 1, with weights that vanish and weights that are equal."""
    below_one = np.float32(1) - np.float32(2**-24)
    rows = [[0, 0, 0], [-200, 5, 5], [5, 5, -200], [-1e6, 0, 1e6], [3e38, -3e38, 0]]
    for noise, first in ((0.0, True), (below_one, False)):
        for temperature in (0.0, 1e-20, 1e-6, 1.0, 1e3):
            found = categorical(jnp.full(len(rows), noise), jnp.asarray(rows, jnp.float32), jnp.float32(temperature))
            for index, row in zip(found, rows, strict=True):
                assert 0 <= index < 3
                if temperature <= 1:
                    largest = np.flatnonzero(np.array(row) == max(row))
                    # At 0 noise has no say, and the first of equals is taken.
                    assert index == largest[0 if first or temperature == 0 else -1], (row, noise, temperature)


def test_each_row_has_its_own_temperature():
    logits = jnp.asarray(np.log(WEIGHTS), jnp.float32)
    found = categorical(jnp.full((2, 2), 0.9), jnp.broadcast_to(logits, (2, 2, 4)), jnp.array([[0.0, 1.0], [1.0, 0.0]]))
    np.testing.assert_array_equal(found, [[0, 2], [2, 0]])
