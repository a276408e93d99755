"""compare.py: runs side by side, seeds together, and runs that do not compare refused; and what evaluates MusicVAE."""

import json
import runpy
import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from frame import ROOT

import compare
from magenta_lite import evaluation, models, pipeline, workdirs
from magenta_lite.checkpoint import Checkpoints
from magenta_lite.errors import UserError
from magenta_lite.sampler import Sampler
from magenta_lite.training import State

pytestmark = pytest.mark.usefixtures("quick_to_compile")


@pytest.fixture(scope="module")
def made(tmp_path_factory, toy_melodies):
    """A workdir of a model that was not trained at all, and says it was, and that it was resumed."""
    folder = tmp_path_factory.mktemp("runs") / "flat"
    config = runpy.run_path(str(ROOT / "configs/music_vae.py"))["get_config"]("tiny")
    small = {"data.dir": str(toy_melodies), "model.latent_size": 4, "model.encoder_layers": (6,)}
    config.update_from_flattened_dict({**small, "model.decoder_layers": (8,), "codec.transpose": 0})
    codec, held = workdirs.prepare(folder, config, pipeline.PreparedData(config.data.dir))
    held.close()
    model = models.build(config, codec)
    checkpoints = Checkpoints(folder)
    parameters = nnx.split(model, nnx.Param)[1]
    checkpoints.save_best(State(parameters, {"count": jnp.zeros(1)}, jnp.int32(20)), 1.0)
    checkpoints.close()
    logged = ((10, 8.0), (20, 16.0), (30, 99.0), (10, 64.0), (20, 16.0))
    rows = [{"step": step, "split": "train", "examples_per_second": rate} for step, rate in logged]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def make_run(made, tmp_path):
    """Copies of that, whose files say that they are others."""

    def make(name, file="config.json", **fields):
        shutil.copytree(made, tmp_path / name)
        content = json.loads((made / file).read_text())
        (tmp_path / name / file).write_text(json.dumps(content | fields))
        return str(tmp_path / name)

    return make


def names(tree):
    for name, value in tree.items():
        yield name
        if isinstance(value, dict):
            yield from names(value)


def test_every_number_of_music_vae_is_there_and_explained(made):
    found = evaluation.evaluated(str(made), samples=8, seed=1)
    groups = ["samples", "features", "repetition", "copied", "interpolation", "attributes"]
    assert list(found) == ["evaluated", "likelihood", "standard_error", *groups]
    json.dumps(found, allow_nan=False)
    explained = evaluation.definitions("music_vae")
    del found["evaluated"]
    assert not {name for name in names(found) if name not in explained}
    forced, errors = found["likelihood"]["teacher_forced"], found["standard_error"]["teacher_forced"]
    assert forced["elbo_nats"] == pytest.approx(forced["reconstruction_nats"] + forced["KL_nats"], rel=1e-4)
    assert forced["elbo_nats_per_step"] == pytest.approx(forced["elbo_nats"] / 32, rel=1e-4)
    assert 0 < errors["accuracy"] < 0.5
    assert found["likelihood"]["latent"]["latent_size"] == 4
    assert 2 <= found["samples"]["slices"] <= found["samples"]["training_slices"] == 8
    ways = found["interpolation"]
    assert ways["t"] == [round(0.1 * point, 1) for point in range(11)]
    assert ways["data"]["hamming_first"][0] == ways["data"]["hamming_second"][-1] == 0
    assert ways["data"]["language_model_relative"][0] == pytest.approx(1)
    assert {len(value) for value in ways["latent"].values() if isinstance(value, list)} == {10, 11}
    assert ways["excess"]["elbo_nats_per_step"] == pytest.approx(
        np.mean(np.subtract(ways["data"]["elbo_nats_per_step"], ways["latent"]["elbo_nats_per_step"])[1:-1]), abs=1e-4
    )


