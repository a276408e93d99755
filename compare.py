"""Several runs side by side, on one split, as one table: python compare.py --workdirs=runs/flat,runs/hier

Every number of evaluate.py for every run. Runs that differ in their seed alone are one column: the mean and the range.
`python evaluate.py --workdir=DIR --explain` says what each number means.
"""

import itertools
import json
import math
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from magenta_lite.command import run
from magenta_lite.runtime import keep_compiled, keep_memory

Row = tuple[str, str]
"""The group of a number, and its name."""


def main(
    workdirs: list[str],
    split: str = "test",
    checkpoint: str = "best",
    names: list[str] | None = None,
    samples: int = 0,
    temperature: float = 1.0,
    seed: int = 0,
    out: str | None = None,
) -> int:
    """Prints a table in Markdown: a row for each number, a column for each model.

    One run in a column: the number ± its standard error. Several, of different seeds: mean [least, greatest]. In the
    group "run": runs, how many; parameters, that training sets; step, of the checkpoint; hours, of training up to it by
    the log, compiling included, evaluation left out; examples_per_second, the median of the log.

    --workdirs    folders of runs of train.py on the same data with the same codec, comma-separated
    --checkpoint  best, last, or a step
    --names       of the columns (the folders' names)
    --samples     how many to draw of each run, for the numbers about samples too (0: none)
    --temperature of the samples
    --seed        of the noise of z, of the samples, and of the choice of examples to compare with
    --out         OUT.md and OUT.json are written: the table; its numbers, and all that evaluate.py gives of each run
    """
    keep_compiled()
    from magenta_lite import evaluation

    _check(workdirs, samples, temperature, seed, out)
    columns = grouped(workdirs)
    titles = _titles(columns, names)
    facts = {workdir: _facts(Path(workdir), checkpoint, split) for workdir in workdirs}
    found: dict[str, dict[str, Any]] = {}
    for workdir in workdirs:
        print(f"{workdir}:", file=sys.stderr, flush=True)
        found[workdir] = evaluation.evaluated(
            workdir,
            split=split,
            checkpoint=checkpoint,
            samples=samples,
            temperature=temperature,
            seed=seed,
            tell=lambda line: print(f"  {line}", file=sys.stderr, flush=True),
        )
        found[workdir]["run"] = facts[workdir]
    values = {
        title: summary([found[workdir] for workdir in column]) for title, column in zip(titles, columns, strict=True)
    }
    table = markdown(values)
    print(table)
    if out is not None:
        _write(out, table, {"columns": dict(zip(titles, columns, strict=True)), "table": values, "runs": found})
    return 0


def grouped(workdirs: Sequence[str]) -> list[list[str]]:
    """The runs of each column: those whose configs differ in the seed alone.

    Raises:
      UserError: runs of different families, data or codecs; names both and what differs.
    """
    from magenta_lite import config as configs
    from magenta_lite import workdirs as runs
    from magenta_lite.errors import UserError

    first = Path(workdirs[0])
    columns: list[list[str]] = []
    known: list[Any] = []
    for workdir in workdirs:
        config = configs.load(Path(workdir) / "config.json")
        codec, ours = (configs.read_json(Path(one) / "codec.json") for one in (workdir, first))
        family = configs.load(first / "config.json").family
        if config.family != family:
            raise UserError(f"{workdir} is of {config.family}, {first} of {family}: expected runs of one family")
        if runs.data_digest(Path(workdir)) != runs.data_digest(first):
            raise UserError(f"{workdir} was trained on other data than {first}: their numbers do not compare")
        if different := sorted(name for name in codec | ours if codec.get(name) != ours.get(name)):
            shown = "; ".join(f"{name}: {ours.get(name)} and {codec.get(name)}" for name in different)
            raise UserError(f"{first} and {workdir} have other codecs ({shown}): their numbers do not compare")
        config.seed = 0
        same = [
            number
            for number, other in enumerate(known)
            if not configs.differences(other, config) and other.num_steps == config.num_steps
        ]
        if same:
            columns[same[0]].append(workdir)
        else:
            columns.append([workdir])
            known.append(config)
    return columns


