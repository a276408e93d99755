"""A stand-in for the full QuickDraw: made, prepared, read at random and trained on, with time, memory and bytes.

    python benchmarks/large_data.py --folder=DIR [--drawings=1000000] [--parts=make,build,read,step,stay,midi]

The drawings are real ones of MAGENTA_LITE_DATA, each many times, distorted a little: scaled, turned, sheared, and every
point moved by about a unit. DIR needs about 2 GB for a million of them, and keeps what was made.
"""

import contextlib
import os
import runpy
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _stand_in import DRAWINGS, TUNES, make_drawings, make_tunes

from magenta_lite import pipeline
from magenta_lite.command import run
from magenta_lite.errors import UserError

ROOT = Path(__file__).parents[1]
PARTS = ("make", "build", "read", "step", "stay", "midi")


def main(
    folder: str = "prepared/large",
    drawings: int = 1_000_000,
    parts: list[str] | None = None,
    processes: int = 2,
    beam_python: str | None = None,
    examples: int = 20_000,
    variants: list[str] | None = None,
    rounds: int = 6,
    steps: int = 32,
    batches: int = 2_000,
    limit: int = 0,
    pieces: int = 20_000,
) -> int:
    """Prints what each part measures.

    --folder       where the source and the sets are, or will be
    --drawings     how many to make
    --parts        make: the source; build: the set; read: examples at random; step: training; stay: memory over time;
                   midi: a stand-in for Lakh, made and prepared
    --processes    that build
    --beam_python  a Python with Apache Beam, with which the set is built once more, and compared
    --examples     read at random
    --variants     of configs/sketch_rnn.py, whose training is timed (default,tiny)
    --rounds       of so many --steps from the set, and as many from memory, in turns
    --batches      of input alone, over which memory is watched
    --limit        MB of memory, and of files in memory, that watching may take (Linux, as root); 0: no limit
    """
    for part in parts or ():
        if part not in PARTS:
            raise UserError(f"--parts={part}: expected some of {','.join(PARTS)}")
    if not DRAWINGS.exists() or not TUNES.exists():
        print(f"skipped: no {DRAWINGS}, or no {TUNES} (set MAGENTA_LITE_DATA)")
        return 0
    where = Path(folder)
    source, made = where / "source", where / "set"
    wanted = parts or PARTS
    if "make" in wanted:
        make_drawings(source, drawings, processes)
    if "build" in wanted:
        command = ["-m", "data.quickdraw", "--classes=all", f"--source={source}", f"--processes={processes}"]
        build(command, made)
        if beam_python is not None:
            build([*command, "--beam"], where / "beam", beam_python)
            compare(made, where / "beam")
    if "read" in wanted:
        read(made, examples)
    for variant in (variants or ["default", "tiny"]) if "step" in wanted else ():
        step(made, variant, rounds, steps)
    if "stay" in wanted:
        stay(made, batches, limit)
    if "midi" in wanted:
        make_tunes(where / "tunes", pieces, processes)
        command = ["-m", "data.midi", f"--source={where / 'tunes'}", f"--processes={processes}"]
        build(command, where / "pieces")
        if beam_python is not None:
            build([*command, "--beam"], where / "pieces-beam", beam_python)
            compare(where / "pieces", where / "pieces-beam")
    return 0


def build(flags: list[str], out: Path, python: str = sys.executable) -> None:
    """Prepares a set in a program of its own, and tells what that took."""
    shutil.rmtree(out, ignore_errors=True)
    command = [python, *flags, f"--out={out}"]
    print(f"build: python {' '.join(command[1:])}", flush=True)
    watched = Watched(command)
    if watched.status:
        raise SystemExit(f"the build failed: {watched.error[-2000:]}")
    size = sum(path.stat().st_size for path in out.iterdir())
    records = {split: len(lengths) for split, lengths in pipeline.PreparedData(out).lengths.items()}
    print(f"  {watched.seconds:.0f} s, {watched.cpu:.0f} s of CPU; {len(watched.peaks)} processes of", end=" ")
    print(f"{', '.join(f'{peak / 1e6:.0f}' for peak in sorted(watched.peaks.values())[::-1][:6])} MB at most", end="; ")
    print(f"{watched.together / 1e6:.0f} MB together")
    print(f"  {size / 1e6:,.0f} MB in {len(list(out.iterdir()))} files; {records}")


