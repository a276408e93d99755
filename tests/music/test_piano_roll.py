import numpy as np
import pytest
from PIL import Image

from magenta_lite.errors import UserError
from magenta_lite.music import piano_roll, roll_layout
from magenta_lite.music.notes import Notes

EMPTY = Notes([], [], [], [])
ONE = Notes([1.0], [3.0], [60], [100])


def pixels(picture):
    return np.asarray(picture).astype(int)


def near(picture, colour):
    """Where the picture [y, x] has a colour."""
    return np.abs(pixels(picture) - np.asarray(colour)).max(axis=2) < 6


def rgb(colour):
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


@pytest.mark.parametrize("ramp", [piano_roll.NOTES, piano_roll.DRUMS])
def test_colours_are_darker_the_louder(ramp):
    brightness = ramp.astype(float) @ [0.2126, 0.7152, 0.0722]
    assert ramp.shape == (128, 3)
    assert (np.diff(brightness) < 1).all()
    assert (brightness[:-16] - brightness[16:] > 5).all()


def test_a_note_is_where_its_time_and_pitch_are():
    picture = piano_roll.picture(ONE, seconds_per_row=4)
    (row,) = roll_layout.lay_out(ONE, seconds_per_row=4).rows
    layout = roll_layout.lay_out(ONE, seconds_per_row=4)
    inside = near(picture, piano_roll.NOTES[100])[row.top : row.bottom, row.left : row.right]
    y, x = np.nonzero(inside)
    wide, semitone = row.right - row.left, (row.bottom - row.top) / (layout.high - layout.low + 1)
    assert abs(x.min() - wide / 4) <= 1
    assert abs(x.max() - wide * 3 / 4) <= 2
    assert y.min() >= (layout.high - 60) * semitone
    assert y.max() < (layout.high - 60 + 1) * semitone
    assert inside[y.min() : y.max() + 1, x.min() : x.max() + 1].all()


def test_notes_struck_again_are_seen_apart():
    again = Notes([0.0, 1.0], [1.0, 2.0], [60, 60], [100, 100])
    picture = piano_roll.picture(again)
    (row,) = roll_layout.lay_out(again).rows
    line = near(picture, piano_roll.NOTES[100])[row.top : row.bottom, row.left : row.right].any(axis=0)
    assert (np.diff(line.astype(int)) == 1).sum() + line[0] == 2


