"""The starter of runs, one for each file of tests."""

import pytest
from disturbed import Starter


@pytest.fixture(scope="module")
def starter():
    starter = Starter()
    yield starter
    starter.close()
