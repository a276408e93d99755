"""Every metric of a model over one split, as one JSON object: python evaluate.py --workdir=DIR [--split=test]

The metrics are those of the model's docstring. Every example counts, none is dropped; z is drawn with a fixed seed.
"""

import json
from pathlib import Path

from magenta_lite.command import run
from magenta_lite.runtime import keep_compiled, keep_memory


def main(workdir: str, split: str = "test", checkpoint: str = "best", data_dir: str | None = None) -> int:
    """Prints the metrics over a split of the data that the model was trained on, or of other prepared data.

    --workdir    folder of a run of train.py
    --checkpoint best, last, or a step
    --data_dir   prepared data (the run's own)
    """
    keep_compiled()
    from magenta_lite import pipeline
    from magenta_lite.errors import UserError
    from magenta_lite.sampler import Sampler
    from magenta_lite.training import Steps, make_optimizer

    player = Sampler(Path(workdir), checkpoint)
    config = player.config
    data = pipeline.PreparedData(data_dir or config.data.dir, config.data.build if data_dir is None else "")
    if split not in data.lengths:
        raise UserError(f"--split={split}: {data.folder} has {', '.join(data.lengths)}")
    unknown = sorted(set(data.labels) - set(player.codec.labels))
    if player.conditions and unknown:
        raise UserError(f"{data.folder} has the class {unknown[0]}, which the model was not told of")
    lengths = player.codec.lengths(data.lengths[split])
    if not lengths.any():
        raise UserError(f"--split={split}: {data.folder} has no example there that the model takes")
    buckets = pipeline.bucket_lengths(lengths[lengths > 0], config.buckets)
    steps = Steps(player.model, make_optimizer(**config.optimizer), config.seed)
    batches = pipeline.evaluation_batches(data, split, player.codec.encode, lengths, config.batch_size, buckets)
    metrics = steps.evaluate(steps.start().parameters, batches)
    counts = {"examples": int((lengths > 0).sum()), "refused": int((lengths == 0).sum())}
    print(json.dumps({"split": split, "step": player.step, **counts, **metrics}, indent=2))
    return 0


if __name__ == "__main__":
    keep_memory()
    run(main)
