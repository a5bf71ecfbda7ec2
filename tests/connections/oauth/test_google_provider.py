"""Consent at Google, its tokens and their end, by requests-oauthlib against a stand-in on loopback."""

from __future__ import annotations

import json
import logging
import os
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from portal.connections.oauth.google import (
    API_SCOPE,
    SMTP_SCOPE,
    Endpoints,
    Google,
    redirect_problem,
    scopes_for,
    service_account_token,
)
from portal.connections.oauth.provider import AuthorizationRequest, Grant, Registration
from portal.network.https import HTTPS, HTTPSSettings
from portal.transports import ConnectionFault, Step, TransientError
from portal.transports.oauth_errors import NEEDS_CONSENT
from tests.outside.certificates import ServerCertificate
from tests.outside.google import EMAIL, FULL_MAIL, MISSING, SEND, GoogleServer
from tests.outside.google_application import CALLBACK, CLIENT_ID, CLIENT_SECRET, PORTAL, parameters_of

SCOPES = ("openid", "email", SEND)
APP = Registration(client_id=CLIENT_ID, client_secret=CLIENT_SECRET)
STATE = "state-of-this-flow"


@pytest.fixture
def server(certificate: ServerCertificate) -> Iterator[GoogleServer]:
    with GoogleServer(certificate=certificate) as server:
        server.add_client(CLIENT_ID, CLIENT_SECRET, redirect_uris=[CALLBACK])
        server.add_account(PORTAL)
        yield server


def endpoints_of(server: GoogleServer) -> Endpoints:
    names = ("authorization_url", "token_url", "revocation_url", "userinfo_url", "api_url")
    return Endpoints.of({name: server.endpoints[name] for name in names})


@pytest.fixture
def google(server: GoogleServer, https: HTTPS) -> Google:
    return Google(https, endpoints_of(server))


def begin(google: Google, *, scopes: tuple[str, ...] = SCOPES, login_hint: str = PORTAL) -> AuthorizationRequest:
    return google.authorization_request(APP, redirect_uri=CALLBACK, state=STATE, scopes=scopes, login_hint=login_hint)


def allow(server: GoogleServer, begun: AuthorizationRequest, *, untick: tuple[str, ...] = ()) -> dict[str, str]:
    """What comes to the redirect URI when the person agrees."""
    return parameters_of(server.person().allow(begun.url, account=PORTAL, untick=untick))


def connect(google: Google, server: GoogleServer, now: datetime, *, registration: Registration = APP) -> Grant:
    begun = begin(google)
    params = allow(server, begun)
    return google.redeem(registration, begun.secrets, params, redirect_uri=CALLBACK, now=now)


def renew(
    google: Google, grant: Grant, now: datetime, *, force: bool = True, registration: Registration = APP
) -> Grant:
    return google.renew(registration, grant.stored, scopes=SCOPES, now=now, force=force)


def test_the_browser_is_sent_with_all_that_a_lasting_grant_needs(google: Google) -> None:
    begun = begin(google)

    asked = {name: values[0] for name, values in parse_qs(urlsplit(begun.url).query).items()}
    assert len(asked.pop("code_challenge")) == 43
    assert len(asked.pop("nonce")) == 43
    assert asked == {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": CALLBACK,
        "scope": f"openid email {SEND}",
        "state": STATE,
        "code_challenge_method": "S256",
        "access_type": "offline",
        "prompt": "consent",
        "login_hint": PORTAL,
    }


def test_no_login_hint_is_sent_where_no_mailbox_is_known(google: Google) -> None:
    assert "login_hint" not in begin(google, login_hint="").url


def test_every_start_has_a_verifier_of_its_own(google: Google) -> None:
    first, second = begin(google), begin(google)

    assert json.loads(first.secrets)["verifier"] != json.loads(second.secrets)["verifier"]


def test_the_verifier_never_reaches_the_browser(google: Google) -> None:
    begun = begin(google)

    verifier = json.loads(begun.secrets)["verifier"]
    assert len(verifier) == 64
    assert verifier not in begun.url
    assert verifier not in repr(begun)


