"""Administrators and the helpdesk at work on other people's accounts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from flask import Flask
from sqlalchemy import select

from portal import audit
from portal.accounts.account_mail import AccountMail
from portal.accounts.models import User, UserSession
from portal.audit.models import AuditEntry
from portal.connections.values import ConnectionValues, Method, Role, SecretChange
from portal.extensions import db
from portal.outbox.prepared import PreparedMessage
from tests.accounts.browsing import add_person
from tests.admin_browser import Browser
from tests.connections.making import create

LATER = datetime.now(UTC)


def give_a_way_out(app: Flask) -> None:
    """Mail is kept in the portal: it counts as a way out."""
    values = ConnectionValues(name="Kept", method=Method.CAPTURE, role=Role.DEFAULT, from_address="portal@contoso.test")
    create(app, values, SecretChange())


def user_of(app: Flask, user_id: UUID) -> User | None:
    with app.app_context():
        return db.session.scalar(select(User).where(User.id == user_id))


def user_with(app: Flask, email: str) -> User:
    with app.app_context():
        return db.session.scalars(select(User).where(User.email == email)).one()


def actions_about(app: Flask, subject: str) -> list[str]:
    """The audit log's actions on somebody, oldest first."""
    with app.app_context():
        entries = select(AuditEntry.action).where(AuditEntry.subject == subject).order_by(AuditEntry.id)
        return list(db.session.scalars(entries))


def actor_of(browser: Browser) -> audit.Actor:
    return audit.Actor(browser.user_id, "Admin Ada", "127.0.0.1")


def open_sessions(app: Flask, user_id: UUID) -> int:
    with app.app_context():
        held = select(UserSession.id).where(UserSession.user_id == user_id, UserSession.ended_at.is_(None))
        return len(db.session.scalars(held).all())


def person(app: Flask, email: str = "grace@contoso.test", *, role: str = "user", name: str = "Grace") -> UUID:
    return add_person(app, email, role=role, name=name)


@dataclass
class Mailed:
    """Keeps what account mails say, beside what the portal stores."""

    app: Flask
    values: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)  # kind, address, values

    def __post_init__(self) -> None:
        wired: AccountMail = self.app.extensions["account_mail"]

        def prepare(kind: str, **asked: Any) -> PreparedMessage:
            prepared = wired.prepare(kind, **asked)
            self.values.append((kind, asked["to"].address, asked["values"]))
            return prepared

        self.app.extensions["account_mail"] = replace(wired, prepare=prepare)

    @property
    def kinds(self) -> list[tuple[str, str]]:
        return [(kind, address) for kind, address, _ in self.values]

    def link_to(self, address: str) -> str:
        """The path of the newest link that was mailed there."""
        links = [values["link"] for _, to, values in self.values if to == address]
        return links[-1].removeprefix("http://localhost")
