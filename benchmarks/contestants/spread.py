"""A family's training step over faked devices: python -m benchmarks.contestants.spread --family=sketch_rnn --devices=4

With --processes=2 it starts a second process, and each has half of the devices.
"""

import os
import resource
import runpy
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from magenta_lite.command import run

ROOT = Path(__file__).parents[2]

SMALLER: dict[str, dict[str, Any]] = {
    "sketch_rnn": {
        "batch_size": 96,
        "model.encoder_size": 64,
        "model.decoder_size": 128,
        "model.latent_size": 32,
        "buckets": 1,
    },
    "performance_rnn": {"batch_size": 32, "codec.crop": 128, "model.layers": (128, 128, 128)},
    "music_vae": {
        "batch_size": 128,
        "model.latent_size": 64,
        "model.encoder_layers": (128,),
        "model.decoder_layers": (64, 64),
    },
}
"""The default recipes, about a fourth as wide; the global batch divides by eight devices."""

DATA = {
    "sketch_rnn": ("toy", "drawings"),
    "performance_rnn": ("toy-performances", "performances"),
    "music_vae": ("toy-melodies", "melodies"),
}
"""The built-in set of each family: its folder in prepared/, and its kind."""


def settings(family: str, variant: str | None = None, **fields: Any) -> Any:
    """The recipe of a family, with fields of it changed."""
    recipe = runpy.run_path(str(ROOT / f"configs/{family}.py"))["get_config"]
    found = recipe(variant) if variant else recipe()
    found.update_from_flattened_dict(fields)
    return found


def built_in(family: str) -> str:
    """The folder of the family's built-in set, which is prepared where it is not there yet."""
    name, kind = DATA[family]
    folder = ROOT / "prepared" / name
    if not folder.exists():
        words = [sys.executable, "-m", "data.toy", f"--kind={kind}", f"--out={folder}"]
        subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return str(folder)


def main(family: str, devices: int = 1, processes: int = 1, coordinator: str | None = None, process: int = 0) -> int:
    """Trains when asked; tells of each step its loss, the peak memory, and what travels between devices."""
    second = None
    if processes > 1 and coordinator is None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            coordinator = f"127.0.0.1:{found.getsockname()[1]}"
        words = [sys.executable, "-m", "benchmarks.contestants.spread", *sys.argv[1:], "--process=1"]
        words = [*words, f"--coordinator={coordinator}"]
        second = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices // processes}"
    import numpy as np

    from benchmarks.contestants import collectives, protocol
    from magenta_lite import hosts, models, pipeline
    from magenta_lite.training import Steps, fetch, make_optimizer, ratios

    if coordinator:
        # What the collectives say of themselves on standard output is no answer to the benchmark.
        sys.stdout = os.fdopen(os.dup(1), "w")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        hosts.connect(coordinator, processes, process)
    config = settings(family, **SMALLER[family])
    data = pipeline.PreparedData(built_in(family))
    codec, _ = models.family(family).Codec.from_data(config.codec.to_dict(), data)
    stored = data.lengths["train"]
    plan = pipeline.Plan(codec.lengths(stored), config.batch_size, 0, config.buckets, codec.takes(stored))
    steps = Steps(models.build(config, codec), make_optimizer(**config.optimizer), 0)
    assert len(steps.devices) == devices
    batches = pipeline.training_batches(data, codec.encode, plan, 0, 1_000_000, steps.part(config.batch_size))
    state = steps.start()
    votes = np.zeros(devices // processes, np.float32)
    program = steps._train.lower(state, steps._cut(next(batches)), votes).compile()
    sizes = collectives.all_reduces(program.as_text()) if devices > 1 else []

    def step() -> dict[str, float]:
        nonlocal state
        if second:
            second.stdin.write(b"\n")
            second.stdin.flush()
        state, sums = steps.train(state, next(batches))
        loss = ratios(fetch(sums))["loss"]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return {"loss": loss, "peak": peak, "all_reduces": len(sizes), "bytes": sum(sizes)}

    if process:
        for _ in sys.stdin:
            step()
        return 0
    step()
    protocol.serve(step)
    if second:
        second.stdin.close()  # not waited for: at their ends the two wait for each other
    return 0


if __name__ == "__main__":
    run(main)
