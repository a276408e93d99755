"""Samples and reconstructions held against real drawings: copyists are found out, new drawings pass."""

import json
import types

import numpy as np
import pytest

from magenta_lite import evaluation
from magenta_lite.errors import UserError
from magenta_lite.models.sketch_rnn import evaluation as of_sketches
from magenta_lite.sampler import Sampler


class Copyist:
    """Stands in for a sampler: what it draws is given."""

    def __init__(self, sampler, drawings):
        self.codec, self.drawings = sampler.codec, drawings
        self.has_latent, self.conditions, self.workdir, self.step = False, (), "nowhere", 1

    def sample(self, count, **_):
        longest = max(len(drawing) for drawing in self.drawings)
        found = []
        for drawing in (self.drawings[i % len(self.drawings)] for i in range(count)):
            strokes = np.zeros((longest, 3), np.float32)
            strokes[: len(drawing)] = drawing / np.array([self.codec.scale, self.codec.scale, 1])
            found.append({"strokes": strokes, "length": np.int32(len(drawing)), "ended": np.bool_(len(drawing) != 19)})
        return found


@pytest.fixture(scope="module")
def real(workdir):
    """Drawings of the toy classes: to train on, and others like them."""
    from data.toy import drawings as rules

    rng = np.random.default_rng(5)
    known, new, more = (
        [{"strokes": rules.draw(label, rng), "label": label} for _ in range(60) for label in ("star", "sun")]
        for _ in range(3)
    )
    return types.SimpleNamespace(known=known, new=new, more=more, sampler=Sampler(workdir))


def judged(real, drawings, **options):
    copyist = Copyist(real.sampler, drawings)
    given = {"count": 100, "temperature": 1.0, "seed": 0, "tell": lambda line: None} | options
    return of_sketches.samples(copyist, real.new, iter(real.known), **given)


def test_copies_of_training_drawings_are_found_out(real):
    known = [example["strokes"] for example in real.known]
    rng = np.random.default_rng(0)
    found = judged(real, known)["nearest_training"]
    assert found["compared"] == len(known)
    assert found["copies"] == {"samples": 1, "split": 0}
    assert found["near_copies"]["samples"] == 1
    assert found["nearer_than_split"] == 1
    # Moved, scaled, drawn in another unit, or with a little noise, they are copies still.
    blurred = [drawing * np.array([0.5, 0.5, 1]) for drawing in known]
    for drawing in blurred:
        drawing[:, :2] += rng.normal(0, 0.2, (len(drawing), 2))
    found = judged(real, blurred)["nearest_training"]
    assert found["near_copies"]["samples"] > 0.95
    assert found["nearer_than_split"] > 0.99
    # A model that copies every fifth one.
    fifth = [known[i] if i % 5 == 0 else example["strokes"] for i, example in enumerate(real.more)]
    found = judged(real, fifth)["nearest_training"]
    assert found["copies"]["samples"] == pytest.approx(0.2)


def test_new_drawings_of_the_same_kind_pass(real):
    found = judged(real, [example["strokes"] for example in real.more])
    near = found["nearest_training"]
    assert near["copies"]["samples"] == 0
    assert near["near_copies"]["samples"] < 0.06
    assert 0.4 < near["nearer_than_split"] < 0.6
    assert near["samples"]["p50"] == pytest.approx(near["split"]["p50"], rel=0.15)
    ratio = found["precision_recall"]
    assert ratio["of_each"] == 100
    assert ratio["precision"] == pytest.approx(ratio["precision_training"], abs=0.1)
    assert ratio["recall"] == pytest.approx(ratio["recall_training"], abs=0.1)
    assert found["diversity"]["samples"] == pytest.approx(found["diversity"]["split"], rel=0.1)
    assert found["sizes"]["points"]["wasserstein"] < 2


def test_one_drawing_over_and_over_is_found_out(real):
    found = judged(real, [real.more[0]["strokes"]])
    assert found["diversity"]["samples"] < 1e-6 < found["diversity"]["split"]
    assert found["precision_recall"]["recall"] < 0.3
    assert found["sizes"]["points"]["wasserstein"] > 2


def test_what_ended_and_what_is_empty_is_counted(real):
    drawings = [np.ones((19, 3)), np.ones((4, 3)), np.zeros((0, 3)), np.ones((8, 3))]
    found = judged(real, drawings)
    assert found["samples"] == {"count": 100, "temperature": 1.0, "seed": 0, "ended": 0.75, "empty": 0.25}
    points = found["sizes"]["points"]
    assert points["samples"]["mean"] == (19 + 4 + 8) / 4
    json.dumps(evaluation.plain(found), allow_nan=False)


def test_a_model_that_diverged_is_said_to(real):
    with pytest.raises(UserError, match="diverged"):
        judged(real, [np.full((4, 3), np.nan)])


def test_reconstructions_are_held_against_those_of_others(real):
    from magenta_lite.sketch import metrics

    given = metrics.traces([example["strokes"] for example in real.new])
    labels = np.array([example["label"] == "sun" for example in real.new]).astype(int)
    same = of_sketches._own_or_another(given, given, labels)
    assert same["own"] == 0
    assert same["own_is_nearer"] == 1
    every = metrics.distances(given, given)
    within = every[labels[:, None] == labels[None, :]].mean()
    assert same["another"] == pytest.approx(within, rel=0.2)
    blind = of_sketches._own_or_another(given, given[np.zeros(len(labels), int)], labels)
    assert blind["own_is_nearer"] == 0.5
    alone = of_sketches._own_or_another(given[:2], given[:2], np.array([0, 1]))
    assert alone["another"] is None
