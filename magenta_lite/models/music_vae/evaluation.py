"""How well slices are told and reconstructed, what z is good for, and what samples and ways between slices are like.

Slices are those windows of a passage that lie side by side from its first bar on, that sound, and of equal ones of a
passage one; nothing is transposed. (The original counts windows that slide by a bar, of each piece at most five at
random. Side by side no bar counts twice, at a half, or for 16 bars a sixteenth, of the cost. Not at all count bars
that are left over at a passage's end, those of silent windows, and those of a window that comes again.) What a melody
holds into a slice is no part of it. The model is told the chords or hits of the slice, where it was trained with them,
and z is drawn from the posterior, once, as in the paper. Steps are sixteenth notes.

likelihood
  teacher_forced             each step is told after those before it, as they are
  sampled_inputs             each step is told after those before it as the model drew them at T = 1: what the original
                             tells as its accuracy, of configs with scheduled sampling; of others it is the teacher-
                             forced one. Its hierarchical decoders read at the first step of a bar the true event before
                             it, and so do ours here
  sampled                    the slice is decoded from z at T = 1, each step after those drawn (the paper's "sampling")
  argmax                     the same at T = 0, always the likeliest
  z_swapped_teacher_forced, z_swapped_sampled
                             told and decoded with the z of another slice: all are paired at random, with one of another
                             passage, where none has more than half of them. As good as with its own z, and z says
                             nothing (posterior collapse)
  z_zero_teacher_forced, z_zero_sampled
                             with z = 0, the prior's mean
  latent                     z itself
likelihood.*: sums over slices, but for those that say otherwise
  slices, passages           how many slices, and of how many passages; passages without a slice are left out
  reconstruction_nats        -ln p of all steps and streams of a slice, its mean; 0 and up, lower is better
  nats_STREAM                of one stream (trio); of a groove nats_hits, nats_velocities, nats_offsets: its cross-
                             entropy, and the squared errors that stand beside nats in its loss
  KL_nats, KL_bits           of the posterior from N(0, 1), of a slice; 0 and up
  loss                       reconstruction_nats + beta * max(KL_nats - free bits, 0), with the final beta
  elbo_nats                  reconstruction_nats + KL_nats: no less than -ln p(slice), so lower is better. Models are
                             compared by it, whatever beta they were trained with. elbo_nats_per_step: the same sum over
                             steps. Of a groove, neither is a likelihood
  accuracy                   share of events, 0 to 1, that are right: steps of each stream (drum rolls: all drums of a
                             step at once; grooves: each drum of a step hit or not). accuracy_STREAM: of one stream
  accuracy_sounding          the same of steps at which a note begins or a drum is hit; at most others nothing happens,
                             which is easily told (not of grooves, see f1_hits)
  f1_hits                    grooves: 2 * hits in both / (hits of the one + of the other), 0 to 1; most drums rest
  velocity_error             grooves: mean absolute error where there is a hit (teacher-forced, sampled_inputs) or where
                             both have one (decoded), in MIDI's units, 0 to 127
  offset_error_ms            the same of when they are hit, in ms at 120 quarters a minute, 0 to 125
  active_units               of latent_size dimensions those whose posterior mean varies over the slices by more than
                             0.01 (variance; Burda et al. 2016)
standard_error: of the numbers of the same names. Passages are the units: sqrt(P / (P - 1) * sum over passages of
                             (total - value * weight)^2) / sum of weights; the slices of one are not independent

Samples are drawn from the prior at one temperature; a model that is told chords or hits is told what slices of the
split have. They are held against as many slices of the split, at random, and of the training data ("training":
what a model would get that plays exactly like its data, and so the noise of the measurement).

samples
  count, temperature, seed   as asked for
  slices, training_slices    how many of the split and of the training data they are held against
  empty                      share in which nothing sounds, 0 to 1; no real slice is
features: of the notes of each slice at 120 quarters a minute; FEATURES, below, says what they are
  samples, split, training   mean, and deviation (standard, from slice to slice)
  samples, training          oa, kld: agreement with the split; AGREEMENT, below, says how
repetition: of samples, split, training, 0 to 1
  repeated_bars              share of bars, but the first, that are the same as an earlier one of the slice, of those
                             that sound
  similarity                 share of events that are the same in a bar and in the one before it, both sounding
  distinct                   share of slices that are left where of equal ones one is kept
copied: two bars (one, of slices of one) that sound and are the same as two bars of a training passage, from bar line to
                             bar line, in any key; grooves by their hits alone
  training_windows           how many different ones the training data has
  samples, split             share of theirs that are among them, 0 to 1. A model that copies is above the split
interpolation: from one slice of the split to another, in 11 points t = 0, 0.1, ... 1; after section 5.3 of the paper
  pairs                      how many ways, of slices at random
  t                          the points; the lists below go with them
  latent                     decoded at T = 0 from the spherical way between the posterior means, told what the nearer
                             end has
  data                       each step of the one or, with probability t, of the other end: mixed in data space
  hamming_first, hamming_second
                             share of events, 0 to 1, in which they differ from either end
  hamming_step               the same between neighbours on the way, 10 numbers
  language_model_nats        a step's cost by 5-grams (LANGUAGE MODEL, below) of training slices, which know nothing of
                             the network; of a trio the sum of its streams
  language_model_relative    mean cost over the mean of the ends' own, (1 - t) first + t second; 1 is as likely as real
                             slices
  elbo_nats_per_step         by the network itself; of a groove there is none
  rise                       mean cost at t = 0.1 to 0.9 less that at t = 0 and 1, of both costs in nats a step: what is
                             decoded at T = 0 is likelier than real slices, at its ends too
  excess                     cost of data less that of latent at t = 0.1 to 0.9: above 0 where mixing is worse
attributes: {vector: {attribute: percent}}; ATTRIBUTES, below, says how. Rows are vectors, from training slices, added
                             to draws from the prior; off the diagonal is what else they change
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magenta_lite.models.music_vae import attributes, interpolation, repetition, scoring
from magenta_lite.models.music_vae.language_model import LanguageModel
from magenta_lite.music import metrics
from magenta_lite.sampler import Sampler

DEFINITIONS = (
    ("FEATURES", metrics.features),
    ("AGREEMENT: OA, KLD", metrics.compare),
    ("LANGUAGE MODEL", LanguageModel),
    ("ATTRIBUTES", attributes),
    ("ATTRIBUTES: OF WHICH SLICES", attributes.measures),
    *(
        (f"ATTRIBUTES: {function.__name__.upper()}", function)
        for function in (
            attributes.note_density,
            attributes.sixteenth_syncopation,
            attributes.eighth_syncopation,
            attributes.average_interval,
            attributes.c_diatonic,
            attributes.best_diatonic,
        )
    ),
    ("ATTRIBUTES: THE VECTORS", attributes.vectors),
    ("ATTRIBUTES: THEIR EFFECT", attributes.effect_table),
)
"""What defines the numbers of these groups, in its docstring."""

SAMPLES = 512
"""Drawn where nothing is asked for."""

PAIRS = 128
"""Ways between slices, at most; the paper took 1024."""

TRAINING = 20_000
"""Training slices that are kept, for the language model and, fewer of them, for the rest."""

ATTRIBUTED = 2048
"""Training slices that attribute vectors are found in."""

ACTIVE = 0.01
"""Variance above which a dimension of the posterior's mean is active."""

