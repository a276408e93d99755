"""What waits in files between reading and writing: it comes back as it was, and nothing in it is ever run."""

import pickle

import numpy as np
import pytest

from data.midi import keeping, kept
from data.midi.reading import Read
from magenta_lite.errors import Rejected, UserError

RECORDS = [
    {"pitch": np.arange(5, dtype=np.uint8), "qpm": 120.5, "names": "Pi\u00e9ce", "pedal": np.zeros((0, 3), np.uint32)},
    {"pitch": np.zeros(0, np.uint8), "steps": 16, "offset": np.ones((2, 9), np.float32), "one": np.float32(0.1)},
    {},
]


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_records_come_back_as_they_were():
    found = kept.unpack(kept.pack(RECORDS))
    assert [list(record) for record in found] == [list(record) for record in RECORDS]
    for record, expected in zip(found, RECORDS, strict=True):
        for name, value in expected.items():
            assert type(record[name]) is type(value)
            np.testing.assert_array_equal(record[name], value)
            if isinstance(value, np.ndarray):
                assert record[name].dtype == value.dtype
                assert record[name].flags.writeable


def test_what_has_no_place_is_refused():
    with pytest.raises(TypeError, match="a column of list: a"):
        kept.pack([{"a": [1]}])


def test_results_wait_in_a_file(tmp_path):
    results = [
        Rejected("no notes"),
        Read(3, kept.pack(RECORDS), b"\0\1\2", {"3/4": 2}, {"short": 1}, ""),
        Read(0, b"", b"", {}, {}, "no melody"),
    ]
    keeping._keep(results, tmp_path / "0")
    assert keeping._restore(tmp_path / "0", 3) == results
    keeping._keep([], tmp_path / "1")
    assert keeping._restore(tmp_path / "1", 0) == []


def test_a_pickle_that_was_put_there_is_not_run(tmp_path):
    folder = tmp_path / ".set.partial" / "read"
    folder.mkdir(parents=True)
    for content in (pickle.dumps([Evil(tmp_path / "run")]), b"", b"\0" * 30, b"\0" * 7 + b"\2[]", b"x" * 100):
        (folder / "0").write_bytes(content)
        with pytest.raises(UserError, match=r"is damaged .*: delete .*\.set\.partial and begin anew"):
            keeping._restore(folder / "0", 1)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 9, -1])
def test_what_ends_too_early_is_damaged(tmp_path, cut):
    content = keeping._packed([Read(3, kept.pack(RECORDS), b"\0\1\2\3", {}, {}, "")])
    (tmp_path / "0").write_bytes(content[: cut if cut >= 0 else len(content) - 9])
    with pytest.raises(UserError, match="is damaged"):
        keeping._restore(tmp_path / "0", 1)
