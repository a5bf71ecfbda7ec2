"""Service accounts of the stand-in: a JWT that oauthlib signs, in the name of a mailbox."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import jwt
import pytest
from oauthlib.oauth2 import ServiceApplicationClient
from requests_oauthlib import OAuth2Session

from tests.outside.google import FULL_MAIL, SEND, GoogleServer
from tests.outside.google_application import PORTAL, Application

EMAIL = "portal@mail-portal.iam.gserviceaccount.com"
CLIENT_ID = "112233445566778899"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CONTENT = b"From: portal@contoso.test\r\nTo: ada@contoso.test\r\n\r\nGood morning.\r\n"
TIMES = (
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp"
    " values in the JWT claim."
)


@pytest.fixture
def key_file(google: GoogleServer) -> dict[str, str]:
    """The key file of a service account that may send as every account of an organisation."""
    made = google.make_service_account(EMAIL, client_id=CLIENT_ID, delegated_scopes=[SEND])
    key_file: dict[str, str] = json.loads(made)
    return key_file


def claims_of(google: GoogleServer, **changes: object) -> dict[str, Any]:
    now = int(google.now.timestamp())
    claims = {"iss": EMAIL, "sub": PORTAL, "scope": SEND, "iat": now, "exp": now + 3600}
    return claims | {"aud": google.endpoints["token_url"]} | changes


def asked(application: Application, assertion: str) -> tuple[int, dict[str, str]]:
    answer = application.plain().post(
        application.google.endpoints["token_url"], data={"grant_type": JWT_BEARER, "assertion": assertion}
    )
    return answer.status_code, answer.json()


def test_the_library_gets_a_token_for_a_mailbox_that_sends(
    google: GoogleServer, application: Application, key_file: dict[str, str]
) -> None:
    client = ServiceApplicationClient(
        CLIENT_ID,
        private_key=key_file["private_key"],
        subject=PORTAL,
        issuer=key_file["client_email"],
        audience=google.endpoints["token_url"],
    )
    session = OAuth2Session(client=client)
    session.verify = application.plain().verify
    session.trust_env = False

    token = session.fetch_token(google.endpoints["token_url"], include_client_id=True, extra_claims={"scope": SEND})
    answer = session.post(
        f"{google.url}/upload/gmail/v1/users/me/messages/send",
        params={"uploadType": "media"},
        data=CONTENT,
        headers={"Content-Type": "message/rfc822"},
    )

    assert set(token) == {"access_token", "expires_in", "expires_at", "scope", "token_type"}
    assert answer.status_code == 200
    assert google.messages[0].account == "portal@contoso.test"
    assert google.token_requests == [JWT_BEARER]


@pytest.mark.parametrize(
    ("changes", "error", "description"),
    [
        ({"iss": "other@mail-portal.iam.gserviceaccount.com"}, "invalid_grant", "Invalid grant: account not found"),
        ({"sub": "nobody@contoso.test"}, "invalid_grant", "Invalid email or User ID"),
        ({"sub": "someone@gmail.com"}, "invalid_grant", "Invalid email or User ID"),
        ({"scope": ""}, "invalid_scope", "Empty or missing scope not allowed."),
        ({"scope": "mail"}, "invalid_scope", "mail is not a valid audience string."),
    ],
    ids=["unknown issuer", "unknown mailbox", "consumer", "no scope", "unknown scope"],
)
def test_wrong_claims_are_refused(
    google: GoogleServer,
    application: Application,
    key_file: dict[str, str],
    changes: dict[str, object],
    error: str,
    description: str,
) -> None:
    google.add_account("someone@gmail.com")
    assertion = jwt.encode(claims_of(google, **changes), key_file["private_key"], "RS256")

    assert asked(application, assertion) == (400, {"error": error, "error_description": description})


def test_the_audience_is_the_token_endpoint_here_or_google_s_own(
    google: GoogleServer, application: Application, key_file: dict[str, str]
) -> None:
    audiences = [google.endpoints["token_url"], "https://oauth2.googleapis.com/token", "https://elsewhere.test/token"]

    answers = [
        asked(application, jwt.encode(claims_of(google, aud=audience), key_file["private_key"], "RS256"))
        for audience in audiences
    ]

    assert [status for status, _ in answers] == [200, 200, 400]
    assert answers[2][1]["error_description"].startswith("Invalid JWT: Failed audience check.")


@pytest.mark.parametrize(
    ("issued", "expires"),
    [(0, 3601), (-4000, -400), (400, 3000), (0, 0), (100, 50)],
    ids=["too long", "over", "not yet", "no time at all", "backwards"],
)
def test_a_jwt_lives_an_hour_at_most_and_now(
    google: GoogleServer, application: Application, key_file: dict[str, str], issued: int, expires: int
) -> None:
    now = int(google.now.timestamp())
    claims = claims_of(google, iat=now + issued, exp=now + expires)

    answer = asked(application, jwt.encode(claims, key_file["private_key"], "RS256"))

    assert answer == (400, {"error": "invalid_grant", "error_description": TIMES})


def test_a_clock_that_is_wrong_by_an_hour_and_more_is_noticed(
    google: GoogleServer, application: Application, key_file: dict[str, str]
) -> None:
    assertion = jwt.encode(claims_of(google), key_file["private_key"], "RS256")

    google.pass_time(timedelta(minutes=66))

    assert asked(application, assertion)[1]["error_description"] == TIMES


def test_a_jwt_without_times_is_refused(
    google: GoogleServer, application: Application, key_file: dict[str, str]
) -> None:
    claims = claims_of(google)
    del claims["iat"], claims["exp"]

    assert asked(application, jwt.encode(claims, key_file["private_key"], "RS256"))[1]["error_description"] == TIMES


def test_only_the_accounts_own_key_signs_for_it(
    google: GoogleServer, application: Application, key_file: dict[str, str]
) -> None:
    other = json.loads(google.make_service_account("other@x.test", client_id="1", delegated_scopes=[SEND]))
    forged = [
        jwt.encode(claims_of(google), other["private_key"], "RS256"),
        jwt.encode(claims_of(google), key_file["private_key"], "RS512"),
        jwt.encode(claims_of(google), "", "none"),
        jwt.encode(claims_of(google), "a shared secret that is long enough", "HS256"),
    ]

    answers = [asked(application, assertion) for assertion in forged]

    refused = (400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
    assert answers == [refused] * 4


def test_what_is_no_jwt_is_refused(application: Application) -> None:
    assert asked(application, "no.jwt.here") == (400, {"error": "invalid_grant", "error_description": "Bad Request"})


def test_a_scope_that_was_not_delegated_is_refused(
    google: GoogleServer, application: Application, key_file: dict[str, str]
) -> None:
    assertion = jwt.encode(claims_of(google, scope=f"{SEND} {FULL_MAIL}"), key_file["private_key"], "RS256")

    status, answer = asked(application, assertion)

    assert (status, answer["error"]) == (401, "unauthorized_client")
    assert answer["error_description"] == (
        "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the"
        " scopes requested."
    )


def test_a_service_account_itself_has_no_mailbox(
    google: GoogleServer, application: Application, key_file: dict[str, str]
) -> None:
    claims = claims_of(google)
    del claims["sub"]
    _, token = asked(application, jwt.encode(claims, key_file["private_key"], "RS256"))

    answer = application.plain().post(
        f"{google.url}/upload/gmail/v1/users/me/messages/send",
        params={"uploadType": "media"},
        data=CONTENT,
        headers={"Content-Type": "message/rfc822", "Authorization": f"Bearer {token['access_token']}"},
    )

    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "Precondition check failed.")
    assert google.messages == []


def test_a_key_file_reads_as_google_writes_it(key_file: dict[str, str]) -> None:
    assert key_file["type"] == "service_account"
    assert key_file["client_email"] == EMAIL
    assert key_file["client_id"] == CLIENT_ID
    assert key_file["token_uri"] == "https://oauth2.googleapis.com/token"
    assert key_file["private_key"].startswith("-----BEGIN PRIVATE KEY-----")
