"""SketchRNN's page: its numbers are the model's, it holds nothing foreign, and a person can use it in a browser."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from ml_collections import ConfigDict

from magenta_lite.errors import UserError
from magenta_lite.interop import imported, pages, sketch_rnn_js
from magenta_lite.interop.pages import document, sketch_rnn
from magenta_lite.models.sketch_rnn import Codec, Model
from magenta_lite.nn import mixture_density
from magenta_lite.sampler import Sampler
from magenta_lite.sketch import simplification, strokes

HOSTILE = "</script><script>alert(1)</script>"
CODEC = Codec(scale=20.0, n_max=30, labels=("ant", HOSTILE, "<img src=x onerror=alert(2)>"), size=200.0)
SIZES = {"encoder_size": 24, "decoder_size": 40, "latent_size": 6, "mixtures": 4}

VARIANTS = {
    "lstm": {},
    "layer_norm": {"encoder_cell": "layer_norm", "decoder_cell": "layer_norm"},
    "hyper": {"encoder_cell": "hyper", "decoder_cell": "hyper"},
    "labels": {"label_size": 5},
    "labels_hyper": {"label_size": 5, "decoder_cell": "hyper", "encoder_cell": "layer_norm"},
    "decoder_only": {"conditional": False},
    "least_sigma": {"conditional": False, "log_sigma_min": -0.1},
    "decoder_only_labels": {"conditional": False, "label_size": 5, "decoder_cell": "layer_norm"},
}

EXACT = 1e-5
"""How far float32 may be from the page's float64, both with the page's weights; measured: 9e-7."""
COUNT = 9
QUANTISED = 2e-3
"""How far outputs of up to 3 may move when these weights are rounded to 16 bits; measured: 4e-4."""


def player(folder, codec=CODEC, rounded=False, **options):
    """What the page asks of a Sampler, with random weights, none 0; rounded: to what the page holds."""
    options = SIZES | options
    graph, state = nnx.split(nnx.eval_shape(lambda: Model(codec, rngs=nnx.Rngs(0), **options)))
    rng = np.random.default_rng(1)
    model = nnx.merge(graph, jax.tree.map(lambda w: jnp.asarray(rng.normal(0, 0.4, w.shape), jnp.float32), state))
    model.output.bias[...] = model.output.bias[...].at[2].set(-1.5)  # so that drawings last a few points
    if rounded:

        def read_back(weights):
            numbers, scales = document.quantised("", np.asarray(weights))
            return jnp.asarray(numbers * scales.astype(np.float64), jnp.float32)

        nnx.update(model, jax.tree.map(read_back, nnx.state(model, nnx.Param)))
    known = {"decoder_cell": "lstm", "encoder_cell": "lstm"} | options
    config = ConfigDict({"family": "sketch_rnn", "model": known})
    return SimpleNamespace(config=config, codec=codec, model=model, workdir=folder, step=1234)


def made(folder, some, **flags):
    path = folder / "page.html"
    pages.export(some, path, **flags)
    return path


def hand():
    """Lines as a hand draws them, in a box of 255 exactly: a wobbling ring, a stroke back and forth, a dot."""
    rng = np.random.default_rng(4)
    angle = np.linspace(0, 2 * np.pi, 90)
    ring = np.stack([127.5 + 100 * np.cos(angle), 127.5 + 80 * np.sin(angle)], axis=1) + rng.normal(0, 1, (90, 2))
    back = np.array([[0.0, 0.0], [255.0, 255.0], [60.5, 61.5], [255.0, 10.0]])
    return [ring, back, np.array([[30.25, 40.5]]), np.array([[7.5, 8.5], [7.6, 8.6], [7.7, 8.4]])]


@pytest.mark.parametrize(
    ("variant", "rounded"),
    [*((variant, True) for variant in VARIANTS), ("lstm", False), ("layer_norm", False), ("hyper", False)],
)
def test_the_page_computes_what_the_model_does(tmp_path, node, quick_to_compile, variant, rounded):
    near = EXACT if rounded else QUANTISED
    some = player(tmp_path, rounded=rounded, **VARIANTS[variant])
    path, model = made(tmp_path, some), some.model
    rng = np.random.default_rng(2)
    drawing = np.column_stack([rng.normal(0, 1, (12, 2)), rng.integers(0, 2, 12)]).astype(np.float32)
    z = rng.normal(0, 1, (1, 6)).astype(np.float32) if model.has_latent else None
    batch = {"strokes": jnp.asarray(drawing[None]), "length": jnp.array([12]), "label": jnp.array([1])}
    rows = np.asarray(model._rows(batch["strokes"], batch["length"], None))[:-1, 0]
    draws = [
        {"uniforms": rng.random(4).tolist(), "temperature": temperature} for temperature in (0.01, 0.3, 1.0, 1.5) * 5
    ]
    question = {"rows": rows.tolist(), "z": None if z is None else z[0].tolist(), "label": 1, "draws": draws}
    question["lines"] = [line.tolist() for line in hand()]
    begun = drawing[:4]
    question["request"] = {"beginning": begun.tolist(), "label": 1, "latent": "posterior", "temperature": 0, "seed": 3}
    question["request"]["count"] = COUNT
    (tmp_path / "cases.json").write_text(json.dumps(question))
    answer = json.loads(node("pages_sketch_numbers.cjs", path, tmp_path / "cases.json"))

    outputs = model._teacher_forced(model._rows(batch["strokes"], batch["length"], None), z, batch, None)
    np.testing.assert_allclose(answer["outputs"], outputs[:, 0], atol=near, rtol=0)
    assert np.abs(outputs).max() > 1  # there is something to compare
    pen, mixture = model._split(outputs[-1])
    names = ("logits", "muX", "muY", "logSigmaX", "logSigmaY", "rho")
    for name, value in {"pen": pen, **dict(zip(names, mixture, strict=True))}.items():
        np.testing.assert_allclose(answer["parameters"][name], value[0], atol=near, rtol=0, err_msg=name)
    if model.has_latent:
        mean, log_var = model.posterior(batch)
        np.testing.assert_allclose(answer["posterior"]["mean"], mean[0], atol=near, rtol=0)
        np.testing.assert_allclose(answer["posterior"]["deviation"], np.exp(log_var[0] / 2), atol=near, rtol=near)
    if rounded:  # else a number that falls between two states may fall otherwise
        uniforms = jnp.array([draw["uniforms"] for draw in draws], jnp.float32)
        temperatures = jnp.array([draw["temperature"] for draw in draws], jnp.float32)
        many = mixture_density.Mixture(*(jnp.repeat(value, len(draws), 0) for value in mixture))
        states = mixture_density.categorical(uniforms[:, 0], jnp.repeat(pen, len(draws), 0), temperatures)
        points = mixture_density.sample(uniforms[:, 1:], many, temperatures)
        assert [draw[2] for draw in answer["drawn"]] == states.tolist()
        np.testing.assert_allclose([draw[:2] for draw in answer["drawn"]], points, atol=3e-3, rtol=1e-3)
        # Without noise but that of z, whole endings are ours, too.
        beginning = {"strokes": jnp.asarray(begun[None]), "length": jnp.array([4]), "label": jnp.array([1])}
        beginnings = {name: jnp.repeat(value, COUNT, 0) for name, value in beginning.items()}
        zs = None
        if model.has_latent:
            mean, log_var = model.posterior(beginning)
            zs = mean + jnp.exp(log_var / 2) * jnp.array(answer["noise"], jnp.float32).reshape(COUNT, -1)
        keys = jax.random.split(jax.random.key(0), COUNT)
        condition = {"label": beginnings["label"]}
        drawn = model.sample(keys, temperature=0.0, z=zs, prime=beginnings, condition=condition)
        assert [4 + len(ending) for ending in answer["endings"]] == drawn["length"].tolist()
        for ending, ours, length in zip(answer["endings"], drawn["strokes"], drawn["length"], strict=True):
            np.testing.assert_allclose(np.reshape(ending, (-1, 3)), ours[4:length], atol=1e-3)
    if variant == "lstm":
        ours = simplification.simplified(hand(), simplification.EPSILON)
        assert answer["lines"] == [line.tolist() for line in ours]
        example = {"strokes": strokes.from_polylines(ours) * np.array([[200 / 255, 200 / 255, 1]])}
        encoded = some.codec.encode(example)["strokes"]
        np.testing.assert_allclose(answer["offsets"], encoded, atol=1e-5)


def test_the_page_holds_nothing_foreign(tmp_path):
    """No address, no file; what is written into it by strangers is text."""
    text = made(tmp_path, player(tmp_path, label_size=5), title=HOSTILE).read_text()
    assert not re.search(r"https?:|importScripts|\bimport\s*\(|fetch\(|XMLHttpRequest|WebSocket", text)
    found = Elements(text)
    assert not {"img", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in found.elements}
    assert not [given for _, given in found.elements if "src" in given or any(name.startswith("on") for name in given)]
    assert [given for _, given in found.elements if "href" in given] == [{"rel": "icon", "href": "data:,"}]
    scripts = [given for tag, given in found.elements if tag == "script"]
    assert [given["data-name"] for given in scripts if "type" not in given] == ["page.js", *sketch_rnn.SCRIPTS]
    assert found.texts["title"].strip() == found.texts["h1"].strip() == HOSTILE
    assert text.count("alert(1)") == 4  # title, heading, words, settings
    (policy,) = [given["content"] for tag, given in found.elements if given.get("http-equiv")]
    rules = {words.split()[0]: words.split()[1:] for words in policy.split(";")}
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == ["'none'"]
    assert rules["worker-src"] == ["blob:"] and rules["img-src"] == rules["media-src"] == ["data:", "blob:"]
    sums = [
        hashlib.sha256(script.encode()).digest()
        for script in re.findall(r"<script data-name[^>]*>(.*?)</script>", text, re.S)
    ]
    assert rules["script-src"] == [f"'sha256-{base64.b64encode(one).decode()}'" for one in sums] and len(sums) > 3


class Elements(HTMLParser):
    """elements: (tag, attributes) in order; texts: of each tag's last element."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts = [], {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.texts[tag] = ""

    def handle_data(self, data):
        if self.elements:
            self.texts[self.elements[-1][0]] += data


