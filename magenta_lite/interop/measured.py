"""What was measured of a model, and how long it was trained: metrics.json of a pack."""

import json
import os
from pathlib import Path
from typing import Any

from magenta_lite import config as configs
from magenta_lite import logs
from magenta_lite.errors import UserError, plain
from magenta_lite.sampler import Sampler

NAME = "metrics.json"
SECTIONS = ("training", "validation", "evaluation")
LARGEST = 1e300
"""No number that is measured is beyond."""


def numbers(player: Sampler, evaluation: str | None) -> dict[str, Any]:
    """Sections of what is known, each left out where nothing is.

    training: steps and seconds, from the logs. validation: the metrics of the valid split at the checkpoint's step, or
    the last one before it. evaluation: what evaluate.py wrote to the file `evaluation`, or to a pack before.

    Raises:
      UserError: the file is none of evaluate.py's, or of another model or step.
    """
    path = player.workdir / NAME
    found = read(path) if path.exists() else {}
    if (player.workdir / "metrics.jsonl").exists():
        found = {name: value for name, value in found.items() if name == "evaluation"}
        found = _training(player.workdir) | _validation(player) | found
    if evaluation is not None:
        found["evaluation"] = _evaluated(player, Path(evaluation))
    return found


def is_number(value: Any) -> bool:
    """Whether a value of somebody's JSON is a number that a float holds: JSON's may have hundreds of digits."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def read(path: Path) -> dict[str, Any]:
    """metrics.json; raises UserError where it is none."""
    found = configs.read_json(path)
    if not isinstance(found, dict) or not all(
        name in SECTIONS and isinstance(section, dict) for name, section in found.items()
    ):
        raise UserError(f"{path} holds other sections than {', '.join(SECTIONS)}")
    return found


def _training(workdir: Path) -> dict[str, Any]:
    """From the first logged step to the last, pauses included: the logs know of no others."""
    times = logs.read(workdir, "train", "time")
    if len(times) < 2:
        return {}
    seconds = max(time for _, time in times) - min(time for _, time in times)
    return {"training": {"steps": times[-1][0], "seconds": round(seconds)}} if is_number(seconds) else {}


def _validation(player: Sampler) -> dict[str, Any]:
    best: dict[str, Any] = {}
    for line in (player.workdir / "metrics.jsonl").read_bytes().splitlines():
        try:
            row = json.loads(line)
            step = row["step"] if row["split"] == "valid" else None
        except (ValueError, KeyError, TypeError):  # torn when a run was killed
            continue
        if isinstance(step, int) and best.get("step", -1) <= step <= player.step:
            best = {name: value for name, value in row.items() if name not in ("split", "time")}
    best = {name: value for name, value in best.items() if is_number(value)}
    return {"validation": best} if best else {}


def _evaluated(player: Sampler, path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(), parse_constant=lambda word: None)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"--metrics={path} cannot be read ({str(error)[:100]}): expected what evaluate.py writes"
        ) from None
    about = found.get("evaluated") if isinstance(found, dict) else None
    if not isinstance(about, dict) or not isinstance(found.get("likelihood"), dict):
        raise UserError(f"--metrics={path} is not what evaluate.py writes: evaluated or likelihood is missing")
    family, step = about.get("family"), about.get("step")
    if (family, step) != (player.config.family, player.step):
        raise UserError(
            f"--metrics={path} is of step {step} of a {family}: expected step {player.step} of a "
            f"{player.config.family}, which is packed"
        )
    _of_the_same_run(player, path, about.get("workdir"))
    return found


def _of_the_same_run(player: Sampler, path: Path, other: Any) -> None:
    """Refuses what was measured of another folder that is there, and tells where that cannot be seen."""
    if not isinstance(other, str) or "\0" in other or Path(other).resolve() == player.workdir.resolve():
        return
    shown = plain(other)[:200]
    if os.path.exists(Path(other) / "config.json"):  # which takes names of any length, as Path.exists does not
        raise UserError(
            f"--metrics={path} is of {shown}, and {player.workdir} is packed: python evaluate.py "
            f"--workdir={player.workdir} --out=FILE measures that"
        )
    print(f"--metrics={path} was measured of {shown}, which is not here: see that it is the same run")
