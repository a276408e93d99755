"""Files of drawings, damaged by chance: of bytes, of text by its tokens, of zips by their fields.

Everything is drawn from a random.Random made of a number and a word, so that "npz 1234" is the same input everywhere.
"""

import gzip
import io
import random
import re
import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

INTERESTING = (0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63)
"""Numbers at which something changes."""

WORDS = (
    *("/", "..", "../../x", "/etc/passwd", "a/b", "a\\b", "C:\\x", ".", "", " ", "-", "--", "con", "nul", "~", "$HOME"),
    *(
        "a\nb",
        "a\rb",
        "a\x00b",
        "\x1b[2J",
        "a\tb",
        "\u202ecod",
        "\u2028",
        "\ufeff",
        "\ud800",
        "\udfff\ud800",
        "é",
        "猫",
    ),
    *("\U0001f408", "x" * 300, "/" * 300, "é" * 300, "%s%n", "{0}", "<b>", "]]>", "&amp;", "'", '"', ",", "\u0000"),
)
"""Names that no file, terminal or page should be given as they are."""

Made = TypeVar("Made")
Mutation = Callable[[random.Random, bytes], bytes]


def chance(word: str, number: int) -> random.Random:
    """The stream of one input."""
    return random.Random(f"{word} {number}")


def damage(rng: random.Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
    """The content with one to eight random changes of bytes; others: contents from which pieces may be taken."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        content = (
            rng.choice(_CHANGES)(rng, content) if not others or rng.random() < 0.9 else _splice(rng, content, others)
        )
    return content


def _place(rng: random.Random, content: bytes) -> int:
    """Where to change something; beginnings, and ends where zips keep their directory, more often than the middle."""
    near = rng.random()
    reach = min(len(content), 96)
    if near < 0.25:
        return rng.randint(0, reach)
    return rng.randint(len(content) - reach, len(content)) if near < 0.5 else rng.randint(0, len(content))


def _flip(rng: random.Random, content: bytes) -> bytes:
    place = _place(rng, content)
    return (
        content[:place]
        + bytes(byte ^ 1 << rng.randrange(8) for byte in content[place : place + 1])
        + content[place + 1 :]
    )


def _overwrite(rng: random.Random, content: bytes) -> bytes:
    place, value = _place(rng, content), rng.randbytes(rng.choice((1, 1, 2, 4, 8)))
    return content[:place] + value + content[place + len(value) :]


def _number(rng: random.Random, content: bytes) -> bytes:
    place, size, order = _place(rng, content), rng.choice((1, 2, 4, 8)), rng.choice(("little", "big"))
    value = (rng.choice(INTERESTING) & (1 << 8 * size) - 1).to_bytes(size, order)
    return content[:place] + value + content[place + size :]


def _remove(rng: random.Random, content: bytes) -> bytes:
    place = _place(rng, content)
    return content[:place] + content[place + rng.choice((1, 1, 2, 7, 64, 1000)) :]


def _repeat(rng: random.Random, content: bytes) -> bytes:
    place = _place(rng, content)
    piece = content[place : place + rng.choice((1, 2, 7, 64, 500))]
    return content[:place] + piece * rng.choice((2, 3, 50, 1000)) + content[place:]


def _insert(rng: random.Random, content: bytes) -> bytes:
    place = _place(rng, content)
    piece = rng.choice(
        (b"\x00", b"\xff", b"\n", b"\r\n", b'"', b"[" * 500, b"(" * 500, b"\x00" * 200, b"9" * 5000, b"\xed\xa0\x80")
    )
    return content[:place] + piece + content[place:]


def _cut(rng: random.Random, content: bytes) -> bytes:
    return content[: _place(rng, content)]


def _move(rng: random.Random, content: bytes) -> bytes:
    first, second = sorted((_place(rng, content), _place(rng, content)))
    return (
        content[second:] + content[first:second] + content[:first]
        if rng.random() < 0.3
        else content[:first] + content[second:] + content[first:second]
    )


def _splice(rng: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    other = rng.choice(others)
    return content[: _place(rng, content)] + other[_place(rng, other) :]


_CHANGES: tuple[Mutation, ...] = (_flip, _overwrite, _number, _remove, _repeat, _insert, _cut, _move)

_TOKEN = re.compile(r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?|[A-Za-z_][\w:-]*|\s+|.", re.DOTALL)


def shuffle_tokens(rng: random.Random, text: str, hostile: Sequence[str]) -> str:
    """The text with one to six tokens (numbers, words, signs) replaced, repeated, removed or swapped."""
    tokens = _TOKEN.findall(text) or [""]
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        place, other = rng.randrange(len(tokens)), rng.randrange(len(tokens))
        match rng.randrange(5):
            case 0 | 1:
                tokens[place] = rng.choice(hostile)
            case 2:
                tokens[place] = tokens[place] * rng.choice((0, 2, 3, 100))
            case 3:
                tokens[place], tokens[other] = tokens[other], tokens[place]
            case 4:
                first, last = sorted((place, other))
                tokens[first:first] = tokens[first : min(last, first + 40)] * rng.choice((1, 2, 30))
    return "".join(tokens)[: 1 << 20]


def gzipped(rng: random.Random, content: bytes) -> bytes:
    """The content as gzip: whole, in several members, damaged, or cut."""
    match rng.randrange(6):
        case 0:
            half = len(content) // 2
            return gzip.compress(content[:half], 1) + gzip.compress(content[half:], 1)
        case 1:
            return damage(rng, gzip.compress(content, 1))
        case 2:
            return gzip.compress(content, 1) + rng.choice((b"\x00" * 100, b"junk", b"\x1f\x8b"))
        case 3:
            return gzip.compress(damage(rng, gzip.compress(content, 1)), 1)
    return gzip.compress(content, 1)


METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def zipped(rng: random.Random, entries: Sequence[tuple[str, bytes]], *, sound: bool = False) -> bytes:
    """A zip of the entries, by any method, and half of the time with a few of its fields changed; sound: never so."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in entries:
            info = zipfile.ZipInfo(name[:60000].encode(errors="replace").decode())
            info.compress_type = zipfile.ZIP_DEFLATED if sound or rng.random() < 0.8 else rng.choice(METHODS)
            if not sound and rng.random() < 0.05:
                info.extra = rng.randbytes(rng.choice((1, 4, 40)))
            with_warnings_off(archive.writestr, info, content)
    content = packed.getvalue()
    if not sound and rng.random() < 0.5:
        for _ in range(rng.choice((1, 1, 2, 4))):
            content = _field(rng, content)
    return content


def with_warnings_off(function: Callable[..., object], *arguments: object) -> None:
    """Calls a function that warns of what is done on purpose, such as names that are in a zip twice."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        function(*arguments)


# Signature -> (offset, size) of the numbers behind it: versions, flags, method, check sum, sizes, lengths, places.
_FIELDS = {
    b"PK\x03\x04": ((4, 2), (6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)),
    b"PK\x01\x02": ((6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (34, 2), (42, 4)),
    b"PK\x05\x06": ((4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)),
}
_FLAGS = (0, 1, 8, 0x40, 0x41, 0x20, 0x800, 0x2000)
_ODD_METHODS = (0, 1, 6, 8, 9, 10, 12, 14, 93, 95, 98, 99, 65535)


def _field(rng: random.Random, content: bytes) -> bytes:
    """A zip with one number of one of its headers changed."""
    signature = rng.choice(list(_FIELDS))
    places = [match.start() for match in re.finditer(re.escape(signature), content)]
    if not places:
        return content
    offset, size = rng.choice(_FIELDS[signature])
    place = rng.choice(places) + offset
    flags, method = {b"PK\x03\x04": (6, 8), b"PK\x01\x02": (8, 10)}.get(signature, (-1, -1))
    if offset == flags:
        value = rng.choice(_FLAGS)
    elif offset == method:
        value = rng.choice(_ODD_METHODS)
    else:
        (before,) = struct.unpack_from("<I" if size == 4 else "<H", content.ljust(place + size, b"\0"), place)
        value = rng.choice((*INTERESTING, before + 1, before - 1, before * 2, before // 2, rng.getrandbits(32)))
    return content[:place] + (value & (1 << 8 * size) - 1).to_bytes(size, "little") + content[place + size :]


def numbered(word: str, count: int, make: Callable[[random.Random], Made]) -> Iterator[tuple[str, Made]]:
    """That many inputs by name, "npz 17"; make(chance("npz", 17)) makes it again."""
    for number in range(count):
        yield f"{word} {number}", make(chance(word, number))
