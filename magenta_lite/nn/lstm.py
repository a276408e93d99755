"""LSTM, LayerNormLSTM and HyperLSTM: the three cells of SketchRNN, with one interface.

A cell is a pure step; `cell(xs, ...)` runs it over time. Shapes, with B examples, T steps, H units:

    step(state, x [B, I], shift, kept [B, H] bool | None) -> state, output [B, H]
    cell(xs [T, B, I], state, constants=[B, K] | None, kept=[T or 1, B, H] bool | None, steps=int32 | None)
        -> outputs [T, B, H], state

What does not change over time (z, a label) is a *constant* input: its weights are the last K rows of the input matrix,
and its product, the *shift* [B, 4H], is taken once a sequence. `kept` is the recurrent dropout mask, on the candidate
only, "without memory loss" (Semeniuta et al. 2016), one for each step or one for all. `steps`, known at run time alone,
says that the caller needs no outputs from there on: a cell may stop there, and what it leaves behind is anything.
Gates stand in the order i, g (candidate), f, o; a forget bias of 1 is added at run time, not stored. Sources: Ha & Eck
2017; Ha, Dai & Le 2017 (HyperNetworks); their published code.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from magenta_lite.nn import initializers

FORGET_BIAS = 1.0
LAYER_NORM_EPSILON = 1e-3

_CHUNK = 16
"""Steps whose share of the weights' gradient is one product: its sum is read and written once a chunk."""

_FEW_INPUTS = 8
"""Up to so many columns of x are multiplied on the fly: 512 + 5 rows make a slower product than 512."""

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
        self,
        xs: jax.Array,
        state: State,
        constants: jax.Array | None = None,
        kept: jax.Array | None = None,
        steps: jax.Array | None = None,
    ) -> tuple[jax.Array, State]:
        """Outputs [T, B, H] and the state after the last step taken."""
        shift = self.shift(constants, xs.shape[1])
        if kept is not None:
            kept = jnp.broadcast_to(kept, (len(xs), *kept.shape[1:]))

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
        c, h = state
        gates = activate(_products(x, h, self._weights(x.shape[1]), self.dtype) + shift)
        c, h = update(c, gates, kept, self.keep)
        return (c, h), h

    def __call__(
        self,
        xs: jax.Array,
        state: State,
        constants: jax.Array | None = None,
        kept: jax.Array | None = None,
        steps: jax.Array | None = None,
    ) -> tuple[jax.Array, State]:
        if jax.default_backend() != "cpu":
            steps = None  # an accelerator would have to ask its host after every step whether to go on
        shift = self.shift(constants, xs.shape[1])
        return _recur(self.keep, self.dtype, xs, self._weights(xs.shape[2]), shift, state[0], state[1], kept, steps)

    def _weights(self, inputs: int) -> jax.Array:
        """[I + H, 4H], of x and of h."""
        return jnp.concatenate([self.w_xh[...][:inputs], self.w_hh[...]])


def _products(x: jax.Array, h: jax.Array, weights: jax.Array, dtype: Any) -> jax.Array:
    """x and h times their weights, [B, 4H] float32."""
    inputs = x.shape[1]
    if inputs > _FEW_INPUTS:
        return product(jnp.concatenate([x, h], axis=1), weights, dtype)
    gates = product(h, weights[inputs:], dtype)
    for k in range(inputs):
        gates = gates + x[:, k : k + 1] * weights[k : k + 1]
    return gates


def activate(gates: jax.Array) -> jax.Array:
    """Gates [B, 4H] after their non-linearity: sigmoid(i), tanh(g), sigmoid(f + 1), sigmoid(o)."""
    units = gates.shape[1] // 4
    # sigmoid(a) = (1 + tanh(a / 2)) / 2: one pass over all four, which is stored as it is.
    scale, forget, half = (
        jnp.asarray(np.repeat(row, units)[None], jnp.float32)
        for row in ((0.5, 1, 0.5, 0.5), (0, 0, FORGET_BIAS, 0), (0.5, 0, 0.5, 0.5))
    )
    return scale * jnp.tanh(scale * (gates + forget)) + half


def update(c: jax.Array, gates: jax.Array, kept: jax.Array | None, keep: float) -> State:
    i, g, f, o = jnp.split(gates, 4, axis=1)
    c = c * f + i * (g if kept is None else jnp.where(kept, g / keep, 0.0))
    return c, jnp.tanh(c) * o


def update_backward(
    c_before: jax.Array,
    c: jax.Array,
    gates: jax.Array,
    d_c: jax.Array,
    d_h: jax.Array,
    kept: jax.Array | None,
    keep: float,
) -> tuple[jax.Array, jax.Array]:
    """The gradients of what went into `activate` [B, 4H] and of c_before, from those of what `update` gave."""
    i, g, f, o = jnp.split(gates, 4, axis=1)
    g_kept, i_kept = (g, i) if kept is None else (jnp.where(kept, a / keep, 0.0) for a in (g, i))
    tanh_c = jnp.tanh(c)
    d_c = d_c + d_h * o * (1 - tanh_c * tanh_c)
    d_gates = [
        d_c * g_kept * i * (1 - i),
        d_c * i_kept * (1 - g * g),
        d_c * c_before * f * (1 - f),
        d_h * tanh_c * o * (1 - o),
    ]
    return jnp.concatenate(d_gates, axis=1), d_c * f


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
    steps: jax.Array | None,
) -> tuple[jax.Array, State]:
    return _recur_forward(keep, dtype, xs, weights, shift, c, h, kept, steps)[0]


