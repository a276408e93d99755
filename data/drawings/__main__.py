"""Prepares a folder of a person's own drawings: python -m data.drawings --source=FOLDER"""

import math
from pathlib import Path

from data.drawings.builder import OwnDrawings, collect
from data.prepare import Origin, command_line, hash_file, prepare
from data.splits import SHARES, check_shares
from magenta_lite.command import run
from magenta_lite.errors import UserError
from magenta_lite.sketch.simplification import EPSILON


def main(
    source: str,
    out: str | None = None,
    epsilon: float = EPSILON,
    split: list[float] | None = None,
    licence: str | None = None,
) -> int:
    """Prepares a folder of drawings, SVG (.svg, .svgz) or QuickDraw's ndjson (.ndjson, .ndjson.gz), for training.

    --source   folder; one SVG file is one drawing, the names of subfolders are the labels
    --out      directory to make (prepared/drawings/NAME)
    --epsilon  how far simplifying may move a line, in 1/255 of a drawing's longer side; larger: fewer points
    --split    shares of train, valid and test (90,5,5)
    --licence  of the drawings, to be written beside them

    Example: python -m data.drawings --source=my_sketches
    """
    if not (0 <= epsilon < 255 and math.isfinite(epsilon)):
        raise UserError(f"--epsilon={epsilon}: expected 0 to 255, 1/255 of a drawing's longer side; 2 is usual")
    folder = Path(source)
    shares = SHARES if split is None else split
    check_shares(shares)
    collection = collect(folder, epsilon, shares)
    target = Path(out) if out is not None else Path("prepared/drawings") / (folder.resolve().name or "drawings")
    origin = Origin(
        builder=OwnDrawings.name,
        version=str(OwnDrawings.VERSION),
        options={"epsilon": epsilon, "split": list(map(float, shares))},
        sources={path.relative_to(folder).as_posix(): hash_file(path) for path in collection.files},
        labels=collection.labels,
        licence=licence,
        command=command_line("data.drawings", source=source, out=target, epsilon=epsilon, split=split, licence=licence),
    )
    prepare(target, origin, lambda data_dir: OwnDrawings(collection=collection, data_dir=data_dir))
    return 0


if __name__ == "__main__":
    run(main)
