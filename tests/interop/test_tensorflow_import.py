"""Checkpoints of the original code become workdirs that give the original's outputs, are sampled and trained on."""

import json
import subprocess
import sys
import tarfile
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow_files as files
from flax import nnx
from small_workdirs import ROOT

from magenta_lite.errors import UserError
from magenta_lite.interop.__main__ import main
from magenta_lite.sampler import Sampler

pytestmark = pytest.mark.usefixtures("quick_to_compile")

SKETCHES = [f"sketch_rnn_{cell}_{kind}" for cell in ("lstm", "layer_norm", "hyper") for kind in ("cond", "uncond")]
FLAGS = {name: ["--scale=1", "--max_points=20"] for name in SKETCHES} | {
    "performance_rnn": [],
    "music_vae_cat-mel_2bar": [],
    "music_vae_cat-drums_2bar": [],
    "music_vae_nade-drums_2bar": [],
    "music_vae_groovae_2bar_humanize": [],
    "music_vae_flat-trio": ["--bars=16"],
    "music_vae_hierdec-mel_4x4": ["--bars=4", "--steps_per_bar=4"],
    "music_vae_hier-mel_4x4": ["--bars=4", "--steps_per_bar=4"],
    "music_vae_hierdec-trio_4x4": ["--bars=4", "--steps_per_bar=4"],
}
"""What the checkpoints of the parity files do not hold, nor their names."""

ONE_OF_EACH = {"sketch_rnn": SKETCHES[0], "performance_rnn": "performance_rnn", "music_vae": "music_vae_cat-mel_2bar"}


@pytest.fixture
def imports(tmp_path, monkeypatch):
    """imports(file, *flags): the workdir that the command makes."""

    def run(file, *flags):
        workdir = tmp_path / f"workdir-{len(list(tmp_path.glob('workdir-*')))}"
        monkeypatch.setattr("sys.argv", ["interop", "import", str(file), f"--workdir={workdir}", *flags])
        main()
        return workdir

    return run


@pytest.fixture
def refusal(imports, tmp_path):
    """refusal(file, *flags): the line of an import that is refused and makes nothing."""

    def run(file, *flags):
        with pytest.raises(UserError) as error:
            imports(file, *flags)
        assert not list(tmp_path.glob("workdir-*"))
        assert "\n" not in str(error.value)
        return str(error.value)

    return run


def parameters(workdir):
    return jax.tree.leaves(nnx.state(Sampler(workdir).model, nnx.Param))


def equal(one, other):
    pairs = list(zip(parameters(one), parameters(other), strict=True))
    return bool(pairs) and all(np.array_equal(mine, theirs) for mine, theirs in pairs)


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def sketch_rnn(model, arrays, monkeypatch):
    rows = arrays["input/strokes5"][:, 1:]
    batch = {
        "strokes": jnp.asarray(np.concatenate([rows[..., :2], rows[..., 3:4]], axis=2)),
        "length": jnp.asarray(arrays["input/lengths"]),
        "label": jnp.zeros(len(rows), jnp.int32),
        "real": jnp.ones(len(rows)),
    }
    z = None
    if "train/mean" in arrays:
        mean, log_var = jax.jit(model.posterior)(batch)
        close(mean, arrays["train/mean"])
        close(log_var, arrays["train/presig"])
        z = jnp.asarray(arrays["train/z"])
    rows = model._rows(batch["strokes"], batch["length"], None)
    outputs = jax.jit(lambda: model._teacher_forced(rows, z, batch, None))()
    pen, mixture = model._split(outputs[:20].swapaxes(0, 1).reshape(80, -1))
    close(pen, arrays["train/pen_logits"])
    for ours, name in (
        (jax.nn.softmax(mixture.logits), "pi"),
        (mixture.mu_x, "mu1"),
        (mixture.mu_y, "mu2"),
        (jnp.exp(mixture.log_sigma_x), "sigma1"),
        (jnp.exp(mixture.log_sigma_y), "sigma2"),
        (mixture.rho, "rho"),
    ):
        close(ours, arrays[f"train/{name}"])


def performance_rnn(model, arrays, monkeypatch):
    tokens = arrays["input/tokens"][..., None]
    state, found, advance = model.first_state(len(tokens)), [], jax.jit(lambda *given: model.advance(*given, {}))
    for t in range(tokens.shape[1]):
        state, logits = advance(state, jnp.asarray(tokens[:, t]))
        found.append(jax.nn.softmax(logits))
    close(jnp.stack(found, 1), arrays["output/probabilities"])


