"""The tfds builders of a person's own MIDI files: whole pieces, or passages of them."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from data import near_duplicates
from data.archives import plain
from data.midi.files import Found
from data.midi.reading import File, Read
from data.midi.survey import Contents, Hash, Reader
from data.music_records import Pieces
from data.passage_records import Passages
from data.prepare import SPLITS, Item, PreparedSet
from data.splits import assign, place
from magenta_lite.errors import Rejected, UserError


class _Own(PreparedSet):
    """Records of a source's MIDI files, each content once, near-duplicates in one split."""

    def __init__(
        self,
        *,
        found: Found,
        hashes: Sequence[Hash],
        file_labels: Sequence[str],
        shares: Sequence[float],
        function: Callable[[File], Read | Rejected],
        read: Reader,
        data_dir: str,
        **options: Any,
    ) -> None:
        """Reads every file, since what can be read decides the splits, and keeps what it reads in a file in data_dir.

        hashes, file_labels: of every file found. shares: of train, valid and test. function: what is read of a file.
        read: who reads.

        Raises:
          UserError: nothing can be kept.
        """
        self.found, self.file_labels = found, file_labels
        self.contents = Contents(found, hashes, function, Path(data_dir) / "spool", read)
        bad = self.contents.records == 0
        if bad.all():
            raise UserError(f"--source={found.source}: nothing to keep: rejected {self.contents.reasons()}")
        first = self.contents.first
        groups, pieces = len(np.unique(first[~bad])), int((~bad).sum())
        if groups < len(SPLITS):
            alike = "" if groups == pieces else ", near-duplicates among them"
            raise UserError(
                f"--source={found.source} holds {pieces} piece{'s' if pieces > 1 else ''}{alike}: at least "
                f"{len(SPLITS)} {'different ones ' if alike else ''}are needed, one for each of train, valid and test"
            )
        places = np.array([place(found.names[index]) for index in first])
        self._split = np.empty(len(places), np.uint8)
        # Rejected files are listed where they would have been, but fill no split.
        self._split[~bad], moved = assign(places[~bad], shares)
        self._split[bad], _ = assign(places[bad], shares)
        super().__init__(labels=sorted(set(file_labels)), data_dir=data_dir, **options)
        for split, count in zip(SPLITS, moved, strict=True):
            if count:
                self.notes.append(f"put into {split}, which would have been empty: {count}")
        if alike := near_duplicates.tell(first[~bad]):
            self.notes.append(alike)
        if found.others:
            self.notes.append(f"passed over, no MIDI by their names: {found.others:,} files")
        self.notes += [f"passed over, a folder that cannot be read: {plain(name)}" for name in found.closed]

    def items(self, split: str) -> Iterator[Item]:
        """Yields the records in the order of their files' names, named "label/jazz/1.mid"."""
        for index in np.flatnonzero(self._split == SPLITS.index(split)).tolist():
            name, label = plain(self.found.names[index]), self.file_labels[index]
            if index in self.contents.rejected:
                same, why = self.contents.rejected[index]
                yield Item(name, same, label, f"{label}/{name}", why)
                continue
            for number, content in enumerate(self.contents.of(index)):
                yield self.item(name, label, number, content)

    def item(self, name: str, label: str, number: int, content: dict) -> Item:
        """A record of a file: its number in it, and its columns."""
        return Item(name, "", label, f"{label}/{name}", content)

    def count(self, split: str) -> int:
        """Records and rejected files of the split."""
        chosen = self._split == SPLITS.index(split)
        return int(np.maximum(self.contents.records[chosen], 1).sum())


class OwnMidi(_Own, Pieces):
    """Pieces of a folder, zip or tar of MIDI files, each content once."""

    name = "own_midi"
    VERSION = tfds.core.Version("1.2.0")  # since near-duplicates are in one split


class OwnPassages(_Own, Passages):
    """Passages of the pieces of a folder, zip or tar of MIDI files, each content once."""

    name = "own_passages"

    def item(self, name: str, label: str, number: int, content: dict) -> Item:
        """A passage, named "label/jazz/1.mid/0"."""
        return Item(name, str(number), label, f"{label}/{name}/{number}", content)

    def check(self) -> None:
        """Tells what was left out, and of how many pieces the passages are."""
        super().check()
        pieces = [int((self.contents.records[self._split == number] > 0).sum()) for number in range(len(SPLITS))]
        shown = ", ".join(f"{count:,} in {split}" for split, count in zip(SPLITS, pieces, strict=True))
        self.notes.append(f"the {self.kind} are of {sum(pieces):,} pieces: {shown}")
        self.notes += tell_left_out(self.kind, self.contents.elsewhere, self.contents.lost)


def tell_left_out(kind: str, elsewhere: dict[str, int], lost: dict[str, int]) -> list[str]:
    """Lines about passages in other metres, and about what else was left out of pieces."""
    notes = [f"left out, {count:,} {reason}" for reason, count in sorted(lost.items())]
    if elsewhere:
        most = sorted(elsewhere.items(), key=lambda pair: (-pair[1], pair[0]))
        shown = ", ".join(f"{count:,} in {metre}" for metre, count in most[:8])
        rest = sum(count for _, count in most[8:])
        notes.insert(0, f"left out, {kind} in other metres: {shown}{f', {rest:,} in others' if rest else ''}")
    return notes
