"""evaluate.py as a person runs it, and its numbers against what can be computed without it."""

import dataclasses
import json
import shutil
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from frame import ONE_DEVICE, flags, run

from magenta_lite import evaluation
from magenta_lite.errors import UserError
from magenta_lite.models.sketch_rnn import evaluation as of_sketches
from magenta_lite.pipeline import PreparedData
from magenta_lite.sampler import Sampler


@pytest.fixture(scope="module")
def workdir(tmp_path_factory, toy):
    """A trained model with a latent space and labels."""
    folder = tmp_path_factory.mktemp("runs") / "vae"
    done = run("train.py", *flags(folder, toy, num_steps=4), env=ONE_DEVICE)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def decoder_only(tmp_path_factory, toy):
    """Of a limit that refuses some of the drawings."""
    folder = tmp_path_factory.mktemp("runs") / "decoder"
    options = {"model.conditional": False, "model.label_size": 0, "codec.max_points": 25, "num_steps": 2}
    done = run("train.py", *flags(folder, toy, **options), env=ONE_DEVICE)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module", params=["workdir", "decoder_only"])
def sampler(request):
    return Sampler(request.getfixturevalue(request.param))


def strict(text):
    """JSON without NaN or Infinity."""

    def refuse(name):
        raise ValueError(name)

    return json.loads(text, parse_constant=refuse)


# --- the likelihood, example by example, in numpy and float64


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(cell, rows, h, c, constants):
    """Outputs of an LSTM, a step at a time (Hochreiter & Schmidhuber 1997; gates in the original's order)."""
    w_x, w_h, bias = (np.asarray(w[...], np.float64) for w in (cell.w_xh, cell.w_hh, cell.bias))
    found = []
    for row in rows:
        i, j, f, o = np.split(np.concatenate([row, constants]) @ w_x + h @ w_h + bias, 4)
        c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(j)
        h = sigmoid(o) * np.tanh(c)
        found.append(h)
    return np.array(found)


def linear(layer, x):
    return x @ np.asarray(layer.kernel[...], np.float64) + np.asarray(layer.bias[...], np.float64)


def by_hand(model, encoded, noise):
    """Sums over one sketch: offset nats and pen nats up to the end, KL nats, pen states that are right, points."""
    strokes = np.asarray(encoded["strokes"], np.float64)
    n = len(strokes)
    label = np.asarray(model.label[...], np.float64)[encoded["label"]] if model.label_size else np.zeros(0)
    rows = np.zeros((n + 2, 5))
    rows[0, 2] = 1
    rows[1 : n + 1] = np.column_stack([strokes[:, :2], 1 - strokes[:, 2], strokes[:, 2], np.zeros(n)])
    rows[n + 1, 4] = 1
    z, kl = np.zeros(0), 0.0
    if model.conditional:
        ends = [
            lstm(cell, points, np.zeros(cell.units), np.zeros(cell.units), label)[-1]
            for cell, points in ((model.forward, rows[1 : n + 1]), (model.backward, rows[n:0:-1]))
        ]
        mean, log_var = (linear(layer, np.concatenate(ends)) for layer in (model.mean, model.log_var))
        z = mean + np.exp(log_var / 2) * noise
        kl = -0.5 * np.sum(1 + log_var - mean**2 - np.exp(log_var))
    state = np.tanh(linear(model.to_state, z)) if model.conditional else np.zeros(2 * model.decoder.units)
    c, h = np.split(state, 2)
    outputs = linear(model.output, lstm(model.decoder, rows[:-1], h, c, np.concatenate([z, label])))
    offsets = pens = right = 0.0
    for i, out in enumerate(outputs):
        pen = out[:3] - np.log(np.exp(out[:3]).sum())
        truth = rows[i + 1, 2:].argmax()
        pens -= pen[truth]
        right += pen.argmax() == truth
        if i < n:
            logit, x, y, log_sx, log_sy, rho = np.split(out[3:], 6)
            weight, sx, sy, rho = np.exp(logit) / np.exp(logit).sum(), np.exp(log_sx), np.exp(log_sy), np.tanh(rho)
            dx, dy = (rows[i + 1, 0] - x) / sx, (rows[i + 1, 1] - y) / sy
            together = (dx**2 + dy**2 - 2 * rho * dx * dy) / (1 - rho**2)
            offsets -= np.log(np.sum(weight * np.exp(-together / 2) / (2 * np.pi * sx * sy * np.sqrt(1 - rho**2))))
    return offsets, pens, kl, right, n


