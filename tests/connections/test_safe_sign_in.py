"""Where access tokens and the host's own identity may go, and when the password is asked again before they do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from portal import audit, settings_file
from portal.connections import make_section
from portal.connections.provider_values import Credential, ProviderValues, SendThrough
from portal.connections.safe_sign_in import what_is_unsafe
from portal.connections.smtp_values import SMTPValues
from portal.connections.values import PROVIDER_METHODS, ConnectionValues, Method, Role
from portal.settings_file import SettingsFileError
from portal.transaction import unit_of_work
from portal.transports.smtp_settings import Auth, Security
from tests.admin_browser import Browser, form_with
from tests.connections.making import NOW, audit_entries, find, finished, installation_of, typed
from tests.connections.provider_world import (
    APP,
    PERSON_AT_GOOGLE,
    PERSON_AT_MICROSOFT,
    ProviderWorld,
    provider_world,
)
from tests.outside.microsoft_application import registered
from tests.outside.smtp_server import SMTPServer

NEW = "/connections/new"
TO_THE_HOST = {"security": "starttls", "auth": "default_credentials"}
A_PROVIDERS = {"client_id": "abc", "tenant_id": "contoso.test", "mailbox": "portal@contoso.test", "name": "Main"}
FEDERATED = "eyJ.federated.token"


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    return environ | {"PORTAL_MAIL_ALLOW": "127.0.0.0/8,10.1.2.3,gateway.contoso.test"}


@pytest.fixture
def credential_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ntlm"
    path.write_text("CONTOSO:portal:Geheim-4711\n")
    monkeypatch.setenv("NTLM_USER_FILE", str(path))


def by_smtp(method: Method, **server: object) -> ConnectionValues:
    own = ProviderValues(send_through=SendThrough.SMTP, server=SMTPValues(**server))  # type: ignore[arg-type]
    return ConnectionValues(name="Main", method=method).with_provider(own)


def unsafe(app: Flask, values: ConnectionValues) -> set[str]:
    return set(what_is_unsafe(values, installation=installation_of(app)))


def error_of(page: str, field: str) -> str:
    found = re.search(rf'id="{field}-error">(.*?)</div>', page, re.DOTALL)
    assert found, f"nothing is said beside {field}"
    return unescape(re.sub(r"<[^>]+>", "", found[1]))


# Where tokens go


@pytest.mark.parametrize("method", sorted(PROVIDER_METHODS))
@pytest.mark.parametrize("host", ["smtp.evil.test", "smtp.gmail.com.evil.test", "10.1.2.4", "office365.com", "::1"])
def test_no_token_goes_to_a_host_that_is_neither_the_providers_nor_the_operators(
    portal: Flask, method: Method, host: str
) -> None:
    assert unsafe(portal, by_smtp(method, host=host)) == {"host"}


@pytest.mark.parametrize("method", sorted(PROVIDER_METHODS))
@pytest.mark.parametrize("host", ["", "127.0.0.1", "localhost", "10.1.2.3", "gateway.contoso.test"])
def test_tokens_go_to_the_usual_server_and_to_those_that_the_operator_named(
    portal: Flask, method: Method, host: str
) -> None:
    assert unsafe(portal, by_smtp(method, host=host)) == set()


@pytest.mark.parametrize(
    ("host", "google", "microsoft"),
    [
        ("smtp.gmail.com", set(), {"host"}),
        ("smtp-relay.gmail.com", set(), {"host"}),
        ("smtp.office365.com", {"host"}, set()),
        ("smtp.office365.us", {"host"}, set()),
        ("outlook-dod.office365.us", {"host"}, set()),
        ("smtp.partner.outlook.cn", {"host"}, set()),
    ],
)
def test_each_provider_is_handed_its_own_tokens_alone(
    portal: Flask, host: str, google: set[str], microsoft: set[str]
) -> None:
    assert unsafe(portal, by_smtp(Method.GOOGLE, host=host)) == google
    assert unsafe(portal, by_smtp(Method.MICROSOFT_APP, host=host)) == microsoft


@pytest.mark.parametrize(
    ("changes", "field"), [({"verify_certificate": False}, "verify_certificate"), ({"security": "none"}, "security")]
)
def test_a_token_needs_encryption_and_a_checked_certificate(
    portal: Flask, changes: dict[str, object], field: str
) -> None:
    server = {**changes, **({"security": Security.NONE} if "security" in changes else {})}
    of_a_stranger = SMTPValues(host="smtp.contoso.test", auth=Auth.OAUTHBEARER, username="relay", **server)  # type: ignore[arg-type]

    assert unsafe(portal, by_smtp(Method.GOOGLE, **server)) == {field}
    assert unsafe(portal, ConnectionValues(name="Main", method=Method.SMTP, smtp=of_a_stranger)) == {field}
    with_password = replace(of_a_stranger, auth=Auth.PASSWORD)
    assert unsafe(portal, ConnectionValues(name="Main", method=Method.SMTP, smtp=with_password)) == set()


def test_a_server_that_is_not_in_use_is_not_judged(portal: Flask) -> None:
    values = by_smtp(Method.MICROSOFT, host="smtp.evil.test", verify_certificate=False)

    assert values.provider is not None
    by_api = values.with_provider(replace(values.provider, send_through=SendThrough.API))
    assert unsafe(portal, by_api) == set()


@pytest.mark.parametrize("button", ["check", "save", "draft"])
def test_the_form_says_beside_the_host_where_tokens_go(portal: Flask, admin: Browser, button: str) -> None:
    changes = {**A_PROVIDERS, "send_through": "smtp", "host": "smtp.evil.test", "client_secret": "canary"}

    answer = admin.fill(f"{NEW}?method=microsoft_app", changes, button=button)

    assert answer.status_code == 422
    assert "leave this empty for smtp.office365.com" in error_of(answer.text, "host")
    assert "PORTAL_MAIL_ALLOW" in error_of(answer.text, "host")
    assert find(portal, "Main") is None


def test_the_form_says_beside_the_check_of_the_certificate_that_tokens_need_it(portal: Flask, admin: Browser) -> None:
    changes = {**A_PROVIDERS, "send_through": "smtp", "verify_certificate": None, "client_secret": "canary"}

    answer = admin.fill(f"{NEW}?method=google", changes, button="draft")

    assert answer.status_code == 422
    assert "goes only where the certificate is checked" in error_of(answer.text, "verify_certificate")
    assert find(portal, "Main") is None


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("method: google, send_through: smtp, host: smtp.evil.test", "line 2, connections[0].host: "),
        ("method: microsoft, send_through: smtp, verify_certificate: false", "verify_certificate: "),
        ("method: smtp, host: mail.test, auth: oauthbearer, username: a, security: none", "security: "),
    ],
)
def test_the_settings_file_is_refused_at_the_same_key(portal: Flask, keys: str, said: str) -> None:
    node = settings_file.read(f"connections:\n  - {{name: Main, role: draft, {keys}}}\n".encode(), follow=lambda _: "")
    section = make_section(installation_of(portal).box)

    with portal.app_context(), pytest.raises(SettingsFileError) as refused, unit_of_work() as session:
        settings_file.apply(session, node, [section], actor=audit.COMMAND_LINE, now=NOW)

    assert said in str(refused.value)
    assert "An access token goes" in str(refused.value)
    assert find(portal, "Main") is None


# NTLM


def host_identity(**server: object) -> ConnectionValues:
    smtp = SMTPValues(host="mail.contoso.test", auth=Auth.DEFAULT_CREDENTIALS, **server)  # type: ignore[arg-type]
    return ConnectionValues(name="Main", method=Method.SMTP, smtp=smtp)


@pytest.mark.usefixtures("credential_file")
def test_where_ntlm_is_possible_it_needs_encryption_and_a_checked_certificate(portal: Flask) -> None:
    assert unsafe(portal, host_identity(security=Security.NONE)) == {"security"}
    assert unsafe(portal, host_identity(verify_certificate=False)) == {"verify_certificate"}
    assert unsafe(portal, host_identity()) == set()


def test_kerberos_alone_is_trusted_with_any_server(portal: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NTLM_USER_FILE", raising=False)

    assert unsafe(portal, host_identity(security=Security.NONE, verify_certificate=False)) == set()


@pytest.mark.usefixtures("credential_file")
def test_the_form_says_beside_the_encryption_why_ntlm_needs_it(admin: Browser, server: SMTPServer) -> None:
    changes = typed(server, auth="default_credentials", username="", password=None)

    answer = admin.fill(NEW, changes, button="check")

    assert answer.status_code == 422
    assert "may be told by NTLM" in error_of(answer.text, "security")
    assert server.connections == 0


# The transport, whatever is stored


@pytest.fixture
def world(environ: dict[str, str], tmp_path: Path) -> Iterator[ProviderWorld]:
    with provider_world(environ, tmp_path) as world:
        yield world


@pytest.mark.parametrize(
    ("server", "code"),
    [
        (SMTPValues(host="smtp.evil.test"), "smtp.token_host_refused"),
        (SMTPValues(host="127.0.0.1", verify_certificate=False), "smtp.token_needs_verified_tls"),
    ],
)
@pytest.mark.parametrize(
    ("method", "own"),
    [(Method.MICROSOFT_APP, APP), (Method.MICROSOFT, PERSON_AT_MICROSOFT), (Method.GOOGLE, PERSON_AT_GOOGLE)],
)
def test_a_worker_fetches_no_token_for_a_server_that_it_must_not_go_to(
    world: ProviderWorld, method: Method, own: ProviderValues, server: SMTPValues, code: str
) -> None:
    connection_id = world.connect(method, replace(own, send_through=SendThrough.SMTP, server=server))
    asked = len(world.microsoft.requests), list(world.google.token_requests)
    world.queue()

    world.send()

    assert world.states() == ["deferred"]
    assert world.pause_code(connection_id) == code
    assert (len(world.microsoft.requests), list(world.google.token_requests)) == asked


# The password


LONG_SINCE = datetime.now(UTC) - timedelta(hours=5)


def away_to_the_password(answer: TestResponse) -> str:
    """Where the person is led after it."""
    there = urlsplit(answer.headers["Location"])
    assert there.path == "/confirm-password", there
    return parse_qs(there.query)["next"][0]


def test_a_check_as_the_host_asks_for_the_password_again_and_keeps_what_was_typed(
    portal: Flask, server: SMTPServer
) -> None:
    browser = Browser(portal, signed_in_at=LONG_SINCE)
    changes = typed(server, auth="default_credentials", username="", password=None)

    answer = browser.fill(NEW, changes, button="check")

    back = away_to_the_password(answer)
    assert "Nothing was checked yet" in browser.get(back).text
    assert server.connections == 0
    assert audit_entries(portal, "connection.checked") == []
    browser.confirm()
    form = form_with(browser.get(back).text, "auth")
    assert (form.values["auth"], form.values["port"]) == ("default_credentials", str(server.port))
    finished(browser, browser.fill(back, {"name": "Main"}, button="check"))
    assert server.connections == 1


def test_a_check_with_a_password_of_its_own_asks_for_none(portal: Flask, server: SMTPServer) -> None:
    browser = Browser(portal, signed_in_at=LONG_SINCE)

    finished(browser, browser.fill(NEW, typed(server), button="check"))

    assert server.connections == 1


def test_a_stored_connection_of_the_host_is_not_checked_nor_checked_again_without_the_password(
    world: ProviderWorld, tmp_path: Path
) -> None:
    token_file = tmp_path / "federated"
    token_file.write_text(f"{FEDERATED}\n")
    registered(world.microsoft, secrets={}, federated_tokens=[FEDERATED])
    own = replace(APP, credential=Credential.FEDERATED, federated_token_file=str(token_file))
    connection_id = world.connect(Method.MICROSOFT_APP, own, secrets={}, role=Role.AVAILABLE)
    browser = Browser(world.app, signed_in_at=LONG_SINCE)
    address = f"/connections/{connection_id}/checks"
    asked = len(world.microsoft.requests)

    back = away_to_the_password(browser.post(address, {}, page="/connections"))

    assert back.startswith(f"/connections/{connection_id}?")
    assert len(world.microsoft.requests) == asked
    browser.confirm()
    answer = browser.post(address, {}, page="/connections")
    finished(browser, answer)
    check = answer.headers["Location"]
    assert len(world.microsoft.requests) > asked
    asked = len(world.microsoft.requests)
    browser.confirm(at=LONG_SINCE)
    away_to_the_password(browser.post(f"{check}/repetition", {}, page=check))
    assert len(world.microsoft.requests) == asked
