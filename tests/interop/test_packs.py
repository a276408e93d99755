"""A pack is unpacked to what it was made of, to the bit; and a stranger's is refused before it does any harm."""

import copy
import hashlib
import json
import shutil
import stat
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from small_workdirs import ROOT, STEP, interop, made, same_samples

from magenta_lite import evaluation, workdirs
from magenta_lite.errors import UserError
from magenta_lite.interop import cards, formats, measured, packs
from magenta_lite.pipeline import PreparedData
from magenta_lite.sampler import Sampler

pytestmark = pytest.mark.usefixtures("quick_to_compile")

DATA = {"sketch_rnn": "toy", "performance_rnn": "toy_performances", "music_vae": "toy_melodies"}


@pytest.fixture(scope="module")
def player(toy, tmp_path_factory):
    return made(tmp_path_factory.mktemp("runs") / "stars", "sketch_rnn", toy)


@pytest.fixture(scope="module")
def packed(player, tmp_path_factory):
    path = tmp_path_factory.mktemp("packs") / "stars.zip"
    packs.pack(player, path)
    return path


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(path, contents, sign=True, compression=zipfile.ZIP_STORED):
    """A pack of other contents; sign: with a manifest that agrees with them."""
    contents = dict(contents)
    if sign:
        manifest = json.loads(contents[packs.MANIFEST])
        manifest["members"] = {
            name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in contents.items()
            if name != packs.MANIFEST
        }
        contents[packs.MANIFEST] = json.dumps(manifest).encode()
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return path


def harmless(path, tmp_path):
    """The line that refuses a pack; nothing appears anywhere near."""
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError) as found:
        packs.unpack(str(path), str(tmp_path / "new" / "workdir"))
    assert "\n" not in str(found.value)
    shutil.rmtree(tmp_path / "new", ignore_errors=True)
    assert sorted(tmp_path.rglob("*")) == before
    return str(found.value)


@pytest.mark.parametrize("family", list(DATA))
def test_an_unpacked_workdir_samples_to_the_bit_as_the_packed_one(family, request, tmp_path, capsys):
    player = made(tmp_path / "run", family, request.getfixturevalue(DATA[family]))
    packs.pack(player, tmp_path / "x.zip")
    packs.unpack(str(tmp_path / "x.zip"), str(tmp_path / "back"))
    again = Sampler(tmp_path / "back")
    assert again.step == STEP and same_samples(player, again)
    assert "licence of that data: Apache-2.0" in capsys.readouterr().out
    for one, other in zip(workdirs.examples(tmp_path / "run"), workdirs.examples(tmp_path / "back"), strict=True):
        assert all(np.array_equal(one[name], other[name]) for name in one)
    assert not (tmp_path / "back" / packs.WEIGHTS).exists()
    # Packed again, it is the same file: nothing is lost.
    packs.pack(again, tmp_path / "y.zip")
    assert (tmp_path / "y.zip").read_bytes() == (tmp_path / "x.zip").read_bytes()


def test_the_same_workdir_gives_the_same_bytes(player, packed, tmp_path):
    packs.pack(player, tmp_path / "x.zip")
    assert (tmp_path / "x.zip").read_bytes() == packed.read_bytes()


