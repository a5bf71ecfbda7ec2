from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy.orm import Session

from portal import settings_file
from portal.settings_file import Change, Node, Section, SettingsFileError, read, refuse_references

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SESSION = Session()
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


class Shelf:
    """A section of texts by name; it stands for a room."""

    def __init__(self, key: str, **stored: Any) -> None:
        self.stored: dict[str, Any] = stored
        self.applied: list[tuple[str, datetime]] = []
        self.section: Section[str] = Section(key, self.describe, self.plan, self.apply)

    def describe(self, _session: Session) -> dict[str, Any]:
        return self.stored

    def plan(self, _session: Session, node: Node) -> list[Change]:
        wanted = {key: node.text(key) for key in node.mapping()}
        return [
            Change(child.path, self.stored.get(key), wanted[key])
            for key, child in node.mapping().items()
            if self.stored.get(key) != wanted[key]
        ]

    def apply(self, session: Session, node: Node, actor: str, now: datetime) -> list[Change]:
        changes = self.plan(session, node)
        self.stored |= {key: node.text(key) for key in node.mapping()}
        self.applied.append((actor, now))
        return changes


def parse(text: str) -> Node:
    return read(text.encode(), follow=refuse_references)


def test_the_difference_has_each_section_in_its_order_and_writes_nothing() -> None:
    email, connections = Shelf("email", format="html"), Shelf("connections", main="a.test")

    changes = settings_file.plan(
        SESSION, parse("connections: {main: b.test}\nemail: {format: text}\n"), [email.section, connections.section]
    )

    assert [str(change) for change in changes] == ["email.format: html -> text", "connections.main: a.test -> b.test"]
    assert (email.stored, connections.stored) == ({"format": "html"}, {"main": "a.test"})


def test_applying_twice_changes_nothing_the_second_time() -> None:
    shelf = Shelf("email")
    file = parse("email: {format: text}\n")

    first = settings_file.apply(SESSION, file, [shelf.section], actor="me", now=NOW)
    second = settings_file.apply(SESSION, file, [shelf.section], actor="me", now=NOW)

    assert ([str(change) for change in first], second) == (["email.format: text (new)"], [])
    assert shelf.applied[0] == ("me", NOW)


def test_a_section_that_nobody_owns_is_refused_before_any_is_applied() -> None:
    shelf = Shelf("email")

    with pytest.raises(SettingsFileError) as caught:
        settings_file.apply(SESSION, parse("email: {a: b}\nservres: []\n"), [shelf.section], actor="me", now=NOW)

    assert str(caught.value) == "line 2, servres: unknown key; known here: email"
    assert shelf.applied == []


def test_an_export_is_a_file_that_changes_nothing() -> None:
    odd = {"a": "no", "b": "007", "c": "null", "d": "", "e": "grüße: #1", "f": CERTIFICATE, "g": "a\x07b", "h": "{x}"}
    shelf = Shelf("email", **odd)

    exported = settings_file.export(SESSION, [shelf.section, Shelf("connections").section])

    assert settings_file.plan(SESSION, parse(exported), [shelf.section]) == []
    assert "  f: |\n    -----BEGIN CERTIFICATE-----\n" in exported
    assert "connections:" not in exported
    assert exported.startswith("# Settings of Mail Portal.")


def test_the_export_of_a_fresh_portal_is_a_file_without_settings() -> None:
    exported = settings_file.export(SESSION, [Shelf("email").section])

    assert dict(parse(exported).mapping()) == {}


def test_equal_values_in_an_export_are_written_out_twice() -> None:
    shared = ["a.test"]

    exported = settings_file.export(SESSION, [Shelf("email", one=shared, two=shared).section])

    assert "&" not in exported


def test_changes_read_as_one_line_each() -> None:
    assert str(Change("connections.main", None, "smtp")) == "connections.main: smtp (new)"
    assert str(Change("connections.main", "smtp", None)) == "connections.main: smtp (removed)"
    assert str(Change("email.reply_to", "", "a@b.test")) == 'email.reply_to: "" -> a@b.test'
    assert str(Change("c.ca", CERTIFICATE, "")) == 'c.ca: -----BEGIN CERTIFICATE----- … -> ""'
    assert str(Change("c.password", is_secret=True)) == "c.password: changed (secret)"


def test_a_secret_change_cannot_carry_a_value() -> None:
    with pytest.raises(ValueError, match="no values"):
        Change("c.password", None, "s3cret", is_secret=True)
