"""What samples and reconstructions are like, beside the drawings of a split and the training drawings.

All numbers of samples stand beside the same number of "split", real drawings that were chosen at random and that the
samples are told the labels of, and where it helps of "training", as many training drawings at random in the place of
the samples: what a model would get that draws exactly like its training data, and so the noise of the measurement.
Samples are drawn from the prior (of a decoder-only model: from nothing) at one temperature, the paper's (1 is the
model's own distribution), and cut at N_max points.

samples
  count, temperature, seed   as asked for
  ended                      share that ended by themselves, before they were cut; 0 to 1
  empty                      share that ended before their first point; 0 to 1
sizes: of each, the mean and quantiles (p5 is the 5 % quantile) of samples and of the split
  points                     rows of stroke-3: offsets, those with the pen up among them; of samples at most N_max
  strokes                    lines, dots among them
  width, height, longer_side in the data's units
  wasserstein                Wasserstein-1 distance of the two distributions, in the same unit; 0 is best
  wasserstein_training       the same of training drawings and the split: about what a perfect model would get
nearest_training: distance of each drawing to the nearest training drawing (has the model memorised?)
  compared                   how many training drawings were looked through
  samples, split             mean and quantiles; unit: the longer side of a drawing; the distance, 0 to 1.41, is the
                             symmetric chamfer distance that magenta_lite/sketch/metrics.py defines
  nearer_than_split          probability that a sample is nearer to a training drawing than a real drawing is; 0.5 if it
                             is as new as the split, 1 if all are copies (Meehan et al. 2020, "A Non-Parametric Test to
                             Detect Data-Copying in Generative Models": the statistic of their test, for one cell).
                             Far below 0.5: samples are unlike any drawing, as the precision says too. Simple drawings,
                             as from low temperatures, are near to others without being copied: look at copies.
  copies                     share nearer than 0.002: the same picture but for rounding
  near_copies                share at most near_copies_within away, the 1 % quantile of the split's distances
diversity: mean distance of two different drawings of a set; unit as above
  samples, split, training   less than the split's: the samples are too much alike
precision_recall: Kynkaanniemi et al. 2019, "Improved Precision and Recall Metric", with that distance in the place of
                             features; not to be compared with numbers in the features of a network
  neighbours, of_each        k of the paper, and the number of drawings in each set: both matter
  precision                  share of samples among real drawings of the split; 0 to 1, 1 is best
  recall                     share of real drawings of the split among samples; 0 to 1, 1 is best
  *_training                 the same of training drawings in the place of the samples: about what is within reach
reconstructions (models with a latent space): drawn at the same temperature from the posterior mean of a real drawing
  count                      how many drawings of the split
  own                        mean distance of a drawing to its own reconstruction; unit as above
  another                    to the reconstruction of another drawing of the same class
  own_is_nearer              share for which the own one is nearer, ties half; 0.5 if z says nothing, 1 is best
"""

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magenta_lite.errors import UserError
from magenta_lite.sampler import Sampler
from magenta_lite.sketch import metrics
from magenta_lite.sketch.metrics import Traces

COPY = 0.002
"""Distance up to which two drawings are the same: a single line that is moved by one pixel in eight is further away."""

NEIGHBOURS = 3

Example = dict[str, Any]
Numbers = dict[str, Any]


def samples(
    sampler: Sampler,
    examples: list[Example],
    training: Iterable[Example],
    *,
    count: int,
    temperature: float,
    seed: int,
    tell: Callable[[str], None],
) -> dict[str, Numbers]:
    """Draws `count` samples and gives the numbers that this module's docstring defines, in its groups.

    Args:
      examples: of the split that is evaluated, at least one, in random order; in the units of the training data.
      training: examples that the model was trained on, none of `examples` among them, in random order.

    Raises:
      UserError: the model draws offsets that are not finite.
    """
    encoded = [sampler.codec.encode(example) for example in examples]
    condition = {name: np.stack([one[name] for one in encoded]) for name in sampler.conditions}
    told = {name: np.resize(values, count) for name, values in condition.items()}
    tell(f"drawing {count:,} samples")
    drawn = sampler.sample(count, seed=seed, temperature=temperature, condition=told)
    made = _decoded(sampler, drawn)
    real = [example["strokes"] for example in examples]
    strokes = (example["strokes"] for example in training)
    known = list(itertools.islice(strokes, count))
    found: dict[str, Numbers] = {
        "samples": {
            "count": count,
            "temperature": temperature,
            "seed": seed,
            "ended": np.mean([arrays["ended"] for arrays in drawn]),
            "empty": np.mean([len(drawing) == 0 for drawing in made]),
        },
        "sizes": _sizes(made, real, known),
    }
    tell("comparing drawings")
    made_traces, real_traces, known_traces = (metrics.traces(drawings) for drawings in (made, real, known))
    found["nearest_training"] = _nearest(made_traces, real_traces, itertools.chain(known, strokes), tell)
    found |= _as_sets(made_traces, real_traces, known_traces)
    if sampler.has_latent:
        tell(f"reconstructing {len(real):,} drawings")
        mean, _ = sampler.posterior(encoded)
        again = sampler.sample(len(mean), seed=seed, temperature=temperature, z=mean, condition=condition)
        labels = condition.get("label", np.zeros(len(mean), int))
        found["reconstructions"] = _own_or_another(real_traces, metrics.traces(_decoded(sampler, again)), labels)
    return found


