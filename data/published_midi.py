"""Published sets of MIDI files with a table that lists them: where both lie in a zip or a folder, and the contents."""

import hashlib
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from data.archives import DAMAGE, Member, opened_archives
from data.download import fetch
from data.prepare import hash_file
from magenta_lite.errors import Rejected, UserError

SPLITS = {"train": "train", "validation": "valid", "test": "test"}
"""What such tables call the splits."""


def find(source: Path, table: str, archive: str, pattern: str) -> tuple[bytes, dict[str, Member], dict[str, str]]:
    """The table's content, the files by their names in it, and a zip's name with its sha256, for a folder none.

    table: its file name. archive: what the published zip is called. pattern: of files in a folder, from the table on.

    Raises:
      UserError: no such source, or no table in it.
    """
    return _zip(source, table, archive) if source.is_file() else _folder(source, table, archive, pattern)


def downloaded(url: str, path: Path) -> Path:
    """The zip at `path`, fetched from the address where it is not there yet; an interrupted download goes on.

    Raises:
      UserError: it cannot be fetched, or is no zip.
    """
    if not path.exists():
        fetch(url, path, resume=True)
        if not zipfile.is_zipfile(path):
            path.unlink()
            raise UserError(f"{url}: what came is no zip")
    return path


def hash_listed(table: bytes, files: Sequence[Member]) -> str:
    """One sha256 of the table and of all files."""
    digest = hashlib.sha256(table)
    for file in files:
        digest.update(bytes.fromhex(hash_file(file.path)))
    return digest.hexdigest()


def contents(files: Sequence[Member]) -> Iterator[bytes | Rejected]:
    """What the files hold, in their order."""
    with opened_archives(files) as archives:
        for member in files:
            try:
                with member.open(archives) as file:
                    yield file.read()
            except DAMAGE:
                yield Rejected("file that cannot be read")


def _zip(source: Path, table: str, archive: str) -> tuple[bytes, dict[str, Member], dict[str, str]]:
    try:
        with zipfile.ZipFile(source) as opened:
            names = opened.namelist()
            tables = [name for name in names if name.rpartition("/")[2] == table and not name.startswith("__MACOSX")]
            if not tables:
                raise UserError(f"--source={source}: no {table} in it: expected {archive}")
            content = opened.read(tables[0])
    except DAMAGE as error:
        raise UserError(f"--source={source}: no zip that can be read ({error}): is the download complete?") from None
    root = tables[0].removesuffix(table)
    held = {name.removeprefix(root): Member(source, name) for name in names if name.startswith(root)}
    return content, held, {source.name: hash_file(source)}


def _folder(source: Path, table: str, archive: str, pattern: str) -> tuple[bytes, dict[str, Member], dict[str, str]]:
    if not source.is_dir():
        raise UserError(f"--source={source}: no such file or folder")
    roots = [root for root in (source, *sorted(source.iterdir())) if (root / table).is_file()]
    if not roots:
        raise UserError(f"--source={source}: no {table} in it: expected what {archive} holds")
    paths = sorted(path for path in roots[0].glob(pattern) if path.is_file())
    held = {path.relative_to(roots[0]).as_posix(): Member(path) for path in paths}
    return (roots[0] / table).read_bytes(), held, {}
