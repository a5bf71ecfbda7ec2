"""People of an installation: signed in, or holding a link to a new password."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from portal.accounts import sessions
from portal.accounts.models import ResetRequest, User
from portal.accounts.tokens import new_token, token_hash
from portal.transaction import unit_of_work
from tests.faults.installation import Installation


def add_person(installation: Installation, email: str, role: str = "user") -> User:
    """Somebody who has no password yet."""
    now = datetime.now(UTC)
    user = User(id=uuid4(), email=email, email_key=email, name="Ada", role=role, created_at=now)
    with installation.app.app_context(), unit_of_work() as session:
        session.add(user)
        session.flush()
        session.expunge(user)
    return user


def sign_in(installation: Installation, email: str, role: str) -> dict[str, str]:
    """The cookie of somebody new who is signed in."""
    user = add_person(installation, email, role)
    with installation.app.app_context(), unit_of_work() as session:
        token = sessions.start(session, user.id, address="127.0.0.1", agent="tests", now=datetime.now(UTC))
    return {"portal-session": token}


def reset_link(installation: Installation, email: str) -> str:
    """The path of a link that lets somebody new choose a password."""
    user, now, token = add_person(installation, email), datetime.now(UTC), new_token()
    request = ResetRequest(
        identifier=email,
        address="127.0.0.1",
        requested_at=now,
        state="answered",
        answered_at=now,
        user_id=user.id,
        email_key=user.email_key,
        role=user.role,
        token_hash=token_hash(token),
        expires_at=now + timedelta(hours=1),
    )
    with installation.app.app_context(), unit_of_work() as session:
        session.add(request)
    return f"/reset-password/{token}"
