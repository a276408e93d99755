"""Processes of one run on loopback: started, waited for, killed with all that they started, and never left behind."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]

PATIENCE = 300
"""Seconds that a test waits for what takes a few on a quiet machine."""


STEPS = 20


def small(**more: object) -> dict[str, object]:
    """Fields of a run of STEPS steps that compiles each of its programs once."""
    return {"num_steps": STEPS, "buckets": 1, "evaluate_every": STEPS, "save_every": 5, **more}


_kept: list[socket.socket] = []


def free_port() -> int:
    """A port at which a process can listen, and that no other program is given as long as the tests run."""
    found = socket.socket()
    found.bind(("127.0.0.1", 0))
    # Behind the binding: others that say so, too, as those who listen do, may have the port as long as this one does
    # not listen, while whoever asks for any port is given another.
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _kept.append(found)
    return found.getsockname()[1]


def environment(devices: int, **more: str) -> dict[str, str]:
    """Of a program that sees so many faked devices, and compiles quickly."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "SLURM_", "HELD"))}
    faked = {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "JAX_NUMPY_RANK_PROMOTION": "raise",
        "PYTHONPATH": str(ROOT),
    }
    return inherited | faked | more


class Process:
    """A program and what it says; in a session of its own, so that all it starts can be ended."""

    def __init__(self, words: Sequence[str], log: Path, env: dict[str, str]):
        self.log = log
        with open(log, "wb") as file:
            self.popen = subprocess.Popen(
                [sys.executable, *words],
                env=env,
                cwd=ROOT,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def last(self) -> str:
        """The last line."""
        return self.output.strip().splitlines()[-1]

    @property
    def child(self) -> int:
        """The number of the process that trains, which this one watches."""
        (number,) = Path(f"/proc/{self.popen.pid}/task/{self.popen.pid}/children").read_text().split()
        return int(number)

    def wait(self, timeout: float = PATIENCE) -> int:
        """Its exit status."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout} s:\n{self.output}") from None

    def alive(self) -> list[int]:
        """The processes of its session that there still are."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                # Behind the name, which may hold anything: state, parent, group, session.
                state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(session) == self.popen.pid and state != "Z":
                    found.append(int(folder.name))
        return found

    def signal(self, number: signal.Signals, whom: str = "both") -> None:
        """whom: the "parent", which was started, the "child", which trains, or "both"."""
        pids = {"parent": [self.popen.pid], "child": [self.child]}.get(whom) or [self.child, self.popen.pid]
        for pid in pids:
            os.kill(pid, number)


@contextlib.contextmanager
def started(commands: Sequence[Sequence[str]], folder: Path, envs: Sequence[dict[str, str]]) -> Iterator[list[Process]]:
    """Runs the commands side by side; at the end kills what is left of them."""
    folder.mkdir(parents=True, exist_ok=True)
    running: list[Process] = []
    try:
        for number, (words, env) in enumerate(zip(commands, envs, strict=True)):
            running.append(Process(words, folder / f"{number}.log", env))
        yield running
    finally:
        for process in running:
            for pid in process.alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.popen.wait()


def until(found: object, *processes: Process) -> None:
    """Waits until a function says so; fails where a process ends before that."""
    deadline = time.monotonic() + PATIENCE
    while not found():
        for process in processes:
            assert process.popen.poll() is None, process.output
        assert time.monotonic() < deadline, "\n".join(process.output for process in processes)
        time.sleep(0.02)
