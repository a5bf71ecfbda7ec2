"""Consent at Microsoft, its tokens and their end, by msal against a stand-in on loopback."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from portal.connections.oauth.microsoft import (
    DeviceCode,
    Endpoints,
    Microsoft,
    admin_consent_given,
    admin_consent_url,
    app_token,
    device_code,
    looks_like_a_secret_id,
    poll_device_code,
    redirect_problem,
    secret_expiry,
)
from portal.connections.oauth.microsoft_certificates import KeyPair, make_key_pair
from portal.connections.oauth.provider import AuthorizationRequest, Cloud, Grant, Registration
from portal.network.https import HTTPS, HTTPSSettings
from portal.transports import ConnectionFault, Step, TransientError
from portal.transports.oauth_errors import NEEDS_CONSENT
from tests.outside.certificates import ServerCertificate
from tests.outside.google_application import parameters_of
from tests.outside.microsoft import MISSING, App, MicrosoftServer

TENANT = "11111111-1111-4111-8111-111111111111"
OTHER_TENANT = "22222222-2222-4222-8222-222222222222"
CLIENT_ID = "33333333-3333-4333-8333-333333333333"
SECRET = "abc8Q~geheim-und-lang"
CALLBACK = "https://portal.contoso.test/oauth/microsoft/callback"
PORTAL = "portal@contoso.test"
STATE = "state-of-this-flow"
SCOPES = ("https://graph.microsoft.com/Mail.Send", "https://graph.microsoft.com/User.Read")
APP_SCOPE = "https://graph.microsoft.com/.default"
MAIL = b"RnJvbTogcG9ydGFsQGNvbnRvc28udGVzdA0KVG86IGFkYUBjb250b3NvLnRlc3QNCg0KSGVsbG8NCg=="  # base64 of a message
REGISTRATION = Registration(client_id=CLIENT_ID, client_secret=SECRET, tenant_id=TENANT)


@pytest.fixture
def server(certificate: ServerCertificate) -> Iterator[MicrosoftServer]:
    with MicrosoftServer(certificate=certificate, device_interval=timedelta(0)) as server:
        server.add_tenant(TENANT, domains=["contoso.test"])
        server.add_tenant(OTHER_TENANT, domains=["fabrikam.test"])
        server.add_mailbox(TENANT, PORTAL)
        server.add_mailbox(OTHER_TENANT, "bob@fabrikam.test")
        yield server


@pytest.fixture
def app(server: MicrosoftServer) -> App:
    return server.add_app(
        TENANT,
        CLIENT_ID,
        secrets={SECRET: date(2099, 1, 1)},
        redirect_uris=[CALLBACK],
        delegated=["Mail.Send", "User.Read"],
        application=["Mail.Send"],
    )


def overrides_of(server: MicrosoftServer) -> dict[str, str]:
    return {"login_url": server.login_url, "graph_url": server.graph_url}


@pytest.fixture
def endpoints(server: MicrosoftServer) -> Endpoints:
    return Endpoints.of(Cloud.GLOBAL, overrides_of(server))


@pytest.fixture
def microsoft(server: MicrosoftServer, app: App, https: HTTPS) -> Microsoft:
    return Microsoft(https, overrides_of(server))


@pytest.fixture(scope="module")
def pair() -> KeyPair:
    return make_key_pair("portal.contoso.test", now=datetime.now(UTC))


def begin(
    microsoft: Microsoft, *, registration: Registration = REGISTRATION, scopes: tuple[str, ...] = SCOPES
) -> AuthorizationRequest:
    return microsoft.authorization_request(
        registration, redirect_uri=CALLBACK, state=STATE, scopes=scopes, login_hint=PORTAL
    )


def accept(server: MicrosoftServer, begun: AuthorizationRequest, *, account: str = PORTAL) -> dict[str, str]:
    """What comes to the redirect URI when the person agrees."""
    return parameters_of(server.person().accept(begun.url, account=account))


def connect(
    microsoft: Microsoft, server: MicrosoftServer, now: datetime, *, registration: Registration = REGISTRATION
) -> Grant:
    begun = begin(microsoft)
    params = accept(server, begun)
    return microsoft.redeem(registration, begun.secrets, params, redirect_uri=CALLBACK, now=now)


def renew(
    microsoft: Microsoft,
    grant: Grant,
    now: datetime,
    *,
    force: bool = True,
    registration: Registration = REGISTRATION,
) -> Grant:
    return microsoft.renew(registration, grant.stored, scopes=SCOPES, now=now, force=force)


def send(https: HTTPS, server: MicrosoftServer, grant: Grant, *, path: str = "me") -> int:
    """The status with which Graph answers when a message is sent with the grant's token."""
    answer = https.request(
        "POST",
        f"{server.graph_url}/v1.0/{path}/sendMail",
        headers={"Authorization": f"Bearer {grant.access_token}", "Content-Type": "text/plain"},
        content=MAIL,
    )
    return answer.status


def test_the_browser_is_sent_with_all_that_a_lasting_grant_needs(microsoft: Microsoft, server: MicrosoftServer) -> None:
    begun = begin(microsoft)

    asked = {name: values[0] for name, values in parse_qs(urlsplit(begun.url).query).items()}
    assert begun.url.startswith(f"{server.login_url}/{TENANT}/oauth2/v2.0/authorize?")
    assert len(asked.pop("code_challenge")) == 43
    assert len(asked.pop("nonce")) == 64
    assert set(asked.pop("scope").split()) == {*SCOPES, "openid", "profile", "offline_access"}
    assert asked == {
        "response_type": "code",
        "response_mode": "query",
        "client_id": CLIENT_ID,
        "redirect_uri": CALLBACK,
        "state": STATE,
        "code_challenge_method": "S256",
        "prompt": "select_account",
        "login_hint": PORTAL,
        "X-AnchorMailbox": f"UPN:{PORTAL}",
        "client_info": "1",
    }


def test_the_verifier_never_reaches_the_browser(microsoft: Microsoft) -> None:
    begun = begin(microsoft)

    verifier = json.loads(begun.secrets)["flow"]["code_verifier"]
    assert len(verifier) == 43
    assert verifier not in begun.url
    assert verifier not in repr(begun)


def test_consent_gives_a_token_that_sends(
    microsoft: Microsoft, server: MicrosoftServer, https: HTTPS, now: datetime
) -> None:
    grant = connect(microsoft, server, now)

    status = send(https, server, grant)

    assert status == 202
    assert (grant.account, grant.tenant) == (PORTAL, TENANT)
    assert set(SCOPES) <= grant.scopes
    assert grant.expires_at == now + timedelta(seconds=3599)
    assert grant.secret_slot == 1
    assert server.token_requests == ["authorization_code"]


def test_the_same_grant_is_there_when_the_tenant_is_named_by_its_domain(
    microsoft: Microsoft, server: MicrosoftServer, now: datetime
) -> None:
    by_domain = replace(REGISTRATION, tenant_id="contoso.test")

    grant = connect(microsoft, server, now, registration=by_domain)
    renewed = renew(microsoft, grant, now, registration=by_domain)

    assert (grant.tenant, renewed.tenant) == (TENANT, TENANT)
    assert renewed.access_token != grant.access_token


