"""Checkpoints by orbax: `checkpoints/` keeps the last few, `best/` the one of the lowest objective.

A checkpoint has three items, so that sampling reads no more than it needs: parameters; training (the optimizer's state
and the step, which is also the position in the data); and about: the version that wrote them, the checksums of the two
and of itself, how many steps were skipped, and the best one's loss. It is written in the background and appears whole
or not at all. What cannot be read back to the last bit is never used: a run goes back to the newest checkpoint that
can, in either folder, and sets the newer ones, and a best one that cannot be read, aside in `unreadable/`.
"""

import errno
import hashlib
import importlib.metadata
import json
import logging
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from absl import logging as orbax_logging
from flax import nnx

from magenta_lite.errors import UserError
from magenta_lite.training import NotFinite, State, on_host

VERSION = importlib.metadata.version("magenta_lite")


_SMALL = 64 << 20  # bytes of parameters that may stand in files of any size
_DENSEST = 20  # times that parameters may be larger than their files, which are packed


class Unreadable(Exception):
    """A checkpoint that is damaged, or of another model; says why."""


class Checkpoints:
    """Those of one workdir, for one process to write.

    best_loss: of the best one, infinite without one. skipped: how many steps had been skipped where `restore` found the
    run, in all and in a row.
    """

    def __init__(self, workdir: Path, keep: int = 3):
        _hush()
        self.workdir = Path(workdir).absolute()
        self.skipped = (0, 0)
        self._latest: dict[ocp.CheckpointManager, Path] = {}
        try:
            self._last, self._best = _manager(self.workdir / "checkpoints", keep), _manager(self.workdir / "best", 1)
        except OSError as error:
            raise UserError(f"no checkpoints can be written in {self.workdir} ({_reason(error)})") from None
        self.best_loss = _best_loss(self.workdir)

    @property
    def newest(self) -> int | None:
        """The newest step saved, of either folder, or None; waits for what is being written."""
        self._finish(self._last)
        found = _newest_first(self.workdir)
        return int(found[0].name) if found else None

    def save(self, state: State, skipped: tuple[int, int] = (0, 0)) -> None:
        """Copies the state, then writes it in the background; nothing to do where that step is there already.

        Raises:
          UserError: this one, or the one before it, cannot be written.
          NotFinite: the parameters are not; nothing is written.
        """
        if int(on_host(state.step)) not in self._last.all_steps():
            self._write(self._last, state, {"skipped": skipped})

    def save_best(self, state: State, loss: float, skipped: tuple[int, int] = (0, 0)) -> bool:
        """Writes the state if the loss is the lowest yet, and waits for it; says whether it was.

        Raises:
          UserError: it cannot be written.
          NotFinite: the parameters are not; nothing is written.
        """
        if not loss < self.best_loss:
            return False
        self._write(self._best, state, {"skipped": skipped, "loss": loss})
        self._finish(self._best)
        self.best_loss = loss
        return True

    def _write(self, manager: ocp.CheckpointManager, state: State, facts: dict[str, Any]) -> None:
        host = on_host(state)
        items = {"parameters": _pure(host.parameters), "training": _training(host)}
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(items)):
            raise NotFinite(f"a parameter or a moment of the optimizer is not finite at step {host.step}")
        self._finish(manager)
        about = _sealed(facts | {"version": VERSION, "sha256": {name: _checksum(item) for name, item in items.items()}})
        saves = {name: ocp.args.StandardSave(item) for name, item in items.items()}
        self._latest[manager] = Path(str(manager.directory)) / str(host.step)
        try:
            # Forced: orbax would pass over a step before the latest without a word.
            manager.save(int(host.step), args=ocp.args.Composite(**saves, about=ocp.args.JsonSave(about)), force=True)
        except Exception as error:
            raise self._unwritten(self._latest[manager], error) from None

    def _finish(self, manager: ocp.CheckpointManager) -> None:
        """Waits for what is being written in the background."""
        try:
            manager.wait_until_finished()
            manager.check_for_errors()
        except Exception as error:
            raise self._unwritten(self._latest[manager], error) from None

    def _unwritten(self, this: Path, error: Exception) -> UserError:
        good = [str(folder) for folder in _newest_first(self.workdir) if folder != this]
        kept = f"the last good checkpoint is {good[0]}" if good else "there is no checkpoint yet"
        return UserError(
            f"the checkpoint {this} cannot be written ({_reason(error)}); {kept}: "
            "make room, and the same command goes on from there"
        )

    def restore(self, like: State) -> State:
        """The newest state that can be read; `like` has its structure and shapes.

        Newer ones that cannot be read are moved to `unreadable/`, and so is the best one; each is told of.

        Raises:
          UserError: none can be read; nothing is moved then.
        """
        like = on_host(like)
        bad: list[tuple[Path, Unreadable]] = []
        found: tuple[Path, State] | None = None
        best_found = False
        for folder in _newest_first(self.workdir):
            best = folder.parent.name == "best"
            # Not to be sampled from unless asked for; and a best one before the last may be half deleted.
            if best_found if best else found:
                continue
            try:
                about = _about(folder)
                parameters = _read(folder, "parameters", _pure(like.parameters), about)
                training = _read(folder, "training", _training(like), about)
            except Unreadable as error:
                bad.append((folder, error))
                continue
            best_found = best_found or best
            if not found:
                state = _like(like.parameters, parameters), _like(like.optimizer, training["optimizer"])
                found = folder, State(*state, training["step"])
                self.skipped = tuple(about["skipped"])
        if not found:
            worst, why = bad[0]
            others = f", and {len(bad) - 1} older cannot be used either" if len(bad) > 1 else ""
            raise UserError(f"the checkpoint {worst} {why}{others}: choose another --workdir, or delete this one")
        for other, reason in bad:
            print(f"the checkpoint {other} {reason}: it is set aside in {_set_aside(self.workdir, other)}")
        if bad:
            print(f"going on from the checkpoint {found[0]}")
            self._last.reload()
            self._best.reload()
            self.best_loss = _best_loss(self.workdir)
        return found[1]

    def close(self) -> None:
        """Waits until all is written.

        Raises:
          UserError: something cannot be written.
        """
        for manager in (self._last, self._best):
            self._finish(manager)
            try:
                manager.close()
            except Exception as error:  # of a write that began and failed
                raise self._unwritten(self._latest[manager], error) from None


