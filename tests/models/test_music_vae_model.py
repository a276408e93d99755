"""Options, schedules, hierarchies and sampling of MusicVAE, against what they are defined as."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from magenta_lite.errors import UserError
from magenta_lite.models.music_vae import Codec, Model
from magenta_lite.models.music_vae.decoder import Decoder, Draws, shifted
from magenta_lite.models.music_vae.layers import Stack
from magenta_lite.models.music_vae.reading import Dense, reading

pytestmark = pytest.mark.usefixtures("quick_to_compile")

SMALL = {"latent_size": 4, "encoder_layers": (6,), "decoder_layers": (7, 7)}
MELODY = Codec(bars=4, steps_per_bar=4)
TRIO = Codec(kind="trio", bars=4, steps_per_bar=4)
HIERARCHICAL = {**SMALL, "encoder": "hierarchical", "decoder": "hierarchical"}


def keys(count=3, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def batch_for(codec, count=3, seed=0):
    """Slices of anything, as the codec encodes them."""
    rng = np.random.default_rng(seed)
    batch = {"real": jnp.ones(count), "length": jnp.full(count, codec.steps)}
    if codec.kind == "groove":
        hits = rng.integers(0, 2, (count, codec.steps, 9))
        velocity, offset = rng.random(hits.shape), rng.uniform(-1, 1, hits.shape)
        groove = np.concatenate([hits, hits * velocity, hits * offset], -1).astype(np.float32)
        batch |= {"groove": jnp.asarray(groove), "given": jnp.asarray(groove)}
        return batch | ({"hits": jnp.asarray(hits, jnp.float32)} if codec.controls else {})
    if codec.kind == "drum_roll":
        return batch | {"roll": jnp.asarray(rng.integers(0, 2, (count, codec.steps, codec.drum_classes)), jnp.uint8)}
    streams = [rng.integers(0, size, (count, codec.steps)) for size in codec.classes]
    batch["tokens"] = jnp.asarray(np.stack(streams, -1), jnp.int32)
    if codec.chords:
        batch["chord"] = jnp.asarray(rng.integers(0, 49, (count, codec.steps)), jnp.int32)
    return batch


def build(codec=MELODY, **options):
    model = Model(codec, rngs=nnx.Rngs(0), **{**SMALL, **options})
    # Weights that start near 0 would hide what depends on z.
    for linear in (model.mean, model.deviation, *(core.to_state for core in model.decoder.cores)):
        linear.kernel[...] = 300 * linear.kernel[...]
    return model


def values(metrics):
    return {name: np.asarray(total) / np.maximum(weight, 1e-9) for name, (total, weight) in metrics.items()}


def caller(model, batch):
    """(train, step, seed) -> values of the model's metrics."""
    programs = {
        train: jax.jit(lambda step, keys, train=train: model(batch, keys=keys, step=step, train=train))
        for train in (True, False)
    }
    return lambda train, step=1, seed=0: values(jax.device_get(programs[train](step, keys(seed=seed))))


def test_loss_is_reconstruction_and_what_kl_exceeds_the_free_bits():
    model = build(free_bits=3.0, beta=0.7, beta_rate=0.9)
    call = caller(model, batch_for(MELODY))
    for train, step, beta in ((False, 0, 0.7), (True, 0, 0.0), (True, 5, 0.7 * (1 - 0.9**5))):
        found = call(train, step)
        beyond = np.maximum(found["KL_nats"] - 3 * math.log(2), 0)
        assert (found["KL_nats"] > 0).all()
        np.testing.assert_allclose(found["loss"], found["reconstruction_nats"] + beta * beyond, rtol=1e-5)
        np.testing.assert_allclose(found["KL_bits"], found["KL_nats"] / math.log(2), rtol=1e-6)


def test_beta_is_whole_from_the_second_step_where_it_has_no_rate():
    call = caller(build(beta=0.5), batch_for(MELODY))
    assert [float(call(True, step)["beta"][0]) for step in (0, 1)] == [0, 0.5]


