"""Where real data is, and what every test may use. Four CPU devices are faked before JAX starts, and it is strict."""

import os
from pathlib import Path

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=4")
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")

import pytest

SHARED = Path(os.environ.get("MAGENTA_LITE_DATA", Path(__file__).parents[1] / ".." / "shared")).resolve()


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="the long form of the tests of luck, which is hours")


@pytest.fixture(scope="session")
def times(request):
    """times(short, long): how often a test tries its luck, in CI and with --long."""
    return lambda short, long: long if request.config.getoption("--long") else short


@pytest.fixture(scope="session")
def shared():
    """Path of a file or folder of the real data; skips the test where it is not there."""

    def find(*parts: str) -> Path:
        path = SHARED.joinpath(*parts)
        if not path.exists():
            pytest.skip(f"{'/'.join(parts)} is not in {SHARED} (set MAGENTA_LITE_DATA)")
        return path

    return find


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """A small prepared set of built-in drawings: two classes, 40 to train on."""
    from data.toy.__main__ import main

    folder = tmp_path_factory.mktemp("prepared") / "toy"
    main(count=20, classes=["star", "sun"], out=str(folder))
    return folder


@pytest.fixture(scope="session")
def toy_performances(tmp_path_factory):
    """A small prepared set of built-in piano pieces: two styles, 24 to train on."""
    from data.toy.__main__ import main

    folder = tmp_path_factory.mktemp("prepared") / "toy-performances"
    main(kind="performances", count=12, classes=["alberti", "waltz"], out=str(folder))
    return folder


def _toy_passages(tmp_path_factory, kind, classes):
    from data.toy.__main__ import main

    folder = tmp_path_factory.mktemp("prepared") / f"toy-{kind}"
    main(kind=kind, count=12, classes=classes, out=str(folder))
    return folder


@pytest.fixture(scope="session")
def toy_melodies(tmp_path_factory):
    """A small prepared set of built-in melodies with their chords: two styles, 24 to train on, of 2 to 32 bars."""
    return _toy_passages(tmp_path_factory, "melodies", ["arpeggio", "folk"])


@pytest.fixture(scope="session")
def toy_drums(tmp_path_factory):
    """A small prepared set of built-in drum tracks: two styles, 24 to train on, of 4 to 16 bars."""
    return _toy_passages(tmp_path_factory, "drums", ["rock", "shuffle"])


@pytest.fixture(scope="session")
def toy_grooves(tmp_path_factory):
    """The beats of toy_drums as grooves."""
    return _toy_passages(tmp_path_factory, "grooves", ["rock", "shuffle"])


@pytest.fixture(scope="session")
def toy_trios(tmp_path_factory):
    """A small prepared set of built-in trios: two styles, 24 to train on, of 16 to 40 bars."""
    return _toy_passages(tmp_path_factory, "trios", ["bossa", "rock"])


@pytest.fixture(scope="module")
def quick_to_compile():
    """For tiny models and layers, whose compiling takes nearly all of the time: most optimizations are left out."""
    import jax

    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
