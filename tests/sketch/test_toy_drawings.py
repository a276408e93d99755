import numpy as np
import pytest

from data.toy.drawings import CLASSES, draw
from magenta_lite.sketch.strokes import bounds, to_polylines


@pytest.mark.parametrize("label", CLASSES)
def test_every_drawing_is_short_whole_and_finished(label):
    for seed in range(60):
        strokes = draw(label, np.random.default_rng(seed))
        assert strokes.dtype == np.float32
        assert strokes.shape[1] == 3
        assert 8 <= len(strokes) <= 60
        assert np.isfinite(strokes).all()
        assert strokes[-1, 2] == 1
        assert set(np.unique(strokes[:, 2])) <= {0, 1}
        np.testing.assert_array_equal(strokes, np.rint(strokes))
        min_x, max_x, min_y, max_y = bounds(strokes)
        assert 150 < max(max_x - min_x, max_y - min_y) <= 255
        for line in to_polylines(strokes):
            assert len(line) > 1
            assert (np.diff(line, axis=0) != 0).any(axis=1).all()


@pytest.mark.parametrize("label", CLASSES)
def test_the_generator_decides(label):
    one, same, other = (draw(label, np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, same)
    assert one.shape != other.shape or (one != other).any()


def test_classes():
    assert len(CLASSES) == len(set(CLASSES)) >= 10
    with pytest.raises(ValueError, match=r"expected one of bird, .*got 'pig'"):
        draw("pig", np.random.default_rng(0))
