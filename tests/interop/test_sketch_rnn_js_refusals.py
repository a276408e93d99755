"""sketch-rnn-js files that are none, and models that the format cannot hold: one line that says so."""

import base64
import json
import re

import numpy as np
import pytest
import sketch_rnn_files as files

from magenta_lite.errors import UserError
from magenta_lite.interop import imported, provenance, sketch_rnn_js
from magenta_lite.models.sketch_rnn import Codec
from magenta_lite.sampler import Sampler


def change(content, place, value):
    """The content with one part in another's place; place: indices from outside in."""
    inner = content
    for step in place[:-1]:
        inner = inner[step]
    if value is KeyError:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return content


GENERATOR = [
    ((0, "mode"), 3, "its mode is 3"),
    ((0, "mode"), True, "its mode is True"),
    ((0, "mode"), ["gen"], "its mode is"),
    ((0, "mode"), KeyError, "its mode is None"),
    ((0, "mode"), "vae", "5 shapes and 5 weights: expected 17"),
    ((0, "scale_factor"), KeyError, "scale_factor is missing"),
    ((0, "scale_factor"), "70", "scale_factor is '70': expected a number"),
    ((0, "scale_factor"), 0, "scale_factor is 0"),
    ((0, "scale_factor"), -1.5, "scale_factor is -1.5"),
    ((0, "scale_factor"), float("nan"), "scale_factor is nan"),
    ((0, "scale_factor"), 10**400, "scale_factor is 1000"),
    ((0, "max_seq_len"), 0, "max_seq_len 0"),
    ((0, "max_seq_len"), 7.5, "max_seq_len 7.5"),
    ((0, "max_seq_len"), 10**8, "max_seq_len 1e+08"),
    ((0, "version"), None, "version is missing"),
    ((1, 4), KeyError, "4 shapes and 5 weights"),
    ((2, 0), KeyError, "5 shapes and 4 weights"),
    ((1, 0), [9, 122], "weight 0 (RNN/output_w) has 2,214 bytes: expected 2,196"),
    ((1, 0), [9], "expected 2 sizes above 0"),
    ((1, 0), [9, "123"], "expected 2 sizes above 0"),
    ((1, 0), [9.0, 123], "expected 2 sizes above 0"),
    ((1, 0), [-9, -123], "expected 2 sizes above 0"),
    ((1, 0), [1 << 40, 1 << 40], "expected 2 sizes above 0"),
    ((1, 1), [3, 41], "expected 1 size above 0"),
    ((1, 0), [123, 9], "RNN/output_w is (123, 9): expected (9, 9)"),
    ((1, 3), [36, 9], "RNN/LSTMCell"),
    ((2, 1), "", "has 0 bytes: expected 246"),
    ((2, 1), "AAA", "is no base64"),
    ((2, 1), "AA\u00e9=", "is no base64"),
    ((2, 1), "AAAA" * 60, "has 180 bytes: expected 246"),
    ((2, 1), 5, "is a number: expected base64"),
    ((2, 1), None, "is null: expected base64"),
]


@pytest.mark.parametrize(("place", "value", "told"), GENERATOR)
def test_a_generator_with_a_wrong_part(tmp_path, place, value, told):
    path = tmp_path / "ant.gen.json"
    path.write_text(json.dumps(change(files.content(False), place, value)))
    with pytest.raises(UserError) as caught:
        sketch_rnn_js.read(path)
    assert told in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "no valid JSON"),
        (b"[[", "no valid JSON"),
        (b"\xff\xfe[]", "no valid JSON"),
        (b"[" * 100_000, "no valid JSON"),
        (b"{}", "JSON of something else: an object"),
        (b'{"nodes": [], "edges": []}', "an object with nodes, edges"),
        (b"3", "a number"),
        (b"null", "null"),
        (b"[]", "a list of nothing"),
        (b"[{}, []]", "a list of an object, a list"),
        (b"[{}, [], {}]", "a list of an object, a list, an object"),
        (b"[{}, [], [], []]", "a list of an object, a list, a list, a list"),
        (b"[{}, [], []]", "its mode is None"),
    ],
)
def test_json_of_something_else(tmp_path, text, told):
    path = tmp_path / "else.json"
    path.write_bytes(text)
    with pytest.raises(UserError) as caught:
        sketch_rnn_js.read(path)
    assert told in str(caught.value) and "[info, shapes, weights]" in str(caught.value)


