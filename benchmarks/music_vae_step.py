"""A training step of MusicVAE, and its decoder alone, against the decoder of the original's graph, in one run.

    python benchmarks/music_vae_step.py [--variants=hierdec-mel_16bar,...] [--parts=decoder,step] [--batch_size=16]

The yardstick, benchmarks/contestants/music_vae_plain.py, has the same encoder, weights, losses and optimizer, and what
the original's graph has for a decoder: one-hot inputs, one bar after the other, lax.scan, autodiff. Before it is timed
its loss and gradients are held against ours. Slices are random; a step's input is not timed. The machine's product rate
is that of one large product timed in the same run; "of a core" is the share of it by CPU seconds, the time that all
cores together spent, which other programs on the machine disturb least.
"""

import statistics
from typing import Any

from contestants.asking import PRODUCT, Contestant

from magenta_lite.command import run

ORIGINAL = {
    "hierdec-mel_16bar": (16, "60 to 130"),
    "flat-mel_16bar": (16, "78 to 110"),
    "hierdec-trio_16bar": (8, "37 to 61"),
    "cat-mel_2bar_small": (128, "0.4"),
}
"""Slices of a batch, and seconds that a step of the original takes with it on two cores."""

PARTS = ("decoder", "step")


def main(
    variants: tuple[str, ...] = ("cat-mel_2bar_small", "hierdec-mel_16bar"),
    parts: tuple[str, ...] = PARTS,
    batch_size: int = 0,
    rounds: int = 2,
    steps: int = 1,
    compute_dtype: str = "float32",
) -> int:
    """Prints seconds a step, and CPU seconds; their ratios; and shares of the product rate.

    --variants    of configs/music_vae.py whose slices are tokens and which are told nothing
    --parts       decoder: forwards and backwards, z and inputs given; step: all but the input
    --batch_size  slices; default: as the original was timed with, else 16
    --steps       of each turn; one more before them is left out
    """
    for variant in variants:
        size, quoted = ORIGINAL.get(variant, (16, ""))
        for part in parts:
            asked = {"variant": variant, "batch_size": batch_size or size, "part": part}
            told = _compare(asked, rounds, steps, compute_dtype)
            beside = f"; the original: {quoted} s" if quoted and part == "step" and not batch_size else ""
            _print(asked, told, compute_dtype, beside)
    return 0


def _compare(asked: dict[str, Any], rounds: int, steps: int, compute_dtype: str) -> dict[str, dict[str, list[float]]]:
    """What each tells of its steps, by name."""
    contestants = {
        "magenta_lite": Contestant("music_vae_ours", **asked, compute_dtype=compute_dtype),
        "plain decoder": Contestant("music_vae_plain", **asked),
        "product": Contestant("music_vae_ours", **asked | {"part": "product"}, compute_dtype=compute_dtype),
    }
    for _ in range(rounds):
        for name, contestant in contestants.items():
            contestant.take_warm(5 if name == "product" else steps)
    for contestant in contestants.values():
        contestant.end()
    return {name: contestant.told for name, contestant in contestants.items()}


def _print(asked: dict[str, Any], told: dict[str, dict[str, list[float]]], compute_dtype: str, beside: str) -> None:
    product = told.pop("product")
    rate, core_rate = (PRODUCT / statistics.median(product[kind]) for kind in ("seconds", "cpu"))
    needed = operations(asked["variant"], asked["batch_size"], asked["part"])
    print(f"\n{asked['variant']}, {asked['part']}, batches of {asked['batch_size']}, {compute_dtype}; ", end="")
    print(f"{needed / 1e9:,.1f} GFLOP of products; large products: {rate / 1e9:.0f} GFLOP/s{beside}")
    print(
        f"{'':16}{'median s':>10}{'fastest':>9}{'ratio':>7}{'CPU s':>9}{'ratio':>7}{'of the rate':>13}{'of a core':>11}"
    )
    slowest = {kind: statistics.median(told["plain decoder"][kind]) for kind in ("seconds", "cpu")}
    for name, own in told.items():
        seconds, cpu = statistics.median(own["seconds"]), statistics.median(own["cpu"])
        print(
            f"{name:16}{seconds:>10.3f}{min(own['seconds']):>9.3f}{slowest['seconds'] / seconds:>7.2f}"
            f"{cpu:>9.3f}{slowest['cpu'] / cpu:>7.2f}{needed / seconds / rate:>13.0%}"
            f"{needed / cpu / core_rate:>11.0%}"
        )
    print(f"loss and gradients are at most {max(told['plain decoder']['apart']):.1e} apart", flush=True)


def operations(variant: str, batch_size: int, part: str) -> float:
    """Of the matrix products that a step needs; contestants/music_vae_operations.py derives them."""
    from contestants import music_vae_operations, music_vae_parts
    from flax import nnx

    from magenta_lite.models.music_vae import Model

    found, codec = music_vae_parts.settings(variant, batch_size, 0)
    model = nnx.eval_shape(lambda: Model(codec, rngs=nnx.Rngs(0), **found.model.to_dict()))
    multiplied = music_vae_operations.decoder(model, batch_size)
    if part == "step":
        multiplied += music_vae_operations.flat_encoder(model, batch_size)
    return music_vae_operations.FORWARDS_AND_BACK * multiplied


if __name__ == "__main__":
    run(main)
