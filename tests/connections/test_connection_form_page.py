"""The form of a connection: what it refuses, keeps, and never shows."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from portal import audit, email_settings
from portal.connections import saving
from portal.connections.smtp_values import SMTPValues
from portal.connections.values import Method, Role, SecretChange
from portal.email_settings import EmailSettings
from portal.transaction import unit_of_work
from portal.transports.smtp_settings import Auth, Security
from tests.admin_browser import HTMX, Browser, form_with
from tests.connections.making import (
    CONTOSO,
    NOW,
    change,
    create,
    find,
    finished,
    installation_of,
    smtp_values,
    stored,
    typed,
    while_another_saves,
)
from tests.outside.smtp_server import SMTPServer

NEW = "/connections/new"


def page_of(app: Flask, name: str = "Main") -> str:
    return f"/connections/{stored(app, name).id}"


def saved(admin: Browser, server: SMTPServer, **changes: str | None) -> None:
    """Save a connection through the form, as an administrator does."""
    assert "is saved" in finished(admin, admin.fill(NEW, typed(server, **changes)))


def test_a_new_connection_is_checked_and_then_saved_as_the_default(
    portal: Flask, admin: Browser, server: SMTPServer
) -> None:
    fragment = finished(admin, admin.fill(NEW, typed(server), button="save"))

    assert "Main is saved" in fragment
    values = stored(portal).values
    assert values.role is Role.DEFAULT
    assert values.smtp.host == server.host
    assert (values.from_address, values.display_name) == ("portal@contoso.test", "Contoso Portal")
    assert stored(portal).password_is_readable
    assert stored(portal, "built-in").values.role is Role.AVAILABLE
    assert server.messages == []


def test_the_button_is_not_needed_to_save(portal: Flask, admin: Browser, server: SMTPServer) -> None:
    finished(admin, admin.fill(NEW, typed(server)))

    assert find(portal, "Main") is not None


def test_what_fails_its_check_is_not_saved(portal: Flask, admin: Browser, server: SMTPServer) -> None:
    fragment = finished(admin, admin.fill(NEW, typed(server, password="falsch"), button="save"))

    assert "Nothing was saved." in fragment
    assert "Save as draft" in fragment
    assert find(portal, "Main") is None


def test_a_check_alone_saves_nothing(portal: Flask, admin: Browser, server: SMTPServer) -> None:
    fragment = finished(admin, admin.fill(NEW, typed(server), button="check"))

    assert "Every step passed" in fragment or "It works, but look at this" in fragment
    assert find(portal, "Main") is None


def test_a_draft_is_stored_unchecked_and_may_be_unfinished(portal: Flask, admin: Browser) -> None:
    answer = admin.fill(NEW, {"name": "Later"}, button="draft")

    assert answer.status_code == 303
    assert answer.headers["Location"] == page_of(portal, "Later")
    assert stored(portal, "Later").values.role is Role.DRAFT
    assert "Draft" in admin.get(page_of(portal, "Later")).text


EMPTY = {
    "name": ("", "Enter a name."),
    "host": ("", "Enter the host, for example smtp.contoso.com."),
    "username": ("", "Enter the user name, or choose to send without authentication."),
    "password": ("", "Enter the password."),
}
MALFORMED = {
    "host": ("smtp.contoso.com:587", "The port, 587, has its own field."),
    "port": ("65536", "Enter a whole number from 1 to 65535."),
    "from_address": ("a@b.test, c@d.test", "Type one address only, without a comma or semicolon."),
    "helo_name": ("not a host", "This is neither a host name nor an address."),
    "ca_certificate": ("hello", "This is not a certificate in PEM form."),
    "timeout_seconds": ("0", "Enter a whole number from 1 to 600."),
    "envelope_from": ("nobody", "An address contains an @"),
    "reply_to": ("@", "Type something before and after the @"),
    "max_connections": ("٢٥", "Enter a whole number from 1 to 50."),
    "security": ("ssl", "Not a valid choice."),
    "auth": ("magic", "Not a valid choice."),
}
TAKEN = {"name": ("Built-In", "Another connection has this name.")}
WITHOUT_SENDER = {"from_address": ("", "Enter the address that mail is from")}


@pytest.mark.parametrize(
    "wrong", [EMPTY, MALFORMED, TAKEN, WITHOUT_SENDER], ids=["empty", "malformed", "taken", "sender"]
)
def test_what_is_wrong_is_said_beside_its_field_and_nothing_typed_is_lost(
    portal: Flask, admin: Browser, server: SMTPServer, wrong: dict[str, tuple[str, str]]
) -> None:
    changes = {field: value for field, (value, _said) in wrong.items()}

    answer = admin.fill(NEW, typed(server, display_name="As typed", **changes), button="save")

    assert answer.status_code == 422
    for field, (_value, said) in wrong.items():
        error = re.search(rf'id="{field}-error">(.*?)</div>', answer.text)
        assert error, field
        assert said in unescape(error[1])
    assert 'value="As typed"' in answer.text
    assert "geheim" not in answer.text
    assert find(portal, "Main") is None
    assert server.sessions == []


def test_under_htmx_a_refused_form_replaces_the_page(admin: Browser, server: SMTPServer) -> None:
    answer = admin.fill(NEW, typed(server, host=""), button="save", headers=HTMX)

    assert answer.status_code == 422
    assert answer.headers["HX-Retarget"] == "body"
    assert 'id="host-error"' in answer.text


def test_an_organisations_sender_is_enough(portal: Flask, admin: Browser, server: SMTPServer) -> None:
    with portal.app_context(), unit_of_work() as session:
        settings = EmailSettings(from_address="org@contoso.test")
        email_settings.save(session, settings, actor=audit.COMMAND_LINE, now=NOW)

    saved(admin, server, from_address="")

    assert stored(portal).values.from_address == ""
    assert "MAIL FROM:<org@contoso.test>" in server.commands
    assert "org@contoso.test" in admin.get(page_of(portal)).text


def test_a_stored_password_is_kept_and_used_without_being_shown(
    portal: Flask, admin: Browser, server: SMTPServer
) -> None:
    saved(admin, server)

    page = admin.get(page_of(portal)).text
    fragment = finished(admin, admin.fill(page_of(portal), {"reply_to": "helpdesk@contoso.test"}, button="save"))

    assert "geheim" not in page
    assert "Stored encrypted on" in page
    assert "Main is saved" in fragment
    assert stored(portal).values.reply_to == "helpdesk@contoso.test"
    assert stored(portal).password_is_readable


def test_a_stored_password_can_be_replaced(portal: Flask, admin: Browser, server: SMTPServer) -> None:
    saved(admin, server)

    refused = finished(
        admin, admin.fill(page_of(portal), {"password_action": "replace", "password": "falsch"}, button="save")
    )

    assert "Nothing was saved." in refused
    assert "is saved" in finished(admin, admin.fill(page_of(portal), {"reply_to": "a@contoso.test"}, button="save"))


def test_a_stored_password_can_be_removed_with_the_sign_in(portal: Flask, admin: Browser) -> None:
    with SMTPServer() as open_relay:
        create(
            portal,
            smtp_values(smtp=replace(CONTOSO, host=open_relay.host, port=open_relay.port, security=Security.NONE)),
        )

        finished(admin, admin.fill(page_of(portal), {"auth": "none", "password_action": "clear"}, button="save"))

    assert stored(portal).password_stored_at is None
    assert stored(portal).values.smtp.auth is Auth.NONE


def test_removing_a_password_that_is_needed_is_refused(portal: Flask, admin: Browser) -> None:
    create(portal)

    answer = admin.fill(page_of(portal), {"password_action": "clear"}, button="save")

    assert answer.status_code == 422
    assert "This way of signing in needs a password." in answer.text


def test_a_password_typed_while_keep_is_chosen_is_not_silently_dropped(portal: Flask, admin: Browser) -> None:
    create(portal)

    answer = admin.fill(page_of(portal), {"password_action": "keep", "password": "new"}, button="save")

    assert answer.status_code == 422
    assert "Something was typed, but “Keep” is chosen." in answer.text


def test_a_password_sent_without_an_action_replaces(portal: Flask, admin: Browser, server: SMTPServer) -> None:
    saved(admin, server)

    fragment = finished(
        admin, admin.fill(page_of(portal), {"password_action": None, "password": "falsch"}, button="check")
    )

    assert "Sign in: failed" in fragment


@pytest.mark.parametrize("button", ["check", "save"])
def test_a_changed_host_never_gets_the_stored_password(
    portal: Flask, admin: Browser, server: SMTPServer, button: str
) -> None:
    saved(admin, server)
    with SMTPServer(accounts={"relay": "geheim"}) as evil:
        answer = admin.fill(page_of(portal), {"port": str(evil.port)}, button=button)

        assert answer.status_code == 422
        assert "Enter the password again: host, port, security" in answer.text
        assert evil.sessions == []


def test_a_draft_with_a_changed_host_loses_the_stored_password(
    portal: Flask, admin: Browser, server: SMTPServer
) -> None:
    saved(admin, server, role="available")

    admin.fill(page_of(portal), {"host": "mail.contoso.test"}, button="draft")

    assert stored(portal).password_stored_at is None


def test_the_hosts_own_identity_asks_for_no_user_name_and_keeps_none(
    portal: Flask, admin: Browser, server: SMTPServer
) -> None:
    saved(admin, server, role="available")

    answer = admin.fill(page_of(portal), {"auth": "default_credentials"}, button="draft")

    assert answer.status_code == 303
    assert stored(portal).values.smtp.auth == "default_credentials"
    assert stored(portal).values.smtp.username == ""
    assert stored(portal).password_stored_at is None
    assert not stored(portal).lacks_secret


def test_a_draft_that_is_finished_becomes_what_it_was_meant_for(
    portal: Flask, admin: Browser, server: SMTPServer
) -> None:
    admin.fill(NEW, typed(server), button="draft")

    fragment = finished(admin, admin.fill(page_of(portal), {"display_name": "Contoso"}, button="save"))

    assert "Main is saved" in fragment
    assert stored(portal).values.role is Role.DEFAULT


@pytest.mark.parametrize(
    ("changes", "button"),
    [({}, "draft"), ({"role": "draft"}, "save"), ({"role": "available"}, "save"), ({"role": "available"}, "check")],
)
def test_the_default_is_not_demoted_before_another_is_the_default(
    portal: Flask, admin: Browser, server: SMTPServer, changes: dict[str, str | None], button: str
) -> None:
    saved(admin, server)

    answer = admin.fill(page_of(portal), {"reply_to": "typed@contoso.test", **changes}, button=button)

    assert answer.status_code == 422
    error = re.search(r'id="role-error">(.*?)</div>', answer.text)
    assert error
    assert "Make another connection the default first." in error[1]
    assert 'value="typed@contoso.test"' in answer.text
    assert stored(portal).values.role is Role.DEFAULT


def test_what_was_typed_over_the_default_can_be_put_by_under_another_name(portal: Flask, admin: Browser) -> None:
    page = page_of(portal, "built-in")
    assert f'value="draft" formaction="{NEW}"' in admin.get(page).text
    typed_over = {**form_with(admin.get(page).text, "name").values, "reply_to": "a@contoso.test", "action": "draft"}

    same_name = admin.client.post(NEW, data=typed_over)
    other_name = admin.client.post(NEW, data={**typed_over, "name": "Later"})

    assert same_name.status_code == 422
    assert "Another connection has this name." in same_name.text
    assert other_name.headers["Location"] == page_of(portal, "Later")
    assert stored(portal, "Later").values.role is Role.DRAFT
    assert stored(portal, "Later").values.reply_to == "a@contoso.test"
    assert stored(portal, "built-in").values.role is Role.DEFAULT


def test_a_name_that_somebody_takes_at_the_same_moment_is_said_beside_its_field(portal: Flask, admin: Browser) -> None:
    draft, box = smtp_values(role=Role.DRAFT), installation_of(portal).box
    typed_in = {**form_with(admin.get(NEW).text, "name").values, "name": "main", "action": "draft"}

    def take_it(session: Session) -> None:
        saving.create(session, draft, {}, box=box, actor=audit.COMMAND_LINE, now=NOW)

    answer = while_another_saves(portal, take_it, lambda: admin.client.post(NEW, data=typed_in)).result()

    assert answer.status_code == 422
    error = re.search(r'id="name-error">(.*?)</div>', answer.text)
    assert error
    assert "Another connection has this name." in error[1]
    assert stored(portal).values.name == "Main"


def test_settings_of_another_method_stay_when_the_method_is_switched(
    portal: Flask, admin: Browser, server: SMTPServer
) -> None:
    saved(admin, server)

    finished(admin, admin.fill(page_of(portal), {"method": "capture", "host": "!", "port": "x"}, button="save"))

    assert stored(portal).values.method is Method.CAPTURE
    assert stored(portal).values.smtp.host == server.host
    assert stored(portal).secrets_of(Method.SMTP)["password"].is_readable


def test_an_older_form_does_not_overwrite_a_newer_change(portal: Flask, admin: Browser) -> None:
    connection_id = create(portal, smtp_values(role=Role.DRAFT))
    change(portal, connection_id, smtp_values(role=Role.DRAFT, reply_to="theirs@contoso.test"), SecretChange())

    answer = admin.fill(page_of(portal), {"version": "1", "reply_to": "mine@contoso.test"}, button="draft")

    assert answer.status_code == 409
    assert "Ada saved this connection after you opened it" in answer.text
    assert "theirs@contoso.test" in answer.text
    assert "mine@contoso.test" in answer.text
    assert stored(portal).values.reply_to == "theirs@contoso.test"
    link = answer.text.split('href="')[-1].split('"')[0].replace("&amp;", "&")
    assert link.startswith(page_of(portal))
    assert admin.fill(link, {"name": "Main"}, button="draft").status_code == 303
    assert stored(portal).values.reply_to == "mine@contoso.test"


def test_saving_asks_for_the_password_again_after_a_while_and_keeps_what_was_typed(
    portal: Flask, server: SMTPServer
) -> None:
    admin = Browser(portal, signed_in_at=datetime.now(UTC) - timedelta(minutes=16))

    answer = admin.fill(NEW, typed(server), button="save")

    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/confirm-password?next=%2Fconnections%2Fnew%3Fcandidate%3D")
    assert find(portal, "Main") is None
    back = answer.headers["Location"].split("next=")[1].replace("%2F", "/").replace("%3F", "?").replace("%3D", "=")
    form = admin.get(back).text
    assert f'value="{server.port}"' in form
    assert "geheim" not in form
    admin.confirm()
    assert "Main is saved" in finished(admin, admin.fill(back, {"name": "Main"}, button="save"))
    assert stored(portal).password_is_readable


def test_a_preset_fills_the_form(admin: Browser) -> None:
    page = admin.get(f"{NEW}?preset=microsoft365&from_address=portal@contoso.com").text

    assert 'value="smtp.office365.com"' in page
    assert 'value="587"' in page
    assert 'value="portal@contoso.com"' in page
    assert "Microsoft switches SMTP passwords off by default at the end of December 2026." in page


def test_a_link_cannot_fill_in_a_password_or_a_host(admin: Browser) -> None:
    page = admin.get(f"{NEW}?password=canary&host=canary.example&role=default").text

    assert 'value="canary' not in page


def test_a_microsoft_host_shows_what_microsoft_asks_for(portal: Flask, admin: Browser) -> None:
    create(portal, smtp_values(smtp=replace(CONTOSO, host="smtp.office365.com")))

    assert "Microsoft switches SMTP passwords off" in admin.get(page_of(portal)).text


@pytest.mark.parametrize("role", ["helpdesk", "user"])
def test_only_administrators_see_and_change_connections(portal: Flask, role: str) -> None:
    create(portal)
    other, page = Browser(portal, role), page_of(portal)

    for path in ("/connections", NEW, page, f"{page}/deletion"):
        assert other.get(path).status_code == 403
        assert other.get(path, headers=HTMX).status_code == 403
    for path in (NEW, page, f"{page}/checks", f"{page}/deletion"):
        assert other.post(path, {"name": "Mine", "action": "draft"}, page="/profile").status_code == 403
    assert find(portal, "Mine") is None


def test_without_a_token_nothing_happens(portal: Flask, admin: Browser) -> None:
    answer = admin.client.post(NEW, data={"name": "Forged", "action": "draft"}, headers=HTMX)

    assert answer.status_code == 400
    assert find(portal, "Forged") is None


def test_the_list_names_each_connection_with_its_state(portal: Flask, admin: Browser) -> None:
    create(portal, smtp_values("Main", role=Role.DEFAULT))
    create(portal, smtp_values("Keyless"), SecretChange())

    page = admin.get("/connections").text

    assert f'<a href="{page_of(portal)}">Main</a>' in page
    assert "Needs its password" in page
    assert "smtp.contoso.test, port 587" in page


def test_a_connection_is_deleted_after_a_page_that_says_what_it_means(portal: Flask, admin: Browser) -> None:
    create(portal)
    page = f"{page_of(portal)}/deletion"

    answer = admin.post(page, {})

    assert answer.status_code == 303
    assert find(portal, "Main") is None


def test_the_default_connection_is_not_deleted(portal: Flask, admin: Browser) -> None:
    page = f"{page_of(portal, 'built-in')}/deletion"

    assert "Make another connection the default first" in admin.get(page).text
    assert admin.post(page, {}, page="/connections/new").status_code == 409
    assert find(portal, "built-in") is not None


@pytest.mark.parametrize(("security", "port"), [("starttls", 587), ("implicit_tls", 465), ("auto", 587), ("none", 25)])
def test_an_empty_port_is_stored_as_the_usual_one(portal: Flask, admin: Browser, security: str, port: int) -> None:
    changes = {"name": "Main", "host": "smtp.contoso.test", "port": "", "security": security}

    admin.fill(NEW, changes, button="draft")

    assert stored(portal).values.smtp.port == port


STARTTLS_ON_587 = replace(CONTOSO, port=587)
STARTTLS_ON_2525 = replace(CONTOSO, port=2525)


@pytest.mark.parametrize(
    ("present", "changes", "port"),
    [
        (STARTTLS_ON_587, {"security": "implicit_tls"}, 465),
        (STARTTLS_ON_587, {"security": "none"}, 25),
        (STARTTLS_ON_587, {"security": "implicit_tls", "port": None}, 465),
        (STARTTLS_ON_587, {"security": "implicit_tls", "port": "2525"}, 2525),
        (STARTTLS_ON_587, {"reply_to": "a@contoso.test"}, 587),
        (STARTTLS_ON_2525, {"security": "implicit_tls"}, 2525),
        (STARTTLS_ON_2525, {"security": "implicit_tls", "port": None}, 2525),
    ],
)
def test_without_script_the_usual_port_follows_the_encryption(
    portal: Flask, admin: Browser, present: SMTPValues, changes: dict[str, str | None], port: int
) -> None:
    create(portal, smtp_values(smtp=present))

    admin.fill(page_of(portal), changes, button="draft")

    assert stored(portal).values.smtp.port == port


def test_with_script_the_port_is_what_stands_in_its_field(portal: Flask, admin: Browser) -> None:
    create(portal, smtp_values(smtp=STARTTLS_ON_587))

    admin.fill(page_of(portal), {"security": "none", "security_before": None}, button="draft")

    assert stored(portal).values.smtp.port == 587


def test_a_port_that_followed_is_shown_when_the_form_comes_back(portal: Flask, admin: Browser) -> None:
    create(portal, smtp_values(smtp=STARTTLS_ON_587))

    refused = admin.fill(page_of(portal), {"security": "implicit_tls"}, button="save")
    again = form_with(refused.text, "port")

    assert refused.status_code == 422
    assert (again.values["port"], again.values["security_before"]) == ("465", "implicit_tls")


def test_an_access_token_is_one_word(portal: Flask, admin: Browser, server: SMTPServer) -> None:
    changes = {"auth": "oauthbearer", "password": "two words"}

    answer = admin.fill(NEW, typed(server, **changes), button="save")

    assert answer.status_code == 422
    assert "An access token is one word" in answer.text
    assert "two words" not in answer.text
    assert find(portal, "Main") is None


def test_what_a_page_never_offers_is_not_taken_as_a_way_of_signing_in(
    portal: Flask, admin: Browser, server: SMTPServer
) -> None:
    answer = admin.fill(NEW, typed(server, auth="xoauth2"), button="draft")

    assert answer.status_code == 422
    assert find(portal, "Main") is None
