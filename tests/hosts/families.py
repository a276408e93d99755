"""Trains what stands in a file, one run after the other, in one process or in one of several.

    python families.py FILE [HOST:PORT COUNT NUMBER]

FILE: JSON, a list of [workdir, recipe of configs/, its variant, {field: value}]. As train.py does each of them;
together, since most of what a small run takes is the start of the program.
"""

import json
import runpy
import sys
from pathlib import Path

import train
from magenta_lite import hosts, pipeline
from magenta_lite.runtime import keep_compiled

ROOT = Path(__file__).parents[2]
read: list[str] = []


def example(self: pipeline.PreparedData, split: str, index: int) -> dict[str, object]:
    """Notes that an example of that split was read."""
    read.append(split)
    return whole(self, split, index)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        hosts.connect(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
        print("connected", flush=True)
    keep_compiled()
    whole, pipeline.PreparedData.example = pipeline.PreparedData.example, example
    with hosts.together():
        for workdir, recipe, variant, fields in json.loads(Path(sys.argv[1]).read_text()):
            config = runpy.run_path(str(ROOT / "configs" / recipe))["get_config"](variant)
            values = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
            config.update_from_flattened_dict(values)
            read.clear()
            train.train(config, Path(workdir))
            print("read", json.dumps({split: read.count(split) for split in sorted(set(read))}), flush=True)
