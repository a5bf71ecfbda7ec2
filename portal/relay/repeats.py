"""Whether a client hands over one message again and again, as a device does that takes no 250 for an answer.

Nothing is held back: who sends the same alarm twice means it. How much a server may send is its limits' business.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from portal.outbox.prepared import PreparedMessage

MOST = 100  # messages that are the same ...
WINDOW = timedelta(hours=1)  # ... in this time
_MOST_KNOWN = 10_000  # messages that a process remembers
_BOUNDARY = re.compile(rb'(?i)\bboundary="?([^"\s;]{1,70})')


@dataclass(frozen=True)
class _Seen:
    since: datetime
    count: int


class Repeats:
    """Counts what one process took; for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: OrderedDict[int, _Seen] = OrderedDict()

    def note(self, prepared: PreparedMessage, address: str, now: datetime) -> bool:
        """Count a message of the client at this address; whether it is one too many, which is said once a window."""
        what = _same_message_key(prepared, address)
        with self._lock:
            before = self._seen.pop(what, None)
            if before is None or not timedelta() <= now - before.since < WINDOW:
                before = _Seen(now, 0)
            self._seen[what] = _Seen(before.since, before.count + 1)
            while len(self._seen) > _MOST_KNOWN:
                self._seen.popitem(last=False)
        return before.count + 1 == MOST


def _same_message_key(prepared: PreparedMessage, address: str) -> int:
    """The same for a message that was built anew: Message-ID, Date and the marks between parts may differ.

    Python's own hash is quick and enough: no client can foresee it, and two that meet by chance do no harm.
    """
    header, _, body = prepared.content.partition(b"\r\n\r\n")
    boundary = _BOUNDARY.search(header)
    text = body.replace(boundary[1], b"") if boundary else body
    return hash((prepared.server_id, prepared.key_id, address, prepared.subject, prepared.rcpt_to, text))
