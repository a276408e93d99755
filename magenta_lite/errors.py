"""What a person is told when something they gave cannot be used."""

import dataclasses
import difflib
from collections.abc import Iterable

_LONGEST = 2000
"""Letters of a message."""


class UserError(Exception):
    """A mistake that a person can mend, said in one line: what, where, what was expected, what to do.

    Programs print the line and exit with status 2; no traceback. What it quotes may be anything: line breaks and what
    cannot be printed become spaces and question marks, and of a long line the middle is left out.
    """

    def __str__(self) -> str:
        line = plain(super().__str__())
        return line if len(line) <= _LONGEST else f"{line[: _LONGEST // 2]} ... {line[-_LONGEST // 2 :]}"


@dataclasses.dataclass(frozen=True)
class Rejected:
    """Stands in the place of an example that cannot be used.

    reason: short and the same for all examples of a kind, so that it can be counted ("longer than 250 points").
    """

    reason: str


def nearest(name: str, valid: Iterable[str]) -> str:
    """The tail of a message about an unknown name: the closest valid one, or all of them."""
    valid = sorted(valid)
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else "valid: " + ", ".join(valid)


def plain(text: str) -> str:
    """The text on one line and without what cannot be printed, for names that land in lists, files and terminals."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))
