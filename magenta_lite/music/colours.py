"""Colours of notes on piano rolls."""

import numpy as np
from numpy.typing import NDArray


def _ramp(lightness: tuple[float, float], chroma: tuple[float, float], hue: tuple[float, float]) -> NDArray[np.uint8]:
    """Colours [128, 3], at even steps of lightness, chroma and hue (degrees) in OKLCh (Ottosson 2020)."""
    light, colourful, angle = (np.linspace(*ends, 128) for ends in (lightness, chroma, hue))
    a, b = colourful * np.cos(np.radians(angle)), colourful * np.sin(np.radians(angle))
    cones = np.stack(
        [
            light + 0.3963377774 * a + 0.2158037573 * b,
            light - 0.1055613458 * a - 0.0638541728 * b,
            light - 0.0894841775 * a - 1.2914855480 * b,
        ]
    )
    mix = [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
    linear = np.clip(np.array(mix) @ cones**3, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * encoded.T).astype(np.uint8)


NOTES = _ramp((0.90, 0.26), (0.10, 0.15), (168, 308))
"""uint8 [128, 3]: the colour of a note by its velocity, darker where it is louder."""
DRUMS = _ramp((0.86, 0.36), (0.08, 0.15), (25, 5))
"""uint8 [128, 3]: the same for drums."""
BASS = _ramp((0.88, 0.34), (0.09, 0.10), (140, 160))
"""uint8 [128, 3]: the same for basses, by their programs."""
