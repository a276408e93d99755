"""What a model is said to have learned from, under which licence; and its card."""

import copy
import json
import pkgutil
import re
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from small_workdirs import STEP, made

from data.quickdraw import published
from magenta_lite import models, workdirs
from magenta_lite.interop import cards, licences, measured, provenance
from magenta_lite.interop.card_words import FAMILIES
from magenta_lite.interop.safetensors_file import named


def folder(path: Path, **source) -> Path:
    path.mkdir()
    (path / "source.json").write_text(json.dumps(source))
    return path


MAESTRO = {"builder": "maestro", "labels": ["maestro"], "licence": "CC BY-NC-SA 4.0", "digest": "d"}
MAESTRO["counts"] = {"train": {"maestro": 962}, "valid": {"maestro": 137}}
PIG = {"file": "pig.gen.json", "format": "sketch-rnn-js", "data": "QuickDraw: pig", "licence": "CC BY 4.0"}


def test_a_set_is_named_with_its_examples_and_licence(tmp_path):
    run = folder(tmp_path / "run", **MAESTRO)
    assert cards.trained_on(run) == "MAESTRO v3.0.0, 962 examples to train on"
    assert cards.licence(run) == "CC BY-NC-SA 4.0"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"builder": "quickdraw", "labels": ["cat", "pig"]}, "QuickDraw (cat, pig)"),
        ({"builder": "quickdraw", "labels": ["aaron_sheep"]}, "aaron_sheep (The Sheep Market)"),
        (
            {"builder": "quickdraw", "labels": ["aaron_sheep", "cat"]},
            "aaron_sheep (The Sheep Market) and QuickDraw (cat)",
        ),
        ({"builder": "quickdraw_lines", "labels": [str(n) for n in range(345)]}, "QuickDraw (345 classes)"),
        ({"builder": "own_drawings", "labels": ["doodles"]}, "somebody's own drawings (doodles)"),
        ({"imported": PIG}, "QuickDraw: pig"),
        ({"imported": {"file": "x.ckpt"}}, "unknown data"),
        ({}, "unknown data"),
        ({"builder": 7, "labels": "x", "counts": {"train": {"a": "many"}}, "licence": ["MIT"]}, "unknown data"),
    ],
)
def test_other_sets(source, said, tmp_path):
    run = folder(tmp_path / "run", **source)
    assert cards.trained_on(run) == said
    assert cards.licence(run) == ("CC BY 4.0" if "imported" in source and "data" in source["imported"] else "unknown")


def test_the_licence_of_what_a_model_began_from_goes_along(tmp_path):
    """Fine-tuned twice: of MAESTRO, by one's own pieces, by toy pieces."""
    first = folder(tmp_path / "first", **MAESTRO)
    second = folder(tmp_path / "second", builder="own_midi", labels=["mine"], licence=None)
    third = folder(tmp_path / "third", builder="toy_performances", labels=[], licence="Apache-2.0")
    workdirs.begin_from(second, first, 300)
    workdirs.begin_from(third, second, 20)
    assert cards.licence(third) == (
        "Apache-2.0; and of the data of the model it began from: unknown; and of the data of the model it began from: "
        "CC BY-NC-SA 4.0"
    )
    assert "MAESTRO v3.0.0" in cards.trained_on(third)
    # Begun anew, before there was a checkpoint, from nothing.
    workdirs.begin_from(third, None)
    assert cards.licence(third) == "Apache-2.0"


def test_the_first_licence_of_forty_fine_tunings_is_kept(tmp_path):
    run = folder(tmp_path / "0", **MAESTRO)
    for number in range(1, 41):
        following = folder(tmp_path / str(number), builder="toy_performances", labels=[], licence="Apache-2.0")
        workdirs.begin_from(following, run, number)
        run = following
    assert cards.licence(run) == "Apache-2.0; and of the data of the model it began from: CC BY-NC-SA 4.0"


