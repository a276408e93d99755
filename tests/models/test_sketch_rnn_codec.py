"""What the data decides, and arrays that go in and come out again."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.quickdraw import npz
from magenta_lite.errors import Rejected, UserError
from magenta_lite.models.sketch_rnn import Codec


class Data:
    """Prepared data in memory: stroke-3 drawings by split."""

    def __init__(self, labels=("ant", "bee"), **splits):
        self.labels = labels
        self.splits = splits
        self.lengths = {name: np.array([len(d) for d in drawings], np.int32) for name, drawings in splits.items()}

    def example(self, split, number):
        return {"strokes": self.splits[split][number], "label": number % len(self.labels)}

    def examples(self, split):
        return (self.example(split, number) for number in range(len(self.splits[split])))


def drawing(rng, points, largest=50):
    strokes = rng.integers(-largest, largest + 1, (points, 3)).astype(np.int16)
    strokes[:, 2] = rng.integers(0, 2, points)
    strokes[-1, 2] = 1
    return strokes


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    train = [drawing(rng, points) for points in (3, 9, 21, 30, 5)]
    train[0][1, 0], train[1][2, 1], train[1][3, 1] = 900, -700, 800
    train[4][0, 0] = 600  # at the limit, not beyond it
    valid = [drawing(rng, points) for points in (12, 22, 40)]
    valid[0][0, 0], valid[2][0, 0] = -601, 9999
    return Data(train=train, valid=valid, test=[drawing(rng, 4)])


def test_the_data_decides(data):
    codec, touched = Codec.from_data({"max_points": 22, "limit": 600.0, "drop_points": 0.2}, data)
    kept = [d for d in data.splits["train"] if len(d) <= 22]
    offsets = np.concatenate([np.clip(d[:, :2].astype(np.float64), -600, 600).ravel() for d in kept])
    assert codec.scale == pytest.approx(np.std(offsets), rel=1e-9)
    # The longest that is accepted is a validation sketch.
    assert (codec.n_max, codec.labels) == (22, ("ant", "bee"))
    assert (codec.max_points, codec.limit, codec.drop_points, codec.random_scale) == (22, 600.0, 0.2, 0.15)
    # The one of 40 points is refused, so that its offset is not counted as clipped.
    assert touched == {
        "train: refused, longer than 22 points": 1,
        "valid: refused, longer than 22 points": 1,
        "train: sketches with offsets clipped to +-600": 2,
        "valid: sketches with offsets clipped to +-600": 1,
    }


def test_nothing_is_touched_within_the_limits(data):
    codec, touched = Codec.from_data({"limit": 10_000.0}, data)
    assert touched == {}
    assert codec.n_max == 40
    assert codec.scale == pytest.approx(np.std(np.concatenate([d[:, :2].ravel() for d in data.splits["train"]])))


def test_encoded_training_offsets_have_deviation_one(data):
    codec, _ = Codec.from_data({}, data)
    encoded = [codec.encode(example)["strokes"] for example in data.examples("train")]
    assert np.concatenate([e[:, :2].ravel() for e in encoded]).std(dtype=np.float64) == pytest.approx(1, abs=1e-5)


def test_no_sketch_is_short_enough(data):
    with pytest.raises(UserError, match=r"config\.codec\.max_points=2"):
        Codec.from_data({"max_points": 2}, data)


def test_sheep_have_the_published_scale(shared):
    """Magenta's own notebook prints 18.5198 for this set."""
    path = shared("data", "quickdraw", "sketchrnn", "aaron_sheep.npz")
    codec, touched = Codec.from_data({}, Data(("sheep",), **{split: npz.read(path, split) for split in npz.SPLITS}))
    assert codec.scale == pytest.approx(18.5198, abs=5e-5)
    assert codec.n_max == 250
    assert not any("refused" in what for what in touched)


