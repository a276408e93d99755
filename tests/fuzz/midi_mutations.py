"""Ways to spoil MIDI files so that their readers get far: its chunks still fit, and its events are the strangest."""

import struct
from collections.abc import Sequence
from random import Random

from mutations import ALL, LONGEST, NUMBERS, Mutation

END = b"\x00\xff\x2f\x00"
LARGEST = b"\xff\xff\xff\x7f"
"""The longest time that can be written between two events."""


def chunks(content: bytes) -> tuple[bytes, list[bytes]]:
    """A header's fourteen bytes, made up where there are none, and what is in the tracks, as far as it goes."""
    header = content[:14] if content[:4] == b"MThd" and len(content) >= 14 else header_of(1, 1, 480)
    tracks = []
    at = 14
    while at + 8 <= len(content):
        (size,) = struct.unpack(">I", content[at + 4 : at + 8])
        tracks.append(content[at + 8 : at + 8 + size])
        at += 8 + size
    return header, tracks or [END]


def joined(header: bytes, tracks: Sequence[bytes]) -> bytes:
    """A file in which the number of tracks and their lengths are right."""
    whole = b"".join(b"MTrk" + struct.pack(">I", len(track)) + track for track in tracks)
    return header[:10] + struct.pack(">H", min(len(tracks), 0xFFFF)) + header[12:14] + whole


def header_of(kind: int, count: int, division: int) -> bytes:
    return b"MThd" + struct.pack(">IHHH", 6, kind, count, division)


def variable(number: int) -> bytes:
    """A number as MIDI writes it, of seven bits a byte."""
    sevens = [number & 127]
    while number := number >> 7:
        sevens.append(128 | number & 127)
    return bytes(reversed(sevens))


