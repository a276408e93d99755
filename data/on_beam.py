"""Work on Apache Beam, on any of its runners.

Beam is given a list of tasks, and the work leaves its results in files, from which the main process takes them: so
what comes of it does not depend on the runner, and what is done is not done again. Runners of other machines need the
project installed, and the source and --out on disks that all of them see under the same paths.
"""

import shlex
from collections.abc import Callable, Sequence
from typing import TypeVar

from data.scratch import UnfinishedError
from magenta_lite.errors import UserError

Task = TypeVar("Task")


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


def run(
    function: Callable[[Task], object], tasks: Sequence[Task], *, options: Sequence[str], processes: int, threads: bool
) -> None:
    """Calls the function with every task, in any order, perhaps more than once.

    Args:
      function: of a module, so that other machines can import it.
      tasks: what it is called with.
      options: Beam's own, as `check` gives them.
      processes: how many work at once, where options name no runner and Beam's DirectRunner is taken.
      threads: whether threads of this process are enough for that, since the function has processes of its own.

    Raises:
      UserError: Beam does not take the options, or the pipeline fails.
    """
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    named = any(option.startswith("--runner") for option in options)
    mode = "multi_threading" if threads else "multi_processing"
    here = ["--runner=DirectRunner", f"--direct_num_workers={processes}", f"--direct_running_mode={mode}"]
    try:
        pipeline = beam.Pipeline(options=PipelineOptions([*([] if named else here), *options]))
    except ValueError as error:
        raise UserError(f"--beam_options={shlex.join(options)}: {error}") from None
    _ = pipeline | beam.Create(list(tasks)) | beam.Reshuffle() | "Work" >> beam.Map(function)
    try:
        pipeline.run().wait_until_finish()
    except Exception as error:  # each runner has its own kinds
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        why = lines[-1].partition(" [while running")[0].strip()[:300]
        raise UnfinishedError(
            f"the Beam pipeline failed ({why}): the same command goes on with what is done"
        ) from error
