"""What a piece is like in numbers, how far two sets of pieces agree, and how much of one is copied from another.

All of it is read from the notes as they are written; a note held by the pedal alone counts up to its end. What concerns
pitch leaves drums out, what concerns time and velocity takes all notes. A piece without the notes that a number needs
has 0 there, or a histogram of zeros: every piece has the same features in the same shapes.

Sources. [YL] Yang and Lerch 2020, "On the evaluation of generative models in music", Neural Computing and Applications
32, and its toolbox mgeval. [WY] Wu and Yang 2020, "The Jazz Transformer on the front line", ISMIR, section 5.1. [MG]
Dong et al. 2018, "MuseGAN", AAAI, and MusPy (Dong et al. 2020). What has no source is a plain count.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from magenta_lite.music.notes import PITCHES, Notes

WINDOW = 4.0
"""Seconds of a window of pitch_class_entropy_4s."""

INTER_ONSET_EDGES = np.append(np.arange(41) * 0.05, np.inf)
"""Seconds: 40 bins of 50 ms up to 2 s, and one of what is longer."""

DURATION_EDGES = np.concatenate([[0.0], 0.01 * 10 ** (np.arange(1, 24) / 8), [np.inf]])
"""Seconds: 24 bins, 8 to a decade from 10 ms to 10 s; the first and the last take what is shorter and longer."""

VELOCITY_EDGES = np.arange(0, 129, 4)
"""32 bins of 4."""

_GRID = 1000  # points at which each of two densities is evaluated, as mgeval does for its divergence
_FINE = 32  # values closer than a kernel's width over this are taken together


def features(notes: Notes) -> dict[str, NDArray[np.float64]]:
    """The numbers of one piece, float64: [] for a scalar, [n] or [12, 12] for a histogram, whose sum is 1.

    note_density: notes a second, between the first start and the last end. 0 and up.
    note_count: notes. [YL]
    polyphony: how many notes sound at once, on average over the time in which any does. 1 and up, or 0. [MG]
    note_length: mean seconds from start to end.
    velocity: mean, 1 to 127. velocity_deviation: standard deviation, 0 to 63.
    inter_onset: mean seconds from a note's start to the next one's in time, 0 within chords. [YL]
    pitch_count: different pitches, 0 to 128. [YL]
    pitch_range: semitones from the lowest to the highest pitch, 0 to 127. [YL]
    pitch_interval: mean semitones, up or down, from a note to the next in the order of (start, pitch), 0 to 127. [YL]
    pitch_class_entropy: bits, of the pitch class histogram, 0 to log2(12) = 3.58. [WY, MG]
    pitch_class_entropy_4s: the same of each window of 4 s, from the first start on, in which notes start; the mean of
      them. The window stands for a bar, which performances do not have. [WY]
    pitch_histogram [128], pitch_class_histogram [12]: shares of notes, however long. [YL weights with their length.]
    pitch_class_transitions [12, 12]: shares of the steps from a note's class (row) to the class of the next in the
      order of (start, pitch). [YL takes only pairs of which the one ends within 50 ms of the other's start.]
    inter_onset_histogram [41], duration_histogram [24], velocity_histogram [32]: shares; see the module's edges.
    """
    pitched = notes.select(~notes.is_drum)
    counts = histograms(notes)
    pitch = pitched.pitch.astype(np.int64)
    classes = counts["pitch"][: PITCHES // 12 * 12].reshape(-1, 12).sum(axis=0)
    classes += np.append(counts["pitch"][PITCHES // 12 * 12 :], np.zeros(12 - PITCHES % 12))
    steps = np.zeros((12, 12))
    np.add.at(steps, (pitch[:-1] % 12, pitch[1:] % 12), 1)
    span = notes.duration - float(notes.start.min(initial=notes.duration))
    velocity = notes.velocity.astype(np.float64)
    scalars: dict[str, float] = {
        "note_density": len(notes) / span if span > 0 else 0.0,
        "note_count": len(notes),
        "polyphony": polyphony(notes),
        "note_length": _mean(notes.end - notes.start),
        "velocity": _mean(velocity),
        "velocity_deviation": float(velocity.std()) if len(velocity) else 0.0,
        "inter_onset": _mean(np.diff(notes.start)),
        "pitch_count": float(np.count_nonzero(counts["pitch"])),
        "pitch_range": int(np.ptp(pitch)) if len(pitch) else 0,
        "pitch_interval": _mean(np.abs(np.diff(pitch))),
        "pitch_class_entropy": entropy(classes),
        "pitch_class_entropy_4s": _windowed_entropy(pitched),
    }
    vectors = {
        "pitch_histogram": counts["pitch"],
        "pitch_class_histogram": classes,
        "pitch_class_transitions": steps,
        "inter_onset_histogram": counts["inter_onset"],
        "duration_histogram": counts["duration"],
        "velocity_histogram": counts["velocity"],
    }
    found = {name: np.float64(value) * np.ones(()) for name, value in scalars.items()}
    return found | {name: _shares(vector) for name, vector in vectors.items()}


def histograms(notes: Notes) -> dict[str, NDArray[np.float64]]:
    """Counts, not shares, so that those of many pieces may be added: inter_onset [41], duration [24], velocity [32],
    pitch [128]; drums are left out of pitch."""
    return {
        "inter_onset": np.histogram(np.diff(notes.start), INTER_ONSET_EDGES)[0].astype(np.float64),
        "duration": np.histogram(notes.end - notes.start, DURATION_EDGES)[0].astype(np.float64),
        "velocity": np.histogram(notes.velocity, VELOCITY_EDGES)[0].astype(np.float64),
        "pitch": np.bincount(notes.pitch[~notes.is_drum], minlength=PITCHES).astype(np.float64),
    }


def pooled(pieces: Iterable[Notes]) -> dict[str, NDArray[np.float64]]:
    """The histograms of all notes of a set: each note counts the same, whichever piece it is of."""
    sizes = {
        "inter_onset": len(INTER_ONSET_EDGES) - 1,
        "duration": len(DURATION_EDGES) - 1,
        "velocity": 32,
        "pitch": 128,
    }
    total = {name: np.zeros(size) for name, size in sizes.items()}
    for piece in pieces:
        for name, counts in histograms(piece).items():
            total[name] += counts
    return total


def overlap(some: ArrayLike, others: ArrayLike) -> float | None:
    """The overlap of two histograms of any sums: the sum of the lesser shares, 0 (nothing in common) to 1 (the same).

    None where one is empty.
    """
    a, b = np.asarray(some, np.float64), np.asarray(others, np.float64)
    if a.shape != b.shape:
        raise ValueError(f"histograms have the shapes {a.shape} and {b.shape}")
    return float(np.minimum(a / a.sum(), b / b.sum()).sum()) if a.sum() > 0 and b.sum() > 0 else None


def entropy(counts: ArrayLike) -> float:
    """Shannon's entropy of a histogram, in bits; 0 for an empty one."""
    shares = _shares(np.asarray(counts, np.float64))
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum()) + 0.0


