"""MIDI out: read again, it is what it was."""

import io
import os

import numpy as np
import pretty_midi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pieces import ALL, columns, random_notes

from magenta_lite.errors import UserError
from magenta_lite.music import midi
from magenta_lite.music.midi_writing import to_bytes, write
from magenta_lite.music.notes import Notes
from magenta_lite.music.transforms import sustain


def again(notes, **options):
    return midi.parse(to_bytes(notes, **options)).notes()


def rows(notes, *names):
    """Columns in the order of instrument, pitch and start, which rounding does not change without overlaps."""
    order = np.lexsort((notes.start, notes.pitch, notes.instrument))
    return [getattr(notes, name)[order] for name in names]


def check(notes, read, half):
    for name in ("start", "end"):
        (expected,), (found,) = rows(notes, name), rows(read, name)
        assert np.abs(expected - found).max() <= half * (1 + 1e-9)
    for expected, found in zip(rows(notes, *ALL[2:]), rows(read, *ALL[2:]), strict=True):
        np.testing.assert_array_equal(expected, found)


def test_performances(members):
    for content in members("maestro-v3.0.0-midi.zip", step=400).values():
        notes = midi.parse(content).notes()
        read = again(notes)
        check(notes, read, half=0.25 / 960)
        for name in ("tempo_time", "tempo_qpm", "pedal_down", "pedal_instrument", "metre"):
            np.testing.assert_array_equal(getattr(read, name), getattr(notes, name))
        assert np.abs(read.pedal_time - notes.pedal_time).max() <= 0.2501 / 960
        assert read.names == notes.names


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.integers(100, 960))
def test_notes_by_chance_through_changes_of_tempo(seed, ticks_per_quarter):
    rng = np.random.default_rng(seed)
    start = np.sort(rng.uniform(0, 60, 128))
    notes = Notes(
        start=start,
        end=start + rng.uniform(0.1, 9, 128),
        pitch=rng.permutation(128),
        velocity=rng.integers(1, 128, 128),
        tempo_time=np.append(0, rng.uniform(0, 60, 5)),
        tempo_qpm=rng.uniform(30, 240, 6),
    )
    check(notes, again(notes, ticks_per_quarter=ticks_per_quarter), half=30 / 30 / ticks_per_quarter)


def test_ticks_of_the_file_come_back_without_rounding(members):
    for content in members("nottingham-midi.zip", step=500).values():
        score = midi.parse(content)
        read = midi.parse(to_bytes(score.notes(), ticks_per_quarter=score.ticks_per_quarter))
        for name in ("start", "end", "pitch", "metre"):
            np.testing.assert_array_equal(getattr(read, name), getattr(score, name))


def test_forty_instruments_and_drums_do_not_clash():
    count = 40
    notes = Notes(
        np.arange(count), np.arange(count) + 1.0, 60, 64, np.arange(count), np.arange(count) % 8 == 3, np.arange(count),
        names=tuple(f"Nº {number}" for number in range(count)),
    )  # fmt: skip
    content = to_bytes(notes)
    read = midi.parse(content).notes()
    np.testing.assert_array_equal(columns(read, *ALL), columns(notes, *ALL))
    assert read.names == notes.names
    theirs = pretty_midi.PrettyMIDI(io.BytesIO(content))
    assert [part.is_drum for part in theirs.instruments] == notes.is_drum.tolist()
    assert [part.program for part in theirs.instruments] == list(range(count))


def test_tempo_metre_and_pedal():
    notes = Notes(
        [0, 1, 2],
        [1, 2, 3],
        [60, 60, 61],
        [1, 127, 64],
        tempo_time=[0, 1.5],
        tempo_qpm=[90, 1],
        metre_time=[0, 1],
        metre=[[6, 8], [255, 1]],
        pedal_time=[0.5, 2, 2],
        pedal_down=[True, False, True],
        pedal_instrument=[0, 0, 0],
    )
    read = again(notes)
    assert read.metre.tolist() == [[6, 8], [255, 1]]
    assert read.pedal_down.tolist() == [True, False, True]
    np.testing.assert_allclose(read.pedal_time, notes.pedal_time, atol=0.01)
    np.testing.assert_allclose(read.tempo_qpm, [90, 6e7 / (2**24 - 1)], rtol=1e-5)
    assert np.abs(read.end - notes.end).max() <= 8.4 / 960


def test_what_one_note_off_means():
    notes = Notes([0, 1, 1, 5, 7], [9, 2, 3, 5, 7.0001], [60, 60, 60, 60, 61], [1, 2, 3, 4, 5])
    read = again(notes)
    assert read.velocity.tolist() == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(read.end, [1, 3, 3, 5 + 0.5 / 960, 7 + 0.5 / 960], rtol=0, atol=1e-9)


def test_sustained_performances_lose_nothing():
    notes = sustain(random_notes(5))
    assert len(again(notes)) == len(notes)


@pytest.mark.parametrize(
    ("notes", "reason"),
    [
        (Notes([0], [1], [60], 64, metre_time=[0], metre=[[4, 3]]), "the metre 4/3 cannot be written"),
        (Notes([0], [1], [60], 64, metre_time=[0], metre=[[256, 4]]), "the metre 256/4 cannot be written"),
        (Notes([0], [1e9], [60], 64), "more than 268435455 ticks"),
        (Notes(np.zeros(1024), np.ones(1024), 60, 64, instrument=np.arange(1024)), "1024 instruments"),
    ],
)
def test_what_midi_has_no_place_for(notes, reason):
    with pytest.raises(ValueError, match=reason):
        to_bytes(notes)
    with pytest.raises(ValueError, match="expected 1 to 32767"):
        to_bytes(notes, ticks_per_quarter=0)


def test_whole_or_not_at_all(tmp_path, monkeypatch):
    notes = random_notes(1)
    path = write(notes, tmp_path / "a" / "one.mid")
    assert path.read_bytes() == to_bytes(notes)
    assert [p.name for p in path.parent.iterdir()] == ["one.mid"]
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        write(notes, tmp_path / "file" / "one.mid")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(UserError, match="no space left"):
        write(notes, tmp_path / "a" / "two.mid")
    assert [p.name for p in path.parent.iterdir()] == ["one.mid"]


def test_no_notes_are_a_file():
    assert pretty_midi.PrettyMIDI(io.BytesIO(to_bytes(Notes([], [], [], [])))).instruments == []