@pytest.mark.parametrize(
    "codec",
    [
        TRIO,
        Codec(kind="drums", bars=2, steps_per_bar=4),
        Codec(kind="drum_roll", drum_classes=61, bars=2, steps_per_bar=4),
        Codec(kind="groove", groove_input="hits_control", bars=2, steps_per_bar=4),
        Codec(chords=True, bars=2, steps_per_bar=4),
    ],
    ids=lambda codec: codec.kind + codec.controls,
)
def test_every_kind_learns_and_draws(codec):
    model, batch = build(codec), batch_for(codec)
    graph, state = nnx.split(model, nnx.Param)

    def loss(state):
        metrics = nnx.merge(graph, state)(batch, keys=keys(), step=1, train=True)
        return metrics["loss"][0].sum(), metrics

    gradients, metrics = jax.jit(jax.grad(loss, has_aux=True))(state)
    assert {f"nats_{stream}" for core in model.decoder.cores for stream in core.output.kinds} <= metrics.keys()
    assert 0 <= float(values(metrics)["accuracy"].mean()) <= 1
    for path, gradient in jax.tree_util.tree_leaves_with_path(gradients):
        assert np.abs(gradient).max() > 0, jax.tree_util.keystr(path)
    told = {name: batch[name] for name in model.conditions}
    drawn = jax.jit(lambda: model.sample(keys(), temperature=0.7, condition=told))()
    assert drawn[codec.arrays].shape == batch[codec.arrays].shape
    assert set(told) <= drawn.keys()
    codec.decode({name: value[0] for name, value in jax.device_get(drawn).items()})
    if told:
        other = {name: value[:, ::-1] for name, value in told.items()}
        again = jax.jit(lambda: model.sample(keys(), temperature=0.7, condition=other))()
        assert not np.array_equal(again[codec.arrays], drawn[codec.arrays])


def naive_hierarchy(model, batch, z):
    """Reconstruction of a hierarchical decoder bar by bar, step by step; conductors read what their option says."""
    decoder, encoder = model.decoder, model.encoder
    conductors = decoder.conductors
    events = [batch["tokens"][..., i : i + 1].swapaxes(0, 1) for i in range(batch["tokens"].shape[-1])]
    before = shifted(decoder.cores, events)
    total, bar = 0.0, 0

    def play(embedding):
        nonlocal total, bar
        here = slice(bar * decoder.steps, (bar + 1) * decoder.steps)
        bar += 1
        flat = []
        for core, own, read in zip(decoder.cores, events, before, strict=True):
            outputs, state = core.teacher_forced(read[here], embedding, None)
            total = total + core.output.nats(outputs, own[here]).sum((0, 2))
            flat += state
        if conductors.conductor_input != "reencoded":
            return jnp.concatenate(flat, -1)
        x = jnp.concatenate([core.output.part(own[here]).dense() for core, own in zip(decoder.cores, events)], -1)  # noqa: B905
        return encoder.level(0, x, None)

    def descend(level, embedding):
        if level == len(conductors.lengths):
            return play(embedding)
        stack, to_state = conductors.stacks[level], conductors.maps[level]
        state = stack.cut(jnp.tanh(to_state(embedding)))
        fed, feds = None, []
        for _ in range(conductors.lengths[level]):
            x = jnp.zeros((len(embedding), 1))
            if conductors.conductor_input != "none":
                width = stack.inputs - embedding.shape[1]
                x = jnp.concatenate([jnp.zeros((len(embedding), width)) if fed is None else fed, embedding], 1)
            output, state = stack.step(lambda kernel, bias, mask, x=x: x @ kernel + bias[None], state)
            fed = descend(level + 1, output)
            feds.append(fed)
        if conductors.conductor_input == "reencoded":
            return encoder.level(len(conductors.lengths) - level, jnp.stack(feds), None)
        return jnp.concatenate(state, -1)

    descend(0, z)
    return total


@pytest.mark.parametrize(
    ("conductor_input", "levels"),
    [("none", ()), ("none", (2, 2, 4)), ("state", (2, 2, 4)), ("reencoded", (2, 2, 4))],
)
def test_hierarchies_are_those_taken_bar_by_bar(levels, conductor_input, monkeypatch):
    codec = TRIO if conductor_input == "state" else MELODY
    model = build(codec, **HIERARCHICAL, levels=levels, conductor_input=conductor_input)
    batch, z = batch_for(codec), jax.random.normal(jax.random.key(5), (3, 4))
    monkeypatch.setattr("magenta_lite.nn.latent.draw", lambda *_: z)
    found = jax.jit(lambda: values_of(model, batch))()
    np.testing.assert_allclose(found, jax.jit(lambda: naive_hierarchy(model, batch, z))(), rtol=1e-5)