def compare(one: Path, other: Path) -> None:
    """Tells whether two sets are the same, but for the command that is written in source.json."""
    names = {path.name for path in one.iterdir()}
    same = names == {path.name for path in other.iterdir()} and all(
        (one / name).read_bytes() == (other / name).read_bytes() for name in names if name != "source.json"
    )
    print(f"  {'the same' if same else 'NOT THE SAME'} as {one}, byte for byte, in {len(names)} files")


def read(folder: Path, examples: int) -> None:
    """Times examples at random, from the set and from memory, and decoding what is in memory."""
    data = pipeline.PreparedData(folder)
    rng = np.random.default_rng(0)
    rows = rng.integers(0, len(data.lengths["train"]), examples)
    for row in rows[:2000]:
        data.example("train", row)
    began = time.perf_counter()
    held = {int(row): data.example("train", row) for row in rows}
    stored = (time.perf_counter() - began) / examples
    began = time.perf_counter()
    for row in rows:
        held[int(row)]
    memory = (time.perf_counter() - began) / examples
    print(f"read at random: {stored * 1e6:.0f} us an example, {1 / stored:,.0f} a second", end="; ")
    print(f"looked up in memory: {memory * 1e6:.1f} us")


def step(folder: Path, variant: str, rounds: int, count: int) -> None:
    """Times training from the set and from memory in turns, with one compiled program; then input alone."""
    import jax

    from magenta_lite import models
    from magenta_lite.training import Steps, fetch, make_optimizer

    settings = _settings(variant)
    data = pipeline.PreparedData(folder)
    codec, plan = _planned(data, settings)
    steps = Steps(models.build(settings, codec), make_optimizer(**settings.optimizer), 0, jax.local_devices()[:1])
    held = Held(data)
    for number in range(rounds * count):
        held.hold(plan.batch(number)[0])
    state = steps.start()
    first = {plan.batch(number)[1]: number for number in reversed(range(8 * pipeline.WINDOW))}
    for number in first.values():
        warm = next(iter(pipeline.training_batches(data, codec.encode, plan, number, number + 1)))
        fetch(steps.train(steps.start(), warm)[1])
    sources = {
        "from the set": pipeline.training_batches(data, codec.encode, plan, 0, rounds * count),
        "from memory": pipeline.training_batches(held, codec.encode, plan, 0, rounds * count),
    }
    times: dict[str, list[float]] = {name: [] for name in sources}
    for turn in range(rounds):
        for name in list(sources)[:: 1 if turn % 2 else -1]:
            began = time.perf_counter()
            for _ in range(count):
                state, sums = steps.train(state, next(sources[name]))
                fetch(sums)
            times[name].append((time.perf_counter() - began) / count)
    began = time.perf_counter()
    for _ in pipeline.training_batches(data, codec.encode, plan, 0, 200):
        pass
    alone = (time.perf_counter() - began) / 200
    seconds = {name: statistics.mean(values) for name, values in times.items()}
    print(f"step, {variant}, batches of {settings.batch_size}: ", end="")
    print(", ".join(f"{value * 1000:.1f} ms {name}" for name, value in seconds.items()), end="; ")
    ratios = [one / other for one, other in zip(*times.values(), strict=True)]
    print(f"ratio {statistics.mean(ratios):.3f} (rounds: {', '.join(f'{ratio:.3f}' for ratio in ratios)})")
    print(f"  input alone {alone * 1000:.1f} ms a batch, {seconds['from the set'] / alone:.1f} times as fast")