def test_lengths_are_those_of_encoded_sketches(data):
    codec = Codec(scale=2.0, n_max=22, labels=("ant", "bee"), max_points=22)
    for split, drawings in data.splits.items():
        encoded = [codec.encode({"strokes": d, "label": 0}) for d in drawings]
        expected = [0 if isinstance(e, Rejected) else len(e["strokes"]) for e in encoded]
        assert codec.lengths(data.lengths[split]).tolist() == expected


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.floats(0.01, 100))
def test_decode_is_the_inverse_of_encode(seed, points, scale):
    strokes = drawing(np.random.default_rng(seed), points, largest=1000)
    codec = Codec(scale=scale, n_max=40, labels=("ant", "bee"))
    encoded = codec.encode({"strokes": strokes, "label": "bee"})
    assert encoded["strokes"].dtype == np.float32
    assert (encoded["label"], encoded["label"].dtype) == (1, np.int32)
    np.testing.assert_allclose(encoded["strokes"][:, :2] * np.float64(scale), strokes[:, :2], rtol=1e-5)
    padded = np.pad(encoded["strokes"], ((0, 7), (0, 0)), constant_values=3)
    before = padded.copy()
    decoded = codec.decode({"strokes": padded, "length": np.int32(points)})
    np.testing.assert_array_equal(padded, before)
    np.testing.assert_allclose(decoded, strokes, rtol=1e-5)
    np.testing.assert_array_equal(decoded[:, 2], strokes[:, 2])


def test_offsets_are_clipped():
    codec = Codec(scale=4.0, n_max=9, labels=("ant",), limit=100.0)
    strokes = np.array([[500, -500, 0], [100, -99, 1]], np.int16)
    expected = np.array([[25, -25, 0], [25, -24.75, 1]], np.float32)
    np.testing.assert_array_equal(codec.encode({"strokes": strokes})["strokes"], expected)
    assert strokes.tolist() == [[500, -500, 0], [100, -99, 1]]


def test_a_limit_below_one_leaves_the_pen_as_it_is():
    codec = Codec(scale=1.0, n_max=9, labels=("ant",), limit=0.5)
    assert codec.encode({"strokes": np.array([[0.75, 0.25, 1.0]])})["strokes"].tolist() == [[0.5, 0.25, 1.0]]


def test_augmentation():
    strokes = drawing(np.random.default_rng(5), 40)
    strokes[:-1, 2] = 0
    codec = Codec(scale=1.0, n_max=40, labels=("ant",), random_scale=0.25, drop_points=0.5)
    plain = codec.encode({"strokes": strokes, "label": 0})["strokes"]
    total, ratios, lengths = plain[:, :2].sum(axis=0), [], []
    for seed in range(200):
        one, same = (codec.encode({"strokes": strokes}, np.random.default_rng(seed))["strokes"] for _ in range(2))
        np.testing.assert_array_equal(one, same)
        # Dropped points leave the whole displacement as it was, so that it tells the two factors.
        ratios.append(one[:, :2].sum(axis=0) / total)
        lengths.append(len(one))
        assert one[-1, 2] == 1
    ratios = np.array(ratios)
    assert 0.75 - 1e-4 < ratios.min() < 0.77
    assert 1.23 < ratios.max() < 1.25 + 1e-4
    assert abs(np.corrcoef(ratios.T)[0, 1]) < 5 / np.sqrt(200)
    # 36 of 40 points may go: all but the first three and the last.
    assert abs(np.mean(lengths) - (40 - 18)) < 5 * 3 / np.sqrt(200)


def test_augmentation_turned_off_changes_nothing():
    strokes = drawing(np.random.default_rng(5), 30)
    codec = Codec(scale=3.0, n_max=40, labels=("ant",), random_scale=0.0, drop_points=0.0)
    augmented = codec.encode({"strokes": strokes}, np.random.default_rng(0))["strokes"]
    np.testing.assert_array_equal(augmented, codec.encode({"strokes": strokes})["strokes"])


def test_what_is_rejected_and_why():
    codec = Codec(scale=1.0, n_max=5, labels=("ant",), max_points=5)
    assert codec.encode({"strokes": np.zeros((0, 3))}) == Rejected("no points")
    assert codec.encode({"strokes": np.zeros((6, 3))}) == Rejected("longer than 5 points")
    assert not isinstance(codec.encode({"strokes": np.zeros((5, 3))}), Rejected)


def test_labels():
    codec = Codec(scale=1.0, n_max=5, labels=("ant", "bee"))
    numbers = [codec.encode({"strokes": np.ones((1, 3)), "label": n})["label"] for n in ("ant", "bee", 1, "cow", None)]
    assert numbers == [0, 1, 1, -1, -1]
    assert codec.condition() == {}
    assert codec.condition(label="bee") == {"label": 1}
    with pytest.raises(UserError, match=r"--label=beee .*'bee'"):
        codec.condition(label="beee")


