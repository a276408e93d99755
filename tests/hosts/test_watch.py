"""The parent of a process: it ends as the child does, says what the child cannot, and leaves nothing behind."""

import dataclasses
import errno
import json
import os
import runpy
import signal
import socket
import time

import jax
import pytest
from processes import ROOT, environment, started, until

from magenta_lite import hosts, models, watch, workdirs
from magenta_lite.command import guard
from magenta_lite.errors import UserError
from magenta_lite.pipeline import PreparedData

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
        ("watch.joined(); os.abort()", watch.LOST, "error: the process of this host ended with SIGABRT"),
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


COUNTS = """
import train
came, handled = train._signals(), []
counted = signal.getsignal(signal.SIGTERM)
signal.signal(signal.SIGTERM, lambda *values: (handled.append(1), counted(*values), print(len(handled), flush=True)))
print("ready", flush=True)
{}
while True:
    time.sleep(300)
"""


def test_a_signal_to_every_process_does_not_end_the_child(watched):
    """As srun sends it; also where the child, which was busy, finds the one passed on long after its own."""
    with watched(COUNTS.format(""), "--process=0") as (process,):
        until(lambda: "ready" in process.output, process)
        process.signal(signal.SIGTERM, "child")
        until(lambda: "1" in process.output, process)
        time.sleep(watch.AT_ONCE + 0.5)
        process.signal(signal.SIGTERM, "parent")
        until(lambda: "2" in process.output, process)
        time.sleep(0.5)
        assert process.popen.poll() is None


@pytest.mark.parametrize("pause", [0, watch.AT_ONCE + 0.5])
def test_a_second_signal_to_the_parent_ends_both(watched, pause):
    """At once, even where the child is in the midst of something that minds no signal; but not the same one twice."""
    with watched(COUNTS.format("signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])"), "--process=0") as (
        process,
    ):
        until(lambda: "ready" in process.output, process)
        process.signal(signal.SIGTERM, "parent")
        time.sleep(pause)
        process.signal(signal.SIGTERM, "parent")
        if pause:
            assert process.wait() == 128 + signal.SIGTERM
            assert process.alive() == []
        else:
            time.sleep(0.5)
            assert process.popen.poll() is None


def test_a_signal_to_the_group_reaches_the_child_once(watched):
    """As Ctrl-C does."""
    with watched(COUNTS.format(""), "--process=0") as (process,):
        until(lambda: "ready" in process.output, process)
        os.killpg(process.popen.pid, signal.SIGTERM)
        until(lambda: "1" in process.output, process)
        time.sleep(0.5)
        assert process.output.split() == ["ready", "1"]


LOST = [
    "DEADLINE_EXCEEDED: GetKeyValue() timed out with key: cpu:gloo/0,1/0 and duration: 30s",
    "UNAVAILABLE: failed to connect to all addresses",
    "UNKNOWN: Gloo all-reduce failed: Connection closed by peer [127.0.0.1]:1234",
    "FAILED_PRECONDITION: Buffer Definition Event: Gloo all-reduce failed: Connection reset by peer",
    "ABORTED: The task has missed its heartbeat",
    "Unable to initialize backend 'cpu': DEADLINE_EXCEEDED: Barrier timed out.",
]
OWN = [
    "RESOURCE_EXHAUSTED: Out of memory allocating 123 bytes",
    "INTERNAL: Failed to execute XLA Runtime executable",
    "INVALID_ARGUMENT: Expected 2 arguments\nand more lines",
    "UNKNOWN: CUDNN_STATUS_EXECUTION_FAILED",
]


@pytest.mark.parametrize("message", LOST)
def test_what_tells_of_a_connection_is_a_lost_host(message):
    status, line = hosts._ending(jax.errors.JaxRuntimeError(message))
    assert (status, line) == (watch.LOST, watch.lost(message))


@pytest.mark.parametrize("message", OWN)
def test_another_error_of_jax_is_no_lost_host(message):
    assert hosts._ending(jax.errors.JaxRuntimeError(message)) == (1, message.partition("\n")[0])


@pytest.mark.parametrize("error", [UserError("x"), KeyboardInterrupt(), OSError(errno.ENAMETOOLONG, "long", "name")])
def test_an_error_ends_one_of_several_as_it_ends_one_alone(error, capsys):
    """The status and the line of command.guard."""

    def fail():
        raise error

    with pytest.raises(SystemExit) as end:
        guard(fail)
    status, line = hosts._ending(error)
    assert status == end.value.code
    assert capsys.readouterr().err == (f"error: {line}\n" if line else "")


def test_a_reader_that_goes_away_ends_one_of_several_in_silence():
    assert hosts._ending(BrokenPipeError()) == (141, "")


def test_a_defect_shows_its_traceback():
    status, text = hosts._ending(ZeroDivisionError("here"))
    assert status == 1
    assert text.startswith("ZeroDivisionError: here")


OF_EACH = {"num_steps": 7, "evaluate_every": 7, "save_every": 7, "on_nan": "skip", "nan_limit": 7, "seed": 7}
OF_THE_FIRST = {"log_every": 7, "keep_checkpoints": 7, "data.build": "true", "data.dir": "/elsewhere"}


@pytest.mark.parametrize("field", [*OF_EACH, *OF_THE_FIRST])
def test_the_hosts_agree_on_what_each_of_them_uses(monkeypatch, toy, field):
    config = runpy.run_path(str(ROOT / "configs/sketch_rnn.py"))["get_config"]("tiny")
    config.data.dir = str(toy)
    data = PreparedData(config.data.dir)
    codec, _ = models.family("sketch_rnn").Codec.from_data({}, data)
    told = {"config": config.to_dict(), "codec": dataclasses.asdict(codec), "digest": data.source["digest"]}
    monkeypatch.setattr(hosts, "first", lambda: False)
    monkeypatch.setattr(hosts, "shared", lambda make: json.loads(json.dumps(told)))
    assert workdirs.agree(None, config, data) == codec
    config.update_from_flattened_dict({field: (OF_EACH | OF_THE_FIRST)[field]})
    if field in OF_THE_FIRST:
        assert workdirs.agree(None, config, data) == codec
    else:
        with pytest.raises(UserError, match=f"host 0 has another config than the first .{field}: .* -> "):
            workdirs.agree(None, config, data)


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
