"""Records of passages: unbroken melodies, drum tracks, trios and grooves on a grid of steps, as MusicVAE reads them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from data.prepare import SPLITS, Item, PreparedSet
from magenta_lite.errors import Rejected

_EVENTS, _MASKS = ((None,), np.uint8), ((None,), np.uint64)

COLUMNS: Mapping[str, Mapping[str, tuple[tuple[int | None, ...], type]]] = {
    "melodies": {"melody": _EVENTS, "chord": _EVENTS},
    "drums": {"drums": _MASKS},
    "trios": {"melody": _EVENTS, "bass": _EVENTS, "drums": _MASKS},
    "grooves": {"velocity": ((None, 9), np.uint8), "offset": ((None, 9), np.float32)},
}
"""The columns of each kind of passages, with their shapes and types; the first axis is time, in steps."""

_RECIPES = {
    "melodies": "cat-mel_2bar_small",
    "drums": "cat-drums_2bar_small",
    "trios": "hierdec-trio_16bar",
    "grooves": "groovae_2bar_humanize",
}


class Passages(PreparedSet):
    """Passages of one kind and one length of bar; the content of an item is a dict of its columns.

    Records hold the kind's COLUMNS, `steps_per_bar`, `qpm` (where the section begins), `title`, `label` and `name`;
    their length is the number of steps, whole bars. Of the content `chord` (0 throughout), `qpm` (120) and `title`
    ("") may be left out.
    """

    noun = "passages"
    unit = "steps"

    def __init__(self, *, kind: str, labels: Sequence[str], data_dir: str, steps_per_bar: int = 16) -> None:
        """kind: a key of COLUMNS. steps_per_bar: of all passages, in sixteenth notes."""
        self.kind, self.steps_per_bar = kind, steps_per_bar
        self.recipe = f"configs/music_vae.py:{_RECIPES[kind]}"  # type: ignore[misc]
        super().__init__(labels=labels, data_dir=data_dir)

    def columns(self) -> dict[str, Any]:
        """Those of the kind, and what all passages have."""
        arrays = {
            name: tfds.features.Tensor(shape=shape, dtype=dtype, encoding="bytes")
            for name, (shape, dtype) in COLUMNS[self.kind].items()
        }
        return {**arrays, "steps_per_bar": np.int32, "qpm": np.float32, "title": tfds.features.Text()}

    def record(self, item: Item) -> tuple[int, dict[str, Any]] | Rejected:
        """The passage, if it is of whole bars, at least one."""
        given = item.content
        columns: dict[str, Any] = {
            name: np.asarray(given[name], dtype)
            for name, (_, dtype) in COLUMNS[self.kind].items()
            if name != "chord" or name in given
        }
        lengths = {len(column) for column in columns.values()}
        if len(lengths) > 1:
            return Rejected("columns of different lengths")
        (steps,) = lengths
        if not steps or steps % self.steps_per_bar:
            return Rejected(f"not whole bars of {self.steps_per_bar} steps")
        if self.kind == "melodies":
            columns.setdefault("chord", np.zeros(steps, np.uint8))
        columns |= {
            "steps_per_bar": self.steps_per_bar,
            "qpm": given.get("qpm", 120.0),
            "title": given.get("title", ""),
        }
        return steps, columns

    def check(self) -> None:
        """Tells how many passages are of one bar, of which no window of two bars can be cut."""
        short = {split: sum(steps < 2 * self.steps_per_bar for steps in self.lengths[split]) for split in SPLITS}
        if any(short.values()):
            shown = ", ".join(f"{count:,} of {len(self.lengths[split]):,} in {split}" for split, count in short.items())
            self.notes.append(f"shorter than two bars: {shown}")
