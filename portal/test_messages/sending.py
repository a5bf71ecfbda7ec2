"""Queue a test message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from portal import audit, outbox
from portal.connections import Installation, StoredConnection, find, find_default
from portal.mail.addresses import Mailbox
from portal.mail_service import prepare_test
from portal.message_templates.languages import Value
from portal.wording import N_, Text


class NotSent(Exception):
    """The test message was not queued; `field` is the form's field at fault. Nothing was written."""

    def __init__(self, field: str, reason: Text) -> None:
        super().__init__(str(reason))
        self.field = field
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class TestMessage:
    """What was asked. `connection_id` None means the default connection as it is now."""

    __test__ = False  # pytest: this is no test class

    to: Mailbox
    connection_id: UUID | None = None
    kind: str = "test"  # whose wording is tried
    language: str = "en"  # of whoever asks, as the time zone is
    time_zone: str = ""


def send_test_message(
    session: Session,
    asked: TestMessage,
    *,
    actor: audit.Actor,
    installation: Installation,
    portal_url: str,
    now: datetime,
) -> UUID:
    """Store the message in the caller's unit of work and return its id. Raises NotSent."""
    connection = _connection(session, asked.connection_id, installation)
    prepared = prepare_test(
        to=asked.to,
        connection_id=connection.id,
        values=_values(asked.kind, connection, actor, portal_url, now),
        session=session,
        now=now,
        message_id_domain=installation.public_host,
        requested_by=actor.user_id,
        wording=asked.kind,
        language=asked.language,
        time_zone=asked.time_zone,
    )
    message_id = outbox.add(session, prepared, box=installation.box)
    audit.record(
        session,
        action="test_message.sent",
        actor=actor,
        subject=connection.values.name,
        changes={"to": (None, asked.to.address)},
        now=now,
    )
    return message_id


def _connection(session: Session, connection_id: UUID | None, installation: Installation) -> StoredConnection:
    if connection_id is None:
        found = find_default(session, box=installation.box)
        reason = N_("No connection is the default. An administrator can choose one under Connections.")
    else:
        found = find(session, connection_id, box=installation.box)
        reason = N_("This connection was deleted. Choose another one.")
    if found is None:
        raise NotSent("connection", reason)
    return found


def _values(
    kind: str, connection: StoredConnection, actor: audit.Actor, portal_url: str, now: datetime
) -> Mapping[str, Value]:
    """Sample values for the wording of any kind; what they say is plainly a sample."""
    samples: Mapping[str, Mapping[str, Value]] = {
        "test": {"connection_name": connection.values.name, "sent_by": actor.name, "sent_at": now},
        "password_reset": {
            "name": actor.name,
            "link": f"{portal_url}/reset-password/sample",
            "code": "",
            "means": "link",
            "expires_in": timedelta(minutes=60),
            "requested_at": now,
        },
        "sign_in_hint": {
            "name": actor.name,
            "provider": "Contoso",
            "link": f"{portal_url}/sign-in",
            "requested_at": now,
        },
        "password_changed": {"name": actor.name, "changed_at": now, "contact": ""},
        "invitation": {
            "name": actor.name,
            "email": "ada@contoso.test",
            "link": f"{portal_url}/invitations/sample",
            "invited_by": actor.name,
            "expires_at": now,
        },
        "account_validation": {
            "name": actor.name,
            "address": "ada@contoso.test",
            "link": f"{portal_url}/account-validations/sample",
            "expires_at": now,
        },
        "address_changed": {
            "name": actor.name,
            "change": "replaced",
            "address": "ada@contoso.test",
            "changed_by": "",
            "changed_at": now,
            "contact": "",
        },
        "second_factor_removed": {"name": actor.name, "removed_by": actor.name, "removed_at": now, "contact": ""},
        "connection_alert": {
            "connection_name": connection.values.name,
            "cause": N_("This is a sample of the alert that administrators get."),
            "remedy": N_("There is nothing to do."),
            "server_said": "535 5.7.8 sample",
            "since": now,
            "link": f"{portal_url}/connections",
        },
        "expiry_warning": {
            "connection_name": connection.values.name,
            "credential": N_("client secret"),
            "secret_name": N_("sample"),
            "left": N_("expires in %(days)s days", days=7),
            "expires_on": (now + timedelta(days=7)).date(),
            "consequence": N_("This is a sample of the warning that administrators get."),
            "remedy": N_("There is nothing to do."),
            "link": f"{portal_url}/connections",
        },
    }
    return {**samples[kind], "portal_url": portal_url}
