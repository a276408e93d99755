"""sample.py as a person runs it: every mode, what it writes, and mistakes answered in one line."""

import json
import shutil
import xml.etree.ElementTree as ET

import jax
import numpy as np
import pytest
from frame import ONE_DEVICE, flags, run
from PIL import Image

from magenta_lite import modes
from magenta_lite.errors import UserError
from magenta_lite.sampler import Sampler


@pytest.fixture(scope="module")
def workdir(tmp_path_factory, toy):
    """A trained model with a latent space and labels."""
    folder = tmp_path_factory.mktemp("runs") / "vae"
    done = run("train.py", *flags(folder, toy, num_steps=30), env=ONE_DEVICE)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def decoder_only(tmp_path_factory, toy):
    folder = tmp_path_factory.mktemp("runs") / "decoder"
    options = {"model.conditional": False, "model.label_size": 0, "num_steps": 2}
    done = run("train.py", *flags(folder, toy, **options), env=ONE_DEVICE)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def sampler(workdir):
    return Sampler(workdir)


def test_generate_writes_every_format_and_is_reproducible(workdir, tmp_path):
    arguments = [f"--workdir={workdir}", "--mode=generate", "--n=3", "--temperature=0,0.5", "--seed=4", "--label=sun"]
    for name in ("a", "b"):
        done = run("sample.py", *arguments, f"--out={tmp_path / name}")
        assert done.returncode == 0, done.stderr
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == sorted(
        [*(f"{i:03d}-sun.svg" for i in range(6)), "drawings.ndjson", "grid.gif", "grid.png", "grid.svg"]
    )
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file
    ET.parse(tmp_path / "a" / "grid.svg")
    with Image.open(tmp_path / "a" / "grid.gif") as picture:
        assert picture.n_frames > 2
    rows = [json.loads(line) for line in (tmp_path / "a" / "drawings.ndjson").read_text().splitlines()]
    assert [row["word"] for row in rows] == ["sun"] * 6
    # What is there already costs nothing that was there.
    again = run("sample.py", *arguments, f"--out={tmp_path / 'a'}")
    assert again.returncode == 2
    assert "holds files already" in again.stderr
    assert run("sample.py", *arguments, f"--out={tmp_path / 'a'}", "--overwrite").returncode == 0
    # The written drawings can be read again and reconstructed.
    done = run("sample.py", f"--workdir={workdir}", "--mode=reconstruct", f"--input={tmp_path / 'a/drawings.ndjson'}")
    assert done.returncode == 0, done.stderr
    assert (workdir / "samples" / "reconstruct-0" / "grid.png").exists()


def test_the_gallery_is_one_page(workdir, tmp_path):
    done = run("sample.py", f"--workdir={workdir}", "--mode=gallery", f"--out={tmp_path}", "--overwrite")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "gallery.html").read_text()
    for title in ("New drawings by class", "Temperature", "Reconstructions", "Interpolation", "Endings", "training"):
        assert title in page
    assert "http" not in page.replace("http://www.w3.org/", "")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--mode=genrate"], "--mode=genrate is no mode: did you mean 'generate'?"),
        (["--temprature=1"], "unknown flag --temprature: did you mean 'temperature'?"),
        (["--temperature=-1"], "--temperature=-1.0: expected 0 (greedy) or more"),
        (["--temperature=nan"], "--temperature=nan"),
        (["--label=son"], "--label=son is no class of this model: did you mean 'sun'?"),
        (["--checkpoint=7"], "has the steps"),
        (["--mode=interpolate", "--items=0,1,2"], "2 examples or 4, not 3"),
        (["--mode=reconstruct", "--items=99"], "--items=99"),
        (["--mode=reconstruct", "--input=none.ndjson", "--data_dir=x"], "give one of them"),
        (["--mode=reconstruct", "--input=none.ndjson"], "none.ndjson"),
    ],
)
def test_a_mistake_is_one_line(workdir, arguments, expected, tmp_path):
    done = run("sample.py", f"--workdir={workdir}", f"--out={tmp_path / 'out'}", *arguments)
    assert done.returncode == 2
    assert expected in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_help_and_no_arguments(workdir):
    done = run("sample.py", f"--workdir={workdir}", "--mode=continue", "--help")
    assert done.returncode == 0
    assert "--share" in done.stdout
    assert "beginning" in done.stdout
    done = run("sample.py")
    assert done.returncode == 2
    assert done.stderr == "error: flag --workdir=... is required (see --help)\n"


def test_no_workdir_is_one_line(tmp_path):
    done = run("sample.py", f"--workdir={tmp_path}", "--mode=generate")
    assert done.returncode == 2
    assert "is no workdir of train.py" in done.stderr


def test_decoder_only_has_no_latent_modes(decoder_only):
    player = Sampler(decoder_only)
    for mode in (modes.reconstruct, modes.interpolate, modes.arithmetic):
        with pytest.raises(UserError, match="decoder-only"):
            mode(player)
    with pytest.raises(UserError, match="trained without labels"):
        modes.generate(player, label=["sun"])
    assert len(modes.generate(player, n=3).rows[0]) == 3
    assert len(modes.continue_(player, n=2).rows[0]) == 3


def test_continue_keeps_the_beginning_exactly(sampler):
    example, _ = sampler.starting_examples(input=None, items=[2], data_dir=None, split="test", count=1)[0]
    sheet = modes.continue_(sampler, n=5, items=[2], share=0.5, temperature=(0.8,))
    beginning, *endings = sheet.rows[0]
    given = round(0.5 * len(example["strokes"]))
    assert beginning.given == given
    for item in endings:
        np.testing.assert_allclose(item.value[:given], example["strokes"][:given], atol=1e-4)
    assert len({item.value.tobytes() for item in endings}) > 1


