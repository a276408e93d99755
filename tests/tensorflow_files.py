"""Writes what TensorFlow writes, for tests: sorted tables, V2 bundles, V1 checkpoints, and bundles of generators.

Checksums, messages and .mag files come from other people's libraries, so that no reader is tested with its own words.
"""

import io
import struct
import tarfile
import zipfile

import numpy as np
from tensorboardX.crc32c import crc32c
from tensorboardX.proto.tensor_pb2 import TensorProto
from tensorboardX.proto.tensor_shape_pb2 import TensorShapeProto

KINDS = {"float32": 1, "float64": 2, "int32": 3, "int64": 9, "float16": 19}


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def field(number, content):
    """A field of a message: a whole number, or bytes."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def fixed32(number, value):
    return varint(number << 3 | 5) + struct.pack("<I", value)


def masked(content):
    crc = crc32c(bytes(content))
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def snappy(content):
    """Packed: runs of one byte as copies that reach into themselves, all else as letters."""
    out, at, letters = bytearray(varint(len(content))), 0, bytearray()

    def flush():
        for begin in range(0, len(letters), 100):
            part = letters[begin : begin + 100]
            out.extend(bytes([(len(part) - 1) << 2]) if len(part) <= 60 else bytes([60 << 2, len(part) - 1]))
            out.extend(part)
        letters.clear()

    while at < len(content):
        run = 1
        while at + run < len(content) and run < 65 and content[at + run] == content[at]:
            run += 1
        letters.append(content[at])
        if run >= 5:
            flush()
            out += bytes([(run - 2) << 2 | 2, 1, 0])
            at += run
        else:
            at += 1
    flush()
    return bytes(out)


def table(rows, packed=False, block_size=200, spoil=bytes):
    """A table of (key, value), in the order that is given; spoil(block) changes blocks, whose checksums are right."""
    out, index = bytearray(), []

    def put(items):
        block, restarts, before = bytearray(), [], b""
        for number, (key, value) in enumerate(items):
            shared = 0
            if number % 3 == 0:
                restarts.append(len(block))
            else:
                while shared < min(len(key), len(before)) and key[shared] == before[shared]:
                    shared += 1
            block += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
            before = key
        restarts = restarts or [0]
        block += struct.pack(f"<{len(restarts)}I", *restarts) + struct.pack("<I", len(restarts))
        content = spoil(snappy(bytes(block)) if packed else block) + (b"\1" if packed else b"\0")
        handle = varint(len(out)) + varint(len(content) - 1)
        out.extend(content + struct.pack("<I", masked(content)))
        return handle

    rows, block, size = list(rows), [], 0
    for number, (key, value) in enumerate(rows):
        block.append((key, value))
        size += len(key) + len(value)
        if size >= block_size or number == len(rows) - 1:
            index.append((key, put(block)))
            block, size = [], 0
    footer = put([]) + put(index)
    return bytes(out) + footer.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


def shape(array):
    return TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in np.shape(array)]).SerializeToString()


def bundle(name, arrays, shards=1, packed=False, more=()):
    """{file name: content} of a V2 bundle, with its variables dealt out to the shards."""
    rows, data = bundle_rows(arrays, shards)
    files = {f"{name}.data-{number:05}-of-{shards:05}": bytes(content) for number, content in enumerate(data)}
    return {f"{name}.index": table([rows[0], *sorted([*rows[1:], *more])], packed), **files}


def bundle_rows(arrays, shards=1):
    """The rows of an index, the header first, and the contents of the shards."""
    data = [bytearray() for _ in range(shards)]
    rows = [(b"", field(1, shards) + field(3, field(1, 1)))]
    for number, one in enumerate(sorted(arrays)):
        array, shard = np.asarray(arrays[one], order="C"), number % shards
        content = array.tobytes()
        entry = field(1, KINDS[array.dtype.name]) + field(2, shape(array))
        entry += (field(3, shard) if shard else b"") + field(4, len(data[shard])) + field(5, len(content))
        rows.append((one.encode(), entry + fixed32(6, masked(content))))
        data[shard] += content
    return rows, data


def version1(arrays, packed=False):
    """The one file of a V1 checkpoint."""
    return table(version1_rows(arrays), packed)


def version1_rows(arrays):
    """The rows of a V1 checkpoint, the header first."""
    metas, rows = b"", []
    for one in sorted(arrays):
        array = np.asarray(arrays[one], order="C")
        kind, extents = KINDS[array.dtype.name], b"".join(field(1, b"") for _ in array.shape)
        metas += field(1, field(1, one.encode()) + field(2, shape(array)) + field(3, kind) + field(4, extents))
        values = array.reshape(-1).tolist()
        tensor = {
            "float32": lambda values=values: TensorProto(float_val=values),
            "float64": lambda values=values: TensorProto(double_val=values),
            "int32": lambda values=values: TensorProto(int_val=values),
            "int64": lambda values=values: TensorProto(int64_val=values),
        }[array.dtype.name]()
        saved = field(1, one.encode()) + field(2, extents) + field(3, tensor.SerializeToString())
        key = b"\0" + one.encode() + b"\0\1" + bytes([1, array.ndim]) + b"\x80\x7f" * array.ndim
        rows.append((key, field(2, saved)))
    return [(b"", field(1, metas + field(2, field(1, 1)))), *sorted(rows)]


def mag(checkpoint, id_="performance_with_dynamics", description="made for a test"):
    """A bundle of a generator around the bytes of a checkpoint."""
    from note_seq.protobuf.generator_pb2 import GeneratorBundle

    made = GeneratorBundle(checkpoint_file=[checkpoint], metagraph_file=b"a graph, which is not looked at")
    made.generator_details.id, made.bundle_details.description = id_, description
    return made.SerializeToString()


def tarred(contents, mode="w"):
    """A .tar of files by name; mode "w:gz" packs it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def zipped(contents, method=zipfile.ZIP_DEFLATED):
    """A .zip of files by name."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return out.getvalue()


def write(folder, files):
    """The files in a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def parity(path):
    """The original's weights in a file of what it computes, and all else that stands there."""
    with np.load(path) as file:
        arrays = dict(file)
    weights = {name.removeprefix("weight/"): value for name, value in arrays.items() if name.startswith("weight/")}
    return weights, arrays
