import jax
import numpy as np
import pytest

from magenta_lite.nn.schedules import anneal


@pytest.mark.parametrize(("start", "end", "rate"), [(0.01, 0.5, 0.99995), (1e-3, 1e-5, 0.9999), (0.0, 0.2, 0.999)])
def test_closed_form(start, end, rate):
    schedule = jax.jit(anneal(start, end, rate))
    for step in (0, 1, 10, 1_000, 30_000, 10_000_000):
        expected = end - (end - start) * rate**step
        # The float32 nearest to the rate is off by 3e-8 a step.
        assert float(schedule(step)) == pytest.approx(expected, abs=1e-3 * abs(end - start) + 1e-7 * end)


def test_ends():
    assert float(anneal(3.0, 7.0, 0.5)(0)) == 3
    assert float(anneal(3.0, 7.0, 1.0)(123)) == 3
    assert [float(anneal(3.0, 7.0, 0.0)(step)) for step in range(3)] == [3, 7, 7]
    halves = [float(anneal(3.0, 7.0, 0.5)(np.int32(step))) for step in range(4)]
    assert halves == [3, 5, 6, 6.5]
