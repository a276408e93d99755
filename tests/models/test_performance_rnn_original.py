"""Which Performance RNN has the original's variables, and the way of its weights there and back."""

import jax
import numpy as np
import pytest
from flax import nnx

from magenta_lite.errors import UserError
from magenta_lite.models.performance_rnn import Codec, Model, original

CELL = "rnn/multi_rnn_cell/cell_{}/basic_lstm_cell"


def small(config="performance_with_dynamics", layers=(6, 6), **options):
    """A model of the original's named config, with random weights."""
    codec = dict(original.CONFIGS[config])
    inputs = codec.pop("inputs", "one_hot")
    return filled(Codec(**codec), layers=layers, inputs=inputs, **options)


def filled(codec, **options):
    """A model whose weights are drawn by numpy, which takes no time to compile."""
    graph, state = nnx.split(nnx.eval_shape(lambda: Model(codec, rngs=nnx.Rngs(0), **options)))
    rng = np.random.default_rng(1)
    return nnx.merge(graph, jax.tree.map(lambda w: rng.normal(0, 0.4, w.shape).astype(np.float32), state))


def blank(model):
    """The same without weights."""
    graph, state = nnx.split(model)
    return nnx.merge(graph, jax.tree.map(np.zeros_like, state))


def equal(one, other):
    leaves = [jax.tree.leaves(nnx.state(model, nnx.Param)) for model in (one, other)]
    return all(np.array_equal(mine, theirs) for mine, theirs in zip(*leaves, strict=True))


@pytest.mark.parametrize("config", original.CONFIGS)
def test_every_named_config_is_told_by_its_shapes(config):
    model = small(config)
    weights = original.weights(model)
    assert original.recognised(weights)
    for given in ({}, {"config": config}):
        codec, options = original.described(weights, **given)
        assert codec == model.codec
        assert options == {"layers": (6, 6), "inputs": model.inputs, "residual": False}
    again = blank(model)
    original.load(again, weights)
    assert equal(again, model)


VARIANTS = {"attention": {"attention": 3}, "residual": {"residual": True}}
VARIANTS["both"] = VARIANTS["attention"] | VARIANTS["residual"]


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_attention_and_residual_layers_come_back(options):
    model = small(**options)
    weights = original.weights(model)
    given = {"attention": 3} if "attention" in options else {}
    codec, found = original.described(weights, **given)
    assert codec == model.codec and {"residual": False} | options == {
        name: value for name, value in found.items() if name not in ("layers", "inputs")
    }
    again = blank(model)
    original.load(again, weights)
    assert equal(again, model)


def test_the_names_around_attention_are_those_of_the_browsers_library():
    names = {name for name in original.weights(small(attention=3)) if "attention_cell_wrapper" in name}
    scope = "rnn/multi_rnn_cell/cell_0/attention_cell_wrapper/"
    assert names == {scope + name for name in (
        "kernel", "bias", "basic_lstm_cell/kernel", "basic_lstm_cell/bias", "attention/attn_w", "attention/attn_v",
        "attention/kernel", "attention/bias", "attention_output_projection/kernel", "attention_output_projection/bias",
    )}  # fmt: skip


def test_other_loudnesses():
    codec = Codec(velocity_bins=8)
    model = filled(codec, layers=(4,))
    assert original.described(original.weights(model))[0] == codec


def test_cells_of_cudnn_have_the_forget_bias_in_them():
    model = small()
    weights = {}
    for name, value in original.weights(model).items():
        name = name.replace("rnn/", "cudnn_lstm/rnn/", 1) if name.startswith("rnn/") else name
        weights[name.replace("basic_lstm_cell", "cudnn_compatible_lstm_cell")] = value
        if name.endswith("cell/bias"):
            value[12:18] += 1
    assert original.described(weights)[0] == model.codec
    again = blank(model)
    original.load(again, weights)
    for mine, theirs in zip(again.layers, model.layers, strict=True):
        np.testing.assert_allclose(mine.bias[...], theirs.bias[...], atol=1e-6)


def test_what_does_not_fit_is_refused():
    weights = original.weights(small())

    def refusal(changed, **given):
        with pytest.raises(UserError) as error:
            original.described(changed, **given)
        return str(error.value)

    def without(name):
        return {one: value for one, value in weights.items() if one != name}

    kernel = CELL.format(0) + "/kernel"
    assert "did you mean 'performance'" in refusal(weights, config="performanc")
    assert "are those of performance_with_dynamics" in refusal(weights, config="performance")
    assert "no layer of this model attends" in refusal(weights, attention=4)
    assert f"{CELL.format(1)}/bias is missing" in refusal(without(CELL.format(1) + "/bias"))
    assert "layer(s) [1]" in refusal(without(kernel))
    assert "fully_connected/biases is missing" in refusal(without("fully_connected/biases"))
    assert "it reads 390 numbers" in refusal(weights | {kernel: np.zeros((396, 24), np.float32)})
    other = weights | {"fully_connected/weights": np.zeros((6, 38), np.float32)}
    assert "38 classes of events" in refusal(other) and "melodies" in refusal(other)
    other = weights | {"fully_connected/weights": np.zeros((6, 315), np.float32)}
    assert "the 315 classes of notes" in refusal(other)
    assert "expected" in refusal(weights | {CELL.format(1) + "/kernel": np.zeros((11, 24), np.float32)})
    wrapped = {name.replace("cell_1/", "cell_1/input_projection_wrapper/"): value for name, value in weights.items()}
    assert "layer 1 has a wrapper" in refusal(wrapped)
    assert "how many is not in a checkpoint" in refusal(original.weights(small(attention=3)))
    with pytest.raises(KeyError):
        original.load(small(), without("fully_connected/biases"))
    with pytest.raises(ValueError, match="2 cells, where the model has 3"):
        original.load(small(layers=(6, 6, 6)), weights)


def test_others_are_not_recognised():
    assert not original.recognised(["fully_connected/weights", "vector_rnn/RNN/output_w"])
    assert not original.recognised([CELL.format(0) + "/kernel"])
