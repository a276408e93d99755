"""magenta_lite's Performance RNN as train.py runs it: python -m benchmarks.contestants.performance_ours --data=DIR"""

from benchmarks.contestants import protocol
from magenta_lite.command import run
from magenta_lite.runtime import keep_compiled, keep_memory


def main(
    data: str,
    variant: str = "dynamics",
    batch_size: int = 64,
    crop: int = 512,
    compute_dtype: str = "float32",
    seed: int = 0,
) -> int:
    """Trains when asked; tells of each step its loss and the events it scored."""
    keep_compiled()
    import jax

    from benchmarks.contestants import performance_batches
    from magenta_lite import models
    from magenta_lite.training import Steps, fetch, make_optimizer, ratios

    found = performance_batches.settings(variant, batch_size, crop)
    found.model.compute_dtype, found.seed = compute_dtype, seed
    codec, batches = performance_batches.batches(data, found, seed)
    steps = Steps(models.build(found, codec), make_optimizer(**found.optimizer), seed, jax.local_devices()[:1])
    state = steps.start()

    def step() -> dict[str, float]:
        nonlocal state
        batch = next(batches)
        state, sums = steps.train(state, batch)
        return {"loss": ratios(fetch(sums))["loss"], "events": float((batch["length"] - 1).sum())}

    step()
    state = steps.start()
    protocol.serve(step)
    return 0


if __name__ == "__main__":
    keep_memory()
    run(main)
