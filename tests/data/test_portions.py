"""Sets made in portions: however the source is cut, by however many processes, in one go or in many."""

import contextlib
import gzip
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from data import line_files
from data.archives import Member
from data.line_files import Part, cut, texts
from data.prepare import SPLITS
from data.quickdraw.__main__ import main
from data.scratch import scratch
from magenta_lite.errors import Rejected, UserError
from magenta_lite.pipeline import PreparedData
from magenta_lite.sketch import ndjson

REPOSITORY = Path(__file__).parents[2]

BUILD = """
import sys
from data import line_files
from data.midi import keeping
line_files.SMALLEST, keeping._CHUNK = int(sys.argv[2]), int(sys.argv[2])
if __name__ == "__main__":
    import importlib
    from magenta_lite.command import run
    run(importlib.import_module(sys.argv[1] + ".__main__").main, sys.argv[3:])
"""


def lines(word, count, seed=0):
    """So many drawings of one to three short strokes, with a line that is none and a blank one here and there."""
    rng = np.random.default_rng([seed, len(word)])
    for number in range(count):
        strokes = [rng.integers(0, 256, (2, int(rng.integers(2, 9)))).tolist() for _ in range(rng.integers(1, 4))]
        row = {"word": word, "key_id": f"{seed}{word}{number}", "recognized": True, "drawing": strokes}
        yield json.dumps(row) if number % 17 else ["no drawing", "", '{"drawing": []}'][number // 17 % 3]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder of two larger files, a gzipped one and one without an end of its last line."""
    folder = tmp_path_factory.mktemp("lines")
    (folder / "ant.ndjson").write_text("\n".join(lines("ant", 400)) + "\n")
    (folder / "bee.ndjson").write_text("\n".join(lines("bee", 300)))
    (folder / "cow.ndjson.gz").write_bytes(gzip.compress("\n".join(lines("cow", 100)).encode(), mtime=0))
    for number in range(5):
        (folder / f"few{number}.ndjson").write_text("\n".join(lines("few", 9, number + 1)) + "\n")
    return folder


def build(source, out, **flags):
    main(["all"], source=str(source), out=str(out), **flags)
    return out


def contents(folder):
    """The bytes of every file of a set, without the command that made it."""
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    found["source.json"] = {key: value for key, value in json.loads(found["source.json"]).items() if key != "command"}
    return found


def records(folder):
    data = PreparedData(folder)
    return {
        split: [(one["name"], one["label"], one["strokes"].tolist()) for one in data.examples(split)]
        for split in SPLITS
    }


@pytest.mark.parametrize("smallest", [1, 100, 1000, 10**9])
def test_portions_hold_every_line_once(source, monkeypatch, smallest):
    monkeypatch.setattr(line_files, "SMALLEST", smallest)
    monkeypatch.setattr(ndjson, "LONGEST", 200)  # so that some lines are too long
    files = line_files.members(source)
    portions, hashes = cut(files, 2)
    whole = [(file.name, *line) for file in files for line in texts(file)]
    assert [(part.file.name, *line) for portion in portions for part in portion for line in texts(part)] == whole
    assert any(isinstance(line[2], Rejected) for line in whole)
    assert sorted(hashes) == sorted(file.path.name for file in files)
    assert len(portions) == 1 if smallest == 10**9 else len(portions) > 3
    assert (portions, hashes) == cut(files, 1)
    monkeypatch.setattr(line_files, "MOST", 7)
    assert len(cut(files, 2)[0]) <= 8


def test_files_are_cut_where_lines_begin(tmp_path, monkeypatch):
    """Around the borders of the blocks in which a file is read, too."""
    monkeypatch.setattr(line_files, "SMALLEST", 1 << 19)
    path = tmp_path / "ant.ndjson"
    for ending in (-2, -1, 0, 1):
        path.write_bytes(b"a" * ((1 << 20) + ending) + b"\n" + b"b\n" * 700_000)
        portions, _ = cut([Member(path)], 1)
        parts = [part for portion in portions for part in portion]
        assert len(parts) == 4
        content = path.read_bytes()
        for part in parts:
            assert part.begin == 0 or content[part.begin - 1 : part.begin] == b"\n"
            assert part.before == content.count(b"\n", 0, part.begin)
        assert parts[0] == Part(Member(path), 0, 0, parts[1].before)
        assert parts[-1].count is None


def test_the_set_does_not_depend_on_how_it_is_made(source, tmp_path, monkeypatch):
    one = build(source, tmp_path / "one", processes=1)
    assert len(list(one.glob("*.array_record-*"))) == 3
    monkeypatch.setattr(line_files, "SMALLEST", 5000)
    many = build(source, tmp_path / "many", processes=1)
    assert len(list(many.glob("*.array_record-*"))) > 20
    assert records(many) == records(one)
    ours, theirs = contents(one), contents(many)
    for name in ("lengths.npz", "rejected.csv", "source.json", "features.json"):
        assert ours[name] == theirs[name]
    assert contents(build(source, tmp_path / "processes", processes=2)) == theirs
    packed = tmp_path / "source.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(source.iterdir()):
            archive.write(path, path.name)
    assert records(build(packed, tmp_path / "zip", processes=1)) == records(one)


def test_few_drawings_in_many_portions_leave_no_split_empty(tmp_path, monkeypatch, capsys):
    path = tmp_path / "ant.ndjson"
    path.write_text("".join(f"{line}\n" for line in list(lines("ant", 9))[1:]))
    sets = []
    for smallest in (10**9, 1):
        monkeypatch.setattr(line_files, "SMALLEST", smallest)
        sets.append(records(build(path, tmp_path / str(smallest), processes=1)))
        assert "which would have been empty: 1" in capsys.readouterr().out
    assert sets[0] == sets[1]
    assert all(sets[0].values())


def test_a_set_is_made_by_one_process_at_a_time(source, tmp_path):
    out = build(source, tmp_path / "set", processes=1)
    digest = json.loads((out / "source.json").read_text())["digest"]
    with (
        scratch(tmp_path / "other", digest),
        pytest.raises(UserError, match="is being made by another process"),
        scratch(tmp_path / "other", digest),
    ):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]


