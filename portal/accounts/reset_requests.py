"""The stranger's part of a forgotten password: one row, whoever asks for whomever; the worker does the rest.

So a known, an unknown, a disabled and a malformed address get the same answer after the same work, and only
the owner's mailbox shows which it was. Source: OWASP Forgot Password Cheat Sheet; ASVS 5.0 V6.3.8.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import uuid4

from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session

from portal import outbox
from portal.accounts.models import ResetRequest
from portal.accounts.tokens import token_hash
from portal.mail.header_text import one_line

KEEP = timedelta(days=7)  # rows are removed after that
KEEP_REFUSED = timedelta(hours=2)
BY_STAFF = "administrator or helpdesk"  # stands for the client's address: found by address, and no limit holds


def request_password_reset(
    session: Session, identifier: str, client_address: str, now: datetime, *, browser_token: str = ""
) -> None:
    """Write down that somebody asked, and wake the worker. The same single row whoever asks for whomever.

    `browser_token` is the cookie of the browser in which a code is to work; "" where none is to be mailed.
    """
    session.add(
        ResetRequest(
            id=uuid4(),
            identifier=one_line(identifier)[:320],
            address=client_address[:64],
            requested_at=now,
            state="waiting",
            browser_hash=token_hash(browser_token) if browser_token else None,
        )
    )
    outbox.wake(session)


def has_waiting(engine: Engine) -> bool:
    """Whether anybody waits for an answer; a short read of its own, asked after every commit."""
    with engine.connect() as connection:
        waiting = select(ResetRequest.id).where(ResetRequest.state == "waiting").limit(1)
        return connection.execute(waiting).first() is not None


def purge(session: Session, *, now: datetime) -> None:
    """Remove requests that no limit counts and no link needs any more."""
    refused = (ResetRequest.state == "refused") & (ResetRequest.requested_at < now - KEEP_REFUSED)
    session.execute(delete(ResetRequest).where(refused | (ResetRequest.requested_at < now - KEEP)))
