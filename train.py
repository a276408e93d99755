"""Trains a model: python train.py --config=configs/sketch_rnn.py:VARIANT --workdir=DIR [--config.FIELD=VALUE ...]

Resumes where the workdir's last checkpoint ends. --init_from=WORKDIR starts from another run's best parameters.
SIGTERM and Ctrl-C write a checkpoint first. On several hosts, the same command on each:
--coordinator=HOST:PORT --processes=COUNT --process=NUMBER, or --distributed under SLURM and on Cloud TPU.
--patience=SECONDS is how long they wait for each other, 60 unless given.
"""

import contextlib
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from magenta_lite.runtime import keep_compiled, keep_memory
from magenta_lite.watch import AT_ONCE, watch, watched

if __name__ == "__main__":
    keep_memory()
    watch(sys.argv[1:])

import jax
from absl import flags

from magenta_lite import config as configs
from magenta_lite import hosts, models, options, pipeline, workdirs
from magenta_lite.checkpoint import Checkpoints, restore_parameters
from magenta_lite.command import guard
from magenta_lite.errors import UserError
from magenta_lite.logs import Logs, Silence, read
from magenta_lite.training import Account, NotFinite, Steps, make_optimizer

_WORKDIR = flags.DEFINE_string("workdir", None, "folder of the run: config, codec, checkpoints, logs")
_INIT_FROM = flags.DEFINE_string("init_from", None, "workdir whose best parameters to start from")
_COORDINATOR = flags.DEFINE_string("coordinator", None, "of several hosts: HOST:PORT of process 0")
_PROCESSES = flags.DEFINE_integer("processes", None, "of several hosts: how many processes there are")
_PROCESS = flags.DEFINE_integer("process", None, "of several hosts: the number of this process, from 0")
_PATIENCE = flags.DEFINE_integer("patience", hosts.PATIENCE, "of several hosts: seconds to wait for each other", 1)
_DISTRIBUTED = flags.DEFINE_bool("distributed", False, "several hosts, as SLURM, Open MPI or Cloud TPU tell of them")


def train(config: configs.ConfigDict, workdir: Path, init_from: str | None = None) -> None:
    """Trains to config.num_steps, or resumes to it, or stops at SIGTERM; alone or as one of several processes."""
    with contextlib.ExitStack() as at_end:
        _train(config, workdir, init_from, at_end)
    # The others wait here for the first host's last writes: at their end JAX would wait for 300 seconds, and end all.
    hosts.shared(lambda: None)


