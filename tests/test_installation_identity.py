"""A restored or copied installation: what it is known by, and that nothing of it leaves by itself."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import delete

from portal import installation, outbox
from portal.audit import COMMAND_LINE
from portal.config import Config
from portal.connections.smtp_values import SMTPValues
from portal.connections.values import Role
from portal.doctor import examine
from portal.extensions import db
from portal.installation import Standing
from portal.installation.models import InstallationRow
from portal.installation.place import same_database
from portal.outbox import history
from portal.outbox.settings import WorkerSettings
from portal.transaction import unit_of_work
from portal.transports.smtp_settings import Security
from portal.worker_process import run_worker
from tests.admin_browser import Browser
from tests.conftest import copied, environment, opened
from tests.connections.making import NOW, PASSWORD, audit_entries, create, queue_mail, smtp_values
from tests.outside.smtp_server import SMTPServer

QUICK = WorkerSettings(sweep_every=timedelta(seconds=0.2), look_every=timedelta(seconds=0.1))
TESTS = "tests@people.test"


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    return environ | {"PORTAL_PUBLIC_URL": "http://mail.contoso.test"}


@pytest.fixture
def server() -> Iterator[SMTPServer]:
    with SMTPServer(accounts={"relay": PASSWORD}) as server:
        yield server


@pytest.fixture
def portal(app: Flask, server: SMTPServer) -> Flask:
    """With a default connection, and known as the original."""
    smtp = SMTPValues(host=server.host, port=server.port, security=Security.NONE, username="relay")
    create(app, smtp_values(smtp=smtp, role=Role.DEFAULT))
    with app.app_context(), unit_of_work() as session:
        installation.adopt(session, app.config["PORTAL"])
    return app


@contextmanager
def working(app: Flask) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=run_worker, args=(app, stop), kwargs={"settings": QUICK})
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def until(happened: Callable[[], object], *, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)


def standing(app: Flask, config: Config | None = None) -> Standing:
    with app.app_context():
        return installation.judge(db.session(), config or app.config["PORTAL"])


def elsewhere(app: Flask) -> Config:
    """The same database, seen by a process whose public URL is another."""
    config: Config = app.config["PORTAL"]
    return replace(config, public_url="http://staging.contoso.test")


def release(app: Flask, redirect_to: str = "", *, config: Config | None = None) -> None:
    with app.app_context(), unit_of_work() as session:
        installation.release(
            session, config or app.config["PORTAL"], redirect_to=redirect_to, actor=COMMAND_LINE, now=NOW
        )


def state_of_newest(app: Flask) -> str:
    with app.app_context():
        return str(history.recent(db.session())[0].status)


def test_the_first_worker_takes_what_it_finds_for_the_original_and_sends(app: Flask, server: SMTPServer) -> None:
    smtp = SMTPValues(host=server.host, port=server.port, security=Security.NONE, username="relay")
    create(app, smtp_values(smtp=smtp, role=Role.DEFAULT))
    queue_mail(app)

    with working(app):
        until(lambda: server.messages)

    assert standing(app) == Standing()


def test_another_public_url_holds_everything_and_the_worker_still_lives(portal: Flask, server: SMTPServer) -> None:
    portal.config["PORTAL"] = elsewhere(portal)
    queue_mail(portal)

    with working(portal):
        until(lambda: worker_is_seen(portal))
        time_for_a_claim()

        assert state_of_newest(portal) == "queued"
        release(portal)
        until(lambda: server.messages)

    assert [str(reason) for reason in standing(portal).reasons] == []


def test_a_trial_at_a_loopback_address_may_get_its_real_one(portal: Flask) -> None:
    config: Config = portal.config["PORTAL"]
    release_as_trial = replace(config, public_url="http://127.0.0.1:8000")
    with portal.app_context(), unit_of_work() as session:
        installation.hold_restored(session, release_as_trial, now=NOW)
    release(portal, config=release_as_trial)

    with portal.app_context(), unit_of_work() as session:
        installation.adopt(session, config)

    assert standing(portal) == Standing()
    assert standing(portal, elsewhere(portal)).is_held


def test_any_number_of_instance_folders_share_one_postgresql_database(migrated_postgresql: str, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    url = {"PORTAL_PUBLIC_URL": "http://mail.contoso.test"}
    with opened(environment(migrated_postgresql, one) | url) as first, first.app_context(), unit_of_work() as session:
        session.execute(delete(InstallationRow))
        installation.adopt(session, first.config["PORTAL"])

    with opened(environment(migrated_postgresql, other) | url) as second:
        assert standing(second) == Standing()


def test_a_dump_of_a_postgresql_database_in_another_one_is_held() -> None:
    assert same_database("postgresql:7000000000000000001:16384", "postgresql:7000000000000000001:16384")
    assert not same_database("postgresql:7000000000000000001:16384", "postgresql:7000000000000000001:16999")
    assert not same_database("postgresql:7000000000000000001:16384", "postgresql:7000000000000000002:16384")
    assert same_database("postgresql:7000000000000000001:16384", "postgresql::16384")  # a host that hides the first
    assert not same_database("sqlite:/a", "postgresql:7:16384")


@pytest.fixture
def sqlite_portal(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Flask]:
    """An SQLite installation in a folder of its own, known as the original."""
    folder = tmp_path / "original"
    folder.mkdir()
    url = {"PORTAL_PUBLIC_URL": "http://mail.contoso.test"}
    with opened(environment(copied(migrated_sqlite, folder), folder) | url) as app:
        with app.app_context(), unit_of_work() as session:
            installation.adopt(session, app.config["PORTAL"])
        yield app


def test_a_copied_instance_folder_is_held_even_at_the_same_public_url(sqlite_portal: Flask, tmp_path: Path) -> None:
    with sqlite_portal.app_context():
        db.engine.dispose()
    shutil.copytree(tmp_path / "original", tmp_path / "copy")
    url = {"PORTAL_PUBLIC_URL": "http://mail.contoso.test"}

    with opened(environment(f"sqlite:///{tmp_path}/copy/portal.sqlite3", tmp_path / "copy") | url) as copy:
        found = standing(copy)

    assert [reason.template[:32] for reason in found.reasons] == ["Its database was copied or moved"]
    assert standing(sqlite_portal) == Standing()


def test_a_database_file_of_another_folder_in_its_place_is_held(sqlite_portal: Flask) -> None:
    (sqlite_portal.config["PORTAL"].instance / "installation-id").unlink()

    found = standing(sqlite_portal)

    assert [str(reason) for reason in found.reasons] == ["Its database and its instance folder do not belong together."]


def test_a_crash_before_the_first_note_is_written_leaves_no_copy_behind(sqlite_portal: Flask) -> None:
    with sqlite_portal.app_context(), unit_of_work() as session:
        session.execute(delete(InstallationRow))  # the folder has its identifier, the database never heard of it

    with sqlite_portal.app_context(), unit_of_work() as session:
        installation.adopt(session, sqlite_portal.config["PORTAL"])

    assert standing(sqlite_portal) == Standing()


def test_redirected_mail_goes_to_the_one_address_and_names_who_would_have_got_it(
    portal: Flask, server: SMTPServer
) -> None:
    with portal.app_context(), unit_of_work() as session:
        installation.hold_restored(session, portal.config["PORTAL"], now=NOW)
    queue_mail(portal, "password_reset")
    release(portal, TESTS)

    with working(portal):
        until(lambda: server.messages)
        [received] = server.messages
        release(portal)
        queue_mail(portal)
        until(lambda: len(server.messages) == 2)

    message = message_from_bytes(received.content)
    assert received.rcpt_to == (TESTS,)
    assert (message["To"], message["X-Original-To"]) == (TESTS, "Ada <ada@contoso.test>")
    assert message["X-Original-Recipients"] == "ada@contoso.test"
    assert "reset-password/canary" in received.content.decode()
    assert server.messages[1].rcpt_to == ("ada@contoso.test",)
    with portal.app_context():
        assert history.recent(db.session())[1].to == ("ada@contoso.test",)


def test_an_administrator_releases_on_the_page_with_the_password(portal: Flask) -> None:
    with portal.app_context(), unit_of_work() as session:
        installation.hold_restored(session, portal.config["PORTAL"], now=NOW)
    browser = Browser(portal)
    page = browser.get("/installation").text
    assert "It was restored from a backup." in page
    assert "All sending is held" in browser.get("/users").text

    browser.confirm(datetime(2026, 1, 1, tzinfo=UTC))
    asked = browser.post("/installation/release", {}, page="/installation")
    assert asked.headers["Location"].startswith("/confirm-password")
    assert standing(portal).is_held
    browser.confirm()
    refused = browser.post("/installation/redirection", {"redirect_to": "tests"}, page="/installation")
    assert (refused.status_code, standing(portal).is_held) == (422, True)
    browser.post("/installation/redirection", {"redirect_to": TESTS}, page="/installation")
    assert f"All mail goes to {TESTS} instead" in browser.get("/users").text
    browser.post("/installation/release", {}, page="/installation")

    assert standing(portal) == Standing()
    assert audit_entries(portal, "sending.redirected")[0].changes["redirect_to"] == [None, TESTS]
    assert audit_entries(portal, "sending.released")[0].changes["redirect_to"] == [TESTS, None]


@pytest.mark.parametrize(("role", "is_shown"), [("admin", True), ("helpdesk", False), ("user", False)])
def test_the_overview_leads_administrators_to_the_page(portal: Flask, role: str, is_shown: bool) -> None:
    overview = Browser(portal, role).get("/").text

    assert ('<a href="/installation">This installation</a>' in overview) == is_shown


def worker_is_seen(app: Flask) -> bool:
    with app.app_context():
        return outbox.worker_seen_at(db.session()) is not None


def time_for_a_claim() -> None:
    """Many looks of a quick worker."""
    time.sleep(0.7)


def test_the_doctor_says_that_all_is_held_and_how_to_release_it(portal: Flask) -> None:
    with portal.app_context(), unit_of_work() as session:
        installation.hold_restored(session, portal.config["PORTAL"], now=NOW)

    with portal.app_context():
        found = [one for one in examine(portal, NOW) if one.about == "installation"]

    assert [one.verdict for one in found] == ["wrong"]
    assert found[0].text.startswith("all sending is held. It was restored from a backup. ")
    assert found[0].text.endswith("portal release")