def noise_of(number, size, seed):
    """What z of the example of that place is drawn with."""
    key = jax.random.split(jax.random.fold_in(jax.random.key(seed), number), 4)[1]
    return np.asarray(jax.random.normal(key, (size,)), np.float64)


def test_likelihoods_are_those_computed_by_hand(sampler, toy):
    split, seed = evaluation.Split(sampler, str(toy), "train"), 3
    order = split.rows[np.argsort(split.lengths[split.rows], kind="stable")]
    sums = np.array(
        [
            by_hand(
                sampler.model, sampler.codec.encode(split.example(row)), noise_of(i, sampler.model.latent_size, seed)
            )
            for i, row in enumerate(order)
        ]
    )
    offsets, pens, kl, right, points = sums.T
    n_max = sampler.codec.n_max
    # The paper's sum has N_max positions: of a sketch that long it has no end token.
    last = points == n_max
    assert last.any()
    nats = offsets + pens
    expected = {
        "L_s": offsets.mean() / n_max,
        "L_p_sketch": pens.mean() / n_max,
        "L_R_sketch": nats.mean() / n_max,
        "nats_per_sketch": nats.mean(),
        "nats_per_point": nats.sum() / (points + 1).sum(),
        "pen_accuracy": right.sum() / (points + 1).sum(),
        "negative_elbo": (nats + kl).mean(),
        "N_max": n_max,
        "scale": sampler.codec.scale,
    }
    if sampler.has_latent:
        expected |= {"KL_nats": kl.mean(), "L_KL": kl.mean() / sampler.model.latent_size}
    for batch_size in (7, 40, 64):
        found = evaluation.likelihood(sampler.model, split.batches(batch_size, 3), seed=seed)
        for name, value in expected.items():
            assert found[name].value == pytest.approx(value, rel=1e-5, abs=1e-5), (name, batch_size)
    assert found["L_R"].value == pytest.approx(found["L_s"].value + found["L_p"].value, abs=1e-6)
    assert found["L_R"].value < found["L_R_sketch"].value
    assert found["nats_per_sketch"].error == pytest.approx(nats.std(ddof=1) / np.sqrt(len(nats)), rel=1e-4)
    assert found["N_max"].error == 0


def test_the_sum_of_scores_is_the_nats_of_sketches(decoder_only, toy):
    """Of a decoder alone; with z, scores are given the posterior mean, and likelihoods a z drawn around it."""
    sampler = Sampler(decoder_only)
    split = evaluation.Split(sampler, str(toy), "train")
    graph, state = nnx.split(sampler.model)
    score = jax.jit(lambda state, batch: nnx.merge(graph, state).score(batch)[0])
    total = 0.0
    for batch in split.batches(8, 2):
        # One position more, for the end token.
        batch = batch | {"strokes": np.pad(batch["strokes"], ((0, 0), (0, 1), (0, 0)))}
        nats = score(state, jax.tree.map(jnp.asarray, batch))
        real = batch["real"][:, None]
        total += float(np.sum((np.asarray(nats["offset"]) + np.asarray(nats["pen"])) * real, dtype=np.float64))
    found = evaluation.likelihood(sampler.model, split.batches(16, 3), seed=0)
    assert total / len(split.rows) == pytest.approx(found["nats_per_sketch"].value, rel=1e-5)


def test_every_example_is_counted_or_refused_with_its_reason(decoder_only, toy):
    sampler = Sampler(decoder_only)
    split = evaluation.Split(sampler, str(toy), "train")
    stored = PreparedData(toy).lengths["train"]
    assert 0 < len(split.rows) < len(stored)
    assert split.refused == {"longer than 25 points": int((stored > 25).sum())}
    assert len(split.rows) + split.refused.total() == len(stored)
    seen = sum(batch["real"].sum() for batch in split.batches(7, 2))
    assert seen == len(split.rows)