def polyphony(notes: Notes) -> float:
    """How many notes sound at once, on average over the time in which any does; 0 if none does."""
    if not len(notes):
        return 0.0
    reached = np.maximum.accumulate(notes.end)
    before = np.append(notes.start[0], reached[:-1])
    sounding = (reached - np.maximum(before, notes.start)).clip(min=0).sum()
    return float((notes.end - notes.start).sum() / sounding) if sounding > 0 else 0.0


def compare(
    generated: Sequence[Mapping[str, NDArray]], real: Sequence[Mapping[str, NDArray]]
) -> dict[str, dict[str, float | None]]:
    """How far generated pieces agree with real ones in each feature, after Yang and Lerch 2020, section 4.3.

    Of each feature that all pieces have, Euclidean distances are taken between every two different real pieces (intra),
    and between every generated and every real one (inter). Both become densities by Gaussian kernels of Scott's width.

    oa: the overlapping area, the integral of the lesser density from the least to the greatest of all distances.
      0 to 1, 1 is best. Kernels reach beyond these ends, so that even equal sets have some hundredths less than 1.
    kld: the Kullback-Leibler divergence of the two, intra log(intra / inter), over the same range, both scaled to 1
      within it; nats, 0 is best. None if infinite: inter is nothing where intra is something.
    kld_mgeval: the same as the authors' toolbox computes it: over 1000 points of each density's own range, as if they
      were the same points. For comparison with published numbers alone: it says little where the ranges differ.
    intra_real_mean, intra_generated_mean, inter_mean: means of the distances, in the feature's unit.

    Distances that are all the same have no density: oa is 1 and kld 0 if intra and inter are the same distance, else 0
    and None. All are None where a set has fewer than two pieces, but inter_mean, which needs one of each.
    """
    names = [name for name in (real or generated or [{}])[0] if all(name in piece for piece in (*generated, *real))]
    found = {}
    for name in names:
        made, true = _table(generated, name), _table(real, name)
        within, inter = _within(true), _between(made, true).ravel()
        numbers: dict[str, float | None] = {"oa": None, "kld": None, "kld_mgeval": None}
        if len(within) and len(made) > 1:
            numbers = agreement(within, inter)
        found[name] = numbers | {
            "intra_real_mean": _mean_or_none(within),
            "intra_generated_mean": _mean_or_none(_within(made)),
            "inter_mean": _mean_or_none(inter),
        }
    return found


