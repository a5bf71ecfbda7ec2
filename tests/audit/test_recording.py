from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import audit
from portal.audit.entries import news
from portal.audit.models import AuditEntry
from portal.transaction import unit_of_work

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ADA = audit.Actor(UUID("11111111-2222-4333-8444-555555555555"), "Ada", "192.0.2.7")


def entries(session: Session) -> list[AuditEntry]:
    return list(session.scalars(select(AuditEntry).order_by(AuditEntry.id)))


def test_an_entry_is_news_also_where_its_number_was_given_out_before_others_that_were_committed_first(
    app: Flask,
) -> None:
    """Transactions of PostgreSQL end in any order."""
    with app.app_context(), unit_of_work() as session:
        for number in (1, 3):
            session.add(
                AuditEntry(
                    id=number,
                    at=NOW,
                    action="connection.changed",
                    actor_name="Ada",
                    actor_address="",
                    subject="",
                    changes={},
                )
            )
    with app.app_context(), unit_of_work() as session:
        before = news(session)
        session.add(
            AuditEntry(
                id=2, at=NOW, action="connection.changed", actor_name="Ada", actor_address="", subject="", changes={}
            )
        )
        session.flush()

        assert news(session) != before


def test_an_entry_says_who_did_what_to_what_and_when(app: Flask) -> None:
    with app.app_context(), unit_of_work() as session:
        audit.record(
            session,
            action="connection.changed",
            actor=ADA,
            subject="main",
            changes={"port": (25, 587), "host": ("a.test", "a.test"), "password": audit.CHANGED},
            now=NOW,
        )

    with app.app_context(), unit_of_work() as session:
        (entry,) = entries(session)
        found = (entry.at, entry.action, entry.actor_id, entry.actor_name, entry.actor_address, entry.subject)
        assert found == (NOW, "connection.changed", ADA.user_id, "Ada", "192.0.2.7", "main")
        assert entry.changes == {"port": [25, 587], "password": "changed"}


def test_an_entry_goes_with_the_change_that_did_not_happen(app: Flask) -> None:
    with app.app_context(), pytest.raises(ZeroDivisionError), unit_of_work() as session:
        audit.record(session, action="user.added", actor=ADA, subject="x@y.test", now=NOW)
        _ = 1 / 0

    with app.app_context(), unit_of_work() as session:
        assert entries(session) == []


@pytest.mark.parametrize("field", ["password", "client_secret", "refresh_token", "service_account_key"])
def test_a_secret_handed_in_by_mistake_is_not_kept(app: Flask, field: str) -> None:
    with app.app_context(), unit_of_work() as session:
        changes = {field: ("old-canary", "new-canary")}
        audit.record(session, action="connection.changed", actor=ADA, subject="main", changes=changes, now=NOW)

        assert entries(session)[0].changes == {field: "changed"}


def test_without_a_person_the_portal_itself_acted(app: Flask) -> None:
    with app.app_context(), unit_of_work() as session:
        audit.record(session, action="connection.paused", actor=None, subject="main", now=NOW)

        assert (entries(session)[0].actor_id, entries(session)[0].actor_name) == (None, "the portal")


def test_a_long_value_is_kept_shortened(app: Flask) -> None:
    with app.app_context(), unit_of_work() as session:
        audit.record(
            session, action="a.b", actor=ADA, subject="main", changes={"ca_certificate": ("", "x" * 501)}, now=NOW
        )

        assert entries(session)[0].changes == {"ca_certificate": ["", "x" * 500 + "…"]}