def at(array: jax.Array, t: jax.Array) -> jax.Array:
    """Row t of what a loop reads."""
    return lax.dynamic_index_in_dim(array, t, keepdims=False)


def put(array: jax.Array, value: jax.Array, t: jax.Array) -> jax.Array:
    """What a loop writes, with row t set."""
    return lax.dynamic_update_index_in_dim(array, value, t, 0)


def _kept_at(kept: jax.Array | None, t: jax.Array) -> jax.Array | None:
    return None if kept is None else kept[0] if len(kept) == 1 else at(kept, t)


def _recur_forward(keep, dtype, xs, weights, shift, c, h, kept, steps):
    time, (batch, units) = len(xs), h.shape

    def step(t, carry):
        c, h, cs, hs, gates = carry
        gates = put(gates, activate(_products(at(xs, t), h, weights, dtype) + shift), t)
        # Written once, and read from where it was written: without the barrier it is made twice.
        gates = lax.optimization_barrier(gates)
        c, h = update(c, at(gates, t), _kept_at(kept, t), keep)
        return c, h, put(cs, c, t), put(hs, h, t), gates

    stored = (jnp.zeros((time, batch, size)) for size in (units, units, 4 * units))
    *last, cs, hs, gates = lax.fori_loop(0, time if steps is None else steps, step, (c, h, *stored))
    return (hs, tuple(last)), (xs, weights, kept, steps, c, h, cs, hs, gates)


def _recur_backward(keep, dtype, saved, cotangents):
    # The loop carries only the recurrence backwards; each weight gradient is one large product over a chunk of time x
    # batch, instead of an outer product and a read-modify-write of the whole gradient at every step.
    xs, weights, kept, steps, c0, h0, cs, hs, gates = saved
    d_hs, (d_c, d_h) = cotangents
    time, batch, inputs = xs.shape
    back_x, back_h = weights[:inputs].T, weights[inputs:].T

    def step(t, place, carry):
        d_c, d_h, d_shift, d_gates = carry
        c_before = jnp.where(t == 0, c0, at(cs, jnp.maximum(t - 1, 0)))
        d_now, d_c = update_backward(c_before, at(cs, t), at(gates, t), d_c, d_h + at(d_hs, t), _kept_at(kept, t), keep)
        d_gates = lax.optimization_barrier(put(d_gates, d_now, place))
        d_now = at(d_gates, place)
        # The shift's gradient is summed in the carry: it stays in cache, where a sum afterwards would read all again.
        return d_c, product(d_now, back_h, dtype), d_shift + d_now, d_gates

    size, total = (time, time) if steps is None else (min(_CHUNK, time), steps)

    def chunk(n, carry):
        # From the last step back; what is left for the first chunk fills its rows from the first on, zeros the others.
        *carry, d_weights, d_xs = carry
        first = jnp.maximum(total - (n + 1) * size, 0)
        count = size if steps is None else jnp.minimum(size, total - n * size)
        d_gates = jnp.zeros((size, batch, 4 * hs.shape[2]))
        *carry, d_gates = lax.fori_loop(
            0, count, lambda m, now: step(first + count - 1 - m, count - 1 - m, now), (*carry, d_gates)
        )
        flat = d_gates.reshape(size * batch, -1)
        h_before = jnp.where(
            first == 0,
            jnp.concatenate([h0[None], hs[: size - 1]]),
            lax.dynamic_slice_in_dim(hs, jnp.maximum(first - 1, 0), size),
        )
        read = jnp.concatenate([lax.dynamic_slice_in_dim(xs, first, size), h_before], axis=2)
        # The barrier has the transpose made first: the product then runs at full speed, else at three quarters of it.
        read = lax.optimization_barrier(read.reshape(size * batch, -1).T)
        d_weights = d_weights + product(read, flat, dtype)
        d_now = product(flat, back_x, dtype).reshape(size, batch, inputs)
        d_now = d_now + lax.dynamic_slice_in_dim(d_xs, first, size)
        return (*carry, d_weights, lax.dynamic_update_slice_in_dim(d_xs, d_now, first, 0))

    start = (d_c, d_h, jnp.zeros(gates.shape[1:]), jnp.zeros(weights.shape), jnp.zeros(xs.shape))
    end = chunk(0, start) if steps is None else lax.fori_loop(0, -(-steps // size), chunk, start)
    d_c, d_h, d_shift, d_weights, d_xs = end
    return d_xs, d_weights, d_shift, d_c, d_h, None, None


_recur.defvjp(_recur_forward, _recur_backward)
