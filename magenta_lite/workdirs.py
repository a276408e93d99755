"""The folder of a run: config.json, codec.json, examples.npz, checkpoints, logs. All later work reads it alone."""

import contextlib
import dataclasses
import inspect
import io
import math
import os
import platform
import shutil
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import jax
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from magenta_lite import config as configs
from magenta_lite import hosts, models
from magenta_lite.errors import UserError, nearest
from magenta_lite.pipeline import PreparedData

EXAMPLES = 64
"""Test examples kept in the workdir."""


def prepare(workdir: Path, config: ConfigDict, data: PreparedData) -> tuple[Any, IO[str] | None]:
    """Makes a workdir, or checks that it is of the same config; returns the codec, and the lock to keep while training.

    Raises:
      UserError: the workdir is of another config (names every differing field) or of other data, another process trains
        there, config.codec or config.model is wrong, or the data has nothing to validate with.
    """
    if workdir.exists() and not workdir.is_dir():
        raise UserError(f"--workdir={workdir} is a file: expected a folder")
    if (workdir / "config.json").exists():
        for made in ("imported", "unpacked"):
            if made in _source(workdir):
                raise UserError(f"{workdir} was {made}: give another --workdir, with --init_from={workdir}")
        different = configs.differences(configs.load(workdir / "config.json"), config)
        if different:
            raise UserError(f"{workdir} is of another config ({'; '.join(different)}): choose another --workdir")
        if data.source.get("digest") != data_digest(workdir):
            raise UserError(f"{config.data.dir} has been prepared anew, from other data than {workdir} was begun with")
        codec = load_codec(workdir, config)
        models.check(config, codec)
        held = lock(workdir)
        with _writing(workdir):
            configs.save(config, workdir / "config.json")
        return codec, held
    codec_class = models.family(config.family).Codec
    options = config.codec.to_dict()
    valid = [name for name in inspect.signature(codec_class).parameters]
    for name in options:
        if name not in valid:
            raise UserError(f"config.codec.{name} is no option of {config.family}: {nearest(name, valid)}")
    data.need(*codec_class.reads)
    codec, touched = codec_class.from_data(options, data)
    # What is wrong is refused before anything is written.
    models.check(config, codec)
    if not codec.lengths(data.lengths.get("valid", np.zeros(0, int))).any():
        raise UserError(f"{config.data.dir} has no valid split with an example that config.codec takes")
    for what, count in touched.items():
        print(f"{what}: {count}")
    with _writing(workdir):
        workdir.mkdir(parents=True, exist_ok=True)
        held = lock(workdir)
        if (workdir / "config.json").exists():
            raise UserError(f"{workdir} has just been made by another process: choose another --workdir")
        _keep_examples(workdir, data, codec)
        configs.write_json(data.source, workdir / "source.json")
        configs.write_json(dataclasses.asdict(codec), workdir / "codec.json")
        # Last: a workdir with a config is whole.
        configs.save(config, workdir / "config.json")
    return codec, held


def need_free(workdir: Path) -> None:
    """Raises UserError where a workdir that is to be made is there already; an empty folder may be."""
    if workdir.exists() and (not workdir.is_dir() or any(workdir.iterdir())):
        raise UserError(f"--workdir={workdir} is there already: choose another one, nothing was changed")


