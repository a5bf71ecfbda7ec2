"""Scopes as the vendors' pages write them: what is asked for, and what can never send and is refused as such."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from typing import Any

import pytest
from flask import Flask

from portal.connections.oauth.microsoft import Microsoft, device_code
from portal.connections.oauth.microsoft_endpoints import Endpoints
from portal.connections.oauth.provider import Cloud, Registration
from portal.connections.provider_values import ProviderValues, SendThrough
from portal.connections.registrations import scopes_of, what_registration_lacks
from portal.connections.scopes import scope_problem
from portal.connections.values import ConnectionValues, Method
from portal.network.https import HTTPS, HTTPSSettings
from portal.settings_file import SettingsFileError
from portal.transports import Step, TransportError
from tests.admin_browser import Browser
from tests.connections.consenting import (
    MICROSOFT_ID,
    TENANT,
    Outside,
    connect,
    create,
    flows,
    form_fields,
    provider_values,
)
from tests.connections.making import find, installation_of, stored
from tests.connections.test_settings_section import apply

GMAIL, FULL_MAIL = "https://www.googleapis.com/auth/gmail.send", "https://mail.google.com/"
GRAPH, OUTLOOK = "https://graph.microsoft.com", "https://outlook.office.com"
APP, DELEGATED, SERVICE = Method.MICROSOFT_APP, Method.MICROSOFT, Method.GOOGLE_SERVICE_ACCOUNT
SMTP, API = SendThrough.SMTP, SendThrough.API


@pytest.fixture
def environ(environ: dict[str, str], outside: Outside) -> dict[str, str]:
    return environ | outside.environment


def with_scope(method: Method, scope: str, **changes: Any) -> ConnectionValues:
    own = ProviderValues(client_id="app", tenant_id=TENANT, mailbox="portal@contoso.test", scope=scope, **changes)
    return ConnectionValues(name="Main", method=method).with_provider(own)


@pytest.mark.parametrize(
    ("method", "typed", "asked"),
    [
        (Method.GOOGLE, GMAIL, ("openid", "email", GMAIL)),
        (Method.GOOGLE, f"offline_access {GMAIL} profile", ("openid", "email", GMAIL)),
        (Method.GOOGLE, f"https://www.googleapis.com/auth/userinfo.email {GMAIL}", ("openid", "email", GMAIL)),
        (Method.GOOGLE, "openid email", ("openid", "email", GMAIL)),
        (SERVICE, f"openid email {GMAIL}", (GMAIL,)),
        (DELEGATED, f"offline_access openid profile email {GRAPH}/Mail.Send", (f"{GRAPH}/Mail.Send",)),
        (DELEGATED, "Mail.Send User.Read Mail.Send", ("Mail.Send", "User.Read")),
        (DELEGATED, "offline_access", (f"{GRAPH}/Mail.Send", f"{GRAPH}/User.Read")),
        (APP, f"{GRAPH}/.default offline_access", (f"{GRAPH}/.default",)),
    ],
)
def test_what_signing_in_needs_is_the_portals_own_whatever_is_typed(
    app: Flask, method: Method, typed: str, asked: tuple[str, ...]
) -> None:
    values = with_scope(method, typed)

    assert scopes_of(values, installation=installation_of(app)) == asked
    assert scope_problem(method, values.provider or ProviderValues()) is None


@pytest.mark.parametrize(
    ("method", "through", "cloud", "typed"),
    [
        (Method.GOOGLE, API, Cloud.GLOBAL, "https://www.googleapis.com/auth/gmail.compose"),
        (Method.GOOGLE, API, Cloud.GLOBAL, FULL_MAIL),
        (Method.GOOGLE, SMTP, Cloud.GLOBAL, FULL_MAIL),
        (DELEGATED, API, Cloud.GLOBAL, "mail.send"),
        (DELEGATED, API, Cloud.GLOBAL, f"{GRAPH}/.default"),
        (DELEGATED, API, Cloud.GLOBAL, "00000003-0000-0000-c000-000000000000/Mail.Send"),
        (DELEGATED, API, Cloud.US_GOV, "https://graph.microsoft.us/Mail.Send"),
        (DELEGATED, SMTP, Cloud.GLOBAL, f"{OUTLOOK}/SMTP.Send"),
        (DELEGATED, SMTP, Cloud.GLOBAL, "https://outlook.office365.com/SMTP.Send"),
        (DELEGATED, SMTP, Cloud.GLOBAL, "https://stand-in.test/SMTP.Send"),
        (APP, SMTP, Cloud.GLOBAL, "https://outlook.office365.com/.default"),
        (APP, SMTP, Cloud.CHINA, "https://partner.outlook.cn/.default"),
    ],
)
def test_a_scope_that_can_send_is_taken(method: Method, through: SendThrough, cloud: Cloud, typed: str) -> None:
    assert scope_problem(method, ProviderValues(scope=typed, send_through=through, cloud=cloud)) is None


@pytest.mark.parametrize(
    ("method", "through", "cloud", "typed", "named", "way_out"),
    [
        (Method.GOOGLE, API, Cloud.GLOBAL, "gmail.send", "gmail.send is no scope", GMAIL),
        (Method.GOOGLE, API, Cloud.GLOBAL, f"{GRAPH}/Mail.Send", f"{GRAPH}/Mail.Send is no scope", GMAIL),
        (Method.GOOGLE, SMTP, Cloud.GLOBAL, "https://mail.google.com", "https://mail.google.com is no", FULL_MAIL),
        (Method.GOOGLE, SMTP, Cloud.GLOBAL, GMAIL, f"{GMAIL} does not", FULL_MAIL),
        (Method.GOOGLE, API, Cloud.GLOBAL, f"{GMAIL[:-4]}readonly", f"{GMAIL[:-4]}readonly does not", GMAIL),
        (SERVICE, SMTP, Cloud.GLOBAL, GMAIL, f"{GMAIL} does not", FULL_MAIL),
        (DELEGATED, API, Cloud.GLOBAL, f"{OUTLOOK}/SMTP.Send", f"{OUTLOOK}/SMTP.Send is not", f"{GRAPH}/Mail.Send"),
        (DELEGATED, API, Cloud.GLOBAL, "Mail.Read User.Read", "Mail.Read User.Read does not", f"{GRAPH}/Mail.Send"),
        (DELEGATED, API, Cloud.GLOBAL, f"{GRAPH}/.default Mail.Send", f"{GRAPH}/.default stands for all", "alone"),
        (DELEGATED, API, Cloud.CHINA, f"{GRAPH}/Mail.Send", "is not for the service", "chinacloudapi.cn/Mail.Send"),
        (DELEGATED, SMTP, Cloud.GLOBAL, "SMTP.Send", "SMTP.Send is not", f"{OUTLOOK}/SMTP.Send"),
        (DELEGATED, SMTP, Cloud.GLOBAL, f"{GRAPH}/Mail.Send", "is not for the service", f"{OUTLOOK}/SMTP.Send"),
        (DELEGATED, SMTP, Cloud.US_GOV, f"{OUTLOOK}/SMTP.Send", "is not for", "outlook.office365.us/SMTP.Send"),
        (APP, API, Cloud.GLOBAL, "Mail.Send", "cannot ask for Mail.Send", f"{GRAPH}/.default"),
        (APP, API, Cloud.GLOBAL, ".default", "cannot ask for .default", f"{GRAPH}/.default"),
        (APP, API, Cloud.GLOBAL, f"{GRAPH}/.default User.Read", "cannot ask for", f"{GRAPH}/.default alone"),
        (APP, API, Cloud.GLOBAL, f"{OUTLOOK}/.default", "is not for the service", f"{GRAPH}/.default"),
    ],
)
def test_a_scope_that_can_never_send_is_named_with_the_way_out(
    method: Method, through: SendThrough, cloud: Cloud, typed: str, named: str, way_out: str
) -> None:
    problem = str(scope_problem(method, ProviderValues(scope=typed, send_through=through, cloud=cloud)))

    assert named in problem
    assert way_out in problem
    assert "leave this empty" in problem


@pytest.mark.parametrize(
    ("method", "typed"),
    [(Method.GOOGLE, GMAIL), (DELEGATED, f"offline_access openid {GRAPH}/Mail.Send"), (DELEGATED, f"{GRAPH}/.default")],
)
def test_a_connection_with_the_scope_of_the_vendors_pages_connects(
    portal: Flask, admin: Browser, outside: Outside, method: Method, typed: str
) -> None:
    values = provider_values(method)
    assert values.provider is not None
    connection_id = create(portal, values.with_provider(replace(values.provider, scope=typed)))

    connect(admin, outside, connection_id)

    assert flows(portal)[0].code == ""
    grant = stored(portal).grant
    assert grant is not None
    assert grant.account == "portal@contoso.test"


@pytest.mark.parametrize("path", ["/connections/new", "/connections/new/authorizations"])
@pytest.mark.parametrize("action", ["check", "draft"])
def test_the_form_says_it_beside_the_field_before_anybody_is_asked(
    portal: Flask, admin: Browser, outside: Outside, path: str, action: str
) -> None:
    fields = form_fields(DELEGATED, scope="SMTP.Send", send_through="smtp", action=action)

    answer = admin.post(path, fields, page="/connections/new")

    assert answer.status_code == 422
    assert "SMTP.Send is not for the service and cloud" in error_of(answer.text, "scope")
    assert flows(portal) == []
    assert outside.microsoft.requests == []


@pytest.mark.parametrize(
    ("item", "line"),
    [
        ("method: microsoft_app, client_id: app, tenant_id: contoso.test,\n   scope: Mail.Send", 3),
        ("method: google, client_id: app,\n   scope: gmail.send", 3),
    ],
)
def test_the_settings_file_says_it_with_its_line(portal: Flask, item: str, line: int) -> None:
    with pytest.raises(SettingsFileError) as caught:
        apply(portal, f"connections:\n- {{name: Main, {item}}}")

    assert caught.value.line == line
    assert "or leave this empty" in str(caught.value)
    assert find(portal, "Main") is None


def test_a_file_that_turns_the_stored_scope_into_one_that_cannot_send_is_refused(portal: Flask) -> None:
    create(portal, with_scope(DELEGATED, "Mail.Send"))

    with pytest.raises(SettingsFileError, match=r"Mail\.Send is not for the service"):
        apply(portal, "connections: [{name: Main, send_through: smtp}]")

    assert apply(portal, "connections: [{name: Main, reply_to: help@contoso.test}]") != []


def test_a_stored_scope_that_cannot_send_ends_the_check_at_the_settings(app: Flask) -> None:
    lacking = what_registration_lacks(with_scope(DELEGATED, "Mail.Read"))

    assert list(lacking) == ["scope"]
    assert str(lacking["scope"]).startswith("Mail.Read does not let the portal send mail.")


APPLICATION = Registration(client_id=MICROSOFT_ID, tenant_id=TENANT)


def test_a_scope_that_msal_refuses_is_never_taken_for_an_answer_of_the_network(outside: Outside) -> None:
    overrides = {"login_url": outside.microsoft.login_url}
    scopes = ("openid", "Mail.Send")
    with HTTPS(HTTPSSettings(ca_bundle=outside.ca_file)) as https:
        consented = Microsoft(https, overrides)
        endpoints, now = Endpoints.of(Cloud.GLOBAL, overrides), datetime.now(UTC)
        with pytest.raises(TransportError) as by_browser:
            consented.authorization_request(APPLICATION, redirect_uri="", state="s", scopes=scopes, login_hint="")
        with pytest.raises(TransportError) as by_code:
            device_code(APPLICATION, scopes=scopes, https=https, endpoints=endpoints, now=now)

    for caught in (by_browser, by_code):
        assert (caught.value.step, caught.value.code) == (Step.TOKEN, "microsoft.scope_invalid")
        assert "openid" in caught.value.seen


def error_of(page: str, field: str) -> str:
    found = re.search(rf'id="{field}-error">(.*?)</div>', page, re.DOTALL)
    assert found, f"nothing is said beside {field}"
    return unescape(re.sub(r"<[^>]+>", "", found[1]))
