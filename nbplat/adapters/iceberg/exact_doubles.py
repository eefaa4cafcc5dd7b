"""A mend for pyiceberg 0.12: its compiled Avro decoder cuts doubles to 32 bits.

Only partition values of identity partitions on a double column come that way. Cut, they would be read as
another value, and be written into the manifests of a promotion.
"""

from __future__ import annotations

import struct
from typing import Any

__all__ = ["mend_doubles"]


def mend_doubles() -> None:
    """Make pyiceberg read doubles from Avro as they were written; nothing happens where it does already."""
    from pyiceberg.avro.decoder import new_decoder
    from pyiceberg.avro.reader import DoubleReader

    eight = struct.Struct("<d")
    if new_decoder(eight.pack(0.1)).read_double() == 0.1:
        return

    def read(self: DoubleReader, decoder: Any) -> float:
        return float(eight.unpack(decoder.read(8))[0])

    DoubleReader.read = read  # type: ignore[method-assign]
