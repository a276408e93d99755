"""LSTM, LayerNormLSTM and HyperLSTM: the three cells of SketchRNN, with one interface.

A cell is a pure step; `cell(xs, ...)` runs it over time. Shapes, with B examples, T steps, H units:

    step(state, x [B, I], shift, kept [B, H] bool | None) -> state, output [B, H]
    cell(xs [T, B, I], state, constants=[B, K] | None, kept=[T, B, H] bool | None) -> outputs [T, B, H], state

What does not change over time (z, a label) is a *constant* input: its weights are the last K rows of the input matrix,
and its product, the *shift* [B, 4H], is taken once a sequence. `kept` is the recurrent dropout mask, on the candidate
only, "without memory loss" (Semeniuta et al. 2016). Gates stand in the order i, g (candidate), f, o; a forget bias of 1
is added at run time, not stored. Sources: Ha & Eck 2017; Ha, Dai & Le 2017 (HyperNetworks); their published code.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from magenta_lite.nn import initializers

FORGET_BIAS = 1.0
LAYER_NORM_EPSILON = 1e-3

State = Any
"""A tuple of arrays [B, ...], in the order in which a linear map from z lays them out."""


class Cell(nnx.Module):
    """What the three cells share: their weights of x and h, and the plain scan over `step`."""

    state_sizes: tuple[int, ...]

    def __init__(
        self,
        inputs: int,
        units: int,
        *,
        constants: int = 0,
        keep: float = 1.0,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        """inputs + constants: columns of x and of the constants; keep: share kept by dropout, in (0, 1].

        dtype: of the operands of the matrix products; sums and the state are float32.
        """
        self.inputs, self.units, self.keep, self.dtype = inputs, units, keep, dtype
        self.w_xh = nnx.Param(initializers.glorot(rngs.params(), (inputs + constants, 4 * units)))
        self.w_hh = nnx.Param(initializers.orthogonal_gates(rngs.params(), (units, 4 * units)))

    def shift(self, constants: jax.Array | None, batch: int) -> Any:
        """What is added to the gates at every step, for constants [B, K]."""
        raise NotImplementedError

    def step(self, state: State, x: jax.Array, shift: Any, kept: jax.Array | None = None) -> tuple[State, jax.Array]:
        """The next state, and the output [B, H]."""
        raise NotImplementedError

    def __call__(
        self, xs: jax.Array, state: State, constants: jax.Array | None = None, kept: jax.Array | None = None
    ) -> tuple[jax.Array, State]:
        """Outputs [T, B, H] and the last state."""
        shift = self.shift(constants, xs.shape[1])

        def body(state: State, now: tuple[jax.Array, jax.Array | None]) -> tuple[State, jax.Array]:
            return self.step(state, now[0], shift, now[1])

        state, outputs = lax.scan(body, state, (xs, kept))
        return outputs, state


def initial_state(cell: Cell, batch: int, flat: jax.Array | None = None) -> State:
    """The zero state, or the one cut from flat [B, sum(state_sizes)]."""
    if flat is None:
        return tuple(jnp.zeros((batch, size)) for size in cell.state_sizes)
    edges = [sum(cell.state_sizes[:i]) for i in range(1, len(cell.state_sizes))]
    return tuple(jnp.split(flat, edges, axis=1))


def product(a: jax.Array, b: jax.Array, dtype: Any) -> jax.Array:
    """a @ b with operands of the given type and a float32 sum."""
    return jnp.matmul(a.astype(dtype), b.astype(dtype), preferred_element_type=jnp.float32)


class LSTM(Cell):
    """The plain cell (Hochreiter & Schmidhuber 1997; Gers et al. 2000). State: c, h, each [B, H]."""

    def __init__(self, inputs: int, units: int, *, rngs: nnx.Rngs, **options: Any):
        """As Cell."""
        super().__init__(inputs, units, rngs=rngs, **options)
        self.state_sizes = (units, units)
        self.bias = nnx.Param(jnp.zeros(4 * units))

    def shift(self, constants: jax.Array | None, batch: int) -> jax.Array:
        """[B, 4H]: all that is added to the gates at every step."""
        shift = jnp.tile(self.bias[...][None], (batch, 1))
        return shift if constants is None else shift + product(constants, self.w_xh[...][self.inputs :], self.dtype)

    def step(
        self, state: State, x: jax.Array, shift: jax.Array, kept: jax.Array | None = None
    ) -> tuple[State, jax.Array]:
        weights = jnp.concatenate([self.w_xh[...][: x.shape[1]], self.w_hh[...]])
        c, h, _ = _lstm_step(state[0], state[1], x, weights, shift, kept, self.keep, self.dtype)
        return (c, h), h

    def __call__(
        self, xs: jax.Array, state: State, constants: jax.Array | None = None, kept: jax.Array | None = None
    ) -> tuple[jax.Array, State]:
        shift = self.shift(constants, xs.shape[1])
        weights = jnp.concatenate([self.w_xh[...][: xs.shape[2]], self.w_hh[...]])
        hs, last = _recur(self.keep, self.dtype, xs, weights, shift, state[0], state[1], kept)
        return hs, last


def _activate(gates: jax.Array, kept: jax.Array | None, keep: float) -> tuple[jax.Array, ...]:
    """Gates before their non-linearity [B, 4H] -> i, g after it (g before dropout), f, o, and g after dropout."""
    i, g, f, o = jnp.split(gates, 4, axis=-1)
    i, g, f, o = jax.nn.sigmoid(i), jnp.tanh(g), jax.nn.sigmoid(f + FORGET_BIAS), jax.nn.sigmoid(o)
    return i, g, f, o, g if kept is None else jnp.where(kept, g / keep, 0.0)


def _lstm_step(
    c: jax.Array,
    h: jax.Array,
    x: jax.Array,
    weights: jax.Array,
    shift: jax.Array,
    kept: jax.Array | None,
    keep: float,
    dtype: Any,
) -> tuple[jax.Array, jax.Array, tuple[jax.Array, ...]]:
    gates = product(jnp.concatenate([x, h], axis=1), weights, dtype) + shift
    i, g, f, o, g_kept = _activate(gates, kept, keep)
    c = c * f + i * g_kept
    return c, jnp.tanh(c) * o, (i, g, f, o)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _recur(
    keep: float,
    dtype: Any,
    xs: jax.Array,
    weights: jax.Array,
    shift: jax.Array,
    c: jax.Array,
    h: jax.Array,
    kept: jax.Array | None,
) -> tuple[jax.Array, State]:
    return _recur_forward(keep, dtype, xs, weights, shift, c, h, kept)[0]


def _recur_forward(keep, dtype, xs, weights, shift, c, h, kept):
    def step(carry, now):
        (c, h), (x, kept_now) = carry, now
        c, h, gates = _lstm_step(c, h, x, weights, shift, kept_now, keep, dtype)
        return (c, h), (c, h, gates)

    last, (cs, hs, gates) = lax.scan(step, (c, h), (xs, kept))
    return (hs, last), (xs, weights, c, h, kept, cs, hs, gates)


def _recur_backward(keep, dtype, saved, cotangents):
    # The scan carries only the recurrence backwards; each weight gradient is then one large product over time x batch,
    # instead of an outer product and a read-modify-write of the whole gradient at every step.
    xs, weights, c0, h0, kept, cs, hs, gates = saved
    d_hs, (d_c, d_h) = cotangents
    inputs = xs.shape[2]
    back = weights[inputs:].T

    def step(carry, now):
        d_c, d_h, d_shift = carry
        c, c_before, (i, g, f, o), d_out, kept_now = now
        g_kept = g if kept_now is None else jnp.where(kept_now, g / keep, 0.0)
        d_h = d_h + d_out
        tanh_c = jnp.tanh(c)
        d_c = d_c + d_h * o * (1 - tanh_c * tanh_c)
        d_g = d_c * i if kept_now is None else jnp.where(kept_now, d_c * i / keep, 0.0)
        d_gates = jnp.concatenate(
            [
                d_c * g_kept * i * (1 - i),
                d_g * (1 - g * g),
                d_c * c_before * f * (1 - f),
                d_h * tanh_c * o * (1 - o),
            ],
            axis=1,
        )
        return (d_c * f, product(d_gates, back, dtype), d_shift + d_gates), d_gates

    before = jnp.concatenate([c0[None], cs[:-1]])
    # The shift's gradient is summed in the carry: it stays in cache, where a sum afterwards would read it all again.
    start = (d_c, d_h, jnp.zeros((xs.shape[1], weights.shape[1])))
    (d_c, d_h, d_shift), d_gates = lax.scan(step, start, (cs, before, gates, d_hs, kept), reverse=True)
    flat = d_gates.reshape(-1, d_gates.shape[2])
    h_before = jnp.concatenate([h0[None], hs[:-1]]).reshape(-1, hs.shape[2])
    d_weights = jnp.concatenate([product(xs.reshape(-1, inputs).T, flat, dtype), product(h_before.T, flat, dtype)])
    d_xs = product(d_gates, weights[:inputs].T, dtype)
    return d_xs, d_weights, d_shift, d_c, d_h, None


_recur.defvjp(_recur_forward, _recur_backward)