def test_a_person_of_any_organisation_consents_where_the_registration_is_for_all(
    microsoft: Microsoft, server: MicrosoftServer, app: App, now: datetime
) -> None:
    app.is_multitenant = True
    for tenant in ("", "organizations", "common"):
        registration = replace(REGISTRATION, tenant_id=tenant)
        begun = begin(microsoft, registration=registration)
        params = accept(server, begun, account="bob@fabrikam.test")

        grant = microsoft.redeem(registration, begun.secrets, params, redirect_uri=CALLBACK, now=now)
        renewed = renew(microsoft, grant, now, registration=registration)

        assert (renewed.account, renewed.tenant) == ("bob@fabrikam.test", OTHER_TENANT)


def test_scopes_that_come_back_without_their_resource_are_recognised(
    microsoft: Microsoft, server: MicrosoftServer, now: datetime
) -> None:
    server.on("token", changes={"scope": "mail.send User.Read profile openid"})

    grant = connect(microsoft, server, now)

    assert renew(microsoft, grant, now).scopes == {"mail.send", "User.Read", "profile", "openid"}


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [
        (3599, 3599),
        ("3600", 3600),
        (3599.9, 3599),
        (0, 60),
        (-1, 60),
        (10**9, 86_400),
        ("soon", 600),
        (None, 600),
        ([3600], 600),
        (float("nan"), 600),
        (MISSING, 600),
    ],
)
def test_a_token_lasts_between_a_minute_and_a_day_whatever_the_answer_says(
    microsoft: Microsoft, server: MicrosoftServer, now: datetime, expires_in: object, seconds: int
) -> None:
    odd = {"expires_in": expires_in, "ext_expires_in": "never", "refresh_in": "soon"}
    server.on("token", changes=odd)

    granted = connect(microsoft, server, now)
    renewed = renew(microsoft, granted, now)

    assert granted.expires_at == now + timedelta(seconds=seconds)
    assert renewed.expires_at == now + timedelta(seconds=seconds)


def test_pressing_cancel_is_told_as_that(microsoft: Microsoft, server: MicrosoftServer, now: datetime) -> None:
    begun = begin(microsoft)
    params = parameters_of(server.person().cancel(begun.url, account=PORTAL))

    with pytest.raises(ConnectionFault) as error:
        microsoft.redeem(REGISTRATION, begun.secrets, params, redirect_uri=CALLBACK, now=now)

    assert error.value.code == "microsoft.consent_declined"
    assert error.value.step is Step.TOKEN
    assert error.value.seen.startswith("AADSTS65004: ")
    assert "Trace ID" not in error.value.seen
    assert server.token_requests == []


def test_a_consent_that_only_an_administrator_may_give_is_told_as_that(
    microsoft: Microsoft, server: MicrosoftServer, app: App, now: datetime
) -> None:
    app.needs_admin_consent = True
    begun = begin(microsoft)
    person = server.person()
    page = person.press(person.open(begun.url), PORTAL)
    sent_back = person.press(page, next(label for label in page.buttons if "eturn" in label))

    with pytest.raises(ConnectionFault) as error:
        microsoft.redeem(REGISTRATION, begun.secrets, parameters_of(sent_back.sent_to), redirect_uri=CALLBACK, now=now)

    assert error.value.code == "microsoft.admin_consent_needed"


def test_an_error_that_a_stranger_wrote_into_the_callback_is_harmless(microsoft: Microsoft, now: datetime) -> None:
    description = "Call\r\nme \u202eback\x00 now <b>" + " and again" * 10_000

    with pytest.raises(ConnectionFault) as error:
        microsoft.redeem(
            REGISTRATION,
            begin(microsoft).secrets,
            {"error": "<script>", "error_description": description, "state": STATE},
            redirect_uri=CALLBACK,
            now=now,
        )

    assert error.value.code == "provider.refused"
    assert error.value.seen.startswith("Call me back now <b> and again and again")
    assert len(error.value.seen) == 300


def test_microsoft_being_busy_at_the_callback_is_no_refusal(microsoft: Microsoft, now: datetime) -> None:
    params = {"error": "temporarily_unavailable", "state": STATE}

    with pytest.raises(TransientError) as error:
        microsoft.redeem(REGISTRATION, begin(microsoft).secrets, params, redirect_uri=CALLBACK, now=now)

    assert error.value.code == "microsoft.sign_in_unavailable"


def test_a_callback_with_neither_code_nor_error_asks_for_nothing(
    microsoft: Microsoft, server: MicrosoftServer, now: datetime
) -> None:
    with pytest.raises(ConnectionFault) as error:
        microsoft.redeem(REGISTRATION, begin(microsoft).secrets, {"state": STATE}, redirect_uri=CALLBACK, now=now)

    assert error.value.code == "microsoft.flow_mixed_up"
    assert server.token_requests == []


def test_an_answer_of_another_issuer_is_refused_before_its_code_goes_anywhere(
    microsoft: Microsoft, server: MicrosoftServer, now: datetime
) -> None:
    begun = begin(microsoft)
    params = accept(server, begun) | {"iss": "https://accounts.google.com"}

    with pytest.raises(ConnectionFault, match="another provider"):
        microsoft.redeem(REGISTRATION, begun.secrets, params, redirect_uri=CALLBACK, now=now)

    assert server.token_requests == []


def test_an_answer_that_names_microsoft_as_issuer_is_taken(
    certificate: ServerCertificate, https: HTTPS, now: datetime
) -> None:
    with MicrosoftServer(certificate=certificate, sends_issuer=True) as server:
        server.add_tenant(TENANT, domains=["contoso.test"])
        server.add_mailbox(TENANT, PORTAL)
        server.add_app(TENANT, CLIENT_ID, secrets={SECRET: None}, redirect_uris=[CALLBACK], delegated=["Mail.Send"])
        microsoft = Microsoft(https, overrides_of(server))
        begun = begin(microsoft)
        params = accept(server, begun)

        grant = microsoft.redeem(REGISTRATION, begun.secrets, params, redirect_uri=CALLBACK, now=now)

    assert params["iss"] == f"{server.login_url}/{TENANT}/v2.0"
    assert grant.account == PORTAL


def test_the_code_of_another_flow_does_not_fit_this_ones_verifier(
    microsoft: Microsoft, server: MicrosoftServer, now: datetime
) -> None:
    mine, injected = begin(microsoft), begin(microsoft)
    params = accept(server, injected)

    with pytest.raises(ConnectionFault) as error:
        microsoft.redeem(REGISTRATION, mine.secrets, params, redirect_uri=CALLBACK, now=now)

    assert error.value.code == "microsoft.flow_mixed_up"


def test_a_code_works_once(microsoft: Microsoft, server: MicrosoftServer, now: datetime) -> None:
    begun = begin(microsoft)
    params = accept(server, begun)
    microsoft.redeem(REGISTRATION, begun.secrets, params, redirect_uri=CALLBACK, now=now)

    with pytest.raises(ConnectionFault) as error:
        microsoft.redeem(REGISTRATION, begun.secrets, params, redirect_uri=CALLBACK, now=now)

    assert error.value.code == "microsoft.code_refused"


