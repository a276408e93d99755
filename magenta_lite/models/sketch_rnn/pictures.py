"""placeholder, written below"""

from typing import Any

Grid = Any


def write(grid, folder):
    raise NotImplementedError
