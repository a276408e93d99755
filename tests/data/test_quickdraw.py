"""Prepared directories: exact, in order, whole or not at all."""

import csv
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data import prepare
from data.drawing_records import Drawings
from data.quickdraw import npz
from data.quickdraw.__main__ import main
from magenta_lite.command import parse
from magenta_lite.errors import UserError


def _open(out: Path, split: str):
    return tfds.builder_from_directory(str(out)).as_data_source(split)


def _lengths(out: Path) -> dict[str, np.ndarray]:
    with np.load(out / "lengths.npz", allow_pickle=False) as file:
        return dict(file)


@pytest.mark.parametrize("shard", [7, 16384])
def test_records_come_back_exactly_and_in_order(tmp_path, save, drawings, monkeypatch, shard):
    monkeypatch.setattr(Drawings, "shard", shard)
    made = {
        "cat": {"train": drawings(30, 1), "valid": drawings(4, 2), "test": drawings(5, 3)},
        "bus": {"train": drawings(20, 4), "valid": [], "test": drawings(3, 5)},
        "7": {"train": drawings(11, 6), "valid": drawings(2, 7), "test": drawings(1, 8)},
    }
    for label, splits in made.items():
        source = save(label, **splits).parent
    out = tmp_path / "deep" / "set"
    main(list(made), source=str(source), out=str(out))
    builder = tfds.builder_from_directory(str(out))
    assert builder.info.features["label"].names == ["cat", "bus", "7"]
    lengths = _lengths(out)
    for split in npz.SPLITS:
        expected = [(label, index, item) for label, splits in made.items() for index, item in enumerate(splits[split])]
        records = builder.as_data_source(split)
        assert len(records) == len(expected)
        assert lengths[split].dtype == np.int32
        assert lengths[split].tolist() == [len(item) for _, _, item in expected]
        for position in np.random.default_rng(0).permutation(len(expected)):
            label, index, item = expected[position]
            record = records[int(position)]
            assert record["strokes"].dtype == np.float32
            np.testing.assert_array_equal(record["strokes"], item)
            assert record["label"] == list(made).index(label)
            assert record["name"].decode() == f"{label}/{split}/{index}"
    assert len(list(out.glob("*.array_record*"))) == (9 + 1 + 2 if shard == 7 else 3)


def test_what_lies_beside_the_records(tmp_path, save, drawings, capsys):
    bad = [np.zeros((2, 4)), np.zeros((0, 3)), np.array([[0, np.nan, 0]]), np.array([[0, 0, 2]]), None]
    bad += [np.array([[1e300, 0, 0]]), np.zeros(3)]
    source = save("cat", train=[*bad, *drawings(3)], valid=drawings(2), test=[*drawings(2), np.array([[0, 0, 0.5]])])
    out = tmp_path / "set"
    main(["cat"], source=str(source.parent), out=str(out))
    with (out / "rejected.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["file", "item", "reason"],
        ["cat.npz", "train/0", "not [N, 3]"],
        ["cat.npz", "train/1", "no points"],
        ["cat.npz", "train/2", "not finite"],
        ["cat.npz", "train/3", "pen not 0 or 1"],
        ["cat.npz", "train/4", "not an array of numbers"],
        ["cat.npz", "train/5", "not finite"],
        ["cat.npz", "train/6", "not [N, 3]"],
        ["cat.npz", "test/2", "pen not 0 or 1"],
    ]
    assert _open(out, "train")[0]["name"] == b"cat/train/7"
    about = json.loads((out / "source.json").read_text())
    assert about["builder"] == "quickdraw"
    assert about["labels"] == ["cat"]
    assert about["licence"] == "CC BY 4.0"
    assert about["counts"] == {"train": {"cat": 3}, "valid": {"cat": 2}, "test": {"cat": 2}}
    assert about["rejected"]["train"]["not finite"] == 2
    assert about["sources"] == {"cat.npz": prepare.hash_file(source)}
    words = shlex.split(about["command"])
    assert words[:3] == ["python", "-m", "data.quickdraw"]
    main(**parse(words[3:], main))
    printed = capsys.readouterr().out
    assert f"already prepared: {out}" in printed
    assert "train  3     7" in printed
    assert "rejected from train: 2 not finite" in printed
    assert f"--config.data.dir={out}" in printed