def test_consent_gives_a_token_that_sends(google: Google, server: GoogleServer, https: HTTPS, now: datetime) -> None:
    grant = connect(google, server, now)

    answer = https.request(
        "POST",
        f"{server.url}/upload/gmail/v1/users/me/messages/send",
        params={"uploadType": "media"},
        headers={"Authorization": f"Bearer {grant.access_token}", "Content-Type": "message/rfc822"},
        content=b"From: portal@contoso.test\r\nTo: ada@contoso.test\r\nSubject: Hello\r\n\r\nGood morning.\r\n",
    )

    assert answer.status == 200
    assert grant.account == "portal@contoso.test"
    assert grant.tenant == "contoso.test"
    assert grant.scopes == {"openid", EMAIL, SEND}
    assert grant.expires_at == now + timedelta(seconds=3599)
    assert grant.secret_slot == 1
    assert server.token_requests == ["authorization_code"]


def test_scopes_that_come_back_by_other_names_need_no_variable_of_the_process(
    google: Google, server: GoogleServer, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OAUTHLIB_RELAX_TOKEN_SCOPE", raising=False)

    connect(google, server, now)

    assert "OAUTHLIB_RELAX_TOKEN_SCOPE" not in os.environ


def test_an_answer_without_scope_grants_what_was_asked_for(google: Google, server: GoogleServer, now: datetime) -> None:
    server.on("token", changes={"scope": MISSING})

    assert connect(google, server, now).scopes == {"openid", "email", SEND}


def test_an_account_in_capitals_is_shown_as_it_is_and_compared_in_small_letters(
    google: Google, server: GoogleServer, now: datetime
) -> None:
    grant = replace(connect(google, server, now), account="Portal@Contoso.test")

    assert grant.account_key == "portal@contoso.test"


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [
        (3599, 3599),
        ("3600", 3600),
        (3599.9, 3599),
        (0, 60),
        (-1, 60),
        (10**9, 86_400),
        ("1e400", 86_400),
        (10**400, 600),
        ("soon", 600),
        (None, 600),
        (True, 600),
        ([3600], 600),
        ({"seconds": 3600}, 600),
        (float("nan"), 600),
        (float("inf"), 86_400),
        (MISSING, 600),
    ],
)
def test_a_token_lasts_between_a_minute_and_a_day_whatever_the_answer_says(
    google: Google, server: GoogleServer, now: datetime, expires_in: object, seconds: int
) -> None:
    server.on("token", changes={"expires_in": expires_in})

    granted = connect(google, server, now)
    renewed = renew(google, granted, now)

    assert granted.expires_at == now + timedelta(seconds=seconds)
    assert renewed.expires_at == now + timedelta(seconds=seconds)


def test_pressing_cancel_is_told_as_that(google: Google, server: GoogleServer, now: datetime) -> None:
    begun = begin(google)
    params = parameters_of(server.person().cancel(begun.url, account=PORTAL))

    with pytest.raises(ConnectionFault) as error:
        google.redeem(APP, begun.secrets, params, redirect_uri=CALLBACK, now=now)

    assert error.value.code == "google.consent_declined"
    assert error.value.step is Step.TOKEN
    assert server.token_requests == []


def test_an_error_that_a_stranger_wrote_into_the_callback_is_harmless(
    google: Google, server: GoogleServer, now: datetime
) -> None:
    description = "Call\r\nme \u202eback\x1b[31m now <script>alert(1)</script>" + " and again" * 10_000

    with pytest.raises(ConnectionFault) as error:
        google.redeem(
            APP,
            begin(google).secrets,
            {"error": "<script>", "error_description": description, "state": STATE},
            redirect_uri=CALLBACK,
            now=now,
        )

    assert error.value.code == "provider.refused"
    assert error.value.seen.startswith("Call me back [31m now <script>alert(1)</script> and again and again")
    assert len(error.value.seen) == 300
    assert server.token_requests == []


def test_google_being_busy_at_the_callback_is_no_refusal(google: Google, now: datetime) -> None:
    params = {"error": "temporarily_unavailable", "state": STATE}

    with pytest.raises(TransientError) as error:
        google.redeem(APP, begin(google).secrets, params, redirect_uri=CALLBACK, now=now)

    assert error.value.code == "google.sign_in_unavailable"


def test_a_callback_with_neither_code_nor_error_asks_for_nothing(
    google: Google, server: GoogleServer, now: datetime
) -> None:
    with pytest.raises(ConnectionFault, match="no authorization code"):
        google.redeem(APP, begin(google).secrets, {"state": STATE}, redirect_uri=CALLBACK, now=now)

    assert server.token_requests == []


