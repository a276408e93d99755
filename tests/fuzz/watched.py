"""The process in which harness.py has strangers' files read: its limits, and what it is watched for."""

import contextlib
import dataclasses
import faulthandler
import multiprocessing
import os
import resource
import signal
import sys
import sysconfig
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from magenta_lite.errors import Rejected, UserError

ROOT = Path(__file__).resolve().parents[2]
_OWN = (ROOT, sys.prefix, sys.base_prefix, sys.exec_prefix, *sysconfig.get_paths().values())
READABLE = tuple({os.path.realpath(path) for path in _OWN} | {"/proc", "/sys", "/dev/null", "/dev/urandom"})
"""The project, Python with its libraries, and what a system tells of itself."""

PATIENCE = 10  # times as long as an input may compute, it may take by the clock
_STARTING = 120.0  # seconds that imports may take on a slow machine
_WRITING = {
    "os.mkdir": ((0, 2),),
    "os.remove": ((0, 1),),
    "os.rmdir": ((0, 1),),
    "os.rename": ((0, 2), (1, 3)),
    "os.link": ((1, 3),),
    "os.symlink": ((1, 2),),
    "os.truncate": ((0, None),),
    "os.chmod": ((0, 2),),
    "os.chown": ((0, 3),),
    "os.utime": ((0, 3),),
}  # events, and which of their arguments is a path that changes, and which the open folder that it is in
_OF_LINKS = {"os.mkdir", "os.remove", "os.rmdir", "os.rename", "os.link", "os.symlink"}
"""Those that do not follow a link at the path's end."""
_READING = {"os.listdir", "os.scandir"}
_CONNECTING = {"socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request"}
_RUNNING = {
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "os.forkpty",
    "os.kill",
}


@dataclasses.dataclass(frozen=True)
class Task:
    """What a process is told once; as the arguments of harness.survive. here: its folder. log: for its last words."""

    read: Callable[[Any], Any]
    before: Callable[[], Any] | None
    seconds: float
    memory: int
    out: str | None
    reads: Sequence[str] | None
    may: frozenset[str]
    here: str
    log: str


@dataclasses.dataclass(frozen=True)
class Answer:
    """What came of one input: failed (how), refused (why), or taken. over: the process has ended, or is to be ended."""

    refused: str | None
    failed: str | None
    seconds: float = 0.0
    bytes: int = 0
    over: bool = False


class Process:
    """A process that reads what it is given, in order."""

    def __init__(self, task: Task):
        self._task = task
        Path(task.log).write_bytes(b"")
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, task), daemon="run" not in task.may)
        self._process.start()
        theirs.close()
        first = self._receive(_STARTING)
        if not isinstance(first, str) or first != "ready":
            self.end()
            raise RuntimeError(f"the process that reads does not start: {first if first else self._last_words()}")

    def give(self, contents: list[Any]) -> None:
        with contextlib.suppress(OSError):  # it has died, which `answer` finds
            self._connection.send(contents)

    def answer(self) -> Answer:
        """What came of the next input, or how the process ended over it."""
        # The process ends itself with a traceback where it takes too long; this is for one that cannot.
        found = self._receive(self._task.seconds * PATIENCE + 10)
        if isinstance(found, Answer):
            return found
        alive = self._process.is_alive()
        self._process.join(0 if alive else 5)
        words = self._last_words()
        if alive and self._process.exitcode is None:
            return Answer(
                None, f"hang: longer than {self._task.seconds:g} s, and ended from outside\n{words}", over=True
            )
        if "Timeout (" in words:
            return Answer(None, f"hang: longer than {PATIENCE * self._task.seconds:g} s\n{words}", over=True)
        return Answer(None, f"ends the process ({_status(self._process.exitcode)})\n{words}", over=True)

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self._connection.close()

    def _receive(self, seconds: float) -> Any:
        try:
            return self._connection.recv() if self._connection.poll(seconds) else None
        except (EOFError, OSError):
            self._process.join(5)
            return None

    def _last_words(self) -> str:
        return Path(self._task.log).read_text(errors="replace")[-6000:]


def _status(code: int | None) -> str:
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"status {code}"


def _work(connection: Any, task: Task) -> None:
    """What the process does. It writes nothing but its log: Python's caches of modules would be files, too."""
    sys.dont_write_bytecode = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    log = open(task.log, "ab", buffering=0)  # noqa: SIM115  (as long as the process lives)
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    faulthandler.enable(log)
    os.chdir(task.here)
    try:
        if task.before is not None:
            task.before()
    except BaseException:
        connection.send(traceback.format_exc())
        return
    _bound(task.memory)
    watch = _Watch(task)
    sys.addaudithook(watch.hook)
    peak = _Peak()
    connection.send("ready")
    while True:
        try:
            contents = connection.recv()
        except (EOFError, OSError):
            return
        for content in contents:
            connection.send(_read(task, content, watch, peak, log))


