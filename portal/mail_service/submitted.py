"""Ready bytes with an envelope, as the relay takes them from applications and devices."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from portal.mail.addresses import AddressError, Mailbox, needs_smtputf8, parse_address, same_address_key
from portal.mail.encoding import mailboxes
from portal.mail.headers import HeaderInjection, header_names
from portal.mail.message import new_message_id, written_date
from portal.mail.submitted import (
    LONGEST_HEADER,
    HeaderTooLong,
    Submitted,
    author_of,
    in_seven_bit,
    longest_line,
    take_apart,
)
from portal.mail_service.admission import NotAccepted, admit
from portal.mail_service.composed import LIFETIME
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
from portal.wording import N_

MOST_HOPS = 50  # Received lines, as Postfix counts them
LONGEST_LINE = 998  # octets, RFC 5322 2.1.1
_SUBJECT_SHOWN = 500  # characters
_NOT_OURS = ("Bcc", "Resent-Bcc", "Return-Path", "From", "Sender")
_MESSAGE_ID = re.compile(r"<[!-;=?A-~]+@[!-;=?A-~]+>")


def prepare_submitted(
    content: bytes,
    *,
    mail_from: str,
    rcpt_to: tuple[str, ...],
    caller: Caller,
    session: Session,
    now: datetime,
    message_id_domain: str,
    is_own_person: Callable[[str], bool],
    smtputf8: bool,
    received_line: str | None,
) -> PreparedMessage:
    """A message of the kind `relay`, ready to be stored. Raises NotAccepted.

    `content` has CRLF lines. `received_line` is the value of a Received field, folded or not. `mail_from` is "" for
    a notice that must not be answered. Bcc goes, the sender's rule acts, Message-ID and Date are added where missing,
    raw letters are encoded; all else stays byte for byte.
    """
    settings = own_settings(session, caller)
    if len(content) > settings.largest_message:
        raise NotAccepted(
            N_(
                "The message is too large: it has %(size)s bytes, and the server %(name)s may send %(limit)s.",
                size=f"{len(content):,}",
                limit=f"{settings.largest_message:,}",
                name=settings.name,
            ),
            "content",
        )
    _refuse_bad_lines(content)
    recipients = _recipients(rcpt_to)
    check_recipients(session, caller, settings, recipients, is_own_person=is_own_person, field="rcpt_to")
    apart = _apart(content)
    if apart.count("Received") > MOST_HOPS:
        raise NotAccepted(N_("The message has passed too many servers: it goes round in circles."), "content")
    author = _author(apart, mail_from)
    sender = decided_sender(session, caller, settings, author, kind="relay", field="from")
    message_id, apart = _mended(apart, sender.reply_to, settings.reply_to, now=now, domain=message_id_domain)
    apart = in_seven_bit(apart.without(*_NOT_OURS), keeps_utf8=smtputf8)
    built = bytes(apart.having(("Received", received_line)) if received_line else apart)
    _refuse_bad_header(built)
    envelope = with_automatic_bcc(recipients, settings)
    in_header = b"".join(one.raw for one in apart.fields)
    prepared = prepared_for(
        caller,
        settings,
        session=session,
        kind="relay",
        sender=sender,
        mail_from="" if mail_from == "" else None,
        rcpt_to=envelope,
        subject=apart.first("Subject")[:_SUBJECT_SHOWN],
        message_id=message_id,
        content=built,
        needs_smtputf8=not in_header.isascii() or needs_smtputf8(*envelope, sender.address),
        life=Lifetime(now, LIFETIME),
    )
    return admit(prepared, session=session)


def _apart(content: bytes) -> Submitted:
    try:
        return take_apart(content)
    except HeaderTooLong:
        limit = f"{LONGEST_HEADER:,}"
        raise NotAccepted(
            N_("The header of the message has more than %(limit)s bytes.", limit=limit), "content"
        ) from None


def _refuse_bad_lines(content: bytes) -> None:
    if b"\0" in content:
        raise NotAccepted(N_("The message holds a NUL character, which mail may not."), "content")
    longest = longest_line(content)
    if longest is None:
        raise NotAccepted(N_("A line of the message ends with a bare CR or LF: lines end with CRLF."), "content")
    if longest > LONGEST_LINE:
        raise NotAccepted(N_("A line of the message has more than %(limit)s bytes.", limit=LONGEST_LINE), "content")


def _refuse_bad_header(content: bytes) -> None:
    try:
        header_names(content)
    except HeaderInjection as error:
        raise NotAccepted(N_("The header of the message cannot be read."), "content") from error


def _recipients(rcpt_to: Sequence[str]) -> tuple[str, ...]:
    found: dict[str, str] = {}
    for text in rcpt_to:
        try:
            address = parse_address(text)
        except AddressError as error:
            raise NotAccepted(error.reason, "rcpt_to") from error
        found.setdefault(same_address_key(address), address)
    if not found:
        raise NotAccepted(N_("The message names no recipient."), "rcpt_to")
    return tuple(found.values())


def _author(apart: Submitted, mail_from: str) -> Mailbox | None:
    """Whom the message names: in its From line, else in the envelope."""
    author = author_of(apart)
    if author is not None or apart.count("From"):
        return author
    try:
        return Mailbox(mail_from) if mail_from else None
    except AddressError:
        return None


def _mended(
    apart: Submitted, stands_for: Mailbox | None, reply_to: str, *, now: datetime, domain: str
) -> tuple[str, Submitted]:
    """With what every message needs, and its Message-ID: the message's own where it has a good one."""
    message_id = apart.first("Message-ID")
    added: list[tuple[str, str]] = []
    if apart.count("Message-ID") != 1 or len(message_id) > LONGEST_LINE // 2 or not _MESSAGE_ID.fullmatch(message_id):
        message_id = new_message_id(domain)
        apart = apart.without("Message-ID")
        added.append(("Message-ID", message_id))
    if not apart.count("Date"):
        added.append(("Date", written_date(now)))
    if not apart.count("Reply-To"):
        answers = stands_for or (Mailbox(reply_to) if reply_to else None)
        added += [("Reply-To", mailboxes("Reply-To", [answers]))] if answers else []
    return message_id, apart.having(*added)
