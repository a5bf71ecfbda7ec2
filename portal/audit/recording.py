"""record(): one audit entry, in the transaction of what it tells of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final, Literal

from sqlalchemy.orm import Session

from portal.audit.known_words import ACTORS
from portal.audit.models import AuditEntry
from portal.web.access import Actor

Value = str | int | bool | None
Changed = Literal["changed"]
CHANGED: Final[Changed] = "changed"  # a secret was set, replaced or cleared: only that it happened is kept
LONGEST_VALUE = 500  # characters of an old or new value, such as a certificate, that are kept
_SECRET_NAMES = ("password", "secret", "token", "private_key", "service_account_key", "client_certificate")
_NOTHING: Mapping[str, tuple[Value, Value] | Changed] = MappingProxyType({})


COMMAND_LINE = Actor(None, "command line", "")
_PORTAL = Actor(None, "the portal", "")
NO_PERSONS = frozenset(ACTORS)  # what entries without an account are told by: no account may be called so


def record(
    session: Session,
    *,
    action: str,
    actor: Actor | None,
    subject: str,
    changes: Mapping[str, tuple[Value, Value] | Changed] = _NOTHING,
    now: datetime,
) -> None:
    """Add an entry to the caller's transaction. Without an actor the portal itself acted.

    `action` is a stable name (`connection.changed`), `subject` what people call the thing. `changes` gives the
    old and the new value by field; fields whose value did not change are left out, secrets are CHANGED, and a
    field whose name speaks of a secret becomes CHANGED whatever was handed in.
    """
    who = actor or _PORTAL
    session.add(
        AuditEntry(
            at=now,
            action=action,
            actor_id=who.user_id,
            actor_name=who.name[:320],
            actor_address=who.address[:64],
            subject=subject,
            changes={field: _kept(field, change) for field, change in changes.items() if _differs(change)},
        )
    )


def _differs(change: tuple[Value, Value] | Changed) -> bool:
    return isinstance(change, str) or change[0] != change[1]


def _kept(field: str, change: tuple[Value, Value] | Changed) -> list[Value] | str:
    if isinstance(change, str) or any(field == name or field.endswith(f"_{name}") for name in _SECRET_NAMES):
        return CHANGED
    return [_shortened(value) for value in change]


def _shortened(value: Value) -> Value:
    return value[:LONGEST_VALUE] + "…" if isinstance(value, str) and len(value) > LONGEST_VALUE else value
