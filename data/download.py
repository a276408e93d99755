"""Fetches published files: tried again when the network fails, and never left half written."""

import http.client
import os
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

from tqdm import tqdm

from data.scratch import FULL
from magenta_lite.errors import UserError

_AGAIN = (408, 416, 425, 429, 500, 502, 503, 504)


class NotFoundError(UserError):
    """The server says that there is no such file."""


def fetch(
    url: str, path: Path, *, tries: int = 4, timeout: float = 30.0, pause: float = 1.0, resume: bool = False
) -> None:
    """Downloads a file to `path`, with a progress bar; nothing lies at `path` until it is complete.

    Args:
      url: what to fetch.
      path: where to put it; its folder is made.
      tries: attempts in all, for failures that may pass: no connection, a server error, a body cut short.
      timeout: seconds without an answer after which an attempt has failed.
      pause: seconds before the second attempt, doubled before each further one.
      resume: what has come is kept beside `path`, in .NAME.partial and .NAME.mark, and the next attempt or call asks
        for the rest, if the server says that it is still the same file; else it begins anew.

    Raises:
      NotFoundError: the server answered 404 or 410.
      UserError: it refused otherwise, or every attempt failed, or another program is downloading the same.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(tries):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        try:
            return _fetch_rest(url, path, timeout) if resume else _fetch_once(url, path, timeout)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in (404, 410):
                raise NotFoundError(f"{url}: no such file ({error.code} {error.reason})") from None
            if error.code not in _AGAIN:
                raise UserError(f"{url}: refused ({error.code} {error.reason})") from None
            trouble = f"{error.code} {error.reason}"
        except urllib.error.URLError as error:
            trouble = str(error.reason)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno in FULL:
                kept = ", which continues it" if resume else ""
                raise UserError(
                    f"{path}: {os.strerror(error.errno).lower()}: make room and give the same command again{kept}"
                ) from None
            trouble = str(error) or type(error).__name__
    kept = " to continue" if resume else ""
    raise UserError(f"{url}: not downloaded after {tries} tries ({trouble}): try again later{kept}")


def _fetch_once(url: str, path: Path, timeout: float) -> None:
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file, urllib.request.urlopen(url, timeout=timeout) as answer:
            _copy(answer, file, path.name)
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    finally:
        Path(partial).unlink(missing_ok=True)


def _fetch_rest(url: str, path: Path, timeout: float) -> None:
    partial, mark = path.with_name(f".{path.name}.partial"), path.with_name(f".{path.name}.mark")
    with partial.open("ab") as file:
        _claim(file, path)
        # The server's name for this state of the file; without one nobody knows what the rest would be the rest of.
        known = mark.read_text() if mark.exists() else ""
        begin = file.tell() if known else 0
        headers = {"Range": f"bytes={begin}-", "If-Range": known} if begin else {}
        try:
            answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
        except urllib.error.HTTPError as error:
            if error.code in (404, 410, 416):  # there is no such file any more, or less of it than is here
                partial.unlink()
                mark.unlink(missing_ok=True)
            raise
        with answer:
            if answer.status == 206 and not answer.headers.get("Content-Range", "").startswith(f"bytes {begin}-"):
                mark.unlink(missing_ok=True)
                raise http.client.HTTPException("another part came than was asked for")
            if answer.status != 206:
                file.truncate(0)
                tag = answer.headers.get("ETag", "W/")
                mark.write_text(answer.headers.get("Last-Modified", "") if tag.startswith("W/") else tag)
            _copy(answer, file, path.name)
        os.replace(partial, path)
        mark.unlink(missing_ok=True)


def _copy(answer: http.client.HTTPResponse, file: IO[bytes], name: str) -> None:
    """Appends the body of an answer to a file; raises IncompleteRead where the body is cut short."""
    begin = file.seek(0, os.SEEK_END)
    declared = answer.headers.get("Content-Length")
    size = begin + int(declared) if declared and declared.isdigit() else None
    with tqdm(desc=name, total=size, initial=begin, unit="B", unit_scale=True, leave=False, disable=None) as progress:
        while block := answer.read(1 << 16):
            file.write(block)
            progress.update(len(block))
    # What is renamed later has to be on the disk: whole, or its name would promise more than there is.
    file.flush()
    os.fsync(file.fileno())
    # Read in blocks, http.client takes a closed connection for the end of the body.
    if size is not None and file.tell() != size:
        raise http.client.IncompleteRead(b"", size - file.tell())


def _claim(file: IO[bytes], path: Path) -> None:
    """Raises UserError where another program writes to the same partial file."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise UserError(f"{path} is being downloaded by another program: wait for it") from None
