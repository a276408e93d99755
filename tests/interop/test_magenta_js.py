"""Checkpoints for @magenta/music: its own class MusicVAE encodes, decodes and samples them as we do."""

import functools
import json
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from magenta_lite.errors import UserError
from magenta_lite.interop import magenta_js
from magenta_lite.models.music_vae import Codec, Model, original
from magenta_lite.models.music_vae.variables import variables

pytestmark = pytest.mark.usefixtures("quick_to_compile")

COUNT = 3
SIZES = {"latent_size": 8, "encoder_layers": (24,), "decoder_layers": (32, 32)}
HIERARCHICAL = {"encoder": "hierarchical", "decoder": "hierarchical"}
MODELS = {
    "melody": ({"kind": "melody"}, {}),
    "chords": ({"kind": "melody", "chords": True}, {"decoder_layers": (32, 32, 32)}),
    "waltz": ({"kind": "melody", "bars": 3, "steps_per_bar": 12}, {}),
    "hier-melody": ({"kind": "melody", "bars": 4}, HIERARCHICAL),
    "drums": ({"kind": "drums"}, {}),
    "nade": ({"kind": "drum_roll"}, {"nade_hidden": 16}),
    "nade-61": ({"kind": "drum_roll", "drum_classes": 61}, {"nade_hidden": 16}),
    "hier-nade": ({"kind": "drum_roll"}, {"nade_hidden": 16, **HIERARCHICAL}),
    "hier-trio": ({"kind": "trio", "bars": 4}, {**HIERARCHICAL, "levels": (2, 32)}),
    "humanize": ({"kind": "groove", "groove_input": "humanize"}, {}),
    "tap": ({"kind": "groove", "groove_input": "tap_fixed_velocity_note_dropout"}, {}),
    "hits": ({"kind": "groove", "groove_input": "hits_control"}, {}),
    "hier-groove": ({"kind": "groove", "bars": 4}, HIERARCHICAL),
}
SAMPLE_ONLY = {
    "hierdec-melody": ({"kind": "melody", "bars": 4}, {"decoder": "hierarchical"}),
    "stacked": ({"kind": "drums"}, {"encoder_layers": (24, 24)}),
}
ONE_BYTE = ("melody", "humanize")
CHORDS = ["C", "Am", "F", "G7"]


def player(model):
    """What an exporter is given."""
    config = types.SimpleNamespace(family="music_vae")
    return types.SimpleNamespace(model=model, codec=model.codec, config=config, step=12, workdir=Path("of nobody"))


def outline(codec, options):
    """A model with shapes in the place of weights: to draw them takes seconds."""
    return nnx.eval_shape(lambda: Model(codec, rngs=nnx.Rngs(0), **options))


def random_model(codec, options, seed):
    """A model whose weights are large enough that what it says varies."""
    model, rng = outline(Codec(**codec), {**SIZES, **options}), np.random.default_rng(seed)
    weights = {}
    for name, shape in ((one.name, one.shape) for one in variables(model)):
        spread = 0.5 if name.endswith("bias") else 2.5 * shape[0] ** -0.5
        weights[name] = rng.normal(0, spread, shape).astype(np.float32)
    original.load(model, weights)
    return model


def batch_for(codec, seed):
    """Slices of anything, as the codec encodes them; all of a batch are told the same, as the client does."""
    rng = np.random.default_rng(seed)
    batch = {"real": jnp.ones(COUNT)}
    shape = (COUNT, codec.steps)
    if codec.kind == "groove":
        hits = rng.integers(0, 2, (*shape, 9)).astype(np.float32)
        given = np.concatenate([hits, hits * rng.random(hits.shape), hits * rng.uniform(-1, 1, hits.shape)], -1)
        batch |= {"groove": jnp.asarray(given, jnp.float32), "given": jnp.asarray(given, jnp.float32)}
        return batch | ({"hits": jnp.asarray(np.repeat(hits[:1], COUNT, 0))} if codec.controls else {})
    if codec.kind == "drum_roll":
        return batch | {"roll": jnp.asarray(rng.random((*shape, codec.drum_classes)) < 0.2, jnp.uint8)}
    batch["tokens"] = jnp.asarray(np.stack([rng.integers(0, size, shape) for size in codec.classes], -1), jnp.int32)
    if codec.chords:
        batch["chord"] = jnp.asarray(np.repeat(codec.condition(chords=CHORDS)["chord"][None], COUNT, 0))
    return batch


def read_by_encoder(codec, batch):
    """What the client's encodeTensors takes for it, [B, T, columns]."""
    if codec.kind == "groove":
        return np.asarray(batch["given"])
    if codec.kind in ("melody", "trio"):
        return one_hot(codec, np.asarray(batch["tokens"]))
    roll = batch["roll"] if codec.kind == "drum_roll" else (np.asarray(batch["tokens"]) >> np.arange(9)) & 1
    roll = np.asarray(roll, np.float32)
    return np.concatenate([roll, roll.sum(-1, keepdims=True) == 0], -1)


