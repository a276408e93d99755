"""What a person is told when something they gave cannot be used."""

import dataclasses
import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake that a person can mend, said in one line: what, where, what was expected, what to do.

    Programs print the line and exit with status 2; no traceback.
    """


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
