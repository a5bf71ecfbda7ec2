"""The settings by the API: the settings file as JSON, all or nothing, no secret and no reference."""

from __future__ import annotations

import pytest
from sqlalchemy import select
from sqlalchemy.engine import Engine

from portal.audit.models import AuditEntry
from tests.api.conftest import Program, faults

MAIN = {
    "name": "main",
    "method": "smtp",
    "role": "default",
    "host": "smtp.contoso.test",
    "port": 587,
    "security": "starttls",
    "auth": "password",
    "username": "relay",
    "password": "relay canary 41",
    "from_address": "portal@contoso.test",
}


def test_settings_are_changed_as_by_the_file_and_read_without_secrets(engine: Engine, wiki: Program) -> None:
    asked = {"email": {"display_name": "Contoso"}, "connections": [MAIN]}

    trial = wiki.call("PUT", "/settings?trial=true", asked)
    before = wiki.get("/settings")
    done = wiki.call("PUT", "/settings", asked)
    again = wiki.call("PUT", "/settings", asked)
    after = wiki.get("/settings")

    assert trial.json is not None
    assert done.json is not None
    assert again.json is not None
    assert after.json is not None
    assert trial.json["changes"] == done.json["changes"]
    assert "main" not in before.text
    assert [one for one in done.json["changes"] if one["path"] == "email.display_name"] == [
        {"path": "email.display_name", "old": None, "new": "Contoso", "is_secret": False, "note": None}
    ]
    assert {one["path"] for one in again.json["changes"]} <= {"connections.main.password"}
    assert after.json["email"]["display_name"] == "Contoso"
    assert next(one for one in after.json["connections"] if one["name"] == "main")["port"] == 587
    assert "canary" not in trial.text + done.text + again.text + after.text
    with engine.connect() as connection:
        actors = set(connection.scalars(select(AuditEntry.actor_name).where(AuditEntry.action.like("connection.%"))))
    assert actors == {"server Wiki"}


def test_what_was_read_can_be_written_back_and_changes_nothing(wiki: Program) -> None:
    wiki.call("PUT", "/settings", {"connections": [MAIN]})

    answer = wiki.call("PUT", "/settings", wiki.get("/settings").json)

    assert answer.json == {"changes": [], "is_trial": False}


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ([], "body"),
        ({"emial": {}}, "emial"),
        ({"email": {"enabled": "maybe"}}, "email.enabled"),
        ({"email": {"display_name": "Portal", "from_address": "nobody"}}, "email.from_address"),
        ({"email": {"display_name": "a\0b"}}, "email.display_name"),
        ({"k" * 501: [0] * 1000}, "body"),
        ({"email": {"k" * 495: [0] * 1000}}, "email"),
        ({"email": [0] * 100_000}, "email[99998]"),
        ({"connections": [MAIN | {"port": "587"}]}, "connections[0].port"),
        ({"connections": [MAIN | {"password": {"env": "PORTAL_SECRET_KEY"}}]}, "connections[0].password"),
        ({"connections": [MAIN | {"password": {"file": "/etc/passwd"}}]}, "connections[0].password"),
    ],
)
def test_a_fault_is_named_and_nothing_is_changed(wiki: Program, asked: object, field: str) -> None:
    before = wiki.get("/settings").json

    answer = wiki.call("PUT", "/settings", asked)

    assert answer.status_code == 422
    assert list(faults(answer)) == [field]
    assert "root:" not in answer.text
    assert wiki.get("/settings").json == before


def test_a_parameter_that_is_none_is_refused(wiki: Program) -> None:
    assert list(faults(wiki.call("PUT", "/settings?trial=perhaps", {}))) == ["trial"]
    assert wiki.call("PUT", "/settings?dry=true", {}).status_code == 422
