"""A benchmark's side of the protocol: contestants that run as programs of their own, and wait to be asked for steps."""

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

PRODUCT = 2 * 2048**3
"""Operations of product.py."""


class Contestant:
    """A program of benchmarks/contestants that waits to be asked for steps."""

    def __init__(self, module: str, **flags: Any):
        words = [f"--{name}={value}" for name, value in flags.items()]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
        self._process = subprocess.Popen([sys.executable, "-m", f"benchmarks.contestants.{module}", *words], **pipes)
        self.told: dict[str, list[float]] = {}
        if self._process.stdout.readline().strip() != "ready":
            raise SystemExit(f"benchmarks.contestants.{module} {' '.join(words)} did not start")

    def take(self, steps: int) -> None:
        """Takes steps, and keeps what it tells of them."""
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        for name, values in json.loads(self._process.stdout.readline()).items():
            self.told.setdefault(name, []).extend(values)

    def take_warm(self, steps: int) -> None:
        """The same, but for one step before them, of which nothing is kept."""
        before = {name: list(values) for name, values in self.told.items()}
        self.take(1)
        self.told = before
        self.take(steps)

    def forget(self) -> None:
        self.told.clear()

    def end(self) -> None:
        self._process.communicate("\n")

    @property
    def seconds(self) -> float:
        """The mean of a step."""
        return statistics.mean(self.told["seconds"])
