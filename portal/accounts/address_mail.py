"""The mails about an address: the link that validates it, and the notice to whoever must know of a change.

Each goes to an address that is named, wherever the person is written to otherwise.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from portal import audit
from portal.accounts.account_mail import AccountMail
from portal.accounts.people import Person
from portal.mail.addresses import Mailbox
from portal.message_templates.languages import Value

_log = structlog.get_logger(__name__)


def queue_account_validation(
    mail: AccountMail,
    session: Session,
    person: Person,
    address: str,
    address_id: UUID,
    *,
    link: str,
    expires_at: datetime,
    now: datetime,
) -> None:
    """Mail the link there; a newer one takes the place of one that still waits. Raises NotAccepted."""
    values: dict[str, Value] = {"address": address, "link": link, "expires_at": expires_at}
    to, mark = Mailbox(address, person.name), f"account_validation:{address_id}"
    mail.queue(session, person, "account_validation", values, to=to, expires_at=expires_at, replaces=mark, now=now)


def queue_address_changed(
    mail: AccountMail,
    session: Session,
    person: Person,
    change: str,
    *,
    to: str,
    address: str,
    by: str = "",
    now: datetime,
) -> None:
    """Tell `to` what happened to `address`: it was `replaced` as the primary one, `removed`, or `added`, or it is the
    person's still, but `unused`: mail to the person goes elsewhere.

    `by` is who did it, "" for the owner. It happens in any case. The new address is told to nobody: the mailbox of
    the old one may be lost to somebody else.
    """
    values: dict[str, Value] = {
        "change": change,
        "address": address,
        "changed_by": audit.actor_in_words(by),
        "changed_at": now,
    }
    mailbox, of = Mailbox(to, person.name), "a changed address"
    mail.queue_notice(session, person, "address_changed", values, of=of, to=mailbox, now=now)
