"""What the tests of the builders share: drawings, and files of them in the published layout."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def published(shared) -> Path:
    """The folder of published sketchrnn files."""
    return shared("data", "quickdraw", "sketchrnn")


@pytest.fixture
def drawings() -> Callable[..., list[np.ndarray]]:
    """Makes n drawings, int16 [N, 3] with N of 1 to 40, the same for the same seed."""

    def make(count: int, seed: int = 0) -> list[np.ndarray]:
        rng = np.random.default_rng(seed)
        arrays = []
        for _ in range(count):
            points = int(rng.integers(1, 41))
            array = rng.integers(-(2**15), 2**15, (points, 3)).astype(np.int16)
            array[:, 2] = rng.integers(0, 2, points)
            arrays.append(array)
        return arrays

    return make


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file in the published layout: save("cat", train=[...], valid=[...], test=[...]) -> its path."""

    def write(name: str, **splits: list) -> Path:
        folder = tmp_path / "source"
        folder.mkdir(exist_ok=True)
        np.savez_compressed(folder / f"{name}.npz", **{key: objects(value) for key, value in splits.items()})
        return folder / f"{name}.npz"

    return write


def objects(items: list) -> np.ndarray:
    """An object array [n] of the items, also where numpy would rather stack them."""
    array = np.empty(len(items), object)
    for index, item in enumerate(items):
        array[index] = item
    return array
