"""Ids of messages: their order is that of time (UUID version 7, RFC 9562 5.7).

Rows that are written one after the other then stand together in each index that begins with the id. Random ones are
strewn over all of it, and so each commit would write most of its pages, once there are many messages.
"""

from __future__ import annotations

import os
import time
from uuid import UUID

_VERSION = 7 << 76 | 2 << 62  # with the variant of RFC 9562
_RANDOM = ~(0xF << 76 | 0x3 << 62) & (1 << 80) - 1  # the bits below the milliseconds that are by chance


def new_id() -> UUID:
    """Milliseconds since 1970, and 74 bits by chance: nobody guesses one."""
    milliseconds = time.time_ns() // 1_000_000
    return UUID(int=milliseconds << 80 | _VERSION | int.from_bytes(os.urandom(10), "big") & _RANDOM)
