"""Every family through the same contract, as docs/design.md states it."""

import dataclasses
import json
import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from magenta_lite import models
from magenta_lite.errors import Rejected, UserError
from magenta_lite.music import midi, midi_writing
from magenta_lite.pipeline import PreparedData, collate

OPTIONS = {
    "sketch_rnn": {
        "encoder_size": 8,
        "decoder_size": 12,
        "latent_size": 4,
        "mixtures": 3,
        "label_size": 2,
        "compute_dtype": "float32",
    },
    "performance_rnn": {"layers": (8, 8), "residual": True, "compute_dtype": "float32"},
    "music_vae": {"latent_size": 4, "encoder_layers": (8, 8), "decoder_layers": (12,)},
}
TRAINING = {"sketch_rnn": "toy", "performance_rnn": "toy_performances", "music_vae": "toy_melodies"}
"""The fixture of each family's prepared data."""
CODECS = {"music_vae": {"transpose": 3}}
CONTINUES = ("sketch_rnn", "performance_rnn")
"""Those that can go on from a beginning; others refuse it."""
FAMILIES = sorted(module.name for module in pkgutil.iter_modules(models.__path__) if module.ispkg)


def example_again(codec, example, decoded, tmp_path):
    """An example of what decode gave: through a file, for pieces."""
    if isinstance(decoded, np.ndarray):
        return {**example, "strokes": decoded}
    content = midi_writing.to_bytes(decoded)
    if "steps_per_bar" in example:
        (tmp_path / "again.mid").write_bytes(content)
        (_, read), *_ = codec.read(tmp_path / "again.mid")
        return read
    return {**midi.parse(content).pack(), "name": example["name"]}


def columns(decoded):
    """The arrays of a drawing or a piece."""
    if isinstance(decoded, np.ndarray):
        return [decoded]
    return [decoded.start, decoded.end, decoded.pitch, decoded.velocity]


def length_of(arrays):
    return max(len(value) for value in arrays.values() if np.ndim(value))


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    """Codec, model, examples of prepared data, and a batch of them."""
    folder = request.getfixturevalue(TRAINING[request.param])
    module, data = models.family(request.param), PreparedData(folder)
    codec, touched = module.Codec.from_data(CODECS.get(request.param, {}), data)
    assert touched == {}
    model = module.Model(codec, rngs=nnx.Rngs(0), **OPTIONS[request.param])
    examples = [data.example("train", row) for row in (0, 7, 13, 21)]
    encoded = [codec.encode(example) for example in examples]
    lengths = codec.lengths(data.lengths["train"])
    assert (codec.takes(data.lengths["train"]) >= 1).all()
    batch = collate([codec.excerpt(example) for example in examples], int(lengths.max()), rows=5)
    return codec, model, examples, encoded, jax.tree.map(jnp.asarray, batch)


def test_codec_survives_json(family):
    codec = family[0]
    assert type(codec)(**json.loads(json.dumps(dataclasses.asdict(codec)))) == codec


def test_what_decode_gives_comes_back_through_encode(family, tmp_path):
    """Drawings and pieces, not numbers: which of two notes of one step stands first is the grid's choice."""
    codec, _, examples, encoded, _ = family
    for example, arrays in zip(examples, encoded, strict=True):
        assert not isinstance(arrays, Rejected)
        decoded = codec.decode({**arrays, "length": length_of(arrays)})
        again = codec.encode(example_again(codec, example, decoded, tmp_path))
        for one, other in zip(
            columns(decoded), columns(codec.decode({**again, "length": length_of(again)})), strict=True
        ):
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_what_training_and_validation_read_is_no_longer_than_planned(family):
    codec, _, examples, _, _ = family
    longest = codec.lengths(np.array([10**6]))[0] or codec.lengths(np.array([100]))[0]
    for example in examples:
        for arrays in (codec.excerpt(example), codec.encode(example, np.random.default_rng(0))):
            assert 0 < length_of(arrays) <= longest
        for name, value in codec.excerpt(example).items():
            np.testing.assert_array_equal(codec.excerpt(example)[name], value)


def test_encoding_for_training_is_a_function_of_the_seed(family):
    codec, _, examples, encoded, _ = family
    first, second, other = (codec.encode(examples[0], np.random.default_rng(seed)) for seed in (1, 1, 2))
    for name in encoded[0]:
        np.testing.assert_array_equal(first[name], second[name])
    assert any(not np.array_equal(first[name], other[name]) for name in first)


def test_metrics_are_totals_and_weights_of_examples(family):
    _, model, _, _, batch = family
    keys = jax.random.split(jax.random.key(0), 5)
    for train in (True, False):
        metrics = jax.jit(lambda train=train: model(batch, keys=keys, step=3, train=train))()
        assert "loss" in metrics
        for name, (total, weight) in metrics.items():
            assert total.shape == weight.shape == (5,), name
            assert np.isfinite(total).all(), name
            assert float(total[4]) == float(weight[4]) == 0, f"{name} counts an example that is not real"


def test_every_parameter_learns(family):
    _, model, _, _, batch = family
    graph, parameters = nnx.split(model, nnx.Param)
    keys = jax.random.split(jax.random.key(0), 5)

    def loss(parameters):
        return nnx.merge(graph, parameters)(batch, keys=keys, step=3, train=True)["loss"][0].sum()

    for path, gradient in jax.tree_util.tree_leaves_with_path(jax.jit(jax.grad(loss))(parameters)):
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 0, jax.tree_util.keystr(path)


def test_score_is_per_position(family):
    _, model, _, _, batch = family
    scores, _ = jax.jit(lambda: model.score(batch))()
    steps = next(value for value in batch.values() if value.ndim > 1).shape[1]
    assert all(value.shape == (5, steps) for value in scores.values())


def test_samples_can_be_decoded_written_and_begun(family, tmp_path):
    from magenta_lite.sheet import Item, Sheet

    codec, model, _, encoded, _ = family
    keys = jax.random.split(jax.random.key(0), 3)
    begun = collate([{n: v[:4] if np.ndim(v) else v for n, v in encoded[0].items()}] * 3, 4)
    condition = {name: jnp.asarray(begun[name]) for name in model.conditions}
    program = jax.jit(lambda prime: model.sample(keys, temperature=0.5, condition=condition, prime=prime))
    items, begun = [], jax.tree.map(jnp.asarray, begun)
    if type(model).__module__.split(".")[-2] not in CONTINUES:
        with pytest.raises(UserError, match="continues nothing"):
            program(begun)
        begun = None
    for prime in (None, begun):
        drawn = jax.device_get(program(prime))
        for i in range(3):
            items.append(Item(codec.decode({name: value[i] for name, value in drawn.items()})))
    paths = codec.write(Sheet([items[:3], items[3:]]), tmp_path)
    assert paths
    assert all(path.parent == tmp_path and path.stat().st_size > 0 for path in paths)


def test_posterior_where_there_is_a_latent_space(family):
    _, model, _, _, batch = family
    if not model.has_latent:
        pytest.skip("no latent space")
    mean, log_var = jax.jit(lambda: model.posterior(batch))()
    assert mean.shape == log_var.shape
    assert np.isfinite(mean).all()
    assert np.isfinite(log_var).all()
