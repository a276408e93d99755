"""A training step of SketchRNN against two yardsticks, taken in turns in one run.

    python benchmarks/train_step.py [--data=prepared/quickdraw/aaron_sheep,...] [--losses=200]

Everything that training does is timed: input, augmentation, dropout, the step to its end. The yardsticks, a page each
in benchmarks/contestants/, pad every sketch to the longest: plain_scan.py (lax.scan, autodiff) and padded_torch.py
(torch.nn.LSTM, `pip install torch`; it has no recurrent dropout to draw). What is left of the time is told by the share
of the machine's product rate: 2 x multiplications of the unpadded sketches, forwards and twice that backwards, over the
seconds, over the rate of one large product timed in the same run.
"""

import os
import statistics
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from contestants.asking import PRODUCT, Contestant

from magenta_lite.command import run

ROOT = Path(__file__).parents[1]

SHARED = Path(os.environ.get("MAGENTA_LITE_DATA", ROOT / ".." / "shared"))

YARDSTICKS = {"plain scan": "plain_scan", "torch.nn.LSTM": "padded_torch"}
"""Name in the table -> module of benchmarks/contestants/."""


def main(
    data: list[str] | None = None,
    batch_size: int = 100,
    rounds: int = 4,
    steps: int = 32,
    compute_dtype: str = "float32",
    losses: int = 0,
    seeds: int = 3,
) -> int:
    """Prints seconds a step, sketches a second, ratios, and shares of the product rate.

    --data    prepared data; without it aaron_sheep and omniglot are prepared from MAGENTA_LITE_DATA, and where those
              are not there the benchmark is skipped
    --steps   of ours in all, over the rounds; a multiple of 32 holds every length as often as a run does
    --losses  instead of timing, trains all for so many steps from each of --seeds seeds, and compares their losses
    """
    folders = data if data is not None else [found for name in ("aaron_sheep", "omniglot") if (found := _find(name))]
    yardsticks = dict(YARDSTICKS)
    if find_spec("torch") is None:
        del yardsticks["torch.nn.LSTM"]
        print("torch is not installed: its yardstick is left out (pip install torch)")
    for folder in folders:
        if losses:
            _compare_losses(folder, yardsticks, batch_size, losses, seeds)
        else:
            _compare_times(folder, yardsticks, batch_size, rounds, steps, compute_dtype)
    return 0


def _compare_times(
    folder: str, yardsticks: dict[str, str], batch_size: int, rounds: int, steps: int, compute_dtype: str
) -> None:
    shared = {"data": folder, "batch_size": batch_size}
    ours = {
        f"magenta_lite, a mask a {mask}": Contestant("ours", **shared, dropout_mask=mask, compute_dtype=compute_dtype)
        for mask in ("step", "sequence")
    }
    others = {f"padded {name}": Contestant(module, **shared) for name, module in yardsticks.items()}
    source = Contestant("input_alone", **shared)
    product = Contestant("product", dtype=compute_dtype)
    # Until every length has been seen, the memory that a program needs is still being taken from the system.
    for contestant in (*ours.values(), *others.values(), source, product):
        contestant.take(32 if contestant in (*ours.values(), source) else 1)
        contestant.forget()
    for _ in range(rounds):
        for contestant, count in (
            *((c, steps // rounds) for c in ours.values()),
            *((c, 1) for c in others.values()),
            (source, 32),
            (product, 5),
        ):
            contestant.take(count)
    rate = PRODUCT / statistics.median(product.told["seconds"])
    print(f"\n{folder}, batches of {batch_size}, {compute_dtype}; large products: {rate / 1e9:.0f} GFLOP/s")
    heads = "".join(f"{f'x {name}':>17}" for name in yardsticks)
    print(f"{'':32}{'s a step':>9}{'sketches/s':>12}{heads}{'of the rate':>13}")
    for name, contestant in {**ours, **others}.items():
        ratios = "".join(f"{other.seconds / contestant.seconds:>17.2f}" for other in others.values())
        share = ""
        if "real" in contestant.told:
            done = sum(operations(real, batch_size) for real in contestant.told["real"])
            share = f"{done / sum(contestant.told['seconds']) / rate:>13.0%}"
        print(f"{name:32}{contestant.seconds:>9.3f}{batch_size / contestant.seconds:>12.0f}{ratios}{share}")
    first = next(iter(ours.values()))
    faster, peak = first.seconds / source.seconds, max(source.told["peak"]) / 1e9
    print(f"input alone: {source.seconds * 1000:.1f} ms a batch, {faster:.0f} times faster than the step; ", end="")
    print(f"at most {peak:.2f} GB of memory")
    told = first.told
    stepped, padded = sum(told["longest"]) * batch_size, sum(told["padded"])
    print(f"points stepped over, and padded to, for each real one: {stepped / sum(told['real']):.2f}", end="")
    print(f", {padded / sum(told['real']):.2f}")
    for contestant in (*ours.values(), *others.values(), source, product):
        contestant.end()


def operations(points: float, sketches: int) -> float:
    """Of the products of a step with the default model: what `points` points of `sketches` sketches need."""
    encoder, decoder = (5 + 256) * 4 * 256, (5 + 512) * 4 * 512
    output, once = 512 * (3 + 6 * 20), 128 * 4 * 512 + 2 * 512 * 128 + 128 * 2 * 512
    return 3 * 2 * (points * 2 * encoder + (points + sketches) * (decoder + output) + sketches * once)


def _compare_losses(folder: str, yardsticks: dict[str, str], batch_size: int, steps: int, seeds: int) -> None:
    print(f"\n{folder}, batches of {batch_size}: mean L_R (pen to the end) of the last half of {steps} steps")
    for name, module in {"magenta_lite": "ours", **{f"padded {name}": m for name, m in yardsticks.items()}}.items():
        means = []
        for seed in range(seeds):
            contestant = Contestant(module, data=folder, batch_size=batch_size, seed=seed)
            contestant.take(steps)
            means.append(statistics.mean(contestant.told["loss"][steps // 2 :]))
            contestant.end()
        shown = ", ".join(f"{mean:.4f}" for mean in means)
        print(f"{name:32}{statistics.mean(means):.4f}   seeds: {shown}", flush=True)


def _find(name: str) -> str | None:
    """The prepared folder of a published set, prepared from MAGENTA_LITE_DATA where it is not there yet."""
    folder, source = f"prepared/quickdraw/{name}", SHARED / "data/quickdraw/sketchrnn"
    if not (ROOT / folder).exists():
        if not (source / f"{name}.npz").exists():
            print(f"skipped {name}: no {source}/{name}.npz (set MAGENTA_LITE_DATA, or give --data)")
            return None
        build = [sys.executable, "-m", "data.quickdraw", f"--classes={name}", f"--source={source}", f"--out={folder}"]
        subprocess.run(build, cwd=ROOT, check=True)
    return str(ROOT / folder)


if __name__ == "__main__":
    run(main)
