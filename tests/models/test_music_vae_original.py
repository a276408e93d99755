"""The original's variables: out of a model as they went in, and the model that they belong to."""

import json

import numpy as np
import pytest
from flax import nnx

from magenta_lite.errors import UserError
from magenta_lite.models.music_vae import Codec, Model, original
from magenta_lite.models.music_vae.variables import variables

FACTS = {
    "cat-mel_2bar": {"config": "cat-mel_2bar"},
    "cat-drums_2bar": {"config": "cat-drums_2bar_small"},
    "nade-drums_2bar": {"config": "nade-drums_2bar_reduced"},
    "flat-trio": {"config": "flat-trio_16bar"},
    "hierdec-mel_4x4": {"bars": 4, "steps_per_bar": 4},
    "hier-mel_4x4": {"levels": (4, 4), "steps_per_bar": 4},
    "hierdec-trio_4x4": {"kind": "trio", "bars": 4, "levels": (4, 4)},
    "groovae_2bar_humanize": {"config": "groovae_2bar_humanize"},
}
SMALL = {"latent_size": 5, "encoder_layers": (4,), "decoder_layers": (6, 6)}
HIERARCHICAL = {"encoder": "hierarchical", "decoder": "hierarchical"}
MODELS = [
    ({"kind": "melody", "chords": True}, {"encoder_layers": (4, 7)}),
    ({"kind": "groove", "groove_input": "hits_control"}, {}),
    ({"kind": "groove", "bars": 4}, HIERARCHICAL),
    ({"kind": "drum_roll", "drum_classes": 61}, {"nade_hidden": 3, "decoder": "hierarchical"}),
    ({"kind": "trio", "bars": 4}, {**HIERARCHICAL, "levels": (4, 2, 8)}),
    ({"kind": "trio", "bars": 4, "steps_per_bar": 12}, {"decoder": "hierarchical", "conductor_input": "state"}),
    ({"kind": "melody", "bars": 4}, {**HIERARCHICAL, "conductor_input": "reencoded"}),
]


def outline(codec, options):
    """A model with shapes in the place of weights: to draw them takes seconds."""
    return nnx.eval_shape(lambda: Model(codec, rngs=nnx.Rngs(0), **options))


def drawn(codec, **options):
    """Weights of a model, by the original's names."""
    rng = np.random.default_rng(1)
    return {one.name: rng.normal(size=one.shape).astype(np.float32) for one in variables(outline(codec, options))}


@pytest.mark.parametrize("name", FACTS)
def test_parity_variables_give_their_model_and_come_back(name, shared):
    with np.load(shared("parity", f"music_vae_{name}.npz")) as file:
        hyper = json.loads(str(file["hparams"]))
        weights = {key.removeprefix("weight/"): file[key] for key in file.files if key.startswith("weight/")}
    assert original.recognised(weights)
    codec, options = original.described(weights | {"global_step": np.int64(3)}, **FACTS[name])
    assert codec.steps == hyper["max_seq_len"]
    assert options["latent_size"] == hyper["z_size"]
    assert list(options["encoder_layers"]) == hyper["enc_rnn_size"]
    assert list(options["decoder_layers"]) == hyper["dec_rnn_size"]
    assert options.get("nade_hidden") == hyper.get("nade_num_hidden")
    assert codec.groove_input == ("humanize" if name.startswith("groovae") else "groove")
    model = outline(codec, options)
    original.load(model, weights)
    _same(original.weights(model), weights)


@pytest.mark.parametrize(("codec", "options"), MODELS)
def test_other_models_are_found_by_their_variables(codec, options):
    codec, options = Codec(**codec), SMALL | options
    weights = drawn(codec, **options)
    facts = {"levels": options["levels"]} if "levels" in options else {}
    given = codec.groove_input if codec.kind == "groove" else None
    found, made = original.described(
        weights, bars=codec.bars, steps_per_bar=codec.steps_per_bar, groove_input=given, **facts
    )
    assert found == codec
    for name, value in options.items():
        assert made[name] == value, name
    model = outline(found, made)
    original.load(model, weights)
    _same(original.weights(model), weights)


def _same(found, expected):
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.fixture(scope="module")
def melody():
    return drawn(Codec(), **SMALL)


@pytest.fixture(scope="module")
def groove():
    return drawn(Codec(kind="groove"), **SMALL)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, "how long its slices are: give --bars"),
        ({"config": "cat-drums_2bar_small"}, "config=cat-drums_2bar_small does not fit: .* kind melody"),
        ({"kind": "trio", "bars": 2}, "kind=trio does not fit"),
        ({"config": "cat-mel_3bar"}, "config=cat-mel_3bar is no config of the original: did you mean 'cat-mel_2bar'"),
        ({"bars": 2, "levels": (3, 5)}, "levels=3,5: expected a product of"),
        ({"bars": 2, "groove_input": "humanize"}, "groove_input=humanize is for grooves"),
        ({"bars": 0, "levels": (0, 5)}, "expected whole numbers of at least 1"),
    ],
)
def test_facts_that_do_not_fit_are_refused(melody, facts, expected):
    with pytest.raises(UserError, match=expected):
        original.described(melody, **facts)


def test_what_the_encoder_of_a_groove_is_given_must_be_known(groove):
    with pytest.raises(UserError, match="give groove_input, of groove, humanize"):
        original.described(groove, bars=2)
    with pytest.raises(UserError, match="hits_control does not fit: the model is told nothing"):
        original.described(groove, bars=2, groove_input="hits_control")


def test_damage_is_named(melody):
    kernel = "decoder/multi_rnn_cell/cell_1/lstm_cell/kernel"
    other = "encoder/cell_0/bidirectional_rnn/bw/multi_rnn_cell/cell_0/lstm_cell/kernel"
    for changed, expected in (
        ({name: value for name, value in melody.items() if name != kernel}, f"the variable {kernel} is missing"),
        (melody | {other: np.zeros((3, 4))}, f"{other} has the shape \\(3, 4\\): expected \\(94, 16\\)"),
        (melody | {other: np.zeros(3)}, "expected 2 axes"),
        (melody | {"decoder/attention/kernel": np.zeros(3)}, "1 of its variables are unknown, 'decoder/attention"),
        (melody | {"decoder/output_projection/bias": np.zeros(91)}, "91 outputs: expected 90"),
        (melody | {"control_preprocessing/cell_0/kernel": np.zeros(1)}, "control_preprocessing"),
    ):
        with pytest.raises(UserError, match=expected):
            original.described(changed, bars=2)


def test_residual_models_have_no_names():
    with pytest.raises(UserError, match="residual"):
        original.weights(outline(Codec(), {**SMALL, "decoder_residual": True}))


def test_configs_are_found_in_names():
    assert original.config_in("models/hierdec-trio_16bar.tar") == "hierdec-trio_16bar"
    assert original.config_in("cat-mel_2bar_big.tar") == "cat-mel_2bar_big"
    assert original.config_in("groovae_2bar_humanize.ckpt.index") == "groovae_2bar_humanize"
    assert original.config_in("model.ckpt-3061") is None


def test_other_variables_are_not_recognised():
    assert not original.recognised(["vector_rnn/RNN/output_w", "rnn/multi_rnn_cell/cell_0/basic_lstm_cell/kernel"])
