"""The parts of a batch that the hosts make are the whole batch, array by array, whatever its size."""

import numpy as np
import pytest

from magenta_lite import models
from magenta_lite.pipeline import Plan, PreparedData, evaluation_batches, training_batches

FAMILIES = {
    "sketch_rnn": ("toy", {}),
    "performance_rnn": ("toy_performances", {"crop": 40}),
    "music_vae": ("toy_melodies", {"transpose": 3}),
}


def parts_of(size, hosts, devices):
    """The rows of each host, as Steps.part gives them."""
    each = -(-size // (hosts * devices)) * devices
    return [slice(each * host, each * (host + 1)) for host in range(hosts)]


@pytest.mark.parametrize("size", [1, 3, 10, 16])
@pytest.mark.parametrize("family", FAMILIES)
def test_parts_together_are_the_whole(request, family, size):
    """Of training, augmented, and of validation, whose last batch is smaller; 2 hosts of 2 devices, and 4 of one."""
    fixture, options = FAMILIES[family]
    data = PreparedData(request.getfixturevalue(fixture))
    codec, _ = models.family(family).Codec.from_data(options, data)
    lengths = {split: codec.lengths(stored) for split, stored in data.lengths.items()}
    plan = Plan(lengths["train"], size, 5, 2, codec.takes(data.lengths["train"]))

    def batches(part):
        trained = training_batches(data, codec.encode, plan, 3, 7, part)
        split = evaluation_batches(data, "train", codec.excerpt, lengths["train"], size, plan.buckets, part)
        return [*trained, *split]

    whole = batches(None)
    assert any(batch["real"].sum() < size for batch in whole) == bool((lengths["train"] > 0).sum() % size)
    for hosts, devices in ((2, 2), (4, 1)):
        parts = [batches(part) for part in parts_of(size, hosts, devices)]
        for batch, *theirs in zip(whole, *parts, strict=True):
            for name, value in batch.items():
                together = np.concatenate([part[name] for part in theirs])
                assert together.dtype == value.dtype
                np.testing.assert_array_equal(together[:size], value, err_msg=name)
                # What fills up is zeros, real and length among them.
                assert not together[size:].any()
            assert all(len(part["real"]) == len(theirs[0]["real"]) for part in theirs)
