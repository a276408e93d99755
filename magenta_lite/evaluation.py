"""What a model scores on a split of prepared data, and which examples its samples are held against. Any family."""

import dataclasses
import importlib
import importlib.util
import inspect
import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from magenta_lite import models, pipeline, workdirs
from magenta_lite.errors import Rejected, UserError
from magenta_lite.sampler import Sampler

Tell = Callable[[str], None]
"""Takes a line about what is being done."""

SAMPLES = 1000
"""Drawn where nothing is asked for; a family may have another number, of the same name."""

EVALUATED = """EVALUATED

step: of the checkpoint. seed: of the noise of z. data, split: what was scored. examples: how many, all of the split but
the refused ones. refused: how many the model's codec does not take, by reason. own_data: whether the model was trained
on that data set; drawings or pieces of other data are brought to its units before they are scored and compared, unless
an imported model says that they are in its units. Of an imported model the likelihood alone is told: samples are held
against the data a model was trained on, which an import has not."""


class Split:
    """One split of prepared data as the model of a sampler takes it.

    rows: numbers of the examples that the codec takes, ascending. refused: {reason: how many others}. own: whether it
    is the data that the model was trained on; of data in other units, examples are adapted to the units of that.
    """

    def __init__(self, sampler: Sampler, folder: str, name: str):
        """Raises UserError: no data, or of another kind, no such split, no example taken, or unknown classes."""
        config, self.codec = sampler.config, sampler.codec
        self.data = pipeline.PreparedData(folder, config.data.build if folder == config.data.dir else "")
        self.codec.check(self.data)
        self.name = name
        if name not in self.data.lengths:
            raise UserError(f"--split={name}: {folder} has {', '.join(self.data.lengths)}")
        unknown = sorted(set(self.data.labels) - set(self.codec.labels))
        if "label" in sampler.conditions and unknown:
            raise UserError(f"{folder} has the class {unknown[0]}, which the model was not told of")
        self.own = self.data.source.get("digest") == workdirs.data_digest(sampler.workdir)
        self._as_is = self.own or workdirs.same_units(sampler.workdir, self.data.source)
        self.lengths = self.codec.lengths(self.data.lengths[name])
        self.rows = np.flatnonzero(self.lengths)
        if not len(self.rows):
            raise UserError(f"--split={name}: {folder} has no example there that the model takes")
        others = map(self.codec.encode, self.examples(np.flatnonzero(self.lengths == 0)))
        self.refused = Counter(one.reason if isinstance(one, Rejected) else "length is stored as 0" for one in others)

    def example(self, row: int) -> dict[str, Any]:
        """The example of that number, in the units of the data that the model was trained on."""
        example = self.data.example(self.name, int(row))
        return example if self._as_is else self.codec.adapt(example)

    def examples(self, rows: NDArray) -> Iterator[dict[str, Any]]:
        """The examples of these numbers, one by one."""
        return (self.example(row) for row in rows)

    def choose(self, count: int, seed: int, leave_out: NDArray | None = None) -> NDArray:
        """Numbers of `count` examples at random, or of all; in random order, each once, none that is left out."""
        rows = self.rows if leave_out is None else np.setdiff1d(self.rows, leave_out)
        return np.random.default_rng([seed, 4]).permutation(rows)[:count]

    def batches(self, batch_size: int, buckets: int) -> Iterator[pipeline.Batch]:
        """Every example once, shortest first; the last batch is filled up."""
        lengths = pipeline.bucket_lengths(self.lengths[self.rows], buckets)

        def encode(example: dict[str, Any]) -> Any:
            return self.codec.encode(example if self._as_is else self.codec.adapt(example))

        return pipeline.evaluation_batches(self.data, self.name, encode, self.lengths, batch_size, lengths)


def evaluated(
    workdir: str,
    *,
    split: str = "test",
    checkpoint: str = "best",
    data_dir: str | None = None,
    samples: int | None = None,
    temperature: float = 1.0,
    seed: int = 0,
    tell: Tell = lambda line: None,
) -> dict[str, Any]:
    """All that evaluate.py prints of a run, and compare.py of several, as a tree that JSON has; EVALUATED says what.

    Raises:
      UserError: no such run, checkpoint or split, or samples are to be held against training data that is not there.
    """
    player = Sampler(Path(workdir), checkpoint)
    config = player.config
    imported = workdirs.origin(player.workdir)
    if imported and data_dir is None:
        raise UserError(f"{workdir} was imported without data: give --data_dir, prepared data to score it on")
    if imported and samples:
        raise UserError(
            f"--samples={samples}: {workdir} was imported, and samples are compared with the data a model was trained "
            "on, which is not there: leave it out"
        )
    held = Split(player, data_dir or config.data.dir, split)
    family = of_family(config.family) if samples != 0 and not imported else None
    count = getattr(family, "SAMPLES", SAMPLES) if samples is None else samples
    training = Split(player, config.data.dir, "train") if family else None
    if training and not training.own:
        raise UserError(
            f"{config.data.dir} is not the data that {workdir} was trained on, which samples are compared with: "
            "prepare that again, or leave samples out with --samples=0"
        )
    result: dict[str, Any] = {
        "evaluated": {
            "workdir": workdir,
            "family": config.family,
            "step": player.step,
            "seed": seed,
            "data": str(held.data.folder),
            "own_data": held.own,
            "split": split,
            "examples": len(held.rows),
            "refused": dict(held.refused),
        }
    }
    result["likelihood"], result["standard_error"] = scored(player, held, seed=seed, tell=tell)
    if family and training:
        rows = held.choose(count, seed)
        others = training.choose(len(training.rows), seed, leave_out=rows if held.own and split == "train" else None)
        result |= family.samples(
            player,
            list(held.examples(rows)),
            training.examples(others),
            count=count,
            temperature=temperature,
            seed=seed,
            tell=tell,
        )
    return plain(result)


