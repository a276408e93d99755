"""evaluate.py on performances, and their samples held against real ones: copyists and clumsy players are found out."""

import json

import numpy as np
import pytest
from frame import ONE_DEVICE, run

from magenta_lite import evaluation
from magenta_lite.models.performance_rnn import Codec, events
from magenta_lite.models.performance_rnn import evaluation as of_performances
from magenta_lite.models.performance_rnn.vocabulary import NOTE_OFF, NOTE_ON, TIME_SHIFT


def names(tree):
    for name, value in tree.items():
        yield name
        if isinstance(value, dict):
            yield from names(value)


def test_the_program_prints_and_explains_every_number(playing):
    done = run("evaluate.py", f"--workdir={playing}", "--samples=3", env=ONE_DEVICE)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(name))
    groups = ["samples", "features", "histograms", "stuck_notes", "copied"]
    assert list(found) == ["evaluated", "likelihood", "standard_error", *groups]
    assert found["evaluated"]["family"] == "performance_rnn"
    assert found["samples"]["count"] == 3
    pieces = found["evaluated"]["examples"]
    assert found["samples"]["excerpts"] == min(pieces, 3)
    assert found["copied"]["training_pieces"] == 24
    whole, windows = (found["likelihood"][name] for name in ("whole_pieces", "windows"))
    assert list(found["likelihood"]) == list(found["standard_error"]) == ["whole_pieces", "windows"]
    assert whole["pieces"] == windows["pieces"] == pieces
    assert windows["events"] < whole["events"] <= windows["events"] * 512 / 511 + pieces
    for one in (whole, windows):
        assert one["perplexity"] == pytest.approx(np.exp(one["nats_per_event"]), rel=1e-4)
        assert one["nats_per_note"] * one["notes"] == pytest.approx(one["nats_per_event"] * one["events"], rel=1e-4)
        assert one["nats_per_step"] == pytest.approx(one["nats_per_second"] / 100, rel=1e-4)
    explained = evaluation.definitions("performance_rnn")
    del found["evaluated"]
    missing = {name for name in names(found) if name not in explained and not name.startswith("overlap_")}
    assert not missing
    assert "events_8" in found["copied"]


def toy_pieces(count, seed):
    from data.toy import performances

    rng = np.random.default_rng(seed)
    styles = ("alberti", "waltz")
    return [
        {**performances.perform(styles[i % 2], rng)[0].pack(), "name": f"{seed}/{i}", "label": styles[i % 2]}
        for i in range(count)
    ]


class Copyist:
    """Stands in for a sampler: what it plays is given, as events."""

    def __init__(self, codec, played, conditions=()):
        self.codec, self.played, self.conditions = codec, played, conditions
        self.asked = None

    def sample(self, count, **options):
        self.asked = options
        rows = [self.played[i % len(self.played)] for i in range(count)]
        return [{"tokens": tokens, "length": np.int32(len(tokens)), "ended": np.bool_(True)} for tokens in rows]


def _30_seconds(tokens, codec):
    return of_performances._cut(tokens, 3000, codec.vocabulary)


def judged(player, split, training, count=8):
    return of_performances.samples(
        player, split, iter(training), count=count, temperature=1.0, seed=0, tell=lambda line: None
    )


