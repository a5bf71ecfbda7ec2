"""What was tried in vain leaves rows in the audit log, and not too many."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.engine import Engine
from structlog.testing import capture_logs

from portal.accounts import failed_attempts
from portal.audit.models import AuditEntry
from tests.accounts.answering import Answering
from tests.accounts.browsing import NOW, OTHER_PASSWORD, PASSWORD, submit
from tests.accounts.test_reset_codes import ADA, WRONG, app, ask, codes, environ, give

__all__ = ["app", "environ"]  # fixtures: mail leaves, and brings codes


def noted(engine: Engine) -> list[tuple[Any, ...]]:
    columns = (AuditEntry.action, AuditEntry.subject, AuditEntry.actor_id, AuditEntry.actor_address)
    with engine.connect() as connection:
        rows = connection.execute(select(*columns).where(AuditEntry.action.like("%failed")).order_by(AuditEntry.id))
        return [tuple(row) for row in rows]


def test_wrong_codes_are_noted_whether_there_is_an_account_or_not(
    engine: Engine, client: FlaskClient, ada: UUID, answering: Answering
) -> None:
    ask(client)
    codes(answering)

    for typed in (ADA, "Unknown@contoso.test", "my secret password"):
        give(client, WRONG, typed)

    action = "user.reset_code_failed"
    assert noted(engine) == [(action, subject, None, "127.0.0.1") for subject in (ADA, "unknown@contoso.test", "")]


def test_dead_links_are_noted_when_something_is_sent_and_not_when_they_are_opened(
    engine: Engine, client: FlaskClient, ada: UUID, answering: Answering
) -> None:
    ask(client)
    codes(answering)
    used = answering.links[0]
    submit(client, "/sign-in", {"password": OTHER_PASSWORD}, to=used)

    for path in (used, f"/reset-password/{'x' * 43}", f"/invitations/{'x' * 43}"):
        client.get(path)
        submit(client, "/sign-in", {"password": PASSWORD}, to=path)

    assert noted(engine) == [
        ("user.reset_link_failed", ADA, None, "127.0.0.1"),
        ("user.reset_link_failed", "", None, "127.0.0.1"),
        ("user.invitation_failed", "", None, "127.0.0.1"),
    ]


def test_a_password_that_does_not_confirm_is_noted_with_whose_session_it_was(
    engine: Engine, ada: UUID, ada_client: FlaskClient
) -> None:
    submit(ada_client, "/confirm-password", {"password": "wrong"})
    change = {"current_password": "wrong", "password": OTHER_PASSWORD, "password_again": OTHER_PASSWORD}
    submit(ada_client, "/profile", change, to="/profile/password")

    assert noted(engine) == [("user.confirmation_failed", ADA, ada, "127.0.0.1")] * 2


@pytest.mark.parametrize(
    ("subject_of", "address_of", "rows"),
    [
        (lambda _: ADA, lambda number: f"198.51.100.{number}", 10),
        (lambda number: f"user{number}@contoso.test", lambda _: "198.51.100.7", 30),
        (lambda number: f"user{number}@contoso.test", lambda number: f"2001:db8::{number:x}", 30),
    ],
    ids=["one account", "one client", "one client of IPv6"],
)
def test_an_hour_has_room_for_so_many_and_that_there_were_more_is_logged_once(
    engine: Engine, subject_of: Any, address_of: Any, rows: int
) -> None:
    with capture_logs() as logs:
        recorded = [
            failed_attempts.may_record(
                engine, failed_attempts.dead_reset_link(subject_of(number), address_of(number)), now=NOW
            )
            for number in range(40)
        ]

    assert recorded == [True] * rows + [False] * (40 - rows)
    assert [log["log_level"] for log in logs] == ["warning"]
