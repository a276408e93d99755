"""train.py as a person runs it: logs, checkpoints, resuming to the bit, and mistakes answered in one line."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import orbax.checkpoint as ocp
import pytest
from frame import ONE_DEVICE, ROOT, flags, run

STEPS = 120


def parameters(workdir, step):
    return ocp.StandardCheckpointer().restore(workdir.absolute() / "checkpoints" / str(step) / "parameters")


def leaves(tree):
    if isinstance(tree, dict):
        return {f"{k}/{name}": leaf for k, v in tree.items() for name, leaf in leaves(v).items()}
    return {"": np.asarray(tree)}


def rows(workdir, split):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["split"] == split]


@pytest.fixture(scope="module")
def straight(tmp_path_factory, toy):
    """A run of STEPS steps on one device, never interrupted."""
    workdir = tmp_path_factory.mktemp("runs") / "straight"
    done = run("train.py", *flags(workdir, toy, num_steps=STEPS), env=ONE_DEVICE)
    assert done.returncode == 0, done.stderr
    return workdir


def test_a_run_leaves_all_that_later_work_needs(straight, toy):
    config = json.loads((straight / "config.json").read_text())
    assert config["model"]["encoder_size"] == 8
    codec = json.loads((straight / "codec.json").read_text())
    assert codec["labels"] == ["star", "sun"]
    assert sorted(int(p.name) for p in (straight / "checkpoints").iterdir()) == [80, 100, 120]
    assert len(list((straight / "best").iterdir())) == 1
    assert list(straight.glob("events.out.tfevents.*"))
    trained, valid = rows(straight, "train"), rows(straight, "valid")
    assert [row["step"] for row in trained] == list(range(1, STEPS + 1))
    assert [row["step"] for row in valid] == [20, 40, 60, 80, 100, 120]
    assert valid[-1]["loss"] < valid[0]["loss"]
    assert {"L_R", "L_s", "L_p", "L_KL", "KL_nats", "N_max", "nats_per_point", "pen_accuracy"} <= valid[0].keys()
    best = min(valid, key=lambda row: row["loss"])["step"]
    assert (straight / "best" / str(best)).exists()


def test_validation_covers_the_whole_split(straight, toy):
    """Over every sketch of the split, against a pass one by one with the same parameters."""
    import jax
    import jax.numpy as jnp

    from magenta_lite.pipeline import PreparedData, collate
    from magenta_lite.sampler import Sampler

    player = Sampler(straight, "last")
    data, codec = PreparedData(toy), player.codec
    key = jax.random.key(0)[None]
    totals = np.zeros(2)
    measure = jax.jit(lambda batch: player.model(batch, keys=key, step=0, train=False)["L_KL"])
    for example in data.examples("valid"):
        batch = collate([codec.encode(example)], codec.n_max)
        totals += [float(value[0]) for value in measure(jax.tree.map(jnp.asarray, batch))]
    assert totals[1] == len(data.lengths["valid"])
    np.testing.assert_allclose(rows(straight, "valid")[-1]["L_KL"], totals[0] / totals[1], rtol=1e-4)


def test_terminated_and_resumed_equals_straight_bit_for_bit(straight, toy, tmp_path):
    workdir = tmp_path / "run"
    command = [sys.executable, str(ROOT / "train.py"), *flags(workdir, toy, num_steps=100_000)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=ONE_DEVICE, cwd=ROOT)
    deadline = time.monotonic() + 120
    while not (workdir / "metrics.jsonl").exists() or not rows(workdir, "train"):
        assert process.poll() is None, process.stdout.read().decode()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=60)[0].decode()
    assert process.returncode == 0, output
    stopped = max(int(p.name) for p in (workdir / "checkpoints").iterdir())
    assert f"after step {stopped}" in output
    target = stopped + STEPS  # wherever the signal came, there is more to do
    again = run("train.py", *flags(workdir, toy, num_steps=target), env=ONE_DEVICE)
    assert again.returncode == 0, again.stderr
    longer = run("train.py", *flags(straight, toy, num_steps=target), env=ONE_DEVICE)
    assert longer.returncode == 0, longer.stderr
    ours, theirs = leaves(parameters(workdir, target)), leaves(parameters(straight, target))
    assert ours.keys() == theirs.keys()
    assert all((ours[name] == theirs[name]).all() for name in ours)
    logged = {row["step"]: row["loss"] for row in rows(workdir, "train")}
    assert {row["step"]: row["loss"] for row in rows(straight, "train") if row["step"] in logged} == logged


def test_another_config_is_refused_by_field(straight, toy):
    done = run("train.py", *flags(straight, toy, num_steps=STEPS, batch_size=20, **{"codec.limit": 500.0}))
    assert done.returncode == 2
    assert "batch_size: 10 -> 20" in done.stderr
    assert "codec.limit: 1000.0 -> 500.0" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_checkpoint_of_one_device_continues_on_four_and_fine_tunes(straight, toy, tmp_path):
    """--init_from starts from the best parameters: the first loss is that of a trained model."""
    four = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    workdir = tmp_path / "tuned"
    done = run("train.py", *flags(workdir, toy, num_steps=4), f"--init_from={straight}", env=four)
    assert done.returncode == 0, done.stderr
    assert "4 device(s)" in done.stdout
    # The same seed, so the same batch, with and without what was learnt.
    assert rows(workdir, "train")[0]["loss"] < 0.75 * rows(straight, "train")[0]["loss"]
    done = run("train.py", *flags(workdir, toy, num_steps=8), env=ONE_DEVICE)
    assert done.returncode == 0, done.stderr
    assert "steps 4 to 8" in done.stdout
    begun = json.loads((workdir / "source.json").read_text())["begun_from"]
    assert (begun["workdir"], begun["licence"], begun["labels"]) == ("straight", "Apache-2.0", ["star", "sun"])
    assert (straight / "best" / str(begun["step"])).exists()
    assert "begun_from" not in json.loads((straight / "source.json").read_text())
    other = run("train.py", *flags(tmp_path / "x", toy, **{"model.decoder_size": 16}), f"--init_from={straight}")
    assert other.returncode == 2
    assert "has another model than --config: it takes --config.model.decoder_size=12" in other.stderr
    assert not (tmp_path / "x").exists()


def test_not_a_number_stops_the_run(toy, tmp_path):
    options = {"optimizer.learning_rate": 1e30, "optimizer.decay_rate": 1.0, "save_every": 1, "num_steps": 40}
    done = run("train.py", *flags(tmp_path / "run", toy, **options), env=ONE_DEVICE)
    assert done.returncode == 2
    line = done.stderr.strip().splitlines()[-1]
    assert "is not finite at step" in line
    assert "last good checkpoint is of step" in line
    good = int(line.rsplit(" ", 1)[1])
    assert all(np.isfinite(leaf).all() for leaf in leaves(parameters(tmp_path / "run", good)).values())


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("--config.batch_siz=5", "--config.batch_siz: no such field 'batch_siz'; did you mean 'batch_size'?"),
        ("--config.modl.mixtures=5", "--config.modl.mixtures: no such field 'modl'; did you mean 'model'?"),
        ("--config.batch_size=many", "--config.batch_size=many"),
        ("--config.log_every=0", "config.log_every=0: expected at least 1"),
        ("--config=configs/sketch_rnn.py:tinny", "configs/sketch_rnn.py fails with no variant 'tinny'"),
        ("--config=configs/none.py", "configs/none.py: no such file"),
        ("--wrkdir=x", "unknown flag --wrkdir: did you mean 'workdir'?"),
        ("--config.model.encoder_cell=lsmt", "config.model.encoder_cell='lsmt' is unknown: did you mean 'lstm'?"),
        ("--config.optimizer.min_learning_rate=1.0", "config.optimizer.min_learning_rate=1.0"),
        (
            "--config.data.dir=nowhere",
            "no prepared data in nowhere (config.data.dir): prepare it with `python -m data.toy --out=nowhere`",
        ),
    ],
)
def test_a_mistake_is_one_line(argument, expected, toy, tmp_path):
    words = flags(tmp_path / "run", toy)
    if argument.startswith("--config="):
        words = words[1:]
    done = run("train.py", *words, argument)
    assert done.returncode == 2
    assert expected in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_best_is_announced_only_where_it_is_kept(tmp_path):
    """Two saves in a row, so that the first may still be in the background when the second is judged."""
    import jax.numpy as jnp

    from magenta_lite.checkpoint import Checkpoints
    from magenta_lite.training import State

    checkpoints = Checkpoints(tmp_path)
    for step, loss, lower in ((5, 3.0, True), (6, 2.0, True), (7, 2.5, False), (8, 1.0, True)):
        state = State({"x": jnp.full(3, loss)}, {"y": jnp.zeros(2)}, jnp.int32(step))
        assert checkpoints.save_best(state, loss) == lower
    checkpoints.close()
    assert [int(path.name) for path in (tmp_path / "best").iterdir()] == [8]
    assert Checkpoints(tmp_path).best_loss == 1.0


def test_no_valid_split_is_said_at_once(toy, tmp_path):
    shutil.copytree(toy, tmp_path / "toy")
    with np.load(toy / "lengths.npz") as lengths:
        np.savez(tmp_path / "toy" / "lengths.npz", **{**lengths, "valid": lengths["valid"] + 999})
    done = run("train.py", *flags(tmp_path / "run", tmp_path / "toy"))
    assert done.returncode == 2
    assert "has no valid split with an example" in done.stderr
    assert not (tmp_path / "run").exists()
    assert len(done.stderr.strip().splitlines()) == 1


def test_data_prepared_anew_is_refused(straight, toy, tmp_path):
    from data.toy.__main__ import main

    main(count=20, seed=5, classes=["star", "sun"], out=str(tmp_path / "other"))
    workdir = tmp_path / "run"
    shutil.copytree(straight, workdir)
    done = run("train.py", *flags(workdir, tmp_path / "other"))
    assert done.returncode == 2
    assert "data.dir" in done.stderr
    shutil.copytree(toy, tmp_path / "toy")
    (tmp_path / "toy" / "source.json").write_text((tmp_path / "other" / "source.json").read_text())
    config = json.loads((workdir / "config.json").read_text())
    config["data"]["dir"] = str(tmp_path / "toy")
    (workdir / "config.json").write_text(json.dumps(config))
    done = run("train.py", *flags(workdir, tmp_path / "toy"))
    assert done.returncode == 2
    assert "prepared anew" in done.stderr