GROUPS = (
    "teacher_forced",
    "sampled_inputs",
    "sampled",
    "argmax",
    *(f"z_{what}_{how}" for what in ("swapped", "zero") for how in ("teacher_forced", "sampled")),
)

FEATURES = {
    "melody": ("pitch_count", "pitch_range", "pitch_interval", "pitch_class_entropy"),
    "trio": ("polyphony", "pitch_count", "pitch_range", "pitch_class_entropy"),
    "groove": ("polyphony", "velocity", "velocity_deviation"),
}
"""Of each kind, besides those of all."""

Example = dict[str, Any]
Arrays = dict[str, NDArray]
Numbers = dict[str, Any]
Tell = Callable[[str], None]


def likelihood(sampler: Sampler, examples: Iterable[Example], *, seed: int, tell: Tell) -> dict[str, Numbers]:
    """The first group that this module's docstring defines; a ratio as its totals and weights, by passage [P]."""
    passages = list(examples)
    began = time.monotonic()
    tell(f"scoring the slices of {len(passages):,} passages")
    sums = scoring.score(sampler.model, passages, seed=seed, tell=tell)
    tell(f"{sums.slices.sum():,} slices in {time.monotonic() - began:,.1f} s")
    found: dict[str, Numbers] = {
        group: {name: numbers[name] for name in sorted(numbers, key=_place)} for group, numbers in sums.groups.items()
    }
    counts = {"slices": int(sums.slices.sum()), "passages": int((sums.slices > 0).sum())}
    found["teacher_forced"] = counts | found["teacher_forced"]
    latent = {"active_units": int((sums.variance > ACTIVE).sum()), "latent_size": len(sums.variance)}
    return {group: found[group] for group in GROUPS} | {"latent": latent}