def test_drums_and_what_was_given_have_colours_of_their_own():
    both = Notes([0.0, 1.0, 2.0], [0.5, 1.5, 2.5], [60, 38, 64], [90, 90, 90], is_drum=[False, True, False])
    picture = piano_roll.picture(both)
    (row,) = roll_layout.lay_out(both).rows
    body = picture.crop((row.left, row.top, row.right, row.bottom))
    assert near(body, piano_roll.DRUMS[90]).any()
    assert near(body, piano_roll.NOTES[90]).any()
    assert not near(picture, rgb(piano_roll.GIVEN_PAPER)).any()
    shaded = piano_roll.picture(both, given_seconds=1.0).crop((row.left, row.top, row.right, row.bottom))
    columns = near(shaded, rgb(piano_roll.GIVEN_PAPER)).any(axis=0)
    assert columns[: columns.size // 5].mean() > 0.98  # all but lines of time
    assert not columns[columns.size // 2 :].any()
    assert near(shaded, rgb(piano_roll.GIVEN)).any()


def test_without_notes_it_is_an_empty_roll():
    picture = piano_roll.picture(EMPTY)
    (row,) = roll_layout.lay_out(EMPTY).rows
    body = pixels(picture.crop((row.left, row.top, row.right, row.bottom)))
    assert body.min() > 200
    assert pixels(picture).min() < 150  # the axes


@pytest.mark.parametrize("duration", [0.0, 1e-3, 29.0, 31.0, 59.0, 100.0, 3600.0])
def test_rows_follow_each_other_and_hold_the_piece(duration):
    layout = roll_layout.lay_out(Notes([0.0], [duration], [60], [1]))
    assert layout.rows[0].begin == 0
    assert layout.rows[-1].end >= duration
    assert len(layout.rows) <= roll_layout.MOST_ROWS
    for before, after in zip(layout.rows[:-1], layout.rows[1:], strict=True):
        assert before.end == after.begin
        assert before.bottom < after.top
    assert layout.rows[-1].bottom < layout.height
    assert all(row.left < row.right < layout.width for row in layout.rows)


@pytest.mark.parametrize("pitch", [0, 1, 60, 126, 127])
def test_pitches_are_shown_within_the_range(pitch):
    low, high = roll_layout.pitches_shown([Notes([0.0], [1.0], [pitch], [64])])
    assert 0 <= low <= pitch <= high <= 127
    assert high - low >= 24


def test_sheet_lays_out_rows_of_any_length():
    rows = [("A long title " * 30, [ONE, EMPTY, ONE]), ("", [ONE]), ("None", [])]
    picture = piano_roll.sheet(rows, cell=(120, 80), given_seconds=1.5, column_titles=["x", "y", "z"])
    assert picture.width < 3 * 160
    count = (near(picture, piano_roll.NOTES[100])[60:].any(axis=1).astype(int)).sum()
    assert count >= 4  # two rows of notes
    assert piano_roll.sheet([]).size[0] > 0


def test_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "roll.png"
    piano_roll.write(ONE, path, 0.5, title="One")
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        np.testing.assert_array_equal(pixels(picture), pixels(piano_roll.picture(ONE, given_seconds=0.5, title="One")))
    piano_roll.write_sheet(tmp_path / "sheet.png", [("", [ONE])])
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        piano_roll.write(ONE, tmp_path / "file" / "roll.png")
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["file", "new", "roll.png", "sheet.png"]


def strip(picture, layout):
    """The pixels of a picture's first row."""
    row = layout.rows[0]
    return picture.crop((row.left, row.top, row.right, row.bottom))


def test_bars_are_lines_where_they_begin():
    bars = roll_layout.Bars(2.0, 4, 2)
    layout = roll_layout.lay_out(ONE, bars=bars)
    (row,) = layout.rows
    assert (row.begin, row.end) == (0, 4)
    lines = near(strip(piano_roll.picture(ONE, bars=bars), layout), rgb(piano_roll.BAR)).mean(axis=0) > 0.9
    assert len(found := np.flatnonzero(lines)) <= 3
    assert abs(found[-1] - (row.right - row.left) / 2) <= 1
    # Whole bars are shown, though a last hit may ring a little beyond; never fewer than asked for.
    for duration, shown in ((0.0, 4), (4.05, 4), (4.2, 6), (6.0, 6), (29.9, 30)):
        notes = Notes([0.0], [duration], [60], [100]) if duration else EMPTY
        assert roll_layout.lay_out(notes, bars=bars).rows[-1].end == pytest.approx(shown)


def test_rows_break_at_bar_lines_and_keep_slices_whole():
    bars = roll_layout.Bars(1.5, 4, 4)
    rows = roll_layout.lay_out(Notes([0.0], [100.0], [60], [100]), bars=bars).rows
    assert [row.begin for row in rows] == pytest.approx([row * 30 for row in range(4)])
    assert rows[-1].end == pytest.approx(100.5)
    assert all((row.begin / 6) % 1 == pytest.approx(0) for row in rows)


def test_drums_have_lanes_below_the_pitches_with_bars():
    bars = roll_layout.Bars(2.0)
    kick, crash = (Notes([0.5], [1.0], [pitch], [100], is_drum=True) for pitch in (35, 52))
    places = {}
    for name, notes in (("kick", kick), ("crash", crash)):
        layout = roll_layout.lay_out(notes, bars=bars)
        assert layout.lanes
        assert layout.high < layout.low
        places[name] = np.nonzero(near(strip(piano_roll.picture(notes, bars=bars), layout), piano_roll.DRUMS[100]))[0]
    # The lowest and the eighth of nine lanes.
    tall = layout.rows[0].bottom - layout.rows[0].top
    assert abs(places["kick"].mean() / tall - 8.5 / 9) < 0.03
    assert abs(places["crash"].mean() / tall - 1.5 / 9) < 0.03
    both = Notes([0.5, 0.5], [1.0, 1.0], [36, 36], [100, 100], is_drum=[True, False], program=[0, 33])
    layout = roll_layout.lay_out(both, bars=bars)
    body = strip(piano_roll.picture(both, bars=bars), layout)
    bass, drum = (np.nonzero(near(body, ramp[100]))[0] for ramp in (piano_roll.BASS, piano_roll.DRUMS))
    assert bass.max() < drum.min()
    assert not roll_layout.lay_out(both).lanes


def test_a_sheet_with_captions_shows_whole_bars():
    rows = [("first", [ONE, ONE]), ("", [ONE])]
    plain = piano_roll.sheet(rows, bars=roll_layout.Bars(2.0))
    named = piano_roll.sheet(rows, bars=roll_layout.Bars(2.0), captions=[["a", "b"], ["c"]])
    assert named.width == plain.width
    assert named.height > plain.height
    assert near(plain, rgb(piano_roll.BAR)).any()
    assert not near(piano_roll.sheet(rows), rgb(piano_roll.BAR)).mean() > 0.001
