"""Likelihoods of performances against a float64 network in numpy, event by event."""

import types

import jax
import numpy as np
import pytest
from flax import nnx

from magenta_lite import pipeline
from magenta_lite.models.performance_rnn import Codec, Model, controls, evaluation, events, likelihood

pytestmark = pytest.mark.usefixtures("quick_to_compile")

BOTH = (controls.DENSITY, controls.HISTOGRAM)
CODECS = {
    "events": {},
    "told": {"controls": BOTH, "optional_controls": True, "steps_per_second": 125, "max_shift": 125},
    "notes": {"encoding": "notes", "max_shift": 1000},
}


@pytest.fixture(scope="module")
def pieces():
    """Of different lengths, none a multiple of a window or a chunk; one of a single note."""
    from data.toy import performances

    found = []
    for number, (style, notes) in enumerate((("waltz", 100), ("alberti", 250), ("waltz", 1), ("alberti", 20))):
        packed = performances.perform(style, np.random.default_rng(number))[0].pack()
        count = len(packed["start"])
        assert count >= notes
        cut = {k: v[:notes] if isinstance(v, np.ndarray) and len(v) == count else v for k, v in packed.items()}
        found.append({**cut, "name": f"{number}", "label": style})
    return found


def build(name):
    """A stand-in for a Sampler: a small model, of other weights than it begins with."""
    codec = Codec(**CODECS[name])
    model = Model(codec, rngs=nnx.Rngs(1), layers=(9, 7))
    rng = np.random.default_rng(2)
    graph, state = nnx.split(model)
    state = jax.tree.map(lambda p: p + np.asarray(rng.normal(0, 0.3, p.shape), p.dtype), state)
    return types.SimpleNamespace(codec=codec, model=nnx.merge(graph, state))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_hand(model, arrays):
    """Nats and whether it is the likeliest, of each event but the first: an LSTM, a step at a time."""
    fields, tokens = model.vocabulary.fields, arrays["tokens"]
    state = [(np.zeros(layer.units), np.zeros(layer.units)) for layer in model.layers]
    found = []
    for before, place in zip(tokens[:-1], range(1, len(tokens)), strict=True):
        parts = []
        if model.conditions:
            parts = [[1 - arrays["told"]], np.eye(8)[arrays["density"][place]], arrays["histogram"][place]]
        x = np.concatenate([*parts, *(np.eye(size)[value] for size, value in zip(fields, before, strict=True))])
        for number, layer in enumerate(model.layers):
            c, h = state[number]
            w_x, w_h, bias = (np.asarray(w[...], np.float64) for w in (layer.w_xh, layer.w_hh, layer.bias))
            i, j, f, o = np.split(x @ w_x + h @ w_h + bias, 4)
            c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(j)
            x = h = sigmoid(o) * np.tanh(c)
            state[number] = (c, h)
        logits = x @ np.asarray(model.output.kernel[...], np.float64) + np.asarray(model.output.bias[...], np.float64)
        nats, right = 0.0, True
        for part, truth in zip(np.split(logits, np.cumsum(fields)[:-1]), tokens[place], strict=True):
            nats += np.log(np.exp(part).sum()) - part[truth]
            right &= part.argmax() == truth
        found.append((nats, right))
    return np.array(found).reshape(-1, 2)


def value(number):
    return number[0].sum() / number[1].sum() if isinstance(number, tuple) else number


@pytest.mark.parametrize("name", CODECS)
def test_both_protocols_are_those_computed_by_hand(name, pieces):
    sampler = build(name)
    codec = sampler.codec
    found = evaluation.likelihood(sampler, iter(pieces), seed=0, tell=lambda line: None, rows=1)
    by_length = sorted(pieces, key=lambda piece: -len(piece["start"]))
    encoded = [codec.encode(piece) for piece in by_length]
    for protocol, length in (("whole_pieces", 10**6), ("windows", 512)):
        parts = [
            (i, {key: likelihood.part(array, slice(at, at + length)) for key, array in arrays.items()})
            for i, arrays in enumerate(encoded)
            for at in range(0, len(arrays["tokens"]), length)
        ]
        if name != "notes":
            assert len(parts) > len(encoded) or protocol == "whole_pieces"
        nats, count = np.zeros(len(pieces)), np.zeros(len(pieces))
        scored, right = [], []
        for i, arrays in parts:
            made = by_hand(sampler.model, arrays)
            nats[i] += made[:, 0].sum()
            count[i] += len(made)
            scored.append(arrays["tokens"][1:])
            right.append(made[:, 1])
        scored, right = np.concatenate(scored), np.concatenate(right)
        steps = events.steps_of(scored, codec.vocabulary).sum()
        on = scored[:, 0] < 128 if name != "notes" else np.ones(len(scored), bool)
        expected = {
            "pieces": len(pieces),
            "events": count.sum(),
            "notes": on.sum(),
            "seconds": steps / codec.steps_per_second,
            "nats_per_event": nats.sum() / count.sum(),
            "perplexity": np.exp(nats.sum() / count.sum()),
            "nats_per_note": nats.sum() / on.sum(),
            "nats_per_second": nats.sum() / steps * codec.steps_per_second,
            "nats_per_step": nats.sum() / steps,
            "accuracy": right.mean(),
        }
        if name != "notes":
            assert 0 < right.mean() < 1
            expected["accuracy_note_on"] = right[on].mean()
            expected["accuracy_note_off"] = right[(scored[:, 0] >= 128) & (scored[:, 0] < 256)].mean()
            expected["accuracy_time_shift"] = right[
                (scored[:, 0] >= 256) & (scored[:, 0] < 256 + codec.max_shift)
            ].mean()
            expected["accuracy_velocity"] = right[scored[:, 0] >= 256 + codec.max_shift].mean()
        assert {key: value(number) for key, number in found[protocol].items()} == pytest.approx(expected, rel=1e-6)
        np.testing.assert_allclose(found[protocol]["nats_per_event"][0], nats, rtol=1e-6)


def test_rows_and_chunks_change_nothing(pieces):
    sampler = build("told")
    encoded = [(i, sampler.codec.encode(piece)) for i, piece in enumerate(pieces)]
    found = [
        likelihood.score(sampler.model, iter(encoded), len(pieces), rows=rows, chunk=chunk)
        for rows, chunk in ((1, 1500), (3, 100), (8, 37))
    ]
    for other in found[1:]:
        np.testing.assert_allclose(other.nats, found[0].nats, rtol=1e-6)
        np.testing.assert_array_equal(other.steps, found[0].steps)
        for name in found[0].events:
            np.testing.assert_array_equal(other.events[name], found[0].events[name])
            np.testing.assert_array_equal(other.right[name], found[0].right[name])


def test_windows_score_as_the_models_own_loss_does(pieces):
    sampler = build("events")
    whole = ((i, sampler.codec.encode(piece)) for i, piece in enumerate(pieces))
    batch = pipeline.collate([arrays for _, arrays in likelihood.windows(whole)], 512)
    graph, state = nnx.split(sampler.model)
    model = jax.jit(lambda state, batch: nnx.merge(graph, state)(batch, keys=None, step=0, train=False)["loss"])
    total, weight = np.asarray(model(state, batch), np.float64).sum(axis=1)
    found = evaluation.likelihood(sampler, iter(pieces), seed=0, tell=lambda line: None, rows=1)["windows"]
    assert value(found["nats_per_event"]) == pytest.approx(total / weight, rel=1e-6)
    assert found["events"] == weight
