"""The network against the original's outputs and against plain numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from magenta_lite.errors import UserError
from magenta_lite.models.performance_rnn import Codec, Model, original
from magenta_lite.models.performance_rnn.vocabulary import EventVocabulary, features

KEYS = jax.random.split(jax.random.key(0), 2)
CONTROLS = ("notes_per_second", "pitch_class_histogram")


@pytest.fixture(autouse=True, scope="module")
def always_quick_to_compile(quick_to_compile):
    """These models are tiny."""


def small(codec=None, layers=(6, 6), **options):
    """A model whose weights are all random, biases among them."""
    model = Model(codec or Codec(), rngs=nnx.Rngs(0), layers=layers, **options)
    graph, state = nnx.split(model)
    rng = np.random.default_rng(1)
    return nnx.merge(graph, jax.tree.map(lambda w: jnp.asarray(rng.normal(0, 0.4, w.shape), jnp.float32), state))


def batch_of(model, length=(9, 5), seed=2):
    rng = np.random.default_rng(seed)
    steps, rows = max(length), len(length)
    batch = {
        "tokens": np.stack([rng.integers(0, size, (rows, steps)) for size in model.vocabulary.fields], -1),
        "length": np.array(length),
        "real": np.ones(rows, np.float32),
    }
    if "density" in model.conditions:
        batch["density"] = rng.integers(0, 8, (rows, steps))
    if "histogram" in model.conditions:
        batch["histogram"] = rng.dirichlet(np.ones(12), (rows, steps)).astype(np.float32)
    if "told" in model.conditions:
        batch["told"] = np.arange(rows, dtype=np.float32) % 2
    return jax.tree.map(jnp.asarray, batch)


def stepwise(model, batch):
    """Logits after each event, by advance."""
    state, logits = model.first_state(len(batch["length"])), []
    for t in range(batch["tokens"].shape[1] - 1):
        told = {n: batch[n] if n == "told" else batch[n][:, t + 1] for n in model.conditions}
        state, now = model.advance(state, batch["tokens"][:, t], told)
        logits.append(now)
    return jnp.stack(logits, 1)


def test_probabilities_are_the_originals(shared):
    with np.load(shared("parity", "performance_rnn.npz")) as file:
        parity = {name: file[name] for name in file.files if name != "hparams"}
    model = Model(Codec(), rngs=nnx.Rngs(0), layers=(12, 12, 12))
    original.load(model, {name.removeprefix("weight/"): value for name, value in parity.items() if "weight/" in name})
    tokens = parity["input/tokens"][..., None]
    batch = {"tokens": jnp.asarray(tokens), "length": jnp.array([30, 30]), "real": jnp.ones(2)}
    np.testing.assert_allclose(
        jax.nn.softmax(stepwise(model, batch)), parity["output/probabilities"][:, :-1], rtol=1e-4
    )
    scored, _ = model.score(batch)
    chosen = np.take_along_axis(parity["output/probabilities"][:, :-1], tokens[:, 1:], axis=2)[..., 0]
    np.testing.assert_allclose(scored["nats"][:, 1:], -np.log(chosen), rtol=1e-4)


def test_the_default_has_the_originals_parameters():
    shapes = nnx.eval_shape(lambda: Model(Codec(), rngs=nnx.Rngs(0)))
    assert sum(leaf.size for leaf in jax.tree.leaves(nnx.split(shapes, nnx.Param)[1])) == 6_242_692


def dense_input(model, batch, t):
    """What the original feeds its first layer to predict event t: controls, then the event before, as one vector."""
    rows = len(batch["length"])
    told = np.asarray(batch.get("told", np.ones(rows)))[:, None]
    parts = [1 - told] if "told" in model.conditions else []
    if "density" in model.conditions:
        parts.append(told * np.eye(8)[batch["density"][:, t]])
    if "histogram" in model.conditions:
        parts.append(told * np.asarray(batch["histogram"][:, t]))
    for field, size in enumerate(model.vocabulary.fields):
        table = features(model.vocabulary) if model.inputs == "modulo" else np.eye(size)
        parts.append(table[batch["tokens"][:, t - 1, field]])
    return np.concatenate(parts, axis=1)


def lstm(x, c, h, layer):
    sigmoid = lambda a: 1 / (1 + np.exp(-a))  # noqa: E731
    i, g, f, o = np.split(x @ np.asarray(layer.w_xh) + h @ np.asarray(layer.w_hh) + np.asarray(layer.bias), 4, axis=1)
    c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
    return c, np.tanh(c) * sigmoid(o)


CASES = {
    "plain": {},
    "modulo": {"inputs": "modulo"},
    "residual": {"residual": True},
    "controls": {"codec": Codec(controls=CONTROLS)},
    "optional controls": {"codec": Codec(controls=CONTROLS, optional_controls=True)},
    "density": {"codec": Codec(controls=CONTROLS[:1])},
    "notes": {"codec": Codec(encoding="notes", max_shift=1000)},
    "attention": {"attention": 3},
    "residual attention": {"attention": 3, "residual": True},
}


def attended(x, state, layer):
    """One step of TensorFlow's AttentionCellWrapper, in its own words: linear, cell, attention, linear."""
    c, h, attns, memory = state
    read = np.concatenate([x, attns], 1) @ np.concatenate([layer.of_input, layer.of_attended]) + np.asarray(layer.bias)
    c, h = lstm(read, c, h, layer.cell)
    query = np.concatenate([c, h], 1) @ np.asarray(layer.query.kernel) + np.asarray(layer.query.bias)
    scores = (np.tanh(memory @ np.asarray(layer.feature) + query[:, None]) * np.asarray(layer.score)).sum(-1)
    weights = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    attns = (weights[..., None] * memory).sum(1)
    out = np.concatenate([h, attns], 1) @ np.asarray(layer.output.kernel) + np.asarray(layer.output.bias)
    return out, (c, h, attns, np.concatenate([memory[:, 1:], out[:, None]], 1))