def test_an_id_token_of_another_flow_is_refused(microsoft: Microsoft, server: MicrosoftServer, now: datetime) -> None:
    server.on("token", id_token={"nonce": "of another flow"})

    with pytest.raises(ConnectionFault) as error:
        connect(microsoft, server, now)

    assert error.value.code == "microsoft.flow_mixed_up"


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"aud": "44444444-4444-4444-8444-444444444444"}, "for another application"),
        ({"iss": "https://login.evil.example/tenant/v2.0"}, "from another provider"),
        ({"iss": "https://127.0.0.1/tenant/v2.0"}, "from another provider"),
        ({"preferred_username": None}, "which account consented"),
    ],
)
def test_an_id_token_that_is_not_for_this_portal_is_refused(
    microsoft: Microsoft, server: MicrosoftServer, now: datetime, claims: dict[str, object], reason: str
) -> None:
    server.on("token", id_token=claims)

    with pytest.raises(TransientError, match=reason):
        connect(microsoft, server, now)


def test_a_consent_from_another_tenant_is_refused(microsoft: Microsoft, server: MicrosoftServer, now: datetime) -> None:
    server.on("token", id_token={"tid": OTHER_TENANT})

    with pytest.raises(ConnectionFault) as error:
        connect(microsoft, server, now)

    assert error.value.code == "microsoft.tenant_mismatch"
    assert error.value.seen == f"the account is in the tenant {OTHER_TENANT}"


def test_a_scope_that_was_not_granted_is_named(microsoft: Microsoft, server: MicrosoftServer, now: datetime) -> None:
    server.on("token", changes={"scope": "User.Read openid"})

    with pytest.raises(ConnectionFault) as error:
        connect(microsoft, server, now)

    assert error.value.code == "microsoft.consent_needed"
    assert error.value.seen == "not granted: https://graph.microsoft.com/Mail.Send"


def test_a_grant_that_would_not_last_is_refused(microsoft: Microsoft, server: MicrosoftServer, now: datetime) -> None:
    server.on("token", changes={"refresh_token": MISSING})

    with pytest.raises(ConnectionFault, match="no refresh token"):
        connect(microsoft, server, now)


@pytest.mark.parametrize(
    ("registration", "code"),
    [
        (replace(REGISTRATION, tenant_id="nowhere.test"), "microsoft.tenant_not_found"),
        (replace(REGISTRATION, tenant_id="99999999-9999-4999-8999-999999999999"), "microsoft.tenant_not_found"),
        (replace(REGISTRATION, tenant_id="../organizations"), "microsoft.tenant_not_found"),
        (replace(REGISTRATION, tenant_id="contoso test"), "microsoft.tenant_not_found"),
    ],
)
def test_a_wrong_tenant_is_told_before_the_browser_goes_anywhere(
    microsoft: Microsoft, registration: Registration, code: str
) -> None:
    with pytest.raises(ConnectionFault) as error:
        begin(microsoft, registration=registration)

    assert error.value.code == code


@pytest.mark.parametrize(
    ("secret", "code"),
    [
        ("falsch", "microsoft.secret_wrong"),
        ("55555555-5555-4555-8555-555555555555", "microsoft.secret_wrong"),
        ("abgelaufen", "microsoft.secret_expired"),
        ("", "microsoft.secret_missing"),
    ],
)
def test_what_is_wrong_with_the_secret_is_told(
    microsoft: Microsoft, server: MicrosoftServer, app: App, now: datetime, secret: str, code: str
) -> None:
    app.secrets["abgelaufen"] = now - timedelta(days=1)

    with pytest.raises(ConnectionFault) as error:
        connect(microsoft, server, now, registration=replace(REGISTRATION, client_secret=secret))

    assert error.value.code == code


def test_the_next_secret_is_tried_once_when_the_first_is_refused(
    microsoft: Microsoft, server: MicrosoftServer, app: App, now: datetime
) -> None:
    app.secrets["abgelaufen"] = now - timedelta(days=1)
    for first in ("abgelaufen", "falsch"):
        rotating = replace(REGISTRATION, client_secret=first, next_client_secret=SECRET)

        grant = connect(microsoft, server, now, registration=rotating)
        renewed = renew(microsoft, grant, now, registration=rotating)

        assert (grant.secret_slot, renewed.secret_slot) == (2, 2)
    assert server.token_requests == [*["authorization_code"] * 2, *["refresh_token"] * 2] * 2


def test_of_two_wrong_secrets_the_first_is_told(
    microsoft: Microsoft, server: MicrosoftServer, app: App, now: datetime
) -> None:
    app.secrets["abgelaufen"] = now - timedelta(days=1)
    wrong = replace(REGISTRATION, client_secret="abgelaufen", next_client_secret="falsch")

    with pytest.raises(ConnectionFault) as error:
        connect(microsoft, server, now, registration=wrong)

    assert error.value.code == "microsoft.secret_expired"
    assert server.token_requests == ["authorization_code", "authorization_code"]


def test_a_secret_that_is_mended_works_at_once(
    microsoft: Microsoft, server: MicrosoftServer, app: App, now: datetime
) -> None:
    grant = connect(microsoft, server, now)
    app.secrets.clear()
    with pytest.raises(ConnectionFault):
        renew(microsoft, grant, now)
    app.secrets[SECRET] = None

    assert renew(microsoft, grant, now).access_token


def test_a_redirect_uri_for_single_page_applications_is_told_as_that(
    microsoft: Microsoft, server: MicrosoftServer, app: App, now: datetime
) -> None:
    app.platform = "spa"

    with pytest.raises(ConnectionFault) as error:
        connect(microsoft, server, now)

    assert error.value.code == "microsoft.registered_as_spa"


def test_a_fresh_token_is_used_without_asking_microsoft(
    microsoft: Microsoft, server: MicrosoftServer, now: datetime
) -> None:
    grant = connect(microsoft, server, now)
    asked_before = len(server.requests)

    again = renew(microsoft, grant, now + timedelta(minutes=50), force=False)

    assert again.access_token == grant.access_token
    assert again.secret_slot == 0
    assert len(server.requests) == asked_before


def test_a_token_is_renewed_five_minutes_before_its_end(
    microsoft: Microsoft, server: MicrosoftServer, https: HTTPS, now: datetime
) -> None:
    grant = connect(microsoft, server, now)
    later = now + timedelta(minutes=56)

    renewed = renew(microsoft, grant, later, force=False)

    assert renewed.access_token != grant.access_token
    assert renewed.expires_at == later + timedelta(seconds=3599)
    assert (renewed.account, renewed.tenant) == (PORTAL, TENANT)
    assert send(https, server, renewed) == 202


