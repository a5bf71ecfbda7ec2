"""Placeholders in what Google and Microsoft need, in form and settings file: checked, told, kept as typed."""

from __future__ import annotations

import re
from html import unescape

import pytest
from flask import Flask

from portal.connections.values import CONSENT_METHODS, Method
from portal.settings_file import SettingsFileError
from tests.admin_browser import Browser, form_with
from tests.connections.consenting import PORTAL, Outside, connect, create, provider_values
from tests.connections.making import stored, wait_for_checks
from tests.connections.test_provider_forms import error_of, new_of, page_of
from tests.connections.test_settings_section import apply, export, plan

CLIENT_ID = "6f1c6a1e-0000-4000-8000-123456789abc"
ENVIRONMENT = {
    "CLIENT": CLIENT_ID,
    "TENANT": "contoso.test",
    "BOX": "portal@contoso.test",
    "SCOPE": "https://graph.microsoft.com/.default",
    "ID": "11111111-2222-4333-8444-555555555555",
    "TOKENS": "/var/run/tokens",
    "WORD": "canary",
}
TYPED = {
    "client_id": "%env:MAIL_CLIENT%",
    "tenant_id": "%env:MAIL_TENANT%",
    "mailbox": "%env:MAIL_BOX%",
    "scope": "%env:MAIL_SCOPE%",
    "secret_id": "%env:MAIL_ID%",
    "federated_token_file": "%env:MAIL_TOKENS%/azure",
}
FILE = """\
connections:
  - {name: main, method: microsoft_app, client_id: '%env:MAIL_CLIENT%', tenant_id: '%env:MAIL_TENANT%',
     mailbox: '%env:MAIL_BOX%', scope: '%env:MAIL_SCOPE%', client_secret: canary, from_address: portal@contoso.test}
"""
BY_SMTP = """\
connections:
  - {name: main, method: smtp, host: 'smtp.%env:MAIL_TENANT%', username: relay, password: geheim}
"""
LITERAL = FILE.replace("%env:MAIL_TENANT%", "Contoso.test").replace("%env:MAIL_CLIENT%", CLIENT_ID)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAIL_GONE", raising=False)
    monkeypatch.setenv("OTHER", "contoso.test")
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(f"MAIL_{name}", value)


@pytest.fixture
def environ(environ: dict[str, str], outside: Outside) -> dict[str, str]:
    return environ | outside.environment


def readable(page: str) -> str:
    return unescape(page)


def test_the_form_keeps_what_was_typed_and_tells_what_it_stands_for(portal: Flask, admin: Browser) -> None:
    answer = admin.fill(new_of("microsoft_app"), {"name": "Main", **TYPED}, button="draft")

    assert answer.status_code == 303, answer.text
    page = admin.get(page_of(portal)).text
    form = form_with(page, "name")
    assert {name: form.values[name] for name in TYPED} == TYPED
    for value in ("/var/run/tokens/azure", *(ENVIRONMENT[name] for name in ("CLIENT", "TENANT", "BOX", "SCOPE", "ID"))):
        assert f"From a placeholder: it stands for {value} now." in readable(page)
    assert f"-AppId '{CLIENT_ID}'" in readable(page).replace("‘", "'")


