"""A workdir of an older version of the code: one line that names the difference, from training and from sampling."""

import json
import runpy
import shutil

import jax.numpy as jnp
import pytest
from flax import nnx
from frame import ROOT, TINY

from magenta_lite import models, workdirs
from magenta_lite.checkpoint import Checkpoints
from magenta_lite.errors import UserError
from magenta_lite.pipeline import PreparedData
from magenta_lite.sampler import Sampler
from magenta_lite.training import State

pytestmark = pytest.mark.usefixtures("quick_to_compile")


@pytest.fixture(scope="module")
def config(toy):
    config = runpy.run_path(str(ROOT / "configs" / "sketch_rnn.py"))["get_config"]("tiny")
    config.update_from_flattened_dict(TINY | {"data.dir": str(toy)})
    return config


@pytest.fixture(scope="module")
def begun(tmp_path_factory, config):
    """A workdir whose best checkpoint is of the start."""
    workdir = tmp_path_factory.mktemp("begun") / "run"
    codec, held = workdirs.prepare(workdir, config, PreparedData(config.data.dir))
    parameters = nnx.state(models.build(config, codec), nnx.Param)
    checkpoints = Checkpoints(workdir)
    checkpoints.save_best(State(parameters, {"moment": jnp.zeros(1)}, jnp.int32(0)), 1.0)
    checkpoints.close()
    held.close()
    return workdir


@pytest.fixture
def workdir(begun, tmp_path):
    return shutil.copytree(begun, tmp_path / "run")


def rewrite(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def drop(value, section, name):
    del value[section][name]


REFUSED = {
    "unknown here": (lambda value: value["model"].update(old=3), "model.old: 3 -> missing"),
    "missing there": (lambda value: drop(value, "model", "kl_min"), "model.kl_min: missing -> 0.05"),
    "a section": (lambda value: value.update(schedule={"rate": 2}), "schedule.rate: 2 -> missing"),
    "another value": (lambda value: value["model"].update(latent_size=5), "model.latent_size: 5 -> 4"),
    "another kind": (lambda value: value["model"].update(latent_size=[4]), "model.latent_size: [4] -> 4"),
}


@pytest.mark.parametrize("change", REFUSED)
def test_training_names_each_field_old_and_new(workdir, config, change):
    function, expected = REFUSED[change]
    rewrite(workdir / "config.json", function)
    before = sorted(path.name for path in workdir.iterdir())
    with pytest.raises(UserError) as error:
        workdirs.prepare(workdir, config, PreparedData(config.data.dir))
    assert str(error.value) == f"{workdir} is of another config ({expected}): choose another --workdir"
    assert sorted(path.name for path in workdir.iterdir()) == before


def test_sampling_names_what_its_model_does_not_have(workdir):
    assert Sampler(workdir).step == 0
    rewrite(workdir / "config.json", lambda value: value["model"].update(latent_sise=5))
    with pytest.raises(
        UserError, match=r"config\.model\.latent_sise is no option of sketch_rnn: did you mean 'latent_size'"
    ):
        Sampler(workdir)


def test_sampling_names_parameters_that_differ(workdir):
    rewrite(workdir / "config.json", lambda value: value["model"].update(decoder_size=16))
    with pytest.raises(UserError) as error:
        Sampler(workdir)
    assert "best/0 is of another model: decoder/" in str(error.value)
    assert " there and float32 (" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_codec_with_other_fields_is_named(workdir, config):
    rewrite(workdir / "codec.json", lambda value: value.update(old=1, scale=value.pop("scale")))
    expected = "codec.json is of another version of magenta_lite: old is unknown here$"
    with pytest.raises(UserError, match=expected):
        Sampler(workdir)
    with pytest.raises(UserError, match=expected):
        workdirs.prepare(workdir, config, PreparedData(config.data.dir))
    rewrite(workdir / "codec.json", lambda value: (value.pop("old"), value.pop("scale")))
    with pytest.raises(UserError, match=r"codec\.json is of another version of magenta_lite: scale is missing there$"):
        Sampler(workdir)