def test_the_commands_and_what_may_be_done_with_an_unpacked_workdir(player, toy, tmp_path):
    """It is scored as the packed one, train.py begins from it, and does not go on in it."""
    pack, back, scores = tmp_path / "x.zip", tmp_path / "back", tmp_path / "scores.json"
    found = evaluation.evaluated(str(player.workdir), samples=0)
    scores.write_text(json.dumps(found))
    done = interop("pack", f"--workdir={player.workdir}", f"--out={pack}", f"--metrics={scores}")
    assert done.returncode == 0, done.stderr
    done = interop("unpack", pack, f"--workdir={back}")
    assert done.returncode == 0, done.stderr
    again = evaluation.evaluated(str(back), samples=0)
    assert again["likelihood"] == found["likelihood"]
    assert again["evaluated"]["own_data"] is True
    assert measured.read(back / "metrics.json")["evaluation"] == found
    assert f"{found['likelihood']['nats_per_point']:.5g} ±" in (back / "card.md").read_text()
    model = json.loads((back / "config.json").read_text())["model"]
    sizes = ("encoder_size", "decoder_size", "latent_size", "mixtures")
    flags = [f"--config.data.dir={toy}", "--config.num_steps=2", "--config.batch_size=4"]
    flags += [f"--config.model.{name}={model[name]}" for name in sizes]
    command = [sys.executable, "train.py", "--config=configs/sketch_rnn.py:tiny", f"--init_from={back}", *flags]
    command += [f"--workdir={tmp_path / 'tuned'}"]
    tuned = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert tuned.returncode == 0, tuned.stderr
    assert f"parameters of step {STEP}" in tuned.stdout
    assert json.loads((tmp_path / "tuned" / "source.json").read_text())["begun_from"]["workdir"] == "back"
    with pytest.raises(UserError, match="was unpacked: give another --workdir, with --init_from"):
        workdirs.prepare(back, player.config, PreparedData(toy))
    with pytest.raises(UserError, match="is there already"):
        packs.unpack(str(pack), str(back))
    with pytest.raises(UserError, match="is a pack: python -m"):
        formats.reader(pack)


@pytest.fixture
def undrawn(monkeypatch):
    """Cards without a picture, which takes most of the time."""
    monkeypatch.setattr(cards, "_picture", lambda player, folder: [])


def licensed(player, folder, licence):
    """The same workdir, with data under another licence."""
    shutil.copytree(player.workdir, folder)
    source = json.loads((folder / "source.json").read_text())
    (folder / "source.json").write_text(json.dumps(source | {"licence": licence}))
    return Sampler(folder)


@pytest.mark.parametrize(
    ("licence", "along"),
    [
        ("CC BY 4.0", True),
        ("Creative Commons something", False),
        ("CC BY-NC-SA 4.0", False),
        ("CC BY-NC 4.0", False),
        ("GPL-3.0", False),
        (None, False),
        ("cat: CC BY 4.0; aaron_sheep: CC BY-NC 4.0", False),
    ],
)
def test_examples_go_along_where_the_licence_lets_them(licence, along, player, undrawn, tmp_path, capsys):
    other = licensed(player, tmp_path / "run", licence)
    packs.pack(other, tmp_path / "x.zip")
    found = members(tmp_path / "x.zip")
    assert (packs.EXAMPLES in found) is along
    assert ("--examples" in capsys.readouterr().out) is not along
    assert ("Examples of the data are in" in found["card.md"].decode()) is along
    packs.pack(other, tmp_path / "y.zip", examples=True)
    assert packs.EXAMPLES in members(tmp_path / "y.zip")


def test_without_examples_a_workdir_still_samples(player, undrawn, tmp_path):
    packs.pack(licensed(player, tmp_path / "run", None), tmp_path / "x.zip")
    packs.unpack(str(tmp_path / "x.zip"), str(tmp_path / "back"))
    again = Sampler(tmp_path / "back")
    assert same_samples(player, again)
    with pytest.raises(UserError, match="give --input or --data_dir"):
        again.starting_examples(input=None, items=None, data_dir=None, split="test", count=2)


def test_a_licence_that_nobody_wrote_down_is_told(player, undrawn, tmp_path):
    mine = licensed(player, tmp_path / "run", None)
    packs.pack(mine, tmp_path / "x.zip", licence="CC0 1.0")
    packs.unpack(str(tmp_path / "x.zip"), str(tmp_path / "back"))
    assert cards.licence(tmp_path / "back") == "CC0 1.0"
    assert packs.EXAMPLES in members(tmp_path / "x.zip")
    with pytest.raises(UserError, match="is under Apache"):
        packs.pack(player, tmp_path / "y.zip", licence="CC0 1.0")
    assert not (tmp_path / "y.zip").exists()


