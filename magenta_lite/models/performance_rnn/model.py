"""The network: LSTM layers over event numbers, and a categorical distribution of the next event.

Inside, time comes first. Position t reads event t, and what is told of event t + 1, and predicts event t + 1: the first
event of a piece or crop is only read, as in the original.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from magenta_lite.errors import UserError, nearest
from magenta_lite.models.performance_rnn import beam, controls, decoding, events
from magenta_lite.models.performance_rnn.codec import Codec
from magenta_lite.models.performance_rnn.layers import AttentionLayer, LayerState
from magenta_lite.models.performance_rnn.vocabulary import NOTE_ON, EventVocabulary, NoteVocabulary, features
from magenta_lite.nn import dropout, initializers
from magenta_lite.nn.driven_lstm import DrivenLSTM
from magenta_lite.nn.lstm import product

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
INPUTS = ("one_hot", "modulo")

Batch = dict[str, jax.Array]
Metrics = dict[str, tuple[jax.Array, jax.Array]]
State = tuple[LayerState, ...]


class Model(nnx.Module):
    """Performance RNN (Simon & Oore 2017; Oore et al. 2018).

    A batch holds tokens [B, T, F] int32 and, where the codec has controls, density [B, T] int32, histogram [B, T, 12]
    float32, told [B] float32; and what the pipeline adds: length [B] int32 (events), real [B] float32.
    """

    has_latent = False

    def __init__(
        self,
        codec: Codec,
        *,
        rngs: nnx.Rngs,
        layers: tuple[int, ...] = (512, 512, 512),
        inputs: str = "one_hot",
        keep: float = 1.0,
        residual: bool = False,
        attention: int = 0,
        compute_dtype: str = "float32",
    ):
        """Options, with the original's defaults.

        layers: units of each. inputs: events are read as "one_hot" or "modulo" (points on circles). keep: share of each
        layer's outputs that dropout keeps, in (0, 1]. residual: each layer adds its output to its input. attention: the
        first layer attends to so many of its last outputs, 0 for none. compute_dtype: of the operands of the matrix
        products; state and loss stay float32.

        Raises:
          UserError: a value outside its range, or options that contradict each other; names the field.
        """
        for field, name, valid in (("inputs", inputs, INPUTS), ("compute_dtype", compute_dtype, tuple(DTYPES))):
            if name not in valid:
                raise UserError(f"config.model.{field}={name!r} is unknown: {nearest(name, valid)}")
        if not layers or min(layers) < 1:
            raise UserError(f"config.model.layers={layers}: expected at least one layer of at least one unit")
        if not 0 < keep <= 1:
            raise UserError(f"config.model.keep={keep}: expected a share to keep, above 0 and at most 1")
        if attention < 0:
            raise UserError(f"config.model.attention={attention}: expected 0 (none) or more")
        if residual and len(set(layers)) > 1:
            raise UserError(f"config.model.residual=True adds inputs to outputs: layers={layers} must be of one size")
        vocabulary = codec.vocabulary
        if inputs == "modulo" and isinstance(vocabulary, NoteVocabulary):
            raise UserError("config.model.inputs=modulo is for config.codec.encoding=events")
        self.codec, self.vocabulary, self.inputs = codec, vocabulary, inputs
        self.keep, self.residual, self.dtype = keep, residual, DTYPES[compute_dtype]
        names = {controls.DENSITY: "density", controls.HISTOGRAM: "histogram"}
        told = tuple(names[name] for name in controls.CONTROLS if name in codec.controls)
        self.conditions = ("told", *told) if codec.optional_controls else told
        widths = {"told": 1, "density": len(controls.DENSITY_EDGES) + 1, "histogram": controls.CLASSES}
        self.control_size = sum(widths[name] for name in self.conditions)
        event_size = features(vocabulary).shape[1] if inputs == "modulo" else sum(vocabulary.fields)  # type: ignore[arg-type]
        size = self.control_size + event_size
        if residual:
            self.projection = nnx.Linear(size, layers[0], kernel_init=initializers.glorot, rngs=rngs)
            size = layers[0]
        stack: list[DrivenLSTM | AttentionLayer] = []
        for number, units in enumerate(layers):
            if attention and number == 0:
                stack.append(AttentionLayer(size, units, attention, dtype=self.dtype, rngs=rngs))
            else:
                stack.append(DrivenLSTM(size, units, dtype=self.dtype, rngs=rngs))
            size = units
        self.layers = nnx.List(stack)
        self.output = nnx.Linear(size, sum(vocabulary.fields), kernel_init=initializers.glorot, rngs=rngs)

    def __call__(self, batch: Batch, *, keys: jax.Array, step: jax.Array | int, train: bool) -> Metrics:
        """Cross-entropy of the next event, nats, and how often it is the likeliest, as (total [B], weight [B]) pairs.

        loss: nats an event, a mean over all events but the first of each crop or window; what training minimises.
        perplexity is its exponential. nats_per_note: the same sum over the number of note-ons among these events.
        nats_per_second: over the time they take; with a grid of 100 steps a second, the original's loss per step is a
        hundredth. accuracy: share of events that the model holds for the likeliest, 0 to 1; accuracy_note_on and
        others: of the events of one type. With encoding "notes" an event is a note, nats are summed over its six
        numbers, accuracy is the share of notes of which all six are right, and nats_FIELD, accuracy_FIELD are those
        of one number.
        """
        tokens = batch["tokens"].swapaxes(0, 1)
        told = {name: value[1:] for name, value in self._told(batch, len(tokens)).items()}
        logits, _ = self._run(
            tokens[:-1], told, self.first_state(tokens.shape[1]), keys if train and self.keep < 1 else None
        )
        nats, right = self._nats(logits, tokens[1:])
        scored = (jnp.arange(1, len(tokens))[:, None] < batch["length"][None]) * batch["real"][None]
        return self._metrics(tokens[1:], nats, right, scored)

    def score(self, batch: Batch, carry: Any = None) -> tuple[dict[str, jax.Array], Any]:
        """Nats of each event, {"nats": [B, T], "right": [B, T]}, and what the next chunk of the pieces needs.

        right: 1 where the event is the likeliest. The first event of a piece is only read, and scores 0; so does what
        lies behind `length`, which says how many events are left from a chunk's start on.
        """
        tokens = batch["tokens"].swapaxes(0, 1)
        told = self._told(batch, len(tokens))
        if carry is None:
            state, read, told = (
                self.first_state(tokens.shape[1]),
                tokens[:-1],
                {name: t[1:] for name, t in told.items()},
            )
        else:
            state, last = carry
            read = jnp.concatenate([last[None], tokens[:-1]])
        logits, state = self._run(read, told, state, None)
        skipped = len(tokens) - len(logits)
        nats, right = self._nats(logits, tokens[skipped:])
        scored = jnp.arange(skipped, len(tokens))[:, None] < batch["length"][None]
        parts = {"nats": jnp.where(scored, nats.sum(-1), 0), "right": jnp.where(scored, right.all(-1), False)}
        padded = {name: jnp.pad(value, ((skipped, 0), (0, 0))).T for name, value in parts.items()}
        return padded, (state, tokens[-1])

    def first_state(self, batch: int) -> State:
        """Zeros, for each layer."""
        return tuple(layer.first_state(batch) for layer in self.layers)

    def advance(self, state: State, tokens: jax.Array, told: Batch) -> tuple[State, jax.Array]:
        """The next state, and the logits [B, sum of fields] of the event that follows tokens [B, F].

        told: what is asked for at that event: density [B], histogram [B, 12], told [B], as the model's conditions say.
        """
        x, drive = self._read(tokens, told)
        after = []
        for number, layer in enumerate(self.layers):
            drive = drive if number == 0 else layer.drive(x)
            new, output = layer.step(state[number], drive)
            x = output + x if self.residual else output
            after.append(new)
        return tuple(after), self.output(x)

    def sample(
        self,
        keys: jax.Array,
        *,
        temperature: jax.Array | float = 1.0,
        z: None = None,
        prime: Batch | None = None,
        condition: Batch | None = None,
        max_length: int | None = None,
        steps: jax.Array | int | None = None,
        top_k: jax.Array | int = 0,
        top_p: jax.Array | float = 1.0,
        min_p: jax.Array | float = 0.0,
        beam_size: int = 1,
        branch_factor: int = 1,
        steps_per_iteration: int = 1,
    ) -> dict[str, jax.Array]:
        """Draws n performances in one program, until each has as many events, or as much time, as is wanted.

        Args:
          keys: [n]; each performance depends on its own key and inputs only.
          temperature, top_k, top_p, min_p: scalars or [n], see decoding.Choice; 0, 1.0, 0.0: off.
          prime: tokens [n, P, F] and length [n], beginnings that are kept exactly; and what was told of them. Where
            there is none, the vocabulary's first event is read, which does not belong to what comes out.
          condition: as Codec.condition gives it: density int32 [n, S], histogram [n, S, 12], told [n], as far as the
            model is told of them; each of S values for an equal part of what is sampled. Default: nothing, or 15 notes
            a second and a flat histogram where the model must be told.
          max_length: events behind the beginning (default: those of a crop); with steps, at most so many.
          steps: [n] or one for all, at least 1: the time wanted behind the beginning. It is delivered in full: the last
            time-shift is cut, and if max_length events will not do, the rest is filled with the longest ones.
          beam_size, branch_factor, steps_per_iteration: see beam.Beam; of each performance the likeliest is found.

        Returns:
          tokens [n, P + max_length, F] int32, 0 behind length [n] int32; given int32 [n], events of the beginning;
          steps int32 [n], the time when all is over; ended bool [n], False where the time had to be filled.
        """
        n = keys.shape[0]

        def of_each(value: Any, off: float | None, dtype: Any) -> Any:
            known = isinstance(value, int | float) and value == off
            return None if known else jnp.broadcast_to(jnp.asarray(value, dtype), (n,))

        choice = decoding.Choice(
            of_each(temperature, None, jnp.float32),
            of_each(top_k, 0, jnp.int32),
            of_each(top_p, 1.0, jnp.float32),
            of_each(min_p, 0.0, jnp.float32),
        )
        wanted = decoding.Wanted(
            self.codec.crop if max_length is None else max_length,
            None if steps is None else of_each(steps, None, jnp.int32),
            self._asked(condition or {}, n),
        )
        clock = decoding.Clock(self.vocabulary)
        if prime is None:
            fields = len(self.vocabulary.fields)
            prime = {"tokens": jnp.zeros((n, 0, fields), jnp.int32), "length": jnp.zeros(n, jnp.int32)}
        begun = self._begun(prime, wanted.told)
        search = beam.Beam(beam_size, branch_factor, steps_per_iteration)
        if search == beam.Beam():
            drawn = decoding.unroll(self.advance, clock, begun, keys, choice, wanted)
        else:
            drawn = beam.search(self.advance, clock, begun, keys, choice, wanted, search)
        tokens = decoding.joined(prime["tokens"], begun.given, drawn["tokens"], drawn["length"])
        length = begun.given + drawn["length"]
        there = jnp.arange(prime["tokens"].shape[1])[None] < begun.given[:, None]
        total = jnp.where(there, clock.moves(prime["tokens"]), 0).sum(1)
        if wanted.steps is None:
            there = jnp.arange(drawn["tokens"].shape[1])[None] < drawn["length"][:, None]
            total = total + jnp.where(there, clock.moves(drawn["tokens"]), 0).sum(1)
        else:
            total = total + wanted.steps
        return {"tokens": tokens, "length": length, "given": begun.given, "steps": total, "ended": drawn["ended"]}

    def _asked(self, condition: Batch, n: int) -> Batch:
        """What is told, in full."""
        defaults = {
            "told": jnp.zeros(n) if not condition else jnp.ones(n),
            "density": jnp.full((n, 1), int(controls.density_bins(controls.DEFAULT_DENSITY))),
            "histogram": jnp.full((n, 1, controls.CLASSES), 1 / controls.CLASSES),
        }
        return {name: condition.get(name, defaults[name]) for name in self.conditions}

    def _begun(self, prime: Batch, asked: Batch) -> decoding.Begun:
        """The state behind the beginnings, of which the model is told what is true of them, where that is known."""
        tokens = prime["tokens"]
        told = {}
        for name in self.conditions:
            value = asked[name]
            told[name] = prime.get(name, value if name == "told" else jnp.repeat(value[:, :1], tokens.shape[1], axis=1))

        def run(tokens: jax.Array, told: Batch, state: State) -> State:
            return self._run(tokens, told, state, None)[1]

        first = jnp.asarray(self.vocabulary.first)
        return decoding.read(run, self.advance, self.first_state(len(tokens)), tokens, told, prime["length"], first)

    def _run(self, tokens: jax.Array, told: Batch, state: State, keys: jax.Array | None) -> tuple[jax.Array, State]:
        """Logits [T, B, sum of fields] of what follows tokens [T, B, F], and the last state; keys [B] for dropout."""
        x, drive = self._read(tokens, told)
        after = []
        for number, layer in enumerate(self.layers):
            drive = drive if number == 0 else layer.drive(x)
            outputs, last = layer(drive, state[number])
            x = outputs + x if self.residual else outputs
            if keys is not None:
                mine = jax.vmap(lambda key, number=number: jax.random.fold_in(key, number))(keys)
                x = jnp.where(dropout.masks(mine, self.keep, *x.shape[::2]), x / self.keep, 0)
            after.append(last)
        return self.output(x), tuple(after)

    def _read(self, tokens: jax.Array, told: Batch) -> tuple[jax.Array, jax.Array]:
        """What the first layer adds its output to, where it does, and its drive: look-ups, for tokens [..., F]."""
        if self.residual:
            x = self._looked_up(tokens, told, self.projection.kernel[...], self.projection.bias[...])  # type: ignore[index]
            return x, self.layers[0].drive(x)
        drive = self._looked_up(tokens, told, *self.layers[0].reading)
        return drive, drive

    def _looked_up(self, tokens: jax.Array, told: Batch, kernel: jax.Array, bias: jax.Array) -> jax.Array:
        """kernel's product with one-hot (or modulo) events and with the controls, whose rows come first, plus bias."""
        rows = kernel[self.control_size :]
        if self.inputs == "modulo":
            rows = product(jnp.asarray(features(self.vocabulary)), rows, self.dtype)  # type: ignore[arg-type]
        offsets = np.cumsum([0, *self.vocabulary.fields[:-1]])
        total = rows[tokens[..., 0]] + bias.reshape((1,) * (tokens.ndim - 1) + (-1,))
        for field, offset in enumerate(offsets[1:], 1):
            total = total + rows[tokens[..., field] + offset]
        row = 0
        heard: jax.Array | float = 1.0
        if "told" in told:
            heard = told["told"][..., None]
            total, row = total + (1 - heard) * kernel[0].reshape((1,) * (tokens.ndim - 1) + (-1,)), 1
        if "density" in told:
            total = total + heard * kernel[row + told["density"]]
            row += len(controls.DENSITY_EDGES) + 1
        if "histogram" in told:
            total = total + heard * product(told["histogram"], kernel[row : row + controls.CLASSES], self.dtype)
        return total

    def _told(self, batch: Batch, steps: int) -> Batch:
        """The controls of a batch, time first: [T, B, ...]."""
        return {
            name: jnp.broadcast_to(batch[name], (steps, *batch[name].shape))
            if name == "told"
            else batch[name].swapaxes(0, 1)
            for name in self.conditions
        }

    def _nats(self, logits: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Of each number [T, B, F]: its nats, and whether it is the likeliest."""
        nats, right = [], []
        for field, part in enumerate(self.split(logits)):
            target = targets[..., field]
            chosen = jnp.take_along_axis(part, target[..., None], axis=-1)[..., 0]
            nats.append(jax.nn.logsumexp(part, axis=-1) - chosen)
            right.append(part.argmax(-1) == target)
        return jnp.stack(nats, -1), jnp.stack(right, -1)

    def split(self, logits: jax.Array) -> list[jax.Array]:
        """The logits of each field."""
        return jnp.split(logits, np.cumsum(self.vocabulary.fields)[:-1].tolist(), axis=-1)

    def _metrics(self, targets: jax.Array, nats: jax.Array, right: jax.Array, scored: jax.Array) -> Metrics:
        total = (nats.sum(-1) * scored).sum(0)
        moves = jnp.asarray(self._moves(), jnp.float32) / self.codec.steps_per_second
        all_right = jnp.where(right.all(-1), scored, 0)
        if isinstance(self.vocabulary, EventVocabulary):
            number = targets[..., 0]
            of_type = {
                one.type: scored * ((number >= low) & (number < low + one.size))
                for one in self.vocabulary.ranges
                for low in [self.vocabulary.offset(one.type)]
            }
            notes = of_type[NOTE_ON]
            seconds = moves[number]
            metrics = {f"accuracy_{name}": ((all_right * mask).sum(0), mask.sum(0)) for name, mask in of_type.items()}
        else:
            notes, seconds = scored, moves[targets[..., 0], targets[..., 1]]
            metrics = {}
            for field, name in enumerate(self.vocabulary.names):
                metrics[f"nats_{name}"] = ((nats[..., field] * scored).sum(0), scored.sum(0))
                metrics[f"accuracy_{name}"] = (jnp.where(right[..., field], scored, 0).sum(0), scored.sum(0))
        return metrics | {
            "loss": (total, scored.sum(0)),
            "nats_per_note": (total, notes.sum(0)),
            "nats_per_second": (total, (seconds * scored).sum(0)),
            "accuracy": (all_right.sum(0), scored.sum(0)),
        }

    def _moves(self) -> np.ndarray:
        """Steps by which time moves on: [classes] of an event, or [major, minor] of a note's shift."""
        if isinstance(self.vocabulary, NoteVocabulary):
            major, minor = self.vocabulary.fields[:2]
            return np.arange(major * minor).reshape(major, minor)
        return events.steps_of(np.arange(self.vocabulary.fields[0])[:, None], self.vocabulary)