def summary(runs: Sequence[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """{group: {name: {mean, and of one run its error, of several least and greatest}}} of what was found of runs.

    Numbers alone: lists and words are left out, and what a run does not have.
    """
    table: dict[str, dict[str, dict[str, float]]] = {"run": {"runs": {"mean": len(runs)}}}
    leaves = [dict(_leaves({name: one[name] for name in one if name not in _NO_NUMBERS})) for one in runs]
    errors = dict(_leaves({"likelihood": runs[0]["standard_error"]})) if len(runs) == 1 else {}
    for row in dict.fromkeys(row for one in leaves for row in one):
        values = [one[row] for one in leaves if one.get(row) is not None]
        if not values:
            continue
        cell = {"mean": statistics.fmean(values)}
        if len(runs) > 1:
            cell |= {"least": min(values), "greatest": max(values)}
        elif errors.get(row) is not None:
            cell["error"] = errors[row]
        table.setdefault(row[0], {})[row[1]] = cell
    return table


def markdown(columns: dict[str, dict[str, dict[str, dict[str, float]]]]) -> str:
    """The table of summaries by title: rows in the order in which the columns have them, a dash where one has none."""
    rows: dict[Row, None] = {}
    for column in columns.values():
        rows |= dict.fromkeys((group, name) for group, named in column.items() for name in named)
    groups = list(dict.fromkeys(group for group, _ in rows))
    lines = [["", *columns], ["---", *["---:"] * len(columns)]]
    for group, (_, name) in sorted(((row[0], row) for row in rows), key=lambda one: groups.index(one[0])):
        shown = [_shown(column.get(group, {}).get(name)) for column in columns.values()]
        lines.append([f"{group}: {name}", *shown])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


_NO_NUMBERS = ("evaluated", "standard_error")


def _leaves(tree: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[Row, float]]:
    """Numbers of a tree: the group is all of the path but the last name, without the word likelihood."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, name))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            whole = path[1:] if path[0] == "likelihood" and len(path) > 1 else path
            yield (" ".join(whole), name), value


def _shown(cell: dict[str, float] | None) -> str:
    if cell is None:
        return "-"
    if "least" in cell and cell["least"] != cell["greatest"]:
        return f"{_number(cell['mean'])} [{_number(cell['least'])}, {_number(cell['greatest'])}]"
    return _number(cell["mean"]) + (f" ± {cell['error']:.2g}" if "error" in cell else "")


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 10_000 else f"{value:.4g}"


def _facts(workdir: Path, checkpoint: str, split: str) -> dict[str, float | None]:
    """What the group "run" tells.

    Raises:
      UserError: the run cannot be evaluated, or what is now in its data's folder is not what it was trained on.
    """
    import jax
    from flax import nnx

    from magenta_lite import evaluation, logs
    from magenta_lite.errors import UserError
    from magenta_lite.sampler import Sampler

    player = Sampler(workdir, checkpoint)
    step, folder = player.step, player.config.data.dir
    if not evaluation.Split(player, folder, split).own:
        raise UserError(f"{folder} is not the data that {workdir} was trained on: prepare that again")
    rates = [(at, rate) for at, rate in logs.read(workdir, "train", "examples_per_second") if at <= step and rate > 0]
    edges = itertools.pairwise([0, *(at for at, _ in rates)])
    seconds = sum((b - a) * player.config.batch_size / rate for (a, b), (_, rate) in zip(edges, rates, strict=True))
    return {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(nnx.state(player.model, nnx.Param))),
        "step": step,
        "hours": seconds / 3600 if rates else None,
        "examples_per_second": statistics.median(rate for _, rate in rates) if rates else None,
    }


def _titles(columns: Sequence[Sequence[str]], names: Sequence[str] | None) -> list[str]:
    """Of the columns, each different."""
    from magenta_lite.errors import UserError

    shown = "; ".join(", ".join(column) for column in columns)
    if names is None:
        names = [Path(column[0]).absolute().name for column in columns]
        names = names if len(set(names)) == len(names) else [column[0] for column in columns]
    if len(names) != len(columns) or len(set(names)) < len(names):
        raise UserError(f"--names={','.join(names)}: expected {len(columns)} different names, of the columns {shown}")
    return list(names)


def _check(workdirs: Sequence[str], samples: int, temperature: float, seed: int, out: str | None) -> None:
    """Refuses what would fail after minutes."""
    from magenta_lite.errors import UserError

    if not workdirs or len({Path(one).resolve() for one in workdirs}) < len(workdirs):
        raise UserError(f"--workdirs={','.join(workdirs)}: expected folders of runs, each once")
    if not 0 <= samples <= 10_000:
        raise UserError(f"--samples={samples}: expected 0 (none) to 10000")
    if not (temperature >= 0 and math.isfinite(temperature)):
        raise UserError(f"--temperature={temperature}: expected 0 (greedy) or more")
    if not 0 <= seed < 2**31:
        raise UserError(f"--seed={seed}: expected 0 or more, below {2**31}")
    if out is not None and not Path(out).absolute().parent.is_dir():
        raise UserError(f"--out={out}: expected the beginning of two files' names, in a folder that exists")


def _write(out: str, table: str, content: dict[str, Any]) -> None:
    from magenta_lite import evaluation
    from magenta_lite.files import writing

    for ending, text in ((".md", table), (".json", json.dumps(evaluation.plain(content), indent=2))):
        with writing(out + ending) as file:
            file.write((text + "\n").encode())


if __name__ == "__main__":
    keep_memory()
    run(main)