def test_the_page_says_which_variable_went(portal: Flask, admin: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    admin.fill(new_of("microsoft_app"), {"name": "Main", **TYPED}, button="draft")
    monkeypatch.delenv("MAIL_TENANT")

    page = readable(admin.get(page_of(portal)).text)

    assert "%env:MAIL_TENANT% stands for nothing" in page
    assert "it stands for contoso.test now" not in page
    warnings = re.findall(r'class="field-reference is-unfilled"[^>]*>([^<]*)', page)
    assert [warning.startswith("%env:MAIL_TENANT% stands for nothing") for warning in warnings] == [True]


@pytest.mark.parametrize(
    ("field", "typed", "error"),
    [
        (
            "client_id",
            "%env:MAIL_GONE%",
            "%env:MAIL_GONE% stands for nothing: the portal's environment has no variable",
        ),
        ("tenant_id", "%env:OTHER%", "%env:OTHER% stands for nothing"),
        ("tenant_id", "%env:MAIL_TOKENS%", "Enter the tenant's ID"),
        ("mailbox", "%env:MAIL_TENANT%", "@"),
        ("scope", "%env:MAIL_TENANT%", "An application cannot ask for %env:MAIL_TENANT% by itself"),
        ("client_certificate", "%env:MAIL_CLIENT%", "This is not a certificate in PEM form."),
        ("secret_expires_on", "%env:MAIL_ID%", "Enter a day as YYYY-MM-DD"),
    ],
)
def test_what_stands_for_nothing_that_fits_is_refused_beside_its_field(
    admin: Browser, field: str, typed: str, error: str
) -> None:
    answer = admin.fill(new_of("microsoft_app"), {"name": "Main", **TYPED, field: typed}, button="draft")

    assert answer.status_code == 422
    assert error in error_of(answer.text, field)


def test_an_authority_of_ones_own_is_never_read_from_the_environment(admin: Browser) -> None:
    typed = {"name": "Main", "send_through": "smtp", "ca_certificate": "%env:MAIL_ID%"}

    answer = admin.fill(new_of("google"), typed, button="draft")

    assert "This is not a certificate in PEM form." in error_of(answer.text, "ca_certificate")


def test_the_file_is_exported_as_it_was_written(portal: Flask) -> None:
    apply(portal, FILE)

    exported = export(portal)

    assert apply(portal, exported) == apply(portal, FILE) == []
    for line in ("client_id: '%env:MAIL_CLIENT%'", "tenant_id: '%env:MAIL_TENANT%'", "mailbox: '%env:MAIL_BOX%'"):
        assert line in exported
    assert CLIENT_ID not in exported
    main = stored(portal, "main").values
    assert main.microsoft_app.client_id == "%env:MAIL_CLIENT%"
    assert main.provider is not None
    assert main.provider.client_id == CLIENT_ID


def test_a_placeholder_for_the_same_tenant_keeps_the_secret_and_for_another_does_not(
    portal: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(portal, LITERAL)

    same = apply(portal, FILE.replace(" client_secret: canary,", ""))
    monkeypatch.setenv("MAIL_OTHER", "elsewhere.test")

    assert same == [
        f"connections.main.client_id: {CLIENT_ID} -> %env:MAIL_CLIENT%",
        "connections.main.tenant_id: Contoso.test -> %env:MAIL_TENANT%",
    ]
    assert not stored(portal, "main").lacks_secret
    with pytest.raises(SettingsFileError, match=r"connections\[0\]\.client_secret: Enter it again: tenant, cloud"):
        plan(portal, "connections:\n  - {name: main, tenant_id: '%env:MAIL_OTHER%'}\n")


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        ("client_id: '%env:MAIL_GONE%'", "client_id: %env:MAIL_GONE% stands for nothing"),
        ("tenant_id: '%env:MAIL_TOKENS%'", "tenant_id: Enter the tenant's ID"),
        ("secret_expires_on: '%env:MAIL_ID%'", "secret_expires_on: Enter a day"),
        ("client_secret: geheim, scope: '%env:MAIL_BOX%'", "scope: An application cannot ask for %env:MAIL_BOX% by"),
        ("mailbox: 'x@%env:MAIL_WORD%'", "mailbox: x@%env:MAIL_WORD% stands for something that does not fit here."),
    ],
)
def test_a_file_is_refused_at_the_line_of_what_stands_for_nothing_that_fits(
    portal: Flask, entry: str, error: str
) -> None:
    with pytest.raises(SettingsFileError) as refused:
        plan(portal, f"connections:\n  - {{name: main, method: {Method.MICROSOFT_APP}, {entry}}}\n")

    assert f"line 2, connections[0].{error}" in str(refused.value)
    assert not any(ENVIRONMENT[name] in str(refused.value) for name in ("TENANT", "TOKENS", "ID", "BOX", "WORD"))


