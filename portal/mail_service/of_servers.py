"""What mail of every server has in common: whom it is from, whom it may go to, and which route it waits on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from portal.mail.addresses import Mailbox, same_address_key
from portal.mail_service.admission import NotAccepted
from portal.outbox.message_ids import new_id
from portal.outbox.prepared import Lane, PreparedMessage, Schedule
from portal.servers.callers import Caller
from portal.servers.inheritance import ServerSettings, load_settings
from portal.servers.routing import route_for
from portal.servers.senders import NoSender, own_sender, recipients_refusal, rule_on_sender
from portal.servers.ways import refusal_on_the_way
from portal.wording import N_


@dataclass(frozen=True)
class DecidedSender:
    """`mailbox` is None where the way out's own is taken; `reply_to` is whom a rewritten message named."""

    mailbox: Mailbox | None
    reply_to: Mailbox | None = None

    @property
    def address(self) -> str:
        """The address alone, "" for the way out's own."""
        return self.mailbox.address if self.mailbox else ""


@dataclass(frozen=True)
class Lifetime:
    """When a message came and how long it may wait."""

    begins_at: datetime
    lasts: timedelta

    @property
    def ends_at(self) -> datetime:
        return self.begins_at + self.lasts


def own_settings(session: Session, caller: Caller) -> ServerSettings:
    """The settings of the caller's server. Raises NotAccepted where it was deleted or switched off meanwhile."""
    settings = load_settings(session, caller.server_id)
    if settings is None:
        raise NotAccepted(N_("This server was deleted. Ask an administrator of the portal."))
    if not settings.values.is_enabled:
        raise NotAccepted(
            N_(
                "The server %(name)s is switched off. An administrator can switch it on under Servers.",
                name=settings.name,
            ),
            is_lasting=False,
        )
    return settings


def check_recipients(
    session: Session,
    caller: Caller,
    settings: ServerSettings,
    recipients: Sequence[str],
    *,
    is_own_person: Callable[[str], bool],
    field: str,
) -> None:
    """Raises NotAccepted for too many recipients, and for one that the caller may not write to."""
    if len(recipients) > settings.most_recipients:
        raise NotAccepted(
            N_(
                "The message has %(count)s recipients, and the server %(name)s may write to %(most)s at once. Send "
                "several messages, or ask an administrator to raise the limit under Servers.",
                count=len(recipients),
                most=settings.most_recipients,
                name=settings.name,
            ),
            field,
        )
    refusal = recipients_refusal(session, caller, recipients, is_own_person=is_own_person)
    if refusal is not None:
        raise NotAccepted(refusal, field)


def decided_sender(
    session: Session, caller: Caller, settings: ServerSettings, named: Mailbox | None, *, kind: str, field: str
) -> DecidedSender:
    """Whom the message is from: whom it names where that is allowed, else the server's own.

    Raises NotAccepted, also where the way out is known to refuse that sender. Mail of a test key is judged as if it
    were to leave: its answer tells what live mail would meet.
    """
    decided = _decided(caller, settings, named, field)
    refusal = refusal_on_the_way(session, server_id=caller.server_id, from_address=decided.address, kind=kind)
    if refusal is not None:
        raise NotAccepted(refusal, field)
    return decided


def with_automatic_bcc(recipients: Sequence[str], settings: ServerSettings) -> tuple[str, ...]:
    """The envelope's recipients: hidden ones are named in no header."""
    copy = settings.automatic_bcc
    if not copy or same_address_key(copy) in map(same_address_key, recipients):
        return tuple(recipients)
    return (*recipients, copy)


def prepared_for(
    caller: Caller,
    settings: ServerSettings,
    *,
    session: Session,
    kind: str,
    sender: DecidedSender,
    mail_from: str | None,
    rcpt_to: tuple[str, ...],
    subject: str,
    message_id: str,
    content: bytes,
    needs_smtputf8: bool,
    life: Lifetime,
) -> PreparedMessage:
    """The message with its route and what is known of who submitted it."""
    known = sender.address or (settings.sender.address if settings.sender else "")
    is_test = caller.kind == "test"
    routed = route_for(session, server_id=caller.server_id, from_address=known, kind=kind, is_test=is_test)
    return PreparedMessage(
        id=new_id(),
        kind=kind,
        is_secret=False,
        lane=Lane.NORMAL,
        schedule=Schedule.NORMAL,
        route=routed.route,
        from_mailbox=sender.mailbox,
        mail_from=mail_from,
        rcpt_to=rcpt_to,
        subject=subject,
        message_id=message_id,
        content=content,
        needs_smtputf8=needs_smtputf8,
        created_at=life.begins_at,
        expires_at=life.ends_at,
        held=not settings.organisation.enabled and not settings.values.is_exempt,
        server_id=caller.server_id,
        server_name=caller.server_name,
        key_id=caller.key_id,
    )


def _decided(caller: Caller, settings: ServerSettings, named: Mailbox | None, field: str) -> DecidedSender:
    if named is None:
        return DecidedSender(_own(settings, caller, field))
    ruling = rule_on_sender(caller, settings, named.address)
    if ruling.refusal is not None:
        raise NotAccepted(ruling.refusal, field)
    if ruling.is_rewritten:
        return DecidedSender(_own(settings, caller, field), named)
    return DecidedSender(_with_name(named, settings))


def _own(settings: ServerSettings, caller: Caller, field: str) -> Mailbox | None:
    try:
        return own_sender(settings, caller)
    except NoSender as refused:
        raise NotAccepted(refused.reason, field) from refused


def _with_name(named: Mailbox, settings: ServerSettings) -> Mailbox:
    """The server's display name where the message gives its own address without one."""
    if named.display_name or settings.sender is None:
        return named
    is_own = same_address_key(named.address) == same_address_key(settings.sender.address)
    return Mailbox(named.address, settings.sender.display_name) if is_own else named
