"""Signals at awkward moments, and nobody who reads what is printed: a checkpoint, one line at most, no traceback."""

import os
import signal

import pytest
from disturbed import arguments, assert_same_run, steps, wait_for


@pytest.mark.parametrize(("letter", "count"), [("e", 1), ("c", 1), ("e", 2)])
def test_a_signal_during(starter, toy, tmp_path, letter, count):
    """Once, and it stops behind the step; twice together is as once, or ends it. Then it goes on as if nothing was."""
    workdir, phase = tmp_path / "run", tmp_path / "phase"
    number = starter.start(arguments(workdir, toy, num_steps=1_000_000), tmp_path)
    wait_for(number, lambda: phase.exists() and phase.read_text() == letter)
    os.kill(number, signal.SIGTERM)
    if count == 2:
        os.kill(number, signal.SIGTERM)
    status, output = starter.wait(number), (tmp_path / "log").read_text()
    assert "Traceback" not in output
    if count == 1:
        assert status == 0, output
        stopped = steps(workdir)[-1]
        assert f"stopped by a signal after step {stopped}; the same command resumes there" in output
    else:
        assert status in (0, -signal.SIGTERM), output  # both may have come before Python looked
        stopped = max([0, *steps(workdir)])
    for folder in (workdir, tmp_path / "left"):
        status, output = starter.run(arguments(folder, toy, num_steps=stopped + 4), tmp_path)
        assert status == 0, output
    assert_same_run(workdir, tmp_path / "left")


def test_nobody_reads_what_it_prints(starter, toy, tmp_path):
    """As behind `| head`: it ends with the status of that, and what it has done is kept."""
    argv = arguments(tmp_path / "run", toy, num_steps=6)
    status, output = starter.run(argv, tmp_path, out="broken")
    assert status == 141, output
    assert "Traceback" not in output
    assert "Exception" not in output
    status, output = starter.run(argv, tmp_path)
    assert status == 0, output


def test_there_is_nowhere_to_print(starter, toy, tmp_path):
    """Standard input and output are closed, as `<&- >&-` does."""
    status, output = starter.run(arguments(tmp_path / "run", toy, num_steps=6), tmp_path, out="closed")
    assert status == 0, output
    assert "Traceback" not in output
    assert steps(tmp_path / "run")[-1] == 6
