"""The folder in which a set is made: named for what goes into the set, so that a build that ended can be gone on with.

It lies beside the set, is locked by the process that makes it, and goes when the set is in place. What a dead build of
the same set left is gone on with; what dead builds of other sets under the same name left is removed.
"""

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from magenta_lite.errors import UserError

try:
    import fcntl
except ImportError:  # on Windows, two builds of one set at once are not noticed
    fcntl = None  # type: ignore[assignment]

_LOCK = "lock"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says of a disk, a quota or a largest file that is full."""


class UnfinishedError(UserError):
    """A build has ended for a reason that is not in its data: what is done is kept, and the same command goes on."""


@contextlib.contextmanager
def scratch(out: Path, digest: str, keeps: Collection[str] = ()) -> Iterator[Path]:
    """The folder to make `out` in. It is removed at the end, but for what a later build can go on with.

    Args:
      out: the set that is going to be made.
      digest: of what it is made from.
      keeps: names of what in the folder outlives a build that is ended or fails for want of room.

    Raises:
      UserError: the folder cannot be made, or another process makes the same set; a full disk, in one line.
    """
    folder = out.parent / f".{out.name[:64]}.{digest[:16]}.partial"
    try:
        lock = _lock(folder)
    except BlockingIOError:
        raise UserError(f"{out} is being made by another process: wait for it, or choose another --out") from None
    except OSError as error:
        raise UserError(f"{out}: cannot be made ({error.strerror}): choose another --out") from error
    kept = False
    try:
        _clear(folder, keeps)
        sweep(out, folder)
        try:
            yield folder
        except OSError as error:
            raise UnfinishedError(_tell(out, folder, error, keeps)) from error
    except UserError as error:
        kept = isinstance(error, UnfinishedError)
        raise
    except BaseException:
        kept = True
        raise
    finally:
        if kept and keeps:
            _clear(folder, keeps)
        else:
            _remove(folder)
        os.close(lock)


def sweep(out: Path, own: Path | None = None) -> None:
    """Removes what dead builds left that were to become `out`, all but the folder `own`."""
    pattern = re.compile(rf"\.{re.escape(out.name[:64])}\.[0-9a-f]{{16}}(\.\d+)*\.partial")
    with contextlib.suppress(OSError):
        for folder in out.parent.iterdir():
            if folder == own or not pattern.fullmatch(folder.name):
                continue
            with contextlib.suppress(OSError):  # someone is at it
                lock = _lock(folder)
                _remove(folder)
                os.close(lock)


def _lock(folder: Path) -> int:
    """Makes the folder, unless it is there, and holds its lock; raises OSError."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        handle = -1
        try:
            handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
            if fcntl is not None:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it may have removed the folder in the meantime, and others made a new one.
            if os.path.samestat(os.fstat(handle), os.stat(folder / _LOCK)):
                return handle
        except FileNotFoundError:
            pass
        except OSError:
            if handle >= 0:
                os.close(handle)
            raise
        if handle >= 0:
            os.close(handle)


def _clear(folder: Path, keeps: Collection[str]) -> None:
    for path in folder.iterdir():
        if path.name == _LOCK or path.name in keeps:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def _remove(folder: Path) -> None:
    """Takes the folder out of the way at once, then deletes it, lest someone begins anew in what is half deleted."""
    gone = folder.with_name(f"{folder.name.removesuffix('.partial')}.{os.getpid()}.partial")
    with contextlib.suppress(OSError):
        os.rename(folder, gone)
    shutil.rmtree(gone, ignore_errors=True)


def _tell(out: Path, folder: Path, error: OSError, keeps: Collection[str]) -> str:
    why = (error.strerror or str(error)).lower()
    where = f" ({error.filename})" if error.filename and error.errno not in FULL else ""
    after = f"; what is done is kept in {folder}, which may be deleted" if keeps else ""
    if error.errno in FULL:
        return f"{out} cannot be finished, {why}: make room and give the same command again{after}"
    return f"{out} cannot be finished: {why}{where}: mend that and give the same command again{after}"