def restore_parameters(workdir: Path, which: str, model: nnx.Module) -> int:
    """Sets the model's parameters, or their shapes, from a workdir's checkpoint and returns its step.

    which: "best", "last" or a step's number.

    Raises:
      UserError: no such checkpoint, one that cannot be read, or one of a model of other shapes.
    """
    _hush()
    if which not in ("best", "last") and not _is_step(which):
        raise UserError(f"--checkpoint={which}: expected best, last or the number of a step")
    folder = Path(workdir).absolute() / ("best" if which == "best" else "checkpoints")
    steps = _steps(folder)
    if not steps:
        best = _steps(Path(workdir).absolute() / "best") if folder.name != "best" else []
        there = f"there is best, of step {best[-1]}" if best else "train first, or give another --checkpoint"
        raise UserError(f"no {which} checkpoint in {folder}: {there}")
    step = steps[-1] if which in ("best", "last") else int(which)
    if step not in steps:
        raise UserError(f"--checkpoint={which}: {folder} has the steps {', '.join(map(str, steps))}")
    _, state = nnx.split(model, nnx.Param)
    folder = folder / str(step)
    try:
        _check_size(folder / "parameters", state)
        restored = _read(folder, "parameters", _pure(state), _about(folder))
    except Unreadable as error:
        raise UserError(f"the checkpoint {folder} {error}: name another --checkpoint") from None
    nnx.update(model, _like(state, jax.tree.map(jnp.asarray, restored)))
    return step


def _check_size(folder: Path, shapes: Any) -> None:
    """Raises Unreadable where the files are far too small for parameters of these shapes.

    What is not in the files is taken for zeros, so a stranger's few bytes could claim any amount of memory.
    """
    claimed = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))
    held = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if claimed > max(_SMALL, _DENSEST * held):
        raise Unreadable(f"cannot be read (parameters of {claimed:,} bytes in files of {held:,})")


def _hush() -> None:
    """Orbax tells of every step it takes, and of errors that are raised too; here they are told in one line."""
    orbax_logging.set_verbosity(orbax_logging.FATAL)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    usual = sys.unraisablehook

    def heard(unraisable: Any) -> None:
        # Where it meets damage, orbax ends the event loop that threads still answer to.
        if str(unraisable.exc_value) != "Event loop is closed":
            usual(unraisable)

    heard.hushed = True  # type: ignore[attr-defined]
    if not hasattr(usual, "hushed"):
        sys.unraisablehook = heard


