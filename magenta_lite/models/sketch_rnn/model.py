"""The network: bidirectional encoder, latent vector, and a decoder of mixture densities and pen states.

Inside, time comes first. Position i = 0, 1, ... of the decoder reads row i of [start token, points] and predicts point
i, or, at i = N_s (the number of points), the end of the sketch. "Section" is of Ha & Eck 2017.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from magenta_lite.errors import UserError, nearest
from magenta_lite.models.sketch_rnn.codec import Codec
from magenta_lite.models.sketch_rnn.decoding import unroll
from magenta_lite.nn import dropout, initializers, latent, mixture_density
from magenta_lite.nn.across_devices import batch_mean
from magenta_lite.nn.hyper_lstm import HyperLSTM, LayerNormLSTM
from magenta_lite.nn.lstm import LSTM, Cell, State, initial_state
from magenta_lite.nn.schedules import anneal

CELLS: dict[str, type[Cell]] = {"lstm": LSTM, "layer_norm": LayerNormLSTM, "hyper": HyperLSTM}
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
STROKE5 = 5

Batch = dict[str, jax.Array]
Metrics = dict[str, tuple[jax.Array, jax.Array]]


class Model(nnx.Module):
    """SketchRNN, conditional (a VAE) or decoder-only.

    A batch holds strokes [B, T, 3] float32 (stroke-3, offsets divided by the codec's scale), label [B] int32, and what
    the pipeline adds: length [B] int32 (points), real [B] float32 (0 for an example that only fills the batch).
    """

    def __init__(
        self,
        codec: Codec,
        *,
        rngs: nnx.Rngs,
        conditional: bool = True,
        encoder_cell: str = "lstm",
        encoder_size: int = 256,
        decoder_cell: str = "lstm",
        decoder_size: int = 512,
        latent_size: int = 128,
        mixtures: int = 20,
        label_size: int = 0,
        recurrent_keep: float = 0.9,
        input_keep: float = 1.0,
        output_keep: float = 1.0,
        dropout_mask: str = "step",
        kl_weight: float = 0.5,
        kl_weight_start: float = 0.01,
        kl_weight_rate: float = 0.99995,
        kl_min: float = 0.2,
        pen_positions: str = "sketch",
        compute_dtype: str = "float32",
        log_sigma_min: float = mixture_density.LOG_SIGMA_MIN,
    ):
        """Options, with the original's defaults.

        conditional: False leaves out encoder and z. encoder_size: units in each direction. label_size: size of the
        label's embedding, given to encoder and decoder; 0 for none. *_keep: share kept by dropout, in (0, 1].
        dropout_mask: a new recurrent mask each "step", or one a "sequence". kl_*: the KL term's weight goes from start
        to kl_weight by rate**step; kl_min is its floor (section 3.2). pen_positions: "sketch" counts the pen's loss
        up to the first end token, behind which the pen is "end" by definition; "all" runs the decoder on to N_max and
        counts it everywhere, as the original does. compute_dtype: of the operands of the matrix products; state and
        loss stay float32. log_sigma_min: no sigma of the mixture is below exp of this, -20 to 0; -9 keeps repeated
        offsets from making an endless spike in training, models of others were trained without.

        Raises:
          UserError: a value outside its range, or options that contradict each other; names the field.
        """
        for field, name, valid in (
            ("encoder_cell", encoder_cell, tuple(CELLS)),
            ("decoder_cell", decoder_cell, tuple(CELLS)),
            ("dropout_mask", dropout_mask, ("step", "sequence")),
            ("pen_positions", pen_positions, ("sketch", "all")),
            ("compute_dtype", compute_dtype, tuple(DTYPES)),
        ):
            if name not in valid:
                raise UserError(f"config.model.{field}={name!r} is unknown: {nearest(name, valid)}")
        for field, keep in (
            ("recurrent_keep", recurrent_keep),
            ("input_keep", input_keep),
            ("output_keep", output_keep),
        ):
            if not 0 < keep <= 1:
                raise UserError(f"config.model.{field}={keep}: expected a share to keep, above 0 and at most 1")
        for field, size in (
            ("encoder_size", encoder_size),
            ("decoder_size", decoder_size),
            ("latent_size", latent_size),
            ("mixtures", mixtures),
        ):
            if size < 1:
                raise UserError(f"config.model.{field}={size}: expected at least 1")
        for field, share in (
            ("kl_weight_rate", kl_weight_rate),
            ("kl_weight", kl_weight),
            ("kl_weight_start", kl_weight_start),
            ("kl_min", kl_min),
        ):
            if not 0 <= share < math.inf or (field == "kl_weight_rate" and share > 1):
                raise UserError(f"config.model.{field}={share}: expected 0 or more" + ", at most 1" * ("rate" in field))
        if not -20 <= log_sigma_min <= 0:
            raise UserError(f"config.model.log_sigma_min={log_sigma_min}: expected -20 to 0")
        if label_size < 0:
            raise UserError(f"config.model.label_size={label_size}: expected 0 (no labels) or more")
        if label_size and len(codec.labels) < 2:
            raise UserError(
                f"config.model.label_size={label_size}, but the data has {len(codec.labels)} class: "
                "labels need at least two; set config.model.label_size=0"
            )
        self.codec = codec
        self.conditional, self.latent_size = conditional, latent_size if conditional else 0
        self.label_size, self.mixtures, self.log_sigma_min = label_size, mixtures, log_sigma_min
        self.has_latent, self.conditions = conditional, ("label",) if label_size else ()
        self.input_keep, self.output_keep, self.dropout_mask = input_keep, output_keep, dropout_mask
        self.kl_weight, self.kl_min, self.pen_positions = kl_weight, kl_min, pen_positions
        self.kl_weight_at = anneal(kl_weight_start, kl_weight, kl_weight_rate)
        cell: dict[str, Any] = {"keep": recurrent_keep, "dtype": DTYPES[compute_dtype], "rngs": rngs}
        if conditional:
            make = CELLS[encoder_cell]
            self.forward = make(STROKE5, encoder_size, constants=label_size, **cell)
            self.backward = make(STROKE5, encoder_size, constants=label_size, **cell)
            tiny = initializers.gaussian(0.001)
            self.mean = nnx.Linear(2 * encoder_size, latent_size, kernel_init=tiny, rngs=rngs)
            self.log_var = nnx.Linear(2 * encoder_size, latent_size, kernel_init=tiny, rngs=rngs)
        constants = self.latent_size + label_size
        self.decoder = CELLS[decoder_cell](STROKE5, decoder_size, constants=constants, **cell)
        if conditional:
            self.to_state = nnx.Linear(latent_size, sum(self.decoder.state_sizes), kernel_init=tiny, rngs=rngs)
        self.output = nnx.Linear(decoder_size, 3 + 6 * mixtures, kernel_init=initializers.glorot, rngs=rngs)
        if label_size:
            self.label = nnx.Param(initializers.gaussian(0.1)(rngs.params(), (len(codec.labels), label_size)))

    def __call__(self, batch: Batch, *, keys: jax.Array, step: jax.Array | int, train: bool) -> Metrics:
        """Losses of section 3.2 as (total [B], weight [B]) pairs, in nats; "loss" is the objective.

        In training: loss = L_R_sketch (L_R, with pen_positions="all") + kl_weight(step) * max(L_KL, kl_min). In
        evaluation: no dropout, z drawn as in training, the final kl_weight, and no floor, which is no ratio of sums.

        Offsets are in units of the codec's scale, and their likelihood is a density, so all but pen, KL and accuracy
        may be negative. Lower is better. In the data's units each point costs 2 ln(scale) more.

        L_s: negative log-likelihood of the offsets of all points / N_max. L_p: of the pen over all N_max positions /
        N_max, the paper's sum; behind the end it is 0 by definition, or what the decoder says (pen_positions="all").
        L_p_sketch: of the pen up to the first end token / N_max, which is L_p but for sketches of N_max points, whose
        end token the paper's sum leaves out, and for what pen_positions="all" adds. L_p_run_on, in evaluation: the
        paper's sum with the decoder running on behind the end, whatever it was trained for: as the original measures,
        and of use for pen_positions="all" alone, since otherwise nothing taught the decoder what follows an end.
        L_R = L_s + L_p; L_R_sketch = L_s + L_p_sketch; L_R_run_on = L_s + L_p_run_on. L_KL: mean over the dimensions of
        z; KL_nats: their sum. nats_per_point: of offset and pen, a mean over the positions up to the first end token.
        pen_accuracy: share of those positions whose pen state is the likeliest one, 0 to 1. N_max: the longest sketch
        of the data set.

        In evaluation also nats_per_sketch: the sum over the same positions, N_max * L_R_sketch, which depends on no
        padding; negative_elbo = nats_per_sketch + KL_nats, an upper bound of -ln p(sketch), and that itself for a
        decoder alone: the number to compare models with and without z by; and scale.
        """
        keys = jax.vmap(lambda key: jax.random.split(key, 4))(keys)
        real, length = batch["real"], batch["length"]
        n_max = self.codec.n_max
        # A sketch that has ended stays so: the sampler stops there, and the pen costs nothing behind the end. The
        # original learns that from its padding; to train like it, or to measure like it, the decoder runs on to N_max.
        everywhere = self.pen_positions == "all"
        rows = self._rows(batch["strokes"], length, n_max if everywhere or not train else None)
        z = None
        if self.conditional:
            mean, log_var = self._posterior(batch, keys[:, 0] if train else None)
            z = latent.draw(keys[:, 1], mean, log_var)
        read = None if everywhere or not train else length.max() + 1
        outputs = self._teacher_forced(rows, z, batch, keys[:, 2:] if train else None, read)
        offsets, pen, right = self._nats(outputs, rows, length)

        position = jnp.arange(pen.shape[0])[:, None]
        to_end = position <= length[None]
        counted = jnp.broadcast_to(position < n_max, pen.shape) if everywhere else to_end & (position < n_max)
        metrics = {
            "L_s": offsets.sum(0) / n_max,
            "L_p": jnp.where(counted, pen, 0).sum(0) / n_max,
            "L_p_sketch": jnp.where(to_end, pen, 0).sum(0) / n_max,
        }
        metrics["L_R"] = metrics["L_s"] + metrics["L_p"]
        metrics["L_R_sketch"] = metrics["L_s"] + metrics["L_p_sketch"]
        if not train:
            metrics["L_p_run_on"] = jnp.where(position < n_max, pen, 0).sum(0) / n_max
            metrics["L_R_run_on"] = metrics["L_s"] + metrics["L_p_run_on"]
            metrics["nats_per_sketch"] = metrics["L_R_sketch"] * n_max
            metrics["scale"] = jnp.full(real.shape, self.codec.scale)
        loss = metrics["L_R" if everywhere else "L_R_sketch"]
        if self.conditional:
            metrics["KL_nats"] = latent.kl_nats(mean, log_var).sum(axis=1)
            metrics["L_KL"] = metrics["KL_nats"] / self.latent_size
            if train:
                above = jax.lax.stop_gradient(batch_mean(metrics["L_KL"], real)) > self.kl_min
                weight = self.kl_weight_at(step)
                loss = loss + weight * jnp.where(above, metrics["L_KL"], self.kl_min)
                metrics["kl_weight"] = jnp.broadcast_to(weight, real.shape)
            else:
                loss = loss + self.kl_weight * metrics["L_KL"]
        if not train:
            metrics["negative_elbo"] = metrics["nats_per_sketch"] + metrics.get("KL_nats", 0.0)
        metrics["loss"] = loss
        metrics["N_max"] = jnp.full(real.shape, float(n_max))
        pairs = {name: (value * real, real) for name, value in metrics.items()}
        positions = (length + 1) * real
        pairs["nats_per_point"] = (metrics["L_R_sketch"] * n_max * real, positions)
        pairs["pen_accuracy"] = (jnp.where(to_end, right, False).sum(0) * real, positions)
        return pairs

    def posterior(self, batch: Batch) -> tuple[jax.Array, jax.Array]:
        """Mean and log variance of z, each [B, latent_size]."""
        return self._posterior(batch, None)

    def score(self, batch: Batch, carry: Any = None) -> tuple[dict[str, jax.Array], Any]:
        """Nats of each position, {"offset": [B, T], "pen": [B, T]}, and what the next chunk of the sketches needs.

        z is the posterior mean of the first chunk. A chunk's length says how many points are left from its start on:
        position `length` is the end token, if the chunk reaches it, and what lies behind it scores 0.
        """
        length = batch["length"]
        rows = self._rows(batch["strokes"], length, None)
        points = batch["strokes"].shape[1]
        if carry is None:
            # The end of the sketch may lie behind this chunk.
            read = batch | {"length": jnp.clip(length, 0, points)}
            z = self._posterior(read, None)[0] if self.conditional else None
            constants = self._constants(z, batch)
            carry = (self._first_state(z, length.shape[0]), constants, rows[0])
        state, constants, before = carry
        outputs, state = self.decoder(jnp.concatenate([before[None], rows[1:points]]), state, constants)
        rows = rows[: points + 1]
        offsets, pen, _ = self._nats(self.output(outputs), rows, length)
        position = jnp.arange(points)[:, None]
        pen = jnp.where(position <= length[None], pen, 0)
        return {"offset": offsets.T, "pen": pen.T}, (state, constants, rows[points])

    def sample(
        self,
        keys: jax.Array,
        *,
        temperature: jax.Array | float = 1.0,
        z: jax.Array | None = None,
        prime: Batch | None = None,
        condition: Batch | None = None,
        max_length: int | None = None,
    ) -> dict[str, jax.Array]:
        """Draws n sketches, many at once, and stops as soon as the last of them has ended (section 3.3).

        Args:
          keys: [n]; each sketch depends on its own key only.
          temperature: >= 0, a scalar or [n]: logits are divided by it, the variance of offsets multiplied by it; 0 is
            greedy. (The original's Python sampler multiplies the variance by T^2, its browser one softens T for pi and
            the pen; this is the paper's.)
          z: [n, latent_size], or None to draw from the prior N(0, 1).
          prime: strokes [n, P, 3] and length [n], the beginnings to continue, kept exactly.
          condition: {"label": [n] int32} where the model has labels.
          max_length: points at most (default N_max, or half of it beyond a long beginning).

        Returns:
          strokes [n, max_length, 3] float32; length [n] int32; ended [n] bool, False where max_length cut it off.
        """
        n, steps = keys.shape[0], max_length
        if steps is None:
            # A beginning that is long already is given room to end.
            begun = 0 if prime is None else prime["strokes"].shape[1]
            steps = max(self.codec.n_max, begun + self.codec.n_max // 2)
        if self.conditional and z is None:
            z = jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, 2**31), (self.latent_size,)))(keys)
        batch = condition or {}
        if prime is None:
            prime = {"strokes": jnp.zeros((n, 0, 3)), "length": jnp.zeros(n, jnp.int32)}
        constants = self._constants(z, batch)
        # One row serves all where sketches have nothing of their own.
        shift = self.decoder.shift(constants, 1 if constants is None else n)
        state = self._first_state(z, 1 if z is None else n)

        def advance(state: State, rows: jax.Array, shift: Any) -> tuple[State, jax.Array, mixture_density.Mixture]:
            state, h = self.decoder.step(state, rows, shift)
            return state, *self._split(self.output(h))

        temperature = jnp.broadcast_to(jnp.asarray(temperature, jnp.float32), (n,))
        return unroll(advance, state, shift, keys, temperature, prime, steps)

    def _rows(self, strokes: jax.Array, length: jax.Array, total: int | None) -> jax.Array:
        """Stroke-5 rows, time first, [P + 2, B, 5]: start token, points, end tokens; P = total or T."""
        batch, points, _ = strokes.shape
        total = max(total or 0, points)
        strokes = jnp.pad(strokes, ((0, 0), (0, total + 1 - points), (0, 0)))
        ended = (jnp.arange(total + 1)[None] >= length[:, None])[..., None].astype(jnp.float32)
        lifted = strokes[..., 2:]
        rows = jnp.concatenate([strokes[..., :2], 1 - lifted, lifted, jnp.zeros_like(lifted)], axis=2) * (1 - ended)
        rows = rows + ended * jnp.array([[[0.0, 0.0, 0.0, 0.0, 1.0]]])
        start = jnp.tile(jnp.array([[[0.0, 0.0, 1.0, 0.0, 0.0]]]), (batch, 1, 1))
        return jnp.concatenate([start, rows], axis=1).swapaxes(0, 1)

    def _label(self, batch: Batch) -> jax.Array | None:
        return self.label[...][batch["label"]] if self.label_size else None

    def _constants(self, z: jax.Array | None, batch: Batch) -> jax.Array | None:
        """What the decoder reads at every step beside the last point."""
        parts = [part for part in (z, self._label(batch)) if part is not None]
        return jnp.concatenate(parts, axis=1) if parts else None

    def _first_state(self, z: jax.Array | None, batch: int) -> State:
        return initial_state(self.decoder, batch, None if z is None else jnp.tanh(self.to_state(z)))

    def _posterior(self, batch: Batch, keys: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        """Reads the points without start or end token; keys [B] for recurrent dropout, or None."""
        length = batch["length"]
        rows = self._rows(batch["strokes"], length, None)[1:-1]
        steps, size = rows.shape[:2]
        index = jnp.arange(steps)[:, None]
        reverse = jnp.where(index < length[None], length[None] - 1 - index, index)
        backward = jnp.take_along_axis(rows, reverse[..., None], axis=0)
        label, last = self._label(batch), jnp.maximum(length - 1, 0)[None, :, None]
        finals = []
        for number, (cell, xs) in enumerate(((self.forward, rows), (self.backward, backward))):
            kept = self._kept(cell, None if keys is None else _fold(keys, number), steps)
            outputs, _ = cell(xs, initial_state(cell, size), label, kept, length.max())
            # What a cell says behind the last point is never read, so padding needs no mask.
            finals.append(jnp.take_along_axis(outputs, last, axis=0)[0])
        final = jnp.concatenate(finals, axis=1)
        return self.mean(final), self.log_var(final)

    def _kept(self, cell: Cell, keys: jax.Array | None, steps: int) -> jax.Array | None:
        """The recurrent dropout mask [steps or 1, B, units], or None."""
        if keys is None or cell.keep == 1.0:
            return None
        if self.dropout_mask == "step":
            return dropout.masks(keys, cell.keep, steps, cell.units)
        return dropout.masks(keys, cell.keep, 1, cell.units)

    def _teacher_forced(
        self, rows: jax.Array, z: jax.Array | None, batch: Batch, keys: jax.Array | None, read: jax.Array | None = None
    ) -> jax.Array:
        """Outputs [P + 1, B, 3 + 6 M] for rows [P + 2, B, 5]; keys [B, 2] for dropout, or None.

        read: how many of them are of use, None for all.
        """
        xs, constants = rows[:-1], self._constants(z, batch)
        state = self._first_state(z, rows.shape[1])
        steps = xs.shape[0]
        kept = self._kept(self.decoder, None if keys is None else keys[:, 0], steps)
        if keys is not None and self.input_keep < 1:
            # Input dropout drops components of z too, anew at every step: then z is no constant.
            if constants is not None:
                xs = jnp.concatenate([xs, jnp.broadcast_to(constants, (steps, *constants.shape))], axis=2)
                constants = None
            keep = dropout.masks(_fold(keys[:, 1], 0), self.input_keep, steps, xs.shape[2])
            xs = jnp.where(keep, xs / self.input_keep, 0)
        hs, _ = self.decoder(xs, state, constants, kept, read)
        if keys is not None and self.output_keep < 1:
            keep = dropout.masks(_fold(keys[:, 1], 1), self.output_keep, steps, hs.shape[2])
            hs = jnp.where(keep, hs / self.output_keep, 0)
        return self.output(hs)

    def _split(self, outputs: jax.Array) -> tuple[jax.Array, mixture_density.Mixture]:
        """Pen logits [..., 3] (down, up, end) and the mixture of the next offset."""
        return outputs[..., :3], mixture_density.from_outputs(outputs[..., 3:], self.log_sigma_min)

    def _nats(self, outputs: jax.Array, rows: jax.Array, length: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """For each position [P, B]: offset nats (0 behind the last point), pen nats, and whether the pen is right."""
        pen_logits, mixture = self._split(outputs)
        target = rows[1:]
        density = mixture_density.log_density(mixture, target[..., 0], target[..., 1])
        offsets = jnp.where(jnp.arange(target.shape[0])[:, None] < length[None], -density, 0)
        pen = -jnp.sum(target[..., 2:] * jax.nn.log_softmax(pen_logits), axis=-1)
        return offsets, pen, pen_logits.argmax(-1) == target[..., 2:].argmax(-1)


def _fold(keys: jax.Array, number: int) -> jax.Array:
    return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)
