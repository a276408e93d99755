"""What the tests of the layers share: cells whose weights are all random, as after training."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from magenta_lite.nn.hyper_lstm import HyperLSTM, LayerNormLSTM
from magenta_lite.nn.lstm import LSTM

INPUTS, UNITS, CONSTANTS = 3, 4, 2
CELLS = {
    "lstm": LSTM,
    "layer_norm": LayerNormLSTM,
    "hyper": lambda *sizes, **options: HyperLSTM(*sizes, hyper_units=5, embedding=3, **options),
}


@pytest.fixture(autouse=True, scope="module")
def always_quick_to_compile(quick_to_compile):
    """These layers are tiny."""


@pytest.fixture
def make_cell() -> Callable[..., nnx.Module]:
    """Makes a cell of 3 inputs, 4 units and 2 constants; no weight is 0 or 1 as at the start, so that all counts."""

    def make(kind: str, inputs: int = INPUTS, **options) -> nnx.Module:
        cell = nnx.eval_shape(lambda: CELLS[kind](inputs, UNITS, constants=CONSTANTS, rngs=nnx.Rngs(0), **options))
        rng = np.random.default_rng(1)
        graph, state = nnx.split(cell)
        return nnx.merge(graph, jax.tree.map(lambda w: jnp.asarray(rng.normal(0.2, 0.6, w.shape), jnp.float32), state))

    return make


@pytest.fixture
def inputs() -> Callable[..., dict[str, np.ndarray]]:
    """Makes xs [steps, batch, 3], constants, a dropout mask, and a first state for a cell."""

    def make(cell: nnx.Module, steps: int = 6, batch: int = 5) -> dict:
        rng = np.random.default_rng(2)

        def normal(*shape: int) -> np.ndarray:
            return rng.normal(0, 1, shape).astype(np.float32)

        return {
            "xs": normal(steps, batch, INPUTS),
            "state": tuple(normal(batch, size) for size in cell.state_sizes),
            "constants": normal(batch, CONSTANTS),
            "kept": rng.random((steps, batch, UNITS)) < 0.7,
        }

    return make


@pytest.fixture
def run() -> Callable[..., tuple]:
    """Calls a cell, compiled."""

    def call(cell: nnx.Module, xs, state, constants=None, kept=None) -> tuple:
        graph, weights = nnx.split(cell)
        return jax.jit(lambda weights, *given: nnx.merge(graph, weights)(*given))(weights, xs, state, constants, kept)

    return call


@pytest.fixture
def weights() -> Callable[[nnx.Module], dict]:
    """A cell's parameters by name, as float64 arrays; those of modules inside it in a dictionary of their own."""

    def to_float64(tree: dict) -> dict:
        return {
            name: to_float64(value) if isinstance(value, dict) else np.asarray(value, np.float64)
            for name, value in tree.items()
        }

    return lambda cell: to_float64(nnx.to_pure_dict(nnx.state(cell, nnx.Param)))
