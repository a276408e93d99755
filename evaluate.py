"""How good a model is, on one split, as one JSON object: python evaluate.py --workdir=DIR [--split=test]

Every example of the split is scored, none is dropped. Then samples are drawn and held against real examples of the
split and against the training data. `python evaluate.py --workdir=DIR --explain` says what each number means.
"""

import json
import math
import sys
from pathlib import Path

from magenta_lite.command import run
from magenta_lite.runtime import keep_compiled, keep_memory


def main(
    workdir: str,
    split: str = "test",
    checkpoint: str = "best",
    data_dir: str | None = None,
    samples: int | None = None,
    temperature: float = 1.0,
    seed: int = 0,
    out: str | None = None,
    explain: bool = False,
) -> int:
    """Prints one JSON object: what was evaluated, the likelihood of a split, what samples are like beside real ones.

    --explain prints what each number means, with its unit, range and source, and does nothing else.

    --workdir     folder of a run of train.py
    --checkpoint  best, last, or a step
    --data_dir    prepared data to take the split of (the run's own)
    --samples     how many to draw, 0 for none (the family's own number; of an imported model none); they are compared
                  with all training data, which --config.data.dir named
    --temperature of the samples: 1 is the model's own distribution, 0 greedy
    --seed        of the noise of z, of the samples, and of the choice of examples to compare with
    --out         file to write the same JSON to, whole or not at all
    """
    keep_compiled()
    from magenta_lite import config as configs
    from magenta_lite import evaluation
    from magenta_lite.errors import UserError

    _check(samples, temperature, seed, out)
    if explain:
        print(evaluation.definitions(configs.load(Path(workdir) / "config.json").family))
        return 0
    result = evaluation.evaluated(
        workdir,
        split=split,
        checkpoint=checkpoint,
        data_dir=data_dir,
        samples=samples,
        temperature=temperature,
        seed=seed,
        tell=_tell,
    )
    print(json.dumps(result, indent=2, allow_nan=False))
    if out is not None:
        try:
            configs.write_json(result, Path(out))
        except OSError as error:
            raise UserError(f"--out={out}: cannot be written ({error.strerror})") from None
    return 0


def _check(samples: int | None, temperature: float, seed: int, out: str | None) -> None:
    """Refuses what would fail after minutes."""
    from magenta_lite.errors import UserError

    if samples is not None and not 0 <= samples <= 10_000:
        raise UserError(f"--samples={samples}: expected 0 (none) to 10000")
    if not (temperature >= 0 and math.isfinite(temperature)):
        raise UserError(f"--temperature={temperature}: expected 0 (greedy) or more")
    if not 0 <= seed < 2**31:
        raise UserError(f"--seed={seed}: expected 0 or more, below {2**31}")
    if out is not None and (Path(out).is_dir() or not Path(out).absolute().parent.is_dir()):
        raise UserError(f"--out={out}: expected a file to write, in a folder that exists")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    keep_memory()
    run(main)
