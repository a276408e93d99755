"""A workdir as one file to hand on: weights, config, codec, metrics, the data's licence, a card with pictures.

A pack is a .zip whose members are stored, not compressed: it can unpack to no more than it is large. manifest.json has
the sha256 of every other member. The same workdir gives the same bytes.
"""

import contextlib
import hashlib
import json
import re
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import jax
import jax.numpy as jnp
from flax import nnx

from magenta_lite import config as configs
from magenta_lite import models, workdirs
from magenta_lite.checkpoint import VERSION, Checkpoints
from magenta_lite.errors import UserError, plain
from magenta_lite.interop import cards, measured, provenance, safetensors_file
from magenta_lite.sampler import Sampler
from magenta_lite.training import State

FORMAT = "magenta_lite pack"
FORM = 1
"""Raised when packs become such as older versions cannot read."""

MANIFEST = "manifest.json"
WEIGHTS = "model.safetensors"
EXAMPLES = "examples.npz"
NEEDED = (WEIGHTS, "config.json", "codec.json", "source.json")
KEPT = ("config.json", "codec.json", "source.json", "metrics.json", EXAMPLES, "card.md", "LICENCE.txt")
"""Members that a workdir keeps as they are, beside the pictures."""

_PICTURE = re.compile(r"pictures/[a-z0-9-]{1,60}\.png")
_PNG = b"\x89PNG\r\n\x1a\n"
_MOST = 64 << 20
"""Bytes of any member but the weights."""
_MOST_MEMBERS = 32
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)
_PIECE = 1 << 20
_DAMAGE = (zipfile.BadZipFile, OSError, EOFError, ValueError, KeyError, NotImplementedError, RuntimeError)
_DAMAGED: tuple[type[Exception], ...] = (*_DAMAGE, zlib.error, struct.error)


def pack(
    player: Sampler,
    out: Path,
    *,
    metrics: str | None = None,
    licence: str | None = None,
    examples: bool = False,
) -> None:
    """One .zip, which `unpack` makes a workdir of again.

    --metrics   what `evaluate.py --out=FILE` wrote of this checkpoint
    --licence   of a person's own data, where nobody wrote it down when it was prepared; or of an imported model's,
                where it is only assumed
    --examples  takes the workdir's examples of its data along, whatever their licence; without it, they go along only
                if it allows to hand them on to anyone
    """
    # On the disk of the pack: weights may be larger than what is free elsewhere.
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as name:
        folder = Path(name)
        source = _source(player.workdir, licence)
        configs.write_json(source, folder / "source.json")
        for part in ("config.json", "codec.json"):
            shutil.copyfile(player.workdir / part, folder / part)
        numbers = measured.numbers(player, metrics)
        if numbers:
            configs.write_json(numbers, folder / "metrics.json")
        kept = player.workdir / EXAMPLES
        along = kept.exists() and (examples or cards.handed_on(folder))
        if along:
            workdirs.examples(player.workdir)
            shutil.copyfile(kept, folder / EXAMPLES)
        elif kept.exists():
            print("examples of the data stay here, since their licence does not let anyone hand them on: --examples")
        cards.write(player, folder, numbers, with_examples=along)
        safetensors_file.export(player, folder / WEIGHTS)
        _write(out, folder, {"family": player.config.family, "step": player.step})


def unpack(file: str, workdir: str) -> None:
    """Makes a workdir of a pack: it samples to the bit as the packed one did, evaluate.py scores it, and
    train.py --init_from begins from it.

    --workdir  folder to make
    """
    path, target = Path(file), Path(workdir)
    with workdirs.whole(target) as partial, _described(path, target, partial):
        manifest = _extract(path, partial)
        count, step = _checkpoint(partial, manifest)
    print(f"{manifest['family']}, {count:,} parameters of step {step}: {target}")
    print(f"trained on {provenance.trained_on(target)}; licence of that data: {provenance.licence(target)}")