def _train(config: configs.ConfigDict, workdir: Path, init_from: str | None, at_end: contextlib.ExitStack) -> None:
    fields = config.optimizer.to_dict()
    options.check_names("config.optimizer", fields, make_optimizer)
    options.check_types("config.optimizer", fields, make_optimizer)
    optimizer = make_optimizer(**fields)
    if init_from and hosts.first() and not (workdir / "config.json").exists():
        workdirs.need_alike(Path(init_from), config)
    data = pipeline.PreparedData(config.data.dir, config.data.build)
    codec, held = workdirs.prepare(workdir, config, data) if hosts.first() else (None, None)
    if held:
        at_end.enter_context(held)
    codec = workdirs.agree(codec, config, data) if hosts.several() else codec
    model = models.build(config, codec)
    checkpoints = Checkpoints(workdir, config.keep_checkpoints) if hosts.first() else None
    if checkpoints:
        at_end.callback(checkpoints.close)
    begun = hosts.shared(lambda: checkpoints and checkpoints.newest) is not None
    if init_from and checkpoints and not begun:
        step = restore_parameters(Path(init_from), "best", model)
        workdirs.begin_from(workdir, Path(init_from), step)
        print(f"parameters of step {step} of {init_from}")
        if told := workdirs.told_of_beginning(Path(init_from), codec):
            print(told)
    elif checkpoints and not begun:
        workdirs.begin_from(workdir, None)
    elif init_from and checkpoints:
        print(f"{workdir} has begun already: --init_from={init_from} is left aside")
    steps = Steps(model, optimizer, config.seed, skip=config.on_nan == "skip")
    state = steps.start()
    if checkpoints and begun:
        state = checkpoints.restore(state)
    state = steps.place(hosts.shared_arrays(state))
    if checkpoints and init_from and not begun:
        checkpoints.save(state)  # so that what it began from is not forgotten
    lengths = {split: codec.lengths(stored) for split, stored in data.lengths.items()}
    takes = codec.takes(data.lengths["train"])
    plan = pipeline.Plan(lengths["train"], config.batch_size, config.seed, config.buckets, takes)
    part = steps.part(config.batch_size)
    start, stop = int(state.step), config.num_steps
    if checkpoints:
        shown = f"{len(steps.devices)} device(s)" + (f" of {jax.process_count()} hosts" if hosts.several() else "")
        print(f"{sum(p.size for p in jax.tree.leaves(state.parameters)):,} parameters, {shown}")
        print(f"steps {start} to {stop}; batches of {config.batch_size} padded to {', '.join(map(str, plan.buckets))}")
    logs = Logs(workdir, start, stop, config.batch_size, codec.noun) if checkpoints else Silence()
    at_end.callback(logs.close)
    skipped, in_a_row = hosts.shared(lambda: checkpoints and checkpoints.skipped)
    account = Account(config.nan_limit, logs.say, (skipped, in_a_row))
    signals = _signals()
    pending: Any = None

    def settle() -> bool:
        """Takes in the step before, which ran while the next batch was made; whether to stop behind it."""
        nonlocal pending
        if pending is not None:
            done, pending = pending, None
            account.take(*done)
            logs.step()
        return account.stop if hosts.several() else bool(signals)

    def save() -> None:
        if checkpoints:
            checkpoints.save(state, account.skipped)

    def evaluate(step: int) -> None:
        batches = pipeline.evaluation_batches(
            data, "valid", codec.excerpt, lengths["valid"], config.batch_size, plan.buckets, part
        )
        metrics = steps.evaluate(state.parameters, batches)
        if bad := next((name for name, value in sorted(metrics.items()) if not math.isfinite(value)), None):
            raise NotFinite(f"{bad} of the valid split is not finite at step {step}")
        best = checkpoints is not None and checkpoints.save_best(state, metrics["loss"], account.skipped)
        logs.evaluation("valid", step, metrics, best=best)

    try:
        due = start > 0 and (start % config.evaluate_every == 0 or start >= stop)
        if due and not hosts.shared(lambda: start in dict(read(workdir, "valid", "loss"))):
            evaluate(start)  # the run ended between its last checkpoint and this
        if start >= stop:
            logs.say(f"{workdir} is trained to step {start} already; for more give --config.num_steps above that")
        batches = pipeline.training_batches(data, codec.encode, plan, start, stop, part)
        for step, batch in enumerate(batches, start + 1):
            if settle():
                save()
                logs.say(f"stopped by a signal after step {step - 1}; the same command resumes there")
                break
            state, sums = steps.train(state, batch, stopping=bool(signals))
            pending = step, sums
            if step % config.log_every == 0 or step == stop:
                settle()
                logs.train(step, account.settle())
            if step % config.save_every == 0 or step == stop:
                settle()
                save()
            if step % config.evaluate_every == 0 or step == stop:
                if not settle():
                    evaluate(step)
                elif step == stop:
                    logs.say(f"stopped by a signal before the evaluation of step {step}; the same command makes it")
    except NotFinite as error:
        if not checkpoints:
            raise UserError(f"{error}; the first host tells of the last good checkpoint") from None
        good = checkpoints.newest
        kept = "there is no checkpoint yet" if good is None else f"the last good checkpoint is of step {good}"
        raise UserError(f"{error}; {kept}") from None


def _signals() -> dict[int, float]:
    """The signals to stop that have come, and when; another one of a kind, later, ends the program at once.

    Where the process is watched its parent sees to that. Some signals come to both of them, and are passed on, too.
    """
    came: dict[int, float] = {}

    def stop_soon(number: int, _: object) -> None:
        if time.monotonic() - came.setdefault(number, time.monotonic()) > AT_ONCE and not watched():
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop_soon)
    return came


def main() -> None:
    if "--help" in sys.argv or "-h" in sys.argv:
        print(__doc__)
        return
    config = configs.from_flags(sys.argv)
    if _WORKDIR.value is None:
        raise UserError("flag --workdir=DIR is required")
    several = hosts.asked(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value, _DISTRIBUTED.value)
    try:
        with hosts.together():
            if several:
                hosts.connect(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value, _PATIENCE.value)
            keep_compiled()
            train(config, Path(_WORKDIR.value), _INIT_FROM.value)
    except UserError as error:
        # Threads of orbax, whose writing has failed, may wait for each other for ever, and Python for them.
        print(f"error: {error}", file=sys.stderr, flush=True)
        if sys.stdout:
            sys.stdout.flush()
        os._exit(2)


if __name__ == "__main__":
    guard(main)
