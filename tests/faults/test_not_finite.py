"""A NaN in a batch: the run stops as promised, or skips the step, counts it, and gives up after some in a row."""

import numpy as np
import pytest
from disturbed import arguments, assert_same_checkpoint, assert_same_run, error_line, rows, steps, stored

EVERY_STEP = {"save_every": 1, "keep_checkpoints": 50, "evaluate_every": 100}


def assert_finite(workdir):
    for step in steps(workdir):
        arrays, _ = stored(workdir / "checkpoints" / str(step))
        assert all(np.isfinite(array).all() for array in arrays.values()), step


def test_it_stops_and_no_checkpoint_has_it(starter, toy, tmp_path):
    """A second time, too, since the same batch comes again."""
    argv = arguments(tmp_path / "run", toy, num_steps=8, **EVERY_STEP)
    for _ in range(2):
        status, output = starter.run(argv, tmp_path, spoilt=[5, 1, 100])
        assert status == 2, output
        line = error_line(output)
        assert " is not finite at step 5; the last good checkpoint is of step 4" in line
        assert steps(tmp_path / "run") == [1, 2, 3, 4]
        assert_finite(tmp_path / "run")


@pytest.mark.parametrize("devices", [1, 4])
def test_it_skips_the_step_and_counts_it(starter, toy, tmp_path, devices):
    """The NaN is in the first device's part; all of them leave parameters and moments as they were."""
    workdir = tmp_path / "run"
    argv = arguments(workdir, toy, num_steps=8, on_nan="skip", **EVERY_STEP)
    status, output = starter.run(argv, tmp_path, spoilt=[3, 1, 100], devices=devices)
    assert status == 0, output
    assert f"{devices} device(s)" in output
    assert "step 3 is skipped: its loss or gradient is not finite (skipped in all: 1)" in output
    assert "step 6 is skipped: its loss or gradient is not finite (skipped in all: 2)" in output
    assert output.count("is skipped") == 2
    assert [row.get("skipped_steps", 0) for row in rows(workdir) if row["split"] == "train"] == [0, 0, 1, 1, 1, 2, 2, 2]
    assert_finite(workdir)
    for step in range(2, 9):
        before, after = (stored(workdir / "checkpoints" / str(s)) for s in (step - 1, step))
        changed = {name for name in before[0] if before[0][name].tobytes() != after[0][name].tobytes()}
        if step in (3, 6):
            assert changed == {"training/step/"}, changed
        else:
            assert len(changed) > 3
        assert after[0]["training/step/"] == step
        assert after[1]["skipped"] == [step // 3, int(step in (3, 6))]


def test_it_gives_up_after_some_in_a_row(starter, toy, tmp_path):
    """The limit counts over interruptions: the run may not go on by being started again and again."""
    more = {"on_nan": "skip", "nan_limit": 3} | EVERY_STEP
    spoilt = [1, 4, 100]
    for name, interrupted in (("at once", None), ("resumed", 5)):
        workdir = tmp_path / name.replace(" ", "-")
        if interrupted:
            status, output = starter.run(
                arguments(workdir, toy, num_steps=interrupted, **more), tmp_path, spoilt=spoilt
            )
            assert status == 0, output
        argv = arguments(workdir, toy, num_steps=20, **more)
        status, output = starter.run(argv, tmp_path, spoilt=spoilt)
        assert status == 2, output
        assert "not finite at step 6, nor at 2 before it (config.nan_limit)" in error_line(output)
        assert_finite(workdir)
        assert steps(workdir) == [1, 2, 3, 4, 5]
    assert_same_checkpoint(tmp_path / "at-once" / "checkpoints" / "5", tmp_path / "resumed" / "checkpoints" / "5")


def test_resumed_among_skipped_steps_it_comes_to_the_same(starter, toy, tmp_path):
    """One limit less than the longest row of skips would stop it."""
    more = {"on_nan": "skip", "nan_limit": 4} | EVERY_STEP | {"evaluate_every": 2}
    for stops in ((8,), (4, 8)):
        for stop in stops:
            argv = arguments(tmp_path / f"{len(stops)} starts", toy, num_steps=stop, **more)
            status, output = starter.run(argv, tmp_path, spoilt=[1, 3, 5])
            assert status == 0, output
    assert_same_run(tmp_path / "2 starts", tmp_path / "1 starts")
