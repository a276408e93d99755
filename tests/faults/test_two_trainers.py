"""Two trainers on one workdir: the second refuses, and the first does not notice."""

import os
import signal
import time

from disturbed import arguments, assert_same_run, error_line, rows, running, steps, wait_for


def folder(tmp_path, name):
    (tmp_path / name).mkdir(exist_ok=True)
    return tmp_path / name


def test_the_second_refuses_and_a_killed_one_leaves_no_lock(starter, toy, tmp_path):
    workdir = tmp_path / "run"
    argv = arguments(workdir, toy, num_steps=1_000_000)
    first = starter.start(argv, folder(tmp_path, "first"))
    wait_for(first, lambda: (workdir / "metrics.jsonl").exists() and len(rows(workdir)) > 3)
    status, output = starter.run(argv, folder(tmp_path, "second"))
    assert status == 2, output
    assert f"{workdir} is being trained by process {first} on " in error_line(output)
    before = len(rows(workdir))
    wait_for(first, lambda: len(rows(workdir)) > before + 3)
    assert running(first)
    os.kill(first, signal.SIGKILL)
    assert starter.wait(first) == -signal.SIGKILL
    stop = max(steps(workdir)) + 5
    status, output = starter.run(arguments(workdir, toy, num_steps=stop), folder(tmp_path, "third"))
    assert status == 0, output
    status, output = starter.run(arguments(tmp_path / "alone", toy, num_steps=stop), folder(tmp_path, "fourth"))
    assert status == 0, output
    assert_same_run(workdir, tmp_path / "alone")


def test_of_two_that_begin_at_once_one_wins(starter, toy, tmp_path, times):
    """The first goes on for as long as the second has not ended, since a run of an ended one may be taken up."""
    for attempt in range(times(1, 30)):
        workdir = tmp_path / f"run-{attempt}"
        argv = arguments(workdir, toy, num_steps=1_000_000)
        both = {starter.start(argv, folder(tmp_path, name)): name for name in ("first", "second")}
        deadline = time.monotonic() + 300
        while all(running(number) for number in both):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        (loser,) = [number for number in both if not running(number)]
        (winner,) = both.keys() - {loser}
        assert starter.wait(loser) == 2
        log = tmp_path / both[loser] / "log"
        assert f"{workdir} is being trained by " in error_line(log.read_text())
        log.unlink()
        wait_for(winner, lambda workdir=workdir: (workdir / "metrics.jsonl").exists() and len(rows(workdir)) > 3)
        os.kill(winner, signal.SIGTERM)
        assert starter.wait(winner) == 0, (tmp_path / both[winner] / "log").read_text()
        assert "stopped by a signal" in (tmp_path / both[winner] / "log").read_text()
        (tmp_path / both[winner] / "log").unlink()