def test_what_lies_beyond_the_longest_chain_is_unknown(tmp_path):
    chain: dict = MAESTRO
    for _ in range(6):
        chain = {"builder": "toy", "licence": "Apache-2.0", "begun_from": chain}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provenance, "_CHAIN", 5)
        found = provenance.data(folder(tmp_path / "run", **chain))
    assert [one.licence for one in found] == ["Apache-2.0"] * 5 + ["unknown"]


@pytest.mark.parametrize("imported", [True, False])
def test_a_licence_is_kept_whole(imported, tmp_path):
    for number, (licence, kept) in enumerate(
        (
            ("MIT " * 16_000 + "for non-commercial use", True),
            ("MIT " * 16_500, False),
            ("mine (draft): CC BY-NC-SA 4.0; other: X (Y)", True),
            (["MIT"], False),
        )
    ):
        source = {"imported": {"file": "x", "licence": licence}} if imported else {"licence": licence}
        assert cards.licence(folder(tmp_path / str(number), **source)) == (licence if kept else "unknown")


def test_one_class_of_many_keeps_examples_back(tmp_path):
    """Forty classes and a non-commercial one, as the builder writes their licences now, and as it did."""
    classes = [f"class number {number}" for number in range(40)]
    older = "; ".join(f"{name}: CC BY 4.0" for name in classes)
    grouped = published.licence([*classes, "aaron_sheep"])
    assert grouped == f"CC BY 4.0: {', '.join(classes)}; CC BY-NC 4.0: aaron_sheep"
    assert len(older) > 500
    for number, (licence, along) in enumerate(
        (
            (older, True),
            (f"{older}; aaron_sheep: CC BY-NC 4.0", False),
            (grouped, False),
            (published.licence(["cat", "kanji.rdp100"]), True),
            (published.licence(["cat", "omniglot"]), False),
            (published.licence(["cat", "bus"]), True),
        )
    ):
        run = folder(tmp_path / str(number), builder="quickdraw", labels=classes, licence=licence)
        assert cards.handed_on(run) is along, licence


@pytest.mark.parametrize(
    ("licence", "names"),
    [
        ("CC BY 4.0", ["CC BY 4.0"]),
        ("CC BY 4.0: cat, dog; CC BY-NC 4.0: aaron_sheep", ["CC BY 4.0", "CC BY-NC 4.0"]),
        ("MIT: for my friends", ["MIT: for my friends"]),
        ("MIT: cat; MIT: non-commercial research", ["MIT", "MIT: non-commercial research"]),
        ("MIT; and of the data of the model it began from: CC BY 4.0: cat; omniglot: as published",
         ["MIT", "CC BY 4.0", "omniglot: as published"]),
        ("CC BY 4.0 (assumed)", ["CC BY 4.0 (assumed)"]),
        ("", ["unknown"]),
    ],
)  # fmt: skip
def test_several_licences(licence, names):
    assert [one.name for one in licences.several(licence)] == names


@pytest.mark.parametrize(
    ("licence", "non_commercial"),
    [
        ("OPEN DATA LICENCE", False),
        ("CC BY-SA 4.0", False),
        ("Commercial use is allowed", False),
        ("CC BY-NC 4.0", True),
        ("cc_by_nc_sa_3.0", True),
        ("Attribution-NonCommercial", True),
        ("non-commercial research only", True),
        ("Non commercial", True),
        ("My own (no commercial use)", True),
    ],
)
def test_a_card_says_what_is_not_for_commercial_purposes(licence, non_commercial, player, undrawn):
    text = card(player, {"builder": "own_drawings", "labels": ["x"], "licence": licence})
    assert ("**Not for commercial purposes.**" in text) is non_commercial


def test_an_import_that_is_fine_tuned_keeps_its_licence(tmp_path):
    pig = folder(tmp_path / "pig", imported=PIG)
    mine = folder(tmp_path / "mine", builder="own_drawings", labels=["pigs"], licence="CC0 1.0")
    workdirs.begin_from(mine, pig, 0)
    assert cards.licence(mine) == "CC0 1.0; and of the data of the model it began from: CC BY 4.0"
    assert cards.trained_on(mine) == "somebody's own drawings (pigs); and, before that, QuickDraw: pig"


