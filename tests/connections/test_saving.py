"""Connections at rest: one default, names that differ, versions, an audit log without secrets."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.orm import Session

from portal.connections import saving
from portal.connections.saving import ChangedMeanwhile, IsDefault, NameTaken
from portal.connections.values import Method, Role, SecretAction, SecretChange
from portal.extensions import db
from portal.transaction import unit_of_work
from portal.transports.smtp_settings import Security
from tests.connections.making import (
    ADA,
    CONTOSO,
    NOW,
    audit_entries,
    change,
    create,
    find,
    installation_of,
    replaced,
    smtp_values,
    stored,
    while_another_saves,
)

KEEP = SecretChange()


def test_a_fresh_portal_has_the_built_in_service_as_its_default(portal: Flask) -> None:
    builtin = stored(portal, "built-in")

    assert builtin.values.method is Method.BUILTIN
    assert builtin.values.role is Role.DEFAULT


def test_the_built_in_service_is_not_made_again_beside_other_connections(portal: Flask) -> None:
    create(portal, smtp_values(role=Role.DEFAULT))
    with portal.app_context(), unit_of_work() as session:
        saving.delete(session, stored_id(portal, "built-in"), actor=ADA, now=NOW)

    with portal.app_context(), unit_of_work() as session:
        saving.ensure_builtin(session, NOW)

    assert find(portal, "built-in") is None


def test_giving_the_default_to_another_makes_the_former_available(portal: Flask) -> None:
    create(portal, smtp_values("First", role=Role.DEFAULT))
    second = create(portal, smtp_values("Second"))

    change(portal, second, smtp_values("Second", role=Role.DEFAULT), KEEP)

    assert stored(portal, "Second").values.role is Role.DEFAULT
    assert stored(portal, "First").values.role is Role.AVAILABLE
    assert stored(portal, "built-in").values.role is Role.AVAILABLE


@pytest.mark.parametrize("role", [Role.AVAILABLE, Role.DRAFT])
def test_the_default_has_its_role_until_another_is_given_it(portal: Flask, role: Role) -> None:
    main = create(portal, smtp_values(role=Role.DEFAULT))

    with pytest.raises(IsDefault):
        change(portal, main, smtp_values(role=role), KEEP)

    assert stored(portal).values.role is Role.DEFAULT


def test_of_two_made_the_default_at_the_same_moment_the_later_one_is_it(portal: Flask) -> None:
    first, second = create(portal, smtp_values("First")), create(portal, smtp_values("Second"))
    box = installation_of(portal).box

    def make_first(session: Session) -> None:
        saving.change(session, first, smtp_values("First", role=Role.DEFAULT), {}, box=box, actor=ADA, now=NOW)

    def make_second() -> None:
        change(portal, second, smtp_values("Second", role=Role.DEFAULT), KEEP)

    assert while_another_saves(portal, make_first, make_second).exception() is None
    assert stored(portal, "First").values.role is Role.AVAILABLE
    assert stored(portal, "Second").values.role is Role.DEFAULT
    assert stored(portal, "built-in").values.role is Role.AVAILABLE


def test_the_former_default_cannot_take_the_role_back_from_an_old_form(portal: Flask) -> None:
    first = create(portal, smtp_values("First", role=Role.DEFAULT))
    seen = stored(portal, "First")
    create(portal, smtp_values("Second", role=Role.DEFAULT))

    with pytest.raises(ChangedMeanwhile):
        change(portal, first, seen.values, replaced("other"), expected_version=seen.version)


def test_the_database_itself_holds_no_second_default(portal: Flask) -> None:
    create(portal, smtp_values("First"))

    with portal.app_context(), pytest.raises(Exception, match=r"(?i)unique"), unit_of_work() as session:
        session.execute(text("update connection set role = 'default'"))


@pytest.mark.parametrize("name", ["main", "MAIN", "Ｍａｉｎ"])
def test_two_names_that_differ_in_case_or_width_are_one(app: Flask, name: str) -> None:
    create(app, smtp_values("Main"))

    with pytest.raises(NameTaken):
        create(app, smtp_values(name))


def test_of_two_that_take_a_name_at_the_same_moment_one_is_told(portal: Flask) -> None:
    def take_it(session: Session) -> None:
        saving.create(session, smtp_values(), {}, box=installation_of(portal).box, actor=ADA, now=NOW)

    other = while_another_saves(portal, take_it, lambda: create(portal, smtp_values("MAIN")))

    assert isinstance(other.exception(), NameTaken)
    assert stored(portal, "main").values.name == "Main"


def test_a_connection_may_be_renamed_to_its_own_name_in_other_letters(app: Flask) -> None:
    connection_id = create(app, smtp_values("Main"))

    change(app, connection_id, smtp_values("MAIN"), KEEP)

    assert stored(app, "main").values.name == "MAIN"


def test_every_change_counts_one_version_and_no_change_none(app: Flask) -> None:
    connection_id = create(app)

    change(app, connection_id, smtp_values(reply_to="helpdesk@contoso.test"), KEEP)
    change(app, connection_id, smtp_values(reply_to="helpdesk@contoso.test"), KEEP)

    assert stored(app).version == 2
    assert len(audit_entries(app, "connection.changed")) == 1


def test_the_second_of_two_changes_from_the_same_version_is_refused(app: Flask) -> None:
    connection_id = create(app)
    change(app, connection_id, smtp_values(reply_to="a@contoso.test"), KEEP, expected_version=1)

    with pytest.raises(ChangedMeanwhile) as conflict:
        change(app, connection_id, smtp_values(reply_to="b@contoso.test"), KEEP, expected_version=1)

    assert conflict.value.present is not None
    assert conflict.value.present.values.reply_to == "a@contoso.test"


def test_a_change_of_a_deleted_connection_is_refused(app: Flask) -> None:
    connection_id = create(app)
    with app.app_context(), unit_of_work() as session:
        saving.delete(session, connection_id, actor=ADA, now=NOW)

    with pytest.raises(ChangedMeanwhile) as conflict:
        change(app, connection_id, smtp_values(reply_to="b@contoso.test"), KEEP)

    assert conflict.value.present is None


def test_the_default_connection_cannot_be_deleted(portal: Flask) -> None:
    with portal.app_context(), pytest.raises(IsDefault), unit_of_work() as session:
        saving.delete(session, stored_id(portal, "built-in"), actor=ADA, now=NOW)

    assert find(portal, "built-in") is not None


def test_deleting_a_connection_deletes_its_secret(app: Flask) -> None:
    connection_id = create(app)

    with app.app_context(), unit_of_work() as session:
        saving.delete(session, connection_id, actor=ADA, now=NOW)

    with app.app_context():
        assert db.session.execute(text("select count(*) from connection_secret")).scalar() == 0


def test_the_audit_log_names_what_changed_and_no_secret(app: Flask) -> None:
    connection_id = create(app, secret=replaced("canary-one"))
    moved = replace(CONTOSO, host="mail.contoso.test")

    change(app, connection_id, smtp_values(smtp=moved), replaced("canary-two"))

    [created] = audit_entries(app, "connection.created")
    [changed] = audit_entries(app, "connection.changed")
    assert changed.changes == {"host": ["smtp.contoso.test", "mail.contoso.test"], "password": "changed"}
    assert created.changes["password"] == "changed"
    assert "canary" not in str(created.changes) + str(changed.changes)


def test_switching_the_method_drops_neither_values_nor_password(app: Flask) -> None:
    connection_id = create(app)
    change(app, connection_id, replace(smtp_values(), method=Method.CAPTURE), KEEP)

    change(app, connection_id, smtp_values(), KEEP)

    assert stored(app).values.smtp == CONTOSO
    assert stored(app).password_is_readable


@pytest.mark.parametrize(
    "changed",
    [
        {"host": "evil.example"},
        {"port": 2525},
        {"security": Security.AUTO},
        {"verify_certificate": False},
        {"ca_certificate": "-----BEGIN CERTIFICATE-----"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_changing_where_the_password_goes_drops_it(app: Flask, changed: dict[str, object]) -> None:
    connection_id = create(app)

    change(app, connection_id, smtp_values(smtp=replace(CONTOSO, **changed)), KEEP)

    assert stored(app).password_stored_at is None
    assert stored(app).lacks_secret


@pytest.mark.parametrize(
    "changed", [{"port": 587}, {"username": "other"}, {"timeout_seconds": 30}, {"helo_name": "portal.contoso.test"}]
)
def test_changing_anything_else_keeps_the_password(app: Flask, changed: dict[str, object]) -> None:
    connection_id = create(app)

    change(app, connection_id, smtp_values(smtp=replace(CONTOSO, **changed)), KEEP)

    assert stored(app).password_is_readable


def test_a_password_can_be_cleared(app: Flask) -> None:
    connection_id = create(app)

    change(app, connection_id, smtp_values(), SecretChange(SecretAction.CLEAR))

    assert stored(app).password_stored_at is None


def stored_id(app: Flask, name: str) -> UUID:
    return stored(app, name).id
