"""The network: an encoder, a latent vector, and a flat or hierarchical decoder (Roberts et al. 2018).

Inside, time comes first. A decoder reads at each step the event before, and zeros at first.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from magenta_lite.errors import UserError, nearest
from magenta_lite.models.music_vae import outputs
from magenta_lite.models.music_vae.codec import Codec
from magenta_lite.models.music_vae.decoder import Decoder, Draws, FlatDecoder, shifted
from magenta_lite.models.music_vae.encoder import Bidirectional, Hierarchical
from magenta_lite.models.music_vae.hierarchy import CONDUCTOR_INPUTS, Conductors, HierarchicalDecoder
from magenta_lite.models.music_vae.reading import CHORDS, Dense, OneHot, Part, reading, told
from magenta_lite.nn import initializers, latent
from magenta_lite.nn.schedules import SAMPLING, anneal

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
SHAPES = ("flat", "hierarchical")

Batch = dict[str, jax.Array]
Metrics = dict[str, tuple[jax.Array, jax.Array]]


class Model(nnx.Module):
    """MusicVAE. A batch holds what the codec's kind makes of T steps, and `real` [B]:

    tokens int32 [B, T, S], a class of each stream (melody, drums, trio); roll uint8 [B, T, K], hits (drum_roll); groove
    and given float32 [B, T, 27], what is wanted and what the encoder is given (groove). And what the model is told:
    chord int32 [B, T], or hits float32 [B, T, 9].
    """

    def __init__(
        self,
        codec: Codec,
        *,
        rngs: nnx.Rngs,
        encoder: str = "flat",
        decoder: str = "flat",
        levels: Sequence[int] = (),
        conductor_input: str = "none",
        latent_size: int = 32,
        encoder_layers: Sequence[int] = (256,),
        decoder_layers: Sequence[int] = (512,),
        nade_hidden: int = 128,
        encoder_residual: bool = False,
        decoder_residual: bool = False,
        keep: float = 1.0,
        free_bits: float = 0.0,
        beta: float = 1.0,
        beta_rate: float = 0.0,
        sampling_schedule: str = "constant",
        sampling_rate: float = 0.0,
        compute_dtype: str = "float32",
    ):
        """Options, with the original's defaults.

        encoder, decoder: flat or hierarchical. levels: lengths of the hierarchy, the longest parts first, whose product
        is the number of steps (default: bars, steps of a bar; or parts, bars of a part, steps). conductor_input: what
        conductors read, see hierarchy.py. *_layers: units, of an encoder's in each direction. nade_hidden: units of the
        NADE, for drum rolls. *_residual: what a layer reads is added to what it gives. keep: share of every layer's
        inputs kept by dropout, in (0, 1]. free_bits: of a slice's KL that cost nothing. beta: weight of the KL beyond
        them, which grows from 0 as 1 - beta_rate**step. sampling_schedule, sampling_rate: of scheduled sampling, see
        nn.schedules. compute_dtype: of the operands of the matrix products; state and loss stay float32.

        Raises:
          UserError: a value outside its range, or options that contradict each other; names the field.
        """
        for field, name, valid in (
            ("encoder", encoder, SHAPES),
            ("decoder", decoder, SHAPES),
            ("conductor_input", conductor_input, CONDUCTOR_INPUTS),
            ("sampling_schedule", sampling_schedule, tuple(SAMPLING)),
            ("compute_dtype", compute_dtype, tuple(DTYPES)),
        ):
            if name not in valid:
                raise UserError(f"config.model.{field}={name!r} is unknown: {nearest(name, valid)}")
        levels = tuple(levels) or (codec.bars, codec.steps_per_bar)
        for field, good, expected in (
            ("levels", min(levels) > 0 and math.prod(levels) == codec.steps, f"a product of {codec.steps} steps"),
            ("levels", len(levels) > 1, "at least two, such as bars and the steps of a bar"),
            ("latent_size", latent_size >= 1, "at least 1"),
            ("encoder_layers", encoder_layers and min(encoder_layers) >= 1, "at least one layer of at least one unit"),
            ("decoder_layers", decoder_layers and min(decoder_layers) >= 1, "at least one layer of at least one unit"),
            ("nade_hidden", nade_hidden >= 1, "at least 1"),
            ("keep", 0 < keep <= 1, "a share to keep, above 0 and at most 1"),
            ("free_bits", 0 <= free_bits < math.inf, "0 or more"),
            ("beta", 0 <= beta < math.inf, "0 or more"),
            ("beta_rate", 0 <= beta_rate < 1, "0 or more, below 1"),
        ):
            if not good:
                raise UserError(f"config.model.{field}={locals()[field]}: expected {expected}")
        if conductor_input != "none" and (decoder == "flat" or keep < 1):
            raise UserError(
                f"config.model.conductor_input={conductor_input}: expected decoder=hierarchical, and keep=1.0"
            )
        if conductor_input == "reencoded" and (encoder == "flat" or codec.controls or codec.kind not in _REENCODABLE):
            raise UserError(
                "config.model.conductor_input=reencoded: expected encoder=hierarchical, and a kind of "
                f"{', '.join(_REENCODABLE)} without chords or hits to be told"
            )
        self.codec, self.latent_size, self.has_latent = codec, latent_size, True
        self.conditions: tuple[str, ...] = (codec.controls,) if codec.controls else ()
        self.keep, self.free_nats, self.beta = keep, free_bits * math.log(2), beta
        self.beta_at = anneal(0.0, beta, beta_rate)
        self.samples_inputs = not (sampling_schedule == "constant" and sampling_rate == 0)
        self.share_at = SAMPLING[sampling_schedule](sampling_rate)
        self.dtype = DTYPES[compute_dtype]
        controls = {"": 0, "chord": CHORDS, "hits": 9}[codec.controls]
        made = _outputs(codec, nade_hidden, split=decoder == "hierarchical", rngs=rngs)
        common: dict[str, Any] = {"keep": keep, "dtype": self.dtype, "rngs": rngs}
        heard: dict[str, Any] = {"residual": encoder_residual, **common}
        inputs = codec.input_size + controls
        if encoder == "flat":
            self.encoder: Bidirectional | Hierarchical = Bidirectional(inputs, encoder_layers, **heard)
        else:
            self.encoder = Hierarchical(inputs, encoder_layers, levels[::-1], **heard)
        tiny = initializers.gaussian(0.001)
        self.mean = nnx.Linear(self.encoder.size, latent_size, kernel_init=tiny, rngs=rngs)
        self.deviation = nnx.Linear(self.encoder.size, latent_size, kernel_init=tiny, rngs=rngs)
        played: dict[str, Any] = {"residual": decoder_residual, **common}
        embedding = latent_size if decoder == "flat" else decoder_layers[-1]
        cores = [Decoder(output, embedding, controls, decoder_layers, **played) for output in made]
        if decoder == "flat":
            self.decoder: FlatDecoder | HierarchicalDecoder = FlatDecoder(cores[0])
        else:
            again = self.encoder if isinstance(self.encoder, Hierarchical) else None
            conductors = Conductors(latent_size, levels[:-1], decoder_layers, conductor_input, cores, again, **played)
            self.decoder = HierarchicalDecoder(conductors, cores, levels[-1])

    def __call__(self, batch: Batch, *, keys: jax.Array, step: jax.Array | int, train: bool) -> Metrics:
        """Losses as (total [B], weight [B]) pairs; every one is a mean over slices unless it says otherwise.

        loss: reconstruction_nats + beta * max(KL_nats - free_bits * ln 2, 0), what training minimises. In evaluation
        with the final beta, z drawn as in training, and teacher forcing, whatever the schedule says.
        reconstruction_nats: cross-entropy of all steps and streams of a slice, in nats; nats_STREAM: of one stream
        (of a groove also squared errors of velocities and offsets, which stand beside nats in its loss). KL_nats,
        KL_bits: of the posterior from N(0, 1), the whole slice's. elbo_nats: reconstruction_nats + KL_nats, with z
        drawn once: an upper bound of -ln p(slice), but for grooves.
        accuracy: share of steps, 0 to 1, whose class is the likeliest one (drum rolls: whose drums all are; grooves:
        of hits and rests of each drum), the mean over the streams; accuracy_STREAM of one. Inputs are those of the
        loss: in training drawn ones, as the schedule says. error_velocities, error_offsets: mean absolute errors where
        there is a hit, of 1 and of half a step. beta, sampling: the weight of KL, and the share of inputs drawn.
        """
        keys = jax.vmap(lambda key: jax.random.split(key, 4))(keys)
        real = batch["real"]
        mean, log_var = self._posterior(batch, keys[:, 0] if train else None)
        z = latent.draw(keys[:, 1], mean, log_var)
        events, controls = self.events(batch), self.controls(batch)
        before = shifted(self.decoder.cores, events)
        share = self.share_at(step)
        if train and self.samples_inputs:
            before = self._scheduled(events, z, controls, keys[:, 2], share)
        made = self.decoder.teacher_forced(before, z, controls, keys[:, 3] if train else None, self.reencoder)
        metrics: Metrics = {}
        total, right, out_of = jnp.zeros_like(real), jnp.zeros_like(real), jnp.zeros_like(real)
        for core, output, own in zip(self.decoder.cores, made, events, strict=True):
            nats = core.output.nats(output, own).sum(0)
            hits, count = (part.sum(0) for part in core.output.right(output, own))
            for column, kind in enumerate(core.output.kinds):
                metrics[f"nats_{kind}"] = (nats[:, column] * real, real)
                wrong = kind in outputs.ERRORS
                name = f"{'error' if wrong else 'accuracy'}_{kind}"
                metrics[name] = (hits[:, column] * real, count[:, column] * real)
                if not wrong:
                    right, out_of = right + hits[:, column], out_of + count[:, column]
            total = total + nats.sum(1)
        kl = latent.kl_nats(mean, log_var).sum(1)
        beta = self.beta_at(step) if train else jnp.float32(self.beta)
        values = {
            "loss": total + beta * jnp.maximum(kl - self.free_nats, 0),
            "reconstruction_nats": total,
            "KL_nats": kl,
            "KL_bits": kl / math.log(2),
            "elbo_nats": total + kl,
        }
        if train:
            values |= {"beta": jnp.broadcast_to(beta, real.shape), "sampling": jnp.broadcast_to(share, real.shape)}
        metrics |= {name: (value * real, real) for name, value in values.items()}
        metrics["accuracy"] = (right * real, out_of * real)
        return metrics

    def posterior(self, batch: Batch) -> tuple[jax.Array, jax.Array]:
        """Mean and log variance of z, each [B, latent_size]."""
        return self._posterior(batch, None)

    def score(self, batch: Batch, carry: None = None) -> tuple[dict[str, jax.Array], None]:
        """Nats of each step, {"nats": [B, T]}, teacher-forced, z being the posterior mean.

        Slices are scored whole: there is nothing to carry.
        """
        steps = self.codec.steps
        if carry is not None or next(iter(batch[name] for name in _TIMED if name in batch)).shape[1] < steps:
            raise ValueError(f"slices of {steps} steps are scored whole")
        z, _ = self.posterior(batch)
        events = self.events(batch)
        made = self.decoder.teacher_forced(
            shifted(self.decoder.cores, events), z, self.controls(batch), None, self.reencoder
        )
        nats = [
            core.output.nats(output, own).sum(-1)
            for core, output, own in zip(self.decoder.cores, made, events, strict=True)
        ]
        return {"nats": jnp.stack(nats).sum(0).T}, None

    def sample(
        self,
        keys: jax.Array,
        *,
        temperature: jax.Array | float = 1.0,
        z: jax.Array | None = None,
        prime: None = None,
        condition: Batch | None = None,
        max_length: None = None,
    ) -> dict[str, jax.Array]:
        """Draws n slices in one program.

        Args:
          keys: [n]; each slice depends on its own key and inputs only.
          temperature: >= 0, a scalar or [n]; logits are divided by it, 0 takes the likeliest.
          z: [n, latent_size], or None to draw from the prior N(0, 1).
          condition: chord int32 [n, T] or hits float32 [n, T, 9], where the model is told of them.

        Returns:
          tokens int32 [n, T, S], roll uint8 [n, T, K] or groove float32 [n, T, 27]; what was told; length int32 [n].

        Raises:
          UserError: prime is given. Slices are of one length, and z describes the whole.
        """
        if prime is not None or max_length is not None:
            raise UserError(CONTINUES_NOT)
        n, steps = keys.shape[0], self.codec.steps
        if z is None:
            z = jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, 2**31), (self.latent_size,)))(keys)
        draws = Draws(keys, jnp.broadcast_to(jnp.asarray(temperature, jnp.float32), (n,)))
        controls = self.controls(condition or {})
        drawn = self.decoder.draw(z, controls, steps, draws, self.reencoder)
        events = jnp.concatenate(drawn, axis=-1).swapaxes(0, 1)
        name = self.codec.arrays
        made = {name: events.astype(jnp.uint8) if name == "roll" else events, "length": jnp.full(n, steps, jnp.int32)}
        for told_of in self.conditions:
            made[told_of] = (condition or {})[told_of][:, :steps]
        return made

    def events(self, batch: Batch) -> list[jax.Array]:
        """The events of each core, [T, B, ...]."""
        events = _time_first(batch[self.codec.arrays], self.codec.steps)
        if events.dtype == jnp.uint8:
            events = events.astype(jnp.float32)
        if len(self.decoder.cores) == 1:
            return [events]
        return [events[..., stream : stream + 1] for stream in range(events.shape[-1])]

    def controls(self, batch: Batch) -> jax.Array | None:
        """Chords [T, B, 1] or hits [T, B, 9]."""
        if not self.conditions:
            return None
        controls = _time_first(batch[self.codec.controls], self.codec.steps)
        return controls[..., None] if self.codec.controls == "chord" else controls

    @property
    def reencoder(self) -> Hierarchical | None:
        """The encoder whose levels conductors may read, where it is hierarchical."""
        return self.encoder if isinstance(self.encoder, Hierarchical) else None

    def _posterior(self, batch: Batch, keys: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        parts = self._given(batch)
        steps, size = self.codec.steps, batch[self.codec.arrays].shape[0]
        if isinstance(self.encoder, Hierarchical):
            x = jnp.concatenate([part.dense() for part in parts], axis=-1)
            said = self.encoder(x, keys)
        else:
            turned = [_backwards(part) for part in parts]
            said = self.encoder(reading(self.dtype, parts), reading(self.dtype, turned), steps, size, keys)
        # softplus(a) goes to exp(a), whose logarithm must not be that of 0.
        log_deviation = jnp.log(jnp.maximum(jax.nn.softplus(self.deviation(said)), 1e-30))
        return self.mean(said), 2 * log_deviation

    def _scheduled(
        self, events: list[jax.Array], z: jax.Array, controls: jax.Array | None, keys: jax.Array, share: jax.Array
    ) -> list[jax.Array]:
        """What is read before each event: with probability `share` what the model itself drew.

        A drawn class has no gradient, so drawing comes first, without one and without dropout, and the loss is that of
        teacher forcing. (Of a groove, the original's gradient flows through drawn velocities and offsets; it samples
        none in training.)
        """
        frozen, again = _frozen(self.decoder), None if self.reencoder is None else _frozen(self.reencoder)
        draws = Draws(keys, jnp.ones(z.shape[0]), share=share)
        read = frozen.scheduled(events, jax.lax.stop_gradient(z), controls, draws, again)
        return [jax.lax.stop_gradient(own) for own in read]

    def _given(self, batch: Batch) -> list[Part]:
        """What the encoder reads, [T, B, ...]."""
        codec, steps = self.codec, self.codec.steps
        controls = self.controls(batch)
        if codec.kind == "groove":
            return [Dense(_time_first(batch["given"], steps)), *told(controls)]
        events = _time_first(batch[codec.arrays], steps)
        if codec.kind in ("melody", "trio"):
            return [OneHot(events, codec.classes), *told(controls)]
        roll = events.astype(jnp.float32)
        if codec.kind == "drums":
            bits = jnp.arange(codec.input_size - 1).reshape(1, 1, -1)
            roll = ((events >> bits) & 1).astype(jnp.float32)
        empty = (roll.sum(-1, keepdims=True) == 0).astype(jnp.float32)
        return [Dense(jnp.concatenate([roll, empty], axis=-1)), *told(controls)]


CONTINUES_NOT = (
    "MusicVAE continues nothing: its latent vector describes a whole slice of fixed length, so there is no beginning "
    "to keep; reconstruct or interpolate it, or use a Performance RNN to continue"
)

_REENCODABLE = ("melody", "trio")
_TIMED = ("tokens", "roll", "groove")


def _outputs(codec: Codec, nade_hidden: int, split: bool, rngs: nnx.Rngs) -> list[outputs.Categorical | Any]:
    """The output of each core: one for each stream where they are split."""
    if codec.kind == "groove":
        return [outputs.Groove(codec.input_size // 3)]
    if codec.kind == "drum_roll":
        return [outputs.Nade(codec.drum_classes, nade_hidden, codec.streams, rngs=rngs)]
    if not split:
        return [outputs.Categorical(codec.classes, codec.streams)]
    return [outputs.Categorical((size,), (name,)) for size, name in zip(codec.classes, codec.streams, strict=True)]


def _frozen(module: Any) -> Any:
    """The module, through whose weights no gradient flows."""
    graph, state = nnx.split(module)
    return nnx.merge(graph, jax.lax.stop_gradient(state))


def _time_first(array: jax.Array, steps: int) -> jax.Array:
    """[B, >= T, ...] -> [T, B, ...]; what is behind T is padding."""
    return array[:, :steps].swapaxes(0, 1)


def _backwards(part: Part) -> Part:
    return OneHot(part.numbers[::-1], part.sizes) if isinstance(part, OneHot) else Dense(part.x[::-1])  # type: ignore[attr-defined]