def _decoded(sampler: Sampler, drawn: list[dict[str, NDArray]]) -> list[NDArray]:
    made = [sampler.codec.decode(arrays) for arrays in drawn]
    if not all(np.isfinite(drawing).all() for drawing in made):
        raise UserError(
            f"{sampler.workdir}: the model of step {sampler.step} draws offsets that are no finite numbers: it has "
            "diverged; another --checkpoint may not have, and --samples=0 leaves samples out"
        )
    return made


def _sizes(made: list[NDArray], real: list[NDArray], known: list[NDArray]) -> dict[str, Numbers]:
    of_made, of_real, of_known = (metrics.sizes(drawings) for drawings in (made, real, known))
    return {
        name: {
            "samples": _spread(of_made[name]),
            "split": _spread(values),
            "wasserstein": metrics.wasserstein(of_made[name], values),
            "wasserstein_training": metrics.wasserstein(of_known[name], values) if known else None,
        }
        for name, values in of_real.items()
    }


def _nearest(made: Traces, real: Traces, training: Iterable[NDArray], tell: Callable[[str], None]) -> Numbers:
    compared = 0

    def counted() -> Iterable[NDArray]:
        nonlocal compared
        for drawing in training:
            compared += 1
            if compared % 10_000 == 0:
                tell(f"{compared:,} training drawings compared")
            yield drawing

    both = Traces(np.concatenate([made.ink, real.ink]), np.concatenate([made.away, real.away]))
    distance, _ = metrics.nearest(both, counted())
    of_made, of_real = distance[: len(made)], distance[len(made) :]
    if not compared:
        return {"compared": 0}
    within = float(np.quantile(of_real, 0.01))
    return {
        "compared": compared,
        "samples": _spread(of_made),
        "split": _spread(of_real),
        "nearer_than_split": metrics.chance_below(of_made, of_real),
        "copies": {"samples": np.mean(of_made <= COPY), "split": np.mean(of_real <= COPY)},
        "near_copies_within": within,
        "near_copies": {"samples": np.mean(of_made <= within), "split": np.mean(of_real <= within)},
    }


def _as_sets(made: Traces, real: Traces, known: Traces) -> dict[str, Numbers]:
    within = {"samples": made, "split": real, "training": known}
    distance = {name: metrics.distances(some, some) for name, some in within.items()}
    each = min(map(len, (made, real, known)))
    among_real = distance["split"][:each, :each]
    values: Numbers = {"neighbours": NEIGHBOURS, "of_each": each}
    for ending, name in (("", "samples"), ("_training", "training")):
        between = metrics.distances(real[:each], within[name][:each])
        found = metrics.precision_recall(among_real, distance[name][:each, :each], between, NEIGHBOURS)
        values[f"precision{ending}"], values[f"recall{ending}"] = found
    return {
        "diversity": {name: metrics.mean_of_pairs(pairs) for name, pairs in distance.items()},
        "precision_recall": values,
    }


def _own_or_another(real: Traces, again: Traces, labels: NDArray) -> Numbers:
    """Of drawings and their reconstructions; another's is the next one's of the same label."""
    other = np.arange(len(real))
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        other[rows] = np.roll(rows, -1)
    apart = other != np.arange(len(real))
    own = metrics.paired_distances(real, again)
    foreign = metrics.paired_distances(real, again[other])[apart]
    nearer = np.mean((own[apart] < foreign) + 0.5 * (own[apart] == foreign)) if apart.any() else None
    another = foreign.mean() if apart.any() else None
    return {"count": len(real), "own": own.mean(), "another": another, "own_is_nearer": nearer}


def _spread(values: NDArray) -> dict[str, float]:
    """Mean and quantiles."""
    shares = (0.05, 0.25, 0.5, 0.75, 0.95)
    found = {
        f"p{share * 100:g}": float(value) for share, value in zip(shares, np.quantile(values, shares), strict=True)
    }
    return {"mean": float(np.mean(values, dtype=np.float64)), **found}
