"""Models of strangers as JSON of sketch-rnn-js: damaged bytes, and sound JSON that lies.

The long form is 10,000 files.
"""

import base64
import copy
import functools
import json
from pathlib import Path
from random import Random

import numpy as np
from harness import survive
from mutations import mutated

LIES = [
    None,
    True,
    0,
    -1,
    1,
    2,
    5,
    7,
    123,
    2**31,
    2**63,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    0.5,
    "",
    "gen",
    "9",
]
LIES += ["9", "vae", "\udfff", "x" * 5000, "AAAA", [], {}, [[]], [9], [9, 123], [1 << 60, 1 << 60], {"mode": 2}]


def content(conditional):
    """A small sound file, as parts."""
    units, z = 4, 3
    cell, output = [[5, 4 * units], [units, 4 * units], [4 * units]], [[units, 123], [123]]
    shapes = output + cell
    if conditional:
        maps = [[2 * units, z], [z], [2 * units, z], [z], [z, 2 * units], [2 * units]]
        shapes = cell * 2 + maps + output + [[5 + z, 4 * units], *cell[1:]]
    rng = np.random.default_rng(len(shapes))
    weights = [rng.integers(-3000, 3000, shape).astype("<i2").tobytes() for shape in shapes]
    info = {"name": "ant", "mode": 1 if conditional else 2, "version": 6, "max_seq_len": 9, "scale_factor": 70.5}
    info |= {"r_loss": -0.5, "made_by": "magenta_lite", "size": 400.0, "units_of": {"digest": "0"}, "data": "ants"}
    return [info, shapes, [base64.b64encode(weight).decode() for weight in weights]]


def lying(parts, rng):
    """The file with some parts replaced, moved or doubled."""
    parts = json.loads(json.dumps(parts))
    for _ in range(rng.choice((1, 1, 2, 3))):
        inner = parts
        while isinstance(inner, dict | list) and inner:
            place = rng.choice(list(inner)) if isinstance(inner, dict) else rng.randrange(len(inner))
            if rng.random() < 0.4 or not isinstance(inner[place], dict | list):
                break
            inner = inner[place]
        if not isinstance(inner, dict | list) or not inner:
            continue
        way = rng.random()
        if way < 0.7:
            inner[place] = copy.deepcopy(rng.choice(LIES))
        elif way < 0.85:
            del inner[place]
        elif isinstance(inner, list):
            inner.insert(place, copy.deepcopy(inner[rng.randrange(len(inner))]))
    return json.dumps(parts).encode()


def inputs(count):
    rng = Random(11)
    seeds = {f"{conditional}": json.dumps(content(conditional)).encode() for conditional in (False, True)}
    spoiled = mutated(seeds, count, 13)
    for number in range(count):
        yield next(spoiled) if number % 2 else (f"{number} lies", lying(content(rng.random() < 0.5), rng))


def read(out, data):
    """Imports a file, and puts its weights where they belong."""
    from magenta_lite.errors import UserError
    from magenta_lite.interop import sketch_rnn_js

    path = Path(out) / "ant.gen.json"
    path.write_bytes(data)
    try:
        found = sketch_rnn_js.read(path)
    except UserError as error:
        assert "\n" not in str(error)
        raise UserError(str(error).replace(str(path), "")) from None
    json.dumps(found.source, allow_nan=False).encode()
    found.codec.labels[0].encode()
    assert all(np.isfinite(value).all() for value in found.weights.values())
    return found


def ready():
    import jax

    from magenta_lite.interop import sketch_rnn_js  # noqa: F401

    jax.numpy.zeros(3).block_until_ready()


def test_mutated_files(tmp_path, times):
    outcome = survive(
        functools.partial(read, tmp_path), inputs(times(200, 10_000)), out=tmp_path, reads=None, before=ready
    )
    print(outcome)
    assert not outcome.failures, str(outcome)
    assert outcome.taken > outcome.inputs / 20 and outcome.refused.total() > outcome.inputs / 3
