"""Drawings <-> arrays: normalised, limited, augmented stroke-3."""

import array
import dataclasses
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from magenta_lite.errors import Rejected, UserError, nearest, plain
from magenta_lite.models.sketch_rnn import pictures
from magenta_lite.options import check_types, refuse_decided
from magenta_lite.sheet import Sheet
from magenta_lite.sketch import ndjson, strokes, svg_reading
from magenta_lite.sketch.simplification import BOX, EPSILON, simplified

Example = dict[str, Any]
"""strokes: [N, 3] stroke-3 in the data set's units; label: a class name or number; name: where it comes from."""


SURVEYED = 1_000_000
"""Sketches of a split that tell its scale: 14 classes of QuickDraw are read whole, and of all 345 one in 50."""


@dataclasses.dataclass(frozen=True)
class Codec:
    """What the training data decided, and the limits of the original as options.

    scale: standard deviation of the train split's offsets, by which offsets are divided. n_max: points of the longest
    sketch of all splits, N_max of the paper. labels: class names. size: the median of the longer sides of the train
    split's drawings, in the data's units. max_points: longer sketches are refused. limit:
    offsets are clipped to +-limit, in the data's units. random_scale: each axis is scaled by a factor in 1 +-
    random_scale in training. drop_points: probability with which a point inside a stroke is merged into the next.
    """

    noun: ClassVar[str] = "sketches"
    reads: ClassVar[tuple[str, str]] = ("strokes", "drawings")

    scale: float
    n_max: int
    labels: tuple[str, ...]
    size: float = 255.0
    max_points: int = 250
    limit: float = 1000.0
    random_scale: float = 0.15
    drop_points: float = 0.10

    def __post_init__(self) -> None:
        check_types("config.codec", vars(self), type(self))
        object.__setattr__(self, "labels", tuple(self.labels))  # a list, where it comes from JSON
        for field, value, good, expected in (
            ("scale", self.scale, self.scale > 0, "above 0"),
            ("n_max", self.n_max, self.n_max >= 1, "at least 1"),
            ("size", self.size, self.size > 0, "above 0"),
            ("max_points", self.max_points, self.max_points >= 1, "at least 1"),
            ("limit", self.limit, self.limit > 0, "above 0"),
            ("random_scale", self.random_scale, 0 <= self.random_scale < 1, "a share in 0..1, 1 left out"),
            ("drop_points", self.drop_points, 0 <= self.drop_points < 1, "a probability in 0..1, 1 left out"),
        ):
            if not good:
                raise UserError(f"config.codec.{field}={value}: expected {expected}")

    @classmethod
    def from_data(cls, options: dict[str, Any], data: Any) -> tuple["Codec", dict[str, int]]:
        """The codec for prepared data, and how many items its limits touch, by what is done to them.

        data has labels, lengths (points of every sketch, by split) and example(split, number). Of a split of more than
        SURVEYED sketches so many are read, evenly spread, for scale and size; n_max and what is refused are of all.

        Raises:
          UserError: no sketch of the train split is within the limits.
        """
        refuse_decided("config.codec", options, ("scale", "n_max", "labels", "size"))
        codec = cls(scale=1.0, n_max=1, labels=data.labels, **options)
        touched: dict[str, int] = {}
        fits = {split: codec.lengths(lengths) > 0 for split, lengths in data.lengths.items()}
        for split, keep in fits.items():
            empty = data.lengths[split] == 0
            for reason, count in (("no points", empty), (f"longer than {codec.max_points} points", ~keep & ~empty)):
                if count.any():
                    touched[f"{split}: refused, {reason}"] = int(count.sum())
        if not fits["train"].any():
            raise UserError(f"config.codec.max_points={codec.max_points}: no sketch of the train split is that short")
        total, sides = np.zeros(3), array.array("d")
        for split, keep in fits.items():
            clipped = 0
            rows = np.flatnonzero(keep)
            if len(rows) > SURVEYED:
                rows = rows[np.linspace(0, len(rows) - 1, SURVEYED).astype(np.int64)]
                touched[f"{split}: sketches read for the scale, of {keep.sum():,}"] = SURVEYED
            for row in tqdm(rows, desc=f"scale, {split}", unit=" sketches", leave=False, delay=5, disable=None):
                example = data.example(split, row)
                offsets = example["strokes"][:, :2].astype(np.float64)
                clipped += int(np.abs(offsets).max() > codec.limit)
                if split == "train":
                    offsets = np.clip(offsets, -codec.limit, codec.limit)
                    sides.append(_longer_side(example["strokes"]))
                    total += offsets.size, offsets.sum(), np.square(offsets).sum()
            if clipped:
                touched[f"{split}: sketches with offsets clipped to +-{codec.limit:g}"] = clipped
        scale = float(np.sqrt(total[2] / total[0] - (total[1] / total[0]) ** 2))
        if not scale > 0:
            raise UserError("all offsets of the train split are the same: there is nothing to learn; check the data")
        n_max = max(int(lengths[fits[split]].max(initial=1)) for split, lengths in data.lengths.items())
        return dataclasses.replace(codec, scale=scale, n_max=n_max, size=float(np.median(sides))), touched

    def begun_from(self, other: "Codec") -> str:
        """What to tell of a model that begins with parameters trained with another codec: its scale, if it differs.

        The scale stays the new data's own: the network has always read offsets whose standard deviation is 1.
        """
        if math.isclose(self.scale, other.scale, rel_tol=0.01):
            return ""
        return (
            f"offsets are divided by {self.scale:.4g}, this data's standard deviation; where it began, by "
            f"{other.scale:.4g}: drawings come out in this data's units"
        )

    def check(self, data: Any) -> None:
        """Raises UserError where prepared data holds no drawings."""
        data.need(*self.reads)

    def lengths(self, stored: NDArray[np.integer]) -> NDArray[np.integer]:
        """The encoded length of sketches of these numbers of points; 0 where they are refused."""
        return np.where(stored <= self.max_points, stored, 0)

    def read(self, path: str | os.PathLike[str]) -> Iterator[tuple[str, Example | Rejected]]:
        """The drawings of a file: QuickDraw's .ndjson, simplified or raw, also .gz; or one SVG, .svg or .svgz.

        They fill a box of 255, where raw ones and SVG are simplified as QuickDraw's published ones were, and are scaled
        as if the training data's typical drawing filled it.

        Raises:
          UserError: no such file, or no format that is read.
        """
        if str(path).endswith((".svg", ".svgz")):
            return iter([self._svg(Path(path))])
        if not str(path).endswith((".ndjson", ".ndjson.gz")):
            raise UserError(f"{path}: expected drawings as .ndjson, .ndjson.gz, .svg or .svgz")
        return ((name, self._scaled(example, self.size / BOX)) for name, example in ndjson.read(path))

    def _svg(self, path: Path) -> tuple[str, Example | Rejected]:
        if not path.is_file():
            raise UserError(f"cannot read {path}: no such file")
        lines = svg_reading.read(path).lines
        kept = lines if isinstance(lines, Rejected) else simplified(lines, EPSILON)
        name = plain(path.name)
        if isinstance(kept, Rejected):
            return name, kept
        return name, self._scaled({"strokes": strokes.from_polylines(kept), "name": name}, self.size / BOX)

    def adapt(self, example: Example) -> Example:
        """A drawing of another data set, whose units may differ: scaled to the typical size of this one's."""
        return self._scaled(example, self.size / max(_longer_side(example["strokes"]), 1e-6))

    def _scaled(self, example: Any, factor: float) -> Any:
        if isinstance(example, Rejected):
            return example
        factors = np.array([factor, factor, 1.0], np.float32)
        return {**example, "strokes": np.asarray(example["strokes"], np.float32) * factors}

    def encode(self, example: Example, rng: np.random.Generator | None = None) -> dict[str, NDArray] | Rejected:
        """strokes [N, 3] float32, offsets in units of scale; label, an int32 number (-1 where the class is unknown).

        With rng, as for training: randomly scaled, points dropped at random.
        """
        drawing = np.asarray(example["strokes"], np.float32)
        if not len(drawing):
            return Rejected("no points")
        if len(drawing) > self.max_points:
            return Rejected(f"longer than {self.max_points} points")
        factors = np.array([1 / self.scale, 1 / self.scale, 1.0], np.float32)
        drawing = np.column_stack([np.clip(drawing[:, :2], -self.limit, self.limit), drawing[:, 2]]) * factors
        if rng is not None:
            drawing = strokes.drop_points(strokes.random_scale(drawing, self.random_scale, rng), self.drop_points, rng)
        return {"strokes": drawing.astype(np.float32), "label": np.array(self._number(example.get("label")), np.int32)}

    def takes(self, stored: NDArray[np.integer]) -> NDArray[np.integer]:
        """How often a pass over the data takes each sketch: once."""
        return np.ones_like(stored)

    def excerpt(self, example: Example) -> dict[str, NDArray] | Rejected:
        """What training validates on: the whole sketch."""
        return self.encode(example)

    def decode(self, arrays: dict[str, NDArray]) -> NDArray[np.float32]:
        """A drawing, stroke-3 [N, 3] in the data's units, from strokes [T, 3] and length."""
        drawing = np.array(arrays["strokes"][: int(arrays["length"])], np.float32)
        drawing[:, :2] *= self.scale
        return drawing

    def condition(self, *, label: str | None = None) -> dict[str, NDArray]:
        """What a person may ask for: a label, by its name.

        Raises:
          UserError: no class of that name.
        """
        if label is None:
            return {}
        if label not in self.labels:
            raise UserError(f"--label={label} is no class of this model: {nearest(label, self.labels)}")
        return {"label": np.array(self.labels.index(label), np.int32)}

    def write(self, sheet: Sheet, folder: Path) -> list[Path]:
        """A sheet of drawings as SVG, PNG, GIF and ndjson; the paths written."""
        return pictures.write(sheet, folder)

    def _number(self, label: Any) -> int:
        if isinstance(label, str):
            return self.labels.index(label) if label in self.labels else -1
        return -1 if label is None else int(label)


def _longer_side(drawing: NDArray) -> float:
    left, right, top, bottom = strokes.bounds(drawing)
    return float(max(right - left, bottom - top))