def is_pack(path: Path) -> bool:
    """Whether a file is a zip with a manifest and weights as packs have them; False where it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {MANIFEST, WEIGHTS} <= set(archive.namelist())
    except _DAMAGED:
        return False


def _source(workdir: Path, licence: str | None) -> dict[str, Any]:
    """source.json as it goes along: with the licence, if that is told here, and not that the workdir was a pack.

    Where data and licence are assumed and another licence is told, the data is no longer known, either.
    """
    path = workdir / "source.json"
    source = configs.read_json(path) if path.exists() else {}
    if not isinstance(source, dict):
        raise UserError(f"{path} is no object: expected what train.py writes")
    source.pop("unpacked", None)
    if licence is None:
        return source
    imported = source.get("imported")
    theirs: dict[str, Any] = imported if isinstance(imported, dict) else source
    assumed = theirs is imported and provenance.assumed(theirs)
    if assumed:
        if provenance.kept(theirs.get("licence")).removesuffix(provenance.ASSUMED) != licence:
            theirs.pop("data", None)
        theirs.pop("assumed", None)
    elif theirs.get("licence") not in (None, "", "unknown", licence):
        written = plain(str(theirs["licence"]))[:200]
        raise UserError(
            f"--licence={licence}: the data of {workdir} is under {written}, as was written down when it was prepared: "
            "leave the flag out"
        )
    theirs["licence"] = licence
    return source


def _write(out: Path, folder: Path, facts: dict[str, Any]) -> None:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    members = {name: {"bytes": (folder / name).stat().st_size, "sha256": _sha256(folder / name)} for name in names}
    manifest: dict[str, Any] = {"format": FORMAT, "form": FORM, "magenta_lite": VERSION, **facts}
    manifest |= {
        "trained_on": provenance.trained_on(folder),
        "licence_of_data": provenance.licence(folder),
        "members": members,
    }
    configs.write_json(manifest, folder / MANIFEST)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name in (MANIFEST, *names):
            info = zipfile.ZipInfo(name, _FIRST_DAY)
            info.external_attr, info.create_system = 0o644 << 16, 3
            info.file_size = (folder / name).stat().st_size  # by which zipfile knows whether 32 bits will do
            with (folder / name).open("rb") as file, archive.open(info, "w") as member:
                shutil.copyfileobj(file, member, _PIECE)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _described(path: Path, target: Path, partial: Path) -> Iterator[None]:
    """What is wrong in the folder being made is wrong in the pack."""
    try:
        yield
    except UserError as error:
        message = str(error).replace(f"{partial}/", f"{path}: ").replace(str(partial), str(target))
        known = any(str(place) in message for place in (path, target))
        raise UserError(message if known else f"{path}: {message}") from None


def _extract(path: Path, folder: Path) -> dict[str, Any]:
    """Writes the members of a pack into a folder, each as its manifest says; returns that."""
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError:
        raise UserError(f"cannot read {path}: no such file") from None
    except _DAMAGED as error:
        raise UserError(f"{path} is no pack ({_reason(error)}): expected what `pack` wrote") from None
    with archive:
        infos = _members(path, archive)
        try:
            manifest = _manifest(path, archive.read(infos.pop(MANIFEST)))
        except _DAMAGED as error:
            raise UserError(f"{path}: its {MANIFEST} is damaged ({_reason(error)})") from None
        if set(infos) != set(manifest["members"]):
            different = sorted(set(infos) ^ set(manifest["members"]))
            raise UserError(f"{path} does not hold what its manifest says: {plain(different[0])[:100]}")
        for name, info in infos.items():
            try:
                with archive.open(info) as member:
                    right = _copied(member, folder / name) == manifest["members"][name]
            except zipfile.BadZipFile as error:
                raise UserError(f"{path} is damaged: {name} ({_reason(error)}); get it again") from None
            except _DAMAGED as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise  # of the disk that is written to
                raise UserError(f"{path} is damaged: {name} ({_reason(error)}); get it again") from None
            if not right:
                raise UserError(f"{path} is damaged: {name} is not what was packed; get it again")
    return manifest


def _members(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The members by name, such as packs have; nothing is read of them."""
    infos = archive.infolist()
    size = path.stat().st_size
    names = [info.filename for info in infos]
    wrong = [name for name in names if name not in (MANIFEST, WEIGHTS, *KEPT) and not _PICTURE.fullmatch(name)]
    if MANIFEST not in names:
        raise UserError(f"{path} is a zip of something else, without a {MANIFEST}: expected what `pack` wrote")
    if wrong:
        raise UserError(f"{path} holds {plain(wrong[0])[:100]!r}, which no pack does; nothing was written")
    if len(set(names)) < len(names) or len(names) > _MOST_MEMBERS:
        raise UserError(f"{path} holds {len(names)} members, some of them twice or too many; nothing was written")
    for info in infos:
        mode = info.external_attr >> 16
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.file_size != info.compress_size:
            raise UserError(f"{path}: {info.filename} is compressed or encrypted, as no member of a pack is")
        if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise UserError(f"{path}: {info.filename} is a link or something else but a file; nothing was written")
        if info.filename != WEIGHTS and info.file_size > _MOST:
            raise UserError(f"{path}: {info.filename} is {info.file_size:,} bytes, expected at most {_MOST:,}")
    if sum(info.file_size for info in infos) > size:
        raise UserError(f"{path} claims more bytes than it has; nothing was written")
    if missing := [name for name in NEEDED if name not in names]:
        raise UserError(f"{path} has no {missing[0]}: expected what `pack` wrote")
    return dict(zip(names, infos, strict=True))


