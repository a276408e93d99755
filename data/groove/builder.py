"""The tfds builder of Groove v1.0.0."""

import collections
import csv
import dataclasses
import functools
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from data import published_midi
from data.archives import Member, plain
from data.midi import extraction
from data.midi.builder import tell_left_out
from data.midi.options import steps_per_bar
from data.passage_records import Passages
from data.prepare import SPLITS, Item
from data.reading_pool import cores, read_all
from magenta_lite.errors import Rejected, UserError
from magenta_lite.music import grooves

TABLE = "info.csv"
KINDS = ("grooves", "drums")

FILES = {"train": 897, "valid": 124, "test": 129}
HITS = {"train": 358_290, "valid": 44_128, "test": 43_894}
"""As published, of each split: files, and note-ons in them."""

NOTES = {"train": 357_618, "valid": 44_044, "test": 43_832}
"""What is read of HITS. The other 818 end in the tick in which they begin, or never, and no reader keeps them."""

_COLUMNS = ("style", "bpm", "beat_type", "midi_filename", "split")


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of Groove's table: the file's name in it, where it lies, its style ("funk"), and what is played."""

    name: str
    file: Member
    style: str
    title: str


@dataclasses.dataclass(frozen=True)
class Groove1:
    """What a source holds: the files of each split in the table's order, those that it lacks, its digest."""

    rows: Mapping[str, Sequence[Row]]
    missing: tuple[str, ...]
    sources: Mapping[str, str]

    @property
    def complete(self) -> bool:
        """Whether it is all of Groove."""
        return not self.missing and {split: len(rows) for split, rows in self.rows.items()} == FILES

    @property
    def styles(self) -> tuple[str, ...]:
        """Of all files, sorted."""
        return tuple(sorted({row.style for rows in self.rows.values() for row in rows}))


class Groove(Passages):
    """Beats and fills that drummers played on an electronic kit, in Groove's own splits, labelled by style."""

    name = "groove"

    def __init__(
        self, *, source: Groove1, kind: str, metres: tuple[tuple[int, int], ...], data_dir: str, partial: bool = False
    ) -> None:
        """Reads all files. partial: take other numbers of files and notes than the published."""
        self.source, self.partial = source, partial
        wanted = extraction.Wanted(kind, metres, pitches=grooves.ROLAND)
        members = [row.file for split in SPLITS for row in source.rows[split]]
        results = list(
            read_all(functools.partial(extraction.read, wanted), published_midi.contents(members), processes=cores())
        )
        ends = np.cumsum([len(source.rows[split]) for split in SPLITS])
        self._read: dict[str, list[tuple[int, extraction.Extracted] | Rejected]] = {
            split: results[end - len(source.rows[split]) : end] for split, end in zip(SPLITS, ends, strict=True)
        }
        super().__init__(kind=kind, labels=source.styles, steps_per_bar=steps_per_bar(metres[0]), data_dir=data_dir)
        if not source.complete:
            held = sum(map(len, source.rows.values()))
            self.notes.append(f"a part of Groove: {held:,} of {sum(FILES.values()):,} files")

    def items(self, split: str) -> Iterator[Item]:
        """Yields passages in the order of Groove's table, named "funk/drummer1/....mid/0"."""
        for row, result in zip(self.source.rows[split], self._read[split], strict=True):
            name = f"{row.style}/{row.name}"
            if isinstance(result, Rejected):
                yield Item(row.name, "", row.style, name, result)
                continue
            _, found = result
            if found.why:
                yield Item(row.name, "", row.style, name, Rejected(found.why))
            for number, content in enumerate(found.passages):
                yield Item(row.name, str(number), row.style, f"{name}/{number}", {**content, "title": row.title})

    def count(self, split: str) -> int:
        """Passages, and files without one."""
        return sum(
            1 if isinstance(result, Rejected) else max(1, len(result[1].passages)) for result in self._read[split]
        )

    def check(self) -> None:
        """Tells what is left out, and where a complete Groove has other numbers of notes than the published.

        Raises:
          UserError: it has, and no part was asked for.
        """
        super().check()
        elsewhere: collections.Counter[str] = collections.Counter()
        lost: collections.Counter[str] = collections.Counter()
        for split in SPLITS:
            results = [result for result in self._read[split] if not isinstance(result, Rejected)]
            for _, found in results:
                elsewhere.update(found.elsewhere)
                lost.update(found.lost)
            notes = sum(count for count, _ in results)
            if not self.source.complete or notes == NOTES[split]:
                continue
            differs = f"{split} has {notes:,} notes, of Groove v1.0.0 {NOTES[split]:,} are read"
            if not self.partial:
                raise UserError(f"{differs}: is this the published file? add --partial to take it as it is")
            self.notes.append(differs)
        self.notes += tell_left_out(self.kind, elsewhere, lost)


def survey(source: Path) -> Groove1:
    """Finds Groove's table in a zip or a folder, and the files that it lists.

    Raises:
      UserError: no such source, or no table in it, or one that cannot be read.
    """
    table, held, sources = published_midi.find(source, TABLE, "groove-v1.0.0-midionly.zip", "*/*/*")
    rows: dict[str, list[Row]] = {split: [] for split in SPLITS}
    missing = []
    try:
        lines = csv.DictReader(io.StringIO(table.decode()))
        for line in lines:
            style, bpm, kind, name, split = (line[column] for column in _COLUMNS)
            # A short line lacks values, a long one has some of no column.
            if None in line or None in line.values() or split not in published_midi.SPLITS:
                raise UserError(f"--source={source}: {TABLE} in it is broken in line {lines.line_num}")
            if name not in held:
                missing.append(name)
                continue
            title = plain(f"{style} {kind}, {bpm} bpm")
            rows[published_midi.SPLITS[split]].append(
                Row(plain(name), held[name], plain(style.partition("/")[0]), title)
            )
    except (KeyError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"--source={source}: {TABLE} in it is not Groove's table ({error!r})") from None
    if not sources:
        files = [row.file for part in rows.values() for row in part]
        sources = {source.resolve().name: published_midi.hash_listed(table, files)}
    return Groove1({split: tuple(part) for split, part in rows.items()}, tuple(missing), sources)