def test_an_answer_of_another_issuer_is_refused_before_its_code_goes_anywhere(
    google: Google, server: GoogleServer, now: datetime
) -> None:
    begun = begin(google)
    params = allow(server, begun) | {"iss": "https://login.microsoftonline.com/common/v2.0"}

    with pytest.raises(ConnectionFault, match="another provider"):
        google.redeem(APP, begun.secrets, params, redirect_uri=CALLBACK, now=now)

    assert server.token_requests == []


def test_an_answer_that_names_google_as_issuer_is_taken(
    certificate: ServerCertificate, https: HTTPS, now: datetime
) -> None:
    with GoogleServer(certificate=certificate, sends_issuer=True) as server:
        server.add_client(CLIENT_ID, CLIENT_SECRET, redirect_uris=[CALLBACK])
        server.add_account(PORTAL)
        google = Google(https, endpoints_of(server))
        begun = begin(google)
        params = allow(server, begun)

        grant = google.redeem(APP, begun.secrets, params, redirect_uri=CALLBACK, now=now)

    assert params["iss"] == "https://accounts.google.com"
    assert grant.account == PORTAL


def test_an_unticked_box_is_named(google: Google, server: GoogleServer, now: datetime) -> None:
    begun = begin(google)
    params = allow(server, begun, untick=(SEND,))

    with pytest.raises(ConnectionFault) as error:
        google.redeem(APP, begun.secrets, params, redirect_uri=CALLBACK, now=now)

    assert error.value.code == "google.scope_missing"
    assert error.value.seen == "not granted: https://www.googleapis.com/auth/gmail.send"
    assert error.value.code in NEEDS_CONSENT


def test_a_grant_that_would_not_last_is_refused(google: Google, server: GoogleServer, now: datetime) -> None:
    server.on("token", changes={"refresh_token": MISSING})

    with pytest.raises(ConnectionFault) as error:
        connect(google, server, now)

    assert error.value.code == "google.refresh_token_missing"


def test_the_code_of_another_flow_does_not_fit_this_ones_verifier(
    google: Google, server: GoogleServer, now: datetime
) -> None:
    mine, injected = begin(google), begin(google)
    params = allow(server, injected)

    with pytest.raises(ConnectionFault) as error:
        google.redeem(APP, mine.secrets, params, redirect_uri=CALLBACK, now=now)

    assert error.value.code in {"google.code_refused", "google.grant_dead"}
    assert error.value.code in NEEDS_CONSENT


def test_a_code_works_once(google: Google, server: GoogleServer, now: datetime) -> None:
    begun = begin(google)
    params = allow(server, begun)
    google.redeem(APP, begun.secrets, params, redirect_uri=CALLBACK, now=now)

    with pytest.raises(ConnectionFault) as error:
        google.redeem(APP, begun.secrets, params, redirect_uri=CALLBACK, now=now)

    assert error.value.code == "google.code_refused"


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"aud": "another-client"}, "for another application"),
        ({"iss": "https://evil.example"}, "from another provider"),
        ({"email": None}, "which account consented"),
        ({"exp": None}, "until when it holds"),
        ({"exp": True}, "until when it holds"),
        ({"exp": 1_600_000_000}, "is over already"),
    ],
)
def test_an_id_token_that_is_not_for_this_portal_is_refused(
    google: Google, server: GoogleServer, now: datetime, claims: dict[str, object], reason: str
) -> None:
    with pytest.raises(TransientError, match=reason):
        redeem_with(google, server, now, claims)


@pytest.mark.parametrize("nonce", ["of another start", "", None, 7])
def test_an_id_token_of_another_start_is_refused(
    google: Google, server: GoogleServer, now: datetime, nonce: object
) -> None:
    with pytest.raises(ConnectionFault) as error:
        redeem_with(google, server, now, {"nonce": nonce})

    assert error.value.code == "google.code_refused"


@pytest.mark.parametrize(("is_verified", "expected"), [(False, False), ("false", False), (None, False), ("true", True)])
def test_an_address_that_google_has_not_verified_is_nobodys(
    google: Google, server: GoogleServer, now: datetime, is_verified: object, expected: bool
) -> None:
    codes = []
    try:
        redeem_with(google, server, now, {"email_verified": is_verified})
    except ConnectionFault as fault:
        codes.append(fault.code)

    assert codes == ([] if expected else ["google.address_unverified"])


