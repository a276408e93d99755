"""train.py that can be held: at its start, once connected, before a step, and before an evaluation.

In the folder HELD a file "step-7" holds every process that comes there: each makes a file with its own number behind
it, and goes on when the first one is gone. One that is told to stop makes "told" and its number. train.py and all else
are what a person runs.
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
from magenta_lite import hosts, training
from magenta_lite.command import guard


def here(point: str) -> None:
    number = next(word for word in sys.argv if word.startswith("--process=")).partition("=")[2]
    (FOLDER / f"{point}.{number}").touch()


def come_to(point: str) -> None:
    """Waits as long as the process is to be held at that point."""
    if (FOLDER / point).exists():
        here(point)
    while (FOLDER / point).exists():
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


def connect(*values: object) -> None:
    come_to("start")
    connect_hosts(*values)
    come_to("connected")


def signals() -> dict[int, float]:
    global came
    came = take_signals()
    return came


if __name__ == "__main__":
    FOLDER, came = Path(os.environ["HELD"]), {}
    connect_hosts, hosts.connect = hosts.connect, connect
    take_signals, train._signals = train._signals, signals
    train.Steps = PacedSteps
    guard(train.main)
