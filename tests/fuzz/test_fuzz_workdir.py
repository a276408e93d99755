"""Workdirs of strangers handed to sample.py: whatever stands in them, they are played or refused, and nothing else.

The long form is 20,000 mutated workdirs. In the process that reads, what sample.py does is called as a function, with
programs kept between inputs; a workdir that asks for another program than any before has it compiled. What takes most
of the time and depends least on the workdir, pictures that move and sound, is made of every tenth.
"""

import functools
import io
import json
import os
import re
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import workdir_mutations
from harness import Reader, survive

MODES = {
    "sketch_rnn": ("generate", "reconstruct"),
    "performance_rnn": ("generate",),
    "music_vae": ("generate", "reconstruct"),
}
LITTLE = {
    "sketch_rnn": {"encoder_size": 4, "decoder_size": 6, "latent_size": 3, "mixtures": 2, "label_size": 2},
    "performance_rnn": {"layers": (6,)},
    "music_vae": {"latent_size": 3, "encoder_layers": (4,), "decoder_layers": (5,)},
}
SECONDS = 5.0
"""Of one input, compiling included."""


@pytest.fixture(scope="module")
def seeds(tmp_path_factory, toy, toy_performances, toy_melodies):
    """{family: {path: content}} of workdirs as training leaves them, with models of a few units."""
    sets = {"sketch_rnn": toy, "performance_rnn": toy_performances, "music_vae": toy_melodies}
    return {family: _made(tmp_path_factory.mktemp("runs") / family, family, data) for family, data in sets.items()}


def _made(folder, family, data):
    import importlib

    from magenta_lite import models, workdirs
    from magenta_lite.checkpoint import Checkpoints
    from magenta_lite.pipeline import PreparedData
    from magenta_lite.training import Steps, make_optimizer

    config = importlib.import_module(f"configs.{family}").get_config("tiny")
    config.data.dir = str(data)
    config.model.update(LITTLE[family])
    codec, held = workdirs.prepare(folder, config, PreparedData(data))
    steps = Steps(models.build(config, codec), make_optimizer(**config.optimizer), 0)
    checkpoints = Checkpoints(folder)
    checkpoints.save_best(steps.start(), 1.0)
    checkpoints.close()
    if held:
        held.close()
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if name != ".lock"}


def ready():
    """What sample.py imports, and a compiler that hurries."""
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    import jax

    jax.config.update("jax_disable_most_optimizations", True)
    import sample  # noqa: F401
    from magenta_lite import modes, sampler  # noqa: F401
    from magenta_lite.models import music_vae, performance_rnn, sketch_rnn  # noqa: F401

    jax.numpy.zeros(3).block_until_ready()


def play(out, task):
    """What sample.py does with a workdir."""
    import sample
    from magenta_lite.models.sketch_rnn import pictures

    files, family, mode, whole = task
    folder = Path(out) / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        path = folder / name
        if any((folder / parent).is_file() for parent in Path(name).parents if parent.name):
            continue  # its folder is a file by now
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir(exist_ok=True)
        elif not path.is_dir():
            path.write_bytes(content)
    more = {"reconstruct": ["--items=0"], "generate": ["--n=1"]}[mode]
    if family != "sketch_rnn":
        more += [f"--audio={whole}"]
    sys.argv = ["sample.py", f"--workdir={folder}", f"--mode={mode}", f"--out={Path(out) / 'played'}", "--overwrite"]
    sys.argv += more
    with pytest.MonkeyPatch.context() as patch:
        if not whole:
            patch.setattr(pictures.raster, "grid_gif", lambda *_, **__: None)
        sample.main()


def tasks(seeds, count, first=0):
    families = list(seeds)
    for number in range(first, first + count):
        family = families[number % len(families)]
        rng = np.random.default_rng([7, number])
        mode = MODES[family][rng.integers(len(MODES[family]))]
        whole = number // len(families) % 10 == 0
        yield f"{family} {mode} {number}", (workdir_mutations.changed(seeds[family], rng), family, mode, whole)


def test_mutated_workdirs(seeds, times, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    outcome = survive(
        functools.partial(play, out),
        tasks(seeds, times(45, 20_000)),
        seconds=SECONDS,
        out=out,
        before=ready,
    )
    print(outcome)
    assert not outcome.failures, str(outcome)
    assert outcome.taken > outcome.inputs / 20
    assert outcome.refused.total() > outcome.inputs / 5


@pytest.mark.parametrize("family", list(MODES))
def test_a_sound_workdir_is_played(family, seeds, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    inputs = [(mode, (seeds[family], family, mode, True)) for mode in MODES[family]]
    outcome = survive(functools.partial(play, out), inputs, seconds=60.0, out=out, before=ready)
    assert not outcome.failures, str(outcome)
    assert outcome.taken == len(inputs), str(outcome)
    assert any((out / "played").iterdir())


def _json(files, name, **changes):
    files[name] = json.dumps(json.loads(files[name]) | changes).encode()


def _kept(files, content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("0000/strokes.npy", content)
    files["examples.npz"] = file.getvalue()


def _npy(value):
    file = io.BytesIO()
    np.save(file, value, allow_pickle=True)
    return file.getvalue()


WORST = {
    "half a character": (lambda f: _json(f, "codec.json", labels=["\ud800", "sun"]), "surrogates not allowed"),
    "endless brackets": (lambda f: f.update({"codec.json": b"[" * 100_000}), "no valid JSON"),
    "a folder": (lambda f: f.update({"config.json": None}), "config.json cannot be read"),
    "a model larger than memory": (
        lambda f: _json(f, "config.json", model=json.loads(f["config.json"])["model"] | {"decoder_size": 100_000}),
        "is of another model|cannot be read",
    ),
    "layers without end": (
        lambda f: _json(f, "config.json", model={"encoder_size": 2**31}),
        "config.model.encoder_size",
    ),
    "no number": (lambda f: _json(f, "codec.json", scale=float("nan")), "codec.scale|codec.json"),
    "a text for a number": (lambda f: _json(f, "codec.json", n_max="54"), "n_max"),
    "a pickle": (lambda f: _kept(f, _npy(np.array([workdir_mutations.Evil()], object))), "examples.npz cannot be read"),
    "an open bracket": (lambda f: _kept(f, _npy(np.zeros(3)).replace(b"(3,)", b"((3,")), "examples.npz cannot be read"),
    "a terabyte": (
        lambda f: _kept(f, _npy(np.zeros(3)).replace(b"(3,)", b"(999999999999,)").replace(b" " * 12, b"", 1)),
        "examples.npz cannot be read",
    ),
    "no strokes": (lambda f: _kept(f, _npy(np.zeros((3, 2)))), "examples.npz: example 0 is damaged"),
    "digits that are none": (
        lambda f: [f.update({path.replace("best/0", "best/²"): f.pop(path)}) for path in list(f) if "best/" in path],
        "no best checkpoint",
    ),
}


@pytest.mark.parametrize("name", WORST)
def test_the_worst_are_refused_with_their_reason(name, seeds, player):
    files = dict(seeds["sketch_rnn"])
    spoil, reason = WORST[name]
    spoil(files)
    found = player.check((files, "sketch_rnn", "reconstruct", False), name)
    assert found.refused
    assert re.search(reason, found.refused), found.refused


@pytest.fixture(scope="module")
def player(tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    with Reader(functools.partial(play, out), seconds=SECONDS, out=out, before=ready) as reader:
        yield reader