def redeem_with(google: Google, server: GoogleServer, now: datetime, claims: dict[str, object]) -> Grant:
    """A consent whose ID token is the usual one, but for these claims."""
    begun = begin(google)
    params, nonce = allow(server, begun), json.loads(begun.secrets)["nonce"]
    usual = {"iss": "https://accounts.google.com", "aud": CLIENT_ID, "sub": "1", "email": PORTAL, "nonce": nonce}
    ends = int((now + timedelta(hours=1)).timestamp())
    server.on("token", changes={"id_token": unsigned({"alg": "RS256"}, usual | {"exp": ends} | claims)})
    return google.redeem(APP, begun.secrets, params, redirect_uri=CALLBACK, now=now)


@pytest.mark.parametrize("id_token", ["", "a.b", "a.b.c", "e30.e30.e30", "e30.W10.", MISSING, None, 7])
def test_what_is_no_id_token_is_refused(google: Google, server: GoogleServer, now: datetime, id_token: object) -> None:
    server.on("token", changes={"id_token": id_token})

    with pytest.raises(TransientError) as error:
        connect(google, server, now)

    assert error.value.code == "http.unexpected_answer"


def test_an_id_token_without_signature_is_refused(google: Google, server: GoogleServer, now: datetime) -> None:
    claims = {"iss": "https://accounts.google.com", "aud": CLIENT_ID, "email": PORTAL}
    server.on("token", changes={"id_token": unsigned({"alg": "none"}, claims)})

    with pytest.raises(TransientError, match="not signed"):
        connect(google, server, now)


def unsigned(header: Mapping[str, object], claims: Mapping[str, object]) -> str:
    parts = [urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (header, claims)]
    return ".".join([*parts, "c2lnbmF0dXJl"])


def test_a_wrong_secret_is_named_as_the_fault(google: Google, server: GoogleServer, now: datetime) -> None:
    with pytest.raises(ConnectionFault) as error:
        connect(google, server, now, registration=replace(APP, client_secret="GOCSPX-falsch"))

    assert error.value.code == "google.client_refused"
    assert server.token_requests == ["authorization_code"]


def test_the_next_secret_is_tried_once_when_the_first_is_refused(
    google: Google, server: GoogleServer, now: datetime
) -> None:
    rotating = replace(APP, client_secret="GOCSPX-abgelaufen", next_client_secret=CLIENT_SECRET)

    grant = connect(google, server, now, registration=rotating)

    assert grant.secret_slot == 2
    assert server.token_requests == ["authorization_code", "authorization_code"]


def test_the_next_secret_alone_is_enough(google: Google, server: GoogleServer, now: datetime) -> None:
    rotated = replace(APP, client_secret="", next_client_secret=CLIENT_SECRET)

    assert connect(google, server, now, registration=rotated).secret_slot == 2
    assert server.token_requests == ["authorization_code"]


def test_two_wrong_secrets_are_two_requests_and_one_fault(google: Google, server: GoogleServer, now: datetime) -> None:
    wrong = replace(APP, client_secret="GOCSPX-falsch", next_client_secret="GOCSPX-auch-falsch")

    with pytest.raises(ConnectionFault) as error:
        connect(google, server, now, registration=wrong)

    assert error.value.code == "google.client_refused"
    assert server.token_requests == ["authorization_code", "authorization_code"]


def test_a_dead_grant_is_told_even_when_only_the_next_secret_works(
    google: Google, server: GoogleServer, now: datetime
) -> None:
    grant = connect(google, server, now)
    server.revoke_grants(PORTAL)
    rotating = replace(APP, client_secret="GOCSPX-abgelaufen", next_client_secret=CLIENT_SECRET)

    with pytest.raises(ConnectionFault) as error:
        renew(google, grant, now, registration=rotating)

    assert error.value.code == "google.grant_dead"


def test_a_fresh_token_is_used_without_asking_google(google: Google, server: GoogleServer, now: datetime) -> None:
    grant = connect(google, server, now)

    again = renew(google, grant, now + timedelta(minutes=50), force=False)

    assert again.access_token == grant.access_token
    assert again.expires_at == grant.expires_at
    assert again.secret_slot == 0
    assert server.token_requests == ["authorization_code"]


