"""Do drawings end? Trained with the pen counted to the first end token, and as the original counts it.

    python benchmarks/endings.py [--steps=1500]          trains the tiny variant both ways, then compares
    python benchmarks/endings.py --workdirs=runs/a,runs/b   compares runs that are there

Prints the share of samples that end by themselves, how long they are, and the validation loss.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from magenta_lite.command import run
from magenta_lite.runtime import keep_compiled, keep_memory

ROOT = Path(__file__).parents[1]


def main(
    workdirs: list[str] | None = None,
    steps: int = 1500,
    data: str = "prepared/toy",
    n: int = 500,
    temperature: tuple[float, ...] = (0.2, 0.5, 1.0),
    checkpoint: str = "last",
    seed: int = 0,
) -> int:
    """Draws n sketches from the prior (labels in turn) and counts those that ended before N_max."""
    keep_compiled()
    if workdirs is not None:
        for workdir in workdirs:
            _compare(Path(workdir), n, temperature, checkpoint, seed)
        return 0
    if not Path(data).exists():
        subprocess.run([sys.executable, "-m", "data.toy", f"--out={data}"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory() as folder:
        for positions in ("sketch", "all"):
            workdir = Path(folder) / positions
            began = time.perf_counter()
            subprocess.run(
                [
                    sys.executable,
                    "train.py",
                    "--config=configs/sketch_rnn.py:tiny",
                    f"--workdir={workdir}",
                    f"--config.data.dir={data}",
                    f"--config.num_steps={steps}",
                    f"--config.model.pen_positions={positions}",
                ],
                cwd=ROOT,
                check=True,
                capture_output=True,
            )
            print(f"{steps} steps in {time.perf_counter() - began:.0f} s")
            _compare(workdir, n, temperature, checkpoint, seed)
    return 0


def _compare(workdir: Path, n: int, temperatures: tuple[float, ...], checkpoint: str, seed: int) -> None:
    from magenta_lite import logs
    from magenta_lite.sampler import Sampler

    player = Sampler(workdir, checkpoint)
    condition = None
    if player.conditions:
        condition = {"label": np.arange(n, dtype=np.int32) % len(player.codec.labels)}
    losses = {metric: logs.read(workdir, "valid", metric)[-1][1] for metric in ("L_R", "L_R_sketch")}
    shown = ", ".join(f"{metric} {value:.4f}" for metric, value in losses.items())
    print(f"pen_positions={player.config.model.pen_positions}, step {player.step}, N_max {player.codec.n_max}: {shown}")
    for t in temperatures:
        drawn = player.sample(n, seed=seed, temperature=t, condition=condition)
        lengths = np.array([arrays["length"] for arrays in drawn])
        ended = np.mean([arrays["ended"] for arrays in drawn])
        print(f"  T = {t:g}: {ended:.1%} of {n} ended by themselves; points: median {np.median(lengths):.0f}")


if __name__ == "__main__":
    keep_memory()
    run(main)
