"""Licences of data sets: what they are called, what they ask for, and whether examples may be handed on."""

import dataclasses
import re

UNKNOWN = "unknown"

ASSUMED = " (assumed)"
"""Behind a licence that an importer took for granted, since the file does not tell one."""

BEGAN = "and of the data of the model it began from: "
"""Before the licence of what another model was trained on, where several stand in one line."""

_NON_COMMERCIAL = re.compile(
    r"(?<![a-z0-9])nc(?![a-z0-9])|non[-_\s]*commercial|\b(no|not|not for) commercial", re.IGNORECASE
)


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
    if name.endswith(ASSUMED):
        assumed = known(name.removesuffix(ASSUMED))
        meaning = f"The file of the model does not say so; it is what such files are commonly under. {assumed.meaning}"
        return dataclasses.replace(assumed, name=name, meaning=meaning, handed_on=False)
    wanted = _plain(name)
    if not wanted or wanted == UNKNOWN:
        return NOT_KNOWN
    for licence in KNOWN:
        if _plain(licence.name) == wanted:
            return licence
    return Licence(name, "", "Its words say what is allowed; this program knows no more than its name.", False)


def several(text: str) -> list[Licence]:
    """Those that the builder of a set wrote: one name, or `name: classes; name: classes` where classes differ.

    `class: name; class: name` is read, too, as older sets have it. Where a part holds no name that is known, or says
    that it is for no commercial purpose though its name does not, the whole part is the name.
    """
    found: dict[str, Licence] = {}
    parts = [part.strip().removeprefix(BEGAN) for part in text.split(";")]
    for part in parts:
        words = part.split(": ")
        # Alone, "MIT: for my friends" are somebody's own words.
        names = [words[-1], words[0]] if len(parts) > 1 else [words[-1]]
        told = [licence for licence in map(known, dict.fromkeys(names)) if licence.url or licence is NOT_KNOWN]
        if not told or (non_commercial(part) and not any(non_commercial(licence.name) for licence in told)):
            told = [known(part)]
        for licence in told:
            found.setdefault(licence.name, licence)
    return list(found.values())


def non_commercial(name: str) -> bool:
    """Whether a licence's name says that it is for no commercial purpose: NC as a word, "non-commercial", ..."""
    return _NON_COMMERCIAL.search(name) is not None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")