def test_a_token_is_renewed_five_minutes_before_its_end(google: Google, server: GoogleServer, now: datetime) -> None:
    grant = connect(google, server, now)
    later = now + timedelta(minutes=56)

    renewed = renew(google, grant, later, force=False)

    assert renewed.access_token != grant.access_token
    assert renewed.expires_at == later + timedelta(seconds=3599)
    assert (renewed.account, renewed.tenant, renewed.scopes) == (grant.account, grant.tenant, grant.scopes)
    assert renewed.secret_slot == 1
    assert server.token_requests == ["authorization_code", "refresh_token"]


def test_a_renewed_grant_renews_again_with_the_same_refresh_token(
    google: Google, server: GoogleServer, now: datetime
) -> None:
    grant = connect(google, server, now)

    last = renew(google, renew(google, renew(google, grant, now), now), now)

    sent = [one.form["refresh_token"] for one in server.requests if one.form.get("grant_type") == "refresh_token"]
    assert len(sent) == 3
    assert len(set(sent)) == 1
    assert last.access_token != grant.access_token


def test_a_refresh_token_that_google_replaces_is_kept(google: Google, server: GoogleServer, now: datetime) -> None:
    grant = connect(google, server, now)
    server.on("token", changes={"refresh_token": "1//the-next-one"}, times=1)

    renewed = renew(google, grant, now)

    assert json.loads(renewed.stored)["renewal"] == "1//the-next-one"


def test_a_refused_token_is_replaced_though_it_looks_fresh(google: Google, server: GoogleServer, now: datetime) -> None:
    grant = connect(google, server, now)

    assert renew(google, grant, now, force=True).access_token != grant.access_token


@pytest.mark.parametrize(
    ("why", "code"),
    [
        ("revoked", "google.grant_dead"),
        ("password_changed", "google.grant_dead"),
        ("seven_days", "google.grant_dead"),
        ("rapt", "google.reauthentication_needed"),
        ("deleted", "google.account_gone"),
    ],
)
def test_a_dead_grant_asks_for_consent(
    google: Google, server: GoogleServer, now: datetime, why: str, code: str
) -> None:
    grant = connect(google, server, now)
    server.revoke_grants(PORTAL, why=why)

    with pytest.raises(ConnectionFault) as error:
        renew(google, grant, now)

    assert error.value.code == code
    assert code in NEEDS_CONSENT


def test_a_project_in_testing_loses_its_grants_after_seven_days(
    google: Google, server: GoogleServer, now: datetime
) -> None:
    server.add_client(CLIENT_ID, CLIENT_SECRET, redirect_uris=[CALLBACK], status="testing", test_users=[PORTAL])
    grant = connect(google, server, now)
    server.pass_time(timedelta(days=7, minutes=1))

    with pytest.raises(ConnectionFault) as error:
        renew(google, grant, now + timedelta(days=7, minutes=1))

    assert error.value.code == "google.grant_dead"
    assert error.value.seen == "Token has been expired or revoked."


def test_a_deleted_client_is_told_as_that(google: Google, server: GoogleServer, now: datetime) -> None:
    grant = connect(google, server, now)
    server.delete_client(CLIENT_ID)

    with pytest.raises(ConnectionFault) as error:
        renew(google, grant, now)

    assert error.value.code == "google.client_deleted"


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ({"status": 500, "body": {"error": "internal_failure"}}, "google.sign_in_unavailable"),
        ({"status": 502, "body": "<h1>Bad gateway</h1>"}, "google.sign_in_unavailable"),
        ({"status": 503}, "google.sign_in_unavailable"),
        ({"status": 429, "headers": {"Retry-After": "30"}}, "google.sign_in_unavailable"),
        ({"status": 400, "body": {"error": "temporarily_unavailable"}}, "google.sign_in_unavailable"),
        ({"status": 200, "body": "<h1>Sign in to the Wi-Fi</h1>"}, "http.unexpected_answer"),
        ({"status": 400, "body": "<h1>Sign in to the Wi-Fi</h1>"}, "http.unexpected_answer"),
        ({"status": 200, "body": b""}, "http.unexpected_answer"),
        ({"status": 200, "body": ["access_token"]}, "http.unexpected_answer"),
        ({"status": 200, "body": {"access_token": ""}}, "http.unexpected_answer"),
        ({"status": 200, "body": {"access_token": 7}}, "http.unexpected_answer"),
        ({"status": 200, "body": b"[" * 100_000}, "http.unexpected_answer"),
        ({"status": 302, "headers": {"Location": "https://127.0.0.1:1/elsewhere"}}, "http.redirected"),
        ({"status": 200, "body": b"x" * 1_100_000}, "http.answer_too_large"),
        ({"drop": "before"}, "network.connection_lost"),
        ({"drop": "after"}, "network.connection_lost"),
    ],
)
def test_trouble_at_the_token_endpoint_is_never_a_dead_grant(
    google: Google, server: GoogleServer, now: datetime, script: dict[str, object], code: str
) -> None:
    grant = connect(google, server, now)
    server.on("token", **script, times=1)  # type: ignore[arg-type]

    with pytest.raises(TransientError) as error:
        renew(google, grant, now)

    assert error.value.code == code
    assert error.value.step is Step.TOKEN
    assert renew(google, grant, now).access_token


