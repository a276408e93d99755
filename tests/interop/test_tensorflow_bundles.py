"""Tables, bundles and archives of TensorFlow: what is written is read, and what is damaged is said to be."""

import gzip
import io
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow_files as files

from magenta_lite.interop import archives, bundle, checksum, snappy, table, wire
from magenta_lite.interop.wire import Damaged

ARRAYS = {
    "a/kernel": np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32),
    "a/bias": np.zeros(40, np.float32),
    "b/half": np.arange(4, dtype=np.float16),
    "b/double": np.linspace(0, 1, 9).reshape(3, 3),
    "c/whole": np.array([1, -2], np.int32),
    "global_step": np.array(1234, np.int64),
}


def bundled(prefix):
    """The checkpoint at a path, open as long as the test runs."""
    sizes = {path.name: path.stat().st_size for path in prefix.parent.iterdir()}
    contents = {name: (prefix.parent / name).read_bytes() for name in sizes}
    return bundle.opened(archives.of_memory(contents), f"{prefix.name}.index")


def same(found, wanted):
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6)
        assert found[name].shape == value.shape and found[name].dtype in (np.float32, np.int64)


@pytest.mark.parametrize("length", [0, 1, 9, 511, 512, 513, 1023, 1024, 5000, 70_001])
def test_checksums_are_those_of_another_implementation(length, monkeypatch):
    content = np.random.default_rng(length).bytes(length)
    assert checksum.crc32c(content) == files.crc32c(content)
    monkeypatch.setattr(checksum, "_PORTION", 1 << 13)
    assert checksum.crc32c(content) == files.crc32c(content)


def test_the_checksum_of_the_standard():
    assert checksum.crc32c(b"123456789") == 0xE3069283
    assert checksum.masked(b"") == 0xA282EAD8


@pytest.mark.parametrize("content", [b"", b"a", b"ab" * 300, bytes(1000), bytes(range(256)) * 3, b"x" * 61])
def test_snappy_blocks_are_unpacked(content):
    assert snappy.unpack(files.snappy(content)) == content


def test_snappy_blocks_of_the_real_library_are_unpacked():
    arrow = pytest.importorskip("pyarrow")
    rng = np.random.default_rng(0)
    for content in (
        b"to be or not to be, " * 50,
        rng.bytes(70_000),
        rng.integers(0, 3, 200_000).astype("u1").tobytes(),
    ):
        packed = arrow.compress(content, codec="snappy", asbytes=True)
        assert snappy.unpack(packed) == content


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (b"\xff\xff\xff\x7f\0a", "says it holds"),
        (b"\5\x08abcde"[:4], "is damaged"),
        (b"\4\0a\1\2", "is damaged"),
        (b"\1\4ab", "is damaged"),
        (b"\5\0a", "is damaged"),
    ],
)
def test_damaged_snappy_blocks_are_refused(block, message):
    with pytest.raises(Damaged, match=message):
        snappy.unpack(block)


@pytest.mark.parametrize("packed", [False, True])
def test_tables_come_back_in_order(packed):
    rows = [(f"name/{number:04}".encode(), bytes(number % 50)) for number in range(500)]
    content = files.table(rows, packed)
    read = [(key, bytes(value)) for key, value in table.entries(lambda o, n: content[o : o + n], len(content))]
    assert read == rows


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("shards", [1, 3])
def test_bundles_of_version_2(tmp_path, shards, packed):
    files.write(tmp_path, files.bundle("model.ckpt-7", ARRAYS, shards, packed))
    found = bundled(tmp_path / "model.ckpt-7")
    assert found.version == 2
    assert {name: one.shape for name, one in found.variables.items()} == {n: a.shape for n, a in ARRAYS.items()}
    same(found.read(ARRAYS), ARRAYS)
    same(found.read(["a/bias"]), {"a/bias": ARRAYS["a/bias"]})


@pytest.mark.parametrize("packed", [False, True])
def test_checkpoints_of_version_1(packed):
    arrays = {name: value for name, value in ARRAYS.items() if value.dtype != np.float16}
    found = bundle.opened(archives.of_memory({"x": files.version1(arrays, packed)}), "x")
    assert found.version == 1
    same(found.read(arrays), arrays)


def test_the_originals_bundles(shared):
    paths = sorted(shared("parity").glob("*.index"))
    assert len(paths) == 15
    for path in paths:
        weights, _ = files.parity(path.with_suffix("").with_suffix(".npz"))
        with archives.opened(path, "folder") as folder:
            found = bundle.opened(folder, path.name)
            same(found.read(found.variables), weights)