def test_what_dead_builds_left_goes(tmp_path):
    out = tmp_path / "cat"
    mine, other, more, busy = (
        tmp_path / f".{name}.partial"
        for name in (f"cat.{'0' * 16}", f"cat.{'1' * 16}", f"cat.x.{'2' * 16}", "cat.note")
    )
    for folder in (mine, other, more, busy):
        (folder / "done").mkdir(parents=True)
        (folder / "begun").write_text("")
    with scratch(out, "0" * 64, keeps=("done",)) as folder:
        assert folder == mine
        assert sorted(path.name for path in folder.iterdir()) == ["done", "lock"]
        assert not other.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [busy.name, more.name]
    with (
        pytest.raises(UserError, match="cannot be finished, no space left on device: make room and"),
        scratch(out, "0" * 64, keeps=("done",)) as folder,
    ):
        (folder / "done").mkdir()
        (folder / "begun").write_text("")
        raise OSError(28, "No space left on device")
    assert sorted(path.name for path in mine.iterdir()) == ["done", "lock"]


def start(module, smallest, *flags, **more):
    command = [sys.executable, "-c", BUILD, module, str(smallest), *flags]
    return subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **more
    )


def results(folder):
    """Finished work in the scratch folders of a folder, each with what tells it from the same done once more."""
    found = [*folder.glob(".*.partial/keys/[0-9]*"), *folder.glob(".*.partial/r*/[0-9]*")]
    return {path: path.stat().st_ino for path in found}


def children(process):
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True).stdout
    return [int(pid) for pid in found.split()]


def disturb(folder, command, kills, most, seed):
    """Kills a build so often, or a process of its own, each time when more is done than before; then lets it be."""
    rng = random.Random(seed)
    done = {}
    for number in range(kills):
        wanted = rng.randrange(most * number // kills, most * (number + 1) // kills + 1)
        process = start(*command)
        while process.poll() is None and len(results(folder)) < wanted:
            time.sleep(0.005)
        time.sleep(rng.random() * 0.1)
        family = children(process)
        worker = number % 2 and family
        # The first of them is Python's own, which looks after what the others share.
        with contextlib.suppress(ProcessLookupError):
            os.kill(family[-1] if worker else process.pid, signal.SIGKILL)
        message = process.communicate()[1]
        found = results(folder)
        assert done.items() <= found.items() or (folder / "set").exists()
        done = found
        if process.returncode == 2:
            assert message.count("\n") == 1
            assert "ended from outside" in message or "do not start" in message
        else:
            assert process.returncode in (0, -signal.SIGKILL)
        for pid in family:  # and nothing is left that works on
            for _ in range(1000):
                if not Path(f"/proc/{pid}").exists():
                    break
                time.sleep(0.01)
            else:
                raise AssertionError(f"{pid} lives on")
    process = start(*command)
    assert process.communicate()[1] == ""
    assert process.returncode == 0


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory):
    """The set that is made of the source in portions of 3,000 bytes, in one go."""
    out = tmp_path_factory.mktemp("whole") / "set"
    process = start("data.quickdraw", 3000, "--classes=all", f"--source={source}", "--processes=1", f"--out={out}")
    assert process.communicate()[1] == ""
    return out


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks at processes as Linux shows them")
def test_a_build_that_is_killed_goes_on(source, whole, tmp_path, times):
    folder = tmp_path / "killed"
    folder.mkdir()
    parts = len(list(whole.glob("*train*")))
    flags = ["--classes=all", f"--source={source}", "--processes=2", f"--out={folder / 'set'}"]
    disturb(folder, ("data.quickdraw", 3000, *flags), kills=times(5, 50), most=2 * parts, seed=1)
    assert contents(folder / "set") == contents(whole)
    assert [path.name for path in folder.iterdir()] == ["set"]


