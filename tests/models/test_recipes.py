"""Every variant of every recipe makes a model that sample.py can load from a workdir."""

import inspect
import json
import runpy
from pathlib import Path

import pytest
from flax import nnx
from ml_collections import ConfigDict

from magenta_lite import models

RECIPES = {
    path.stem: runpy.run_path(str(path)) for path in sorted((Path(__file__).parents[2] / "configs").glob("*.py"))
}
DECIDED = {"scale": 1.0, "n_max": 8, "labels": ("cat", "pig")}
"""What the training data would."""


@pytest.mark.parametrize(
    ("name", "variant"), [(name, variant) for name, recipe in RECIPES.items() for variant in recipe["VARIANTS"]]
)
def test_a_models_programs_can_be_kept(name, variant):
    # As a workdir gives it back: tuples are lists.
    config = ConfigDict(json.loads(RECIPES[name]["get_config"](variant).to_json_best_effort()))
    codec = models.family(config.family).Codec
    fields = {field: value for field, value in DECIDED.items() if field in inspect.signature(codec).parameters}
    graph, _ = nnx.split(models.outline(config, codec(**fields, **config.codec.to_dict())))
    assert hash(graph) == hash(graph)