def agreement(intra: NDArray, inter: NDArray) -> dict[str, float | None]:
    """oa, kld and kld_mgeval of two sets of distances, as compare defines them; neither is empty."""
    flat = [np.ptp(values) <= 1e-12 * max(np.abs(values).max(), 1e-300) for values in (intra, inter)]
    if any(flat):
        same = all(flat) and math.isclose(intra[0], inter[0], rel_tol=1e-9)
        return {"oa": 1.0, "kld": 0.0, "kld_mgeval": 0.0} if same else {"oa": 0.0, "kld": None, "kld_mgeval": None}
    own = [np.linspace(values.min(), values.max(), _GRID) for values in (intra, inter)]
    grid = np.unique(np.concatenate(own))
    p, q = density(intra, grid), density(inter, grid)
    area = float(np.trapezoid(np.minimum(p, q), grid))
    p_own, q_own = p[np.searchsorted(grid, own[0])], q[np.searchsorted(grid, own[1])]
    p, q = p / np.trapezoid(p, grid), q / np.trapezoid(q, grid)
    divergence = _finite(np.trapezoid(_relative(p, q), grid))
    released = _finite(_relative(p_own / p_own.sum(), q_own / q_own.sum()).sum())
    return {"oa": area, "kld": divergence, "kld_mgeval": released}


