"""QuickDraw's .npz of strangers: zips, headers of arrays and pickles that lie, and names that lead elsewhere."""

import functools
import io
import os
import pickle
import pickletools
import random
import shutil
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from drawing_mutations import INTERESTING, WORDS, damage, numbered, zipped
from harness import Reader, survive

from data.quickdraw import npz
from magenta_lite.errors import UserError

WORST = Path(__file__).parent / "worst" / "npz"

# Everything that a pickle can say beside what a sound one says. Nothing of it is to happen.
CALLS = [
    b"cos\nsystem\n",
    b"cposix\nsystem\n",
    b"cbuiltins\neval\n",
    b"cbuiltins\nexec\n",
    b"cbuiltins\ngetattr\n",
    b"cnumpy\nload\n",
    b"cnumpy.core.multiarray\nscalar\n",
    b"cnumpy\ndtype\n",
    b"cnumpy\nndarray\n",
    b"cnumpy.core.multiarray\n_reconstruct\n",
    b"c_codecs\nencode\n",
    b"\x8c\x02os\x8c\x06system\x93",
    b"\x8c\x05numpy\x8c\x0edtype.__call__\x93",
    b"(S'true'\nios\nsystem\n",
]
PIECES = [
    *CALLS,
    *(b"R", b"b", b"o", b"\x81", b"\x92", b"P1\n", b"K\x01Q", b"\x82\x01", b"\x83\x01\x00", b"\x84\x01\x00\x00\x00"),
    *(b"(" * 3000, b"]" * 3000, b"\x85" * 3000, b"]\x94" * 2000, b")" * 3000, b"0" * 50, b"1", b"2", b"t", b"e", b"a"),
    *(b"\x95" + b"\xff" * 8, b"\x95\x00\x00\x00\x00\x00\x10\x00\x00", b"\x8e" + b"\xff" * 7 + b"\x7f"),
    *(b"B\xff\xff\xff\x7f", b"X\xff\xff\xff\x7f", b"T\xff\xff\xff\x7f", b"T\xff\xff\xff\xff"),
    *(b"\x8d" + b"\xff" * 8, b"\x96" + b"\xff" * 8, b"\x97", b"\x98", b"I" + b"9" * 5000 + b"\n", b"L99L\n"),
    *(b"\x8a\xff" + b"\x7f" * 255, b"\x8b\xff\xff\x00\x00" + b"\x7f" * 65535, b"F1e999\n", b"G\x7f\xf0" + bytes(6)),
    *(b"r\xff\xff\xff\x7f", b"j\xff\xff\xff\x7f", b"h\xff", b"q\xff", b"p99999999\n", b"g0\n", b"\x80\x09", b"}"),
    *(b"\x8f", b"\x91", b"N", b"\x88", b"\x89", b"K\x00", b"J\xff\xff\xff\x7f", b"J\x00\x00\x00\x80", b"U\x01b"),
    *(b"C\x06123456", b"X\x02\x00\x00\x00i2", b"X\x01\x00\x00\x00O", b"X\x02\x00\x00\x00V9", b".", b"", b"\xff"),
]

