"""Configs: read from a recipe with overrides, kept in the workdir as JSON, compared when a run is resumed."""

import json
import os
import re
import runpy
import sys
from collections.abc import Collection
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
    for named in _named(argv):
        recipe = named.partition(":")[0]
        if not os.path.isfile(recipe):
            raise UserError(f"--config={recipe}: no such file; the recipes are in configs/")
    for word in argv[1:]:
        field = re.match(r"--?(?:no)?config\.([^=]*)", word)
        if field and not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", field[1]):
            raise UserError(f"{word}: expected --config.FIELD=VALUE, as in --config.model.latent_size=64")
    try:
        rest = flags.FLAGS(argv)
    except flags.UnrecognizedFlagError as error:
        raise UserError(f"unknown flag --{error.flagname}: {nearest(error.flagname, _names())}") from None
    except flags.Error as error:
        if "parsing config file" in str(error):
            raise UserError(f"--config: {_recipe_error(argv)}") from None
        raise UserError(re.sub(r"^flag ", "", str(error).partition("\n")[0])) from None
    except (AttributeError, KeyError) as error:
        raise UserError(_unknown_field(argv, str(error)) or f"--config: {_recipe_error(argv)}") from None
    except KeyboardInterrupt:
        raise
    except UnicodeDecodeError:
        raise UserError("--flagfile: expected a text, with a flag in each line") from None
    except BaseException:  # a recipe is a program, which may do anything, even exit
        raise UserError(f"--config: {_recipe_error(argv)}") from None
    if len(rest) > 1:
        raise UserError(f"unexpected argument {rest[1]!r}: flags are written --name=value")
    if not isinstance(_CONFIG.value, ConfigDict):
        raise UserError(f"--config: {_recipe_error(argv)}")
    _check(_CONFIG.value)
    return _CONFIG.value


def _recipe_error(argv: list[str]) -> str:
    """What a recipe's get_config raises, by calling it."""
    for named in _named(argv):
        path, _, variant = named.partition(":")
        try:
            runpy.run_path(path)["get_config"](*([variant] if variant else []))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            why = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            return f"{path} fails with {why}"
    return f"{path} gives no config that these flags fit"


_COUNTS = {
    "num_steps": (1, 2**31 - 1),
    "batch_size": (1, 2**17),
    "buckets": (1, 256),
    "log_every": (1, 2**31 - 1),
    "evaluate_every": (1, 2**31 - 1),
    "save_every": (1, 2**31 - 1),
    "keep_checkpoints": (1, 2**31 - 1),
    "nan_limit": (1, 2**31 - 1),
    "seed": (0, 2**31 - 1),
}
"""The least and the most of each."""

_OPTIMIZER = ("learning_rate", "min_learning_rate", "decay_rate", "clip_value", "clip_norm")
"""What every optimizer is told."""


def _check(config: ConfigDict, whole: bool = True) -> None:
    """Refuses what no program could run on, whatever the family: counts that are none, fields that JSON cannot hold.

    whole: nothing may be missing, as in a config of an older version.
    """
    for section in ("data", "codec", "model", "optimizer"):
        if not isinstance(config.get(section), ConfigDict):
            raise UserError(f"config.{section}={config.get(section)!r}: expected a section with fields of its own")
    for field, (least, most) in _COUNTS.items():
        value = config.get(field)
        if value is None and not whole and field != "seed":
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            raise UserError(f"config.{field}={value!r}: expected a whole number")
        if not least <= value <= most:
            raise UserError(
                f"config.{field}={value}: expected at {f'most {most}' if value > most else f'least {least}'}"
            )
    if config.get("on_nan") not in ("stop", "skip", *(() if whole else (None,))):
        raise UserError(f"config.on_nan={config.get('on_nan')}: expected stop or skip")
    texts = {"family": config.get("family"), "data.dir": config.data.get("dir"), "data.build": config.data.get("build")}
    for field, value in texts.items():
        if not isinstance(value, str):
            raise UserError(f"config.{field}={value!r}: expected a text")
    if any(len(os.fsencode(part)) > 255 for part in [*Path(config.data.dir).parts, ""]):
        raise UserError(f"config.data.dir={config.data.dir}: no path, a name in it is longer than any file's")
    if re.search(r"[{}]", re.sub(r"\{(dir|classes)\}", "", config.data.build)):
        raise UserError(
            f"config.data.build={config.data.build}: expected a command, with {{dir}} and {{classes}} in it"
        )
    if missing := [field for field in _OPTIMIZER if field not in config.optimizer]:
        raise UserError(f"config.optimizer.{missing[0]} is missing")
    for field, value in config.optimizer.items():
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise UserError(f"config.optimizer.{field}={value!r}: expected a number")
    for field, value in _flat(config.to_dict()).items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            raise UserError(f"config.{field}={value!r}: expected finite numbers, texts, True, False or None") from None


