"""What holds for every builder: one source each, through the same contract."""

import csv
import gzip
import json
import os
import shlex
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data.drawings.__main__ import main as own_drawings
from data.midi.__main__ import main as own_midi
from data.prepare import SPLITS
from data.quickdraw.__main__ import main as quickdraw
from data.toy.__main__ import main as toy
from magenta_lite.command import parse
from magenta_lite.errors import UserError

REPOSITORY = Path(__file__).parents[2]
PROGRAMS = {"data.quickdraw": quickdraw, "data.drawings": own_drawings, "data.midi": own_midi, "data.toy": toy}


def row(word, key, drawing, **more):
    return json.dumps({"word": word, "key_id": key, "recognized": True, "drawing": drawing, **more}) + "\n"


def simplified(word, count):
    """Lines of ndjson, and among them three that are no drawings."""
    rows = [row(word, f"{word} {n}", [[[0, 9, n], [n, 0, 255]], [[3, 3], [4, 4]]]) for n in range(count)]
    return "".join([*rows[:4], "{\n", *rows[4:], row(word, "bad", [[[1], [1, 2]]]), row(word, "none", [])])


def write_npz(folder, save, drawings):
    for number, label in enumerate(("ant", "bee")):
        bad = [np.zeros((2, 4)), np.zeros((0, 3))]
        path = save(label, train=[*bad, *drawings(20, number)], valid=drawings(4), test=[*drawings(3), None])
    return "data.quickdraw", ["--classes=ant,bee", f"--source={path.parent}"]


def write_ndjson(folder, *_):
    (folder / "ant.ndjson").write_text(simplified("ant", 30))
    (folder / "bee.ndjson.gz").write_bytes(gzip.compress(simplified("bee", 20).encode()))
    return "data.quickdraw", ["--classes=all", f"--source={folder}"]


