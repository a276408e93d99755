"""Reading that is not done twice: what has been read waits in files, from which a build that died is gone on with.

Files of strangers are read by processes that may die of them, within Beam, too.
"""

import collections
import functools
import itertools
import json
import os
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from data import on_beam
from data.midi import kept
from data.midi.reading import File, Read
from data.reading_pool import read_all
from magenta_lite.errors import Rejected, UserError

KEEPS = "read"
"""The folder in which results are kept, in that in which the set is made."""

_CHUNK = 256  # files; on Beam a process of its own reads them, which takes a second to start

Function = Callable[[File], Read | Rejected]
Results = Generator[Read | Rejected, None, None]


def read_here(function: Function, items: Iterable[File], *, folder: Path, processes: int) -> Results:
    """Yields function(item) of every item in their order, as reading_pool.read_all does.

    folder: where results are kept, in files of some hundreds; what is there already is not read again.
    """
    folder.mkdir(exist_ok=True)
    chunks: collections.deque[tuple[Path, int, bool]] = collections.deque()  # asked for: file, items, is it there

    def missing() -> Iterator[File]:
        for path, chunk in _chunks(items, folder):
            chunks.append((path, len(chunk), path.exists()))
            if not chunks[-1][2]:
                yield from chunk

    results = read_all(function, missing(), processes=processes)
    try:
        while True:
            first = next(results, None)  # so that all chunks before the next that is missing have been asked for
            while chunks and chunks[0][2]:
                yield from _restore(*chunks.popleft()[:2])
            if first is None:
                return
            path, count, _ = chunks.popleft()
            read = [first, *itertools.islice(results, count - 1)]
            _keep(read, path)
            yield from read
    finally:
        results.close()


def read_on_beam(
    function: Function, items: Iterable[File], *, folder: Path, processes: int, options: Sequence[str]
) -> Results:
    """As read_here, once all items have been read on Beam.

    Args:
      function, items: as of reading_pool.read_all.
      folder: where results are kept; it has to be seen by all workers.
      processes: how many read at once, where options name no runner and Beam's DirectRunner is taken.
      options: Beam's own, as `on_beam.check` gives them.
    """
    folder.mkdir(exist_ok=True)
    chunks = list(_chunks(items, folder.resolve()))
    tasks = [(str(path), chunk) for path, chunk in chunks if not path.exists()]
    if tasks:
        function = functools.partial(_read_chunk, function)
        on_beam.run(function, tasks, options=options, processes=processes, threads=True)
    for path, chunk in chunks:
        yield from _restore(path, len(chunk))


def _chunks(items: Iterable[File], folder: Path) -> Iterator[tuple[Path, list[File]]]:
    source = iter(items)
    lists = iter(lambda: list(itertools.islice(source, _CHUNK)), [])
    return ((folder / str(number), chunk) for number, chunk in enumerate(lists))


def _read_chunk(function: Function, task: tuple[str, list[File]]) -> None:
    path, items = task
    if not os.path.exists(path):
        _keep(list(read_all(function, items, processes=1)), Path(path))


def _keep(results: list[Read | Rejected], path: Path) -> None:
    """Writes results whole or not at all, whoever else is at it."""
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "wb") as file:
        file.write(_packed(results))
    os.replace(partial, path)


def _restore(path: Path, count: int) -> list[Read | Rejected]:
    """The results that were kept, so many; raises UserError where it is damaged, or was put there by somebody else."""
    try:
        results = _unpacked(path.read_bytes())
        if len(results) != count:
            raise ValueError(f"{len(results)} results of {count} files")
        return results
    except (ValueError, TypeError, LookupError) as error:
        raise UserError(f"{path} is damaged ({error}): delete {path.parent.parent} and begin anew") from None


def _packed(results: Sequence[Read | Rejected]) -> bytes:
    head: list[Any] = []
    parts: list[bytes] = []
    for result in results:
        if isinstance(result, Rejected):
            head.append(result.reason)
            continue
        head.append([result.records, result.elsewhere, result.lost, result.why])
        parts += [result.columns, result.signature]
    return kept.join(json.dumps(head).encode(), *parts, b"")


def _unpacked(content: bytes) -> list[Read | Rejected]:
    head, rest = kept.split(content)
    told = json.loads(head)
    parts = iter(kept.split(rest, 2 * sum(isinstance(one, list) for one in told) + 1))
    results: list[Read | Rejected] = []
    for one in told:
        if isinstance(one, str):
            results.append(Rejected(one))
            continue
        records, elsewhere, lost, why = one
        results.append(Read(int(records), next(parts), next(parts), dict(elsewhere), dict(lost), str(why)))
    return results
