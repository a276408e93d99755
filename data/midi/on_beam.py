"""Reading on Apache Beam: the same function, the same results in the same order, on any of its runners.

Beam is given lists of names, and leaves a file of results for each of them in a folder, from which they are read in
order. So runners of other machines need the source and --out on disks that all of them see under the same paths.
Within Beam, too, files of strangers are read by processes that may die of them.
"""

import functools
import itertools
import os
import pickle
import shlex
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from data.midi.reading import File, Read
from data.reading_pool import read_all
from magenta_lite.errors import Rejected, UserError

_CHUNK = 256  # files: a process of its own reads them, which takes a second to start


def check(options: str) -> list[str]:
    """Beam's options as words, of a line as on a command line; UserError where it is none, or there is no Beam."""
    try:
        import apache_beam  # noqa: F401
    except ImportError:
        raise UserError("--beam needs Apache Beam: pip install -e '.[beam]', or leave it out") from None
    try:
        return shlex.split(options)
    except ValueError as error:
        raise UserError(f"--beam_options={options}: {error}") from None


def read(
    function: Callable[[File], Read | Rejected],
    items: Iterator[File],
    *,
    folder: Path,
    processes: int,
    options: Sequence[str] = (),
) -> Generator[Read | Rejected, None, None]:
    """Yields function(item) of every item in their order, once all of them have been read.

    Args:
      function, items: as of reading_pool.read_all.
      folder: where results wait; it is made, and has to be seen by all workers.
      processes: how many read at once, where options name no runner and Beam's DirectRunner is taken.
      options: Beam's own, as `check` gives them.

    Raises:
      UserError: Beam does not take the options.
    """
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    folder.mkdir()
    chunks = list(enumerate(iter(lambda: list(itertools.islice(items, _CHUNK)), [])))
    here = [] if any(option.startswith("--runner") for option in options) else _direct(processes)
    work = functools.partial(_read_chunk, function, str(folder.resolve()))
    try:
        pipeline = beam.Pipeline(options=PipelineOptions([*here, *options]))
    except ValueError as error:
        raise UserError(f"--beam_options={shlex.join(options)}: {error}") from None
    with pipeline:
        _ = pipeline | beam.Create(chunks) | beam.Reshuffle() | beam.Map(work)
    for number, _ in chunks:
        path = folder / str(number)
        yield from pickle.loads(path.read_bytes())
        path.unlink()


def _direct(processes: int) -> list[str]:
    # Threads are enough: each has a process that reads for it.
    return ["--runner=DirectRunner", f"--direct_num_workers={processes}", "--direct_running_mode=multi_threading"]


def _read_chunk(function: Callable[[File], Any], folder: str, chunk: tuple[int, list[File]]) -> int:
    """Reads a chunk and leaves the results in a file of its number, whole or not at all; how many."""
    number, items = chunk
    results = list(read_all(function, items, processes=1))
    handle, partial = tempfile.mkstemp(dir=folder, prefix=f".{number}.")
    with os.fdopen(handle, "wb") as file:
        pickle.dump(results, file)
    os.replace(partial, Path(folder) / str(number))
    return len(results)
