"""Placeholders in text fields: kept as typed, filled in where they are used, refused where they stand for nothing."""

from __future__ import annotations

import pytest
from flask import Flask

from portal import connections, email_settings
from portal.connections.smtp_values import SMTPValues
from portal.connections.values import Role
from portal.mail.addresses import Mailbox, parse_address
from portal.placeholders import UnknownPlaceholder, allowing, filled_in
from portal.settings_file import SettingsFileError
from tests.admin_browser import Browser
from tests.connections.making import create, installation_of, smtp_values
from tests.servers.conftest import admin, portal  # noqa: F401 - fixtures
from tests.servers.serving import caller, change, composed, organisation, parsed, read, server
from tests.servers.test_pages import stored
from tests.servers.test_routes import ask
from tests.servers.test_settings_section import apply, export


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_DOMAIN", "contoso.test")
    monkeypatch.setenv("MAIL_TRICK", "%server:name%")
    monkeypatch.setenv("SECRET_KEY", "canary")
    monkeypatch.delenv("MAIL_GONE", raising=False)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("wiki@%env:MAIL_DOMAIN%", "wiki@contoso.test"),
        ("%server:name% of %server:SITE%", "Wiki of Berlin"),
        ("100 % sure, %server", "100 % sure, %server"),
        ("%env:MAIL_TRICK%", "%server:name%"),
    ],
)
def test_placeholders_are_filled_in_once(text: str, filled: str) -> None:
    assert filled_in(text, {"name": "Wiki", "SITE": "Berlin"}) == filled


@pytest.mark.parametrize("text", ["%env:SECRET_KEY%", "%env:MAIL_GONE%", "%server:SITE%", "%env:%", "%server:%"])
def test_what_stands_for_nothing_is_named(text: str) -> None:
    with pytest.raises(UnknownPlaceholder, match=f"^{text} stands for nothing"):
        filled_in(text)


def test_a_check_sees_what_a_placeholder_stands_for_and_keeps_what_was_typed() -> None:
    check = allowing(parse_address)

    assert check(" wiki@%env:MAIL_DOMAIN% ") == "wiki@%env:MAIL_DOMAIN%"
    with pytest.raises(ValueError, match="exactly one @"):
        check("a@b@%env:MAIL_DOMAIN%")


def test_a_variable_that_is_not_utf_8_stands_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_BYTES", "/tmp/\udcfc")

    with pytest.raises(UnknownPlaceholder, match=r"^%env:MAIL_BYTES% stands for nothing: .* is not UTF-8"):
        filled_in("%env:MAIL_BYTES%")


def test_a_refusal_names_the_placeholder_and_never_what_it_stands_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", "canary")

    with pytest.raises(ValueError, match=r"^x@%env:MAIL_PASSWORD% stands for something that does not fit") as refused:
        allowing(parse_address)("x@%env:MAIL_PASSWORD%")

    assert "canary" not in str(refused.value)
    with pytest.raises(ValueError, match="“canary” is no complete domain"):
        allowing(parse_address)("x@canary")


def test_the_organisations_sender_is_kept_as_typed_and_used_filled_in(portal: Flask, admin: Browser) -> None:  # noqa: F811
    typed = {"from_address": "portal@%env:MAIL_DOMAIN%", "display_name": "%server:name%"}

    answer = admin.fill("/email-settings", {**typed, "reply_to": "help@%env:MAIL_DOMAIN%"})

    assert answer.status_code == 303
    assert 'value="portal@%env:MAIL_DOMAIN%"' in admin.get("/email-settings").text
    used = read(portal, email_settings.load)
    assert (used.from_address, used.display_name) == ("portal@contoso.test", "Mail Portal")
    refused = admin.fill("/email-settings", {"from_address": "portal@%env:MAIL_GONE%"})
    assert refused.status_code == 422
    assert "%env:MAIL_GONE% stands for nothing" in refused.text