def test_while_google_is_down_a_token_that_is_still_good_is_used(
    google: Google, server: GoogleServer, now: datetime
) -> None:
    grant = connect(google, server, now)
    server.on("token", status=503)

    kept = renew(google, grant, now + timedelta(minutes=57), force=False)

    assert kept.access_token == grant.access_token
    with pytest.raises(TransientError):
        renew(google, grant, now + timedelta(minutes=59), force=False)


def test_a_token_of_less_scopes_than_are_needed_asks_for_consent(
    google: Google, server: GoogleServer, now: datetime
) -> None:
    grant = connect(google, server, now)

    with pytest.raises(ConnectionFault) as error:
        google.renew(APP, grant.stored, scopes=("openid", "email", FULL_MAIL), now=now)

    assert error.value.code == "google.scope_missing"
    assert error.value.seen == "not granted: https://mail.google.com/"


def test_what_is_no_stored_grant_asks_for_consent(google: Google, now: datetime) -> None:
    for stored in ("", "{}", "[]", '{"renewal": 1}', "nonsense"):
        with pytest.raises(ConnectionFault) as error:
            google.renew(APP, stored, scopes=SCOPES, now=now)

        assert error.value.code == "google.grant_dead"


def test_a_server_that_is_not_there_is_trouble_of_the_network(https: HTTPS, now: datetime) -> None:
    nowhere = Google(https, Endpoints(token_url="https://127.0.0.1:9/token"))

    with pytest.raises(TransientError) as error:
        nowhere.redeem(APP, begin(nowhere).secrets, {"code": "c"}, redirect_uri=CALLBACK, now=now)

    assert error.value.code == "network.connection_refused"


def test_a_certificate_of_an_unknown_authority_is_a_fault_that_somebody_mends(
    server: GoogleServer, now: datetime
) -> None:
    with HTTPS(HTTPSSettings()) as distrustful, pytest.raises(ConnectionFault) as error:
        google = Google(distrustful, endpoints_of(server))
        google.redeem(APP, begin(google).secrets, {"code": "c"}, redirect_uri=CALLBACK, now=now)

    assert error.value.code in {"tls.unknown_ca", "tls.self_signed_certificate"}
    assert server.token_requests == []


def test_revoking_ends_the_grant_at_google(google: Google, server: GoogleServer, now: datetime) -> None:
    grant = connect(google, server, now)

    is_told = google.revoke(APP, grant.stored)

    assert is_told
    with pytest.raises(ConnectionFault):
        renew(google, grant, now)


def test_revoking_what_google_has_forgotten_counts_as_told(google: Google, server: GoogleServer, now: datetime) -> None:
    grant = connect(google, server, now)
    google.revoke(APP, grant.stored)

    assert google.revoke(APP, grant.stored)


@pytest.mark.parametrize("script", [{"status": 503}, {"drop": "before"}, {"status": 400, "body": "<h1>No</h1>"}])
def test_revoking_says_when_google_was_not_told(
    google: Google, server: GoogleServer, now: datetime, script: dict[str, object]
) -> None:
    grant = connect(google, server, now)
    server.on("revoke", **script)  # type: ignore[arg-type]

    assert not google.revoke(APP, grant.stored)


