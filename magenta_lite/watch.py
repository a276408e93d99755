"""A process of several, watched by its parent: what it ends by is said in one line, and nothing of it is left behind.

JAX ends every process of a run in which one is lost, in the midst of what it does and with a dump of its stack. So the
program runs itself once more, as a child, and says in its place what the child cannot. Imports nothing large, since it
stays beside the child for the whole run.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

AT_ONCE = 1
"""Seconds in which a signal that comes again is the same one: some tell a process, and then its whole group."""

LOST = 3
"""Exit status of a process that has lost another one of its run."""

APART = "the processes of this run do not find each other"
EXPECTED = (
    "expected --coordinator=HOST:PORT, --processes=COUNT and on each its own --process=NUMBER, "
    "or --distributed under SLURM or on a Cloud TPU"
)
_ABORTED = "so JAX ends it when another host of the run has gone, or for a reason of its own that is told above"
_RESUME = "nothing up to the last checkpoint is lost: the same commands on all hosts go on from there"

_FLAGS = ("coordinator", "processes", "process", "distributed")
_WATCHED = "MAGENTA_LITE_WATCHED"


def watch(argv: Sequence[str]) -> None:
    """Where argv (or JAX_COORDINATOR_ADDRESS) makes this one of several processes: runs it as a child, ends with it.

    Returns in the child, and in a process that is alone. SIGTERM and SIGINT to this process reach the child, and a
    second one, AT_ONCE seconds later or more, ends it. The child ends when this process does, whatever ended it.
    """
    if watched():
        threading.Thread(target=_end_with_parent, daemon=True).start()
        return
    names = {word.lstrip("-").partition("=")[0] for word in argv if word.startswith("-")}
    if not (names.intersection(_FLAGS) or os.environ.get("JAX_COORDINATOR_ADDRESS")):
        return
    told: dict[int, float] = {}
    ended = 0

    def tell(number: int, _: object) -> None:
        nonlocal ended
        if number not in told:
            told[number] = time.monotonic()
            child.send_signal(number)
        elif time.monotonic() - told[number] > AT_ONCE:
            ended = number
            child.kill()

    here, there = socket.socketpair()
    with there:
        environment = {**os.environ, _WATCHED: "1"}
        words = [sys.executable, *sys.orig_argv[1:]]
        # In a group of its own, which Ctrl-C does not reach: this process alone tells it.
        child = subprocess.Popen(words, env=environment, stdin=there.fileno(), process_group=0)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, tell)
    status = child.wait()
    if ended:
        sys.exit(128 + ended)
    if status >= 0:
        sys.exit(status)
    if -status in told:  # before it had begun
        sys.exit(128 - status)
    if -status != signal.SIGABRT:
        line = f"the process of this host was ended by {signal.Signals(-status).name}; {_RESUME}"
    elif here.recv(1):
        line = f"the process of this host ended with SIGABRT: {_ABORTED}; {_RESUME}"
    else:
        line, status = f"{APART}, or two have one number: {EXPECTED}", 2
    print(f"error: {line}", file=sys.stderr, flush=True)
    sys.exit(LOST if status < 0 else status)


def watched() -> bool:
    """Whether this process is a child that is watched."""
    return bool(os.environ.get(_WATCHED))


def joined() -> None:
    """Tells the parent, if there is one, that the processes have found each other."""
    if watched():
        os.write(0, b"+")


def lost(how: str) -> str:
    """The line about a run that has lost a process; how it was noticed."""
    return f"a host of this run has gone ({how}): it says why, if it could; {_RESUME}"


def _end_with_parent() -> None:
    with contextlib.suppress(ConnectionError):  # which it is where the parent has not read what it was told
        os.read(0, 1)  # returns when the other end is closed
    os._exit(LOST)
