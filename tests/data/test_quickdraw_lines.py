"""QuickDraw's ndjson: classes, keys, forms, and files that are damaged."""

import csv
import gzip
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data.prepare import SPLITS
from data.quickdraw import npz
from data.quickdraw.__main__ import main
from data.splits import place
from magenta_lite.errors import UserError
from magenta_lite.sketch import ndjson


def row(word, key, drawing=None, recognized=True):
    drawing = drawing or [[[0, 255, len(key)], [0, 7, 9]]]
    return json.dumps({"word": word, "key_id": key, "recognized": recognized, "drawing": drawing}) + "\n"


def rows(word, count, **more):
    return "".join(row(word, f"{word}{number}", **more) for number in range(count))


def records(out):
    """{name: (label, split, strokes)} of a prepared set."""
    builder = tfds.builder_from_directory(str(out))
    labels = builder.info.features["label"].names
    return {
        record["name"].decode(): (labels[record["label"]], split, record["strokes"])
        for split in SPLITS
        for record in builder.as_data_source(split)
    }


def rejected(out):
    with (out / "rejected.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))[1:]


@pytest.fixture
def build(tmp_path):
    source = tmp_path / "source"
    source.mkdir()

    def make(classes="all", **flags):
        out = tmp_path / f"out{len(list(tmp_path.glob('out*')))}"
        main(classes.split(","), source=str(flags.pop("source", source)), out=str(out), **flags)
        return out

    make.source = source
    return make


def test_drawings_are_kept_exactly_and_split_by_their_keys(build):
    drawing = [[[7, 255], [0, 3]], [[9, 9], [4, 4]], [[1], [2]]]
    (build.source / "ant.ndjson").write_text(rows("ant", 60) + row("ant", "here", drawing) + rows("ant", 1))
    found = records(build(split=[50, 25, 25]))
    assert found["ant/here"][2].tolist() == [[248, 3, 1], [-246, 1, 0], [0, 0, 1], [-8, -2, 1]]
    for name, (label, split, _) in found.items():
        assert label == "ant"
        assert split == SPLITS[np.digitize(place(name.removeprefix("ant/")), [0.5, 0.75])]
    assert len(found) == 61  # ant0 is there twice, under one name


def test_classes_are_words_however_the_files_are_cut(build, capsys):
    (build.source / "all.ndjson").write_text(
        rows("alarm clock", 20) + rows("bee", 20) + '{"key_id": "x", "drawing": [[[0, 1], [0, 1]]]}\n'
    )
    whole = build()
    assert json.loads((whole / "source.json").read_text())["labels"] == ["alarm clock", "all", "bee"]
    one = records(build("alarm_clock"))
    assert "left alone, of other classes than asked for: 21" in capsys.readouterr().out
    assert {label for label, _, _ in one.values()} == {"alarm clock"}
    both = build("bee,alarm_clock")
    assert json.loads((both / "source.json").read_text())["labels"] == ["bee", "alarm clock"]
    # The same drawings are in the same splits when each class has a file of its own.
    (build.source / "all.ndjson").unlink()
    for word in ("alarm clock", "bee", "cat"):
        (build.source / f"{word.replace(' ', '_')}.ndjson").write_text(rows(word, 20))
    apart = build("bee,alarm_clock")
    assert {name: split for name, (_, split, _) in records(apart).items()} == {
        name: split for name, (_, split, _) in records(both).items()
    }
    assert set(json.loads((apart / "source.json").read_text())["sources"]) == {"alarm_clock.ndjson", "bee.ndjson"}


def test_a_class_that_is_not_there(build):
    (build.source / "ant.ndjson").write_text(rows("ant", 9))
    with pytest.raises(UserError, match=r"no class 'aunt' in .*source.*: did you mean 'ant'"):
        build("aunt")
    (build.source / "ant.ndjson").write_text("\n")
    with pytest.raises(UserError, match=r"no class 'ant' in .*: there are no drawings at all"):
        build("ant")
    with pytest.raises(UserError, match="nothing to keep: it is empty"):
        build()


def test_only_what_was_recognized(build, capsys):
    (build.source / "ant.ndjson").write_text(rows("ant", 30) + rows("ant ", 7, recognized=False) + rows("ant", 3))
    assert len(records(build())) == 37
    out = build(recognized=True)
    assert len(records(out)) == 30
    assert sorted(rejected(out)) == [["ant.ndjson", f"line {n}", "not recognized"] for n in range(31, 38)]
    assert "not recognized" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"--recognized: sketchrnn files .* add --format=simplified"):
        build(recognized=True, format="sketchrnn")


def test_small_sets_have_no_empty_split(build, capsys):
    (build.source / "ant.ndjson").write_text(rows("ant", 3) + "[]\n" * 5)
    out = build()
    assert sorted(split for _, split, _ in records(out).values()) == sorted(SPLITS)
    assert "which would have been empty: 1" in capsys.readouterr().out
    (build.source / "ant.ndjson").write_text(rows("ant", 2))
    with pytest.raises(UserError, match=r"nothing to keep in (train|valid|test): it is empty"):
        build()


def test_raw_drawings_are_known_by_their_times_or_by_the_form_asked_for(build):
    walk = [[100.5, 150.25, 200.5], [10.0, 12.0, 30.0]]
    (build.source / "ant.ndjson").write_text(
        rows("ant", 30) + row("ant", "raw", [[*walk, [0, 5, 9]]]) + row("ant", "bare", [walk])
    )
    found = records(build())
    assert found["ant/raw"][2].tolist() == [[127, 5, 0], [128, 46, 1]]
    assert found["ant/bare"][2].tolist() == [[49.75, 2, 0], [50.25, 18, 1]]
    asked = records(build(format="raw"))
    assert asked["ant/bare"][2].tolist() == asked["ant/raw"][2].tolist() == found["ant/raw"][2].tolist()
    kept = records(build(format="simplified"))
    assert kept["ant/raw"][2].tolist() == found["ant/bare"][2].tolist()