def _manager(folder: Path, keep: int) -> ocp.CheckpointManager:
    folder.mkdir(parents=True, exist_ok=True)
    return ocp.CheckpointManager(
        folder,
        options=ocp.CheckpointManagerOptions(
            create=False,
            cleanup_tmp_directories=True,
            lightweight_initialize=True,  # reads nothing that may be damaged
            preservation_policy=ocp.checkpoint_managers.LatestN(keep),
            multiprocessing_options=_alone(folder.name),
        ),
    )


def _alone(name: str) -> ocp.options.MultiprocessingOptions:
    """This process reads and writes, and waits for no other one, whatever others take part in the run."""
    here = jax.process_index()
    return ocp.options.MultiprocessingOptions(primary_host=here, active_processes={here}, barrier_sync_key_prefix=name)


def _steps(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in folder.glob("*") if _is_step(path.name) and path.is_dir())


def _is_step(name: str) -> bool:
    return name.isascii() and name.isdecimal() and len(name) <= 10 and str(int(name)) == name


def _newest_first(workdir: Path) -> list[Path]:
    """The folders of all checkpoints; of two of one step, that of the last ones comes first."""
    found = [(step, name) for name in ("best", "checkpoints") for step in _steps(workdir / name)]
    return [workdir / name / str(step) for step, name in sorted(found, reverse=True)]


def _best_loss(workdir: Path) -> float:
    """The loss of the newest in `best/`, which is the lowest; infinite where there is none, or it is damaged."""
    steps = _steps(workdir / "best")
    try:
        return float(_about(workdir / "best" / str(steps[-1]))["loss"])
    except (IndexError, KeyError, Unreadable):
        return math.inf


def _set_aside(workdir: Path, folder: Path) -> Path:
    """Moves a checkpoint out of the way, and tells where to."""
    number = 0
    while (target := workdir / "unreadable" / f"{folder.parent.name}-{folder.name}-{number}").exists():
        number += 1
    try:
        target.parent.mkdir(exist_ok=True)
        return folder.rename(target)
    except OSError as error:
        raise UserError(f"the checkpoint {folder} cannot be read, nor moved to {target} ({error.strerror})") from None


def _sealed(about: dict[str, Any]) -> dict[str, Any]:
    """The same, with a checksum of itself."""
    about = {name: value for name, value in about.items() if name != "seal"}
    return about | {"seal": hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()}


def _about(folder: Path) -> dict[str, Any]:
    """The version, checksums and facts of a checkpoint; raises Unreadable."""
    try:
        about = json.loads((folder / "about" / "metadata").read_bytes())
        whole = isinstance(about, dict) and _sealed(about) == about
        reason = "" if whole else ": they do not agree with their own"
    except Exception as error:
        whole, reason = False, f": {_reason(error)}"
    if whole:
        return about
    try:
        older = "about" not in json.loads((folder / "_CHECKPOINT_METADATA").read_bytes())["item_handlers"]
    except Exception:
        older = False
    if older:
        raise Unreadable(f"has no checksums: an older version wrote it, and this is magenta_lite {VERSION}")
    raise Unreadable(f"cannot be read (its checksums are missing or damaged{reason})")


def _read(folder: Path, item: str, wanted: Any, about: dict[str, Any]) -> Any:
    """An item of a checkpoint, in the structure and shapes of `wanted`; raises Unreadable."""
    with ocp.StandardCheckpointer(multiprocessing_options=_alone(folder.name)) as checkpointer:
        try:
            described = checkpointer.metadata(folder / item).item_metadata
            theirs = _shapes(described.tree) if described else None
        except Exception as error:
            raise Unreadable(f"cannot be read (its {item}: {_reason(error)})") from None
        if theirs is None:
            raise Unreadable(f"cannot be read (its {item}: files are missing or damaged)")
        if different := list(_differences(_shapes(wanted), theirs)):
            other = about["version"] != VERSION
            written = f" (magenta_lite {about['version']} wrote it, this is {VERSION})" if other else ""
            more = f", and {len(different) - 1} more" if len(different) > 1 else ""
            raise Unreadable(f"is of another model{written}: {different[0]}{more}")
        try:
            restored = checkpointer.restore(folder / item, wanted)
        except Exception as error:
            raise Unreadable(f"cannot be read (its {item}: {_reason(error)})") from None
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
        "/".join(
            str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key)))) for key in path
        ): f"{np.dtype(leaf.dtype)} {tuple(leaf.shape)}"
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _reason(error: Exception) -> str:
    # Tensorstore names what the system says amid all else that it knows.
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO):
        if os.strerror(number) in str(error):
            return os.strerror(number).lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
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
