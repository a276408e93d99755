"""Two processes of two devices each against one process of one: the same losses, one log, one set of checkpoints."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from processes import ROOT, environment, free_port, started

from magenta_lite import config as configs
from magenta_lite import pipeline, workdirs
from magenta_lite.sampler import Sampler

STEPS = 20

COMMON = {"num_steps": STEPS, "log_every": 1, "evaluate_every": 10, "save_every": 10, "buckets": 1}

SKETCH = {
    "model.encoder_size": 8,
    "model.decoder_size": 12,
    "model.latent_size": 4,
    "model.mixtures": 3,
    "model.label_size": 2,
    "model.recurrent_keep": 0.8,
    "model.output_keep": 0.8,
    "model.kl_min": 0.001,  # passed on the way
}
PERFORMANCE = {"codec.crop": 24, "model.layers": [8, 8], "model.keep": 0.8}
MUSIC = {
    "codec.transpose": 3,
    "model.latent_size": 4,
    "model.encoder_layers": [8],
    "model.decoder_layers": [12],
    "model.keep": 0.8,
    "model.sampling_rate": 0.2,
}

# Family: recipe, the fixture of its data, its fields.
FAMILIES = {
    "sketch_rnn": ("sketch_rnn.py", "toy", SKETCH),
    "performance_rnn": ("performance_rnn.py", "toy_performances", PERFORMANCE),
    "music_vae": ("music_vae.py", "toy_melodies", MUSIC),
}

BATCHES = (10, 3, 1)
"""None divides by four devices: of three a device is left without an example, and of one a whole host."""


def batch_size(family, turn):
    return BATCHES[(list(FAMILIES).index(family) + turn) % len(BATCHES)]


def rows(workdir):
    """{(split, step): metrics} of a workdir; every line once."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    found = {(line["split"], line["step"]): line for line in lines}
    assert len(found) == len(lines)
    return {key: {n: v for n, v in row.items() if not isinstance(v, str)} for key, row in found.items()}


def checkpoints(workdir):
    return {
        folder: sorted(int(path.name) for path in (workdir / folder).iterdir()) for folder in ("checkpoints", "best")
    }


def assert_equal_runs(one, other):
    """Every metric of every step, to 1e-5."""
    one, other = rows(one), rows(other)
    assert one.keys() == other.keys()
    for key, metrics in one.items():
        for name in metrics.keys() - {"time", "examples_per_second"}:
            message = f"{name} of {key}"
            np.testing.assert_allclose(other[key][name], metrics[name], rtol=1e-5, atol=1e-7, err_msg=message)


def jobs(request, folder, turn):
    return [
        (
            str(folder / family),
            recipe,
            "tiny",
            COMMON | fields | {"data.dir": str(request.getfixturevalue(data)), "batch_size": batch_size(family, turn)},
        )
        for family, (recipe, data, fields) in FAMILIES.items()
    ]


@pytest.fixture(scope="module", params=range(len(BATCHES)))
def runs(request, times, tmp_path_factory):
    """(workdirs, outputs) of all families trained by one process, and by two; each with one of BATCHES, or with all."""
    if request.param >= times(1, len(BATCHES)):
        pytest.skip("with --long")
    folder, worker = tmp_path_factory.mktemp("runs"), str(ROOT / "tests/hosts/families.py")
    found = {"turn": request.param}
    for name, count, devices in (("one", 1, 1), ("two", 2, 2)):
        where = folder / name
        where.mkdir()
        file = where / "runs.json"
        file.write_text(json.dumps(jobs(request, where, request.param)))
        port = free_port()
        more = [[f"127.0.0.1:{port}", str(count), str(number)] if count > 1 else [] for number in range(count)]
        commands = [[worker, str(file), *words] for words in more]
        with started(commands, where / "logs", [environment(devices)] * count) as processes:
            for process in processes:
                assert process.wait() == 0, process.output
            found[name] = where, [process.output for process in processes]
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_two_hosts_and_one_agree_at_every_step(runs, family):
    """Augmentation, dropout, scheduled sampling and the KL's floor included."""
    one, two = (runs[name][0] / family for name in ("one", "two"))
    assert_equal_runs(one, two)
    assert {step for split, step in rows(two) if split == "train"} == set(range(1, STEPS + 1))
    assert {step for split, step in rows(two) if split == "valid"} == {10, 20}
    assert checkpoints(one) == checkpoints(two)
    assert checkpoints(two)["checkpoints"] == [10, 20]
    train = [row["loss"] for (split, _), row in rows(one).items() if split == "train"]
    assert len(set(train)) == STEPS
    assert all(math.isfinite(loss) for loss in train)