def test_each_renewal_uses_the_refresh_token_that_the_last_one_brought(
    certificate: ServerCertificate, https: HTTPS, now: datetime
) -> None:
    with MicrosoftServer(certificate=certificate, strict_rotation=True) as server:
        server.add_tenant(TENANT, domains=["contoso.test"])
        server.add_mailbox(TENANT, PORTAL)
        server.add_app(TENANT, CLIENT_ID, secrets={SECRET: None}, redirect_uris=[CALLBACK], delegated=["Mail.Send"])
        microsoft = Microsoft(https, overrides_of(server))
        grant = connect(microsoft, server, now)

        last = renew(microsoft, renew(microsoft, renew(microsoft, grant, now), now), now)

        sent = [one.form["refresh_token"] for one in server.requests if "refresh_token" in one.form]
        assert len(set(sent)) == 3
        assert last.access_token != grant.access_token


def test_a_renewal_for_another_resource_needs_its_own_consent(
    microsoft: Microsoft, server: MicrosoftServer, now: datetime
) -> None:
    grant = connect(microsoft, server, now)
    by_smtp = ("https://outlook.office.com/SMTP.Send",)

    with pytest.raises(ConnectionFault) as error:
        microsoft.renew(REGISTRATION, grant.stored, scopes=by_smtp, now=now)
    server.consent_for_everybody(CLIENT_ID, *by_smtp)
    renewed = microsoft.renew(REGISTRATION, grant.stored, scopes=by_smtp, now=now)

    assert error.value.code == "microsoft.consent_needed"
    assert set(by_smtp) <= renewed.scopes
    assert renewed.access_token != grant.access_token


def test_a_token_for_other_scopes_is_no_last_resort(
    microsoft: Microsoft, server: MicrosoftServer, now: datetime
) -> None:
    grant = connect(microsoft, server, now)
    server.on("token", status=503, body="")

    with pytest.raises(TransientError):
        microsoft.renew(REGISTRATION, grant.stored, scopes=("https://outlook.office.com/SMTP.Send",), now=now)


@pytest.mark.parametrize("endpoint", ["authorization_endpoint", "token_endpoint"])
def test_no_secret_goes_to_a_host_that_nobody_chose(
    microsoft: Microsoft, server: MicrosoftServer, now: datetime, endpoint: str
) -> None:
    grant = connect(microsoft, server, now)
    server.on("discovery", changes={endpoint: "https://login.microsoftonline.us/tenant/oauth2/v2.0/x"})

    for attempt in (lambda: begin(microsoft), lambda: renew(microsoft, grant, now)):
        with pytest.raises(ConnectionFault) as error:
            attempt()

        assert error.value.code == "microsoft.wrong_cloud"
        assert error.value.seen == "the tenant signs in at login.microsoftonline.us"
    assert server.token_requests == ["authorization_code"]


@pytest.mark.parametrize(
    ("aadsts", "code"),
    [
        (50173, "microsoft.grant_dead"),
        (700082, "microsoft.grant_unused"),
        (70043, "microsoft.sign_in_expired"),
        (50076, "microsoft.mfa_needed"),
        (65001, "microsoft.consent_needed"),
        (53003, "microsoft.conditional_access"),
        (50057, "microsoft.account_disabled"),
    ],
)
def test_why_a_grant_is_dead_is_told(
    microsoft: Microsoft, server: MicrosoftServer, now: datetime, aadsts: int, code: str
) -> None:
    grant = connect(microsoft, server, now)
    server.revoke_grants(PORTAL, aadsts=aadsts)

    with pytest.raises(ConnectionFault) as error:
        renew(microsoft, grant, now)

    assert error.value.code == code
    assert error.value.seen.startswith(f"AADSTS{aadsts}: ")
    assert len(error.value.seen) <= 300
    assert "Trace ID" not in error.value.seen


@pytest.mark.parametrize(
    ("error", "more", "code"),
    [("invalid_grant", "", "microsoft.grant_dead"), ("invalid_request", ". Ask your admin.", "provider.refused")],
)
def test_a_number_that_nobody_knows_is_shown_in_microsofts_own_words(
    microsoft: Microsoft, server: MicrosoftServer, now: datetime, error: str, more: str, code: str
) -> None:
    grant = connect(microsoft, server, now)
    description = f"AADSTS999999: A new policy of 2027 says no{more}\r\nTrace ID: 1\r\nCorrelation ID: 2"
    server.on("token", status=400, body={"error": error, "error_description": description})

    with pytest.raises(ConnectionFault) as raised:
        renew(microsoft, grant, now)

    assert raised.value.code == code
    assert raised.value.seen == f"AADSTS999999: A new policy of 2027 says no{more[:1]}"


def test_a_grant_of_another_cloud_asks_for_consent(
    microsoft: Microsoft, server: MicrosoftServer, https: HTTPS, now: datetime
) -> None:
    grant = connect(microsoft, server, now)
    elsewhere = server.login_url.replace("127.0.0.1", "localhost")
    addresses = dict.fromkeys(("authorization_endpoint", "token_endpoint"), f"{elsewhere}/{TENANT}/x")
    server.on("discovery", changes=addresses)

    with pytest.raises(ConnectionFault) as error:
        renew(Microsoft(https, {"login_url": elsewhere}), grant, now)

    assert error.value.code == "microsoft.grant_dead"
    assert server.token_requests == ["authorization_code"]


TROUBLE = [
    ({"aadsts": 90033}, "microsoft.sign_in_unavailable"),
    ({"status": 500, "body": "<h1>Oops</h1>"}, "microsoft.sign_in_unavailable"),
    ({"status": 502, "body": "<h1>Bad gateway</h1>"}, "microsoft.sign_in_unavailable"),
    ({"status": 503, "body": {"error": "temporarily_unavailable"}}, "microsoft.sign_in_unavailable"),
    ({"status": 429, "body": {"error": "invalid_grant"}}, "microsoft.sign_in_unavailable"),
    ({"status": 200, "body": "<h1>Sign in to the Wi-Fi</h1>"}, "http.unexpected_answer"),
    ({"status": 404, "body": "<h1>Not found</h1>"}, "http.unexpected_answer"),
    ({"status": 200, "body": b""}, "http.unexpected_answer"),
    ({"status": 200, "body": [1]}, "http.unexpected_answer"),
    ({"status": 200, "body": {}}, "http.unexpected_answer"),
    ({"status": 200, "body": b"x" * 1_100_000}, "http.answer_too_large"),
    ({"status": 302, "headers": {"Location": "https://127.0.0.1:1/elsewhere"}, "body": b""}, "http.redirected"),
    ({"drop": "before"}, "network.connection_lost"),
    ({"drop": "after"}, "network.connection_lost"),
]


@pytest.mark.parametrize("step", ["token", "discovery"])
@pytest.mark.parametrize(("script", "code"), TROUBLE)
def test_trouble_at_microsoft_is_never_a_dead_grant(
    microsoft: Microsoft, server: MicrosoftServer, now: datetime, step: str, script: dict[str, object], code: str
) -> None:
    grant = connect(microsoft, server, now)
    server.on(step, **script, times=1)  # type: ignore[arg-type]

    with pytest.raises(TransientError) as error:
        renew(microsoft, grant, now)

    assert error.value.code == code
    assert error.value.step is Step.TOKEN
    assert renew(microsoft, grant, now).access_token


