"""The mails about an account: what they say is the wording's, when they are due is the caller's.

Each is stored in the transaction of its cause, so it leaves if and only if that is committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import structlog
from sqlalchemy.orm import Session

from portal import email_settings, outbox
from portal.accounts import reset_links
from portal.accounts.people import Person
from portal.mail.addresses import Mailbox
from portal.mail_service import NotAccepted
from portal.outbox.prepared import PreparedMessage
from portal.secret_box import SecretBox

_log = structlog.get_logger(__name__)


class Prepare(Protocol):
    """The one door for mail, with the portal's own domain filled in."""

    def __call__(
        self,
        kind_name: str,
        *,
        to: Mailbox,
        values: Mapping[str, str],
        session: Session,
        now: datetime,
        language: str = "en",
        expires_at: datetime | None = None,
        replaces: str | None = None,
    ) -> PreparedMessage: ...


@dataclass(frozen=True)
class AccountMail:
    """Composes by `prepare`, seals with `box`, and knows the portal's public URL."""

    prepare: Prepare
    box: SecretBox = field(repr=False)
    portal_url: str

    def queue_password_reset(
        self, session: Session, person: Person, *, link: str, requested_at: datetime, now: datetime
    ) -> None:
        """Mail the link to the stored address; a newer one takes the place of one that still waits.

        Raises NotAccepted where no mail can leave.
        """
        values = {
            "name": person.name or person.email,
            "link": link,
            "expires_in": f"{int(reset_links.LIFETIME.total_seconds() // 60)} minutes",
            "requested_at": _moment(requested_at),
            "portal_url": self.portal_url,
        }
        prepared = self.prepare(
            "password_reset",
            to=Mailbox(person.email, person.name),
            values=values,
            session=session,
            now=now,
            language=person.language,
            expires_at=now + reset_links.LIFETIME,
            replaces=f"password_reset:{person.id}",
        )
        outbox.add(session, prepared, box=self.box)

    def queue_password_changed(self, session: Session, person: Person, *, now: datetime) -> None:
        """Tell the owner. A portal that sends no mail at present changes the password all the same."""
        values = {
            "name": person.name or person.email,
            "changed_at": _moment(now),
            "contact": email_settings.load(session).administrator_contact,
            "portal_url": self.portal_url,
        }
        to = Mailbox(person.email, person.name)
        try:
            prepared = self.prepare(
                "password_changed", to=to, values=values, session=session, now=now, language=person.language
            )
        except NotAccepted as refusal:
            _log.warning("the notice of a changed password was not accepted", reason=str(refusal.reason))
            return
        outbox.add(session, prepared, box=self.box)


def _moment(moment: datetime) -> str:
    return f"{moment:%d %B %Y, %H:%M} UTC".lstrip("0")
