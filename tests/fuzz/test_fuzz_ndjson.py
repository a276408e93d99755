"""Drawings as lines of JSON, of strangers: values, texts and archives that lie, and words that become names."""

import functools
import gzip
import io
import json
import os
import random
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawing_mutations import INTERESTING, WORDS, damage, gzipped, numbered, shuffle_tokens, zipped
from harness import Reader, refusal, survive
from hypothesis import given, settings
from hypothesis import strategies as st

from magenta_lite.errors import Rejected, UserError, plain

WORST = Path(__file__).parent / "worst" / "ndjson"

# JSON of values that no drawing has. Texts rather than values, since Python would not write most of them.
HOSTILE = [
    *("null", "true", "false", "{}", "[]", "[[]]", "[[],[]]", "[[[]]]", '""', '"1"', '"x"', "-0", "0.1e-400", "1e400"),
    *("-1e400", "1e308", "-1e308", "NaN", "Infinity", "-Infinity", "8388607.5", "8388608", "-8388608", "16777217"),
    *("5e-324", "1e-300", "1E+2", "01", "1.", ".5", "+1", "0x10", "9" * 400, "9" * 5000, "1" + "0" * 100_000),
    *("[" * 5000, "[" * 500 + "]" * 500, '{"a":' * 3000, '{"drawing":' * 300 + "1" + "}" * 300),
    *("[" + "0," * 3000 + "0]", "'x'", "undefined", "//", "/**/", ",", "[[],[],[]]", "[[5],[5]]", ",,", ":"),
    *('"\\ud800"', '"\\u0000"', '"\\u202e"', '"\\n"', '"\\', '"' + "x" * 300 + '"'),
    *("}", "]", "{", "[", '{"drawing":[]}', '[[0,1],[0,1],["a"]]', "[[0],[0,1]]", "[[true],[false]]"),
    *('[[0,"1"],[0,1]]', "[[0,null],[0,1]]", "[[[0]],[[0]]]", "[[1e400],[0]]", "[[NaN],[0]]", "[[0,8388609],[0,1]]"),
    *("[[0],[0],[0],[0],[0]]", "[{},{}]", "[[0,1],{}]", '["ab","cd"]', "[[0,1,2],[0,1,2],[0]]"),
    *(str(number) for number in INTERESTING),
]  # fmt: skip
KEYS = ("drawing", "word", "key_id", "recognized", "countrycode", "timestamp", "", "Drawing", "drawing\\u0000", "label")


def row(rng: random.Random) -> dict[str, Any]:
    """A sound drawing, simplified or raw."""
    strokes: list[list[list[float]]] = []
    raw = rng.random() < 0.4
    for _ in range(rng.randint(1, 4)):
        count = rng.randint(1, 12)
        stroke: list[list[float]] = [[rng.randint(0, 255) for _ in range(count)] for _ in "xy"]
        if raw:
            stroke = [[value * 2.31 for value in axis] for axis in stroke] + [list(range(0, 10 * count, 10))]
        strokes.append(stroke)
    word = rng.choice(("cat", "alarm clock", *WORDS)) if rng.random() < 0.3 else "cat"
    return {"word": word, "key_id": str(rng.getrandbits(50)), "recognized": rng.random() < 0.9, "drawing": strokes}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to all values inside of a value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield (*path, key)
        yield from places(one, (*path, key))


def mutated(rng: random.Random, sound: dict[str, Any]) -> str:
    """The text of a row some of whose values are replaced by hostile ones, removed, or there twice."""
    marks: dict[str, str] = {}
    for number in range(rng.choice((1, 1, 2, 4))):
        ways = list(places(sound))
        if not ways:
            break
        *way, last = rng.choice(ways)
        parent = functools.reduce(lambda value, key: value[key], way, sound)
        match rng.randrange(6):
            case 0 | 1 | 2:
                mark = f"MARK{number}"
                marks[f'"{mark}"'] = rng.choice(HOSTILE)
                parent[last] = mark
            case 3:
                del parent[last]
            case 4 if isinstance(parent, list):
                parent[last:last] = [parent[last]] * rng.choice((1, 3, 400))
            case _ if isinstance(parent, dict):
                parent[rng.choice((*KEYS, *WORDS))] = parent.pop(last)
            case _:
                parent[last] = rng.choice(WORDS)
    text = json.dumps(sound, ensure_ascii=rng.random() < 0.7)
    for mark, hostile in marks.items():
        text = text.replace(mark, hostile)
    if rng.random() < 0.1:
        text = text[:-1] + rng.choice((',"drawing":[]}', ',"word":1}', ',"drawing":[[[0,1],[0,1]]]}'))
    return text


