"""Ways to sample that need only the seam between codec and model, for every family. Their parameters are flags.

Each takes a Sampler and gives a Sheet. temperature: >= 0, several are compared with the same noise; 0 is greedy.
items, input, data_dir and split say which examples to start from; see Sampler.starting_examples. label: the class to
tell the model, where it was trained with classes and an example does not say one of them.
"""

import dataclasses
from typing import Any

import numpy as np

from magenta_lite.errors import UserError
from magenta_lite.nn.latent import lerp, slerp
from magenta_lite.sampler import Sampler
from magenta_lite.sheet import Item, Sheet

WAYS = {"slerp": slerp, "lerp": lerp}


def generate(
    sampler: Sampler,
    *,
    n: int = 10,
    temperature: tuple[float, ...] = (0.5,),
    seed: int = 0,
    label: list[str] | None = None,
) -> Sheet:
    """n new samples at each temperature, from the prior or the decoder alone; of each label, where trained so."""
    _at_least_one("n", n)
    choices = conditions(sampler, label)
    rows, titles = [], []
    for title, condition in choices:
        for t in temperature:
            drawn = sampler.sample(n, seed=seed, temperature=t, condition=_repeat(condition, n))
            rows.append([Item(sampler.codec.decode(arrays), label=title) for arrays in drawn])
            titles.append(" ".join(filter(None, [title, _title(t)])))
    return Sheet(rows, row_titles=titles)


def reconstruct(
    sampler: Sampler,
    *,
    n: int = 10,
    temperature: tuple[float, ...] = (0.1, 0.5),
    seed: int = 0,
    posterior: str = "mean",
    label: str | None = None,
    items: list[int] | None = None,
    input: str | None = None,
    data_dir: str | None = None,
    split: str = "test",
) -> Sheet:
    """Examples, and below each what the model makes of it at each temperature; posterior: mean, or sample."""
    if posterior not in ("mean", "sample"):
        raise UserError(f"--posterior={posterior}: expected mean or sample")
    sampler.need_latent()
    examples, encoded = _start(sampler, n, items, input, data_dir, split, label)
    mean, log_var = sampler.posterior(encoded)
    z = mean if posterior == "mean" else mean + np.exp(log_var / 2) * _noise(seed, mean.shape)
    rows = [_read(sampler, examples, encoded)]
    for t in temperature:
        rows.append(_decode(sampler, encoded, z, t, seed))
    return Sheet(rows, row_titles=["given", *map(_title, temperature)])


def interpolate(
    sampler: Sampler,
    *,
    steps: int = 10,
    way: str = "slerp",
    temperature: tuple[float, ...] = (0.1,),
    seed: int = 0,
    label: str | None = None,
    items: list[int] | None = None,
    input: str | None = None,
    data_dir: str | None = None,
    split: str = "test",
) -> Sheet:
    """The way from one example to another in `steps` samples, or a grid between four; way: slerp or lerp."""
    if way not in WAYS:
        raise UserError(f"--way={way}: expected slerp or lerp")
    if steps < 2:
        raise UserError(f"--steps={steps}: expected at least 2, the two ends")
    sampler.need_latent()
    examples, encoded = _start(sampler, 2, items, input, data_dir, split, label)
    if len(examples) not in (2, 4):
        raise UserError(f"interpolation goes between 2 examples or 4, not {len(examples)}: name them by --items=3,17")
    mean, _ = sampler.posterior(encoded)
    between, parts = WAYS[way], np.linspace(0, 1, steps)
    if len(examples) == 2:
        path = np.stack([between(mean[0], mean[1], float(t)) for t in parts])
        ends = _read(sampler, examples, encoded)
        rows = []
        for t in temperature:
            rows.append([ends[0], *_decode(sampler, _nearer(encoded, steps), path, t, seed, together=True), ends[1]])
        return Sheet(rows, row_titles=list(map(_title, temperature)))
    if len(temperature) > 1:
        raise UserError("a grid between four examples is drawn at one temperature: give one")
    grid = []
    for down in parts:
        left, right = (between(mean[i], mean[i + 2], float(down)) for i in (0, 1))
        conditions_here = _nearer([encoded[0], encoded[1]] if down < 0.5 else [encoded[2], encoded[3]], steps)
        path = np.stack([between(left, right, float(across)) for across in parts])
        grid.append(_decode(sampler, conditions_here, path, temperature[0], seed, together=True))
    return Sheet(grid)


def continue_(
    sampler: Sampler,
    *,
    n: int = 9,
    share: float = 0.4,
    latent: str = "posterior",
    temperature: tuple[float, ...] = (0.4,),
    seed: int = 0,
    label: list[str] | None = None,
    items: list[int] | None = None,
    input: str | None = None,
    data_dir: str | None = None,
    split: str = "test",
) -> Sheet:
    """n endings of a beginning, which is kept exactly: the first `share` of an example, or all of each one of --input.

    latent: z of each ending is drawn from the posterior of the beginning, or from the prior.
    """
    _at_least_one("n", n)
    if not 0 < share <= 1:
        raise UserError(f"--share={share}: expected above 0 and at most 1")
    if latent not in ("posterior", "prior"):
        raise UserError(f"--latent={latent}: expected posterior or prior")
    examples, encoded = _start(sampler, 1 if input is None else 4, items, input, data_dir, split, told=label is None)
    share = 1.0 if input is not None else share
    begun = [{name: _first(value, share) for name, value in arrays.items()} for arrays in encoded]
    rows, titles = [], []
    for example, beginning in zip(examples, begun, strict=True):
        given = max(len(value) for value in beginning.values() if np.ndim(value))
        shown = dataclasses.replace(_read(sampler, [example], [beginning])[0], given=given)
        for title, condition in conditions(sampler, label) if label else [("", _known(sampler, beginning))]:
            z = None
            if sampler.has_latent and latent == "posterior":
                mean, log_var = sampler.posterior([beginning | condition])
                z = mean + np.exp(log_var / 2) * _noise(seed, (n, mean.shape[1]))
            for t in temperature:
                drawn = sampler.sample(
                    n, seed=seed, temperature=t, z=z, prime=[beginning] * n, condition=_repeat(condition, n)
                )
                name = title or example.get("label") or ""
                rows.append([shown, *(Item(sampler.codec.decode(a), label=name, given=given) for a in drawn)])
                titles.append(" ".join(filter(None, [title, _title(t)])))
    return Sheet(rows, row_titles=titles, column_titles=["beginning"] + [""] * n)


