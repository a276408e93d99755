"""Downloads from a server on the loopback that misbehaves as told."""

import errno
import http.server
import io
import json
import os
import struct
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from data import download
from data.download import NotFoundError, fetch
from data.maestro.__main__ import main as maestro
from data.quickdraw import published
from data.quickdraw.__main__ import main
from magenta_lite.errors import UserError

BODY = bytes(range(256)) * 1000
_NOTE = b"\x00\x90\x40\x40\x60\x80\x40\x00\x00\xff\x2f\x00"
PIECE = b"MThd" + struct.pack(">IHHH", 6, 0, 1, 480) + b"MTrk" + struct.pack(">I", len(_NOTE)) + _NOTE


class _Server(http.server.ThreadingHTTPServer):
    answers: list[str]
    asked: list[str]
    body: bytes
    tag: str | None
    ranges: list[str | None]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self):
        self.server.asked.append(self.path)
        answer = self.server.answers.pop(0) if self.server.answers else "whole"
        if answer.isdigit():
            return self.send_error(int(answer))
        if answer == "hangs up":
            return None
        asked, body = self.headers.get("Range"), self.server.body
        self.server.ranges.append(asked)
        begin = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if asked and self.headers.get("If-Range") != self.server.tag:
            begin = 0
        if begin >= len(body):
            return self.send_error(416)
        self.send_response(206 if begin else 200)
        if self.server.tag:
            self.send_header("ETag", self.server.tag)
        if begin:
            begin -= answer == "another part"
            self.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - begin))
        self.end_headers()
        self.wfile.write(body[begin : begin + 1000 if answer == "cut short" else None])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    made = _Server(("127.0.0.1", 0), _Handler)
    made.answers, made.asked, made.body, made.tag, made.ranges = [], [], BODY, None, []
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def address(server) -> Callable[[str], str]:
    return lambda path: f"http://127.0.0.1:{server.server_port}/{path}"


@pytest.mark.parametrize("answers", [[], ["503"], ["cut short"], ["hangs up"], ["500", "429", "cut short"]])
def test_failures_that_pass_are_tried_again(tmp_path, server, address, answers):
    server.answers = list(answers)
    fetch(address("cat.npz"), tmp_path / "new" / "cat.npz", pause=0.001)
    assert (tmp_path / "new" / "cat.npz").read_bytes() == BODY
    assert len(server.asked) == len(answers) + 1
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["cat.npz"]


@pytest.mark.parametrize(
    ("answers", "asked", "message"),
    [
        (["404"], 1, "no such file .404"),
        (["403"], 1, "refused .403"),
        (["503"] * 9, 3, "not downloaded after 3 tries .503"),
        (["cut short"] * 9, 3, "not downloaded after 3 tries .*more expected"),
    ],
)
def test_failures_that_stay_leave_nothing(tmp_path, server, address, answers, asked, message):
    server.answers = answers
    with pytest.raises(UserError, match=message) as caught:
        fetch(address("cat.npz"), tmp_path / "cat.npz", tries=3, pause=0.001)
    assert isinstance(caught.value, NotFoundError) == ("404" in message)
    assert len(server.asked) == asked
    assert not list(tmp_path.iterdir())


def test_what_has_come_is_kept_and_continued(tmp_path, server, address):
    server.tag, server.answers = '"1"', ["cut short", "503", "cut short"]
    with pytest.raises(UserError, match=r"not downloaded after 3 tries .*: try again later to continue"):
        fetch(address("a.zip"), tmp_path / "a.zip", tries=3, pause=0.001, resume=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.zip.mark", ".a.zip.partial"]
    assert (tmp_path / ".a.zip.partial").stat().st_size == 2000
    fetch(address("a.zip"), tmp_path / "a.zip", tries=1, resume=True)
    assert server.ranges == [None, "bytes=1000-", "bytes=2000-"]
    assert (tmp_path / "a.zip").read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.parametrize("change", ["the file", "no tag", "a weak tag", "shorter", "another part"])
def test_what_may_not_belong_together_begins_anew(tmp_path, server, address, change):
    server.tag = {"no tag": None, "a weak tag": 'W/"1"'}.get(change, '"1"')
    server.answers = ["cut short"]
    with pytest.raises(UserError):
        fetch(address("a.zip"), tmp_path / "a.zip", tries=1, resume=True)
    server.answers = ["another part"] if change == "another part" else []
    if change == "the file":
        server.tag, server.body = '"2"', BODY[::-1]
    elif change == "shorter":
        server.body = BODY[:500]
    fetch(address("a.zip"), tmp_path / "a.zip", tries=2, pause=0.001, resume=True)
    assert (tmp_path / "a.zip").read_bytes() == server.body
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.parametrize("resume", [False, True])
def test_all_is_on_the_disk_before_it_has_its_name(tmp_path, server, address, monkeypatch, resume):
    synced, replaced = [], []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append(os.fstat(file).st_size), sync(file)))
    monkeypatch.setattr(
        os, "replace", lambda old, new: (replaced.append((list(synced), Path(old).stat().st_size)), replace(old, new))
    )
    server.body = BODY[:100_001]
    fetch(address("a.zip"), tmp_path / "a.zip", tries=1, resume=resume)
    assert replaced == [([100_001], 100_001)]


def test_two_do_not_download_the_same_at_once(tmp_path, address):
    fcntl = pytest.importorskip("fcntl")
    with (tmp_path / ".a.zip.partial").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="is being downloaded by another program"):
            fetch(address("a.zip"), tmp_path / "a.zip", resume=True)