@pytest.mark.parametrize(
    ("licence", "closed", "words"),
    [
        ("CC BY-NC-SA 4.0", True, "names its authors and the licence"),
        ("mine, non-commercial", True, "no more than its name"),
        ("CC BY 4.0", False, "any purpose is allowed"),
        (None, False, "Nobody said under which licence"),
        ("MIT: ant; CC BY-NC 4.0: bee", True, "MIT: Any purpose"),
    ],
)
def test_the_page_says_what_a_licence_asks_for(tmp_path, licence, closed, words):
    (tmp_path / "source.json").write_text(json.dumps({"builder": "quickdraw", "licence": licence}))
    found = document.facts(player(tmp_path))
    assert found["Licence of the data"] == (licence or "unknown") and words in found["What it asks for"]
    assert found["What it asks for"].startswith("Not for commercial purposes.") == closed
    assert found["Model"].startswith("SketchRNN, ") and "Comes from" not in found


def test_families_without_a_page_are_refused(tmp_path):
    some = player(tmp_path)
    some.config.family = "sketch_rmm"
    with pytest.raises(UserError, match="has no page"):
        pages.export(some, tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


def test_weights_that_are_not_finite_are_refused(tmp_path):
    some = player(tmp_path)
    some.model.output.bias[...] = some.model.output.bias[...].at[0].set(jnp.nan)
    with pytest.raises(UserError, match=r"output\.bias holds numbers that are not finite"):
        pages.export(some, tmp_path / "page.html")


@pytest.mark.parametrize("value", [0.0, 1e-40, 3.0, -7e5])
@pytest.mark.parametrize("shape", [(), (3,), (4, 3), (2, 4, 3)])
def test_quantised(value, shape):
    """Every column to half a step of its own, 0 as 0, and the largest to float32."""
    weights = np.broadcast_to(np.array([value, -value / 3, 0.0], np.float32), shape) if shape else np.float32(value)
    weights = np.array(weights) * (1e-3 if len(shape) > 1 else 1)
    numbers, scales = document.quantised("w", weights)
    assert numbers.dtype == np.int16 and scales.dtype == np.float32 and (scales > 0).all()
    assert scales.shape == ((3,) if len(shape) > 1 else (1,)) and (numbers[weights == 0] == 0).all()
    error = np.abs(numbers * scales.astype(np.float64) - weights)
    assert (error <= 0.5001 * scales).all()


def test_a_default_model_fits_into_6_MB(tmp_path):
    codec = Codec(scale=20.0, n_max=200, labels=("sheep",))
    graph, state = nnx.split(nnx.eval_shape(lambda: Model(codec, rngs=nnx.Rngs(0))))
    model = nnx.merge(graph, jax.tree.map(lambda w: jnp.full(w.shape, 0.1), state))
    config = ConfigDict({"family": "sketch_rnn", "model": {"decoder_cell": "lstm", "encoder_cell": "lstm"}})
    some = SimpleNamespace(config=config, codec=codec, model=model, workdir=tmp_path, step=1)
    path = made(tmp_path, some)
    assert "2,186,107 parameters" in path.read_text()
    assert path.stat().st_size < 6_000_000


@pytest.mark.parametrize("variant", ["labels", "decoder_only"])
def test_a_person_uses_the_page(tmp_path, node, chromium, variant):
    some = player(tmp_path, **VARIANTS[variant])
    path = made(tmp_path, some, title=HOSTILE)
    found = json.loads(node("pages_sketch.cjs", chromium, path, tmp_path))
    assert found["errors"] == []
    # The file itself, and the worker that it makes of itself.
    assert [address.partition(":")[0] for address in found["requests"]] == ["file", "blob"]
    z = np.full((1, 6), 0.5, np.float32) if some.model.has_latent else None
    batch = {"label": jnp.array([1])}
    start = jnp.array([[[0.0, 0, 1, 0, 0]], [[0.0, 0, 0, 0, 1]]])
    outputs = some.model._teacher_forced(start, z, batch, None)
    np.testing.assert_allclose(found["first"], outputs[0, 0], atol=QUANTISED, rtol=0)
    states = {name: value for name, value in found.items() if isinstance(value, dict) and "endings" in value}
    for name, state in states.items():
        assert len(state["endings"]) == 9, name
        assert all(np.isfinite(ending).all() for ending in state["endings"] if ending), name
    begun = found["begun"]["beginning"]
    assert [row[2] for row in begun] == [0, 0, 0, 0, 1]
    points = np.array([[0.3, 0.75], [0.5, 0.22], [0.7, 0.75], [0.22, 0.42], [0.78, 0.42], [0.3, 0.75]]) * 320
    offsets = np.diff(points, axis=0) * some.codec.size / 255 / some.codec.scale
    np.testing.assert_allclose([row[:2] for row in begun], offsets, atol=1.5 / some.codec.scale)
    endings = {name: state["endings"] for name, state in states.items()}
    assert sum(map(bool, endings["begun"])) >= 6  # a random network may end a drawing at once
    assert [length > 0 for length in found["paths"]] == [bool(ending) for ending in endings["begun"]]
    assert endings["own"] != endings["begun"]
    assert endings["warm"] != endings["begun"]
    assert endings["again"] == endings["begun"]  # the same noise
    assert endings["cold"] != endings["begun"]
    assert endings["redrawn"] != endings["begun"] and found["redrawn"]["beginning"] == begun
    assert len(found["more"]["beginning"]) == len(begun) + 2 and endings["more"] != endings["redrawn"]
    assert found["goesOn"]["beginning"][-1][2] == 0 and found["more"]["beginning"][-1][2] == 1
    assert endings["undone"] == endings["redrawn"] and found["undone"]["beginning"] == begun
    assert found["cleared"]["beginning"] == []
    assert found["temperature"] == str(sketch_rnn.TEMPERATURE) and found["own"]["seed"] == 2**29  # as the address says
    longest = max(CODEC.n_max, len(begun) + CODEC.n_max // 2) - len(begun)
    cut = sum(len(ending) == longest for ending in endings["begun"])
    assert (f"{cut} of the nine reached the longest length without an end" in found["told"]) == (cut > 0)
    if variant == "labels":
        assert found["labels"] == list(CODEC.labels)
        assert endings["label"] != endings["undone"] and endings["prior"] != endings["label"]
    else:
        assert "labels" not in found and "prior" not in found
        # Too long a beginning: nothing else is shown as its endings.
        too_long = found["tooLong"]
        assert len(too_long["beginning"]) > CODEC.max_points and too_long["shown"] == [0] * 10
        assert too_long["words"] == [
            f"{len(too_long['beginning'])} points after simplifying: more than 250 points. Draw less.",
            "Nothing to continue.",
        ]
        assert endings["shortAgain"] == endings["cleared"] != [[]] * 9
    assert found["overflow"] <= 0  # a phone need not scroll sideways
    assert found["unnamed"] == []
    saved = (tmp_path / "endings.svg").read_text()
    assert saved.startswith("<svg ") and saved.count("<path") == 18


def test_a_finger_draws_where_there_are_no_workers(tmp_path, node, chromium):
    path = made(tmp_path, player(tmp_path))
    found = json.loads(node("pages_sketch.cjs", chromium, path, tmp_path, "star", "plain"))
    assert found["errors"] == []
    assert [address.partition(":")[0] for address in found["requests"]] == ["file"]
    assert [row[2] for row in found["begun"]["beginning"]] == [0, 0, 0, 0, 1]
    assert sum(map(bool, found["begun"]["endings"])) >= 6
    assert found["redrawn"]["endings"] != found["begun"]["endings"] == found["again"]["endings"]


def test_a_published_model_draws_pigs(tmp_path, node, chromium, shared):
    """The page of the published pig: its endings are as long and as large as our sampler's of the same beginning."""
    file = shared("data", "sketch-rnn-js", "pig.gen.json")
    imported.write(sketch_rnn_js.read(file), tmp_path / "pig")
    some = Sampler(tmp_path / "pig")
    path = made(tmp_path, some)
    assert "<dd>pig.gen.json, sketch-rnn-js</dd>" in path.read_text()
    found = json.loads(node("pages_sketch.cjs", chromium, path, tmp_path, "head"))
    assert found["errors"] == [] and found["temperature"] == str(sketch_rnn.IMPORTED_TEMPERATURE)
    begun = np.array(found["begun"]["beginning"], np.float32)
    drawn = some.sample(
        32, seed=0, temperature=sketch_rnn.IMPORTED_TEMPERATURE, prime=[{"strokes": begun, "label": np.array(0)}] * 32
    )
    ours = [arrays["strokes"][: int(arrays["length"])] for arrays in drawn]
    states = [found[name] for name in ("begun", "redrawn")]
    theirs = [np.concatenate([begun, ending]) for state in states for ending in state["endings"] if ending]
    assert len(theirs) == 18
    for measure in (len, side):
        low, high = np.quantile([measure(drawing) for drawing in ours], [0.1, 0.9])
        assert low * 0.9 <= np.median([measure(drawing) for drawing in theirs]) <= high * 1.1


def side(drawing):
    left, right, top, bottom = strokes.bounds(drawing)
    return max(right - left, bottom - top)
