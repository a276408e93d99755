"""Toy performances: the same for the same seed, playable, and in the form that every prepared set of music has."""

import json
import zlib

import numpy as np
import pytest

from data.toy.__main__ import main
from data.toy.builder import CLASSES
from data.toy.performances import STYLES, perform
from magenta_lite.errors import UserError
from magenta_lite.music.score import Score
from magenta_lite.pipeline import PreparedData


def pieces(style, count):
    return [perform(style, np.random.default_rng([7, zlib.crc32(style.encode()), number])) for number in range(count)]


@pytest.mark.parametrize("style", STYLES)
def test_pieces_can_be_played(style):
    made = pieces(style, 25)
    assert len({title for _, title in made}) > 5
    for score, title in made:
        notes = score.notes()
        assert title.startswith(f"{style} in ")
        assert 18 < notes.duration < 62
        assert (notes.pitch >= 21).all()
        assert (notes.pitch <= 108).all()
        assert 3 < notes.velocity.std() < 25
        assert (score.end > score.start).all()
        assert (np.lexsort((score.pitch, score.start)) == np.arange(len(notes))).all()
        for pitch in set(score.pitch.tolist()):
            mine = score.pitch == pitch
            assert (score.end[mine][:-1] < score.start[mine][1:]).all()
        times, down = score.pedal[:, 0], score.pedal[:, 2]
        assert (np.diff(times) >= 0).all()
        assert down.tolist() == [1, 0] * (len(down) // 2)


@pytest.mark.parametrize("style", STYLES)
def test_pieces_are_in_their_key_and_end_on_its_tonic(style):
    tonics = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
    for score, title in pieces(style, 10):
        tonic, mode = title.removeprefix(f"{style} in ").split()
        scale = {"major": {0, 2, 4, 5, 7, 9, 11}, "minor": {0, 2, 3, 5, 7, 8, 11}}[mode]
        assert {(int(pitch) - tonics.index(tonic)) % 12 for pitch in score.pitch} <= scale
        last = score.pitch[score.end > score.end.max() - 480]
        assert (min(last) - tonics.index(tonic)) % 12 == 0


def test_records_unpack_into_what_was_played(toy_performances):
    data = PreparedData(toy_performances)
    assert data.labels == ("alberti", "waltz")
    assert {split: len(lengths) for split, lengths in data.lengths.items()} == {"train": 24, "valid": 2, "test": 2}
    for number, record in enumerate(data.examples("train")):
        style, index = data.labels[number // 12], number % 12
        stream = np.random.default_rng([0, 0, zlib.crc32(style.encode()), index])
        score, title = perform(style, stream)
        assert (record["label"], record["name"], record["title"]) == (style, f"{style}/train/{index}", title)
        ours, theirs = Score.unpack(record).notes(), score.notes()
        assert len(ours) == data.lengths["train"][number]
        for column in ("start", "end", "pitch", "velocity", "pedal_time", "pedal_down"):
            np.testing.assert_array_equal(getattr(ours, column), getattr(theirs, column))
        assert ours.names == ("piano",)


def test_another_seed_and_another_kind(toy_performances, tmp_path, capsys):
    main(kind="performances", count=1, seed=1, classes=["waltz"], out=str(tmp_path / "other"))
    assert "next: python train.py --config=configs/performance_rnn.py" in capsys.readouterr().out
    other = PreparedData(tmp_path / "other").example("train", 0)
    assert other["start"].tobytes() != PreparedData(toy_performances).example("train", 12)["start"].tobytes()
    about = json.loads((toy_performances / "source.json").read_text())
    assert about["command"].startswith("python -m data.toy --kind=performances --count=12")
    with pytest.raises(UserError, match="builder was toy_performances, now toy"):
        main(out=str(toy_performances))
    with pytest.raises(UserError, match="--kind=performance: did you mean 'performances'"):
        main(kind="performance", out=str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"no rules for 'star': valid: alberti, arpeggio"):
        main(kind="performances", classes=["star"], out=str(tmp_path / "none"))
    assert tuple(CLASSES) == ("drawings", "performances", "melodies", "drums", "grooves", "trios")
