"""Checkpoints of strangers: tables, bundles, archives and .mag files that lie, whose checksums are mostly right."""

import functools
import random
import re
import struct
from pathlib import Path

import cramjam
import mutations
import numpy as np
import tensorflow_files as files
from drawing_mutations import numbered
from harness import Reader, survive

from magenta_lite.errors import UserError
from magenta_lite.interop import tensorflow_code

WORST = Path(__file__).parent / "worst" / "checkpoints"

SHAPES = {
    "performance": {
        "rnn/multi_rnn_cell/cell_0/basic_lstm_cell/kernel": (390, 8),
        "rnn/multi_rnn_cell/cell_0/basic_lstm_cell/bias": (8,),
        "fully_connected/weights": (2, 388),
        "fully_connected/biases": (388,),
    },
    "sketch": {
        "vector_rnn/RNN/output_w": (3, 9),
        "vector_rnn/RNN/output_b": (9,),
        "vector_rnn/RNN/LSTMCell/W_xh": (5, 12),
        "vector_rnn/RNN/LSTMCell/W_hh": (3, 12),
        "vector_rnn/RNN/LSTMCell/bias": (12,),
    },
    "music": {
        **{
            f"encoder/cell_0/bidirectional_rnn/{way}/multi_rnn_cell/cell_0/lstm_cell/{name}": shape
            for way in ("fw", "bw")
            for name, shape in (("kernel", (92, 8)), ("bias", (8,)))
        },
        **{f"encoder/{name}/kernel": (4, 2) for name in ("mu", "sigma")},
        **{f"encoder/{name}/bias": (2,) for name in ("mu", "sigma")},
        "decoder/z_to_initial_state/kernel": (2, 4),
        "decoder/z_to_initial_state/bias": (4,),
        "decoder/multi_rnn_cell/cell_0/lstm_cell/kernel": (94, 8),
        "decoder/multi_rnn_cell/cell_0/lstm_cell/bias": (8,),
        "decoder/output_projection/kernel": (2, 90),
        "decoder/output_projection/bias": (90,),
    },
}
FLAGS = {"performance": {}, "sketch": {"scale": 1.0}, "music": {"bars": 2}}


def arrays(rng: random.Random, family: str) -> dict[str, np.ndarray]:
    """Sound weights, or such of which some are missing, too many, or of other shapes or kinds."""
    found = {name: np.full(shape, 0.5, np.float32) for name, shape in SHAPES[family].items()}
    found["global_step"] = np.array(rng.choice((0, 5, -1, 2**40)), np.int64)
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        name = rng.choice(sorted(found))
        match rng.randrange(5):
            case 0:
                del found[name]
            case 1:
                found[name] = np.zeros([rng.choice((1, 2, 3, 8)) for _ in range(rng.randrange(4))], np.float32)
            case 2:
                found[name] = found[name].astype(rng.choice((np.float64, np.int32, np.int64)))
            case 3:
                found[rng.choice((f"{name}/Adam", f"x/{name}", name.replace("cell_0", "cell_1"), "b/c"))] = found[name]
            case 4:
                found[name] = found[name].T.copy()
    return found


