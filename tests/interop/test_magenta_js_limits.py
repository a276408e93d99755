"""Checkpoints of magenta.js: what they cannot hold is refused, damaged ones are, and the commands."""

import json
import shutil
import types
from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from small_workdirs import interop, made, refused, same_samples

from magenta_lite.errors import UserError
from magenta_lite.interop import magenta_js, provenance, tfjs_weights
from magenta_lite.models.music_vae import Codec, Model, original
from magenta_lite.models.music_vae.variables import variables
from magenta_lite.sampler import Sampler

SMALL = {"latent_size": 4, "encoder_layers": (3,), "decoder_layers": (5, 5)}
HIERARCHICAL = {"encoder": "hierarchical", "decoder": "hierarchical"}


def player(codec, scale=1.0, **options):
    """What an exporter is given, with random weights."""
    codec = Codec(**codec)
    model = nnx.eval_shape(lambda: Model(codec, rngs=nnx.Rngs(0), **{**SMALL, **options}))
    rng = np.random.default_rng(3)
    if not any("residual" in option for option in options):
        weights = {one.name: scale * rng.normal(size=one.shape).astype(np.float32) for one in variables(model)}
        original.load(model, weights)
    config = types.SimpleNamespace(family="music_vae")
    return types.SimpleNamespace(model=model, codec=codec, config=config, step=12, workdir=Path("of nobody"))


REFUSED = [
    ({"kind": "trio"}, {}, "a flat decoder of a trio"),
    ({"kind": "drums"}, {"decoder_layers": (5, 6)}, "decoder_layers of several sizes \\(5, 6\\)"),
    ({"bars": 4}, {**HIERARCHICAL, "levels": (2, 2, 16)}, "3 levels: the client has two"),
    ({"bars": 4}, {**HIERARCHICAL, "conductor_input": "state"}, "conductor_input=state"),
    ({}, {"decoder_residual": True}, "residual connections"),
    ({}, {"encoder_residual": True}, "residual connections"),
    ({"bars": 4}, {"decoder": "hierarchical"}, "a flat encoder before a hierarchical decoder.*--sample_only exports"),
    ({"bars": 4}, {"encoder": "hierarchical"}, "a hierarchical encoder before a flat decoder.*--sample_only"),
    ({}, {"encoder_layers": (3, 3)}, "encoder_layers of more than one layer.*--sample_only"),
    ({"bars": 4}, {**HIERARCHICAL, "encoder_layers": (3, 3)}, "encoder_layers of more than one layer"),
]


@pytest.mark.parametrize(("codec", "options", "expected"), REFUSED)
def test_what_the_client_cannot_hold_is_refused(codec, options, expected, tmp_path):
    with pytest.raises(UserError, match=expected):
        magenta_js.export(player(codec, **options), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_families_bytes_and_numbers_are_refused(tmp_path):
    sound = player({})
    for size in (0, 3):
        with pytest.raises(UserError, match=f"--bytes={size}: expected 1, 2 or 4"):
            magenta_js.export(sound, tmp_path / "out", bytes=size)
    with pytest.raises(UserError, match="2 variables of the model hold numbers that are not finite"):
        sound.model.mean.kernel[...] = sound.model.mean.kernel[...] * np.nan
        sound.model.mean.bias[...] = sound.model.mean.bias[...] * np.inf
        magenta_js.export(sound, tmp_path / "out")
    sound.config.family = "performance_rnn"
    with pytest.raises(UserError, match=r"is for music_vae, not performance_rnn: .* --format=safetensors takes all"):
        magenta_js.export(sound, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ({"bars": 3, "steps_per_bar": 12, "chords": True}, {}),
        ({"kind": "drum_roll", "drum_classes": 61}, {"nade_hidden": 6}),
        ({"kind": "groove", "groove_input": "add_closed_hh"}, {}),
        ({"kind": "groove", "groove_input": "tap_fixed_velocity_note_dropout", "bars": 4}, HIERARCHICAL),
        ({"kind": "groove", "groove_input": "hits_control"}, {}),
        ({"kind": "trio", "bars": 4}, {**HIERARCHICAL, "levels": (8, 8)}),
    ],
)
def test_what_is_written_is_read_again(codec, options, size, tmp_path):
    given = player(codec, **options)
    given.workdir = tmp_path
    (tmp_path / "source.json").write_text(json.dumps({"builder": "maestro", "licence": "CC BY-NC-SA 4.0"}))
    magenta_js.export(given, tmp_path / "out", bytes=size)
    found = magenta_js.read(tmp_path / "out")
    assert found.codec == given.codec and found.family == "music_vae"
    for name, value in {**SMALL, **options}.items():
        assert found.model[name] == value
    assert found.source == {
        "file": "out",
        "format": "magenta.js",
        "name": "out",
        "steps": 12,
        "data": "MAESTRO v3.0.0",
        "licence": "CC BY-NC-SA 4.0",
    }
    weights = original.weights(given.model)
    assert found.weights.keys() == weights.keys()
    for name, value in weights.items():
        step = 0.0 if size == 4 else (np.ptp(value, axis=None) + abs(value).max()) / (2 ** (8 * size) - 1)
        np.testing.assert_allclose(found.weights[name], value, rtol=1e-6 * bool(step), atol=step, err_msg=name)


