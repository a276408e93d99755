"""Reading in processes that may die: one item is lost, and only that one."""

import os
import signal
import time

import pytest

from data.reading_pool import CRASHED, LARGE, read_all
from magenta_lite.errors import Rejected, UserError


def misbehave(item):
    """What a reader does that has met its match."""
    match item:
        case "exit":
            os._exit(0)
        case "fault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "sleep":
            time.sleep(60)
        case "memory":
            return len(bytearray(8 << 30))
        case "raise":
            raise ValueError("what a file says may be anything")
    return f"read {item}"


EXPECTED = {
    "exit": CRASHED,
    "fault": CRASHED,
    "sleep": Rejected("reading it takes longer than 1 s"),
    "memory": LARGE,
    "raise": Rejected("cannot be read (ValueError)"),
}


@pytest.mark.parametrize("processes", [1, 3])
def test_what_kills_a_reader_costs_one_item_in_its_place(processes):
    items = [str(number) for number in range(100)]
    for place, bad in zip((3, 15, 16, 40, 99), EXPECTED, strict=True):
        items[place] = bad
    found = list(read_all(misbehave, items, processes=processes, seconds=1.0))
    assert found == [EXPECTED.get(item, f"read {item}") for item in items]


def test_items_are_taken_as_they_are_needed():
    taken = []

    def endless():
        for number in range(10**9):
            taken.append(number)
            yield str(number)

    results = read_all(misbehave, endless(), processes=2)
    assert [next(results) for _ in range(300)] == [f"read {number}" for number in range(300)]
    assert len(taken) < 1000
    results.close()
    assert list(read_all(misbehave, [], processes=2)) == []


def no_import(item):
    return item


def test_readers_that_do_not_start_are_an_error(monkeypatch):
    monkeypatch.setattr(no_import, "__module__", "no_such_module")
    monkeypatch.setitem(__import__("sys").modules, "no_such_module", __import__("sys").modules[__name__])
    with pytest.raises(UserError, match="do not start"):
        list(read_all(no_import, ["a"], processes=1))