@pytest.mark.parametrize("packed", [False, True])
def test_damage_costs_what_is_damaged(build, packed, capsys):
    good = gzip.compress(rows("ant", 40).encode())
    cut = gzip.compress(np.random.default_rng(0).bytes(50_000) + rows("bee", 5).encode())[:-3000]
    files = {"ant.ndjson.gz": good, "bee.ndjson.gz": cut, "cow.ndjson.gz": b"no gzip", "dog.ndjson": b"\x00\xff\n"}
    source = build.source
    if packed:
        source = source / "many.zip"
        with zipfile.ZipFile(source, "w") as archive:
            for name, content in files.items():
                archive.writestr(f"in/{name}", content)
    else:
        for name, content in files.items():
            (source / name).write_bytes(content)
    out = build(source=source)
    assert len(records(out)) == 40
    reasons = {(Path(name).name, reason) for name, _, reason in rejected(out)}
    damaged = "the file is damaged: the rest of it cannot be read"
    assert {("bee.ndjson.gz", damaged), ("cow.ndjson.gz", damaged), ("dog.ndjson", "not a line of JSON")} <= reasons
    assert damaged in capsys.readouterr().out


def test_damage_inside_a_zip(build):
    source = build.source / "many.zip"
    with zipfile.ZipFile(source, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("ant.ndjson", rows("ant", 30))
        archive.writestr("bee.ndjson", rows("bee", 30))
    source.write_bytes(
        source.read_bytes().replace(b'"word": "bee", "key_id": "bee7"', b'"word": "bee", "key_id": "BEE7"')
    )
    out = build(source=source)
    (listed,) = [row for row in rejected(out) if row[0] == "bee.ndjson"]
    assert listed[2] == "the file is damaged: the rest of it cannot be read"
    source.write_bytes(source.read_bytes()[:-30])
    with pytest.raises(UserError, match=r"many\.zip: no zip that can be read .*is the download complete"):
        build(source=source)


def test_endless_lines_are_not_held_in_memory(build, monkeypatch):
    monkeypatch.setattr(ndjson, "LONGEST", 1 << 20)
    long = b'{"drawing": [' + b" " * (3 << 20) + b"]}\n"
    (build.source / "ant.ndjson").write_bytes(rows("ant", 9).encode() + long + rows("ant", 30).encode() + long[:-1])
    assert [line[1:] for line in sorted(rejected(build()))] == [
        ["line 10", "line longer than 1 MB"],
        ["line 41", "line longer than 1 MB"],
    ]


def test_names_reach_no_list_or_terminal_as_they_are(build):
    (build.source / "ant.ndjson").write_text(rows("a\nn\x1bt", 20) + row("\ud800", "\ud801/\n") + row("", 5 * [1]))
    out = build()
    assert json.loads((out / "source.json").read_text())["labels"] == ["?", "a n?t", "ant"]
    assert {"?/?/", "ant/ant.ndjson:22"} <= set(records(out))


def test_sources_that_are_none(build, tmp_path):
    for source, message in (
        (tmp_path / "none.zip", "no such file or folder"),
        (build.source, "it holds no .npz files"),
    ):
        with pytest.raises(UserError, match=message):
            build(source=source)
    (build.source / "text.zip").write_text("no zip")
    with pytest.raises(UserError, match=r"text\.zip: no zip that can be read"):
        build(source=build.source / "text.zip")
    with zipfile.ZipFile(build.source / "empty.zip", "w") as archive:
        archive.writestr("readme.txt", "")
    with pytest.raises(UserError, match="holds no files that end in"):
        build(source=build.source / "empty.zip")
    with pytest.raises(UserError, match="--format=rwa: did you mean 'raw'"):
        build(format="rwa")
    with pytest.raises(UserError, match="to download, name the classes"):
        main(["all"], format="raw", out=str(tmp_path / "out"))


def test_published_archives(build, shared):
    """Two classes of each, and a drawing that is in both: the same split, the same numbers."""
    folder = shared("data/quickdraw/ndjson")
    simple = records(build("circle,alarm clock", source=folder / "simplified_25_per_class.zip"))
    raw = records(build("circle,alarm clock", source=folder / "raw_345_classes.zip"))
    assert len(simple) == 50
    both = simple.keys() & raw.keys()
    assert len(both) > 40
    for name in both:
        assert simple[name][:2] == raw[name][:2]
    assert np.mean([np.array_equal(simple[name][2], raw[name][2]) for name in both]) > 0.85
    for _, _, strokes in raw.values():
        np.testing.assert_array_equal(strokes, np.rint(strokes))


def test_the_published_sketchrnn_files_write_dots_as_we_do(shared):
    """A dot is a point and a row of nothing, as from the two equal points of an ndjson file."""
    drawings = npz.read(shared("data/quickdraw/sketchrnn/face.npz"), "train")
    dots = sum(int((~drawing[1:, :2].any(axis=1) & (drawing[1:, 2] == 1)).sum()) for drawing in drawings)
    assert dots > 500


def test_classes_without_a_drawing_to_train_on_are_named(build, capsys):
    (build.source / "all.ndjson").write_text(rows("ant", 40) + rows("bee", 2, recognized=False))
    build(recognized=True)
    assert "nothing to train on of 1 of 2 classes: bee\n" in capsys.readouterr().out
