"""evaluate.py as a person runs it: what it prints, and mistakes answered in one line."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from frame import ONE_DEVICE, run

from magenta_lite import evaluation
from magenta_lite.models.sketch_rnn import evaluation as of_sketches
from magenta_lite.sampler import Sampler


def strict(text):
    """JSON without NaN or Infinity."""

    def refuse(name):
        raise ValueError(name)

    return json.loads(text, parse_constant=refuse)


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
