"""Toy drawings: the same for the same seed, and in the form that every prepared set has."""

import json

import numpy as np
import pytest
import tensorflow_datasets as tfds

toy = pytest.importorskip("data.toy.__main__", reason="the rules of the toy drawings are not written yet")

from data.toy.drawings import CLASSES  # noqa: E402
from magenta_lite.errors import UserError  # noqa: E402


def _strokes(out, split: str) -> dict[str, bytes]:
    records = tfds.builder_from_directory(str(out)).as_data_source(split)
    return {record["name"].decode(): record["strokes"].tobytes() for record in records}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("toy") / "set"
    toy.main(count=20, out=str(out))
    return out


def test_counts_and_labels(made):
    about = json.loads((made / "source.json").read_text())
    assert about["labels"] == list(CLASSES)
    assert about["counts"]["train"] == dict.fromkeys(CLASSES, 20)
    assert about["counts"]["valid"] == about["counts"]["test"] == dict.fromkeys(CLASSES, 2)
    assert about["rejected"] == {"train": {}, "valid": {}, "test": {}}
    with np.load(made / "lengths.npz", allow_pickle=False) as lengths:
        for split, count in (("train", 20), ("valid", 2), ("test", 2)):
            records = tfds.builder_from_directory(str(made)).as_data_source(split)
            assert [len(record["strokes"]) for record in records] == lengths[split].tolist()
            assert [record["label"] for record in records] == np.repeat(np.arange(len(CLASSES)), count).tolist()


def test_drawings_depend_on_seed_split_label_and_number_alone(made, tmp_path):
    chosen = list(CLASSES)[-2:]
    toy.main(count=40, classes=chosen, out=str(tmp_path / "more"))
    toy.main(count=20, seed=1, out=str(tmp_path / "other"))
    first, more, other = (_strokes(out, "train") for out in (made, tmp_path / "more", tmp_path / "other"))
    assert set(more) - set(first) == {f"{label}/train/{index}" for label in chosen for index in range(20, 40)}
    assert all(more[name] == strokes for name, strokes in first.items() if name in more)
    assert len(set(first.values()) & set(other.values())) < len(first) / 10
    assert len(set(first.values()) & set(_strokes(made, "valid").values())) < len(first) / 10


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"count": 0}, "--count=0: expected at least 1"),
        ({"seed": -1}, "--seed=-1: expected 0 or more"),
        ({"classes": ["zzz"]}, "no rules for 'zzz'"),
        ({"classes": []}, "name at least one class"),
        ({"classes": [CLASSES[0], CLASSES[0]]}, "each one once"),
    ],
)
def test_options_that_cannot_be(tmp_path, flags, message):
    with pytest.raises(UserError, match=message):
        toy.main(out=str(tmp_path / "set"), **flags)


def test_another_count_is_refused(made):
    with pytest.raises(UserError, match="count was 20, now 21"):
        toy.main(count=21, out=str(made))