def rows(rng: random.Random, sound: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Rows of a table, of which some are changed."""
    others = [value for _, value in sound]
    for _ in range(rng.choice((0, 1, 1, 2))):
        place = rng.randrange(len(sound))
        key, value = sound[place]
        match rng.randrange(8):
            case 0:
                del sound[place]
            case 1:
                sound.insert(place, (key, value))
            case 2:
                sound[place] = (mutations.set_bytes(key or b"\0", rng, others), value)
            case _:
                sound[place] = (key, rng.choice(mutations.ALL)(value or b"\0", rng, others))
        if not sound:
            return [(b"", b"")]
    return sound


def one(rng: random.Random) -> tuple[str, str, bytes]:
    """A hostile checkpoint: what it is of, the name of its file, and the content."""
    family = rng.choice(sorted(SHAPES))
    weights, packed = arrays(rng, family), rng.random() < 0.3
    spoil = bytes
    if rng.random() < 0.15:
        spoil = lambda block: rng.choice(mutations.ALL)(bytes(block), rng, [bytes(block)])[:100_000]  # noqa: E731
    if rng.random() < 0.4:
        table = files.table(rows(rng, files.version1_rows(weights)), packed, spoil=spoil)
        within = {"model.ckpt": table}
    else:
        shards = rng.choice((1, 1, 2, 5))
        index, data = files.bundle_rows(weights, shards)
        head, rest = index[0], sorted(index[1:])
        within = {f"m.data-{number:05}-of-{shards:05}": bytes(content) for number, content in enumerate(data)}
        within["m.index"] = files.table(rows(rng, [head, *rest]), packed, spoil=spoil)
    if rng.random() < 0.1:
        name = rng.choice(sorted(within))
        within[name] = rng.choice(mutations.ALL)(within[name] or b"\0", rng, list(within.values()))
    if rng.random() < 0.1:
        within["checkpoint"] = rng.choice((b'model_checkpoint_path: "m"', b'model_checkpoint_path: "../../x"', b"\xff"))
    if rng.random() < 0.1:
        folder = rng.choice(("../", "/", "./", "a/b/", "a\nb/"))
        within = {folder + name: content for name, content in within.items()}
    form = rng.choice(("tar", "tgz", "zip", "mag", "ckpt"))
    if form in ("mag", "ckpt") and "model.ckpt" not in within:
        form = "tar"
    match form:
        case "tar":
            content = files.tarred(within)
        case "tgz":
            content = files.tarred(within, "w:gz")
        case "zip":
            content = files.zipped(within)
        case "mag":
            content = files.mag(within["model.ckpt"], rng.choice(("performance_with_dynamics", "", "x")))
        case _:
            content = within["model.ckpt"]
    if rng.random() < 0.25:
        content = rng.choice(mutations.ALL)(content, rng, [content])[: mutations.LONGEST]
    return family, f"model.{form}", content


def read(folder: Path, task: tuple[str, str, bytes]) -> object:
    """What the command does before it writes anything."""
    family, name, content = task
    path = folder / name
    path.write_bytes(content)
    try:
        return len(tensorflow_code.read(path, **FLAGS[family]).weights)
    except UserError as error:
        assert "\n" not in str(error) and str(path) in str(error), str(error)
        raise UserError(re.sub(r"\S*/model", "model", str(error))) from None


def ready() -> None:
    """Imports, and what JAX does once."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for family in SHAPES:
            weights = {name: np.ones(shape, np.float32) for name, shape in SHAPES[family].items()}
            assert read(Path(folder), (family, "model.tar", files.tarred(files.bundle("m", weights))))


def test_mutated_checkpoints(tmp_path, times):
    inputs = numbered("checkpoint", times(250, 20_000), one)
    outcome = survive(functools.partial(read, tmp_path), inputs, out=tmp_path, before=ready)
    print(outcome)
    assert not outcome.failures, str(outcome)
    assert outcome.taken > outcome.inputs / 20 and outcome.refused.total() > outcome.inputs / 3


def header(shards: int = 1) -> tuple[bytes, bytes]:
    return b"", files.field(1, shards) + files.field(3, files.field(1, 1))


def entry(shape: tuple[int, ...], size: int, offset: int = 0, shard: int = 0, content: bytes = b"") -> bytes:
    dims = b"".join(files.field(2, files.field(1, one)) for one in shape)
    told = files.field(1, 1) + files.field(2, dims) + files.field(3, shard) + files.field(4, offset)
    return told + files.field(5, size) + files.fixed32(6, files.masked(content))


def long_keys() -> bytes:
    """An index whose every name takes 262 kB from the one before: a block of 0.9 MB asks for 26 GB."""
    block, restarts = bytearray(), struct.pack("<II", 0, 1)
    block += files.varint(0) + files.varint(1 << 18) + files.varint(0) + b"a" * (1 << 18)
    block += (files.varint(1 << 18) + files.varint(0) + files.varint(0)) * 100_000
    return files.table([header()], spoil=lambda _: bytes(block) + restarts)


def shards_in_reverse() -> bytes:
    """A packed archive in which each of 300 shards lies before the one that is read before it, behind 3 MB of zeros."""
    count, data = 300, np.ones(2, np.float32).tobytes()
    told = [
        (
            f"rnn/multi_rnn_cell/cell_{number:04}/basic_lstm_cell/kernel".encode(),
            entry((2,), 8, shard=number, content=data),
        )
        for number in range(count)
    ]
    more = [(b"fully_connected/weights", entry((2,), 8, 8, content=data))]
    within = {"zeros": bytes(3 << 20)}
    within |= {f"m.data-{number:05}-of-{count:05}": data * 2 for number in reversed(range(count))}
    return files.tarred(within | {"m.index": files.table([header(count), *sorted(told + more)])}, "w:gz")


def empty_fields() -> bytes:
    """A V1 file whose header is four million empty fields: 0.4 MB that asked for 1.8 GB and half a minute."""
    count = 4_000_000
    block = files.varint(0) + files.varint(0) + files.varint(2 * count) + b"\x0a\0" * count + struct.pack("<II", 0, 1)
    packed = bytes(cramjam.snappy.compress_raw(block))
    return files.table([(b"", b"header")], True, spoil=lambda one: packed if b"header" in one else one)


def listed(kind: int, field: int, shape: tuple[int, ...]) -> bytes:
    """A V1 file of a model and of one variable more: 1.1 million zeros, whole numbers of a byte each."""
    head, *rest = files.version1_rows({name: np.ones(one, np.float32) for name, one in SHAPES["performance"].items()})
    meta = files.field(1, b"a") + files.field(2, files.shape(np.empty(shape, "u1"))) + files.field(3, kind)
    saved = files.field(1, b"a") + files.field(3, files.field(1, kind) + files.field(field, bytes(1_100_000)))
    header = head[1] + files.field(1, files.field(1, meta))
    return files.table([(b"", header), (b"\0a", files.field(2, saved)), *rest], True)


def bombs() -> list[tuple[str, tuple[str, str, bytes]]]:
    """Small files that ask for much."""
    named = {name: np.ones(shape, np.float32) for name, shape in SHAPES["performance"].items()}
    kernel = b"rnn/multi_rnn_cell/cell_0/basic_lstm_cell/kernel"
    data = "m.data-00000-of-00001"

    def index(*told: tuple[bytes, bytes]) -> bytes:
        return files.tarred({"m.index": files.table([header(), *told]), data: bytes(100)})

    huge = entry((1 << 40, 1 << 40), 1 << 62)
    whole = {
        "huge.tar": index((b"fully_connected/weights", huge), (kernel, huge)),
        "huge-of-nothing.tar": index((b"fully_connected/weights", entry((1 << 62, 0), 0)), (kernel, entry((0,), 0))),
        "shared-bytes.tar": index(*((f"a{number:05}".encode(), entry((25,), 100)) for number in range(20_000))),
        "long-names.tar": files.tarred({"m.index": long_keys(), data: b""}),
        "many-names.tar": index(*((f"{number:06}".encode(), entry((0,), 0)) for number in range(101_000))),
        "zeros.tgz": files.tarred({"m.index": bytes(60 << 20)}, "w:gz"),
        "zeros.zip": files.zipped({"m.index": bytes(60 << 20)}),
        "many-zeros.zip": files.zipped({f"a{number}": bytes(4 << 20) for number in range(40)}),
        "many-files.tar": files.tarred(dict.fromkeys(map(str, range(20_000)), b"")),
        "reverse.tgz": shards_in_reverse(),
        "snappy.ckpt": files.table([header()], True, spoil=lambda _: files.varint(1 << 31) + b"\xfe\1\0" * 1000),
        "empty-fields.ckpt": empty_fields(),
        "whole-numbers.ckpt": listed(9, 10, (2,)),
        "as-many-whole-numbers.ckpt": listed(9, 10, (1_100_000,)),
        "half-numbers.ckpt": listed(19, 13, (3,)),
        "empty-fields.mag": b"\x12\0" * 1_000_000,
        "empty-words.mag": files.field(1, b"\x12\0" * 1_000_000),
        "nested.mag": files.mag(files.mag(files.version1(named)), "performance_with_dynamics"),
        "many-checkpoints.mag": files.field(2, b"x") * 300_000,
        "blocks-again.ckpt": files.table(
            [(b"", b"\x0a\0")] + [(b"a%05d" % number, bytes(100)) for number in range(5000)]
        ),
    }
    return [(name, ("performance", f"model{name[name.rindex('.') :]}", content)) for name, content in whole.items()]


def test_bombs(tmp_path):
    outcome = survive(functools.partial(read, tmp_path), bombs(), out=tmp_path, before=ready)
    print(outcome)
    assert not outcome.failures, str(outcome)
    assert not outcome.taken
    assert outcome.most[0] < 100 << 20, str(outcome)


REASONS = {
    "empty-fields.tgz": "it holds more than 1,000,000 fields, as no model does",
    "huge-of-nothing.tgz": "the variable fully_connected/weights of shape (4611686018427387904, 0) is empty",
    "long-names.tgz": "a name of 262,144 bytes",
    "reverse.tgz": "its files lie so that it would have to be unpacked again and again",
    "shared-bytes.tgz": "m.data-00000-of-00001 is cut short: it has 100 bytes, and the index speaks of 2,000,000",
}
"""Of the worst inputs: without its limit, each would take minutes, all memory, or end in a traceback."""


def test_the_worst_are_refused_with_their_reasons(tmp_path):
    assert {path.name for path in WORST.iterdir()} == set(REASONS)
    with Reader(functools.partial(read, tmp_path), out=tmp_path, before=ready) as reader:
        for name, reason in REASONS.items():
            task = ("performance", "model.tgz", (WORST / name).read_bytes())
            assert reader.check(task, name).refused == f"model.tgz: {reason}"