def reference(model, batch):
    """Logits [B, T - 1, classes] with dense inputs, in float64."""
    rows, steps, _ = batch["tokens"].shape
    zeros, states = np.zeros((rows, 6)), []
    for layer in model.layers:
        length = getattr(layer, "length", None)
        states.append((zeros, zeros, zeros, np.zeros((rows, length, 6))) if length else (zeros, zeros))
    logits = []
    for t in range(1, steps):
        x = dense_input(model, batch, t)
        if model.residual:
            x = x @ np.asarray(model.projection.kernel) + np.asarray(model.projection.bias)
        for number, layer in enumerate(model.layers):
            if len(states[number]) > 2:
                out, states[number] = attended(x, states[number], layer)
            else:
                states[number] = lstm(x, *states[number], layer)
                out = states[number][1]
            x = out + x if model.residual else out
        logits.append(x @ np.asarray(model.output.kernel) + np.asarray(model.output.bias))
    return np.stack(logits, 1)


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_every_way_equals_dense_inputs_in_numpy(options):
    model = small(**options)
    batch = batch_of(model)
    wanted = reference(model, batch)
    np.testing.assert_allclose(stepwise(model, batch), wanted, atol=2e-5)

    edges = np.cumsum(model.vocabulary.fields)[:-1]
    nats = np.zeros(wanted.shape[:2])
    for field, part in enumerate(np.split(wanted, edges, axis=-1)):
        log_p = part - np.log(np.exp(part).sum(-1, keepdims=True))
        nats -= np.take_along_axis(log_p, np.asarray(batch["tokens"])[:, 1:, field, None], axis=2)[..., 0]
    counted = np.arange(1, 9) < np.array([9, 5])[:, None]
    total, weight = model(batch, keys=KEYS, step=0, train=True)["loss"]
    np.testing.assert_allclose(total, (nats * counted).sum(1), rtol=1e-5)
    assert weight.tolist() == [8, 4]

    whole, _ = model.score(batch)
    np.testing.assert_allclose(whole["nats"][:, 1:], nats * counted, rtol=1e-4, atol=1e-5)
    assert whole["nats"].shape == (2, 9)
    np.testing.assert_array_equal(whole["nats"][:, 0], 0)
    carry, parts = None, []
    for first, last in ((0, 4), (4, 5), (5, 9)):
        chunk = {n: v if v.ndim == 1 else v[:, first:last] for n, v in batch.items()}
        part, carry = model.score(chunk | {"length": batch["length"] - first}, carry)
        parts.append(part["nats"])
    np.testing.assert_allclose(jnp.concatenate(parts, 1), whole["nats"], rtol=1e-4, atol=1e-5)


def test_metrics_count_events_notes_and_seconds():
    model = small()
    vocabulary = model.vocabulary
    events = [("velocity", 3), ("note_on", 60), ("time_shift", 50)]
    events += [("note_off", 60), ("note_on", 62), ("time_shift", 7)]
    tokens = jnp.array([[vocabulary.number(*event)] for event in events])[None]
    batch = {"tokens": tokens, "length": jnp.array([6]), "real": jnp.ones(1)}
    metrics = model(batch, keys=KEYS[:1], step=0, train=False)
    weights = {name: float(weight[0]) for name, (_, weight) in metrics.items()}
    assert weights == {
        "loss": 5,
        "accuracy": 5,
        "nats_per_note": 2,
        "nats_per_second": pytest.approx(0.57),
        "accuracy_note_on": 2,
        "accuracy_note_off": 1,
        "accuracy_time_shift": 2,
        "accuracy_velocity": 0,
    }
    assert metrics["loss"][0] == metrics["nats_per_note"][0] == metrics["nats_per_second"][0]


def test_dropout_is_of_the_examples_own_key():
    model = small(keep=0.5)
    batch = batch_of(model)
    losses = [
        jnp.stack(model(batch, keys=keys, step=0, train=train)["loss"][0])
        for keys, train in ((KEYS, True), (KEYS, True), (KEYS[::-1], True), (KEYS, False))
    ]
    np.testing.assert_array_equal(losses[0], losses[1])
    assert (losses[0] != losses[2]).all()
    np.testing.assert_array_equal(losses[3], small()(batch, keys=KEYS, step=0, train=True)["loss"][0])


def test_bfloat16_is_near():
    model, exact = small(compute_dtype="bfloat16"), small()
    batch = batch_of(model)
    np.testing.assert_allclose(*(m(batch, keys=KEYS, step=0, train=True)["loss"][0] for m in (model, exact)), rtol=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": "onehot"}, "did you mean 'one_hot'"),
        ({"layers": ()}, "layers=\\(\\): expected at least one layer"),
        ({"keep": 0.0}, "keep=0.0: expected a share"),
        ({"attention": -1}, "attention=-1"),
        ({"layers": (4, 5), "residual": True}, "must be of one size"),
        ({"codec": Codec(encoding="notes", max_shift=1000), "inputs": "modulo"}, "is for config.codec.encoding=events"),
    ],
)
def test_settings_are_checked(options, message):
    with pytest.raises(UserError, match=message):
        small(**options)


def test_the_vocabulary_of_the_paper():
    assert EventVocabulary(max_shift=125).fields == (413,)
