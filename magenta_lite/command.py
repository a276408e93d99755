"""Command lines from signatures: the parameters of a function are its flags.

`run(main)` reads `--name=value` for every parameter of `main`, converts each value by the parameter's annotation, and
turns a UserError into one line on standard error and exit status 2.
"""

import errno
import inspect
import os
import sys
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any

from magenta_lite.errors import UserError, nearest

_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def run(function: Callable[..., int | None], argv: Sequence[str] | None = None) -> None:
    """Calls `function` with its flags from argv (default: the program's), then exits with its status."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if "--help" in argv or "-h" in argv:
        print(usage(function))
        sys.exit(0)
    guard(lambda: function(**parse(argv, function)))


def ending(error: BaseException) -> tuple[int, str] | None:
    """The exit status that an error stands for, and the line that is said of it, which may be empty.

    None: it is a defect of the program, whose traceback is to be shown.
    """
    if isinstance(error, UserError):
        return 2, str(error)
    if isinstance(error, KeyboardInterrupt):
        return 130, ""
    if isinstance(error, BrokenPipeError):  # whoever read the output has gone, as in `... | head`
        return 141, ""
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return 2, f"{error.filename}: a name is longer than any file can have"
    return None


def guard(action: Callable[[], int | None]) -> None:
    """Runs the action and exits with its status, or with that of what ended it, of which it prints one line."""
    try:
        status = action()
        if sys.stdout:  # None where a program is started without any
            sys.stdout.flush()
    except (UserError, KeyboardInterrupt, OSError) as error:
        end = ending(error)
        if end is None:
            raise
        status, line = end
        if isinstance(error, BrokenPipeError):  # what is still to be written goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if line:
            print(f"error: {line}", file=sys.stderr)
    sys.exit(status or 0)


def parse(argv: Sequence[str], *functions: Callable[..., Any]) -> dict[str, Any]:
    """The values given in argv for parameters of the functions, by name, converted by annotation.

    `--name=value`, `--name value`, and `--name` alone for a bool. Lists and tuples are comma-separated.

    Raises:
      UserError: an unknown flag (with the nearest valid one), a value of the wrong type, or one that is missing.
    """
    parameters: dict[str, inspect.Parameter] = {}
    for function in functions:
        parameters |= inspect.signature(function, eval_str=True).parameters
    values: dict[str, Any] = {}
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            raise UserError(f"unexpected argument {word!r}: flags are written --name=value")
        name, equals, text = word[2:].partition("=")
        name = name.replace("-", "_")
        if name not in parameters:
            raise UserError(f"unknown flag --{name}: {nearest(name, parameters)}")
        kind = parameters[name].annotation
        if not equals:
            if kind is bool:
                text = "true"
            elif rest and not rest[0].startswith("--"):
                text = rest.pop(0)
            else:
                raise UserError(f"flag --{name} needs a value: --{name}=...")
        values[name] = _convert(name, text, kind)
    for name, parameter in parameters.items():
        if name not in values and parameter.default is inspect.Parameter.empty:
            raise UserError(f"flag --{name}=... is required (see --help)")
    return values


def usage(*functions: Callable[..., Any]) -> str:
    """The docstrings of the functions and a line for each flag of them all, with its default."""
    # Of a partial, getdoc gives functools' own words.
    # What is behind "Raises:" is for programmers.
    words = [inspect.getdoc(getattr(function, "func", function)) or "" for function in functions]
    lines = [text.partition("\nRaises:\n")[0].rstrip() + "\n" for text in words if text]
    lines.append("flags:")
    for function in functions:
        for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
            default = parameter.default
            shown = "required" if default is inspect.Parameter.empty else f"default {_show(default)}"
            lines.append(f"  --{name}  {_describe(parameter.annotation)}, {shown}")
    return "\n".join(lines)


def _show(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _describe(kind: Any) -> str:
    members = [k for k in _members(kind) if k is not type(None)]
    if typing.get_origin(members[0]) in (list, tuple):
        return f"list of {typing.get_args(members[0])[0].__name__} (comma-separated)"
    return members[0].__name__


def _members(kind: Any) -> tuple[Any, ...]:
    return typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)


def _convert(name: str, text: str, kind: Any) -> Any:
    kind = next(k for k in _members(kind) if k is not type(None))
    if typing.get_origin(kind) in (list, tuple):
        item = typing.get_args(kind)[0]
        return typing.get_origin(kind)(_convert(name, part, item) for part in text.split(",") if part)
    if kind is bool:
        if text.lower() not in _BOOLEANS:
            raise UserError(f"--{name}={text}: expected true or false")
        return _BOOLEANS[text.lower()]
    try:
        return kind(text)
    except ValueError:
        raise UserError(f"--{name}={text}: expected {kind.__name__}") from None
