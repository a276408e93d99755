"""Prepares drawings made by rules: python -m data.toy"""

from pathlib import Path

from data.prepare import Origin, command_line, hash_file, prepare
from data.toy.builder import RULES, Toy, check_options
from data.toy.drawings import CLASSES
from magenta_lite.command import run


def main(count: int = 500, seed: int = 0, classes: list[str] | None = None, out: str = "prepared/toy") -> int:
    """Prepares drawings made by rules, for training without a download.

    --count    drawings of each class in train; valid and test hold a tenth each
    --seed     another seed, other drawings
    --classes  a choice of the classes (all)
    --out      directory to make

    Example: python -m data.toy --count=200 --out=prepared/toy-small
    """
    labels = list(CLASSES) if classes is None else classes
    check_options(labels, count, seed)
    origin = Origin(
        builder=Toy.name,
        version=str(Toy.VERSION),
        options={"classes": labels, "count": count, "seed": seed},
        sources={RULES.name: hash_file(RULES)},
        labels=tuple(labels),
        licence="Apache-2.0",
        command=command_line("data.toy", count=count, seed=seed, classes=classes, out=out),
    )
    prepare(Path(out), origin, lambda data_dir: Toy(labels=labels, count=count, seed=seed, data_dir=data_dir))
    return 0


if __name__ == "__main__":
    run(main)
