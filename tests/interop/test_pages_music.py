"""The pages of MusicVAE and Performance RNN: their numbers are the models', and they play in a browser."""

import base64
import dataclasses
import html
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from small_workdirs import made

from magenta_lite.errors import UserError
from magenta_lite.interop import pages
from magenta_lite.interop.pages import document, music_vae, performance_rnn
from magenta_lite.interop.pages.document import quantised
from magenta_lite.models.music_vae import Codec as SliceCodec
from magenta_lite.models.music_vae import Model as SliceModel
from magenta_lite.models.music_vae.decoder import shifted
from magenta_lite.models.performance_rnn import Codec as PerformanceCodec
from magenta_lite.models.performance_rnn import Model as PerformanceModel
from magenta_lite.models.performance_rnn.controls import DENSITY, HISTOGRAM, density_bins
from magenta_lite.music import chords, midi
from magenta_lite.nn.latent import slerp

NEAR = 1e-4
"""How far float32 sums may be from float64 ones, of the same weights."""

SLICES = {
    "melody": ({"chords": True}, {"decoder_layers": (24, 16)}),
    "drums": ({"kind": "drums"}, {"decoder_layers": (24,)}),
    "nade": ({"kind": "drum_roll", "drum_classes": 61}, {"decoder_layers": (24,), "nade_hidden": 12}),
    "trio": ({"kind": "trio"}, {"decoder_layers": (24, 24), "decoder_residual": True}),
    "groove": ({"kind": "groove"}, {"decoder_layers": (24,)}),
    "hierarchical": ({"kind": "trio"}, {"decoder": "hierarchical", "decoder_layers": (24, 24)}),
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
        numbers, scales = quantised("", np.asarray(value) * scale)
        return jnp.asarray(numbers * scales)

    nnx.update(model, jax.tree.map(one, nnx.state(model, nnx.Param)))
    return model


def tensors(weights):
    made = []
    for name, value in weights.items():
        numbers, scales = quantised(name, value)
        text = base64.b64encode(numbers.astype("<i2").tobytes()).decode()
        made.append({"name": name, "shape": value.shape, "scale": scales.tolist(), "numbers": text})
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

    @jax.jit
    def ours(batch, z, condition):
        before = shifted(model.decoder.cores, model.events(batch))
        said = model.decoder.teacher_forced(before, z, model.controls(batch), None, None)
        keys = jax.vmap(jax.random.key)(jnp.arange(len(z)))
        return said, model.sample(keys, temperature=0.0, z=z, condition=condition)

    wanted, drawn = ours(batch, jnp.asarray(z), None if told is None else {"chord": jnp.asarray(told)})
    outputs = []
    for number, core in enumerate(wanted):
        name = f"decoder.cores.{number}"
        said = np.array([[numbers for own, numbers in one["outputs"] if own == name] for one in found])
        np.testing.assert_allclose(said, np.asarray(core).swapaxes(0, 1), rtol=NEAR / 10, atol=NEAR)
        outputs.append(said)
    assert np.ptp(outputs[0]) > 1, "the models are to say something"

    # What is decoded. Where two classes are as likely but for rounding, either may come first: none are here.
    np.testing.assert_allclose(np.asarray(events), drawn[codec.arrays], atol=NEAR)

    for one, events in zip(found, np.asarray(drawn[codec.arrays]), strict=True):
        notes = codec.decode({codec.arrays: events, "qpm": 15.0})  # a step is a second
        own = sorted((note["start"], note["pitch"], note["end"], note["velocity"]) for note in one["notes"])
        ours = sorted(zip(notes.start, notes.pitch, notes.end, notes.velocity, strict=True))
        np.testing.assert_allclose(np.array(own).reshape(-1, 4), np.array(ours).reshape(-1, 4), atol=1e-3)
        assert {note["kind"] == "drum" for note in one["notes"]} == set(notes.is_drum.tolist())
    assert len({str(one["events"]) for one in found}) > 1, "slices are to differ"


BOTH = (DENSITY, HISTOGRAM)
PERFORMANCES = {
    "dynamics": ({}, {}),
    "plain_modulo": ({"velocity_bins": 0}, {"inputs": "modulo"}),
    "residual_both": ({"controls": BOTH}, {"residual": True}),
    "modulo_residual_density": ({"controls": (DENSITY,)}, {"inputs": "modulo", "residual": True}),
    "optional_both": ({"controls": BOTH, "optional_controls": True}, {}),
    "notes": ({"encoding": "notes", "max_shift": 1000}, {"residual": True}),
}


def performance_model(kind):
    options, shape = PERFORMANCES[kind]
    codec = PerformanceCodec(**options)
    model = PerformanceModel(codec, rngs=nnx.Rngs(3), layers=(24, 24), **shape)
    return SimpleNamespace(codec=codec, model=rounded(model, 3.0 if model.residual else 10.0))


def wishes(model, per_second, pitch_classes=(0, 4, 7), told=1):
    shares = np.isin(np.arange(12), pitch_classes) / len(pitch_classes)
    every = {"density": int(density_bins(per_second)), "histogram": shares.tolist(), "told": told}
    return {name: every[name] for name in model.conditions}


@pytest.mark.parametrize("kind", PERFORMANCES)
def test_performances_are_the_models(kind, node, tmp_path):
    player = performance_model(kind)
    codec, model = player.codec, player.model
    settings, weights = performance_rnn.described(player)
    given = {"settings": settings, "tensors": tensors(weights)}
    rng = np.random.default_rng(2)
    tokens = np.stack([rng.integers(0, size, 10) for size in codec.vocabulary.fields], axis=1)
    told = [wishes(model, rng.uniform(0, 90), rng.choice(12, 3), int(i % 3 > 0)) for i in range(10)]

    def said(told):
        state, found, advance = model.first_state(1), [], jax.jit(model.advance)
        for event, now in zip(tokens, told, strict=True):
            row = {name: jnp.asarray(np.array(value)[None], jnp.float32) for name, value in now.items()}
            row |= {name: jnp.asarray([now[name]]) for name in now if name == "density"}
            state, logits = advance(state, jnp.asarray(event)[None], row)
            found.append(np.asarray(logits)[0])
        return np.array(found)

    theirs = run(node, tmp_path, "performance_rnn", {**given, "tokens": tokens.tolist(), "told": told})
    # A kernel that is multiplied with points on circles is rounded to 16 bits once more.
    near = 20 * NEAR if model.inputs == "modulo" else NEAR
    np.testing.assert_allclose(theirs, said(told), rtol=NEAR / 10, atol=near)
    assert np.ptp(theirs) > 1, "the models are to say something"

    # What is drawn makes the notes that the codec makes of the same events.
    drawn = run(
        node, tmp_path, "performance_rnn",
        {**given, "told": wishes(model, 15.0), "seed": 4, "count": 500, "temperature": 1.0},
    )  # fmt: skip
    notes = codec.decode({"tokens": np.array(drawn["events"]), "length": 500})
    ends = {one["id"]: one["end"] for one in drawn["ended"]}
    longest, rate = settings["longest"], codec.steps_per_second
    own = sorted(
        (one["start"] / rate, one["pitch"], ends.get(one["id"], min(drawn["time"], one["start"] + longest)) / rate,
         one["velocity"]) for one in drawn["begun"]
    )  # fmt: skip
    assert len(own) > 30
    ours = sorted(zip(notes.start, notes.pitch, notes.end, notes.velocity, strict=True))
    np.testing.assert_allclose(own, ours, atol=1e-6)


def test_density_reaches_the_network(node, tmp_path):
    player = performance_model("residual_both")
    settings, weights = performance_rnn.described(player)
    given = {"settings": settings, "tensors": tensors(weights), "tokens": [[60]]}
    said = []
    for per_second in (2.0, 30.0):
        told = wishes(player.model, per_second)
        said.append(run(node, tmp_path, "performance_rnn", {**given, "told": [told]})[0])
        row = {"density": jnp.asarray([told["density"]]), "histogram": jnp.asarray([told["histogram"]], jnp.float32)}
        _, ours = player.model.advance(player.model.first_state(1), jnp.asarray([[60]]), row)
        np.testing.assert_allclose(said[-1], ours[0], rtol=NEAR / 10, atol=NEAR)
    assert np.abs(np.subtract(*said)).max() > 0.1


def test_greedy_performance_is_the_models(node, tmp_path):
    player = performance_model("dynamics")
    settings, weights = performance_rnn.described(player)
    given = {"settings": settings, "tensors": tensors(weights), "told": {}, "seed": 0, "count": 40, "temperature": 0}
    events = run(node, tmp_path, "performance_rnn", given)["events"]
    ours = player.model.sample(jax.random.split(jax.random.key(0), 1), temperature=0.0, max_length=40)
    np.testing.assert_array_equal(events, ours["tokens"][0])


def test_midi_files_are_read(node, tmp_path):
    notes = [
        {"start": 0.0, "end": 1.0, "pitch": 60, "velocity": 80, "kind": "piano"},
        {"start": 0.5, "end": 2.5, "pitch": 60, "velocity": 90, "kind": "piano"},
        {"start": 1.0, "end": 9.25, "pitch": 33, "velocity": 70, "kind": "bass"},
        {"start": 300.0, "end": 300.1, "pitch": 42, "velocity": 127, "kind": "drum"},
    ]
    file = tmp_path / "made.mid"
    file.write_bytes(bytes(run(node, tmp_path, "midi", {"notes": notes, "tempo": 90.0})))
    read = midi.read(file).notes()
    found = sorted(zip(read.start * 1.5, read.end * 1.5, read.pitch, read.velocity, read.is_drum, strict=True))
    wanted = [(0, 0.5, 60, 80, False), (0.5, 2.5, 60, 90, False), (1, 9.25, 33, 70, False), (300, 300.1, 42, 127, True)]
    np.testing.assert_allclose(np.array(found, float), np.array(wanted, float), atol=2e-3)


def used(node, family, chromium, player, folder, *more):
    """What came of a page that was used as a person does."""
    pages.export(player, folder / "page.html", title="<b> & $title")
    text = (folder / "page.html").read_text()
    assert f"<h1>{html.escape('<b> & $title')}</h1>" in text and "$facts" not in text
    found = json.loads(node("music_pages.cjs", family, chromium, folder / "page.html", folder, *more))
    assert found["errors"] == []
    assert {address.partition(":")[0] for address in found["requests"]} <= {"file", "blob", "data"}
    assert found["heard"]["numbers"] and found["heard"]["rms"] > 1e-3 and found["heard"]["peak"] < 1
    assert found["silent"]["rms"] < 1e-3 and found["silent"]["voices"] == 0
    assert found["played"] > 3
    # As many notes at once as there may be: no sample beyond 1, and nothing sounds on.
    assert found["rendered"]["numbers"] and found["rendered"]["begin"] > 0.1
    assert found["rendered"]["peak"] <= 1 and found["rendered"]["end"] < 1e-6
    assert found["wide"] <= 390, "nothing is wider than a phone"
    assert found["playEnds"] <= 844, "what starts the sound is in sight there"
    return found


def chords_are_picked(player, found):
    """A chord that is picked for a bar goes to the decoder, which makes the slice and all cells anew."""
    before, after = found["before"], found["after"]
    assert after["asked"] == before["asked"] + 1 and after["corners"] == before["corners"]
    assert len(found["bars"]) == player.codec.bars
    assert [one != other for one, other in zip(found["bars"], found["picked"], strict=True)] == [False, True]
    assert found["picked"][1] == chords.number("F#m")
    told, *others = found["seeds"]
    assert told == 2 and others[0] != others[1], "without an address that tells it, every page is another one"
    rounded(player.model, 1.0)
    z = jnp.asarray(np.array(before["corners"], np.float32))
    told = np.repeat([found["bars"], found["picked"]], player.codec.steps_per_bar, axis=1)
    keys = jax.vmap(jax.random.key)(jnp.arange(4))
    for state, chord in zip((before, after), told, strict=True):
        condition = {"chord": jnp.asarray(np.tile(chord, (4, 1)))}
        tokens = np.asarray(player.model.sample(keys, temperature=0.0, z=z, condition=condition)["tokens"])
        cells = [state["cells"][number] for number in (0, state["side"] - 1, -state["side"], -1)]
        for cell, one in zip(cells, tokens, strict=True):
            notes = player.codec.decode({"tokens": one, "qpm": 15.0})
            assert listed(cell["notes"]) == sorted(zip(notes.start, notes.pitch, notes.end, strict=True))
    assert [cell["notes"] for cell in before["cells"]] != [cell["notes"] for cell in after["cells"]]


def listed(notes):
    return sorted((note["start"], note["pitch"], note["end"]) for note in notes)


@pytest.mark.parametrize("data", ["toy_melodies", "toy_grooves"])
def test_the_square_in_a_browser(data, node, chromium, request, tmp_path):
    codec = {"kind": "groove"} if data == "toy_grooves" else {}
    player = made(tmp_path / "workdir", "music_vae", request.getfixturevalue(data), codec, decoder_layers=(24,))
    more = []
    if data == "toy_melodies":  # one start of the browser for both
        told = made(tmp_path / "told", "music_vae", request.getfixturevalue(data), {"chords": True})
        more = [tmp_path / "told.html"]
        pages.export(told, *more)
    found = used(node, "music_vae", chromium, player, tmp_path, *more)
    if more:
        chords_are_picked(told, found["chords"])
        assert found["chords"]["before"]["corners"] != found["corners"]

    rounded(player.model, 1.0)
    corners = np.array(found["corners"], np.float32)
    assert corners.shape == (4, 3)
    middle = slerp(slerp(corners[0], corners[2], 0.5), slerp(corners[1], corners[3], 0.5), 0.5)
    keys = jax.vmap(jax.random.key)(jnp.arange(5))
    drawn = player.model.sample(keys, temperature=0.0, z=jnp.asarray([*corners, middle]))
    name = player.codec.arrays
    wanted = [player.codec.decode({name: np.asarray(one), "qpm": 15.0}) for one in drawn[name]]
    shown = [*found["there"], found["middle"]]
    for ours, theirs in zip(wanted, shown, strict=True):
        steps = sorted(zip(ours.start, ours.pitch, ours.end, strict=True))
        np.testing.assert_allclose(np.array(listed(theirs)), np.array(steps), atol=1e-3)
    cells = found["cells"]
    assert listed(found["there"][0]) == listed(cells[0]["notes"])
    assert listed(found["there"][3]) == listed(cells[-1]["notes"])
    np.testing.assert_allclose(listed(found["after"]), listed(cells[-1]["notes"]), atol=1e-3)
    assert found["dragged"] > 2, "what is heard changes on the way"
    assert listed(found["others"]) != listed(found["after"]) != listed(found["warm"])
    assert found["keys"][0] == {"x": 0.5, "y": 0.5} and found["keys"][2]["y"] == found["keys"][1]["x"] < 0.5
    (saved,) = tmp_path.glob("*.mid")
    assert len(midi.read(saved).notes()) == len(found["after"])


def test_performances_in_a_browser(node, chromium, toy_performances, tmp_path):
    codec = {"controls": BOTH}
    player = made(tmp_path / "workdir", "performance_rnn", toy_performances, codec, layers=(24, 24))
    found = used(node, "performance_rnn", chromium, player, tmp_path)
    assert found["hidden"] is False
    assert found["first"]["seed"] == 1 != found["anew"]["seed"]
    assert [one["density"] for one in found["asked"]] == [int(density_bins(2.0)), int(density_bins(30.0))] == [2, 5]
    np.testing.assert_allclose(found["major"], np.isin(np.arange(12), (0, 2, 4, 5, 7, 9, 11)) / 7)
    assert found["second"]["position"] > found["first"]["position"] > 2
    assert found["second"]["made"] > found["second"]["position"], "events are made ahead"
    assert found["second"]["asked"]["temperature"] == 0.8
    assert 0 <= found["resumed"]["position"] - found["stopped"]["position"] < 20
    assert found["anew"]["position"] < found["resumed"]["position"]
    assert found["anew"]["notes"][:5] != found["notes"][:5]
    assert all(note["end"] is None or 0 < note["end"] - note["start"] <= 5 for note in found["notes"])
    (saved,) = tmp_path.glob("*.mid")
    heard = midi.read(saved).notes()
    until = found["stopped"]["position"]
    assert 0 < len(heard) <= len([note for note in found["notes"] if note["start"] <= until])
    assert 2 < heard.duration <= until + 0.01


def test_pages_without_controls_say_so(toy_performances, tmp_path):
    player = made(tmp_path / "workdir", "performance_rnn", toy_performances)
    text = performance_rnn.page(player)
    assert '"conditions":[]' in text and "cannot be told how many notes" in text


def test_what_has_no_page(toy_performances, toy_melodies, tmp_path, monkeypatch):
    attentive = made(tmp_path / "one", "performance_rnn", toy_performances, attention=4)
    with pytest.raises(UserError, match="attends to its last outputs"):
        performance_rnn.page(attentive)
    hierarchical = {"encoder": "hierarchical", "decoder": "hierarchical", "conductor_input": "reencoded"}
    with pytest.raises(UserError, match="encodes its bars again"):
        music_vae.page(made(tmp_path / "two", "music_vae", toy_melodies, **hierarchical))
    player = made(tmp_path / "three", "music_vae", toy_melodies)
    told = SimpleNamespace(
        model=player.model, codec=dataclasses.replace(player.codec, kind="groove", groove_input="hits_control")
    )
    with pytest.raises(UserError, match="told the hits of a groove"):
        music_vae.page(told)

    page = tmp_path / "page.html"
    monkeypatch.setattr(document, "MOST_PARAMETERS", 100)
    for one in (player, made(tmp_path / "four", "performance_rnn", toy_performances)):
        with pytest.raises(UserError, match=r"[\d,]+ parameters .* MB, .* expected at most 100, or --large"):
            pages.export(one, page)
        assert not page.exists()
        pages.export(one, page, large=True)
        page.unlink()


def test_chords_can_be_chosen(toy_melodies, tmp_path):
    player = made(tmp_path / "workdir", "music_vae", toy_melodies, {"chords": True})
    settings, _ = music_vae.described(player)
    assert "<h1>Between four melodies</h1>" in music_vae.page(player)
    assert len(settings["chords"]) == 49 and settings["chords"][22] == "Am"
    assert "Chords" in music_vae.page(player)