def stay(folder: Path, batches: int, limit: int) -> None:
    """Makes batches and nothing else, in a program of its own, and tells how its memory grows."""
    size = sum(path.stat().st_size for path in folder.iterdir())
    command = [sys.executable, __file__, "--endure", str(folder), str(batches)]
    with _group(limit) as group:
        watched = Watched([*command, *([] if group is None else [str(group)])], every=1.0)
    if watched.status:
        raise SystemExit(f"it failed: {watched.error[-2000:]}")
    print(f"stay: {watched.told.strip()}; the set has {size / 1e6:,.0f} MB", end="")
    print(f", the program was allowed {limit} MB, files in memory included" if limit else "")
    samples = np.array(watched.samples)  # seconds, then bytes of each kind
    late = samples[samples[:, 0] > samples[-1, 0] * 0.25]
    for kind, column in (("RssAnon", 1), ("RssFile", 2)):
        slope = np.polyfit(late[:, 0] / samples[-1, 0] * batches, late[:, column], 1)[0]
        values = ", ".join(f"{value / 1e6:.0f}" for value in samples[:: max(1, len(samples) // 12), column])
        print(f"  {kind}: {values} MB; {slope * 1000 / 1e3:+.1f} kB in 1,000 batches after the first quarter")


def endure(folder: str, batches: int, group: str | None = None) -> None:
    """Makes batches as training does; group: the file of a control group in which this process is to be."""
    if group is not None:
        Path(group).write_text(str(os.getpid()))
    settings = _settings("default")
    data = pipeline.PreparedData(folder)
    codec, plan = _planned(data, settings)
    began = time.perf_counter()
    for _ in pipeline.training_batches(data, codec.encode, plan, 0, batches):
        pass
    seconds = time.perf_counter() - began
    print(f"{batches:,} batches of {settings.batch_size} in {seconds:.0f} s, {seconds / batches * 1000:.1f} ms each")


class Held(pipeline.PreparedData):
    """Prepared data of which some examples are in memory, and the others are not to be had."""

    def __init__(self, data: pipeline.PreparedData) -> None:
        self._data = data
        self.lengths, self.labels = data.lengths, data.labels
        self._examples: dict[int, dict[str, Any]] = {}

    def hold(self, rows: np.ndarray) -> None:
        """Reads these examples of the train split."""
        self._examples |= {int(row): self._data.example("train", row) for row in rows}

    def example(self, split: str, index: int) -> dict[str, Any]:
        """The example, which has to be held."""
        return dict(self._examples[int(index)])


class Watched:
    """Runs a program to its end, and looks at its memory and that of its children meanwhile.

    status; told, what it printed; seconds; cpu, seconds; peaks, bytes of each process; together, the most at
    one time; samples, (second, RssAnon, RssFile) of all of them.
    """

    def __init__(self, command: list[str], every: float = 0.2) -> None:
        """every: seconds between two looks."""
        self.peaks: dict[int, int] = {}
        self.together = 0
        self.samples: list[tuple[float, int, int]] = []
        self._began, before = time.perf_counter(), os.times()
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        done = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(process.pid, done, every))
        watcher.start()
        self.told, self.error = process.communicate()
        done.set()
        watcher.join()
        after = os.times()
        self.status = process.returncode
        self.seconds = time.perf_counter() - self._began
        self.cpu = after.children_user + after.children_system - before.children_user - before.children_system

    def _watch(self, root: int, done: threading.Event, every: float) -> None:
        while not done.wait(every):
            anonymous = files = 0
            for pid in _family(root):
                found = _status(pid)
                self.peaks[pid] = max(self.peaks.get(pid, 0), found.get("VmHWM", 0))
                anonymous += found.get("RssAnon", 0) + found.get("RssShmem", 0)
                files += found.get("RssFile", 0)
            self.together = max(self.together, anonymous + files)
            self.samples.append((time.perf_counter() - self._began, anonymous, files))


def _family(root: int) -> list[int]:
    """A process and those that it started, and so on."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(path.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def _status(pid: int) -> dict[str, int]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split(":") for line in lines if line.startswith(("Rss", "VmHWM")))
    return {name: int(value.split()[0]) * 1024 for name, value in pairs}


@contextlib.contextmanager
def _group(limit: int) -> Iterator[Path | None]:
    """Where a process enters a group with so many MB of memory, by Linux's first or second kind of control groups."""
    if not limit:
        yield None
        return
    for parent, name in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        folder = Path(parent) / f"large_data_{os.getpid()}"
        try:
            folder.mkdir()
            (folder / name).write_text(str(limit << 20))
        except OSError:
            continue
        try:
            yield folder / "cgroup.procs"
        finally:
            folder.rmdir()
        return
    raise UserError("--limit: this system lets no memory be limited here")


def _settings(variant: str) -> Any:
    return runpy.run_path(str(ROOT / "configs/sketch_rnn.py"))["get_config"](variant)


def _planned(data: pipeline.PreparedData, settings: Any) -> tuple[Any, pipeline.Plan]:
    from magenta_lite import models

    began = time.perf_counter()
    codec, _ = models.family(settings.family).Codec.from_data(settings.codec.to_dict(), data)
    print(f"looking at the drawings for their scale: {time.perf_counter() - began:.0f} s")
    return codec, pipeline.Plan(codec.lengths(data.lengths["train"]), settings.batch_size, 0, settings.buckets)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--endure"]:
        endure(sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
    else:
        run(main)
