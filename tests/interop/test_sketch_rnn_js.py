"""sketch-rnn-js in and out: held against float64 after the format's description, and against the real client."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sketch_rnn_files as files
from sketch_rnn_in_numpy import START, SketchRNN, pdf, softmax, stroke5

from data.quickdraw import npz
from magenta_lite import evaluation, pipeline
from magenta_lite.interop import imported, sketch_rnn_js
from magenta_lite.modes import continue_, generate
from magenta_lite.sampler import Sampler

ROOT = Path(__file__).parents[2]
CLASSES = ("bear", "bus", "cat", "face", "pig", "rain", "yoga")


@pytest.fixture(scope="module")
def pig(shared, tmp_path_factory):
    """A sampler of the published pig, and its file."""
    path = shared("data", "sketch-rnn-js", "pig.gen.json")
    workdir = tmp_path_factory.mktemp("imported") / "pig"
    imported.write(sketch_rnn_js.read(path), workdir)
    return Sampler(workdir), path


@pytest.fixture(scope="module")
def drawings(shared):
    """300 pigs, as published."""
    return npz.read(shared("data", "quickdraw", "sketchrnn", "pig.npz"), "train")[:300]


@pytest.fixture(scope="module", params=[False, True], ids=["generator", "conditional"])
def small(request, tmp_path_factory):
    """A sampler of a small model, and its file."""
    folder = tmp_path_factory.mktemp("small")
    path = files.written(folder, request.param)
    imported.write(sketch_rnn_js.read(path), folder / "run")
    return Sampler(folder / "run"), path


def ours(player, rows, z=None):
    """Our decoder's outputs [T, 123] for rows [T, 5], and the last c and h."""
    model = player.model
    constants = None if z is None else np.asarray(z, np.float32)[None]
    state = model._first_state(constants, 1)
    shift, said = model.decoder.shift(constants, 1), []
    for row in rows:
        state, h = model.decoder.step(state, np.asarray(row, np.float32)[None], shift)
        said.append(np.asarray(model.output(h)[0]))
    return np.array(said), np.asarray(state[0][0]), np.asarray(state[1][0])


def test_what_a_file_says_is_known(pig):
    player, _ = pig
    codec = player.codec
    assert (codec.scale, codec.n_max, codec.labels, codec.max_points) == (70.0921, 168, ("pig",), 250)
    assert codec.size == pytest.approx(11.5 * 70.0921, abs=0.1)
    source = json.loads((player.workdir / "source.json").read_text())["imported"]
    assert source["name"] == "pig" and source["licence"] == "CC BY 4.0" and source["file"] == "pig.gen.json"
    assert not player.has_latent and player.model.mixtures == 20


def test_losses_are_kept(shared):
    for name, loss in (("bear", -0.5013), ("bus", -0.9769)):
        found = sketch_rnn_js.read(shared("data", "sketch-rnn-js", f"{name}.gen.json"))
        assert found.source["r_loss"] == pytest.approx(loss, abs=1e-4)
        assert found.source["training_size"] > 10_000 and found.source["version"] == 2


def test_a_step_is_that_of_float64(pig, drawings):
    """To 1e-5, of states and outputs; and so are forty, whose errors do not add up."""
    player, path = pig
    theirs = SketchRNN(path)
    rows = np.concatenate([[START], stroke5(drawings[0], theirs.info["scale_factor"])])[:40]
    for count in (1, len(rows)):
        expected, found = theirs.outputs(rows[:count]), ours(player, rows[:count])
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 if count == 1 else 5e-5)


def test_the_pig_scores_what_it_should(pig, drawings):
    """7.335 nats a point for offsets in pixels, 0.222 for the pen of real points."""
    player, _ = pig
    batch = pipeline.collate([player.codec.encode({"strokes": one}) for one in drawings], 160)
    nats, _ = player.model.score(batch)
    points = np.arange(160)[None] < batch["length"][:, None]
    offset = np.asarray(nats["offset"], np.float64)[points].mean() + 2 * np.log(player.codec.scale)
    assert offset == pytest.approx(7.335, abs=5e-4)
    assert np.asarray(nats["pen"], np.float64)[points].mean() == pytest.approx(0.222, abs=5e-4)