def test_an_assumed_licence_is_overruled(player, undrawn, tmp_path):
    def source_of(pack):
        return json.loads(members(pack)["source.json"])["imported"]

    run = tmp_path / "run"
    shutil.copytree(player.workdir, run)
    pig = {"file": "pig.gen.json", "format": "sketch-rnn-js", "data": "QuickDraw", "licence": "CC BY 4.0"}
    (run / "source.json").write_text(json.dumps({"imported": pig | {"assumed": True}}))
    packs.pack(Sampler(run), tmp_path / "0.zip")
    assert source_of(tmp_path / "0.zip") == pig | {"assumed": True}
    assert json.loads(members(tmp_path / "0.zip")["manifest.json"])["licence_of_data"] == "CC BY 4.0 (assumed)"
    packs.pack(Sampler(run), tmp_path / "1.zip", licence="CC BY 4.0")
    assert source_of(tmp_path / "1.zip") == pig
    packs.pack(Sampler(run), tmp_path / "2.zip", licence="CC BY-NC 4.0")
    assert source_of(tmp_path / "2.zip") == {name: pig[name] for name in ("file", "format")} | {
        "licence": "CC BY-NC 4.0"
    }
    (run / "source.json").write_text(json.dumps({"imported": pig}))
    with pytest.raises(UserError, match=r"is under CC BY 4\.0"):
        packs.pack(Sampler(run), tmp_path / "3.zip", licence="CC BY-NC 4.0")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"evaluated": {"family": "sketch_rnn", "step": 99}}, "is of step 99"),
        ({"likelihood": None}, "likelihood is missing"),
        (None, "cannot be read"),
    ],
)
def test_metrics_of_something_else_are_refused(change, words, player, tmp_path):
    path = tmp_path / "m.json"
    good = {"evaluated": {"family": "sketch_rnn", "step": STEP}, "likelihood": {"loss": 1.0}}
    path.write_text("{" if change is None else json.dumps(good | change))
    with pytest.raises(UserError, match=words):
        packs.pack(player, tmp_path / "x.zip", metrics=str(path))
    assert not (tmp_path / "x.zip").exists()


def test_metrics_of_another_run_are_refused_or_told(player, undrawn, tmp_path, capsys):
    path, other = tmp_path / "m.json", tmp_path / "runs" / "stars"
    shutil.copytree(player.workdir, other)

    def packing(workdir):
        found = {"evaluated": {"workdir": str(workdir), "family": "sketch_rnn", "step": STEP}, "likelihood": {"x": 1.0}}
        path.write_text(json.dumps(found))
        (tmp_path / "x.zip").unlink(missing_ok=True)
        packs.pack(player, tmp_path / "x.zip", metrics=str(path))
        return capsys.readouterr().out

    assert "--metrics" not in packing(player.workdir)
    with pytest.raises(UserError, match=f"is of {other}, and .* is packed"):
        packing(other)
    shutil.rmtree(other)
    assert f"was measured of {other}, which is not here" in packing(other)
    assert "was measured of" in packing("a\nb" * 5000)


EVIL = ["../evil.txt", "/tmp/evil.txt", "a/../../evil.txt", "pictures/../../evil.png", "C:\\evil.txt", "x.pkl"]
EVIL += ["checkpoints/1/x", "best/7/about/metadata", "pictures/a/b.png", "metrics.jsonl", "config.json/x", "pictures/"]


@pytest.mark.parametrize("name", EVIL)
def test_a_name_that_no_pack_has_is_refused(name, packed, tmp_path):
    path = rewritten(tmp_path / "x.zip", {**members(packed), name: b"evil"})
    assert "which no pack does" in harmless(path, tmp_path)


def test_a_link_is_refused(packed, tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name, content in members(packed).items():
            info = zipfile.ZipInfo(name)
            if name == "config.json":
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, content)
    assert "is a link" in harmless(tmp_path / "x.zip", tmp_path)


