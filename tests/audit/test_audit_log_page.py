"""`/audit-log`: what it shows, what its filter leaves, that nothing on it changes an entry."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import update

from portal import audit
from portal.accounts.models import User
from portal.audit.entries import PAGE_SIZE
from portal.transaction import unit_of_work
from tests.admin_browser import Browser
from tests.audit.conftest import ADA, NOW, Write
from tests.page_reader import faults, read

EVE = audit.Actor(UUID("99999999-2222-4333-8444-555555555555"), "Eve_100% Ünal", "2001:db8::7")


@pytest.fixture
def admin(app: Flask) -> Browser:
    return Browser(app)


@pytest.fixture
def three(app: Flask) -> None:
    """Entries of Ada, Eve and nobody, on three days."""
    with app.app_context(), unit_of_work() as session:
        for day, (action, actor, subject) in enumerate(
            [
                ("user.signed_in", ADA, "ada@contoso.test"),
                ("connection.deleted", EVE, "connection Main"),
                ("user.sign_in_failed", audit.Actor(None, "", "192.0.2.9"), "EVE@contoso.test"),
            ]
        ):
            now = NOW + timedelta(days=day)
            audit.record(session, action=action, actor=actor, subject=subject, now=now)


def rows(html: str) -> list[str]:
    """The entries of the page, each as its text."""
    found = read(html).all("tr")
    return [" ".join(row.text.split()) for row in found if "audit" not in row.attributes.get("class", "")][1:]


def test_an_entry_shows_who_did_what_when_from_where_and_both_values(
    admin: Browser, write: Write, seal: Callable[[], int]
) -> None:
    write()
    seal()

    page = admin.get("/audit-log")

    assert faults(page.text) == []
    assert rows(page.text) == [
        "21 Nov 2026, 12:00 UTC sealed, no. 1 Ada Lovelace account 11111111 from 192.0.2.7 Connection changed"
        " connection Übersee is_default off → became on password changed port 25 → became 587"
    ]


def test_the_code_of_an_action_and_of_a_kind_of_mail_stand_beside_the_words(app: Flask, admin: Browser) -> None:
    """By them exports and programs, and the filter by subject, have what is shown in the reader's language."""
    with app.app_context(), unit_of_work() as session:
        server = audit.Actor(None, "server Wiki", "192.0.2.7")
        audit.record(session, action="message.retried", actor=server, subject="api to ada@contoso.test", now=NOW)
        session.execute(update(User).where(User.id == admin.user_id).values(language="de"))

    page = admin.get("/audit-log?subject=api+to").text

    assert rows(page)[0].endswith(
        "Server Wiki (kein Konto) von 192.0.2.7 Nachricht erneut versucht"
        " E-Mail der Art „Anwendungen, über die API“ an ada@contoso.test api to ada@contoso.test"
    )
    assert '<th scope="row" title="message.retried">' in page
    assert faults(page) == []


def test_the_newest_entries_come_first_a_page_at_a_time(admin: Browser, write: Write) -> None:
    write(2 * PAGE_SIZE + 1)

    pages, path = [], "/audit-log"
    while path:
        answer = admin.get(path)
        assert faults(answer.text) == []
        pages.append(rows(answer.text))
        older = re.search(r'href="([^"]+)">Older</a>', answer.text)
        path = unescape(older[1]) if older else ""

    assert [len(page) for page in pages] == [PAGE_SIZE, PAGE_SIZE, 1]
    times = [row[:22] for page in pages for row in page]
    assert times == [f"{NOW + timedelta(minutes=one):%d %b %Y, %H:%M UTC}" for one in reversed(range(201))]


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("who=ada", ["user.signed_in"]),
        ("who=100%25", ["connection.deleted"]),
        ("who=_", ["connection.deleted"]),
        ("who=%C3%9Cnal", ["connection.deleted"]),
        ("action=user.sign_in_failed", ["user.sign_in_failed"]),
        ("subject=CONTOSO.TEST", ["user.sign_in_failed", "user.signed_in"]),
        ("subject=eve", ["user.sign_in_failed"]),
        ("address=192.0.2.", ["user.sign_in_failed", "user.signed_in"]),
        ("address=2001:db8", ["connection.deleted"]),
        ("since=2026-11-22", ["user.sign_in_failed", "connection.deleted"]),
        ("until=2026-11-22", ["connection.deleted", "user.signed_in"]),
        ("since=2026-11-22&until=2026-11-22", ["connection.deleted"]),
        ("who=ada&action=connection.deleted", []),
        ("who=+%00+", ["user.sign_in_failed", "connection.deleted", "user.signed_in"]),
        ("before=0", []),
    ],
)
def test_the_filter_leaves_what_fits_every_field(admin: Browser, three: None, query: str, left: list[str]) -> None:
    labels = {
        "user.signed_in": "Signed in",
        "connection.deleted": "Connection deleted",
        "user.sign_in_failed": "Sign-in failed",
    }

    page = admin.get(f"/audit-log?{query}")

    found = [" ".join(cell.text.split()) for cell in read(page.text).all("th") if cell.attributes.get("scope") == "row"]
    assert found == [labels[action] for action in left]


