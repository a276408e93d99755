"""What modes show, made with a model: new slices, reconstructions, ways between slices, and performances of beats."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magenta_lite.models.music_vae import files, starting
from magenta_lite.models.music_vae.starting import Arrays, Beat, Found
from magenta_lite.music import grooves
from magenta_lite.music.notes import Notes
from magenta_lite.nn.latent import lerp, slerp
from magenta_lite.sheet import Item

WAYS = {"slerp": slerp, "lerp": lerp}


@dataclasses.dataclass(frozen=True)
class Maker:
    """A sampler.Sampler, with what all of a sheet has in common.

    qpm: quarter notes a minute. chords: what a model that is told chords is told; None: what examples say.
    """

    sampler: Any
    seed: int = 0
    qpm: float = 120.0
    chords: Sequence[str] | None = None

    def decode(self, arrays: Arrays) -> Notes:
        return self.sampler.codec.decode({**arrays, "qpm": np.asarray(self.qpm)})

    def given(self, encoded: Arrays, caption: str = "given") -> Item:
        words = f"{caption}, {starting.chord_names(encoded['chord'])}" if "chord" in encoded else caption
        return Item(self.decode(encoded), words, sampled=False)

    def sample(
        self, count: int, z: NDArray | None, told: Arrays, temperature: float, together: bool = False
    ) -> list[Arrays]:
        """Slices of z [count, Z], or of the prior; together: all with the same noise, so that z alone changes them."""
        return self.sampler.sample(
            count, seed=self.seed, temperature=temperature, z=z, condition=told, same_noise=together
        )

    def draw(
        self,
        count: int,
        z: NDArray | None,
        told: Arrays,
        temperature: float,
        captions: Sequence[str] = (),
        together: bool = False,
    ) -> list[Item]:
        drawn = self.sample(count, z, told, temperature, together)
        return [Item(self.decode(one), words) for one, words in zip(drawn, captions or [""] * count, strict=True)]

    def told(self, count: int, encoded: Sequence[Arrays] | None) -> Arrays:
        """What the model is told of `count` slices: the chords asked for, or what examples say, one or one for each.

        Raises:
          UserError: it must be told, and nothing says what; or it is not told chords.
        """
        names = self.sampler.conditions
        if self.chords is not None or (encoded is None and names):
            asked = self.sampler.codec.condition(chords=self.chords)
            return {name: np.repeat(value[None], count, axis=0) for name, value in asked.items()}
        rows = [] if encoded is None else list(encoded) * (count if len(encoded) == 1 else 1)
        return {name: np.stack([arrays[name] for arrays in rows]) for name in names}

    def points(self, found: Found | None, count: int) -> NDArray[np.float32]:
        """z [n, Z]: the posterior means of given slices, or `count` draws from the prior."""
        if found is None:
            return noise(self.seed, (count, self.sampler.model.latent_size))
        mean, _ = self.sampler.posterior([encoded for _, encoded in found])
        return mean

    def reconstructions(self, found: Found, temperature: Sequence[float], posterior: str) -> list[list[Item]]:
        """A row for each slice: given, and made again at each temperature from the posterior's mean or a sample."""
        encoded = [arrays for _, arrays in found]
        z, log_var = self.sampler.posterior(encoded)
        if posterior == "sample":
            z = z + np.exp(log_var / 2) * noise(self.seed, z.shape)
        told = self.told(len(z), encoded)
        columns = [[self.given(one) for one in encoded]]
        columns += [self.draw(len(z), z, told, t, [title(t)] * len(z)) for t in temperature]
        return [list(row) for row in zip(*columns, strict=True)]

    def way(
        self, found: Found | None, corners: int, steps: int, kind: str, temperature: float
    ) -> tuple[list[list[Item]], list[Notes]]:
        """Rows: the way between two slices, with them where they were given, or a grid between four.

        And of each row all of it as one piece. What the model is told is what the nearest of the slices says.
        """
        z, between = self.points(found, corners), WAYS[kind]
        parts = [float(part) for part in np.linspace(0, 1, steps)]
        path, nearest, captions = [], [], []
        for down in parts if len(z) == 4 else [0.0]:
            left, right = (between(z[i], z[i + 2], down) for i in (0, 1)) if len(z) == 4 else z
            path += [between(left, right, across) for across in parts]
            nearest += [(across >= 0.5) + 2 * (down >= 0.5) for across in parts]
            captions += [f"{down:.2g}, {across:.2g}" if len(z) == 4 else f"{across:.2g}" for across in parts]
        told = self.told(len(path), None if found is None else [found[number][1] for number in nearest])
        made = self.draw(len(path), np.stack(path), told, temperature, captions, together=True)
        rows = [made[begin : begin + steps] for begin in range(0, len(made), steps)]
        seconds = self.sampler.codec.steps * 15 / self.qpm
        wholes = [files.one_after_another([item.value for item in row], seconds) for row in rows]
        if len(z) == 2 and found is not None:
            first, last = (self.given(encoded) for _, encoded in found)
            rows = [[first, *made, last]]
        return rows, wholes

    def performances(self, beat: Beat, keep_hits: bool, count: int, temperature: float) -> tuple[list[Item], int]:
        """A beat, and `count` performances of it; and how many hits the model had left out of all.

        The first is of the posterior's mean, the others are of samples of it, and each is drawn with its own noise.
        """
        codec = self.sampler.codec
        cuts = starting.cut(codec, beat)
        mean, log_var = self.sampler.posterior([one.encoded for one in cuts])
        z = [mean] + [mean + np.exp(log_var / 2) * noise(self.seed, mean.shape, way) for way in range(1, count)]
        made = self.sample(count * len(cuts), np.concatenate(z).astype(np.float32), {}, temperature)
        items, missing = [Item(self.beat(beat), "given", sampled=False)], 0
        for first in range(0, len(made), len(cuts)):
            whole, left_out = starting.joined(codec, beat, cuts, made[first : first + len(cuts)], keep_hits)
            missing += left_out
            items.append(Item(self.beat(whole)))
        return items, missing

    def beat(self, beat: Beat) -> Notes:
        return grooves.to_notes(beat.velocity, beat.offset, qpm=self.qpm)


def title(temperature: float) -> str:
    return "greedy" if temperature == 0 else f"T = {temperature:g}"


def noise(seed: int, shape: tuple[int, ...], number: int = 0) -> NDArray[np.float32]:
    """Standard normal noise; another for every seed and every number."""
    return np.random.default_rng([seed, 0, number]).standard_normal(shape).astype(np.float32)
