"""A mail that an application composed: checked, sent as whom it may, and built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from portal.mail.addresses import Mailbox, needs_smtputf8, parse_mailbox, same_address_key
from portal.mail.header_text import HeaderTextError, check_header_text
from portal.mail.message import TEXT_LIMIT, Attachment, compose, new_message_id
from portal.mail.plain_text import plain_text_of
from portal.mail_service.admission import NotAccepted, admit
from portal.mail_service.of_servers import (
    Lifetime,
    check_recipients,
    decided_sender,
    own_settings,
    prepared_for,
    with_automatic_bcc,
)
from portal.outbox.prepared import PreparedMessage
from portal.servers.callers import Caller
from portal.servers.inheritance import ServerSettings
from portal.wording import N_

LIFETIME = timedelta(days=3)  # as long as it is retried
SHORTEST_LIFETIME = timedelta(seconds=60)
LONGEST_LIFETIME = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class Composed:
    """What an application asks for. Without text there is HTML, and the other way round."""

    from_mailbox: Mailbox | None = None
    to: tuple[Mailbox, ...] = ()
    cc: tuple[Mailbox, ...] = ()
    bcc: tuple[Mailbox, ...] = ()
    reply_to: Mailbox | None = None
    subject: str = ""
    text: str | None = None
    html: str | None = None
    attachments: tuple[Attachment, ...] = field(default=(), repr=False)
    expires_in: timedelta | None = None


def prepare_composed(
    composed: Composed,
    *,
    caller: Caller,
    session: Session,
    now: datetime,
    message_id_domain: str,
    is_own_person: Callable[[str], bool],
) -> PreparedMessage:
    """A message of the kind `api`, ready to be stored. Raises NotAccepted."""
    settings = own_settings(session, caller)
    _refuse_incomplete(composed)
    named = _addresses(composed)
    check_recipients(session, caller, settings, named, is_own_person=is_own_person, field="to")
    sender = decided_sender(session, caller, settings, composed.from_mailbox, kind="api", field="from")
    message_id = new_message_id(message_id_domain)
    content = _built(composed, settings, sender.reply_to, message_id=message_id, now=now)
    if len(content) > settings.largest_message:
        raise NotAccepted(
            N_(
                "The message is too large: it has %(size)s bytes, and the server %(name)s may send %(limit)s. Send "
                "fewer or smaller attachments, or ask an administrator to raise the limit under Servers.",
                size=f"{len(content):,}",
                limit=f"{settings.largest_message:,}",
                name=settings.name,
            ),
            "attachments" if composed.attachments else "text",
        )
    rcpt_to = with_automatic_bcc(named, settings)
    prepared = prepared_for(
        caller,
        settings,
        session=session,
        kind="api",
        sender=sender,
        mail_from=None,
        rcpt_to=rcpt_to,
        subject=composed.subject.strip(" "),
        message_id=message_id,
        content=content,
        needs_smtputf8=_needs_smtputf8(composed, sender.mailbox, rcpt_to),
        life=Lifetime(now, _lifetime(composed.expires_in)),
    )
    return admit(prepared, session=session)


def _refuse_incomplete(composed: Composed) -> None:
    if not (composed.to or composed.cc or composed.bcc):
        raise NotAccepted(N_("The message names no recipient. Name one in to, cc or bcc."), "to")
    if composed.text is None and composed.html is None:
        raise NotAccepted(N_("The message has no body. Give text, html or both."), "text")


def _lifetime(wanted: timedelta | None) -> timedelta:
    if wanted is None:
        return LIFETIME
    if not SHORTEST_LIFETIME <= wanted <= LONGEST_LIFETIME:
        raise NotAccepted(
            N_(
                "A message may wait from %(shortest)s to %(longest)s seconds before it expires.",
                shortest=int(SHORTEST_LIFETIME.total_seconds()),
                longest=int(LONGEST_LIFETIME.total_seconds()),
            ),
            "expires_in_seconds",
        )
    return wanted


def _addresses(composed: Composed) -> tuple[str, ...]:
    """Every recipient once, in the order given."""
    found: dict[str, str] = {}
    for mailbox in (*composed.to, *composed.cc, *composed.bcc):
        found.setdefault(same_address_key(mailbox.address), mailbox.address)
    return tuple(found.values())


def _built(
    composed: Composed, settings: ServerSettings, stands_for: Mailbox | None, *, message_id: str, now: datetime
) -> bytes:
    html = None if settings.format == "text" else composed.html
    text = composed.text if composed.text is not None else plain_text_of(composed.html or "")
    reply_to = composed.reply_to or stands_for
    if reply_to is None and settings.reply_to:
        reply_to = parse_mailbox(settings.reply_to)
    try:
        return compose(
            to=composed.to,
            cc=composed.cc,
            reply_to=reply_to,
            subject=composed.subject,
            text=text,
            html=html,
            attachments=composed.attachments,
            message_id=message_id,
            date=now,
            auto_submitted=False,
        )
    except HeaderTextError as error:
        raise NotAccepted(error.reason, _guilty(composed)) from error


def _guilty(composed: Composed) -> str:
    """Which field a header could not hold."""
    try:
        check_header_text(composed.subject, limit=TEXT_LIMIT)
    except HeaderTextError:
        return "subject"
    return "attachments"


def _needs_smtputf8(composed: Composed, sender: Mailbox | None, rcpt_to: Sequence[str]) -> bool:
    in_headers = (*composed.to, *composed.cc, *([composed.reply_to] if composed.reply_to else []))
    return needs_smtputf8(*rcpt_to, *(one.address for one in in_headers), *([sender.address] if sender else []))
