"""Imports only point down. Every tracked file is parsed, so imports inside functions count; nothing is executed."""

import ast
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Small, on numpy or on nothing: everyone may use them.
SHARED = (
    "magenta_lite.errors",
    "magenta_lite.files",
    "magenta_lite.options",
    "magenta_lite.sheet",
    "magenta_lite.unpacking",
)
DEVICE = {"jax", "jaxlib", "flax", "optax", "orbax"}
PREPARED = {"tensorflow_datasets", "array_record", "grain"}
UNWANTED = {"tensorflow", "clu", "distrax", "gin", "svgwrite"}

# What of the project a part may import, besides itself and SHARED. The longest name that fits a module counts; "FAMILY"
# is the family's own folder. Modules that are not named here (workdirs, sampler, modes) stand on top of the package and
# may use all of it.
MAY_IMPORT = {
    "magenta_lite.errors": (),
    "magenta_lite.files": (),
    "magenta_lite.options": (),
    "magenta_lite.sheet": (),
    "magenta_lite.unpacking": (),
    "magenta_lite.command": (),
    "magenta_lite.config": (),
    "magenta_lite.logs": (),
    "magenta_lite.runtime": (),
    "magenta_lite.sketch": (),
    "magenta_lite.music": (),
    "magenta_lite.nn": (),
    "magenta_lite.models": (),
    "magenta_lite.models.FAMILY": ("magenta_lite.nn", "magenta_lite.sketch", "magenta_lite.music"),
    # A family's modes stand beside sample.py, which finds them by name.
    "magenta_lite.models.FAMILY.modes": (
        "magenta_lite.models.FAMILY",
        "magenta_lite.nn",
        "magenta_lite.sketch",
        "magenta_lite.music",
        "magenta_lite.sampler",
        "magenta_lite.modes",
        "magenta_lite.logs",
    ),
    # Its evaluation stands beside evaluate.py, which finds it by name, and draws samples; the data is handed to it.
    "magenta_lite.models.FAMILY.evaluation": (
        "magenta_lite.models.FAMILY",
        "magenta_lite.sketch",
        "magenta_lite.music",
        "magenta_lite.sampler",
    ),
    "magenta_lite.records": (),
    "magenta_lite.hosts": ("magenta_lite.watch", "magenta_lite.command"),
    "magenta_lite.watch": (),
    "magenta_lite.pipeline": ("magenta_lite.records",),
    "magenta_lite.training": ("magenta_lite.nn",),
    "magenta_lite.checkpoint": ("magenta_lite.training",),  # the State it writes, and how to copy it to the host
    "data": ("magenta_lite.sketch", "magenta_lite.music", "magenta_lite.command"),
    "configs": (),
    # What reads a stranger's container knows no model.
    **dict.fromkeys((f"magenta_lite.interop.{name}" for name in ("checksum", "wire")), ()),
    "magenta_lite.interop.archives": ("magenta_lite.interop",),
    "magenta_lite.interop.bundle": ("magenta_lite.interop",),
    "magenta_lite.interop.kinds": ("magenta_lite.interop",),
    "magenta_lite.interop.snappy": ("magenta_lite.interop",),
    "magenta_lite.interop.table": ("magenta_lite.interop",),
    "magenta_lite.interop.tfjs_weights": ("magenta_lite.interop",),
}

# Libraries that a part does without. "codec" is every family's codec, which runs on the host.
WITHOUT = {
    "magenta_lite.errors": DEVICE | PREPARED,
    "magenta_lite.files": DEVICE | PREPARED,
    "magenta_lite.command": DEVICE | PREPARED,
    "magenta_lite.options": DEVICE | PREPARED,
    "magenta_lite.sheet": DEVICE | PREPARED,
    "magenta_lite.unpacking": DEVICE | PREPARED,
    "magenta_lite.sketch": DEVICE | PREPARED,
    "magenta_lite.music": DEVICE | PREPARED,
    "magenta_lite.nn": PREPARED,
    "magenta_lite.models": PREPARED,
    "magenta_lite.models.FAMILY.codec": DEVICE | PREPARED,
    "magenta_lite.records": DEVICE | {"tensorflow_datasets", "grain"},
    "magenta_lite.hosts": PREPARED,
    "magenta_lite.watch": DEVICE | PREPARED,
    "magenta_lite.pipeline": {"flax", "optax", "orbax"},
    "magenta_lite.training": PREPARED,
    "magenta_lite.checkpoint": PREPARED,
    "data": DEVICE,
    "configs": DEVICE | PREPARED,
    **dict.fromkeys(
        (
            f"magenta_lite.interop.{name}"
            for name in ("archives", "bundle", "checksum", "kinds", "snappy", "table", "tfjs_weights", "wire")
        ),
        DEVICE | PREPARED,
    ),
}


