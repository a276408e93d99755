import gzip
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from magenta_lite.errors import Rejected, UserError
from magenta_lite.sketch import ndjson
from magenta_lite.sketch.strokes import to_polylines


def line(drawing, **more):
    return json.dumps({"word": "pig", "drawing": drawing, **more})


def test_reads_simplified_and_raw_strokes(tmp_path):
    path = tmp_path / "pigs.ndjson"
    path.write_text(
        line([[[10, 13], [20, 24]], [[0], [0]]])
        + "\n\n"
        + line([[[1.5, 2.5], [0.25, 0.75], [0, 17]], [[1.5], [0.75], [30]]], word="hog")
        + "\n"
    )
    (first, pig), (second, hog) = ndjson.read(path)
    assert (first, second) == ("pigs.ndjson:1", "pigs.ndjson:3")
    assert (pig["label"], pig["name"], hog["label"]) == ("pig", first, "hog")
    assert pig["strokes"].tolist() == [[3, 4, 1], [-13, -24, 1]]
    assert hog["strokes"].tolist() == [[255, 128, 1], [-255, 0, 0], [0, 0, 1]]  # 127.5 goes to the even number


def test_a_line_without_a_word_takes_the_name_of_the_file(tmp_path):
    path = tmp_path / "fir tree.ndjson.gz"
    path.write_bytes(gzip.compress(b'{"drawing": [[[0, 1], [0, 1]]]}'))
    ((name, example),) = ndjson.read(path)
    assert (name, example["label"]) == ("fir tree.ndjson.gz:1", "fir tree")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not a line of JSON"),
        ("[" * 100_000, "not a line of JSON"),
        ("9" * 10_000, "not a line of JSON"),
        ("\udcff", "not a line of JSON"),
        ("[1, 2]", "not a JSON object"),
        ('{"word": "pig"}', "no list named drawing"),
        (line([]), "drawing without points"),
        (line([[[], []]]), "drawing without points"),
        (line([[[1, 2]]]), "stroke that is not [[x, ...], [y, ...]]"),
        (line([7]), "stroke that is not [[x, ...], [y, ...]]"),
        (line([[[1, 2], [1]]]), "stroke with unequal numbers of x and y"),
        (line([[[1, "2"], [1, 2]]]), "coordinate that is not a number"),
        (line([[[1, None], [1, 2]]]), "coordinate that is not a number"),
        (line([[[1, True], [1, 2]]]), "coordinate that is not a number"),
        (line([[[1, [2]], [1, 2]]]), "coordinate that is not a number"),
        (line([[[1, float("nan")], [1, 2]]]), "coordinates out of range"),
        (line([[[1, float("inf")], [1, 2]]]), "coordinates out of range"),
        (line([[[1, 1e30], [1, 2]]]), "coordinates out of range"),
        (line([[[1, 10**400], [1, 2]]]), "coordinates out of range"),
    ],
)
def test_bad_lines_are_rejected_and_the_rest_is_read(tmp_path, text, reason):
    path = tmp_path / "a.ndjson"
    good = line([[[0, 1], [0, 1]]])
    path.write_bytes(f"{good}\n{text}\n{good}\n".encode(errors="surrogateescape"))
    examples = list(ndjson.read(path))
    assert examples[1] == ("a.ndjson:2", Rejected(reason))
    assert [name for name, example in examples if isinstance(example, dict)] == ["a.ndjson:1", "a.ndjson:3"]


def test_files_that_cannot_be_read_are_told_in_one_line(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*none\.ndjson: no such file"):
        ndjson.read(tmp_path / "none.ndjson")
    with pytest.raises(UserError, match="is a directory"):
        ndjson.read(tmp_path)
    (tmp_path / "text.ndjson.gz").write_text(line([]))
    with pytest.raises(UserError, match="cannot read"):
        list(ndjson.read(tmp_path / "text.ndjson.gz"))
    (tmp_path / "cut.ndjson.gz").write_bytes(gzip.compress(line([[[1, 2], [3, 4]]]).encode() * 50)[:-12])
    with pytest.raises(UserError, match="cannot read"):
        list(ndjson.read(tmp_path / "cut.ndjson.gz"))


@pytest.mark.parametrize("name", ["out.ndjson", "deeper/out.ndjson.gz"])
def test_write_and_read_again(tmp_path, name):
    strokes = np.array([[255, 0, 0], [0, -100, 1], [-50, 7, 1]], np.float32)
    path = tmp_path / name
    ndjson.write([{"strokes": strokes, "label": "bât", "name": "x"}, {"strokes": strokes / [300, 300, 1]}], path)
    (_, first), (_, second) = ndjson.read(path)
    np.testing.assert_array_equal(first["strokes"], strokes)
    np.testing.assert_array_equal(second["strokes"], strokes)
    assert (first["label"], second["label"]) == ("bât", "out")
    content = gzip.decompress(path.read_bytes()) if name.endswith("gz") else path.read_bytes()
    rows = [json.loads(row) for row in content.splitlines()]
    assert rows[0] == {
        "word": "bât",
        "key_id": "x",
        "recognized": True,
        "drawing": [[[0, 255, 255], [100, 100, 0]], [[205], [7]]],
    }
    assert rows[1]["key_id"] == "1"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.ndjson"
    path.write_text("old")

    def drawings():
        yield {"strokes": np.array([[1, 1, 1]])}
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        ndjson.write(drawings(), path)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.ndjson"]
    with pytest.raises(UserError, match="cannot write"):
        ndjson.write([], path / "below a file.ndjson")


def members(archive, count):
    with zipfile.ZipFile(archive) as files:
        names = sorted(name for name in files.namelist() if name.endswith(".ndjson"))
        for name in names[:: len(names) // count]:
            yield Path(name).name, files.read(name)


def test_real_simplified_drawings_come_back_as_they_were(tmp_path, shared):
    for name, content in members(shared("data/quickdraw/ndjson/simplified_25_per_class.zip"), 12):
        (tmp_path / name).write_bytes(content)
        examples = [example for _, example in ndjson.read(tmp_path / name)]
        rows = [json.loads(row) for row in io.BytesIO(content)]
        assert len(examples) == len(rows) == 25
        for example, row in zip(examples, rows, strict=True):
            corner = np.array([row["drawing"][0][0][0], row["drawing"][0][1][0]])
            for got, (xs, ys) in zip(to_polylines(example["strokes"]), row["drawing"], strict=True):
                points = np.stack([xs, ys], axis=1)
                # QuickDraw writes a dot as one point twice; as a drawing's beginning it cannot keep both.
                if len(got) == 1 and len(points) == 2:
                    assert (points[0] == points[1]).all()
                    points = points[:1]
                np.testing.assert_array_equal(got + corner, points)
        ndjson.write(examples, tmp_path / "copy.ndjson")
        for example, (_, copy) in zip(examples, ndjson.read(tmp_path / "copy.ndjson"), strict=True):
            np.testing.assert_array_equal(example["strokes"], copy["strokes"])
            assert example["label"] == copy["label"]


def test_real_raw_drawings_are_read(tmp_path, shared):
    for name, content in members(shared("data/quickdraw/ndjson/raw_345_classes.zip"), 4):
        (tmp_path / name).write_bytes(content)
        for _, example in ndjson.read(tmp_path / name):
            assert isinstance(example, dict)
            assert example["strokes"][-1, 2] == 1
