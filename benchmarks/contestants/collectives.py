"""What a compiled program sends between devices."""

import re

_SIZES = {"f32": 4, "s32": 4, "u32": 4, "bf16": 2, "f64": 8}
_ALL_REDUCE = re.compile(r"= (?P<result>[^=]*?) all-reduce(?:-start)?\(")
_OTHER = re.compile(r" (all-gather|all-to-all|reduce-scatter|collective-permute|collective-broadcast)(?:-start)?\(")
_ARRAY = re.compile(r"([a-z]+\d+)\[([\d,]*)\]")


def all_reduces(program: str) -> list[int]:
    """The bytes of every all-reduce in a program's text.

    Raises:
      ValueError: it sends something in another way.
    """
    if other := _OTHER.search(program):
        raise ValueError(f"{other[1]} in the program: expected all-reduces alone")
    return [
        sum(_bytes(kind, shape) for kind, shape in _ARRAY.findall(found["result"]))
        for found in _ALL_REDUCE.finditer(program)
    ]


def _bytes(kind: str, shape: str) -> int:
    count = 1
    for size in filter(None, shape.split(",")):
        count *= int(size)
    return count * _SIZES[kind]
