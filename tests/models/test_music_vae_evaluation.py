"""Numbers about slices against naive ones, and models whose z is worth nothing, or everything."""

import collections
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from magenta_lite.errors import UserError
from magenta_lite.models.music_vae import Codec, Model, agreement, evaluation, interpolation, repetition, scoring
from magenta_lite.models.music_vae.decoder import shifted
from magenta_lite.models.music_vae.language_model import LanguageModel
from magenta_lite.pipeline import PreparedData

pytestmark = pytest.mark.usefixtures("quick_to_compile")

CODECS = {
    "melody": {"chords": True},
    "drum_roll": {"kind": "drum_roll"},
    "trio": {"kind": "trio"},
    "groove": {"kind": "groove", "groove_input": "humanize"},
}
LITTLE = {"latent_size": 4, "encoder_layers": (6,), "decoder_layers": (8,), "nade_hidden": 5}


def passages_of(kind, bars=(2, 5, 4), seed=0, steps=4):
    """Passages of so many bars of a few steps each, with rests and repeats."""
    rng = np.random.default_rng(seed)
    found = []
    for number, count in enumerate(bars):
        length = count * steps
        sounds = rng.random(length) < 0.5
        line = lambda low: np.where(rng.random(length) < 0.5, rng.integers(low, low + 9, length), rng.integers(0, 2))  # noqa: B023, E731
        velocity = (rng.integers(1, 128, (length, 9)) * (rng.random((length, 9)) < 0.3)).astype(np.uint8)
        columns = {
            "melody": line(40).astype(np.uint8),
            "bass": line(10).astype(np.uint8),
            "chord": rng.integers(0, 49, length).astype(np.uint8),
            "drums": np.where(sounds, rng.integers(0, 2**61, length, np.uint64), np.uint64(0)),
            "velocity": velocity,
            "offset": (rng.uniform(-0.5, 0.5, (length, 9)) * (velocity > 0)).astype(np.float32),
        }
        if count == 4:
            for column in columns.values():
                column[2 * steps :] = column[: 2 * steps]
        found.append({**columns, "name": f"{kind} {number}", "label": "", "steps_per_bar": steps, "qpm": 120.0})
    return found


def build(codec, passages, certain=True, seed=1, **options):
    """A small model, that knows how frequent events are; certain: z is the posterior's mean."""
    graph, state = nnx.split(nnx.eval_shape(lambda: Model(codec, rngs=nnx.Rngs(0), **(LITTLE | options))))
    rng = np.random.default_rng(seed)
    model = nnx.merge(graph, jax.tree.map(lambda p: jnp.asarray(rng.normal(0, 0.4, p.shape), p.dtype), state))
    if codec.classes:
        events = np.concatenate([one["tokens"] for _, one in every_slice(codec, passages)])
        counts = [np.bincount(own, minlength=size) for own, size in zip(events.T, codec.classes, strict=True)]
        cores = model.decoder.cores
        for core, own in zip(cores, counts if len(cores) > 1 else [np.concatenate(counts)], strict=True):
            core.projection.bias[...] = jnp.asarray(3 * np.log1p(own), jnp.float32)
    elif codec.kind == "drum_roll":
        bias = model.decoder.cores[0].projection.bias
        bias[...] = bias[...].at[-9:].set(-6.0)
    if certain:
        model.deviation.kernel[...] = jnp.zeros_like(model.deviation.kernel[...])
        model.deviation.bias[...] = jnp.full_like(model.deviation.bias[...], -50.0)
    return model


def codec_of(kind):
    return Codec(bars=2, steps_per_bar=4, **CODECS[kind])


