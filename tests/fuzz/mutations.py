"""Ways to spoil bytes, whatever they mean. Everything comes from the random.Random that is passed in."""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random

Mutation = Callable[[bytes, Random, Sequence[bytes]], bytes]
"""Of a content, by chance, and with other contents at hand to take from."""

NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
"""Where readers' counts and signs end."""

LONGEST = 4 << 20
"""Bytes of a mutated content; more tells a reader no more than that it is too long."""


def flip_bits(content: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    spoiled = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        spoiled[rng.randrange(len(spoiled))] ^= 1 << rng.randrange(8)
    return bytes(spoiled)


def set_bytes(content: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    spoiled = bytearray(content)
    for _ in range(rng.choice((1, 2, 8, 64))):
        spoiled[rng.randrange(len(spoiled))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return bytes(spoiled)


def set_number(content: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """A number where readers' counts end, of one to eight bytes in either order, over what is there."""
    kind = rng.choice(("B", ">H", "<H", ">I", "<I", ">Q", "<Q"))
    size = struct.calcsize(kind)
    number = (rng.choice(NUMBERS) + rng.choice((0, 0, -1, 1))) % (1 << 8 * size)
    at = rng.randrange(max(len(content) - size, 0) + 1)
    return content[:at] + struct.pack(kind, number) + content[at + size :]


def cut_short(content: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    return content[: rng.randrange(len(content))]


def cut_out(content: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    begin, end = _part(content, rng)
    return content[:begin] + content[end:]


def repeat(content: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    begin, end = _part(content, rng)
    times = min(rng.choice((2, 2, 10, 1000)), 1 + LONGEST // max(end - begin, 1))
    return content[:begin] + content[begin:end] * times + content[end:]


def swap(content: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    a, b, c = sorted(rng.randrange(len(content) + 1) for _ in range(3))
    return content[:a] + content[b:c] + content[a:b] + content[c:]


def fill(content: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    begin, end = _part(content, rng)
    return content[:begin] + bytes([rng.choice((0, 0xFF, 0x80, 0x7F, 0x20))]) * (end - begin) + content[end:]


def put_noise(content: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(content) + 1)
    return content[:at] + rng.randbytes(rng.choice((1, 2, 10, 100))) + content[at:]


def splice(content: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """The beginning of this and the end of another."""
    other = rng.choice(others) if others else content
    return content[: rng.randrange(len(content) + 1)] + other[rng.randrange(len(other) + 1) :]


def graft(content: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """A part of another within this."""
    other = rng.choice(others) if others else content
    begin, end = _part(other, rng)
    at = rng.randrange(len(content) + 1)
    return content[:at] + other[begin:end] + content[at:]


def append(content: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    return content + (rng.choice(others) if others and rng.random() < 0.5 else rng.randbytes(rng.randrange(1, 300)))


ALL: tuple[Mutation, ...] = (
    flip_bits, flip_bits, set_bytes, set_number, set_number, cut_short, cut_out, repeat, swap, fill, put_noise, splice,
    graft, append,
)  # fmt: skip


def mutated(
    seeds: Mapping[str, bytes], count: int, seed: int, mutations: Sequence[Mutation] = ALL
) -> Iterator[tuple[str, bytes]]:
    """`count` names and contents: a seed by chance, spoiled in one to four ways; one in twenty is left as it is."""
    rng = Random(seed)
    names = sorted(seeds)
    others = [seeds[name] for name in names]
    for number in range(count):
        name = rng.choice(names)
        content, ways = seeds[name], []
        for _ in range(0 if rng.random() < 0.05 else rng.choice((1, 1, 2, 4))):
            mutation = rng.choice(mutations)
            content = mutation(content or b"\0", rng, others)[:LONGEST]
            ways.append(mutation.__name__)
        yield " ".join([str(number), name, *ways]), content


def _part(content: bytes, rng: Random) -> tuple[int, int]:
    """Where a part begins and ends; mostly a short one."""
    begin = rng.randrange(len(content) + 1)
    length = int(min(rng.choice((1, 2, 4, 16, 256, 4096)), len(content)) * rng.random()) + 1
    return begin, min(begin + length, len(content))