def test_an_error_is_the_spread_of_other_splits():
    """Of a ratio, against many draws."""
    rng = np.random.default_rng(0)

    def draw():
        weight = rng.integers(1, 30, 200).astype(float)
        return np.stack([weight * rng.normal(2, 1, 200), weight])

    ratios = [evaluation._ratio(draw()) for _ in range(400)]
    assert np.std([one.value for one in ratios]) == pytest.approx(np.mean([one.error for one in ratios]), rel=0.1)
    one = evaluation._ratio(np.array([[3.0], [2.0]]))
    assert one.value == 1.5
    assert np.isnan(one.error)


# --- samples


class Copyist:
    """Stands in for a sampler: what it draws is given."""

    def __init__(self, sampler, drawings):
        self.codec, self.drawings = sampler.codec, drawings
        self.has_latent, self.conditions, self.workdir, self.step = False, (), "nowhere", 1

    def sample(self, count, **_):
        longest = max(len(drawing) for drawing in self.drawings)
        found = []
        for drawing in (self.drawings[i % len(self.drawings)] for i in range(count)):
            strokes = np.zeros((longest, 3), np.float32)
            strokes[: len(drawing)] = drawing / np.array([self.codec.scale, self.codec.scale, 1])
            found.append({"strokes": strokes, "length": np.int32(len(drawing)), "ended": np.bool_(len(drawing) != 19)})
        return found


@pytest.fixture(scope="module")
def real(workdir):
    """Drawings of the toy classes: to train on, and others like them."""
    from data.toy import drawings as rules

    rng = np.random.default_rng(5)
    known, new, more = (
        [{"strokes": rules.draw(label, rng), "label": label} for _ in range(60) for label in ("star", "sun")]
        for _ in range(3)
    )
    return types.SimpleNamespace(known=known, new=new, more=more, sampler=Sampler(workdir))


def judged(real, drawings, **options):
    copyist = Copyist(real.sampler, drawings)
    given = {"count": 100, "temperature": 1.0, "seed": 0, "tell": lambda line: None} | options
    return of_sketches.samples(copyist, real.new, iter(real.known), **given)


def test_copies_of_training_drawings_are_found_out(real):
    known = [example["strokes"] for example in real.known]
    rng = np.random.default_rng(0)
    found = judged(real, known)["nearest_training"]
    assert found["compared"] == len(known)
    assert found["copies"] == {"samples": 1, "split": 0}
    assert found["near_copies"]["samples"] == 1
    assert found["nearer_than_split"] == 1
    # Moved, scaled, drawn in another unit, or with a little noise, they are copies still.
    blurred = [drawing * np.array([0.5, 0.5, 1]) for drawing in known]
    for drawing in blurred:
        drawing[:, :2] += rng.normal(0, 0.2, (len(drawing), 2))
    found = judged(real, blurred)["nearest_training"]
    assert found["near_copies"]["samples"] > 0.95
    assert found["nearer_than_split"] > 0.99
    # A model that copies every fifth one.
    fifth = [known[i] if i % 5 == 0 else example["strokes"] for i, example in enumerate(real.more)]
    found = judged(real, fifth)["nearest_training"]
    assert found["copies"]["samples"] == pytest.approx(0.2)


def test_new_drawings_of_the_same_kind_pass(real):
    found = judged(real, [example["strokes"] for example in real.more])
    near = found["nearest_training"]
    assert near["copies"]["samples"] == 0
    assert near["near_copies"]["samples"] < 0.06
    assert 0.4 < near["nearer_than_split"] < 0.6
    assert near["samples"]["p50"] == pytest.approx(near["split"]["p50"], rel=0.15)
    ratio = found["precision_recall"]
    assert ratio["of_each"] == 100
    assert ratio["precision"] == pytest.approx(ratio["precision_training"], abs=0.1)
    assert ratio["recall"] == pytest.approx(ratio["recall_training"], abs=0.1)
    assert found["diversity"]["samples"] == pytest.approx(found["diversity"]["split"], rel=0.1)
    assert found["sizes"]["points"]["wasserstein"] < 2