@pytest.mark.parametrize(
    "changes",
    [
        {"access_token": MISSING},
        {"access_token": 7},
        {"access_token": ""},
        {"scope": 7},
        {"scope": ["Mail.Send"]},
        {"id_token": "a"},
        {"id_token": "a.b.c"},
        {"id_token": 7},
        {"client_info": "not base64 at all!"},
        {"client_info": 7},
    ],
)
def test_an_answer_of_other_types_is_unexpected_and_nothing_else(
    microsoft: Microsoft, server: MicrosoftServer, now: datetime, changes: dict[str, object]
) -> None:
    grant = connect(microsoft, server, now)
    server.on("token", changes=changes, times=1)

    with pytest.raises(TransientError) as error:
        renew(microsoft, grant, now)

    assert error.value.code == "http.unexpected_answer"
    assert renew(microsoft, grant, now).access_token


def test_while_microsoft_is_down_a_token_that_is_still_good_is_used(
    microsoft: Microsoft, server: MicrosoftServer, now: datetime
) -> None:
    grant = connect(microsoft, server, now)
    server.on("discovery", status=503, body="")

    kept = renew(microsoft, grant, now + timedelta(minutes=57), force=False)

    assert kept.access_token == grant.access_token
    with pytest.raises(TransientError):
        renew(microsoft, grant, now + timedelta(minutes=59), force=False)


def test_a_server_that_is_not_there_is_trouble_of_the_network(https: HTTPS) -> None:
    with pytest.raises(TransientError) as error:
        begin(Microsoft(https, {"login_url": "https://127.0.0.1:9"}))

    assert error.value.code == "network.connection_refused"


def test_a_certificate_of_an_unknown_authority_is_a_fault_that_somebody_mends(server: MicrosoftServer) -> None:
    with HTTPS(HTTPSSettings()) as distrustful, pytest.raises(ConnectionFault) as error:
        begin(Microsoft(distrustful, overrides_of(server)))

    assert error.value.code in {"tls.unknown_ca", "tls.self_signed_certificate"}


def test_what_is_no_stored_grant_asks_for_consent(microsoft: Microsoft, now: datetime) -> None:
    for stored in ("", "{}", "[]", "nonsense"):
        with pytest.raises(ConnectionFault) as error:
            microsoft.renew(REGISTRATION, stored, scopes=SCOPES, now=now)

        assert error.value.code == "microsoft.grant_dead"
        assert error.value.code in NEEDS_CONSENT


def test_microsoft_is_never_told_of_a_revocation(microsoft: Microsoft, server: MicrosoftServer, now: datetime) -> None:
    grant = connect(microsoft, server, now)
    asked_before = len(server.requests)

    assert not microsoft.revoke(REGISTRATION, grant.stored)
    assert len(server.requests) == asked_before


