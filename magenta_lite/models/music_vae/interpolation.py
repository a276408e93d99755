"""Ways between two slices, in the latent space and in data space, and what is measured of them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from magenta_lite.models.music_vae.codec import Codec
from magenta_lite.models.music_vae.language_model import LanguageModel
from magenta_lite.nn.latent import slerp

POINTS = np.round(np.linspace(0, 1, 11), 1)
"""t of the points of a way."""

Arrays = dict[str, NDArray]


def symbols(codec: Codec, arrays: Arrays) -> NDArray[np.int64]:
    """The events of a slice as numbers [T, S]: classes of each stream, or the set of drums that are hit, as bits."""
    if codec.arrays == "tokens":
        return arrays["tokens"].astype(np.int64)
    hits = arrays["roll"] if codec.arrays == "roll" else arrays["groove"][:, : arrays["groove"].shape[1] // 3] > 0.5
    return (hits.astype(np.int64) << np.arange(hits.shape[1])).sum(axis=1)[:, None]


def spherical(first: NDArray, second: NDArray) -> NDArray:
    """z [points, Z] on the spherical way from one to the other."""
    return np.stack([slerp(first, second, float(t)) for t in POINTS])


def mixed(first: Arrays, second: Arrays, t: float, uniform: NDArray[np.floating]) -> Arrays:
    """Each step of the one or, with probability t, of the other, all streams together; uniform [T], in 0 to 1."""
    chosen = uniform < t
    return {
        name: np.where(chosen.reshape(-1, *[1] * (value.ndim - 1)), second[name], value)
        for name, value in first.items()
    }


def hamming(some: NDArray[np.integer], others: NDArray[np.integer]) -> NDArray[np.float64]:
    """Share of places, 0 to 1, at which symbols [..., T, S] differ: [...]."""
    return (some != others).mean(axis=(-2, -1))


def ways(path: NDArray[np.integer], ends: NDArray[np.integer]) -> dict[str, list[float]]:
    """Mean distances of slices on the way: symbols path [P, points, T, S], ends [P, 2, T, S]."""
    neighbours = hamming(path[:, 1:], path[:, :-1]).mean(axis=0)
    return {
        "hamming_first": hamming(path, ends[:, :1]).mean(axis=0).tolist(),
        "hamming_second": hamming(path, ends[:, 1:]).mean(axis=0).tolist(),
        "hamming_step": neighbours.tolist(),
    }


def cost(models: list[LanguageModel], slices: NDArray[np.integer]) -> NDArray[np.float64]:
    """Nats a step of slices [..., T, S], by a language model of each stream: [...]."""
    *many, steps, streams = slices.shape
    flat = slices.reshape(-1, steps, streams)
    return np.sum([model.nats(flat[..., i]).mean(axis=1) for i, model in enumerate(models)], axis=0).reshape(many)


def relative(costs: NDArray[np.float64], ends: NDArray[np.float64]) -> list[float]:
    """At each point the mean cost of P ways over the mean of their ends', weighted as they are near.

    A ratio of means, so that no way with cheap ends weighs more. costs: [P, points]; ends: [P, 2], above 0.
    """
    expected = (1 - POINTS) * ends[:, :1] + POINTS * ends[:, 1:]
    return (costs.mean(axis=0) / expected.mean(axis=0)).tolist()


def nearer(first: Arrays, second: Arrays, t: float, names: tuple[str, ...]) -> dict[str, Any]:
    """What the end that is nearer to t is told, of the names."""
    return {name: (first if t < 0.5 else second)[name] for name in names}
