"""Command lines of train.py that nobody should write: overrides of every field by anything, words lost and doubled."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

NUMBERS = (
    *("0", "1", "2", "3", "-1", "-0", "007", "0x10", "1_000", "+5", " 7 ", "٣", "1e3", "1e-3", "0.5", "-0.5"),
    *("0.999", "1.0"),
    *("2147483647", "2147483648", "4294967296", "1000000000", "1000000000000", "9" * 30, "9" * 5000),
    *("-1000000000000",),
    *("nan", "inf", "-inf", "NaN", "1e308", "1e309", "-1e309", "1e-320", "1e-46", "1e39", "0.1e", ".", "1.", ".5"),
    *("1j",),
)  # fmt: skip
WORDS = (
    *("", " ", "\n", "\t", "=", "==", "-", "--", ",", ":", "None", "none", "null", "True", "False", "true", "yes"),
    *("maybe",),
    *("()", "(1,)", "(0,)", "(-1,)", "(8, 8)", "(8, 16)", "8,8", "(1.5,)", "('a',)", "(1, 'a')", "(None,)"),
    *("((8,),)", "(8,", "8)"),
    *("[8]", "{}", "{'a': 1}", "(nan,)", "(True,)", "(10000000000000,)", "1, 2, 3", "(8,) * 3", "(2, 16)", "(32,)"),
    *("('notes_per_second',)",),
    *("__import__('os').system('true')", "open('/etc/passwd').read()", "lambda: 0", "1+1", "exec('1')", "f'{1}'"),
    *("{dir}", "{0}", "{", "}"),
    *("../../x", "/etc/passwd", "/dev/zero", "/dev/null", "/", ".", "~", "configs", "a/b", "con", "\x1b[2J\x07"),
    *("\u202ecba", "é", "\udcff"),
    *("lstm", "layer_norm", "hyper", "float32", "bfloat16", "float16", "sketch", "all", "step", "sequence", "modulo"),
    *("one_hot", "notes"),
    *("flat", "hierarchical", "reencoded", "state", "inverse_sigmoid", "constant", "drums", "trio", "groove"),
    *("melody", "drum_roll", "9", "61"),
    *("sketch_rnn", "performance_rnn", "music_vae", "os", "..", "__init__", "stop", "skip", "hits_control"),
    *("tap_fixed_velocity",),
    *("a" * 100_000, "(" * 300, "(" * 100_000, "[" * 3000, "-" * 20_000 + "1", "1" + "+1" * 5000),
    *("(" + "1," * 5000 + ")", "\n" * 100),
)  # fmt: skip
STRANGE = (
    *("--", "-", "---", "=", "--=", "--=1", "--config", "--config=", "-config", "--config.", "--config.=1"),
    *("--config..seed=1", "--noconfig"),
    *("--config.model", "--config.model=1", "--config.model={}", "--config.model=None", "--config.data=/etc"),
    *("--config.codec={'a': 1}",),
    *("--config.seed.x=1", "--config.model.layers.0=1", "--config.__class__=1", "--config.to_dict=1"),
    *("--config.items=1", "--config._fields=1"),
    *("--config.seed", "--config.seed=", "--noconfig.seed", "--noconfig.model.conditional"),
    *("--config.model.conditional", "--configs.seed=1"),
    *("--config.nosuch=1", "--config.model.nosuch=1", "--config.model.nosuch.deep=1", "--config.sead=1"),
    *("--CONFIG.seed=1", "--config.Seed=1"),
    *("--config.optimizer.learning_rate", "--config.é=1", "--config.seed =1", "-config.seed=1", "--config.seed=1=2"),
    *("--config['seed']=1",),
    *("--workdir", "--workdir=", "--workdir=/proc/x", "--nosuch", "--nosuch=1", "--init_from", "--init_from=/etc"),
    *("--noworkdir", "--work=1"),
    *("--help", "--helpxml", "--helpfull", "--helpshort", "--flagfile", "--flagfile=", "--flagfile=/etc/passwd"),
    *("--flagfile=/nosuch",),
    *("--flagfile=/etc", "--flagfile=/dev/null", "--undefok", "--undefok=nosuch", "--undefok=config"),
    *("--only_check_args", "--run_with_pdb"),
    *("-v=3", "--verbosity=99999", "--verbosity=x", "--logtostderr", "--log_dir=/etc", "--showprefixforinfo=2"),
    *("word", "a b", "\x1b[2J"),
)  # fmt: skip
RECIPES = {
    "exits.py": "raise SystemExit(3)",
    "exits_in_get_config.py": "def get_config(variant=''):\n    import sys\n    sys.exit('no')",
    "recurses.py": "def get_config(variant=''):\n    return get_config(variant)",
    "prints.py": "print('\\x1b[2J' * 100)\ndef get_config(variant=''):\n    print('hello')",
    "nothing.py": "",
    "syntax.py": "def get_config(:",
    "indent.py": "def f():\nreturn",
    "bytes.py": b"\xff\xfe\x00\x00",
    "null.py": b"def get_config():\n    return '\0'",
    "raises.py": "def get_config(variant=''):\n    raise KeyError('several\\nlines')",
    "asserts.py": "def get_config(variant=''):\n    assert variant == 'no'",
    "imports.py": "import no_such_module",
    "stops.py": "raise GeneratorExit",
    "base.py": "class Own(BaseException): pass\nraise Own('mine')",
    "groups.py": "raise ExceptionGroup('two', [ValueError('a'), ValueError('b')])",
    "flags.py": "from absl import flags\nflags.DEFINE_string('config', '', '')",
    "none.py": "def get_config(variant=''):\n    return None",
    "number.py": "def get_config(variant=''):\n    return 5",
    "plain.py": "def get_config(variant=''):\n    return {'family': 'sketch_rnn', 'seed': 0}",
    "string.py": "get_config = 'no function'",
    "class.py": "class get_config:\n    pass",
    "arguments.py": "def get_config(a, b, c):\n    return {}",
    "deep.py": (
        "from ml_collections import ConfigDict\ndef get_config(variant=''):\n"
        "    config = ConfigDict()\n    config.a = config\n    return config"
    ),
    "empty.py": "from ml_collections import ConfigDict\ndef get_config(variant=''):\n    return ConfigDict()",
    "folder.py/x": "",
}
"""Files that are no recipes, by name."""

CHANGED = """
import runpy
def get_config(variant=None):
    config = runpy.run_path({recipe!r})['get_config'](*([variant] if variant else []))
    config.unlock()
    {change}
    return config