@contextlib.contextmanager
def whole(workdir: Path) -> Iterator[Path]:
    """A folder to fill in the block, which becomes the workdir when the block ends well, and vanishes when it fails.

    Raises:
      UserError: the workdir is there already, or cannot be written.
    """
    need_free(workdir)
    workdir = workdir.absolute()
    partial = workdir.with_name(f".{workdir.name}.{os.getpid()}")
    try:
        with _writing(workdir):
            partial.mkdir(parents=True)
            yield partial
            if not workdir.exists():
                partial.rename(workdir)
                return
            # Somebody may stand in the empty folder. The config comes last: a workdir with a config is whole.
            for path in sorted(partial.iterdir(), key=lambda path: path.name == "config.json"):
                path.rename(workdir / path.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def _writing(workdir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"--workdir={workdir} cannot be written ({error.strerror}): make room, or choose another one"
        ) from None


_OF_THE_FIRST = ("data.dir", "data.build", "log_every", "keep_checkpoints")
"""Fields that may differ between hosts: the first alone uses them; of the folder the digest of its data counts."""


def agree(codec: Any, config: ConfigDict, data: PreparedData) -> Any:
    """The first host's codec, on every host of a run; codec: its own, there alone.

    Raises:
      UserError: this host was given another config than the first one, or other data.
    """
    fields = dataclasses.asdict(codec) if hosts.first() else None
    facts = hosts.shared(lambda: {"config": config.to_dict(), "codec": fields, "digest": data.source.get("digest")})
    different = configs.differences(ConfigDict(facts["config"]), config, _OF_THE_FIRST)
    if different:
        raise UserError(f"host {jax.process_index()} has another config than the first ({'; '.join(different)})")
    if data.source.get("digest") != facts["digest"]:
        raise UserError(f"host {jax.process_index()}: {config.data.dir} is other data than that of the first host")
    return models.family(config.family).Codec(**facts["codec"])


def lock(workdir: Path) -> IO[str] | None:
    """Takes the workdir for this process, until it ends or the file that is returned is closed.

    Raises:
      UserError: another process trains there.
    """
    try:
        import fcntl
    except ImportError:  # not on Windows
        return None
    with _writing(workdir):
        file = open(workdir / ".lock", "a+")  # noqa: SIM115  (held as long as the process lives)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        owner = file.read(200).strip() or "another process"
        file.close()
        raise UserError(f"{workdir} is being trained by {owner}: choose another --workdir, or stop that one") from None
    except OSError as error:
        print(f"{workdir} cannot be locked here ({error.strerror}): see to it that no second process trains in it")
    with contextlib.suppress(OSError):  # a full disk; the lock holds without it
        file.truncate(0)
        os.write(file.fileno(), f"process {os.getpid()} on {platform.node()}".encode())
    return file


def load_codec(workdir: Path, config: ConfigDict) -> Any:
    """The codec of a workdir.

    Raises:
      UserError: codec.json is missing or is not of this family.
    """
    path, codec = workdir / "codec.json", models.family(config.family).Codec
    fields = configs.read_json(path)
    if isinstance(fields, dict):
        ours = {field.name for field in dataclasses.fields(codec)}
        needed = {field.name for field in dataclasses.fields(codec) if _has_no_default(field)}
        different = [f"{name} is unknown here" for name in sorted(fields.keys() - ours)]
        different += [f"{name} is missing there" for name in sorted(needed - fields.keys())]
        if different:
            raise UserError(f"{path} is of another version of magenta_lite: {', '.join(different)}")
    try:
        return codec(**fields)
    except (TypeError, UserError) as error:
        raise UserError(f"{path} is no codec of {config.family} ({error})") from None


def _has_no_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def data_digest(workdir: Path) -> str | None:
    """The digest of the prepared data that a workdir was begun with."""
    return configs.read_json(workdir / "source.json").get("digest")


def origin(workdir: Path) -> dict[str, Any]:
    """Where an imported model comes from: file, format, and what else is known; empty for a run of train.py."""
    found = _source(workdir).get("imported", {})
    return found if isinstance(found, dict) else {}


def units(workdir: Path) -> dict[str, Any]:
    """What prepared data in a model's own units says of itself in its source.json.

    That is the data it was trained on; or, of an imported model, such as its importer says in "units_of".
    """
    told = origin(workdir).get("units_of")
    return told if told and isinstance(told, dict) else {"digest": data_digest(workdir)}


def same_units(workdir: Path, source: dict[str, Any]) -> bool:
    """Whether prepared data, of which `source` tells, is in the units of the data that a model was trained on."""
    return all(source.get(name) == value for name, value in units(workdir).items())


def _source(workdir: Path) -> dict[str, Any]:
    path = workdir / "source.json"
    source = configs.read_json(path) if path.exists() else {}
    return source if isinstance(source, dict) else {}


def begin_from(workdir: Path, other: Path | None, step: int = 0) -> None:
    """Writes down whose parameters a run begins with: what that was trained on, and the licence, go along with it.

    other: the workdir whose checkpoint of `step` it is; None: fresh parameters.
    """
    path = workdir / "source.json"
    source = configs.read_json(path)
    if other is None and "begun_from" not in source:
        return
    source.pop("begun_from", None)
    if other is not None:
        theirs = configs.read_json(other / "source.json") if (other / "source.json").exists() else {}
        carried = {name: theirs[name] for name in _CARRIED if name in theirs} if isinstance(theirs, dict) else {}
        source["begun_from"] = {"workdir": other.absolute().name, "step": step} | carried
    with _writing(workdir):
        configs.write_json(source, path)


def told_of_beginning(other: Path, codec: Any) -> str:
    """What a person has to know of the codec of a model that another one begins from; empty where nothing."""
    compare = getattr(codec, "begun_from", None)
    return compare(load_codec(other, configs.load(other / "config.json"))) if compare else ""


def need_alike(other: Path, config: ConfigDict) -> None:
    """Raises UserError where another workdir's parameters do not fit a config's model; names the flags that would."""
    theirs = configs.load(other / "config.json")
    if theirs.family != config.family:
        raise UserError(f"--init_from={other} is of the family {theirs.family}, and --config of {config.family}")
    codec, model = load_codec(other, theirs), theirs.model.to_dict()

    def shapes(**changed: Any) -> Any:
        """Of the config's model, so changed, on their codec; None where it takes none such."""
        made = ConfigDict({"family": config.family, "seed": 0, "model": config.model.to_dict() | changed})
        with contextlib.suppress(UserError):
            return jax.tree.map(lambda leaf: leaf.shape, nnx.state(models.outline(made, codec), nnx.Param))

    ours = shapes()
    if ours is not None and shapes(**model) == ours:
        return
    flags = [
        f"--config.model.{name}={tuple(value) if isinstance(value, list) else value}"
        for name, value in model.items()
        if name in config.model and value != config.model[name] and (ours is None or shapes(**{name: value}) != ours)
    ]
    raise UserError(f"--init_from={other} has another model than --config: it takes {', '.join(flags) or model}")


_CARRIED = ("builder", "labels", "digest", "licence", "counts", "imported", "begun_from")
"""Of source.json, what is told of a model that another one began from."""


def _keep_examples(workdir: Path, data: PreparedData, codec: Any) -> None:
    """Keeps test examples that the codec takes, evenly spread over the split."""
    fits = {split: np.flatnonzero(codec.lengths(lengths)) for split, lengths in data.lengths.items()}
    split = "test" if len(fits.get("test", ())) else "train"
    count = len(fits[split])
    rows = fits[split][np.unique(np.linspace(0, count - 1, min(EXAMPLES, count)).astype(int))]
    arrays: dict[str, Any] = {}
    for number, row in enumerate(rows):
        for name, value in data.example(split, row).items():
            arrays[f"{number:04d}/{name}"] = np.asarray(value)
    partial = workdir / "examples.partial.npz"
    np.savez_compressed(partial, **arrays)
    partial.replace(workdir / "examples.npz")


def examples(workdir: Path) -> list[dict[str, Any]]:
    """The examples that the workdir keeps, as its data set stored them.

    Raises:
      UserError: examples.npz is missing or damaged, or holds what no example does: objects, numbers that are not
        finite, or far more than it is large.
    """
    path, found = workdir / "examples.npz", dict[str, dict[str, Any]]()
    if not path.exists():
        made = next((made for made in ("imported", "unpacked") if made in _source(workdir)), None)
        why = f"{workdir} was {made} without examples" if made else f"{path} is missing"
        raise UserError(f"{why}: give --input or --data_dir")
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > _MOST_UNPACKED:
                raise ValueError(f"it unpacks to more than {_MOST_UNPACKED:,} bytes")
            for member in archive.infolist():
                number, name = member.filename.removesuffix(".npy").split("/", 1)
                value = _array(archive.read(member))
                found.setdefault(number, {})[name] = value.item() if value.ndim == 0 else value
    except _DAMAGE as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{path} cannot be read ({reason}): give --input or --data_dir instead") from None
    return [found[number] for number in sorted(found)]


_MOST_UNPACKED = 256 << 20
_DAMAGE: tuple[type[Exception], ...] = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    SyntaxError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
)
_DAMAGE += (zipfile.BadZipFile, zlib.error, tokenize.TokenError)  # the last of a header with an open bracket


def _array(content: bytes) -> np.ndarray:
    """An array of numbers or texts from the content of an .npy; raises ValueError where it is none."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(file)
    # numpy would make room for what the header claims before it finds that it is not there.
    if math.prod(shape) * dtype.itemsize != len(content) - file.tell() or dtype.kind not in "biufUS":
        raise ValueError(f"an array of {dtype} with the shape {shape} that is not there")
    value = np.load(io.BytesIO(content), allow_pickle=False)
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise ValueError("numbers that are not finite")
    return value
