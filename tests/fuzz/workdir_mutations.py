"""Workdirs as nobody's training leaves them: files {path: content} with something changed, by seed."""

import contextlib
import io
import json
import random
import zipfile

import numpy as np
from mutations import ALL as OF_BYTES

VALUES = [
    None, True, False, 0, 1, -1, 2, 7, 63, 10**3, 10**5, 2**31, 2**63, -(2**63), 10**30, 0.5, -0.5, 1e-300, 1e300,
    float("nan"), float("inf"), "", "a", "../../x", "/etc/passwd", "a/b", "x" * 5000, "\x00", "\n", "\ud800", "None",
    "lstm", "music_vae", "sketch_rnn", "os.system", [], [[]], [1], [0], [-1], [1] * 3000, [10**9], ["a", "b"],
    ["a/../b"], {}, {"a": 1}, {"__class__": "x"},
]  # fmt: skip
TEXTS = [b"", b"{}", b"[]", b"null", b"1", b'"x"', b"[" * 100_000, b"{" * 3000, b"\xff\xfe{}", b"\x00" * 100, b"NaN"]
JSON = ("config.json", "codec.json", "source.json")


def changed(files: dict[str, bytes], rng: np.random.Generator) -> dict[str, bytes | None]:
    """The files with one to three changes; a path with None in the place of content is a folder."""
    files = dict(files)
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        way = WAYS[rng.choice(len(WAYS), p=SHARES)]
        way(files, rng)
    return files


def a_value(files, rng):
    """A value somewhere in a file of JSON."""
    name = str(rng.choice(JSON, p=(0.5, 0.4, 0.1)))
    tree = _tree(files.get(name))
    if tree is None:
        return
    places = list(_places(tree))
    if not places:
        return
    holder, key = places[rng.integers(len(places))]
    kind = rng.integers(6)
    value = VALUES[rng.integers(len(VALUES))]
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[str(rng.choice(["new", "", "label", "a.b", "n_max", "family"]))] = value
    elif kind == 2 and isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
        holder[key] = holder[key] * float(rng.choice([-1, 0.5, 2, 1e3, 1e6]))
        if rng.random() < 0.7:
            holder[key] = int(holder[key])
    else:
        holder[key] = value
    files[name] = json.dumps(tree).encode("utf-8", "surrogatepass")


def bytes_of(files, rng):
    """The content of a file."""
    name = _one(files, rng)
    if files[name] is not None:
        files[name] = _spoiled(files[name], rng, list(filter(None, files.values())))


def a_text(files, rng):
    """A file of JSON as a whole."""
    files[str(rng.choice(JSON))] = TEXTS[rng.integers(len(TEXTS))]


def gone(files, rng):
    """A file, or a folder with all that is in it."""
    name = _one(files, rng)
    parts = name.split("/")
    start = "/".join(parts[: rng.integers(1, len(parts) + 1)])
    for path in [path for path in files if path == start or path.startswith(start + "/")]:
        del files[path]


def a_folder(files, rng):
    """A folder in the place of a file."""
    files[_one(files, rng)] = None


def swapped(files, rng):
    """Two files."""
    one, other = _one(files, rng), _one(files, rng)
    files[one], files[other] = files[other], files[one]


def a_step(files, rng):
    """The number of a checkpoint, or what stands in its place."""
    steps = sorted({"/".join(path.split("/")[:2]) for path in files if path.startswith(("best/", "checkpoints/"))})
    if not steps:
        return
    old = str(rng.choice(steps))
    new = str(rng.choice(["0", "00", "-1", "²", "٣", "9" * 30, "1e3", "tmp", "..", "1.orbax-checkpoint-tmp", "7"]))
    folder = old.split("/")[0]
    for path in [path for path in files if path.startswith(old + "/")]:
        files[f"{folder}/{new}{path[len(old) :]}"] = files.pop(path)


def some_examples(files, rng):
    """The kept examples: arrays of other kinds and shapes, names of other kinds, too many, too large."""
    if not files.get("examples.npz"):
        return
    members: dict[str, bytes] = {}
    with contextlib.suppress(Exception), zipfile.ZipFile(io.BytesIO(files["examples.npz"])) as archive:
        if rng.random() < 0.9:
            members = {name: archive.read(name) for name in archive.namelist()}
    names = list(members) or ["0000/strokes.npy"]
    for name in rng.choice(names, rng.integers(1, 4)):
        kind = rng.integers(5)
        if kind == 0:
            members[str(rng.choice(["x", "../x.npy", "/0/y.npy", "0000/a/b.npy", "0001/label.npy"]))] = _npy(rng)
        elif kind == 1:
            members[str(name)] = _npy(rng)
        elif kind == 2:
            members.pop(str(name), None)
        else:
            members[str(name)] = _spoiled(members.get(str(name), _npy(rng)), rng, [_npy(rng)])
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    files["examples.npz"] = file.getvalue()


def _npy(rng):
    """An array that no example has."""
    file = io.BytesIO()
    shape = [(), (0,), (3,), (5, 3), (2, 3, 4), (1000, 3), (40,)][rng.integers(7)]
    kind = rng.integers(8)
    value = np.zeros(shape)
    if kind == 0:
        value = rng.normal(0, 10.0 ** float(rng.integers(-3, 38)), shape)
    elif kind == 1:
        value = np.full(shape, rng.choice([np.nan, np.inf, -np.inf]))
    elif kind == 2:
        value = rng.integers(-(2**62), 2**62, shape)
    elif kind == 3:
        value = np.array(["x" * int(rng.integers(0, 500))] * 3)
    elif kind == 4:
        value = np.array("\x00/../\n")
    elif kind == 5:
        value = np.array([Evil()], object)
    elif kind == 6:
        value = rng.integers(0, 256, shape).astype(np.uint8)
    elif kind == 7:
        value = np.zeros(shape, [("a", "f4"), ("b", "O")])
    np.save(file, value, allow_pickle=True)
    content = file.getvalue()
    if rng.random() < 0.2:  # a header that claims what is not there
        claim = str(tuple(int(side) for side in rng.choice([10**3, 10**6, 10**12], 2))).encode()
        content = content.replace(str(value.shape).encode(), claim, 1)
    return content


class Evil:
    """Would run a program when unpickled."""

    def __reduce__(self):
        import os

        return os.system, ("exit 66",)


def _spoiled(content, rng, others):
    chance = random.Random(int(rng.integers(2**32)))
    way = chance.choice(OF_BYTES)
    return way(content, chance, others) if content else chance.randbytes(20)


def _tree(content):
    try:
        tree = json.loads(content)
    except (TypeError, ValueError, RecursionError):
        return None
    return tree if isinstance(tree, dict) else None


def _places(tree):
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
        yield tree, key
        if isinstance(tree[key], dict | list):
            yield from _places(tree[key])


def _one(files, rng):
    """A path; what a run is made of is as likely as all of its checkpoints' files."""
    top = [path for path in files if "/" not in path]
    rest = sorted(set(files) - set(top))
    chosen = top if top and (not rest or rng.random() < 0.4) else rest
    return str(chosen[rng.integers(len(chosen))]) if chosen else "config.json"


WAYS = (a_value, bytes_of, a_text, gone, a_folder, swapped, a_step, some_examples)
SHARES = (0.12, 0.42, 0.05, 0.08, 0.04, 0.05, 0.06, 0.18)