def test_one_drawing_over_and_over_is_found_out(real):
    found = judged(real, [real.more[0]["strokes"]])
    assert found["diversity"]["samples"] < 1e-6 < found["diversity"]["split"]
    assert found["precision_recall"]["recall"] < 0.3
    assert found["sizes"]["points"]["wasserstein"] > 2


def test_what_ended_and_what_is_empty_is_counted(real):
    drawings = [np.ones((19, 3)), np.ones((4, 3)), np.zeros((0, 3)), np.ones((8, 3))]
    found = judged(real, drawings)
    assert found["samples"] == {"count": 100, "temperature": 1.0, "seed": 0, "ended": 0.75, "empty": 0.25}
    points = found["sizes"]["points"]
    assert points["samples"]["mean"] == (19 + 4 + 8) / 4
    json.dumps(evaluation.plain(found), allow_nan=False)


def test_a_model_that_diverged_is_said_to(real):
    with pytest.raises(UserError, match="diverged"):
        judged(real, [np.full((4, 3), np.nan)])


def test_reconstructions_are_held_against_those_of_others(real):
    from magenta_lite.sketch import metrics

    given = metrics.traces([example["strokes"] for example in real.new])
    labels = np.array([example["label"] == "sun" for example in real.new]).astype(int)
    same = of_sketches._own_or_another(given, given, labels)
    assert same["own"] == 0
    assert same["own_is_nearer"] == 1
    every = metrics.distances(given, given)
    within = every[labels[:, None] == labels[None, :]].mean()
    assert same["another"] == pytest.approx(within, rel=0.2)
    blind = of_sketches._own_or_another(given, given[np.zeros(len(labels), int)], labels)
    assert blind["own_is_nearer"] == 0.5
    alone = of_sketches._own_or_another(given[:2], given[:2], np.array([0, 1]))
    assert alone["another"] is None


def test_numbers_that_are_none_are_null():
    found = evaluation.plain({"a": np.float32(np.nan), "b": [np.int64(3), np.inf, 1 / 3], "c": {"d": np.bool_(True)}})
    assert found == {"a": None, "b": [3, None, 0.333333], "c": {"d": True}}


# --- the program


def test_the_program_prints_one_json_object(workdir, toy, tmp_path):
    arguments = [f"--workdir={workdir}", "--samples=12", "--seed=1", f"--out={tmp_path / 'found.json'}"]
    done = run("evaluate.py", *arguments, env=ONE_DEVICE)
    assert done.returncode == 0, done.stderr
    found = strict(done.stdout)
    assert done.stderr
    assert strict((tmp_path / "found.json").read_text()) == found
    assert [path.name for path in tmp_path.iterdir()] == ["found.json"]
    assert found["evaluated"] == {
        "workdir": str(workdir),
        "family": "sketch_rnn",
        "step": found["evaluated"]["step"],
        "seed": 1,
        "data": str(toy),
        "own_data": True,
        "split": "test",
        "examples": 4,
        "refused": {},
    }
    assert found["samples"]["count"] == 12
    assert found["nearest_training"]["compared"] == 40
    assert found["reconstructions"]["count"] == 4
    assert found["likelihood"]["negative_elbo"] == pytest.approx(
        found["likelihood"]["nats_per_sketch"] + found["likelihood"]["KL_nats"], rel=1e-5
    )
    again = run("evaluate.py", *arguments, env=ONE_DEVICE)
    assert again.stdout == done.stdout
    # The drawings that are compared are not among those they are compared with.
    done = run("evaluate.py", f"--workdir={workdir}", "--split=train", "--samples=12", env=ONE_DEVICE)
    found = strict(done.stdout)
    assert found["nearest_training"]["compared"] == 28
    assert found["nearest_training"]["copies"]["split"] == 0


