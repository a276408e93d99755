"""Attributes of slices, measured in their events, and the directions of the latent space in which they change.

After Roberts et al. 2018, whose code for it was never published: slices are ordered by an attribute, and its vector is
the mean z of the top quartile less that of the bottom one; it is added to z and subtracted, and the attributes of what
is decoded are measured. Here notes count where they begin, and a slice in which none does has 0 everywhere.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magenta_lite.errors import Rejected, UserError
from magenta_lite.models.music_vae.codec import Codec
from magenta_lite.music import drums, melodies

Arrays = dict[str, NDArray]

MAJOR = (0, 2, 4, 5, 7, 9, 11)
"""Semitones of a major scale above its tonic: on C, the white keys."""


def note_density(onsets: NDArray[np.bool_]) -> float:
    """Notes a step: their number over that of sixteenths. Melodies: 0 to 1; drums: of all together, up to 9 or 61.

    onsets: bool [T, K], where each of K voices begins a note; of a melody [T, 1]. So below.
    """
    return float(onsets.sum() / len(onsets))


def sixteenth_syncopation(onsets: NDArray[np.bool_], steps_per_bar: int) -> float:
    """The share of notes, 0 to 1, that begin between two eighths, and none of their voice on the eighth before."""
    return _syncopation(onsets, steps_per_bar, unit=1)


def eighth_syncopation(onsets: NDArray[np.bool_], steps_per_bar: int) -> float:
    """The share of notes, 0 to 1, that begin halfway between two quarters, and none of their voice on the one before.

    A sixteenth before makes no difference, as in the paper.
    """
    return _syncopation(onsets, steps_per_bar, unit=2)


def average_interval(events: NDArray[np.integer]) -> float:
    """Mean semitones, up or down, from a melody's note to the next; 0 of fewer than two."""
    steps = np.abs(np.diff(_pitches(events)))
    return float(steps.mean()) if len(steps) else 0.0


def c_diatonic(events: NDArray[np.integer]) -> float:
    """The share of a melody's notes, 0 to 1, that are white keys."""
    pitches = _pitches(events)
    return float(np.isin(pitches % 12, MAJOR).mean()) if len(pitches) else 0.0


def best_diatonic(events: NDArray[np.integer]) -> float:
    """The share of a melody's notes, 0 to 1, in the major scale that has most of them: it does not ask for a key."""
    pitches = _pitches(events)
    if not len(pitches):
        return 0.0
    return float(max(np.isin((pitches - key) % 12, MAJOR).mean() for key in range(12)))


def measures(codec: Codec) -> dict[str, Callable[[Arrays], float]]:
    """The attributes of what a codec makes, by name; each of an encoded or sampled slice.

    Melodies: note_density, average_interval, sixteenth_syncopation, eighth_syncopation, c_diatonic, best_diatonic;
    drums and grooves: note_density and the two syncopations, of all drums together; trios: those of the melody, and
    bass_density and drum_density.
    """
    bar = codec.steps_per_bar
    measured: dict[str, Callable[[Arrays], float]] = {
        "note_density": lambda slice_: note_density(_onsets(codec, slice_)),
        "sixteenth_syncopation": lambda slice_: sixteenth_syncopation(_onsets(codec, slice_), bar),
        "eighth_syncopation": lambda slice_: eighth_syncopation(_onsets(codec, slice_), bar),
    }
    if codec.kind in ("melody", "trio"):
        measured["average_interval"] = lambda slice_: average_interval(slice_["tokens"][:, 0])
        measured["c_diatonic"] = lambda slice_: c_diatonic(slice_["tokens"][:, 0])
        measured["best_diatonic"] = lambda slice_: best_diatonic(slice_["tokens"][:, 0])
    if codec.kind == "trio":
        measured["bass_density"] = lambda slice_: note_density(slice_["tokens"][:, 1:2] >= melodies.FIRST_NOTE)
        measured["drum_density"] = lambda slice_: note_density(_struck(slice_["tokens"][:, 2]))
    return measured


def measure(codec: Codec, slices: Sequence[Arrays]) -> dict[str, NDArray[np.float64]]:
    """Each attribute of encoded or sampled slices, [n]."""
    return {name: np.array([function(one) for one in slices]) for name, function in measures(codec).items()}


