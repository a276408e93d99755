"""Published drawings are read exactly, and nothing in a hostile file runs."""

import copyreg
import functools
import operator
import os
import pickle
import struct
import subprocess
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.quickdraw import npz
from magenta_lite.errors import UserError

SETS = ("aaron_sheep", "alarm_clock", "face", "kanji.rdp100", "omniglot", "pig", "short_kanji")


def _npy(payload: bytes, *shape: int, kind: str = "|O") -> bytes:
    header = str({"descr": kind, "fortran_order": False, "shape": shape or (1,)}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + payload


def _write(path: Path, entry: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for split in npz.SPLITS:
            archive.writestr(f"{split}.npy", entry)
    return path


def _pickled(items: list, protocol: int = 4) -> bytes:
    array = np.empty(len(items), object)
    array[:] = items
    return pickle.dumps(array, protocol)


def _refused(path: Path, match: str) -> None:
    with pytest.raises(UserError, match=match) as caught:
        npz.read(path, "train")
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


class _Call:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize(
    "call",
    [
        lambda marker: _Call(os.system, f"touch {marker}"),
        lambda marker: _Call(eval, f"open({str(marker)!r}, 'w')"),
        lambda marker: _Call(exec, f"open({str(marker)!r}, 'w')"),
        lambda marker: _Call(open, str(marker), "w"),
        lambda marker: _Call(subprocess.Popen, ["touch", str(marker)]),
        lambda marker: _Call(functools.partial, os.system, f"touch {marker}"),
        lambda marker: _Call(operator.methodcaller, "touch", Path(marker)),
        lambda marker: _Call(np.load, str(marker), None, True),
        lambda marker: _Call(np.save, str(marker), 1),
        lambda marker: _Call(__import__, "antigravity"),
    ],
    ids=["system", "eval", "exec", "open", "Popen", "partial", "methodcaller", "load", "save", "import"],
)
def test_nothing_in_a_pickle_runs(tmp_path, call, inside, protocol):
    marker = tmp_path / "ran.npy"
    attack = call(marker)
    payload = _pickled([np.zeros((1, 3), np.int16), attack], protocol) if inside else pickle.dumps(attack, protocol)
    _refused(_write(tmp_path / "cat.npz", _npy(payload, 2)), r"train\.npy: refused ")
    assert not marker.exists()


def test_a_refusal_names_file_entry_and_global(tmp_path):
    path = _write(tmp_path / "cat.npz", _npy(pickle.dumps(_Call(os.system, "true"))))
    _refused(path, r"cat\.npz: train\.npy: refused posix\.system: only arrays of numbers are read")


@pytest.mark.parametrize(
    "payload",
    [
        b"(S'true'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'true'\no.",  # OBJ
        b"\x80\x02c__builtin__\neval\nX\x01\x00\x00\x001\x85R.",
        b"\x80\x02cnumpy.core.multiarray\nscalar\n.",
        b"\x80\x02cnumpy\nload\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x0edtype.__call__\x93.",  # a dotted name
        b"\x80\x02cnumpy\ndtype\n)\x81.",  # NEWOBJ
        b"P1\n.",  # PERSID
        b"\x80\x02K\x01Q.",  # BINPERSID
        b"\x80\x02cnumpy\nndarray\n(K\x01K\x02K\x03K\x04K\x05tb.",  # BUILD of a class
        b"\x80\x02cnumpy\nndarray\n)R.",  # REDUCE of a class
        b"\x80\x02K\x01)R.",  # REDUCE of a number
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00idna_\x86R.",
        b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00V9\x85R.",
        b"\x80\x05\x96\x00\x00\x00\x00\x00\x00\x00\x7f.",  # BYTEARRAY8
        b"\x80\x05\x97.",  # NEXT_BUFFER
        b"\x80\x02}.",  # dictionaries set attributes elsewhere
    ],
)
def test_other_instructions_and_names_are_refused(tmp_path, payload):
    _refused(_write(tmp_path / "cat.npz", _npy(payload)), "cat.npz: train.npy: ")


def test_names_in_a_file_reach_no_terminal_as_they_are(tmp_path):
    _refused(
        _write(tmp_path / "cat.npz", _npy(b"\x80\x02cos\x1b[2J\nsys\rtem\n.")), r"refused os\?\[2J\.sys\?tem: only"
    )


def test_registered_extension_codes_are_refused(tmp_path):
    copyreg.add_extension("posix", "system", 0xF0)
    try:
        marker = tmp_path / "ran"
        command = f"touch {marker}".encode()
        for code in (b"\x82\xf0", b"\x83\xf0\x00", b"\x84\xf0\x00\x00\x00"):
            payload = b"\x80\x02" + code + b"U" + bytes([len(command)]) + command + b"\x85R."
            _refused(_write(tmp_path / "cat.npz", _npy(payload)), "refused the pickle instruction EXT")
        assert not marker.exists()
    finally:
        copyreg.remove_extension("posix", "system", 0xF0)


_MADE = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n%b\x85U\x01b\x87R"


def _array_state(shape: bytes, content: bytes) -> bytes:
    """A pickle of one int16 array with any claimed shape."""
    dtype = b"cnumpy\ndtype\nU\x02i2K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    bytes_ = b"U" + bytes([len(content)]) + content
    return _MADE % b"K\x00" + b"(K\x01" + shape + dtype + b"\x89" + bytes_ + b"tb"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (_npy(b"\x80\x02" + _array_state(b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86", b"123456") + b"."), "in 6 bytes"),
        (_npy(b"\x80\x02" + _array_state(b"J\xff\xff\xff\xffJ\xfd\xff\xff\xff\x86", b"123456") + b"."), "in 6 bytes"),
        (_npy(b"\x80\x02" + _MADE % b"\x8a\x05\x00\x00\x00\x00\x7f" + b"."), "not an object array"),
        (_npy(b"\x80\x02]r\xff\xff\xff\x7f."), "not an object array"),  # a memo index of 2**31
        (_npy(b"\x80\x04\x8e\x00\x00\x00\x00\x00\x10\x00\x00."), "refused .* BINBYTES8"),  # bytes of 2**44
        (_npy(b"\x80\x03B\xff\xff\xff\x7f."), "cannot be read"),  # bytes of 2**31
        (
            _npy(b"\x80\x04\x95\x00\x00\x00\x00\x00\x10\x00\x00."),
            "not an object array|cannot be read",
        ),  # a frame of 2**44
        (_npy(_pickled([]), 10**12), r"an object array \[0\]: expected a list"),
        (_npy(bytes(18), 10**12, 3, 3, kind="<i2"), "in 18 bytes"),
    ],
)
def test_claimed_sizes_allocate_nothing(tmp_path, entry, message):
    path = _write(tmp_path / "cat.npz", entry)
    tracemalloc.start()
    try:
        _refused(path, f"cat.npz: train.npy:? .*({message})")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_an_entry_that_is_too_large_is_refused(save, drawings, monkeypatch):
    monkeypatch.setattr(npz, "_LARGEST", 1000)
    path = save("cat", train=drawings(90), valid=[], test=[])
    with pytest.raises(UserError, match=r"train.npy: [\d,]+ bytes, expected at most 1,000: part it into files"):
        npz.read(path, "train")


def test_an_entry_that_unpacks_without_end_is_refused(tmp_path):
    _refused(_write(tmp_path / "cat.npz", bytes(20 << 20)), "would unpack")


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<i4", "u1", "<f4", "<f8", ">f8"])
def test_both_spellings_of_numpy_and_every_real_type(tmp_path, module, dtype):
    items = [np.arange(6, dtype=dtype).reshape(2, 3), np.asfortranarray(np.arange(9, dtype=dtype).reshape(3, 3))]
    payload = _pickled(items, 2).replace(b"numpy._core.multiarray", module).replace(b"numpy.core.multiarray", module)
    read = npz.read(_write(tmp_path / "cat.npz", _npy(payload, 2)), "valid")
    for array, item in zip(read, items, strict=True):
        assert array.dtype == item.dtype
        np.testing.assert_array_equal(array, item)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_every_protocol_of_numpy_save(tmp_path, drawings, protocol):
    items = drawings(1500)  # more than the thousand items that a pickle appends at a time
    path = _write(tmp_path / "cat.npz", _npy(_pickled(items, protocol), 1500))
    assert npz.count(path, "test") == 1500
    read = npz.read(path, "test")
    assert all(np.array_equal(array, item) and array.dtype == np.int16 for array, item in zip(read, items, strict=True))


def test_python_2_wrote_bytes_as_text(tmp_path):
    content = bytes([0, 128, 255, 1, 2, 200, 250, 0, 0, 0, 1, 0])
    item = _array_state(b"K\x02K\x03\x86", content)
    outer = b"\x80\x02" + _MADE % b"K\x00" + b"(K\x01K\x01\x85"
    outer += b"cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb\x89]("
    path = _write(tmp_path / "cat.npz", _npy(outer + item + b"etb."))
    (array,) = npz.read(path, "train")
    np.testing.assert_array_equal(array, np.frombuffer(content, "<i2").reshape(2, 3))
    with np.load(path, allow_pickle=True, encoding="latin1") as trusted:
        np.testing.assert_array_equal(array, trusted["train"][0])


def test_drawings_of_equal_length_may_be_one_plain_array(tmp_path):
    array = np.arange(24, dtype=np.int16).reshape(4, 2, 3)
    np.savez(tmp_path / "cat.npz", train=array, valid=array, test=array)
    np.testing.assert_array_equal(np.stack(npz.read(tmp_path / "cat.npz", "train")), array)


def test_items_that_are_no_arrays_become_none(tmp_path):
    read = npz.read(_write(tmp_path / "cat.npz", _npy(_pickled([None, 3, "text", np.zeros((1, 3))]), 4)), "train")
    assert [item is None for item in read] == [True, True, True, False]


@pytest.mark.parametrize(
    "item",
    [
        np.zeros((1, 3), complex),
        np.zeros((1, 3), bool),
        np.zeros(2, "U3"),
        np.zeros(2, "S3"),
        np.zeros(2, "V3"),
        np.zeros(2, "M8[s]"),
        np.zeros(2, [("x", "i2")]),
        np.array([None]),
    ],
    ids=lambda item: str(item.dtype),
)
def test_arrays_of_anything_but_real_numbers_are_refused(tmp_path, item):
    _refused(_write(tmp_path / "cat.npz", _npy(_pickled([item, None]), 2)), "cat.npz: train.npy: ")


def test_damaged_files(tmp_path, save, drawings):
    good = save("cat", train=drawings(20), valid=drawings(3), test=drawings(3))
    bad = tmp_path / "bad.npz"
    _refused(bad, "no such file")
    bad.write_bytes(b"<html>not found</html>")
    _refused(bad, "cannot be read")
    bad.write_bytes(good.read_bytes()[:-50])
    _refused(bad, "cannot be read")
    bad.write_bytes(good.read_bytes().replace(good.read_bytes()[200:260], bytes(60)))
    _refused(bad, "cannot be read")
    _refused(save("no_valid", train=drawings(2), test=drawings(2)), "no valid inside: .* holds test.npy, train.npy")
    np.savez(bad, train=np.zeros((2, 3)), valid=[], test=[])
    _refused(bad, r"an array \[2, 3\] of float64: expected an array of drawings")
    np.savez(bad, train=np.full((2, 2), None), valid=[], test=[])
    _refused(bad, "expected a list of drawings")
    _refused(_write(bad, b"\x93NUMPY\x03\x00" + bytes(100)), "array format 3.0")
    _refused(_write(bad, _npy(_pickled([None]))[:-3]), "cannot be read")


_WHOLE = _npy(_pickled([np.zeros((2, 3), np.int16), np.zeros((1, 3))]), 2)
_CHANGE = st.tuples(st.integers(0, len(_WHOLE) - 1), st.integers(0, 255))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(_CHANGE, min_size=1, max_size=4))
def test_any_damage_is_one_line(tmp_path, changes):
    entry = bytearray(_WHOLE)
    for position, value in changes:
        entry[position] = value
    try:
        items = npz.read(_write(tmp_path / "cat.npz", bytes(entry)), "train")
    except UserError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert all(item is None or isinstance(item, np.ndarray) for item in items)


@pytest.mark.parametrize("name", SETS)
def test_published_sets_equal_numpy(published, name):
    path = published / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    with np.load(path, allow_pickle=True, encoding="latin1") as trusted:
        assert sorted(trusted.files) == ["test", "train", "valid"]
        for split in npz.SPLITS:
            read, expected = npz.read(path, split), trusted[split]
            assert len(read) == len(expected)
            for array, item in zip(read, expected, strict=True):
                assert array.dtype == item.dtype and array.shape == item.shape
                assert array.tobytes() == item.tobytes()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_unpack_to_any_size_are_refused(tmp_path, drawings, method):
    path = tmp_path / "cat.npz"
    with zipfile.ZipFile(path, "w", method) as archive:
        for split in npz.SPLITS:
            archive.writestr(f"{split}.npy", _npy(_pickled(drawings(3)), 3))
    _refused(path, f"train.npy: packed by method {method}, as no set of drawings is")


def test_instructions_are_counted_by_what_a_set_of_that_size_needs(tmp_path):
    tiny = [np.zeros((1, 3), np.int16)] * 30_000  # all alike: 19 kB when packed
    assert len(npz.read(_write(tmp_path / "cat.npz", _npy(_pickled(tiny), 30_000)), "train")) == 30_000
    _refused(_write(tmp_path / "cat.npz", _npy(b"\x80\x02" + b"]" * 2_000_000)), "more pickle instructions than")


def test_what_a_header_declares_is_no_more_than_its_bytes(tmp_path):
    for declared in (10**30, -1, 5000):
        path = _write(tmp_path / "cat.npz", _npy(_pickled([None]), declared))
        with pytest.raises(UserError, match=r"train\.npy: an array "):
            npz.count(path, "train")
