"""Exported weights are read by a few lines of numpy and by the library, and mean what the documentation says."""

import json
import math

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from small_workdirs import ROOT, interop, made, refused, same_samples

from magenta_lite import workdirs
from magenta_lite.errors import UserError
from magenta_lite.interop import imported, safetensors_file
from magenta_lite.sampler import Sampler

pytestmark = pytest.mark.usefixtures("quick_to_compile")


def by_hand(path):
    """The format in five lines: a length, JSON, and the bytes."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header, rest = json.loads(content[8 : 8 + size]), content[8 + size :]
    texts = header.pop("__metadata__")
    assert max(one["data_offsets"][1] for one in header.values()) == len(rest)
    return texts, {
        name: np.frombuffer(rest[slice(*one["data_offsets"])], "<f4").reshape(one["shape"]).astype(np.float64)
        for name, one in header.items()
    }


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def step(w_xh, w_hh, bias, x, c, h):
    """One step of the documented LSTM: rows [x; constants], columns i, j, f, o, 1 added to f."""
    i, j, f, o = np.split(x @ w_xh + h @ w_hh + bias, 4)
    c = c * sigmoid(f + 1) + sigmoid(i) * np.tanh(j)
    return c, np.tanh(c) * sigmoid(o)


@pytest.fixture(scope="module")
def sketcher(toy, tmp_path_factory):
    return made(tmp_path_factory.mktemp("runs") / "sketches", "sketch_rnn", toy)


@pytest.fixture(scope="module")
def pianist(toy_performances, tmp_path_factory):
    return made(tmp_path_factory.mktemp("runs") / "pieces", "performance_rnn", toy_performances)


@pytest.fixture(scope="module")
def file(sketcher, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "sketches.safetensors"
    safetensors_file.export(sketcher, path)
    return path


def test_a_float64_sketch_rnn_from_names_alone_equals_the_model(sketcher, file):
    texts, w = by_hand(file)
    assert texts["family"] == "sketch_rnn" and texts["step"] == "7" and texts["licence_of_data"] == "Apache-2.0"
    assert json.loads(texts["codec"])["labels"] == ["star", "sun"]
    strokes = np.array([[1, 0.5, 0], [-2, 1, 1], [0.25, -1, 0], [1, 1, 1]])
    rows = np.concatenate([strokes[:, :2], 1 - strokes[:, 2:], strokes[:, 2:], np.zeros((4, 1))], axis=1)
    label = w["label"][1]
    lasts = []
    for name, read in (("forward", rows), ("backward", rows[::-1])):
        c = h = np.zeros(4)
        for row in read:
            c, h = step(w[f"{name}.w_xh"], w[f"{name}.w_hh"], w[f"{name}.bias"], np.concatenate([row, label]), c, h)
        lasts.append(h)
    z = np.concatenate(lasts) @ w["mean.kernel"] + w["mean.bias"]
    batch = {
        "strokes": strokes[None].astype(np.float32),
        "length": np.array([4], np.int32),
        "label": np.ones(1, np.int32),
    }
    np.testing.assert_allclose(sketcher.model.posterior(batch)[0][0], z, atol=1e-5)
    c, h = np.split(np.tanh(z @ w["to_state.kernel"] + w["to_state.bias"]), 2)
    said, last = [], np.array([0, 0, 1.0, 0, 0])
    for row in rows:
        read = np.concatenate([last, z, label])
        c, h = step(w["decoder.w_xh"], w["decoder.w_hh"], w["decoder.bias"], read, c, h)
        said.append(h @ w["output.kernel"] + w["output.bias"])
        last = row
    inside = sketcher.model._rows(jnp.asarray(batch["strokes"]), jnp.array([4]), None)
    outputs = sketcher.model._teacher_forced(inside, jnp.asarray(z[None], jnp.float32), batch, None)
    np.testing.assert_allclose(outputs[:4, 0], np.array(said), atol=1e-5)


def test_a_float64_performance_rnn_from_names_alone_equals_the_model(pianist, tmp_path):
    safetensors_file.export(pianist, tmp_path / "pieces.safetensors")
    _, w = by_hand(tmp_path / "pieces.safetensors")
    tokens = np.array([355, 60, 300, 188, 12])
    classes = len(w["output.bias"])
    state = [(np.zeros(6), np.zeros(6)) for _ in range(2)]
    theirs = pianist.model.first_state(1)
    for token in tokens:
        x = np.eye(classes)[token]
        for number in range(2):
            name = f"layers.{number}"
            state[number] = step(w[f"{name}.w_xh"], w[f"{name}.w_hh"], w[f"{name}.bias"], x, *state[number])
            x = state[number][1]
        theirs, logits = pianist.model.advance(theirs, jnp.array([[token]]), {})
        np.testing.assert_allclose(logits[0], x @ w["output.kernel"] + w["output.bias"], atol=1e-5)


def test_the_library_reads_what_the_model_has(sketcher, file):
    read = safetensors.numpy.load_file(file)
    ours = safetensors_file.named(sketcher.model)
    assert read.keys() == ours.keys()
    assert all(value.dtype == np.float32 and np.array_equal(value, ours[name]) for name, value in read.items())


def test_the_same_model_gives_the_same_bytes(sketcher, file, tmp_path):
    safetensors_file.export(sketcher, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


def test_arrays_in_another_order_than_ours_are_written_in_ours(tmp_path):
    value = np.arange(6, dtype=np.float32).reshape(2, 3)
    safetensors_file.write(tmp_path / "x", {"a": np.asfortranarray(value), "none": np.zeros((0, 3))}, {})
    read = safetensors.numpy.load_file(tmp_path / "x")
    assert np.array_equal(read["a"], value) and read["none"].shape == (0, 3)


def test_a_large_model_is_written_without_a_copy_of_it(tmp_path):
    """Memory while writing arrays of 64 MB: that of none of them."""
    import tracemalloc

    tensors = {str(number): np.ones((1 << 22,), np.float32) for number in range(4)}
    tracemalloc.start()
    safetensors_file.write(tmp_path / "x", tensors, {})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "x").stat().st_size > 4 << 24
    assert peak < 4 << 20


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_not_written(bad, tmp_path):
    """Nobody could read them, this project included."""
    tensors = {"a": jnp.ones(3), "b": jnp.array([[1.0, bad], [2.0, 3.0]])}
    with pytest.raises(UserError, match="the array b of the model holds numbers that are not finite: nothing was"):
        safetensors_file.write(tmp_path / "x", tensors, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("family", ["sketch_rnn", "performance_rnn", "music_vae"])
def test_what_was_exported_is_imported_again(family, request, tmp_path):
    data = {"sketch_rnn": "toy", "performance_rnn": "toy_performances", "music_vae": "toy_melodies"}[family]
    player = made(tmp_path / "run", family, request.getfixturevalue(data))
    safetensors_file.export(player, tmp_path / "x.safetensors")
    imported.write(safetensors_file.read(tmp_path / "x.safetensors"), tmp_path / "back")
    again = Sampler(tmp_path / "back")
    assert again.step == player.step and same_samples(player, again)
    origin = workdirs.origin(tmp_path / "back")
    assert origin["licence"] == "Apache-2.0" and "toy" in origin["data"]
    # Its own data is in its own units, and no other.
    source = json.loads((tmp_path / "run" / "source.json").read_text())
    assert workdirs.same_units(tmp_path / "back", source)
    assert not workdirs.same_units(tmp_path / "back", source | {"digest": "x"})


def test_documented_names_are_those_of_every_family(
    toy, toy_performances, toy_melodies, toy_drums, toy_trios, tmp_path
):
    """Each parameter of models of every kind fits a row of the tables in docs/safetensors.md."""
    text = (ROOT / "docs" / "safetensors.md").read_text()
    rows = {line.split("`")[1] for line in text.splitlines() if line.startswith("| `")}
    kinds = [
        ("sketch_rnn", toy, {}, {"label_size": 2}),
        ("sketch_rnn", toy, {}, {"encoder_cell": "layer_norm", "decoder_cell": "hyper"}),
        ("performance_rnn", toy_performances, {}, {"residual": True}),
        ("performance_rnn", toy_performances, {}, {"attention": 3}),
        ("music_vae", toy_melodies, {}, {"encoder_residual": True, "decoder_residual": True}),
        ("music_vae", toy_drums, {"kind": "drum_roll"}, {}),
        ("music_vae", toy_trios, {"kind": "trio", "bars": 16}, {"encoder": "hierarchical", "decoder": "hierarchical"}),
    ]
    for number, (family, data, codec, model) in enumerate(kinds):
        player = made(tmp_path / str(number), family, data, codec, **model)
        for name in safetensors_file.named(player.model):
            generic = ".".join("N" if part.isdecimal() else part for part in name.split("."))
            assert any(generic == row or (row.endswith(".*") and generic.startswith(row[:-1])) for row in rows), name


def test_names_of_the_original(toy, tmp_path):
    sketcher = made(tmp_path / "run", "sketch_rnn", toy, label_size=0)
    safetensors_file.export(sketcher, tmp_path / "x.safetensors", names="original")
    _, w = by_hand(tmp_path / "x.safetensors")
    ours = safetensors_file.named(sketcher.model)
    assert np.array_equal(w["vector_rnn/RNN/LSTMCell/W_hh"], ours["decoder.w_hh"])
    imported.write(safetensors_file.read(tmp_path / "x.safetensors"), tmp_path / "back")
    with pytest.raises(UserError, match="has no labels"):
        safetensors_file.export(made(tmp_path / "labels", "sketch_rnn", toy), tmp_path / "y", names="original")
    assert not (tmp_path / "y").exists()
    assert same_samples(sketcher, Sampler(tmp_path / "back"))


def test_the_commands(sketcher, tmp_path):
    path = tmp_path / "x.safetensors"
    done = interop("export", f"--workdir={sketcher.workdir}", "--format=safetensors", f"--out={path}")
    assert done.returncode == 0, done.stderr
    done = interop("import", path, f"--workdir={tmp_path / 'back'}")
    assert done.returncode == 0, done.stderr
    assert same_samples(sketcher, Sampler(tmp_path / "back"))
    line = refused("export", f"--workdir={sketcher.workdir}", "--format=safetensors", f"--out={path}", "--names=x")
    assert "is there already" in line or "--names=x" in line
    path.write_bytes(path.read_bytes()[:-5])
    assert "no whole safetensors file" in refused("import", path, f"--workdir={tmp_path / 'other'}")
    assert not (tmp_path / "other").exists()


def _changed(file, path, **changes):
    """A copy with other metadata."""
    with safetensors_file.opened(file) as found:
        texts, tensors = found.metadata(), {name: found.get_tensor(name) for name in found.keys()}  # noqa: SIM118
    tensors = changes.pop("tensors", lambda t: t)(tensors)
    texts = {name: text for name, text in (texts | changes).items() if text is not None}
    safetensors.numpy.save_file(tensors, path, metadata=texts)
    return path


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": None}, "of another program"),
        ({"config": None}, "no config in its metadata"),
        ({"config": "[" * 100_000}, "no valid JSON"),
        ({"config": "{}"}, "family, model or data is missing"),
        ({"codec": '{"scale": 1}'}, "of another version"),
        ({"tensors": lambda t: {**t, "x": t["mean.bias"]}}, "has the array x"),
        ({"tensors": lambda t: {name: t[name] for name in t if name != "mean.bias"}}, "no array mean.bias"),
        ({"tensors": lambda t: {**t, "mean.bias": t["mean.bias"][:-1]}}, "mean.bias is F32 (2,), expected F32 (3,)"),
        ({"tensors": lambda t: {**t, "mean.bias": t["mean.bias"].astype("f8")}}, "mean.bias is F64"),
        ({"tensors": lambda t: {**t, "mean.bias": t["mean.bias"] * math.nan}}, "not finite"),
        ({"names": "original"}, "missing"),
    ],
)
def test_what_is_no_export_is_refused(changes, words, file, tmp_path):
    path = _changed(file, tmp_path / "x.safetensors", **changes)
    with pytest.raises(UserError) as found:
        imported.write(safetensors_file.read(path), tmp_path / "back")
    assert words in str(found.value), str(found.value)
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize("names", ["own", "original"])
@pytest.mark.parametrize(
    ("dtype", "per_float"),
    [("F8_E5M2", 4), ("F8_E4M3", 4), ("F4", 8), ("BF16", 2), ("F16", 2), ("F64", 0.5), ("I32", 1), ("BOOL", 4)],
)
def test_other_kinds_of_numbers_are_refused_by_their_name(dtype, per_float, names, file, tmp_path):
    """The library fails on some of them, which numpy does not have."""
    content = file.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    array = header["to_state.bias"]
    array |= {"dtype": dtype, "shape": [int(array["shape"][0] * per_float)]}
    header["__metadata__"]["names"] = names
    changed = json.dumps(header).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(changed).to_bytes(8, "little") + changed + content[8 + size :])
    with pytest.raises(UserError, match=rf"to_state\.bias is {dtype}.*, expected F32"):
        safetensors_file.read(path)


def test_a_model_that_is_only_claimed_takes_no_memory(file, tmp_path):
    """100 GB of parameters in a config, with the names of the original, whose shapes are compared later."""
    with safetensors_file.opened(file) as found:
        config = json.loads(found.metadata()["config"])
    config["model"]["decoder_size"] = 50_000
    path = _changed(file, tmp_path / "x.safetensors", config=json.dumps(config), names="original")
    with pytest.raises(UserError, match="describes a model of"):
        safetensors_file.read(path)


def test_a_model_of_thousands_of_layers_is_refused_at_once(pianist, tmp_path):
    """However small they are, it would take minutes to describe it."""
    safetensors_file.export(pianist, tmp_path / "y.safetensors")
    with safetensors_file.opened(tmp_path / "y.safetensors") as found:
        config = json.loads(found.metadata()["config"])
    config["model"]["layers"] = [1] * 3000
    path = _changed(tmp_path / "y.safetensors", tmp_path / "x.safetensors", config=json.dumps(config))
    with pytest.raises(UserError, match="layers has 3,000 values: expected at most 32"):
        safetensors_file.read(path)


def test_cut_and_changed_files_are_refused_in_one_line(file, tmp_path, times):
    content, rng, path = file.read_bytes(), np.random.default_rng(0), tmp_path / "x.safetensors"
    taken = 0
    for number in range(times(150, 20_000)):
        bad = bytearray(content)
        if number % 3 == 0:
            bad = bad[: rng.integers(len(bad))]
        else:
            for place in rng.integers(0, (8, 600, len(bad))[number % 3], 1 + number % 4):
                bad[place] = rng.integers(256)
        path.write_bytes(bad)
        try:
            safetensors_file.read(path)
            taken += 1  # a weight has another value: safetensors has no checksums
        except UserError as error:
            assert "\n" not in str(error)
    assert taken < times(150, 20_000) / 2
