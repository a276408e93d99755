"""The parent of a process: it ends as the child does, says what the child cannot, and leaves nothing behind."""

import signal
import socket

import pytest
from processes import environment, started, until

from magenta_lite import hosts, watch
from magenta_lite.errors import UserError

PROGRAM = """
import os, signal, sys, time
from magenta_lite import watch
watch.watch(sys.argv[1:])
{}
"""


@pytest.fixture
def watched(tmp_path):
    """Starts a program that begins as train.py does."""

    def start(body, *words, **env):
        file = tmp_path / "program.py"
        file.write_text(PROGRAM.format(body))
        return started([[str(file), *words]], tmp_path, [environment(1, **env)])

    return start


def test_one_that_is_alone_has_no_child(watched):
    with watched("print(os.environ.get('MAGENTA_LITE_WATCHED'), sys.argv[1:])", "--config=processes") as (process,):
        assert process.wait() == 0
        assert process.last == "None ['--config=processes']"


@pytest.mark.parametrize("words", [["--coordinator=h:1"], ["--process", "1"], ["-distributed"], []])
def test_the_status_of_the_child_is_its_parents(watched, words):
    env = {} if words else {"JAX_COORDINATOR_ADDRESS": "h:1"}
    with watched("print(os.environ['MAGENTA_LITE_WATCHED'], sys.argv[1:]); sys.exit(7)", *words, **env) as (process,):
        assert process.wait() == 7
        assert process.last == f"1 {words}"


@pytest.mark.parametrize(
    ("body", "status", "line"),
    [
        ("os.abort()", 2, f"error: {watch.APART}"),
        ("watch.joined(); os.abort()", watch.LOST, "error: a host of this run has gone (JAX has missed it"),
        ("watch.joined(); os.kill(os.getpid(), 9)", watch.LOST, "error: the process of this host was ended by SIGKILL"),
    ],
)
def test_what_ends_the_child_is_said(watched, body, status, line):
    with watched(body, "--process=0") as (process,):
        assert process.wait() == status
        assert process.last.startswith(line)


def test_a_signal_reaches_the_child(watched):
    body = """
signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
print("ready", flush=True)
time.sleep(300)
"""
    with watched(body, "--process=0") as (process,):
        until(lambda: "ready" in process.output, process)
        process.signal(signal.SIGTERM, "parent")
        assert process.wait() == 5


def test_a_signal_before_the_child_minds_it_ends_both(watched):
    with watched("print('ready', flush=True); time.sleep(300)", "--process=0") as (process,):
        until(lambda: "ready" in process.output, process)
        process.signal(signal.SIGTERM, "parent")
        assert process.wait() == 128 + signal.SIGTERM
        assert process.alive() == []


def test_the_child_ends_with_its_parent(watched):
    with watched("watch.joined(); print('ready', flush=True); time.sleep(300)", "--process=0") as (process,):
        until(lambda: "ready" in process.output, process)
        process.signal(signal.SIGKILL, "parent")
        process.wait()
        until(lambda: process.alive() == [])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (("localhost", 2, 0), "--coordinator=localhost: expected HOST:PORT"),
        (("localhost:x", 2, 0), "--coordinator=localhost:x: expected HOST:PORT"),
        (("localhost:99999", 2, 0), "--coordinator=localhost:99999: expected HOST:PORT"),
        (("localhost:1234", 2, 5), "--process=5: expected 0 to 1, as --processes=2 says"),
        (("localhost:1234", 0, 0), "--processes=0: expected 1 or more"),
        (("localhost:1234", 2, -1), "--process=-1: expected 0 to 1"),
    ],
)
def test_a_wrong_number_is_told_at_once(values, said):
    with pytest.raises(UserError, match=said):
        hosts.connect(*values)


def test_a_wrong_number_of_the_environment_is_told(monkeypatch):
    monkeypatch.setenv("JAX_NUM_PROCESSES", "two")
    with pytest.raises(UserError, match="JAX_NUM_PROCESSES=two: expected a number, as --processes takes it"):
        hosts.connect("localhost:1234", None, 0)


def test_a_port_that_is_taken_is_told():
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"--coordinator=localhost:{port}: this host cannot listen there"):
            hosts.connect(f"localhost:{port}", 2, 0)


def test_who_says_which_it_is_says_where_they_meet(monkeypatch):
    monkeypatch.delenv("JAX_COORDINATOR_ADDRESS", raising=False)
    for values in ((None, 2, None, False), (None, None, 1, False)):
        with pytest.raises(UserError, match=r"without --coordinator=HOST:PORT"):
            hosts.asked(*values)
    assert not hosts.asked(None, None, None, False)
    assert hosts.asked(None, None, None, True)
    assert hosts.asked("localhost:1", 2, 1, False)


def test_a_signal_that_comes_twice_at_once_is_one(watched):
    """Ctrl-C reaches a whole group, and a child by its parent, too. A second one later ends the program at once."""
    body = """
import train
came = train._signals()
for _ in range(3):
    signal.raise_signal(signal.SIGTERM)
print(list(came), flush=True)
came[signal.SIGTERM] -= 2
signal.raise_signal(signal.SIGTERM)
print("never", flush=True)
"""
    with watched(body) as (process,):
        assert process.wait() == -signal.SIGTERM
        assert process.last == f"[{int(signal.SIGTERM)}]"