def test_no_file_that_can_be_read(tmp_path):
    (tmp_path / "x.json").mkdir()
    for name in ("x.json", "none.json"):
        with pytest.raises(UserError, match="cannot read"):
            sketch_rnn_js.read(tmp_path / name)


def test_a_size_that_is_none(tmp_path):
    path = files.written(tmp_path, False)
    for size in (0.0, -3.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match="--size="):
            sketch_rnn_js.read(path, size=size)
    found = sketch_rnn_js.read(path, size=300.0, name="bee")
    assert found.codec.size == 300.0 and found.codec.labels == ("bee",) and found.source["name"] == "bee"


def test_names(tmp_path):
    for name, expected in (("a\u0007b", "a?b"), ("", "ant"), (7, "ant"), (None, "ant"), ("x" * 300, "x" * 100)):
        assert sketch_rnn_js.read(files.written(tmp_path, False, name="ant.gen.json", **{})).codec.labels == ("ant",)
        content = change(files.content(False), (0, "name"), name)
        path = tmp_path / "ant.gen.json"
        path.write_text(json.dumps(content))
        assert sketch_rnn_js.read(path).codec.labels == (expected,)


def test_the_tanh_of_older_versions(tmp_path):
    """It is of z, so decoder-only models of any version are read, and conditional ones from version 6 on."""
    assert sketch_rnn_js.read(files.written(tmp_path, False, version=2)).source["version"] == 2
    with pytest.raises(UserError, match=r"version 5, whose decoder reads tanh\(z\)"):
        sketch_rnn_js.read(files.written(tmp_path, True, version=5))


def test_modes_by_name_and_number(tmp_path):
    for conditional, modes in ((False, (2, "gen")), (True, (0, 1, "vae"))):
        for mode in modes:
            found = sketch_rnn_js.read(files.written(tmp_path, conditional, mode=mode))
            assert found.model["conditional"] is conditional


QUICKDRAW = {"builder": "quickdraw", "licence": "CC BY 4.0"}


@pytest.mark.parametrize(
    ("flags", "kept"),
    [
        ({}, {"data": "QuickDraw", "licence": "CC BY 4.0", "assumed": True, "units_of": QUICKDRAW}),
        ({"licence": "CC BY 4.0"}, {"data": "QuickDraw", "licence": "CC BY 4.0", "units_of": QUICKDRAW}),
        ({"data": "QuickDraw: ants"}, {"data": "QuickDraw: ants", "licence": "CC BY 4.0", "units_of": QUICKDRAW}),
        ({"licence": "GPL-3.0"}, {"licence": "GPL-3.0"}),
        ({"data": "my ants"}, {"data": "my ants", "licence": "unknown"}),
        ({"data": "my ants", "licence": "MIT"}, {"data": "my ants", "licence": "MIT"}),
    ],
)
def test_what_a_file_does_not_say_is_told_or_assumed(flags, kept, tmp_path):
    source = sketch_rnn_js.read(files.written(tmp_path, False), **flags).source
    told = {name: source[name] for name in ("data", "licence", "assumed", "units_of") if name in source}
    assert told == kept


def test_what_is_assumed_stays_so_on_the_way_out_and_in(tmp_path):
    found = sketch_rnn_js.read(files.written(tmp_path, False))
    imported.write(found, tmp_path / "run")
    assert provenance.licence(tmp_path / "run") == "CC BY 4.0 (assumed)"
    sketch_rnn_js.export(Sampler(tmp_path / "run"), tmp_path / "out.json")
    imported.write(sketch_rnn_js.read(tmp_path / "out.json"), tmp_path / "again")
    assert provenance.licence(tmp_path / "again") == "CC BY 4.0 (assumed)"
    assert sketch_rnn_js.read(tmp_path / "out.json", licence="CC BY-NC 4.0").source["licence"] == "CC BY-NC 4.0"
    (tmp_path / "run" / "source.json").write_text('{"builder": "own_drawings", "licence": "GPL-3.0"}')
    sketch_rnn_js.export(Sampler(tmp_path / "run"), tmp_path / "mine.json")
    assert sketch_rnn_js.read(tmp_path / "mine.json", licence="GPL-3.0").source["licence"] == "GPL-3.0"
    with pytest.raises(UserError, match=r"--licence=MIT: .* says GPL-3\.0: leave the flag out"):
        sketch_rnn_js.read(tmp_path / "mine.json", licence="MIT")


