"""What it costs to spread a training step over devices: faked ones of a CPU, taken in turns in one run.

    python benchmarks/devices.py [--families=sketch_rnn,...] [--devices=1,2,4,8] [--rounds=3] [--steps=8]

The devices share the same cores: a step on eight of them is no faster, and what it takes longer is the price of the
parts, the sums and the waiting. The batch is the same on all, the models are the default ones, about a fourth as wide,
on built-in data. "2 x 2" are two processes of two devices each, which meet on loopback. Below: what a step of the
recipes sends, four bytes a parameter, and how many examples a second one core makes for them.
"""

import os
import statistics
import time
from pathlib import Path

import jax
from contestants import spread
from contestants.asking import Contestant
from flax import nnx

from magenta_lite import models, pipeline
from magenta_lite.command import run

LARGE = {
    "sketch_rnn": ("default",),
    "performance_rnn": ("dynamics",),
    "music_vae": ("cat-mel_2bar_small", "flat-mel_16bar", "hierdec-mel_16bar"),
}
"""Recipes whose communication is reckoned: of each family the default, and the largest."""


def main(
    families: list[str] | None = None,
    devices: list[int] | None = None,
    rounds: int = 3,
    steps: int = 8,
    hosts: bool = True,
    measure: bool = True,
    seconds: float = 10.0,
) -> int:
    """Prints seconds a step, and what travels.

    --steps    of each turn, of which the median counts
    --hosts    also two processes of two devices each
    --measure  false: only what the recipes would send and read
    --seconds  of one core, in which batches of each recipe are made without a model
    """
    names = families or list(LARGE)
    for family in names if measure else ():
        _measure(family, devices or [1, 2, 4, 8], rounds, steps, hosts)
    print(f"\n{'recipe':32}{'parameters':>12}{'MB a step':>11}{'batch':>7}{'examples/s of one core':>25}  of")
    for family in names:
        for variant in LARGE[family]:
            _reckon(family, variant, seconds)
    return 0


def _measure(family: str, counts: list[int], rounds: int, steps: int, hosts: bool) -> None:
    entries = {f"{count}": Contestant("spread", family=family, devices=count) for count in counts}
    if hosts:
        entries["2 x 2"] = Contestant("spread", family=family, devices=4, processes=2)
    for contestant in entries.values():
        contestant.take(1)
        contestant.forget()
    for _ in range(rounds):
        for contestant in entries.values():
            contestant.take(steps)
    seconds = {name: statistics.median(contestant.told["seconds"]) for name, contestant in entries.items()}
    alone = next(iter(seconds.values()))
    print(f"\n{family}, faked devices")
    heads = f"{'all-reduces':>13}{'kB':>8}{'sent by each, kB':>18}{'GB of memory':>14}"
    print(f"{'devices':10}{'s a step':>10}{'ratio':>7}{heads}")
    for name, contestant in entries.items():
        told, count = contestant.told, 4 if " " in name else int(name)
        size = told["bytes"][0] / 1e3
        # A ring: every device sends all but its share twice, in sums and in their copies.
        sent = 2 * (count - 1) / count * size
        print(
            f"{name:10}{seconds[name]:>10.3f}{seconds[name] / alone:>7.2f}{told['all_reduces'][0]:>13.0f}"
            f"{size:>8.1f}{sent:>18.1f}{max(told['peak']) / 1e9:>14.2f}"
        )
        contestant.end()


def _reckon(family: str, variant: str, seconds: float) -> None:
    """What a step of the recipe would send, and how fast its batches are made; the model itself is never made."""
    config = spread.settings(family, variant)
    folder = config.data.dir if Path(config.data.dir).exists() else os.path.relpath(spread.built_in(family))
    data = pipeline.PreparedData(folder)
    codec, _ = models.family(family).Codec.from_data(config.codec.to_dict(), data)
    model = models.outline(config, codec)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
    stored = data.lengths["train"]
    plan = pipeline.Plan(codec.lengths(stored), config.batch_size, 0, config.buckets, codec.takes(stored))
    batches = pipeline.training_batches(data, codec.encode, plan, 0, 1_000_000)
    for _ in range(8):  # those that were made ahead
        next(batches)
    # Of the processor's time, which other programs do not take: one thread makes them, and nothing else happens here.
    began, count = time.process_time(), 0
    while time.process_time() - began < seconds:
        count += len(next(batches)["real"])
    rate, name = count / (time.process_time() - began), f"{family}, {variant}"
    print(f"{name:32}{parameters:>12,}{parameters * 4 / 1e6:>11.2f}{config.batch_size:>7}{rate:>25,.0f}  {folder}")


if __name__ == "__main__":
    run(main)
