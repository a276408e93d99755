"""Prepares drawings or music made by rules: python -m data.toy"""

from pathlib import Path

from data.passage_records import COLUMNS
from data.prepare import Origin, command_line, hash_file, prepare
from data.toy.builder import CLASSES, RULES, Toy, ToyPassages, ToyPerformances, check_options
from data.toy.scores import STEPS_PER_BAR
from magenta_lite.command import run


def main(
    count: int = 500,
    seed: int = 0,
    classes: list[str] | None = None,
    out: str | None = None,
    kind: str = "drawings",
) -> int:
    """Prepares drawings or music made by rules, for training without a download.

    --kind     drawings; performances: piano pieces of 20 to 60 seconds; or for MusicVAE, melodies of 2 to 32 bars with
               their chords, drums and grooves: the same beats of 4 to 16 bars, trios of 16 to 40 bars
    --count    drawings or pieces of each class in train; valid and test hold a tenth each
    --seed     another seed, other drawings or pieces
    --classes  a choice of the classes (all)
    --out      directory to make (prepared/toy, prepared/toy-KIND)

    Example: python -m data.toy --count=200 --out=prepared/toy-small
    """
    labels = list(CLASSES.get(kind, ())) if classes is None else classes
    check_options(kind, labels, count, seed)
    builder = Toy if kind == "drawings" else ToyPerformances
    options = {"classes": labels, "count": count, "seed": seed}
    made = {"labels": labels, "count": count, "seed": seed}
    if kind in COLUMNS:
        builder = ToyPassages
        options |= {"kind": kind, "steps_per_bar": STEPS_PER_BAR}
        made["kind"] = kind
    target = Path(out or ("prepared/toy" if kind == "drawings" else f"prepared/toy-{kind}"))
    flags = {"count": count, "seed": seed, "classes": classes, "out": target}
    origin = Origin(
        builder=builder.name,
        version=str(builder.VERSION),
        options=options,
        sources={path.name: hash_file(path) for path in RULES[kind]},
        labels=tuple(labels),
        licence="Apache-2.0",
        command=command_line("data.toy", kind=None if kind == "drawings" else kind, **flags),
    )
    prepare(target, origin, lambda data_dir: builder(**made, data_dir=data_dir))
    return 0


if __name__ == "__main__":
    run(main)