def _manifest(path: Path, content: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(content)
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise ValueError(f"no {FORMAT}")
        form, version = manifest["form"], plain(str(manifest["magenta_lite"]))[:40]
        if not isinstance(form, int) or isinstance(form, bool):
            raise ValueError("form is no number")
        if form > FORM:
            raise UserError(
                f"{path} was packed by magenta_lite {version}, in form {form}; this one, {VERSION}, reads forms up "
                f"to {FORM}: update it"
            )
        members, step = manifest["members"], manifest["step"]
        if not isinstance(members, dict) or not isinstance(manifest["family"], str):
            raise ValueError("members or family is missing")
        if not isinstance(step, int) or isinstance(step, bool) or not 0 <= step < 2**31:
            raise ValueError("step is none")
    except (ValueError, KeyError, RecursionError) as error:
        raise UserError(f"{path}: its {MANIFEST} is none of a pack ({_reason(error)})") from None
    if _newer(version):
        print(f"{path} was packed by magenta_lite {version}, which is newer than this, {VERSION}")
    return manifest


def _newer(version: str) -> bool:
    def parts(text: str) -> tuple[int, ...]:
        return tuple(int(part[:9]) for part in re.findall(r"[0-9]+", text)[:3])

    return parts(version) > parts(VERSION)


def _copied(member: IO[bytes], path: Path) -> dict[str, Any]:
    """Writes a member, and says what it is, as the manifest does."""
    path.parent.mkdir(exist_ok=True)
    total, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        while piece := member.read(_PIECE):
            file.write(piece)
            total.update(piece)
            size += len(piece)
    return {"bytes": size, "sha256": total.hexdigest()}


def _checkpoint(folder: Path, manifest: dict[str, Any]) -> tuple[int, int]:
    """Makes a workdir of what was extracted; the number of parameters, and the step."""
    config = configs.load(folder / "config.json")
    if config.family != manifest["family"]:
        raise UserError(f"{folder}/{MANIFEST} is of {plain(manifest['family'])[:40]}, its config of {config.family}")
    codec = workdirs.load_codec(folder, config)
    source = configs.read_json(folder / "source.json")
    if not isinstance(source, dict):
        raise UserError(f"{folder}/source.json is no object: expected what train.py writes")
    if (folder / "metrics.json").exists():
        measured.read(folder / "metrics.json")
    if (folder / EXAMPLES).exists():
        try:
            workdirs.examples(folder)
        except UserError as error:
            raise UserError(str(error).removesuffix(": give --input or --data_dir instead")) from None
    for picture in (folder / "pictures").glob("*"):
        with picture.open("rb") as file:
            if file.read(len(_PNG)) != _PNG:
                raise UserError(f"{folder}/pictures/{picture.name} is no PNG")
    model = models.outline(config, codec)
    safetensors_file.fill(model, folder / WEIGHTS)
    parameters = nnx.state(model, nnx.Param)
    facts = {"form": manifest["form"], "magenta_lite": plain(str(manifest["magenta_lite"]))[:40]}
    configs.write_json(source | {"unpacked": facts}, folder / "source.json")
    checkpoints = Checkpoints(folder, 1)
    # The optimizer's state stays behind: training begins anew from these parameters, by --init_from.
    checkpoints.save_best(State(parameters, (), jnp.asarray(manifest["step"], jnp.int32)), 0.0)
    checkpoints.close()
    (folder / WEIGHTS).unlink()
    return sum(leaf.size for leaf in jax.tree.leaves(parameters)), manifest["step"]


def _reason(error: Exception) -> str:
    return (plain(str(error)) or type(error).__name__)[:200]
