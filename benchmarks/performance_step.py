"""A training step of Performance RNN against torch.nn.LSTM fed one-hot events, taken in turns in one run.

    python benchmarks/performance_step.py [--data=prepared/maestro] [--batch_size=64] [--crop=512] [--losses=40]

Everything that training does is timed: reading, augmentation, crops, the step to its end. What is left of the time is
told by the share of the machine's product rate: 2 x the multiplications that the model needs (no one-hot product among
them), forwards and twice that backwards, over the seconds, over the rate of one large product timed in the same run.
"""

import statistics
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from contestants.asking import PRODUCT, ROOT, Contestant

from magenta_lite.command import run

BUILT_IN = "prepared/toy-performances"


def main(
    data: str = "prepared/maestro",
    batch_size: int = 64,
    crop: int = 512,
    rounds: int = 2,
    steps: int = 3,
    compute_dtype: str = "float32",
    losses: int = 0,
    seeds: int = 2,
) -> int:
    """Prints seconds a step, events a second, their ratio, and the share of the product rate.

    --data    prepared performances; without them the built-in ones are prepared and taken
    --steps   of each turn; one more before them, which finds its memory cold, is left out
    --losses  instead of timing, trains both for so many steps from each of --seeds seeds, and compares their losses
    """
    folder = Path(data) if Path(data).exists() else _built_in()
    shared = {"data": folder, "batch_size": batch_size, "crop": crop}
    modules = {"magenta_lite": "performance_ours", "torch.nn.LSTM, one-hot": "performance_torch"}
    if find_spec("torch") is None:
        del modules["torch.nn.LSTM, one-hot"]
        print("torch is not installed: its yardstick is left out (pip install torch)")
    if losses:
        print(f"{folder}, batches of {batch_size} x {crop}: mean nats an event, last quarter of {losses} steps")
        for name, module in modules.items():
            means = []
            for seed in range(seeds):
                contestant = Contestant(module, **shared, seed=seed)
                contestant.take(losses)
                means.append(statistics.mean(contestant.told["loss"][-(losses // 4) :]))
                contestant.end()
            shown = ", ".join(f"{mean:.3f}" for mean in means)
            print(f"{name:28}{statistics.mean(means):.3f}   seeds: {shown}", flush=True)
        return 0
    contestants = {name: Contestant(module, **shared) for name, module in modules.items()}
    product = Contestant("product", dtype=compute_dtype)
    for contestant in contestants.values():
        contestant.take(1)
        contestant.forget()
    for _ in range(rounds):
        for contestant in contestants.values():
            contestant.take_warm(steps)
        product.take_warm(5)
    rate = PRODUCT / statistics.median(product.told["seconds"])
    print(f"{folder}, batches of {batch_size} x {crop}, {compute_dtype}; large products: {rate / 1e9:.0f} GFLOP/s")
    print(f"{'':28}{'s a step':>9}{'events/s':>10}{'ratio':>7}{'of the rate':>13}")
    slowest = next(reversed(contestants.values())).seconds
    for name, contestant in contestants.items():
        events = sum(contestant.told["events"]) / sum(contestant.told["seconds"])
        share = events * operations() / rate
        print(f"{name:28}{contestant.seconds:>9.2f}{events:>10,.0f}{slowest / contestant.seconds:>7.2f}{share:>13.0%}")
    for contestant in (*contestants.values(), product):
        contestant.end()
    return 0


def operations() -> float:
    """Of the products that one event needs in a step: five of 512 by 2048, and the outputs."""
    return 3 * 2 * (5 * 512 * 2048 + 512 * 388)


def _built_in() -> str:
    """The built-in performances, prepared where they are not there yet."""
    print(f"MAESTRO is not prepared (python -m data.maestro): the built-in performances of {BUILT_IN} are taken")
    if not (ROOT / BUILT_IN).exists():
        build = [sys.executable, "-m", "data.toy", "--kind=performances", f"--out={BUILT_IN}"]
        subprocess.run(build, cwd=ROOT, check=True)
    return BUILT_IN


if __name__ == "__main__":
    run(main)
