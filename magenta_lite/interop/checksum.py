"""CRC-32C as TensorFlow and LevelDB store it."""

import google_crc32c

_PORTION = 1 << 23
"""Bytes that are handed over at once: the library wants a copy."""


def crc32c(content: bytes | memoryview) -> int:
    """The checksum of the bytes; of b"123456789" it is 0xE3069283."""
    crc = 0
    for begin in range(0, len(content), _PORTION):
        crc = google_crc32c.extend(crc, bytes(content[begin : begin + _PORTION]))
    return crc


def masked(content: bytes | memoryview) -> int:
    """The checksum as it is stored: turned by 15 bits, plus a constant."""
    crc = crc32c(content)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
