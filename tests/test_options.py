"""Values against declared types."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pytest

from magenta_lite.errors import UserError
from magenta_lite.options import check_names, check_types, refuse_decided


@dataclasses.dataclass
class Options:
    """One field of each kind."""

    kind: ClassVar[int] = 0
    size: int = 1
    share: float = 0.5
    name: str = ""
    on: bool = False
    layers: Sequence[int] = ()
    labels: tuple[str, ...] = ()
    limit: int | None = None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("size", value) for value in (-3, np.int64(3), 2**31 - 1)),
        *(("share", value) for value in (1, -0.5, np.float32(1))),
        *(("layers", value) for value in ((), [1, 2], (1,))),
        *(("limit", value) for value in (None, 3)),
        *(("name", "x"), ("on", True), ("labels", ["a"]), ("unknown", object()), ("kind", 1)),
    ],
)
def test_what_is_of_its_type_is_taken(field, value):
    check_types("config.part", {field: value}, Options)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        *(("size", value, "a whole number below 2147483648") for value in (1.0, "1", None, True, 2**31, -(2**31), [1])),
        *(("share", value, "a number") for value in ("1", float("nan"), float("inf"), True, 1j, None, 10**400)),
        *(("layers", value, "a list, of which each is a whole number") for value in (1, "12", (1.5,), (None,), ("1",))),
        *(("labels", value, "a list, of which each is a text") for value in ("ab", None, (1,))),
        *(("limit", value, "a whole number") for value in ("x", 1.5)),
        *(("name", 5, "a text"), ("name", b"x", "a text"), ("on", 1, "True or False")),
    ],
)
def test_what_is_not_is_refused_by_its_name(field, value, expected):
    with pytest.raises(UserError) as refused:
        check_types("config.part", {"share": 0.1, field: value}, Options)
    assert str(refused.value).startswith(f"config.part.{field}={value!r}: expected {expected}"[:200])


def test_functions_declare_types_too():
    def model(codec, *, size: int, rate: float = 0.0) -> None:
        """Takes two options."""

    check_types("config.model", {"size": 3, "codec": "anything"}, model)
    with pytest.raises(UserError, match=r"config.model.rate='fast': expected a number"):
        check_types("config.model", {"size": 3, "rate": "fast"}, model)


def test_what_the_data_decides_is_not_asked_for():
    refuse_decided("config.codec", {"crop": 3}, ["labels"])
    with pytest.raises(UserError, match=r"config.codec.labels=.*the data decides it"):
        refuse_decided("config.codec", {"labels": ()}, ["labels"])


@pytest.mark.parametrize(
    ("message", "line"),
    [("one\ntwo", "one two"), ("\x1b[2Jred", "?[2Jred"), ("x" * 5000, f"{'x' * 1000} ... {'x' * 1000}")],
)
def test_a_message_is_one_line_whatever_it_quotes(message, line):
    assert str(UserError(message)) == line


def test_names_are_those_of_the_function():
    def make(*, rate, clip=0.0):
        return rate, clip

    check_names("config.part", {"rate": 1.0}, make)
    with pytest.raises(UserError, match=r"config.part.clop: no such field; did you mean 'clip'"):
        check_names("config.part", {"rate": 1.0, "clop": 2.0}, make)
    with pytest.raises(UserError, match=r"config.part.rate is missing"):
        check_names("config.part", {"clip": 2.0}, make)
