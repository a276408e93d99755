"""Near-duplicate pieces: estimates against the true index, groups against every pair compared."""

import difflib
import itertools
import json
import zipfile

import numpy as np
import pytest

from data import near_duplicates
from data.midi import extraction
from data.midi.__main__ import main
from data.prepare import SPLITS
from magenta_lite.music import midi
from magenta_lite.music.score import Score
from magenta_lite.pipeline import PreparedData


def tune(seed, notes=80):
    """Steps and pitches of a melody by chance."""
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.integers(1, 5, notes)), 60 + np.cumsum(rng.integers(-4, 5, notes))


def index(one, other):
    """Jaccard's index of two melodies, of grams as tuples."""

    def grams(step, pitch):
        pairs = list(zip(np.diff(pitch).tolist(), np.diff(step).tolist(), strict=True))
        return {tuple(pairs[begin : begin + 5]) for begin in range(len(pairs) - 4)}

    first, second = grams(*one), grams(*other)
    return len(first & second) / len(first | second)


def signed(*melodies):
    return near_duplicates.signature([near_duplicates.melody_grams(*melody) for melody in melodies])


def test_a_signature_estimates_what_two_pieces_have_in_common():
    errors = []
    for seed in range(60):
        step, pitch = tune(seed)
        changed = pitch.copy()
        changed[np.random.default_rng(seed).choice(80, seed % 12, replace=False)] += 1
        estimate = (signed((step, pitch)) == signed((step, changed))).mean()
        errors.append(estimate - index((step, pitch), (step, changed)))
    assert abs(np.mean(errors)) < 0.02
    assert np.std(errors) < 1.5 * 0.5 / np.sqrt(near_duplicates.SIGNATURE)


def test_key_place_and_order_change_nothing_and_rhythm_does():
    step, pitch = tune(0)
    np.testing.assert_array_equal(signed((step, pitch)), signed((step + 7, pitch - 5)))
    np.testing.assert_array_equal(signed((step, pitch), tune(1)), signed(tune(1), (step, pitch), tune(1)))
    assert (signed((step, pitch)) == signed((2 * step, pitch))).mean() < 0.05
    assert (signed((step, pitch)) == signed(tune(1))).mean() < 0.05


def test_pieces_of_a_few_grams_are_alike_only_if_they_are_equal():
    short = [signed(tune(0, count)) for count in (2, 7, 8, 12, 13)]
    firsts = near_duplicates.groups(np.stack([*short, signed(tune(0, 8))]))
    assert firsts.tolist() == [0, 1, 2, 3, 4, 2]
    nothing = near_duplicates.signature([])
    assert near_duplicates.groups(np.stack([nothing, short[0], nothing])).tolist() == [0, 1, 2]
    assert near_duplicates.groups(np.zeros((0, near_duplicates.SIGNATURE), np.uint32)).tolist() == []


def test_groups_are_those_of_every_pair_in_any_order():
    rng = np.random.default_rng(0)
    families = rng.integers(0, 2**32, (25, near_duplicates.SIGNATURE), np.uint32)
    rows = np.repeat(families, 8, axis=0)
    changed = rng.random(rows.shape) < rng.uniform(0, 0.7, (len(rows), 1))
    rows[changed] = rng.integers(0, 2**32, int(changed.sum()), np.uint32)
    parent = list(range(len(rows)))
    for one, other in itertools.combinations(range(len(rows)), 2):
        if (rows[one] == rows[other]).mean() >= near_duplicates.SIMILAR and parent[one] != parent[other]:
            gone, stays = max(parent[one], parent[other]), min(parent[one], parent[other])
            parent = [stays if root == gone else root for root in parent]
    assert 25 < len(set(parent)) < 150
    assert near_duplicates.groups(rows).tolist() == parent
    order = rng.permutation(len(rows))
    firsts = near_duplicates.groups(rows[order])
    assert _sets(order[firsts], order) == _sets(np.array(parent), np.arange(len(rows)))


