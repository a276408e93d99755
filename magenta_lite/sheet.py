"""What sampling makes: rows of things, whatever the family."""

import dataclasses
from collections.abc import Sequence
from typing import Any


@dataclasses.dataclass(frozen=True, eq=False)
class Item:
    """One drawing or piece.

    value: as the codec's decode gives it. caption: a few words. label: its class, where it has one. given: how many of
    its first points or events were given, not sampled. sampled: False for what was only read, to be shown beside.
    """

    value: Any
    caption: str = ""
    label: str = ""
    given: int = 0
    sampled: bool = True


@dataclasses.dataclass(frozen=True, eq=False)
class Sheet:
    """Rows of items, with a title for each row and column, or for none."""

    rows: Sequence[Sequence[Item]]
    row_titles: Sequence[str] = ()
    column_titles: Sequence[str] = ()