def test_without_samples_a_decoder_alone_is_only_scored(decoder_only):
    done = run("evaluate.py", f"--workdir={decoder_only}", "--samples=0", "--split=train", env=ONE_DEVICE)
    assert done.returncode == 0, done.stderr
    found = strict(done.stdout)
    assert set(found) == {"evaluated", "likelihood", "standard_error"}
    assert list(found["evaluated"]["refused"]) == ["longer than 25 points"]
    assert "KL_nats" not in found["likelihood"]
    assert found["likelihood"]["negative_elbo"] == found["likelihood"]["nats_per_sketch"]


def test_every_number_is_explained(workdir):
    done = run("evaluate.py", f"--workdir={workdir}", "--explain", env=ONE_DEVICE)
    assert done.returncode == 0, done.stderr
    shown = run("evaluate.py", f"--workdir={workdir}", "--samples=9", env=ONE_DEVICE)

    def names(tree):
        for name, value in tree.items():
            yield name
            if isinstance(value, dict):
                yield from names(value)

    found = strict(shown.stdout)
    del found["evaluated"], found["likelihood"], found["standard_error"]
    metrics = strict(shown.stdout)["likelihood"]
    missing = [
        name
        for name in [*names(found), *metrics]
        if name not in done.stdout and not name.endswith("_training") and name[1:].isdecimal() is False
    ]
    assert not missing
    for name in (*strict(shown.stdout), *strict(shown.stdout)["evaluated"]):
        assert name in ("workdir", "family") or name in done.stdout.lower()
    assert "--explain" in run("evaluate.py", "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--split=tset"], "--split=tset: "),
        (["--samples=-1"], "--samples=-1: expected 0 (none) to 10000"),
        (["--samples=many"], "--samples=many: expected int"),
        (["--temperature=nan"], "--temperature=nan: expected 0 (greedy) or more"),
        (["--seed=-1"], "--seed=-1"),
        (["--checkpoint=7"], "has the steps"),
        (["--data_dir=nowhere"], "no prepared data in nowhere"),
        (["--out=no/such/folder.json"], "--out=no/such/folder.json: expected a file to write"),
    ],
)
def test_a_mistake_is_one_line(workdir, arguments, expected):
    done = run("evaluate.py", f"--workdir={workdir}", *arguments, env=ONE_DEVICE)
    assert done.returncode == 2
    assert done.stdout == ""
    assert expected in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_no_checkpoint_no_workdir_and_unknown_labels_are_one_line(workdir, tmp_path):
    from data.toy.__main__ import main

    main(count=10, classes=["star", "house"], out=str(tmp_path / "other"))
    (tmp_path / "begun").mkdir()
    for name in ("config.json", "codec.json", "source.json"):
        (tmp_path / "begun" / name).write_bytes((workdir / name).read_bytes())
    for folder, more, expected in (
        (workdir, [f"--data_dir={tmp_path / 'other'}"], "has the class house, which the model was not told of"),
        (tmp_path, [], "is no workdir of train.py"),
        (tmp_path / "begun", [], "checkpoint"),
    ):
        done = run("evaluate.py", f"--workdir={folder}", *more, env=ONE_DEVICE)
        assert done.returncode == 2, done.stderr
        assert expected in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_samples_are_not_compared_with_data_that_the_model_was_not_trained_on(workdir, toy, tmp_path):
    shutil.copytree(workdir, tmp_path / "run")
    (tmp_path / "run/source.json").write_text('{"digest": "another"}')
    done = run("evaluate.py", f"--workdir={tmp_path / 'run'}", env=ONE_DEVICE)
    assert done.returncode == 2
    assert f"{toy} is not the data that" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_other_data_is_scaled_to_the_models_units(workdir, decoder_only, tmp_path):
    from data.toy.__main__ import main

    main(count=10, classes=["house"], out=str(tmp_path / "other"))
    sampler = Sampler(decoder_only)
    split = evaluation.Split(sampler, str(tmp_path / "other"), "train")
    assert not split.own
    sides = of_sketches.metrics.sizes(example["strokes"] for example in split.examples(split.rows))["longer_side"]
    np.testing.assert_allclose(sides, sampler.codec.size, rtol=1e-4)
    assert dataclasses.asdict(sampler.codec)["size"] == sampler.codec.size
