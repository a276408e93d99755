"""Weights as safetensors: float32 by the names of this project's parameters, and all else that a reader needs.

The file is written here, one array at a time, so that the same model gives the same bytes (the library writes the
metadata in any order) and a model larger than the host's memory can be written; the library reads it.
"""

import contextlib
import importlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
from flax import nnx

from magenta_lite import config as configs
from magenta_lite import models, workdirs
from magenta_lite.checkpoint import VERSION
from magenta_lite.errors import UserError, nearest, plain
from magenta_lite.files import writing
from magenta_lite.interop import provenance
from magenta_lite.interop.imported import Imported
from magenta_lite.sampler import Sampler

NAMES = ("own", "original")
_ALIGNED = 8
_MOST_METADATA = 4 << 20
"""Letters of config and codec: far more than any has."""


def export(player: Sampler, out: Path, *, names: str = "own") -> None:
    """One file: the weights, float32, and in its metadata the family, config, codec, step and the data's licence.

    --names  own: paths of the parameters, which docs/safetensors.md lists; original: those of the TensorFlow variables
    """
    if names not in NAMES:
        raise UserError(f"--names={names}: {nearest(names, NAMES)}")
    tensors = named(player.model) if names == "own" else _original(player)
    write(out, tensors, metadata(player) | {"names": names})


def named(model: nnx.Module) -> dict[str, Any]:
    """The parameters of a model by their paths, joined by dots: decoder.w_xh, layers.0.bias."""
    leaves = jax.tree_util.tree_leaves_with_path(nnx.to_pure_dict(nnx.state(model, nnx.Param)))
    return {".".join(str(getattr(key, "key", key)) for key in path): leaf for path, leaf in leaves}


def metadata(player: Sampler) -> dict[str, str]:
    """What is written beside the weights, texts by name; config and codec as JSON."""
    units = {name: value for name, value in workdirs.units(player.workdir).items() if isinstance(value, str)}
    return {
        "format": "magenta_lite",
        "version": VERSION,
        "family": player.config.family,
        "step": str(player.step),
        "config": json.dumps(player.config.to_dict(), sort_keys=True),
        "codec": json.dumps(configs.read_json(player.workdir / "codec.json"), sort_keys=True),
        "trained_on": provenance.trained_on(player.workdir),
        "licence_of_data": provenance.licence(player.workdir),
        "units_of": json.dumps(units, sort_keys=True),
    }


