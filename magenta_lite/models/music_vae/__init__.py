"""MusicVAE (Roberts et al. 2018): a VAE of melodies, drums, trios and grooves, flat or hierarchical."""

from magenta_lite.models.music_vae.codec import Codec
from magenta_lite.models.music_vae.model import Model

__all__ = ["Codec", "Model"]