def arithmetic(
    sampler: Sampler,
    *,
    n: int = 4,
    temperature: tuple[float, ...] = (0.1,),
    seed: int = 0,
    label: str | None = None,
    items: list[int] | None = None,
    input: str | None = None,
    data_dir: str | None = None,
    split: str = "test",
) -> Sheet:
    """a - b + c: the difference of two examples added to a third in latent space, and n samples of the result."""
    _at_least_one("n", n)
    sampler.need_latent()
    examples, encoded = _start(sampler, 3, items, input, data_dir, split, label)
    if len(examples) != 3:
        raise UserError(f"a - b + c takes 3 examples, not {len(examples)}: name them by --items=3,17,5")
    mean, _ = sampler.posterior(encoded)
    z = np.repeat((mean[0] - mean[1] + mean[2])[None], n, axis=0)
    given = _read(sampler, examples, encoded)
    rows = [[*given, *_decode(sampler, [encoded[2]] * n, z, t, seed)] for t in temperature]
    return Sheet(
        rows, row_titles=list(map(_title, temperature)), column_titles=["a", "b", "c", "a - b + c"] + [""] * (n - 1)
    )


MODES = {
    "generate": generate,
    "reconstruct": reconstruct,
    "interpolate": interpolate,
    "continue": continue_,
    "arithmetic": arithmetic,
}


def conditions(sampler: Sampler, label: list[str] | None) -> list[tuple[str, dict[str, Any]]]:
    """(title, condition) of each label asked for; of all labels where a model that needs one was given none.

    Raises:
      UserError: the model was trained without labels, or has none of that name.
    """
    if "label" not in sampler.conditions:
        if label:
            raise UserError(f"--label={label[0]}: the model in {sampler.workdir} was trained without labels")
        return [("", {})]
    return [(name, sampler.codec.condition(label=name)) for name in label or sampler.codec.labels]


def _at_least_one(flag: str, value: int) -> None:
    if value < 1:
        raise UserError(f"--{flag}={value}: expected at least 1")


def _title(temperature: float) -> str:
    return "greedy" if temperature == 0 else f"T = {temperature:g}"


def _repeat(condition: dict[str, Any], n: int) -> dict[str, Any]:
    return {name: np.repeat(np.asarray(value)[None], n, axis=0) for name, value in condition.items()}


def _known(sampler: Sampler, encoded: dict[str, Any]) -> dict[str, Any]:
    """What the model must be told, as the example itself says it."""
    known = {name: encoded[name] for name in sampler.conditions}
    if any(np.any(np.asarray(value) < 0) for value in known.values()):
        raise UserError(f"the example's class is none of this model's: say --label ({', '.join(sampler.codec.labels)})")
    return known


def _start(
    sampler: Sampler,
    count: int,
    items: Any,
    input: Any,
    data_dir: Any,
    split: str,
    label: str | None = None,
    told: bool = True,
) -> tuple[list, list]:
    """Examples and their encodings; label: the class to tell the model, instead of what each example says."""
    found = sampler.starting_examples(items=items, input=input, data_dir=data_dir, split=split, count=count)
    if label is not None:
        ((_, condition),) = conditions(sampler, [label])
        found = [(example, encoded | condition) for example, encoded in found]
    for _, encoded in found:
        if told:
            _known(sampler, encoded)  # refuses a class the model does not know, before it is taken for another
    return [example for example, _ in found], [encoded for _, encoded in found]


def _read(sampler: Sampler, examples: list, encoded: list) -> list[Item]:
    """What was given, as the model sees it."""
    items = []
    for example, arrays in zip(examples, encoded, strict=True):
        length = max(len(value) for value in arrays.values() if np.ndim(value))
        label = str(example.get("label") or "")
        items.append(Item(sampler.codec.decode({**arrays, "length": length}), label, label, sampled=False))
    return items


def _decode(
    sampler: Sampler, encoded: list, z: np.ndarray, temperature: float, seed: int, together: bool = False
) -> list[Item]:
    """A sample for each z, told what the examples say; together: all with the same noise, so that z alone changes."""
    condition: dict[str, list[Any]] = {}
    for arrays in encoded:
        for name, value in _known(sampler, arrays).items():
            condition.setdefault(name, []).append(value)
    stacked = {name: np.stack(values) for name, values in condition.items()}
    drawn = sampler.sample(len(z), seed=seed, temperature=temperature, z=z, condition=stacked, same_noise=together)
    return [Item(sampler.codec.decode(arrays)) for arrays in drawn]


def _nearer(encoded: list, steps: int) -> list:
    """For each step of the way between two examples, the one it is nearer to."""
    return [encoded[0] if i < steps / 2 else encoded[1] for i in range(steps)]


def _first(value: Any, share: float) -> Any:
    return value[: max(1, round(share * len(value)))] if np.ndim(value) else value


def _noise(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng([seed, 0]).standard_normal(shape).astype(np.float32)
