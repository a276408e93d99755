"""Share of samples that end by themselves, and how long they are, for workdirs to compare.

python benchmarks/endings.py --workdirs=runs/a,runs/b
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from magenta_lite.command import run
from magenta_lite.runtime import keep_compiled, keep_memory


def main(
    workdirs: list[str],
    n: int = 500,
    temperature: tuple[float, ...] = (0.2, 0.5, 1.0),
    checkpoint: str = "last",
    seed: int = 0,
) -> int:
    """Draws n sketches from the prior (labels in turn) and counts those that ended before N_max."""
    keep_compiled()
    from magenta_lite.sampler import Sampler

    for workdir in workdirs:
        player = Sampler(Path(workdir), checkpoint)
        n_max = player.codec.n_max
        condition = None
        if player.conditions:
            condition = {"label": np.arange(n, dtype=np.int32) % len(player.codec.labels)}
        print(f"{workdir}: step {player.step}, pen_positions={player.config.model.pen_positions}, N_max {n_max}")
        for t in temperature:
            began = time.perf_counter()
            drawn = player.sample(n, seed=seed, temperature=t, condition=condition)
            seconds = time.perf_counter() - began
            lengths = np.array([arrays["length"] for arrays in drawn])
            ended = np.mean([arrays["ended"] for arrays in drawn])
            print(
                f"  T = {t:g}: {ended:.1%} of {n} ended by themselves; points: median {np.median(lengths):.0f}, "
                f"mean {lengths.mean():.0f}; {seconds:.1f} s, compiling included"
            )
    return 0


if __name__ == "__main__":
    keep_memory()
    run(main)