@pytest.mark.parametrize("options", [{}, {"encoding": "notes", "max_shift": 1000}], ids=["events", "notes"])
def test_copies_of_training_pieces_are_found_out(options):
    codec = Codec(**options)
    split, known, more = toy_pieces(8, 1), toy_pieces(12, 2), toy_pieces(8, 3)
    copies = [codec.encode(piece)["tokens"] for piece in known]
    found = judged(Copyist(codec, copies), split, known)
    n = found["copied"]["events_16"]
    # All of it, but where the last shift of 30 s is cut.
    assert n["samples"]["share"] > 0.99
    assert n["samples"]["longest_max"] >= max(len(_30_seconds(tokens, codec)) for tokens in copies[:8]) - 1
    assert n["split"]["share"] < 0.2
    new = judged(Copyist(codec, [codec.encode(piece)["tokens"] for piece in more]), split, known)
    assert new["copied"]["events_16"]["samples"]["share"] < 0.2
    assert new["copied"]["training_events"] == sum(map(len, copies))
    # Eight pieces of the same five styles, against eight others: alike, and no copies.
    assert 0.5 < new["histograms"]["duration"]["overlap"] < 1
    assert sum(new["histograms"]["inter_onset"]["split"]) == pytest.approx(1)
    assert 0.3 < new["features"]["note_density"]["samples"]["oa"] <= 1
    if codec.encoding == "notes":
        assert "stuck_notes" not in new
    else:
        assert new["stuck_notes"]["orphans"]["split"] == 0
        assert new["stuck_notes"]["unended"]["split"] < 0.1


def test_stuck_notes_are_counted():
    codec = Codec()
    number = codec.vocabulary.number

    def piece(*told):
        return np.array([[number(type, value)] for type, value in told])

    second = (TIME_SHIFT, 100)
    pieces = [
        # One of 6 s, one of 1 s; one off that was never on.
        piece(
            (NOTE_ON, 60), second, (NOTE_ON, 62), second, (NOTE_OFF, 62), *[second] * 4, (NOTE_OFF, 60), (NOTE_OFF, 1)
        ),
        # One that does not end in 7 s, and one that could still end.
        piece((NOTE_ON, 60), *[second] * 6, (NOTE_ON, 64), second),
    ]
    assert of_performances._stuck(pieces, codec.vocabulary, 100) == {"held": 2 / 2, "unended": 2 / 4, "orphans": 1 / 3}
    nothing = of_performances._stuck([np.zeros((0, 1), int)], codec.vocabulary, 100)
    assert nothing == {"held": None, "unended": None, "orphans": None}


def test_excerpts_are_as_samples_are():
    """Within 30 s, of notes that begin there; what begins before leaves nothing."""
    codec = Codec()
    for piece in toy_pieces(6, 4):
        tokens = codec.encode(piece)["tokens"]
        first = of_performances._place(tokens, codec, np.random.default_rng(0))
        made = of_performances._excerpt(tokens, first, codec)
        steps = events.steps_of(made, codec.vocabulary).sum()
        assert steps <= 3000
        if events.steps_of(tokens, codec.vocabulary).sum() > 3600:
            assert steps > 2000
        passage = of_performances._passage(tokens, first, codec)
        assert 0 <= len(passage) - len(made) < 0.1 * len(passage)
        _, odd = events.from_events(made, codec.vocabulary)
        assert odd["note-offs without a note-on"] == 0
        kept = of_performances._cut(tokens, 1000, codec.vocabulary)
        assert events.steps_of(kept, codec.vocabulary).sum() == 1000
        np.testing.assert_array_equal(kept[:-1], tokens[: len(kept) - 1])


def test_a_model_with_controls_is_told_those_of_excerpts():
    codec = Codec(controls=("notes_per_second", "pitch_class_histogram"), optional_controls=True)
    split, known = toy_pieces(3, 1), toy_pieces(2, 2)
    copies = [codec.encode(piece)["tokens"] for piece in known]
    player = Copyist(codec, copies, conditions=("told", "density", "histogram"))
    judged(player, split, known, count=4)
    told = player.asked["condition"]
    assert {name: value.shape for name, value in told.items()} == {
        "told": (4,),
        "density": (4, 30),
        "histogram": (4, 30, 12),
    }
    np.testing.assert_array_equal(told["density"][3], told["density"][0])
    np.testing.assert_allclose(told["histogram"].sum(-1), 1, rtol=1e-5)
    assert told["told"].all()
    assert told["density"].min() >= 0
    assert told["density"].max() <= 7
