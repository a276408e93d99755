"""The real clients: npm packages run by Node, and pages run by Chromium. Without them tests skip and say why."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MODULES = HERE.parents[1] / ".node"
"""Where the packages of package.json are installed, once for the checkout."""


@pytest.fixture(scope="session")
def node():
    """node(script, *args, timeout=300): what a script of this folder prints, run with the npm packages at hand.

    The script ends in .cjs and finds packages by `require`. An exit status but 0 fails the test with its words.
    """
    program, npm = shutil.which("node"), shutil.which("npm")
    if not program or not npm:
        pytest.skip("Node and npm are not installed")
    MODULES.mkdir(exist_ok=True)
    with open(MODULES / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted, done = (HERE / "package.json").read_text(), MODULES / "installed.json"
        if not done.exists() or done.read_text() != wanted:
            (MODULES / "package.json").write_text(wanted)
            command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
            try:
                installed = subprocess.run(command, cwd=MODULES, capture_output=True, text=True, timeout=600)
            except subprocess.TimeoutExpired:
                pytest.skip("npm could not install the clients in ten minutes")
            if installed.returncode:
                pytest.skip(f"npm could not install the clients: {installed.stderr.strip()[-300:]}")
            done.write_text(wanted)

    def run(script: str, *args: object, timeout: float = 300) -> str:
        command = [program, str(HERE / script), *map(str, args)]
        packages = os.environ | {"NODE_PATH": str(MODULES / "node_modules")}
        ran = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=packages)
        assert ran.returncode == 0, f"{script}: {ran.stderr[-3000:]}\n{ran.stdout[-1000:]}"
        return ran.stdout

    return run


@pytest.fixture(scope="session")
def chromium():
    """The path of a Chromium or Chrome, for scripts that open pages with puppeteer-core."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
