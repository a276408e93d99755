"""Folders, zips and tars of MIDI from strangers: hostile names, links, devices and bombs beside spoiled files.

What comes out is a prepared set and a list of what was refused, both in the output folder and nowhere else. The long
form is 600 spoiled files in each source.
"""

import functools
import io
import os
import shutil
import tarfile
import warnings
import zipfile

import midi_seeds
import pytest
from harness import Reader
from midi_mutations import OF_MIDI
from mutations import mutated

NAMES = (
    *("../../../outside.mid", "/outside.mid", "//outside.mid", "a/../../outside.mid", "..\\..\\outside.mid"),
    *("C:\\outside.mid", "line\nbreak.mid", "tab\tand\rreturn.mid", "\x1b[2Jescape.mid", "\u202edim.mid", "\udcff.mid"),
    *("=1+1.mid", '","quoted".mid', "x" * 200 + ".mid", "/".join("d" * 60) + "/deep.mid", ".mid", "..mid", "a b.MID"),
    *(
        "é/ü.mid",
        "nul.mid",
        "-rf.mid",
        "$(id).mid",
        "%s%n.mid",
        "<script>.mid",
        "a.mid/b.mid",
        "twice.mid",
        "twice.mid",
    ),
    *("no midi.txt", "__MACOSX/._x.mid", ".hidden/x.mid"),
)
SPECIAL = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE)


class Zeros(io.RawIOBase):
    """A file of zeros."""

    def __init__(self, size):
        self.left = size

    def read(self, size=-1):
        size = self.left if size < 0 else min(size, self.left)
        self.left -= size
        return bytes(size)


def prepare(source, out, kind):
    """data.midi, in this process and its readers."""
    from data.midi.__main__ import main

    main(source, kind=kind, out=out, split=[1.0, 1.0, 1.0], labels=True, processes=2)


def prepare_one(out, task):
    """Of a source by its path: a set of its own."""
    number, source, kind = task
    prepare(source, f"{out}/set {number}", kind)


@pytest.fixture(scope="module")
def contents(shared, times):
    try:
        real = shared("data")
    except pytest.skip.Exception:
        real = None
    seeds = {**midi_seeds.made(), **midi_seeds.worst(), **midi_seeds.real(real)}
    count = times(60, 600)
    spoiled = [content for _, content in mutated(seeds, count, 3, OF_MIDI)]
    whole = [
        content
        for name, content in sorted(seeds.items())
        if name.startswith(("made-1", "made-2", "made-3", "melody", "trio"))
    ]
    named = [(NAMES[number] if number < len(NAMES) else f"some/{number}.mid", c) for number, c in enumerate(spoiled)]
    good = [(f"good/{number}.mid", c) for number, c in enumerate(whole)]
    return [*named, *good]


def write_zip(path, contents, bomb):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of names that come twice
        for name, content in contents:
            entry = zipfile.ZipInfo("x")
            entry.filename = name.encode("utf-8", "replace").decode()
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
        link = zipfile.ZipInfo("link.mid")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        for name, beginning in (("bomb.mid", b""), ("bomb in a track.mid", midi_seeds.made()["made-0.mid"][:22])):
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(beginning)
                shutil.copyfileobj(Zeros(bomb), file, 1 << 20)


def write_tar(path, contents, bomb):
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, content in contents:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for number, kind in enumerate(SPECIAL):
            entry = tarfile.TarInfo(f"special{number}.mid")
            entry.type, entry.linkname, entry.devmajor, entry.devminor = kind, "/etc/passwd", 1, 5
            archive.addfile(entry)
        entry = tarfile.TarInfo("bomb.mid")
        entry.size = bomb
        archive.addfile(entry, Zeros(bomb))


def write_folder(path, contents):
    for name, content in contents:
        place = path / name.replace("..", "up").lstrip("/").replace("\\", "_")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        except OSError:  # a name that this file system has no place for
            continue
    (path / "link.mid").symlink_to("/etc/passwd")
    (path / "round.mid").symlink_to("round.mid")
    (path / "up").mkdir(exist_ok=True)
    (path / "up" / "again").symlink_to(path)
    (path / "device.mid").symlink_to("/dev/zero")
    os.mkfifo(path / "pipe.mid")
    (path / "folder.mid").mkdir()


@pytest.fixture(scope="module")
def sources(contents, times, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    bomb = times(16 << 20, 1 << 30)
    write_folder(folder / "folder", contents)
    write_zip(folder / "packed.zip", contents, bomb)
    write_tar(folder / "plain.tar", contents, 16 << 20)
    write_tar(folder / "packed.tar.gz", contents, bomb)
    return folder


@pytest.fixture(scope="module")
def reader(sources, tmp_path_factory):
    out = tmp_path_factory.mktemp("prepared") / "out"
    out.mkdir()
    # The columns that reading processes hand back are pickled; processes are begun; what they read lies in the source.
    allowed = {"out": out, "reads": [sources], "may": ["unpickle", "run"]}
    with Reader(functools.partial(prepare_one, str(out)), seconds=60, **allowed) as process:
        yield process, out


SOURCES = (
    ("folder", "pieces"),
    ("packed.zip", "pieces"),
    ("packed.zip", "melodies"),
    ("plain.tar", "pieces"),
    ("packed.tar.gz", "melodies"),
)


@pytest.mark.parametrize("number", range(len(SOURCES)), ids=[" ".join(one) for one in SOURCES])
def test_hostile_names_links_and_bombs(sources, reader, number):
    process, out = reader
    source, kind = SOURCES[number]
    before = set(out.iterdir())
    assert process.check((number, str(sources / source), kind), source).refused is None
    made = out / f"set {number}"
    assert set(out.iterdir()) == before | {made} and list(out.parent.iterdir()) == [out]
    names = {path.name for path in made.iterdir()}
    assert {"rejected.csv", "source.json"} <= names and all(
        len(path.parts) == len(made.parts) + 1 for path in made.rglob("*")
    )
    listed = (made / "rejected.csv").read_bytes()
    assert b"passwd" not in listed and b"root:" not in listed and b"\x1b" not in listed
    assert source == "folder" or b"bomb.mid" in listed