def every_slice(codec, passages):
    """(number of the passage, encoded slice), by hand: windows side by side, equal ones once, silent ones never."""
    found = []
    for number, passage in enumerate(passages):
        seen = []
        for bar in range(0, len(passage["melody"]) // 4 - 1, 2):
            if bar not in codec.windows(passage, distinct=False):
                continue
            arrays = codec.encode({**passage, "bar": bar})
            if not any(all(np.array_equal(arrays[name], one[name]) for name in arrays) for one in seen):
                seen.append(arrays)
                found.append((number, arrays))
    return found


def by_passage(slices, values, count):
    found = np.zeros(count)
    for (number, _), value in zip(slices, values, strict=True):
        found[number] += value
    return found


@pytest.mark.parametrize("kind", ["melody", "trio", "groove"])
def test_scores_are_the_models_own_and_naive_ones(kind):
    codec, passages = codec_of(kind), passages_of(kind)
    model = build(codec, passages)
    slices = every_slice(codec, passages)
    assert [number for number, _ in slices] == [0, 1, 1, 2]
    sums = scoring.score(model, passages, seed=3, rows=4)
    np.testing.assert_array_equal(sums.slices, [1, 2, 1])

    batch = {name: jnp.stack([one[name] for _, one in slices]) for name in slices[0][1]} | {"real": jnp.ones(4)}

    @nnx.jit
    def alone(model, batch):
        """The posterior's means, the model's own metrics, and what it decodes greedily."""
        keys, (mean, _) = jax.random.split(jax.random.key(0), 4), model.posterior(batch)
        told = {name: batch[name] for name in model.conditions}
        made = model.sample(keys, temperature=0.0, z=mean, condition=told)[codec.arrays]
        events = model.events(batch)
        before = shifted(model.decoder.cores, events)
        forced = model.decoder.teacher_forced(before, mean, model.controls(batch), None, None)
        return mean, model(batch, keys=keys, step=0, train=False), made, forced[0]

    mean, own, made, forced = jax.device_get(alone(model, batch))
    np.testing.assert_allclose(sums.variance, np.asarray(mean, np.float64).var(axis=0), rtol=1e-5)
    for name in ("loss", "reconstruction_nats", "KL_bits", "elbo_nats", "accuracy"):
        for part, expected in zip(sums.groups["teacher_forced"][name], own[name], strict=True):
            np.testing.assert_allclose(part, by_passage(slices, np.asarray(expected), 3), rtol=1e-5, err_msg=name)
    total, weight = sums.groups["teacher_forced"]["elbo_nats_per_step"]
    np.testing.assert_array_equal(weight, [8, 16, 8])
    np.testing.assert_array_equal(total, sums.groups["teacher_forced"]["elbo_nats"][0])

    if kind == "groove":
        _check_forced_groove(sums.groups["teacher_forced"], forced, np.asarray(batch["groove"]).swapaxes(0, 1))

    # What is decoded greedily, compared place by place.
    wanted = np.asarray(batch[codec.arrays])
    argmax = {name: (pair[0].sum(), pair[1].sum()) for name, pair in sums.groups["argmax"].items()}
    naive = collections.Counter()
    for drawn, true in zip(made.reshape(-1, made.shape[-1]), wanted.reshape(-1, made.shape[-1]), strict=True):
        if kind == "groove":
            for drum in range(9):
                hit, was = drawn[drum] > 0.5, true[drum] > 0.5
                naive.update(right=int(hit == was), both=2 * int(hit and was), either=int(hit) + int(was))
                if hit and was:
                    naive["loud"] += abs(float(drawn[9 + drum]) - float(true[9 + drum])) * 127
                    naive["late"] += abs(float(drawn[18 + drum]) - float(true[18 + drum])) / 2 * 125
        else:
            for stream, (a, b) in enumerate(zip(drawn, true, strict=True)):
                begins = b >= (1 if codec.streams[stream] == "drums" else 2)
                naive.update({"right": int(a == b), "sounding": int(begins), "heard": int(begins and a == b)})
                naive[codec.streams[stream]] += int(a == b)
    assert argmax["accuracy"][0] == naive["right"] > 0
    if kind == "groove":
        assert argmax["accuracy"][1] == 4 * 8 * 9
        assert argmax["f1_hits"] == (naive["both"], naive["either"])
        assert argmax["velocity_error"] == pytest.approx((naive["loud"], naive["both"] / 2), rel=1e-5)
        assert argmax["offset_error_ms"] == pytest.approx((naive["late"], naive["both"] / 2), rel=1e-5)
    else:
        assert argmax["accuracy"][1] == 4 * 8 * len(codec.streams)
        assert argmax["accuracy_sounding"] == (naive["heard"], naive["sounding"])
    if kind == "trio":
        assert argmax["accuracy_bass"] == (naive["bass"], 32)
        assert set(sums.groups["teacher_forced"]) >= {"nats_melody", "nats_bass", "nats_drums", "accuracy_drums"}


def _check_forced_groove(found, made, true):
    """Errors and hits against loops over outputs and events, [T, B, 27] each."""
    both = either = loud = late = hits = 0
    for said, wanted in zip(made.reshape(-1, 27).astype(float), true.reshape(-1, 27).astype(float), strict=True):
        for drum in range(9):
            hit, was = said[drum] >= 0, wanted[drum] > 0.5
            both, either, hits = both + 2 * (hit and was), either + hit + was, hits + was
            if was:
                loud += abs(1 / (1 + np.exp(-said[9 + drum])) - wanted[9 + drum]) * 127
                late += abs(np.tanh(said[18 + drum]) - wanted[18 + drum]) * 62.5
    assert [part.sum() for part in found["f1_hits"]] == [both, either]
    assert [part.sum() for part in found["velocity_error"]] == pytest.approx([loud, hits], rel=1e-5)
    assert [part.sum() for part in found["offset_error_ms"]] == pytest.approx([late, hits], rel=1e-5)


def test_rows_change_nothing_and_an_odd_slice_has_no_partner():
    """Of a model that is sure of itself, so that all that it draws is the likeliest."""
    codec, passages = codec_of("melody"), passages_of("melody", bars=(2, 5, 2, 6))
    model = build(codec, passages, certain=False)
    projection = model.decoder.cores[0].projection
    projection.kernel[...], projection.bias[...] = 1e4 * projection.kernel[...], 1e4 * projection.bias[...]
    slices = [one for _, one in every_slice(codec, passages)]
    some, others = (scoring.elbo(model, slices, seed=3, rows=rows) for rows in (2, 8))
    np.testing.assert_allclose(some, others, rtol=1e-5)
    some = scoring.score(model, passages, seed=3, rows=2)
    assert some.slices.sum() == 7
    _, weights = some.groups["z_swapped_teacher_forced"]["reconstruction_nats"]
    assert weights.sum() == 6
    right, _ = some.groups["argmax"]["accuracy"]
    assert right.sum() > 5
    for name in ("sampled", "sampled_inputs"):
        np.testing.assert_array_equal(some.groups[name]["accuracy"][0], right)


def test_partners_are_of_other_passages():
    for sizes in ((1, 2, 1, 3), (4, 4), (5, 1, 3, 1), (1,)):
        passages = np.repeat(np.arange(len(sizes)), sizes)
        orders = [scoring.paired(passages, np.random.default_rng(seed)) for seed in range(20)]
        half = len(passages) // 2
        for order in orders:
            assert sorted(order) == list(range(len(passages)))
            assert (passages[order[: 2 * half : 2]] != passages[order[1 : 2 * half : 2]]).all()
    # One that has more than half meets itself, and none is lost.
    order = scoring.paired(np.array([0, 0, 0, 0, 1, 2]), np.random.default_rng(0))
    assert sorted(order) == list(range(6))


def test_a_decoder_that_ignores_z_is_as_good_with_any_other():
    codec, passages = codec_of("melody"), passages_of("melody", bars=(8, 8))
    model = build(codec, passages, decoder="hierarchical", certain=False)
    for to_state in model.decoder.conductors.maps:
        to_state.kernel[...] = jnp.zeros_like(to_state.kernel[...])
    groups = scoring.score(model, passages, seed=0, rows=4).groups
    assert groups["sampled"]["accuracy"][0].sum() > 5
    for how in ("teacher_forced", "sampled"):
        for what in ("z_swapped", "z_zero"):
            for name, pair in groups[f"{what}_{how}"].items():
                np.testing.assert_allclose(pair, groups[how][name], rtol=1e-6)


def test_a_model_that_knows_its_slices_needs_the_right_z(monkeypatch):
    """Overfitted: it reconstructs what it has learnt, and something else with the z of another."""
    codec = Codec(bars=2, steps_per_bar=4)
    passages = passages_of("melody", bars=(2,) * 6, seed=5)
    model = build(codec, passages, latent_size=16, encoder_layers=(24,), decoder_layers=(48,), beta=0.01)
    model.deviation.bias[...] = jnp.full_like(model.deviation.bias[...], -2.0)
    slices = [one for _, one in every_slice(codec, passages)]
    batch = {"tokens": jnp.stack([one["tokens"] for one in slices]), "real": jnp.ones(len(slices))}
    graph, state = nnx.split(model)
    adam = optax.adam(1e-2)

    @jax.jit
    def step(carry, number):
        def loss(state):
            keys = jax.random.split(jax.random.fold_in(jax.random.key(0), number), len(slices))
            return nnx.merge(graph, state)(batch, keys=keys, step=number, train=True)["loss"][0].mean()

        state, moments = carry
        updates, moments = adam.update(jax.grad(loss)(state), moments)
        return (optax.apply_updates(state, updates), moments), None

    (state, _), _ = jax.lax.scan(step, (state, adam.init(state)), jnp.arange(250))
    monkeypatch.setitem(scoring.ROWS, "cpu", 6)
    numbers = evaluation.likelihood(
        types.SimpleNamespace(model=nnx.merge(graph, state)), iter(passages), seed=0, tell=lambda line: None
    )
    value = {
        group: {name: pair[0].sum() / pair[1].sum() for name, pair in named.items() if isinstance(pair, tuple)}
        for group, named in numbers.items()
    }
    assert value["sampled"]["accuracy"] > 0.9
    assert value["argmax"]["accuracy"] > 0.95
    assert value["sampled_inputs"]["accuracy"] > 0.9
    assert value["z_swapped_sampled"]["accuracy_sounding"] < 0.5 < value["sampled"]["accuracy_sounding"]
    assert value["z_swapped_teacher_forced"]["reconstruction_nats"] > 5 * value["teacher_forced"]["reconstruction_nats"]
    assert numbers["latent"] == {"active_units": numbers["latent"]["active_units"], "latent_size": 16}
    assert 2 <= numbers["latent"]["active_units"] <= 16
    assert numbers["teacher_forced"]["slices"] == numbers["teacher_forced"]["passages"] == len(slices)


def test_the_language_model_is_witten_and_bells():
    rng = np.random.default_rng(0)
    known, asked = rng.integers(0, 4, (30, 12)) * 1000, np.append(rng.integers(0, 5, (3, 11)) * 1000, [[7]] * 3, axis=1)
    counts = collections.defaultdict(collections.Counter)
    for row in known.tolist():
        row = [None] * 4 + row
        for place in range(4, len(row)):
            for length in range(5):
                counts[tuple(row[place - length : place])][row[place]] += 1

    def probability(context, symbol):
        shorter = probability(context[1:], symbol) if context else 1 / 5
        if context not in counts:
            return shorter
        follow = counts[context]
        return (follow[symbol] + len(follow) * shorter) / (sum(follow.values()) + len(follow))

    found = LanguageModel.fit(known).nats(asked)
    for row, nats in zip(asked.tolist(), found, strict=True):
        row = [None] * 4 + row
        expected = [-np.log(probability(tuple(row[place - 4 : place]), row[place])) for place in range(4, len(row))]
        np.testing.assert_allclose(nats, expected, rtol=1e-9)


def test_mixtures_and_distances_are_those_of_loops():
    rng = np.random.default_rng(0)
    first, second = (
        {"tokens": rng.integers(low, low + 50, (32, 3)), "chord": rng.integers(0, 49, 32)} for low in (0, 50)
    )
    uniform = rng.random(32)
    for t in (0.0, 0.3, 1.0):
        made = interpolation.mixed(first, second, t, uniform)
        for name, value in made.items():
            for step in range(32):
                np.testing.assert_array_equal(value[step], (second if uniform[step] < t else first)[name][step])
    path, ends = rng.integers(0, 3, (5, 11, 8, 2)), rng.integers(0, 3, (5, 2, 8, 2))
    found = interpolation.ways(path, ends)
    for point in range(11):
        differ = [(path[p, point, t, s] != ends[p, 1, t, s]) for p in range(5) for t in range(8) for s in range(2)]
        assert found["hamming_second"][point] == pytest.approx(np.mean(differ))
    assert len(found["hamming_step"]) == 10
    costs, own = np.ones((5, 11)) * 3, np.stack([np.full(5, 1.0), np.full(5, 2.0)], axis=1)
    np.testing.assert_allclose(interpolation.relative(costs, own), 3 / (1 + interpolation.POINTS))


def test_copies_are_found_in_any_key_and_from_bar_to_bar():
    codec = Codec(bars=4, steps_per_bar=4)
    line = np.array([0, 40, 1, 44, 47, 0, 0, 1, 0, 52, 0, 50, 1, 0, 48, 0], np.int64)[:, None]
    known = set(repetition.windows(codec, line))
    assert len(known) == 3
    moved = np.where(line >= 2, line + 5, line)
    assert repetition.copied(codec, [line, moved], known) == 1
    # What is held into a window belongs to the one before.
    held = moved.copy()
    held[0] = 1
    assert repetition.copied(codec, [held], known) == 1
    assert repetition.copied(codec, [np.roll(line, 1, axis=0)], known) == 0
    changed = line.copy()
    changed[14] = 49
    assert repetition.copied(codec, [changed], known) == pytest.approx(2 / 3)
    assert repetition.copied(codec, [np.zeros((16, 1), np.int64)], known) is None
    beat = Codec(kind="drums", bars=4, steps_per_bar=4)
    assert not set(repetition.windows(beat, line)) & set(repetition.windows(beat, line + 1))


def test_passages_and_slices_have_the_same_symbols():
    for kind in CODECS:
        codec = codec_of(kind)
        passages = passages_of(kind, bars=(4, 2))
        windows = {
            one for passage in passages for one in repetition.windows(codec, repetition.of_passage(codec, passage))
        }
        slices = [interpolation.symbols(codec, one) for _, one in every_slice(codec, passages)]
        assert repetition.copied(codec, slices, windows) == 1


def test_bars_that_come_again_are_counted():
    codec = Codec(kind="drums", bars=4, steps_per_bar=2)
    bars = [[1, 0], [2, 0], [1, 0], [0, 0]]
    slices = [np.array(bars).reshape(-1, 1), np.array([[3, 3]] * 4).reshape(-1, 1)]
    found = repetition.within(codec, slices)
    assert found["repeated_bars"] == (1 + 3) / (2 + 3)
    assert found["similarity"] == np.mean([0.5, 0.5, 1, 1, 1])
    assert repetition.distinct([*slices, slices[0]]) == pytest.approx(2 / 3)
    assert repetition.sounds(codec, slices[0])
    assert not repetition.sounds(Codec(), np.ones((32, 1), np.int64))


def test_units_of_grooves():
    """Half a step is 62.5 ms at 120 quarters a minute, and 1 is the loudest."""
    wanted, made = np.zeros((1, 2, 27), np.float32), np.zeros((1, 2, 27), np.float32)
    wanted[0, 0, [0, 9, 18]] = 1, 1, 1
    made[0, 0, [0, 9, 18]] = 1, 0.5, -1
    made[0, 1, 3] = 1
    found = agreement.free(codec_of("groove"), jnp.asarray(wanted), jnp.asarray(made))
    assert {name: (float(a[0]), float(b[0])) for name, (a, b) in found.items()} == {
        "accuracy": (17, 18),
        "f1_hits": (2, 3),
        "velocity_error": (63.5, 1),
        "offset_error_ms": (125, 1),
    }


def test_data_that_slices_cannot_be_cut_from_is_refused(toy_melodies, toy_drums):
    melodies = PreparedData(toy_melodies)
    Codec(chords=True).check(melodies)
    for codec, folder, options, message in (
        (Codec(kind="groove"), toy_drums, {}, "holds no grooves: its records have drums"),
        (Codec(chords=True), toy_drums, {}, "holds no melodies"),
        (Codec(), toy_melodies, {"steps_per_bar": 12}, "have 12 steps, those of the codec 16 .*prepare data of that"),
        (Codec(chords=True), toy_melodies, {"chords": "none"}, "prepare it with --chords=infer"),
    ):
        data = PreparedData(folder)
        data.source["options"] |= options
        with pytest.raises(UserError, match=message):
            codec.check(data)
    assert Codec(bars=4).encode({"melody": np.full(32, 40, np.uint8), "name": "short"}).reason == "shorter than 4 bars"
    assert Codec().encode({"melody": np.zeros(32, np.uint8), "name": "silent"}).reason == "no 2 bars that sound"
