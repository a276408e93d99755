"""magenta_lite as train.py runs it: python -m benchmarks.contestants.ours --data=DIR [--dropout_mask=sequence ...]"""

from benchmarks.contestants import protocol
from magenta_lite.command import run
from magenta_lite.runtime import keep_compiled, keep_memory


def main(
    data: str,
    variant: str = "default",
    dropout_mask: str = "step",
    compute_dtype: str = "float32",
    batch_size: int = 100,
    seed: int = 0,
) -> int:
    """Trains when asked; tells of each step its loss, its real and padded points, and its longest sketch."""
    keep_compiled()
    import jax

    from magenta_lite import models, pipeline
    from magenta_lite.training import Steps, fetch, make_optimizer, ratios

    settings, prepared, codec = protocol.prepared(data, variant)
    settings.model.dropout_mask, settings.model.compute_dtype = dropout_mask, compute_dtype
    settings.seed = seed
    plan = pipeline.Plan(codec.lengths(prepared.lengths["train"]), batch_size, seed, settings.buckets)
    steps = Steps(models.build(settings, codec), make_optimizer(**settings.optimizer), seed, jax.local_devices()[:1])
    first = {plan.batch(step)[1]: step for step in reversed(range(8 * pipeline.WINDOW))}
    for step in first.values():
        batch = next(pipeline.training_batches(prepared, codec.encode, plan, step, step + 1))
        fetch(steps.train(steps.start(), batch)[1])
    state = steps.start()
    batches = pipeline.training_batches(prepared, codec.encode, plan, 0, 1_000_000)

    def step() -> dict[str, float]:
        nonlocal state
        batch = next(batches)
        state, sums = steps.train(state, batch)
        loss = ratios(fetch(sums))["L_R_sketch"]
        length = batch["length"]
        return {
            "loss": loss,
            "real": int(length.sum()),
            "padded": batch["strokes"][..., 0].size,
            "longest": max(length),
        }

    protocol.serve(lambda: {name: float(value) for name, value in step().items()})
    return 0


if __name__ == "__main__":
    keep_memory()
    run(main)