def density(values: NDArray, at: NDArray) -> NDArray[np.float64]:
    """The density of some values [n] at points [m], by Gaussian kernels of the width std * n ** (-1/5), Scott's rule.

    As scipy.stats.gaussian_kde has it. Values that lie within a small part of the width are taken together, so that
    millions take seconds: the density is then off by less than 1 in 1,000.
    """
    values = np.asarray(values, np.float64)
    width = float(values.std(ddof=1)) * len(values) ** -0.2
    place, counts = np.unique(np.floor((values - values.min()) / (width / _FINE)), return_inverse=True)
    weights = np.bincount(counts)
    centres = np.bincount(counts, weights=values) / weights
    result = np.zeros(len(at))
    together = max(1, 4_000_000 // len(at))
    for start in range(0, len(place), together):
        part = slice(start, start + together)
        away = (at[:, None] - centres[None, part]) / width
        result += np.exp(-0.5 * away**2) @ weights[part]
    return result / (len(values) * width * math.sqrt(2 * math.pi))


@dataclasses.dataclass(frozen=True, eq=False)
class NgramIndex:
    """All n-grams of a corpus of event sequences, as sorted 64-bit hashes [m]; 8 bytes for each event.

    Two different n-grams share a hash with a probability of about 2 ** -64: against a corpus of 20 million, one n-gram
    in 10 ** 12 seems copied and is not.
    """

    n: int
    hashes: NDArray[np.uint64]

    @classmethod
    def build(cls, corpus: Iterable[NDArray[np.integer]], n: int) -> "NgramIndex":
        """The n-grams of sequences of numbers [T], 0 to 65535; none goes over from one sequence to the next."""
        parts = [np.zeros(0, np.uint64), *(ngram_hashes(tokens, n) for tokens in corpus)]
        hashes = np.concatenate(parts)
        del parts
        hashes.sort()
        return cls(n, hashes)

    def has(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which hashes [k] occur."""
        if not len(self.hashes):
            return np.zeros(len(hashes), bool)
        place = np.searchsorted(self.hashes, hashes)
        return self.hashes[np.minimum(place, len(self.hashes) - 1)] == hashes


@dataclasses.dataclass(frozen=True, eq=False)
class Copied:
    """What of P pieces occurs in a corpus.

    share: of all n-grams of all pieces those that occur, 0 to 1; None without any. shares: float64 [P], of each piece,
    NaN where it has no n-gram. longest: int64 [P], events in the longest passage of which every n-gram occurs, 0 if
    none does; the longest copy is no longer, and shorter where a passage is put together from several places.
    """

    share: float | None
    shares: NDArray[np.float64]
    longest: NDArray[np.int64]


def ngram_overlap(pieces: Sequence[NDArray[np.integer]], corpus: NgramIndex) -> Copied:
    """How much of event sequences [T], numbers 0 to 65535, is copied from a corpus, in passages of its n events."""
    shares, longest, hits, total = [], [], 0, 0
    for tokens in pieces:
        found = corpus.has(ngram_hashes(tokens, corpus.n))
        edges = np.flatnonzero(np.diff(np.concatenate([[0], found, [0]]).astype(np.int8)))
        runs = edges[1::2] - edges[::2]
        longest.append(int(runs.max()) + corpus.n - 1 if len(runs) else 0)
        shares.append(found.mean() if len(found) else np.nan)
        hits, total = hits + int(found.sum()), total + len(found)
    return Copied(hits / total if total else None, np.array(shares, np.float64), np.array(longest, np.int64))


def ngram_hashes(tokens: NDArray[np.integer], n: int) -> NDArray[np.uint64]:
    """A 64-bit hash of each n-gram, uint64 [max(0, T - n + 1)], from numbers [T], 0 to 65535; n is at least 1."""
    tokens = np.asarray(tokens)
    if n < 1 or tokens.ndim != 1 or (len(tokens) and not 0 <= tokens.min() <= tokens.max() < len(_RANDOM)):
        raise ValueError(f"{n}-grams of {tokens.dtype} {tokens.shape}: expected numbers 0 to 65535 in a row, n >= 1")
    if len(tokens) < n:
        return np.zeros(0, np.uint64)
    # A polynomial in an odd multiplier, of random words for the tokens; that of 2 m in a row is made from two of m.
    single = _RANDOM[tokens]
    multiplier, power = _MULTIPLIER, 1
    total, done = np.zeros(len(tokens) - n + 1, np.uint64), 0
    rest = n
    while True:
        if rest & 1:
            total *= multiplier
            total += single[done : done + len(total)]
            done += power
        rest >>= 1
        if not rest:
            return total
        single = single[:-power] * multiplier + single[power:]
        with np.errstate(over="ignore"):
            multiplier = multiplier * multiplier
        power *= 2


_RANDOM = np.random.default_rng(20_200_000).integers(0, 2**64, 65536, np.uint64)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def _windowed_entropy(notes: Notes) -> float:
    if not len(notes):
        return 0.0
    window = ((notes.start - notes.start[0]) / WINDOW).astype(np.int64)
    windows, rows = np.unique(window, return_inverse=True)
    counts = np.zeros((len(windows), 12))
    np.add.at(counts, (rows, notes.pitch % 12), 1)
    return float(np.mean([entropy(row) for row in counts]))


def _shares(counts: NDArray) -> NDArray[np.float64]:
    total = counts.sum()
    return counts / total if total > 0 else np.zeros(counts.shape)


def _mean(values: NDArray) -> float:
    return float(values.mean()) if len(values) else 0.0


def _mean_or_none(values: NDArray) -> float | None:
    return float(values.mean()) if len(values) else None


def _table(pieces: Sequence[Mapping[str, NDArray]], name: str) -> NDArray[np.float64]:
    """The feature of all pieces [pieces, n]."""
    return np.array([np.ravel(piece[name]) for piece in pieces], np.float64).reshape(len(pieces), -1)


def _between(some: NDArray, others: NDArray) -> NDArray[np.float64]:
    """Euclidean distances [n, m] of rows."""
    return np.array([np.sqrt(((row - others) ** 2).sum(axis=1)) for row in some]).reshape(len(some), len(others))


def _within(rows: NDArray) -> NDArray[np.float64]:
    """Distances of every row to all others, each pair twice, as the toolbox has them: it makes kernels narrower."""
    return _between(rows, rows)[~np.eye(len(rows), dtype=bool)]


def _relative(p: NDArray, q: NDArray) -> NDArray[np.float64]:
    """p log(p / q), 0 where p is 0, infinite where only q is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(p > 0, p * (np.log(p) - np.log(q)), 0.0)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