def test_nothing_secret_is_logged_shown_or_named_in_an_error(
    microsoft: Microsoft, server: MicrosoftServer, now: datetime, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    begun = begin(microsoft)
    params = accept(server, begun)
    grant = microsoft.redeem(REGISTRATION, begun.secrets, params, redirect_uri=CALLBACK, now=now)
    refresh_token = server.grant(CLIENT_ID, PORTAL, "Mail.Send").refresh_token
    [held] = json.loads(json.loads(grant.stored)["renewal"])["RefreshToken"].values()
    echo = f"AADSTS7000215: No good: {SECRET} with {held['secret']} here."
    server.on("token", status=401, body={"error": "invalid_client", "error_description": echo}, times=1)

    with pytest.raises(ConnectionFault) as error:
        renew(microsoft, grant, now)
    renewed = renew(microsoft, grant, now)

    shown = " ".join([caplog.text, repr(grant), repr(REGISTRATION), repr(begun), repr(error.value), str(error.value)])
    for secret in (
        *(SECRET, params["code"], held["secret"], refresh_token, grant.access_token, renewed.access_token),
        json.loads(begun.secrets)["flow"]["code_verifier"],
    ):
        assert secret not in shown
    assert error.value.seen == "AADSTS7000215: No good: *** with *** here."


def test_tokens_are_stored_once_and_old_ones_not_at_all(
    microsoft: Microsoft, server: MicrosoftServer, now: datetime
) -> None:
    grant = connect(microsoft, server, now)

    renewed = renew(microsoft, renew(microsoft, grant, now), now)

    assert grant.access_token not in renewed.stored
    assert renewed.stored.count(renewed.access_token) == 1
    assert set(json.loads(json.loads(renewed.stored)["renewal"])) == {"RefreshToken", "Account", "AppMetadata"}


def test_threads_share_nothing_but_the_connections(
    microsoft: Microsoft, server: MicrosoftServer, now: datetime
) -> None:
    grant = connect(microsoft, server, now)
    together = threading.Barrier(4)

    def renew_together(_: int) -> str:
        together.wait(30)
        return renew(microsoft, grant, now).access_token

    with ThreadPoolExecutor(4) as threads:
        tokens = set(threads.map(renew_together, range(4)))

    assert len(tokens) == 4
    assert server.token_requests == ["authorization_code", *["refresh_token"] * 4]


def test_the_environment_of_other_programs_does_not_matter(
    microsoft: Microsoft, server: MicrosoftServer, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MSAL_FORCE_REGION", "westeurope")
    monkeypatch.setenv("REGION_NAME", "westeurope")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")

    grant = connect(microsoft, server, now)

    assert renew(microsoft, grant, now).access_token


def app_grant(
    registration: Registration, https: HTTPS, endpoints: Endpoints, now: datetime, *, scope: str = APP_SCOPE
) -> Grant:
    return app_token(registration, scope=scope, https=https, endpoints=endpoints, now=now)


def test_an_application_gets_a_token_by_its_secret(
    server: MicrosoftServer, app: App, https: HTTPS, endpoints: Endpoints, now: datetime
) -> None:
    grant = app_grant(REGISTRATION, https, endpoints, now)

    assert send(https, server, grant, path=f"users/{PORTAL}") == 202
    assert (grant.account, grant.tenant, grant.stored) == ("", TENANT, "")
    assert grant.scopes == {APP_SCOPE, "Mail.Send"}
    assert grant.expires_at == now + timedelta(seconds=3599)
    assert grant.secret_slot == 1
    assert server.token_requests == ["client_credentials"]


def test_the_tenant_of_an_applications_token_is_its_id_though_the_form_has_the_domain(
    server: MicrosoftServer, app: App, https: HTTPS, endpoints: Endpoints, now: datetime
) -> None:
    assert app_grant(replace(REGISTRATION, tenant_id="contoso.test"), https, endpoints, now).tenant == TENANT


def test_an_application_signs_in_by_the_certificate_that_the_portal_made(
    server: MicrosoftServer, https: HTTPS, endpoints: Endpoints, now: datetime, pair: KeyPair
) -> None:
    server.add_app(TENANT, CLIENT_ID, certificates=[pair.public_certificate], application=["Mail.Send"])
    registration = Registration(
        client_id=CLIENT_ID,
        tenant_id=TENANT,
        private_key=pair.private_key,
        public_certificate=pair.public_certificate,
    )

    grant = app_grant(registration, https, endpoints, now)

    assert send(https, server, grant, path=f"users/{PORTAL}") == 202
    assert grant.secret_slot == 0
    [asked] = [one.form for one in server.requests if "grant_type" in one.form]
    assert "client_secret" not in asked


def test_consent_works_with_the_certificate_too(
    microsoft: Microsoft, server: MicrosoftServer, app: App, now: datetime, pair: KeyPair
) -> None:
    server.add_app(
        *(TENANT, CLIENT_ID),
        certificates=[pair.public_certificate],
        redirect_uris=[CALLBACK],
        delegated=["Mail.Send", "User.Read"],
    )
    registration = replace(
        REGISTRATION, client_secret="", private_key=pair.private_key, public_certificate=pair.public_certificate
    )

    grant = connect(microsoft, server, now, registration=registration)

    assert renew(microsoft, grant, now, registration=registration).access_token != grant.access_token


def test_a_certificate_that_was_not_uploaded_is_told_and_tried_once(
    server: MicrosoftServer, app: App, https: HTTPS, endpoints: Endpoints, now: datetime, pair: KeyPair
) -> None:
    registration = replace(
        REGISTRATION,
        next_client_secret="another",
        private_key=pair.private_key,
        public_certificate=pair.public_certificate,
    )

    with pytest.raises(ConnectionFault) as error:
        app_grant(registration, https, endpoints, now)

    assert error.value.code == "microsoft.certificate_refused"
    assert server.token_requests == ["client_credentials"]


def test_a_key_that_does_not_fit_its_certificate_is_told_without_asking(
    server: MicrosoftServer, app: App, https: HTTPS, endpoints: Endpoints, now: datetime, pair: KeyPair
) -> None:
    another = make_key_pair("portal.contoso.test", now=now)
    registration = replace(REGISTRATION, private_key=pair.private_key, public_certificate=another.public_certificate)

    with pytest.raises(ConnectionFault) as error:
        app_grant(registration, https, endpoints, now)

    assert error.value.code == "microsoft.certificate_refused"
    assert error.value.seen.startswith("The certificate does not belong to the private key.")
    assert server.requests == []


def test_a_federated_token_is_read_anew_for_each_token(
    server: MicrosoftServer, https: HTTPS, endpoints: Endpoints, now: datetime, tmp_path: Path
) -> None:
    server.add_app(TENANT, CLIENT_ID, federated_tokens=["header.first.sig", "header.second.sig"])
    file = tmp_path / "token"
    registration = Registration(client_id=CLIENT_ID, tenant_id=TENANT, federated_token_file=file)

    for token in ("header.first.sig\n", "header.second.sig\n"):
        file.write_text(token)
        assert app_grant(registration, https, endpoints, now).access_token

    sent = [one.form["client_assertion"] for one in server.requests if "client_assertion" in one.form]
    assert sent == ["header.first.sig", "header.second.sig"]


@pytest.mark.parametrize("content", [None, "", "geheim-ü", "PORTAL_SECRET_KEY=geheim", "a.b.c" * 20_000])
def test_a_federated_token_that_cannot_be_read_is_told(
    server: MicrosoftServer, app: App, https: HTTPS, endpoints: Endpoints, now: datetime, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    registration = Registration(client_id=CLIENT_ID, tenant_id=TENANT, federated_token_file=file)

    with pytest.raises(ConnectionFault) as error:
        app_grant(registration, https, endpoints, now)

    assert error.value.code == "microsoft.federation_mismatch"
    assert str(file) in error.value.seen
    assert "geheim" not in error.value.seen
    assert server.token_requests == []


def test_an_applications_next_secret_is_tried_once(
    server: MicrosoftServer, app: App, https: HTTPS, endpoints: Endpoints, now: datetime
) -> None:
    rotating = replace(REGISTRATION, client_secret="falsch", next_client_secret=SECRET)

    assert app_grant(rotating, https, endpoints, now).secret_slot == 2
    assert server.token_requests == ["client_credentials", "client_credentials"]


@pytest.mark.parametrize(
    ("registration", "code"),
    [
        (replace(REGISTRATION, tenant_id=""), "microsoft.tenant_needed"),
        (replace(REGISTRATION, tenant_id="Organizations"), "microsoft.tenant_needed"),
        (replace(REGISTRATION, tenant_id="common"), "microsoft.tenant_needed"),
        (replace(REGISTRATION, client_secret=""), "microsoft.secret_missing"),
    ],
)
def test_what_an_application_lacks_is_told_without_asking(
    server: MicrosoftServer, https: HTTPS, endpoints: Endpoints, now: datetime, registration: Registration, code: str
) -> None:
    with pytest.raises(ConnectionFault) as error:
        app_grant(registration, https, endpoints, now)

    assert error.value.code == code
    assert server.requests == []


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ({"aadsts": 700016}, "microsoft.app_not_found"),
        ({"aadsts": 7000112}, "microsoft.app_disabled"),
        ({"aadsts": 53003}, "microsoft.conditional_access"),
        ({"aadsts": 700024}, "microsoft.clock_wrong"),
        ({"aadsts": 900382}, "microsoft.wrong_cloud"),
    ],
)
def test_why_an_application_gets_no_token_is_told(
    server: MicrosoftServer,
    app: App,
    https: HTTPS,
    endpoints: Endpoints,
    now: datetime,
    script: dict[str, int],
    code: str,
) -> None:
    server.on("token", aadsts=script["aadsts"])

    with pytest.raises(ConnectionFault) as error:
        app_grant(REGISTRATION, https, endpoints, now)

    assert error.value.code == code


def started(https: HTTPS, endpoints: Endpoints, now: datetime) -> DeviceCode:
    return device_code(REGISTRATION, scopes=SCOPES, https=https, endpoints=endpoints, now=now)


def polled(
    begun: DeviceCode, https: HTTPS, endpoints: Endpoints, now: datetime, *, registration: Registration = REGISTRATION
) -> Grant | DeviceCode:
    return poll_device_code(registration, begun, https=https, endpoints=endpoints, now=now)


def test_a_code_typed_on_another_device_gives_a_grant_that_renews(
    microsoft: Microsoft, server: MicrosoftServer, https: HTTPS, endpoints: Endpoints, now: datetime
) -> None:
    begun = started(https, endpoints, now)
    waiting = polled(begun, https, endpoints, now)
    assert isinstance(waiting, DeviceCode)
    server.approve_device(begun.user_code, PORTAL)

    grant = polled(waiting, https, endpoints, now)

    assert isinstance(grant, Grant)
    assert (grant.account, grant.tenant, grant.secret_slot) == (PORTAL, TENANT, 1)
    assert send(https, server, renew(microsoft, grant, now)) == 202


def test_what_is_shown_for_the_other_device(
    app: App, server: MicrosoftServer, https: HTTPS, endpoints: Endpoints, now: datetime
) -> None:
    begun = started(https, endpoints, now)

    assert begun.verification_url == f"{server.login_url}/devicelogin"
    assert len(begun.user_code) == 9
    assert begun.expires_at == now + timedelta(minutes=15)
    assert begun.interval == timedelta(seconds=1)  # the stand-in says 0
    assert json.loads(begun.secrets)["flow"]["device_code"] not in repr(begun)


def test_asking_too_often_makes_the_interval_longer(
    certificate: ServerCertificate, https: HTTPS, now: datetime
) -> None:
    with MicrosoftServer(certificate=certificate, device_interval=timedelta(seconds=5)) as server:
        server.add_tenant(TENANT, domains=["contoso.test"])
        server.add_app(TENANT, CLIENT_ID, secrets={SECRET: None}, delegated=["Mail.Send"])
        endpoints = Endpoints.of(Cloud.GLOBAL, overrides_of(server))
        begun = started(https, endpoints, now)
        first = polled(begun, https, endpoints, now)
        assert isinstance(first, DeviceCode)

        second = polled(first, https, endpoints, now)

    assert isinstance(second, DeviceCode)
    assert (first.interval, second.interval) == (timedelta(seconds=5), timedelta(seconds=10))
    assert second.expires_at == begun.expires_at


def test_a_device_code_works_without_a_secret_where_the_registration_allows_it(
    server: MicrosoftServer, app: App, https: HTTPS, endpoints: Endpoints, now: datetime
) -> None:
    app.allows_public_flows = True
    public = replace(REGISTRATION, client_secret="")
    begun = device_code(public, scopes=SCOPES, https=https, endpoints=endpoints, now=now)
    server.approve_device(begun.user_code, PORTAL)

    grant = polled(begun, https, endpoints, now, registration=public)

    assert isinstance(grant, Grant)
    assert grant.account == PORTAL


def test_a_declined_device_code_is_told_as_that(
    server: MicrosoftServer, app: App, https: HTTPS, endpoints: Endpoints, now: datetime
) -> None:
    begun = started(https, endpoints, now)
    server.decline_device(begun.user_code)

    with pytest.raises(ConnectionFault) as error:
        polled(begun, https, endpoints, now)

    assert error.value.code == "microsoft.consent_declined"


def test_a_device_code_that_nobody_typed_in_time_is_told_as_that(
    server: MicrosoftServer, app: App, https: HTTPS, endpoints: Endpoints, now: datetime
) -> None:
    begun = started(https, endpoints, now)
    server.pass_time(timedelta(minutes=16))

    with pytest.raises(ConnectionFault) as error:
        polled(begun, https, endpoints, now)

    assert error.value.code == "microsoft.device_code_expired"


@pytest.mark.parametrize(
    "changes",
    [
        {"device_code": MISSING},
        {"user_code": 7},
        {"verification_uri": "http://127.0.0.1/devicelogin"},
        {"verification_uri": "javascript:alert(1)"},
    ],
)
def test_an_answer_without_a_code_to_show_is_unexpected(
    server: MicrosoftServer, app: App, https: HTTPS, endpoints: Endpoints, now: datetime, changes: dict[str, object]
) -> None:
    server.on("devicecode", changes=changes)

    with pytest.raises(TransientError) as error:
        started(https, endpoints, now)

    assert error.value.code == "http.unexpected_answer"


@pytest.mark.parametrize(
    ("interval", "seconds"), [("5", 5), (None, 5), (10**9, 60), (-5, 1), ("often", 5), (float("inf"), 5), ([], 5)]
)
def test_the_interval_is_between_a_second_and_a_minute(
    server: MicrosoftServer,
    app: App,
    https: HTTPS,
    endpoints: Endpoints,
    now: datetime,
    interval: object,
    seconds: int,
) -> None:
    server.on("devicecode", changes={"interval": interval, "expires_in": "900"})

    begun = started(https, endpoints, now)

    assert begun.interval == timedelta(seconds=seconds)
    assert begun.expires_at == now + timedelta(seconds=900)


def test_an_administrator_agrees_for_everybody(
    server: MicrosoftServer, app: App, microsoft: Microsoft, endpoints: Endpoints, https: HTTPS, now: datetime
) -> None:
    app.has_admin_consent = False
    server.add_mailbox(TENANT, "admin@contoso.test", is_admin=True)
    url = admin_consent_url(REGISTRATION, endpoints=endpoints, redirect_uri=CALLBACK, state=STATE, scopes=(APP_SCOPE,))

    params = parameters_of(server.person().accept(url, account="admin@contoso.test"))

    assert params["state"] == STATE
    assert admin_consent_given(params) == TENANT
    assert send(https, server, app_grant(REGISTRATION, https, endpoints, now), path=f"users/{PORTAL}") == 202


@pytest.mark.parametrize(
    ("tenant", "path"),
    [
        (TENANT, f"/{TENANT}/v2.0/adminconsent"),
        ("contoso.test", "/contoso.test/v2.0/adminconsent"),
        ("", "/organizations/v2.0/adminconsent"),
        ("common", "/organizations/v2.0/adminconsent"),
    ],
)
def test_the_administrators_page_is_that_of_the_tenant(endpoints: Endpoints, tenant: str, path: str) -> None:
    url = admin_consent_url(
        replace(REGISTRATION, tenant_id=tenant), endpoints=endpoints, redirect_uri=CALLBACK, state="s&t", scopes=SCOPES
    )

    asked = parse_qs(urlsplit(url).query)
    assert urlsplit(url).path == path
    assert asked == {
        "client_id": [CLIENT_ID],
        "scope": [" ".join(SCOPES)],
        "redirect_uri": [CALLBACK],
        "state": ["s&t"],
    }


def test_an_administrator_who_does_not_agree_is_told_as_that() -> None:
    for params, code in (
        ({"error": "access_denied", "error_description": "AADSTS65004: Declined."}, "microsoft.consent_declined"),
        ({"admin_consent": "False", "tenant": TENANT}, "provider.refused"),
        ({"tenant": TENANT}, "provider.refused"),
    ):
        with pytest.raises(ConnectionFault) as error:
            admin_consent_given(params)

        assert error.value.code == code


def directory_token(server: MicrosoftServer, https: HTTPS, endpoints: Endpoints, now: datetime) -> str:
    return app_grant(REGISTRATION, https, endpoints, now).access_token


def test_the_end_of_the_secret_is_read_where_the_right_is_there(
    server: MicrosoftServer, https: HTTPS, endpoints: Endpoints, now: datetime
) -> None:
    secrets = {SECRET: date(2027, 3, 1), "xyz8Q~the-next": date(2028, 9, 1)}
    server.add_app(TENANT, CLIENT_ID, secrets=secrets, application=["Application.Read.All"])
    token = directory_token(server, https, endpoints, now)

    def expiry(secret: str) -> date | None:
        return secret_expiry(https, server.graph_url, token, CLIENT_ID, client_secret=secret)

    assert expiry(SECRET) == date(2027, 3, 1)
    assert expiry("xyz8Q~the-next") == date(2028, 9, 1)
    assert expiry("") is None
    assert expiry("of another application") is None


def test_the_end_of_the_only_secret_needs_no_hint(
    server: MicrosoftServer, https: HTTPS, endpoints: Endpoints, now: datetime
) -> None:
    server.add_app(TENANT, CLIENT_ID, secrets={SECRET: date(2027, 3, 1)}, application=["Application.Read.All"])
    token = directory_token(server, https, endpoints, now)

    assert secret_expiry(https, server.graph_url, token, CLIENT_ID) == date(2027, 3, 1)


def test_without_the_right_the_end_of_the_secret_is_not_known(
    server: MicrosoftServer, app: App, https: HTTPS, endpoints: Endpoints, now: datetime
) -> None:
    token = directory_token(server, https, endpoints, now)

    assert secret_expiry(https, server.graph_url, token, CLIENT_ID) is None
    assert secret_expiry(https, server.graph_url, "no token", CLIENT_ID) is None


def test_what_is_no_application_id_is_never_written_into_an_address(server: MicrosoftServer, https: HTTPS) -> None:
    assert secret_expiry(https, server.graph_url, "token", "x')/../users") is None
    assert server.requests == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"passwordCredentials": None},
        {"passwordCredentials": "many"},
        {"passwordCredentials": [7]},
        {"passwordCredentials": [{"endDateTime": "soon"}]},
        {"passwordCredentials": [{"hint": 7}]},
    ],
)
def test_an_odd_list_of_secrets_tells_nothing(server: MicrosoftServer, https: HTTPS, body: object) -> None:
    server.on("applications", status=200, body=body)

    assert secret_expiry(https, server.graph_url, "token", CLIENT_ID) is None