@pytest.mark.parametrize("number", range(len(FAMILIES)), ids=list(FAMILIES))
def test_samples_do_not_tell_who_wrote_the_checkpoint(runs, times, number):
    """With its parameters the workdir of one process gives what that of two hosts gives, to the last bit."""
    if number >= times(1, len(FAMILIES)):
        pytest.skip("with --long")
    one, two = (Sampler(runs[name][0] / list(FAMILIES)[number], "last") for name in ("one", "two"))
    parameters = [nnx.state(sampler.model, nnx.Param) for sampler in (one, two)]
    for a, b in zip(*map(jax.tree.leaves, parameters), strict=True):
        assert np.linalg.norm(a - b) <= 1e-5 * np.linalg.norm(a) + 1e-7
    nnx.update(one.model, parameters[1])
    keys = jax.random.split(jax.random.key(0), 5)
    labels = {name: jnp.zeros(5, jnp.int32) for name in one.model.conditions}
    draw = {"temperature": 0.5, "condition": labels}
    drawn = [jax.jit(lambda model=sampler.model: model.sample(keys, **draw))() for sampler in (one, two)]
    for a, b in zip(*map(jax.tree.leaves, drawn), strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_host_tells_and_the_other_is_silent(runs):
    first, second = runs["two"][1]
    assert first.count("step 20 valid:") == len(FAMILIES)
    assert "4 device(s) of 2 hosts" in first
    told = [line for line in second.splitlines() if not line.startswith(("[Gloo]", "read "))]
    assert told == ["connected"]
    for family in FAMILIES:
        events = list((runs["two"][0] / family).rglob("events.out.tfevents.*"))
        assert len(events) == 1


def test_every_connection_is_made_at_the_start(runs):
    """XLA waits 30 seconds for the others where it makes one, and a host may be slower than that later on."""
    for output in runs["two"][1]:
        before, _, after = output.partition("connected\n")
        assert "[Gloo]" in before
        assert "[Gloo]" not in after


@pytest.mark.parametrize("number", range(len(FAMILIES)))
def test_each_host_reads_its_own_rows(runs, request, number):
    """Of all that is read for training and for validation; what begins a run is the first host's alone."""
    family, (_, fixture, _) = list(FAMILIES.items())[number]
    batch = batch_size(family, runs["turn"])

    def read(output):
        return [json.loads(line[5:]) for line in output.splitlines() if line.startswith("read ")][number]

    (alone,), (first, second) = ([read(output) for output in runs[name][1]] for name in ("one", "two"))
    data = pipeline.PreparedData(request.getfixturevalue(fixture))
    workdir = runs["one"][0] / family
    codec = workdirs.load_codec(workdir, configs.load(workdir / "config.json"))
    usable = int((codec.lengths(data.lengths["valid"]) > 0).sum())
    each = 2 * -(-batch // 4)
    sizes = {
        "train": [batch] * STEPS,
        "valid": 2 * [min(batch, usable - start) for start in range(0, usable, batch)],  # in two evaluations
    }
    for split, batches in sizes.items():
        begun = alone[split] - sum(batches)
        assert begun >= 0
        assert first[split] == begun + sum(min(size, each) for size in batches)
        # A host without a row reads one, to know what arrays to fill with zeros.
        assert second[split] == sum(max(size - each, 1) for size in batches)