def _named(argv: list[str]) -> list[str]:
    """The values of --config, each a recipe and its variant, the last one first: it counts."""
    found = []
    for place, word in enumerate(argv):
        if place and re.match(r"--?config(=|$)", word):
            found.append(word.partition("=")[2] or "".join(argv[place + 1 : place + 2]))
    if not found:
        raise UserError("flag --config=... is required, such as --config=configs/sketch_rnn.py:tiny")
    return found[::-1]


def _names() -> list[str]:
    return [name for name in flags.FLAGS if flags.FLAGS.find_module_defining_flag(name) in (sys.argv[0], "__main__")]


def _unknown_field(argv: list[str], message: str) -> str:
    """From ml_collections' message about a missing key, the line that names the whole field.

    Empty where no flag names it: the recipe itself lacks the key.
    """
    wrong = next(iter(re.findall(r"\w+", message)), "")
    meant = re.search(r'Did you mean "(\w+)"', message)
    words = [word.split("=")[0] for word in argv if re.match(r"--?(no)?config\.", word)]
    field = next((word for word in words if wrong in word.split(".")), None)
    if field is None:
        return ""
    return f"{field}: no such field {wrong!r}" + (f"; did you mean {meant[1]!r}?" if meant else "")


def save(config: ConfigDict, path: Path) -> None:
    """Writes the config as JSON, whole or not at all."""
    write_json(config.to_dict(), path)


def load(path: Path) -> ConfigDict:
    """The config of a workdir.

    Raises:
      UserError: not there, not JSON, or not what train.py writes.
    """
    fields = read_json(path)
    if not isinstance(fields, dict) or not {"family", "model", "data"} <= fields.keys():
        raise UserError(f"{path} is no config of train.py: family, model or data is missing")
    try:
        config = ConfigDict(fields)
        _check(config, whole=False)
    except (TypeError, ValueError, AttributeError, RecursionError, UserError) as error:
        raise UserError(f"{path} is no config of train.py: {error}") from None
    return config


def differences(old: ConfigDict, new: ConfigDict, free: Collection[str] = RESUMABLE) -> list[str]:
    """`field: old -> new` of every field that differs and may not; free: those that may, when a run is resumed."""
    a, b = _flat(old.to_dict()), _flat(new.to_dict())
    pairs = {name: (a.get(name, "missing"), b.get(name, "missing")) for name in sorted(a.keys() | b.keys())}
    return [
        f"{name}: {one!r} -> {other!r}" if str(one) == str(other) else f"{name}: {one} -> {other}"
        for name, (one, other) in pairs.items()
        if one != other and name not in free
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
    """Raises UserError where the file is missing, cannot be read, or is no JSON."""
    try:
        value = json.loads(path.read_text())
        json.dumps(value, ensure_ascii=False).encode()  # half a character, which JSON may name, can never be written
        return value
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {path.parent} is no workdir of train.py") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: no valid JSON ({error})") from None
