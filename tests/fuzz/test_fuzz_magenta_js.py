"""Checkpoint folders of magenta.js from strangers: read or refused, whatever stands in their three kinds of files."""

import functools
import json
import shutil
import types
from pathlib import Path
from random import Random

import numpy as np
import pytest
from harness import survive
from mutations import ALL as OF_BYTES
from workdir_mutations import TEXTS, VALUES

MODELS = {
    "melody": ({}, {}),
    "chords": ({"chords": True}, {}),
    "drum_roll": ({"kind": "drum_roll"}, {"nade_hidden": 3}),
    "trio": ({"kind": "trio"}, {"encoder": "hierarchical", "decoder": "hierarchical"}),
    "hits": ({"kind": "groove", "groove_input": "hits_control"}, {}),
}
SMALL = {"latent_size": 2, "encoder_layers": (3,), "decoder_layers": (2, 2)}


def outline(codec, options):
    from flax import nnx

    from magenta_lite.models.music_vae import Model

    return nnx.eval_shape(lambda: Model(codec, rngs=nnx.Rngs(0), **options))


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """{name: {file: content}} of folders as they are exported."""
    from magenta_lite.interop import magenta_js
    from magenta_lite.models.music_vae import Codec, original
    from magenta_lite.models.music_vae.variables import variables

    folders, rng = {}, np.random.default_rng(1)
    for name, (codec, options) in MODELS.items():
        model = outline(Codec(**codec), SMALL | options)
        original.load(model, {one.name: rng.normal(size=one.shape) for one in variables(model)})
        family = types.SimpleNamespace(family="music_vae")
        folder = tmp_path_factory.mktemp("seeds") / name
        player = types.SimpleNamespace(model=model, codec=model.codec, config=family, step=1, workdir=folder.parent)
        magenta_js.export(player, folder, bytes=2)
        folders[name] = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    return folders


def changed(files, rng):
    """The files with one to three changes; None in the place of a content is a folder."""
    files = dict(files)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        name = rng.choice(["config.json", "config.json", "weights_manifest.json", "weights_manifest.json", *files])
        content = files.get(name) or b""
        match rng.randrange(12):
            case 0:
                files.pop(name, None)
            case 1:
                files[name] = rng.choice([None, *TEXTS])
            case 2 | 3 | 4:
                files[name] = rng.choice(OF_BYTES)(content or b"\0", rng, list(filter(None, files.values())))
            case _ if name.endswith(".json"):
                files[name] = with_a_value(content, rng)
    return files


def with_a_value(content, rng):
    """JSON with one value changed, removed or added."""
    try:
        tree = [json.loads(content)]
    except (ValueError, RecursionError):
        return content
    places = [(tree, 0)]
    for holder, key in places:  # which grows as it is gone through
        inner = holder[key]
        if isinstance(inner, dict | list):
            places += [(inner, k) for k in (inner if isinstance(inner, dict) else range(len(inner)))]
    holder, key = rng.choice(places)
    match rng.randrange(5):
        case 0 if holder is not tree:
            del holder[key]
        case 1 if isinstance(holder, dict):
            name = rng.choice(["numSegments", "chordEncoder", "extraControls", "tapify", "quantization", "x"])
            holder[name] = rng.choice(VALUES)
        case 2 if type(holder[key]) is int:
            holder[key] = rng.choice((-1, 0, 2, 3, 16, 10**6)) * holder[key] + rng.choice((0, 0, 1))
        case _:
            holder[key] = rng.choice(VALUES)
    return json.dumps(tree[0]).encode("utf-8", "surrogatepass")


def inputs(seeds, count):
    rng = Random(7)
    for number in range(count):
        name = rng.choice(sorted(seeds))
        yield f"{number} {name}", seeds[name] if rng.random() < 0.05 else changed(seeds[name], rng)


def read(out, files):
    """Imports a folder, and puts its weights where they belong."""
    from magenta_lite.errors import UserError
    from magenta_lite.interop import magenta_js
    from magenta_lite.models.music_vae import original

    folder = Path(out) / "model"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        if content is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(content)
    try:
        found = magenta_js.read(folder)
    except UserError as error:
        assert "\n" not in str(error)
        raise UserError(str(error).replace(str(folder), "")) from None
    model = outline(found.codec, found.model)
    original.load(model, found.weights)
    return model


def ready():
    import jax

    from magenta_lite.interop import magenta_js  # noqa: F401
    from magenta_lite.models.music_vae import Codec

    outline(Codec(), SMALL)
    jax.numpy.zeros(3).block_until_ready()


def test_mutated_folders(tmp_path, seeds, times):
    outcome = survive(
        functools.partial(read, tmp_path), inputs(seeds, times(120, 10_000)), out=tmp_path, reads=None, before=ready
    )
    print(outcome)
    assert not outcome.failures, str(outcome)
    assert outcome.taken > outcome.inputs / 20 and outcome.refused.total() > outcome.inputs / 3
