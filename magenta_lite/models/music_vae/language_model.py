"""A language model of n-grams: what a sequence costs by the training data alone, whichever network made it."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

ORDER = 5
"""Of n-grams: four symbols are known of what was before."""


@dataclasses.dataclass(frozen=True, eq=False)
class LanguageModel:
    """5-grams with Witten and Bell's interpolation (1991): p_n(w | c) = (count(c w) + kinds(c) p_n-1(w | c')) /
    (count(c) + kinds(c)), where c' is the context without its oldest symbol, kinds(c) how many different symbols
    follow c, and p_0 = 1 / (V + 1). Contexts that never occurred are skipped. Sequences begin from nothing.

    symbols: the V that occur, sorted; all others are one more. tables: by length of context, (keys of contexts, their
    counts, their kinds, keys of n-grams, their counts), each sorted by key.
    """

    symbols: NDArray[np.int64]
    tables: tuple[tuple[NDArray, NDArray, NDArray, NDArray, NDArray], ...]

    @classmethod
    def fit(cls, sequences: NDArray[np.integer]) -> "LanguageModel":
        """Of sequences [N, T] of numbers of any size, N >= 1."""
        symbols = np.unique(sequences).astype(np.int64)
        tables = []
        for contexts, ngrams in _keys(np.searchsorted(symbols, sequences), len(symbols)):
            found, first, counts = np.unique(ngrams, return_index=True, return_counts=True)
            before, of = np.unique(contexts.ravel()[first], return_inverse=True)
            total = np.bincount(of, weights=counts)
            tables.append((before, total, np.bincount(of).astype(np.float64), found, counts.astype(np.float64)))
        return cls(symbols, tuple(tables))

    def nats(self, sequences: NDArray[np.integer]) -> NDArray[np.float64]:
        """-ln p of each symbol of sequences [N, T]: [N, T]."""
        place = np.minimum(np.searchsorted(self.symbols, sequences), len(self.symbols) - 1)
        numbers = np.where(self.symbols[place] == sequences, place, len(self.symbols))
        p = np.full(numbers.shape, 1 / (len(self.symbols) + 1))
        for (contexts, ngrams), (before, total, kinds, found, counts) in zip(
            _keys(numbers, len(self.symbols)), self.tables, strict=True
        ):
            seen, at = _find(before, contexts)
            occurs, where = _find(found, ngrams)
            count = np.where(occurs, counts[where], 0.0)
            p = np.where(seen, (count + kinds[at] * p) / (total[at] + kinds[at]), p)
        return -np.log(p)


def _keys(numbers: NDArray[np.integer], size: int) -> list[tuple[NDArray[np.uint64], NDArray[np.uint64]]]:
    """For contexts of 0 to ORDER - 1 symbols: 64-bit keys of each place's context and n-gram, [N, T] each.

    Two different ones share a key with a probability of 2 ** -64.
    """
    random = np.random.default_rng(5).integers(0, 2**64, (ORDER, size + 2), np.uint64)
    padded = np.pad(numbers, ((0, 0), (ORDER - 1, 0)), constant_values=size + 1)
    steps = numbers.shape[1]
    found, contexts = [], np.zeros(numbers.shape, np.uint64)
    for length in range(ORDER):
        if length:
            first = ORDER - 1 - length
            contexts = contexts + random[length][padded[:, first : first + steps]]
        found.append((contexts, contexts + random[0][numbers]))
    return found


def _find(keys: NDArray[np.uint64], wanted: NDArray[np.uint64]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which of the wanted are among sorted keys, and their places."""
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return keys[place] == wanted, place