def test_evaluate_scores_the_same(pig, drawings, tmp_path):
    """Data in the model's units is taken as it is; from what is printed, offsets come out at the same 7.335."""
    from data.quickdraw.__main__ import main

    splits = {"train": drawings[:1], "valid": drawings[:1], "test": drawings}
    arrays = {name: np.empty(len(some), object) for name, some in splits.items()}
    for name, some in splits.items():
        arrays[name][:] = some
    np.savez(tmp_path / "pig.npz", **arrays)
    main(classes=["pig"], source=str(tmp_path), out=str(tmp_path / "prepared"))
    player, _ = pig
    found = evaluation.evaluated(str(player.workdir), data_dir=str(tmp_path / "prepared"))
    told = found["likelihood"]
    assert (
        found["evaluated"]["examples"] == 300
        and not found["evaluated"]["own_data"]
        and set(found)
        == {
            "evaluated",
            "likelihood",
            "standard_error",
        }
    )
    points = told["nats_per_sketch"] / told["nats_per_point"] - 1
    assert points == pytest.approx(np.mean([len(one) for one in drawings]), rel=1e-3)
    assert told["L_s"] * told["N_max"] / points + 2 * np.log(told["scale"]) == pytest.approx(7.335, abs=2e-3)


def test_it_draws_and_continues(pig, tmp_path):
    player, _ = pig
    drawn = generate(player, n=8, temperature=(1.0,))
    lengths = [len(item.value) for item in drawn.rows[0]]
    assert 40 < np.median(lengths) < 168  # at low temperatures the end is seldom the likeliest, and they go on
    beginning = tmp_path / "head.ndjson"
    xs, ys = [128, 60, 20, 15, 50, 110, 180, 230, 240, 200, 140], [0, 55, 110, 170, 225, 255, 245, 200, 130, 65, 5]
    beginning.write_text(json.dumps({"word": "pig", "drawing": [[xs, ys]]}) + "\n")
    sheet = continue_(player, n=4, input=str(beginning))
    factor = player.codec.size / 255
    endings = sheet.rows[0][1:]
    assert len(endings) == 4 and max(len(item.value) for item in endings) > 30
    for item in endings:
        np.testing.assert_allclose(item.value[0, :2], np.array([60 - 128, 55]) * factor, rtol=1e-3)


