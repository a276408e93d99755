"""One run on several hosts, a process on each: how they find each other, what they share, and what ends them together.

The first host (process 0) owns the workdir: it alone reads and writes it, and tells the others what stands in it. The
others need no disk but that with the prepared data.
"""

import contextlib
import json
import os
import re
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from magenta_lite import watch
from magenta_lite.errors import UserError

SILENCE = 30
"""Seconds after which a host that does not answer counts as gone. One whose process ends is often missed at once."""

PATIENCE = 60
"""Seconds that the processes of a run wait for each other at its start."""

_PORTION = 2**24
"""Numbers of four bytes that are sent at once: a state may be larger than what one array of bytes can be."""


def asked(coordinator: str | None, processes: int | None, process: int | None, distributed: bool) -> bool:
    """Whether this is to be one of several processes.

    Raises:
      UserError: it is said which of them this is, and not where they meet.
    """
    if coordinator or distributed or os.environ.get("JAX_COORDINATOR_ADDRESS"):
        return True
    for flag, value in (("processes", processes), ("process", process)):
        if value is not None:
            raise UserError(f"--{flag}={value} without --coordinator=HOST:PORT, at which the processes meet")
    return False


def connect(coordinator: str | None = None, processes: int | None = None, process: int | None = None) -> None:
    """Joins the other processes; before any array is made.

    coordinator: HOST:PORT of process 0 (JAX_COORDINATOR_ADDRESS). processes: how many there are; process: which one
    this is, from 0 (JAX_NUM_PROCESSES, JAX_PROCESS_ID). What is None JAX finds under SLURM, Open MPI and on Cloud TPU.

    Raises:
      UserError: a value is none of these, or they do not find each other in PATIENCE seconds.
    """
    where = coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS")
    if where is not None and not (re.fullmatch(r".+:\d{1,5}", where) and int(where.rpartition(":")[2]) < 2**16):
        raise UserError(f"--coordinator={where}: expected HOST:PORT of process 0")
    processes = _number("processes", processes, "JAX_NUM_PROCESSES")
    process = _number("process", process, "JAX_PROCESS_ID")
    if processes is not None and processes < 1:
        raise UserError(f"--processes={processes}: expected 1 or more")
    if process is not None and not 0 <= process < (processes or process + 1):
        raise UserError(f"--process={process}: expected 0 to {(processes or 1) - 1}, as --processes={processes} says")
    if where and process == 0:
        _check_free(where)
    jax.config.update("jax_enable_preemption_service", False)  # it takes SIGTERM, and does nothing with it
    at = f" at {where}" if where else ""
    waiting = threading.Timer(10, print, (f"waiting for the other processes{at}, for {PATIENCE} s at most",))
    waiting.daemon = True
    waiting.start()
    try:
        jax.distributed.initialize(
            coordinator, processes, process, heartbeat_timeout_seconds=SILENCE, initialization_timeout=PATIENCE
        )
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0][:160]
        raise UserError(f"{watch.APART} ({reason}): {watch.EXPECTED}") from None
    finally:
        waiting.cancel()
    watch.joined()
    counts = [sum(device.process_index == one for device in jax.devices()) for one in range(jax.process_count())]
    if len(set(counts)) > 1:
        raise UserError(f"the hosts have {', '.join(map(str, counts))} devices: expected equally many")


def _check_free(where: str) -> None:
    """That the port can be listened at: where it cannot, JAX ends the process."""
    port = int(where.rpartition(":")[2])
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        socket.create_server(("", port), family=family, dualstack_ipv6=both).close()
    except OSError as error:
        why = error.strerror or error
        raise UserError(f"--coordinator={where}: this host cannot listen there ({why}): choose another port") from None


def _number(flag: str, value: int | None, name: str) -> int | None:
    text = os.environ.get(name)
    if value is not None or text is None:
        return value
    if not text.isdecimal():
        raise UserError(f"{name}={text}: expected a number, as --{flag} takes it")
    return int(text)


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
    sizes = np.cumsum([leaf.nbytes for leaf in leaves])
    content = np.concatenate([np.ascontiguousarray(leaf).reshape(-1).view(np.uint8) for leaf in leaves])
    parts = np.split(_sent(content), sizes[:-1])
    new = [part.view(leaf.dtype).reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
    return jax.tree.unflatten(structure, new)


def _broadcast(content: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The first host's bytes, however many."""
    length = int(_sent(np.array([len(content)]).view(np.uint8)).view(np.int64)[0])
    return _sent(content if len(content) == length else np.zeros(length, np.uint8))


def _sent(content: NDArray[np.uint8], portion: int = _PORTION) -> NDArray[np.uint8]:
    """The first host's bytes; as many everywhere. As whole numbers, which a sum with zeros leaves as they are."""
    from jax.experimental import multihost_utils

    filled = np.concatenate([content, np.zeros(-len(content) % 4, np.uint8)]).view(np.uint32)
    sent = [
        np.asarray(multihost_utils.broadcast_one_to_all(filled[start : start + portion]))
        for start in range(0, len(filled), portion)
    ]
    return np.concatenate(sent or [filled]).view(np.uint8)[: len(content)]


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
        reason = str(error).strip().splitlines()[0][:160]
        own = reason.startswith("RESOURCE_EXHAUSTED")  # memory: no fault of the others
        status, line = (1, reason) if own else (watch.LOST, watch.lost(reason))
    except KeyboardInterrupt:
        status, line = 130, "interrupted"
    except BaseException:
        status, line = 1, traceback.format_exc()
    print(f"error: {line}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