def write(path: Path, tensors: Mapping[str, Any], texts: Mapping[str, str]) -> None:
    """Writes arrays, of any device, as float32 in the order of their names.

    Raises:
      UserError: a number is not finite, which `read` would refuse, or the file cannot be written.
    """
    for name in tensors:
        value = np.asarray(tensors[name])
        # Extremes instead of a mask, which would take memory; NaN is one, too.
        if not np.isfinite([value.min(initial=0), value.max(initial=0)]).all():
            raise UserError(f"the array {name} of the model holds numbers that are not finite: nothing was written")
    header: dict[str, Any] = {"__metadata__": dict(texts)}
    end = 0
    for name in sorted(tensors):
        begin, end = end, end + 4 * int(np.prod(tensors[name].shape, dtype=np.int64))
        header[name] = {"dtype": "F32", "shape": list(tensors[name].shape), "data_offsets": [begin, end]}
    content = json.dumps(header, separators=(",", ":")).encode()
    content += b" " * (-len(content) % _ALIGNED)
    with writing(path) as file:
        file.write(len(content).to_bytes(8, "little"))
        file.write(content)
        for name in sorted(tensors):
            # In C's order, whatever the device's: a copy is made where that differs, and of one array at a time.
            file.write(np.ascontiguousarray(np.asarray(tensors[name]), "<f4").data)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The file as the library reads it: keys(), get_slice(name), get_tensor(name), metadata().

    Raises:
      UserError: it is no safetensors file, or damaged, in here or wherever the block finds that.
    """
    try:
        with safetensors.safe_open(path, framework="np") as file:
            yield file
    except (safetensors.SafetensorError, OSError, EOFError) as error:
        reason = plain(getattr(error, "strerror", None) or str(error))[:200]
        raise UserError(f"{path} is no whole safetensors file ({reason}): expected one that `export` wrote") from None


def fill(model: nnx.Module, path: Path) -> None:
    """Sets all parameters of a model, or their shapes, from a file with own names.

    Raises:
      UserError: it is damaged, or its arrays are not those of this model; names the first.
    """
    wanted = {name: tuple(leaf.shape) for name, leaf in named(model).items()}
    with opened(path) as file:
        _compare(path, wanted, file)
        _, state = nnx.split(model, nnx.Param)
        leaves, tree = jax.tree.flatten(state)
        assert len(leaves) == len(wanted)
        values = [jnp.asarray(_finite(path, name, file.get_tensor(name))) for name in wanted]
        nnx.update(model, jax.tree.unflatten(tree, values))


def read(path: Path) -> Imported:
    """A .safetensors that `export` wrote, of any family, with own or original names: config and codec are in it."""
    with opened(path) as file:
        texts = file.metadata() or {}
        if texts.get("format") != "magenta_lite":
            shown = ", ".join(sorted(file.keys())[:3])
            raise UserError(
                f"{path} is a safetensors file of another program (it holds {plain(shown)[:100]}): expected one that "
                "`export --format=safetensors` wrote"
            )
        config, codec, model = _described(path, texts)
        shapes = {name: tuple(leaf.shape) for name, leaf in named(model).items()}
        own = texts.get("names", "own") == "own"
        if own:
            _compare(path, shapes, file)
        for name in file.keys():  # noqa: SIM118
            # Kinds that numpy does not have cannot even be asked for.
            if (dtype := file.get_slice(name).get_dtype()) != "F32":
                raise UserError(f"{path}: {plain(name)[:100]} is {plain(str(dtype))}, expected F32")
        weights = {name: _finite(path, name, file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    claimed, held = sum(map(np.prod, shapes.values())), sum(value.size for value in weights.values())
    if claimed > 2 * held:  # before any room is made for what is only claimed
        raise UserError(f"{path} describes a model of {claimed:,} parameters and holds {held:,}")
    step = texts.get("step", "0")
    source: dict[str, Any] = {"file": path.name, "format": "safetensors"}
    source["steps"] = int(step) if step.isascii() and step.isdecimal() and len(step) < 10 else 0
    source["data"] = plain(texts.get("trained_on", "unknown data"))[:500]
    source["licence"] = provenance.kept(texts.get("licence_of_data"))
    with contextlib.suppress(ValueError, RecursionError):  # a stranger's: without it, data is brought to its units
        units = json.loads(texts.get("units_of", "{}"))
        if isinstance(units, dict) and units and all(isinstance(value, str) for value in units.values()):
            source["units_of"] = units
    load = _load_own if own else None
    return Imported(config.family, codec, config.model.to_dict(), weights, source, load)


def _load_own(model: Any, weights: Mapping[str, Any]) -> None:
    _, state = nnx.split(model, nnx.Param)
    values = [jnp.asarray(weights[name]) for name in named(model)]
    nnx.update(model, jax.tree.unflatten(jax.tree.structure(state), values))


def _described(path: Path, texts: Mapping[str, str]) -> tuple[Any, Any, Any]:
    """Config and codec, by the same readers as a workdir's, and the model with shapes in the place of parameters."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("config", "codec"):
            content = texts.get(part)
            if content is None or len(content) > _MOST_METADATA:
                raise UserError(f"{path} has no {part} in its metadata: expected what `export` wrote")
            (folder / f"{part}.json").write_text(content, encoding="utf-8", errors="replace")
        try:
            config = configs.load(folder / "config.json")
            codec = workdirs.load_codec(folder, config)
            return config, codec, models.outline(config, codec)
        except UserError as error:
            raise UserError(f"{path}: {str(error).replace(f'{folder}/', '')}") from None


def _compare(path: Path, wanted: Mapping[str, tuple[int, ...]], file: Any) -> None:
    """Raises UserError unless the file's arrays are float32 of these names and shapes."""
    there = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
    if missing := sorted(wanted.keys() - there.keys()):
        raise UserError(f"{path} has no array {missing[0]}, which its config asks for")
    if others := sorted(there.keys() - wanted.keys()):
        raise UserError(f"{path} has the array {plain(others[0])[:100]}, of which its config knows nothing")
    for name, shape in wanted.items():
        found, dtype = tuple(there[name].get_shape()), there[name].get_dtype()
        if found != shape or dtype != "F32":
            raise UserError(f"{path}: {name} is {dtype} {found}, expected F32 {shape}, by its config")


def _finite(path: Path, name: str, value: Any) -> Any:
    if value.dtype != np.float32 or not np.isfinite(value).all():
        raise UserError(f"{path}: {plain(name)[:100]} holds numbers that are not finite float32")
    return value


def _original(player: Sampler) -> Mapping[str, Any]:
    family = player.config.family
    original = importlib.import_module(f"magenta_lite.models.{family}.original")
    try:
        return original.weights(player.model)
    except ValueError as error:
        raise UserError(f"--names=original: the original has no such {family} ({error}): leave the flag out") from None
