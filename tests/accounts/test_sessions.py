from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from portal.accounts import sessions
from portal.accounts.models import User, UserSession
from portal.transaction import unit_of_work
from tests.accounts.browsing import NOW


@pytest.fixture
def work(app: Flask) -> Callable[..., Any]:
    """Run a room function in a unit of work of its own."""

    def run(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with app.app_context(), unit_of_work() as session:
            return function(session, *args, **kwargs)

    return run


@pytest.fixture
def token(work: Callable[..., Any], ada: UUID) -> str:
    return str(work(sessions.start, ada, address="192.0.2.7", agent="Browser\r\n1.0", now=NOW))


def resume(engine: Engine, token: str, *, after: timedelta = timedelta(), is_activity: bool = True) -> bool:
    return sessions.resume(engine, token, now=NOW + after, is_activity=is_activity) is not None


def test_a_session_tells_who_is_signed_in(engine: Engine, ada: UUID, token: str) -> None:
    found = sessions.resume(engine, token, now=NOW, is_activity=True)

    assert found is not None
    assert (found.user_id, found.email, found.name, found.role) == (ada, "ada@contoso.test", "Ada", "user")
    assert found.confirmed_at == NOW


def test_only_the_hash_of_a_token_is_stored(engine: Engine, token: str) -> None:
    with engine.connect() as connection:
        row = connection.execute(select(UserSession.__table__)).one()

    assert len(row.token_hash) == 32
    assert token not in repr(row)
    assert row.agent == "Browser1.0"


MADE_UP = {
    "empty": "",
    "short": "x",
    "zeros": "\0" * 43,
    "other letters": "ü" * 43,
    "a guess": "A" * 43,
    "huge": "A" * 10**6,
}


def test_a_made_up_cookie_is_nobody(engine: Engine, token: str) -> None:
    assert [name for name, cookie in MADE_UP.items() if resume(engine, cookie)] == []


def test_a_session_ends_after_an_hour_without_activity(engine: Engine, token: str) -> None:
    assert resume(engine, token, after=timedelta(minutes=59, seconds=59), is_activity=False)

    assert not resume(engine, token, after=timedelta(minutes=60))


def test_activity_keeps_a_session_alive_for_twelve_hours_and_no_longer(engine: Engine, token: str) -> None:
    for hours in range(1, 24):
        assert resume(engine, token, after=timedelta(hours=hours / 2))

    assert resume(engine, token, after=timedelta(hours=11, minutes=59, seconds=59))
    assert not resume(engine, token, after=timedelta(hours=12))


def test_what_a_page_fetches_by_itself_keeps_no_session_alive(engine: Engine, token: str) -> None:
    for minutes in range(5, 60, 5):
        assert resume(engine, token, after=timedelta(minutes=minutes), is_activity=False)

    assert not resume(engine, token, after=timedelta(minutes=60), is_activity=False)


def test_activity_is_marked_at_most_every_five_minutes(engine: Engine, token: str) -> None:
    marks = []

    for seconds in (1, 299, 300, 301, 599, 600):
        resume(engine, token, after=timedelta(seconds=seconds))
        with engine.connect() as connection:
            marks.append(connection.scalar(select(UserSession.last_seen_at)))

    assert [(mark - NOW).total_seconds() for mark in marks if mark] == [0, 0, 300, 300, 300, 600]


def test_a_changed_role_shows_at_the_next_request(engine: Engine, work: Callable[..., Any], token: str) -> None:
    work(Session.execute, update(User).values(role="helpdesk"))

    found = sessions.resume(engine, token, now=NOW, is_activity=True)

    assert found is not None
    assert found.role == "helpdesk"


def test_a_disabled_account_is_signed_out_at_the_next_request(
    engine: Engine, work: Callable[..., Any], token: str
) -> None:
    work(Session.execute, update(User).values(is_disabled=True))

    assert not resume(engine, token)


def test_signing_somebody_out_everywhere_ends_every_session(
    engine: Engine, work: Callable[..., Any], ada: UUID, token: str
) -> None:
    other = work(sessions.start, ada, address="", agent="", now=NOW)

    work(sessions.end_all, ada, now=NOW)

    assert not resume(engine, token)
    assert not resume(engine, other)


def test_rows_of_sessions_go_a_week_after_their_end(engine: Engine, work: Callable[..., Any], token: str) -> None:
    def rows() -> int:
        with engine.connect() as connection:
            return len(connection.execute(select(UserSession.id)).all())

    work(sessions.purge, now=NOW + timedelta(days=7, hours=12))
    kept = rows()
    work(sessions.purge, now=NOW + timedelta(days=7, hours=12, seconds=1))

    assert (kept, rows()) == (1, 0)
