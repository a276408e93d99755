"""Checkpoints by orbax: `checkpoints/` keeps the last few, `best/` the one of the lowest objective.

A checkpoint has three items, so that sampling reads no more than it needs: parameters; training (the optimizer's state
and the step, which is also the position in the data); and about, the checksums of the two and the version that wrote
them. It is written in the background and appears whole or not at all. What cannot be read back to the last bit is never
used: a run goes back to the newest checkpoint that can, in either folder, and sets the others aside in `unreadable/`.
"""

import hashlib
import importlib.metadata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from flax import nnx

from magenta_lite.errors import UserError
from magenta_lite.training import State, on_host

VERSION = importlib.metadata.version("magenta_lite")


class Unreadable(Exception):
    """A checkpoint that is damaged, or of another model; says why."""


class Checkpoints:
    """Those of one workdir, for one process to write."""

    def __init__(self, workdir: Path, keep: int = 3):
        logging.set_verbosity(logging.FATAL)  # orbax tells of every step it takes, and of errors that are raised too
        self.workdir = Path(workdir).absolute()
        self._last = _manager(self.workdir / "checkpoints", max_to_keep=keep)
        self._best = _manager(
            self.workdir / "best", max_to_keep=1, best_fn=lambda metrics: metrics["loss"], best_mode="min"
        )
        best = self._best.best_step()
        # Kept here: orbax knows the metrics of a save in the background only once it is written.
        self.best_loss = float("inf") if best is None else float(self._best.metrics(best)["loss"])

    @property
    def newest(self) -> int | None:
        """The newest step saved, of either folder, or None."""
        found = _newest_first(self.workdir)
        return int(found[0].name) if found else None

    def save(self, state: State) -> None:
        """Copies the state, then writes it in the background; nothing to do where that step is there already.

        Raises:
          UserError: this one, or the one before it, cannot be written.
        """
        self._write(self._last, state)

    def save_best(self, state: State, metrics: dict[str, float]) -> bool:
        """Writes the state if metrics["loss"] is the lowest yet, and waits for it; says whether it was.

        Raises:
          UserError: it cannot be written.
        """
        if not metrics["loss"] < self.best_loss:
            return False
        # Forced: after an interruption the best step may lie beyond the one that was resumed.
        self._write(self._best, state, metrics={"loss": metrics["loss"]}, force=True)
        self._finish(self._best)
        self.best_loss = metrics["loss"]
        return True

    def _write(self, manager: ocp.CheckpointManager, state: State, **more: Any) -> None:
        host = on_host(state)
        step = int(host.step)
        if step in manager.all_steps() and "force" not in more:
            return
        self._finish(manager)
        items = {"parameters": _pure(host.parameters), "training": _training(host)}
        about = {"version": VERSION, "sha256": {name: _checksum(item) for name, item in items.items()}}
        saves = {name: ocp.args.StandardSave(item) for name, item in items.items()}
        self._latest = Path(str(manager.directory)) / str(step)
        try:
            manager.save(step, args=ocp.args.Composite(**saves, about=ocp.args.JsonSave(about)), **more)
        except Exception as error:
            raise self._unwritten(error) from None

    def _finish(self, manager: ocp.CheckpointManager) -> None:
        """Waits for what is being written in the background."""
        try:
            manager.wait_until_finished()
            manager.check_for_errors()
        except Exception as error:
            raise self._unwritten(error) from None

    def _unwritten(self, error: Exception) -> UserError:
        good = [str(folder) for folder in _newest_first(self.workdir) if folder != self._latest]
        kept = f"the last good checkpoint is {good[0]}" if good else "there is no checkpoint yet"
        return UserError(
            f"the checkpoint {self._latest} cannot be written ({_reason(error)}); {kept}: "
            "make room, and the same command goes on from there"
        )

    def restore(self, like: State) -> State:
        """The newest state that can be read; `like` has its structure and shapes.

        Those that cannot be read are moved to `unreadable/`, and each is told of.

        Raises:
          UserError: none can be read; nothing is moved then.
        """
        like = on_host(like)
        bad: list[tuple[Path, Unreadable]] = []
        for folder in _newest_first(self.workdir):
            try:
                about = _about(folder)
                parameters = _read(folder, "parameters", _pure(like.parameters), about)
                training = _read(folder, "training", _training(like), about)
            except Unreadable as error:
                bad.append((folder, error))
                continue
            for other, reason in bad:
                print(f"the checkpoint {other} {reason}: it is set aside in {_set_aside(self.workdir, other)}")
            if bad:
                print(f"going on from the checkpoint {folder}")
                self._last.reload()
                self._best.reload()
            return State(
                _like(like.parameters, parameters), _like(like.optimizer, training["optimizer"]), training["step"]
            )
        worst, why = bad[0]
        others = f", and {len(bad) - 1} older cannot be used either" if len(bad) > 1 else ""
        raise UserError(f"the checkpoint {worst} {why}{others}: choose another --workdir, or delete this one")

    def close(self) -> None:
        """Waits until all is written.

        Raises:
          UserError: something cannot be written.
        """
        for manager in (self._last, self._best):
            self._finish(manager)
            manager.close()