def one_hot(codec, tokens):
    return np.concatenate([np.eye(size)[tokens[..., i]] for i, size in enumerate(codec.classes)], -1)


@functools.lru_cache
def program(graph):
    """Posterior mean, and what is likeliest, for all models of one graph."""

    def both(state, batch, z, told):
        model = nnx.merge(graph, state)
        keys = jax.random.split(jax.random.key(0), len(z))
        return model.posterior(batch)[0], model.sample(keys, temperature=0.0, z=z, condition=told)

    return jax.jit(both)


def ours(model, batch, z):
    """Posterior mean, and what is likeliest for z, in the client's form [B, T, columns]; and as the codec has it."""
    told = {name: batch[name] for name in model.conditions}
    mean, made = jax.device_get(program(nnx.graphdef(model))(nnx.state(model), batch, z, told))
    events = made[model.codec.arrays]
    return mean, one_hot(model.codec, events) if "tokens" in made else events, made


def numbers(array):
    return {"shape": list(array.shape), "values": np.asarray(array, np.float64).ravel().tolist()}


def case(folder, model, batch, z):
    """One case for the script."""
    one = {"folder": folder, "x": numbers(read_by_encoder(model.codec, batch)), "z": numbers(z)}
    if model.codec.chords:
        one["chords"] = CHORDS
    if "hits" in batch:
        one["hits"] = numbers(batch["hits"][0])
    return one


def answers(node, folder, cases):
    """What the client says of them, by folder; arrays for tensors."""
    (folder / "cases.json").write_text(json.dumps(cases))
    node("magenta_js_client.cjs", folder / "cases.json", folder / "answers.json")

    def arrays(value):
        if isinstance(value, dict) and "values" in value:
            return np.array(value["values"], np.float32).reshape(value["shape"])
        if isinstance(value, list):
            return [arrays(one) for one in value]
        return {name: arrays(one) for name, one in value.items()} if isinstance(value, dict) else value

    return arrays(json.loads((folder / "answers.json").read_text()))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """All models in 4, 2 and some in 1 byte, those that can only be sampled, and what is asked."""
    folder = tmp_path_factory.mktemp("magenta-js")
    made, cases = {}, []
    for seed, (name, (codec, options)) in enumerate((MODELS | SAMPLE_ONLY).items()):
        model = random_model(codec, options, seed)
        batch = batch_for(model.codec, seed)
        z = np.random.default_rng(seed).normal(0, 1, (COUNT, model.latent_size)).astype(np.float32)
        made[name] = model, batch, z
        for size in (4,) if name in SAMPLE_ONLY else (4, 2, *[1] * (name in ONE_BYTE)):
            out = f"{name}-{size}"
            magenta_js.export(player(model), folder / out, bytes=size, sample_only=name in SAMPLE_ONLY)
            cases.append(case(out, model, batch, z) | {"brief": size < 4})
    return folder, made, cases


@pytest.fixture(scope="module")
def client(node, exported):
    folder, made, cases = exported
    return folder, made, answers(node, folder, cases)


@pytest.mark.parametrize("name", MODELS)
def test_the_client_encodes_and_decodes_as_we_do(client, name):
    _, made, said = client
    model, batch, z = made[name]
    mean, events, decoded = ours(model, batch, z)
    found = said[f"{name}-4"]
    np.testing.assert_allclose(found["mean"], mean, atol=2e-5)
    compare_events(model.codec, found["greedy"], events)
    assert len(np.unique(found["greedy"].reshape(-1, found["greedy"].shape[-1]), axis=0)) > 5  # not always the same
    for i, notes in enumerate(found["notes"]):
        compare_notes(model.codec, notes, {key: value[i] for key, value in decoded.items()})
    assert sum(map(len, found["sampled"])) > 0


@pytest.mark.parametrize(("name", "size"), [*((name, 2) for name in MODELS), *((name, 1) for name in ONE_BYTE)])
def test_fewer_bytes_are_the_same_model_for_the_client_and_for_us(client, name, size):
    folder, made, said = client
    model, batch, z = made[name]
    found = said[f"{name}-{size}"]
    imported = magenta_js.read(folder / f"{name}-{size}")
    assert imported.codec == model.codec
    again = outline(imported.codec, imported.model)
    original.load(again, imported.weights)
    mean, events, _ = ours(again, batch, z)
    np.testing.assert_allclose(found["mean"], mean, atol=2e-5)
    compare_events(model.codec, found["greedy"], events)
    if size == 1:
        return
    # And nearly that of four bytes: one step that differs changes all that follow.
    np.testing.assert_allclose(found["mean"], said[f"{name}-4"]["mean"], atol=2e-3)
    columns = slice(9 if model.codec.kind == "groove" else None)  # hits, since velocities are never quite the same
    same = (found["greedy"] == said[f"{name}-4"]["greedy"])[..., columns].all(-1)
    assert same.mean() > 0.9, same.mean()


