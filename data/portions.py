"""Work in portions: each is done once, by any process on any machine, and its result is there whole or not at all.

A result is a folder. What a build that died has done is not done again; what it had begun is.
"""

import functools
import os
import shutil
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from data import on_beam
from data.reading_pool import CRASHED, read_all
from data.scratch import UnfinishedError
from magenta_lite.errors import UserError

Task = TypeVar("Task")


def work(
    function: Callable[[Task, Path], None],
    tasks: Sequence[Task],
    folder: Path,
    *,
    processes: int,
    beam: Sequence[str] | None = None,
) -> list[Path]:
    """Lets the function fill a folder for each task; the folders, in the order of the tasks.

    Args:
      function: of a module, so that other processes can import it; it fills the folder that it is given.
      tasks: what it is called with.
      folder: where the results are; those that are there already are left.
      processes: how many work at once on this machine; of one, or for one task, it is this one.
      beam: options of Apache Beam, whose workers have to see the folder; None: done without it.

    Raises:
      UserError: a process was ended from outside; or what the function raised.
    """
    folder.mkdir(exist_ok=True)
    _sweep(folder)
    results = [folder / f"{number:05d}" for number in range(len(tasks))]
    missing = [(number, task) for number, task in enumerate(tasks) if not results[number].exists()]
    attempt = functools.partial(_attempt, function, str(folder.resolve()))
    if beam is not None:
        if missing:
            on_beam.run(functools.partial(_succeed, attempt), missing, options=beam, processes=processes, threads=False)
        if lacking := sum(not path.exists() for path in results):
            raise UnfinishedError(
                f"Beam has ended, and {lacking} of {len(results)} results are not in {folder}: do all workers see it?"
            )
        return results
    with tqdm(desc=folder.name, total=len(tasks), initial=len(tasks) - len(missing), leave=False, disable=None) as bar:
        processes = min(processes, len(missing))
        if processes < 2:
            errors = (attempt(task) for task in missing)
        else:
            errors = read_all(attempt, missing, processes=processes, seconds=None, memory=None, chunk=1)
        try:
            for error in errors:
                if error == CRASHED:
                    raise UnfinishedError(
                        "a process of this build was ended from outside (is there too little memory?): "
                        "the same command goes on with what is done"
                    )
                if error is not None:
                    raise error
                bar.update()
        finally:
            errors.close()
            _sweep(folder)
    return results


def _sweep(folder: Path) -> None:
    """Removes what was begun, by processes that are dead now."""
    for path in folder.glob(".*"):
        shutil.rmtree(path, ignore_errors=True)


def _attempt(function: Callable[[Task, Path], None], folder: str, numbered: tuple[int, Task]) -> Exception | None:
    """Does a task, unless it is done; what went wrong."""
    number, task = numbered
    done = Path(folder) / f"{number:05d}"
    partial = None
    try:
        if done.exists():
            return None
        partial = Path(tempfile.mkdtemp(dir=folder, prefix=f".{number}."))
        function(task, partial)
        try:
            os.rename(partial, done)
        except OSError:
            if not done.exists():  # else someone was quicker
                raise
    except (OSError, UserError) as error:
        return error
    except Exception as error:
        error.add_note(traceback.format_exc())  # where it was: another process has its own stack
        return error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
    return None


def _succeed(attempt: Callable[[Task], Exception | None], task: Task) -> None:
    """As Beam wants it: what fails raises."""
    error = attempt(task)
    if error is not None:
        raise error
