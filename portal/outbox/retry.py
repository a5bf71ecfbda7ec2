"""When a deferred message is tried again: back-off by schedule, with a jitter of 20 % either way.

After an outage the jitter keeps thousands of messages from coming back in the same second. The figures follow
RFC 5321 4.5.4.1 (keep trying, ever more seldom) and how long each sort of mail is worth anything.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from portal.outbox.prepared import Schedule

JITTER = 0.2
_MINUTE, _HOUR = 60, 3600

# Seconds between one attempt and the next; the last figure repeats until the message expires.
_PAUSES: dict[Schedule, tuple[int, ...]] = {
    Schedule.SECRET: (10, 20, 30, _MINUTE, 3 * _MINUTE, 5 * _MINUTE, 10 * _MINUTE),
    Schedule.ALERT: (15, 45, 2 * _MINUTE, 5 * _MINUTE, 7 * _MINUTE, 15 * _MINUTE),
    Schedule.NORMAL: (
        *(minutes * _MINUTE for minutes in (1, 2, 5, 10, 20, 40)),
        _HOUR,
    ),
    Schedule.BULK: (*(minutes * _MINUTE for minutes in (5, 10, 20, 40)), 2 * _HOUR),
}


def next_try_at(schedule: Schedule, attempt_number: int, *, now: datetime, chance: random.Random) -> datetime:
    """When to try again after the attempt with this number, the first being 1. Schedule.ONCE has no next try."""
    pauses = _PAUSES[schedule]
    seconds = pauses[min(attempt_number, len(pauses)) - 1]
    return now + timedelta(seconds=seconds * chance.uniform(1 - JITTER, 1 + JITTER))
