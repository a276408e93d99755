"""Options out of configs and JSON, held against the types that are declared for them."""

import collections.abc
import functools
import inspect
import math
import numbers
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from magenta_lite.errors import UserError, nearest

LARGEST = 2**31
"""Whole numbers are smaller: beyond are no sizes, and counters on devices end there."""

_NAMES = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}


def check_types(section: str, values: Mapping[str, Any], declared: Callable[..., Any]) -> None:
    """Holds values against the annotations of a function or a dataclass; a name that is not annotated is passed over.

    Known are bool, int, float and str, tuples and sequences of them, and None beside them. A whole number will do for
    float, and a truth value for no number. Numbers are finite, and whole ones within +-LARGEST.

    Raises:
      UserError: a value of another type; names it, as a field of the section.
    """
    for name, kind in _annotations(declared).items():
        if name in values and not _fits(values[name], kind):
            raise UserError(f"{section}.{name}={values[name]!r}: expected {_describe(kind)}")


def refuse_decided(section: str, values: Mapping[str, Any], decided: Iterable[str]) -> None:
    """Raises UserError where values name what the data decides."""
    for name in decided:
        if name in values:
            raise UserError(f"{section}.{name}={values[name]!r}: the data decides it, leave it out")


def check_names(section: str, values: Mapping[str, Any], declared: Callable[..., Any]) -> None:
    """Raises UserError where a value's name is no parameter of a function, or one that it needs is missing."""
    parameters = inspect.signature(declared).parameters
    for name in values:
        if name not in parameters:
            raise UserError(f"{section}.{name}: no such field; {nearest(name, parameters)}")
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in values:
            raise UserError(f"{section}.{name} is missing")


@functools.cache
def _annotations(declared: Callable[..., Any]) -> dict[str, Any]:
    return typing.get_type_hints(declared)


def _fits(value: Any, kind: Any) -> bool:
    if isinstance(kind, types.UnionType):
        return any(_fits(value, one) for one in typing.get_args(kind))
    if kind is type(None):
        return value is None
    if typing.get_origin(kind) in (tuple, list, collections.abc.Sequence):
        inner = typing.get_args(kind)[0]
        return isinstance(value, tuple | list) and all(_fits(one, inner) for one in value)
    if kind in (bool, str):
        return isinstance(value, kind)
    if kind is int:
        return isinstance(value, numbers.Integral) and not isinstance(value, bool) and abs(int(value)) < LARGEST
    if kind is float:
        if isinstance(value, numbers.Integral):
            return _fits(value, int)
        return isinstance(value, numbers.Real) and math.isfinite(value)
    return True


def _describe(kind: Any) -> str:
    if isinstance(kind, types.UnionType):
        return " or ".join(_describe(one) for one in typing.get_args(kind) if one is not type(None))
    if typing.get_origin(kind) in (tuple, list, collections.abc.Sequence):
        return f"a list, of which each is {_describe(typing.get_args(kind)[0])}"
    limit = f" below {LARGEST}" if kind is int else ""
    return _NAMES[kind] + limit
