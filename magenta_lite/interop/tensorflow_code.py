"""Checkpoints of the original TensorFlow code, read without it: bundles, tables of version 1, archives, .mag files."""

import contextlib
import importlib
import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from magenta_lite.errors import UserError
from magenta_lite.interop import archives, bundle, kinds
from magenta_lite.interop.archives import Files
from magenta_lite.interop.imported import Imported
from magenta_lite.interop.wire import Damaged

FAMILIES = {
    "sketch_rnn": ("SketchRNN", "vector_rnn/RNN/output_w"),
    "performance_rnn": ("Performance RNN", "rnn/multi_rnn_cell/cell_0/basic_lstm_cell/kernel"),
    "music_vae": ("MusicVAE", "encoder/mu/kernel"),
}
"""What each is called, and a variable that each has."""

_OF_TRAINING = re.compile(
    r"(.*/)?(Adam(_\d+)?|Momentum|RMSProp(_\d+)?|Adagrad|ExponentialMovingAverage|beta[12]_power|_CHECKPOINTABLE.*)"
)
SHARD = re.compile(r"\.(data-\d{5}-of-\d{5}|meta)$")
_NEWEST = re.compile(r'^model_checkpoint_path:\s*"([^"]*)"', re.MULTILINE)
_SMALL = 1 << 16  # bytes of the text file `checkpoint`
EXPECTED = (
    "a checkpoint of the TensorFlow code was expected: NAME.index with its NAME.data-..., a .tar, .tgz or .zip of "
    "them, or a .mag"
)


def read(
    path: Path,
    *,
    checkpoint: str | None = None,
    config: str | None = None,
    name: str | None = None,
    scale: float | None = None,
    max_points: int | None = None,
    size: float | None = None,
    kind: str | None = None,
    bars: int | None = None,
    steps_per_bar: int | None = None,
    levels: tuple[int, ...] | None = None,
    groove_input: str | None = None,
    attention: int | None = None,
) -> Imported:
    """Reads SketchRNN, Performance RNN or MusicVAE; what a checkpoint does not hold is told by flags.

    --checkpoint     which one, where an archive or a folder holds several: its name
    --config         the original's name of the model: cat-mel_2bar_big, performance_with_dynamics, ...
    SketchRNN:       --scale, standard deviation of the offsets it was trained on (18.5198 for aaron_sheep); needed
                     --max_points, N_max of its data; --name, of what it draws; --size, longer side of a drawing
    MusicVAE:        --bars, of a slice, and --steps_per_bar, where no --config tells them; --levels of a hierarchy,
                     the longest parts first; --groove_input, what a groove's encoder is given; --kind, to be checked
    Performance RNN: --attention, how many of its outputs the first layer attends to
    """
    facts = {
        "config": config,
        "name": name,
        "scale": scale,
        "max_points": max_points,
        "size": size,
        "kind": kind,
        "bars": bars,
        "steps_per_bar": steps_per_bar,
        "levels": levels,
        "groove_input": groove_input,
        "attention": attention,
    }
    given = {fact: value for fact, value in facts.items() if value is not None}
    try:
        with _found(Path(path), checkpoint) as found:
            return _imported(path, *found, given)
    except Damaged as error:
        raise UserError(f"{path}: {error}") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from None


def index_of(name: str) -> str:
    """The index of the bundle that a file, or a name before its end, belongs to."""
    return SHARD.sub("", name) + ".index"


