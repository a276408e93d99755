"""train.py that can be held: at its start, once connected, when the first host makes the workdir, before a step, before
an evaluation, and when the first host has its last checkpoint to write.

In the folder HELD a file "step-7" holds every process that comes there, a file "step-7-of-0" process 0: each makes a
file with its own number behind it, and goes on when the first one is gone. One that is told to stop makes "told" and
its number. train.py and all else are what a person runs.
"""

import os
import sys
import time
from pathlib import Path

from magenta_lite.runtime import keep_memory
from magenta_lite.watch import watch

if __name__ == "__main__":
    keep_memory()
    watch(sys.argv[1:])

import train
from magenta_lite import checkpoint, hosts, training, workdirs
from magenta_lite.command import guard


def here(point: str) -> None:
    (FOLDER / f"{point}.{NUMBER}").touch()


def come_to(point: str) -> None:
    """Waits as long as the process is to be held at that point."""
    for name in (point, f"{point}-of-{NUMBER}"):
        if (FOLDER / name).exists():
            here(name)
        while (FOLDER / name).exists():
            time.sleep(0.01)
            if came:
                here("told")


class PacedSteps(training.Steps):
    def train(self, state, batch, stopping=False):
        come_to(f"step-{int(training.on_host(state.step)) + 1}")
        return super().train(state, batch, stopping)

    def evaluate(self, parameters, batches):
        come_to("evaluation")
        return super().evaluate(parameters, batches)


class PacedCheckpoints(checkpoint.Checkpoints):
    def close(self):
        come_to("closing")
        super().close()


def connect(*values: object) -> None:
    come_to("start")
    connect_hosts(*values)
    come_to("connected")


def prepare(*values: object) -> object:
    come_to("preparing")
    return prepare_workdir(*values)


def signals() -> dict[int, float]:
    global came
    came = take_signals()
    return came


if __name__ == "__main__":
    FOLDER, came = Path(os.environ["HELD"]), {}
    NUMBER = next(word for word in sys.argv if word.startswith("--process=")).partition("=")[2]
    connect_hosts, hosts.connect = hosts.connect, connect
    prepare_workdir, workdirs.prepare = workdirs.prepare, prepare
    take_signals, train._signals = train._signals, signals
    train.Steps, train.Checkpoints = PacedSteps, PacedCheckpoints
    guard(train.main)