def restore_parameters(workdir: Path, which: str, model: nnx.Module) -> int:
    """Sets the model's parameters from a workdir's checkpoint and returns its step.

    which: "best", "last" or a step's number.

    Raises:
      UserError: no such checkpoint, one that cannot be read, or one of a model of other shapes.
    """
    logging.set_verbosity(logging.FATAL)
    if which not in ("best", "last") and not which.isdigit():
        raise UserError(f"--checkpoint={which}: expected best, last or the number of a step")
    folder = Path(workdir).absolute() / ("best" if which == "best" else "checkpoints")
    steps = _steps(folder)
    if not steps:
        raise UserError(f"no {which} checkpoint in {folder}: train first, or give another --checkpoint")
    step = steps[-1] if which in ("best", "last") else int(which)
    if step not in steps:
        raise UserError(f"--checkpoint={which}: {folder} has the steps {', '.join(map(str, steps))}")
    _, state = nnx.split(model, nnx.Param)
    folder = folder / str(step)
    try:
        restored = _read(folder, "parameters", _pure(state), _about(folder))
    except Unreadable as error:
        raise UserError(f"the checkpoint {folder} {error}: name another --checkpoint") from None
    nnx.update(model, _like(state, restored))
    return step


def _manager(folder: Path, **options: Any) -> ocp.CheckpointManager:
    folder.mkdir(parents=True, exist_ok=True)
    return ocp.CheckpointManager(
        folder,
        options=ocp.CheckpointManagerOptions(
            create=False,
            cleanup_tmp_directories=True,
            # This process alone writes, whatever others take part in the run.
            multiprocessing_options=ocp.options.MultiprocessingOptions(
                primary_host=jax.process_index(),
                active_processes={jax.process_index()},
                barrier_sync_key_prefix=folder.name,
            ),
            **options,
        ),
    )


def _steps(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in folder.glob("*") if path.name.isdigit())


def _newest_first(workdir: Path) -> list[Path]:
    """The folders of all checkpoints; of two of one step, that of the last ones comes first."""
    found = [(step, name) for name in ("best", "checkpoints") for step in _steps(workdir / name)]
    return [workdir / name / str(step) for step, name in sorted(found, reverse=True)]


def _set_aside(workdir: Path, folder: Path) -> Path:
    """Moves a checkpoint out of the way, and tells where to."""
    number = 0
    while (target := workdir / "unreadable" / f"{folder.parent.name}-{folder.name}-{number}").exists():
        number += 1
    target.parent.mkdir(exist_ok=True)
    return folder.rename(target)


def _about(folder: Path) -> dict[str, Any]:
    """The version and checksums of a checkpoint; raises Unreadable."""
    try:
        about = ocp.Checkpointer(ocp.JsonCheckpointHandler()).restore(folder / "about")
        return {"version": str(about["version"]), "sha256": dict(about["sha256"])}
    except Exception as error:
        raise Unreadable(f"cannot be read (its checksums are missing or damaged: {_reason(error)})") from None


def _read(folder: Path, item: str, wanted: Any, about: dict[str, Any]) -> Any:
    """An item of a checkpoint, in the structure and shapes of `wanted`; raises Unreadable."""
    checkpointer = ocp.StandardCheckpointer()
    try:
        stored = checkpointer.metadata(folder / item).item_metadata.tree
        theirs = _shapes(stored)
    except Exception as error:
        raise Unreadable(f"cannot be read ({_reason(error)})") from None
    if different := next(_differences(_shapes(wanted), theirs), None):
        other = about["version"] != VERSION
        written = f" (magenta_lite {about['version']} wrote it, this is {VERSION})" if other else ""
        raise Unreadable(f"is of another model{written}: {different}")
    try:
        restored = checkpointer.restore(folder / item, wanted)
    except Exception as error:
        raise Unreadable(f"cannot be read ({_reason(error)})") from None
    if _checksum(restored) != about["sha256"].get(item):
        raise Unreadable(f"is damaged: its {item} are not what was written")
    return restored


def _checksum(tree: Any) -> str:
    """sha256 of the arrays of a tree, their kinds and shapes, in hexadecimal."""
    total = hashlib.sha256()
    for leaf in map(np.asarray, jax.tree.leaves(tree)):
        total.update(f"{leaf.dtype}{leaf.shape}".encode())
        total.update(np.ascontiguousarray(leaf).tobytes())
    return total.hexdigest()


def _differences(ours: dict[str, str], theirs: dict[str, str]) -> Iterator[str]:
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            yield f"{name} is {theirs.get(name, 'missing')} there and {ours.get(name, 'missing')} here"


def _shapes(tree: Any) -> dict[str, str]:
    return {
        "/".join(str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key)))) for key in path): str(
            tuple(leaf.shape)
        )
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]


def _training(state: State) -> dict[str, Any]:
    return {"optimizer": _pure(state.optimizer), "step": state.step}


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
