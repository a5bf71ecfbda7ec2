"""The one door for mail: decides whether, as what and by which route a message leaves, and builds its bytes.

`prepare` writes nothing: its result is stored by `outbox.add` in the transaction of its cause. The test message,
the forgotten password and every notice of the portal itself go through here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy.orm import Session

from portal import email_settings
from portal.connections import MailState, find_sender
from portal.mail.addresses import Mailbox, needs_smtputf8, parse_mailbox
from portal.mail.message import compose, new_message_id
from portal.message_templates.kinds import Kind, kind
from portal.message_templates.rendering import render_message
from portal.outbox.prepared import Lane, PreparedMessage, Schedule
from portal.wording import N_, Text

PORTAL_NAME = "Mail Portal"
RESET_MARGIN = timedelta(minutes=5)  # of its link's life that a message must still have when it leaves


class NotAccepted(Exception):
    """The message was not taken; `reason` says why and who can mend it. Nothing was written."""

    def __init__(self, reason: Text) -> None:
        super().__init__(str(reason))
        self.reason = reason


def prepare(
    kind_name: str,
    *,
    to: Mailbox,
    values: Mapping[str, str],
    session: Session,
    now: datetime,
    message_id_domain: str,
    mail_state: Callable[[Session], MailState],
    language: str = "en",
    expires_at: datetime | None = None,
    replaces: str | None = None,
    connection_id: UUID | None = None,
) -> PreparedMessage:
    """A message of one of the portal's own kinds, by the default route or by the named connection alone.

    `values` fills the kind's placeholders; the portal's name is added. Raises NotAccepted where a secret kind
    cannot leave now: it would reach nobody before its link dies.
    """
    what = kind(kind_name)
    settings = email_settings.load(session)
    if what.is_secret:
        _refuse_secret_without_way(mail_state(session))
    return _prepared(
        what,
        wording=what,
        to=to,
        values=values,
        route="default" if connection_id is None else f"connection:{connection_id}",
        settings=settings,
        reply_to=_reply_to(session, connection_id),
        now=now,
        message_id_domain=message_id_domain,
        language=language,
        expires_at=expires_at,
        held=not settings.enabled,
        replaces=replaces,
    )


def prepare_test(
    *,
    to: Mailbox,
    connection_id: UUID,
    values: Mapping[str, str],
    session: Session,
    now: datetime,
    message_id_domain: str,
    requested_by: UUID | None,
    wording: str = "test",
    language: str = "en",
) -> PreparedMessage:
    """A test message in the wording of any kind, tried once and by the named connection only."""
    return _prepared(
        kind("test"),
        wording=kind(wording),
        to=to,
        values=values,
        route=f"connection:{connection_id}",
        settings=email_settings.load(session),
        reply_to=_reply_to(session, connection_id),
        now=now,
        message_id_domain=message_id_domain,
        language=language,
        requested_by=requested_by,
    )


def _refuse_secret_without_way(state: MailState) -> None:
    if state is MailState.SWITCHED_OFF:
        raise NotAccepted(N_("Sending is switched off. An administrator can switch it on under Email settings."))
    if state is MailState.NO_WAY_OUT:
        raise NotAccepted(N_("No connection can send yet. An administrator can connect one under Email settings."))


def _reply_to(session: Session, connection_id: UUID | None) -> Mailbox | None:
    """The connection's, else the organisation's: where the answers of people go."""
    sender = find_sender(session, connection_id)
    return parse_mailbox(sender.reply_to) if sender and sender.reply_to else None


def _prepared(
    what: Kind,
    *,
    wording: Kind,
    to: Mailbox,
    values: Mapping[str, str],
    route: str,
    settings: email_settings.EmailSettings,
    reply_to: Mailbox | None,
    now: datetime,
    message_id_domain: str,
    language: str,
    expires_at: datetime | None = None,
    held: bool = False,
    replaces: str | None = None,
    requested_by: UUID | None = None,
) -> PreparedMessage:
    portal_name = settings.display_name or PORTAL_NAME
    rendered = render_message(
        wording.name, {**values, "portal_name": portal_name}, language=language, format=settings.format
    )
    message_id = new_message_id(message_id_domain)
    content = compose(
        to=(to,),
        reply_to=reply_to,
        subject=rendered.subject,
        text=rendered.text,
        html=rendered.html,
        message_id=message_id,
        date=now,
        auto_submitted=True,
    )
    return PreparedMessage(
        id=uuid4(),
        kind=what.name,
        is_secret=what.is_secret,
        lane=Lane(what.lane),
        schedule=Schedule(what.schedule),
        route=route,
        from_mailbox=None,
        mail_from=None,
        rcpt_to=(to.address,),
        subject=rendered.subject,
        message_id=message_id,
        content=content,
        needs_smtputf8=needs_smtputf8(to.address),
        created_at=now,
        expires_at=expires_at or now + what.lifetime,
        keep_for=int(RESET_MARGIN.total_seconds()) if what.is_secret else 0,
        held=held,
        replaces=replaces,
        requested_by=requested_by,
    )
