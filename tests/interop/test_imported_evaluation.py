"""What imported models score on prepared data: in whose units, and what is not told."""

import json

import numpy as np
import pytest
import sketch_rnn_files as files

from magenta_lite import evaluation
from magenta_lite.errors import UserError
from magenta_lite.evaluation import Split
from magenta_lite.interop import imported, sketch_rnn_js
from magenta_lite.sampler import Sampler


@pytest.fixture
def ant(tmp_path):
    """The workdir of a small imported generator."""
    imported.write(sketch_rnn_js.read(files.written(tmp_path, False)), tmp_path / "run")
    return tmp_path / "run"


def say(workdir, **facts):
    path = workdir / "source.json"
    source = json.loads(path.read_text())
    source["imported"] |= facts
    path.write_text(json.dumps(source))


def test_examples_are_scaled_but_in_the_models_own_units(ant, toy):
    """units_of names facts of source.json, all of which prepared data has to have."""
    source = json.loads((toy / "source.json").read_text())
    for units, as_it_is in (
        ({"builder": "quickdraw", "licence": "CC BY 4.0"}, False),
        ({"builder": source["builder"], "licence": source["licence"]}, True),
        ({"builder": source["builder"], "licence": "another"}, False),
        ({"digest": source["digest"]}, True),
        ({"digest": None}, False),
        (["digest"], False),
        (None, False),
    ):
        say(ant, units_of=units)
        player = Sampler(ant)
        split = Split(player, str(toy), "test")
        stored, taken = split.data.example("test", 0)["strokes"], split.example(0)["strokes"]
        (start, _), *_ = player.starting_examples(input=None, items=[0], data_dir=str(toy), split="test", count=1)
        np.testing.assert_array_equal(taken, start["strokes"])
        assert np.array_equal(stored, taken) == as_it_is, units


def test_the_likelihood_alone_is_told(ant, toy):
    found = evaluation.evaluated(str(ant), data_dir=str(toy))
    assert set(found) == {"evaluated", "likelihood", "standard_error"}
    assert np.isfinite(found["likelihood"]["nats_per_point"]) and not found["evaluated"]["own_data"]
    with pytest.raises(UserError, match="was imported without data: give --data_dir"):
        evaluation.evaluated(str(ant))
    with pytest.raises(UserError, match="--samples=10"):
        evaluation.evaluated(str(ant), data_dir=str(toy), samples=10)
    assert evaluation.evaluated(str(ant), data_dir=str(toy), samples=0) == found


def test_losses_go_out_where_they_are_known(ant, tmp_path):
    """Of the checkpoint that is exported, of the valid split; else what came in."""
    sketch_rnn_js.export(Sampler(ant), tmp_path / "none.json")
    assert "r_loss" not in json.loads((tmp_path / "none.json").read_text())[0]
    say(ant, r_loss=-0.5, kl_loss=0)
    sketch_rnn_js.export(Sampler(ant), tmp_path / "theirs.json", name="bee")
    info = json.loads((tmp_path / "theirs.json").read_text())[0]
    assert (info["r_loss"], info["kl_loss"], info["name"]) == (-0.5, 0, "bee")
    rows = [{"step": 0, "split": "valid", "L_R": -0.7}, {"step": 9, "split": "valid", "L_R": 3.0}]
    (ant / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sketch_rnn_js.export(Sampler(ant), tmp_path / "ours.json")
    assert json.loads((tmp_path / "ours.json").read_text())[0]["r_loss"] == -0.7