def test_only_what_is_wanted_is_read(tmp_path):
    made = files.bundle("m", ARRAYS)
    data = bytearray(made["m.data-00000-of-00001"])
    data[0] ^= 1  # of a/bias, the first
    made["m.data-00000-of-00001"] = bytes(data)
    found = bundle.opened(archives.of_memory(made), "m.index")
    found.read(["a/kernel"])
    with pytest.raises(Damaged, match=r"checksum of the variable a/bias is wrong: bytes of m\.data-00000"):
        found.read(["a/bias"])


def test_every_flipped_byte_is_noticed():
    """Of an index, its checksums cover everything but the padding of its end; of the data all is covered."""
    made = files.bundle("m", {name: ARRAYS[name] for name in ("a/kernel", "global_step")})
    padding = len(made["m.index"]) - 8
    unnoticed = []
    for name, content in made.items():
        for place in range(len(content)):
            spoiled = bytearray(content)
            spoiled[place] ^= 0x10
            try:
                found = bundle.opened(archives.of_memory(made | {name: bytes(spoiled)}), "m.index")
                values = found.read(found.variables)
                same(values, {one: ARRAYS[one] for one in ("a/kernel", "global_step")})
                unnoticed.append((name, place))
            except Damaged:
                pass
    assert all(name == "m.index" and padding - 40 <= place < padding for name, place in unnoticed)
    assert len(unnoticed) < 40


@pytest.mark.parametrize("name", ["m.index", "m.data-00000-of-00002", "m.data-00001-of-00002"])
def test_every_shortened_file_is_noticed(name):
    made = files.bundle("m", ARRAYS, shards=2)
    for length in range(0, len(made[name]), 7):
        with pytest.raises(Damaged):
            bundle.opened(archives.of_memory(made | {name: made[name][:length]}), "m.index").read(ARRAYS)


def test_a_missing_shard_is_named():
    made = files.bundle("m", ARRAYS, shards=2)
    del made["m.data-00001-of-00002"]
    with pytest.raises(Damaged, match=r"its data is missing: m\.data-00001-of-00002"):
        bundle.opened(archives.of_memory(made), "m.index")


def entry(kind=1, shape=(2, 3), size=24, offset=400, **more):
    message = files.field(1, kind) + files.field(2, files.shape(np.empty(shape))) + files.field(4, offset)
    return message + files.field(5, size) + b"".join(files.field(number, value) for number, value in more.values())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (entry(shape=(2, 4)), r"of shape \(2, 4\) takes 24 bytes"),
        (entry(size=1 << 60), "cut short: it has 500 bytes"),
        (entry(more=(4, 1 << 60)), "lies behind its end"),
        (entry(more=(3, 5)), "in shard 5, of 1"),
        (entry(more=(7, b"")), "in parts"),
        (entry(kind=7), "of the kind string"),
        (entry(shape=(0, 3), size=0), "is empty"),
        (files.field(2, files.field(3, 1)), "unknown shape"),
        (b"\x0b", "a field of the kind 3"),
        (b"\x12\x7f", "are left"),
    ],
)
def test_entries_that_lie_are_refused(value, message):
    made = files.bundle("m", {"a": np.ones(100, np.float32)}, more=[(b"b", value)])
    made["m.data-00000-of-00001"] += bytes(100)
    with pytest.raises(Damaged, match=message):
        bundle.opened(archives.of_memory(made), "m.index").read(["b"])


def test_many_variables_cannot_share_the_same_bytes():
    """Else a small file could ask for more memory than there is."""
    data = np.ones(1000, np.float32)
    more = [(f"b{number}".encode(), entry(shape=(1000,), size=4000)) for number in range(50)]
    with pytest.raises(Damaged, match="cut short: it has 4,000 bytes, and the index speaks of 204,000"):
        bundle.opened(archives.of_memory(files.bundle("m", {"a": data}, more=more)), "m.index")


@pytest.mark.parametrize(("offset", "shared"), [(0, True), (376, True), (399, True), (400, False)])
def test_two_variables_do_not_share_a_byte(offset, shared):
    made = files.bundle("m", {"a": np.ones(100, np.float32)}, more=[(b"b", entry(offset=offset))])
    made["m.data-00000-of-00001"] += bytes(100)
    with pytest.raises(
        Damaged, match="the variables (a and b|b and a) share bytes" if shared else "checksum of the variable b"
    ):
        bundle.opened(archives.of_memory(made), "m.index").read(["b"])


