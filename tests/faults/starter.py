"""Starts train.py many times in short order: the imports are done once, and each start is a fork of this process.

The model is one that takes no time to trace; all else is as a person runs it. Reads commands, a line of JSON each: with
"argv" and "folder" it forks and answers with the number of the process, with "wait" it answers with its exit status.
The forked process writes its output to folder/log and what it is about into folder/phase, a letter of PHASES at a time.
"""

import collections
import faulthandler
import json
import mmap
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import grain  # noqa: F401  (imported late by the program)
import jax
import jax.numpy as jnp
import numpy as np
import tensorflow_datasets  # noqa: F401
from flax import nnx
from tensorboardX.event_file_writer import EventsWriter  # noqa: F401
from tensorboardX.proto import event_pb2  # noqa: F401

import train
from magenta_lite import logs, models, pipeline, training, workdirs
from magenta_lite.checkpoint import Checkpoints
from magenta_lite.command import guard

PHASES = {
    "s": "starting",
    "w": "making the workdir",
    "r": "reading a checkpoint",
    "o": "opening the logs",
    "l": "writing to the logs",
    "t": "steps",
    "e": "evaluation",
    "c": "handing over a checkpoint",
    "b": "writing the best checkpoint",
}


class Model(nnx.Module):
    """Says where a line goes, from where it went, with noise."""

    has_latent, conditions = False, ()

    def __init__(self):
        draw = np.random.default_rng(1).normal
        self.read = nnx.Param(jnp.asarray(draw(0, 0.1, (3, 32)), jnp.float32))
        self.said = nnx.Param(jnp.asarray(draw(0, 0.1, (32, 3)), jnp.float32))

    def __call__(self, batch, *, keys, step, train):
        lines = batch["strokes"]
        noise = jax.vmap(lambda key: jax.random.normal(key, lines.shape[1:]))(keys)
        said = jnp.tanh((lines + 0.1 * noise) @ self.read[...]) @ self.said[...]
        loss = jnp.mean((said[:, :-1] - lines[:, 1:]) ** 2, axis=(1, 2))
        return {"loss": (loss * batch["real"], batch["real"])}


SINKS: dict[int, subprocess.Popen] = {}


class Told:
    """Functions tell that they run, and afterwards that what called them is running again."""

    def __init__(self, path: Path, full: dict[str, int]):
        """full: at which run of which phase the disk is full; "bytes" is how much still goes into a file."""
        path.write_text("s")
        with open(path, "r+b") as file:
            self._now = mmap.mmap(file.fileno(), 1)  # which a full disk does not stop
        self._full, self._runs = full, collections.Counter()

    def begin(self, letter: str) -> bytes:
        before, self._now[:] = self._now[:], letter.encode()
        self._runs[letter] += 1
        if self._runs[letter] == self._full.get(letter):
            resource.setrlimit(resource.RLIMIT_FSIZE, (self._full["bytes"], resource.RLIM_INFINITY))
        return before

    def of(self, holder: object, name: str, letter: str) -> None:
        function = getattr(holder, name)

        def telling(*arguments, **named):
            before = self.begin(letter)
            try:
                return function(*arguments, **named)
            finally:
                self._now[:] = before

        setattr(holder, name, telling)


def spoil(every: int, first: int, last: int) -> None:
    """Puts a NaN into one example of some batches."""
    make = pipeline.training_batches

    def batches(data, encode, plan, start, *more):
        for step, batch in enumerate(make(data, encode, plan, start, *more), start + 1):
            if step % every == 0 and first <= step <= last:
                batch["strokes"][0, 1, 0] = np.nan
            yield batch

    pipeline.training_batches = batches


def start(
    argv: list[str], folder: str, full: dict | None = None, spoilt: list | None = None, devices: int = 1, out: str = ""
) -> int:
    """out: "broken", and nobody reads what is printed; "closed", and there is nowhere to print."""
    with open(Path(folder) / "log", "ab") as log:
        # Another process writes it, whose disk is never full.
        sink = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=log)
    if number := os.fork():
        sink.stdin.close()
        SINKS[number] = sink
        return number
    # Here alone: tests take names from this file, and in their process models are what they are.
    models.build = lambda config, codec: Model()
    models.check = lambda config, codec: None
    signal.signal(signal.SIGINT, signal.default_int_handler)
    faulthandler.enable()
    for file, target in ((os.open(os.devnull, os.O_RDONLY), 0), (sink.stdin.fileno(), 1), (sink.stdin.fileno(), 2)):
        os.dup2(file, target)
    os.close(sink.stdin.fileno())
    if out == "broken":
        reader, writer = os.pipe()
        os.dup2(writer, 1)
        os.close(reader)
    elif out == "closed":
        os.close(0)
        os.close(1)
        sys.stdin = sys.stdout = None
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
    told = Told(Path(folder) / "phase", full or {})
    told.of(workdirs, "prepare", "w")
    told.of(Checkpoints, "restore", "r")
    told.of(logs.Logs, "__init__", "o")
    told.of(logs.Logs, "_write", "l")
    told.of(training.Steps, "train", "t")
    told.of(training.Steps, "evaluate", "e")
    told.of(Checkpoints, "save", "c")
    told.of(Checkpoints, "save_best", "b")
    # Between what is told of, the program prepares the next step.
    begun = training.Steps.part
    training.Steps.part = lambda *arguments: (told.begin("t"), begun(*arguments))[1]
    if spoilt:
        spoil(*spoilt)
    sys.argv = ["train.py", *argv]
    guard(train.main)
    raise AssertionError("guard exits")


def ended(number: int, patience: float = 240) -> int:
    """Its exit status; what does not end in time is killed."""
    deadline = time.monotonic() + patience
    while not (found := os.waitpid(number, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.kill(number, signal.SIGABRT)  # and it tells what it was waiting for
            deadline += patience
        time.sleep(0.005)
    SINKS.pop(number).wait()
    return os.waitstatus_to_exitcode(found[1])


def main() -> None:
    for line in sys.stdin:
        command = json.loads(line)
        print(ended(command["wait"]) if "wait" in command else start(**command), flush=True)


if __name__ == "__main__":
    main()
