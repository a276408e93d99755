"""What a training step sends between devices: its sums, in one vector, and nothing else but the mean KL of a floor."""

import sys

import jax
import numpy as np
import pytest
from flax import nnx
from processes import ROOT

from magenta_lite import hosts, models
from magenta_lite.pipeline import PreparedData, collate
from magenta_lite.training import Steps, fetch, make_optimizer

sys.path.insert(0, str(ROOT / "benchmarks"))
from contestants.collectives import all_reduces

pytestmark = pytest.mark.usefixtures("quick_to_compile")

# Family: the fixture of its data, options of a tiny model, all-reduces of a step.
FAMILIES = {
    "sketch_rnn": (
        "toy",
        {"encoder_size": 8, "decoder_size": 12, "latent_size": 4, "mixtures": 3, "kl_min": 0.2},
        2,
    ),
    "performance_rnn": ("toy_performances", {"layers": (8, 8)}, 1),
    "music_vae": (
        "toy_melodies",
        {"latent_size": 4, "encoder_layers": (8,), "decoder_layers": (12,), "free_bits": 2.0},
        1,
    ),
}
OPTIMIZER = {"learning_rate": 1e-3, "min_learning_rate": 1e-5, "decay_rate": 0.99, "clip_value": 1.0, "clip_norm": 1.0}


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_travel_as_one_vector(request, family):
    """Four devices; of all parameters together with all sums. The mean KL, two numbers, comes before."""
    fixture, options, count = FAMILIES[family]
    data, module = PreparedData(request.getfixturevalue(fixture)), models.family(family)
    codec, _ = module.Codec.from_data({}, data)
    model = module.Model(codec, rngs=nnx.Rngs(0), **options)
    steps = Steps(model, make_optimizer(**OPTIMIZER), 0, jax.devices()[:4])
    examples = [codec.excerpt(data.example("train", row)) for row in (0, 7, 13)]
    batch = collate(examples, int(codec.lengths(data.lengths["train"]).max()))
    state = steps.start()
    program = steps._train.lower(state, steps._cut(batch), np.zeros(4, np.float32)).compile().as_text()
    sizes = all_reduces(program)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.parameters))
    sums = fetch(steps.train(state, batch)[1])
    told = len(sums) - 1  # the gradient's norm is of the gradients when they are summed
    assert sorted(sizes) == [8] * (count - 1) + [4 * (parameters + 2 * told)]
    tensors = len(jax.tree.leaves(state.parameters))
    assert tensors > 5  # of which each could have travelled alone


def test_every_all_reduce_of_a_program_is_found():
    text = """
  %a = f32[2735]{0} all-reduce(%x), channel_id=1
  %b = (f32[2,3]{1,0}, s32[]) all-reduce(%y, %z), channel_id=2
  ROOT %c = f32[4]{0} all-reduce-start(%x)
  %d = f32[4]{0} all-reduce-done(%c)
"""
    assert all_reduces(text) == [4 * 2735, 28, 16]
    with pytest.raises(ValueError, match="all-gather"):
        all_reduces(text + "  %e = f32[4]{0} all-gather(%x)\n")


@pytest.mark.parametrize("size", [0, 1, 7, 64, 101])
def test_bytes_are_sent_in_portions(monkeypatch, size):
    """A state may be larger than what one array of bytes can be: 235 million parameters are 2.8 GB."""
    from jax.experimental import multihost_utils

    sent = []

    def broadcast(array):
        sent.append(array)
        return array

    monkeypatch.setattr(multihost_utils, "broadcast_one_to_all", broadcast)
    content = np.random.default_rng(size).integers(0, 256, size).astype(np.uint8)
    np.testing.assert_array_equal(hosts._sent(content, portion=4), content)
    assert all(len(part) <= 4 for part in sent)
    assert len(sent) == -(-size // 16)