def test_another_origin_is_refused(tmp_path, save, drawings):
    for name in ("cat", "bus"):
        source = save(name, train=drawings(3), valid=drawings(1), test=drawings(1)).parent
    flags = {"source": str(source), "out": str(tmp_path / "set")}
    main(["cat"], **flags)
    before = (tmp_path / "set" / "source.json").read_bytes()
    with pytest.raises(UserError, match="classes was cat, now cat,bus: choose another --out or delete it"):
        main(["cat", "bus"], **flags)
    save("cat", train=drawings(4), valid=drawings(1), test=drawings(1))
    with pytest.raises(UserError, match=r"the content of cat\.npz changed \(\w{8}, now \w{8}\): choose another"):
        main(["cat"], **flags)
    assert (tmp_path / "set" / "source.json").read_bytes() == before


def test_a_folder_that_is_no_prepared_set_is_left_alone(tmp_path, save, drawings):
    source = save("cat", train=drawings(3), valid=drawings(1), test=drawings(1)).parent
    out = tmp_path / "thesis"
    out.mkdir()
    main(["cat"], source=str(source), out=str(out))  # an empty folder is as good as none
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("...")
    with pytest.raises(UserError, match="is no prepared set"):
        main(["cat"], source=str(source), out=str(other))
    assert [path.name for path in other.iterdir()] == ["thesis.tex"]
    with pytest.raises(UserError, match=r"cannot be made \(Not a directory\)|cannot be made \(File exists\)"):
        main(["cat"], source=str(source), out=str(other / "thesis.tex" / "set"))


@pytest.mark.parametrize("stop", [KeyboardInterrupt, UserError("damaged"), OSError("disk full")])
def test_an_interrupted_build_leaves_nothing(tmp_path, save, drawings, monkeypatch, stop):
    source = save("cat", train=drawings(3), valid=drawings(1), test=drawings(1)).parent
    read = npz.read

    def read_and_stop(path, split):
        if split == "test":
            raise stop
        return read(path, split)

    monkeypatch.setattr(npz, "read", read_and_stop)
    kind = stop if isinstance(stop, type) else UserError
    with pytest.raises(kind, match=r"damaged|set cannot be finished: disk full|^$"):
        main(["cat"], source=str(source), out=str(tmp_path / "made" / "set"))
    assert not list((tmp_path / "made").iterdir())


def test_a_build_that_keeps_nothing_says_why(tmp_path, save, drawings):
    bad = [np.zeros((2, 4)), np.zeros((2, 5)), np.array([[0, 0, 2]])]
    source = save("cat", train=bad, valid=drawings(1), test=drawings(1)).parent
    with pytest.raises(UserError, match=r"nothing to keep in train: rejected 2 not \[N, 3\], 1 pen not 0 or 1"):
        main(["cat"], source=str(source), out=str(tmp_path / "made" / "set"))
    assert not list((tmp_path / "made").iterdir())
    save("cat", train=drawings(1), valid=[], test=drawings(1))
    with pytest.raises(UserError, match="nothing to keep in valid: it is empty"):
        main(["cat"], source=str(source), out=str(tmp_path / "made" / "set"))


def test_names_of_classes(tmp_path, save, drawings, monkeypatch):
    source = str(save("alarm clock", train=drawings(2), valid=drawings(1), test=drawings(1)).parent)
    with pytest.raises(UserError, match=r"no class 'alarm_clok' in --source=.*: did you mean 'alarm clock'"):
        main(["alarm_clok"], source=source)
    with pytest.raises(UserError, match="named twice"):
        main(["alarm_clock", "alarm clock"], source=source)
    with pytest.raises(UserError, match="is empty"):
        main([], source=source)
    for name in ("../source/alarm clock", "/etc/passwd", ".hidden", "a\\b"):
        with pytest.raises(UserError, match="is not the name of a class"):
            main([name], source=source)
    with pytest.raises(UserError, match="no such folder"):
        main(["cat"], source=str(tmp_path / "nowhere"))
    monkeypatch.chdir(tmp_path)
    main(["alarm_clock"], source=source)
    assert _open(tmp_path / "prepared" / "quickdraw" / "alarm_clock", "train")[1]["name"] == b"alarm_clock/train/1"


def test_the_published_pig(tmp_path, published, capsys):
    out = tmp_path / "pig"
    main(["pig"], source=str(published), out=str(out))
    lengths = _lengths(out)
    for split in npz.SPLITS:
        expected = npz.read(published / "pig.npz", split)
        records = _open(out, split)
        assert len(records) == len(expected)
        assert lengths[split].tolist() == [len(item) for item in expected]
        for index in (0, 1, 17, len(expected) - 1):
            np.testing.assert_array_equal(records[index]["strokes"], expected[index])
    assert capsys.readouterr().out.startswith(f"prepared {out}\n")
