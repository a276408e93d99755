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
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from magenta_lite import watch
from magenta_lite.command import ending
from magenta_lite.errors import UserError

SILENCE = 30
"""Seconds after which a host that does not answer counts as gone. One whose process ends is often missed at once."""

PATIENCE = 60
"""Seconds that the processes of a run wait for each other at its start, unless told otherwise."""

_GONE = re.compile(
    r"\b(UNAVAILABLE|DEADLINE_EXCEEDED)\b|Gloo|Connection (closed|reset|refused)|Broken pipe|timed? ?out|heartbeat"
    r"|remote process exited",
    re.IGNORECASE,
)
"""What JAX says where another host is lost, whatever does the sums: Gloo between CPUs, NCCL between GPUs."""

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


def connect(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    patience: int = PATIENCE,
) -> None:
    """Joins the other processes; before any array is made.

    coordinator: HOST:PORT of process 0 (JAX_COORDINATOR_ADDRESS). processes: how many there are; process: which one
    this is, from 0 (JAX_NUM_PROCESSES, JAX_PROCESS_ID). What is None JAX finds under SLURM, Open MPI and on Cloud TPU.
    patience: seconds to wait for each other.

    Raises:
      UserError: a value is none of these, they do not find each other in time, or have not equally many devices.
      JaxRuntimeError: this host's devices cannot be used, or another host is lost.
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
    waiting = threading.Timer(10, print, (f"waiting for the other processes{at}, for {patience} s at most",))
    waiting.daemon = True
    waiting.start()
    try:
        jax.distributed.initialize(
            coordinator, processes, process, heartbeat_timeout_seconds=SILENCE, initialization_timeout=patience
        )
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0][:160]
        raise UserError(f"{watch.APART} ({reason}): {watch.EXPECTED}") from None
    finally:
        waiting.cancel()
    watch.joined()
    try:
        devices = jax.devices()
    except RuntimeError as error:
        raise jax.errors.JaxRuntimeError(str(error)) from None
    counts = [sum(device.process_index == one for device in devices) for one in range(jax.process_count())]
    if len(set(counts)) > 1:
        raise UserError(f"the hosts have {', '.join(map(str, counts))} devices: expected equally many")
    _make_connections(devices)


def _make_connections(devices: Sequence[jax.Device]) -> None:
    """Makes the connections of every set of devices that training will use: those of a message, and those of a step.

    XLA makes them at the first collective of a set and waits 30 seconds for the others there, while later on a host may
    take as long as it likes: one has the workdir to make, one has a step to compile that another has kept.
    """
    shared(lambda: None)
    in_order = sorted(devices, key=lambda device: (device.process_index, device.id))  # as Steps has them
    total = jax.pmap(lambda one: jax.lax.psum(one, "devices"), "devices", devices=in_order)
    jax.block_until_ready(total(np.ones(jax.local_device_count(), np.float32)))


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
    try:
        yield
        return
    except BaseException as error:
        if not jax.distributed.is_initialized():
            raise
        status, line = _ending(error)
    if line:
        with contextlib.suppress(OSError):
            print(f"error: {line}", file=sys.stderr, flush=True)
    if sys.stdout:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
    os._exit(status)


def _ending(error: BaseException) -> tuple[int, str]:
    """The exit status, and what is said. Only what tells of a connection is laid to another host."""
    if isinstance(error, jax.errors.JaxRuntimeError):
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        return (watch.LOST, watch.lost(reason)) if _GONE.search(str(error)) else (1, reason)
    return ending(error) or (1, "".join(traceback.format_exception(error)))