def encoded(rng: random.Random, text: str) -> bytes:
    """The text in UTF-8, seldom in something else."""
    coding = (
        "utf-8" if rng.random() < 0.9 else rng.choice(("utf-16", "utf-32", "utf-8-sig", "latin1", "utf-16-be", "utf-7"))
    )
    return text.encode(coding, "surrogatepass" if coding.startswith("utf-8") else "replace")


WAYS = ("train", "raw", "start")
"""How a file is read: as data to train on, as raw drawings to train on, as what somebody starts from."""


def one(rng: random.Random) -> tuple[str, str, bytes]:
    """A hostile file: how to read it, its name and its content."""
    way = rng.choice(WAYS)
    lines = []
    for _ in range(rng.randint(1, 4)):
        match rng.randrange(8):
            case 0:
                text = json.dumps(row(rng))
            case 1:
                text = rng.choice(HOSTILE)
            case 2:
                text = shuffle_tokens(rng, json.dumps(row(rng)), HOSTILE)
            case _:
                text = mutated(rng, row(rng))
        lines.append(encoded(rng, text))
    content = rng.choice((b"\n", b"\n", b"\n", b"\r\n", b"\n\n", b"\r", b"\x00\n", b" \n", b"\x0b\n")).join(lines)
    content += rng.choice((b"\n", b"\n", b"", b"\x00"))
    if rng.random() < 0.2:
        content = damage(rng, content)
    match rng.randrange(6):
        case 0:
            return way, "drawings.ndjson.gz", gzipped(rng, content)
        case 1:
            names = [
                rng.choice((*WORDS, "cat", "a/cat", "../../cat")) + rng.choice((".ndjson", ".ndjson.gz")) for _ in "ab"
            ]
            inside = [(name, gzipped(rng, content) if name.endswith(".gz") else content) for name in names]
            return way.replace("start", "train"), "drawings.zip", zipped(rng, inside)
    return way, "drawings.ndjson", content


def read(folder: Path, file: tuple[str, str, bytes]) -> Any:
    """Reads a file as it is told: its first, then by name and content."""
    way, name, content = file
    path = folder / name
    path.write_bytes(content)
    try:
        return refusal(to_start_from(path) if way == "start" else to_train_on(path, way == "raw"))
    except UserError as error:
        raise UserError(str(error).replace(f"{folder}/", "")) from None


def to_train_on(path: Path, raw: bool) -> Iterator[Any]:
    from data import line_files
    from data.drawing_records import check_strokes
    from data.quickdraw import lines

    wanted = lines.Wanted(None, "raw" if raw else None, raw, (0.9, 0.05, 0.05))
    portions, _ = line_files.cut(line_files.members(path), 1)
    for portion in portions:
        for _, _, row, label, key in lines._lines(wanted, portion):
            assert label and label.isprintable() and key and key.isprintable(), (label, key)
            strokes = lines._strokes(wanted, row)
            yield strokes if isinstance(strokes, Rejected) else check_strokes(strokes)


def to_start_from(path: Path) -> Iterator[Any]:
    from magenta_lite.sketch import ndjson

    for name, example in codec().read(path):
        assert name.isprintable()
        yield example
        if not isinstance(example, Rejected):
            assert example["label"].isprintable() and np.isfinite(example["strokes"]).all()
            yield codec().encode(example)
            ndjson.write([example], path.with_name("again.ndjson"))


@functools.cache
def codec() -> Any:
    from magenta_lite.models.sketch_rnn.codec import Codec

    return Codec(scale=30.0, n_max=250, labels=("cat",))


def line(drawing: str) -> bytes:
    return b'{"word":"cat","key_id":"1","recognized":true,"drawing":' + drawing.encode() + b"}\n"