def test_nothing_secret_is_logged_shown_or_named_in_an_error(
    google: Google, server: GoogleServer, now: datetime, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    begun = begin(google)
    params = allow(server, begun)
    grant = google.redeem(APP, begun.secrets, params, redirect_uri=CALLBACK, now=now)
    refresh_token = json.loads(grant.stored)["renewal"]
    echo = f"No good: {CLIENT_SECRET} with {refresh_token}, {CLIENT_ID}."
    server.on("token", status=400, body={"error": "invalid_grant", "error_description": echo}, times=1)

    with pytest.raises(ConnectionFault) as error:
        renew(google, grant, now)
    renewed = renew(google, grant, now)

    shown = " ".join([caplog.text, repr(grant), repr(APP), repr(begun), repr(error.value), str(error.value)])
    for secret in (
        *(CLIENT_SECRET, params["code"], refresh_token, grant.access_token, renewed.access_token),
        json.loads(begun.secrets)["verifier"],
    ):
        assert secret not in shown
    assert error.value.seen.startswith("No good: *** with ***")


def test_only_the_least_scope_is_asked_for() -> None:
    assert scopes_for(by_smtp=False) == ("openid", "email", "https://www.googleapis.com/auth/gmail.send")
    assert scopes_for(by_smtp=True) == ("openid", "email", "https://mail.google.com/")
    assert (API_SCOPE, SMTP_SCOPE) == (SEND, FULL_MAIL)


def test_the_public_endpoints_are_googles_and_each_can_be_set() -> None:
    assert Endpoints().token_url == "https://oauth2.googleapis.com/token"
    assert Endpoints().consent_origin == "https://accounts.google.com"
    changed = Endpoints.of({"api_url": "https://stand-in.test"})
    assert (changed.api_url, changed.token_url) == ("https://stand-in.test", "https://oauth2.googleapis.com/token")


SERVICE_ACCOUNT = "portal@project.iam.gserviceaccount.com"


def service_account(server: GoogleServer, *, scopes: tuple[str, ...] = (SEND,)) -> Registration:
    key = server.make_service_account(SERVICE_ACCOUNT, client_id="1234567890", delegated_scopes=scopes)
    return Registration(client_id="", service_account_key=key)


def delegated(
    registration: Registration, server: GoogleServer, https: HTTPS, now: datetime, *, subject: str = PORTAL
) -> Grant:
    return service_account_token(
        registration, subject=subject, scopes=(SEND,), https=https, endpoints=endpoints_of(server), now=now
    )


def test_a_service_account_gets_a_token_for_a_mailbox(server: GoogleServer, https: HTTPS, now: datetime) -> None:
    grant = delegated(service_account(server), server, https, now)

    answer = https.request(
        "POST",
        f"{server.url}/upload/gmail/v1/users/me/messages/send",
        params={"uploadType": "media"},
        headers={"Authorization": f"Bearer {grant.access_token}", "Content-Type": "message/rfc822"},
        content=b"From: portal@contoso.test\r\nTo: ada@contoso.test\r\nSubject: Hello\r\n\r\nGood morning.\r\n",
    )

    assert answer.status == 200
    assert server.messages[0].account == PORTAL
    assert (grant.account, grant.tenant, grant.stored) == (PORTAL, "contoso.test", "")
    assert grant.scopes == {SEND}
    assert now < grant.expires_at <= now + timedelta(hours=1)


def test_a_service_account_without_delegation_is_told_as_that(
    server: GoogleServer, https: HTTPS, now: datetime
) -> None:
    with pytest.raises(ConnectionFault) as error:
        delegated(service_account(server, scopes=(FULL_MAIL,)), server, https, now)

    assert error.value.code == "google.delegation_missing"


def test_a_mailbox_that_google_does_not_know_is_told_as_that(server: GoogleServer, https: HTTPS, now: datetime) -> None:
    with pytest.raises(ConnectionFault) as error:
        delegated(service_account(server), server, https, now, subject="nobody@contoso.test")

    assert error.value.code == "google.mailbox_unknown"


def test_a_clock_that_is_far_off_is_told_as_that(server: GoogleServer, https: HTTPS, now: datetime) -> None:
    with pytest.raises(ConnectionFault) as error:
        delegated(service_account(server), server, https, now - timedelta(days=1))

    assert error.value.code == "google.clock_wrong"


def test_a_key_that_google_does_not_know_is_told_as_that(server: GoogleServer, https: HTTPS, now: datetime) -> None:
    replaced = service_account(server)
    service_account(server)

    with pytest.raises(ConnectionFault) as error:
        delegated(replaced, server, https, now)

    assert error.value.code == "google.key_refused"


def test_a_service_account_meets_the_same_trouble_of_the_network(
    server: GoogleServer, https: HTTPS, now: datetime
) -> None:
    server.on("token", drop="before")

    with pytest.raises(TransientError) as error:
        delegated(service_account(server), server, https, now)

    assert error.value.code == "network.connection_lost"


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (None, "This is no JSON file."),
        ({"type": "authorized_user"}, "This JSON is no key of a service account."),
        ({"client_email": ""}, "The key file lacks client_email."),
        ({"client_id": 7, "private_key_id": None}, "The key file lacks client_id, private_key_id."),
        (
            {"private_key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"},
            "The private key in the file",
        ),
    ],
)
def test_what_is_no_key_of_a_service_account_is_explained_and_sent_nowhere(
    server: GoogleServer, https: HTTPS, now: datetime, change: dict[str, object] | None, seen: str
) -> None:
    registration = service_account(server)
    key = json.dumps(json.loads(registration.service_account_key) | change) if change else "no key"

    with pytest.raises(ConnectionFault) as error:
        delegated(replace(registration, service_account_key=key), server, https, now)

    assert error.value.code == "google.key_refused"
    assert error.value.seen.startswith(seen)
    assert server.token_requests == []


