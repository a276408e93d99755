"""Splits by key: the same everywhere, in any order, and none of them empty where that can be."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.splits import SHARES, assign, check_shares, place
from magenta_lite.errors import UserError


def test_places_are_the_beginning_of_the_hash():
    """Numbers that may never change: they decide what a person once held back."""
    assert place("5201136883597312") == int(hashlib.sha256(b"5201136883597312").hexdigest()[:16], 16) // 2**11 / 2**53
    assert [round(place(key), 6) for key in ("a", "b", "sketches/cat.svg")] == [0.791374, 0.242735, 0.833282]
    assert 0 <= place("\ud800") < 1


def test_shares_are_kept_and_hold_alike_for_every_label():
    places = np.array([place(str(number)) for number in range(20_000)])
    split, moved = assign(places, SHARES)
    np.testing.assert_allclose(np.bincount(split) / len(split), [0.9, 0.05, 0.05], atol=0.006)
    assert not moved.any()
    np.testing.assert_array_equal(split, np.digitize(places, [0.9, 0.95]))


@given(st.lists(st.text(max_size=5), max_size=60), st.randoms(use_true_random=False))
def test_neither_order_nor_company_matters_and_no_split_is_empty(keys, random):
    places = np.array([place(key) for key in keys])
    split, moved = assign(places, SHARES)
    by_key = dict(zip(keys, split.tolist(), strict=True))
    assert [by_key[key] for key in keys] == split.tolist()  # equal keys are together
    shuffled = random.sample(keys, len(keys))
    again, _ = assign(np.array([place(key) for key in shuffled]), SHARES)
    assert [by_key[key] for key in shuffled] == again.tolist()
    if len(set(keys)) >= 3:
        assert set(split.tolist()) == {0, 1, 2}
    alone = np.digitize(places, [0.9, 0.95])
    assert moved.sum() == (split != alone).sum()
    if len(set(alone.tolist())) == 3:
        assert not moved.any()


def test_more_drawings_leave_the_others_where_they_are():
    keys = [str(number) for number in range(500)]
    before, _ = assign(np.array([place(key) for key in keys]), [70, 20, 10])
    more = [*keys, *(f"new {number}" for number in range(500))]
    after, _ = assign(np.array([place(key) for key in more]), [70, 20, 10])
    np.testing.assert_array_equal(before, after[:500])


@pytest.mark.parametrize("shares", [[], [90, 10], [90, 5, 0], [90, 5, -5], [1, 2, float("nan")], [1, 1, float("inf")]])
def test_shares_that_are_none(shares):
    with pytest.raises(UserError, match=r"--split=.*expected three shares above 0"):
        check_shares(shares)