def spoil_a_track(content: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """What any bytes may suffer, within a track whose length is then put right."""
    header, tracks = chunks(content)
    which = rng.randrange(len(tracks))
    tracks[which] = rng.choice(ALL)(tracks[which] or b"\0", rng, others)[:LONGEST]
    if rng.random() < 0.5:
        tracks[which] = tracks[which].removesuffix(END) + END
    return joined(header, tracks)


def spoil_the_header(content: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    size, kind, count, division = struct.unpack(">IHHH", chunks(content)[0][4:14])
    match rng.randrange(4):
        case 0:
            size = rng.choice(NUMBERS)
        case 1:
            kind = rng.choice((0, 1, 2, 3, 0xFFFF))
        case 2:
            count = rng.choice((0, 1, 2, count + 1, 1023, 1024, 1025, 0xFFFF))
        case 3:
            division = rng.choice((0, 1, 2, 0x7FFF, 0x8000, 0xE728, 0xFFFF, 0x8001, 0xE200))
    return b"MThd" + struct.pack(">IHHH", size, kind, count, division) + content[14:]


def lie_about_a_chunk(content: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    places = []
    at = content.find(b"MTrk")
    while at >= 0:
        places.append(at + 4)
        at = content.find(b"MTrk", at + 1)
    if not places:
        return content
    at = rng.choice(places)
    (size,) = struct.unpack(">I", content[at : at + 4].ljust(4, b"\0"))
    size = rng.choice((*NUMBERS, size - 1, size + 1, size * 2, size // 2)) % 2**32
    return content[:at] + struct.pack(">I", size) + content[at + 4 :]


def many_tracks(content: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    header, tracks = chunks(content)
    match rng.randrange(4):
        case 0:
            tracks = [END] * rng.choice((100, 1023, 1024, 2000))
        case 1:
            tracks = (tracks * 1024)[: rng.choice((17, 300, 1024))]
            while sum(map(len, tracks)) > LONGEST:
                tracks = tracks[: len(tracks) // 2]
        case 2:
            tracks = tracks + chunks(rng.choice(others) if others else content)[1]
        case 3:
            rng.shuffle(tracks)
    return joined(header, tracks)


def events(track: bytes) -> list[tuple[int, bytes]]:
    """The events of a track, as far as they can be read: ticks since the last, and bytes with their status."""
    found: list[tuple[int, bytes]] = []
    at, status = 0, 0
    while at < len(track):
        ticks, at = _variable_at(track, at)
        if at < len(track) and track[at] & 0x80:
            status, at = track[at], at + 1
        begin = at
        if status in (0xFF, 0xF0, 0xF7):
            length, at = _variable_at(track, at + (status == 0xFF))
            at += length
        else:
            at += 1 if status & 0xE0 == 0xC0 else 2
        found.append((ticks, bytes([status]) + track[begin:at]))
    return found


def _variable_at(track: bytes, at: int) -> tuple[int, int]:
    number = 0
    while at < len(track):
        number, at = (number & 0x1FFFFF) << 7 | track[at] & 127, at + 1
        if not track[at - 1] & 0x80:
            break
    return number, at


def spoil_events(content: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """Whole events lost, doubled, moved, of another time, channel or value, or strange ones between them."""
    header, tracks = chunks(content)
    which = rng.randrange(len(tracks))
    found = events(tracks[which]) or [(0, END[1:])]
    for _ in range(rng.choice((1, 1, 3, 30))):
        at = rng.randrange(len(found))
        ticks, event = found[at]
        match rng.randrange(8):
            case 0:
                del found[at]
            case 1:
                found.insert(rng.randrange(len(found) + 1), found[at])
            case 2:
                other = rng.randrange(len(found))
                found[at], found[other] = found[other], found[at]
            case 3:
                found[at] = rng.choice((0, 1, ticks * 2, 10 * ticks + 1, rng.randrange(2**21), 2**28 - 1)), event
            case 4:
                found[at] = ticks, bytes([event[0] ^ 1 << rng.randrange(5)]) + event[1:]
            case 5:
                found[at] = ticks, event[:1] + bytes(rng.randrange(128) for _ in event[1:])
            case 6:
                found.insert(at, (0, strange_events(rng, most=1000)[1:]))
            case 7:
                found[at:] = [event for event in found[at:] if rng.random() < 0.5]
        found = found or [(0, END[1:])]
    tracks[which] = b"".join(variable(min(ticks, 2**28 - 1)) + event for ticks, event in found)[:LONGEST]
    return joined(header, tracks)


def put_events(content: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """Strange events at the beginning or the end of a track, or in between, even within another."""
    header, tracks = chunks(content)
    which = rng.randrange(len(tracks))
    track = tracks[which]
    at = rng.choice((0, 0, len(track.removesuffix(END)), rng.randrange(len(track) + 1)))
    tracks[which] = (track[:at] + strange_events(rng) + track[at:])[:LONGEST]
    return joined(header, tracks)


def strange_events(rng: Random, most: int = 1 << 17) -> bytes:
    """Events with their times: too many, too long, too far apart, never ended, of lying lengths, of no kind."""
    time = rng.choice((b"\0", b"\1", variable(rng.randrange(2**28)), LARGEST, b"\x80\x80\x00", b"\xff" * 5 + b"\x7f"))
    channel, pitch = rng.randrange(16), rng.randrange(128)
    times = min(most, rng.choice((1, 1, 2, 8, 100, 1 << 10, 1 << 14, 1 << 16, (1 << 16) + 1)))
    on, off = bytes([0x90 + channel, pitch, rng.choice((0, 1, 64, 127))]), bytes([0x80 + channel, pitch, 0])
    length = variable(rng.choice((0, 1, 2, 3, 4, 5, 127, 128, 10_000, 2**21, 2**28 - 1)))
    text = rng.choice((b"", b"a" * 200, "\u202e\x1b[2J\n\r".encode(), b"\xff\xfe\x00", b"../../x\n", rng.randbytes(30)))
    choices = [
        time + bytes([0xFF, 0x51, 3]) + rng.choice((b"\0\0\0", b"\0\0\1", b"\xff\xff\xff", rng.randbytes(3))),
        time + bytes([0xFF, 0x51, rng.choice((0, 1, 2, 4, 127))]) + rng.randbytes(3),
        time + bytes([0xFF, 0x58, 4]) + bytes(rng.choice((0, 1, 2, 3, 8, 31, 32, 64, 255)) for _ in range(4)),
        time + bytes([0xFF, 0x58, rng.choice((0, 1, 2, 3, 5))]) + rng.randbytes(4),
        time + bytes([0xFF, 0x59, 2, rng.randrange(256), rng.randrange(256)]),
        time + bytes([0xFF, rng.randrange(256)]) + length + rng.randbytes(rng.choice((0, 2, 50))),
        time + bytes([0xFF, rng.randrange(1, 10)]) + variable(len(text)) + text,
        time + bytes([0xF0]) + length + rng.randbytes(rng.randrange(20)),
        time + bytes([rng.randrange(0xF1, 0xFF)]) + rng.randbytes(rng.randrange(3)),
        time + on,
        time + on + time + on + time + off,
        time + on + b"\0" + off,
        time + on + LARGEST + off,
        b"".join(time + bytes([0x90 + channel, key, 64]) for key in range(128)),
        time + bytes([0xC0 + channel, pitch]) + time + on + b"\1" + off,
        time + bytes([0xB0 + channel, 64, rng.choice((0, 63, 64, 127))]),
        time + bytes([0xB0 + channel, 64, 127]) + b"\0" + bytes([0xB0 + channel, 64, 0]),
        time + bytes([0xB0 + channel, rng.choice((0, 120, 121, 123, 127)), 0]),
        time + bytes([0xE0 + channel, rng.randrange(256), rng.randrange(256)]),
        time + bytes([rng.randrange(0xA0, 0xF0)]) + rng.randbytes(2),
        time + rng.randbytes(2),  # by running status
        b"\0" + on + variable(rng.randrange(2**21)) + off,
        b"\0" + on + b"\x87\x40" + off + b"\0" + bytes([0xFF, 0x58, 4, rng.randrange(1, 13), rng.randrange(5), 24, 8]),
        END,
    ]  # fmt: skip
    if rng.random() < 0.2:
        return b"".join(rng.choices(choices, k=rng.choice((3, 30, 300))))
    event = rng.choice(choices)
    return event * min(times, LONGEST // len(event))


def wrap(content: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    size = rng.choice((len(content), *NUMBERS))
    return (
        b"RIFF"
        + struct.pack("<I", rng.choice((size, len(content) + 12)))
        + b"RMIDdata"
        + struct.pack("<I", size)
        + content
    )


def slow_down(content: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """A tick of another length, so that a piece is minutes or weeks."""
    header, tracks = chunks(content)
    return joined(header[:12] + struct.pack(">H", rng.choice((1, 2, 3, 5, 24, 96, 0x7FFF))), tracks)


OF_MIDI: tuple[Mutation, ...] = (
    *ALL,
    *(spoil_a_track,) * 4,
    *(spoil_events,) * 16,
    *(put_events,) * 6,
    *(spoil_the_header, lie_about_a_chunk, many_tracks, wrap, slow_down),
)
