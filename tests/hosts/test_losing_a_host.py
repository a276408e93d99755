"""What ends one of several processes ends the other, soon, with one line, and both go on from the last checkpoint."""

import itertools
import json
import shutil
import signal
import time

import numpy as np
import pytest
from frame import flags
from processes import ROOT, STEPS, environment, free_port, small, started, until

from magenta_lite import hosts, watch

BUSY = 60
"""Seconds more than stated that a machine that is busy with other tests may take."""

PACED = str(ROOT / "tests/hosts/paced.py")


def losses(workdir):
    """{step: every loss that was logged for it}: the steps behind a checkpoint are taken again."""
    found = {}
    for line in (workdir / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["split"] == "train":
            found.setdefault(row["step"], []).append(row["loss"])
    return found


def assert_as_straight(workdir, straight):
    expected = {step: loss for step, (loss,) in losses(straight).items()}
    found = losses(workdir)
    assert found.keys() == expected.keys()
    for step, several in found.items():
        np.testing.assert_allclose(several, expected[step], rtol=1e-5, err_msg=f"step {step}")


def tells_of_a_loss(line):
    """What a process says last that has lost the other: it has found that, or JAX has, and has ended it."""
    return line.startswith(("error: a host of this run has gone", "error: the process of this host ended with SIGABRT"))


def newest(workdir):
    return max(int(path.name) for path in (workdir / "checkpoints").iterdir())


class Pair:
    """Two processes that are held at points of HELD, or not."""

    def __init__(self, workdir, data, at=(), envs=({}, {}), words=None, fields=({}, {})):
        self.held = workdir.with_name(f"{workdir.name}-held-{time.monotonic_ns()}")
        self.held.mkdir(parents=True)
        for point in at:
            (self.held / point).touch()
        where = [f"--coordinator=127.0.0.1:{free_port()}", "--processes=2"]
        commands = [
            [
                PACED,
                *flags(workdir, data, **small(**fields[number])),
                *(where if words is None else words),
                f"--process={number}",
            ]
            for number in (0, 1)
        ]
        self.started = started(commands, self.held / "logs", [environment(2, HELD=str(self.held), **e) for e in envs])

    def __enter__(self):
        self.processes = self.started.__enter__()
        return self

    def __exit__(self, *error):
        return self.started.__exit__(*error)

    def __getitem__(self, number):
        return self.processes[number]

    def come(self, point, *numbers):
        """Waits until the processes are held there."""
        who = numbers or (0, 1)
        until(lambda: all((self.held / f"{point}.{n}").exists() for n in who), *self.processes)

    def release(self, point):
        (self.held / point).unlink()

    def ends(self, number, within):
        """(exit status, last line, seconds) of a process that has to end by itself, all of it."""
        began = time.monotonic()
        status = self[number].wait(within)
        seconds = time.monotonic() - began
        assert self[number].alive() == []
        return status, self[number].last, seconds


@pytest.mark.parametrize("point", ["preparing", "step-1-of-0", "step-1-of-1", "evaluation-of-1", "closing"])
def test_a_host_may_take_its_time(times, toy, tmp_path, point):
    """While it makes the workdir, and before the first step and evaluation: more than XLA waits for a connection.

    When the others are done, the first one has more time than JAX gives it: 300 seconds.
    """
    if not times(False, True):
        pytest.skip("with --long")
    with Pair(tmp_path / "run", toy, [point]) as pair:
        pair.come(point, int(point[-1]) if "of" in point else 0)
        time.sleep(310 if point == "closing" else hosts.SILENCE + 10)
        pair.release(point)
        assert [pair[n].wait() for n in (0, 1)] == [0, 0], pair[0].output + pair[1].output
    assert newest(tmp_path / "run") == STEPS


def slurm(number, port):
    """What JAX reads of SLURM, of a job that meets at the port: 61440 + SLURM_JOB_ID % 4096."""
    return {
        "SLURM_JOB_ID": str(port),
        "SLURM_STEP_NODELIST": "127.0.0.1",
        "SLURM_NTASKS": "2",
        "SLURM_PROCID": str(number),
        "SLURM_LOCALID": "0",
        "JAX_COORDINATOR_PORT": str(port),
    }


def test_devices_and_hosts_come_and_go(toy, straight, tmp_path):
    """Four devices of one process, two hosts, of which one is told to stop, two of which one is killed, one device."""
    workdir = tmp_path / "run"
    with started([["train.py", *flags(workdir, toy, **small(num_steps=5))]], tmp_path / "four", [environment(4)]) as (
        process,
    ):
        assert process.wait() == 0, process.output
        assert "4 device(s)" in process.output

    port = free_port()
    elsewhere = {"data.dir": str(tmp_path / "elsewhere")}  # the same data
    (tmp_path / "elsewhere").symlink_to(toy)
    envs = [slurm(n, port) for n in (0, 1)]
    with Pair(workdir, toy, ["step-9"], envs, ["--distributed"], ({}, elsewhere)) as pair:
        pair.come("step-9")
        pair[1].signal(signal.SIGTERM, "parent")
        pair.come("told", 1)
        pair.release("step-9")
        assert [pair[n].wait() for n in (0, 1)] == [0, 0], pair[0].output + pair[1].output
        assert [pair[n].alive() for n in (0, 1)] == [[], []]
        stopped = newest(workdir)
        assert stopped in (9, 10)
        assert f"stopped by a signal after step {stopped}" in pair[0].output
        assert "steps 5 to 20" in pair[0].output
        assert "4 device(s) of 2 hosts" in pair[0].output

    meet = {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{free_port()}", "JAX_NUM_PROCESSES": "2"}
    envs = [meet | {"JAX_PROCESS_ID": str(number)} for number in (0, 1)]
    with Pair(workdir, toy, ["step-14"], envs, []) as pair:
        pair.come("step-14")
        pair[1].signal(signal.SIGKILL)
        pair.release("step-14")
        status, line, seconds = pair.ends(0, hosts.SILENCE + BUSY)
        print(f"missed after {seconds:.1f} s: {line}")
        assert (status, tells_of_a_loss(line)) == (watch.LOST, True), line
        assert pair[1].alive() == []

    words = ["train.py", *flags(workdir, toy, **small())]
    with started([words], tmp_path / "one", [environment(1)]) as (process,):
        assert process.wait() == 0, process.output
        assert f"steps {stopped} to {STEPS}" in process.output
    assert_as_straight(workdir, straight)


PHASES = {"connected": "connected", "compiling": "step-1", "steps": "step-14", "evaluation": "evaluation"}
WAYS = [("compiling", 0, "parent"), ("evaluation", 1, "child")]
WAYS += [way for way in itertools.product(PHASES, (0, 1), ("both", "child", "parent")) if way not in WAYS]


@pytest.mark.parametrize("way", range(len(WAYS)), ids=["-".join(map(str, way)) for way in WAYS])
def test_each_way_to_lose_one(times, toy, straight, tmp_path, way):
    """Whichever process, whatever of it, whenever: the other ends with its line, and the run can be taken up."""
    if way >= times(1, len(WAYS)):
        pytest.skip("with --long")
    phase, victim, whom = WAYS[way]
    point, workdir = PHASES[phase], tmp_path / "run"
    with Pair(workdir, toy, [point]) as pair:
        pair.come(point)
        pair.release(point)
        pair[victim].signal(signal.SIGKILL, whom)
        status, line, seconds = pair.ends(1 - victim, hosts.SILENCE + BUSY)
        print(f"{phase}, {whom} of {victim}: missed after {seconds:.1f} s: {line}")
        assert status == watch.LOST, pair[1 - victim].output
        assert tells_of_a_loss(line), line
        pair[victim].wait(BUSY)
        until(lambda: not pair[victim].alive())
        if whom == "child":
            assert pair[victim].popen.returncode == watch.LOST
            assert "was ended by SIGKILL" in pair[victim].last
    if times(False, True):
        with Pair(workdir, toy) as pair:
            assert [pair[n].wait() for n in (0, 1)] == [0, 0], pair[0].output + pair[1].output
        assert_as_straight(workdir, straight)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_frozen_host_is_missed(times, toy, straight, tmp_path, victim):
    """Within SILENCE and a few seconds; the frozen one ends when it wakes."""
    if not times(False, True):
        pytest.skip("with --long")
    workdir = tmp_path / "run"
    with Pair(workdir, toy, ["step-14"]) as pair:
        pair.come("step-14")
        pair[victim].signal(signal.SIGSTOP)
        pair.release("step-14")
        status, line, seconds = pair.ends(1 - victim, hosts.SILENCE + BUSY)
        print(f"frozen {victim}: missed after {seconds:.1f} s: {line}")
        assert status == watch.LOST, pair[1 - victim].output
        assert tells_of_a_loss(line), line
        pair[victim].signal(signal.SIGCONT)
        assert pair[victim].wait(hosts.SILENCE + BUSY) == watch.LOST
        assert pair[victim].alive() == []
    with Pair(workdir, toy) as pair:
        assert [pair[n].wait() for n in (0, 1)] == [0, 0]
    assert_as_straight(workdir, straight)


# What is wrong: on which host, its fields, its environment, what it says.
MISTAKES = {
    "config": (1, {"model.decoder_size": 16}, {}, "host 1 has another config than the first (model.decoder_size"),
    "workdir": (0, {"model.decoder_size": 16}, {}, "run is of another config (model.decoder_size: 12 -> 16)"),
    "on_nan": (1, {"on_nan": "skip"}, {}, "host 1 has another config than the first (on_nan: stop -> skip)"),
    "num_steps": (1, {"num_steps": 7}, {}, f"another config than the first (num_steps: {STEPS} -> 7)"),
    "evaluate_every": (1, {"evaluate_every": 7}, {}, f"another config than the first (evaluate_every: {STEPS} -> 7)"),
    "data": (1, {"data.dir": "nowhere"}, {}, "no prepared data"),
    "devices": (1, {}, {"XLA_FLAGS": ""}, "the hosts have 2, 1 devices: expected equally many"),
    "platform": (1, {}, {"JAX_PLATFORMS": "none"}, "none"),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_on_one_host_ends_both(times, toy, straight, tmp_path, what):
    if list(MISTAKES).index(what) >= times(2, len(MISTAKES)):
        pytest.skip("with --long")
    guilty, fields, env, said = MISTAKES[what]
    workdir = tmp_path / "run"
    if what == "workdir":
        shutil.copytree(straight, workdir)
    theirs = [({}, {}), ({}, {})]
    theirs[guilty] = fields, env
    with Pair(workdir, toy, fields=[one for one, _ in theirs], envs=[one for _, one in theirs]) as pair:
        found = [pair.ends(number, 2 * BUSY + hosts.SILENCE) for number in (0, 1)]
        print(f"{what}: {found}")
        if what == "devices":  # each finds that, and the one that ends first may be what the other finds
            guilty = int(found[0][0] != 2)
        status, line, _ = found[guilty]
        assert status == (1 if what == "platform" else 2)
        assert line.startswith("error: ")
        assert said in line
        status, line, _ = found[1 - guilty]
        if what == "devices" and status == 2:
            assert said in line
        else:
            assert (status, tells_of_a_loss(line)) == (watch.LOST, True), line


@pytest.mark.parametrize("what", ["alone", "nobody", "twice"])
def test_processes_that_do_not_find_each_other(times, toy, tmp_path, what):
    """The first waits for no second, the second for no first, and two say that they are the second."""
    if what != "alone" and not times(False, True):
        pytest.skip("with --long")
    patience = times(3, 12)
    port = free_port()
    numbers = {"alone": [0], "nobody": [1], "twice": [0, 1, 1]}[what]
    where = [f"--coordinator=127.0.0.1:{port}", f"--processes={max(2, len(numbers))}", f"--patience={patience}"]
    base = flags(tmp_path / "run", toy, **small())
    commands = [["train.py", *base, *where, f"--process={number}"] for number in numbers]
    with started(commands, tmp_path / "logs", [environment(1)] * len(numbers)) as processes:
        began = time.monotonic()
        for process in processes:
            status = process.wait(patience + 2 * BUSY)
            print(f"{what}: {status} after {time.monotonic() - began:.1f} s: {process.last}")
            assert status == 2
            assert process.last.startswith(f"error: {watch.APART}")
            assert process.alive() == []
            assert ("waiting for the other processes" in process.output) == (patience > 10) or what == "twice"
