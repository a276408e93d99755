"""A model that somebody else trained, and the workdir that is made of it."""

import dataclasses
import importlib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from ml_collections import ConfigDict
from numpy.typing import NDArray

from magenta_lite import config as configs
from magenta_lite import models, workdirs
from magenta_lite.checkpoint import Checkpoints
from magenta_lite.errors import UserError, plain
from magenta_lite.training import State


@dataclasses.dataclass(frozen=True)
class Imported:
    """What an importer found out about a model, before anything is written.

    family: "sketch_rnn", ... codec: the family's Codec, whole. model: options of the family's Model; those left out
    have its defaults. weights: by the names of the original's variables, as models/FAMILY/original.py knows them.
    source: what is known of where it comes from, for source.json: "file", "format", and, if known, "name", "steps",
    "data", "licence", "loss". load: what sets a model's parameters to the weights, where they have other names than the
    original's.
    """

    family: str
    codec: Any
    model: dict[str, Any]
    weights: Mapping[str, NDArray]
    source: dict[str, Any]
    load: Callable[[Any, Mapping[str, NDArray]], None] | None = None

    @property
    def step(self) -> int:
        """How long it was trained, where that is known; else 0."""
        return int(self.source.get("steps", 0))


def write(imported: Imported, workdir: Path) -> int:
    """Makes a workdir, whole or not at all, and returns the number of its parameters.

    It is like that of a run but for examples and data, which nobody has: `--input` or `--data_dir` give them.

    Raises:
      UserError: the workdir is there already or cannot be written, or the weights do not fit the model.
    """
    workdirs.need_free(workdir)
    codec = dataclasses.asdict(imported.codec)
    if codec != _printable(codec):
        raise UserError(f"{imported.source['file']}: a name holds what cannot be printed: give another --name")
    config = _config(imported)
    model = _blank(config, imported.codec)
    load = imported.load
    if load is None:
        load = importlib.import_module(f"magenta_lite.models.{imported.family}.original").load
    try:
        load(model, imported.weights)
    except KeyError as error:
        raise UserError(f"{imported.source['file']}: the variable {error} is missing") from None
    except ValueError as error:
        raise UserError(f"{imported.source['file']}: a variable does not fit ({error})") from None
    parameters = nnx.state(model, nnx.Param)
    bad = [leaf for leaf in jax.tree.leaves(parameters) if not bool(jnp.isfinite(leaf).all())]
    if bad:
        raise UserError(f"{imported.source['file']}: {len(bad)} of its variables hold numbers that are not finite")
    with workdirs.whole(workdir) as partial:
        configs.write_json({"imported": _printable(imported.source)}, partial / "source.json")
        configs.write_json(codec, partial / "codec.json")
        configs.save(config, partial / "config.json")
        checkpoints = Checkpoints(partial, 1)
        # No optimizer's state: nobody has it, and training begins anew, by --init_from.
        checkpoints.save_best(State(parameters, (), jnp.asarray(imported.step, jnp.int32)), 0.0)
        checkpoints.close()
    return sum(leaf.size for leaf in jax.tree.leaves(parameters))


def _printable(value: Any) -> Any:
    """The same with texts on one line; a file's name may be no text at all, and then JSON could not be read again."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict):
        return {_printable(name): _printable(one) for name, one in value.items()}
    return type(value)(map(_printable, value)) if isinstance(value, list | tuple) else value


def _blank(config: ConfigDict, codec: Any) -> Any:
    """The model with NaN for every parameter: drawing weights that are replaced takes minutes for a large one.

    What the weights leave out is then found as not finite.
    """
    graph, state = nnx.split(models.outline(config, codec))
    return nnx.merge(graph, jax.tree.map(lambda leaf: jnp.asarray(np.full(leaf.shape, np.nan, leaf.dtype)), state))


def _config(imported: Imported) -> ConfigDict:
    """A config with everything in it that training and sampling ask of one."""
    family = models.family(imported.family)
    known = {
        name: parameter.default
        for name, parameter in inspect.signature(family.Model.__init__).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    fields = {
        "family": imported.family,
        "seed": 0,
        "num_steps": max(imported.step, 1),
        "batch_size": 64,
        "buckets": 1,
        "log_every": 20,
        "evaluate_every": 500,
        "save_every": 500,
        "keep_checkpoints": 1,
        "on_nan": "stop",
        "nan_limit": 10,
        "data": {"dir": "imported", "build": ""},
        "codec": {},
        "model": known | imported.model,
        "optimizer": {
            "learning_rate": 1e-3,
            "min_learning_rate": 1e-5,
            "decay_rate": 0.9999,
            "clip_value": 0.0,
            "clip_norm": 1.0,
        },
    }
    return ConfigDict(fields)
