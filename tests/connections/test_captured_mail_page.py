"""What capture kept: readable for administrators, apart from the portal, secret kinds only with the password."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from sqlalchemy import select

from portal.extensions import db
from portal.outbox.models import Message
from tests.accounts.browsing import statements, writing_ones
from tests.admin_browser import HTMX, Browser
from tests.connections.making import audit_entries, engine_of, queue_mail, send_what_is_due

LIST = "/captured-mail"


@pytest.fixture
def kept(portal: Flask) -> Flask:
    """A portal that captured a notice and a reset mail."""
    queue_mail(portal, "password_changed")
    send_what_is_due(portal)
    queue_mail(portal, "password_reset")
    send_what_is_due(portal)
    return portal


def links(browser: Browser) -> list[str]:
    """The captured messages, the newest first."""
    return re.findall(rf'href="({LIST}/[0-9a-f-]+)"', browser.get(LIST).text)


def test_an_empty_list_says_what_would_stand_there(admin: Browser) -> None:
    assert "Nothing was captured" in admin.get(LIST).text


def test_captured_mail_is_listed_the_newest_first(kept: Flask, admin: Browser) -> None:
    page = admin.get(LIST).text

    assert len(links(admin)) == 2
    assert page.index("asks for your password") < page.index("Your password for Mail Portal was changed")


def test_a_message_is_shown_with_headers_text_and_source(kept: Flask, admin: Browser) -> None:
    page = admin.get(links(admin)[1]).text

    assert "Ada &lt;ada@contoso.test&gt;" in page
    assert "Auto-Submitted: auto-generated" in page
    assert "It is a security notice" in page


def test_the_html_stands_in_a_frame_that_can_do_nothing(kept: Flask, admin: Browser) -> None:
    page = admin.get(links(admin)[1])

    assert re.search(r'<iframe class="mail-frame" sandbox src="([^"]+)"', page.text)
    assert "frame-src 'self'" in page.headers["Content-Security-Policy"]
    frame = admin.get(f"{links(admin)[1]}/html")
    assert "password" in frame.text
    policy = frame.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "frame-ancestors 'self'" in policy
    assert "allow-" not in policy


def test_a_secret_message_asks_for_the_password_even_right_after_sign_in(kept: Flask, admin: Browser) -> None:
    answer = admin.get(links(admin)[0])

    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/confirm-password?next=%2Fcaptured-mail%2F")


def test_the_frame_of_a_secret_message_has_no_back_door(kept: Flask, admin: Browser) -> None:
    secret = links(admin)[0]

    assert admin.get(f"{secret}/html").status_code == 403
    assert admin.get(f"{secret}/html?ticket=forged").status_code == 403


def test_reading_a_secret_message_is_audited_and_every_visit_asks_again(kept: Flask, admin: Browser) -> None:
    secret = links(admin)[0]
    admin.confirm_for(secret)

    page = admin.get(secret)

    assert page.status_code == 200
    assert "http://localhost/reset-password/canary" in page.text
    frame = re.search(r'sandbox src="([^"]+)"', page.text)
    assert frame
    assert "canary" in admin.get(frame[1].replace("&amp;", "&")).text
    [entry] = audit_entries(kept, "captured_mail.read")
    assert entry.actor_name == "Admin Ada"
    assert entry.subject == "password_reset to ada@contoso.test"
    assert admin.get(secret).status_code == 303


def test_the_reading_is_noted_when_the_password_is_given_and_the_page_only_uses_the_confirmation_up(
    kept: Flask, admin: Browser
) -> None:
    secret = links(admin)[0]
    admin.confirm_for(secret)
    noted = len(audit_entries(kept, "captured_mail.read"))

    with statements(engine_of(kept)) as seen:
        page = admin.get(secret)

    assert (noted, page.status_code) == (1, 200)
    written = writing_ones(seen)
    assert len(written) == 1
    assert written[0].startswith("UPDATE user_session SET confirmed_at")


def test_a_password_given_before_the_mail_was_captured_does_not_open_it(portal: Flask, admin: Browser) -> None:
    queue_mail(portal, "password_reset")
    with portal.app_context():
        secret = f"{LIST}/{db.session.scalar(select(Message.id))}"
    admin.confirm_for(secret)
    send_what_is_due(portal)

    answer = admin.get(secret)

    assert answer.status_code == 303
    assert audit_entries(portal, "captured_mail.read") == []


@pytest.mark.parametrize("role", ["helpdesk", "user"])
def test_a_password_given_by_somebody_who_may_not_read_it_is_no_reading(kept: Flask, admin: Browser, role: str) -> None:
    other, secret = Browser(kept, role), links(admin)[0]

    other.confirm_for(secret)

    assert other.get(secret).status_code == 403
    assert audit_entries(kept, "captured_mail.read") == []


def test_the_ticket_of_one_session_opens_nothing_for_another(kept: Flask, admin: Browser) -> None:
    secret = links(admin)[0]
    admin.confirm_for(secret)
    frame = re.search(r'sandbox src="([^"]+)"', admin.get(secret).text)
    assert frame

    assert Browser(kept).get(frame[1].replace("&amp;", "&")).status_code == 403


def test_what_does_not_exist_is_not_found(admin: Browser) -> None:
    unknown = f"{LIST}/00000000-0000-0000-0000-000000000001"

    assert admin.get(unknown).status_code == 404
    assert admin.get(f"{unknown}/html").status_code == 404


@pytest.mark.parametrize("role", ["helpdesk", "user"])
def test_nobody_else_reads_captured_mail(kept: Flask, admin: Browser, role: str) -> None:
    other = Browser(kept, role)

    for path in (LIST, *links(admin), *(f"{link}/html" for link in links(admin))):
        assert other.get(path).status_code == 403
        assert other.get(path, headers=HTMX).status_code == 403
