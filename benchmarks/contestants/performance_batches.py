"""Batches of event numbers for the contestants of Performance RNN: crops of MAESTRO, or of the built-in pieces."""

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from magenta_lite import pipeline
from magenta_lite.models.performance_rnn import Codec

ROOT = Path(__file__).parents[2]


def settings(variant: str, batch_size: int, crop: int) -> Any:
    """The settings of a Performance RNN variant."""
    found = runpy.run_path(str(ROOT / "configs/performance_rnn.py"))["get_config"](variant)
    found.batch_size, found.codec.crop = batch_size, crop
    return found


def batches(data: str, found: Any, seed: int) -> tuple[Codec, Iterator[pipeline.Batch]]:
    """The codec, and endless batches as train.py makes them."""
    prepared = pipeline.PreparedData(data)
    codec, _ = Codec.from_data(found.codec.to_dict(), prepared)
    stored = prepared.lengths["train"]
    plan = pipeline.Plan(codec.lengths(stored), found.batch_size, seed, 1, codec.takes(stored))
    return codec, pipeline.training_batches(prepared, codec.encode, plan, 0, 1_000_000)
