"""What a run tells: a progress bar, metrics.jsonl, and TensorBoard files."""

import contextlib
import json
import time
from pathlib import Path

from tqdm import tqdm


class Logs:
    """Of one run in one workdir, from step `start` to `stop`; noun: what an example is called."""

    def __init__(self, workdir: Path, start: int, stop: int, batch_size: int, noun: str):
        from tensorboardX import SummaryWriter  # a second where torch is installed, and reading a log does without

        path = workdir / "metrics.jsonl"
        torn = path.exists() and not path.read_bytes().endswith(b"\n")
        self._file = open(path, "a", buffering=1)  # noqa: SIM115  (closed by close)
        if torn and path.stat().st_size:
            self._file.write("\n")  # a run that was killed while it wrote
        self._board = SummaryWriter(str(workdir), write_to_disk=True)
        self._bar = tqdm(total=stop, initial=start, unit="step", dynamic_ncols=True, smoothing=0.05)
        self._batch_size, self._noun = batch_size, noun
        self._since = (time.monotonic(), start)

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
        self._bar.close()
        self._file.close()
        self._board.close()

    def _write(self, split: str, step: int, metrics: dict[str, float]) -> None:
        self._file.write(json.dumps({"step": step, "split": split, "time": round(time.time(), 3), **metrics}) + "\n")
        for name, value in metrics.items():
            self._board.add_scalar(f"{split}/{name}", value, step)


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
    for line in path.read_text().splitlines() if path.exists() else ():
        with contextlib.suppress(json.JSONDecodeError):  # a line that was torn when a run was killed
            row = json.loads(line)
            if row["split"] == split and metric in row:
                values[row["step"]] = row[metric]
    return sorted(values.items())