def training_slices(codec: Codec, passages: Sequence[dict[str, Any]], count: int) -> list[Arrays]:
    """Up to `count` encoded slices of passages, of each as many, at bars evenly spread; they are not transposed."""
    each = -(-count // max(len(passages), 1))
    slices = []
    for passage in passages:
        windows = codec.windows(passage)
        for number in np.unique(np.linspace(0, len(windows) - 1, min(each, len(windows))).astype(int)):
            encoded = codec.encode({**passage, "bar": windows[number]})
            if not isinstance(encoded, Rejected):
                slices.append(encoded)
    kept = np.linspace(0, len(slices) - 1, min(count, len(slices))).astype(int)
    return [slices[number] for number in kept]


def vectors(sampler: Any, training: Sequence[Arrays]) -> dict[str, NDArray[np.float32]]:
    """The vector [Z] of each attribute that differs among encoded slices, by a sampler.Sampler's posterior means.

    Slices that have just as much as the one at a quartile's edge belong to the quartile too, so that it is no matter
    of order. Where most are alike, they are one side, and the others the other.

    Raises:
      UserError: there are fewer than 8 slices.
    """
    if len(training) < 8:
        raise UserError(f"{len(training)} slices to find attribute vectors in: expected at least 8")
    mean, _ = sampler.posterior(list(training))
    found = {}
    for name, values in measure(sampler.codec, training).items():
        ordered, quarter = np.sort(values), len(values) // 4
        low, high = ordered[quarter - 1], ordered[-quarter]
        bottom, top = values <= low, values >= high
        if low == high:
            bottom, top = (values < low, values >= low) if (values < low).any() else (values <= low, values > low)
        if bottom.any() and top.any():
            found[name] = mean[top].mean(axis=0) - mean[bottom].mean(axis=0)
    return found


def effect_table(
    sampler: Any,
    examples: Sequence[Arrays] | None,
    training: Sequence[Arrays],
    *,
    count: int = 256,
    amount: float = 1.0,
    temperature: float = 1.0,
    seed: int = 0,
) -> dict[str, dict[str, float | None]]:
    """What each vector does to each attribute: {vector: {attribute: percent}}, the paper's table of effects.

    Percent by which the mean of the attribute changes as amount x vector is added to z; None where the mean was 0.
    Both are drawn with the same noise. An attribute that does not differ in `training` has no vector.

    Args:
      sampler: a sampler.Sampler of a model with a latent space.
      examples: encoded slices, whose posterior means are changed; None: `count` draws from the prior, as in the paper.
      training: encoded slices that vectors are found in. A model that is told chords or hits gets those of `examples`,
        or of these where there are none.
      temperature: of all that is drawn.
    """
    codec = sampler.codec
    if examples is None:
        # Noise of its own: default_rng([seed, 0]) is that of the generic modes.
        z = np.random.default_rng([seed, 2]).standard_normal((count, sampler.model.latent_size)).astype(np.float32)
        told = [training[number % len(training)] for number in range(count)]
    else:
        z, _ = sampler.posterior(list(examples))
        told = list(examples)
    condition = {name: np.stack([one[name] for one in told]) for name in sampler.conditions}

    def means(z: NDArray) -> dict[str, float]:
        drawn = sampler.sample(len(z), seed=seed, temperature=temperature, z=z, condition=condition)
        return {name: float(values.mean()) for name, values in measure(codec, drawn).items()}

    before = means(z)
    table = {}
    for vector, direction in vectors(sampler, training).items():
        after = means((z + np.float32(amount) * direction[None]).astype(np.float32))
        table[vector] = {
            name: 100 * (after[name] - value) / value if value > 0 else None for name, value in before.items()
        }
    return table


def _onsets(codec: Codec, slice_: Arrays) -> NDArray[np.bool_]:
    """Where notes begin, [T, K]; of a trio, the melody's."""
    if codec.kind in ("melody", "trio"):
        return slice_["tokens"][:, :1] >= melodies.FIRST_NOTE
    if codec.kind == "drums":
        return _struck(slice_["tokens"][:, 0])
    if codec.kind == "drum_roll":
        return slice_["roll"] > 0
    return slice_["groove"][:, : slice_["groove"].shape[1] // 3] > 0.5


def _struck(sets: NDArray[np.integer]) -> NDArray[np.bool_]:
    return (sets[:, None] >> np.arange(len(drums.PITCHES))) & 1 > 0


def _pitches(events: NDArray[np.integer]) -> NDArray[np.int64]:
    return events[events >= melodies.FIRST_NOTE].astype(np.int64) - melodies.FIRST_NOTE + melodies.MIN_PITCH


def _syncopation(onsets: NDArray[np.bool_], steps_per_bar: int, unit: int) -> float:
    """The share of notes at odd multiples of so many steps, counted in each bar, with none a unit earlier."""
    off = np.arange(len(onsets)) % steps_per_bar % (2 * unit) == unit
    before = np.zeros_like(onsets)
    before[unit:] = onsets[:-unit]
    count = onsets.sum()
    return float((onsets & ~before & off[:, None]).sum() / count) if count else 0.0