def bombs() -> list[tuple[str, tuple[str, str, bytes]]]:
    """Files that ask for much."""
    up = ",".join(map(str, range(60_000)))
    drawings = {
        "many-points": f"[[{'1,2,' * 120_000}0],[{'3,4,' * 120_000}0]]",
        "many-raw-points": f"[[{'0,9,' * 120_000}0],[{'0,9,' * 120_000}0],[]]",
        "raw-zigzag": f"[[{'0,255,' * 30_000}0],[{up},1],[]]",
        "raw-hatching": f"[[{'0,60000,' * 10_000}0],[{up[:108889]},1],[]]",
        "raw-scribble": f"[[{'0,7,3,' * 16_000}0],[{'1,2,9,' * 16_000}0],[]]",
        "many-strokes": "[[0],[0]]," * 100_000 + "[[0,1],[0,1]]",
        "many-raw-strokes": "[[0],[0],[]]," * 75_000 + "[[0,1],[0,1],[]]",
        "strokes-up-to-the-limit": "[[0,1],[0,1],[]]," * 9_999 + "[[0,1],[0,1],[]]",
        "dictionaries": "{}," * 300_000 + "1",
        "brackets": "[" * 900_000,
        "long-numbers": f"[[{'9' * 900_000}],[0]]",
        "long-floats": f"[[{'9' * 900_000}.5],[0]]",
    }
    files = {name: ("start", "drawings.ndjson", line(f"[{drawing}]")) for name, drawing in drawings.items()}
    word = line("[[[0,9],[0,9]]]").replace(b"cat", b"x" * 900_000)
    files["long-word"] = ("start", "drawings.ndjson", word)
    files["long-key"] = ("train", "drawings.ndjson", word.replace(b"key_id", b"kind").replace(b"word", b"key_id"))
    gigabyte = squeezed(b" ", 1000 << 20)
    files["line-of-a-gigabyte"] = ("start", "drawings.ndjson.gz", gigabyte)
    files["the-same-to-train-on"] = ("train", "drawings.ndjson.gz", gigabyte)
    files["blank-lines"] = ("start", "drawings.ndjson.gz", squeezed(b"\n", 200 << 20))
    files["bad-lines"] = ("train", "drawings.ndjson.gz", squeezed(b"[\n", 200 << 20))
    files["line-of-100-megabytes-in-a-zip"] = ("train", "drawings.zip", packed("cat.ndjson", b" " * (100 << 20)))
    files["gzip-in-a-zip"] = ("train", "drawings.zip", packed("cat.ndjson.gz", gigabyte))
    files["bzip2-in-a-zip"] = ("train", "drawings.zip", packed("cat.ndjson", b" " * (9 << 20), zipfile.ZIP_BZIP2))
    return list(files.items())