def test_columns_are_runs_that_differ_in_the_seed_alone(make_run, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(compare, "keep_compiled", lambda: None)
    counted = []

    def evaluated(workdir, **options):
        """The real thing takes seconds."""
        counted.append(workdir)
        return {
            "evaluated": {"step": 20},
            "likelihood": {
                "sampled": {"accuracy": 0.5 + 0.1 * len(counted), "other": None},
                "teacher_forced": {"slices": 7},
            },
            "standard_error": {"sampled": {"accuracy": 0.0123}, "teacher_forced": {}},
            "interpolation": {"t": [0, 1], "excess": {"elbo_nats_per_step": 0.25}},
        }

    monkeypatch.setattr(evaluation, "evaluated", evaluated)
    runs = [make_run("flat"), make_run("again", seed=1), make_run("slow", learning_rate=1e-6)]
    assert compare.main(runs, names=["flat", "slow"], out=str(tmp_path / "table")) == 0
    assert counted == runs
    table = capsys.readouterr().out.strip()
    assert (tmp_path / "table.md").read_text().strip() == table
    cells = {line.split("|")[1].strip(): [c.strip() for c in line.split("|")[2:-1]] for line in table.splitlines()}
    assert cells[""] == ["flat", "slow"]
    assert cells["run: runs"] == ["2", "1"]
    assert cells["sampled: accuracy"] == ["0.65 [0.6, 0.7]", "0.8 ± 0.012"]
    assert cells["teacher_forced: slices"] == ["7", "7"]
    assert cells["interpolation excess: elbo_nats_per_step"] == ["0.25", "0.25"]
    assert cells["run: step"] == ["20", "20"]
    # Batches of 64: 10 steps at 64 a second, 10 at 16 a second.
    assert cells["run: hours"] == [f"{50 / 3600:.4g}"] * 2
    bi_lstm, heads = 2 * (90 + 6 + 1) * 4 * 6, 2 * (12 + 1) * 4
    decoder = (4 + 1) * 16 + (90 + 4 + 8 + 1) * 4 * 8 + (8 + 1) * 90
    assert cells["run: parameters"][0] == f"{bi_lstm + heads + decoder:,}"
    written = json.loads((tmp_path / "table.json").read_text())
    assert written["columns"] == {"flat": runs[:2], "slow": runs[2:]}
    assert written["table"]["flat"]["sampled"]["accuracy"] == pytest.approx(
        {"mean": 0.65, "least": 0.6, "greatest": 0.7}
    )
    assert written["runs"][runs[2]]["run"]["step"] == 20


def test_runs_that_do_not_compare_are_refused(make_run):
    one, other = make_run("one"), make_run("longer", "codec.json", bars=4)
    with pytest.raises(UserError, match=r"other codecs \(bars: 2 and 4\)"):
        compare.grouped([one, other])
    with pytest.raises(UserError, match="was trained on other data"):
        compare.grouped([one, make_run("elsewhere", "source.json", digest="another")])
    with pytest.raises(UserError, match="each once"):
        compare.main([one, one])
    with pytest.raises(UserError, match="expected 1 different names"):
        compare._titles([[one]], ["a", "b"])


def test_runs_that_cannot_be_evaluated_are_refused_before_the_first_is(make_run, monkeypatch):
    monkeypatch.setattr(compare, "keep_compiled", lambda: None)
    monkeypatch.setattr(evaluation, "evaluated", lambda *_, **__: pytest.fail("evaluated"))
    one, bare, old = make_run("one"), make_run("bare", seed=1), make_run("old", "source.json", digest="another")
    shutil.rmtree(Path(bare) / "best")
    with pytest.raises(UserError, match=r"no best checkpoint in .*bare"):
        compare.main([one, bare])
    with pytest.raises(UserError, match=r"is not the data that .*old was trained on"):
        compare.main([old])
    with pytest.raises(UserError, match="--split=tset"):
        compare.main([one], split="tset")


def test_data_of_another_kind_is_one_line(made, toy_drums, toy):
    player = Sampler(made)
    for folder in (toy_drums, toy):
        with pytest.raises(UserError, match="holds no melodies"):
            evaluation.Split(player, str(folder), "test")
        with pytest.raises(UserError, match="holds no melodies"):
            player.starting_examples(input=None, items=None, data_dir=str(folder), split="test", count=1)


def test_a_number_that_only_the_second_run_has_is_in_the_table():
    runs = [{"likelihood": {"a": 1}, "standard_error": {}}, {"likelihood": {"a": 3, "b": 2}, "standard_error": {}}]
    assert compare.summary(runs)["likelihood"] == {
        "a": {"mean": 2, "least": 1, "greatest": 3},
        "b": {"mean": 2, "least": 2, "greatest": 2},
    }
