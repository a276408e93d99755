"""A folder of a person's own drawings."""

import csv
import gzip
import json
import os

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data.drawings.__main__ import main
from data.prepare import SPLITS
from magenta_lite.errors import UserError
from magenta_lite.sketch.strokes import to_polylines

SHARES = [1.0, 1.0, 1.0]


def svg(body, attributes='viewBox="0 0 100 100"'):
    return f'<svg xmlns="http://www.w3.org/2000/svg" {attributes}><g fill="none" stroke="black">{body}</g></svg>'


def fill(folder, count, body='<path d="M0 0H{0}V50"/>'):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number:02}.svg").write_text(svg(body.format(10 + number)))


def records(out):
    """{name: (label, strokes)} of a prepared set."""
    builder = tfds.builder_from_directory(str(out))
    labels = builder.info.features["label"].names
    return {
        record["name"].decode(): (labels[record["label"]], record["strokes"])
        for split in SPLITS
        for record in builder.as_data_source(split)
    }


def rejected(out):
    with (out / "rejected.csv").open(newline="", encoding="utf-8") as file:
        return sorted(list(csv.reader(file))[1:])


def test_subfolders_are_labels_and_files_beside_them_have_the_folders_name(tmp_path):
    folder = tmp_path / "my sketches"
    fill(folder / "cat" / "old", 4)
    fill(folder / "dog", 4)
    fill(folder, 4)
    line = {"drawing": [[[0, 9], [0, 3]]]}
    (folder / "dog" / "more.ndjson").write_text(json.dumps({**line, "word": "wolf", "key_id": "7"}) + "\n")
    words = [{**line, "word": "sun"}, line]
    (folder / "more.ndjson.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, words)).encode()))
    main(str(folder), out=str(tmp_path / "out"), split=SHARES)
    found = records(tmp_path / "out")
    assert {(name, label) for name, (label, _) in found.items() if not name.endswith(".svg")} == {
        ("dog/7", "dog"),
        ("sun/more.ndjson.gz:1", "sun"),
        ("my sketches/more.ndjson.gz:2", "my sketches"),
    }
    assert {label for label, _ in found.values()} == {"cat", "dog", "my sketches", "sun"}
    assert found["cat/cat/old/03.svg"][0] == "cat"
    assert found["my sketches/00.svg"][0] == "my sketches"
    assert len(found) == 15


def test_drawings_fill_a_box_of_255_in_whole_numbers(tmp_path):
    fill(tmp_path / "in", 8, '<path d="M10 10h20v{0}z M15 12h0"/><circle cx="20" cy="15" r="5"/>')
    main(str(tmp_path / "in"), out=str(tmp_path / "out"), split=SHARES)
    for label, strokes in records(tmp_path / "out").values():
        assert label == "in"
        np.testing.assert_array_equal(strokes, np.rint(strokes))
        triangle, dot, circle = to_polylines(strokes)
        assert len(triangle) == 4
        assert (triangle[0] == triangle[3]).all()
        assert len(dot) == 2
        assert 8 <= len(circle) <= 20
        points = np.concatenate([triangle, dot, circle])
        assert np.ptp(points, axis=0).max() == 255


def test_epsilon_says_how_much_is_left_out(tmp_path):
    fill(tmp_path / "in", 6, '<ellipse cx="50" cy="50" rx="40" ry="{0}"/>')
    counts = []
    for epsilon in (0.5, 2.0, 8.0):
        out = tmp_path / str(epsilon)
        main(str(tmp_path / "in"), out=str(out), epsilon=epsilon, split=SHARES)
        counts.append(sum(len(strokes) for _, strokes in records(out).values()))
    assert counts[0] > counts[1] > counts[2]
    with pytest.raises(UserError, match=r"epsilon was 8\.0, now 2\.0"):
        main(str(tmp_path / "in"), out=str(tmp_path / "8.0"), split=SHARES)


def test_whatever_is_left_out_is_listed_or_told(tmp_path, capsys):
    folder = tmp_path / "in"
    fill(folder, 8)
    (folder / "a.svg").write_text(svg(""))
    (folder / "b.svg").write_text("<svg")
    (folder / "c.svg").write_text(svg('<path d="M0 0h1"/><text>hi</text><image/><image/>'))
    (folder / "d.svg").write_text(svg('<path d="M5 5z"/>'))
    (folder / "e.ndjson").write_text('{"drawing": [[[1, 2], [1, 2]]]}\n[]\n{"drawing": [[[1], [1]]]}\n')
    (folder / "f.png").write_bytes(b"\x89PNG")
    (folder / "g.ndjson.gz").write_text("no gzip")
    os.symlink(folder / "nowhere", folder / "h.svg")
    os.mkfifo(folder / "i.svg")
    (folder / ".hidden.svg").write_text("<svg")
    main(str(folder), out=str(tmp_path / "out"), split=SHARES)
    assert rejected(tmp_path / "out") == [
        ["a.svg", "", "nothing visible is drawn"],
        ["b.svg", "", "not well-formed XML"],
        ["d.svg", "", "drawing of a single point"],
        ["e.ndjson", "line 2", "not a JSON object"],
        ["e.ndjson", "line 3", "drawing of a single point"],
        ["f.png", "", "neither .svg, .svgz nor .ndjson or .ndjson.gz"],
        ["g.ndjson.gz", "line 1", "the file is damaged: the rest of it cannot be read"],
        ["h.svg", "", "file that cannot be read"],
        ["i.svg", "", "file that cannot be read"],
    ]
    printed = capsys.readouterr().out
    assert "2 image left out, in 1 files" in printed
    assert "1 text left out, in 1 files" in printed
    assert json.loads((tmp_path / "out" / "source.json").read_text())["notes"] == [
        "2 image left out, in 1 files",
        "1 text left out, in 1 files",
    ]


def test_folders_of_which_nothing_can_be_kept(tmp_path):
    folder = tmp_path / "in"
    with pytest.raises(UserError, match="no such folder"):
        main(str(folder), out=str(tmp_path / "out"))
    folder.mkdir()
    with pytest.raises(UserError, match="nothing to keep: there are no files"):
        main(str(folder), out=str(tmp_path / "out"))
    (folder / "a.svg").write_text("<svg")
    (folder / "b.svg").write_text("<svg")
    with pytest.raises(UserError, match="nothing to keep: rejected 2 not well-formed XML"):
        main(str(folder), out=str(tmp_path / "out"))
    with pytest.raises(UserError, match="--epsilon=-1"):
        main(str(folder), epsilon=-1)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_three_drawings_are_enough(tmp_path, capsys):
    fill(tmp_path / "in", 3)
    (tmp_path / "in" / "bad.svg").write_text("<svg")
    main(str(tmp_path / "in"), out=str(tmp_path / "out"))
    assert len(records(tmp_path / "out")) == 3
    assert "which would have been empty: 1" in capsys.readouterr().out