def _read(task: Task, content: Any, watch: "_Watch", peak: "_Peak", log: Any) -> Answer:
    refused = failed = None
    peak.reset()
    # Of a machine that others use, too, only the processor's time tells; what waits for ever is ended all the same.
    faulthandler.dump_traceback_later(PATIENCE * task.seconds, exit=True, file=log)
    began, computed = time.perf_counter(), time.process_time()
    watch.seen, watch.on = [], True
    try:
        result = task.read(content)
        if isinstance(result, Rejected):
            refused = result.reason
            if not refused or not refused.isprintable():
                failed = f"a reason that cannot be printed: {refused!r}"
    except UserError as error:
        refused = str(error)
        if not refused or len(refused.splitlines()) > 1:
            failed = f"a UserError that is not one line: {refused[:500]!r}"
    except BaseException:
        failed = f"raises\n{traceback.format_exc()[-6000:]}"
    finally:
        watch.on = False
        seconds = min(time.perf_counter() - began, time.process_time() - computed)
        faulthandler.cancel_dump_traceback_later()
    taken = peak.growth()
    if failed is None and seconds > task.seconds:
        failed = f"takes {seconds:.1f} s"
    if watch.seen:
        failed = "; ".join(dict.fromkeys(watch.seen))[:2000] + (f"\n{failed}" if failed else "")
    if failed is None and taken > task.memory:
        failed = f"takes {taken / 2**20:,.0f} MB of memory"
    return Answer(refused, failed, seconds, taken)


class _Watch:
    """Notes what happens that must not, while `on`, and stops what would do harm."""

    def __init__(self, task: Task):
        self.on = False
        self.seen: list[str] = []
        self._may = task.may
        self._out = () if task.out is None else (task.out,)
        self._reads = None if task.reads is None else (*READABLE, *task.reads, *self._out)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open":
            path, mode, bits = arguments
            writes = (bits or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
            if writes or (mode and set(mode) & set("wax+")):
                self._write("writes", path)
            elif mode is not None or _is_absolute(path):
                self._look(path)  # else it may be in an open folder, of which nothing is said
        elif event in _WRITING:
            for place, folder in _WRITING[event]:
                self._write(event, arguments[place], -1 if folder is None else arguments[folder])
        elif event in _READING:
            self._look(arguments[0])
        elif event == "pickle.find_class":
            self._stop("unpickle", f"unpickles {'.'.join(map(str, arguments))}")
        elif event in _CONNECTING:
            self._stop("connect", f"connects: {event}{arguments[-1:]!r}")
        elif event in _RUNNING:
            self._stop("run", f"runs: {event}{arguments[:2]!r}")

    def _write(self, event: str, path: Any, folder: int = -1) -> None:
        real = _real(path, folder, follow=event not in _OF_LINKS)
        if real is not None and real != "/dev/null" and not _inside(real, self._out):
            self._stop("write", f"{event} {real}")

    def _look(self, path: Any) -> None:
        real = _real(path)
        if real is not None and self._reads is not None and not _inside(real, self._reads) and "read" not in self._may:
            self.seen.append(f"reads {real}")

    def _stop(self, kind: str, what: str) -> None:
        if kind not in self._may:
            self.seen.append(what)
            raise PermissionError(f"hostile input {what}")


def _real(path: Any, folder: int = -1, follow: bool = True) -> str | None:
    """Where a path leads; None for what is open already. folder: an open one that it is in, or -1.

    follow: a link at its end, too.
    """
    if path is None or isinstance(path, int):
        return None
    path = os.fsdecode(path)
    if folder >= 0:
        path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
    if follow:
        return os.path.realpath(path)
    parent, name = os.path.split(path.rstrip("/"))
    return os.path.join(os.path.realpath(parent), name)


def _is_absolute(path: Any) -> bool:
    return path is not None and not isinstance(path, int) and os.path.isabs(os.fsdecode(path))


def _inside(path: str, folders: Sequence[str]) -> bool:
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders)


class _Peak:
    """The most memory that was held since `reset`, beyond what was held then; of Linux, elsewhere that of all time."""

    def __init__(self) -> None:
        self._before = 0
        self._clear: Any = None
        self._status: Any = None
        with contextlib.suppress(OSError):
            self._clear = open("/proc/self/clear_refs", "wb", 0)  # noqa: SIM115  (as long as the process lives)
            self._status = open("/proc/self/status", "rb", 0)  # noqa: SIM115
        self.reset()

    def reset(self) -> None:
        if self._clear is not None:
            self._clear.write(b"5")
        self._before = self._now()

    def growth(self) -> int:
        return self._now() - self._before

    def _now(self) -> int:
        if self._status is None:
            size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            return size if sys.platform == "darwin" else size << 10
        self._status.seek(0)
        text = self._status.read(4096)
        return int(text.partition(b"VmHWM:")[2].split(None, 1)[0]) << 10


def _bound(memory: int) -> None:
    """Ends what takes far too much before it takes the machine; what takes too much is measured."""
    held = Path("/proc/self/statm")
    if held.exists():
        size = int(held.read_text().split()[0]) * resource.getpagesize() + 4 * memory
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