@dataclasses.dataclass(frozen=True)
class Measured:
    """A mean over a whole split, and its standard error: how far it would vary with other examples of the same kind."""

    value: float
    error: float


def scored(sampler: Sampler, split: Split, *, seed: int, tell: Tell = lambda line: None) -> tuple[dict, dict]:
    """Likelihoods of a split and their standard errors, two trees of the same names; exact numbers have no error.

    By the family's own likelihood(sampler, examples, *, seed, tell) -> {protocol: {name: number | (totals, weights)}},
    where its evaluation.py has one: totals and weights [n] of independent units, whose ratio is the number. Else all
    examples are encoded whole and given to the model, by `likelihood`.
    """
    module, config = of_family(sampler.config.family), sampler.config
    if module and hasattr(module, "likelihood"):
        groups = module.likelihood(sampler, split.examples(split.rows), seed=seed, tell=tell)
        found = {
            protocol: {name: _ratio(np.stack(one)) if isinstance(one, tuple) else one for name, one in numbers.items()}
            for protocol, numbers in groups.items()
        }
    else:
        batches = split.batches(config.batch_size, config.buckets)
        found = {"": likelihood(sampler.model, batches, seed=seed, tell=tell)}
    values = {
        protocol: {name: one.value if isinstance(one, Measured) else one for name, one in numbers.items()}
        for protocol, numbers in found.items()
    }
    errors = {
        protocol: {name: one.error for name, one in numbers.items() if isinstance(one, Measured) and one.error != 0}
        for protocol, numbers in found.items()
    }
    return values.get("", values), errors.get("", errors)


def likelihood(
    model: Any, batches: Iterator[pipeline.Batch], *, seed: int, tell: Tell = lambda line: None
) -> dict[str, Measured]:
    """Every metric of model(..., train=False) over all examples: sum of totals / sum of weights, summed in float64.

    The key of an example is made from its place among all, so that batches of another size give the same result. The
    standard error is that of a ratio, sqrt(n / (n - 1) * sum((total - value * weight)^2)) / sum(weight); a single
    example has none.
    """
    graph, state = nnx.split(model)

    @jax.jit
    def measure(state: nnx.State, batch: pipeline.Batch, first: int) -> dict[str, Any]:
        numbers = first + jnp.arange(len(batch["real"]))
        keys = jax.vmap(lambda number: jax.random.fold_in(jax.random.key(seed), number))(numbers)
        return nnx.merge(graph, state)(batch, keys=keys, step=jnp.int32(0), train=False)

    pairs: dict[str, list[NDArray]] = {}
    done, told = 0, 0
    for batch in batches:
        real = batch["real"] > 0
        for name, pair in jax.device_get(measure(state, batch, done)).items():
            pairs.setdefault(name, []).append(np.stack(pair)[:, real].astype(np.float64))
        done += int(real.sum())
        if done >= 2 * max(told, 500):
            tell(f"{done:,} examples scored")
            told = done
    return {name: _ratio(np.concatenate(parts, axis=1)) for name, parts in pairs.items()}


def _ratio(pairs: NDArray[np.float64]) -> Measured:
    """Of totals and weights [2, n]."""
    (total, weight), count = pairs, pairs.shape[1]
    value = total.sum() / weight.sum() if weight.sum() else math.nan
    if count < 2 or not weight.sum():
        return Measured(float(value), math.nan)
    spread = np.sqrt(count / (count - 1) * np.square(total - value * weight).sum())
    return Measured(float(value), float(spread / weight.sum()))


def of_family(family: str) -> ModuleType | None:
    """The family's evaluation.py, which says what its samples are like; None where it has none.

    It has a function samples(sampler, examples, training, *, count, temperature, seed, tell) -> {group: {name:
    number}}: examples is a list of examples of the split, training an iterator of others in random order. It may have
    `likelihood`, see `scored`; SAMPLES, how many to draw where nothing is asked for; and DEFINITIONS, titles and what
    they stand for, whose docstrings define some of the numbers.
    """
    name = f"{models.family(family).__name__}.evaluation"
    return importlib.import_module(name) if importlib.util.find_spec(name) else None


def definitions(family: str) -> str:
    """What every number of a family means, from the docstrings that define them."""
    module = of_family(family)
    if hasattr(module, "likelihood"):
        told: list[tuple[str, Any]] = [("THE OTHER GROUPS", module)]
    else:
        told = [
            ("LIKELIHOOD AND STANDARD_ERROR", likelihood),
            ("THE METRICS OF THE LIKELIHOOD", models.family(family).Model.__call__),
            *([("THE OTHER GROUPS", module)] if module else []),
        ]
    told += getattr(module, "DEFINITIONS", ())
    return "\n\n".join([EVALUATED, *(f"{title}\n\n{inspect.getdoc(defined) or ''}" for title, defined in told)])


def plain(value: Any) -> Any:
    """A tree of numbers as JSON has them: floats of six digits, and null for those that are not finite."""
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
