"""Damaged checkpoints: read back to the last bit, or set aside by name, and the newest good one is taken."""

import collections
import faulthandler
import json
import random
import resource
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from magenta_lite import checkpoint
from magenta_lite.checkpoint import Checkpoints, restore_parameters
from magenta_lite.errors import UserError
from magenta_lite.training import NotFinite, State


def state(step, like=None):
    """One that only this step has: compressible weights, others, and the moments of Adam."""
    draw = np.random.default_rng(step).normal
    parameters = {
        "read": {"kernel": jnp.asarray(draw(size=(40, 30)), jnp.float32), "bias": jnp.full(300, step, jnp.float32)},
        "said": jnp.asarray(draw(size=5), jnp.float32),
    }
    optimizer = optax.adam(1e-3)
    held = optimizer.update(jax.tree.map(lambda x: x * step, parameters), optimizer.init(parameters), parameters)[1]
    return State(parameters, held, jnp.int32(step))


class Model(nnx.Module):
    """What holds the parameters of `state`."""

    def __init__(self):
        zeros = jax.tree.map(jnp.zeros_like, state(1).parameters)
        self.read = nnx.Dict({name: nnx.Param(value) for name, value in zeros["read"].items()})
        self.said = nnx.Param(zeros["said"])


def same(ours, theirs):
    pairs = zip(jax.tree.leaves(jax.device_get(ours)), jax.tree.leaves(jax.device_get(theirs)), strict=True)
    return all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in pairs)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A workdir with the checkpoints of steps 2, 4 and 6; the best is of step 4."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    checkpoints = Checkpoints(workdir, keep=3)
    for step in (2, 4, 6):
        checkpoints.save(state(step), (step, 1))
        if step < 6:
            assert checkpoints.save_best(state(step), 10.0 - step)
    checkpoints.close()
    return workdir


