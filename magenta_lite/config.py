"""Configs: read from a recipe with overrides, kept in the workdir as JSON, compared when a run is resumed."""

import json
import os
import re
import runpy
import sys
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from magenta_lite.errors import UserError, nearest

RESUMABLE = (
    "num_steps",
    "log_every",
    "evaluate_every",
    "save_every",
    "keep_checkpoints",
    "on_nan",
    "nan_limit",
    "data.build",
)
"""Fields that a resumed run may change: its length, what it tells and keeps, and when it gives up."""

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "recipe to run, and its variant: configs/sketch_rnn.py:tiny", lock_config=True
)


def from_flags(argv: list[str]) -> ConfigDict:
    """The config named by --config, with every --config.FIELD=VALUE applied; parses all absl flags.

    Raises:
      UserError: an unknown flag, field or variant, or a value of the wrong type; names the field.
    """
    recipe = _named(argv).partition(":")[0]
    if not os.path.isfile(recipe):
        raise UserError(f"--config={recipe}: no such file; the recipes are in configs/")
    try:
        rest = flags.FLAGS(argv)
    except flags.UnrecognizedFlagError as error:
        raise UserError(f"unknown flag --{error.flagname}: {nearest(error.flagname, _names())}") from None
    except flags.Error as error:
        if "parsing config file" in str(error):
            raise UserError(f"--config: {_recipe_error(argv)}") from None
        raise UserError(re.sub(r"^flag ", "", str(error).splitlines()[0])) from None
    except (AttributeError, KeyError) as error:
        raise UserError(_unknown_field(argv, str(error))) from None
    if len(rest) > 1:
        raise UserError(f"unexpected argument {rest[1]!r}: flags are written --name=value")
    _check(_CONFIG.value)
    return _CONFIG.value


def _recipe_error(argv: list[str]) -> str:
    """What the recipe's get_config raises, by calling it."""
    path, _, variant = _named(argv).partition(":")
    try:
        runpy.run_path(path)["get_config"](*([variant] if variant else []))
    except Exception as error:
        return f"{path} fails with {error}"
    return f"{path} gives no config"


def _check(config: ConfigDict) -> None:
    """Refuses counts that are no counts."""
    for field, least in (
        ("num_steps", 1),
        ("batch_size", 1),
        ("buckets", 1),
        ("log_every", 1),
        ("evaluate_every", 1),
        ("save_every", 1),
        ("keep_checkpoints", 1),
        ("nan_limit", 1),
        ("seed", 0),
    ):
        if config[field] < least:
            raise UserError(f"config.{field}={config[field]}: expected at least {least}")
    if config.on_nan not in ("stop", "skip"):
        raise UserError(f"config.on_nan={config.on_nan}: expected stop or skip")
    if config.seed >= 2**31:
        raise UserError(f"config.seed={config.seed}: expected below {2**31}")


def _named(argv: list[str]) -> str:
    """The value of --config: a recipe and its variant."""
    words = [word for word in argv[1:] if re.match(r"--?config(=|$)", word)]
    if not words:
        raise UserError("flag --config=... is required, such as --config=configs/sketch_rnn.py:tiny")
    word = words[-1]
    return word.partition("=")[2] or (argv[argv.index(word) + 1] if word != argv[-1] else "")


def _names() -> list[str]:
    return [name for name in flags.FLAGS if flags.FLAGS.find_module_defining_flag(name) in (sys.argv[0], "__main__")]


def _unknown_field(argv: list[str], message: str) -> str:
    """From ml_collections' message about a missing key, the line that names the whole field."""
    wrong = re.findall(r"\w+", message)[0]
    meant = re.search(r'Did you mean "(\w+)"', message)
    words = [word.split("=")[0] for word in argv if word.startswith("--config.")]
    field = next((word for word in words if wrong in word.split(".")), wrong)
    return f"{field}: no such field {wrong!r}" + (f"; did you mean {meant[1]!r}?" if meant else "")


def save(config: ConfigDict, path: Path) -> None:
    """Writes the config as JSON, whole or not at all."""
    write_json(config.to_dict(), path)


def load(path: Path) -> ConfigDict:
    """The config of a workdir.

    Raises:
      UserError: not there, or not JSON.
    """
    config = read_json(path)
    if not isinstance(config, dict) or not {"family", "model", "data"} <= config.keys():
        raise UserError(f"{path} is no config of train.py: family, model or data is missing")
    return ConfigDict(config)


def differences(old: ConfigDict, new: ConfigDict) -> list[str]:
    """`field: old -> new` of every field that differs and may not when a run is resumed."""
    a, b = _flat(old.to_dict()), _flat(new.to_dict())
    return [
        f"{name}: {a.get(name, 'missing')} -> {b.get(name, 'missing')}"
        for name in sorted(a.keys() | b.keys())
        if a.get(name, "missing") != b.get(name, "missing") and name not in RESUMABLE
    ]


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = list(value) if isinstance(value, tuple) else value
    return flat


def write_json(value: Any, path: Path) -> None:
    """Writes JSON, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(value, indent=2) + "\n")
    os.replace(partial, path)


def read_json(path: Path) -> Any:
    """Raises UserError where the file is missing or is no JSON."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {path.parent} is no workdir of train.py") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: no valid JSON ({error})") from None
