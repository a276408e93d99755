"""The original's variables: recognised, described, loaded and given back."""

import json

import numpy as np
import pytest
from flax import nnx

from magenta_lite.errors import UserError
from magenta_lite.models.sketch_rnn import Codec, Model, original

CASES = [f"{cell}_{kind}" for cell in ("lstm", "layer_norm", "hyper") for kind in ("cond", "uncond")]


@pytest.fixture(params=CASES)
def variables(request, shared):
    """The variables of the original, and its options."""
    with np.load(shared("parity", f"sketch_rnn_{request.param}.npz")) as file:
        prefix = "weight/"
        found = {name.removeprefix(prefix): file[name] for name in file.files if name.startswith(prefix)}
        return found, json.loads(str(file["hparams"]))


def test_described_loaded_and_given_back(variables):
    theirs, options = variables
    codec, ours = original.described(theirs | {"vector_rnn/global_step": np.int64(3)}, scale=2.5, name="sheep")
    assert original.recognised(theirs) and not original.recognised(["encoder/mu/kernel"])
    assert (codec.scale, codec.n_max, codec.max_points, codec.labels) == (2.5, 250, 250, ("sheep",))
    wanted = {
        "conditional": options["conditional"],
        "decoder_cell": options["dec_model"],
        "decoder_size": options["dec_rnn_size"],
        "mixtures": options["num_mixture"],
        "log_sigma_min": -20.0,
    }
    if options["conditional"]:
        wanted |= {"encoder_cell": options["enc_model"], "encoder_size": options["enc_rnn_size"]}
        wanted |= {"latent_size": options["z_size"]}
    assert ours == wanted
    model = Model(codec, rngs=nnx.Rngs(0), **ours)
    original.load(model, theirs)
    back = original.weights(model)
    assert back.keys() == theirs.keys()
    for name, value in theirs.items():
        np.testing.assert_array_equal(back[name], value, err_msg=name)
        assert back[name].dtype == np.float32
    # Every parameter has a place: another model gets all of this one.
    other = Model(codec, rngs=nnx.Rngs(1), **ours)
    original.load(other, back)
    for path, one in nnx.to_flat_state(nnx.state(model, nnx.Param)):
        np.testing.assert_array_equal(one[...], dict(nnx.to_flat_state(nnx.state(other, nnx.Param)))[path][...])


def test_what_no_model_has_is_refused(variables):
    theirs, _ = variables
    for name in sorted(theirs)[::4]:
        with pytest.raises(UserError, match=r"is missing|no cell below"):
            original.described({one: value for one, value in theirs.items() if one != name}, scale=1.0)
        with pytest.raises(UserError, match="variable"):
            original.described(theirs | {name: theirs[name][..., :-1]}, scale=1.0)
        with pytest.raises(UserError, match="variable"):
            original.described(theirs | {name: theirs[name][None]}, scale=1.0)


@pytest.fixture
def small():
    """A decoder and its variables."""
    options = {"conditional": False, "decoder_size": 4, "mixtures": 2}
    return original.weights(Model(Codec(scale=1.0, n_max=9, labels=("a",)), rngs=nnx.Rngs(0), **options))


def test_the_scale_has_to_be_given(small):
    with pytest.raises(UserError, match=r"--scale=NUMBER.*18\.5198"):
        original.described(small)
    with pytest.raises(UserError, match="scale=-1"):
        original.described(small, scale=-1.0)


def test_facts(small):
    codec, _ = original.described(small, scale=1.0, max_points=300, size=50.0)
    assert (codec.n_max, codec.max_points, codec.size, codec.labels) == (300, 300, 50.0, ("drawing",))
    assert original.described(small, scale=1.0, max_points=100)[0].n_max == 100


def test_shapes_that_are_no_model(small):
    for name, value, told in (
        ("vector_rnn/RNN/output_w", np.zeros((4, 14)), "14 columns"),
        ("vector_rnn/RNN/output_w", np.zeros((4, 3)), "3 columns"),
        ("vector_rnn/RNN/LSTMCell/W_hh", np.zeros((0, 0)), "decoder_size would be 0"),
        ("vector_rnn/RNN/LSTMCell/W_hh", np.zeros((1 << 20, 0)), "decoder_size would be 1048576"),
        ("vector_rnn/RNN/HyperLSTMCell/W_hh", np.zeros((4, 16)), "HyperLSTMCell, LSTMCell"),
    ):
        with pytest.raises(UserError, match=told):
            original.described(small | {name: value}, scale=1.0)


def test_labels_are_not_the_originals():
    codec = Codec(scale=1.0, n_max=9, labels=("a", "b"))
    model = Model(codec, rngs=nnx.Rngs(0), conditional=False, decoder_size=4, mixtures=2, label_size=3)
    with pytest.raises(ValueError, match="no labels"):
        original.weights(model)