def samples(
    sampler: Sampler,
    examples: list[Example],
    training: Iterable[Example],
    *,
    count: int,
    temperature: float,
    seed: int,
    tell: Tell,
) -> dict[str, Numbers]:
    """Draws `count` samples and gives the other groups that this module's docstring defines.

    Args:
      examples: passages of the split that is evaluated, at least one, in random order.
      training: all that the model was trained on but `examples`, in random order.
    """
    codec, clock, rng = sampler.codec, _Clock(tell), np.random.default_rng([seed, 7])
    split = _slices(codec, examples)
    split = [split[place] for place in rng.permutation(len(split))]
    known: list[Arrays] = []
    windows: set[bytes] = set()
    for example in training:
        windows.update(repetition.windows(codec, repetition.of_passage(codec, example)))
        if len(known) < TRAINING:
            known += _slices(codec, [example])
    clock.tell(f"{len(windows):,} different windows of training passages read")
    known = [known[place] for place in rng.permutation(len(known))[:TRAINING]]
    told = {name: np.stack([split[i % len(split)][name] for i in range(count)]) for name in sampler.conditions}
    drawn = sampler.sample(count, seed=seed, temperature=temperature, condition=told)
    clock.tell(f"{count:,} samples drawn")
    sets = {"samples": drawn, "split": split[:count], "training": known[:count]}
    symbols = {name: [interpolation.symbols(codec, one) for one in slices] for name, slices in sets.items()}
    found: dict[str, Numbers] = {
        "samples": {
            "count": count,
            "temperature": temperature,
            "seed": seed,
            "slices": len(sets["split"]),
            "training_slices": len(sets["training"]),
            "empty": np.mean([not repetition.sounds(codec, one) for one in symbols["samples"]]),
        },
        "features": _features(codec, sets),
        "repetition": {
            name: {**repetition.within(codec, some), "distinct": repetition.distinct(some)}
            for name, some in symbols.items()
        },
        "copied": {
            "training_windows": len(windows),
            **{name: repetition.copied(codec, symbols[name], windows) for name in ("samples", "split")},
        },
    }
    clock.tell("samples compared")
    if len(split) > 1:
        found["interpolation"] = _interpolation(sampler, split, known, pairs=min(count, PAIRS), seed=seed)
        clock.tell("ways between slices measured")
    if len(known) >= 8:
        found["attributes"] = attributes.effect_table(sampler, None, known[:ATTRIBUTED], count=count, seed=seed)
        clock.tell("attribute vectors measured")
    return found


class _Clock:
    """Tells what is done, and how long it took."""

    def __init__(self, tell: Tell):
        self._tell, self._last = tell, time.monotonic()

    def tell(self, line: str) -> None:
        now = time.monotonic()
        self._tell(f"{line} in {now - self._last:.1f} s")
        self._last = now


def _place(name: str) -> tuple[int, str]:
    """The order in which numbers of a group are told."""
    order = ("loss", "elbo_nats", "elbo_nats_per_step", "reconstruction_nats", "KL_nats", "KL_bits", "accuracy")
    return (order.index(name) if name in order else len(order), name)


