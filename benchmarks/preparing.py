"""MAESTRO from the published zip to a prepared set, against reading the same files through pretty_midi, in one run.

    python benchmarks/preparing.py [--source=ZIP] [--files=24]

Ours is the whole builder, hashing, splitting and writing included. pretty_midi only reads, files spread evenly over the
set, and its time is told for all notes at the rate of those files' notes.
"""

import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from magenta_lite.command import run

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("MAGENTA_LITE_DATA", ROOT / ".." / "shared"))


def main(source: str = str(SHARED / "data/maestro-v3.0.0-midi.zip"), files: int = 24, rounds: int = 2) -> int:
    """Prints seconds of both, and how often the one goes into the other.

    --files  how many pretty_midi reads
    """
    if not Path(source).exists():
        print(f"skipped: no {source} (set MAGENTA_LITE_DATA, or give --source)")
        return 0
    import pretty_midi

    with zipfile.ZipFile(source) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith((".midi", ".mid")))
        contents = [archive.read(name) for name in names[:: max(1, len(names) // files)]]
    ours, theirs, notes = [], [], 0
    folder = Path(tempfile.mkdtemp())
    try:
        for number in range(rounds):
            out = folder / str(number)
            began = time.perf_counter()
            command = [sys.executable, "-m", "data.maestro", f"--source={source}", f"--out={out}"]
            subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
            ours.append(time.perf_counter() - began)
            began = time.perf_counter()
            read = [pretty_midi.PrettyMIDI(io.BytesIO(content)) for content in contents]
            theirs.append(time.perf_counter() - began)
            notes = sum(len(instrument.notes) for piece in read for instrument in piece.instruments)
        size = sum(path.stat().st_size for path in (folder / "0").iterdir())
        from magenta_lite.pipeline import PreparedData

        total = sum(int(lengths.sum()) for lengths in PreparedData(folder / "0").lengths.values())
    finally:
        shutil.rmtree(folder)
    all_of_it = min(theirs) / notes * total
    print(f"{len(names):,} files, {total:,} notes, {Path(source).stat().st_size / 1e6:.0f} MB zipped")
    print(f"data.maestro, zip to prepared set:   {min(ours):7.1f} s   {size / 1e6:.0f} MB on disk")
    print(f"pretty_midi, reading alone:          {all_of_it:7.1f} s   from {len(contents)} files, {notes:,} notes")
    print(f"ratio:                               {all_of_it / min(ours):7.1f}")
    return 0


if __name__ == "__main__":
    run(main)