def music_vae(model, arrays, monkeypatch):
    kind, y = model.codec.kind, arrays["input/y"]
    batch = {"real": jnp.ones(3)}
    if kind == "groove":
        batch |= {"given": jnp.asarray(arrays["input/x"]), "groove": jnp.asarray(y)}
    elif kind == "drum_roll":
        batch |= {"roll": jnp.asarray(y, jnp.uint8)}
    else:
        sizes = (90, 90, 512) if kind == "trio" else (y.shape[-1],)
        parts = np.split(y, np.cumsum(sizes)[:-1], axis=-1)
        batch |= {"tokens": jnp.stack([jnp.asarray(part.argmax(-1), jnp.int32) for part in parts], -1)}
    mean, log_var = jax.jit(model.posterior)(batch)
    close(mean, arrays["output/mean"])
    close(np.exp(log_var / 2), arrays["output/stddev"])
    # z is given, as the noise is the original's own.
    monkeypatch.setattr("magenta_lite.nn.latent.draw", lambda *_: jnp.asarray(arrays["output/z"]))
    keys = jax.random.split(jax.random.key(0), 3)
    metrics = jax.jit(lambda: model(batch, keys=keys, step=0, train=False))()
    close(metrics["reconstruction_nats"][0], arrays["output/reconstruction_nats"])
    close(metrics["KL_nats"][0], arrays["output/kl_nats"])


OUTPUTS = {"sketch_rnn": sketch_rnn, "performance_rnn": performance_rnn, "music_vae": music_vae}


@pytest.mark.parametrize("name", FLAGS)
def test_every_imported_model_gives_the_originals_outputs(name, imports, shared, monkeypatch):
    index = shared("parity", f"{name}.ckpt.index")
    weights, arrays = files.parity(shared("parity", f"{name}.npz"))
    workdir = imports(index.with_suffix(""), *FLAGS[name])
    player = Sampler(workdir)
    ours = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(player.model, nnx.Param)))
    assert ours == sum(value.size for value in weights.values())
    OUTPUTS[player.config.family](player.model, arrays, monkeypatch)
    # The same from an archive, whose name does not matter where the files' names within tell the config.
    archive = workdir.with_suffix(".tar")
    with tarfile.open(archive, "w") as tar:
        for path in (index, index.with_name(f"{name}.ckpt.data-00000-of-00001")):
            tar.add(path, arcname=f"models/{path.name}")
    assert equal(imports(archive, *FLAGS[name]), workdir)


@pytest.fixture
def performance(shared):
    return files.parity(shared("parity", "performance_rnn.npz"))


def test_mag_files_hold_either_version(performance, imports, tmp_path, monkeypatch):
    weights, arrays = performance
    path = tmp_path / "piano.mag"
    path.write_bytes(files.mag(files.version1(weights | {"global_step": np.array(77, np.int64)})))
    workdir = imports(path)
    player = Sampler(workdir)
    performance_rnn(player.model, arrays, monkeypatch)
    assert player.step == 77
    told = json.loads((workdir / "source.json").read_text())["imported"]
    assert told["name"] == "performance_with_dynamics" and told["description"] == "made for a test"
    assert told["format"].endswith("version 1") and told["file"] == "piano.mag" and told["steps"] == 77

    from note_seq.protobuf.generator_pb2 import GeneratorBundle

    made = files.bundle("m", weights)
    bundle = GeneratorBundle(checkpoint_file=[made["m.index"], made["m.data-00000-of-00001"]])
    path.write_bytes(bundle.SerializeToString())
    assert equal(imports(path), workdir)