def values_of(model, batch):
    return model(batch, keys=keys(), step=0, train=False)["reconstruction_nats"][0]


@pytest.mark.parametrize("conductor_input", ["none", "reencoded"])
def test_what_is_drawn_is_what_teacher_forcing_finds_likeliest(conductor_input):
    """At temperature 0 each event is the likeliest one after those before it, across bars too."""
    codec = TRIO if conductor_input == "none" else MELODY
    model = build(codec, **HIERARCHICAL, conductor_input=conductor_input)
    z = 3 * jax.random.normal(jax.random.key(5), (3, 4))
    drawn = jax.jit(lambda: model.sample(keys(), temperature=0.0, z=z))()
    events = [drawn["tokens"][..., i : i + 1].swapaxes(0, 1) for i in range(drawn["tokens"].shape[-1])]
    made = jax.jit(
        lambda: model.decoder.teacher_forced(shifted(model.decoder.cores, events), z, None, None, model.encoder)
    )()
    for output, own in zip(made, events, strict=True):
        np.testing.assert_array_equal(output.argmax(-1), own[..., 0])


@pytest.mark.parametrize("options", [{}, HIERARCHICAL, {**HIERARCHICAL, "conductor_input": "reencoded"}])
def test_scheduled_sampling_reads_the_truth_or_what_was_drawn(options):
    codec = TRIO if options == HIERARCHICAL else MELODY
    model, batch = build(codec, **options), batch_for(codec)
    events = model.events(batch)
    z = jax.random.normal(jax.random.key(5), (3, 4))
    truth = shifted(model.decoder.cores, events)
    draws = Draws(keys(), jnp.ones(3), share=0.0)
    run = jax.jit(lambda share: model.decoder.scheduled(events, z, None, draws._replace(share=share), model.reencoder))
    none, half, all_of_it = (run(share) for share in (0.0, 0.5, 1.0))
    for number, core in enumerate(model.decoder.cores):
        np.testing.assert_array_equal(none[number], truth[number])
        differ = float((half[number] != truth[number]).mean()), float((all_of_it[number] != truth[number]).mean())
        assert 0.1 < differ[0] < 0.65 < differ[1], core.output.kinds
    if options:
        # Every bar first reads the truth.
        np.testing.assert_array_equal(all_of_it[0][::4], truth[0][::4])


