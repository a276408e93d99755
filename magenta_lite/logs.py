"""What a run tells: a progress bar, metrics.jsonl, and TensorBoard files."""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from magenta_lite.errors import UserError

_FLUSHED = 60
"""Seconds after which TensorBoard sees what was logged, or at the next evaluation."""


class Logs:
    """Of one run in one workdir, from step `start` to `stop`; noun: what an example is called.

    Raises:
      UserError: a file cannot be written, here or in any call.
    """

    def __init__(self, workdir: Path, start: int, stop: int, batch_size: int, noun: str):
        # Its SummaryWriter writes in a thread of its own, and waits for ever where that has died of a full disk.
        from tensorboardX.event_file_writer import EventsWriter

        self._path = workdir / "metrics.jsonl"
        with self._writing():
            torn = self._path.exists() and not self._path.read_bytes().endswith(b"\n")
            # Without a buffer, whose rest would be written when the file is closed after a failure.
            self._file = open(self._path, "ab", buffering=0)  # noqa: SIM115  (closed by close)
            if torn and self._path.stat().st_size:
                self._append(b"\n")  # a run that was killed while it wrote
            self._board = EventsWriter(str(workdir / "events"), filename_suffix=f".{os.getpid()}")
        self._bar = tqdm(total=stop, initial=start, unit="step", dynamic_ncols=True, smoothing=0.05)
        self._batch_size, self._noun = batch_size, noun
        self._since = (time.monotonic(), start)
        self._flushed = time.monotonic()

    def step(self) -> None:
        """One step is done."""
        self._bar.update()

    def train(self, step: int, metrics: dict[str, float]) -> None:
        """Means over the steps since the last call, and the rate."""
        now, (then, before) = time.monotonic(), self._since
        self._since = now, step
        metrics["examples_per_second"] = (step - before) * self._batch_size / max(now - then, 1e-9)
        loss = f"loss {metrics['loss']:.3f}, " if "loss" in metrics else ""  # none where all steps were skipped
        self._bar.set_postfix_str(f"{loss}{metrics['examples_per_second']:.0f} {self._noun}/s")
        self._write("train", step, metrics)

    def evaluation(self, split: str, step: int, metrics: dict[str, float], best: bool) -> None:
        """A whole split's metrics; printed, too."""
        shown = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        self._bar.write(f"step {step} {split}: {shown}{' (best)' if best else ''}")
        self._write(split, step, metrics)
        self._since = time.monotonic(), step

    def say(self, text: str) -> None:
        """A line above the bar."""
        self._bar.write(text)

    def close(self) -> None:
        """The end; what could not be written until now is left."""
        self._bar.close()
        for file in (self._file, self._board):
            with contextlib.suppress(OSError):
                file.close()

    def _write(self, split: str, step: int, metrics: dict[str, float]) -> None:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        line = {"step": step, "split": split, "time": round(time.time(), 3), **metrics}
        values = [Summary.Value(tag=f"{split}/{name}", simple_value=value) for name, value in metrics.items()]
        with self._writing():
            self._append(json.dumps(line).encode() + b"\n")
            self._board.write_event(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))
            if split != "train" or time.monotonic() - self._flushed > _FLUSHED:
                self._board.flush()
                self._flushed = time.monotonic()

    def _append(self, line: bytes) -> None:
        while line:
            line = line[self._file.write(line) :]

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                f"the logs in {self._path.parent} cannot be written ({error.strerror}): "
                "make room, and the same command goes on from the last checkpoint"
            ) from None


class Silence(Logs):
    """Of a host that leaves telling to the first one."""

    def __init__(self) -> None:
        pass

    def step(self) -> None:
        pass

    def train(self, step: int, metrics: dict[str, float]) -> None:
        pass

    def evaluation(self, split: str, step: int, metrics: dict[str, float], best: bool) -> None:
        pass

    def say(self, text: str) -> None:
        pass

    def close(self) -> None:
        pass


def read(workdir: Path, split: str, metric: str) -> list[tuple[int, float]]:
    """(step, value) of a metric as logged; of a step that was logged twice, after a resume, the later."""
    path, values = workdir / "metrics.jsonl", {}
    for line in path.read_bytes().splitlines() if path.exists() else ():
        with contextlib.suppress(ValueError, KeyError, TypeError, OverflowError):  # a line torn when a run was killed
            row = json.loads(line)
            if row["split"] == split:
                values[int(row["step"])] = float(row[metric])
    return sorted(values.items())
