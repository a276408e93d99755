"""Command lines of strangers: what train.py takes can be trained, and what it does not is refused in one line.

The long form is 20,000 command lines for train.py, and as many for the programs whose flags are their parameters.
"""

import contextlib
import copy
import functools
import io
import json
import runpy
import shutil
import sys
from pathlib import Path

import config_mutations
import numpy as np
import pytest
from harness import Reader, survive

from magenta_lite.errors import UserError

REPOSITORY = Path(__file__).parents[2]
WORST = Path(__file__).parent / "worst" / "config"
CONFIGS = ("sketch_rnn", "performance_rnn", "music_vae")


@functools.cache
def pristine():
    """The flags of train.py, before anything is parsed."""
    sys.path.insert(0, str(REPOSITORY))
    from absl import flags

    import train

    return train, copy.deepcopy(flags.FLAGS)


def parsed(argv):
    """What train.py makes of a command line: a config and a workdir; as in a process of its own."""
    from absl import flags

    from magenta_lite import config as configs

    train, values = pristine()
    flags.FLAGS = values = copy.deepcopy(values)
    for flag in (values[name] for name in values):
        if hasattr(flag, "flag_values"):
            flag.flag_values = values
    configs._CONFIG, train._WORKDIR = (
        flags.FlagHolder(values, values["config"]),
        flags.FlagHolder(values, values["workdir"]),
    )
    sys.argv = argv
    return configs.from_flags(argv), train._WORKDIR.value


@functools.cache
def prepared(folder):
    from magenta_lite.pipeline import PreparedData

    return PreparedData(folder, "")


def could_train(out, argv):
    """Everything of train.py up to the first step, but that no program is compiled; a small model is really made."""
    with contextlib.redirect_stdout(io.StringIO()):
        config, workdir = parsed(argv)
        if workdir is not None:
            _prepare(config, Path(out) / "run")


def _prepare(config, workdir):
    from magenta_lite import pipeline, workdirs
    from magenta_lite.training import make_optimizer

    make_optimizer(**config.optimizer)
    data = prepared(config.data.dir)
    shutil.rmtree(workdir, ignore_errors=True)
    workdirs.prepare(workdir, config, data)
    codec = workdirs.load_codec(workdir, config)
    json.dumps(config.to_dict(), allow_nan=False)
    lengths = codec.lengths(data.lengths["train"])
    plan = pipeline.Plan(lengths, config.batch_size, config.seed, config.buckets, codec.takes(data.lengths["train"]))
    step = config.num_steps - 1
    rows, length = plan.batch(step)
    rngs = [np.random.default_rng([config.seed, 2, step, position]) for position in range(2)]
    examples = [codec.encode(data.example("train", row), rng) for row, rng in zip(rows, rngs, strict=False)]
    pipeline.collate(examples, length)


@pytest.fixture(scope="session")
def recipes(toy, toy_performances, toy_drums, toy_grooves, toy_trios, tmp_path_factory):
    """Recipe and variant -> the fields of its config, and the prepared data that it could be trained on."""
    from data.toy.__main__ import main

    toy_melodies = tmp_path_factory.mktemp("prepared") / "melodies"
    main(kind="melodies", count=60, classes=["arpeggio", "folk"], out=str(toy_melodies))
    passages = {
        "melody": toy_melodies,
        "drums": toy_drums,
        "drum_roll": toy_drums,
        "groove": toy_grooves,
        "trio": toy_trios,
    }
    found = {}
    for name in CONFIGS:
        path = REPOSITORY / "configs" / f"{name}.py"
        recipe = runpy.run_path(str(path))
        for variant in recipe["VARIANTS"]:
            config = recipe["get_config"](variant)
            data = {"sketch_rnn": toy, "performance_rnn": toy_performances}.get(name) or passages[config.codec.kind]
            found[f"{path}:{variant}"] = flat(config.to_dict()), str(data)
    return found


def flat(tree, prefix=""):
    found = {}
    for name, value in tree.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def start():
    """What is slow to import; and models are checked once of each description."""
    pristine()
    from magenta_lite import models, pipeline, training, workdirs

    for name in CONFIGS:
        models.family(name)
    known, check = {}, models.check

    def check_once(config, codec):
        described = json.dumps([config.family, config.model.to_dict(), repr(codec)], default=repr)
        if described not in known:
            known[described] = None
            try:
                check(config, codec)
            except UserError as error:
                known[described] = error
        if known[described] is not None:
            raise known[described]

    models.check = check_once
    del pipeline, training, workdirs


def test_every_variant_is_taken(recipes, tmp_path):
    words = [
        (name, ["train.py", f"--config={name}", f"--workdir={tmp_path}", f"--config.data.dir={data}"])
        for name, (_, data) in recipes.items()
    ]
    outcome = survive(
        functools.partial(could_train, str(tmp_path)), words, out=tmp_path, reads=None, before=start, seconds=30
    )
    print(outcome)
    assert not outcome.failures and outcome.taken == len(words), str(outcome)


def test_files_that_are_no_recipes(recipes, tmp_path):
    paths = config_mutations.write_recipes(tmp_path, sorted({name.partition(":")[0] for name in recipes}))
    data = {Path(name.partition(":")[0]).stem: f"--config.data.dir={data}" for name, (_, data) in recipes.items()}
    words = [(path, ["train.py", f"--config={path}", f"--workdir={tmp_path / 'run'}"]) for path in paths]
    words += [
        (name, [*line, data[Path(name).stem.rpartition("_")[0]]])
        for name, line in words[len(config_mutations.RECIPES) :]
    ]
    outcome = survive(functools.partial(could_train, str(tmp_path)), words, out=tmp_path, reads=None, before=start)
    print(outcome)
    assert not outcome.failures and outcome.refused.total() > 0.7 * outcome.inputs, str(outcome)


@pytest.fixture(scope="module")
def command_line(tmp_path_factory):
    """The process that reads command lines, and the folder that it may write to."""
    out = tmp_path_factory.mktemp("out")
    with Reader(functools.partial(could_train, str(out)), out=out, reads=None, before=start) as reader:
        yield reader, out


@pytest.mark.parametrize("name", sorted(path.stem for path in WORST.glob("*.json")))
def test_the_worst_are_refused_with_their_reason(name, recipes, command_line):
    reader, out = command_line
    worst = json.loads((WORST / f"{name}.json").read_text())
    recipe, _, variant = worst["recipe"].partition(":")
    named = f"{REPOSITORY / 'configs' / recipe}.py:{variant}"
    words = ["train.py", f"--config={named}", f"--workdir={out / 'run'}", f"--config.data.dir={recipes[named][1]}"]
    refused = reader.check([*words, *worst["words"]], name).refused
    assert refused and worst["says"] in refused


def test_command_lines_of_train(recipes, times, tmp_path):
    config_mutations.write_recipes(tmp_path, sorted({name.partition(":")[0] for name in recipes}))
    count = times(300, 20_000)
    lines = config_mutations.lines(recipes, tmp_path, count, 0)
    outcome = survive(functools.partial(could_train, str(tmp_path)), lines, out=tmp_path, reads=None, before=start)
    print(outcome)
    assert not outcome.failures, str(outcome)
    assert outcome.inputs == count and outcome.taken > 0.05 * count, str(outcome)
