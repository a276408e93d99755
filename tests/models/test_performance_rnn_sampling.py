"""Sampling performances: against loops of one event a call and naive rules, and what every result must hold to."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from magenta_lite.models.performance_rnn import Codec, Model, beam, controls, decoding, events
from magenta_lite.models.performance_rnn.vocabulary import NOTE_ON, TIME_SHIFT

SMALL = {"max_shift": 10, "velocity_bins": 4, "steps_per_second": 10}
NOTES = {"encoding": "notes", "max_shift": 11, "max_duration": 100, "velocity_bins": 4, "steps_per_second": 10}
BOTH = {**SMALL, "controls": controls.CONTROLS, "optional_controls": True}

pytestmark = pytest.mark.usefixtures("quick_to_compile")


@functools.cache
def make(codec=(), **options):
    """A model whose weights are all random and not small, so that everything has an effect."""
    codec = Codec(**dict(codec))
    options = {"layers": (12, 12)} | options
    graph, state = nnx.split(nnx.eval_shape(lambda: Model(codec, rngs=nnx.Rngs(0), **options)))
    rng = np.random.default_rng(1)
    return nnx.merge(graph, jax.tree.map(lambda w: jnp.asarray(rng.normal(0, 0.7, w.shape), jnp.float32), state))


def small(codec=SMALL, **options):
    return make(tuple(codec.items()), **options)


def biased(model, number, by):
    """The same model, to which one event is likelier."""
    graph, state = nnx.split(model)
    other = nnx.merge(graph, jax.tree.map(jnp.copy, state))
    other.output.bias[...] = other.output.bias[...].at[number].add(by)
    return other


def keys_of(n, seed=0):
    return jax.vmap(lambda i: jax.random.fold_in(jax.random.key(seed), i))(jnp.arange(n))


def sample(model, keys, fixed=None, **given):
    graph, state = nnx.split(model)
    call = jax.jit(lambda state, keys, given: nnx.merge(graph, state).sample(keys, **given, **(fixed or {})))
    return jax.device_get(call(state, keys, given))


def moves(model, tokens):
    return events.steps_of(tokens, model.vocabulary)


def softmax(x):
    weights = np.exp(x - x.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def naive(logits, temperature, top_k=None, top_p=None, min_p=None):
    """Probabilities [K], in the plainest way."""
    p = softmax(np.asarray(logits, np.float64) / temperature)
    order = np.argsort(-p)
    kept = set(order.tolist())
    if top_k is not None:
        kept = set(order[:top_k].tolist())
    if top_p is not None:
        total, wanted = 0.0, top_p * sum(p[i] for i in kept)
        few = set()
        for i in order:
            if i in kept and total < wanted:
                few.add(int(i))
                total += p[i]
        kept = few
    if min_p is not None:
        kept = {i for i in kept if p[i] >= min_p * p.max()}
    p = np.where(np.isin(np.arange(len(p)), list(kept)), p, 0)
    return p / p.sum()


@functools.cache
def advancing(model):
    return jax.jit(model.advance)


def one_by_one(model, tokens, told=None):
    """State and logits behind tokens [T, F], one call an event."""
    advance = advancing(model)
    state, logits = model.first_state(1), None
    for position, event in enumerate(tokens):
        now = {name: jnp.asarray(value[position])[None] for name, value in (told or {}).items()}
        state, logits = advance(state, jnp.asarray(event)[None], now)
    return state, np.asarray(logits[0])


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_first_event_is_drawn_from_the_softmax(temperature):
    model = small()
    _, logits = one_by_one(model, model.vocabulary.first[None])
    p = naive(logits, temperature)
    drawn = sample(model, keys_of(4096), {"max_length": 1}, temperature=temperature)
    counts = np.bincount(drawn["tokens"][:, 0, 0], minlength=len(p))
    likely = p * 4096 >= 5
    expected = np.append(p[likely], p[~likely].sum()) * 4096
    seen = np.append(counts[likely], counts[~likely].sum())
    chi = ((seen - expected) ** 2 / expected).sum()
    assert chi < len(expected) - 1 + 4 * np.sqrt(2 * len(expected))
    greedy = sample(model, keys_of(3), {"max_length": 1}, temperature=0.0)
    assert (greedy["tokens"][:, 0, 0] == logits.argmax()).all()


@pytest.mark.parametrize(
    "limits",
    [
        {"top_k": 1},
        {"top_k": 7},
        {"top_k": 10_000},
        {"top_p": 0.3},
        {"top_p": 0.95},
        {"min_p": 0.2},
        {"min_p": 1.0},
        {"top_k": 5, "top_p": 0.7},
        {"top_k": 9, "top_p": 0.9, "min_p": 0.1},
    ],
    ids=str,
)
def test_truncation_is_the_naive_one(limits):
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, (40, 23)).astype(np.float32)
    temperature = rng.uniform(0.3, 2, 40).astype(np.float32)
    whole = {"top_k": np.int32, "top_p": np.float32, "min_p": np.float32}
    choice = decoding.Choice(
        jnp.asarray(temperature), **{name: jnp.full(40, value, whole[name]) for name, value in limits.items()}
    )
    kept = np.isfinite(np.asarray(decoding.truncated(jnp.asarray(logits), choice)))
    for row in range(40):
        np.testing.assert_array_equal(kept[row], naive(logits[row], temperature[row], **limits) > 0)


def test_truncated_events_alone_are_drawn_and_greedy_stays_greedy():
    model = small()
    _, logits = one_by_one(model, model.vocabulary.first[None])
    limits = {"top_k": np.int32(6), "top_p": np.float32(0.8)}
    drawn = sample(model, keys_of(500), {"max_length": 1}, **limits)
    assert set(drawn["tokens"][:, 0, 0].tolist()) == set(np.flatnonzero(naive(logits, 1.0, 6, 0.8)).tolist())
    greedy = sample(model, keys_of(2), {"max_length": 9}, temperature=0.0, **limits)
    plain = sample(model, keys_of(2, seed=5), {"max_length": 9}, temperature=0.0)
    np.testing.assert_array_equal(greedy["tokens"], plain["tokens"])


VARIANTS = {
    "events": (SMALL, {}),
    "notes": (NOTES, {}),
    "residual": (SMALL, {"residual": True}),
    "attention": (SMALL, {"attention": 5}),
    "modulo": (SMALL, {"inputs": "modulo"}),
    "controls": (BOTH, {}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_beginnings_are_kept_and_continued_as_one_event_a_call_does(variant, monkeypatch):
    monkeypatch.setattr(decoding, "READ", 8)  # so that they are read in passes and by single events
    codec, options = VARIANTS[variant]
    model = small(codec, **options)
    rng = np.random.default_rng(4)
    lengths, fields = np.array([1, 30, 9, 0]), model.vocabulary.fields
    tokens = rng.integers(0, fields, (4, 32, len(fields))).astype(np.int32)
    prime = {"tokens": tokens, "length": lengths.astype(np.int32)}
    condition = {}
    if model.conditions:
        prime |= {
            "density": rng.integers(0, 8, (4, 32)).astype(np.int32),
            "histogram": rng.dirichlet(np.ones(12), (4, 32)).astype(np.float32),
            "told": np.ones(4, np.float32),
        }
        condition = {
            "density": np.full((4, 1), 3, np.int32),
            "histogram": np.full((4, 1, 12), 1 / 12, np.float32),
            "told": np.ones(4, np.float32),
        }
    new, keys = 6, keys_of(4)
    given = {"condition": condition} if condition else {}
    drawn = sample(model, keys, {"max_length": new}, prime=prime, **given)
    np.testing.assert_array_equal(drawn["length"], lengths + new)
    for row, length in enumerate(lengths):
        np.testing.assert_array_equal(drawn["tokens"][row, :length], tokens[row, :length])
        assert not drawn["tokens"][row, length + new :].any()
        heard = list(tokens[row, :length]) or [model.vocabulary.first]
        made = []
        for position in range(new):
            told = {}
            if condition:
                # Reading an event, the model is told of the next one.
                of_prime = {name: prime[name][row, 1:length] for name in ("density", "histogram")}
                asked = {name: np.repeat(condition[name][row], position + 1, axis=0) for name in of_prime}
                told = {name: np.concatenate([of_prime[name], asked[name]]) for name in of_prime}
                told["told"] = np.ones(len(heard) + position, np.float32)
            _, logits = one_by_one(model, heard + made, told)
            uniform = jax.random.uniform(jax.random.fold_in(keys[row], length + position), (len(fields),))
            parts = np.split(logits, np.cumsum(fields)[:-1])
            event = [
                int(np.searchsorted(np.cumsum(softmax(part.astype(np.float64))), float(u), side="right"))
                for part, u in zip(parts, uniform, strict=True)
            ]
            made.append(np.array(event, np.int32))
        np.testing.assert_array_equal(drawn["tokens"][row, length : length + new], made)


def test_a_sample_depends_on_its_own_key_alone():
    model = small()
    many = sample(model, keys_of(7), {"max_length": 256}, steps=np.int32(60))
    for row in (0, 6):
        one = sample(model, keys_of(7)[row][None], {"max_length": 256}, steps=np.int32(60))
        for name, value in many.items():
            np.testing.assert_array_equal(one[name][0], value[row])


@pytest.mark.parametrize("codec", [SMALL, NOTES], ids=["events", "notes"])
@pytest.mark.parametrize("loved", ["nothing", "the shortest shift", "no shift at all"])
def test_the_time_is_delivered_in_full(codec, loved):
    model = small(codec)
    by_event = codec is SMALL
    if loved == "the shortest shift":
        model = biased(model, model.vocabulary.number(TIME_SHIFT, 1) if by_event else 1, 12.0)
    elif loved == "no shift at all":
        model = biased(model, model.vocabulary.number(NOTE_ON, 60) if by_event else 0, 100.0)
        if not by_event:
            model = biased(model, model.vocabulary.fields[0], 100.0)
    wanted = np.array([1, 9, 10, 11, 200, 57, 83, 199], np.int32)
    drawn = sample(model, keys_of(8, seed=2), {"max_length": 4096 if loved == "nothing" else 512}, steps=wanted)
    np.testing.assert_array_equal(drawn["steps"], wanted)
    stuck = loved == "no shift at all"
    for row, steps in enumerate(wanted):
        one = {name: value[row] for name, value in drawn.items()}
        time = np.cumsum(moves(model, one["tokens"][: one["length"]]))
        if by_event:
            assert time[-1] == steps
            assert (time[:-1] < steps).all()
        else:
            assert (time < steps).all()
        assert bool(one["ended"]) != stuck
        piece = model.codec.decode(one)
        assert piece.duration <= steps / model.codec.steps_per_second + 1e-9
        assert ((piece.end - piece.start) <= 5 + 1e-9).all()


def test_the_time_wanted_is_counted_from_the_end_of_a_beginning():
    model = small()
    shift = model.vocabulary.number(TIME_SHIFT, 7)
    tokens = np.array([[[60], [shift], [64], [shift]], [[60], [shift], [0], [0]]], np.int32)
    prime = {"tokens": tokens, "length": np.array([4, 2], np.int32)}
    drawn = sample(model, keys_of(2), {"max_length": 200}, prime=prime, steps=np.int32(25))
    np.testing.assert_array_equal(drawn["steps"], [39, 32])
    np.testing.assert_array_equal(drawn["given"], [4, 2])
    for row, total in enumerate(drawn["steps"]):
        assert moves(model, drawn["tokens"][row, : drawn["length"][row]]).sum() == total


@pytest.mark.parametrize("codec", [SMALL, NOTES], ids=["events", "notes"])
def test_whatever_is_drawn_no_note_hangs(codec):
    codec = Codec(**codec)
    rng = np.random.default_rng(6)
    for _ in range(50):
        tokens = rng.integers(0, codec.vocabulary.fields, (rng.integers(0, 200), len(codec.vocabulary.fields)))
        total = int(events.steps_of(tokens, codec.vocabulary).sum())
        piece = codec.decode({"tokens": tokens, "length": len(tokens), "steps": total})
        assert ((piece.end - piece.start) <= 5 + 1e-9).all()
        assert (piece.end >= piece.start).all()
        assert piece.duration <= total / 10 + 1e-9


@pytest.mark.parametrize("by_time", [True, False])
def test_controls_are_told_when_their_part_begins(by_time):
    codec = Codec(**SMALL, controls=(controls.DENSITY,))
    vocabulary = codec.vocabulary
    first, classes = vocabulary.offset(TIME_SHIFT), vocabulary.fields[0]

    def advance(state, tokens, told):
        # It plays the shift that it is told of: what comes out says what it was told, and when.
        return state, 1e9 * jax.nn.one_hot(first + told["density"], classes)

    asked = jnp.array([[2, 0, 5, 1], [3, 3, 1, 0]], jnp.int32)
    steps = jnp.array([61, 40]) if by_time else None
    wanted = decoding.Wanted(64 if by_time else 10, steps, {"density": asked})
    begun = decoding.Begun((), jnp.tile(jnp.asarray(vocabulary.first), (2, 1)), jnp.zeros(2, jnp.int32))
    drawn = decoding.unroll(
        advance, decoding.Clock(vocabulary), begun, keys_of(2), decoding.Choice(jnp.ones(2)), wanted
    )
    for row in range(2):
        tokens = np.asarray(drawn["tokens"][row, : drawn["length"][row]])
        time, expected = 0, []
        for position in range(len(tokens)):
            part = time * 4 // int(steps[row]) if by_time else position * 4 // 10
            number = first + int(asked[row, part])
            time += number - first + 1
            expected.append(number - max(time - int(steps[row]), 0) if by_time else number)
        np.testing.assert_array_equal(tokens[:, 0], expected)


def test_controls_have_an_effect_and_may_be_left_out():
    model = small(BOTH)
    asked = model.codec.condition(notes_per_second=[2.0], pitch_class_histogram=[[1] + [0] * 11])
    asked = {name: np.repeat(value[None], 3, axis=0) for name, value in asked.items()}
    silent = {**asked, "told": np.zeros(3, np.float32)}
    told, untold, nothing = (
        sample(model, keys_of(3), {"max_length": 30}, **({"condition": one} if one else {}))["tokens"]
        for one in (asked, silent, None)
    )
    np.testing.assert_array_equal(untold, nothing)
    assert (told != untold).any()


def by_beam(model, keys, search, length, steps=None):
    def call(keys):
        n = len(keys)
        wanted = decoding.Wanted(length, None if steps is None else jnp.full(n, steps), {})
        prime = {"tokens": jnp.zeros((n, 0, len(model.vocabulary.fields)), int), "length": jnp.zeros(n, int)}
        begun = model._begun(prime, {})
        choice = decoding.Choice(jnp.ones(n))
        return beam.search(model.advance, decoding.Clock(model.vocabulary), begun, keys, choice, wanted, search)

    return jax.device_get(jax.jit(call)(keys))


@pytest.mark.parametrize("steps", [None, 60])
def test_a_beam_of_one_is_plain_sampling(steps):
    model = small()
    given = {} if steps is None else {"steps": np.int32(steps)}
    plain = sample(model, keys_of(3), {"max_length": 128}, **given)
    for search in (beam.Beam(1, 1, 1), beam.Beam(1, 1, 5)):
        found = by_beam(model, keys_of(3), search, 128, steps)
        np.testing.assert_array_equal(found["length"], plain["length"])
        for row, length in enumerate(plain["length"]):
            np.testing.assert_array_equal(found["tokens"][row, :length], plain["tokens"][row, :length])


def likelihood(model, tokens):
    """Log-likelihood [n] of tokens [n, T, F] behind the first event."""
    first = np.broadcast_to(model.vocabulary.first, (len(tokens), 1, tokens.shape[2]))
    both = jnp.asarray(np.concatenate([first, tokens], axis=1))
    scores, _ = model.score({"tokens": both, "length": jnp.full(len(tokens), both.shape[1])})
    return -np.asarray(scores["nats"]).sum(1)


def test_a_beam_finds_likelier_sequences():
    model = small()
    plain = sample(model, keys_of(16), {"max_length": 24})["tokens"]
    for search in ((4, 1, 1), (1, 6, 3), (3, 2, 4)):
        names = dict(zip(("beam_size", "branch_factor", "steps_per_iteration"), search, strict=True))
        found = sample(model, keys_of(16), {"max_length": 24, **names})
        assert (found["length"] == 24).all()
        assert likelihood(model, found["tokens"]).mean() > likelihood(model, plain).mean() + 3
    timed = sample(model, keys_of(5), {"max_length": 256, **names}, steps=np.int32(77))
    for row, length in enumerate(timed["length"]):
        assert moves(model, timed["tokens"][row, :length]).sum() == 77


@pytest.mark.parametrize("search", [beam.Beam(2, 3, 2), beam.Beam(3, 1, 1)], ids=str)
def test_a_beam_is_the_published_search(search):
    """The loops of the original's beam_search, over lists, with the noise of our rows."""
    model, length = small(), 7
    keys = keys_of(2, seed=8)
    found = by_beam(model, keys, search, length)
    rows = search.size * search.branches
    for performance in range(2):
        key = keys[performance]
        of_row = [key] + [jax.random.fold_in(key, np.uint32(2**32 - 1 - row)) for row in range(1, rows)]
        entries = [([], 0.0)] * search.size
        done, count = 0, (length - 1) % search.events + 1
        while done < length:
            if done:
                entries = sorted(entries, key=lambda entry: -entry[1])[: search.size]
            entries = [entry for entry in entries for _ in range(search.branches)]
            for _ in range(count):
                drawn = []
                for row, (made, score) in enumerate(entries):
                    _, logits = one_by_one(model, [model.vocabulary.first, *made])
                    p = softmax(logits.astype(np.float64))
                    uniform = float(jax.random.uniform(jax.random.fold_in(of_row[row], done), (1,))[0])
                    number = int(np.searchsorted(np.cumsum(p), uniform, side="right"))
                    drawn.append(([*made, np.array([number], np.int32)], score + np.log(p[number])))
                entries, done = drawn, done + 1
            count = search.events
        best = max(entries, key=lambda entry: entry[1])[0]
        np.testing.assert_array_equal(found["tokens"][performance], best)
