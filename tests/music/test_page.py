import base64
import io
import json
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from magenta_lite.errors import UserError
from magenta_lite.music import audio
from magenta_lite.music.notes import Notes
from magenta_lite.music.page import Piece, Section, write_page
from magenta_lite.music.piano_roll import Bars

EMPTY = Notes([], [], [], [])
LONG = Notes([0.0, 70.0], [1.0, 71.0], [60, 64], [90, 40])
HOSTILE = "<script>alert(\"1\")</script> & 'x'"
VOID = {"meta", "img"}


class Reader(HTMLParser):
    """Tags with their attributes and the text, and whether all that opens closes."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def read(path):
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    assert reader.open == []
    return reader


def test_the_page_holds_pictures_and_points_to_sound(tmp_path):
    pieces = [Piece(LONG, "First", tmp_path / "audio" / "a b#1.wav", 2.0, tmp_path / "a.mid"), Piece(EMPTY)]
    write_page(tmp_path / "page.html", "Pieces", [Section("One", "Hello.\n\nAgain.", pieces)], made="by a test")
    page = read(tmp_path / "page.html")
    pictures = [Image.open(io.BytesIO(base64.b64decode(one["src"].split(",")[1]))) for one in page.all("img")]
    assert [picture.format for picture in pictures] == ["PNG", "PNG"]
    assert [str(picture.width) for picture in pictures] == [one["width"] for one in page.all("img")]
    assert [one["src"] for one in page.all("audio")] == ["audio/a%20b%231.wav"]
    assert [one["href"] for one in page.all("a")] == ["a.mid"]
    assert len(page.all("p")) == 3
    for words in ("Pieces", "One", "Hello.", "First", "2 notes, 71.0 s", "by a test"):
        assert words in page.text


def test_rows_of_a_roll_say_where_a_time_is(tmp_path):
    write_page(tmp_path / "page.html", "x", [Section("", "", [Piece(LONG)])])
    (figure,) = read(tmp_path / "page.html").all("figure")
    rows = np.array(json.loads(figure["data-rows"]))
    assert rows.shape == (3, 6)
    assert rows[0, 0] == 0
    assert rows[-1, 1] == 71
    np.testing.assert_array_equal(rows[1:, 0], rows[:-1, 1])
    assert ((rows[:, 2:] >= 0) & (rows[:, 2:] <= 1)).all()
    assert (rows[:, 2] < rows[:, 3]).all()
    assert (rows[:, 4] < rows[:, 5]).all()


def test_rows_of_a_roll_with_bars_end_at_bar_lines(tmp_path):
    write_page(tmp_path / "page.html", "x", [Section("", "", [Piece(LONG, bars=Bars(4.0))])])
    (figure,) = read(tmp_path / "page.html").all("figure")
    assert [row[:2] for row in json.loads(figure["data-rows"])] == [[0, 24], [24, 48], [48, 72]]


def test_words_are_never_markup(tmp_path):
    section = Section(HOSTILE, HOSTILE, [Piece(LONG, HOSTILE, tmp_path / HOSTILE, midi=tmp_path / HOSTILE)])
    write_page(tmp_path / "page.html", HOSTILE, [section], made=HOSTILE)
    page = read(tmp_path / "page.html")
    assert len(page.all("script")) == 1
    assert page.text.count(HOSTILE) == 6  # title, heading, made, section, text, caption


def test_sound_may_be_put_into_the_page(tmp_path):
    audio.write_wav(np.zeros((100, 2)), tmp_path / "a.wav")
    section = Section("", "", [Piece(LONG, audio=tmp_path / "a.wav")])
    write_page(tmp_path / "new" / "page.html", "x", [section], embed=True)
    (sound,) = read(tmp_path / "new" / "page.html").all("audio")
    kind, content = sound["src"].split(",")
    assert kind == "data:audio/wav;base64"
    assert base64.b64decode(content) == (tmp_path / "a.wav").read_bytes()


def test_nothing_is_loaded_from_elsewhere(tmp_path):
    write_page(tmp_path / "page.html", "x", [Section("", "", [Piece(LONG)])])
    assert "http" not in (tmp_path / "page.html").read_text()


def test_what_cannot_be_read_or_written_is_said(tmp_path):
    section = Section("", "", [Piece(LONG, audio=tmp_path / "none.wav")])
    with pytest.raises(UserError, match="cannot read"):
        write_page(tmp_path / "page.html", "x", [section], embed=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        write_page(tmp_path / "file" / "page.html", "x", [])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