def test_blocks_that_overlap_are_refused():
    """Else a small file could have the same megabytes read again and again."""
    empty = struct.pack("<II", 0, 1)  # the end of a block

    def item(key, value):
        return files.varint(0) + files.varint(len(key)) + files.varint(len(value)) + key + value

    def block(content):
        return content + b"\0" + struct.pack("<I", files.masked(content + b"\0"))

    data, meta = block(item(b"", bytes(99)) + empty), block(empty)
    index = item(b"a", files.varint(0) + files.varint(len(data) - 5))
    index += item(b"b", files.varint(1) + files.varint(20)) + empty
    handles = [len(data), len(empty), len(data) + len(meta), len(index)]
    content = data + meta + block(index) + b"".join(map(files.varint, handles)).ljust(40, b"\0") + table.MAGIC
    with pytest.raises(Damaged, match="not one behind the other"):
        list(table.entries(lambda offset, size: content[offset : offset + size], len(content)))


def tensor_of(content, kind=9, shape=()):
    """A V1 checkpoint of one variable, whose TensorProto is given."""
    meta = files.field(1, b"a") + files.field(2, files.shape(np.empty(shape))) + files.field(3, kind)
    saved = files.field(1, b"a") + files.field(3, content)
    return files.table([(b"", files.field(1, files.field(1, meta))), (b"\0a", files.field(2, saved))])


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (files.field(10, bytes(2)), 9),
        (files.field(10, 1) * 2, 9),
        (files.field(10, b"\1" * 200_000 + b"\xff"), 9),  # which would end in the midst of a number
        (files.field(13, bytes(2)), 19),
        (files.field(5, bytes(4)) * 2, 1),
        (files.field(4, bytes(8)), 1),
    ],
)
def test_more_numbers_than_the_shape_says_are_read_no_further(content, kind):
    found = bundle.opened(archives.of_memory({"x": tensor_of(content, kind)}), "x")
    with pytest.raises(Damaged, match="expected"):
        found.read(["a"])


def test_many_fields_are_refused_at_every_level(monkeypatch):
    monkeypatch.setattr(bundle, "MOST_FIELDS", 100)
    named = files.field(1, b"a") + files.field(3, 1)
    levels = [
        b"\x0a\0" * 101,
        files.field(1, b"\x12\0" * 101),
        files.field(1, files.field(1, b"\x22\0" * 101)),
        files.field(1, files.field(1, named + files.field(2, files.field(2, b"\x08\0" * 101)))),
        files.field(1, files.field(1, named + files.field(4, b"\x0a\0" * 101))),
        files.field(1, files.field(1, named + b"\x22\0" * 40) * 3),
    ]
    for header in levels:
        with pytest.raises(Damaged, match="more than 100 fields, as no model does"):
            bundle.opened(archives.of_memory({"x": files.table([(b"", header)])}), "x")
    for value in (b"\x3a\0" * 101, files.field(2, b"\x1a\0" * 101), files.field(2, files.field(2, b"\x10\0" * 101))):
        with pytest.raises(Damaged, match="more than 100 fields"):
            made = files.table([(b"", b"\x08\1"), (b"a", value)])
            bundle.opened(archives.of_memory({"m.index": made}), "m.index")
    for content in (b"\x22\0" * 101, b"\x52\0" * 101):
        with pytest.raises(Damaged, match="more than 100 fields"):
            bundle.opened(archives.of_memory({"x": tensor_of(content)}), "x").read(["a"])
    rows = [(b"", b"\x08\1"), *((b"\0%03d" % number, b"") for number in range(101))]
    with pytest.raises(Damaged, match="more than 100 fields"):
        bundle.opened(archives.of_memory({"m.index": files.table(rows)}), "m.index")


def test_a_shape_of_nine_sizes_is_refused():
    header = files.field(1, files.field(1, files.field(1, b"a") + files.field(2, files.shape(np.empty((1,) * 9)))))
    with pytest.raises(Damaged, match="more than 8 dimensions"):
        bundle.opened(archives.of_memory({"x": files.table([(b"", header)])}), "x")


def test_long_and_repeated_names_are_refused():
    for rows, message in (
        ([(b"", b"\x08\1"), (b"a" * 2000, b"")], "a name of 2,000 bytes"),
        ([(b"", b"\x08\1"), (b"a", b""), (b"a", b"")], "do not ascend"),
        ([(b"a", b"")], "not of a checkpoint"),
        ([(b"", b"")], "not of a checkpoint"),
        ([(b"", b"\x08\1\x10\1")], "big-endian"),
    ):
        with pytest.raises(Damaged, match=message):
            bundle.opened(archives.of_memory({"m.index": files.table(rows)}), "m.index")


