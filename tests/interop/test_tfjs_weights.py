"""The files of TensorFlow.js' weights, of strangers: each is read once and no further than it is said to go."""

import json
import os

import numpy as np
import pytest

from magenta_lite.errors import UserError
from magenta_lite.interop import tfjs_weights

WEIGHT = {"name": "a", "shape": [2], "dtype": "float32"}
QUANTISED = WEIGHT | {"quantization": {"dtype": "uint8", "scale": 1.0, "min": 0.0}}


def folder(path, paths=("s",), content=bytes(8), **changes):
    """A folder with one weight in one shard, called s."""
    entries = [WEIGHT | changes]
    (path / "weights_manifest.json").write_text(json.dumps([{"paths": list(paths), "weights": entries}]))
    (path / "s").write_bytes(content)
    return path


def refusal(path):
    with pytest.raises(UserError) as raised:
        tfjs_weights.load(path)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_weight_in_two_shards(tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "t").write_bytes(np.array([-2.0], "<f4").tobytes())
    folder(tmp_path, ["./s", "more//t"], np.array([1.5], "<f4").tobytes())
    assert tfjs_weights.load(tmp_path)["a"].tolist() == [1.5, -2.0]


@pytest.mark.parametrize("other", ["s", "./s", "././s", "more/s", "link", "hard"])
def test_a_shard_is_read_once_whatever_it_is_called(tmp_path, other):
    """Else a folder of 4 MB could be loaded as one of many GB."""
    folder(tmp_path, ["s", other], bytes(4))
    (tmp_path / "more").symlink_to(".")
    (tmp_path / "link").symlink_to("s")
    os.link(tmp_path / "s", tmp_path / "hard")
    assert "a shard is named twice" in refusal(tmp_path)


def test_a_shard_is_read_once_in_all_groups(tmp_path):
    groups = [{"paths": [name], "weights": [WEIGHT | {"name": name}]} for name in ("s", "./s")]
    folder(tmp_path)
    (tmp_path / "weights_manifest.json").write_text(json.dumps(groups))
    assert "a shard is named twice" in refusal(tmp_path)


def test_devices_pipes_and_folders_are_not_read(tmp_path):
    folder(tmp_path)
    (tmp_path / "s").unlink()
    for make in (lambda at: at.symlink_to("/dev/zero"), os.mkfifo, lambda at: at.mkdir()):
        make(tmp_path / "s")
        assert "s: it is no regular file" in refusal(tmp_path)
        (tmp_path / "s").rmdir() if (tmp_path / "s").is_dir() else (tmp_path / "s").unlink()
    for make in (lambda at: at.symlink_to("/dev/zero"), os.mkfifo):
        (tmp_path / "weights_manifest.json").unlink()
        make(tmp_path / "weights_manifest.json")
        assert "weights_manifest.json: it is no regular file" in refusal(tmp_path)


def test_json_of_megabytes_is_not_read(tmp_path):
    with (folder(tmp_path) / "weights_manifest.json").open("r+b") as file:
        file.truncate(5 << 20)
    assert "has 5,242,880 bytes: expected at most 4,194,304" in refusal(tmp_path)


@pytest.mark.parametrize(
    "shape",
    [
        [10**4000, 10**4000],
        [10**4000],
        [2**40],
        [2**39, 2**39],
        [10**11] * 8,
        [[1]],
        [True],
        [1.0],
        [0],
        None,
        7,
        [1] * 9,
    ],
)
def test_shapes_that_cannot_be(tmp_path, shape):
    assert "has the shape" in refusal(folder(tmp_path, shape=shape))


@pytest.mark.parametrize("field", ["dtype", "scale", "min"])
def test_nested_values_are_refused_however_deep(tmp_path, field):
    for depth in (1, 900):
        told = QUANTISED["quantization"] | {field: json.loads("[" * depth + "]" * depth)}
        assert f"has {'the ' * (field == 'dtype')}{field} " in refusal(folder(tmp_path, quantization=told))


@pytest.mark.parametrize(("scale", "low"), [(9e37, 9e37), (-9e37, -9e37), (2e36, 0.0)])
def test_quantised_numbers_beyond_float32_are_refused(tmp_path, scale, low):
    told = {"dtype": "uint8", "scale": scale, "min": low}
    assert "holds numbers that are not finite" in refusal(folder(tmp_path, ("s",), b"\xff\xff", quantization=told))


@pytest.mark.parametrize("bad", [np.inf, np.nan])
@pytest.mark.parametrize("kind", ["<f4", "<f2"])
def test_numbers_that_are_not_finite_are_refused(tmp_path, kind, bad):
    told = {"quantization": {"dtype": "float16"}} if kind == "<f2" else {}
    assert "not finite" in refusal(folder(tmp_path, ["s"], np.array([1, bad], kind).tobytes(), **told))