def test_interpolation_begins_and_ends_at_the_posterior_means(sampler):
    player = sampler
    found = player.starting_examples(input=None, items=[0, 1], data_dir=None, split="test", count=2)
    mean, _ = player.posterior([encoded for _, encoded in found])
    sheet = modes.interpolate(player, items=[0, 1], steps=3, temperature=(0.0,))
    assert [item.sampled for item in sheet.rows[0]] == [False, True, True, True, False]
    for end, item, (_, encoded) in zip(mean, (sheet.rows[0][1], sheet.rows[0][3]), found, strict=True):
        (drawn,) = player.sample(1, seed=9, temperature=0.0, z=end[None], condition={"label": encoded["label"][None]})
        np.testing.assert_allclose(item.value, player.codec.decode(drawn), atol=1e-3)
    grid = modes.interpolate(player, items=[0, 1, 2, 3], steps=3)
    assert [len(row) for row in grid.rows] == [3, 3, 3]


def test_arithmetic_of_a_minus_a_plus_c_is_c(sampler):
    sheet = modes.arithmetic(sampler, items=[0, 0, 3], temperature=(0.0,), n=2)
    again = modes.reconstruct(sampler, items=[3], temperature=(0.0,))
    np.testing.assert_allclose(sheet.rows[0][3].value, again.rows[1][0].value, atol=1e-3)


def test_chunks_do_not_change_samples(sampler, monkeypatch):
    condition = {"label": np.arange(9, dtype=np.int32) % 2}
    whole = sampler.sample(9, seed=1, temperature=0.7, condition=condition, prime=[])
    monkeypatch.setattr("magenta_lite.sampler.CHUNK", 4)
    chunked = sampler.sample(9, seed=1, temperature=0.7, condition=condition)
    for a, b in zip(whole, chunked, strict=True):
        assert a["length"] == b["length"]
        np.testing.assert_allclose(a["strokes"], b["strokes"], atol=1e-5)


@pytest.mark.parametrize(
    ("count", "sizes"), [(1, [1]), (3, [4]), (64, [64]), (70, [72]), (1000, [1000]), (5000, [4096, 904])]
)
def test_a_thousand_samples_are_one_call(sampler, monkeypatch, count, sizes):
    calls = []

    def draw(_, keys, options):
        calls.append(len(keys))
        return {"key": jax.random.key_data(keys), "temperature": options["temperature"]}

    monkeypatch.setattr(sampler, "_sample", draw)
    drawn = sampler.sample(count, seed=2, temperature=np.arange(count, dtype=np.float32))
    assert calls == sizes
    assert [float(sample["temperature"]) for sample in drawn] == list(range(count))
    assert len({tuple(sample["key"].tolist()) for sample in drawn}) == count


@pytest.mark.parametrize(
    ("damage", "arguments", "expected"),
    [
        ({"config.json": "{}"}, [], "is no config of train.py"),
        ({"config.json": "[1"}, [], "no valid JSON"),
        ({"codec.json": '{"scale": "x", "n_max": 3, "labels": []}'}, [], "is no codec of sketch_rnn"),
        ({"examples.npz": "PK"}, ["--mode=reconstruct"], "examples.npz cannot be read"),
    ],
)
def test_a_damaged_workdir_is_one_line(workdir, damage, arguments, expected, tmp_path):
    shutil.copytree(workdir, tmp_path / "run")
    for name, text in damage.items():
        (tmp_path / "run" / name).write_text(text)
    done = run("sample.py", f"--workdir={tmp_path / 'run'}", f"--out={tmp_path / 'out'}", *arguments)
    assert done.returncode == 2, done.stderr
    assert expected in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_damaged_checkpoint_is_named(workdir, tmp_path):
    shutil.copytree(workdir, tmp_path / "run")
    for path in (tmp_path / "run" / "best").rglob("*"):
        if path.is_file() and path.stat().st_size > 100:
            path.write_bytes(path.read_bytes()[:100])
    done = run("sample.py", f"--workdir={tmp_path / 'run'}", f"--out={tmp_path / 'out'}")
    assert done.returncode == 2, done.stderr
    assert "cannot be read" in done.stderr.strip().splitlines()[-1]


def test_a_long_beginning_is_kept_and_finished(sampler, tmp_path):
    n_max = sampler.codec.n_max
    lines = [[list(range(0, 250, 2)), [i % 7 for i in range(125)]]]
    (tmp_path / "long.ndjson").write_text(json.dumps({"word": "sun", "drawing": lines}) + "\n")
    sheet = modes.continue_(sampler, n=2, input=str(tmp_path / "long.ndjson"), temperature=(0.5,))
    beginning, *endings = sheet.rows[0]
    assert len(beginning.value) == 124 > n_max
    for item in endings:
        np.testing.assert_allclose(item.value[:124], beginning.value, atol=1e-3)


def test_lines_that_are_no_drawing_are_told_and_left_out(sampler, tmp_path, capsys):
    good = json.dumps({"word": "sun", "drawing": [[[0, 255, 9], [0, 3, 200]]]})
    path = tmp_path / "mixed.ndjson"
    path.write_text(f"nonsense\n{good}\n[]\n{good}\n")
    options = {"data_dir": None, "split": "test", "count": 9}
    assert len(sampler.starting_examples(input=str(path), items=None, **options)) == 2
    assert capsys.readouterr().out.count("is left out") == 2
    with pytest.raises(UserError, match=r"mixed\.ndjson:3"):
        sampler.starting_examples(input=str(path), items=[1, 2], **options)
