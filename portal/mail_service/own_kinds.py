"""Messages of the portal's own kinds: the test message, the forgotten password and every notice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from portal import email_settings
from portal.connections import MailState, find_sender
from portal.mail.addresses import Mailbox, needs_smtputf8, parse_mailbox
from portal.mail.message import compose, new_message_id
from portal.mail_service.admission import NotAccepted, admit
from portal.message_templates.kinds import Kind, kind
from portal.message_templates.languages import Value
from portal.message_templates.rendering import render_message
from portal.outbox.message_ids import new_id
from portal.outbox.prepared import Lane, PreparedMessage, Schedule
from portal.servers.routing import route_for
from portal.wording import N_

PORTAL_NAME = "Mail Portal"
RESET_MARGIN = timedelta(minutes=5)  # of its link's life that a message must still have when it leaves


def prepare(
    kind_name: str,
    *,
    to: Mailbox,
    values: Mapping[str, Value],
    session: Session,
    now: datetime,
    message_id_domain: str,
    mail_state: Callable[[Session], MailState],
    language: str = "en",
    time_zone: str = "",
    expires_at: datetime | None = None,
    replaces: str | None = None,
    connection_id: UUID | None = None,
) -> PreparedMessage:
    """A message of one of the portal's own kinds, by the default route or by the named connection alone.

    `values` fills the kind's placeholders, in words of the recipient's language and time zone; the portal's name is
    added. Raises NotAccepted where a secret kind cannot leave now, since it would reach nobody before its link dies,
    and for what `admit` refuses.
    """
    what = kind(kind_name)
    settings = email_settings.load(session)
    if what.is_secret:
        _refuse_secret_without_way(mail_state(session))
    prepared = _prepared(
        what,
        wording=what,
        to=to,
        values=values,
        route=_route(session, what, connection_id),
        settings=settings,
        reply_to=_reply_to(session, connection_id),
        now=now,
        message_id_domain=message_id_domain,
        language=language,
        time_zone=time_zone,
        expires_at=expires_at,
        held=not settings.enabled,
        replaces=replaces,
    )
    return admit(prepared, session=session)


def prepare_test(
    *,
    to: Mailbox,
    connection_id: UUID,
    values: Mapping[str, Value],
    session: Session,
    now: datetime,
    message_id_domain: str,
    requested_by: UUID | None,
    wording: str = "test",
    language: str = "en",
    time_zone: str = "",
) -> PreparedMessage:
    """A test message in the wording of any kind, tried once and by the named connection only. Raises NotAccepted."""
    prepared = _prepared(
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
        time_zone=time_zone,
        requested_by=requested_by,
    )
    return admit(prepared, session=session)


def _refuse_secret_without_way(state: MailState) -> None:
    if state is MailState.SWITCHED_OFF:
        raise NotAccepted(N_("Sending is switched off. An administrator can switch it on under Email settings."))
    if state is MailState.NO_WAY_OUT:
        raise NotAccepted(N_("No connection can send yet. An administrator can connect one under Email settings."))


def _route(session: Session, what: Kind, connection_id: UUID | None) -> str:
    """The named connection's, else that of the rule that is for this kind, else the default."""
    if connection_id is not None:
        return f"connection:{connection_id}"
    return route_for(session, server_id=None, from_address="", kind=what.name).route


def _reply_to(session: Session, connection_id: UUID | None) -> Mailbox | None:
    """The connection's, else the organisation's: where the answers of people go."""
    sender = find_sender(session, connection_id)
    return parse_mailbox(sender.reply_to) if sender and sender.reply_to else None


def _prepared(
    what: Kind,
    *,
    wording: Kind,
    to: Mailbox,
    values: Mapping[str, Value],
    route: str,
    settings: email_settings.EmailSettings,
    reply_to: Mailbox | None,
    now: datetime,
    message_id_domain: str,
    language: str,
    time_zone: str,
    expires_at: datetime | None = None,
    held: bool = False,
    replaces: str | None = None,
    requested_by: UUID | None = None,
) -> PreparedMessage:
    portal_name = settings.display_name or PORTAL_NAME
    rendered = render_message(
        wording.name,
        {**values, "portal_name": portal_name},
        language=language,
        time_zone=time_zone,
        format=settings.format,
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
        id=new_id(),
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
