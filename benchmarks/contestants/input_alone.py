"""The input pipeline without a model: batches read, augmented, encoded and padded as fast as they come."""

import resource

from benchmarks.contestants import protocol
from magenta_lite import pipeline
from magenta_lite.command import run


def main(data: str, batch_size: int = 100, seed: int = 0) -> int:
    """Makes a batch when asked; tells the peak memory of this process, in bytes."""
    settings, prepared, codec = protocol.prepared(data, "default")
    plan = pipeline.Plan(codec.lengths(prepared.lengths["train"]), batch_size, seed, settings.buckets)
    batches = pipeline.training_batches(prepared, codec.encode, plan, 0, 1_000_000)

    def step() -> dict[str, float]:
        next(batches)
        return {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}

    protocol.serve(step)
    return 0


if __name__ == "__main__":
    run(main)
