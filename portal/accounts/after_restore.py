"""What of people's affairs must not live on in a restored copy: whatever somebody holds a token or cookie of."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, update
from sqlalchemy.engine import Connection

from portal.accounts.factor_models import Ceremony
from portal.accounts.models import Invitation, ResetRequest, Setup, UserAddress, UserSession
from portal.accounts.provider_models import ProviderSignIn


def let_go(connection: Connection, *, now: datetime) -> None:
    """Sign everybody out, and void links and what was under way. Accounts and their factors stay."""
    for table in (UserSession, ResetRequest, Ceremony, ProviderSignIn):
        connection.execute(delete(table))
    unused = Invitation.used_at.is_(None), Invitation.expires_at > now
    connection.execute(update(Invitation).where(*unused).values(expires_at=now))
    connection.execute(update(UserAddress).values(token_hash=None, token_expires_at=None))
    connection.execute(update(Setup).values(token_hash=None))
