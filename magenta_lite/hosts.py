"""One run on several hosts, a process on each: how they find each other, what they share, and what ends them together.

The first host (process 0) owns the workdir: it alone reads and writes it, and tells the others what stands in it. The
others need no disk but that with the prepared data.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from magenta_lite.errors import UserError

LOST = 3
"""Exit status of a process that has lost another one of its run."""

SILENCE = 30
"""Seconds after which a host that does not answer counts as gone. One whose process ends is missed at once."""

_WATCHED = "MAGENTA_LITE_WATCHED"


def asked(coordinator: str | None, distributed: bool) -> bool:
    """Whether this is to be one of several processes."""
    return bool(coordinator or distributed or os.environ.get("JAX_COORDINATOR_ADDRESS"))


def connect(coordinator: str | None = None, processes: int | None = None, process: int | None = None) -> None:
    """Joins the other processes; before any array is made.

    coordinator: HOST:PORT of process 0 (JAX_COORDINATOR_ADDRESS). processes: how many there are; process: which one
    this is, from 0 (JAX_NUM_PROCESSES, JAX_PROCESS_ID). What is None JAX finds under SLURM, Open MPI and on Cloud TPU.

    Raises:
      UserError: they do not find each other.
    """
    numbers = {}
    for flag, value, name in (
        ("processes", processes, "JAX_NUM_PROCESSES"),
        ("process", process, "JAX_PROCESS_ID"),
    ):
        text = os.environ.get(name)
        if value is None and text is not None:
            if not text.isdecimal():
                raise UserError(f"{name}={text}: expected a number, as --{flag} takes it")
            value = int(text)
        numbers[flag] = value
    try:
        jax.distributed.initialize(
            coordinator,
            numbers["processes"],
            numbers["process"],
            heartbeat_timeout_seconds=SILENCE,
            initialization_timeout=120,
        )
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise UserError(
            f"the processes of this run do not find each other ({reason}): expected --coordinator=HOST:PORT, "
            "--processes=COUNT and --process=NUMBER on each, or --distributed under SLURM or on a Cloud TPU"
        ) from None
    counts = {device.process_index: 0 for device in jax.devices()}
    for device in jax.devices():
        counts[device.process_index] += 1
    if len(set(counts.values())) > 1:
        raise UserError(f"the hosts have {', '.join(map(str, counts.values()))} devices: expected equally many")


def first() -> bool:
    """Whether this process owns the workdir and tells what happens."""
    return jax.process_index() == 0


def several() -> bool:
    """Whether there are other processes."""
    return jax.process_count() > 1


def shared(make: Callable[[], Any]) -> Any:
    """What the first host makes, plain values as JSON has them, on every host."""
    if not several():
        return make()
    content = np.frombuffer(json.dumps(make()).encode(), np.uint8) if first() else np.zeros(0, np.uint8)
    return json.loads(_broadcast(content).tobytes())


def shared_arrays(tree: Any) -> Any:
    """The first host's arrays, to the last bit, on every host; a tree of the same shapes everywhere."""
    if not several():
        return tree
    leaves, structure = jax.tree.flatten(jax.tree.map(np.asarray, tree))
    content = _broadcast(np.frombuffer(b"".join(leaf.tobytes() for leaf in leaves), np.uint8))
    parts = np.split(content, np.cumsum([leaf.nbytes for leaf in leaves])[:-1])
    new = [part.view(leaf.dtype).reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
    return jax.tree.unflatten(structure, new)


def _broadcast(content: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from jax.experimental import multihost_utils

    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(content))))
    room = content if len(content) == length else np.zeros(length, np.uint8)
    return np.array(multihost_utils.broadcast_one_to_all(room))


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Around all that one of several processes does: whatever ends it ends at once, and says why.

    JAX would wait for the others at its end, for minutes, and they for this one.
    """
    if not several():
        yield
        return
    try:
        yield
        return
    except UserError as error:
        status, line = 2, str(error)
    except jax.errors.JaxRuntimeError as error:
        status, line = LOST, lost(str(error).strip().splitlines()[0][:160])
    except KeyboardInterrupt:
        status, line = 130, "interrupted"
    except BaseException:
        status, line = 1, traceback.format_exc()
    print(f"error: {line}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def watched() -> None:
    """Runs this program again as a child and ends with its status, saying what happened where the child cannot.

    JAX ends every process of a run in which one is lost, in the midst of what it does and with a dump of its stack.
    A signal to this process reaches the child; the child ends when this process does, whatever ended it.
    """
    if os.environ.get(_WATCHED):
        threading.Thread(target=_end_with_parent, daemon=True).start()
        return
    child = subprocess.Popen(
        [sys.executable, *sys.orig_argv[1:]], env={**os.environ, _WATCHED: "1"}, stdin=subprocess.PIPE
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: child.send_signal(number))
    status = child.wait()
    if status < 0:
        name = signal.Signals(-status).name
        print(f"error: {lost(f'its process ended with {name}')}", file=sys.stderr, flush=True)
        status = LOST
    sys.exit(status)


def lost(how: str) -> str:
    """The line about a run that has lost a process."""
    return (
        f"a host of this run has gone ({how}): nothing up to the last checkpoint is lost; start all hosts again with "
        "the same commands, and they go on from there"
    )


def _end_with_parent() -> None:
    os.read(0, 1)  # returns when the other end of the pipe is closed
    os._exit(LOST)