@pytest.fixture(scope="module")
def player(toy, tmp_path_factory):
    return made(tmp_path_factory.mktemp("runs") / "stars", "sketch_rnn", toy)


def card(player, source, numbers=(), **more) -> str:
    """The text of a card, of a model that was trained on what `source` says."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "source.json").write_text(json.dumps(source))
        cards.write(player, Path(name), dict(numbers), **more)
        return (Path(name) / "card.md").read_text() + (Path(name) / "LICENCE.txt").read_text()


@pytest.fixture
def undrawn(monkeypatch):
    """Cards without a picture, which takes most of the time."""
    monkeypatch.setattr(cards, "_picture", lambda player, folder: [])


def test_every_family_has_words():
    folders = {module.name for module in pkgutil.iter_modules(models.__path__) if module.ispkg}
    assert FAMILIES.keys() == folders
    for words in FAMILIES.values():
        assert words.papers and words.use and words.limits and words.metrics["loss"]


@pytest.mark.parametrize("family", ["sketch_rnn", "performance_rnn", "music_vae"])
def test_a_card_of_every_family(family, request, tmp_path, quick_to_compile):
    """All of its sections, a picture that opens, and the metrics of the run with what they mean."""
    data = {"sketch_rnn": "toy", "performance_rnn": "toy_performances", "music_vae": "toy_melodies"}[family]
    player = made(tmp_path / "run", family, request.getfixturevalue(data))
    numbers = measured.numbers(player, None)
    assert numbers["training"] == {"steps": STEP, "seconds": 65}
    assert numbers["validation"]["loss"] == 1.25
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / "source.json").write_bytes((tmp_path / "run" / "source.json").read_bytes())
    paths = cards.write(player, tmp_path / "card", numbers)
    assert [path.relative_to(tmp_path / "card").as_posix() for path in paths] == [
        "pictures/samples.png",
        "card.md",
        "LICENCE.txt",
    ]
    with Image.open(paths[0]) as picture:
        assert picture.format == "PNG" and min(picture.size) > 100
    text = paths[1].read_text()
    sections = ["The model", "What it learned from", "How good it is", "What it is for", "What it cannot do"]
    sections += ["How to use it", "How it was trained", "Whom to name"]
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == sections
    assert "![samples](pictures/samples.png)" in text
    assert "| loss | 1.25 | " in text and FAMILIES[family].metrics["loss"] in text
    assert "65 seconds between" in text and "Apache-2.0" in text
    assert f"| {sum(value.size for value in named(player.model).values()):,} |" in text
    assert FAMILIES[family].papers[0] in text


def test_the_licence_of_maestro_is_said_wherever_its_model_goes(player, undrawn):
    tuned = {
        "builder": "toy_performances",
        "licence": "Apache-2.0",
        "begun_from": {**MAESTRO, "workdir": "m", "step": 9},
    }
    for source in (MAESTRO, tuned):
        text = card(player, source)
        assert "**Not for commercial purposes.**" in text
        assert "**CC BY-NC-SA 4.0**: " in text and "passes it on under the same licence" in text
        assert "Curtis Hawthorne" in text
    assert "It began from the parameters of m, at step 9" in text
    assert "**Not for commercial" not in card(player, tuned | {"begun_from": None})


def test_an_import_says_where_it_comes_from(player, undrawn):
    text = card(player, {"imported": PIG | {"name": "pig"}})
    assert text.startswith("# SketchRNN: QuickDraw: pig (pig)")
    assert "| imported file | pig.gen.json |" in text and "imported from sketch-rnn-js" in text
    assert "Nobody measured it here" in text and "**CC BY 4.0**" in text
    assumed = card(player, {"imported": PIG | {"name": "pig", "assumed": True}})
    assert assumed.startswith("# SketchRNN: QuickDraw: pig, assumed (pig)")
    assert "| licence of the data | CC BY 4.0 (assumed) |" in assumed and "**CC BY 4.0 (assumed)**" in assumed


def test_what_nobody_wrote_down_is_unknown(player, undrawn):
    text = card(player, {"builder": "own_drawings", "labels": ["mine"], "licence": None})
    assert "somebody's own drawings (mine)" in text and "Nobody said under which licence the data is" in text
    assert "| wall time | unknown |" in text


def test_numbers_of_an_evaluation_come_with_their_error_and_meaning(player, undrawn):
    found = {
        "evaluated": {"family": "sketch_rnn", "split": "test", "examples": 4, "own_data": True},
        "likelihood": {"whole": {"nats_per_point": 0.123456}, "other": None},
        "standard_error": {"whole": {"nats_per_point": 0.0111}},
    }
    text = card(player, MAESTRO, {"evaluation": found})
    assert "over all 4 examples of the test split of the data that it was trained on" in text
    assert r"| whole.nats\_per\_point | 0.12346 ± 0.011 | " + FAMILIES["sketch_rnn"].metrics["nats_per_point"] in text


def test_a_strangers_words_stay_words(player, undrawn):
    evil = "x](http://evil) <script>alert(1)</script> | `y` ![z](w)\n# new"
    counts = {"train": {evil: 3}, evil: {evil: 1}}
    text = card(
        player,
        {
            "builder": evil,
            "labels": [evil],
            "licence": evil,
            "begun_from": {"workdir": evil, "step": "x", "counts": counts},
            "counts": counts,
        },
        {"validation": {"step": evil, evil: 1.0}, "evaluation": {"evaluated": {"split": evil}}},
    )
    markdown = text[: text.index("Licences of the data that")]
    assert not re.search(r"(?<!\\)(<script|\]\(http|!\[z|`y)|\n# new", markdown)
    assert r"\<script\>" in markdown


def test_numbers_of_400_digits_are_none(player, undrawn, tmp_path):
    huge = 10**400
    metrics = {name: {"step": huge, "seconds": huge, "loss": huge} for name in ("training", "validation")}
    evaluation = {"likelihood": {"loss": huge, "pen_accuracy": 0.5}, "standard_error": {"pen_accuracy": -huge}}
    text = card(player, MAESTRO, metrics | {"evaluation": evaluation})
    assert "| wall time | unknown |" in text and "| loss |" not in text and "at step ?:" in text
    assert r"| pen\_accuracy | 0.5 |" in text
    line = {"step": STEP, "split": "valid", "time": huge, "loss": huge, "L_R": 0.5}
    (tmp_path / "metrics.jsonl").write_text(
        json.dumps(line) + "\n" + json.dumps(line | {"split": "train", "step": float("inf")}) + "\n"
    )
    found = measured.numbers(SimpleNamespace(workdir=tmp_path, step=STEP), None)
    assert found == {"validation": {"step": STEP, "L_R": 0.5}}


def test_a_config_without_counts_makes_a_card(player, undrawn, monkeypatch):
    config = copy.deepcopy(player.config)
    with config.unlocked():
        del config.batch_size, config.num_steps
    monkeypatch.setattr(player, "config", config)
    assert f"| steps | {STEP} of ?, each of a batch of ? |" in card(player, MAESTRO)


@pytest.mark.parametrize("depth", [3, 500])
def test_metrics_of_any_shape_make_a_card(depth, player, undrawn):
    deep: dict = {"loss": 1.0}
    for _ in range(depth):
        deep = {"a": deep}
    odd = {"evaluated": ["x"], "likelihood": deep | {"n": None, "t": True, "s": "x"}, "standard_error": 7}
    text = card(
        player, MAESTRO, {"evaluation": odd, "validation": {"step": "x", "loss": 2}, "training": {"seconds": "x"}}
    )
    assert ("a.a.a.loss" in text) is (depth == 3)
    assert "| loss | 2 |" in text
