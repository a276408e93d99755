"""The disk is full: one line, the last good checkpoint stays, and with room the same command comes to the same."""

import random
import shutil
import subprocess

import pytest
from disturbed import arguments, assert_same_run, error_line, steps
from starter import PHASES


@pytest.fixture(scope="module")
def left(starter, toy, tmp_path_factory):
    """A run of 8 steps that was left alone."""
    folder = tmp_path_factory.mktemp("left")
    status, output = starter.run(arguments(folder / "run", toy, num_steps=8, keep_checkpoints=1), folder)
    assert status == 0, output
    return folder / "run"


MOMENTS = {"w": 1, "o": 1, "l": 11, "c": 4, "b": 3}
"""How often a run of 8 steps comes to each phase."""


def test_full_at_any_moment(starter, left, toy, tmp_path, times):
    """No file may grow beyond a few bytes from some moment on; of last and best checkpoints one each is kept."""
    luck, told = random.Random(9), {}
    every = [(letter, count, size) for letter, most in MOMENTS.items() for count in range(1, most + 1) for size in
             (0, 60, 500, 1500)]  # fmt: skip
    chosen = [("w", 1, 0), ("l", 4, 60), ("c", 3, 0), ("b", 3, 0)]
    for letter, count, size in times(chosen, every):
        workdir = tmp_path / f"run-{letter}-{count}-{size}"
        argv = arguments(workdir, toy, num_steps=8, keep_checkpoints=1)
        status, output = starter.run(argv, tmp_path, full={letter: count, "bytes": size})
        if status == 2:
            line = error_line(output)
            assert "cannot be written (" in line
            assert "make room" in line
            kind = "workdir" if "--workdir" in line else "logs" if "the logs" in line else "checkpoint"
            if kind == "checkpoint" and (kept := steps(workdir) + steps(workdir, "best")):
                assert f"the last good checkpoint is {workdir}" in line, (line, kept)
        else:
            assert status == 0, output  # all files were smaller
            kind = "nothing"
        key = f"from {PHASES[letter]} on: {kind}"
        told[key] = told.get(key, 0) + 1
        if luck.random() < 0.5:  # still full: nothing gets lost
            before = steps(workdir), steps(workdir, "best")
            status, output = starter.run(argv, tmp_path, full={"w": 1, "bytes": 0})
            assert status == 2, output
            error_line(output)
            assert (steps(workdir), steps(workdir, "best")) == before
        status, output = starter.run(argv, tmp_path)
        assert status == 0, output
        assert_same_run(workdir, left)
        assert not (workdir / "unreadable").exists()
        shutil.rmtree(workdir)
    print(told)
    assert {key.partition(" on: ")[2] for key in told} >= {"workdir", "logs", "checkpoint"}


@pytest.fixture
def small_disk(tmp_path):
    """A function that mounts a file system of some bytes, or changes its size; skips the test where one may not."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def mount(size, *options):
        command = ["mount", "-t", "tmpfs", "-o", ",".join([*options, f"size={size}"]), "none", disk]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("only root may mount a small disk")
        return disk

    yield mount
    subprocess.run(["umount", str(disk)], capture_output=True)


def test_a_disk_that_fills_up(starter, left, toy, tmp_path, small_disk, times):
    """A real one, which is full in the midst of whatever comes to it."""
    luck, told = random.Random(10), []
    for _ in range(times(2, 40)):
        disk = small_disk(luck.randrange(40, 300) * 1024)
        argv = arguments(disk / "run", toy, num_steps=8, keep_checkpoints=1)
        status, output = starter.run(argv, tmp_path)
        told.append(error_line(output).partition("; ")[0] if status == 2 else "enough room")
        assert status in (0, 2), output
        small_disk(100 << 20, "remount")
        status, output = starter.run(argv, tmp_path)
        assert status == 0, output
        assert_same_run(disk / "run", left)
        assert not (disk / "run" / "unreadable").exists()
        subprocess.run(["umount", str(disk)], check=True)
    print(*told, sep="\n")
    assert sum(line != "enough room" for line in told) > len(told) // 4
