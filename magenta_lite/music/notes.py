"""Notes: what a performance or a song is here, as a few arrays with units."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

PITCHES = 128
"""MIDI numbers, 60 is middle C; velocities (1 to 127) and programs (0 to 127, 0 is a grand piano) are MIDI's too."""

DEFAULT_QPM = 120.0
"""Quarter notes a minute where no tempo is given, as in MIDI files."""

_COLUMNS = {
    "start": np.float64,
    "end": np.float64,
    "pitch": np.int16,
    "velocity": np.int16,
    "program": np.int16,
    "is_drum": np.bool_,
    "instrument": np.int16,
}
_MAPS = {
    "tempo_time": np.float64,
    "tempo_qpm": np.float64,
    "metre_time": np.float64,
    "metre": np.int32,
    "pedal_time": np.float64,
    "pedal_down": np.bool_,
    "pedal_instrument": np.int16,
}


def _zero() -> NDArray:
    return np.zeros(())


def _none() -> NDArray:
    return np.zeros(0)


@dataclasses.dataclass(frozen=True, eq=False)
class Notes:
    """N notes in the order of (start, pitch), and the maps that belong to them. Lists are taken for arrays.

    start, end: float64 [N], seconds, 0 <= start <= end. pitch: int16 [N], 0 to 127. velocity: int16 [N], 1 to 127.
    program: int16 [N], 0 to 127. is_drum: bool [N]. instrument: int16 [N], a number for each track and channel; one
    pedal is one instrument's. One number given for velocity, program, is_drum or instrument stands for all notes.

    tempo_time, tempo_qpm: float64 [M], seconds and quarter notes a minute from there on; none: 120 throughout.
    metre_time: float64 [K], seconds; metre: int32 [K, 2], numerator and denominator from there on; none: unknown.
    pedal_time: float64 [P], seconds; pedal_down: bool [P]; pedal_instrument: int16 [P]: the sustain pedal's changes.
    names: of the instruments, by number, "" where one has none; may be shorter.

    Raises ValueError where arrays disagree in length, or a value is outside its range.
    """

    start: NDArray[np.float64]
    end: NDArray[np.float64]
    pitch: NDArray[np.integer]
    velocity: NDArray[np.integer]
    program: NDArray[np.integer] = dataclasses.field(default_factory=_zero)
    is_drum: NDArray[np.bool_] = dataclasses.field(default_factory=_zero)
    instrument: NDArray[np.integer] = dataclasses.field(default_factory=_zero)
    tempo_time: NDArray[np.float64] = dataclasses.field(default_factory=_none)
    tempo_qpm: NDArray[np.float64] = dataclasses.field(default_factory=_none)
    metre_time: NDArray[np.float64] = dataclasses.field(default_factory=_none)
    metre: NDArray[np.integer] = dataclasses.field(default_factory=lambda: np.zeros((0, 2), np.int32))
    pedal_time: NDArray[np.float64] = dataclasses.field(default_factory=_none)
    pedal_down: NDArray[np.bool_] = dataclasses.field(default_factory=_none)
    pedal_instrument: NDArray[np.integer] = dataclasses.field(default_factory=_none)
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        columns: dict[str, NDArray] = {
            name: _array(name, getattr(self, name), dtype) for name, dtype in _COLUMNS.items()
        }
        count = len(np.atleast_1d(columns["start"]))
        for name, column in columns.items():
            if column.ndim == 0:
                column = np.broadcast_to(column, (count,))
            if column.shape != (count,):
                raise ValueError(f"{name} has the shape {column.shape}, start has {count} notes")
            columns[name] = column
        if count:
            _check("start", columns["start"], 0, np.inf)
            _check("end", columns["end"], 0, np.inf)
            _check("pitch", columns["pitch"], 0, 127)
            _check("velocity", columns["velocity"], 1, 127)
            _check("program", columns["program"], 0, 127)
            if (late := columns["end"] < columns["start"]).any():
                row = int(late.argmax())
                raise ValueError(f"note {row} ends at {columns['end'][row]} s, before it starts")
            order = np.lexsort((columns["pitch"], columns["start"]))
            if (order[1:] < order[:-1]).any():
                columns = {name: column[order] for name, column in columns.items()}
        for name, dtype in _MAPS.items():
            columns[name] = _array(name, getattr(self, name), dtype)
        for first, *others in (("tempo_time", "tempo_qpm"), ("metre_time", "metre"), _PEDAL):
            for other in others:
                if len(columns[other]) != len(columns[first]):
                    raise ValueError(f"{other} has {len(columns[other])} rows, {first} has {len(columns[first])}")
            _check(first, columns[first], 0, np.inf)
        _check("tempo_qpm", columns["tempo_qpm"], 1e-6, np.inf)
        for name, column in columns.items():
            object.__setattr__(self, name, column)

    def __len__(self) -> int:
        return len(self.start)

    @property
    def duration(self) -> float:
        """Seconds until the last note has ended; 0 without notes."""
        return float(self.end.max(initial=0.0))

    def replace(self, **columns: Any) -> "Notes":
        """The same with other columns; a note's columns are given for all notes, in their order."""
        return dataclasses.replace(self, **columns)

    def select(self, mask: NDArray) -> "Notes":
        """The notes that a mask or rows [..] select; maps are kept."""
        return self.replace(**{name: getattr(self, name)[mask] for name in _COLUMNS})


_PEDAL = ("pedal_time", "pedal_down", "pedal_instrument")


def _array(name: str, value: ArrayLike, dtype: Any) -> NDArray:
    array = np.asarray(value)
    if array.dtype == dtype:
        return array
    if np.issubdtype(dtype, np.integer) and array.size:
        with np.errstate(invalid="ignore"):
            if not (np.abs(array) < 2.0**15).all():
                raise ValueError(f"{name} holds {array.ravel()[np.abs(array).argmax()]}")
            if not (array == np.trunc(array)).all():
                raise ValueError(f"{name} holds fractions: expected whole numbers")
    return array.astype(dtype)


def _check(name: str, column: NDArray, low: float, high: float) -> None:
    good = (column >= low) & (column <= high) & np.isfinite(column)
    if not good.all():
        row = int((~good).argmax())
        raise ValueError(f"{name}[{row}] is {column[row]}: expected {low:g} to {high:g}, finite")
