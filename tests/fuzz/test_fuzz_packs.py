"""Packs and .safetensors of strangers: whatever stands in them, they become a workdir or are refused in a line.

What becomes a workdir is packed again: a stranger's card is text, too.

The long form is 20,000 mutated packs, and as many .safetensors. In most packs the manifest is made to agree with what
was changed, so that what stands behind the checksums is tried, too.
"""

import functools
import hashlib
import io
import json
import random
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import workdir_mutations
from harness import survive
from mutations import ALL as OF_BYTES
from test_fuzz_workdir import LITTLE, _made, ready

SECONDS = 5.0
NAMES = [
    "../x",
    "/tmp/x",
    "a/../../x",
    "best/7/x",
    "pictures/x.png",
    "card.md",
    "",
    "config.json/",
    "\x00",
    "x" * 65_000,
]
KINDS = [
    ("F64", 64), ("I64", 64), ("I32", 32), ("F16", 16), ("BF16", 16), ("F8_E5M2", 8), ("F8_E4M3", 8), ("F8_E8M0", 8),
    ("BOOL", 8), ("F4", 4), ("F6_E2M3", 6), ("C64", 64), ("X", 32),
]  # fmt: skip
"""Kinds of numbers of safetensors, and their bits; of some, numpy has none."""


@pytest.fixture(scope="module")
def seeds(tmp_path_factory, toy, toy_performances, toy_melodies):
    """Members of packs of the three families, by name."""
    from magenta_lite.interop import cards, packs
    from magenta_lite.sampler import Sampler

    sets = {"sketch_rnn": toy, "performance_rnn": toy_performances, "music_vae": toy_melodies}
    folder, found = tmp_path_factory.mktemp("packed"), []
    assert LITTLE.keys() == sets.keys()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cards, "_picture", lambda player, folder: [])
        for family, data in sets.items():
            _made(folder / family, family, data)
            packs.pack(Sampler(folder / family), folder / f"{family}.zip")
            with zipfile.ZipFile(folder / f"{family}.zip") as archive:
                found.append({name: archive.read(name) for name in archive.namelist()})
    return found


def packed(files, rng):
    """A zip of the files: most with a manifest that agrees with them, some compressed, some spoiled as a whole."""
    files = {name: content for name, content in files.items() if content is not None}
    if rng.random() < 0.15:
        name = NAMES[rng.integers(len(NAMES))]
        files[name] = b"evil"
    if rng.random() < 0.85:
        try:
            manifest = json.loads(files["manifest.json"])
            manifest["members"] = {
                name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
                for name, content in files.items()
                if name != "manifest.json"
            }
            files["manifest.json"] = json.dumps(manifest).encode()
        except (KeyError, ValueError, TypeError, RecursionError):
            pass  # there is none any more
    way = zipfile.ZIP_DEFLATED if rng.random() < 0.05 else zipfile.ZIP_STORED
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", way) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, way)
    content = file.getvalue()
    return spoiled(content, rng) if rng.random() < 0.25 else content


def spoiled(content, rng):
    chance = random.Random(int(rng.integers(2**32)))
    return chance.choice(OF_BYTES)(content, chance, [content[:1000]]) or b""


def unpack(out, content):
    from magenta_lite.interop import cards, packs
    from magenta_lite.sampler import Sampler

    out = Path(out)
    path, workdir, again = out / "x.zip", out / "workdir", out / "again.zip"
    again.unlink(missing_ok=True)
    shutil.rmtree(workdir, ignore_errors=True)
    path.write_bytes(content)
    try:
        packs.unpack(str(path), str(workdir))
    finally:
        left = {one.name for one in out.iterdir()} - {"x.zip", "workdir", "again.zip"}
        assert not left, f"left behind: {left}"
    assert (workdir / "config.json").exists()
    cards._picture = lambda player, folder: []
    packs.pack(Sampler(workdir), again)
    with zipfile.ZipFile(again) as archive:
        assert "<" not in archive.read("card.md").decode().replace("\\<", "").replace(" <https://", "")


def read(out, content):
    from magenta_lite.interop import safetensors_file

    path = Path(out) / "x.safetensors"
    path.write_bytes(content)
    safetensors_file.read(path)


def packs_of(seeds, count):
    for number in range(count):
        rng = np.random.default_rng([11, number])
        files = seeds[number % len(seeds)]
        yield f"pack {number}", packed(workdir_mutations.changed(files, rng) if number % 9 else files, rng)


def with_other_numbers(header, rng):
    """An array of the header with numbers of another kind, and most often a shape that agrees with its bytes."""
    header = json.loads(header)
    array = header[str(rng.choice(sorted(header.keys() - {"__metadata__"})))]
    dtype, bits = KINDS[rng.integers(len(KINDS))]
    begin, end = array["data_offsets"]
    array |= {"dtype": dtype, "shape": [(end - begin) * 8 // bits] if rng.random() < 0.9 else array["shape"]}
    return json.dumps(header).encode()


def safetensors_of(contents, count):
    """Of every four one is spoiled as a whole, one in its header, one in its metadata, and one has other numbers."""
    for number in range(count):
        rng = np.random.default_rng([12, number])
        content = contents[rng.integers(len(contents))]
        size = int.from_bytes(content[:8], "little")
        header = content[8 : 8 + size]
        if number % 4 == 1:
            header = spoiled(header, rng)
        elif number % 4 == 3:
            header = with_other_numbers(header, rng)
        elif number % 4 == 2:
            found = json.loads(header)
            texts = found["__metadata__"]
            files = {f"{name}.json": texts[name].encode() for name in ("config", "codec")}
            workdir_mutations.a_value(files, rng)
            texts |= {name: files[f"{name}.json"].decode("utf-8", "replace") for name in ("config", "codec")}
            header = json.dumps(found).encode()
        whole = len(header).to_bytes(8, "little") + header + content[8 + size :]
        yield f"safetensors {number}", whole if number % 4 else spoiled(whole, rng)


def test_mutated_packs(seeds, times, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    inputs = packs_of(seeds, times(90, 20_000))
    outcome = survive(functools.partial(unpack, out), inputs, seconds=SECONDS, out=out, before=ready)
    print(outcome)
    assert not outcome.failures, str(outcome)
    assert outcome.taken > outcome.inputs / 20
    assert outcome.refused.total() > outcome.inputs / 4


def with_original_names(content):
    """The same file, read by the names of the original's variables."""
    from magenta_lite.interop import imported, safetensors_file
    from magenta_lite.sampler import Sampler

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "own.safetensors").write_bytes(content)
        imported.write(safetensors_file.read(folder / "own.safetensors"), folder / "run")
        safetensors_file.export(Sampler(folder / "run"), folder / "original.safetensors", names="original")
        return (folder / "original.safetensors").read_bytes()


def test_mutated_safetensors(seeds, times, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    own = [files["model.safetensors"] for files in seeds]
    inputs = safetensors_of([*own, *map(with_original_names, own[1:])], times(150, 20_000))
    # Config and codec are read as a workdir's are, from a folder of their own.
    may = ("write", "read")
    outcome = survive(functools.partial(read, out), inputs, seconds=SECONDS, out=out, may=may, before=ready)
    print(outcome)
    assert not outcome.failures, str(outcome)
    assert outcome.taken > outcome.inputs / 20
    assert outcome.refused.total() > outcome.inputs / 4
