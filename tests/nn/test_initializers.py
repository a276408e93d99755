import jax
import numpy as np
import pytest

from magenta_lite.nn.initializers import gaussian, glorot, orthogonal_gates


@pytest.mark.parametrize("units", [1, 8])
def test_each_block_is_orthogonal(units):
    blocks = np.split(np.asarray(orthogonal_gates(jax.random.key(0), (units, 4 * units)), np.float64), 4, axis=1)
    for block in blocks:
        np.testing.assert_allclose(block.T @ block, np.eye(units), atol=1e-5)
    if units > 1:
        assert len({block.tobytes() for block in blocks}) == 4


def test_scales():
    weights = np.asarray(gaussian(0.01)(jax.random.key(0), (300, 300)))
    assert abs(weights.std() / 0.01 - 1) < 5 / np.sqrt(2 * weights.size)
    assert abs(weights.mean()) < 5 * 0.01 / np.sqrt(weights.size)
    limit = np.sqrt(6 / (200 + 100))
    weights = np.abs(np.asarray(glorot(jax.random.key(0), (200, 100))))
    assert 0.99 * limit < weights.max() <= limit
    assert abs(weights.mean() / (limit / 2) - 1) < 0.03