def test_bundles_by_every_name_of_theirs(performance, imports, tmp_path):
    weights, _ = performance
    optimizer = {f"{name}/{slot}": value for name, value in weights.items() for slot in ("Adam", "Adam_1")}
    more = {"beta1_power": np.float32(0.5), "global_step": np.array(12, np.int64)}
    folder = files.write(tmp_path / "run", files.bundle("model.ckpt-12", weights | optimizer | more, shards=3))
    files.write(folder, files.bundle("model.ckpt-9", weights))
    newest = 'model_checkpoint_path: "/elsewhere/model.ckpt-12"\nall_model_checkpoint_paths: "model.ckpt-9"\n'
    (folder / "checkpoint").write_text(newest)
    (folder / "graph.pbtxt").write_text("node {}")
    paths = ["", "checkpoint", "model.ckpt-12", "model.ckpt-12.index", "model.ckpt-12.data-00001-of-00003"]
    workdirs = [imports(folder / path) for path in paths]
    assert all(equal(workdirs[0], other) for other in workdirs[1:])
    assert [Sampler(workdir).step for workdir in workdirs] == [12] * len(paths)
    assert Sampler(imports(folder, "--checkpoint=model.ckpt-9")).step == 0
    archive = tmp_path / "run.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        for path in folder.iterdir():
            made.write(path, f"run/{path.name}")
    assert equal(imports(archive), workdirs[0])


def test_scopes_and_older_names(performance, imports, tmp_path):
    weights, _ = performance
    plain = imports(files.write(tmp_path / "plain", files.bundle("m", weights)))
    scoped = {f"generator/{name}": value for name, value in weights.items()} | {"global_step": np.array(3, np.int64)}
    older = {
        name.replace("cell/kernel", "cell/weights").replace("cell/bias", "cell/biases"): value
        for name, value in weights.items()
    }
    for number, arrays in enumerate((scoped, older)):
        assert equal(imports(files.write(tmp_path / str(number), files.bundle("m", arrays))), plain)


def test_what_is_no_checkpoint_is_called_by_its_name(refusal, tmp_path):
    import PIL.Image

    PIL.Image.new("L", (2, 2)).save(tmp_path / "a.png")
    np.savez(tmp_path / "a.npz", a=np.ones(2))
    np.save(tmp_path / "a.npy", np.ones(2))
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(50))
    (tmp_path / "a.pkl").write_bytes(b"\x80\x04\x95\x01.")
    (tmp_path / "a.bin").write_bytes(bytes(range(128, 256)))
    (tmp_path / "a.txt").write_text("weights\n")
    (tmp_path / "a.ckpt").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("model/data.pkl", b"\x80\2.")
    with zipfile.ZipFile(tmp_path / "a.keras", "w") as archive:
        archive.writestr("model.weights.h5", b"")
    for name, words in {
        "a.png": "a PNG picture",
        "a.npz": "numpy arrays",
        "a.npy": "a numpy array",
        "a.h5": "an HDF5 file",
        "a.pkl": "a pickle",
        "a.pt": "a checkpoint of PyTorch",
        "a.keras": "a Keras model",
        "a.bin": "a file of a kind that is not known",
        "a.txt": "a text file",
        "a.ckpt": "an empty file",
    }.items():
        line = refusal(tmp_path / name)
        assert line.startswith(f"{tmp_path / name} is {words}"), line
        assert "expected a sketch-rnn-js .json, a checkpoint of the TensorFlow code" in line
    assert "no such file" in refusal(tmp_path / "nothing")


def packed(path, contents):
    path.write_bytes(files.tarred(contents))
    return path