def test_training_goes_on_from_it(tmp_path, toy):
    """--init_from: its parameters, divided by the new data's own scale, which is told; the origin goes along."""
    imported.write(sketch_rnn_js.read(files.written(tmp_path, False)), tmp_path / "ant")
    options = {"model.decoder_size": files.DECODER, "num_steps": 1, "batch_size": 4, "buckets": 1, "data.dir": toy}
    flags = [f"--config.{name}={value}" for name, value in options.items()]
    command = [sys.executable, "train.py", "--config=configs/sketch_rnn.py:uncond", f"--workdir={tmp_path / 'run'}"]
    command += [f"--init_from={tmp_path / 'ant'}", *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert f"parameters of step 0 of {tmp_path / 'ant'}" in done.stdout and "where it began, by 40.5" in done.stdout
    begun = json.loads((tmp_path / "run" / "source.json").read_text())["begun_from"]
    assert begun["imported"]["licence"] == "CC BY 4.0"
    begun_with = Sampler(tmp_path / "ant").model.decoder.w_hh[...]
    np.testing.assert_allclose(Sampler(tmp_path / "run").model.decoder.w_hh[...], begun_with, atol=2e-3)


@pytest.mark.parametrize("number", range(len(CLASSES)))
def test_published_weights_come_back_to_the_byte(shared, tmp_path, times, number):
    if number >= times(1, len(CLASSES)):
        pytest.skip("one of the seven is enough (--long: all)")
    path = shared("data", "sketch-rnn-js", f"{CLASSES[number]}.gen.json")
    imported.write(sketch_rnn_js.read(path), tmp_path / "run")
    sketch_rnn_js.export(Sampler(tmp_path / "run"), tmp_path / "again.json")
    before, again = json.loads(path.read_text()), json.loads((tmp_path / "again.json").read_text())
    assert again[1:] == before[1:]
    for field in ("name", "max_seq_len", "scale_factor"):
        assert again[0][field] == before[0][field]
    assert again[0]["mode"] == 2 and again[0].get("r_loss") == before[0].get("r_loss")


def test_both_orders_are_those_of_the_description(small):
    """A conditional model's posterior, first state and outputs: that client is not at hand, this is in its place."""
    player, path = small
    theirs = SketchRNN(path)
    rng = np.random.default_rng(3)
    rows = np.column_stack([rng.normal(0, 1, (12, 2)), np.eye(3)[rng.integers(0, 2, 12)]])
    z = None
    if theirs.conditional:
        mean, log_var = theirs.posterior(rows)
        drawing = np.column_stack([rows[:, :2], rows[:, 3]]).astype(np.float32)
        found = player.posterior([{"strokes": drawing, "label": np.int32(0), "length": np.int32(12)}])
        np.testing.assert_allclose(found[0][0], mean, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found[1][0], log_var, rtol=1e-5, atol=1e-5)
        z = mean
    rows = np.concatenate([[START], rows])
    for one, other in zip(ours(player, rows, z), theirs.outputs(rows, z), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_out_and_in_again(small, tmp_path):
    """The file that is exported holds the same weights, and says of itself what an import asks for."""
    player, path = small
    sketch_rnn_js.export(player, tmp_path / "out.json")
    before, after = json.loads(path.read_text()), json.loads((tmp_path / "out.json").read_text())
    assert after[1:] == before[1:]
    assert after[0] | before[0] == after[0]
    again = sketch_rnn_js.read(tmp_path / "out.json")
    assert again.codec == player.codec
    assert again.source["units_of"] == {"builder": "quickdraw", "licence": "CC BY 4.0"}


def test_weights_are_rounded(tmp_path):
    """A model of ours loses up to half a step of each weight, 0.000153, and its outputs move no more than that."""
    found = sketch_rnn_js.read(files.written(tmp_path, False))
    rng = np.random.default_rng(5)
    exact = {name: rng.normal(0, 0.4, value.shape).astype(np.float32) for name, value in found.weights.items()}
    player = Sampler(files.workdir(tmp_path / "run", exact, **found.model))
    sketch_rnn_js.export(player, tmp_path / "out.json")
    for name, value in sketch_rnn_js.read(tmp_path / "out.json").weights.items():
        assert np.abs(value - exact[name]).max() <= 5 / 32767 + 1e-7
    rows = np.tile(START, (6, 1))
    np.testing.assert_allclose(SketchRNN(tmp_path / "out.json").outputs(rows)[0], ours(player, rows)[0], atol=2e-3)


def test_the_client_computes_the_same(small, pig, drawings, node, tmp_path):
    """The class SketchRNN of @magenta/sketch: state and densities after each of a few strokes, and whole drawings.

    The file holds our weights to the last bit, since they came from one; so the two differ by float32 alone: 1e-4,
    against differences of 0.1 to 1 between any two steps.
    """
    if small[0].model.conditional:
        pytest.skip("the npm client reads decoder-only models")
    players, cases = [pig[0], small[0]], []
    for number, player in enumerate(players):
        out = tmp_path / f"{number}.json"
        sketch_rnn_js.export(player, out)
        rows = np.concatenate([[START], stroke5(drawings[3], 1.0)])[:12]
        cases.append({"file": str(out), "strokes": rows.tolist(), "temperature": 1.0, "drawings": 4 if number else 2})
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    answers = json.loads(node("sketch_rnn_js_client.cjs", tmp_path / "cases.json").splitlines()[-1])
    for player, case, answer in zip(players, cases, answers, strict=True):
        assert answer["units"] == player.model.decoder.units
        rows = np.array(case["strokes"])
        rows[:, :2] /= player.codec.scale
        outputs, c, h = ours(player, rows)
        np.testing.assert_allclose(answer["steps"][-1]["c"], c, atol=1e-4)
        np.testing.assert_allclose(answer["steps"][-1]["h"], h, atol=1e-4)
        np.testing.assert_allclose(answer["together"], h, atol=1e-4)
        for told, output in zip(answer["steps"], outputs, strict=True):
            for name, expected in pdf(output.astype(np.float64)).items():
                # The client's slice of sigmaY is too long.
                np.testing.assert_allclose(told["pdf"][name][: len(expected)], expected, rtol=1e-3, atol=1e-4)
        for drawing in answer["drawings"]:
            assert np.isfinite(drawing).all() and len(drawing) <= player.codec.n_max
    pigs = answers[0]["drawings"]
    assert all(len(one) > 10 for one in pigs)


def test_the_clients_temperature(small, node, tmp_path):
    """It divides logits by 0.5 + T / 2 and multiplies the variance by T, where ours divides logits by T."""
    player, path = small
    if player.model.conditional:
        pytest.skip("the npm client reads decoder-only models")
    cases = [{"file": str(path), "strokes": [START.tolist()], "temperature": 0.25, "drawings": 0}]
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    (answer,) = json.loads(node("sketch_rnn_js_client.cjs", tmp_path / "cases.json").splitlines()[-1])
    (output,), _, _ = ours(player, START[None])
    told, plain = answer["steps"][0]["pdf"], pdf(output.astype(np.float64))
    np.testing.assert_allclose(told["pen"], softmax(output[:3] / 0.625), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(told["sigmaX"], plain["sigmaX"] * 0.5, rtol=1e-3)
    np.testing.assert_allclose(told["muX"], plain["muX"], rtol=1e-3, atol=1e-4)