def test_the_filter_stays_in_the_form_the_next_page_and_the_export(admin: Browser, write: Write) -> None:
    write(PAGE_SIZE + 1)

    page = admin.get("/audit-log?who=ada&action=connection.changed&since=2026-11-21&nonsense=1").text

    assert 'name="who" value="ada"' in page
    assert '<option value="connection.changed" selected>Connection changed</option>' in page
    assert page.count('name="since" value="2026-11-21"') == 2
    older = re.search(r'href="([^"]+)">Older</a>', page)
    assert older
    assert unescape(older[1]).endswith("&who=ada&action=connection.changed&since=2026-11-21")


def test_only_actions_that_occur_are_offered(admin: Browser, three: None) -> None:
    options = re.findall(r'<option value="([^"]*)"', admin.get("/audit-log").text)

    assert options == ["", "connection.deleted", "user.sign_in_failed", "user.signed_in"]


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("since=21.11.2026", "Type a day as year, month and day, like 2026-11-21."),
        ("until=2026-02-30", "Type a day as year, month and day, like 2026-11-21."),
        ("since=0001-01-01", "There is nothing from that year."),
        ("until=9999-12-31", "There is nothing from that year."),
        ("since=2026-11-21&until=2026-11-20", "This day is before the first one."),
    ],
)
def test_a_day_that_is_none_is_refused(admin: Browser, three: None, query: str, error: str) -> None:
    page = admin.get(f"/audit-log?{query}")

    assert page.status_code == 422
    assert error in page.text
    assert faults(page.text) == []


def test_days_are_those_of_the_readers_time_zone(app: Flask, admin: Browser, write: Write) -> None:
    app.extensions["babel"].timezone_selector = lambda: "Asia/Kathmandu"  # five hours and 45 minutes ahead
    write(start=datetime(2026, 11, 20, 18, 14, tzinfo=UTC))
    write(start=datetime(2026, 11, 20, 18, 15, tzinfo=UTC))

    days = [len(rows(admin.get(f"/audit-log?since={day}&until={day}").text)) for day in ("2026-11-20", "2026-11-21")]

    assert days == [1, 1]


def test_a_value_is_shown_as_it_is_and_never_as_html(app: Flask, admin: Browser) -> None:
    with app.app_context(), unit_of_work() as session:
        changes = {"name": ("<b>old</b>", "<script>alert(1)</script>")}
        evil = audit.Actor(None, "<img src=x>", "192.0.2.7")
        audit.record(session, action="connection.changed", actor=evil, subject="<i>Main</i>", changes=changes, now=NOW)

    page = admin.get("/audit-log").text

    assert not re.search(r"<(b|i|img|script)>|<img src=x", page)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_many_changes_are_folded(app: Flask, admin: Browser) -> None:
    with app.app_context(), unit_of_work() as session:
        changes = {f"field_{one}": (None, one) for one in range(4)}
        audit.record(session, action="connection.created", actor=ADA, subject="Main", changes=changes, now=NOW)

    page = admin.get("/audit-log").text

    assert "<summary>4 fields</summary>" in page
    assert read(page).all("details")[0].text.count("field_") == 4


def test_the_newest_seal_is_shown_to_be_kept(admin: Browser, write: Write, seal: Callable[[], int]) -> None:
    assert "Newest seal" not in admin.get("/audit-log").text
    write(2)
    seal()

    assert re.search(r'id="newest-seal" value="2:[0-9a-f]{64}"', admin.get("/audit-log").text)


def test_no_address_of_the_portal_changes_or_removes_an_entry(app: Flask) -> None:
    of_the_log = {
        (rule.rule, method)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if "audit" in rule.rule or rule.endpoint.startswith("audit")
    }

    assert of_the_log == {("/audit-log", "GET"), ("/audit-log.csv", "POST"), ("/audit-log.json", "POST")}