HEADERS = [
    "",
    "{}",
    "{'descr': '|O', 'fortran_order': False, 'shape': (2,)}",
    "{'descr': '|O', 'fortran_order': False, 'shape': (1000000000000000000000000000000,)}",
    "{'descr': '|O', 'fortran_order': False, 'shape': (-1,)}",
    "{'descr': '|O', 'fortran_order': False, 'shape': ()}",
    "{'descr': '|O', 'fortran_order': False, 'shape': (True,)}",
    "{'descr': '|O', 'fortran_order': False, 'shape': (2, 0)}",
    "{'descr': '|O', 'fortran_order': 1, 'shape': (2,)}",
    "{'descr': '<i2', 'fortran_order': True, 'shape': (2, 2, 3)}",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296, 1)}",
    "{'descr': '<i2', 'fortran_order': False, 'shape': (-1, -1, 3)}",
    "{'descr': '<i2', 'fortran_order': False, 'shape': (0, 1000000000000, 3)}",
    "{'descr': [('a', '<i2'), ('b', '|O')], 'fortran_order': False, 'shape': (2,)}",
    "{'descr': ('<i2', (1000000000,)), 'fortran_order': False, 'shape': (2,)}",
    "{'descr': 'i2,(1000000,)f8,O', 'fortran_order': False, 'shape': (2,)}",
    "{'descr': '|V2147483647', 'fortran_order': False, 'shape': (1, 1, 1)}",
    "{'descr': 'numpy.dtype', 'fortran_order': False, 'shape': (2,)}",
    "{'descr': '>U99999', 'fortran_order': False, 'shape': (2,)}",
    "{'descr': '|b1', 'fortran_order': False, 'shape': (1, 1, 3)}",
    "{'descr': 'a5', 'fortran_order': False, 'shape': (1, 1, 3)}",
    "{'descr': '|O', 'fortran_order': False, 'shape': (2L,)}",
    "{'descr': '|O', 'fortran_order': False, 'shape': (0x7fffffffffffffff,)}",
    "__import__('os').system('true')",
    "{'descr': __import__('os'), 'fortran_order': False, 'shape': (2,)}",
    "{'descr': '|O', 'fortran_order': False, 'shape': (2,), 'x': open('/tmp/x', 'w')}",
    "(" * 3000,
    "-" * 5000 + "1",
    "{'descr': '|O', 'fortran_order': False, 'shape': (" + "1," * 3000 + ")}",
    "{'descr': '|O', 'fortran_order': False, 'shape': (" + "9" * 5000 + ",)}",
    "'\\N{DIGIT ONE}' '\\d'",
    "{'descr': '\\d', 'fortran_order': False, 'shape': (2,)}",
    "\x00\xff\n",
]


def npy(header: str, content: bytes, version: int = 1) -> bytes:
    """An array as numpy saves it, with any header."""
    encoded = header.encode("latin1", "replace") + b"\n"
    return (
        b"\x93NUMPY"
        + bytes([version, 0])
        + struct.pack("<H" if version == 1 else "<I", len(encoded))
        + encoded
        + content
    )


def header(*shape: int, kind: str = "|O") -> str:
    return str({"descr": kind, "fortran_order": False, "shape": shape})


def pickled(rng: random.Random, count: int) -> bytes:
    """A sound pickle of that many drawings; numpy has used protocols 2 to 4."""
    array = np.empty(count, object)
    for place in range(count):
        kind = rng.choice(("<i2", "<i2", ">i2", "<i4", "|u1", "<f4", "<f8"))
        drawing = np.array(
            [[rng.randint(0, 99), rng.randint(0, 99), rng.randint(0, 1)] for _ in range(rng.randint(1, 6))]
        )
        array[place] = drawing.astype(kind)
    return pickle.dumps(array, rng.choice((0, 1, 2, 2, 2, 3, 3, 4, 4, 4, 5)))