@contextlib.contextmanager
def _found(path: Path, checkpoint: str | None) -> Iterator[tuple[Files, str, dict[str, Any]]]:
    """The files of which one is the checkpoint's table, its name, and what is known beside the variables."""
    if path.is_dir():
        with archives.opened(path, "folder") as files:
            yield files, _chosen(path, files, checkpoint), {}
        return
    if SHARD.search(path.name) or not path.exists():  # the name before .index, or a neighbour of the index
        path = path.with_name(index_of(path.name))
    if not path.exists():
        raise UserError(f"cannot read {path}: no such file; {EXPECTED}")
    what = kinds.of(path)
    if what == "table":
        with archives.opened(path, "folder") as files:
            yield files, path.name, {}
    elif what in ("tar", "zip"):
        with archives.opened(path, what) as files:
            yield files, _chosen(path, files, checkpoint), {}
    elif what == "mag":
        if path.stat().st_size > archives.LARGEST_MAG:
            raise Damaged(f"{path.stat().st_size:,} bytes are too many for a .mag")
        try:
            files, id_, description = archives.generator(path.read_bytes())
        except Damaged as error:
            raise Damaged(f"it is no .mag, a bundle of a generator ({error}); {EXPECTED}") from None
        told = {"config": id_} if id_ else {}
        yield files, next(iter(files.sizes)), told | ({"description": description} if description else {})
    elif path.name == "checkpoint" and what == "text":
        with archives.opened(path, "folder") as files:
            yield files, _chosen(path.parent, files, checkpoint), {}
    else:
        words = {"text": "a text file", "json": "a JSON file"}.get(what, what)
        raise Damaged(f"it is {words}; {EXPECTED}")


def _chosen(path: Path, files: Files, wanted: str | None) -> str:
    """The table of the one checkpoint that is meant."""
    tables = [name for name in files.sizes if name.endswith(".index")]
    if not tables:  # of version 1, a checkpoint is one file
        tables = [name for name in files.sizes if not SHARD.search(name) and bundle.is_table(files, name)]
    if wanted is not None:
        meant = [
            one for one in tables if f"/{one.removesuffix('.index')}".endswith(f"/{wanted.removesuffix('.index')}")
        ]
        if len(meant) == 1:
            return meant[0]
        raise UserError(f"--checkpoint={wanted}: {len(meant)} of {path} have this name; {_some(tables)}")
    if len(tables) > 1:
        newest = [one for one in map(lambda name: _newest(files, name), files.sizes) if one in tables]
        tables = newest if len(newest) == 1 else tables
    if len(tables) == 1:
        return tables[0]
    if tables:
        raise UserError(f"{path} holds {len(tables)} checkpoints: give --checkpoint=NAME; {_some(tables)}")
    if generators := sorted(name for name in files.sizes if name.endswith((".gen.json", ".vae.json"))):
        raise Damaged(f"it is a folder of sketch-rnn-js: give one of its files, such as {generators[0]}")
    folders = sorted(one.name for one in path.iterdir() if one.is_dir()) if path.is_dir() else []
    held = f"it has the folders {', '.join(folders[:4])}" if folders and not files.sizes else _some(list(files.sizes))
    raise Damaged(f"it holds no checkpoint ({held}); {EXPECTED}")


def _newest(files: Files, name: str) -> str | None:
    """The table that a text file named `checkpoint` calls the newest one."""
    folder, _, last = name.rpartition("/")
    if last != "checkpoint" or files.sizes[name] > _SMALL:
        return None
    match = _NEWEST.search(files.read(name, 0, files.sizes[name]).decode(errors="replace"))
    if not match:
        return None
    stem = (f"{folder}/" if folder else "") + match[1].rpartition("/")[2]
    return f"{stem}.index" if f"{stem}.index" in files.sizes else stem


def _some(names: list[str]) -> str:
    """A few of the names."""
    shown = ", ".join(name.removesuffix(".index") for name in sorted(names)[:4])
    return f"it has {shown}{', ...' if len(names) > 4 else ''}" if names else "it is empty"


