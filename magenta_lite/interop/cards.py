"""The card of a model, in Markdown with a picture, after Mitchell et al. 2019 (Model Cards for Model Reporting).

What it is, what it learned from and under which licence, how good it is, what it is for and what not, how it was
trained, and whom to name. Nothing on it is guessed: what nobody wrote down is unknown.
"""

import contextlib
import importlib
import io
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
from flax import nnx

from magenta_lite import modes, workdirs
from magenta_lite.checkpoint import VERSION
from magenta_lite.errors import UserError, plain
from magenta_lite.files import writing
from magenta_lite.interop import licences, provenance
from magenta_lite.interop.card_words import DATA_PAPERS, FAMILIES, GROOVES, Words
from magenta_lite.interop.measured import is_number
from magenta_lite.interop.provenance import Data
from magenta_lite.interop.provenance import licence as licence
from magenta_lite.interop.provenance import trained_on as trained_on
from magenta_lite.sampler import Sampler

LABELS = 4
"""Classes of which the picture has rows."""


def write(player: Sampler, folder: Path, numbers: Mapping[str, Any], *, with_examples: bool = False) -> list[Path]:
    """Writes card.md, its picture in pictures/, and LICENCE.txt; returns the paths.

    folder: has source.json, which says what the model was trained on. numbers: as measured.numbers gives them.
    """
    paths = _picture(player, folder)
    data = provenance.data(folder)
    for name, lines in (
        ("card.md", _card(player, data, numbers, bool(paths), with_examples)),
        ("LICENCE.txt", _licence_text(data, with_examples)),
    ):
        paths.append(folder / name)
        with writing(paths[-1]) as file:
            file.write(("\n".join(lines).rstrip() + "\n").encode("utf-8", "replace"))
    return paths


def handed_on(workdir: Path) -> bool:
    """Whether the licence of a model's own data allows to hand examples of it on to anyone."""
    own = provenance.data(workdir)[0]
    return all(one.handed_on for one in licences.several(own.licence))


def _card(
    player: Sampler, data: list[Data], numbers: Mapping[str, Any], pictured: bool, with_examples: bool
) -> Iterator[str]:
    words, config = FAMILIES[player.config.family], player.config
    own = data[0]
    yield from (f"# {words.title}: {_safe(own.title)}", "", words.what, "")
    if pictured:
        temperatures = " and ".join(map(str, _options(player)["temperature"]))
        yield from (
            "![samples](pictures/samples.png)",
            "",
            f"*Samples at temperature {temperatures}, seed 0, none left out.*",
            "",
        )
    yield from ("## The model", "")
    count = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(player.model, nnx.Param)))
    yield from _table(
        {
            "family": f"`{config.family}`",
            "parameters": f"{count:,}",
            "step": f"{player.step:,}" if player.step or not own.imported else "unknown",
            "options": "`" + _safe(json.dumps(config.model.to_dict(), sort_keys=True), ticks=True) + "`",
            "packed by": f"magenta_lite {VERSION}",
        }
    )
    yield from ("", "## What it learned from", "")
    yield from _of_data(data)
    yield (
        f"Examples of the data {'are' if with_examples else 'are not'} in the pack"
        f"{', in `examples.npz`, under the licence above' if with_examples else ''}."
    )
    yield from ("", "## How good it is", "")
    yield from _measured(words, numbers)
    yield from ("", "## What it is for", "", *(f"- {line[0].upper()}{line[1:]}." for line in words.use))
    yield from ("", "## What it cannot do", "", *(f"- {line}" for line in words.limits))
    yield from ("", "## How to use it", "", "    python -m magenta_lite.interop unpack PACK.zip --workdir=runs/mine")
    yield from (f"    python sample.py --workdir=runs/mine {command}" for command in _commands(player, words))
    yield "    python train.py --config=RECIPE --workdir=runs/tuned --init_from=runs/mine"
    yield from ("", "## How it was trained", "", *_training(player, own, numbers))
    yield from ("", "## Whom to name", "", *(f"- {paper}" for paper in _papers(player, words, data)))


def _of_data(data: list[Data]) -> Iterator[str]:
    for number, one in enumerate(data):
        if number:
            yield f"It began from the parameters of {_safe(one.model)}, at step {one.step:,}, which was trained on:"
            yield ""
        facts = {"data": _safe(one.text)}
        facts |= {split: f"{count:,} examples" for split, count in one.counts.items()}
        for name in ("file", "format", "name", "loss"):
            if name in one.imported:
                facts[f"imported {name}"] = _safe(str(one.imported[name])[:200])
        facts["licence of the data"] = _safe(one.licence)
        yield from _table(facts)
        yield ""
        for found in licences.several(one.licence):
            where = f" <{found.url}>" if found.url else ""
            yield f"**{_safe(found.name)}**: {found.meaning}{where}"
            yield ""
    if any(licences.non_commercial(found.name) for one in data for found in licences.several(one.licence)):
        yield "**Not for commercial purposes.** The data's licence says so, and goes along with the model."
        yield ""
    yield (
        "These are the licences of the data. Whether they bind a model, too, differs from country to country: who "
        "passes the model on passes this card on with it. Whoever made the model may ask for more."
    )
    yield ""


