"""What a browser does with this room's pages, and people to do it with."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event
from sqlalchemy.engine import Engine
from werkzeug.test import TestResponse

from portal import audit, email_settings
from portal.accounts import passwords, people
from portal.email_settings import EmailSettings
from portal.extensions import db
from portal.transaction import unit_of_work

PASSWORD = "correct horse battery staple 9"
OTHER_PASSWORD = "plum-violin-harbour-42"
NOW = datetime(2020, 2, 29, 12, 0, tzinfo=UTC)  # before whatever the views take for now
HTMX = {"HX-Request": "true"}
CORES = os.cpu_count() or 1
_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


def add_person(app: Flask, email: str = "ada@contoso.test", *, role: str = "user", name: str = "Ada") -> UUID:
    with app.app_context():
        person = people.prepare_user(
            db.session(), email=email, role=role, password=PASSWORD, name=name, public_host="localhost"
        )
        with unit_of_work() as session:
            return people.add_user(session, person, actor=None, now=NOW)


def name_organisation(app: Flask, display_name: str) -> None:
    """Give the organisation a name, as its mail shows it."""
    with app.app_context(), unit_of_work() as session:
        settings = EmailSettings(display_name=display_name)
        email_settings.save(session, settings, actor=audit.COMMAND_LINE, now=NOW)


def csrf_token(client: FlaskClient, url: str) -> str:
    page = client.get(url).get_data(as_text=True)
    found = _TOKEN.search(page)
    assert found, f"{url} has no form"
    return found[1]


def submit(
    client: FlaskClient, url: str, data: dict[str, str], *, to: str = "", headers: dict[str, str] | None = None
) -> TestResponse:
    """Fetch the page at `url`, fill in its form and send it (to another address, if `to` is given)."""
    return client.post(to or url, data={"csrf_token": csrf_token(client, url), **data}, headers=headers)


def sign_in(client: FlaskClient, email: str = "ada@contoso.test", password: str = PASSWORD) -> TestResponse:
    return submit(client, "/sign-in", {"email": email, "password": password})


def is_signed_in(client: FlaskClient) -> bool:
    return client.get("/profile").status_code == 200


def comparable(response: TestResponse) -> tuple[int, list[tuple[str, str]], str]:
    """Status, headers and body without what differs from answer to answer: nonces, numbers, dates."""
    changing = {"X-Request-ID", "Set-Cookie", "Date"}
    headers = [(name, value) for name, value in response.headers.items() if name not in changing]
    return response.status_code, headers, without_nonces(response.get_data(as_text=True))


def without_nonces(page: str) -> str:
    page = _TOKEN.sub("", page)
    return re.sub(r'"X-CSRFToken": "[^"]*"', "", page)


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """The statements that are run meanwhile, without their values."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


@contextmanager
def work(engine: Engine) -> Iterator[list[tuple[str, int]]]:
    """The statements that are run meanwhile, each with how many rows it read or wrote."""
    done: list[tuple[str, int]] = []

    def note(_connection: object, cursor: Any, statement: str, parameters: Any, *_rest: object) -> None:
        rows = cursor.rowcount
        if statement.startswith("SELECT"):  # how many are only known once they are fetched
            counting = cursor.connection.cursor()
            rows = counting.execute(f"SELECT count(*) FROM ({statement}) AS counted", parameters).fetchone()[0]
            counting.close()
        done.append((statement, rows))

    event.listen(engine, "after_cursor_execute", note)
    try:
        yield done
    finally:
        event.remove(engine, "after_cursor_execute", note)


@contextmanager
def no_hashing() -> Iterator[None]:
    """As many passwords are being hashed as this process takes: another one is refused."""
    with ExitStack() as busy, ThreadPoolExecutor(passwords.WAITING) as in_line:
        for _ in range(passwords.AT_ONCE):
            busy.enter_context(passwords.bound.slot())
        waiting = [in_line.submit(passwords.hash_password, PASSWORD) for _ in range(passwords.WAITING)]
        yield
        busy.close()
        assert all(one.result() for one in waiting)


def writing_ones(seen: list[str]) -> list[str]:
    return [statement for statement in seen if not statement.upper().startswith(("SELECT", "BEGIN", "PRAGMA"))]
