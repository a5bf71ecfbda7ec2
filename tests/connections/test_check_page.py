"""The page of a check: step by step, readable by who asked, saving what passed, keeping what did not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import select, update

from portal import connections
from portal.connections.models import ConnectionCheck
from portal.connections.values import Role
from portal.extensions import db
from portal.transaction import unit_of_work
from tests.admin_browser import HTMX, Browser
from tests.connections.making import (
    audit_entries,
    change,
    create,
    find,
    finished,
    queue_mail,
    replaced,
    send_what_is_due,
    smtp_values,
    stored,
    typed,
)
from tests.connections.test_states import at
from tests.outside.smtp_server import SMTPServer

NEW = "/connections/new"


def checked(admin: Browser, server: SMTPServer, button: str = "save", **changes: str | None) -> str:
    """Fill in the form, wait for the end of the check, and return the address of its page."""
    answer = admin.fill(NEW, typed(server, **changes), button=button)
    finished(admin, answer)
    return answer.headers["Location"]


def changed(app: Flask, path: str, **values: object) -> None:
    with app.app_context(), unit_of_work() as session:
        mine = ConnectionCheck.id == UUID(path.rpartition("/")[2])
        session.execute(update(ConnectionCheck).where(mine).values(**values))


def test_each_step_is_shown_with_what_was_seen(admin: Browser, server: SMTPServer) -> None:
    page = admin.get(checked(admin, server)).text

    for step in ("Look up the host", "Connect", "Sign in", "Offer the sender", "Ask to hand over a message"):
        assert step in page
    assert "250 2.1.0 sender ok" in page
    assert "C: EHLO" in page
    assert "Check of Main" in page


def test_neither_the_password_nor_its_base64_is_in_the_transcript(admin: Browser, server: SMTPServer) -> None:
    page = admin.get(checked(admin, server)).text

    assert "C: AUTH PLAIN ********" in page
    assert "geheim" not in page
    assert "AHJlbGF5AGdlaGVpbQ==" not in page


def test_nothing_is_sent_by_a_check(admin: Browser, server: SMTPServer) -> None:
    checked(admin, server)

    assert server.messages == []
    assert server.commands[-1] == "DATA"


def test_a_failure_says_cause_who_can_mend_it_and_how(admin: Browser, server: SMTPServer) -> None:
    page = admin.get(checked(admin, server, password="falsch")).text

    assert "Sign in: failed" in page
    assert "does not accept the user name" in page
    assert "Who can mend it" in page
    assert "535 5.7.8" in page
    assert "falsch" not in page


def test_a_running_check_is_polled_and_a_finished_one_is_not(admin: Browser, server: SMTPServer) -> None:
    server.on("EHLO", delay=0.6)
    answer = admin.fill(NEW, typed(server))
    path = answer.headers["Location"]

    waiting = admin.get(path).text

    assert f'hx-get="{path}"' in waiting
    assert 'hx-trigger="load delay:500ms"' in waiting
    assert "<noscript>" in waiting
    ended = finished(admin, answer)
    assert "hx-get" not in ended
    assert "<html" not in ended


def test_back_to_the_form_brings_everything_but_the_password_and_that_still_counts(
    portal: Flask, admin: Browser, server: SMTPServer
) -> None:
    failed = checked(admin, server, username="unknown", helo_name="portal.contoso.test")
    link = f"{NEW}?candidate={failed.rpartition('/')[2]}"
    assert link in admin.get(failed).text

    form = admin.get(link).text
    answer = admin.fill(link, {"username": "relay", "name": "Main"}, button="save")

    assert 'value="portal.contoso.test"' in form
    assert "geheim" not in form
    assert "Main is saved" in finished(admin, answer)
    assert server.sessions[-1].commands[0] == "EHLO portal.contoso.test"
    assert stored(portal).password_is_readable


def test_a_password_that_was_typed_for_one_server_never_goes_to_another(admin: Browser, server: SMTPServer) -> None:
    failed = checked(admin, server, port="1")
    link = f"{NEW}?candidate={failed.rpartition('/')[2]}"

    answer = admin.fill(link, {"port": str(server.port)}, button="check")

    assert answer.status_code == 422
    assert server.sessions == []


def test_what_failed_can_be_saved_as_a_draft_with_its_password(
    portal: Flask, admin: Browser, server: SMTPServer
) -> None:
    failed = checked(admin, server, from_address="portal@contoso.test", username="unknown")

    answer = admin.post(f"{failed}/saving", {"action": "draft"}, page=failed)

    assert answer.status_code == 303
    assert stored(portal).values.role is Role.DRAFT
    assert stored(portal).password_is_readable


def test_the_default_that_failed_is_not_offered_as_a_draft_and_not_made_one(
    portal: Flask, admin: Browser, server: SMTPServer
) -> None:
    connection_id = create(portal, smtp_values(smtp=at(server), role=Role.DEFAULT))
    server.on("AUTH", "535 5.7.8 locked")
    form = f"/connections/{connection_id}"
    answer = admin.fill(form, {"reply_to": "mine@contoso.test"}, button="save")
    page = answer.headers["Location"]

    failed = finished(admin, answer)
    saving = admin.post(f"{page}/saving", {"action": "draft"}, page=page)

    assert "Save as draft" not in failed
    assert saving.headers["Location"].startswith(f"{form}?candidate=")
    back = admin.get(saving.headers["Location"]).text
    assert "Nothing was saved. Mail leaves by this connection. Make another connection the default first." in back
    assert stored(portal).values.role is Role.DEFAULT


def test_what_failed_cannot_be_saved_as_if_it_had_passed(portal: Flask, admin: Browser, server: SMTPServer) -> None:
    failed = checked(admin, server, password="falsch")

    answer = admin.post(f"{failed}/saving", {"action": "save"}, page=failed)

    assert answer.status_code == 409
    assert find(portal, "Main") is None


def test_what_passed_a_check_can_be_saved_without_another(portal: Flask, admin: Browser, server: SMTPServer) -> None:
    passed = checked(admin, server, button="check")

    answer = admin.post(f"{passed}/saving", {"action": "save"}, page=passed)

    assert answer.status_code == 303
    assert stored(portal).values.role is Role.DEFAULT
    assert len(server.sessions) == 1


def test_a_candidate_is_gone_once_it_was_used(portal: Flask, admin: Browser, server: SMTPServer) -> None:
    checked(admin, server)

    with portal.app_context():
        rows = db.session.execute(select(ConnectionCheck.candidate, ConnectionCheck.secrets)).all()
    assert [tuple(row) for row in rows] == [(None, {})]


def test_a_candidate_is_not_offered_after_15_minutes_and_then_purged(
    portal: Flask, admin: Browser, server: SMTPServer
) -> None:
    failed = checked(admin, server, password="falsch")
    changed(portal, failed, created_at=datetime.now(UTC) - timedelta(minutes=16))

    page = admin.get(failed).text
    answer = admin.post(f"{failed}/saving", {"action": "draft"}, page=NEW)

    assert "What was typed is gone: it is kept for 15 minutes." in page
    assert answer.headers["Location"] == NEW
    assert find(portal, "Main") is None
    with portal.app_context(), unit_of_work() as session:
        connections.purge_candidates(session, datetime.now(UTC))
        assert session.scalars(select(ConnectionCheck.secrets)).all() == [{}]


def test_a_fresh_candidate_survives_the_purge_and_an_old_check_does_not(
    portal: Flask, admin: Browser, server: SMTPServer
) -> None:
    checked(admin, server, password="falsch")
    old = checked(admin, server, password="falsch")
    changed(portal, old, created_at=datetime.now(UTC) - timedelta(hours=25))

    with portal.app_context(), unit_of_work() as session:
        connections.purge_candidates(session, datetime.now(UTC))
        kept = session.scalars(select(ConnectionCheck.secrets)).all()

    assert len(kept) == 1
    assert kept[0]["password"]["sealed"].startswith("v1.")


def test_a_connection_that_changed_during_its_check_is_not_overwritten(
    portal: Flask, admin: Browser, server: SMTPServer
) -> None:
    connection_id = create(portal, smtp_values(smtp=at(server)))
    server.on("EHLO", delay=0.5)
    answer = admin.fill(f"/connections/{connection_id}", {"reply_to": "mine@contoso.test"}, button="save")
    theirs = smtp_values(smtp=at(server), reply_to="theirs@contoso.test")

    change(portal, connection_id, theirs, replaced())

    ended = finished(admin, answer)
    assert "Works, but was not saved" in ended
    assert "Ada saved this connection after you opened it." in ended
    assert "saved: theirs@contoso.test" in ended
    assert "yours: mine@contoso.test" in ended
    assert stored(portal).values.reply_to == "theirs@contoso.test"


def test_a_name_taken_during_the_check_is_explained(portal: Flask, admin: Browser, server: SMTPServer) -> None:
    server.on("EHLO", delay=0.5)
    answer = admin.fill(NEW, typed(server), button="save")

    create(portal, smtp_values("MAIN"))

    assert "Another connection has this name." in finished(admin, answer)
    assert stored(portal).values.name == "MAIN"


def test_a_cancelled_check_ends_at_once_and_saves_nothing(portal: Flask, admin: Browser, server: SMTPServer) -> None:
    server.on("EHLO", delay=0.5)
    answer = admin.fill(NEW, typed(server), button="save")
    path = answer.headers["Location"]

    assert admin.post(f"{path}/cancellation", {}, page=path).status_code == 303

    assert "The check was cancelled. Nothing was saved." in admin.get(path).text
    server.wait_until_idle()
    assert find(portal, "Main") is None
    assert "Cancelled" in admin.get(path).text


@pytest.mark.parametrize("state", ["waiting", "running"])
def test_a_check_whose_process_is_gone_reads_interrupted(
    portal: Flask, admin: Browser, server: SMTPServer, state: str
) -> None:
    path = checked(admin, server, password="falsch")
    changed(portal, path, state=state, heartbeat_at=datetime.now(UTC) - timedelta(seconds=11))

    page = admin.get(path).text

    assert "Interrupted: run it again" in page
    assert "hx-get" not in page
    assert "Main is saved" not in finished(admin, admin.post(f"{path}/repetition", {}, page=path))


def test_a_check_can_be_run_again_with_what_was_typed(portal: Flask, admin: Browser, server: SMTPServer) -> None:
    server.on("AUTH", "454 4.7.0 later", times=1)
    failed = checked(admin, server)

    answer = admin.post(f"{failed}/repetition", {}, page=failed)

    assert "Main is saved" in finished(admin, answer)
    assert stored(portal).password_is_readable


def test_only_the_session_that_asked_reads_a_check_or_takes_its_candidate(
    portal: Flask, admin: Browser, server: SMTPServer
) -> None:
    path = checked(admin, server, password="falsch")
    stranger = Browser(portal)

    assert stranger.get(path).status_code == 404
    assert stranger.get(path, headers=HTMX).status_code == 404
    for act in ("cancellation", "repetition", "saving"):
        assert stranger.post(f"{path}/{act}", {"action": "draft"}, page=NEW).status_code == 404
    form = stranger.get(f"{NEW}?candidate={path.rpartition('/')[2]}").text
    assert str(server.port) not in form


def test_another_session_cannot_use_the_typed_password(portal: Flask, admin: Browser, server: SMTPServer) -> None:
    path = checked(admin, server, password="falsch")
    stranger = Browser(portal)

    answer = stranger.fill(
        NEW,
        typed(server, password="", password_action="keep", candidate=path.rpartition("/")[2]),
        button="check",
    )

    assert answer.status_code == 422
    assert "Enter the password." in answer.text


def test_the_button_on_the_settings_page_checks_what_is_stored(
    portal: Flask, admin: Browser, server: SMTPServer
) -> None:
    connection_id = create(portal, smtp_values(smtp=at(server)))

    answer = admin.post(f"/connections/{connection_id}/checks", {}, page="/email-settings")

    ended = finished(admin, answer)
    assert "The connection works" in ended
    assert "Save as draft" not in ended
    assert ">Save<" not in ended


def test_a_paused_connection_that_passes_its_check_sends_again(
    portal: Flask, admin: Browser, server: SMTPServer
) -> None:
    connection_id = create(portal, smtp_values(smtp=at(server), role=Role.DEFAULT))
    server.on("AUTH", "535 5.7.8 locked", times=1)
    queue_mail(portal)
    send_what_is_due(portal)
    assert "is paused." in admin.get("/connections").text

    finished(admin, admin.post(f"/connections/{connection_id}/checks", {}, page="/email-settings"))

    assert "is paused." not in admin.get("/connections").text
    send_what_is_due(portal)
    assert len(server.messages) == 1


def test_the_built_in_capture_passes_and_says_that_mail_is_kept(portal: Flask, admin: Browser) -> None:
    builtin = stored(portal, "built-in")

    ended = finished(admin, admin.post(f"/connections/{builtin.id}/checks", {}, page="/email-settings"))

    assert "mail by this connection is kept here; none leaves" in ended


def test_a_person_starts_at_most_ten_checks_a_minute(portal: Flask, admin: Browser) -> None:
    path = f"/connections/{stored(portal, 'built-in').id}/checks"
    answers = [admin.post(path, {}, page=NEW).status_code for _ in range(11)]

    assert answers == [303] * 10 + [429]


def test_a_check_is_audited_with_its_server_and_without_secrets(
    portal: Flask, admin: Browser, server: SMTPServer
) -> None:
    checked(admin, server, button="check")

    [entry] = audit_entries(portal, "connection.checked")
    assert entry.actor_name == "Admin Ada"
    assert entry.changes == {"server": [None, f"{server.host}:{server.port}"]}


def test_a_refused_port_is_never_connected_to(admin: Browser, server: SMTPServer) -> None:
    page = admin.get(checked(admin, server, port="6379")).text

    assert "failed" in page
    assert server.sessions == []
