"""Trains a model: python train.py --config=configs/sketch_rnn.py:VARIANT --workdir=DIR [--config.FIELD=VALUE ...]

Resumes where the workdir's last checkpoint ends. --init_from=WORKDIR starts from another run's best parameters.
SIGTERM and Ctrl-C write a checkpoint first.
"""

import math
import signal
import sys
from pathlib import Path

from magenta_lite.runtime import keep_compiled, keep_memory

if __name__ == "__main__":
    keep_memory()

import jax
from absl import flags

from magenta_lite import config as configs
from magenta_lite import models, pipeline, workdirs
from magenta_lite.checkpoint import Checkpoints, restore_parameters
from magenta_lite.command import guard
from magenta_lite.errors import UserError
from magenta_lite.logs import Logs
from magenta_lite.training import Steps, add, fetch, make_optimizer, not_finite, ratios

_WORKDIR = flags.DEFINE_string("workdir", None, "folder of the run: config, codec, checkpoints, logs")
_INIT_FROM = flags.DEFINE_string("init_from", None, "workdir whose best parameters to start from")


def train(config: configs.ConfigDict, workdir: Path, init_from: str | None = None) -> None:
    """Trains to config.num_steps, or resumes to it, or stops at SIGTERM."""
    optimizer = make_optimizer(**config.optimizer)
    data = pipeline.PreparedData(config.data.dir, config.data.build)
    codec = workdirs.prepare(workdir, config, data)
    model = models.build(config, codec)
    lengths = {split: codec.lengths(stored) for split, stored in data.lengths.items()}
    checkpoints = Checkpoints(workdir, config.keep_checkpoints)
    if init_from and checkpoints.last_step is None:
        print(f"parameters of step {restore_parameters(Path(init_from), 'best', model)} of {init_from}")
    elif init_from:
        print(f"{workdir} has begun already: --init_from={init_from} is left aside")
    steps = Steps(model, optimizer, config.seed)
    state = steps.start() if checkpoints.last_step is None else checkpoints.restore(steps.start())
    start, stop = int(state.step), config.num_steps
    if init_from and checkpoints.last_step is None:
        checkpoints.save(state)  # so that what it began from is not forgotten
    if start >= stop:
        print(f"{workdir} is trained to step {start} already; for more give --config.num_steps above that")
        return checkpoints.close()
    takes = codec.takes(data.lengths["train"])
    plan = pipeline.Plan(lengths["train"], config.batch_size, config.seed, config.buckets, takes)
    print(f"{sum(p.size for p in jax.tree.leaves(state.parameters)):,} parameters, {len(steps.devices)} device(s)")
    print(f"steps {start} to {stop}; batches of {config.batch_size} padded to {', '.join(map(str, plan.buckets))}")
    logs = Logs(workdir, start, stop, config.batch_size, codec.noun)
    stopping: list[int] = []

    def stop_soon(number: int, _: object) -> None:
        stopping.append(number)
        signal.signal(number, signal.SIG_DFL)  # a second one does not wait

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop_soon)

    sums, pending = {}, None

    def diverged(metric: str, step: int) -> UserError:
        good = checkpoints.last_step
        kept = "there is no checkpoint yet" if good is None else f"the last good checkpoint is of step {good}"
        return UserError(f"{metric} is not finite at step {step}; {kept}")

    def settle() -> None:
        """Takes in the sums of the step before, which ran while the next batch was made."""
        nonlocal pending
        if pending is None:
            return
        (step, values), pending = (pending[0], fetch(pending[1])), None
        if bad := not_finite(values):
            raise diverged(bad, step)
        add(sums, values)
        logs.step()

    try:
        for step, batch in enumerate(pipeline.training_batches(data, codec.encode, plan, start, stop), start + 1):
            settle()
            state, values = steps.train(state, batch)
            pending = (step, values)
            if step % config.log_every == 0 or step == stop:
                settle()
                logs.train(step, ratios(sums))
                sums.clear()
            if step % config.save_every == 0 or step == stop or stopping:
                settle()
                checkpoints.save(state)
            if not stopping and (step % config.evaluate_every == 0 or step == stop):
                settle()
                batches = pipeline.evaluation_batches(
                    data, "valid", codec.excerpt, lengths["valid"], config.batch_size, plan.buckets
                )
                metrics = steps.evaluate(state.parameters, batches)
                if bad := next((name for name, value in sorted(metrics.items()) if not math.isfinite(value)), None):
                    raise diverged(f"{bad} of the valid split", step)
                logs.evaluation("valid", step, metrics, best=checkpoints.save_best(state, metrics))
            if stopping:
                checkpoints.save(state)  # the signal may have come during the evaluation
                logs.say(f"stopped by signal {stopping[0]} after step {step}; the same command resumes there")
                break
    finally:
        checkpoints.close()
        logs.close()


def main() -> None:
    if "--help" in sys.argv or "-h" in sys.argv:
        print(__doc__)
        return
    config = configs.from_flags(sys.argv)
    if _WORKDIR.value is None:
        raise UserError("flag --workdir=DIR is required")
    keep_compiled()
    train(config, Path(_WORKDIR.value), _INIT_FROM.value)


if __name__ == "__main__":
    guard(main)
