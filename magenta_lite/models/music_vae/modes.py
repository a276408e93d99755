"""Modes of sample.py for MusicVAE. Their keyword parameters are flags."""

from magenta_lite.errors import UserError
from magenta_lite.models.music_vae.model import CONTINUES_NOT
from magenta_lite.sampler import Sampler


def continue_(
    sampler: Sampler,
    *,
    n: int = 1,
    temperature: tuple[float, ...] = (0.5,),
    seed: int = 0,
    items: list[int] | None = None,
    input: str | None = None,
) -> None:
    """Not for slices: says why, and what to do instead."""
    raise UserError(CONTINUES_NOT)
