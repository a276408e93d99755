"""LayerNormLSTM and HyperLSTM: cells with the interface of magenta_lite.nn.lstm.

Both normalise the gates and run by the plain scan; the HyperLSTM has a second, smaller LSTM that rescales and shifts
them at every step.
Sources: Ba et al. 2016 (layer normalisation); Ha, Dai & Le 2017 (HyperNetworks), as in the published SketchRNN code.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from magenta_lite.nn import initializers
from magenta_lite.nn.lstm import FORGET_BIAS, LAYER_NORM_EPSILON, Cell, State, product

GATES = 4


class LayerNorm(nnx.Module):
    """Normalises each of `groups` equal parts of the last axis by itself, then scales and shifts (gamma, beta)."""

    def __init__(self, groups: int, size: int):
        self.groups = groups
        self.gamma = nnx.Param(jnp.ones(groups * size))
        self.beta = nnx.Param(jnp.zeros(groups * size))

    def __call__(self, x: jax.Array) -> jax.Array:
        parts = x.reshape(x.shape[0], self.groups, -1)
        centred = parts - parts.mean(axis=2, keepdims=True)
        variance = jnp.mean(centred * centred, axis=2, keepdims=True)
        normal = (centred * lax.rsqrt(variance + LAYER_NORM_EPSILON)).reshape(x.shape)
        return normal * self.gamma[...][None] + self.beta[...][None]


def _next_state(
    gates: jax.Array, c: jax.Array, normalise: LayerNorm, kept: jax.Array | None, keep: float
) -> tuple[jax.Array, jax.Array]:
    """c and h from normalised gates [B, 4H]; c is carried unnormalised."""
    i, g, f, o = jnp.split(gates, GATES, axis=1)
    g = jnp.tanh(g)
    g = g if kept is None else jnp.where(kept, g / keep, 0.0)
    c = c * jax.nn.sigmoid(f + FORGET_BIAS) + jax.nn.sigmoid(i) * g
    return c, jnp.tanh(normalise(c)) * jax.nn.sigmoid(o)


class LayerNormLSTM(Cell):
    """Each gate is normalised by itself, and so is c on its way out; no bias. State: h, c, each [B, H]."""

    def __init__(self, inputs: int, units: int, *, rngs: nnx.Rngs, **options: Any):
        """As Cell."""
        super().__init__(inputs, units, rngs=rngs, **options)
        self.state_sizes = (units, units)
        self.norm_gates = LayerNorm(GATES, units)
        self.norm_c = LayerNorm(1, units)

    def shift(self, constants: jax.Array | None, batch: int) -> jax.Array:
        if constants is None:
            return jnp.zeros((batch, self.w_hh.shape[1]))
        return product(constants, self.w_xh[...][self.inputs :], self.dtype)

    def step(
        self, state: State, x: jax.Array, shift: jax.Array, kept: jax.Array | None = None
    ) -> tuple[State, jax.Array]:
        h, c = state
        weights = jnp.concatenate([self.w_xh[...][: x.shape[1]], self.w_hh[...]])
        gates = self.norm_gates(product(jnp.concatenate([x, h], axis=1), weights, self.dtype) + shift)
        c, h = _next_state(gates, c, self.norm_c, kept, self.keep)
        return (h, c), h


class HyperLSTM(Cell):
    """A LayerNormLSTM of `hyper_units` reads x and h and rescales, gate by gate, what enters the main cell.

    State: h [B, H], h_hyper [B, hyper_units], c [B, H], c_hyper [B, hyper_units].
    """

    def __init__(
        self,
        inputs: int,
        units: int,
        *,
        constants: int = 0,
        hyper_units: int = 256,
        embedding: int = 32,
        dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
        **options: Any,
    ):
        """As Cell; embedding: size of the vector from which the hyper cell makes each scale and shift."""
        super().__init__(inputs, units, constants=constants, dtype=dtype, rngs=rngs, **options)
        self.state_sizes = (units, hyper_units, units, hyper_units)
        self.bias = nnx.Param(jnp.zeros(GATES * units))
        # The hyper cell reads [x, h, constants]: constants last, so that its shift too is taken once a sequence.
        self.hyper = LayerNormLSTM(inputs + units, hyper_units, constants=constants, dtype=dtype, rngs=rngs)
        # One row of blocks a gate: embeddings for the input part, the recurrent part and the shift, side by side.
        embeddings = (hyper_units, GATES * embedding)
        self.embed_x, self.bias_x = nnx.Param(jnp.zeros(embeddings)), nnx.Param(jnp.ones(GATES * embedding))
        self.embed_h, self.bias_h = nnx.Param(jnp.zeros(embeddings)), nnx.Param(jnp.ones(GATES * embedding))
        self.embed_b = nnx.Param(initializers.gaussian(0.01)(rngs.params(), embeddings))
        scale = jnp.full((GATES, embedding, units), 0.1 / embedding)
        self.scale_x, self.scale_h = nnx.Param(scale), nnx.Param(scale)
        self.scale_b = nnx.Param(jnp.zeros((GATES, embedding, units)))
        self.norm_gates = LayerNorm(GATES, units)
        self.norm_c = LayerNorm(1, units)

    def shift(self, constants: jax.Array | None, batch: int) -> tuple[jax.Array, jax.Array]:
        """Of the main cell's input part [B, 4H] and of the hyper cell [B, 4 hyper_units]."""
        hyper = self.hyper.shift(constants, batch)
        if constants is None:
            return jnp.zeros((batch, self.w_hh.shape[1])), hyper
        return product(constants, self.w_xh[...][self.inputs :], self.dtype), hyper

    def step(
        self, state: State, x: jax.Array, shift: tuple[jax.Array, jax.Array], kept: jax.Array | None = None
    ) -> tuple[State, jax.Array]:
        h, h_hyper, c, c_hyper = state
        # Where input dropout makes constants change, they come with x; here they stand behind h, as in the weights.
        seen = jnp.concatenate([x[:, : self.inputs], h, x[:, self.inputs :]], axis=1)
        (h_hyper, c_hyper), u = self.hyper.step((h_hyper, c_hyper), seen, shift[1])
        from_x = product(x, self.w_xh[...][: x.shape[1]], self.dtype) + shift[0]
        from_h = product(h, self.w_hh[...], self.dtype)
        gates = (
            self._per_gate(u, self.embed_x, self.bias_x, self.scale_x) * from_x
            + self._per_gate(u, self.embed_h, self.bias_h, self.scale_h) * from_h
            + self._per_gate(u, self.embed_b, None, self.scale_b)
            + self.bias[...][None]
        )
        c, h = _next_state(self.norm_gates(gates), c, self.norm_c, kept, self.keep)
        return (h, h_hyper, c, c_hyper), h

    def _per_gate(self, u: jax.Array, embed: nnx.Param, bias: nnx.Param | None, scale: nnx.Param) -> jax.Array:
        """u [B, hyper_units] -> [B, 4H]: an embedding for each gate, then a linear map of that gate's own."""
        z = product(u, embed[...], self.dtype)
        z = (z if bias is None else z + bias[...][None]).reshape(u.shape[0], GATES, -1)
        out = jnp.einsum(
            "bke,keh->bkh", z.astype(self.dtype), scale[...].astype(self.dtype), preferred_element_type=jnp.float32
        )
        return out.reshape(u.shape[0], -1)
