"""Messages on their way out: stored with their cause, handed over by the worker, followed to one end.

Offers `add` (store a prepared message in the caller's transaction), `wake` (tell the worker of other work),
what pages ask about the worker and the ways out, `resume` and `let_go_refused`. Reading is in `history`, a person's
acts are in `commands`, the worker itself in `worker`.
Never composes a message, never knows a connection's settings, never sends inside a caller's transaction.
"""

from __future__ import annotations

from portal.outbox.heartbeat import worker_seen_at
from portal.outbox.known_refusals import let_go_refused
from portal.outbox.pauses import Pause, WayOutState, way_out_states
from portal.outbox.pausing import resume
from portal.outbox.queue import add
from portal.outbox.wakeup import wake

__all__ = ["Pause", "WayOutState", "add", "let_go_refused", "resume", "wake", "way_out_states", "worker_seen_at"]
