"""How far what a model says of slices, or draws, agrees with them: pairs (total [B], weight [B]), on the device.

Names and units are those of evaluation.py. A kind of events of which there is only one has no name of its own.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from magenta_lite.models.music_vae.codec import Codec
from magenta_lite.models.music_vae.outputs import ERRORS
from magenta_lite.music.grooves import INSTRUMENTS
from magenta_lite.music.melodies import FIRST_NOTE

STEP_MS = 125.0
"""Of a sixteenth note at 120 quarters a minute."""

UNITS = {"velocities": ("velocity_error", 127.0), "offsets": ("offset_error_ms", STEP_MS / 2)}
"""What errors of grooves are called, and what makes MIDI's velocities and milliseconds of them."""

Pair = tuple[jax.Array, jax.Array]
Pairs = dict[str, Pair]


def forced(codec: Codec, cores: Sequence[Any], made: Sequence[jax.Array], events: Sequence[jax.Array]) -> Pairs:
    """Of outputs [T, B, size] of each core, where events [T, B, ...] are wanted."""
    outputs = [core.output for core in cores]
    nats = _by_kind(outputs, [one.nats(*pair) for one, *pair in zip(outputs, made, events, strict=True)])
    parts = [one.right(*pair) for one, *pair in zip(outputs, made, events, strict=True)]
    right, out_of = (_by_kind(outputs, [part[i] for part in parts]) for i in range(2))
    found = _nats(nats) | _accuracies(
        {kind: (right[kind].sum(0), out_of[kind].sum(0)) for kind in right if kind not in ERRORS}
    )
    for kind, (name, unit) in UNITS.items():
        if kind in right:
            found[name] = (right[kind].sum(0) * unit, out_of[kind].sum(0))
    if codec.kind == "groove":
        drums = len(INSTRUMENTS)
        said, wanted = (one[..., :drums].swapaxes(0, 1) for one in (made[0], events[0]))
        return found | {"f1_hits": _f1(said >= 0, wanted > 0.5)}
    wanted = jnp.concatenate(list(events), axis=-1).swapaxes(0, 1)
    return found | _sounding(codec, wanted, jnp.stack([right[name].T > 0 for name in codec.streams], -1))


def free(codec: Codec, wanted: jax.Array, made: jax.Array) -> Pairs:
    """Of slices that were drawn, as the codec has them: [B, T, ...] each."""
    if codec.kind != "groove":
        same = (wanted == made).all(-1, keepdims=True) if codec.kind == "drum_roll" else wanted == made
        steps, right = jnp.full(len(same), float(same.shape[1])), same.sum(1).astype(jnp.float32)
        found = _accuracies({name: (right[:, i], steps) for i, name in enumerate(codec.streams)})
        return found | _sounding(codec, wanted, same)
    drums = len(INSTRUMENTS)
    hits, drawn = wanted[..., :drums] > 0.5, made[..., :drums] > 0.5
    places = jnp.full(len(hits), float(hits.shape[1] * drums))
    found = _accuracies({"hits": ((hits == drawn).sum((1, 2)).astype(jnp.float32), places)})
    found["f1_hits"] = _f1(drawn, hits)
    for (name, unit), columns in zip(UNITS.values(), (slice(drums, 2 * drums), slice(2 * drums, None)), strict=True):
        error = jnp.abs(wanted[..., columns] - made[..., columns]) * (hits & drawn)
        found[name] = (error.sum((1, 2)) * unit, (hits & drawn).sum((1, 2)).astype(jnp.float32))
    return found


def mean(values: jax.Array) -> Pair:
    """Values [B] of slices, whose mean is told."""
    return values, jnp.ones_like(values)


def _by_kind(outputs: Sequence[Any], columns: Sequence[jax.Array]) -> dict[str, jax.Array]:
    """[T, B] of each kind, of columns [T, B, kinds] of each output."""
    return {
        kind: column[..., i]
        for output, column in zip(outputs, columns, strict=True)
        for i, kind in enumerate(output.kinds)
    }


def _nats(nats: dict[str, jax.Array]) -> Pairs:
    sums = {kind: value.sum(0) for kind, value in nats.items()}
    found = {"reconstruction_nats": mean(jnp.stack(list(sums.values())).sum(0))}
    return found | ({f"nats_{kind}": mean(value) for kind, value in sums.items()} if len(sums) > 1 else {})


def _accuracies(right: Pairs) -> Pairs:
    hits, out_of = (jnp.stack(parts).sum(0) for parts in zip(*right.values(), strict=True))
    own = {f"accuracy_{kind}": pair for kind, pair in right.items()} if len(right) > 1 else {}
    return {"accuracy": (hits, out_of), **own}


def _sounding(codec: Codec, wanted: jax.Array, right: jax.Array) -> Pairs:
    """Where something begins to sound: of events [B, T, ...], and whether they are right [B, T, S]."""
    if codec.kind == "drum_roll":
        begins = (wanted > 0).any(-1, keepdims=True)
    else:
        begins = wanted >= jnp.array([[[1 if name == "drums" else FIRST_NOTE for name in codec.streams]]])
    pair = (right & begins).sum((1, 2)), begins.sum((1, 2))
    return {"accuracy_sounding": (pair[0].astype(jnp.float32), pair[1].astype(jnp.float32))}


def _f1(made: jax.Array, wanted: jax.Array) -> Pair:
    """2 * hits in both / (hits made + hits wanted), of booleans [B, T, drums]."""
    both = 2 * (made & wanted).sum((1, 2))
    return both.astype(jnp.float32), (made.sum((1, 2)) + wanted.sum((1, 2))).astype(jnp.float32)
