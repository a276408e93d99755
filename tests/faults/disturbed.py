"""Tiny runs to be disturbed, and whether two of them came to the same."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp
from frame import ONE_DEVICE, ROOT, flags

OFTEN = {"log_every": 1, "save_every": 2, "evaluate_every": 3, "buckets": 1}
"""So that writing and evaluating take much of the time, and tracing little."""

ENVIRONMENT = {
    **ONE_DEVICE,
    # Compiling would take nearly all of the time; the same for all runs that are compared.
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "JAX_COMPILATION_CACHE_DIR": str(Path(tempfile.gettempdir()) / f"magenta_lite-tests-{os.getuid()}"),
    "PYTHONWARNINGS": "ignore",
}


def arguments(workdir, data, **more):
    """Of train.py for a run that writes and evaluates often."""
    return flags(workdir, data, **OFTEN | more)


def running(number):
    """Whether the process is neither gone nor a zombie."""
    try:
        with open(f"/proc/{number}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def wait_for(number, ready):
    """Until ready(), or the process has ended."""
    deadline = time.monotonic() + 300
    while not ready() and running(number):
        assert time.monotonic() < deadline
        time.sleep(0.0005)


def error_line(output):
    """The one line that a person is told at the end; nothing else may be amiss in the output."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    assert not any(word in output for word in ("Traceback", "Exception", "Error", "WARNING")), output
    assert lines[-1].startswith("error: "), output
    assert not any(line.startswith("error") for line in lines[:-1]), output
    return lines[-1]


class Starter:
    """Processes of train.py, started without the seconds that imports take."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("starter.py"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=ENVIRONMENT,
        )  # fmt: skip

    def ask(self, **command):
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the starter has ended"
        return json.loads(answer)

    def start(self, argv, folder, **faults):
        """Its process number; its output goes to folder/log, what it is about to folder/phase."""
        return self.ask(argv=argv, folder=str(folder), **faults)

    def wait(self, number):
        return self.ask(wait=number)

    def run(self, argv, folder, **faults):
        """To its end; returns the exit status and the output, a line for each state of the progress bar."""
        (folder / "log").unlink(missing_ok=True)
        status = self.wait(self.start(argv, folder, **faults))
        return status, (folder / "log").read_text().replace("\r", "\n")

    def close(self):
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()


def rows(workdir):
    """The whole lines of metrics.jsonl, without what is of the clock."""
    path, found = workdir / "metrics.jsonl", []
    for line in path.read_bytes().splitlines() if path.exists() else ():
        with contextlib.suppress(ValueError):
            row = json.loads(line)
            found.append({name: value for name, value in row.items() if name not in ("time", "examples_per_second")})
    return found


def logged(workdir):
    """{(split, step): metrics}; a step that was logged twice has to have come out the same."""
    found = {}
    for row in rows(workdir):
        assert found.setdefault((row["split"], row["step"]), row) == row
    return found


def leaves(tree):
    if isinstance(tree, dict):
        return {f"{name}/{k}": leaf for name, v in tree.items() for k, leaf in leaves(v).items()}
    if isinstance(tree, list | tuple):
        return leaves(dict(enumerate(tree)))
    if tree is None:
        return {}  # parts of an optimizer that keep nothing
    return {"": np.asarray(tree)}


def stored(folder):
    """All arrays of a checkpoint, and its facts, read past the code that is tested."""
    found = {}
    for item in ("parameters", "training"):
        with ocp.StandardCheckpointer() as checkpointer:
            found |= {f"{item}/{name}": leaf for name, leaf in leaves(checkpointer.restore(folder / item)).items()}
    return found, json.loads((folder / "about" / "metadata").read_text())


def steps(workdir, kind="checkpoints"):
    return sorted(int(path.name) for path in (workdir / kind).glob("*") if path.name.isdigit())


def assert_same_checkpoint(ours, theirs):
    (arrays, facts), (others, their_facts) = stored(ours), stored(theirs)
    assert facts == their_facts
    assert arrays.keys() == others.keys()
    for name, array in arrays.items():
        assert array.dtype == others[name].dtype
        assert array.tobytes() == others[name].tobytes(), name


def assert_same_run(ours, theirs):
    """The last checkpoint, the best one and all that was logged, bit for bit."""
    assert steps(ours)[-1] == steps(theirs)[-1]
    assert_same_checkpoint(ours / "checkpoints" / str(steps(ours)[-1]), theirs / "checkpoints" / str(steps(theirs)[-1]))
    assert steps(ours, "best") == steps(theirs, "best")
    assert_same_checkpoint(*(run / "best" / str(steps(run, "best")[0]) for run in (ours, theirs)))
    ours, theirs = logged(ours), logged(theirs)
    assert ours.keys() == theirs.keys()
    assert ours == theirs
