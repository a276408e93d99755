"""Scores: ticks to seconds, and small arrays for storing."""

import numpy as np
import pytest
from pieces import ALL, file_of, off, on, track_of

from magenta_lite.music import midi
from magenta_lite.music.score import Score


def score_of(tempo, ticks_per_quarter=480):
    return Score(
        ticks_per_quarter,
        *(np.array([value]) for value in (0, 10, 60, 64, 0, False, 0)),
        tempo=np.array(tempo, np.int64).reshape(-1, 2),
        metre=np.zeros((0, 3), np.int64),
        pedal=np.zeros((0, 3), np.int64),
    )


@pytest.mark.parametrize(
    ("tempo", "ticks", "seconds"),
    [
        ([], [0, 480, 960], [0, 0.5, 1]),
        ([(0, 1_000_000)], [0, 480], [0, 1]),
        ([(0, 500_000), (480, 1_000_000), (960, 250_000)], [479, 480, 720, 960, 1440], [479 / 960, 0.5, 1, 1.5, 1.75]),
        ([(480, 1_000_000), (480, 250_000)], [480, 960], [0.5, 0.75]),
    ],
)
def test_seconds(tempo, ticks, seconds):
    np.testing.assert_allclose(score_of(tempo).seconds(np.array(ticks)), seconds, rtol=1e-15)


def test_the_tempo_map_of_notes_has_a_tempo_at_zero_and_no_repeats():
    notes = score_of([(480, 500_000), (960, 1_000_000), (1440, 1_000_000)]).notes()
    np.testing.assert_allclose(notes.tempo_time, [0, 1])
    np.testing.assert_allclose(notes.tempo_qpm, [120, 60])


def test_packed_scores_are_the_same(members):
    contents = [*members("maestro-v3.0.0-midi.zip", step=600).values(), *members("note-seq-testdata.zip").values()]
    contents.append(file_of(track_of((0, on(60)), (1, off(60)))))
    for content in contents:
        score = midi.parse(content)
        packed = score.pack()
        assert packed["start"].dtype == packed["duration"].dtype == np.uint32
        again = Score.unpack(packed)
        for name in (*ALL, "tempo", "metre", "pedal"):
            np.testing.assert_array_equal(getattr(again, name), getattr(score, name), err_msg=name)
        assert again.ticks_per_quarter == score.ticks_per_quarter
        assert again.names == (score.names if any(score.names) or len(score.names) > 1 else ())
        assert Score.unpack({**packed, "names": packed["names"].encode()}).names == again.names