def test_a_key_files_own_address_is_never_asked(server: GoogleServer, https: HTTPS, now: datetime) -> None:
    key = json.loads(service_account(server).service_account_key) | {"token_uri": "https://127.0.0.1:9/steal"}

    grant = delegated(Registration(client_id="", service_account_key=json.dumps(key)), server, https, now)

    assert grant.access_token


@pytest.mark.parametrize(
    "uri",
    [
        "https://portal.contoso.com/oauth/google/callback",
        "https://portal.contoso.com:8443/oauth/google/callback",
        "http://localhost:8000/oauth/google/callback",
        "http://127.0.0.1:8000/oauth/google/callback",
        "http://[::1]:8000/oauth/google/callback",
        "https://xn--bcher-kva.example.com/oauth/google/callback",
    ],
)
def test_a_redirect_uri_that_google_takes_has_no_problem(uri: str) -> None:
    assert redirect_problem(uri) is None


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("http://portal.contoso.com/callback", "The redirect address begins with http://"),
        ("https://10.0.0.5/callback", "Google does not accept 10.0.0.5, an address in figures."),
        ("https://[2001:db8::1]/callback", "Google does not accept 2001:db8::1, an address in figures."),
        ("https://mail.lan/callback", "Google does not accept mail.lan, a name that exists in your own network alone."),
        ("https://mail.contoso.local/callback", "Google does not accept mail.contoso.local, a name"),
        ("https://mail.contoso.internal/callback", "Google does not accept mail.contoso.internal, a name"),
        ("https://portal.contoso.test/callback", "Google does not accept portal.contoso.test, a name"),
        ("https://portal.contoso.test./callback", "Google does not accept portal.contoso.test, a name"),
        ("https://mail.home.arpa/callback", "Google does not accept mail.home.arpa, a name"),
        ("https://portal/callback", "Google does not accept portal, a name"),
        ("https://portal.contoso.com/callback#here", "The redirect address must not have a part after #."),
        ("https://portal.contoso.com/callback#", "The redirect address must not have a part after #."),
        ("https://user@portal.contoso.com/callback", "The redirect address is not a complete web address."),
        ("ftp://portal.contoso.com/callback", "The redirect address is not a complete web address."),
        ("https:///callback", "The redirect address is not a complete web address."),
        ("https://portal.contoso.com:0/callback", "The redirect address is not a complete web address."),
        ("https://[portal/callback", "The redirect address is not a complete web address."),
        ("portal.contoso.com/callback", "The redirect address is not a complete web address."),
    ],
)
def test_a_redirect_uri_that_google_would_not_take_is_explained(uri: str, problem: str) -> None:
    assert str(redirect_problem(uri)).startswith(problem)
