"""Downloads from a server on the loopback that misbehaves as told."""

import http.server
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from data.download import NotFoundError, fetch
from data.quickdraw import published
from data.quickdraw.__main__ import main
from magenta_lite.errors import UserError

BODY = bytes(range(256)) * 1000


class _Server(http.server.ThreadingHTTPServer):
    answers: list[str]
    asked: list[str]
    body: bytes


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self):
        self.server.asked.append(self.path)
        answer = self.server.answers.pop(0) if self.server.answers else "whole"
        if answer.isdigit():
            return self.send_error(int(answer))
        if answer == "hangs up":
            return None
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body[: 1000 if answer == "cut short" else None])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    made = _Server(("127.0.0.1", 0), _Handler)
    made.answers, made.asked, made.body = [], [], BODY
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
