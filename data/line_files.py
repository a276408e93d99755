"""Where drawings as ndjson lie: files, folders of them, and zips that hold many; and how they are cut into portions."""

import concurrent.futures
import dataclasses
import hashlib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

from data.archives import DAMAGE, Member, opened_archives, plain
from magenta_lite.errors import Rejected, UserError
from magenta_lite.sketch import ndjson

ENDINGS = (".ndjson", ".ndjson.gz")

# A portion is read at once, and its records are files of their own, all of which may be open at once: so portions are
# not many, for systems that let a process open 1,024 files, and not small.
MOST = 256
SMALLEST = 8 << 20  # bytes; 16,000 simplified drawings, or 2,300 raw ones
_GZIPPED = 5  # times that drawings are larger than gzipped ones

_DAMAGED = Rejected("the file is damaged: the rest of it cannot be read")


def is_ndjson(path: Path) -> bool:
    """Whether a source holds ndjson: a file of it, a zip with such files inside, or a folder without .npz files."""
    if path.is_dir():
        return any(child.name.endswith(ENDINGS) for child in path.iterdir()) and not any(path.glob("*.npz"))
    return path.name.endswith((*ENDINGS, ".zip"))


def members(source: Path) -> list[Member]:
    """The files of drawings in a source, by name; hidden ones (.name, __MACOSX) are passed over.

    Raises:
      UserError: the source is not there, cannot be read, or holds none.
    """
    if source.is_dir():
        found = [Member(path) for path in source.iterdir() if _counts(path.name)]
    elif not source.exists():
        raise UserError(f"--source={source}: no such file or folder")
    elif source.suffix == ".zip":
        try:
            with zipfile.ZipFile(source) as archive:
                found = [Member(source, name) for name in archive.namelist() if _counts(name)]
        except DAMAGE as error:
            raise UserError(
                f"--source={source}: no zip that can be read ({plain(str(error))}): is the download complete?"
            ) from None
    elif source.name.endswith(ENDINGS):
        found = [Member(source)]
    else:
        raise UserError(f"--source={source}: expected a folder, a .zip, or a file that ends in {' or '.join(ENDINGS)}")
    if not found:
        raise UserError(f"--source={source} holds no files that end in {' or '.join(ENDINGS)}")
    return sorted(found, key=lambda member: member.name)


@dataclasses.dataclass(frozen=True)
class Part:
    """Lines of a file that follow each other: from the byte `begin` on, `before` lines down, `count` of them.

    count: None, all that follow.
    """

    file: Member
    begin: int = 0
    before: int = 0
    count: int | None = None


def texts(
    file: Member | Part, archives: Mapping[Path, zipfile.ZipFile] = MappingProxyType({})
) -> Iterator[tuple[int, bytes | Rejected]]:
    """The lines of a file, or of a part of it, with their numbers; what is damaged is Rejected, and the last one."""
    part = file if isinstance(file, Part) else Part(file)
    number = 0
    try:
        with part.file.open(archives) as content:
            if part.begin:
                content.seek(part.begin)
            for number, text in ndjson.texts(content):
                if part.count is not None and number > part.count:
                    return
                yield part.before + number, text
    except DAMAGE:
        yield part.before + number + 1, _DAMAGED


def cut(files: Sequence[Member], processes: int) -> tuple[list[tuple[Part, ...]], dict[str, str]]:
    """Portions of about equal size, in the order of the files' lines, and the sha256 of each file on the disk.

    Large files are cut between lines, gzipped ones and those in zips are not; small ones are put together. The portions
    depend on the files alone.

    Args:
      files: of drawings.
      processes: how many files are read at once.
    """
    sizes = _sizes(files)
    every = max(SMALLEST, -(-sum(sizes.values()) // MOST))
    paths = sorted({file.path for file in files})
    with concurrent.futures.ThreadPoolExecutor(processes) as threads:
        read = dict(zip(paths, threads.map(lambda path: _read(path, every), paths), strict=True))
    portions: list[tuple[Part, ...]] = []
    parts: list[Part] = []
    weight = 0
    for file in files:
        plainly = file.inner is None and not file.name.endswith(".gz")
        starts = [(0, 0), *(read[file.path][1] if plainly else ())]
        ends = [*starts[1:], (sizes[file], None)]
        for (begin, before), (end, after) in zip(starts, ends, strict=True):
            parts.append(Part(file, begin, before, None if after is None else after - before))
            weight += end - begin
            if weight >= every:
                portions.append(tuple(parts))
                parts, weight = [], 0
    return [*portions, tuple(parts)] if parts else portions, {path.name: read[path][0] for path in paths}


def key_of(row: dict[str, Any] | Rejected, file: str, number: int) -> str:
    """What decides on the split of a line of a file: its key_id, or where it stands if it has none."""
    key = None if isinstance(row, Rejected) else row.get("key_id")
    text = plain(str(key)) if isinstance(key, str | int) and not isinstance(key, bool) else ""
    return text or f"{file}:{number}"


def _counts(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return name.endswith(ENDINGS) and not any(part.startswith((".", "__MACOSX")) for part in parts)


def _sizes(files: Sequence[Member]) -> dict[Member, int]:
    """Bytes of each file, unpacked; of gzipped ones about as many."""
    sizes = {}
    with opened_archives(files) as archives:
        for file in files:
            size = file.path.stat().st_size if file.inner is None else archives[file.path].getinfo(file.inner).file_size
            sizes[file] = size * (_GZIPPED if file.name.endswith(".gz") else 1)
    return sizes


def _read(path: Path, every: int) -> tuple[str, list[tuple[int, int]]]:
    """The sha256 of a file, and where to cut it, about every so many bytes: the byte of a line's start, its number."""
    whole = hashlib.sha256()
    cuts = []
    read = lines = 0
    wanted = every
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            whole.update(block)
            counted = 0  # of the block
            while (end := block.find(b"\n", max(0, wanted - read - 1))) >= 0:
                lines += block.count(b"\n", counted, end + 1)
                counted = end + 1
                cuts.append((read + counted, lines))
                wanted = read + counted + every
            lines += block.count(b"\n", counted)
            read += len(block)
    return whole.hexdigest(), [place for place in cuts if place[0] < read]