def _sets(roots, names):
    return {frozenset(names[roots == root].tolist()) for root in set(roots.tolist())}


def test_bars_of_drums():
    bars = np.random.default_rng(0).integers(1, 512, (20, 16))
    grams = near_duplicates.drum_grams(np.concatenate([bars, np.zeros((3, 16), int), bars[:5]]))
    assert len(grams) == 25
    assert len(np.unique(grams)) == 20
    assert near_duplicates.drum_grams(bars[:, :8]).tolist() != near_duplicates.drum_grams(bars[:, 8:]).tolist()


def test_the_line_that_is_told():
    assert near_duplicates.tell(np.arange(4)) == ""
    assert near_duplicates.tell(np.array([0, 1, 0])) == "near-duplicates kept together: 1 group of 2 pieces"
    line = "near-duplicates kept together: 2 groups of 5 pieces, 3 in the largest"
    assert near_duplicates.tell(np.array([0, 0, 2, 2, 2, 5])) == line


# Versions of a tune: aligned, more than two thirds of their notes are the same; of others, less than half.
VARIANTS = [("reelsu-z8", "reelsu-z9"), ("jigs13", "jigs330"), ("reelsm-q15", "reelsm-q80"), ("jigs253", "jigs257")]
OTHERS = ["ashover1", "hpps30", "jigs100", "jigs200", "morris1", "playford1", "reelsa-c10", "reelsh-l40", "xmas1"]


@pytest.fixture(scope="module")
def nottingham(shared):
    return shared("data", "nottingham-midi.zip")


def test_versions_of_a_tune_are_found_in_any_key_and_tempo(nottingham):
    with zipfile.ZipFile(nottingham) as archive:
        held = {name.rpartition("/")[2].removesuffix(".mid") for name in archive.namelist()}
        names = [name for pair in VARIANTS for name in pair] + [name for name in OTHERS if name in held]
        scores = [midi.parse(archive.read(f"nottingham/MIDI/melody/{name}.mid")) for name in names]
    pairs = [[*zip(np.diff(score.pitch), np.diff(score.start), strict=True)] for score in scores]
    aligned = [difflib.SequenceMatcher(None, *two, autojunk=False).ratio() for two in itertools.pairwise(pairs)]
    assert min(aligned[:8:2]) > 0.66
    assert max(aligned[1:8:2] + aligned[8:]) < 0.5
    firsts = near_duplicates.groups(np.stack([extraction.signature(score) for score in scores]))
    assert firsts.tolist() == [0, 0, 2, 2, 4, 4, 6, 6, *range(8, len(names))]
    score = scores[0]
    elsewhere = Score.unpack({**score.pack(), "pitch": score.pitch + 3, "tempo": [[0, 400_000]]})
    np.testing.assert_array_equal(extraction.signature(score), extraction.signature(elsewhere))


@pytest.mark.parametrize("kind", ["pieces", "melodies"])
def test_no_near_duplicates_in_two_splits(nottingham, tmp_path, kind):
    packed = tmp_path / "tunes.zip"
    with zipfile.ZipFile(nottingham) as archive, zipfile.ZipFile(packed, "w") as chosen:
        for name in archive.namelist():
            if name.startswith("nottingham/MIDI/melody/reelsr"):
                chosen.writestr(name, archive.read(name))
                chosen.writestr(name.replace("melody/", "both/"), archive.read(name.replace("melody/", "")))
    main(str(packed), kind=kind, out=str(tmp_path / "out"), split=[1.0, 1.0, 1.0], processes=1)
    data = PreparedData(tmp_path / "out")
    where = {}
    for split in SPLITS:
        for record in data.examples(split):
            tune = record["name"].partition(".mid")[0].rpartition("/")[2]
            where.setdefault(tune, set()).add(split)
    assert len(where) > 50
    assert {len(splits) for splits in where.values()} == {1}
    about = json.loads((tmp_path / "out" / "source.json").read_text())
    assert any(note.startswith("near-duplicates kept together: ") for note in about["notes"])