"""
CHANGES = (
    "del config.seed",
    "config.seed = 'a'",
    "config.seed = 1.5",
    "config.seed = None",
    "config.seed = True",
    "config.batch_size = 2.5",
    "config.batch_size = '8'",
    "config.num_steps = float('nan')",
    "config.family = 5",
    "del config.family",
    "config.family = None",
    "del config.model",
    "config.model = None",
    "config.model = 3",
    "config.model = {}",
    "config.model.nosuch = 1",
    "del config.data",
    "config.data = 'x'",
    "del config.data.dir",
    "del config.data.build",
    "config.data.dir = None",
    "config.data.dir = 5",
    "config.data.dir = b'x'",
    "config.data.build = None",
    "del config.codec",
    "config.codec = None",
    "config.codec.nosuch = 1",
    "config.codec.labels = ('a',)",
    "config.codec.scale = 2.0",
    "config.codec.steps_per_bar = 12",
    "config.codec.bars = '2'",
    "config.codec.n_max = 3",
    "config.codec.max_points = '9'",
    "config.codec.limit = None",
    "config.codec.stretch = 'a'",
    "config.codec.controls = None",
    "config.codec.controls = 'notes_per_second'",
    "config.codec.controls = (1,)",
    "config.codec.labels = None",
    "config.codec.crop = 8.5",
    "config.codec.kind = None",
    "config.codec.kind = ('melody',)",
    "del config.optimizer",
    "config.optimizer = None",
    "config.optimizer.learning_rate = True",
    "config.optimizer.learning_rate = 'fast'",
    "config.optimizer.clip_norm = None",
    "config.optimizer = {}",
    "config.model.latent_size = '8'",
    "config.model.latent_size = 2.5",
    "config.model.latent_size = None",
    "config.model.layers = 8",
    "config.model.layers = '8'",
    "config.model.layers = (8.5,)",
    "config.model.layers = (None,)",
    "config.model.layers = [8]",
    "config.model.encoder_layers = 8",
    "config.model.decoder_layers = ('8',)",
    "config.model.levels = 3",
    "config.model.levels = ('a',)",
    "config.model.keep = 'a'",
    "config.model.mixtures = 1.5",
    "config.model.encoder_size = True",
    "config.model.conditional = 'no'",
    "config.model.compute_dtype = None",
    "config.model.compute_dtype = ('float32',)",
    "config.model.kl_weight = 1j",
    "config.model.free_bits = []",
    "config.extra = 1",
    "config.extra = object()",
    "config.extra = {1, 2}",
    "config.extra = b'x'",
    "config.lock()",
    "config.extra = float('nan')",
    "config.log_every = [1]",
    "config.buckets = {}",
    "config['a.b'] = 1",
    "config[''] = 1",
)


def write_recipes(folder: Path, recipes: Sequence[str]) -> list[str]:
    """Files that are no recipes, or that change one, in a folder; their paths."""
    written = []
    for name, content in RECIPES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        written.append(str(path))
    for number, change in enumerate(CHANGES):
        for recipe in recipes:
            path = folder / f"{Path(recipe).stem}_{number}.py"
            path.write_text(CHANGED.format(recipe=recipe, change=change))
            written.append(str(path))
    loop = folder / "loop.flags"
    loop.write_text(f"--flagfile={loop}\n--flagfile={folder / 'other.flags'}\n")
    (folder / "other.flags").write_text(f"--flagfile={loop}\n--config.seed=3\n# no flag\n--nosuch\n")
    (folder / "binary.flags").write_bytes(b"\xff\xfe\x00--config.seed=1")
    return written


def lines(
    recipes: Mapping[str, tuple[Mapping[str, Any], str]], folder: Path, count: int, seed: int
) -> Iterator[tuple[str, list[str]]]:
    """`count` names and command lines.

    recipes: recipe with its variant -> the fields of its config, by their whole names, and a folder of data for it.
    folder: with what write_recipes writes.
    """
    rng = Random(seed)
    hostile = sorted(str(path) for path in folder.glob("*.py"))
    flagfiles = [f"--flagfile={path}" for path in sorted(folder.glob("*.flags"))]
    values = sorted({str(value) for fields, _ in recipes.values() for value in fields.values()} | {*NUMBERS, *WORDS})
    whole = sorted({name for fields, _ in recipes.values() for name in fields})
    for number in range(count):
        recipe = rng.choice(sorted(recipes))
        fields, data = recipes[recipe]
        words = ["train.py", f"--config={recipe}", f"--workdir={folder / 'run'}", f"--config.data.dir={data}"]
        for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 6))):
            name = rng.choice(sorted(fields)) if rng.random() < 0.95 else rng.choice(whole)
            words.append(_override(name, fields.get(name), values, rng))
        for _ in range(rng.choice((0, 0, 0, 0, 1, 2, 4))):
            words = _spoil(words, hostile, flagfiles, rng)
        yield f"{number} {json.dumps([word[:80] for word in words[1:]])}", words


def _override(name: str, value: Any, values: Sequence[str], rng: Random) -> str:
    """A field and its value: one of its kind, mostly, and a strange one."""
    if isinstance(value, bool) and rng.random() < 0.7:
        return f"--{rng.choice(('', 'no'))}config.{name}"
    if isinstance(value, int | float) and rng.random() < 0.7:
        text = rng.choice(
            (*NUMBERS, repr(value * 2), repr(-value), repr(value + 1), repr(value / 2), str(rng.randrange(99)))
        )
    elif isinstance(value, tuple) and rng.random() < 0.7:
        text = repr(tuple(rng.choice((1, 2, 8, 8, 16, 0, -1, 2**31, 1.5)) for _ in range(rng.randrange(4))))
    else:
        text = rng.choice(values)
    return f"--config.{name}={text}" if rng.random() < 0.95 else f"--config.{name}"


def _spoil(words: list[str], hostile: Sequence[str], flagfiles: Sequence[str], rng: Random) -> list[str]:
    words = list(words)
    at = rng.randrange(len(words))
    match rng.randrange(9):
        case 0:
            del words[at]
        case 1:
            words.insert(rng.randrange(len(words) + 1), words[at])
        case 2:
            rng.shuffle(words)
        case 3:
            words[at : at + 1] = words[at].split("=", 1)
        case 4:
            words[at] = words[at][: rng.randrange(len(words[at]) + 1)]
        case 5 | 6:
            words.insert(rng.randrange(1, len(words) + 1), rng.choice(STRANGE + tuple(flagfiles)))
        case 7:
            letters = [rng.choice(("", ".", "=", ":", "-", "é", "\x07", rng.choice(WORDS)[:9])) for _ in range(3)]
            place = rng.randrange(len(words[at]) + 1)
            words[at] = words[at][:place] + "".join(letters) + words[at][place + rng.randrange(3) :]
        case 8:
            paths = (
                *hostile,
                *hostile,
                "/etc/passwd",
                "/etc",
                "/dev/null",
                "configs",
                "configs/",
                "",
                ":",
                "é.py",
                "../x",
            )
            recipe = rng.choice(paths) + rng.choice(("", "", ":", ":tiny", ":nosuch", "::", ":a:b", ":" + "é" * 9))
            words = [f"--config={recipe}" if word.startswith("--config=") else word for word in words]
    return words or ["train.py"]
