"""A trained model from its workdir, ready to play: batches of samples, posteriors, and the examples to start from."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from magenta_lite import config as configs
from magenta_lite import models, pipeline, workdirs
from magenta_lite.checkpoint import restore_parameters
from magenta_lite.errors import Rejected, UserError

CHUNK = 4096
"""Samples drawn by one call of the program at most; more are drawn in chunks, with the same result."""

READ_CHUNK = 512
"""Examples of which one call finds the posterior: an encoder keeps what it says at every step."""

NAMED = 10
"""Examples that are named as they are left out; of more it is told how many."""

Arrays = dict[str, NDArray]

_NO_EXAMPLE = (LookupError, TypeError, ValueError, ArithmeticError, AttributeError)
"""What codecs make of kept examples that are none: they expect what their data sets hold."""


class Sampler:
    """The model of a workdir at one checkpoint.

    has_latent: whether posterior can be asked for. conditions: names of what the model was told in training ("label").
    keeps_examples: whether the workdir has examples to start from; imports have none.
    """

    def __init__(self, workdir: Path, checkpoint: str = "best"):
        """Reads the workdir alone; raises UserError where it is none, or has no such checkpoint."""
        self.workdir = Path(workdir)
        self.config = configs.load(self.workdir / "config.json")
        self.codec = workdirs.load_codec(self.workdir, self.config)
        # Parameters are made by reading them: what a config only claims takes no memory.
        self.model = models.outline(self.config, self.codec)
        self.step = restore_parameters(self.workdir, checkpoint, self.model)
        self.has_latent: bool = self.model.has_latent
        self.conditions: tuple[str, ...] = self.model.conditions
        self.keeps_examples = (self.workdir / "examples.npz").exists()
        graph, self._state = nnx.split(self.model)
        self._sample, self._posterior = _programs(graph)

    def sample(
        self,
        count: int,
        *,
        seed: int,
        temperature: float | NDArray,
        z: NDArray | None = None,
        prime: list[Arrays] | None = None,
        condition: Arrays | None = None,
        same_noise: bool = False,
        at_once: int | None = None,
        **more: Any,
    ) -> list[Arrays]:
        """Draws `count` samples; sample i depends on (seed, i) and its own inputs alone.

        temperature: >= 0, one for all or [count]. z: [count, Z] or None for the prior. prime: encoded beginnings, one
        for each, or none. condition: {name: [count, ...]}. same_noise: all draw the same noise, so that only inputs
        differ. at_once: samples drawn by one call at most (CHUNK). more: what else the family's model takes: arrays
        [count] and None are handed on row by row, other values become a part of the program.
        """
        numbers = jnp.zeros(count, jnp.int32) if same_noise else jnp.arange(count)
        keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(seed), i))(numbers)
        options: dict[str, Any] = {
            "temperature": np.broadcast_to(np.asarray(temperature, np.float32), (count,)),
            "z": z,
            "prime": _stack(prime) if prime else None,
            "condition": condition or None,
        }
        options |= {name: value for name, value in more.items() if value is None or isinstance(value, np.ndarray)}
        fixed = tuple(sorted((name, value) for name, value in more.items() if name not in options))
        chunk = min(at_once or CHUNK, CHUNK)
        samples: list[Arrays] = []
        for start in range(0, count, chunk):
            rows = np.arange(start, min(start + chunk, count))
            size = _size(len(rows))
            rows = np.concatenate([rows, np.full(size - len(rows), rows[0])])
            part = jax.tree.map(lambda array, rows=rows: jnp.asarray(array)[rows], options)
            drawn = jax.device_get(self._sample(self._state, keys[rows], part, *([fixed] if fixed else [])))
            for i in range(min(chunk, count - start)):
                samples.append({name: array[i] for name, array in drawn.items()})
        return samples

    def posterior(self, encoded: list[Arrays]) -> tuple[NDArray, NDArray]:
        """Mean and log variance of z for encoded examples, each [n, Z].

        Raises:
          UserError: the model has no latent space.
        """
        self.need_latent()
        parts = []
        for start in range(0, len(encoded), READ_CHUNK):
            part = encoded[start : start + READ_CHUNK]
            batch = _stack(part, rows=1 << int(len(part) - 1).bit_length())
            mean, log_var = jax.device_get(self._posterior(self._state, batch))
            parts.append((mean[: len(part)], log_var[: len(part)]))
        means, log_vars = zip(*parts, strict=True)
        return np.concatenate(means), np.concatenate(log_vars)

    def need_latent(self) -> None:
        """Raises UserError where the model has no latent space."""
        if not self.has_latent:
            raise UserError(f"the model in {self.workdir} is decoder-only: it has no latent space for this mode")

    def starting_examples(
        self, *, input: str | None, items: list[int] | None, data_dir: str | None, split: str, count: int
    ) -> list[tuple[dict[str, Any], Arrays]]:
        """(example, its encoding) of what a person gave, or of examples the workdir keeps.

        input: a file that the codec reads. data_dir: prepared data whose `split` to take from. items: which ones, by
        number from 0; default `count` of them, evenly spread.

        Raises:
          UserError: there are none, no such number, or one cannot be encoded; names it and the reason.
        """
        available, get = self._source(input, data_dir, split, skip=items is None)
        found, left_out = [], 0
        for i in _spread(available, count) if items is None else items:
            if not 0 <= i < available:
                raise UserError(f"--items={i}: {input or data_dir or self.workdir} has {available}, numbered from 0")
            name, example = get(i)
            try:
                encoded = example if isinstance(example, Rejected) else self.codec.encode(example)
            except _NO_EXAMPLE as error:
                if input is not None or data_dir is not None:
                    raise
                raise UserError(
                    f"{self.workdir / 'examples.npz'}: example {i} is damaged ({type(error).__name__}: {error}): give "
                    "--input or --data_dir instead"
                ) from None
            if not isinstance(encoded, Rejected):
                found.append((example, encoded))
            elif items is not None:
                raise UserError(f"{name}: {encoded.reason}")
            else:
                left_out += 1
                if left_out <= NAMED:
                    print(f"{name} is left out: {encoded.reason}")
        if left_out > NAMED:
            print(f"and {left_out - NAMED:,} more are left out")
        if not found:
            raise UserError(f"{input or data_dir or self.workdir} holds no example to start from")
        return found

    def _source(
        self, input: str | None, data_dir: str | None, split: str, skip: bool
    ) -> tuple[int, Callable[[int], tuple[str, Any]]]:
        """How many examples there are, and one by its number; skip: tell of those of a file that cannot be read."""
        if input is not None and data_dir is not None:
            raise UserError("--input and --data_dir both say where to start from: give one of them")
        if data_dir is not None:
            data = pipeline.PreparedData(data_dir)
            self.codec.check(data)
            if split not in data.lengths:
                raise UserError(f"--split={split}: {data_dir} has {', '.join(data.lengths)}")
            ours = workdirs.same_units(self.workdir, data.source)

            def stored(i: int) -> tuple[str, Any]:
                example = data.example(split, i)
                return example["name"], example if ours else self.codec.adapt(example)

            return len(data.lengths[split]), stored
        if input is None:
            source = [(str(example.get("name", "")), example) for example in workdirs.examples(self.workdir)]
        else:
            source = list(self.codec.read(input))
        if skip:
            for name, example in source:
                if isinstance(example, Rejected):
                    print(f"{name} is left out: {example.reason}")
            source = [(name, example) for name, example in source if not isinstance(example, Rejected)]
        return len(source), source.__getitem__


@functools.lru_cache(16)
def _programs(graph: nnx.GraphDef) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The compiled sample and posterior, the same for all models of one graph."""
    sample = jax.jit(
        lambda state, keys, options, fixed=(): nnx.merge(graph, state).sample(keys, **options, **dict(fixed)),
        static_argnums=3,
    )
    return sample, jax.jit(lambda state, batch: nnx.merge(graph, state).posterior(batch))


def _spread(available: int, count: int) -> list[int]:
    """`count` numbers evenly spread over those available, or all of them."""
    return sorted(set(np.linspace(0, max(available - 1, 0), min(count, available)).astype(int).tolist()))


def _size(count: int) -> int:
    """What `count` samples are filled up to: few sizes, so that few programs serve every count, and little waste."""
    return 1 << int(count - 1).bit_length() if count <= 64 else -(-count // 8) * 8


def _stack(encoded: list[Arrays], rows: int | None = None) -> Arrays:
    """Encoded examples as one batch, padded to a multiple of 32 steps: few lengths, few programs."""
    longest = max(len(value) for example in encoded for value in example.values() if np.ndim(value))
    return pipeline.collate(encoded, -(-longest // 32) * 32, rows)