def test_through_json_and_back():
    codec = Codec(
        scale=18.519812345678901, n_max=129, labels=("ant", "bee"), max_points=130, limit=0.1, drop_points=0.3
    )
    back = Codec(**json.loads(json.dumps(dataclasses.asdict(codec))))
    assert back == codec
    assert hash(back) == hash(codec)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_points", 0),
        ("limit", 0.0),
        ("limit", -1.0),
        ("random_scale", 1.0),
        ("random_scale", -0.1),
        ("drop_points", 1.0),
        ("drop_points", -0.1),
        ("drop_points", float("nan")),
    ],
)
def test_wrong_options_are_named(field, value):
    with pytest.raises(UserError, match=rf"config\.codec\.{field}={value}"):
        Codec(scale=1.0, n_max=1, labels=("ant",), **{field: value})


def test_drawings_from_elsewhere_come_in_the_size_of_the_data(tmp_path):
    """ndjson fills a box of 255, of which a beginning fills a part; another set's drawings are fitted one by one."""
    codec = Codec(scale=2.0, n_max=9, labels=("ant",), size=510.0)
    path = tmp_path / "a.ndjson"
    path.write_text(
        '{"word": "ant", "drawing": [[[0, 255, 255], [0, 0, 100]]]}\n{"word": "ant", "drawing": [[[0, 50], [0, 0]]]}\n'
    )
    whole, beginning = (example["strokes"] for _, example in codec.read(path))
    assert whole.tolist() == [[510.0, 0.0, 0.0], [0.0, 200.0, 1.0]]
    assert beginning.tolist() == [[100.0, 0.0, 1.0]]
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><path stroke="red" d="M5 5h10v{}"/></svg>'
    (tmp_path / "a.svg").write_text(svg.format(5))
    (tmp_path / "b.svg").write_text(svg.format("?"))
    ((name, own),) = codec.read(tmp_path / "a.svg")
    assert name == own["name"] == "a.svg"
    assert own["strokes"].tolist() == [[510.0, 0.0, 0.0], [0.0, 256.0, 1.0]]
    assert list(codec.read(tmp_path / "b.svg")) == [("b.svg", Rejected("path data that cannot be read"))]
    with pytest.raises(UserError, match=r"cannot read .*none\.svg: no such file"):
        codec.read(tmp_path / "none.svg")
    foreign = codec.adapt({"strokes": np.array([[3, 0, 0], [0, -6, 1]], np.int16), "label": "ant"})
    assert foreign["strokes"].tolist() == [[255.0, 0.0, 0.0], [0.0, -510.0, 1.0]]
    assert foreign["label"] == "ant"


def test_of_a_large_split_the_scale_is_of_drawings_evenly_spread(monkeypatch):
    """Every tenth of 1,000: a scale close to that of all; N_max and what is refused stay those of all."""
    from magenta_lite.models.sketch_rnn import codec as module

    rng = np.random.default_rng(5)
    drawings = [drawing(rng, int(points)) for points in rng.integers(2, 30, 1000)]
    drawings[501] = drawing(rng, 200)
    data = Data(train=drawings, valid=drawings[:20], test=drawings[:20])
    whole, told = Codec.from_data({}, data)
    assert not told
    monkeypatch.setattr(module, "SURVEYED", 100)
    few, told = Codec.from_data({}, data)
    assert told == {"train: sketches read for the scale, of 1,000": 100}
    assert few.n_max == whole.n_max == 200
    assert few.scale != whole.scale
    np.testing.assert_allclose(few.scale, whole.scale, rtol=0.05)
    np.testing.assert_allclose(few.size, whole.size, rtol=0.1)


def test_another_scale_is_told_of():
    codec = Codec(scale=40.25, n_max=9, labels=("pig",))
    told = codec.begun_from(Codec(scale=70.0921, n_max=9, labels=("pig",)))
    assert "40.25" in told and "70.09" in told
    assert codec.begun_from(Codec(scale=40.3, n_max=9, labels=("pig",))) == ""