@pytest.mark.parametrize("name", SAMPLE_ONLY)
def test_without_its_encoder_a_model_is_decoded_and_encodes_nothing(client, name):
    folder, made, said = client
    model, batch, z = made[name]
    _, events, _ = ours(model, batch, z)
    found = said[f"{name}-4"]
    assert "inner shapes" in found["encodeError"] and "mean" not in found
    compare_events(model.codec, found["greedy"], events)
    assert sum(map(len, found["sampled"])) > 0
    with pytest.raises(UserError, match="without its encoder"):
        magenta_js.read(folder / f"{name}-4")


def test_the_clients_nade_knows_no_temperature(client):
    _, _, said = client
    found = said["nade-4"]
    np.testing.assert_array_equal(found["warm"], found["greedy"])
    assert not np.array_equal(said["drums-4"]["warm"], said["drums-4"]["greedy"])


@pytest.mark.parametrize("name", ["drums", "nade"])
def test_the_clients_converter_tells_of_empty_steps_one_step_early(client, name):
    # Its DrumsConverter writes the last column at column -1, which is the step before. encodeTensors is not concerned.
    _, made, said = client
    model, _, z = made[name]
    _, _, decoded = ours(model, batch_for(model.codec, 0), z)
    expected = read_by_encoder(model.codec, decoded)[0]
    found = said[f"{name}-4"]["again"][0]
    np.testing.assert_array_equal(found[:, :-1], expected[:, :-1])
    np.testing.assert_array_equal(found[:-1, -1], expected[1:, -1])


def compare_events(codec, found, expected):
    """Classes and hits are equal, velocities and offsets of grooves nearly."""
    if codec.kind != "groove":
        np.testing.assert_array_equal(found, expected)
        return
    np.testing.assert_array_equal(found[..., :9], expected[..., :9])
    np.testing.assert_allclose(found[..., 9:], expected[..., 9:], atol=1e-4)


def compare_notes(codec, found, decoded):
    """The client's notes and those that our codec makes of the same events."""
    notes = codec.decode(decoded)
    if codec.kind == "groove":
        rows = sorted((note["pitch"], max(note["startTime"], 0), max(note["velocity"], 1)) for note in found)
        mine = sorted(zip(notes.pitch.tolist(), notes.start.tolist(), notes.velocity.tolist(), strict=True))
        np.testing.assert_allclose(rows, mine, atol=1e-4)
        return
    rows = sorted((note["start"], note["end"], note["pitch"], bool(note["isDrum"])) for note in found)
    step = 60 / 120 / 4
    begins, ends = (np.rint(times / step).astype(int).tolist() for times in (notes.start, notes.end))
    assert rows == sorted(zip(begins, ends, notes.pitch.tolist(), notes.is_drum.tolist(), strict=True))


PARITY = {
    "cat-mel_2bar": {"bars": 2},
    "cat-drums_2bar": {"bars": 2},
    "nade-drums_2bar": {"bars": 2},
    "hier-mel_4x4": {"bars": 4, "steps_per_bar": 4},
    "groovae_2bar_humanize": {"config": "groovae_2bar_humanize"},
}


def test_originals_go_through_the_client_and_back(node, shared, tmp_path):
    """What the original's own encoder said of its inputs, the client says of them, and we of what is imported."""
    cases, expected = [], {}
    for name, facts in PARITY.items():
        with np.load(shared("parity", f"music_vae_{name}.npz")) as file:
            arrays = dict(file)
        weights = {key.removeprefix("weight/"): value for key, value in arrays.items() if key.startswith("weight/")}
        codec, options = original.described(weights, **facts)
        model = outline(codec, options)
        original.load(model, weights)
        magenta_js.export(player(model), tmp_path / name, bytes=4)
        asked = {"x": numbers(arrays["input/x"]), "z": numbers(arrays["output/z"])}
        cases.append({"folder": name, "brief": True, **asked})
        expected[name] = arrays["output/mean"]
        found = magenta_js.read(tmp_path / name)
        assert found.codec == codec and found.model.items() >= options.items()
        assert found.weights.keys() == weights.keys()
        for variable, value in weights.items():
            np.testing.assert_array_equal(found.weights[variable], value)
    for name, answer in answers(node, tmp_path, cases).items():
        np.testing.assert_allclose(answer["mean"], expected[name], rtol=1e-4, atol=1e-6, err_msg=name)


def test_a_page_samples_and_plays_in_a_browser(node, chromium, exported):
    folder, _, _ = exported
    said = json.loads(node("magenta_js_page.cjs", chromium, folder / "melody-2").splitlines()[-1])
    assert said["errors"] == []
    assert said["steps"] == 32 and said["playing"] and len(said["notes"]) > 3
    assert all(0 <= start < end <= 32 and 21 <= pitch <= 108 for start, end, pitch in said["notes"])