def instructions(content: bytes) -> list[bytes]:
    """The instructions of a sound pickle, each with its arguments."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes in texts that are mutated already
        places = [place for _, _, place in pickletools.genops(content)]
    return [content[begin:end] for begin, end in zip(places, [*places[1:], len(content)], strict=True)]


def mutated_pickle(rng: random.Random, content: bytes) -> bytes:
    """A pickle with instructions removed, repeated, swapped, with other arguments, or hostile ones among them."""
    try:
        steps = instructions(content)
    except ValueError:  # no sound one, mutated before
        return damage(rng, content)
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        place, other = rng.randrange(len(steps)), rng.randrange(len(steps))
        match rng.randrange(8):
            case 0 | 1 | 2:
                steps.insert(place, rng.choice(PIECES))
            case 3:
                steps[place] = rng.choice(PIECES)
            case 4:
                steps[place], steps[other] = steps[other], steps[place]
            case 5:
                steps.insert(place, steps[other] * rng.choice((1, 2, 300)))
            case 6:
                if len(steps) > 1:
                    del steps[place]
            case 7:
                size = len(steps[place]) - 1
                argument = rng.choice(INTERESTING).to_bytes(9, "little")[:size].ljust(size, b"\x7f")
                steps[place] = steps[place][:1] + argument
    return b"".join(steps)


def one(rng: random.Random) -> bytes:
    """A hostile .npz; a third of them is hostile in more than one way."""
    count = rng.randint(0, 4)
    content, text, version, change = pickled(rng, count), header(count), 1, damage
    entry = b""
    odd_zip = False
    for _ in range(rng.choice((1, 1, 2))):
        match rng.randrange(12):
            case 0 | 1 | 2 | 3 | 4:
                content = mutated_pickle(rng, content)
            case 5:
                content = change(rng, content)
            case 6:
                content = rng.choice(CALLS) + b"X\x04\x00\x00\x00true\x85R."
            case 7:
                text, version = rng.choice(HEADERS), rng.choice((1, 1, 2, 3, 9))
            case 8:
                shape = [rng.choice((0, 1, 2, 3, 2**31, -1)) for _ in range(rng.randrange(5))]
                kind = rng.choice(("<i2", ">f8", "<f2", "|u1", "<c8", "<M8[s]"))
                entry = npy(header(*shape, kind=kind), rng.randbytes(12))
            case 9:
                entry = change(rng, npy(text, content, version))
            case _:
                odd_zip = True
    entry = entry or npy(text, content, version)
    entries = [(f"{split}.npy", entry) for split in npz.SPLITS]
    if odd_zip and rng.random() < 0.3:
        entries.insert(rng.randrange(4), (rng.choice((*WORDS[:20], "train.npy", "../train.npy", "/train.npy")), entry))
    if odd_zip and rng.random() < 0.1:
        del entries[rng.randrange(len(entries))]
    whole = zipped(rng, entries, sound=not odd_zip)
    return damage(rng, whole) if odd_zip and rng.random() < 0.2 else whole


def read(folder: Path, content: bytes) -> object:
    """Reads a file as the builder does: what a split declares, then its drawings."""
    path = folder / "cat.npz"
    path.write_bytes(content)
    try:
        assert isinstance(npz.count(path, "train"), int)
        drawings = npz.read(path, "train")
    except UserError as error:
        raise UserError(str(error).removeprefix(f"{folder}/")) from None  # so that equal reasons are counted together
    assert all(drawing is None or drawing.dtype.kind in "iuf" for drawing in drawings)
    return drawings


def archive(entry: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method, compresslevel=1) as made:
        for split in npz.SPLITS:
            made.writestr(f"{split}.npy", entry)
    return packed.getvalue()


def claims(content: bytes, size: int) -> bytes:
    """A zip that says in all of its headers that its entries unpack to so many bytes."""
    with zipfile.ZipFile(io.BytesIO(content)) as made:
        real = made.infolist()[0].file_size
    return content.replace(struct.pack("<I", real), struct.pack("<I", size))


def bombs() -> list[tuple[str, bytes]]:
    """Small files that ask for much: name and content."""
    zeros = npy(header(10**6, 10, 3, kind="<i2"), bytes(60_000_000))
    whole = {
        "zeros": archive(zeros),
        "zeros-that-lie": claims(archive(zeros), 1000),
        "bzip2": archive(zeros, zipfile.ZIP_BZIP2),
        "bzip2-that-lies": claims(archive(zeros, zipfile.ZIP_BZIP2), 1000),
        "lzma-that-lies": claims(archive(zeros, zipfile.ZIP_LZMA), 1000),
    }
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    pickles = {
        "marks": b"(" * 3_000_000,
        "lists": b"]" * 3_000_000,
        "memo": b"]" + b"\x94" * 3_000_000,
        "pops": b"]0" * 1_500_000,
        "nested": b"]" * 400_000 + b"a" * 399_999 + b".",
        "nested-names": b"cnumpy\ndtype\n" + b"]" + b"\x85" * 900_000 + b"\x85R.",
        "long-numbers": array + b"(K\x01(" + (b"\x8a\xff" + b"\x7f" * 255) * 11_000
        + b"tcnumpy\ndtype\nU\x02i2K\x00K\x01\x87R\x89U\x00tb.",
        "doubling": b"]" + b"".join(b"]\x94" + b"h%c" % max(place - 1, 0) * 2 for place in range(250)) + b".",
        "tuples": b"(" + b"K\x01" * 400_000 + b"t.",
    }  # fmt: skip
    whole |= {name: archive(npy(header(1), b"\x80\x02" + content)) for name, content in pickles.items()}
    whole["declares-much"] = archive(npy(header(10**30), pickle.dumps(np.array([None]), 2)))
    whole["declares-less-than-none"] = archive(npy(header(-1), pickle.dumps(np.array([None]), 2)))
    return list(whole.items())


def test_mutated_files(tmp_path, times):
    outcome = survive(functools.partial(read, tmp_path), numbered("npz", times(400, 20_000), one), out=tmp_path)
    print(outcome)
    assert not outcome.failures, str(outcome)
    assert outcome.taken > outcome.inputs / 20 and outcome.refused.total() > outcome.inputs / 3


def test_bombs(tmp_path):
    outcome = survive(functools.partial(read, tmp_path), bombs(), out=tmp_path)
    print(outcome)
    assert not outcome.failures, str(outcome)
    assert not outcome.taken


REASONS = {
    "bzip2-that-lies.npz": "packed by method 12, as no set of drawings is",
    "declares-less-than-none.npz": "an array of an impossible shape in ",
    "declares-much.npz": "an array of an impossible shape in ",
    "long-numbers.npz": "an array of an impossible shape of =i2 in 0 bytes",
    "marks.npz": "more pickle instructions than a set of drawings of this size needs",
    "memo.npz": "more pickle instructions than a set of drawings of this size needs",
    "system.npz": "refused os.system: only arrays of numbers are read",
}
"""Of the worst inputs, each of which once took all memory, minutes, or a traceback, or would do harm elsewhere."""


def test_the_worst_are_refused_with_their_reasons(tmp_path):
    assert {path.name for path in WORST.iterdir()} == set(REASONS)
    with Reader(functools.partial(read, tmp_path), out=tmp_path) as reader:
        for name, reason in REASONS.items():
            found = reader.check((WORST / name).read_bytes(), name).refused
            assert found is not None and found.startswith(f"cat.npz: train.npy: {reason}"), (name, found)


@pytest.mark.parametrize("name", ["pig", "omniglot", "kanji.rdp100"])
def test_mutated_published_files(tmp_path, shared, times, name):
    whole = shared("data/quickdraw/sketchrnn", f"{name}.npz").read_bytes()
    inputs = numbered(name, times(10, 300), lambda rng: damage(rng, whole))
    outcome = survive(functools.partial(read, tmp_path), inputs, out=tmp_path)
    print(outcome)
    assert not outcome.failures, str(outcome)


HOSTILE_NAMES = [
    b"cat.npz",
    b"a\nb.npz",
    b"\xff\xfe.npz",
    b" dog .npz",
    b"\x1b[2J.npz",
    "\u202ecod.npz".encode(),
    b"...npz",
    b"..npz",
    b"x" * 250 + b".npz",
    b"-rf.npz",
    b"a\\b.npz",
    b"%s{0}.npz",
]


def build(folder: Path, names: list[bytes]) -> object:
    """Prepares a folder of sound files with these names, from its command; gives its labels."""
    import json

    import tensorflow_datasets as tfds

    from data.quickdraw.__main__ import main

    source, out = folder / "source", folder / "out"
    shutil.rmtree(folder, ignore_errors=True)
    source.mkdir(parents=True)
    array = np.empty(3, object)
    array[:] = [np.array([[1, 2, 0], [3, 4, 1]], np.int16)] * 3
    sound = archive(npy(header(3), pickle.dumps(array, 2)))
    for name in names:
        Path(os.fsdecode(bytes(source) + b"/" + name)).write_bytes(sound)
    main(["all"], source=str(source), out=str(out))
    labels = json.loads((out / "source.json").read_text())["labels"]
    assert labels == tfds.builder_from_directory(str(out)).info.features["label"].names
    assert all(label.isprintable() and label == label.strip() and label for label in labels)
    assert sorted(path.name for path in folder.iterdir()) == ["out", "source"]
    return labels


def test_names_of_files_become_labels_and_lead_nowhere(tmp_path):
    alike = [b"a\nb.npz", b"a b.npz"]
    outcome = survive(
        functools.partial(build, tmp_path / "made"),
        [("hostile", HOSTILE_NAMES), ("alike", alike), ("hidden", [b"..npz"])],
        out=tmp_path / "made",
        reads=None,
        seconds=60.0,  # of tfds
        may=("run", "connect"),  # it asks the system what it is, and starts threads for its files
        before=functools.partial(build, tmp_path / "warm", [b"cat.npz"]),
    )
    print(outcome)
    assert not outcome.failures, str(outcome)
    assert outcome.taken == 1 and outcome.refused.total() == 2
