"""The harness finds what it is there to find: a reader that does each forbidden thing once is found at it."""

import ctypes
import os
import pickle
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from harness import BATCH, ENOUGH, Reader, survive

from magenta_lite.errors import Rejected, UserError


def misbehave(content):
    """Does what the content says; the last part is a path."""
    what, _, path = content.decode().partition(" ")
    match what:
        case "take":
            return path
        case "reject":
            return Rejected("not wanted")
        case "refuse":
            raise UserError(f"--source={path}: not wanted")
        case "hang":
            while True:
                pass
        case "compute":
            while time.process_time() < float(path):
                pass
        case "sleep-deaf":  # with the lock of the interpreter held, as in a library in C
            ctypes.PyDLL(None).usleep(30_000_000)
        case "memory":
            return len(bytearray(b"x" * (600 << 20)))
        case "much-memory":
            return bytearray(8 << 30)
        case "raise":
            raise ValueError("broken")
        case "exit":
            raise SystemExit(0)
        case "die":
            ctypes.string_at(0)
        case "leave":
            os._exit(0)
        case "write":
            Path(path).write_text("here")
        case "make":
            os.makedirs(path)
        case "remove":
            Path(path).unlink()
        case "clear":
            shutil.rmtree(path)
        case "link":
            os.symlink("/etc", path)
        case "move":
            os.replace(path, path + ".moved")
        case "read":
            return Path(path).read_bytes()
        case "list":
            return os.listdir(path)
        case "unpickle":
            return pickle.loads(b"cos\nsystem\n(S'true'\ntR.")
        case "hide":
            try:
                return pickle.loads(b"cos\nsystem\n(S'true'\ntR.")
            except Exception:
                return Rejected("no pickle")
        case "run":
            subprocess.run(["true"])
        case "system":
            os.system("true")
        case "connect":
            socket.create_connection(("127.0.0.1", 9), 1)
        case "fetch":
            urllib.request.urlopen("http://127.0.0.1:9/")
        case "silent":
            raise UserError("")
        case "bell":
            return Rejected("\x1b[2J")


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("hang", "hang: longer than 3 s"),
        ("sleep-deaf", "hang: longer than 3 s"),
        ("memory", "MB of memory"),
        ("much-memory", "MemoryError"),
        ("raise", "ValueError: broken"),
        ("exit", "SystemExit"),
        ("die", "ends the process (SIGSEGV)"),
        ("leave", "ends the process (status 0)"),
        ("write {}/elsewhere", "writes {}/elsewhere"),
        ("write {}/out/../elsewhere", "writes {}/elsewhere"),
        ("write {}/out/link/elsewhere", "writes {}/elsewhere"),
        ("write elsewhere", "here/elsewhere"),
        ("make {}/elsewhere", "os.mkdir {}/elsewhere"),
        ("remove {}/victim", "os.remove {}/victim"),
        ("link {}/elsewhere", "os.symlink {}/elsewhere"),
        ("move {}/victim", "os.rename {}/victim"),
        ("clear {}/others", "os.remove {}/others/deep/one"),
        ("read {}/victim", "reads {}/victim"),
        ("read /etc/hostname", "reads /etc/hostname"),
        ("list {}", "reads {}"),
        ("unpickle", "unpickles os.system"),
        ("hide", "unpickles os.system"),
        ("run", "runs: subprocess.Popen"),
        ("system", "runs: os.system"),
        ("connect", "connects: socket."),
        ("fetch", "connects: urllib.Request"),
        ("silent", "not one line"),
        ("bell", "cannot be printed"),
    ],
)
def test_every_misdeed_is_found_and_its_input_kept(what, found, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "link").symlink_to(tmp_path)
    (tmp_path / "victim").write_text("alive")
    (tmp_path / "others" / "deep").mkdir(parents=True)
    (tmp_path / "others" / "deep" / "one").write_text("alive")
    content = what.format(tmp_path).encode()
    seconds = 0.3 if "hang" in found else 30.0
    inputs = [b"take", ("bad", content), b"take", b"reject"]
    outcome = survive(misbehave, inputs, seconds=seconds, out=out, kept=tmp_path / "kept")
    (failure,) = outcome.failures
    assert found.format(tmp_path) in failure.what
    assert failure.name == "bad" and failure.kept.read_bytes() == content
    assert (outcome.inputs, outcome.taken, dict(outcome.refused)) == (4, 2, {"not wanted": 1})
    assert (tmp_path / "others" / "deep" / "one").read_text() == "alive"
    assert (tmp_path / "victim").read_text() == "alive" and not (tmp_path / "elsewhere").exists()


def test_what_is_allowed_is_no_failure(tmp_path):
    out, source = tmp_path / "out", tmp_path / "source"
    out.mkdir()
    source.write_text("read me")
    (out / "link").symlink_to(source)
    inputs = [
        f"write {out}/a".encode(),
        f"make {out}/b/c".encode(),
        f"clear {out}/b".encode(),
        f"remove {out}/link".encode(),
        f"read {source}".encode(),
        f"read {os.__file__}".encode(),
        f"read {__file__}".encode(),
        b"refuse 'this'",
        b"refuse 'that'",
    ]
    outcome = survive(misbehave, inputs, out=out, reads=[source])
    assert not outcome.failures, str(outcome)
    assert outcome.taken == 7 and dict(outcome.refused) == {"--source='...': not wanted": 2}
    assert (out / "a").read_text() == "here"
    assert not survive(misbehave, [f"read {source}".encode()], reads=None).failures
    assert not survive(misbehave, [b"unpickle", b"run", b"system"], may=["unpickle", "run"], reads=None).failures


def test_what_computes_too_long_is_found():
    (failure,) = survive(misbehave, [b"take", b"compute 2"], seconds=1.0).failures
    assert re.match(r"takes [12]\.\d s", failure.what)


def test_many_inputs_keep_their_order():
    count = 20 * BATCH + 3
    with Reader(misbehave) as reader:
        found = list(reader.results((str(number), b"reject" if number % 3 else b"take") for number in range(count)))
    assert [name for name, _ in found] == [str(number) for number in range(count)]
    assert [one.refused is None for _, one in found] == [number % 3 == 0 for number in range(count)]


def test_it_gives_up_after_enough_failures():
    outcome = survive(misbehave, (b"raise" for _ in range(10**9)))
    assert len(outcome.failures) == outcome.inputs == ENOUGH


def test_one_input_for_hypothesis():
    with Reader(misbehave) as reader:
        assert reader.check(b"reject").refused == "not wanted"
        assert reader.check(b"take").refused is None
        with pytest.raises(AssertionError, match="ValueError: broken"):
            reader.check(b"raise")


def unable():
    raise OSError("no library")


def test_a_process_that_does_not_start_is_an_error():
    with pytest.raises(RuntimeError, match="no library"):
        survive(misbehave, [b"take"], before=unable)