@pytest.mark.parametrize("form", ["tar", "tgz", "zip", "stored zip"])
def test_archives_are_read_where_they_lie(tmp_path, form):
    made = {f"deep/{name}": content for name, content in files.bundle("m", ARRAYS, shards=2).items()}
    path = tmp_path / "model"
    path.write_bytes(
        {
            "tar": lambda: files.tarred(made),
            "tgz": lambda: files.tarred(made, "w:gz"),
            "zip": lambda: files.zipped(made),
            "stored zip": lambda: files.zipped(made, zipfile.ZIP_STORED),
        }[form]()
    )
    with archives.opened(path, "zip" if "zip" in form else "tar") as found:
        same(bundle.opened(found, "deep/m.index").read(ARRAYS), ARRAYS)
    assert [one.name for one in tmp_path.iterdir()] == ["model"]


def test_names_in_archives_lead_nowhere(tmp_path):
    made = {f"../../{name}": content for name, content in files.bundle("m", ARRAYS).items()}
    (tmp_path / "a" / "b").mkdir(parents=True)
    path = tmp_path / "a" / "b" / "model.tar"
    path.write_bytes(files.tarred(made))
    with archives.opened(path, "tar") as found:
        same(bundle.opened(found, "../../m.index").read(ARRAYS), ARRAYS)
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["a", "b", "model.tar"]


def test_links_in_archives_are_passed_over(tmp_path):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind in (("m.index", tarfile.SYMTYPE), ("n.index", tarfile.LNKTYPE), ("o.index", tarfile.FIFOTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    (tmp_path / "model.tar").write_bytes(out.getvalue())
    with archives.opened(tmp_path / "model.tar", "tar") as found:
        assert found.sizes == {}


def test_archives_that_unpack_to_much_are_refused(tmp_path):
    zeros = {"m.index": bytes(30 << 20)}
    (tmp_path / "a.tgz").write_bytes(files.tarred(zeros, "w:gz"))
    (tmp_path / "a.zip").write_bytes(files.zipped(zeros))
    for name, kind in (("a.tgz", "tar"), ("a.zip", "zip")):
        with pytest.raises(Damaged, match="unpacks to"), archives.opened(tmp_path / name, kind) as found:
            found.read("m.index", (30 << 20) - 8, 8)
    (tmp_path / "many.tar").write_bytes(files.tarred(dict.fromkeys(map(str, range(archives.MOST_FILES + 1)), b"")))
    with pytest.raises(Damaged, match="more than 10,000 files"), archives.opened(tmp_path / "many.tar", "tar"):
        pass


def test_what_is_packed_but_no_archive_is_said_to_be_none(tmp_path):
    (tmp_path / "a.tgz").write_bytes(gzip.compress(b"a drawing" * 100))
    (tmp_path / "b.tgz").write_bytes(files.tarred(files.bundle("m", ARRAYS), "w:gz")[:300])
    for name, message in (("a.tgz", "no .tar archive"), ("b.tgz", "damaged")):
        with pytest.raises(Damaged, match=message), archives.opened(tmp_path / name, "tar"):
            pass


def test_a_bundle_of_a_generator():
    content = files.mag(files.version1({"a": np.ones(3, np.float32)}), "performance", "a try")
    found, id_, description = archives.generator(content)
    assert (id_, description) == ("performance", "a try")
    same(bundle.opened(found, "checkpoint").read(["a"]), {"a": np.ones(3)})
    with pytest.raises(Damaged, match="no checkpoint"):
        archives.generator(b"")
    with pytest.raises(Damaged, match="more than two checkpoint files"):
        archives.generator(b"\x12\0" * 3 + b"\xff")  # what follows is not looked at
    for content in (b"\x1a\0" * 1001, files.field(4, b"\x12\0" * 1001)):
        with pytest.raises(Damaged, match="more than 1,000 fields"):
            archives.generator(content)


def test_messages_that_end_early_are_refused():
    for content in (b"\x08", b"\x08\x80", b"\x08" + b"\xff" * 10, b"\x0a\x05abc", b"\x0d\0\0", b"\x02\0"):
        with pytest.raises(Damaged):
            list(wire.fields(content, wire.Budget(100)))


def test_a_file_of_version_1_that_tensorflow_wrote():
    path = Path(__file__).parent / "tensorflow_version_1.ckpt"
    found = bundle.opened(archives.of_memory({"x": path.read_bytes()}), "x")
    assert found.version == 1
    values = found.read(found.variables)
    np.testing.assert_array_equal(values["rnn/kernel"], np.arange(600, dtype=np.float32).reshape(20, 30) / 7)
    np.testing.assert_array_equal(values["rnn/zeros"], np.zeros(300))
    assert values["global_step"] == 4321
