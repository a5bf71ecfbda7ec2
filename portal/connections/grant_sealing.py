"""A grant at rest: sealed for its connection and method, and for the application and destination it was given for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from portal.connections.grant_fit import Misfit, is_dead, misfit_of
from portal.connections.models import ConnectionGrant
from portal.connections.oauth.microsoft_endpoints import is_guid
from portal.connections.oauth.provider import Grant
from portal.connections.values import CONSENT_METHODS, ConnectionValues, Method
from portal.secret_box import SecretBox, Unreadable
from portal.transports.graph_check import claims_of


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
    scopes: frozenset[str] = frozenset()  # as they were granted last; empty where it cannot be read
    expires_at: datetime | None = None  # of the access token
    principal_id: str = ""  # of an application's own token: its object ID in the directory, where the token tells
    misfit: Misfit | None = None  # what in the settings it is not for, while it is alive

    @property
    def is_good(self) -> bool:
        """Whether it can be used, as far as is known."""
        return self.is_readable and not self.dead_code and self.misfit is None


def grant_state(row: ConnectionGrant, values: ConnectionValues, *, box: SecretBox) -> GrantState:
    """What is known of a stored grant."""
    opened, dead_code = open_grant(row, values, box=box), row.dead_code if is_dead(row, values) else ""
    return GrantState(
        account=row.account,
        obtained_at=row.obtained_at,
        renewed_at=row.renewed_at,
        is_readable=opened is not None,
        dead_code=dead_code,
        dead_said=row.dead_said if dead_code else "",
        dead_at=row.dead_at if dead_code else None,
        secret_slot=row.secret_slot,
        scopes=opened.scopes if opened else frozenset(),
        expires_at=row.expires_at,
        principal_id=_principal_in(opened) if opened and values.method is Method.MICROSOFT_APP else "",
        misfit=misfit_of(values, opened) if opened and not dead_code else None,
    )


def _principal_in(grant: Grant) -> str:
    """No sign of who it is for is checked: it is shown, and decides nothing."""
    object_id = (claims_of(grant.access_token) or {}).get("oid")
    return object_id if isinstance(object_id, str) and is_guid(object_id) else ""


def open_grant(row: ConnectionGrant, values: ConnectionValues, *, box: SecretBox) -> Grant | None:
    """The grant, if it was given for what the values say now and the key opens it."""
    opened = box.open(row.sealed, stored_context(row.connection_id, values))
    return None if isinstance(opened, Unreadable) else grant_from_text(opened)


def stored_context(connection_id: UUID, values: ConnectionValues) -> str:
    """What a stored grant is sealed for."""
    return f"connection_grant.sealed:{connection_id}:{granted_for(values)}"


def granted_for(values: ConnectionValues) -> str:
    """What a grant is bound to: another application or server must not use it, nor is it for sending another way.

    An application's own is bound, too, to a mailbox and scope from placeholders: no change of the connection says that
    they have another value, and a service account's token is for one mailbox.
    """
    own, typed = values.provider, values.typed_provider
    application = f"{own.client_id} {own.send_through}" if own else ""
    if own and typed and values.method not in CONSENT_METHODS:
        application += f" mailbox={own.mailbox}" if own.mailbox != typed.mailbox else ""
        application += f" scope={own.scope}" if own.scope != typed.scope else ""
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
            "addresses": sorted(grant.addresses),
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
        addresses=frozenset(held.get("addresses", ())),
    )