@pytest.fixture
def workdir(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


@pytest.fixture(autouse=True)
def ends():
    """What hangs in tensorstore cannot be interrupted: the process then says where, and ends."""
    faulthandler.dump_traceback_later(600, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def tree(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def outcome(workdir, capsys):
    """Restores; "read": step 6 to the last bit; or why it was set aside, step 4 then being what is restored."""
    damaged = tree(workdir / "checkpoints" / "6")
    checkpoints = Checkpoints(workdir)
    found = checkpoints.restore(state(1))
    checkpoints.close()
    told = capsys.readouterr()
    assert told.err == ""
    assert checkpoints.best_loss == 6.0
    if found.step == 6:
        assert same(found, state(6))
        assert checkpoints.skipped == (6, 1)
        assert told.out == ""
        assert not (workdir / "unreadable").exists()
        return "read"
    assert same(found, state(4))
    assert checkpoints.skipped == (4, 1)
    first, second = told.out.splitlines()
    aside = workdir / "unreadable" / "checkpoints-6-0"
    assert first.startswith(f"the checkpoint {workdir}/checkpoints/6 ")
    assert first.endswith(f": it is set aside in {aside}")
    assert second == f"going on from the checkpoint {workdir}/checkpoints/4"
    assert tree(aside) == damaged
    assert not (workdir / "checkpoints" / "6").exists()
    return next(
        word for word in ("cannot be read", "is damaged", "is of another model", "has no checksums") if word in first
    )


def try_all(whole, tmp_path, capsys, damages):
    """Counts what comes of each damage, a function of the folder of the newest checkpoint that says what it does."""
    before, counts = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, collections.Counter()
    for damage in damages:
        workdir = shutil.copytree(whole, tmp_path / "run")
        kind = damage(workdir / "checkpoints" / "6")
        counts[f"{kind}: {outcome(workdir, capsys)}"] += 1
        shutil.rmtree(workdir)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 500_000, f"{grown} KB"
    with capsys.disabled():
        print(f"\n{dict(sorted(counts.items()))}, {grown // 1000} MB more")
    return counts


def files(whole):
    return list(tree(whole / "checkpoints" / "6"))


def test_truncated_and_missing_files(whole, tmp_path, capsys, times):
    """Every file of the newest checkpoint, of each length in the long form; every folder gone."""

    def cut(name, length):
        def damage(folder):
            content = (folder / name).read_bytes()
            (folder / name).write_bytes(content[: length if length >= 0 else len(content) + length])
            return "truncated"

        return damage

    def gone(name):
        def damage(folder):
            shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()
            return "missing"

        return damage

    luck, damages = random.Random(7), []
    for name in files(whole):
        size = (whole / "checkpoints" / "6" / name).stat().st_size
        lengths = {0, 1, size // 2, size - 1} | {luck.randrange(size) for _ in range(6)} - {size}
        damages += [cut(name, length) for length in luck.sample(sorted(lengths), times(1, len(lengths)))]
        damages += [gone(name)]
    newest = whole / "checkpoints" / "6"
    damages += [gone(path.relative_to(newest)) for path in newest.rglob("*") if path.is_dir()]
    counts = try_all(whole, tmp_path, capsys, luck.sample(damages, times(24, len(damages))))
    assert counts["missing: cannot be read"] >= 3


def test_flipped_bytes(whole, tmp_path, capsys, times):
    """A bit, a byte or a few of them, anywhere in the newest checkpoint."""
    luck = random.Random(8)

    def flip(folder):
        name = luck.choice(files(whole))
        content = bytearray((folder / name).read_bytes())
        for _ in range(luck.choice((1, 1, 1, 2, 8))):
            content[luck.randrange(len(content))] ^= luck.choice((1, 16, 128, luck.randrange(1, 256)))
        (folder / name).write_bytes(content)
        return "flipped"

    counts = try_all(whole, tmp_path, capsys, [flip] * times(15, 300))
    assert sum(counts.values()) - counts["flipped: read"] > 0


def test_a_piece_of_another_checkpoint_is_found_out(whole, tmp_path, capsys):
    """Whole and readable, and not what was written with the rest."""

    def mixed(name):
        def damage(folder):
            shutil.rmtree(folder / name)
            shutil.copytree(folder.parent / "4" / name, folder / name)
            return name

        return damage

    counts = try_all(whole, tmp_path, capsys, [mixed("parameters"), mixed("training"), mixed("about")])
    assert counts == {f"{name}: is damaged": 1 for name in ("parameters", "training", "about")}


def test_all_damaged_is_one_line_and_nothing_moves(workdir, capsys):
    for folder in [*(workdir / "checkpoints").iterdir(), *(workdir / "best").iterdir()]:
        shutil.rmtree(folder / "parameters" / "d")
    before = tree(workdir)
    checkpoints = Checkpoints(workdir)
    with pytest.raises(UserError) as error:
        checkpoints.restore(state(1))
    checkpoints.close()
    assert f"the checkpoint {workdir}/checkpoints/6 cannot be read (its parameters: " in str(error.value)
    assert "and 3 older cannot be used either: choose another --workdir" in str(error.value)
    assert "\n" not in str(error.value)
    assert tree(workdir) == before
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("item", ["parameters", "training", "about"])
def test_a_damaged_best_is_set_aside_and_the_next_one_kept(workdir, item, capsys):
    """Though the run goes on from a newer checkpoint: it is what people sample from."""
    shutil.rmtree(workdir / "best" / "4" / item)
    checkpoints = Checkpoints(workdir)
    assert same(checkpoints.restore(state(1)), state(6))
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"the checkpoint {workdir}/best/4 cannot be read")
    assert (workdir / "unreadable" / "best-4-0").is_dir()
    assert second == f"going on from the checkpoint {workdir}/checkpoints/6"
    assert checkpoints.save_best(state(7), 99.0)
    assert not checkpoints.save_best(state(8), 100.0)
    checkpoints.close()
    assert [path.name for path in (workdir / "best").iterdir()] == ["7"]
    assert Checkpoints(workdir).best_loss == 99.0


def test_sampling_from_a_damaged_one_is_one_line(workdir):
    model = Model()
    assert restore_parameters(workdir, "best", model) == 4
    assert same(nnx.to_pure_dict(nnx.state(model, nnx.Param)), state(4).parameters)
    for name in tree(workdir / "best" / "4" / "parameters"):
        path = workdir / "best" / "4" / "parameters" / name
        path.write_bytes(path.read_bytes()[:-20] + bytes(20))
    with pytest.raises(UserError, match=rf"^the checkpoint {workdir}/best/4 .*: name another --checkpoint$"):
        restore_parameters(workdir, "best", model)
    assert restore_parameters(workdir, "last", model) == 6


def rewrite(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_checkpoints_of_older_versions_are_named_with_what_differs(workdir):
    """As they were before they had checksums; and with other names and shapes, by another version."""
    newest = workdir / "checkpoints" / "6"
    for kind in (newest, workdir / "best" / "4"):
        shutil.rmtree(kind / "about")
        rewrite(kind / "_CHECKPOINT_METADATA", lambda facts: facts["item_handlers"].pop("about"))
    with pytest.raises(UserError, match=r"6 has no checksums: an older version wrote it, and this is magenta_lite \d"):
        restore_parameters(workdir, "last", Model())
    with pytest.raises(UserError, match="best/4 has no checksums: an older version wrote it"):
        restore_parameters(workdir, "best", Model())
    path = workdir / "checkpoints" / "4" / "about" / "metadata"
    rewrite(path, lambda facts: facts.update(checkpoint._sealed(facts | {"version": "0.0.1"})))
    wider = Model()
    wider.said = nnx.Param(jnp.zeros(8))
    with pytest.raises(UserError) as error:
        restore_parameters(workdir, "4", wider)
    there, here = "float32 (5,) there", "float32 (8,) here"
    assert f"is of another model (magenta_lite 0.0.1 wrote it, this is {checkpoint.VERSION}): " in str(error.value)
    assert f"said is {there} and {here}" in str(error.value)


def test_what_is_not_finite_is_never_written(workdir):
    checkpoints = Checkpoints(workdir)
    bad = state(8)
    bad.parameters["said"] = bad.parameters["said"].at[2].set(jnp.inf)
    with pytest.raises(NotFinite, match="not finite at step 8"):
        checkpoints.save(bad)
    with pytest.raises(NotFinite, match="not finite at step 8"):
        checkpoints.save_best(bad, 0.0)
    checkpoints.close()
    assert checkpoints.newest == 6


def test_a_best_one_that_was_being_deleted_is_no_damage(workdir, capsys):
    """A kill between the writing of a better one and the deleting of the one before it."""
    shutil.copytree(workdir / "best" / "4", workdir / "best" / "2")
    shutil.rmtree(workdir / "best" / "2" / "parameters")
    checkpoints = Checkpoints(workdir)
    assert same(checkpoints.restore(state(1)), state(6))
    assert capsys.readouterr().out == ""
    assert not (workdir / "unreadable").exists()
    assert checkpoints.best_loss == 6.0
    assert checkpoints.save_best(state(8), 1.0)
    checkpoints.close()
    assert [path.name for path in (workdir / "best").iterdir()] == ["8"]


def test_parameters_that_are_only_claimed_take_no_memory(workdir):
    """What files do not hold, tensorstore takes for zeros."""
    claims = Model()
    claims.said = nnx.Param(jax.ShapeDtypeStruct((10**9,), jnp.float32))
    with pytest.raises(UserError, match=r"best/4 cannot be read \(parameters of 4,000,006,000 bytes in files of"):
        restore_parameters(workdir, "best", claims)
