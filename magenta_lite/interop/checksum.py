"""CRC-32C, the checksum of TensorFlow's tables and tensors, by numpy: about as fast as a disk reads."""

import functools

import numpy as np
from numpy.typing import NDArray

_POLYNOMIAL = 0x82F63B78
"""Castagnoli's, with the bits of a byte in the order of a shift to the right."""

_LANE = 10
"""log2 of the bytes of a lane."""

_PORTION = 1 << 23
_SHORT = 1 << 9  # bytes that are not worth an array

Words = NDArray[np.uint32]


def crc32c(content: bytes | memoryview) -> int:
    """The checksum of the bytes; of b"123456789" it is 0xE3069283."""
    if len(content) < _SHORT:
        crc, table = 0xFFFFFFFF, _of_bytes()
        for byte in bytes(content):
            crc = int(table[(crc ^ byte) & 0xFF]) ^ (crc >> 8)
        return crc ^ 0xFFFFFFFF
    # The remainder is linear: parts are taken by themselves, moved to their places, and added. That it begins with
    # ones is the same as the first four bytes turned over.
    whole = np.frombuffer(content, np.uint8)
    crc = 0
    for begin in range(0, len(whole), _PORTION):
        portion = whole[begin : begin + _PORTION]
        crc = _moved(crc, len(portion)) ^ _remainder(portion, first=begin == 0)
    return crc ^ 0xFFFFFFFF


def masked(content: bytes | memoryview) -> int:
    """The checksum as TensorFlow and LevelDB store it: turned by 15 bits, plus a constant."""
    crc = crc32c(content)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _remainder(portion: NDArray[np.uint8], first: bool) -> int:
    """Of a portion: every lane of 1 KB at once, four bytes a step, then lanes two by two."""
    lanes = -(-len(portion) >> _LANE)
    padded = np.zeros(lanes << _LANE, np.uint8)  # zeros before the first byte change nothing
    padded[len(padded) - len(portion) :] = portion
    if first:
        begin = len(padded) - len(portion)
        padded[begin : begin + 4] ^= 0xFF
    words = np.ascontiguousarray(padded.view("<u4").astype(np.uint32, copy=False).reshape(lanes, -1).T)
    low, high = _of_words()
    crcs = np.zeros(lanes, np.uint32)
    for word in words:
        crcs ^= word
        crcs = low[crcs & 0xFFFF] ^ high[crcs >> 16]
    power = _LANE
    while len(crcs) > 1:
        if len(crcs) % 2:
            crcs = np.concatenate([np.zeros(1, np.uint32), crcs])
        crcs = _times(_shift(power), crcs[::2]) ^ crcs[1::2]
        power += 1
    return int(crcs[0])


def _moved(crc: int, count: int) -> int:
    """The remainder after so many zeros more."""
    moved, power = np.array([crc], np.uint32), 0
    while count:
        if count & 1:
            moved = _times(_shift(power), moved)
        count >>= 1
        power += 1
    return int(moved[0])


@functools.cache
def _of_bytes() -> Words:
    """[256]: the remainder of each byte."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table


@functools.cache
def _of_words() -> tuple[Words, Words]:
    """[65536] each: what the lower and the upper half of a state become after four bytes."""
    every = np.arange(1 << 16, dtype=np.uint32)
    table, low, high = _of_bytes(), every, every << np.uint32(16)
    for _ in range(4):
        low = table[low & 0xFF] ^ (low >> np.uint32(8))
        high = table[high & 0xFF] ^ (high >> np.uint32(8))
    return low, high


@functools.cache
def _shift(power: int) -> Words:
    """[32]: what 2**power zero bytes make of each bit of a remainder."""
    if power:
        half = _shift(power - 1)
        return _times(half, half)
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    return _of_bytes()[bits & 0xFF] ^ (bits >> 8)


def _times(shift: Words, crcs: Words) -> Words:
    """Every remainder moved by the shift."""
    total = np.zeros_like(crcs)
    for bit in range(32):
        total ^= ((crcs >> np.uint32(bit)) & 1) * shift[bit]
    return total