@pytest.mark.parametrize("bytes", [1, 2])
@pytest.mark.parametrize(
    "value",
    [
        np.zeros((3, 2)),
        np.zeros((0, 2)),
        np.full((2, 2), -7.5),
        np.full(3, 1e-30),
        np.array([0.0, 1e-45]),
        np.array([3e38, -3e38, 0.0, 1e37]),
        np.array([1.0, 1.0000001]),
        np.array([-1e-3, 0.0, 5.0]),
    ],
    ids=str,
)
def test_quantised_numbers_are_a_step_off_at_most_and_zero_stays(value, bytes):
    value = value.astype(np.float32)
    stored, told = tfjs_weights.quantised(value, bytes)
    assert stored.dtype.itemsize == bytes and told["scale"] > 0
    json.loads(json.dumps(told, allow_nan=False))
    back = stored * told["scale"] + told["min"]
    assert (np.abs(back - value.astype(np.float64)) <= told["scale"] * (1 + 1e-9)).all()
    assert (back[value == 0] == 0).all()


def test_shards_are_cut_at_four_megabytes(tmp_path):
    weights = {"a": np.arange(1_500_000, dtype=np.float32), "b": np.ones((3, 7), np.float32)}
    tfjs_weights.save(weights, tmp_path, 4)
    sizes = [(tmp_path / f"group1-shard{number}of2.bin").stat().st_size for number in (1, 2)]
    assert sizes == [4 * 2**20, 6_000_084 - 4 * 2**20]
    found = tfjs_weights.load(tmp_path)
    assert all(np.array_equal(found[name], value) for name, value in weights.items())


def test_half_floats_and_whole_numbers_are_read(tmp_path):
    half, steps = np.array([1.5, -0.25], "<f2"), np.array([7], "<i4")
    entries = [
        {"name": "half", "shape": [2], "dtype": "float32", "quantization": {"dtype": "float16"}},
        {"name": "global_step", "shape": [], "dtype": "int32"},
    ]
    (tmp_path / "shard").write_bytes(half.tobytes() + steps.tobytes())
    (tmp_path / "weights_manifest.json").write_text(json.dumps([{"paths": ["shard"], "weights": entries}]))
    found = tfjs_weights.load(tmp_path)
    assert found["half"].tolist() == [1.5, -0.25] and found["half"].dtype == np.float32
    assert found["global_step"] == 7


def config(change):
    def damage(folder):
        spec = json.loads((folder / "config.json").read_text())
        change(spec, spec["dataConverter"]["args"])
        (folder / "config.json").write_text(json.dumps(spec))

    return damage


def manifest(change):
    def damage(folder):
        groups = json.loads((folder / "weights_manifest.json").read_text())
        change(groups[0], groups[0]["weights"][0])
        (folder / "weights_manifest.json").write_text(json.dumps(groups))

    return damage


