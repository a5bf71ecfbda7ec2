"""kill -9 of the web server amid POSTs: whatever was answered is stored, and nothing is half done."""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import Select, select

from portal.accounts.models import ResetRequest, User
from portal.audit.models import AuditEntry
from portal.database import sqlite_path
from portal.outbox.models import Delivery, Message, MessageBody
from tests.faults.conftest import on_sqlite
from tests.faults.holding_server import HoldingServer
from tests.faults.installation import Installation
from tests.faults.people import reset_link, sign_in
from tests.faults.visitors import Form, Rush, Visitor, kill_amid, wait_until_answering


class Web:
    """The installation's web server, which runs."""

    def __init__(self, installation: Installation) -> None:
        self.bind = installation.environ["PORTAL_BIND"]
        self._process = installation.command("web")
        wait_until_answering(self.bind)

    def kill(self) -> None:
        self._process.kill()


def stored(installation: Installation, query: Select[Any]) -> list[Any]:
    with installation.engine.connect() as connection:
        return list(connection.scalars(query))


def require_sound(installation: Installation) -> None:
    """SQLite's own look at the whole file finds nothing."""
    path = sqlite_path(installation.engine)
    if path is not None:
        database = sqlite3.connect(path)
        assert database.execute("pragma integrity_check").fetchall() == [("ok",)]
        assert database.execute("pragma foreign_key_check").fetchall() == []
        database.close()


def test_every_forgotten_password_that_was_answered_is_written_down(installation: Installation) -> None:
    web = Web(installation)
    rushes = []
    for number in range(4):
        visitor = Visitor(web.bind)
        visitor.open("/forgot-password")
        names = [f"user{number}.{count}@contoso.test" for count in range(1000)]
        rushes.append(Rush([Form(visitor, "/forgot-password", {"identifier": name}) for name in names]))

    answered = kill_amid(rushes, web.kill, after=60)

    promised = [form.fields["identifier"] for form, _ in answered]
    interrupted = [form.fields["identifier"] for rush in rushes for form in rush.unanswered]
    found = stored(installation, select(ResetRequest.identifier))
    assert {answer.status for _, answer in answered} == {303}
    assert len(promised) >= 60
    assert len(interrupted) == 4
    assert [name for name in promised if name not in found] == []
    assert set(found) <= {*promised, *interrupted}
    assert max(Counter(found).values()) == 1
    require_sound(installation)


@on_sqlite
@pytest.mark.usefixtures("server")
def test_every_test_message_that_was_answered_is_in_the_outbox_and_whole(installation: Installation) -> None:
    web = Web(installation)
    rushes = []
    for number in range(4):
        visitor = Visitor(web.bind, sign_in(installation, f"helper{number}@contoso.test", "helpdesk"))
        visitor.open("/test-messages/new")
        names = [f"user{number}.{count}@contoso.test" for count in range(10)]
        rushes.append(
            Rush([Form(visitor, "/test-messages/new", {"to": name, "connection": ""}) for name in names]),
        )

    answered = kill_amid(rushes, web.kill, after=12)

    promised = {answer.location.rpartition("/")[2] for _, answer in answered}
    messages = stored(installation, select(Message.id))
    assert {answer.status for _, answer in answered} == {303}
    assert len(promised) >= 12
    assert promised <= {str(message_id) for message_id in messages}
    assert sorted(stored(installation, select(MessageBody.message_id))) == sorted(messages)
    assert sorted(stored(installation, select(Delivery.message_id))) == sorted(messages)
    assert len(stored(installation, select(AuditEntry.id).where(AuditEntry.action == "test_message.sent"))) == len(
        messages
    )
    require_sound(installation)


@on_sqlite
def test_a_new_password_is_set_with_its_link_used_and_its_owner_told_or_not_at_all(
    installation: Installation, server: HoldingServer
) -> None:
    web = Web(installation)
    forms: list[list[Form]] = [[], [], []]
    for number in range(24):
        visitor = Visitor(web.bind)
        path = reset_link(installation, f"user{number}@contoso.test")
        visitor.open(path)
        forms[number % 3].append(Form(visitor, path, {"password": "plum-violin-harbour-42"}))

    answered = kill_amid([Rush(some) for some in forms], web.kill, after=8)

    changed = set(stored(installation, select(User.email).where(User.password_hash.is_not(None))))
    used = stored(installation, select(ResetRequest.identifier).where(ResetRequest.used_at.is_not(None)))
    told = stored(installation, select(Message.rcpt_to).where(Message.kind == "password_changed"))
    noted = stored(installation, select(AuditEntry.subject).where(AuditEntry.action == "user.password_reset"))
    assert {answer.status for _, answer in answered} == {303}
    assert len(changed) >= len(answered) >= 8
    assert len(changed) < 24
    assert sorted(used) == sorted(changed)
    assert sorted(one for [one] in told) == sorted(changed)
    assert sorted(noted) == sorted(changed)
    require_sound(installation)
