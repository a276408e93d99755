"""How a contestant talks to a benchmark, and the batches that the padded ones train on.

A contestant says "ready" when its programs are compiled. Each line it then reads is a number of steps to take; it
answers with one line of JSON: {"seconds": [each step], "losses": [each step], ...}. An empty line ends it.
"""

import json
import runpy
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from magenta_lite import pipeline
from magenta_lite.models.sketch_rnn import Codec

ROOT = Path(__file__).parents[2]


def serve(step: Callable[[], dict[str, float]]) -> None:
    """Takes steps when asked; a step is timed to its end, its input included."""
    print("ready", flush=True)
    for line in sys.stdin:
        if not line.strip():
            return
        answer: dict[str, list[float]] = {"seconds": []}
        for _ in range(int(line)):
            began = time.perf_counter()
            told = step()
            answer["seconds"].append(time.perf_counter() - began)
            for name, value in told.items():
                answer.setdefault(name, []).append(value)
        print(json.dumps(answer), flush=True)


def prepared(folder: str, variant: str) -> tuple[Any, pipeline.PreparedData, Codec]:
    """The settings of a SketchRNN variant, the data, and its codec."""
    settings = runpy.run_path(str(ROOT / "configs/sketch_rnn.py"))["get_config"](variant)
    data = pipeline.PreparedData(folder)
    return settings, data, Codec.from_data(settings.codec.to_dict(), data)[0]


def padded_batches(folder: str, seed: int, size: int) -> Iterator[dict[str, np.ndarray]]:
    """Endless augmented batches, shuffled and padded to the longest sketch of all, as the original makes them."""
    _, data, codec = prepared(folder, "default")
    rng = np.random.default_rng(seed)
    usable = np.flatnonzero(codec.lengths(data.lengths["train"]))
    while True:
        for rows in np.split(rng.permutation(usable)[: len(usable) // size * size], len(usable) // size):
            yield pipeline.collate([codec.encode(data.example("train", row), rng) for row in rows], codec.n_max)