def test_a_strangers_source_makes_sound_json(tmp_path):
    run = files.workdir(tmp_path / "run", {}, conditional=False, decoder_size=6)
    for number, (loss, kept) in enumerate(
        ((float("nan"), False), (10**400, False), ("x", False), (True, False), (0.5, True))
    ):
        origin = {"file": "x", "name": ["evil"], "r_loss": loss, "kl_loss": loss, "units_of": [float("inf")]}
        (run / "source.json").write_text(json.dumps({"imported": origin}))
        sketch_rnn_js.export(Sampler(run), tmp_path / f"{number}.json")
        info = json.loads((tmp_path / f"{number}.json").read_text(), parse_constant=pytest.fail)[0]
        assert info["name"] == "ant" and (info.get("r_loss") == info.get("kl_loss") == 0.5) is kept
        assert kept or "r_loss" not in info


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite(value, tmp_path):
    player = Sampler(files.workdir(tmp_path / "run", {}, conditional=False, decoder_size=6))
    player.model.output.bias[...] = player.model.output.bias[...].at[0].set(value)
    for clip in (False, True):
        with pytest.raises(UserError, match="1 variables hold numbers that are not finite"):
            sketch_rnn_js.export(player, tmp_path / "out.json", clip=clip)
    assert not (tmp_path / "out.json").exists()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Those of a small decoder, as the original's variables."""
    return dict(sketch_rnn_js.read(files.written(tmp_path_factory.mktemp("weights"), False)).weights)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"decoder_cell": "layer_norm"}, "its decoder is a LayerNormLSTM"),
        ({"decoder_cell": "hyper"}, "its decoder is a HyperLSTM"),
        ({"conditional": True, "encoder_cell": "layer_norm"}, "its encoder is a LayerNormLSTM"),
        ({"label_size": 4}, "it is told labels"),
        ({"mixtures": 5}, "it has 5 mixtures"),
    ],
)
def test_what_the_format_cannot_hold(tmp_path, options, told):
    sizes = {"encoder_size": 4, "decoder_size": 6, "latent_size": 3, "conditional": False}
    codec = Codec(scale=1.0, n_max=9, labels=("ant", "bee"))
    player = Sampler(files.workdir(tmp_path / "run", {}, codec, **sizes | options))
    with pytest.raises(UserError, match=told) as caught:
        sketch_rnn_js.export(player, tmp_path / "out.json")
    assert "--format=safetensors" in str(caught.value)
    assert not (tmp_path / "out.json").exists()


def test_weights_beyond_ten(tmp_path, weights, capsys):
    options = sketch_rnn_js.read(files.written(tmp_path, False)).model
    for value, fits in ((10.0, True), (-10.0001, True), (10.01, False), (-12.5, False)):
        changed = {name: array.copy() for name, array in weights.items()}
        changed["vector_rnn/RNN/LSTMCell/W_hh"][2, 3] = value
        run = files.workdir(tmp_path / f"run{value}", changed, **options)
        out = tmp_path / f"{value}.json"
        if fits:
            sketch_rnn_js.export(Sampler(run), out)
            texts = json.loads(out.read_text())[2]
            found = np.frombuffer(base64.b64decode(texts[3]), "<i2").reshape(files.DECODER, -1)
            assert found[2, 3] == np.sign(value) * 32767
        else:
            told = rf"1 of its weights are beyond .*{value} in vector_rnn/RNN/LSTMCell/W_hh"
            with pytest.raises(UserError, match=told + ".*--clip"):
                sketch_rnn_js.export(Sampler(run), out)
            assert not out.exists()
            sketch_rnn_js.export(Sampler(run), out, clip=True)
            assert re.search(told, capsys.readouterr().out)
            again = sketch_rnn_js.read(out).weights["vector_rnn/RNN/LSTMCell/W_hh"]
            assert again[2, 3] == np.sign(value) * 10
            changed["vector_rnn/RNN/LSTMCell/W_hh"][2, 3] = np.sign(value) * 10
            np.testing.assert_allclose(again, changed["vector_rnn/RNN/LSTMCell/W_hh"], atol=1e-6)
