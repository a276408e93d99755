"""Records of passages, of every kind."""

import json

import numpy as np
import pytest

from data.passage_records import COLUMNS, Passages
from data.prepare import SPLITS, Item, Origin, prepare
from magenta_lite.pipeline import PreparedData


class Made(Passages):
    """Passages that a test gives."""

    name = "made"

    def __init__(self, contents, **options):
        self.contents = contents
        super().__init__(labels=["a"], **options)

    def items(self, split):
        for number, content in enumerate(self.contents):
            yield Item("file", f"{split}/{number}", "a", f"a/{split}/{number}", content)

    def count(self, split):
        return len(self.contents)


def made(kind, contents, out, **options):
    origin = Origin("made", "1", {"kind": kind}, {}, ("a",), None, "")
    prepare(out, origin, lambda data_dir: Made(contents, kind=kind, data_dir=data_dir, **options))
    return PreparedData(out)


def passage(kind, steps, seed=0):
    rng = np.random.default_rng(seed)
    columns = {}
    for name, (shape, dtype) in COLUMNS[kind].items():
        size = (steps, *shape[1:])
        most = 2**61 if dtype is np.uint64 else 48
        columns[name] = rng.uniform(-0.5, 0.5, size) if dtype is np.float32 else rng.integers(0, most, size, dtype)
        columns[name] = columns[name].astype(dtype)
    return columns


@pytest.mark.parametrize("kind", COLUMNS)
def test_passages_come_back_as_they_were(kind, tmp_path):
    contents = [passage(kind, 16 * (1 + number), number) for number in range(3)]
    contents[1] |= {"qpm": 90.5, "title": "Été"}
    data = made(kind, contents, tmp_path / "out")
    for split in SPLITS:
        assert data.lengths[split].tolist() == [16, 32, 48]
        for given, record in zip(contents, data.examples(split), strict=True):
            for name, (_, dtype) in COLUMNS[kind].items():
                assert record[name].dtype == dtype
                np.testing.assert_array_equal(record[name], given[name])
            assert record["steps_per_bar"] == 16
            assert (record["qpm"], record["title"]) == (given.get("qpm", 120), given.get("title", ""))


def test_a_melody_without_chords_has_none(tmp_path, capsys):
    data = made("melodies", [{"melody": np.full(12, 40)}], tmp_path / "out", steps_per_bar=12)
    np.testing.assert_array_equal(data.example("train", 0)["chord"], np.zeros(12))
    assert data.example("train", 0)["steps_per_bar"] == 12
    assert "--config=configs/music_vae.py:cat-mel_2bar_small" in capsys.readouterr().out


def test_what_is_no_passage_is_rejected(tmp_path):
    trio = passage("trios", 16)
    contents = [trio, trio | {"bass": trio["bass"][:8]}, passage("trios", 24), passage("trios", 0)]
    made("trios", contents, tmp_path / "out")
    reasons = json.loads((tmp_path / "out" / "source.json").read_text())["rejected"]["test"]
    assert reasons == {"not whole bars of 16 steps": 2, "columns of different lengths": 1}
