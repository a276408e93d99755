"""Masks keep what they should, independently, and are an example's own."""

import jax
import numpy as np
import pytest

from magenta_lite.nn import dropout

masks = jax.jit(dropout.masks, static_argnums=(1, 2, 3))


@pytest.fixture
def keys():
    return jax.random.split(jax.random.key(0), 6)


@pytest.mark.parametrize("keep", [0.5, 0.9])
def test_share_kept(keys, keep):
    kept = np.asarray(masks(keys, keep, 500, 31))
    assert kept.shape == (500, 6, 31)
    assert kept.dtype == bool
    error = 5 * np.sqrt(keep * (1 - keep))
    assert abs(kept.mean() - keep) < error / np.sqrt(kept.size)
    for axis in range(3):
        others = tuple(i for i in range(3) if i != axis)
        shares = kept.mean(axis=others)
        assert (np.abs(shares - keep) < error / np.sqrt(kept.size / shares.size)).all()


def test_units_and_steps_are_independent(keys):
    """Above all the two units that share 32 bits."""
    kept = np.asarray(masks(keys, 0.5, 2000, 6)) - 0.5
    units = np.corrcoef(kept.reshape(-1, 6).T)
    assert (np.abs(units - np.eye(6)) < 5 / np.sqrt(12_000)).all()
    assert abs(np.mean(kept[1:] * kept[:-1])) < 0.25 * 5 / np.sqrt(kept.size)


@pytest.mark.parametrize("units", [4, 7])
def test_first_steps_are_the_same_for_any_number(keys, units):
    whole = masks(keys, 0.6, 40, units)
    assert whole.shape == (40, 6, units)
    for steps in (1, 23):
        np.testing.assert_array_equal(masks(keys, 0.6, steps, units), whole[:steps])


def test_differs_by_key_and_by_nothing_else(keys):
    kept = np.asarray(masks(keys, 0.5, 20, 9))
    assert len({kept[:, i].tobytes() for i in range(6)}) == 6
    np.testing.assert_array_equal(masks(keys[3:4], 0.5, 20, 9)[:, 0], kept[:, 3])


def test_keeping_all_keeps_all(keys):
    assert masks(keys, 1.0, 400, 33).all()
