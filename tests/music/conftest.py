"""Real MIDI files, out of the zips of the real data."""

import zipfile

import pytest


@pytest.fixture(scope="session")
def members(shared):
    """Contents of some of a zip's MIDI files: every `step`-th by name, with some letters in it."""

    def find(archive, step=1, containing=""):
        with zipfile.ZipFile(shared("data", archive)) as file:
            names = sorted(name for name in file.namelist() if name.endswith((".mid", ".midi")) and containing in name)
            assert names
            return {name: file.read(name) for name in names[::step]}

    return find