@pytest.mark.parametrize("script", [{"status": 503}, {"status": 429}, {"drop": "before"}])
def test_trouble_at_graph_is_not_taken_for_a_missing_right(
    server: MicrosoftServer, https: HTTPS, script: dict[str, object]
) -> None:
    server.on("applications", **script)  # type: ignore[arg-type]

    with pytest.raises(TransientError):
        secret_expiry(https, server.graph_url, "token", CLIENT_ID)


@pytest.mark.parametrize(
    ("secret", "is_id"),
    [
        ("55555555-5555-4555-8555-555555555555", True),
        (" 5B5B5B5B-5555-4555-8555-555555555555\n", True),
        (SECRET, False),
        ("", False),
        ("55555555-5555-4555-8555-55555555555", False),
    ],
)
def test_a_secret_id_is_recognised(secret: str, is_id: bool) -> None:
    assert looks_like_a_secret_id(secret) is is_id


@pytest.mark.parametrize(
    ("cloud", "login", "graph", "smtp", "smtp_scope", "smtp_app_scope"),
    [
        (
            Cloud.GLOBAL,
            "https://login.microsoftonline.com",
            "https://graph.microsoft.com",
            "smtp.office365.com",
            "https://outlook.office.com/SMTP.Send",
            "https://outlook.office365.com/.default",
        ),
        (
            Cloud.US_GOV,
            "https://login.microsoftonline.us",
            "https://graph.microsoft.us",
            "smtp.office365.us",
            "https://outlook.office365.us/SMTP.Send",
            "https://outlook.office365.us/.default",
        ),
        (
            Cloud.US_DOD,
            "https://login.microsoftonline.us",
            "https://dod-graph.microsoft.us",
            "outlook-dod.office365.us",
            "https://outlook-dod.office365.us/SMTP.Send",
            "https://outlook-dod.office365.us/.default",
        ),
        (
            Cloud.CHINA,
            "https://login.partner.microsoftonline.cn",
            "https://microsoftgraph.chinacloudapi.cn",
            "smtp.partner.outlook.cn",
            "https://partner.outlook.cn/SMTP.Send",
            "https://partner.outlook.cn/.default",
        ),
    ],
)
def test_each_cloud_has_addresses_and_scopes_of_its_own(
    cloud: Cloud, login: str, graph: str, smtp: str, smtp_scope: str, smtp_app_scope: str
) -> None:
    endpoints = Endpoints.of(cloud)

    assert (endpoints.login_url, endpoints.graph_url, endpoints.smtp_host) == (login, graph, smtp)
    assert endpoints.scopes_for(by_smtp=False) == (f"{graph}/Mail.Send", f"{graph}/User.Read")
    assert endpoints.scopes_for(by_smtp=True) == (smtp_scope,)
    assert endpoints.app_scope(by_smtp=False) == f"{graph}/.default"
    assert endpoints.app_scope(by_smtp=True) == smtp_app_scope
    assert endpoints.consent_origin == login


