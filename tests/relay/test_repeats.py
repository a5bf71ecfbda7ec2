"""A device that hands over one message again and again: its mail is taken, and administrators hear of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import select

from portal.audit.models import AuditEntry
from portal.extensions import db
from portal.mail.addresses import Mailbox
from portal.outbox.accept import Acceptor, Cause, NotStored
from portal.outbox.prepared import Lane, PreparedMessage, Schedule
from portal.relay.repeats import MOST, WINDOW, Repeats
from portal.servers import repeating
from tests.relay.conftest import RunningRelay, add_server, change_server

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PRINTER = "192.0.2.7"
MESSAGE = PreparedMessage(
    id=uuid4(),
    kind="relay",
    is_secret=False,
    lane=Lane.NORMAL,
    schedule=Schedule.NORMAL,
    route="default",
    from_mailbox=Mailbox("scanner@contoso.test"),
    mail_from=None,
    rcpt_to=("ada@contoso.test",),
    subject="Paper is out",
    message_id="<1@contoso.test>",
    content=b"Date: Sat, 21 Nov 2026 12:00:00 +0000\r\nSubject: Paper is out\r\n\r\nTray 2.\r\n",
    created_at=NOW,
    expires_at=NOW + timedelta(days=2),
    server_id=uuid4(),
    server_name="Printer",
)
_PARTS = 'Date: {0}\r\nContent-Type: multipart/mixed;\r\n boundary="{0}"\r\n\r\n--{0}\r\n\r\nTray 2.\r\n--{0}--\r\n'


def heard_of(message: Callable[[int], PreparedMessage], times: int, address: str = PRINTER) -> list[int]:
    """Which of so many messages, a second apart, were said to be too many; the first is 1."""
    repeats = Repeats()
    return [
        number
        for number in range(1, times + 1)
        if repeats.note(message(number), address, NOW + timedelta(seconds=number))
    ]


def test_one_message_too_many_is_told_once_a_window() -> None:
    repeats = Repeats()

    first = [repeats.note(MESSAGE, PRINTER, NOW) for _ in range(MOST * 5)]
    later = [repeats.note(MESSAGE, PRINTER, NOW + WINDOW) for _ in range(MOST)]

    assert [number for number, is_told in enumerate(first, 1) if is_told] == [MOST]
    assert [number for number, is_told in enumerate(later, 1) if is_told] == [MOST]


def test_what_is_rare_is_never_told() -> None:
    repeats = Repeats()

    told = [repeats.note(MESSAGE, PRINTER, NOW + number * timedelta(minutes=1)) for number in range(MOST * 5)]

    assert not any(told)


def test_a_message_that_is_built_anew_each_time_is_the_same_one() -> None:
    def anew(number: int) -> PreparedMessage:
        return replace(MESSAGE, message_id=f"<{number}@contoso.test>", content=_PARTS.format(number * 7919).encode())

    assert heard_of(anew, MOST) == [MOST]


def test_messages_to_others_and_of_another_text_are_others() -> None:
    assert heard_of(lambda number: replace(MESSAGE, rcpt_to=(f"user{number}@contoso.test",)), MOST * 2) == []
    assert heard_of(lambda number: replace(MESSAGE, subject=f"Tray {number}"), MOST * 2) == []
    assert heard_of(lambda number: replace(MESSAGE, content=MESSAGE.content + b"%d" % number), MOST * 2) == []


def test_a_device_that_repeats_itself_is_shown_to_administrators(app: Flask, relay: RunningRelay) -> None:
    printer = add_server(app, "Printer", networks=("127.0.0.0/8",))
    line = relay.known_line()

    replies = {line.hand_over()[:3] for _ in range(MOST)}
    relay.stop()

    assert replies == {"250"}
    assert len(relay.stored()) == MOST
    with app.app_context():
        session, now = db.session(), datetime.now(UTC)
        (entry,) = session.scalars(select(AuditEntry).where(AuditEntry.action == "server.repeats_itself"))
        assert (entry.actor_name, entry.actor_address) == ("server Printer", "127.0.0.1")
        assert entry.changes == {"subject": [None, "Scan"], "times": [None, 100]}
        (banner,) = repeating.banners(session, now=now)
        assert banner.path == f"/servers/{printer}"
        assert "Printer" in str(banner.text)
        assert repeating.banners(session, now=now + timedelta(hours=2)) == ()
    change_server(app, printer, is_enabled=False)
    with app.app_context():
        assert repeating.banners(db.session(), now=now) == ()


def test_a_device_that_tries_again_what_could_not_be_stored_does_not_repeat_itself(
    app: Flask, relay: RunningRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_server(app, "Printer", networks=("127.0.0.0/8",))
    monkeypatch.setattr(Acceptor, "store_each", lambda _self, group: [NotStored(Cause.FULL) for _ in group])
    line = relay.known_line()

    replies = {line.hand_over()[:3] for _ in range(MOST)}
    relay.stop()

    assert replies == {"452"}
    with app.app_context():
        assert db.session().scalars(select(AuditEntry).where(AuditEntry.action == "server.repeats_itself")).all() == []
