"""Seconds a training step takes on prepared data, with everything that training does: input, augmentation, dropout.

    python benchmarks/train_step.py [--data=prepared/quickdraw/aaron_sheep] [--variant=default]

Every bucket is compiled first; then `steps` steps are timed, one by one, each to its end. A window of batches holds
every length, so the mean over whole windows is what a run takes.
"""

import os
import runpy
import statistics
import subprocess
import sys
import time
from pathlib import Path

from magenta_lite.command import run
from magenta_lite.runtime import keep_compiled, keep_memory

ROOT = Path(__file__).parents[1]

SHARED = Path(os.environ.get("MAGENTA_LITE_DATA", ROOT / ".." / "shared"))


def main(data: str | None = None, variant: str = "default", steps: int = 32, batch_size: int = 100) -> int:
    """Prints the mean, median and range of `steps` steps of a SketchRNN variant.

    --data  prepared data; without it aaron_sheep is prepared from MAGENTA_LITE_DATA, and where it is not there the
            benchmark is skipped
    """
    if data is None:
        data, source = "prepared/quickdraw/aaron_sheep", SHARED / "data/quickdraw/sketchrnn"
        if not Path(data).exists():
            if not (source / "aaron_sheep.npz").exists():
                print(f"skipped: no {source}/aaron_sheep.npz (set MAGENTA_LITE_DATA, or give --data)")
                return 0
            build = [
                sys.executable,
                "-m",
                "data.quickdraw",
                "--classes=aaron_sheep",
                f"--source={source}",
                f"--out={data}",
            ]
            subprocess.run(build, cwd=ROOT, check=True)
    keep_compiled()
    import jax

    from magenta_lite import models, pipeline
    from magenta_lite.models.sketch_rnn import Codec
    from magenta_lite.training import Steps, fetch, make_optimizer

    settings = runpy.run_path(str(ROOT / "configs/sketch_rnn.py"))["get_config"](variant)
    prepared = pipeline.PreparedData(data)
    codec, _ = Codec.from_data(settings.codec.to_dict(), prepared)
    lengths = codec.lengths(prepared.lengths["train"])
    plan = pipeline.Plan(lengths, batch_size, 0, settings.buckets)
    run_ = Steps(models.build(settings, codec), make_optimizer(**settings.optimizer), 0, jax.local_devices()[:1])
    state = run_.start()
    first = {plan.batch(step)[1]: step for step in reversed(range(8 * pipeline.WINDOW))}
    began = time.perf_counter()
    for step in first.values():
        batch = next(pipeline.training_batches(prepared, codec.encode, plan, step, step + 1))
        state, sums = run_.train(state, batch)
        fetch(sums)
    print(f"{variant} on {data}, batch {batch_size}: {len(first)} programs in {time.perf_counter() - began:.1f} s")
    times = []
    began = time.perf_counter()
    for batch in pipeline.training_batches(prepared, codec.encode, plan, 0, steps):
        state, sums = run_.train(state, batch)
        fetch(sums)
        times.append(time.perf_counter() - began)
        began = time.perf_counter()
    mean = statistics.mean(times)
    print(
        f"{steps} steps: mean {mean:.3f} s, median {statistics.median(times):.3f} s, "
        f"{min(times):.3f} to {max(times):.3f} s; {batch_size / mean:.0f} sketches a second"
    )
    padded = sum(plan.batch(step)[1] for step in range(steps)) * batch_size
    real = sum(int(lengths[plan.batch(step)[0]].sum()) for step in range(steps))
    print(f"padded points over real points: {padded / real:.2f}; {real / steps / mean:,.0f} points a second")
    return 0


if __name__ == "__main__":
    keep_memory()
    run(main)
