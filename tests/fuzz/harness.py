"""Feeds a reader with hostile input, in a process that may die of it, and finds what a stranger's file must not do.

`survive(read, inputs)` calls read(content) for every input. A reader takes an input (it returns anything), or refuses
it: it returns Rejected or raises UserError. All else is a failure: any other exception, the end of the process, more
than `seconds` or `memory` for one input, a file written anywhere but in `out`, a file read that is neither the
project's nor Python's nor in `reads`, an unpickled name, a connection, another program. What would do harm is not
carried out.

`make reliability` and `pytest tests/fuzz --long` run the long form of everything that uses this.
"""

import collections
import dataclasses
import itertools
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import watched

BATCH = 64
ENOUGH = 20  # failures, after which no more is tried: each may cost the time of a hang


@dataclasses.dataclass(frozen=True)
class Failure:
    """An input that a reader did not survive: its name, the file it was kept in, and what it did."""

    name: str
    kept: Path
    what: str

    def __str__(self) -> str:
        return f"{self.name} (kept as {self.kept}): {self.what}"


@dataclasses.dataclass
class Outcome:
    """What came of all inputs. slowest: seconds and name; most: bytes and name; seconds: of everything."""

    inputs: int = 0
    taken: int = 0
    refused: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    failures: list[Failure] = dataclasses.field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")
    most: tuple[int, str] = (0, "")
    seconds: float = 0.0

    def __str__(self) -> str:
        """A line of figures, the ten most frequent reasons, and every failure."""
        refused = self.refused.total()
        lines = [
            f"{self.inputs:,} inputs: {self.taken:,} taken, {refused:,} refused, {len(self.failures):,} failed, in "
            f"{self.seconds:.0f} s; slowest {self.slowest[0]:.2f} s ({self.slowest[1]}), most memory "
            f"{self.most[0] / 2**20:.1f} MB ({self.most[1]})"
        ]
        lines += [f"  {count:,} {reason}" for reason, count in self.refused.most_common(10)]
        return "\n".join(lines + [f"FAILED {failure}" for failure in self.failures])


def survive(
    read: Callable[[Any], Any],
    inputs: Iterable[Any],
    *,
    seconds: float = 5.0,
    memory: int = 500 << 20,
    out: Path | None = None,
    reads: Sequence[Path] | None = (),
    may: Sequence[str] = (),
    before: Callable[[], Any] | None = None,
    kept: Path | None = None,
) -> Outcome:
    """Reads every input and says what came of it; the caller asserts that there are no `failures`.

    Args:
      read: a function of a module, so that another process can import it.
      inputs: contents, or pairs of a name and a content; bytes, or whatever pickles. Taken as they are needed.
      seconds, memory: what one input may take, of the processor's time; and bytes beyond those held before it.
      out: the folder that may be written to.
      reads: files and folders that may be read beside the project and Python itself; None: any.
      may: kinds of events that are right for this reader: "unpickle", "write", "read", "connect", "run".
      before: called once in each process before the first input: what is slow to import and takes memory.
      kept: folder for the inputs of failures (a new one among the temporary files).
    """
    outcome = Outcome()
    began = time.monotonic()
    limits: dict[str, Any] = {"seconds": seconds, "memory": memory, "out": out, "reads": reads, "may": may}
    with Reader(read, before=before, kept=kept, **limits) as reader:
        for name, found in reader.results(_named(inputs)):
            outcome.inputs += 1
            if found.failed is not None:
                outcome.failures.append(found.failed)
                if len(outcome.failures) == ENOUGH:
                    break
            elif found.refused is not None:
                outcome.refused[_kind(found.refused)] += 1
            else:
                outcome.taken += 1
            outcome.slowest = max(outcome.slowest, (found.seconds, name))
            outcome.most = max(outcome.most, (found.bytes, name))
    outcome.seconds = time.monotonic() - began
    return outcome


@dataclasses.dataclass(frozen=True)
class Found:
    """What came of one input: taken where neither is given."""

    refused: str | None
    failed: Failure | None
    seconds: float
    bytes: int


class Reader:
    """The process that reads, as a context; begun again where it ended. Arguments as of `survive`."""

    def __init__(
        self,
        read: Callable[[Any], Any],
        *,
        seconds: float = 5.0,
        memory: int = 500 << 20,
        out: Path | None = None,
        reads: Sequence[Path] | None = (),
        may: Sequence[str] = (),
        before: Callable[[], Any] | None = None,
        kept: Path | None = None,
    ):
        self._kept = kept
        self._folder = Path(tempfile.mkdtemp(prefix="hostile-")).resolve()
        here = self._folder / "here"  # where the process is, so that paths without a folder lead there
        here.mkdir()
        self._task = watched.Task(
            read=read,
            before=before,
            seconds=seconds,
            memory=memory,
            out=None if out is None else str(out.resolve()),
            reads=None if reads is None else [str(path.resolve()) for path in reads],
            may=frozenset(may),
            here=str(here),
            log=str(self._folder / "log"),
        )
        self._process: watched.Process | None = None

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def check(self, content: Any, name: str = "input") -> Found:
        """Reads one input; for hypothesis.

        Raises:
          AssertionError: it failed; says how.
        """
        ((_, found),) = self.results([(name, content)])
        if found.failed is not None:
            raise AssertionError(str(found.failed))
        return found

    def results(self, inputs: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Found]]:
        """What comes of each input, in their order."""
        source = iter(inputs)
        batch = list(itertools.islice(source, BATCH))
        while batch:
            if self._process is None:
                self._process = watched.Process(self._task)
            process = self._process
            process.give([content for _, content in batch])
            following = list(itertools.islice(source, BATCH))  # made while the process is busy
            while batch:
                answer = process.answer()
                name, content = batch.pop(0)
                yield name, self._found(name, content, answer)
                if answer.over:
                    process.end()
                    self._process = None
                    break
            batch += following

    def _found(self, name: str, content: Any, answer: watched.Answer) -> Found:
        failed = None
        if answer.failed is not None:
            self._kept = self._kept or Path(tempfile.mkdtemp(prefix="failed-inputs-"))
            failed = Failure(name, _keep(content, name, self._kept), answer.failed)
        return Found(answer.refused, failed, answer.seconds, answer.bytes)


def refusal(result: Any) -> Any:
    """For readers of many: of results that are all Rejected the first, else the list."""
    results = list(result)
    kept = [one for one in results if not hasattr(one, "reason")]
    return results[0] if results and not kept else kept


def _named(inputs: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    for number, one in enumerate(inputs):
        yield one if isinstance(one, tuple) and len(one) == 2 and isinstance(one[0], str) else (f"input {number}", one)


def _kind(reason: str) -> str:
    """A reason without what differs between inputs: quotations and numbers."""
    reason = re.sub(r"'[^']*'|\"[^\"]*\"", "'...'", reason)
    return re.sub(r"\d[\d,.]*", "0", reason)[:100]


def _keep(content: Any, name: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    plain = re.sub(r"[^\w.-]+", "-", name)[:60]
    path = next(path for number in itertools.count() if not (path := folder / f"{number:03}-{plain}").exists())
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, Path) and content.is_dir():
        shutil.copytree(content, path, symlinks=True)
    elif isinstance(content, Path) and content.exists():
        shutil.copyfile(content, path)
    else:
        path.write_text(repr(content), errors="backslashreplace")
    return path
