"""Groove from its zip or its folder, and what is no Groove."""

import csv
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from data.groove import builder
from data.groove.__main__ import main
from data.prepare import SPLITS
from magenta_lite.errors import UserError
from magenta_lite.music import bars, drums, grooves, midi
from magenta_lite.pipeline import PreparedData

PUBLISHED = {"train": "train", "valid": "validation", "test": "test"}


@pytest.fixture(scope="module")
def published(shared):
    return shared("data", "groove-v1.0.0-midionly.zip")


@pytest.fixture(scope="module")
def part(published, tmp_path_factory):
    """The published zip with the table, and the six first files of each split and one in another metre."""
    path = tmp_path_factory.mktemp("groove") / "part.zip"
    with zipfile.ZipFile(published) as whole, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as chosen:
        text = whole.read("groove/info.csv").decode()
        rows = list(csv.DictReader(io.StringIO(text)))
        chosen.writestr("groove/info.csv", text)
        kept = [row for split in PUBLISHED.values() for row in [row for row in rows if row["split"] == split][:6]]
        kept += [row for row in rows if row["split"] == "train" and row["time_signature"] == "6-8"][:1]
        for row in kept:
            chosen.writestr(f"groove/{row['midi_filename']}", whole.read(f"groove/{row['midi_filename']}"))
    return path


@pytest.fixture(scope="module", params=builder.KINDS)
def prepared(request, part):
    out = part.parent / request.param
    main(source=str(part), kind=request.param, out=str(out), partial=True)
    return PreparedData(out)


def test_the_table_has_the_official_splits(published):
    found = builder.survey(published)
    assert found.complete
    assert {split: len(rows) for split, rows in found.rows.items()} == builder.FILES
    assert sum(builder.FILES.values()) == 1150
    assert len(found.styles) == 18
    assert sum(builder.HITS.values()) - sum(builder.NOTES.values()) == 818


def test_records_are_the_files(prepared, part):
    kind = prepared.source["options"]["kind"]
    with zipfile.ZipFile(part) as archive:
        rows = {
            row["midi_filename"]: row for row in csv.DictReader(io.StringIO(archive.read("groove/info.csv").decode()))
        }
        for split in SPLITS:
            assert len(prepared.lengths[split]) >= 6
            for record in prepared.examples(split):
                style, _, name = record["name"].rpartition("/")[0].partition("/")
                row = rows[name]
                assert row["split"] == PUBLISHED[split]
                assert record["label"] == style == row["style"].partition("/")[0]
                assert record["title"] == f"{row['style']} {row['beat_type']}, {row['bpm']} bpm"
                assert record["qpm"] == pytest.approx(float(row["bpm"]), abs=1)
                (section,) = bars.sections(midi.parse(archive.read(f"groove/{name}")))
                number = int(record["name"].rpartition("/")[2])
                if kind == "drums":
                    np.testing.assert_array_equal(record["drums"], drums.extract(section)[number].masks)
                else:
                    groove = grooves.extract(section)[number]
                    np.testing.assert_array_equal(record["velocity"], groove.velocity)
                    np.testing.assert_array_equal(record["offset"], groove.offset)


def test_what_lies_beside_the_records(prepared):
    kind = prepared.source["options"]["kind"]
    assert prepared.source["licence"] == "CC BY 4.0"
    assert prepared.source["rejected"]["train"] == {f"{kind} in 6/8 alone": 1}
    assert prepared.source["options"]["steps_per_bar"] == 16
    assert len(prepared.labels) >= 2
    notes = prepared.source["notes"]
    assert "a part of Groove: 19 of 1,150 files" in notes
    assert f"left out, {kind} in other metres: 1 in 6/8" in notes


@pytest.mark.parametrize("prepared", ["grooves"], indirect=True)
def test_an_extracted_folder_and_another_metre(prepared, part, tmp_path):
    with zipfile.ZipFile(part) as archive:
        archive.extractall(tmp_path / "in")
    kind = prepared.source["options"]["kind"]
    main(source=str(tmp_path / "in"), kind=kind, out=str(tmp_path / "folder"), partial=True)
    for path in prepared.folder.glob("*record*"):
        assert path.read_bytes() == (tmp_path / "folder" / path.name).read_bytes()
    with pytest.raises(UserError, match=f"nothing to keep in valid: rejected 6 {kind} in 4/4 alone"):
        main(source=str(part), kind=kind, out=str(tmp_path / "out"), metre=["6/8"], partial=True)


def test_a_part_and_other_notes_are_refused(part, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"holds 19 of Groove's 1,150 files, it lacks drummer.*, \.\.\.: .*--partial"):
        main(source=str(part), out=str(tmp_path / "out"))
    table = tmp_path / "in" / "groove" / builder.TABLE
    table.parent.mkdir(parents=True)
    with zipfile.ZipFile(part) as archive:
        archive.extractall(tmp_path / "in")
    lines = list(csv.DictReader(io.StringIO(table.read_text())))
    held = [row for row in lines if (table.parent / row["midi_filename"]).exists()]
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, lines[0])
        writer.writeheader()
        writer.writerows(held)
    monkeypatch.setattr(builder, "FILES", {"train": 7, "valid": 6, "test": 6})
    with pytest.raises(UserError, match=r"train has [\d,]+ notes, of Groove v1\.0\.0 357,618 are read: .* --partial"):
        main(source=str(tmp_path / "in"), out=str(tmp_path / "out"))
    main(source=str(tmp_path / "in"), out=str(tmp_path / "out"), partial=True)
    notes = json.loads((tmp_path / "out" / "source.json").read_text())["notes"]
    assert sum("Groove v1.0.0" in note for note in notes) == 3


def test_sources_that_are_none(tmp_path):
    (tmp_path / "text.zip").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("readme.txt", "")
    for name, message in (
        ("none", "no such file or folder"),
        ("text.zip", "no zip that can be read"),
        ("empty.zip", r"no info\.csv in it: expected groove-v1\.0\.0-midionly\.zip"),
        (".", r"no info\.csv in it"),
    ):
        with pytest.raises(UserError, match=message):
            main(source=str(tmp_path / name), out=str(tmp_path / "out"))
    (tmp_path / builder.TABLE).write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="is not Groove's table"):
        main(source=str(tmp_path), out=str(tmp_path / "out"))
    (tmp_path / builder.TABLE).write_text("style,bpm,beat_type,midi_filename,split\nfunk,100,beat\n")
    with pytest.raises(UserError, match=r"info\.csv in it is broken in line 2"):
        main(source=str(tmp_path), out=str(tmp_path / "out"))
    with pytest.raises(UserError, match="--kind=groove: did you mean 'grooves'"):
        main(source=str(tmp_path), kind="groove")


def test_all_of_it_has_the_published_splits():
    """Where the whole of it has been prepared, since preparing takes ten seconds."""
    folder = Path(__file__).parents[2] / "prepared" / "groove"
    if not folder.exists():
        pytest.skip("prepared/groove is not there (python -m data.groove)")
    lengths = PreparedData(folder).lengths
    assert {split: len(lengths[split]) for split in SPLITS} == {"train": 887, "valid": 122, "test": 129}
