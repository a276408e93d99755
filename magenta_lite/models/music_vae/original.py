"""The original's weights, by the names of its TensorFlow variables: into a model, out of it, and which has them."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from magenta_lite.models.music_vae.description import config_in, described, recognised
from magenta_lite.models.music_vae.model import Model
from magenta_lite.models.music_vae.variables import variables

__all__ = ["config_in", "described", "load", "recognised", "weights"]

Weights = Mapping[str, NDArray]


def load(model: Model, weights: Weights) -> None:
    """Sets the model's weights, or their shapes, to an original one's of these shapes, by the names of its variables.

    Raises:
      KeyError: a variable is missing.
      ValueError: one has another shape.
      UserError: the model is one that the original's names do not hold.
    """
    for variable in variables(model):
        value = np.asarray(weights[variable.name])
        if value.shape != variable.shape:
            raise ValueError(f"{variable.name}: expected {variable.shape}, found {value.shape}")
        if variable.single is not None:
            value = value.squeeze(variable.single)
        first = 0
        for part in variable.parts:
            part.set_value(jnp.asarray(value[first : first + part.shape[0]], np.float32))
            first += part.shape[0]


def weights(model: Model) -> dict[str, NDArray[np.float32]]:
    """The model's weights as the original's variables: the way back from `load`.

    Raises:
      UserError: the model is one that the original's names do not hold.
    """
    found = {}
    for variable in variables(model):
        value = np.concatenate([np.asarray(part[...], np.float32) for part in variable.parts])
        found[variable.name] = value if variable.single is None else np.expand_dims(value, variable.single)
    return found
