"""Snappy blocks, unpacked. Trained weights hardly compress, so tables rarely hold any."""

from magenta_lite.interop.wire import Damaged, varint

DENSEST = 24
"""Bytes that one byte of a block can stand for, at most: 64 by three, and a little."""


def unpack(block: bytes | memoryview) -> bytes:
    """The content of a block.

    Raises:
      Damaged: it is no snappy block, or says another length than it has.
    """
    size, at = varint(block, 0)
    if size > DENSEST * len(block):
        raise Damaged(f"a packed block of {len(block):,} bytes that says it holds {size:,}")
    out = bytearray()
    while at < len(block):
        tag = block[at]
        at += 1
        if tag & 3 == 0:
            length = (tag >> 2) + 1
            if length > 60:
                extra = length - 60
                length = int.from_bytes(bytes(block[at : at + extra]), "little") + 1
                at += extra
            if length > len(block) - at:
                raise Damaged("a packed block that ends in the midst of its letters")
            out += block[at : at + length]
            at += length
        else:
            extra = (1, 2, 4)[(tag & 3) - 1]
            back = int.from_bytes(bytes(block[at : at + extra]), "little")
            at += extra
            if extra == 1:
                length, back = (tag >> 2 & 7) + 4, back | (tag >> 5) << 8
            else:
                length = (tag >> 2) + 1
            if not 0 < back <= len(out):
                raise Damaged("a packed block that repeats what was not there")
            begin = len(out) - back
            # What is repeated may reach into itself.
            piece = bytes(out[begin : begin + length])
            out += (piece * (length // len(piece) + 1))[:length]
        if len(out) > size:
            raise Damaged("a packed block that holds more than it says")
    if len(out) != size:
        raise Damaged("a packed block that holds less than it says")
    return bytes(out)