def test_what_is_inherited_names_the_server_that_sends(portal: Flask) -> None:  # noqa: F811
    organisation(portal, from_address="post@%env:MAIL_DOMAIN%", display_name="%server:name%")
    wiki = server(portal, variables={"SITE": "Berlin"}, reply_to="%server:SITE%@%env:MAIL_DOMAIN%")

    of_wiki = composed(portal, caller(portal, wiki))
    [of_portal] = ask(portal, "default").ways

    assert of_wiki.from_mailbox == Mailbox("post@contoso.test", "Wiki")
    assert parsed(of_wiki)["Reply-To"] == "Berlin@contoso.test"
    assert of_portal.from_mailbox == Mailbox("post@contoso.test", "Mail Portal")


def test_a_server_may_use_its_own_variables_alone(portal: Flask, admin: Browser) -> None:  # noqa: F811
    typed = {"name": "Wiki", "from_address": "%server:SITE%@%env:MAIL_DOMAIN%"}

    unknown = admin.fill("/servers/new", typed)
    known = admin.fill("/servers/new", {**typed, "variables": "SITE=berlin"})

    assert unknown.status_code == 422
    assert "%server:SITE% stands for nothing here. Known: %server:name%." in unknown.text
    assert known.status_code == 303
    wiki = stored(portal)
    assert wiki.values.from_address == "%server:SITE%@%env:MAIL_DOMAIN%"
    page = admin.get(f"/servers/{wiki.id}").text
    assert "berlin@contoso.test" in page
    assert "Own, from a placeholder" in page


def test_a_variable_that_goes_counts_as_not_set(portal: Flask, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    wiki = server(portal, from_address="wiki@%env:MAIL_DOMAIN%", automatic_bcc="all@%env:MAIL_DOMAIN%")
    who = caller(portal, wiki)
    change(portal, wiki, name="Wiki", from_address="wiki@%env:MAIL_DOMAIN%")

    monkeypatch.setenv("MAIL_DOMAIN", "not a domain")

    prepared = composed(portal, who)
    assert prepared.from_mailbox is None
    assert prepared.rcpt_to == ("ada@contoso.test",)


def test_a_connections_host_is_filled_in_and_another_value_gets_no_secret_of_the_former(
    portal: Flask,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    smtp = SMTPValues(host="smtp.%env:MAIL_DOMAIN%", port=587, username="relay@%env:MAIL_DOMAIN%")
    connection_id = create(portal, smtp_values("Main", smtp, role=Role.DEFAULT, from_address="%server:name%@a.test"))
    installation = installation_of(portal)

    def lacks_secret() -> bool:
        found = read(portal, lambda session: connections.find(session, connection_id, box=installation.box))
        assert found is not None
        return found.lacks_secret

    settings = installation.smtp_settings(smtp_values("Main", smtp), "geheim")
    had = lacks_secret()
    monkeypatch.setenv("MAIL_DOMAIN", "elsewhere.test")
    moved = lacks_secret()
    monkeypatch.delenv("MAIL_DOMAIN")

    assert (settings.host, settings.username) == ("smtp.contoso.test", "relay@contoso.test")
    assert (had, moved) == (False, True)
    assert installation.smtp_settings(smtp_values("Main", smtp), "geheim").host == "not-set.invalid"


def test_the_settings_file_takes_and_gives_placeholders(portal: Flask) -> None:  # noqa: F811
    text = """\
servers:
  - {name: wiki, from_address: "%server:SITE%@%env:MAIL_DOMAIN%", variables: {SITE: berlin}}
"""

    apply(portal, text)

    assert stored(portal, "wiki").values.from_address == "%server:SITE%@%env:MAIL_DOMAIN%"
    assert "%server:SITE%@%env:MAIL_DOMAIN%" in export(portal)
    with pytest.raises(SettingsFileError, match=r"line 2, servers\[0\]\.reply_to: %env:MAIL_GONE% stands for nothing"):
        apply(portal, 'servers:\n  - {name: wiki, reply_to: "%env:MAIL_GONE%"}\n')
