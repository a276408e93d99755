"""Starts train.py many times in short order: the imports are done once, and each start is a fork of this process.

The model is one that takes no time to trace; all else is as a person runs it. Reads commands, a line of JSON each: with
"argv", "log" and "phase" it forks and answers with the number of the process, with "wait" with its exit status.
The forked process writes what it is about into the file `phase`, a letter at a time.
"""

import json
import os
import signal
import sys
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
from magenta_lite import models, training, workdirs
from magenta_lite.checkpoint import Checkpoints
from magenta_lite.command import guard

PHASES = {
    "s": "starting",
    "w": "making the workdir",
    "r": "reading a checkpoint",
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


models.build = lambda config, codec: Model()
models.check = lambda config, codec: None


def told(file: int, holder: object, name: str, letter: str) -> None:
    """The function tells that it is running, and afterwards that what called it is again."""
    function = getattr(holder, name)

    def telling(*arguments, **named):
        before = os.pread(file, 1, 0)
        os.pwrite(file, letter.encode(), 0)
        try:
            return function(*arguments, **named)
        finally:
            os.pwrite(file, before, 0)

    setattr(holder, name, telling)


def start(argv: list[str], log: str, phase: str) -> int:
    if number := os.fork():
        return number
    signal.signal(signal.SIGINT, signal.default_int_handler)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for file, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(file, target)
    file = os.open(phase, os.O_RDWR | os.O_CREAT)
    os.pwrite(file, b"s", 0)
    told(file, workdirs, "prepare", "w")
    told(file, Checkpoints, "restore", "r")
    told(file, training.Steps, "train", "t")
    told(file, training.Steps, "evaluate", "e")
    told(file, Checkpoints, "save", "c")
    told(file, Checkpoints, "save_best", "b")
    # Between what is told of, the program prepares the next step.
    begun = training.Steps.part
    training.Steps.part = lambda *arguments: (os.pwrite(file, b"t", 0), begun(*arguments))[1]
    sys.argv = ["train.py", *argv]
    guard(train.main)
    raise AssertionError("guard exits")


def ended(number: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def main() -> None:
    for line in sys.stdin:
        command = json.loads(line)
        print(ended(command["wait"]) if "wait" in command else start(**command), flush=True)


if __name__ == "__main__":
    main()
