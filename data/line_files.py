"""Where drawings as ndjson lie: files, folders of them, and zips that hold many."""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

from data.archives import DAMAGE, Member, plain
from magenta_lite.errors import Rejected, UserError
from magenta_lite.sketch import ndjson

ENDINGS = (".ndjson", ".ndjson.gz")

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
        except (OSError, zipfile.BadZipFile) as error:
            raise UserError(
                f"--source={source}: no zip that can be read ({error}): is the download complete?"
            ) from None
    elif source.name.endswith(ENDINGS):
        found = [Member(source)]
    else:
        raise UserError(f"--source={source}: expected a folder, a .zip, or a file that ends in {' or '.join(ENDINGS)}")
    if not found:
        raise UserError(f"--source={source} holds no files that end in {' or '.join(ENDINGS)}")
    return sorted(found, key=lambda member: member.name)


def texts(
    file: Member, archives: Mapping[Path, zipfile.ZipFile] = MappingProxyType({})
) -> Iterator[tuple[int, bytes | Rejected]]:
    """The lines of a file with their numbers; what is damaged is Rejected, and the last one."""
    number = 0
    try:
        with file.open(archives) as content:
            for number, text in ndjson.texts(content):
                yield number, text
    except DAMAGE:
        yield number + 1, _DAMAGED


def key_of(row: dict[str, Any] | Rejected, file: str, number: int) -> str:
    """What decides on the split of a line of a file: its key_id, or where it stands if it has none."""
    key = None if isinstance(row, Rejected) else row.get("key_id")
    text = plain(str(key)) if isinstance(key, str | int) and not isinstance(key, bool) else ""
    return text or f"{file}:{number}"


def _counts(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return name.endswith(ENDINGS) and not any(part.startswith((".", "__MACOSX")) for part in parts)