def test_addresses_of_the_operator_hold_for_the_global_cloud_alone() -> None:
    overrides = {"login_url": "https://stand-in.test", "smtp_scope": "https://stand-in.test/SMTP.Send"}

    assert Endpoints.of(Cloud.GLOBAL, overrides).login_url == "https://stand-in.test"
    assert Endpoints.of(Cloud.GLOBAL, overrides).scopes_for(by_smtp=True) == ("https://stand-in.test/SMTP.Send",)
    assert Endpoints.of(Cloud.GLOBAL, overrides).app_scope(by_smtp=False) == APP_SCOPE
    assert Endpoints.of(Cloud.CHINA, overrides).login_url == "https://login.partner.microsoftonline.cn"


@pytest.mark.parametrize(
    "uri",
    [
        "https://portal.contoso.com/oauth/microsoft/callback",
        "https://mail.lan/oauth/microsoft/callback",
        "https://10.0.0.5/oauth/microsoft/callback",
        "http://localhost:8000/oauth/microsoft/callback",
        "https://127.0.0.1:8000/oauth/microsoft/callback",
        "https://[::1]:8000/oauth/microsoft/callback",
    ],
)
def test_a_redirect_uri_that_microsoft_takes_has_no_problem(uri: str) -> None:
    assert redirect_problem(uri) is None


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("http://portal.contoso.com/callback", "The redirect address begins with http://"),
        ("http://10.0.0.5/callback", "The redirect address begins with http://"),
        ("http://[2001:db8::1]/callback", "The redirect address begins with http://"),
        ("http://127.0.0.1:8000/callback", "Microsoft's form does not let you type http:// with 127.0.0.1:"),
        ("http://127.1.2.3/callback", "Microsoft's form does not let you type http:// with 127.1.2.3:"),
        ("http://[::1]:8000/callback", "Microsoft does not accept http:// with ::1."),
        ("https://portal.contoso.com/callback#here", "The redirect address must not have a part after #."),
        ("portal", "The redirect address is not a complete web address."),
    ],
)
def test_a_redirect_uri_that_microsoft_would_not_take_is_explained(uri: str, problem: str) -> None:
    assert str(redirect_problem(uri)).startswith(problem)


@pytest.mark.parametrize(
    ("uri", "ways_out"),
    [
        (
            "http://127.0.0.1:8000/oauth/microsoft/callback",
            ("Set PORTAL_PUBLIC_URL to http://localhost:8000,", "manifest", "https://"),
        ),
        ("http://[::1]/callback", ("Set PORTAL_PUBLIC_URL to http://localhost,", "https://")),
    ],
)
def test_the_ways_out_of_a_loopback_address_that_microsofts_form_does_not_take_are_named(
    uri: str, ways_out: tuple[str, ...]
) -> None:
    problem = str(redirect_problem(uri))

    assert [way for way in ways_out if way in problem] == list(ways_out)
