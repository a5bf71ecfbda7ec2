"""The mails about an account: what they say is the wording's, when they are due is the caller's.

Each is stored in the transaction of its cause, so it leaves if and only if that is committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from sqlalchemy.orm import Session

from portal import audit, email_settings, outbox
from portal.accounts import reset_links
from portal.accounts.people import Person
from portal.accounts.people_identifier import written_to
from portal.mail.addresses import Mailbox
from portal.mail_service import NotAccepted
from portal.message_templates.languages import Value
from portal.outbox.prepared import Lane, PreparedMessage, Schedule
from portal.secret_box import SecretBox

INVITATION_LIFETIME = timedelta(days=7)
_log = structlog.get_logger(__name__)


class Prepare(Protocol):
    """The one door for mail, with the portal's own domain filled in."""

    def __call__(
        self,
        kind_name: str,
        *,
        to: Mailbox,
        values: Mapping[str, Value],
        session: Session,
        now: datetime,
        language: str = "en",
        time_zone: str = "",
        expires_at: datetime | None = None,
        replaces: str | None = None,
    ) -> PreparedMessage: ...


@dataclass(frozen=True)
class AccountMail:
    """Composes by `prepare`, seals with `box`, and knows the portal's public URL."""

    prepare: Prepare
    box: SecretBox = field(repr=False)
    portal_url: str

    def queue(
        self,
        session: Session,
        person: Person,
        kind: str,
        values: Mapping[str, Value],
        *,
        to: Mailbox | None = None,
        expires_at: datetime | None = None,
        replaces: str | None = None,
        is_bulk: bool = False,
        now: datetime,
    ) -> None:
        """A message to the person, where the person is written to or else to `to`, in the person's language.

        To `values` come the person's name and the portal's URL. Raises NotAccepted where no mail can leave.
        """
        prepared = self.prepare(
            kind,
            to=to or written_to(session, person),
            values={"name": person.name or person.email, "portal_url": self.portal_url, **values},
            session=session,
            now=now,
            language=person.language,
            time_zone=person.time_zone,
            expires_at=expires_at,
            replaces=replaces,
        )
        if is_bulk:
            prepared = replace(prepared, lane=Lane.BULK, schedule=Schedule.BULK)
        outbox.add(session, prepared, box=self.box)

    def queue_notice(
        self,
        session: Session,
        person: Person,
        kind: str,
        values: Mapping[str, Value],
        *,
        of: str,
        to: Mailbox | None = None,
        now: datetime,
    ) -> None:
        """The same of what happens in any case: where no mail can leave, only the log tells of it, as `of`.

        To `values` comes whom to ask.
        """
        contact = email_settings.load(session).administrator_contact
        try:
            self.queue(session, person, kind, {**values, "contact": contact}, to=to, now=now)
        except NotAccepted as refusal:
            _log.warning(f"the notice of {of} was not accepted", reason=str(refusal.reason))

    def queue_password_reset(
        self,
        session: Session,
        person: Person,
        *,
        link: str,
        code: str = "",
        means: str = "link",
        browser_hash: bytes = b"",
        requested_at: datetime,
        now: datetime,
    ) -> None:
        """Mail the link, the code or both to the stored address; a newer one takes the place of one that still waits.

        `means` is `link`, `code` or `both`: what was not made is "". A code takes the place of one for the same
        browser only, by the hash of its cookie.
        Raises NotAccepted where no mail can leave.
        """
        values: dict[str, Value] = {
            "link": link or f"{self.portal_url}/reset-password",  # where a code is typed
            "code": code,
            "means": means,
            "expires_in": reset_links.LIFETIME,
            "requested_at": requested_at,
        }
        expires_at, mark = now + reset_links.LIFETIME, f"password_reset:{person.id}{browser_hash.hex()[:64]}"
        self.queue(session, person, "password_reset", values, expires_at=expires_at, replaces=mark, now=now)

    def queue_invitation(
        self, session: Session, person: Person, *, link: str, invited_by: str, now: datetime, is_bulk: bool
    ) -> None:
        """Mail the link by which the first password is chosen; a newer one takes the place of one that still waits.

        Many at once give way to other mail. Raises NotAccepted where no mail can leave.
        """
        expires_at, mark = now + INVITATION_LIFETIME, f"invitation:{person.id}"
        values: dict[str, Value] = {
            "email": person.email,
            "link": link,
            "invited_by": audit.actor_in_words(invited_by),
            "expires_at": expires_at,
        }
        self.queue(
            session, person, "invitation", values, expires_at=expires_at, replaces=mark, is_bulk=is_bulk, now=now
        )

    def queue_second_factor_changed(
        self, session: Session, person: Person, change: str, *, name: str = "", now: datetime
    ) -> None:
        """Tell the owner what the wording calls `change`; `name` is the passkey's. It happens in any case."""
        values: dict[str, Value] = {"change": change, "passkey": name, "changed_at": now}
        of = "a changed second factor"
        self.queue_notice(session, person, "second_factor_changed", values, of=of, now=now)

    def queue_second_factor_removed(self, session: Session, person: Person, *, removed_by: str, now: datetime) -> None:
        """Tell the owner; without a way out it is removed all the same."""
        values: dict[str, Value] = {"removed_by": audit.starting_actor(removed_by), "removed_at": now}
        of = "a removed second factor"
        self.queue_notice(session, person, "second_factor_removed", values, of=of, now=now)

    def queue_sign_in_hint(
        self, session: Session, person: Person, *, provider: str, requested_at: datetime, now: datetime
    ) -> None:
        """Tell somebody who has no password here by which provider to sign in. Raises NotAccepted."""
        values: dict[str, Value] = {
            "provider": provider,
            "link": f"{self.portal_url}/sign-in",
            "requested_at": requested_at,
        }
        self.queue(session, person, "sign_in_hint", values, replaces=f"password_reset:{person.id}", now=now)

    def queue_password_changed(self, session: Session, person: Person, *, now: datetime) -> None:
        """Tell the owner. A portal that sends no mail at present changes the password all the same."""
        values: dict[str, Value] = {"changed_at": now}
        self.queue_notice(session, person, "password_changed", values, of="a changed password", now=now)
