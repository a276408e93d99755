"""What a model is said to have learned from, under which licence; and its card."""

import json
from pathlib import Path

import pytest

from magenta_lite import workdirs
from magenta_lite.interop import cards


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


def test_an_import_that_is_fine_tuned_keeps_its_licence(tmp_path):
    pig = folder(tmp_path / "pig", imported=PIG)
    mine = folder(tmp_path / "mine", builder="own_drawings", labels=["pigs"], licence="CC0 1.0")
    workdirs.begin_from(mine, pig, 0)
    assert cards.licence(mine) == "CC0 1.0; and of the data of the model it began from: CC BY 4.0"
    assert cards.trained_on(mine) == "somebody's own drawings (pigs); and, before that, QuickDraw: pig"