def shard(change):
    def damage(folder):
        path = folder / "group1-shard1of1.bin"
        path.write_bytes(change(path.read_bytes()))

    return damage


DAMAGE = [
    (lambda folder: (folder / "config.json").unlink(), "cannot read .*config.json: No such file"),
    (lambda folder: (folder / "config.json").write_text("{"), "config.json is no JSON"),
    (lambda folder: (folder / "config.json").write_text("[" * 100_000), "config.json is no JSON"),
    (lambda folder: (folder / "config.json").write_text("[]"), "has the type something else than an object"),
    (
        config(lambda spec, args: spec.update(type="MusicRNN")),
        "'MusicRNN': of magenta.js only MusicVAE is read",
    ),
    (config(lambda spec, args: spec.update(dataConverter=7)), "expected a dataConverter with a type and args"),
    (config(lambda spec, args: spec["dataConverter"].update(type="MultitrackConverter")), "MultitrackConverter, which"),
    (config(lambda spec, args: spec["dataConverter"].update(type="DrumsConverter")), "those of kind melody"),
    (config(lambda spec, args: spec.update(chordEncoder="PitchChordEncoder")), "expected TriadChordEncoder"),
    (config(lambda spec, args: spec.update(chordEncoder="TriadChordEncoder")), "do not agree about whether chords"),
    (config(lambda spec, args: spec.update(extraControls=[{"name": "key", "depth": 12}])), "has extraControls"),
    (config(lambda spec, args: spec.update(conditionOnKey=True)), "has conditionOnKey"),
    (config(lambda spec, args: args.update(minPitch=48)), "melodies of {'minPitch': 48"),
    (config(lambda spec, args: args.update(numSteps="32")), "numSteps is '32'"),
    (config(lambda spec, args: args.update(numSteps=-16)), "numSteps is -16"),
    (config(lambda spec, args: args.update(numSteps=33)), "33 steps are no whole bars of 16: give --steps_per_bar"),
    (config(lambda spec, args: args.update(numSegments=3)), "cannot be cut into 3 segments"),
    (config(lambda spec, args: args.update(numSegments=2)), "do not agree about numSegments"),
    (lambda folder: (folder / "weights_manifest.json").write_bytes(b"\xff"), "weights_manifest.json is no JSON"),
    (lambda folder: (folder / "weights_manifest.json").write_text("{}"), "expected a list of groups"),
    (lambda folder: (folder / "weights_manifest.json").write_text("[{}]"), "expected groups with paths and weights"),
    (lambda folder: (folder / "weights_manifest.json").write_text("[]"), "output_projection/bias is missing"),
    (manifest(lambda group, entry: entry.pop("name")), "a weight has no name"),
    (manifest(lambda group, entry: entry.update(shape=[10**9, 10**9])), "(has the shape \\[1|where their weights ask)"),
    (manifest(lambda group, entry: entry.update(shape=[-1, 4])), "has the shape \\[-1, 4\\]"),
    (manifest(lambda group, entry: entry.update(shape="no")), "has the shape .?no"),
    (manifest(lambda group, entry: entry["quantization"].update(dtype="uint4")), "the dtype 'uint4': expected float16"),
    (manifest(lambda group, entry: entry["quantization"].pop("scale")), "has scale None: expected a number"),
    (manifest(lambda group, entry: entry["quantization"].update(min=float("nan"))), "has min nan"),
    (
        manifest(lambda group, entry: entry.update(quantization=None, dtype="string")),
        "'string': expected float32",
    ),
    (manifest(lambda group, entry: group["weights"][1].update(entry)), "have .* bytes together, where"),
    (manifest(lambda group, entry: entry.update(name=group["weights"][1]["name"])), "is there twice"),
    (manifest(lambda group, entry: entry.update(name="decoder/other")), "encoder/mu/kernel is missing"),
    (manifest(lambda group, entry: entry.update(shape=[0, 10**30])), "has the shape \\[0, 1"),
    (manifest(lambda group, entry: group.update(paths=group["paths"] * 2)), "a shard is named twice"),
    (manifest(lambda group, entry: group.update(paths=["../other"])), "'../other' is no shard's name"),
    (manifest(lambda group, entry: group.update(paths=["/etc/passwd"])), "'/etc/passwd' is no shard's name"),
    (manifest(lambda group, entry: group.update(paths=["a\0b"])), "cannot read .*null"),
    (lambda folder: (folder / "group1-shard1of1.bin").unlink(), "cannot read .*group1-shard1of1.bin: No such file"),
    (shard(lambda content: content[:-1]), "bytes together, where their weights ask for"),
    (shard(lambda content: content + b"0"), "bytes together, where their weights ask for"),
]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound") / "melody"
    magenta_js.export(player({}), folder)
    return folder


