"""The lease under which one process asks the provider for a token that all wait for.

Short, and renewed for as long as the provider is waited for: whoever holds it may take its time, up to four answers of
20 s, and one that dies delays the others by no more than LEASE.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TypeAlias, cast

import structlog
from sqlalchemy import ColumnElement, CursorResult, or_, update
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from portal.connections.models import ConnectionGrant
from portal.database import writing
from portal.outbox.leases import moment

LEASE = timedelta(seconds=15)  # what is left of it at a renewal is longer than SQLite's busy timeout of 10 s
_RENEWALS = 5  # in the time of one lease
_AS_IT_IS = {"synchronize_session": False}
_log = structlog.get_logger(__name__)

Row: TypeAlias = tuple[ColumnElement[bool], ...]  # the conditions that name a grant's row


def take(session: Session, row: Row, owner: str, *, lease: timedelta, now: datetime) -> bool:
    """Take the lease, unless another holds it. Nobody holds it for longer than `lease`: the clock was set back."""
    connection, ends = session.connection(), ConnectionGrant.lease_until
    is_free = or_(ends.is_(None), ends < moment(connection, now), ends > moment(connection, now, 2 * lease))
    taking = update(ConnectionGrant).where(*row, is_free)
    taken = session.execute(
        taking.values(lease_owner=owner, lease_until=moment(connection, now, lease)), execution_options=_AS_IT_IS
    )
    return cast("CursorResult[object]", taken).rowcount == 1


@contextmanager
def kept(engine: Engine, row: Row, owner: str, *, lease: timedelta, clock: Callable[[], datetime]) -> Iterator[None]:
    """Renew the lease that `owner` took until the block ends; it is the caller's to give back.

    A thread does it, each time in a transaction of its own. A lease that is lost stays lost.
    """
    over = threading.Event()

    def renew() -> None:
        while not over.wait(lease.total_seconds() / _RENEWALS):
            try:
                if not _is_renewed(engine, row, owner, lease=lease, now=clock()):
                    return
            except SQLAlchemyError as error:  # the next renewal may come in time
                _log.warning("a token's lease could not be renewed", error=type(error).__name__)

    renewing = threading.Thread(target=renew, name="token lease", daemon=True)
    renewing.start()
    try:
        yield
    finally:
        over.set()
        renewing.join()


def _is_renewed(engine: Engine, row: Row, owner: str, *, lease: timedelta, now: datetime) -> bool:
    ours = update(ConnectionGrant).where(*row, ConnectionGrant.lease_owner == owner)
    with writing(engine).begin() as connection:
        return connection.execute(ours.values(lease_until=moment(connection, now, lease))).rowcount == 1
