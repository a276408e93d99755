"""Command lines of strangers for the programs whose flags are their parameters: sample.py, evaluate.py, the builders.

Each program runs as far as it gets without a trained model and without a download: flags, and all that is checked of
them. Nothing is prepared, since builders stop where they would begin to. The long form is 20,000 command lines.
"""

import contextlib
import functools
import importlib
import io
import json
import os
import runpy
import sys
import zipfile
from pathlib import Path
from random import Random

import midi_seeds
import pytest
from config_mutations import NUMBERS, WORDS
from harness import survive

from magenta_lite.command import guard, run
from magenta_lite.errors import UserError

REPOSITORY = Path(__file__).parents[2]
BUILDERS = tuple(f"data.{name}" for name in ("drawings", "groove", "maestro", "midi", "quickdraw", "toy"))
PROGRAMS = {
    name: flags.split()
    for name, flags in {
        "sample": "workdir mode out overwrite checkpoint n temperature seed input items label",
        "evaluate": "workdir split checkpoint data_dir samples temperature seed out explain",
        "compare": "workdirs split checkpoint names samples temperature seed out",
        "data.drawings": "source out epsilon split licence",
        "data.groove": "source kind out metre partial cache url",
        "data.maestro": "source out partial cache url",
        "data.midi": "source kind out split min_notes labels only licence metre tracks programs chords processes beam "
        "beam_options",
        "data.quickdraw": "classes source out format recognized split cache url processes beam beam_options",
        "data.toy": "count seed classes out kind",
    }.items()
}
"""Flags of each; more of a mode of sample.py are among those that are tried everywhere."""

VALUES = (
    *("generate", "reconstruct", "interpolate", "continue", "arithmetic", "gallery", "score", "humanize", "tap"),
    *("attribute",),
    *("pieces", "melodies", "grooves", "performances", "drawings", "4/4", "3/4,6/8", "4/0", "0/4", "1/3"),
    *("9" * 30 + "/4",),
    *("0-31", "31-0", "0-999", "-", "0-", "none", "infer", "pop909", "cat,bus", "star,sun", "star,star", "sketchrnn"),
    *("raw",),
    *("90,5,5", "1,1", "0,0,0", "nan,1,1", "1e308,1e308,1e308", ",,,", "best", "last", "test", "valid", "simplified"),
    *("all",),
)  # fmt: skip
MODES = [
    "audio",
    "soundfont",
    "sample_rate",
    "qpm",
    "slice",
    "amount",
    "chords",
    "corners",
    "steps",
    "way",
    "posterior",
    "density",
    "seconds",
    "pitch_class_histogram",
    "beam_size",
    "hits",
    "prime",
    "length",
    "examples",
]


@functools.cache
def programs():
    """What runs for each program, builders stopped where they would begin to prepare; no cache is made."""
    from data import download, published_midi

    def nothing(*_, **__):
        raise UserError("it would begin here")

    download.fetch = published_midi.fetch = published_midi.downloaded = nothing
    found = {}
    for name in BUILDERS:
        module = importlib.import_module(f"{name}.__main__")
        for stopped in ("prepare", "survey", "fetch"):
            if hasattr(module, stopped):
                setattr(module, stopped, nothing)
        found[name] = module.main
    for name in ("sample", "evaluate", "compare"):
        module = importlib.import_module(name)
        module.keep_compiled = lambda: None
        found[name] = module.main
    from data.quickdraw import published

    for stopped in ("fetch", "download"):
        if hasattr(published, stopped):
            setattr(published, stopped, nothing)
    return found


def start():
    sys.path.insert(0, str(REPOSITORY))
    programs()
    from magenta_lite import evaluation, sampler

    del evaluation, sampler


def run_program(task):
    """As from a command line."""
    name, argv = task
    main = programs()[name]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            if name == "sample":
                sys.argv = ["sample.py", *argv]
                guard(main)
            else:
                run(main, argv)
        except SystemExit as ended:
            if ended.code == 2:
                raise UserError(said.getvalue().removeprefix("error: ")) from None
            if ended.code != 0:
                raise


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Paths for flags: half a workdir of each family, a source of each kind, and what is neither."""
    folder = tmp_path_factory.mktemp("given")
    for name in ("sketch_rnn", "performance_rnn", "music_vae"):
        config = runpy.run_path(str(REPOSITORY / "configs" / f"{name}.py"))["get_config"]()
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(config.to_dict()))
    with zipfile.ZipFile(folder / "midi.zip", "w") as archive:
        for name, content in midi_seeds.made().items():
            archive.writestr(name, content)
    (folder / "cat.ndjson").write_text('{"word": "cat", "drawing": [[[0, 9], [0, 9]]]}\n')
    (folder / "drawings").mkdir()
    (folder / "drawings" / "a.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'><path d='M0 0L9 9'/></svg>")
    (folder / "text").write_text("no such thing")
    (folder / "empty").mkdir()
    return folder


def lines(given, count, seed):
    """`count` names and tasks for run_program."""
    rng = Random(seed)
    paths = [str(path) for path in sorted(given.iterdir())]
    workdirs = [path for path in paths if os.path.isdir(path)]
    everywhere = sorted({flag for flags in PROGRAMS.values() for flag in flags} | set(MODES))
    for number in range(count):
        name = rng.choice(sorted(PROGRAMS))
        flags = PROGRAMS[name]
        words = []
        if rng.random() < 0.9:
            first = flags[0]
            likely = workdirs if "workdir" in first else paths if first == "source" else VALUES
            words.append(f"--{first}={rng.choice(likely)}")
        for _ in range(rng.choice((0, 1, 1, 2, 3, 6))):
            flag = rng.choice(flags if rng.random() < 0.8 else everywhere)
            value = rng.choice(rng.choice((NUMBERS, VALUES, WORDS, paths)))
            if rng.random() < 0.2:
                value = ",".join(rng.choice((*NUMBERS, *VALUES)) for _ in range(rng.randrange(5)))
            spelled = flag.replace("_", rng.choice("_-"))
            words.append(f"--{spelled}={value}" if rng.random() < 0.7 else f"--{spelled}")
            if rng.random() < 0.1:
                words.append(value)
        for _ in range(rng.choice((0, 0, 0, 1, 2))):
            at = rng.randrange(len(words) + 1)
            match rng.randrange(4):
                case 0:
                    words[at : at + 1] = []
                case 1:
                    words.insert(at, rng.choice((*WORDS, "--", "---x", "--=", "--é=1", "-h=1", "--help=1", "--self=1")))
                case 2:
                    words = words[:at] + words
                case 3:
                    rng.shuffle(words)
        yield f"{number} {name} {json.dumps([word[:80] for word in words])}", (name, words)


def test_flags_of_programs(given, times):
    count = times(400, 20_000)
    outcome = survive(run_program, lines(given, count, 0), before=start, reads=None)
    print(outcome)
    assert not outcome.failures, str(outcome)
    assert outcome.inputs == count and outcome.refused["it would begin here"] > 0.02 * count, str(outcome)