def write_raw_zip(folder, *_):
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(folder / "raw.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for label in ("ant", "bee"):
            walks = [np.cumsum(rng.normal(0, 9, (2, 50)), axis=1).tolist() for _ in range(25)]
            lines = [row(label, f"{label}{n}", [[*walk, list(range(50))]]) for n, walk in enumerate(walks)]
            lines += ["null\n", row(label, "dot", [[[1, 1], [1, 1], [0, 5]]])]
            archive.writestr(f"raw/{label}.ndjson", "".join(lines))
        archive.writestr("__MACOSX/raw/._ant.ndjson", "no drawing")
    return "data.quickdraw", ["--classes=bee,ant", f"--source={folder / 'raw.zip'}", "--recognized"]


def write_folder(folder, *_):
    for label in ("ant", "bee"):
        (folder / label).mkdir()
        for n in range(15):
            body = f'<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 {n}C9 9 20 0 {n} 30M1 1h4"/></svg>'
            (folder / label / f"{n}.svg").write_text(body)
    (folder / "ant" / "cut.svg").write_text("<svg>")
    (folder / "ant" / "notes.txt").write_text("to do")
    (folder / "ant" / ".DS_Store").write_text("")
    (folder / "bee" / "more.ndjson").write_text(simplified("wasp", 10))
    return "data.drawings", [f"--source={folder}", "--epsilon=1.5"]


def write_toy(*_):
    return "data.toy", ["--count=20", "--classes=star,sun"]


def write_toy_performances(*_):
    return "data.toy", ["--kind=performances", "--count=3", "--classes=chorale,scales"]


def write_midi(folder, *_):
    """Six tunes of different intervals, since versions of one tune are kept together; and a broken file."""
    for n in range(6):
        pitches = [50 + (2 * n + 1) * k % 13 for k in range(12)]
        events = b"".join(bytes([9, 0x90, pitch, 70, 9, 0x80, pitch, 0]) for pitch in pitches) + b"\0\xff/\0"
        track = b"MTrk" + struct.pack(">I", len(events)) + events
        (folder / f"{n}.mid").write_bytes(b"MThd" + struct.pack(">IHHH", 6, 0, 1, 96) + track)
    (folder / "cut.mid").write_bytes((folder / "0.mid").read_bytes()[:-9])
    return "data.midi", [f"--source={folder}", "--processes=1"]


SOURCES = [write_npz, write_ndjson, write_raw_zip, write_folder, write_toy, write_toy_performances, write_midi]


@pytest.fixture(params=SOURCES)
def command(request, tmp_path, save, drawings):
    """A program and its flags, but for --out; what it reads is in a folder of its own."""
    folder = tmp_path / "source" / "files"
    folder.mkdir(parents=True)
    return request.param(folder, save, drawings)


def run(command, *more):
    program, flags = command
    return PROGRAMS[program](**parse([*flags, *more], PROGRAMS[program]))


def read(out):
    with (out / "rejected.csv").open(newline="", encoding="utf-8") as file:
        head, *rejected = csv.reader(file)
    assert head == ["file", "item", "reason"]
    return json.loads((out / "source.json").read_text()), rejected


def check_strokes(strokes):
    assert strokes.dtype == np.float32
    assert np.isfinite(strokes).all()
    assert set(np.unique(strokes[:, 2])) <= {0, 1}


def test_every_item_is_a_record_or_listed(command, tmp_path, capsys):
    out = tmp_path / "made" / "set"
    run(command, f"--out={out}")
    about, rejected = read(out)
    builder = tfds.builder_from_directory(str(out))
    assert builder.info.features["label"].names == about["labels"]
    lengths = np.load(out / "lengths.npz", allow_pickle=False)
    names, printed = set(), capsys.readouterr().out
    for split in SPLITS:
        records = builder.as_data_source(split)
        assert len(records) == len(lengths[split]) == sum(about["counts"][split].values()) > 0
        column = "strokes" if "strokes" in builder.info.features else "start"
        assert [len(record[column]) for record in records] == lengths[split].tolist()
        assert lengths[split].dtype == np.int32
        assert about["longest"][split] == lengths[split].max()
        for record in records:
            if column == "strokes":
                check_strokes(record["strokes"])
            label, _, _ = record["name"].decode().partition("/")
            assert label == about["labels"][record["label"]]
            names.add(record["name"])
        for reason, count in about["rejected"][split].items():
            assert f"rejected from {split}: {count:,} {reason}" in printed
    assert len(names) == sum(len(lengths[split]) for split in SPLITS)
    assert len(rejected) == sum(sum(reasons.values()) for reasons in about["rejected"].values())
    assert all(row[0] and row[2] for row in rejected)
    assert f"--config.data.dir={out}" in printed


def test_the_same_again_is_the_same_and_its_own_command_makes_it(command, tmp_path, capsys):
    one, two = tmp_path / "one", tmp_path / "two"
    run(command, f"--out={one}")
    run(command, f"--out={two}")
    for path in sorted(one.iterdir()):
        if path.suffix not in (".json",):
            assert path.read_bytes() == (two / path.name).read_bytes(), path.name
    about, _ = read(one)
    assert about["digest"] == read(two)[0]["digest"]
    capsys.readouterr()
    words = shlex.split(about["command"])
    assert words[:2] == ["python", "-m"]
    run((words[2], words[3:]))
    assert capsys.readouterr().out == f"already prepared: {one}\n"


def test_nothing_else_is_touched(command, tmp_path):
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "thesis.tex").write_text("...")
    with pytest.raises(UserError, match="is no prepared set"):
        run(command, f"--out={out}")
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]
    run(command, f"--out={tmp_path / 'set'}")
    before = (tmp_path / "set" / "source.json").read_bytes()
    other = "--seed=3" if command[0] == "data.toy" else "--split=70,20,10"
    with pytest.raises(UserError, match=r"was prepared from something else: .* was .*, now|sketchrnn files are split"):
        run(command, f"--out={tmp_path / 'set'}", other)
    assert (tmp_path / "set" / "source.json").read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_programs_are_quiet_and_need_no_tensorflow(command, tmp_path):
    module, flags = command
    program = f"import runpy, sys\ntry: runpy.run_module({module!r}, run_name='__main__', alter_sys=True)\n"
    program += "finally: assert not {'tensorflow', 'jax'} & sys.modules.keys()"
    made = subprocess.run(
        [sys.executable, "-c", program, *flags, f"--out={tmp_path / 'set'}"],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.splitlines()[0] == f"prepared {tmp_path / 'set'}"


def test_another_process_writes_the_same_bytes(tmp_path):
    module, flags = write_toy_performances()
    run((module, flags), f"--out={tmp_path / 'one'}")
    other = [sys.executable, "-m", module, *flags, f"--out={tmp_path / 'two'}"]
    subprocess.run(other, cwd=REPOSITORY, check=True, capture_output=True)
    records = sorted((tmp_path / "one").glob("*.array_record*"))
    assert len(records) == len(SPLITS)
    for path in records:
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name
