"""A connection's password at rest: sealed for its row and its destination, and never sent anywhere else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import text

from portal.connections import secrets
from portal.connections.models import ConnectionSecret
from portal.connections.secrets import SecretState, why_secret_is_needed
from portal.connections.smtp_values import SMTPValues
from portal.connections.values import ConnectionValues, Method, SecretAction, SecretChange
from portal.extensions import db
from portal.secret_box import SecretBox, Unreadable
from portal.transaction import unit_of_work
from portal.transports.smtp_settings import Auth
from tests.connections.making import CONTOSO, NOW, change, create, installation_of, replaced, smtp_values, stored

KEEP = SecretChange()


def open_password(app: Flask, connection_id: UUID, smtp: SMTPValues = CONTOSO) -> str | Unreadable:
    with app.app_context():
        row = secrets.rows_of(db.session(), connection_id, Method.SMTP)["password"]
        return secrets.open_secret(row, smtp.destination, box=installation_of(app).box)


@pytest.mark.parametrize("password", ["geheim", "pä$$wört  🔑", " leading and trailing ", "x" * 4096])
def test_a_password_of_any_characters_comes_back(app: Flask, password: str) -> None:
    connection_id = create(app, secret=replaced(password))

    assert open_password(app, connection_id) == password


def test_a_password_does_not_open_for_another_destination(app: Flask) -> None:
    connection_id = create(app)

    assert isinstance(open_password(app, connection_id, replace(CONTOSO, host="evil.example")), Unreadable)


def test_a_host_changed_behind_the_portals_back_makes_the_connection_need_its_secret(app: Flask) -> None:
    create(app)

    with app.app_context(), unit_of_work() as session:
        session.execute(
            text("update connection set method_values = cast(replace(cast(method_values as text), :old, :new) as json)")
            if db.engine.dialect.name == "postgresql"
            else text("update connection set method_values = replace(method_values, :old, :new)"),
            {"old": "smtp.contoso.test", "new": "evil.example"},
        )

    assert stored(app).values.smtp.host == "evil.example"
    assert stored(app).lacks_secret


def test_a_sealed_password_moved_to_another_connection_does_not_open(app: Flask) -> None:
    first = create(app, smtp_values("First"), replaced("one"))
    second = create(app, smtp_values("Second"), replaced("two"))

    with app.app_context(), unit_of_work() as session:
        rows = {row.connection_id: row for row in session.query(ConnectionSecret)}
        rows[second].sealed = rows[first].sealed

    assert isinstance(open_password(app, second), Unreadable)


def test_a_password_of_a_lost_key_leaves_the_page_standing(app: Flask) -> None:
    create(app)
    other_key = SecretBox(["another key of at least 32 characters"])

    with app.app_context():
        from portal.connections.stored import find_named

        found = find_named(db.session(), "Main", box=other_key)

    assert found is not None
    assert found.lacks_secret
    assert found.password_stored_at is not None


def test_neither_the_database_nor_its_log_holds_the_password_in_clear(app: Flask, tmp_path: Path) -> None:
    connection_id = create(app, secret=replaced("canary-in-the-mine"))
    change(app, connection_id, smtp_values(), replaced("canary-of-tomorrow"))

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path.name for path in files if b"canary" in path.read_bytes()]
    with app.app_context():
        rows = db.session.execute(text("select sealed from connection_secret")).scalars().all()
    assert len(rows) == 1
    assert rows[0].startswith("v1.")


def test_a_password_does_not_show_in_a_repr() -> None:
    assert "canary" not in repr(SecretChange(SecretAction.REPLACE, "canary"))


@pytest.mark.parametrize(
    ("change", "stored_for", "is_readable", "reason"),
    [
        (replaced("new"), None, False, None),
        (KEEP, CONTOSO, True, None),
        (KEEP, None, False, "Enter the password."),
        (replaced(""), CONTOSO, True, "Enter the password."),
        (KEEP, replace(CONTOSO, host="old.contoso.test"), True, "Enter the password again: host, port,"),
        (KEEP, CONTOSO, False, "Enter the password again: the stored one cannot be opened"),
        (SecretChange(SecretAction.CLEAR), CONTOSO, True, "This way of signing in needs a password."),
    ],
)
def test_when_the_password_has_to_be_typed(
    change: SecretChange, stored_for: SMTPValues | None, is_readable: bool, reason: str | None
) -> None:
    held = {"password": SecretState(NOW, is_readable)} if stored_for else {}
    before = smtp_values(smtp=stored_for) if stored_for else None

    found = why_secret_is_needed(smtp_values(), {"password": change}, stored=held, stored_for=before)

    assert found == (None if reason is None else ("password", found[1] if found else ""))
    assert found is None or str(found[1]).startswith(str(reason))


@pytest.mark.parametrize(
    "values", [smtp_values(smtp=replace(CONTOSO, auth=Auth.NONE)), replace(smtp_values(), method=Method.CAPTURE)]
)
def test_who_does_not_sign_in_needs_no_password(values: ConnectionValues) -> None:
    assert why_secret_is_needed(values, {}, stored={}, stored_for=None) is None
