"""Prepares drawings or performances made by rules: python -m data.toy"""

from pathlib import Path

from data.prepare import Origin, command_line, hash_file, prepare
from data.toy.builder import CLASSES, RULES, Toy, ToyPerformances, check_options
from magenta_lite.command import run


def main(
    count: int = 500,
    seed: int = 0,
    classes: list[str] | None = None,
    out: str | None = None,
    kind: str = "drawings",
) -> int:
    """Prepares drawings or performances made by rules, for training without a download.

    --kind     drawings, or performances: short piano pieces of 20 to 60 seconds
    --count    drawings or pieces of each class in train; valid and test hold a tenth each
    --seed     another seed, other drawings or pieces
    --classes  a choice of the classes (all)
    --out      directory to make (prepared/toy, prepared/toy-performances)

    Example: python -m data.toy --count=200 --out=prepared/toy-small
    """
    labels = list(CLASSES.get(kind, ())) if classes is None else classes
    check_options(kind, labels, count, seed)
    builder = Toy if kind == "drawings" else ToyPerformances
    target = Path(out or ("prepared/toy" if kind == "drawings" else "prepared/toy-performances"))
    flags = {"count": count, "seed": seed, "classes": classes, "out": target}
    origin = Origin(
        builder=builder.name,
        version=str(builder.VERSION),
        options={"classes": labels, "count": count, "seed": seed},
        sources={RULES[kind].name: hash_file(RULES[kind])},
        labels=tuple(labels),
        licence="Apache-2.0",
        command=command_line("data.toy", kind=None if kind == "drawings" else kind, **flags),
    )
    prepare(target, origin, lambda data_dir: builder(labels=labels, count=count, seed=seed, data_dir=data_dir))
    return 0


if __name__ == "__main__":
    run(main)