@pytest.mark.parametrize(("damage", "expected"), DAMAGE)
def test_damage_is_told_in_one_line(sound, damage, expected, tmp_path):
    folder = tmp_path / "melody"
    folder.mkdir()
    for path in sound.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    damage(folder)
    with pytest.raises(UserError, match=expected) as raised:
        magenta_js.read(folder)
    assert "\n" not in str(raised.value)


def test_foreign_folders_need_no_more_than_the_client_does(sound, tmp_path):
    # Nothing of ours in config.json: what it has from the client is enough, but for what the encoder is given.
    folder = tmp_path / "groove"
    magenta_js.export(player({"kind": "groove", "groove_input": "tap_fixed_velocity"}), folder)
    spec = json.loads((folder / "config.json").read_text())
    del spec["magenta_lite"], spec["dataConverter"]["args"]["pitchClasses"]
    (folder / "config.json").write_text(json.dumps(spec))
    assert magenta_js.read(folder).codec == Codec(kind="groove", groove_input="tap_fixed_velocity")
    assert magenta_js.read(folder).source == {"file": "groove", "format": "magenta.js", "name": "groove"}
    other = magenta_js.read(folder, steps_per_bar=8, groove_input="add_closed_hh").codec
    assert other == Codec(kind="groove", groove_input="add_closed_hh", bars=4, steps_per_bar=8)
    with pytest.raises(UserError, match="--groove_input=humanize is for grooves"):
        magenta_js.read(sound, groove_input="humanize")


def test_a_strangers_words_about_training_are_checked(sound, tmp_path):
    folder = tmp_path / "melody"
    shutil.copytree(sound, folder)
    spec = json.loads((folder / "config.json").read_text())
    for told, kept in (
        ({"step": True, "data": ["x"], "licence": ["MIT"]}, {"licence": "unknown"}),
        ({"step": -1, "data": "a\nb\x07", "licence": "c\nd"}, {"data": "a b?", "licence": "c d"}),
        ({"step": 2**31, "licence": "MIT " * 20_000}, {"licence": "unknown"}),
        ([], {}),
    ):
        (folder / "config.json").write_text(json.dumps(spec | {"magenta_lite": told}))
        assert magenta_js.read(folder).source == {"file": "melody", "format": "magenta.js", "name": "melody"} | kept


def test_commands_write_a_folder_and_make_a_workdir_of_it(toy_melodies, tmp_path):
    given = made(tmp_path / "run", "music_vae", toy_melodies)
    done = interop(
        "export", f"--workdir={tmp_path / 'run'}", "--format=magenta-js", f"--out={tmp_path / 'js'}", "--bytes=4"
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "js").iterdir()} == {
        "config.json",
        "weights_manifest.json",
        "group1-shard1of1.bin",
    }
    done = interop("import", tmp_path / "js", f"--workdir={tmp_path / 'again'}")
    assert done.returncode == 0, done.stderr
    again = Sampler(tmp_path / "again")
    assert same_samples(given, again) and again.step == given.step
    assert provenance.licence(again.workdir) == "Apache-2.0"
    assert provenance.trained_on(again.workdir).startswith(provenance.trained_on(given.workdir))
    (tmp_path / "js" / "group1-shard1of1.bin").unlink()
    line = refused("import", tmp_path / "js", f"--workdir={tmp_path / 'other'}")
    assert "group1-shard1of1.bin: No such file" in line and not (tmp_path / "other").exists()
