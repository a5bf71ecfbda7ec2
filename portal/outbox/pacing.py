"""What all workers share of one way out: messages a minute, and connections at the same time.

A budget is a small mapping in the way out's row, read and written under the row's lock. Its promise: in no
window of 60 s are more than `limit` messages handed over, whoever hands them over. A message counts from the
moment it is granted until 60 s after it was reported finished, so one that is slow or lost is never forgotten.
Grants are spread over the minute, so that an urgent message never waits behind a burst.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, select, update
from sqlalchemy.engine import Connection

from portal.outbox.models import WayOutRecord
from portal.outbox.ready_statements import ReadyQuery, ReadyStatement
from portal.outbox.way_out_rows import ensure_row

WINDOW_SECONDS = 60.0
IN_HAND = timedelta(seconds=60)  # after it the messages of a silent worker are taken for handed over
CONNECTIONS = timedelta(seconds=15)  # after it the connections of a silent worker are free for others
_STAMPS_A_SECOND = 4
_SHORTEST_WAIT = 0.05

Budget = dict[str, Any]


@dataclass(frozen=True)
class Grant:
    """How many messages may be handed over now; if fewer than asked, how long to wait before asking again."""

    messages: int
    wait_seconds: float = 0.0


def settle(
    budget: Budget, *, owner: str, limit: int, wanted: int, finished: int = 0, returned: int = 0, at: float
) -> Grant:
    """Report messages finished or returned unsent, and ask for `wanted` more. `at` is in seconds since 1970."""
    _forget(budget, at)
    tokens = _tokens(budget, limit, at) + returned
    in_hand = budget.setdefault("in_hand", {})
    held = max(0, in_hand.get(owner, [0, 0])[0] - finished - returned)
    if finished:
        _stamp(budget, at, finished)
    in_window = sum(budget["finished"].values()) + sum(n for who, (n, _) in in_hand.items() if who != owner) + held
    granted = max(0, min(wanted, math.floor(tokens), limit - in_window))
    budget["tokens"], budget["tokens_at"] = tokens - granted, at
    in_hand[owner] = [held + granted, at + IN_HAND.total_seconds()]
    if in_hand[owner][0] == 0:
        del in_hand[owner]
    if granted >= wanted:
        return Grant(granted)
    wait = (1 - (tokens - granted)) * 60 / limit if in_window + granted < limit else _until_window_moves(budget, at)
    return Grant(granted, max(_SHORTEST_WAIT, wait))


def share(budget: Budget, *, owner: str, wanted: int, ceiling: int, at: float) -> int:
    """How many connections the owner may hold, at most `wanted`; 0 gives all back. Also renews what it holds."""
    holders = {who: held for who, held in budget.get("connections", {}).items() if held[1] > at and who != owner}
    free = ceiling - sum(int(count) for count, _ in holders.values())
    granted = max(0, min(wanted, free))
    if granted:
        holders[owner] = [granted, at + CONNECTIONS.total_seconds()]
    budget["connections"] = holders
    in_hand = budget.get("in_hand", {})
    if owner in in_hand:
        in_hand[owner][1] = at + IN_HAND.total_seconds()
    return granted


_IS_OURS = (WayOutRecord.connection_id == bindparam("whose"), WayOutRecord.sender == "")
_OPEN = ReadyQuery(lambda _: select(WayOutRecord.budget).where(*_IS_OURS).with_for_update())
_STORE = ReadyStatement(lambda _: update(WayOutRecord).where(*_IS_OURS).values(budget=bindparam("new_budget")))


def open_budget(connection: Connection, connection_id: UUID) -> Budget:
    """The way out's budget, its row locked until the transaction ends."""
    found = _OPEN.rows(connection, {"whose": connection_id})
    if not found:
        ensure_row(connection, connection_id)
        found = _OPEN.rows(connection, {"whose": connection_id})
    [(budget,)] = found
    return dict(budget or {})


def store_budget(connection: Connection, connection_id: UUID, budget: Budget) -> None:
    _STORE.run(connection, {"whose": connection_id, "new_budget": budget})


def _forget(budget: Budget, at: float) -> None:
    """Drop what left the window; whoever fell silent is taken to have handed its messages over at the last moment."""
    finished = budget.setdefault("finished", {})
    for owner, (count, until) in list(budget.get("in_hand", {}).items()):
        if until <= at:
            del budget["in_hand"][owner]
            _stamp(budget, until, count)
    for stamp in list(finished):
        moment = int(stamp) / _STAMPS_A_SECOND
        # A stamp from the future is of a clock that was set back since: it would never leave.
        if not at - WINDOW_SECONDS < moment <= at + WINDOW_SECONDS:
            del finished[stamp]


def _stamp(budget: Budget, at: float, count: int) -> None:
    stamp = str(math.ceil(at * _STAMPS_A_SECOND))
    finished = budget.setdefault("finished", {})
    finished[stamp] = finished.get(stamp, 0) + count


def _tokens(budget: Budget, limit: int, at: float) -> float:
    most = max(2.0, limit / 30)  # what two seconds bring
    since = budget.get("tokens_at")
    if since is None:
        return max(1.0, _SHORTEST_WAIT * limit / 60)  # what the shortest wait would bring
    earned = max(0.0, at - since) * limit / 60
    return float(min(most, budget["tokens"] + earned))


def _until_window_moves(budget: Budget, at: float) -> float:
    if not budget["finished"]:
        return 1.0
    first = min(int(stamp) for stamp in budget["finished"])
    return float(min(first / _STAMPS_A_SECOND + WINDOW_SECONDS - at, 5.0))
