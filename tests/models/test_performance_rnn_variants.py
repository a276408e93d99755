"""Every variant of the recipe, as its codec and model take it, on built-in performances."""

import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magenta_lite import models
from magenta_lite.models.performance_rnn import Codec
from magenta_lite.pipeline import PreparedData, collate

RECIPE = runpy.run_path(str(Path(__file__).parents[2] / "configs/performance_rnn.py"))
CLASSES = {"plain": 356, "paper": 413, "notes": 13 + 77 + 128 + 32 + 25 + 40}
INPUTS = {"modulo": 16, "density": 8 + 388, "histogram": 12 + 388, "both": 20 + 388, "optional_both": 21 + 388}


@pytest.fixture(autouse=True, scope="module")
def always_quick_to_compile(quick_to_compile):
    """These models are tiny."""


def test_the_originals_nine_are_there():
    nine = "plain dynamics compact modulo notes density histogram both optional_both"
    assert set(nine.split()) < set(RECIPE["VARIANTS"])


@pytest.mark.parametrize("variant", RECIPE["VARIANTS"])
def test_a_variant_learns(variant, toy_performances):
    config = RECIPE["get_config"](variant)
    config.model.layers = (6,)
    config.codec.crop = 24
    data = PreparedData(toy_performances)
    codec, _ = Codec.from_data(config.codec.to_dict(), data)
    model = models.build(config, codec)
    classes = CLASSES.get(variant, 388)
    assert sum(model.vocabulary.fields) == model.output.kernel.shape[1] == classes
    kernel = model.projection.kernel if model.residual else model.layers[0].w_xh
    assert kernel.shape[0] == INPUTS.get(variant, classes)
    crops = [codec.encode(data.example("train", row), np.random.default_rng(row)) for row in range(3)]
    batch = jax.tree.map(jnp.asarray, collate(crops, 24))
    keys = jax.random.split(jax.random.key(0), 3)
    total, weight = model(batch, keys=keys, step=0, train=True)["loss"]
    fields = len(model.vocabulary.fields)
    guessing = sum(np.log(size) for size in model.vocabulary.fields)
    assert weight.tolist() == [23.0] * 3
    # An untrained model guesses, or nearly so.
    np.testing.assert_allclose(total.sum() / weight.sum(), guessing, atol=0.3 * fields)


def test_optional_controls_are_left_out_of_half_the_crops(toy_performances):
    config = RECIPE["get_config"]("optional_both")
    data = PreparedData(toy_performances)
    codec, _ = Codec.from_data(config.codec.to_dict(), data)
    example = data.example("train", 0)
    told = [float(codec.encode(example, np.random.default_rng(seed))["told"]) for seed in range(200)]
    assert set(told) == {0.0, 1.0}
    assert 0.35 < np.mean(told) < 0.65
    assert codec.encode(example)["told"] == codec.excerpt(example)["told"] == 1
