"""Decoder-only sketches a second in one program, against a sampler that makes one call a point, in one run.

    python benchmarks/sampling.py [--count=1000] [--temperature=0.5] [--workdir=DIR]

Counted are the points of the drawings alone: neither the end token, nor what the program does for slots that are free.
The share of the machine's product rate is 2 x the multiplications of these points' matrix products (h by the gates and
by the outputs), over the seconds, over the rate of one large product timed in the same run.

Without --workdir the model has random weights of the size of `configs/sketch_rnn.py:uncond`, but that one unit counts
the points and ends the drawings, at lengths like those of aaron_sheep (mean 125, standard deviation 51, at most 250).
"""

import runpy
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from magenta_lite.command import run
from magenta_lite.errors import UserError
from magenta_lite.runtime import keep_compiled

ROOT = Path(__file__).parents[1]

SIDE = 2048
"""Of the large product's square matrices."""


def main(
    workdir: str | None = None, count: int = 1000, temperature: float = 0.5, rounds: int = 5, alone: int = 8
) -> int:
    """Prints sketches and points a second, their ratio to one call a point, and the share of the product rate.

    --workdir  a trained model to draw from, without z and labels
    --rounds   how often each is timed, in turns; medians are told
    --alone    sketches that are drawn one by one, in each round
    """
    if not temperature > 0:
        raise UserError(f"--temperature={temperature}: expected above 0, at which drawings differ")
    keep_compiled()
    import jax
    from flax import nnx

    from magenta_lite.sampler import Sampler

    model = _model(temperature) if workdir is None else Sampler(Path(workdir)).model
    if model.has_latent or model.conditions or not hasattr(model.decoder, "bias"):
        print("skipped: this counts the products of a plain LSTM without z and labels (configs/sketch_rnn.py:uncond)")
        return 0
    graph, state = nnx.split(model)
    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(np.arange(count))
    program = jax.jit(lambda state, keys: nnx.merge(graph, state).sample(keys, temperature=temperature))
    one_by_one = _one_by_one(model, temperature)
    matrix = jax.random.normal(jax.random.key(0), (SIDE, SIDE))
    product = jax.jit(lambda matrix: matrix @ matrix)

    drawn: dict[str, Any] = {}

    def together() -> None:
        drawn.update(jax.device_get(program(state, keys)))

    lengths: list[int] = []

    def apart() -> None:
        lengths.extend(one_by_one(len(lengths) + seed) for seed in range(alone))

    first = _seconds(together)
    jax.block_until_ready(product(matrix))
    one_by_one(0)
    times: dict[str, list[float]] = {"together": [], "apart": [], "product": []}
    for _ in range(rounds):
        times["together"].append(_seconds(together))
        times["apart"].append(_seconds(apart))
        times["product"].append(min(_seconds(lambda: jax.block_until_ready(product(matrix))) for _ in range(5)))

    length = drawn["length"]
    rate = 2 * SIDE**3 / statistics.median(times["product"])
    seconds = statistics.median(times["together"])
    points, naive = length.sum() / seconds, sum(lengths) / sum(times["apart"])
    of_a_point = 2 * (model.decoder.w_hh.size + model.output.kernel.size)
    print(
        f"{count:,} sketches at T = {temperature:g} of {workdir or 'random weights, one unit of which counts'}: "
        f"{length.mean():.1f} points each, standard deviation {length.std():.1f}, {length.min()} to {length.max()}; "
        f"{np.mean(~drawn['ended']):.1%} cut off"
    )
    print(
        f"{'':18}{'sketches/s':>12}{'points/s':>12}{'x one by one':>14}{'of the rate':>13}\n"
        f"{'in one program':18}{count / seconds:>12.1f}{points:>12,.0f}{points / naive:>14.1f}"
        f"{points * of_a_point / rate:>13.1%}\n"
        f"{'one call a point':18}{len(lengths) / sum(times['apart']):>12.1f}{naive:>12,.0f}{1:>14.1f}"
        f"{naive * of_a_point / rate:>13.1%}"
    )
    print(
        f"large products: {rate / 1e9:.0f} GFLOP/s; a point's: {of_a_point / 1e6:.2f} MFLOP; the program: median "
        f"{seconds:.3f} s of {min(times['together']):.3f} to {max(times['together']):.3f}; first call {first:.1f} s"
    )
    return 0


def _seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _model(temperature: float) -> Any:
    """Random weights; unit 0 counts: c = h' = points / 400, and the pen ends by it, at lengths like those of sheep."""
    import jax.numpy as jnp

    from magenta_lite import models
    from magenta_lite.models.sketch_rnn import Codec

    settings = runpy.run_path(str(ROOT / "configs/sketch_rnn.py"))["get_config"]("uncond")
    model = models.build(settings, Codec(scale=1.0, n_max=250, labels=("sheep",)))
    cell, linear = model.decoder, model.output
    # Gates i, g, f, o of unit 0: all open, and a candidate of 1 / 400.
    columns = jnp.arange(4) * cell.units
    for weights in (cell.w_xh, cell.w_hh):
        weights[...] = weights[...].at[:, columns].set(0)
    cell.bias[...] = cell.bias[...].at[columns].set(jnp.array([30, np.arctanh(1 / 400), 30, 30]))
    # The chance of an end is 1 / (1 + 2 exp(-x)), x = 8.4 (tanh(points / 400) - 0.73), fitted to the lengths.
    slope = 8.4 * temperature
    linear.kernel[...] = linear.kernel[...].at[:, :3].set(0).at[0, :].set(0).at[0, 2].set(slope)
    linear.bias[...] = linear.bias[...].at[:3].set(jnp.array([0, 0, -0.73 * slope]))
    return model


def _one_by_one(model: Any, temperature: float) -> Callable[[int], int]:
    """The original's loop: a call of the network a point, which is then drawn on the host. Gives a sketch's length."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from magenta_lite.nn.lstm import initial_state

    graph, weights = nnx.split(model)

    @jax.jit
    def advance(weights: Any, state: Any, row: jax.Array) -> tuple[Any, jax.Array]:
        model = nnx.merge(graph, weights)
        state, h = model.decoder.step(state, row, model.decoder.shift(None, 1))
        return state, model.output(h)[0]

    zeros = initial_state(model.decoder, 1)

    def softened(rng: np.random.Generator, logits: np.ndarray) -> int:
        shares = np.exp((logits - logits.max()) / temperature)
        return int(rng.choice(len(shares), p=shares / shares.sum()))

    def draw(seed: int) -> int:
        rng, state = np.random.default_rng(seed), zeros
        row = np.array([[0, 0, 1, 0, 0]], np.float32)
        for length in range(model.codec.n_max):
            state, outputs = advance(weights, state, jnp.asarray(row))
            values = np.asarray(outputs, np.float64)
            pen, parameters = softened(rng, values[:3]), values[3:].reshape(6, -1)
            if pen == 2:
                return length
            _, x, y, sigma_x, sigma_y, rho = parameters[:, softened(rng, parameters[0])]
            a, b, rho = np.exp(sigma_x), np.exp(sigma_y), np.tanh(rho)
            covariance = temperature * np.array([[a * a, rho * a * b], [rho * a * b, b * b]])
            row = np.concatenate([rng.multivariate_normal([x, y], covariance), np.eye(3)[pen]])[None].astype(np.float32)
        return model.codec.n_max

    return draw


if __name__ == "__main__":
    run(main)