def squeezed(text: bytes, size: int) -> bytes:
    """Gzip of so many bytes of a repeated text, members of 50 MB each."""
    part = gzip.compress(text * (min(size, 50 << 20) // len(text)), 9)
    return part * max(1, size // (50 << 20))


def packed(name: str, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr(name, content)
    return out.getvalue()


def survive_reading(tmp_path: Path, inputs: Any) -> Any:
    outcome = survive(functools.partial(read, tmp_path), inputs, out=tmp_path, before=functools.partial(warm, tmp_path))
    print(outcome)
    assert not outcome.failures, str(outcome)
    return outcome


def warm(folder: Path) -> None:
    """What is slow to import."""
    for way in WAYS:
        read(folder, (way, "drawings.ndjson", line("[[[0,9],[0,9]]]")))


def test_mutated_files(tmp_path, times):
    outcome = survive_reading(tmp_path, numbered("ndjson", times(300, 20_000), one))
    assert outcome.taken > outcome.inputs / 20 and outcome.refused.total() > outcome.inputs / 20


def test_bombs(tmp_path):
    survive_reading(tmp_path, bombs())


REASONS = {
    "blank-lines.ndjson.gz": "10,000 lines in a row that are no drawings: the rest is not read",
    "bzip2.zip": "the file is damaged: the rest of it cannot be read",
    "many-raw-strokes.ndjson.gz": "more than 10,000 strokes",
    "name-that-is-no-utf-8.zip": "--source=drawings.zip: no zip that can be read ('utf-8' codec can't decode byte ",
    "raw-zigzag.ndjson.gz": "lines longer than 200,000 in a box of 255",
    "words.ndjson": None,
}
"""Of the worst inputs, each of which once took all memory, minutes, or a traceback; None: it is read."""


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    folder = tmp_path_factory.mktemp("read")
    with Reader(functools.partial(read, folder), out=folder, before=functools.partial(warm, folder)) as found:
        yield found


def test_the_worst_are_refused_with_their_reasons(reader):
    assert {path.name for path in WORST.iterdir()} == set(REASONS)
    for name, reason in REASONS.items():
        for way in WAYS[1 : 2 if name.endswith(".zip") else 3]:
            as_read = name.replace(name.partition(".")[0], "drawings", 1)
            found = reader.check((way, as_read, (WORST / name).read_bytes()), name).refused
            assert found == reason or (found and reason and found.startswith(reason)), (name, way, found)


def write(folder: Path, words: list[str]) -> None:
    """Writes drawings of these labels in every form that samples are written in."""
    from magenta_lite.sheet import Item, Sheet

    strokes = np.array([[9, 0, 0], [0, 9, 1]], np.float32)
    row = [Item(strokes, caption=word, label=word) for word in words]
    codec().write(Sheet([row], row_titles=words[:1], column_titles=words), folder)
    made = list(folder.iterdir())
    assert len(made) == len(words) + 4
    for path in made:
        assert len(path.name) <= 80 and path.name.isascii() and path.name.isprintable(), path.name
        assert path.is_file() and path.stat().st_size
        path.unlink()


def test_labels_that_name_files(tmp_path, times):
    out = tmp_path / "out"
    out.mkdir()
    words = [plain(word) for word in ("x" * 100_000, "../" * 1000 + "etc/x", *WORDS)]  # as they are read
    sheets = times([words[:8]], [words[:20], words[20:40], words[40:]])
    outcome = survive(functools.partial(write, out), sheets, out=out, reads=None, seconds=30.0, before=codec)
    assert not outcome.failures, str(outcome)
    assert outcome.taken == len(sheets)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def build(folder: Path, kind: str) -> list[str]:
    """Prepares drawings with hostile words, or in files and folders of hostile names; gives their labels."""
    import tensorflow_datasets as tfds

    source, out = folder / "source", folder / "out"
    shutil.rmtree(folder, ignore_errors=True)
    (source / "sound").mkdir(parents=True)
    drawing = line("[[[0,9,200],[0,9,9]]]")
    if kind == "words":
        from data.quickdraw.__main__ import main as prepare_words

        shutil.copy(WORST / "words.ndjson", source)
        prepare_words(["all"], source=str(source), out=str(out))
    else:
        from data.drawings.__main__ import main as prepare_own

        for number in range(30):
            (source / "sound" / f"{number}.ndjson").write_bytes(drawing)
        names = [
            word
            for word in WORDS
            if word and "/" not in word and "\0" not in word and word.strip(".") and len(word) < 99
        ]
        for name in names:
            inside = Path(os.fsdecode(bytes(source) + b"/" + name.encode("utf-8", "surrogatepass")))
            inside.mkdir()
            (inside / f"{inside.name}.ndjson").write_bytes(drawing)
            (inside / f"{inside.name}.svg").write_bytes(b'<svg><path d="M0 0L9 9L5 9" stroke="red"/></svg>')
        prepare_own(str(source), out=str(out))
    labels = json.loads((out / "source.json").read_text())["labels"]
    assert labels == tfds.builder_from_directory(str(out)).info.features["label"].names
    assert all(label and label.isprintable() and label == label.strip() for label in labels)
    assert sorted(path.name for path in folder.iterdir()) == ["out", "source"]
    return labels


def test_words_and_names_become_labels_and_lead_nowhere(tmp_path):
    outcome = survive(
        functools.partial(build, tmp_path / "made"),
        ["words", "names"],
        out=tmp_path / "made",
        reads=None,
        seconds=60.0,  # of tfds
        may=("run", "connect"),  # it asks the system what it is, and a builder may start processes
        before=functools.partial(build, tmp_path / "warm", "names"),
    )
    assert not outcome.failures, str(outcome)
    assert outcome.taken == 2, str(outcome)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(WORDS),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inside, max_size=4),
    max_leaves=12,
)
AXES = st.lists(st.integers(-(2**70), 2**70) | st.floats() | VALUES, max_size=5)
STROKES = st.lists(st.lists(AXES, max_size=4) | VALUES, max_size=4)
ROWS = st.fixed_dictionaries({"drawing": STROKES | VALUES}, optional={key: VALUES for key in KEYS[1:4]}) | VALUES


@settings(max_examples=80, deadline=None, derandomize=True)
@given(rows=st.lists(ROWS, min_size=1, max_size=3), way=st.sampled_from(WAYS))
def test_any_values(reader, rows, way):
    reader.check((way, "drawings.ndjson", "\n".join(map(json.dumps, rows)).encode()))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(content=st.binary(max_size=300), name=st.sampled_from(["drawings.ndjson", "drawings.ndjson.gz"]))
def test_any_bytes(reader, content, name):
    reader.check(("start", name, content))