def test_damaged_and_foreign_checkpoints_are_refused_in_a_line(refusal, tmp_path):
    rng = np.random.default_rng(0)
    shapes = {"rnn/multi_rnn_cell/cell_0/basic_lstm_cell/kernel": (396, 32), "fully_connected/weights": (8, 388)}
    shapes |= {"rnn/multi_rnn_cell/cell_0/basic_lstm_cell/bias": (32,), "fully_connected/biases": (388,)}
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    sound, data = files.bundle("m", weights), "m.data-00000-of-00001"
    places = iter(range(100))

    def line(contents, *flags, name="m.index"):
        return refusal(files.write(tmp_path / str(next(places)), contents) / name, *flags)

    flipped = bytearray(sound[data])
    flipped[1000] ^= 1
    assert f"its data is missing: {data}" in line({"m.index": sound["m.index"]})
    assert "m.index is missing" in line({data: sound[data]}, name=data)
    assert "it is cut short, or none" in line(sound | {"m.index": sound["m.index"][:-9]})
    assert "are no table" in line(sound | {"m.index": b""})
    assert "is cut short: it has 30,000 bytes" in line(sound | {data: sound[data][:30_000]})
    assert f"bytes of {data} were changed" in line(sound | {data: bytes(flipped)})
    some = {name: value for name, value in weights.items() if not name.endswith("/bias")}
    assert "basic_lstm_cell/bias is missing" in line(files.bundle("m", some))
    foreign = {"dense/kernel": np.ones((2, 2), np.float32), "dense/bias": np.ones(2, np.float32)}
    words = line(files.bundle("m", foreign))
    assert "2 variables, dense/bias and dense/kernel among them, of another program" in words
    assert "vector_rnn/RNN/output_w (SketchRNN)" in words and "encoder/mu/kernel (MusicVAE)" in words
    infinite = weights | {"fully_connected/biases": np.full(388, np.nan, np.float32)}
    assert "not finite" in line(files.bundle("m", infinite))
    assert "a Performance RNN, to which --scale means nothing; there are --attention, --config" in line(
        sound, "--scale=2"
    )
    assert "did you mean 'performance_with_dynamics'" in line(sound, "--config=performance_with_dynamic")
    assert "unknown flag --nothing" in line(sound, "--nothing=1")

    mag = tmp_path / "a.mag"
    mag.write_bytes(files.mag(files.version1(weights), "attention_rnn"))
    assert "attention_rnn is no config of Performance RNN" in refusal(mag)
    mag.write_bytes(files.mag(files.version1(weights), "performance"))
    assert "are those of performance_with_dynamics" in refusal(mag)
    mag.write_bytes(files.mag(files.version1(weights)))
    assert "says that it is performance_with_dynamics" in refusal(mag, "--config=performance")
    mag.write_bytes(files.mag(files.version1(weights))[:-9999])
    assert "it is no .mag" in refusal(mag)
    mag.write_bytes(files.mag(b"no table"))
    assert "are no table" in refusal(mag)

    assert "it holds no checkpoint (it has readme)" in refusal(packed(tmp_path / "a.tar", {"readme": b"hello"}))
    assert "it holds no checkpoint (it is empty)" in refusal(files.write(tmp_path / "empty", {}))
    two = files.bundle("x", weights) | files.bundle("y", weights)
    assert "holds 2 checkpoints: give --checkpoint=NAME; it has x, y" in refusal(packed(tmp_path / "a.tar", two))
    assert "--checkpoint=z: 0 of" in refusal(tmp_path / "a.tar", "--checkpoint=z")
    (tmp_path / "cut.tar").write_bytes((tmp_path / "a.tar").read_bytes()[:20_000])
    assert "cut.tar" in refusal(tmp_path / "cut.tar")
    outside = packed(
        tmp_path / "b.tar", {f"../../{name}": content for name, content in files.bundle("m", foreign).items()}
    )
    assert "of another program" in refusal(outside)
    assert not (tmp_path.parent / "m.index").exists()


@pytest.mark.parametrize("family", ONE_OF_EACH)
def test_imported_models_are_sampled(family, imports, shared, tmp_path, monkeypatch):
    import sample

    name = ONE_OF_EACH[family]
    workdir = imports(shared("parity", f"{name}.ckpt.index"), *FLAGS[name])
    little = {"performance_rnn": ["--seconds=2"]}.get(family, [])
    words = ["sample.py", f"--workdir={workdir}", "--mode=generate", f"--out={tmp_path / 'out'}", *little]
    monkeypatch.setattr("sys.argv", words)
    monkeypatch.setattr(sample, "keep_compiled", lambda: None)
    sample.main()
    kinds = {path.suffix for path in (tmp_path / "out").iterdir()}
    assert ".svg" in kinds if family == "sketch_rnn" else ".mid" in kinds


def test_training_goes_on_from_an_import(imports, shared, toy_performances, tmp_path):
    imported = imports(shared("parity", "performance_rnn.ckpt.index"))
    workdir = tmp_path / "tuned"
    words = [sys.executable, "train.py", "--config=configs/performance_rnn.py:tiny", f"--workdir={workdir}"]
    words += [f"--init_from={imported}", f"--config.data.dir={toy_performances}", "--config.model.layers=(12,12,12)"]
    words += ["--config.num_steps=2", "--config.batch_size=4", "--config.codec.crop=40"]
    words += ["--config.evaluate_every=2", "--config.save_every=2"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert f"parameters of step 0 of {imported}" in done.stdout
    moved = [
        abs(np.asarray(mine) - theirs).max()
        for mine, theirs in zip(parameters(workdir), parameters(imported), strict=True)
    ]
    assert 0 < max(moved) < 0.05  # two steps of it, and not from other weights
