"""Sixteen-bar melodies of MusicVAE drawn in one batch, in samples a second, against one at a time, in one run.

    python benchmarks/music_vae_sampling.py [--count=64] [--variants=hierdec-mel_16bar] [--workdir=DIR]

One at a time is the same program for a batch of 1, as a whole. The share of the machine's product rate is 2 x the
multiplications that the samples' matrix products need (contestants/music_vae_operations.py), over the seconds, over the
rate of one large product timed in the same run; "of a core" is the same by CPU seconds, which other programs on the
machine disturb least. Without --workdir the models have random weights, of two sizes.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from contestants import music_vae_operations

from magenta_lite.command import run
from magenta_lite.errors import UserError
from magenta_lite.runtime import keep_compiled, keep_memory

SIDE = 2048
"""Of the large product's square matrices."""


def main(
    variants: tuple[str, ...] = ("hier-mel_16bar_hour", "hierdec-mel_16bar"),
    workdir: str | None = None,
    count: int = 64,
    temperature: float = 0.5,
    rounds: int = 3,
    alone: int = 2,
    compute_dtype: str = "float32",
) -> int:
    """Prints samples a second, also of all cores together (CPU s a sample), their ratios, and shares of the rate.

    --variants  of configs/music_vae.py, with random weights
    --workdir   a trained model to draw from instead
    --rounds    how often each is timed, in turns; medians are told
    --alone     samples that are drawn one by one, in each round
    """
    if temperature < 0 or min(count, rounds, alone) < 1:
        raise UserError("expected --temperature of at least 0, and --count, --rounds and --alone of at least 1")
    keep_compiled()
    from magenta_lite.sampler import Sampler

    if workdir is not None:
        _time(Sampler(Path(workdir)).model, workdir, count, temperature, rounds, alone)
        return 0
    for variant in variants:
        _time(_model(variant, compute_dtype), f"{variant}, {compute_dtype}", count, temperature, rounds, alone)
    return 0


def _time(model: Any, name: str, count: int, temperature: float, rounds: int, alone: int) -> None:
    import jax
    from flax import nnx

    if model.conditions or not model.codec.classes:
        print(f"skipped {name}: this counts the products of models of tokens that are told nothing")
        return
    graph, state = nnx.split(model)
    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(np.arange(max(count, alone)))
    program = jax.jit(lambda state, keys: nnx.merge(graph, state).sample(keys, temperature=temperature))
    matrix = jax.random.normal(jax.random.key(0), (SIDE, SIDE))
    product = jax.jit(lambda matrix: matrix @ matrix)

    def together() -> None:
        jax.device_get(program(state, keys[:count]))

    def apart() -> None:
        for i in range(alone):
            jax.device_get(program(state, keys[i : i + 1]))

    def multiply() -> None:
        jax.block_until_ready(product(matrix))

    calls = {"in one batch": together, "one at a time": apart, "product": multiply}
    first = {name: _spent(call)[0] for name, call in calls.items()}["in one batch"]
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(rounds):
        for call_name, call in calls.items():
            spent[call_name] += [_spent(call) for _ in range(5 if call is multiply else 1)]

    rate, core_rate = (2 * SIDE**3 / statistics.median(row[i] for row in spent["product"]) for i in (0, 1))
    needed = music_vae_operations.FORWARDS * music_vae_operations.decoder(model, 1)
    print(
        f"\n{count} samples of {model.codec.bars} bars at T = {temperature:g} of {name}; {needed / 1e9:.2f} GFLOP "
        f"each; large products: {rate / 1e9:.0f} GFLOP/s; first call {first:.1f} s"
    )
    print(f"{'':16}{'samples/s':>11}{'ratio':>8}{'CPU s/sample':>14}{'ratio':>8}{'of the rate':>13}{'of a core':>11}")
    each = {
        call_name: [statistics.median(row[i] for row in spent[call_name]) / made for i in (0, 1)]
        for call_name, made in (("in one batch", count), ("one at a time", alone))
    }
    slowest = each["one at a time"]
    for call_name, (seconds, cpu) in each.items():
        print(
            f"{call_name:16}{1 / seconds:>11.2f}{slowest[0] / seconds:>8.1f}{cpu:>14.4f}{slowest[1] / cpu:>8.1f}"
            f"{needed / seconds / rate:>13.0%}{needed / cpu / core_rate:>11.0%}",
            flush=True,
        )


def _spent(call: Callable[[], None]) -> tuple[float, float]:
    """Seconds, and seconds of all cores."""
    began, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - began, time.process_time() - cpu


def _model(variant: str, compute_dtype: str) -> Any:
    from contestants import music_vae_parts

    from magenta_lite import models

    found, codec = music_vae_parts.settings(variant, 1, 0)
    found.model.compute_dtype = compute_dtype
    return models.build(found, codec)


if __name__ == "__main__":
    keep_memory()
    run(main)
