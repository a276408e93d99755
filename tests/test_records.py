"""Records by number: what tfds reads, from every file, from threads, and nothing beyond the end."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data.drawing_records import Drawings
from data.toy.__main__ import main
from magenta_lite.pipeline import PreparedData
from magenta_lite.records import Records


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    """A set whose train split lies in several files."""
    folder = tmp_path_factory.mktemp("prepared") / "toy"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Drawings, "shard", 7)
        main(count=10, classes=["star", "sun", "tree"], out=str(folder))
    return tfds.builder_from_directory(folder)


def same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name])


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_records_are_those_of_tfds(builder, split):
    expected = builder.as_data_source(split)
    records = Records(builder, split)
    if split == "train":
        assert len(builder.info.splits[split].filepaths) > 2
    for number in np.random.default_rng(0).permutation(len(expected)).tolist():
        same(records[number], expected[number])


def test_threads_read_the_same(builder):
    records, expected = Records(builder, "train"), builder.as_data_source("train")
    numbers = np.random.default_rng(1).integers(0, len(expected), 300).tolist()
    with ThreadPoolExecutor(8) as pool:
        for number, found in zip(numbers, pool.map(records.__getitem__, numbers), strict=True):
            same(found, expected[number])


def test_there_is_nothing_beyond_the_ends(builder):
    records = Records(builder, "train")
    for number in (-1, builder.info.splits["train"].num_examples):
        with pytest.raises(IndexError):
            records[number]


def test_prepared_data_travels_to_other_processes(builder):
    import pickle

    data = PreparedData(builder.data_dir)
    first = data.example("train", 0)
    same(pickle.loads(pickle.dumps(data)).example("train", 0), first)
