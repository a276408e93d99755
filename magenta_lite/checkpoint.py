"""Checkpoints by orbax: `checkpoints/` keeps the last few, `best/` the one of the lowest objective.

A checkpoint has two items, so that sampling reads no more than it needs: parameters, and training (the optimizer's
state and the step, which is also the position in the data). It is written in the background and appears whole or not at
all.
"""

from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging
from flax import nnx

from magenta_lite.errors import UserError
from magenta_lite.training import State, on_host


class Checkpoints:
    """Those of one workdir."""

    def __init__(self, workdir: Path, keep: int = 3):
        logging.set_verbosity(logging.ERROR)  # orbax tells of every step it takes
        self.workdir = Path(workdir).absolute()
        self._last = ocp.CheckpointManager(
            self.workdir / "checkpoints", options=ocp.CheckpointManagerOptions(max_to_keep=keep, create=True)
        )
        self._best = ocp.CheckpointManager(
            self.workdir / "best",
            options=ocp.CheckpointManagerOptions(
                max_to_keep=1, create=True, best_fn=lambda metrics: metrics["loss"], best_mode="min"
            ),
        )

        best = self._best.best_step()
        # Kept here: orbax knows the metrics of a save in the background only once it is written.
        self.best_loss = float("inf") if best is None else float(self._best.metrics(best)["loss"])

    @property
    def last_step(self) -> int | None:
        """The newest step saved, or None."""
        return self._last.latest_step()

    def save(self, state: State) -> None:
        """Copies the state, then writes it in the background; nothing to do where that step is there already."""
        self._write(self._last, state)

    def save_best(self, state: State, metrics: dict[str, float]) -> bool:
        """Writes the state if metrics["loss"] is the lowest yet; says whether it was."""
        if not metrics["loss"] < self.best_loss:
            return False
        self.best_loss = metrics["loss"]
        # Forced: after an interruption the best step may lie beyond the one that was resumed.
        self._write(self._best, state, metrics={"loss": metrics["loss"]}, force=True)
        return True

    def _write(self, manager: ocp.CheckpointManager, state: State, **more: Any) -> None:
        host = on_host(state)
        step = int(host.step)
        if step not in manager.all_steps() or "force" in more:
            training = {"optimizer": _pure(host.optimizer), "step": host.step}
            manager.save(
                step,
                args=ocp.args.Composite(
                    parameters=ocp.args.StandardSave(_pure(host.parameters)), training=ocp.args.StandardSave(training)
                ),
                **more,
            )

    def restore(self, like: State) -> State:
        """The newest state; `like` has its structure and shapes."""
        like = on_host(like)
        args = ocp.args.Composite(
            parameters=ocp.args.StandardRestore(_pure(like.parameters)),
            training=ocp.args.StandardRestore({"optimizer": _pure(like.optimizer), "step": like.step}),
        )
        step = self._last.latest_step()
        try:
            restored = self._last.restore(step, args=args)
        except Exception as error:
            raise _unreadable(self.workdir / "checkpoints" / str(step), error) from None
        parameters, training = restored["parameters"], restored["training"]
        return State(_like(like.parameters, parameters), _like(like.optimizer, training["optimizer"]), training["step"])

    def close(self) -> None:
        """Waits until all is written."""
        self._last.close()
        self._best.close()


def restore_parameters(workdir: Path, which: str, model: nnx.Module) -> int:
    """Sets the model's parameters from a workdir's checkpoint and returns its step.

    which: "best", "last" or a step's number.

    Raises:
      UserError: no such checkpoint, or one of a model of other shapes.
    """
    logging.set_verbosity(logging.ERROR)
    if which not in ("best", "last") and not which.isdigit():
        raise UserError(f"--checkpoint={which}: expected best, last or the number of a step")
    folder = Path(workdir).absolute() / ("best" if which == "best" else "checkpoints")
    steps = sorted(int(path.name) for path in folder.glob("*") if path.name.isdigit())
    if not steps:
        raise UserError(f"no {which} checkpoint in {folder}: train first, or give another --checkpoint")
    step = steps[-1] if which in ("best", "last") else int(which)
    if step not in steps:
        raise UserError(f"--checkpoint={which}: {folder} has the steps {', '.join(map(str, steps))}")
    _, state = nnx.split(model, nnx.Param)
    checkpointer = ocp.StandardCheckpointer()
    try:
        stored = checkpointer.metadata(folder / str(step) / "parameters").item_metadata.tree
    except Exception as error:
        raise _unreadable(folder / str(step), error) from None
    wanted = _pure(state)
    ours, theirs = _shapes(wanted), _shapes(stored)
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            raise UserError(
                f"the checkpoint {folder / str(step)} is of another model: {name} is {theirs.get(name, 'missing')} "
                f"there and {ours.get(name, 'missing')} here"
            )
    try:
        restored = checkpointer.restore(folder / str(step) / "parameters", wanted)
    except Exception as error:
        raise _unreadable(folder / str(step), error) from None
    nnx.update(model, _like(state, restored))
    return step


def _unreadable(folder: Path, error: Exception) -> UserError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
    return UserError(f"the checkpoint {folder} cannot be read ({reason}): move it away, or name another --checkpoint")


def _pure(tree: Any) -> Any:
    """Nested containers of plain arrays, which any later version can read."""
    return jax.tree.map(
        lambda x: nnx.to_pure_dict(x) if isinstance(x, nnx.State) else x,
        tree,
        is_leaf=lambda x: isinstance(x, nnx.State),
    )


def _like(structure: Any, values: Any) -> Any:
    """The values in the structure's containers."""
    return jax.tree.unflatten(jax.tree.structure(structure), jax.tree.leaves(values))


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    return {
        "/".join(str(getattr(key, "key", key)) for key in path): tuple(leaf.shape)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