def tracked() -> list[Path]:
    """The python files of the project, relative to its root; without git, all but hidden ones and outputs."""
    listed = subprocess.run(["git", "ls-files", "-z", "*.py"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode == 0 and listed.stdout:
        return [Path(name) for name in sorted(listed.stdout.split("\0")) if name and (ROOT / name).exists()]
    paths = (path.relative_to(ROOT) for path in ROOT.rglob("*.py"))
    return sorted(
        path for path in paths if path.parts[0] not in ("runs", "prepared", "build") and path.parts[0][0] != "."
    )


FILES = tracked()


def module_name(path: Path) -> str:
    """magenta_lite/nn/lstm.py -> magenta_lite.nn.lstm; a package's __init__ has the package's name."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path) for path in FILES}


def imported(source: str, path: Path) -> set[str]:
    """Absolute names of all that the source imports, anywhere in it; `from package import module` names the module."""
    package = path.parent.parts
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            origin = ".".join((*base, *([node.module] if node.module else [])))
            within = {f"{origin}.{alias.name}" for alias in node.names} & MODULES
            names |= within
            if len(within) < len(node.names):
                names.add(origin)
    return names


def covers(part: str, name: str) -> bool:
    """Whether name is the part or inside it."""
    return name == part or name.startswith(part + ".")


def family_of(name: str) -> str | None:
    """The family's folder in the name of a module: magenta_lite.models.sketch_rnn."""
    parts = name.split(".")
    return ".".join(parts[:3]) if parts[:2] == ["magenta_lite", "models"] and len(parts) > 2 else None


def rows(table: dict[str, Iterable[str]], name: str) -> list[tuple[str, list[str]]]:
    """The rows of a table that fit a module, the longest name last, with the module's own family filled in."""
    family = family_of(name) or "none"

    def fill(part: str) -> str:
        return part.replace("magenta_lite.models.FAMILY", family)

    return [
        (fill(part), [fill(one) for one in table[part]]) for part in sorted(table, key=len) if covers(fill(part), name)
    ]


def broken(path: Path, source: str) -> list[str]:
    """What the file imports and may not."""
    name, names = module_name(path), imported(source, path)
    tops = _tops()
    ours = {other for other in names if other.split(".")[0] in tops | {"magenta_lite"}}
    wrong = {other for other in names - ours if other.split(".")[0] in UNWANTED}
    if path.parts[0] != "tests":
        wrong |= {other for other in ours if other.split(".")[0] in tops - {path.parts[0]}}
    if path.parts[0] != "tests" and not covers("magenta_lite.interop", name):
        wrong |= {other for other in ours if covers("magenta_lite.interop", other)}
    for part, allowed in rows(MAY_IMPORT, name)[-1:]:
        downward = [part, *allowed, *SHARED]
        wrong |= {other for other in ours if not any(covers(one, other) for one in downward)}
        if part == "magenta_lite.models":  # it finds families by name
            wrong |= {other for other in ours if family_of(other)}
    for _, libraries in rows(WITHOUT, name):
        wrong |= {other for other in names if other.split(".")[0] in libraries}
    return sorted(wrong)


def _tops() -> set[str]:
    """What stands above the package: nothing may import it."""
    return {"data", "configs", "tests", "benchmarks"} | {path.stem for path in FILES if len(path.parts) == 1}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_point_down(path: Path):
    wrong = broken(path, (ROOT / path).read_text())
    assert not wrong, f"{path} may not import {', '.join(wrong)}"


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("magenta_lite/sketch/strokes.py", "import jax"),
        ("magenta_lite/sketch/strokes.py", "def f():\n    from jax import numpy"),
        ("magenta_lite/sketch/strokes.py", "import grain"),
        ("magenta_lite/sketch/strokes.py", "from magenta_lite.nn import latent"),
        ("magenta_lite/nn/lstm.py", "from magenta_lite.sketch import strokes"),
        ("magenta_lite/nn/lstm.py", "from ..models import sketch_rnn"),
        ("magenta_lite/nn/lstm.py", "from magenta_lite import models"),
        ("magenta_lite/models/__init__.py", "from magenta_lite.models.sketch_rnn import Model"),
        ("magenta_lite/models/music_vae/model.py", "from magenta_lite.models.sketch_rnn import Model"),
        ("magenta_lite/models/music_vae/model.py", "from ..sketch_rnn import model"),
        ("magenta_lite/models/music_vae/model.py", "from magenta_lite import training"),
        ("magenta_lite/models/music_vae/codec.py", "import jax.numpy as jnp"),
        ("magenta_lite/models/music_vae/modes.py", "from magenta_lite.models.sketch_rnn import modes"),
        ("magenta_lite/models/music_vae/evaluation.py", "from magenta_lite import pipeline"),
        ("magenta_lite/pipeline.py", "from magenta_lite import models"),
        ("magenta_lite/pipeline.py", "from magenta_lite.training import State"),
        ("magenta_lite/training.py", "from magenta_lite.checkpoint import Checkpoints"),
        ("magenta_lite/checkpoint.py", "from magenta_lite import pipeline"),
        ("magenta_lite/workdirs.py", "import data.toy"),
        ("magenta_lite/workdirs.py", "import tensorflow as tf"),
        ("magenta_lite/workdirs.py", "from train import train"),
        ("magenta_lite/interop/bundle.py", "import jax"),
        ("magenta_lite/interop/table.py", "from magenta_lite import models"),
        ("magenta_lite/sampler.py", "from magenta_lite.interop import imported"),
        ("train.py", "from data.toy import drawings"),
        ("train.py", "from configs import sketch_rnn"),
        ("data/toy/builder.py", "from magenta_lite.models.sketch_rnn import Codec"),
        ("data/toy/builder.py", "import jax"),
    ],
)
def test_an_arrow_upwards_is_noticed(path: str, source: str):
    assert broken(Path(path), source)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("magenta_lite/sketch/strokes.py", "import numpy as np\nfrom magenta_lite.errors import UserError"),
        ("magenta_lite/sketch/svg.py", "import drawsvg\nfrom . import strokes"),
        ("magenta_lite/models/music_vae/model.py", "from .codec import Codec\nfrom magenta_lite.nn import latent"),
        (
            "magenta_lite/models/music_vae/modes.py",
            "from .codec import Codec\nfrom magenta_lite.sampler import Sampler",
        ),
        (
            "magenta_lite/models/music_vae/evaluation.py",
            "from magenta_lite.music import metrics\nfrom magenta_lite.sampler import Sampler",
        ),
        ("magenta_lite/checkpoint.py", "from magenta_lite.training import State, on_host"),
        ("data/toy/builder.py", "from data.prepare import Drawings\nfrom magenta_lite.sketch import strokes"),
        ("tests/data/test_toy.py", "from data.toy import drawings\nfrom configs import sketch_rnn"),
    ],
)
def test_an_arrow_downwards_is_allowed(path: str, source: str):
    assert not broken(Path(path), source)


def test_no_file_is_a_drawer_of_odds_and_ends():
    assert not [str(path) for path in FILES if path.stem.lstrip("_").startswith("util")]


def test_files_are_short():
    lengths = {str(path): len((ROOT / path).read_text().splitlines()) for path in FILES if path.parts[0] != "tests"}
    assert not {name: lines for name, lines in lengths.items() if lines > 500}


@pytest.mark.parametrize("part", sorted({"sketch", "music"} & {name.split(".")[-1] for name in MODULES}))
def test_drawing_and_music_do_without_jax(part: str):
    names = sorted(name for name in MODULES if covers(f"magenta_lite.{part}", name))
    program = f"import sys, {', '.join(names)}; print(*sorted({DEVICE | PREPARED | UNWANTED!r} & sys.modules.keys()))"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stdout.split()) == (0, []), run.stderr
