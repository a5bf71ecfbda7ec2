"""Servers made by hand, their callers, and messages prepared for them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from flask import Flask
from sqlalchemy.orm import Session

from portal import audit, email_settings, mail_service
from portal.email_settings import EmailSettings
from portal.extensions import db
from portal.mail.addresses import Mailbox
from portal.mail_service import Composed
from portal.outbox.prepared import PreparedMessage
from portal.servers import callers, keys, log_ins, saving
from portal.servers.callers import Caller
from portal.servers.keys import KeyValues
from portal.servers.values import ServerValues
from portal.transaction import unit_of_work

T = TypeVar("T")
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ADA = audit.Actor(None, "Ada", "192.0.2.7")
TO_ADA = Composed(to=(Mailbox("ada@contoso.test"),), subject="Hello", text="Good morning.")


def done(app: Flask, act: Callable[[Session], T]) -> T:
    """What comes of an act in a unit of work of its own."""
    with app.app_context(), unit_of_work() as session:
        return act(session)


def read(app: Flask, ask: Callable[[Session], T]) -> T:
    with app.app_context():
        return ask(db.session())


def server(app: Flask, name: str = "Wiki", **values: Any) -> UUID:
    wanted = ServerValues(name=name, **values)
    return done(app, lambda session: saving.create(session, wanted, actor=ADA, now=NOW))


def change(app: Flask, server_id: UUID, **values: Any) -> None:
    wanted = ServerValues(**values)
    done(app, lambda session: saving.change(session, server_id, wanted, actor=ADA, now=NOW))


def key(app: Flask, server_id: UUID, now: datetime = NOW, **values: Any) -> str:
    wanted = KeyValues(**values)
    return done(app, lambda session: keys.create(session, server_id, wanted, actor=ADA, now=now))


def caller(app: Flask, server_id: UUID, **values: Any) -> Caller:
    text = key(app, server_id, **values)
    found = by_key(app, text)
    assert found is not None
    return found


def by_key(app: Flask, text: str, now: datetime = NOW) -> Caller | None:
    return read(app, lambda session: callers.caller_of_key(session, text, now=now))


def login(app: Flask, server_id: UUID, **options: Any) -> log_ins.NewLogin:
    make = partial(log_ins.create, box=app.extensions["secret_box"], actor=ADA, now=NOW, **options)
    return done(app, lambda session: make(session, server_id))


def by_login(app: Flask, username: str, password: str) -> Caller | None:
    return read(app, lambda session: callers.caller_of_login(session, username, password, now=NOW))


def organisation(app: Flask, **settings: Any) -> None:
    wanted = EmailSettings(**settings)
    done(app, lambda session: email_settings.save(session, wanted, actor=ADA, now=NOW))


def composed(app: Flask, who: Caller, mail: Composed = TO_ADA, *, people: tuple[str, ...] = ()) -> PreparedMessage:
    return read(
        app,
        lambda session: mail_service.prepare_composed(
            mail,
            caller=who,
            session=session,
            now=NOW,
            message_id_domain="portal.test",
            is_own_person=people.__contains__,
        ),
    )


def submitted(app: Flask, who: Caller, content: bytes, **changes: Any) -> PreparedMessage:
    given: dict[str, Any] = {
        "mail_from": "scanner@contoso.test",
        "rcpt_to": ("ada@contoso.test",),
        "smtputf8": False,
        "received_line": None,
        **changes,
    }
    return read(
        app,
        lambda session: mail_service.prepare_submitted(
            content,
            caller=who,
            session=session,
            now=NOW,
            message_id_domain="portal.test",
            is_own_person=lambda _address: False,
            **given,
        ),
    )


def parsed(prepared: PreparedMessage) -> Message:
    return message_from_bytes(prepared.content)


def shown_key(page: str) -> str:
    """The key that a page shows once."""
    found = re.search(r'<code id="api-key"[^>]*>([^<]+)</code>', page)
    assert found, "the page shows no key"
    return found[1]