def test_scheduled_sampling_has_the_gradient_of_teacher_forcing_on_what_was_read():
    model, batch = build(sampling_schedule="constant", sampling_rate=1.0), batch_for(MELODY)
    graph, state = nnx.split(model, nnx.Param)
    split = jax.vmap(lambda key: jax.random.split(key, 4))(keys())

    def scheduled(state):
        return nnx.merge(graph, state)(batch, keys=keys(), step=1, train=True)["reconstruction_nats"][0].sum()

    from magenta_lite.nn import latent

    z = latent.draw(split[:, 1], *jax.jit(lambda: model.posterior(batch))())
    read = jax.jit(lambda: model._scheduled(model.events(batch), z, None, split[:, 2], 1.0))()

    def forced(state):
        own = nnx.merge(graph, state)
        z = latent.draw(split[:, 1], *own.posterior(batch))
        (output,) = own.decoder.teacher_forced(read, z, None, None)
        return own.decoder.cores[0].output.nats(output, own.events(batch)[0]).sum()

    for ours, theirs in zip(*(jax.tree.leaves(jax.jit(jax.grad(f))(state)) for f in (scheduled, forced)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_dropout_is_for_training_alone():
    call = caller(build(keep=0.5), batch_for(MELODY))
    assert not np.allclose(call(True, seed=0)["KL_nats"], call(True, seed=1)["KL_nats"])
    np.testing.assert_allclose(call(False, seed=0)["KL_nats"], call(False, seed=1)["KL_nats"], rtol=1e-6)


def test_every_bar_and_every_core_drops_inputs_of_its_own(monkeypatch):
    model, seen, plain = build(TRIO, **HIERARCHICAL, keep=0.5), [], Decoder.teacher_forced

    def record(core, before, embedding, controls, keys=None):
        seen.append(jax.random.key_data(keys))
        return plain(core, before, embedding, controls, keys)

    monkeypatch.setattr(Decoder, "teacher_forced", record)
    z = jnp.zeros((3, 4))
    before = shifted(model.decoder.cores, model.events(batch_for(TRIO)))
    model.decoder.teacher_forced(before, z, None, keys(), None)
    drawn = np.concatenate(seen).reshape(3 * 4 * 3, -1)
    assert len(np.unique(drawn, axis=0)) == len(drawn), "three cores of four bars of three slices"


def test_residual_layers_add_what_they_read():
    """Cells whose weights are 0 give 0, so what comes out is what the first layer's map makes of the inputs."""
    stack = Stack(5, (7, 7), keep=1.0, residual=True, dtype=jnp.float32, rngs=nnx.Rngs(0))
    for layer in stack.layers:
        layer.w_xh[...], layer.w_hh[...] = 0 * layer.w_xh[...], 0 * layer.w_hh[...]
    x = jax.random.normal(jax.random.key(1), (4, 3, 5))
    outputs, _ = jax.jit(lambda: stack(reading(jnp.float32, [Dense(x)]), stack.first_state(3), 4))()
    np.testing.assert_allclose(outputs, x @ stack.maps[0].kernel[...], rtol=1e-5, atol=1e-6)
    assert stack.maps[1] is None


def test_samples_depend_on_their_own_key_and_z_alone():
    model = build()
    draw = jax.jit(lambda k, z: model.sample(k, temperature=1.0, z=z)["tokens"])
    z = jax.random.normal(jax.random.key(3), (3, 4))
    all_three, backwards = draw(keys(), z), draw(keys()[::-1], z[::-1])
    np.testing.assert_array_equal(all_three, backwards[::-1])
    assert not np.array_equal(all_three[0], all_three[1])


def test_score_adds_up_to_the_reconstruction(monkeypatch):
    model, batch = build(TRIO, **HIERARCHICAL), batch_for(TRIO)
    monkeypatch.setattr("magenta_lite.nn.latent.draw", lambda keys, mean, log_var: mean)
    nats, whole = jax.jit(lambda: (model.score(batch)[0]["nats"], values_of(model, batch)))()
    np.testing.assert_allclose(nats.sum(1), whole, rtol=1e-5)
    with pytest.raises(ValueError, match="scored whole"):
        model.score(batch, carry=())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decoder": "hierachical"}, "did you mean 'hierarchical'"),
        ({"levels": (3, 5), "decoder": "hierarchical"}, "levels=.* product of 16 steps"),
        ({"levels": (16,), "decoder": "hierarchical"}, "at least two"),
        ({"keep": 0.0}, "config.model.keep=0.0"),
        ({"free_bits": -1.0}, "config.model.free_bits"),
        ({"conductor_input": "state"}, "decoder=hierarchical"),
        ({"conductor_input": "reencoded", "decoder": "hierarchical"}, "encoder=hierarchical"),
        ({"sampling_schedule": "inverse_sigmoid", "sampling_rate": 0.5}, "at least 1"),
        ({"encoder_layers": ()}, "at least one layer"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        Model(MELODY, rngs=nnx.Rngs(0), **{**SMALL, **options})


def test_nade_probabilities_of_all_combinations_add_up_to_one():
    codec = dataclasses.replace(Codec(kind="drum_roll", bars=2, steps_per_bar=4), drum_classes=9)
    model = build(codec)
    output = model.decoder.cores[0].output
    rolls = ((np.arange(512)[:, None] >> np.arange(9)) & 1).astype(np.float32)
    said = jnp.tile(jax.random.normal(jax.random.key(2), (1, output.size)), (512, 1))
    nats = jax.jit(output.nats)(said, jnp.asarray(rolls))
    np.testing.assert_allclose(np.exp(-np.asarray(nats, np.float64)).sum(), 1, rtol=1e-4)
    drawn = jax.jit(lambda k: output.draw(k, jnp.tile(said[:1], (4000, 1)), jnp.ones(4000)))(keys(4000))
    share = np.exp(-np.asarray(nats[:, 0], np.float64)) @ rolls
    np.testing.assert_allclose(np.asarray(drawn).mean(0), share, atol=0.04)