def test_a_bomb_is_refused_unread(packed, tmp_path):
    bomb = {**members(packed), "card.md": b" " * (200 << 20)}
    path = rewritten(tmp_path / "x.zip", bomb, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    assert "is compressed" in harmless(path, tmp_path)


def test_overlapping_members_are_refused(packed, tmp_path):
    """A directory of the same bytes over and over, which would be more than the file has."""
    with zipfile.ZipFile(rewritten(tmp_path / "x.zip", members(packed)), "a") as archive:
        picture = archive.getinfo("pictures/samples.png")
        for number in range(8):
            archive.filelist.append(copy.copy(picture))
            archive.filelist[-1].filename = f"pictures/{number}.png"
        archive._didModify = True
    assert "more bytes than it has" in harmless(tmp_path / "x.zip", tmp_path)


def _json(found, name, **changes):
    return {**found, name: json.dumps(json.loads(found[name]) | changes).encode()}


DAMAGES = {
    "no manifest": (lambda f: {n: c for n, c in f.items() if n != "manifest.json"}, False, "without a manifest.json"),
    "no weights": (
        lambda f: {n: c for n, c in f.items() if n != "model.safetensors"},
        True,
        "has no model.safetensors",
    ),
    "no codec": (lambda f: {n: c for n, c in f.items() if n != "codec.json"}, True, "has no codec.json"),
    "member not told": (lambda f: {**f, "pictures/x.png": b"x"}, False, "does not hold what its manifest says"),
    "another content": (lambda f: {**f, "card.md": b"x" * len(f["card.md"])}, False, "card.md is not what was packed"),
    "another weight": (
        lambda f: {**f, "model.safetensors": f["model.safetensors"][:-4] + b"\0\0\0\0"},
        False,
        "model.safetensors is not what was packed",
    ),
    "manifest of brackets": (lambda f: {**f, "manifest.json": b"[" * 100_000}, False, "none of a pack"),
    "manifest of a list": (lambda f: {**f, "manifest.json": b"[]"}, False, "none of a pack"),
    "newer": (lambda f: _json(f, "manifest.json", form=2, magenta_lite="9.1.0"), True, "packed by magenta_lite 9.1.0"),
    "step of another kind": (lambda f: _json(f, "manifest.json", step="7"), True, "step is none"),
    "another family": (lambda f: _json(f, "manifest.json", family="music_vae"), True, "is of music_vae"),
    "a config that is none": (lambda f: {**f, "config.json": b"{}"}, True, "config.json is no config"),
    "a config of a larger model": (
        lambda f: _json(f, "config.json", model=json.loads(f["config.json"])["model"] | {"decoder_size": 10**5}),
        True,
        "expected F32",
    ),
    "a codec of another": (lambda f: {**f, "codec.json": b'{"labels": []}'}, True, "of another version"),
    "half a character": (lambda f: {**f, "codec.json": b'{"labels": ["\\ud800"]}'}, True, "codec.json"),
    "source is a list": (lambda f: {**f, "source.json": b"[]"}, True, "is no object"),
    "metrics of others": (lambda f: {**f, "metrics.json": b'{"x": {}}'}, True, "holds other sections"),
    "a picture that is none": (lambda f: {**f, "pictures/samples.png": b"<svg/>"}, True, "is no PNG"),
    "a pickle in examples": (lambda f: {**f, "examples.npz": b"\x80\x04."}, True, "examples.npz cannot be read"),
    "no safetensors": (lambda f: {**f, "model.safetensors": b"\x80\x04."}, True, "no whole safetensors file"),
}


@pytest.mark.parametrize("name", list(DAMAGES))
def test_every_damage_is_one_line(name, packed, tmp_path):
    change, sign, words = DAMAGES[name]
    path = rewritten(tmp_path / "x.zip", change(members(packed)), sign)
    line = harmless(path, tmp_path)
    assert words in line and str(path) in line, line


def test_a_newer_version_of_the_same_form_is_told_and_read(packed, tmp_path, capsys):
    path = rewritten(tmp_path / "x.zip", _json(members(packed), "manifest.json", magenta_lite="9.1.0"))
    packs.unpack(str(path), str(tmp_path / "back"))
    assert "which is newer than this" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip at all", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_zip_is_refused(content, tmp_path):
    (tmp_path / "x.zip").write_bytes(content)
    assert "x.zip is" in harmless(tmp_path / "x.zip", tmp_path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    assert "no such file" in harmless(tmp_path / "nothing.zip", tmp_path)
    assert "cannot" in harmless(tmp_path, tmp_path) or "is no pack" in harmless(tmp_path, tmp_path)


def test_a_pack_cut_anywhere_is_refused(packed, tmp_path):
    content = packed.read_bytes()
    for length in np.linspace(0, len(content) - 1, 40).astype(int):
        (tmp_path / "x.zip").write_bytes(content[:length])
        harmless(tmp_path / "x.zip", tmp_path)
