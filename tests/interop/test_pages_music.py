"""The pages of MusicVAE and Performance RNN: their numbers are the models', and they play in a browser."""

import base64
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from magenta_lite.interop.pages import music_vae
from magenta_lite.interop.pages.document import quantised
from magenta_lite.models.music_vae import Codec as SliceCodec
from magenta_lite.models.music_vae import Model as SliceModel
from magenta_lite.models.music_vae.decoder import shifted

NEAR = 1e-4
"""How far float32 sums may be from float64 ones, of the same weights."""

SLICES = {
    "melody": ({}, {"decoder_layers": (24, 16)}),
    "chords": ({"chords": True}, {"decoder_layers": (24,)}),
    "drums": ({"kind": "drums"}, {"decoder_layers": (24,)}),
    "nade": ({"kind": "drum_roll"}, {"decoder_layers": (24,), "nade_hidden": 12}),
    "nade_full": ({"kind": "drum_roll", "drum_classes": 61}, {"decoder_layers": (24,), "nade_hidden": 12}),
    "trio": ({"kind": "trio"}, {"decoder_layers": (24, 24), "decoder_residual": True}),
    "groove": ({"kind": "groove"}, {"decoder_layers": (24,)}),
    "hierarchical": ({"bars": 4}, {"decoder": "hierarchical", "decoder_layers": (24, 24)}),
    "hierarchical_trio": ({"kind": "trio"}, {"decoder": "hierarchical", "decoder_layers": (24, 24)}),
    "hierarchical_state": (
        {"kind": "drum_roll", "bars": 4},
        {
            "decoder": "hierarchical",
            "decoder_layers": (20, 24),
            "decoder_residual": True,
            "levels": (2, 2, 16),
            "conductor_input": "state",
            "nade_hidden": 12,
        },
    ),
}


def rounded(model, scale):
    """The model with weights `scale` times as large, so that it says more than noise, as 16 bits hold them."""

    def one(value):
        numbers, step = quantised("", np.asarray(value) * scale)
        return jnp.asarray(numbers * np.float32(step))

    nnx.update(model, jax.tree.map(one, nnx.state(model, nnx.Param)))
    return model


def tensors(weights):
    made = []
    for name, value in weights.items():
        numbers, scale = quantised(name, value)
        text = base64.b64encode(numbers.astype("<i2").tobytes()).decode()
        made.append({"name": name, "shape": value.shape, "scale": scale, "numbers": text})
    return made


def run(node, tmp_path, family, given):
    file = tmp_path / "given.json"
    file.write_text(json.dumps(given))
    return json.loads(node("music_pages_numbers.cjs", family, file))


SCALES = {"hierarchical_state": 1.5}
"""Others are 4; these layers add up what they read, and would grow without end."""


def slice_model(kind):
    options, shape = SLICES[kind]
    codec = SliceCodec(**options)
    model = SliceModel(codec, rngs=nnx.Rngs(3), latent_size=8, encoder_layers=(4,), **shape)
    return SimpleNamespace(codec=codec, model=rounded(model, SCALES.get(kind, 4.0)))


@pytest.mark.parametrize("kind", SLICES)
def test_slices_are_the_models(kind, node, tmp_path):
    player = slice_model(kind)
    codec, model = player.codec, player.model
    settings, weights = music_vae.described(player)
    z = np.random.default_rng(5).standard_normal((4, 8)).astype(np.float32)
    told = np.tile(np.repeat([1, 22], codec.steps // 2), (4, 1)) if codec.chords else None
    slices = [
        {"z": one.tolist(), "temperature": 0, "seed": 0, "chords": None if told is None else told[0].tolist()}
        for one in z
    ]
    found = run(node, tmp_path, "music_vae", {"settings": settings, "tensors": tensors(weights), "slices": slices})

    # What the network says at every step, given what it read there.
    events = jnp.asarray([one["events"] for one in found], jnp.int32 if codec.arrays == "tokens" else jnp.float32)
    batch = {codec.arrays: events, **({} if told is None else {"chord": jnp.asarray(told)})}
    wanted = model.decoder.teacher_forced(
        shifted(model.decoder.cores, model.events(batch)), jnp.asarray(z), model.controls(batch), None, None
    )
    outputs = []
    for number, core in enumerate(wanted):
        name = f"decoder.cores.{number}"
        said = np.array([[numbers for own, numbers in one["outputs"] if own == name] for one in found])
        np.testing.assert_allclose(said, np.asarray(core).swapaxes(0, 1), rtol=NEAR / 10, atol=NEAR)
        outputs.append(said)
    assert np.ptp(outputs[0]) > 1, "the models are to say something"

    # What is decoded. Where two classes are as likely but for rounding, either may come first: none are here.
    drawn = model.sample(
        jax.vmap(jax.random.key)(jnp.arange(4)),
        temperature=0.0,
        z=jnp.asarray(z),
        condition=None if told is None else {"chord": jnp.asarray(told)},
    )
    np.testing.assert_allclose(np.asarray(events), drawn[codec.arrays], atol=NEAR)

    for one, made in zip(found, np.asarray(drawn[codec.arrays]), strict=True):
        notes = codec.decode({codec.arrays: made, "qpm": 15.0})  # a step is a second
        own = sorted((note["start"], note["pitch"], note["end"], note["velocity"]) for note in one["notes"])
        ours = sorted(zip(notes.start, notes.pitch, notes.end, notes.velocity, strict=True))
        np.testing.assert_allclose(np.array(own).reshape(-1, 4), np.array(ours).reshape(-1, 4), atol=1e-3)
        assert {note["kind"] == "drum" for note in one["notes"]} == set(notes.is_drum.tolist())
    assert len({str(one["events"]) for one in found}) > 1, "slices are to differ"
