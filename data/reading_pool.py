"""Reads many files of strangers at once, in processes that may die of them.

A file that ends its process, keeps it busy too long or takes too much memory is Rejected, and no other is.
"""

import collections
import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

from data.scratch import UnfinishedError
from magenta_lite.errors import Rejected

Item = TypeVar("Item")
Result = TypeVar("Result")

_CHUNK = 16  # items that a process is given at once
_AHEAD = 4  # chunks of each process that may wait for an earlier one to be done

CRASHED = Rejected("reading it ends the program that reads")
LARGE = Rejected("reading it takes too much memory")


def cores() -> int:
    """How many processes can run at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_all(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    processes: int,
    seconds: float | None = 10.0,
    memory: int | None = 1 << 30,
    chunk: int = _CHUNK,
) -> Generator[Result | Rejected, None, None]:
    """Yields function(item) of every item in their order, whatever the number of processes.

    Args:
      function: of a module, so that another process can import it.
      items: taken as they are needed; few results are ever held.
      processes: how many read at once.
      seconds: an item that takes longer is Rejected, and so is one that raises, with the name of what it raised.
      memory: bytes that one process may take beyond what it has when it begins (where the system can be told so).
        None for either: no limit.
      chunk: items that a process is given at once.

    Raises:
      UserError: the processes do not start.
    """
    numbered = enumerate(items)
    chunks = iter(lambda: list(itertools.islice(numbered, chunk)), [])
    again: collections.deque[list] = collections.deque()  # what a process left when it died
    done: dict[int, Any] = {}
    workers: list[_Worker] = []
    given = following = 0
    exhausted = False
    try:
        while True:
            while following in done:
                yield done.pop(following)
                following += 1
            idle = [worker for worker in workers if not worker.items]
            while again or (not exhausted and given - following < processes * chunk * _AHEAD):
                if not idle:
                    if len(workers) == processes:
                        break
                    workers.append(_Worker(function, memory))
                    idle = workers[-1:]
                items_given = again.popleft() if again else next(chunks, None)
                if items_given is None:
                    exhausted = True
                    break
                given = max(given, items_given[-1][0] + 1)
                idle.pop().give(items_given)
            busy = [worker for worker in workers if worker.items]
            if not busy and not again and exhausted:
                return
            for worker in _ready(busy, seconds):
                number, result, left = worker.receive(seconds)
                if number is not None:
                    done[number] = result
                if left is not None:
                    workers.remove(worker)
                    if left:
                        again.append(left)
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    """A process that reads; items: what it was given and has not answered yet, with their numbers."""

    def __init__(self, function: Callable, memory: int | None) -> None:
        # A fresh interpreter: a copy of this one would hold its threads' locks, and its memory.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, function, memory), daemon=True)
        self.process.start()
        theirs.close()
        self.items: list[tuple[int, Any]] = []
        self.started = False
        self.since = time.monotonic()

    def give(self, items: list[tuple[int, Any]]) -> None:
        self.items = items
        self.since = time.monotonic()
        with contextlib.suppress(OSError):  # it has died, which `receive` finds
            self.connection.send([item for _, item in items])

    def receive(self, seconds: float | None) -> tuple[int | None, Any, list | None]:
        """The number of an item and its result; and what is left to others if the process is gone, else None."""
        answered = self.connection.poll()
        try:
            result = self.connection.recv() if answered else Rejected(f"reading it takes longer than {seconds:g} s")
        except (EOFError, OSError):
            answered, result = False, CRASHED
        self.since = time.monotonic()
        if not self.started:
            if not answered:
                self.end()
                raise UnfinishedError("the processes that read files do not start")
            self.started = True
            return None, None, None
        (number, _), *self.items = self.items
        if answered:
            return number, result, None
        self.end()
        return number, result, self.items

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def _ready(workers: list[_Worker], seconds: float | None) -> list[_Worker]:
    """Those that have answered or died; and those that have not for too long."""
    most = float("inf") if seconds is None else seconds
    limits = {worker: worker.since + (most if worker.started else 60.0) for worker in workers}
    left = max(0.0, min(limits.values()) - time.monotonic())
    answered = wait([worker.connection for worker in workers], None if left == float("inf") else left)
    now = time.monotonic()
    return [worker for worker in workers if worker.connection in answered or limits[worker] <= now]


def _work(connection: Connection, function: Callable, memory: int | None) -> None:
    """What a process does: answers every item of every list that it is sent, in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is for the parent, which ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if memory is not None:
        _limit(memory)
    try:
        connection.send(None)
        while True:
            for item in connection.recv():
                try:
                    result = function(item)
                except MemoryError:
                    result = LARGE
                except Exception as error:
                    result = Rejected(f"cannot be read ({type(error).__name__})")
                connection.send(result)
    except (EOFError, OSError):  # the parent is gone
        return


def _end_with_parent() -> None:
    """A parent that is killed says nothing, and an item may take minutes."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _limit(memory: int) -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    held = Path("/proc/self/statm")
    now = int(held.read_text().split()[0]) * resource.getpagesize() if held.exists() else 0
    with contextlib.suppress(ValueError, OSError):  # a lower limit is in force already
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (now + memory, now + memory))
