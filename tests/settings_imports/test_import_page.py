from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from flask import Flask
from sqlalchemy import select, update

from portal import connections
from portal.audit.models import AuditEntry
from portal.connections.models import ConnectionCheck
from portal.connections.secrets import readable_secrets
from portal.connections.stored import StoredConnection
from portal.connections.values import Method, Role
from portal.extensions import db, secret_box
from portal.transaction import unit_of_work
from tests.admin_browser import Browser, csrf_token
from tests.settings_imports import samples

PAGE = "/settings-import"
COOKIES = ("portal-session", "portal")


def stored(app: Flask, name: str) -> tuple[StoredConnection, dict[str, str]] | None:
    """A connection, and its secrets."""
    with app.app_context():
        found = connections.find_named(db.session(), name, box=secret_box)
        return (found, readable_secrets(db.session(), found.id, found.values, box=secret_box)) if found else None


def give(admin: Browser, text: str) -> str:
    """Paste a text; the path of its preview."""
    answer = admin.post(PAGE, {"source_text": text})
    assert answer.status_code == 303
    return str(answer.headers["Location"])


def test_a_text_is_looked_at_first_and_becomes_a_draft_that_is_not_the_default(portal: Flask, admin: Browser) -> None:
    path = give(admin, samples.LARAVEL)
    preview = admin.get(path)
    untouched = stored(portal, "smtp.contoso.test")
    made = admin.post(path, {})

    assert preview.status_code == 200
    assert "MAIL_HOST" in preview.text
    assert "canary" not in preview.text
    assert untouched is None
    assert (made.status_code, made.headers["Location"]) == (303, "/connections")
    assert "1 draft is made: smtp.contoso.test." in admin.get("/connections").text
    draft, secrets = stored(portal, "smtp.contoso.test") or pytest.fail("no draft")
    assert (draft.values.role, draft.values.method) == (Role.DRAFT, Method.SMTP)
    assert (draft.values.smtp.host, draft.values.from_address) == ("smtp.contoso.test", "shop@contoso.test")
    assert secrets == {"password": "canary # 4711"}
    with portal.app_context():
        entries = db.session.scalars(select(AuditEntry).where(AuditEntry.action == "connection.created")).all()
        assert [entry.subject for entry in entries] == ["connection smtp.contoso.test"]
        assert "canary" not in str([entry.changes for entry in entries])


def test_a_file_counts_where_both_are_given_and_each_connection_gets_a_free_name(portal: Flask, admin: Browser) -> None:
    both = {"source_text": samples.KEYCLOAK, "source_file": (io.BytesIO(samples.POST_SMTP_EXPORT.encode()), "a.txt")}
    first = admin.post(PAGE, both, content_type="multipart/form-data").headers["Location"]
    admin.post(first, {})
    admin.post(give(admin, samples.POST_SMTP_EXPORT), {})

    names = ["Post SMTP", "Post SMTP fallback", "Post SMTP 2", "Post SMTP fallback 2"]
    assert [found is not None for found in (stored(portal, name) for name in names)] == [True] * 4
    assert stored(portal, "Keycloak contoso") is None


def test_an_import_is_made_once_and_its_secrets_go_with_it(portal: Flask, admin: Browser) -> None:
    path = give(admin, samples.SMTP2GRAPH)
    admin.post(path, {})

    again = admin.post(path, {}, page=PAGE)
    page = admin.get(path)

    assert (again.status_code, page.status_code) == (404, 404)
    assert "This import is gone" in page.text
    assert stored(portal, "SMTP2Graph 2") is None
    with portal.app_context():
        assert db.session.scalars(select(ConnectionCheck.secrets)).all() == [{}]


def test_a_form_that_is_sent_twice_at_a_time_makes_its_drafts_once(portal: Flask, admin: Browser) -> None:
    path = give(admin, samples.LARAVEL)
    token = csrf_token(admin.get(path).text)
    cookies = {name: admin.client.get_cookie(name, domain=portal.config["PORTAL"].public_host) for name in COOKIES}
    start = Barrier(2)

    def send(_time: int) -> int:
        client = portal.test_client()
        for name, cookie in cookies.items():
            assert cookie is not None
            client.set_cookie(name, cookie.value, domain=portal.config["PORTAL"].public_host)
        start.wait(30)
        base_url = portal.config["PORTAL"].public_url
        return client.post(path, data={"csrf_token": token}, base_url=base_url).status_code

    with ThreadPoolExecutor(2) as threads:
        statuses = sorted(threads.map(send, range(2)))

    assert statuses == [303, 404]
    assert stored(portal, "smtp.contoso.test") is not None
    assert stored(portal, "smtp.contoso.test 2") is None


def test_an_import_is_sealed_for_a_quarter_of_an_hour_and_for_whoever_gave_it(portal: Flask, admin: Browser) -> None:
    path = give(admin, samples.LARAVEL)
    other = Browser(portal)
    with portal.app_context():
        kept = str(db.session.scalars(select(ConnectionCheck.secrets)).all())

    assert "canary" not in kept
    assert "MAIL_HOST" not in kept
    assert (other.get(path).status_code, other.post(path, {}, page=PAGE).status_code) == (404, 404)
    assert admin.get(path).status_code == 200
    with portal.app_context(), unit_of_work() as session:
        session.execute(update(ConnectionCheck).values(created_at=datetime.now(UTC) - timedelta(minutes=16)))
    assert (admin.get(path).status_code, admin.post(path, {}, page=PAGE).status_code) == (404, 404)
    assert stored(portal, "smtp.contoso.test") is None


def test_making_drafts_asks_for_the_password_where_it_was_not_given_lately(portal: Flask, admin: Browser) -> None:
    path = give(admin, samples.LARAVEL)
    admin.confirm(datetime.now(UTC) - timedelta(minutes=16))

    asked = admin.post(path, {})

    assert asked.headers["Location"].startswith("/confirm-password?next=%2Fsettings-import%2F")
    assert stored(portal, "smtp.contoso.test") is None
    admin.confirm()
    assert admin.post(path, {}).headers["Location"] == "/connections"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("MAIL_HOST=a.test\nMAIL_PORT=99999\n", "Line 2, MAIL_PORT: expected a whole number from 1 to 65535."),
        (samples.KEYCLOAK.replace("login@contoso.test", "nobody"), "Line 13, smtpServer.from: "),
        ('{"password": "canary",}', "Line 1: this is not JSON: a key in double quotes was expected here."),
    ],
)
def test_a_bad_value_is_named_with_its_place_and_the_text_is_not_shown_again(
    portal: Flask, admin: Browser, text: str, error: str
) -> None:
    answer = admin.post(PAGE, {"source_text": text})

    assert answer.status_code == 422
    assert error in answer.text
    assert "canary" not in answer.text
    with portal.app_context():
        assert db.session.scalars(select(ConnectionCheck)).all() == []


def test_what_only_names_a_value_is_shown_with_its_source(admin: Browser) -> None:
    page = admin.get(give(admin, samples.LARAVEL.replace("smtp.contoso.test", "${RELAY_HOST}"))).text

    assert "It refers to ${RELAY_HOST}, which stands elsewhere." in page