def _imported(path: Path, files: Files, table: str, told: dict[str, Any], given: dict[str, Any]) -> Imported:
    checkpoint = bundle.opened(files, table)
    variables = {name: one for name, one in checkpoint.variables.items() if not _OF_TRAINING.fullmatch(name)}
    family, scope = _family(path, list(variables))
    original = importlib.import_module(f"magenta_lite.models.{family}.original")
    counters = [name for name in variables if name.rpartition("/")[2] == "global_step"]
    steps = int(checkpoint.read(counters[:1])[counters[0]].reshape(-1)[0]) if counters else 0
    wanted = [name for name, one in variables.items() if name.startswith(scope) and one.shape and one.numbers]
    weights = {name.removeprefix(scope): values for name, values in checkpoint.read(wanted).items()}
    for prefix, canonical in _RENAMED:
        weights = {re.sub(prefix, canonical, name): values for name, values in weights.items()}
    codec, options = _described(path, table, family, original, weights, told, given)
    source: dict[str, Any] = {
        "file": path.name,
        "format": f"checkpoint of the TensorFlow code, version {checkpoint.version}",
        "name": given.get("name") or given.get("config") or told.get("config") or _stem(path, table),
    }
    if 0 < steps < 1 << 31:
        source["steps"] = steps
    if "description" in told:
        source["description"] = told["description"]
    return Imported(family, codec, options, weights, source)


_RENAMED = ((r"(.*(?:basic_lstm_cell|lstm_cell))/weights", r"\1/kernel"), (r"(.*lstm_cell)/biases", r"\1/bias"))
"""Names that TensorFlow gave to variables of cells before its version 1.2, and since."""


def _family(path: Path, names: list[str]) -> tuple[str, str]:
    """The family that has variables of these names, and the scope around them, where there is one."""
    scopes = ["", *sorted({f"{name.partition('/')[0]}/" for name in names if "/" in name})[:100]]
    for scope in scopes:
        within = [name.removeprefix(scope) for name in names if name.startswith(scope)]
        for family in FAMILIES:
            if importlib.import_module(f"magenta_lite.models.{family}.original").recognised(within):
                return family, scope
    expected = " or ".join(f"{variable} ({called})" for called, variable in FAMILIES.values())
    shown = " and ".join(sorted(names)[:2]) or "none"
    raise UserError(
        f"{path}: a checkpoint of {len(names):,} variables, {shown} among them, of another program; "
        f"expected one with {expected}"
    )


def _described(
    path: Path,
    table: str,
    family: str,
    original: Any,
    weights: Mapping[str, NDArray],
    told: dict[str, Any],
    given: dict[str, Any],
) -> tuple[Any, dict[str, Any]]:
    """The codec and the model's options, as the family tells them by the variables and by what else is known."""
    called = FAMILIES[family][0]
    taken = {
        name
        for name, parameter in inspect.signature(original.described).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    for fact in given:
        if fact not in taken:
            takes = ", ".join(f"--{one}" for one in sorted(taken))
            raise UserError(f"{path} is a {called}, to which --{fact} means nothing; there are {takes}")
    facts = dict(given)
    if "config" in taken and "config" not in facts:
        if "config" in told:
            facts["config"] = told["config"]
        elif hasattr(original, "config_in"):
            named = original.config_in(path.name) or original.config_in(table)
            facts |= {"config": named} if named else {}
    elif "config" in facts and "config" in told and _plain(told["config"]) != _plain(facts["config"]):
        raise UserError(f"--config={facts['config']}: {path} says that it is {told['config']}")
    try:
        codec, options = original.described(weights, **facts)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return codec, options


def _plain(config: str) -> str:
    """A config's id: "compact" is a way to store examples, of the same model."""
    return config.removesuffix("_compact")


def _stem(path: Path, table: str) -> str:
    """What the file is called, without the ends of its name."""
    name = path.name if path.is_file() and path.suffix not in ("", ".index") else table.rpartition("/")[2]
    for end in (".index", ".gz", ".tgz", ".tar", ".zip", ".mag", ".ckpt"):
        name = name.removesuffix(end)
    return re.sub(r"\.ckpt(-\d+)?$", "", name)
