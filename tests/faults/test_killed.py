"""SIGKILL at random moments: the next start resumes by itself, and in the end nothing differs from a run left alone."""

import collections
import os
import random
import shutil
import signal
import time

from disturbed import arguments, assert_same_run, logged, steps, wait_for
from starter import PHASES

SPOILT = (7, 1, 1_000_000)
"""Every seventh batch has a NaN."""


def kill(starter, number, ready, delay, log):
    """Kills the process `delay` seconds after ready() is true; it must still be at work then."""
    wait_for(number, ready)
    time.sleep(delay)
    os.kill(number, signal.SIGKILL)
    assert starter.wait(number) == -signal.SIGKILL, log.read_text()


def size(path):
    return path.stat().st_size if path.exists() else 0


def half(workdir):
    """What a kill has left: checkpoints half written and half deleted, a line half logged."""
    folders = [path for kind in ("checkpoints", "best") for path in (workdir / kind).glob("*")]
    if any("orbax-checkpoint-tmp" in path.name for path in folders):
        yield "a checkpoint half written"
    if any(path.name.isdigit() and not (path / "about" / "metadata").exists() for path in folders):
        yield "a checkpoint half deleted"
    if size(workdir / "metrics.jsonl") and not (workdir / "metrics.jsonl").read_bytes().endswith(b"\n"):
        yield "a line half logged"


def test_killed_at_any_moment_a_run_comes_to_the_same(starter, toy, tmp_path, times):
    """Three of four kills come after the first step of a start, the others anywhere from its beginning.

    Now and then a step is skipped, so that the counts of skipped steps are at stake, too.
    """
    luck, kills, takes = random.Random(5), times(5, 100), 2.0
    workdir, log, moments = tmp_path / "run", tmp_path / "log", collections.Counter()
    lines = workdir / "metrics.jsonl"
    more = {"keep_checkpoints": 2, "on_nan": "skip"}
    argv = arguments(workdir, toy, num_steps=1_000_000, **more)
    for attempt in range(kills):
        before, begun = size(lines), time.monotonic()
        number = starter.start(argv, tmp_path, spoilt=SPOILT)
        if attempt % 4:
            kill(starter, number, lambda before=before: size(lines) > before, 0.5 * luck.random(), log)
            takes = time.monotonic() - begun
        else:
            kill(starter, number, lambda: True, takes * luck.random(), log)
        moments[PHASES[(tmp_path / "phase").read_text()]] += 1
        moments.update(half(workdir))
        assert not (workdir / "unreadable").exists(), log.read_text()
    print(dict(moments))
    # Beyond what was logged, which is further than what was saved.
    final = max([0, *steps(workdir, "best"), *(step for _, step in logged(workdir))]) + 3
    status, output = starter.run(arguments(workdir, toy, num_steps=final, **more), tmp_path, spoilt=SPOILT)
    assert status == 0, output
    assert f"to {final};" in output
    status, output = starter.run(arguments(tmp_path / "left", toy, num_steps=final, **more), tmp_path, spoilt=SPOILT)
    assert status == 0, output
    assert_same_run(workdir, tmp_path / "left")
    assert not list(half(workdir))
    if kills == 100:
        for moment in ("steps", "evaluation", "writing the best checkpoint", "a checkpoint half written"):
            assert moments[moment] >= 3, moments


def locked_by(workdir, number):
    """The lock is what a new workdir gets first."""
    return (workdir / ".lock").exists() and f"process {number} " in (workdir / ".lock").read_text()


def test_killed_while_its_workdir_is_made(starter, toy, tmp_path, times):
    """As often as it takes, until a workdir is whole; then it is trained in, and another is begun."""
    luck, kills, moments = random.Random(6), times(2, 40), collections.Counter()
    status, output = starter.run(arguments(tmp_path / "left", toy, num_steps=4), tmp_path)
    assert status == 0, output
    workdir, log = tmp_path / "run", tmp_path / "log"
    for _ in range(kills):
        number = starter.start(arguments(workdir, toy, num_steps=4), tmp_path)
        kill(starter, number, lambda number=number: locked_by(workdir, number), 0.05 * luck.random(), log)
        names = {path.name for path in workdir.iterdir()} if workdir.exists() else set()
        moments["no folder" if not names else "a whole workdir" if "config.json" in names else "a part of it"] += 1
        if "config.json" in names:
            finished(starter, workdir, toy, tmp_path)
            shutil.rmtree(workdir)
    print(dict(moments))
    finished(starter, workdir, toy, tmp_path)
    if kills == 40:
        assert moments["a part of it"] >= 3, moments


def finished(starter, workdir, toy, tmp_path):
    status, output = starter.run(arguments(workdir, toy, num_steps=4), tmp_path)
    assert status == 0, output
    assert_same_run(workdir, tmp_path / "left")
    same = ("config.json", "codec.json", "source.json")
    assert all((workdir / name).read_bytes() == (tmp_path / "left" / name).read_bytes() for name in same)
    assert not list(workdir.glob("*partial*"))
