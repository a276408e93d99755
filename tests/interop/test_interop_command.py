"""python -m magenta_lite.interop: what it makes is whole, and its mistakes are one line."""

import importlib
import json
import os
import shutil
import sys
import tomllib

import pytest
from small_workdirs import ROOT, interop, made, refused

from configs import music_vae, sketch_rnn
from magenta_lite import modes, workdirs
from magenta_lite.errors import UserError
from magenta_lite.models.sketch_rnn import modes as sketch_rnn_modes
from magenta_lite.sampler import Sampler

command = importlib.import_module("magenta_lite.interop.__main__")


@pytest.fixture(scope="module")
def workdir(toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("command") / "run"
    made(folder, "sketch_rnn", toy)
    return folder


@pytest.fixture
def run(monkeypatch):
    """run(*words): the command in this process; raises UserError."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["interop", *map(str, words)])
        command.main()

    return call


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("improt", "x"), "did you mean 'import'?"),
        (("import",), "import what?"),
        (("import", "a", "b", "--workdir=c"), "unexpected argument 'b'"),
        (("import", "nowhere.json", "--workdir=c"), "no such file"),
        (("import", "https://example.org/cat.gen.json", "--workdir=c"), "is an address: download it first"),
        (("unpack", "--workdir=c"), "unpack what?"),
        (("export", "--workdir=c", "--out=d"), "--format=... is required"),
        (("export", "--workdir=c", "--out=d", "--format=htm"), "did you mean 'html'?"),
        (("export", "--workdir=nowhere", "--out=d", "--format=html"), "no workdir"),
        (("export", "--format=html", "--out=d"), "flag --workdir=... is required"),
        (("pack", "--workdir=nowhere", "--out=d"), "no workdir"),
    ],
)
def test_a_mistake_is_one_line(run, words, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        run(*words)
    assert told in str(error.value)
    assert not list(tmp_path.iterdir())


def test_the_program_ends_with_that_line(tmp_path):
    assert "no such file" in refused("import", tmp_path / "none.json", f"--workdir={tmp_path / 'w'}")
    assert interop("--help").stdout.startswith("Other people's models in")


@pytest.mark.parametrize("name", command.FORMATS)
def test_help_lists_the_flags_of_a_format(run, name, capsys):
    run("export", f"--format={name}", "--help")
    shown = capsys.readouterr().out
    assert "--workdir" in shown and "--overwrite" in shown and "--player" not in shown


def test_flags_may_stand_apart_from_their_values(run, workdir, tmp_path):
    run("export", "--format", "safetensors", "--workdir", workdir, "--out", tmp_path / "m.safetensors")
    run("import", "--workdir", tmp_path / "again", tmp_path / "m.safetensors")
    assert (tmp_path / "again" / "config.json").exists()


def test_the_pages_files_are_part_of_the_package():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    folder = ROOT / "magenta_lite" / "interop" / "pages"
    packed = {path for glob in declared["magenta_lite.interop.pages"] for path in folder.glob(glob)}
    assert {path for path in folder.iterdir() if path.is_file() and path.suffix != ".py"} == packed


def test_what_is_there_is_kept_unless_told_otherwise(run, workdir, tmp_path):
    out = tmp_path / "m.safetensors"
    out.write_text("precious")
    with pytest.raises(UserError, match="is there already"):
        run("export", "--format=safetensors", f"--workdir={workdir}", f"--out={out}")
    assert out.read_text() == "precious"
    run("export", "--format=safetensors", f"--workdir={workdir}", f"--out={out}", "--overwrite")
    assert out.stat().st_size > 1000
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "precious").touch()
    with pytest.raises(UserError, match="is a folder"):
        run("export", "--format=safetensors", f"--workdir={workdir}", f"--out={folder}", "--overwrite")
    assert [path.name for path in folder.iterdir()] == ["precious"]


def test_an_export_that_fails_leaves_nothing(run, workdir, tmp_path, monkeypatch):
    exporter = importlib.import_module(f"magenta_lite.interop.{command.FORMATS['magenta-js']}")

    def half(player, out, *, many: int = 1):
        out.mkdir()
        (out / "one").write_text("1")
        (out / f"group1-shard1of{player.step}.bin").write_text("1")
        if many > 1:
            raise UserError("no room for two")

    monkeypatch.setattr(exporter, "export", half)
    words = ("export", "--format=magenta-js", f"--workdir={workdir}", f"--out={tmp_path / 'deep' / 'm'}")
    with pytest.raises(UserError, match="no room"):
        run(*words, "--many=2")
    assert not list((tmp_path / "deep").iterdir())
    run(*words)
    for name in ("mine", "group1-shard1of9.bin"):
        (tmp_path / "deep" / "m" / name).touch()
    run(*words, "--overwrite")
    # What is not ours stays; weights of an older export would be dead.
    assert sorted(path.name for path in (tmp_path / "deep" / "m").iterdir()) == ["group1-shard1of7.bin", "mine", "one"]


def test_an_import_has_no_examples_and_says_so(run, workdir, tmp_path):
    run("export", "--format=safetensors", f"--workdir={workdir}", f"--out={tmp_path / 'm.safetensors'}")
    run("import", tmp_path / "m.safetensors", f"--workdir={tmp_path / 'again'}")
    player = Sampler(tmp_path / "again")
    with pytest.raises(UserError, match=r"again was imported without examples: give --input or --data_dir"):
        modes.reconstruct(player, n=2)
    (tmp_path / "gallery").mkdir()
    sketch_rnn_modes.gallery(player, folder=tmp_path / "gallery", temperature=(0.5,))
    page = (tmp_path / "gallery" / "gallery.html").read_text()
    assert "Temperature" in page and "Reconstructions" not in page


def test_folders_are_called_what_they_are(run, workdir, tmp_path):
    with pytest.raises(UserError, match="is a workdir of this project already"):
        run("import", workdir, f"--workdir={tmp_path / 'w'}")
    (tmp_path / "many" / "site").mkdir(parents=True)
    with pytest.raises(UserError, match="it has the folders site"):
        run("import", tmp_path / "many", f"--workdir={tmp_path / 'w'}")
    (tmp_path / "many" / "cat.gen.json").write_text("[]")
    with pytest.raises(UserError, match=r"give one of its files, such as cat\.gen\.json"):
        run("import", tmp_path / "many", f"--workdir={tmp_path / 'w'}")


def test_another_model_cannot_be_begun_from_and_the_flags_are_named(workdir, toy, tmp_path):
    config = sketch_rnn.get_config("tiny")
    config.data.dir = str(toy)
    with pytest.raises(UserError, match=r"has another model than --config: it takes --config\.model\.") as error:
        workdirs.need_alike(workdir, config)
    for word in str(error.value).partition("it takes ")[2].split(", "):
        name, _, value = word.removeprefix("--config.model.").partition("=")
        config.model[name] = type(config.model[name])(value)
    workdirs.need_alike(workdir, config)
    # Of one class: a model that is told labels cannot even be described there.
    codec = json.loads((workdir / "codec.json").read_text())
    one = tmp_path / "one"
    shutil.copytree(workdir, one)
    (one / "codec.json").write_text(json.dumps(codec | {"labels": ["sun"]}))
    fields = json.loads((one / "config.json").read_text())
    fields["model"]["label_size"] = 0
    (one / "config.json").write_text(json.dumps(fields))
    with pytest.raises(UserError, match=r"has another model than --config: it takes .*--config\.model\.label_size=0"):
        workdirs.need_alike(one, config)
    with pytest.raises(UserError, match="is of the family sketch_rnn, and --config of music_vae"):
        workdirs.need_alike(workdir, music_vae.get_config("tiny"))


def test_names_that_are_no_text_do_not_make_unreadable_workdirs(run, workdir, tmp_path, monkeypatch):
    named = tmp_path / os.fsdecode(b"caf\xe9.safetensors")
    run("export", "--format=safetensors", f"--workdir={workdir}", f"--out={named}")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    run("import", named, "--workdir=.")
    assert workdirs.origin(tmp_path / "empty")["file"] == "caf?.safetensors"
    run("export", "--format=html", f"--workdir={tmp_path / 'empty'}", "--out=page.html", "--title=a\udcff")
    assert "<title>a?</title>" in (tmp_path / "empty" / "page.html").read_text()


def test_a_workdir_that_is_there_is_not_imported_into(run, workdir, tmp_path):
    run("export", "--format=safetensors", f"--workdir={workdir}", f"--out={tmp_path / 'm.safetensors'}")
    before = sorted(workdir.rglob("*"))
    with pytest.raises(UserError, match="is there already"):
        run("import", tmp_path / "m.safetensors", f"--workdir={workdir}")
    assert sorted(workdir.rglob("*")) == before
