"""Performances in one program, in events a second, against a sampler that makes one call an event, in one run.

    python benchmarks/performance_sampling.py [--count=64] [--events=1000] [--workdir=DIR] [--dtype=float32]

One call an event is how the original's graph is driven: a batch of 1, whose probabilities come to the host, where the
event is drawn; the original itself makes 750 events a second that way. The share of the machine's product rate is 2 x
the multiplications of the events' matrix products (h by the gates, outputs by the layers above, and by the logits),
over the seconds, over the rate of one large product timed in the same run. What the first layer reads is looked up.

Without --workdir the model has random weights of the size of `configs/performance_rnn.py`, three layers of 512.
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

ORIGINAL = 750
"""Events a second, of the original on a CPU, one performance at a time."""


def main(
    workdir: str | None = None,
    count: int = 64,
    events: int = 1000,
    temperature: float = 1.0,
    rounds: int = 3,
    alone: int = 500,
    dtype: str = "float32",
) -> int:
    """Prints events a second, their ratio to one call an event, and the share of the product rate.

    --workdir  a trained model to draw from, without controls
    --rounds   how often each is timed, in turns; medians are told
    --alone    events that are drawn one by one, in each round
    --dtype    of the products' operands in the model of random weights: float32 or bfloat16
    """
    if not temperature > 0 or min(count, events, rounds, alone) < 1:
        raise UserError("expected --temperature above 0, and --count, --events, --rounds and --alone of at least 1")
    keep_compiled()
    import jax
    from flax import nnx

    from magenta_lite.sampler import Sampler

    model = _model(dtype) if workdir is None else Sampler(Path(workdir)).model
    plain = hasattr(model, "vocabulary") and not model.conditions and len(model.vocabulary.fields) == 1
    if not plain or not all(hasattr(layer, "w_hh") for layer in model.layers):
        print("skipped: this is for a Performance RNN of events, without controls and attention")
        return 0
    graph, state = nnx.split(model)
    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(np.arange(count))

    def draw(state: Any, keys: Any) -> Any:
        return nnx.merge(graph, state).sample(keys, temperature=temperature, max_length=events)

    program = jax.jit(draw)
    one_by_one = _one_by_one(model, temperature)
    matrix = jax.random.normal(jax.random.key(0), (SIDE, SIDE))
    product = jax.jit(lambda matrix: matrix @ matrix)

    drawn: dict[str, Any] = {}

    def together() -> None:
        drawn.update(jax.device_get(program(state, keys)))

    first = _seconds(together)
    jax.block_until_ready(product(matrix))
    one_by_one(10)
    times: dict[str, list[float]] = {"together": [], "apart": [], "product": []}
    for _ in range(rounds):
        times["together"].append(_seconds(together))
        times["apart"].append(_seconds(lambda: one_by_one(alone)))
        times["product"].append(min(_seconds(lambda: jax.block_until_ready(product(matrix))) for _ in range(5)))

    rate = 2 * SIDE**3 / statistics.median(times["product"])
    seconds = statistics.median(times["together"])
    made, naive = int(drawn["length"].sum()) / seconds, alone / statistics.median(times["apart"])
    of_an_event = 2 * _multiplications(model)
    print(
        f"{count} performances of {events:,} events at T = {temperature:g}, "
        f"{workdir or f'random weights, {dtype}'}, layers of {', '.join(str(layer.units) for layer in model.layers)}"
    )
    print(f"{'':18}{'events/s':>12}{'x one by one':>14}{f'x {ORIGINAL}':>9}{'of the rate':>13}")
    for name, speed in (("in one program", made), ("one call an event", naive)):
        share = speed * of_an_event / rate
        print(f"{name:18}{speed:>12,.0f}{speed / naive:>14.1f}{speed / ORIGINAL:>9.1f}{share:>13.1%}")
    print(
        f"large products: {rate / 1e9:.0f} GFLOP/s; an event's: {of_an_event / 1e6:.2f} MFLOP; the program: median "
        f"{seconds:.3f} s of {min(times['together']):.3f} to {max(times['together']):.3f}; first call {first:.1f} s"
    )
    return 0


def _seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _model(dtype: str) -> Any:
    from magenta_lite import models
    from magenta_lite.models.performance_rnn import Codec

    settings = runpy.run_path(str(ROOT / "configs/performance_rnn.py"))["get_config"]()
    settings.model.compute_dtype = dtype
    return models.build(settings, Codec())


def _multiplications(model: Any) -> int:
    """Of the matrix products of an event."""
    recurrent = sum(layer.w_hh.size for layer in model.layers)
    read = model.layers if model.residual else model.layers[1:]  # the first layer's is a look-up, but of a projection
    return recurrent + sum(layer.w_xh.size for layer in read) + model.output.kernel.size


def _one_by_one(model: Any, temperature: float) -> Callable[[int], list[int]]:
    """The original's loop: a call of the network an event, which is then drawn on the host."""
    import jax
    import jax.numpy as jnp
    from flax import nnx

    graph, weights = nnx.split(model)

    @jax.jit
    def advance(weights: Any, state: Any, event: jax.Array) -> tuple[Any, jax.Array]:
        state, logits = nnx.merge(graph, weights).advance(state, event, {})
        return state, jax.nn.softmax(logits[0] / temperature)

    zeros = model.first_state(1)
    rng = np.random.default_rng(0)

    def draw(count: int) -> list[int]:
        state, event, drawn = zeros, jnp.asarray(model.vocabulary.first)[None], []
        for _ in range(count):
            state, shares = advance(weights, state, event)
            shares = np.asarray(shares, np.float64)
            drawn.append(int(rng.choice(len(shares), p=shares / shares.sum())))
            event = jnp.asarray([[drawn[-1]]], jnp.int32)
        return drawn

    return draw


if __name__ == "__main__":
    run(main)
