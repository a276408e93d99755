"""A small run that tests of the frame share: toy drawings, a tiny model, a whole workdir, in seconds."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ONE_DEVICE = {**os.environ, "XLA_FLAGS": ""}
"""Environment of a program that shall see one CPU device, not the four that the tests fake."""

TINY = {
    "batch_size": 10,
    "buckets": 3,
    "log_every": 1,
    "evaluate_every": 20,
    "save_every": 20,
    "model.encoder_size": 8,
    "model.decoder_size": 12,
    "model.latent_size": 4,
    "model.mixtures": 3,
    "model.label_size": 2,
}


def flags(workdir: Path, data: Path, **more: object) -> list[str]:
    """Arguments of train.py for a tiny run."""
    fields = TINY | {"data.dir": str(data), "num_steps": 12} | more
    overrides = [f"--config.{name}={value}" for name, value in fields.items()]
    return [f"--config={ROOT / 'configs/sketch_rnn.py'}:tiny", f"--workdir={workdir}", *overrides]


def run(program: str, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Runs a program of the repository as a person would."""
    return subprocess.run(
        [sys.executable, str(ROOT / program), *arguments], capture_output=True, text=True, cwd=ROOT, **options
    )
