import math

import jax
import numpy as np
import pytest

from magenta_lite.errors import UserError
from magenta_lite.nn.schedules import SAMPLING, anneal


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


@pytest.mark.parametrize(
    ("name", "rate", "share"),
    [
        ("constant", 0.3, lambda step: 0.3),
        ("exponential", 0.999, lambda step: 1 - 0.999**step),
        ("inverse_sigmoid", 1000.0, lambda step: 1 - 1000 / (1000 + math.exp(step / 1000))),
    ],
)
def test_shares_of_scheduled_sampling(name, rate, share):
    schedule = jax.jit(SAMPLING[name](rate))
    for step in (0, 1, 100, 6_908, 20_000):
        assert float(schedule(step)) == pytest.approx(share(step), abs=1e-4)
    assert float(schedule(10**8)) == pytest.approx(0.3 if name == "constant" else 1.0)


@pytest.mark.parametrize(
    ("name", "rate"), [("constant", 1.1), ("exponential", 1.0), ("exponential", 0.0), ("inverse_sigmoid", 0.5)]
)
def test_wrong_rates_of_scheduled_sampling_are_refused(name, rate):
    with pytest.raises(UserError, match=rf"config\.model\.sampling_rate={rate} of sampling_schedule={name}"):
        SAMPLING[name](rate)
