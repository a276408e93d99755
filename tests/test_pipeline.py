"""Batches: nothing lost, nothing twice, little padding, and a function of (seed, step) alone."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magenta_lite.errors import UserError
from magenta_lite.pipeline import WINDOW, Plan, PreparedData, bucket_lengths, collate, evaluation_batches
from magenta_lite.pipeline import training_batches as train_batches


class Stored:
    """Examples that are their own number, as long as `lengths` says."""

    def __init__(self, lengths):
        self.lengths = {"train": np.array(lengths), "valid": np.array(lengths)}

    def example(self, split, index):
        return {"value": np.full(self.lengths[split][index], index, np.float32), "number": np.int32(index)}


def encode(example, rng=None):
    noise = 0 if rng is None else rng.random()
    return {"value": example["value"] + np.float32(noise), "number": example["number"]}


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_buckets_pad_least(lengths, count):
    """Against every choice of that many edges."""
    buckets = bucket_lengths(np.array(lengths), count)
    distinct = sorted(set(lengths))

    def padded(edges):
        return sum(min(edge for edge in edges if edge >= length) for length in lengths)

    choices = itertools.combinations(distinct[:-1], min(count, len(distinct)) - 1)
    assert padded(buckets) == min(padded((*choice, distinct[-1])) for choice in choices)
    assert len(buckets) <= count
    assert list(buckets) == sorted(set(buckets))


@given(st.integers(1, 90), st.integers(1, 7), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_each_example_once_an_epoch(count, batch_size, seed):
    lengths = np.random.default_rng(seed).integers(0, 9, count)
    lengths[0] = 5  # at least one usable
    plan = Plan(lengths, batch_size, seed, 1)
    usable = np.flatnonzero(lengths)
    steps = WINDOW * len(usable)  # as many whole epochs as there are windows of the same number of examples
    seen = np.concatenate([plan.batch(step)[0] for step in range(steps)])
    assert (np.bincount(seen, minlength=count)[usable] == steps * batch_size // len(usable)).all()
    assert set(seen) == set(usable)


def test_batches_are_alike_in_length_and_shuffled():
    lengths = np.random.default_rng(0).integers(1, 200, 5000)
    plan = Plan(lengths, 50, 0, 6)
    real = sum(lengths[plan.batch(step)[0]].sum() for step in range(64))
    padded = sum(plan.batch(step)[1] * 50 for step in range(64))
    # Lengths 1..199 in six buckets cannot do better than half a bucket in six: 14 %.
    assert 1 - real / padded < 0.18
    longest = [int(lengths[plan.batch(step)[0]].max()) for step in range(WINDOW)]
    assert longest != sorted(longest)


def test_a_step_does_not_depend_on_the_start():
    data = Stored([3, 9, 4, 7, 7, 2, 5])
    plan = Plan(data.lengths["train"], 4, 7, 2)
    straight = list(train_batches(data, encode, plan, 0, 40))
    resumed = list(train_batches(data, encode, Plan(data.lengths["train"], 4, 7, 2), 33, 40, threads=3))
    for a, b in zip(straight[33:], resumed, strict=True):
        assert a.keys() == b.keys()
        assert all((a[name] == b[name]).all() for name in a)
    assert not np.array_equal(straight[0]["value"], straight[1]["value"])


def test_evaluation_drops_no_remainder():
    data = Stored([3, 9, 0, 4, 7, 7, 2, 5])
    batches = list(evaluation_batches(data, "valid", encode, data.lengths["valid"], 3, (5, 9)))
    numbers = [n for batch in batches for n, real in zip(batch["number"], batch["real"], strict=True) if real]
    assert sorted(numbers) == [0, 1, 3, 4, 5, 6, 7]
    assert all(len(batch["real"]) == 3 for batch in batches)
    for batch in batches:
        for value, length, number in zip(batch["value"], batch["length"], batch["number"], strict=True):
            assert (value[:length] == number).all()
            assert (value[length:] == 0).all()


def test_collate_fills_up():
    batch = collate([{"x": np.ones((2, 3), np.float32), "y": np.int32(4)}], 5, rows=3)
    assert batch["x"].shape == (3, 5, 3)
    assert batch["length"].tolist() == [2, 0, 0]
    assert batch["real"].tolist() == [1, 0, 0]


def test_no_prepared_data_says_how_to_prepare_it(tmp_path):
    with pytest.raises(UserError, match=r"no prepared data in .*: prepare it with `python -m data.toy`"):
        PreparedData(tmp_path / "none", "python -m data.toy")


def test_long_examples_are_taken_more_often():
    takes = np.array([1, 3, 2, 5])
    plan = Plan(np.array([8, 8, 0, 8]), 9, 0, 1, takes)
    window = np.concatenate([plan.batch(step)[0] for step in range(WINDOW)])
    assert np.bincount(window, minlength=4).tolist() == [WINDOW, 3 * WINDOW, 0, 5 * WINDOW]


def test_data_of_another_kind_is_refused(toy, toy_performances):
    PreparedData(toy).need("strokes", "drawings")
    PreparedData(toy_performances).need("pitch", "pieces of music")
    with pytest.raises(UserError, match="holds no pieces of music: its records have label, name, strokes"):
        PreparedData(toy).need("pitch", "pieces of music")


def test_a_window_is_cut_from_the_passes_it_lies_in():
    """Against the stream as a whole; sets smaller and larger than a window."""
    for count in (3, 50, 400):
        plan = Plan(np.full(count, 7), 5, 1, 1)
        stream = np.concatenate([np.random.default_rng([1, 0, epoch]).permutation(count) for epoch in range(500)])
        size = WINDOW * 5
        for window in (0, 1, 7):
            rows = np.concatenate([plan.batch(window * WINDOW + step)[0] for step in range(WINDOW)])
            assert sorted(rows) == sorted(stream[window * size : (window + 1) * size])


def test_a_batch_of_too_many_passes_is_refused():
    with pytest.raises(UserError, match=r"config.batch_size=100: the train split has 6 examples"):
        Plan(np.full(6, 7), 100, 0, 1)
    Plan(np.full(6, 7), 96, 0, 1)
