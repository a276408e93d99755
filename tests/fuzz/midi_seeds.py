"""MIDI to spoil: files that the project writes, files byte by byte, and real ones where they are."""

import functools
import zipfile
from pathlib import Path
from random import Random

import numpy as np
from midi_mutations import END, header_of, joined

from magenta_lite.music import midi_writing
from magenta_lite.music.notes import Notes

WORST = Path(__file__).parent / "worst" / "midi"
REAL = {  # archives, the size of files taken from them, and how many
    "note-seq-testdata.zip": (60_000, 40),
    "nottingham-midi.zip": (8_000, 40),
    "pop909.zip": (12_000, 20),
    "groove-v1.0.0-midionly.zip": (8_000, 30),
    "maestro-v3.0.0-midi.zip": (40_000, 6),
}


def made() -> dict[str, bytes]:
    """Files that the project writes, of notes by chance."""
    found = {}
    for seed, (count, instruments, span) in enumerate([(1, 1, 1.0), (30, 1, 8.0), (80, 3, 16.0), (300, 16, 60.0)]):
        rng = np.random.default_rng(seed)
        start = np.sort(rng.integers(0, int(span * 8), count)) / 8
        instrument = rng.integers(0, instruments, count)
        notes = Notes(
            start=start,
            end=start + rng.integers(1, 8, count) / 8,
            pitch=rng.integers(30, 90, count),
            velocity=rng.integers(1, 128, count),
            instrument=instrument,
            program=instrument * 5 % 128,
            is_drum=instrument == 2,
            pedal_time=np.sort(rng.integers(0, 20, 9)) * span / 20,
            pedal_down=np.arange(9) % 2 == 0,
            pedal_instrument=np.zeros(9, np.int64),
            names=tuple(f"part {number}" for number in range(instruments)),
        )
        found[f"made-{seed}.mid"] = midi_writing.to_bytes(notes)
    melody = b"".join(bytes([0, 0x90, 60 + step % 12, 80, 120, 60 + step % 12, 0]) for step in range(64))
    beat = b"".join(bytes([0, 0x99, 36, 90, 60, 0x89, 36, 0, 0, 0x99, 42, 70, 60, 42, 0]) for _ in range(32))
    metre = bytes([0, 0xFF, 0x51, 3, 7, 161, 32, 0, 0xFF, 0x58, 4, 3, 2, 24, 8])
    bass = b"\0\xc1\x21" + b"".join(bytes([0, 0x91, 36, 80, 120, 0x81, 36, 0]) for _ in range(64))
    found["melody.mid"] = joined(header_of(0, 1, 480), [metre + melody + END])
    found["trio.mid"] = joined(header_of(1, 3, 480), [melody + END, bass + END, beat + END])
    return found


def real(folder: Path | None) -> dict[str, bytes]:
    """Some of the smaller real files, and one long performance; nothing where the folder is None."""
    found: dict[str, bytes] = {}
    for archive, (largest, count) in REAL.items():
        if folder is None or not (folder / archive).exists():
            continue
        with zipfile.ZipFile(folder / archive) as file:
            entries = [e for e in file.infolist() if e.filename.lower().endswith((".mid", ".midi"))]
            small = sorted((e for e in entries if e.file_size <= largest), key=lambda e: e.filename)
            chosen = Random(0).sample(small, min(count, len(small)))
            if archive.startswith("maestro"):
                chosen.append(min(entries, key=lambda e: abs(e.file_size - 200_000)))
            found |= {f"{archive.partition('-')[0]}/{Path(e.filename).name}": file.read(e) for e in chosen}
    return found


@functools.cache
def worst() -> dict[str, bytes]:
    """The inputs that once did harm, or that cost most."""
    return {path.name: path.read_bytes() for path in sorted(WORST.glob("*.mid"))}