def _slices(codec: Any, passages: Sequence[Example]) -> list[Arrays]:
    return [scoring.encoded(codec, one, bar) for one in passages for bar in scoring.apart(codec, one)]


def _features(codec: Any, sets: dict[str, list[Arrays]]) -> Numbers:
    names = ("note_density", "note_count", "note_length", "inter_onset", *FEATURES.get(codec.kind, ("polyphony",)))
    made = {}
    for group, slices in sets.items():
        features = [metrics.features(codec.decode(one)) for one in slices]
        made[group] = [{name: one[name] for name in names} for one in features]
    agreement = {group: metrics.compare(made[group], made["split"]) for group in ("samples", "training")}
    found: Numbers = {name: {} for name in names}
    for name in names:
        for group, some in made.items():
            values = np.array([one[name] for one in some])
            spread = {"mean": values.mean(), "deviation": values.std()} if len(some) else {}
            agreed = agreement.get(group, {}).get(name, {})
            found[name][group] = spread | {key: agreed[key] for key in ("oa", "kld") if key in agreed}
    return found


def _interpolation(sampler: Sampler, split: list[Arrays], known: list[Arrays], *, pairs: int, seed: int) -> Numbers:
    """Ways between slices of the split, as the docstring has them."""
    codec, points = sampler.codec, interpolation.POINTS
    rng = np.random.default_rng([seed, 8])
    ends = [rng.choice(len(split), 2, replace=False) for _ in range(pairs)]
    used = np.unique(ends)
    means = dict(zip(used.tolist(), sampler.posterior([split[i] for i in used])[0], strict=True))
    uniform = rng.random((pairs, codec.steps))
    z = np.concatenate([interpolation.spherical(means[a], means[b]) for a, b in ends])
    told, mixes = [], []
    for (a, b), noise in zip(ends, uniform, strict=True):
        for t in points:
            told.append(interpolation.nearer(split[a], split[b], t, sampler.conditions))
            mixes.append(interpolation.mixed(split[a], split[b], t, noise) | told[-1])
    condition = {name: np.stack([one[name] for one in told]) for name in sampler.conditions}
    drawn = sampler.sample(len(z), seed=seed, temperature=0.0, z=z, condition=condition)
    given = [{**one, **asked} for one, asked in zip(drawn, told, strict=True)]

    def numbers(slices: list[Arrays]) -> NDArray[np.int64]:
        return np.stack([interpolation.symbols(codec, one) for one in slices])

    shape = (pairs, len(points), codec.steps, -1)
    real = numbers([split[i] for i in np.ravel(ends)]).reshape(pairs, 2, codec.steps, -1)
    training = numbers(known) if known else None
    models = [] if training is None else [LanguageModel.fit(training[..., i]) for i in range(training.shape[-1])]
    found: Numbers = {"pairs": pairs, "t": points.tolist()}
    costs: dict[str, Numbers] = {}
    for name, slices in (("latent", given), ("data", mixes)):
        path = numbers(slices).reshape(shape)
        found[name] = interpolation.ways(path, real)
        costs[name] = {}
        if models:
            nats = interpolation.cost(models, path)
            costs[name]["language_model_nats"] = nats.mean(axis=0)
            found[name]["language_model_relative"] = interpolation.relative(nats, interpolation.cost(models, real))
        if codec.kind != "groove":
            kept = [{key: one[key] for key in split[0]} for one in slices]
            elbo = scoring.elbo(sampler.model, kept, seed=seed).reshape(pairs, -1) / codec.steps
            costs[name]["elbo_nats_per_step"] = elbo.mean(axis=0)
        found[name] |= {key: values.tolist() for key, values in costs[name].items()}
        found[name]["rise"] = {key: one[1:-1].mean() - one[[0, -1]].mean() for key, one in costs[name].items()}
    found["excess"] = {key: (costs["data"][key] - costs["latent"][key])[1:-1].mean() for key in costs["data"]}
    return found
