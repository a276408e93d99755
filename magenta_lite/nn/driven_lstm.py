"""The recurrence of a plain LSTM whose inputs were multiplied beforehand: for long sequences, and many layers.

What the inputs add to the gates at every step, the *drive* [T, B, 4H], is one large product or a look-up, taken by the
caller; only the product with h is left in the loop. The gates take the place of the drive in memory, and their
gradient that of the gates. Gates and forget bias as in lstm.py.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from magenta_lite.nn import initializers
from magenta_lite.nn.lstm import activate, at, product, put, update, update_backward

State = tuple[jax.Array, ...]


def _multiplied_with_last(a: jax.Array, b: jax.Array) -> jax.Array:
    """a [B, I] times b [J, I] along I: [B, J] float32."""
    return lax.dot_general(a.astype(b.dtype), b, (((1,), (1,)), ((), ())), preferred_element_type=jnp.float32)


def _times(w_hh: jax.Array, dtype: Any, steps: int, batch: int) -> Any:
    """The function h [B, H] -> h @ w_hh, for a loop of so many steps."""
    if steps < 32 or batch > 64:
        weights = w_hh.astype(dtype)
        return lambda h: product(h, weights, dtype)
    # For few rows a CPU repacks [H, 4H] at every step, which takes as long as the product; not so [4H, H]. To transpose
    # costs as much as is won in 16 steps. The barrier keeps it from being undone.
    turned = lax.optimization_barrier(w_hh.T.astype(dtype))
    return lambda h: _multiplied_with_last(h, turned)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def driven(
    dtype: Any, drive: jax.Array, w_hh: jax.Array, c: jax.Array, h: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """Outputs [T, B, H] and the last state (c, h), for drive [T, B, 4H] float32, w_hh [H, 4H], c and h [B, H].

    dtype: of the operands of the products; sums, state and gates are float32.
    """
    return _forward(dtype, drive, w_hh, c, h)[0]


def _forward(dtype, drive, w_hh, c, h):
    time, (batch, units) = len(drive), h.shape
    times_w_hh = _times(w_hh, dtype, time, batch)

    def step(t, carry):
        c, h, cs, hs, gates = carry
        gates = put(gates, activate(times_w_hh(h) + at(drive, t)), t)
        # Written once, and read from where it was written: without the barrier it is made twice.
        gates = lax.optimization_barrier(gates)
        c, h = update(c, at(gates, t), None, 1.0)
        return c, h, put(cs, c, t), put(hs, h, t), gates

    stored = (jnp.zeros((time, batch, size)) for size in (units, units, 4 * units))
    c_last, h_last, cs, hs, gates = lax.fori_loop(0, time, step, (c, h, *stored))
    return (hs, (c_last, h_last)), (w_hh, c, h, cs, hs, gates)


def _backward(dtype, saved, cotangents):
    w_hh, c0, h0, cs, hs, gates = saved
    d_hs, (d_c, d_h) = cotangents
    time = len(hs)
    back = w_hh.astype(dtype)

    def step(n, carry):
        d_c, d_h, d_drive = carry
        t = time - 1 - n
        c_before = jnp.where(t == 0, c0, at(cs, jnp.maximum(t - 1, 0)))
        d_gates, d_c = update_backward(c_before, at(cs, t), at(gates, t), d_c, d_h + at(d_hs, t), None, 1.0)
        d_drive = lax.optimization_barrier(put(d_drive, d_gates, t))
        return d_c, _multiplied_with_last(at(d_drive, t), back), d_drive

    d_c, d_h, d_drive = lax.fori_loop(0, time, step, (d_c, d_h, jnp.zeros_like(gates)))
    before = jnp.concatenate([h0[None], hs[:-1]])
    return d_drive, _weights(dtype, before, d_drive), d_c, d_h


driven.defvjp(_forward, _backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def large_product(dtype: Any, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """x [..., I] @ kernel [I, J], for so many rows of x that the gradient of the kernel is worth a transpose."""
    return product(x, kernel, dtype)


def _large_forward(dtype, x, kernel):
    return product(x, kernel, dtype), (x, kernel)


def _large_backward(dtype, saved, d_out):
    x, kernel = saved
    return product(d_out, kernel.T, dtype), _weights(dtype, x, d_out)


large_product.defvjp(_large_forward, _large_backward)


def _weights(dtype: Any, x: jax.Array, d_out: jax.Array) -> jax.Array:
    """The gradient [I, J] of a kernel that took x [..., I] to outputs whose gradient is d_out [..., J]."""
    # The barrier has the transpose made first: the product then runs at full speed, else at three quarters of it.
    flat = lax.optimization_barrier(x.reshape(-1, x.shape[-1]).T)
    return product(flat, d_out.reshape(-1, d_out.shape[-1]), dtype)


class DrivenLSTM(nnx.Module):
    """An LSTM layer; its kernel is drawn as one of [I + H, 4H], as in the original. State: c, h, each [B, H]."""

    def __init__(self, inputs: int, units: int, *, dtype: Any, rngs: nnx.Rngs):
        """inputs: columns of what the layer reads; dtype: of the operands of the products."""
        self.units, self.dtype = units, dtype
        kernel = initializers.glorot(rngs.params(), (inputs + units, 4 * units))
        self.w_xh = nnx.Param(kernel[:inputs])
        self.w_hh = nnx.Param(kernel[inputs:])
        self.bias = nnx.Param(jnp.zeros(4 * units))

    def first_state(self, batch: int) -> State:
        return (jnp.zeros((batch, self.units)), jnp.zeros((batch, self.units)))

    @property
    def reading(self) -> tuple[jax.Array, jax.Array]:
        """Kernel [I, 4H] and bias [4H] that turn what is read into what is added to the gates, the drive."""
        return self.w_xh[...], self.bias[...]

    def drive(self, x: jax.Array) -> jax.Array:
        """The drive [..., 4H] of inputs [..., I]."""
        return affine(x, *self.reading, self.dtype)

    def step(self, state: State, drive: jax.Array) -> tuple[State, jax.Array]:
        """The next state and the output [B, H]."""
        c, h = state
        c, h = update(c, activate(product(h, self.w_hh[...], self.dtype) + drive), None, 1.0)
        return (c, h), h

    def __call__(self, drive: jax.Array, state: State) -> tuple[jax.Array, State]:
        """Outputs [T, B, H] and the last state, for drive [T, B, 4H]."""
        return driven(self.dtype, drive, self.w_hh[...], *state)


def affine(x: jax.Array, kernel: jax.Array, bias: jax.Array, dtype: Any) -> jax.Array:
    """x [..., I] @ kernel [I, J] + bias [J], as a large product."""
    return large_product(dtype, x, kernel) + bias.reshape((1,) * (x.ndim - 1) + (-1,))
