"""Licences of data sets: what they are called, what they ask for, and whether examples may be handed on."""

import dataclasses
import re

UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True)
class Licence:
    """What a licence of data asks for, in words, for those who have a model that was trained on it.

    handed_on: whether examples of the data may be handed on to anyone, for any purpose, with attribution.
    """

    name: str
    url: str
    meaning: str
    handed_on: bool


_CREDIT = "Whoever passes the data on names its authors and the licence"
_SAME = "passes it on under the same licence"
_NO_MONEY = "uses it for no commercial purpose"

KNOWN = (
    Licence("CC0 1.0", "https://creativecommons.org/publicdomain/zero/1.0/", "The data is free for any purpose.", True),
    Licence("CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/", f"{_CREDIT}; any purpose is allowed.", True),
    Licence("CC BY-SA 3.0", "https://creativecommons.org/licenses/by-sa/3.0/", f"{_CREDIT}, and {_SAME}.", True),
    Licence("CC BY-SA 4.0", "https://creativecommons.org/licenses/by-sa/4.0/", f"{_CREDIT}, and {_SAME}.", True),
    Licence("CC BY-NC 4.0", "https://creativecommons.org/licenses/by-nc/4.0/", f"{_CREDIT}, and {_NO_MONEY}.", False),
    Licence(
        "CC BY-NC-SA 4.0",
        "https://creativecommons.org/licenses/by-nc-sa/4.0/",
        f"{_CREDIT}, {_SAME}, and {_NO_MONEY}.",
        False,
    ),
    Licence(
        "Apache-2.0",
        "https://www.apache.org/licenses/LICENSE-2.0",
        "Any purpose is allowed; the licence and notices of changes go along.",
        True,
    ),
    Licence("MIT", "https://opensource.org/license/mit", "Any purpose is allowed; the licence goes along.", True),
    Licence(
        "GPL-3.0",
        "https://www.gnu.org/licenses/gpl-3.0.html",
        "Whoever passes the data on, or what is derived of it, does so under the same licence.",
        False,
    ),
)

NOT_KNOWN = Licence(
    UNKNOWN,
    "",
    "Nobody said under which licence the data is. Ask whoever made the model before you pass it on, or what it makes.",
    False,
)


def known(name: str) -> Licence:
    """The licence of a name, written in any of the usual ways; where nobody knows it, one with nothing but its name."""
    wanted = _plain(name)
    if not wanted or wanted == UNKNOWN:
        return NOT_KNOWN
    for licence in KNOWN:
        if _plain(licence.name) == wanted:
            return licence
    return Licence(name, "", "Its words say what is allowed; this program knows no more than its name.", False)


def several(text: str) -> list[Licence]:
    """Those that the builder of a set wrote: one name, or `part: name; part: name` where parts of it differ."""
    found: dict[str, Licence] = {}
    for part in text.split(";"):
        licence = known(part.rpartition(": ")[2].strip())
        found.setdefault(licence.name, licence)
    return list(found.values())


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")
