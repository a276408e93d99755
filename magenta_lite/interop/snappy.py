"""Snappy blocks, unpacked within limits. Trained weights hardly compress, so tables rarely hold any."""

import cramjam

from magenta_lite.interop.wire import Damaged, varint

DENSEST = 24
"""Bytes that one byte of a block can stand for, at most: 64 by three, and a little."""


def unpack(block: bytes | memoryview) -> bytes:
    """The content of a block.

    Raises:
      Damaged: it is no snappy block, or says another length than it has.
    """
    size, _ = varint(block, 0)
    # The library would make room for whatever is claimed.
    if size > DENSEST * len(block):
        raise Damaged(f"a packed block of {len(block):,} bytes that says it holds {size:,}")
    try:
        return bytes(cramjam.snappy.decompress_raw(bytes(block)))
    except cramjam.DecompressionError as error:
        raise Damaged(f"a packed block is damaged ({error})") from None