def _measured(words: Words, numbers: Mapping[str, Any]) -> Iterator[str]:
    evaluation, validation = numbers.get("evaluation", {}), numbers.get("validation", {})
    if not evaluation and not validation:
        yield "Nobody measured it here: `python evaluate.py --workdir=runs/mine --data_dir=DATA` does."
        return
    if evaluation:
        about = evaluation.get("evaluated")
        about = about if isinstance(about, dict) else {}
        own = "of the data that it was trained on" if about.get("own_data") else "of other data than it was trained on"
        split, count = _safe(str(about.get("split"))), _safe(str(about.get("examples")))
        yield f"By `python evaluate.py`, over all {count} examples of the {split} split {own}:"
        yield ""
        errors = dict(_flat(evaluation.get("standard_error")))
        rows = [
            (name, f"{value:.5g}" + (f" ± {errors[name]:.2g}" if name in errors else ""))
            for name, value in _flat(evaluation.get("likelihood"))
        ]
        yield from _metrics(words, rows)
        yield ""
        yield "± is a standard error. `metrics.json` has the rest: what samples are like beside real examples."
        yield ""
    if validation:
        step = validation.get("step")
        yield f"On the validation split, at step {step if isinstance(step, int) and is_number(step) else '?'}:"
        yield ""
        yield from _metrics(words, [(name, f"{value:.5g}") for name, value in _flat(validation) if name != "step"])
    yield ""
    yield "`python evaluate.py --workdir=runs/mine --explain` defines every number."


def _metrics(words: Words, rows: list[tuple[str, str]]) -> Iterator[str]:
    yield from ("| metric | value | meaning |", "|---|---|---|")
    for name, value in rows:
        if meaning := words.metrics.get(name.rpartition(".")[2]):  # all of them are in metrics.json
            yield f"| {_safe(name)} | {value} | {meaning} |"


def _training(player: Sampler, own: Data, numbers: Mapping[str, Any]) -> Iterator[str]:
    config = player.config
    if own.imported:
        kind = _safe(str(own.imported.get("format", "a file")))
        yield f"By somebody else, perhaps with other software; imported from {kind}."
        return
    # A config of an older version, or a stranger's, may have no such fields.
    wanted, batch = (f"{config[name]:,}" if config.get(name) else "?" for name in ("num_steps", "batch_size"))
    seconds = numbers.get("training", {}).get("seconds")
    time = f"{seconds / 3600:.1f} hours" if is_number(seconds) and seconds >= 3600 else f"{seconds} seconds"
    yield from _table(
        {
            "program": f"`train.py` with the fields of `config.json`, as `configs/{config.family}.py` makes them",
            "steps": f"{player.step:,} of {wanted}, each of a batch of {batch}",
            "seed": str(config.get("seed")),
            "optimizer": "`" + _safe(json.dumps(config.optimizer.to_dict(), sort_keys=True), ticks=True) + "`",
            "wall time": f"{time} between the first and the last logged step, pauses included"
            if is_number(seconds)
            else "unknown",
        }
    )


def _commands(player: Sampler, words: Words) -> Iterator[str]:
    for command in words.commands:
        if player.has_latent or "interpolate" not in command:
            yield command
    if player.has_latent:
        yield "--mode=reconstruct --input=FILE"


def _papers(player: Sampler, words: Words, data: list[Data]) -> Iterator[str]:
    yield from words.papers
    if player.config.codec.get("kind") == "groove":
        yield GROOVES
    for word, paper in DATA_PAPERS.items():
        if any(word in one.name for one in data):
            yield paper


def _licence_text(data: list[Data], with_examples: bool) -> Iterator[str]:
    yield "Licences of the data that this model was trained on. They are the data's, and go along with the model."
    for one in data:
        yield ""
        yield one.text + (f" (of the model it began from, {one.model})" if one.model else "")
        for found in licences.several(one.licence):
            yield f"  {found.name}: {found.meaning}" + (f" {found.url}" if found.url else "")
    if with_examples:
        yield ""
        yield f"examples.npz holds examples of {data[0].name}, under the licence of that data: {data[0].licence}."


def _options(player: Sampler) -> dict[str, Any]:
    """How the card's samples are drawn."""
    options: dict[str, Any] = dict(FAMILIES[player.config.family].options)
    if "label" in player.conditions:
        options["label"] = list(player.codec.labels[:LABELS])
    if player.config.family == "sketch_rnn" and workdirs.origin(player.workdir):
        options["temperature"] = (0.4, 0.65)  # published generators hardly end below
    return options


def _picture(player: Sampler, folder: Path) -> list[Path]:
    """Draws the card's picture by the family's own mode and writer; none where the model cannot begin from nothing."""
    words, options = FAMILIES[player.config.family], _options(player)
    own = importlib.import_module(f"magenta_lite.models.{player.config.family}.modes")
    target = folder / "pictures" / "samples.png"
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(io.StringIO()):
        try:
            if hasattr(own, "generate"):
                own.generate(player, folder=Path(name), **options)
            else:
                player.codec.write(modes.generate(player, **options), Path(name))
        except UserError:
            return []
        content = (Path(name) / words.sheet).read_bytes()
    with writing(target) as file:
        file.write(content)
    return [target]


def _table(facts: Mapping[str, str]) -> Iterator[str]:
    yield from ("| fact | value |", "|---|---|")
    yield from (f"| {name} | {value} |" for name, value in facts.items())


def _flat(tree: Any, prefix: str = "", depth: int = 4) -> Iterator[tuple[str, float]]:
    """The numbers of a tree, by their names joined by dots; what lies deeper is a stranger's, and left out."""
    for name, value in tree.items() if isinstance(tree, dict) else ():
        if isinstance(value, dict) and depth:
            yield from _flat(value, f"{prefix}{name}.", depth - 1)
        elif is_number(value):
            yield prefix + name, float(value)


def _safe(text: str, ticks: bool = False) -> str:
    """A stranger's text as plain words of Markdown; ticks: it stands between backticks."""
    text = plain(text)
    return re.sub(r"[`|]", "'", text) if ticks else re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", text)
