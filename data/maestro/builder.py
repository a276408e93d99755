"""The tfds builder of MAESTRO v3.0.0."""

import csv
import dataclasses
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from data import packing, published_midi
from data.archives import Member, plain
from data.music_records import Pieces
from data.prepare import SPLITS, Item
from data.reading_pool import cores, read_all
from magenta_lite.errors import Rejected, UserError

LABEL = "maestro"
TABLE = "maestro-v3.0.0.csv"

FILES = {"train": 962, "valid": 137, "test": 177}
NOTES = {"train": 5_659_329, "valid": 639_425, "test": 741_410}
"""As published, of each split."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of MAESTRO's table: the file's name in it, where it lies, "composer: title", and the year."""

    name: str
    file: Member
    title: str


@dataclasses.dataclass(frozen=True)
class Maestro3:
    """What a source holds: the performances of each split in the table's order, those that it lacks, its digest."""

    rows: Mapping[str, Sequence[Row]]
    missing: tuple[str, ...]
    sources: Mapping[str, str]

    @property
    def complete(self) -> bool:
        """Whether it is all of MAESTRO."""
        return not self.missing and {split: len(rows) for split, rows in self.rows.items()} == FILES


class Maestro(Pieces):
    """Performances on a Disklavier at ten years of a piano competition, in MAESTRO's own splits."""

    name = "maestro"

    def __init__(self, *, source: Maestro3, data_dir: str, partial: bool = False) -> None:
        """partial: take other numbers of pieces and notes than the published."""
        self.source, self.partial = source, partial
        super().__init__(labels=(LABEL,), data_dir=data_dir)
        if not source.complete:
            held = sum(map(len, source.rows.values()))
            self.notes.append(f"a part of MAESTRO: {held:,} of {sum(FILES.values()):,} performances")

    def items(self, split: str) -> Iterator[Item]:
        """Yields the performances in the order of MAESTRO's table, named "maestro/2018/....midi"."""
        for row, packed in zip(self.source.rows[split], self._packed(split), strict=False):
            content = packed if isinstance(packed, Rejected) else {**packed, "title": row.title}
            yield Item(row.name, "", LABEL, f"{LABEL}/{row.name}", content)
        if split == SPLITS[-1]:
            self._read.close()

    def _packed(self, split: str) -> Iterator[dict | Rejected]:
        """The columns of a split's files, read by all cores: the processes go on from one split to the next."""
        if split == SPLITS[0]:
            files = [row.file for name in SPLITS for row in self.source.rows[name]]
            self._read = read_all(packing.read, published_midi.contents(files), processes=cores())
        return self._read

    def count(self, split: str) -> int:
        """Performances that the table lists and the source holds."""
        return len(self.source.rows[split])

    def check(self) -> None:
        """Tells where a complete MAESTRO has other numbers of pieces and notes than the published.

        Raises:
          UserError: it has, and no part was asked for.
        """
        super().check()
        if not self.source.complete:
            return
        for split in SPLITS:
            pieces, notes = len(self.lengths[split]), sum(self.lengths[split])
            if (pieces, notes) == (FILES[split], NOTES[split]):
                continue
            differs = (
                f"{split} has {notes:,} notes in {pieces:,} pieces, MAESTRO v3.0.0 has {NOTES[split]:,} in "
                f"{FILES[split]:,}"
            )
            if not self.partial:
                raise UserError(f"{differs}: is this the published file? add --partial to take it as it is")
            self.notes.append(differs)


def survey(source: Path) -> Maestro3:
    """Finds MAESTRO's table in a zip or a folder, and the files that it lists.

    Raises:
      UserError: no such source, or no table in it, or one that cannot be read.
    """
    table, held, sources = published_midi.find(source, TABLE, "maestro-v3.0.0-midi.zip", "*/*")
    rows: dict[str, list[Row]] = {split: [] for split in SPLITS}
    missing = []
    try:
        lines = csv.DictReader(io.StringIO(table.decode()))
        for line in lines:
            name = line["midi_filename"]
            # A short line lacks values, a long one has some of no column.
            if None in line or None in line.values() or line["split"] not in published_midi.SPLITS:
                raise UserError(f"--source={source}: {TABLE} in it is broken in line {lines.line_num}")
            if name not in held:
                missing.append(name)
                continue
            title = plain(f"{line['canonical_composer']}: {line['canonical_title']}")
            rows[published_midi.SPLITS[line["split"]]].append(Row(plain(name), held[name], title))
    except (KeyError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"--source={source}: {TABLE} in it is not MAESTRO's table ({error!r})") from None
    if not sources:
        files = [row.file for part in rows.values() for row in part]
        sources = {source.resolve().name: published_midi.hash_listed(table, files)}
    return Maestro3({split: tuple(part) for split, part in rows.items()}, tuple(missing), sources)
