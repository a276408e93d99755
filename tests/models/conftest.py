"""What tests of sampling modes share."""

import pytest
from PIL import Image

from magenta_lite import sampler
from magenta_lite.music import piano_roll


@pytest.fixture(scope="module")
def few_programs():
    """Samples and posteriors of eight, whatever is asked for: compiling takes nearly all of the time."""
    size, stack = sampler._size, sampler._stack
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampler, "_size", lambda count: max(8, size(count)))
        patch.setattr(sampler, "_stack", lambda encoded, rows=None: stack(encoded, rows and max(8, rows)))
        yield


@pytest.fixture
def blank(monkeypatch):
    """Pictures are not drawn, which takes most of the rest."""
    for name in ("picture", "sheet"):
        monkeypatch.setattr(piano_roll, name, lambda *_, **__: Image.new("RGB", (1, 1)))
