"""Model families: one folder each, with a Codec (host) and a Model (device). The folder is the registration."""

import importlib
import inspect
import math
import pkgutil
from types import ModuleType
from typing import Any

import jax
from flax import nnx

from magenta_lite.errors import UserError, nearest
from magenta_lite.options import check_types

MOST_PARAMETERS = 10**11
"""With an optimizer's state, more than a terabyte."""

MOST_LAYERS = 32
"""To describe a model of thousands takes minutes, whatever their size."""


def family(name: str) -> ModuleType:
    """The module of a family, with its Codec and Model.

    Raises:
      UserError: no family of that name.
    """
    families = [module.name for module in pkgutil.iter_modules(__path__) if module.ispkg]
    if name not in families:
        raise UserError(f"config.family={name!r} is no family: {nearest(name, families)}")
    return importlib.import_module(f"{__name__}.{name}")


def build(config: Any, codec: Any) -> Any:
    """The model that a config describes, with fresh parameters from config.seed.

    Raises:
      UserError: config.model has a field that the family's Model does not take, or a value that it refuses.
    """
    # One compiled program: parameter by parameter, initialising takes seconds.
    model, options = _described(config)
    graph, state = _initialise(model, codec, options, config.seed)
    return nnx.merge(graph, state)


def check(config: Any, codec: Any) -> None:
    """Raises the UserError that build would, without making any array; also where there are too many parameters."""
    outline(config, codec)


def outline(config: Any, codec: Any) -> Any:
    """The model that a config describes, with shapes in the place of parameters; raises as `check` does."""
    model, options = _described(config)
    described = nnx.eval_shape(lambda: model(codec, rngs=nnx.Rngs(config.seed), **options))
    count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(described, nnx.Param)))
    if count > MOST_PARAMETERS:
        raise UserError(f"config.model has {count:.1e} parameters: expected at most {MOST_PARAMETERS:.0e}")
    return described


def _described(config: Any) -> tuple[Any, dict[str, Any]]:
    """The family's Model, and the options for it that the config gives, all known to it."""
    model = family(config.family).Model
    valid = [name for name in inspect.signature(model.__init__).parameters if name not in ("self", "codec", "rngs")]
    options = config.model.to_dict()
    for name in options:
        if name not in valid:
            raise UserError(f"config.model.{name} is no option of {config.family}: {nearest(name, valid)}")
    check_types("config.model", options, model.__init__)
    for name, value in options.items():
        if isinstance(value, list | tuple) and len(value) > MOST_LAYERS:
            raise UserError(f"config.model.{name} has {len(value):,} values: expected at most {MOST_LAYERS}")
    return model, options


def _initialise(model: Any, codec: Any, options: dict[str, Any], seed: int) -> tuple[nnx.GraphDef, nnx.State]:
    graph = None

    def make() -> nnx.State:
        nonlocal graph
        graph, state = nnx.split(model(codec, rngs=nnx.Rngs(seed), **options), nnx.Param, ...)[:2]
        return state

    state = jax.jit(make)()
    assert graph is not None
    return graph, state
