"""A run to compare with, that nothing disturbed."""

import pytest
from frame import flags
from processes import environment, small, started


@pytest.fixture(scope="session")
def straight(tmp_path_factory, toy):
    """The workdir of STEPS steps on one device by one process."""
    workdir = tmp_path_factory.mktemp("straight") / "run"
    words = ["train.py", *flags(workdir, toy, **small())]
    with started([words], workdir.with_name("logs"), [environment(1)]) as (process,):
        assert process.wait() == 0, process.output
    return workdir
