"""Fetches published files: tried again when the network fails, and never left half written."""

import http.client
import os
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from magenta_lite.errors import UserError

_AGAIN = (408, 425, 429, 500, 502, 503, 504)


class NotFoundError(UserError):
    """The server says that there is no such file."""


def fetch(url: str, path: Path, *, tries: int = 4, timeout: float = 30.0, pause: float = 1.0) -> None:
    """Downloads a file to `path`, with a progress bar; nothing lies at `path` until it is complete.

    Args:
      url: what to fetch.
      path: where to put it; its folder is made.
      tries: attempts in all, for failures that may pass: no connection, a server error, a body cut short.
      timeout: seconds without an answer after which an attempt has failed.
      pause: seconds before the second attempt, doubled before each further one.

    Raises:
      NotFoundError: the server answered 404 or 410.
      UserError: it refused otherwise, or every attempt failed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(tries):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        try:
            return _fetch_once(url, path, timeout)
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
            trouble = str(error) or type(error).__name__
    raise UserError(f"{url}: not downloaded after {tries} tries ({trouble}): try again later")


def _fetch_once(url: str, path: Path, timeout: float) -> None:
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file, urllib.request.urlopen(url, timeout=timeout) as answer:
            declared = answer.headers.get("Content-Length")
            size = int(declared) if declared and declared.isdigit() else None
            with tqdm(desc=path.name, total=size, unit="B", unit_scale=True, leave=False, disable=None) as progress:
                while block := answer.read(1 << 16):
                    file.write(block)
                    progress.update(len(block))
            # Read in blocks, http.client takes a closed connection for the end of the body.
            if size is not None and file.tell() != size:
                raise http.client.IncompleteRead(b"", size - file.tell())
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    finally:
        Path(partial).unlink(missing_ok=True)