@pytest.fixture
def tunes(tmp_path):
    """Forty short MIDI files, no two of them alike, and some that are none."""
    folder = tmp_path / "tunes"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(40):
        events = b"".join(bytes([9, 0x90, pitch, 70, 9, 0x80, pitch, 0]) for pitch in rng.integers(30, 90, 30).tolist())
        events += b"\0\xff/\0"
        head = b"MThd\0\0\0\6\0\0\0\1\0\x60MTrk" + len(events).to_bytes(4, "big")
        (folder / f"{number:02}.mid").write_bytes(head + events if number % 9 else b"none")
    return folder


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks at processes as Linux shows them")
def test_a_reading_of_midi_that_is_killed_goes_on(tunes, tmp_path, times):
    source = tmp_path / "tunes.tar"
    subprocess.run(["tar", "cf", source, "-C", tunes, "."], check=True)
    folder = tmp_path / "killed"
    folder.mkdir()
    flags = [f"--source={source}", "--processes=1"]
    process = start("data.midi", 4, *flags, f"--out={tmp_path / 'whole' / 'set'}")
    assert process.communicate()[1] == ""
    command = ("data.midi", 4, *flags, f"--out={folder / 'set'}")
    disturb(folder, command, kills=times(2, 25), most=10, seed=2)
    assert contents(folder / "set") == contents(tmp_path / "whole" / "set")
    assert [path.name for path in folder.iterdir()] == ["set"]


FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
del sys.argv[1]
"""


def full(bytes_, module, *flags):
    command = [sys.executable, "-c", FULL + BUILD, str(bytes_), module, "3000", *flags]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)


def test_a_disk_that_is_full_costs_nothing_that_was_there(source, whole, tmp_path):
    """A limit on the size of files stands in for the disk."""
    flags = ["--classes=all", f"--source={source}", "--processes=2", f"--out={tmp_path / 'set'}"]
    told = full(2000, "data.quickdraw", *flags)
    assert (told.returncode, told.stdout, told.stderr.count("\n")) == (2, "", 1)
    assert "set cannot be finished, file too large: make room and give the same command again; what is" in told.stderr
    assert not (tmp_path / "set").exists()
    (kept,) = tmp_path.iterdir()
    assert len(results(tmp_path)) > 3  # it is the records that are too large, not the keys
    assert not list(kept.glob("*/.*"))
    process = start("data.quickdraw", 3000, *flags)
    assert process.communicate()[1] == ""
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert contents(tmp_path / "set") == contents(whole)


@pytest.mark.parametrize("module", ["data.toy", "data.midi"])
def test_no_half_set_is_left_of_what_cannot_go_on(module, tunes, tmp_path):
    out = tmp_path / "made" / "set"
    flags = ["--count=20", "--classes=star"] if module == "data.toy" else [f"--source={tunes}", "--processes=1"]
    told = full(3000, module, *flags, f"--out={out}")
    assert (told.returncode, told.stdout, told.stderr.count("\n")) == (2, "", 1)
    assert "set cannot be finished, file too large: make room and give the same command again" in told.stderr
    left = [path for path in out.parent.rglob("*") if path.is_file() and path.name != "lock"]
    assert all(path.parent.name == "read" for path in left)
    assert bool(left) == (module == "data.midi")


@pytest.mark.parametrize("module", ["data.quickdraw", "data.midi"])
def test_beam_makes_the_same_set(module, source, tunes, tmp_path):
    if importlib.util.find_spec("apache_beam") is None:
        pytest.skip("Apache Beam is not installed (pip install -e '.[beam]')")
    flags = [f"--source={source}", "--classes=all"] if module == "data.quickdraw" else [f"--source={tunes}"]
    for name, more in (("here", []), ("beam", ["--beam"])):
        process = start(module, 5000, *flags, "--processes=2", f"--out={tmp_path / 'out' / name}", *more)
        process.communicate()
        assert process.returncode == 0
    assert contents(tmp_path / "out" / "here") == contents(tmp_path / "out" / "beam")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["beam", "here"]
