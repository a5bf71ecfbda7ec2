"""A grant at rest: sealed for its connection and method, and for the application and destination it was given for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from portal.connections.models import ConnectionGrant
from portal.connections.oauth.provider import Grant
from portal.connections.values import ConnectionValues
from portal.secret_box import SecretBox, Unreadable


@dataclass(frozen=True)
class GrantState:
    """What may be told of a stored grant."""

    account: str
    obtained_at: datetime
    renewed_at: datetime
    is_readable: bool
    dead_code: str = ""  # why it is no good any more
    dead_said: str = ""
    dead_at: datetime | None = None
    secret_slot: int = 0  # which of the two client secrets the provider took last; 0: none was needed

    @property
    def is_good(self) -> bool:
        """Whether it can be used, as far as is known."""
        return self.is_readable and not self.dead_code


def grant_state(row: ConnectionGrant, values: ConnectionValues, *, box: SecretBox) -> GrantState:
    """What is known of a stored grant."""
    return GrantState(
        account=row.account,
        obtained_at=row.obtained_at,
        renewed_at=row.renewed_at,
        is_readable=open_grant(row, values, box=box) is not None,
        dead_code=row.dead_code,
        dead_said=row.dead_said,
        dead_at=row.dead_at,
        secret_slot=row.secret_slot,
    )


def open_grant(row: ConnectionGrant, values: ConnectionValues, *, box: SecretBox) -> Grant | None:
    """The grant, if it was given for what the values say now and the key opens it."""
    opened = box.open(row.sealed, stored_context(row.connection_id, values))
    return None if isinstance(opened, Unreadable) else grant_from_text(opened)


def stored_context(connection_id: UUID, values: ConnectionValues) -> str:
    """What a stored grant is sealed for."""
    return f"connection_grant.sealed:{connection_id}:{granted_for(values)}"


def granted_for(values: ConnectionValues) -> str:
    """What a grant is bound to: another application or server must not use it, nor is it for sending another way."""
    own = values.provider
    application = f"{own.client_id} {own.send_through}" if own else ""
    return f"{values.method}:{application}:{values.destination}"


def grant_to_text(grant: Grant) -> str:
    """For sealing alone."""
    return json.dumps(
        {
            "stored": grant.stored,
            "account": grant.account,
            "tenant": grant.tenant,
            "scopes": sorted(grant.scopes),
            "access_token": grant.access_token,
            "expires_at": grant.expires_at.isoformat(),
            "secret_slot": grant.secret_slot,
        }
    )


def grant_from_text(text: str) -> Grant:
    """What `grant_to_text` gave."""
    held = json.loads(text)
    return Grant(
        stored=held["stored"],
        account=held["account"],
        tenant=held["tenant"],
        scopes=frozenset(held["scopes"]),
        access_token=held["access_token"],
        expires_at=datetime.fromisoformat(held["expires_at"]),
        secret_slot=held["secret_slot"],
    )