@pytest.mark.parametrize("field", ["tenant_id", "host"])
def test_a_new_secret_is_never_sealed_for_what_this_shell_cannot_fill_in(
    portal: Flask, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, secret = (FILE, "client_secret") if field == "tenant_id" else (BY_SMTP, "password")
    apply(portal, text)
    monkeypatch.delenv("MAIL_TENANT")

    for ask in (plan, apply):
        with pytest.raises(SettingsFileError, match=rf"{field}: %env:MAIL_TENANT% stands for nothing"):
            ask(portal, f"connections:\n  - {{name: main, {secret}: another}}\n")
    other = apply(portal, "connections:\n  - {name: main, reply_to: help@contoso.test}\n")

    monkeypatch.setenv("MAIL_TENANT", "contoso.test")
    assert other == ["connections.main.reply_to: help@contoso.test (new)"]
    assert not stored(portal, "main").lacks_secret


def test_what_was_typed_and_is_not_saved_tells_nothing_of_the_environment(portal: Flask, admin: Browser) -> None:
    typed = {"name": "Main", "display_name": "%env:MAIL_WORD%", "auth": "none", "from_address": "portal@contoso.test"}

    refused = admin.fill(new_of("smtp"), typed | {"name": ""}, button="draft")
    checked = admin.fill(new_of("smtp"), typed | {"host": "smtp.contoso.test"}, button="check")
    wait_for_checks()
    assert (refused.status_code, checked.status_code) == (422, 303)
    candidate = checked.headers["Location"].rpartition("/")[2]
    from_check = admin.get(f"/connections/new?candidate={candidate}")
    from_link = admin.get("/connections/new", query_string={"method": "smtp", "display_name": "%env:MAIL_WORD%"})

    for page in (refused, from_check, from_link):
        assert 'value="%env:MAIL_WORD%"' in page.text
        assert "canary" not in page.text


def test_the_page_is_shown_where_a_variable_is_not_utf_8(
    portal: Flask, admin: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin.fill(new_of("microsoft_app"), {"name": "Main", **TYPED}, button="draft")
    monkeypatch.setenv("MAIL_TOKENS", "/tmp/\udcfc")

    page = admin.get(page_of(portal))

    assert page.status_code == 200
    assert "%env:MAIL_TOKENS% stands for nothing" in readable(page.text)


def test_a_refused_form_still_tells_what_is_saved(portal: Flask, admin: Browser) -> None:
    admin.fill(new_of("smtp"), {"name": "Main", "display_name": "%env:MAIL_TENANT%"}, button="draft")

    refused = admin.fill(page_of(portal), {"name": ""}, button="draft")

    assert refused.status_code == 422
    assert "From a placeholder: it stands for contoso.test now." in readable(refused.text)


def test_a_new_key_pair_leaves_the_other_placeholders(portal: Flask, admin: Browser) -> None:
    made = admin.fill(new_of("microsoft_app"), {"name": "Main", **TYPED}, button="make_key_pair")

    form = form_with(admin.get(made.headers["Location"]).text, "name")

    assert {name: form.values[name] for name in TYPED} == TYPED
    assert form.values["client_certificate"].startswith("-----BEGIN CERTIFICATE-----")


@pytest.mark.parametrize("method", sorted(CONSENT_METHODS))
def test_a_consent_for_a_mailbox_from_a_placeholder_leaves_it_where_it_is(
    portal: Flask, admin: Browser, outside: Outside, method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_BOX", PORTAL)
    connection_id = create(portal, provider_values(method, mailbox="%env:MAIL_BOX%"))

    connect(admin, outside, connection_id)

    main = stored(portal)
    assert not main.lacks_consent
    assert main.grant is not None
    assert (main.grant.account, main.values.named()["mailbox"]) == (PORTAL, "%env:MAIL_BOX%")