def test_maestro_is_downloaded_once(tmp_path, server, address, capsys):
    rows = "canonical_composer,canonical_title,split,midi_filename\n"
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for number, split in enumerate(("train", "validation", "test")):
            archive.writestr(f"maestro-v3.0.0/2018/{number}.midi", PIECE)
            rows += f"Ada,Nr. {number},{split},2018/{number}.midi\n"
        archive.writestr("maestro-v3.0.0/maestro-v3.0.0.csv", rows)
    server.body, server.tag = content.getvalue(), '"1"'
    flags = {"cache": str(tmp_path / "cache"), "url": address("maestro.zip"), "partial": True}
    maestro(out=str(tmp_path / "one"), **flags)
    maestro(out=str(tmp_path / "two"), **flags)
    assert server.asked == ["/maestro.zip"]
    printed = capsys.readouterr().out
    assert printed.count("a part of MAESTRO: 3 of 1,276 performances") == 2
    server.body = b"<html>please log in</html>"
    with pytest.raises(UserError, match="what came is no zip"):
        maestro(out=str(tmp_path / "three"), **{**flags, "cache": str(tmp_path / "other")})
    assert not list((tmp_path / "other").iterdir())


def test_no_server_at_all(tmp_path, server, address):
    url = address("cat.npz")
    server.shutdown()
    server.server_close()
    with pytest.raises(UserError, match="not downloaded after 2 tries"):
        fetch(url, tmp_path / "cat.npz", tries=2, pause=0.001)


def test_a_class_is_downloaded_once(tmp_path, server, address, save, drawings, capsys):
    server.body = save("alarm clock", train=drawings(4), valid=drawings(1), test=drawings(1)).read_bytes()
    flags = {"cache": str(tmp_path / "cache"), "url": address("{name}.npz")}
    main(["alarm_clock"], out=str(tmp_path / "one"), **flags)
    assert server.asked == ["/alarm%20clock.npz"]
    main(["alarm_clock"], out=str(tmp_path / "two"), **flags)
    assert len(server.asked) == 1
    assert Path(tmp_path / "two" / "lengths.npz").exists()
    assert "prepared" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["simplified", "raw"])
def test_other_forms_are_downloaded_once_and_apart(tmp_path, server, address, form):
    rows = [{"word": "alarm clock", "key_id": str(n), "drawing": [[[0, 9, n], [n, 1, 0]]]} for n in range(40)]
    server.body = "\n".join(map(json.dumps, rows)).encode()
    flags = {"cache": str(tmp_path / "cache"), "url": address("full/{name}.ndjson"), "format": form}
    main(["alarm_clock"], out=str(tmp_path / "one"), **flags)
    main(["alarm clock"], out=str(tmp_path / "two"), **flags)
    assert server.asked == ["/full/alarm%20clock.ndjson"]
    assert (tmp_path / "cache" / form / "alarm clock.ndjson").exists()
    assert json.loads((tmp_path / "two" / "source.json").read_text())["labels"] == ["alarm clock"]
    server.body = b"<html>please log in</html>"
    with pytest.raises(UserError, match=r"what came is no \.ndjson file"):
        main(["cat"], out=str(tmp_path / "three"), **flags)
    assert [path.name for path in (tmp_path / "cache" / form).iterdir()] == ["alarm clock.ndjson"]


def test_where_the_forms_are_published(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(published, "fetch", lambda url, path: asked.append(url) or path.write_text("<"))
    for form in published.FORMS:
        (tmp_path / form).mkdir()
        with pytest.raises(UserError, match="what came is no"):
            published.download("alarm_clock", form, tmp_path, None)
    assert asked == [
        "https://storage.googleapis.com/quickdraw_dataset/sketchrnn/alarm%20clock.npz",
        "https://storage.googleapis.com/quickdraw_dataset/full/simplified/alarm%20clock.ndjson",
        "https://storage.googleapis.com/quickdraw_dataset/full/raw/alarm%20clock.ndjson",
    ]


def test_a_class_that_is_not_published(tmp_path, server, address):
    server.answers = ["404"]
    with pytest.raises(UserError, match=r"no class 'catt': http://127\.0\.0\.1.*catt\.npz: no such file \(404"):
        main(["catt"], out=str(tmp_path / "out"), cache=str(tmp_path / "cache"), url=address("{name}.npz"))


def test_a_page_in_the_place_of_a_file_is_not_kept(tmp_path, server, address):
    server.body = b"<html>please log in</html>"
    with pytest.raises(UserError, match=r"what came is no \.npz file"):
        main(["cat"], out=str(tmp_path / "out"), cache=str(tmp_path / "cache"), url=address("{name}.npz"))
    assert not list((tmp_path / "cache").iterdir())


def test_a_template_without_a_place_for_the_class(tmp_path):
    with pytest.raises(UserError, match=r"write \{name\} where the class belongs"):
        main(["cat"], out=str(tmp_path / "out"), cache=str(tmp_path / "cache"), url="http://127.0.0.1/cat.npz")


@pytest.mark.parametrize("resume", [False, True])
def test_a_full_disk_is_told_at_once(tmp_path, server, address, monkeypatch, resume):
    def stop(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "_copy", stop)
    with pytest.raises(
        UserError, match=r"cat\.npz: no space left on device: make room and give the same command again"
    ):
        fetch(address("cat.npz"), tmp_path / "cat.npz", resume=resume)
    assert len(server.asked) == 1
    assert not (tmp_path / "cat.npz").exists()
