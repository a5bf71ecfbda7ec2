"""Answers that leave at full steps of time, so that what was looked up on the way cannot be read from a clock.

A row that is found takes some microseconds longer than one that is not, on every database; a thousand answers show it.
Source: Crosby, Wallach, Riedi, "Opportunities and Limits of Remote Timing Attacks" (2009).
"""

from __future__ import annotations

import time

STEP = 0.1  # seconds; many times what the look-ups and the counting take, also on a slow disk


def wait_for_full_step(started: float) -> None:
    """Sleep until a whole number of steps is over since `started`, a reading of `time.perf_counter`."""
    time.sleep(-(time.perf_counter() - started) % STEP)
