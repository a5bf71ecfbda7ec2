"""What a worker can be told about its pace, its patience, and its clocks."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from portal.clock import utc_now
from portal.outbox.leases import LEASE
from portal.outbox.pauses import Pause
from portal.outbox.prepared import WayOut, WaysOut
from portal.outbox.recovery import UncertainRule, always_send_again
from portal.outbox.states import State
from portal.secret_box import SecretBox
from portal.transports import Transport


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """The defaults are right for nearly everybody; tests shorten the times."""

    senders: int = 4  # threads of one way out; a way out may allow fewer
    slice_size: int = 20  # messages that one sender has in hand at most
    claim_size: int = 200  # deliveries of one priority that wait claimed for one way out at most
    lease: timedelta = LEASE
    look_every: timedelta = timedelta(seconds=0.5)  # for what becomes due; commits are noticed at once
    sweep_every: timedelta = timedelta(seconds=5)
    idle_after: timedelta = timedelta(seconds=30)  # a sender without work ends its conversation
    finish_within: timedelta = timedelta(seconds=25)  # of a stop
    uncertain_rule: Callable[[str], UncertainRule] = always_send_again  # by kind
    clock: Callable[[], datetime] = utc_now
    chance: random.Random = field(default_factory=random.Random, repr=False)


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What the outbox is handed from above.

    `ways_out` and `open_transport` make short reads of their own; `open_transport` may raise TransportError.
    `on_paused` and `on_end_state` are called after the commit that they tell of, outside any transaction and
    from any thread; what they raise is logged and changes nothing.
    """

    box: SecretBox
    ways_out: Callable[[str], WaysOut]
    open_transport: Callable[[WayOut], Transport]
    on_paused: Callable[[UUID, Pause, datetime], None] | None = None
    on_end_state: Callable[[UUID, State, datetime], None] | None = None
