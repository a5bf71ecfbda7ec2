"""The stand-in for Google, asked by requests-oauthlib: consent, codes, and tokens to their end."""

from __future__ import annotations

import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from time import monotonic

import jwt
import pytest
import requests
from oauthlib.oauth2 import AccessDeniedError
from oauthlib.oauth2.rfc6749.errors import InvalidClientError, InvalidGrantError

from tests.outside.certificates import Authority, ServerCertificate
from tests.outside.google import EMAIL, FULL_MAIL, ISSUER, MISSING, SEND, GoogleServer
from tests.outside.google_application import (
    ASKED,
    CALLBACK,
    CLIENT_ID,
    CLIENT_SECRET,
    PORTAL,
    Application,
    parameters_of,
)

CONTENT = b"From: portal@contoso.test\r\nTo: ada@contoso.test\r\nSubject: Hello\r\n\r\nGood morning.\r\n"
EXPIRED_OR_REVOKED = {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}


def test_consent_gives_a_token_that_sends_a_message(google: GoogleServer, application: Application) -> None:
    session = application.connect()

    answer = session.post(
        f"{google.url}/upload/gmail/v1/users/me/messages/send",
        params={"uploadType": "media"},
        data=CONTENT,
        headers={"Content-Type": "message/rfc822"},
    )

    [message] = google.wait_for_messages(1)
    assert answer.json() == {"id": message.id, "threadId": message.thread_id, "labelIds": ["SENT"]}
    assert message.account == "portal@contoso.test"
    assert message.content == CONTENT
    assert google.token_requests == ["authorization_code"]


def test_a_token_says_what_was_granted_by_the_long_names(application: Application) -> None:
    token = application.connect().token

    assert set(token["scope"]) == {"openid", EMAIL, SEND}
    assert token["token_type"] == "Bearer"
    assert token["expires_in"] == 3599
    assert token["refresh_token"].startswith("1//")


def test_the_redirect_carries_code_scope_state_account_and_prompt(
    google: GoogleServer, application: Application
) -> None:
    url = application.url(state="state-1", access_type="offline")

    callback = google.person().allow(url, account=PORTAL)

    sent = parameters_of(callback)
    assert callback.startswith(f"{CALLBACK}?")
    assert sent.pop("code").startswith("4/0A")
    assert sent == {
        "state": "state-1",
        "scope": f"{SEND} {EMAIL} openid",
        "authuser": "0",
        "hd": "contoso.test",
        "prompt": "consent",
    }


def test_the_issuer_is_sent_where_that_is_wanted(certificate: ServerCertificate, ca_file: Path) -> None:
    with GoogleServer(certificate=certificate, sends_issuer=True) as google:
        google.add_client(CLIENT_ID, CLIENT_SECRET, redirect_uris=[CALLBACK])
        google.add_account(PORTAL)

        callback = google.person().allow(Application(google, ca_file).url(), account=PORTAL)

    assert parameters_of(callback)["iss"] == "https://accounts.google.com"


def test_a_redirect_address_keeps_its_own_query(google: GoogleServer) -> None:
    google.add_client("other", "secret", redirect_uris=["http://localhost:8000/back?from=google"])
    url = requests.Request(
        "GET",
        google.endpoints["authorization_url"],
        params={
            "client_id": "other",
            "redirect_uri": "http://localhost:8000/back?from=google",
            "response_type": "code",
            "scope": "openid",
            "state": "s",
        },
    ).prepare()

    callback = google.person().allow(url.url or "", account=PORTAL)

    assert callback.startswith("http://localhost:8000/back?from=google&state=s&code=")


def test_cancelling_comes_back_as_access_denied(google: GoogleServer, application: Application) -> None:
    session = application.session()
    url, state = session.authorization_url(google.endpoints["authorization_url"], login_hint=PORTAL)

    callback = google.person().cancel(url, account=PORTAL)

    assert parameters_of(callback) == {"state": state, "error": "access_denied"}
    with pytest.raises(AccessDeniedError):
        application.redeem(session, callback)


def test_an_unticked_box_leaves_its_scope_out(google: GoogleServer, application: Application) -> None:
    session = application.session()
    url, _ = session.authorization_url(google.endpoints["authorization_url"], login_hint=PORTAL)
    seen = google.person().open(url)

    callback = google.person().allow(url, account=PORTAL, untick=[SEND])

    assert seen.boxes == {SEND: True}
    assert set(application.redeem(session, callback)["scope"]) == {"openid", EMAIL}


def test_unticking_all_that_was_asked_is_a_refusal(google: GoogleServer, application: Application) -> None:
    callback = google.person().allow(application.url(scopes=(SEND,)), account=PORTAL, untick=[SEND])

    assert parameters_of(callback)["error"] == "access_denied"


def test_a_trusted_client_gets_all_or_nothing(google: GoogleServer, application: Application) -> None:
    google.restrict_apps("contoso.test", trusted=[CLIENT_ID])

    seen = google.person().open(application.url(login_hint=PORTAL))

    assert seen.boxes == {}
    assert set(parameters_of(google.person().press(seen, "Allow").sent_to)["scope"].split()) == {"openid", EMAIL, SEND}


def test_accounts_are_chosen_from_a_list_unless_a_hint_names_one(
    google: GoogleServer, application: Application
) -> None:
    person = google.person()

    chooser = person.open(application.url())
    hinted = person.open(application.url(login_hint="ada@contoso.test"))
    asked_all_the_same = person.open(application.url(login_hint="ada@contoso.test", prompt="select_account"))
    unknown = person.open(application.url(login_hint="nobody@contoso.test"))

    assert chooser.heading == "Choose an account"
    assert chooser.buttons == ["Portal portal@contoso.test", "Ada ada@contoso.test", "Bob bob@fabrikam.test"]
    assert hinted.heading == "Mail Portal wants access to your Google Account"
    assert "ada@contoso.test" in hinted.text
    assert asked_all_the_same.heading == "Choose an account"
    assert unknown.heading == "Choose an account"


def test_the_chosen_account_is_the_one_that_granted(google: GoogleServer, application: Application) -> None:
    session = application.session()
    url, _ = session.authorization_url(
        google.endpoints["authorization_url"], login_hint=PORTAL, prompt="select_account"
    )

    application.redeem(session, google.person().allow(url, account="ada@contoso.test"))

    assert session.get(google.endpoints["userinfo_url"]).json()["email"] == "ada@contoso.test"


def test_consent_is_asked_once_and_gives_a_refresh_token_once(google: GoogleServer, application: Application) -> None:
    application.connect(prompt="select_account")
    session = application.session()
    url, _ = session.authorization_url(google.endpoints["authorization_url"], access_type="offline", login_hint=PORTAL)

    seen = google.person().open(url)

    assert parameters_of(seen.sent_to)["prompt"] == "none"
    assert "refresh_token" not in application.redeem(session, seen.sent_to)


def test_prompt_consent_shows_the_page_again_and_gives_another_refresh_token(application: Application) -> None:
    first = application.connect().token["refresh_token"]

    second = application.connect().token["refresh_token"]

    assert first != second
    assert application.refresh(first).status_code == 200
    assert application.refresh(second).status_code == 200


def test_online_access_has_no_refresh_token(application: Application) -> None:
    assert "refresh_token" not in application.connect(access_type="online").token


def test_without_a_page_to_show_it_says_that_somebody_is_needed(google: GoogleServer, application: Application) -> None:
    seen = google.person().open(application.url(prompt="none", login_hint=PORTAL))

    assert parameters_of(seen.sent_to)["error"] == "interaction_required"


def test_scopes_granted_before_come_along_where_that_is_asked(google: GoogleServer, application: Application) -> None:
    application.connect()

    session = application.connect(scopes=("openid",), include_granted_scopes="true")

    assert set(session.token["scope"]) == {"openid", EMAIL, SEND}


@pytest.mark.parametrize("include_client_id", [True, False], ids=["in the form", "by HTTP Basic"])
def test_a_client_says_who_it_is_either_way(
    google: GoogleServer, application: Application, include_client_id: bool
) -> None:
    session = application.session()
    callback = google.person().allow(application.url(), account=PORTAL)

    token = application.redeem(session, callback, include_client_id=include_client_id)

    assert token["access_token"].startswith("ya29.")
    assert ("Authorization" in google.requests[-1].headers) is not include_client_id


def test_each_secret_of_a_client_is_good_until_it_is_taken_away(google: GoogleServer, application: Application) -> None:
    refresh_token = application.connect().token["refresh_token"]

    google.add_client(CLIENT_ID, CLIENT_SECRET, "GOCSPX-next", redirect_uris=[CALLBACK])
    both = [application.refresh(refresh_token, client_secret=one) for one in (CLIENT_SECRET, "GOCSPX-next")]
    google.add_client(CLIENT_ID, "GOCSPX-next", redirect_uris=[CALLBACK])
    old = application.refresh(refresh_token)

    assert [answer.status_code for answer in both] == [200, 200]
    assert (old.status_code, old.json()) == (401, {"error": "invalid_client", "error_description": "Unauthorized"})


def test_a_wrong_secret_is_what_the_library_calls_an_invalid_client(
    google: GoogleServer, application: Application
) -> None:
    callback = google.person().allow(application.url(), account=PORTAL)

    with pytest.raises(InvalidClientError, match="Unauthorized"):
        application.redeem(application.session(), callback, client_secret="wrong")


@pytest.mark.parametrize(
    ("form", "status", "error", "description"),
    [
        ({"client_id": "unknown"}, 401, "invalid_client", "The OAuth client was not found."),
        ({"client_id": ""}, 400, "invalid_request", "Could not determine client ID from request."),
        ({"client_secret": ""}, 400, "invalid_request", "client_secret is missing."),
        ({"refresh_token": ""}, 400, "invalid_request", "Missing required parameter: refresh_token"),
        ({"refresh_token": "1//unknown"}, 400, "invalid_grant", "Bad Request"),
        ({"scope": FULL_MAIL}, 400, "invalid_scope", "Bad Request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", "Invalid grant_type: password"),
    ],
)
def test_bad_token_requests_are_told_what_is_wrong(
    application: Application, form: dict[str, str], status: int, error: str, description: str
) -> None:
    usual = {"grant_type": "refresh_token", "refresh_token": application.connect().token["refresh_token"]}

    answer = application.token_request(**(usual | form))

    assert answer.status_code == status
    assert answer.json() == {"error": error, "error_description": description}
    assert answer.headers["Cache-Control"].startswith("no-cache, no-store")


def test_a_refresh_token_is_good_for_its_own_client_alone(google: GoogleServer, application: Application) -> None:
    google.add_client("other", "secret")
    refresh_token = google.grant("other", PORTAL, SEND).refresh_token

    answer = application.refresh(refresh_token)

    assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized_client")


def test_a_code_is_good_once(google: GoogleServer, application: Application) -> None:
    callback = google.person().allow(application.url(), account=PORTAL)
    application.redeem(application.session(), callback)

    with pytest.raises(InvalidGrantError, match="Bad Request"):
        application.redeem(application.session(), callback)


def test_a_code_is_good_for_ten_minutes(google: GoogleServer, application: Application) -> None:
    callback = google.person().allow(application.url(), account=PORTAL)

    google.pass_time(timedelta(minutes=10))

    with pytest.raises(InvalidGrantError, match="Bad Request"):
        application.redeem(application.session(), callback)


def test_a_made_up_code_is_malformed(application: Application) -> None:
    with pytest.raises(InvalidGrantError, match="Malformed auth code"):
        application.redeem(application.session(), f"{CALLBACK}?code=made-up")


def test_a_code_is_good_for_its_own_redirect_address_alone(google: GoogleServer, application: Application) -> None:
    google.add_client(CLIENT_ID, CLIENT_SECRET, redirect_uris=[CALLBACK, f"{CALLBACK}/other"])
    code = parameters_of(google.person().allow(application.url(), account=PORTAL))["code"]

    answer = application.token_request(grant_type="authorization_code", code=code, redirect_uri=f"{CALLBACK}/other")

    assert answer.status_code == 400
    assert answer.json()["error"] == "redirect_uri_mismatch"


@pytest.mark.parametrize(
    ("verifier", "description"),
    [("x" * 43, "Invalid code verifier."), ("", "Missing code verifier.")],
)
def test_a_code_needs_the_verifier_of_its_own_flow(
    google: GoogleServer, application: Application, verifier: str, description: str
) -> None:
    url, _ = application.session(pkce="S256").authorization_url(google.endpoints["authorization_url"])
    callback = google.person().allow(url, account=PORTAL)
    more = {"code_verifier": verifier} if verifier else {}

    with pytest.raises(InvalidGrantError, match=description):
        application.redeem(application.session(), callback, **more)


def test_a_verifier_that_nobody_announced_is_refused(google: GoogleServer, application: Application) -> None:
    callback = google.person().allow(application.url(), account=PORTAL)

    with pytest.raises(InvalidGrantError, match="not needed"):
        application.redeem(application.session(), callback, code_verifier="x" * 43)


def test_refreshing_gives_an_access_token_and_leaves_the_refresh_token(application: Application) -> None:
    session = application.connect()
    before = dict(session.token)

    answer = application.refresh(before["refresh_token"])

    assert set(answer.json()) == {"access_token", "expires_in", "scope", "token_type", "id_token"}
    assert answer.json()["access_token"] != before["access_token"]
    session.refresh_token(application.google.endpoints["token_url"], client_id=CLIENT_ID, client_secret=CLIENT_SECRET)
    assert session.token["refresh_token"] == before["refresh_token"]


def test_a_refresh_may_ask_for_less(application: Application) -> None:
    answer = application.refresh(application.connect().token["refresh_token"], scope="openid")

    assert answer.json()["scope"] == "openid"


@pytest.mark.parametrize("why", ["revoked", "password_changed", "seven_days"])
def test_most_ends_of_a_grant_read_the_same(google: GoogleServer, application: Application, why: str) -> None:
    refresh_token = application.connect().token["refresh_token"]

    google.revoke_grants(PORTAL, why=why)

    answer = application.refresh(refresh_token)
    assert (answer.status_code, answer.json()) == (400, EXPIRED_OR_REVOKED)


def test_a_session_length_policy_is_named_in_a_subtype(google: GoogleServer, application: Application) -> None:
    refresh_token = application.connect().token["refresh_token"]

    google.revoke_grants(PORTAL, why="rapt")

    assert application.refresh(refresh_token).json() == {
        "error": "invalid_grant",
        "error_description": "reauth related error (invalid_rapt)",
        "error_uri": "https://support.google.com/a/answer/9368756",
        "error_subtype": "invalid_rapt",
    }


def test_a_deleted_account_is_gone_everywhere(google: GoogleServer, application: Application) -> None:
    session = application.connect()

    google.revoke_grants(PORTAL, why="deleted")

    assert application.refresh(session.token["refresh_token"]).json()["error_description"] == "Account has been deleted"
    assert session.get(google.endpoints["userinfo_url"]).status_code == 401
    assert "Portal portal@contoso.test" not in google.person().open(application.url()).buttons


def test_withdrawing_an_application_ends_its_access_at_once(google: GoogleServer, application: Application) -> None:
    session = application.connect()

    google.revoke_grants(PORTAL)

    assert session.get(google.endpoints["userinfo_url"]).status_code == 401
    assert google.person().open(application.url(login_hint=PORTAL)).heading.startswith("Mail Portal wants access")


def test_a_changed_password_spares_access_tokens_and_grants_without_gmail(
    google: GoogleServer, application: Application
) -> None:
    session = application.connect()
    without_gmail = google.grant(CLIENT_ID, PORTAL, "openid", "email").refresh_token

    google.revoke_grants(PORTAL, why="password_changed")

    assert session.get(google.endpoints["userinfo_url"]).status_code == 200
    assert application.refresh(session.token["refresh_token"]).json() == EXPIRED_OR_REVOKED
    assert application.refresh(without_gmail).status_code == 200


@pytest.mark.parametrize(
    ("status", "scopes", "answered"),
    [("testing", (SEND,), 400), ("testing", ("openid", "email"), 200), ("production", (SEND,), 200)],
)
def test_grants_to_a_project_in_testing_end_after_seven_days(
    google: GoogleServer, application: Application, status: str, scopes: tuple[str, ...], answered: int
) -> None:
    google.add_client(CLIENT_ID, CLIENT_SECRET, redirect_uris=[CALLBACK], status=status, test_users=[PORTAL])
    refresh_token = application.connect(scopes=scopes).token["refresh_token"]

    google.pass_time(timedelta(days=6, hours=23))
    before = application.refresh(refresh_token)
    google.pass_time(timedelta(hours=1))
    after = application.refresh(refresh_token)

    assert (before.status_code, after.status_code) == (200, answered)
    assert answered == 200 or after.json() == EXPIRED_OR_REVOKED


def test_a_grant_ends_when_it_is_not_used_for_six_months(google: GoogleServer, application: Application) -> None:
    refresh_token = google.grant(CLIENT_ID, PORTAL, SEND).refresh_token

    google.pass_time(timedelta(days=181))
    used = application.refresh(refresh_token)
    google.pass_time(timedelta(days=181))
    used_again = application.refresh(refresh_token)
    google.pass_time(timedelta(days=182))

    assert (used.status_code, used_again.status_code) == (200, 200)
    assert application.refresh(refresh_token).json() == EXPIRED_OR_REVOKED


def test_the_oldest_of_more_than_a_hundred_refresh_tokens_dies(google: GoogleServer, application: Application) -> None:
    others = google.grant(CLIENT_ID, "ada@contoso.test", SEND).refresh_token
    tokens = [google.grant(CLIENT_ID, PORTAL, SEND).refresh_token for _ in range(100)]

    before = application.refresh(tokens[0])
    google.grant(CLIENT_ID, PORTAL, SEND)

    assert before.status_code == 200
    assert application.refresh(tokens[0]).json() == EXPIRED_OR_REVOKED
    assert application.refresh(tokens[1]).status_code == 200
    assert application.refresh(others).status_code == 200


def test_an_access_token_runs_out_by_the_servers_clock(google: GoogleServer, application: Application) -> None:
    session = application.connect()

    google.pass_time(timedelta(minutes=59))
    before = session.get(google.endpoints["userinfo_url"])
    google.pass_time(timedelta(minutes=1))
    after = session.get(google.endpoints["userinfo_url"])

    assert (before.status_code, after.status_code) == (200, 401)


def test_revoking_one_token_ends_the_whole_grant(google: GoogleServer, application: Application) -> None:
    first, second = application.connect(), application.connect()
    url = google.endpoints["revocation_url"]

    revoked = application.plain().post(url, data={"token": first.token["refresh_token"]})
    again = application.plain().post(url, data={"token": first.token["refresh_token"]})

    assert (revoked.status_code, revoked.json()) == (200, {})
    assert (again.status_code, again.json()["error"]) == (400, "invalid_token")
    assert application.refresh(second.token["refresh_token"]).json() == EXPIRED_OR_REVOKED
    assert second.get(google.endpoints["userinfo_url"]).status_code == 401


def test_an_access_token_can_be_revoked_as_well(google: GoogleServer, application: Application) -> None:
    session = application.connect()

    answer = application.plain().post(
        google.endpoints["revocation_url"], params={"token": session.token["access_token"]}, data={}
    )

    assert answer.status_code == 200
    assert application.refresh(session.token["refresh_token"]).json() == EXPIRED_OR_REVOKED


def test_userinfo_tells_whose_the_token_is(google: GoogleServer, application: Application) -> None:
    session = application.connect()

    claims = session.get(google.endpoints["userinfo_url"]).json()

    subject = claims.pop("sub")
    assert claims == {"email": "portal@contoso.test", "email_verified": True, "hd": "contoso.test"}
    assert subject.isdigit()
    assert len(subject) == 21


def test_userinfo_needs_a_scope_of_signing_in(google: GoogleServer, application: Application) -> None:
    token = google.grant(CLIENT_ID, PORTAL, SEND).access_token

    answer = application.plain().get(google.endpoints["userinfo_url"], headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code == 403


def test_an_id_token_is_signed_with_a_published_key(
    google: GoogleServer, application: Application, certificate: ServerCertificate, authority: Authority
) -> None:
    id_token = application.connect().token["id_token"]
    context = ssl.create_default_context(cadata=authority.pem)

    key = jwt.PyJWKClient(google.endpoints["keys_url"], ssl_context=context).get_signing_key_from_jwt(id_token)
    claims = jwt.decode(id_token, key, algorithms=["RS256"], audience=CLIENT_ID, issuer=ISSUER)

    assert claims["email"] == "portal@contoso.test"
    assert claims["email_verified"] is True
    assert claims["exp"] - claims["iat"] == 3600


def test_there_is_no_id_token_without_openid(application: Application) -> None:
    assert "id_token" not in application.connect(scopes=(SEND,)).token


@pytest.mark.parametrize("value", ["3600", -1, 0, 10**9, 1.5, None, [3600]], ids=str)
def test_an_odd_expires_in_is_said_as_scripted(google: GoogleServer, application: Application, value: object) -> None:
    refresh_token = application.connect().token["refresh_token"]
    google.on("token", changes={"expires_in": value})

    assert application.refresh(refresh_token).json()["expires_in"] == value


def test_a_part_of_an_answer_can_be_missing(google: GoogleServer, application: Application) -> None:
    google.on("token", changes={"refresh_token": MISSING, "expires_in": MISSING})

    token = application.connect().token

    assert "refresh_token" not in token
    assert "expires_in" not in token


def _without(url: str, name: str) -> str:
    request = requests.Request("GET", url.partition("?")[0])
    request.params = {key: value for key, value in parameters_of(url).items() if key != name}
    return request.prepare().url or ""


@pytest.mark.parametrize(
    ("name", "value", "status", "error"),
    [
        ("redirect_uri", f"{CALLBACK}/", 400, "redirect_uri_mismatch"),
        ("redirect_uri", CALLBACK.replace("https", "http"), 400, "redirect_uri_mismatch"),
        ("redirect_uri", "", 400, "redirect_uri_mismatch"),
        ("client_id", "unknown", 401, "invalid_client"),
        ("client_id", "", 400, "invalid_request"),
        ("response_type", "token", 400, "unsupported_response_type"),
        ("response_type", "", 400, "invalid_request"),
        ("scope", "", 400, "invalid_request"),
        ("scope", "https://www.googleapis.com/auth/gmail.sned", 400, "invalid_scope"),
        ("access_type", "always", 400, "invalid_request"),
        ("prompt", "none consent", 400, "invalid_request"),
        ("code_challenge_method", "plain", 400, "invalid_request"),
        ("code_challenge", "short", 400, "invalid_request"),
    ],
)
def test_a_bad_request_ends_on_a_page_that_never_returns(
    google: GoogleServer, application: Application, name: str, value: str, status: int, error: str
) -> None:
    url, _ = application.session(pkce="S256").authorization_url(google.endpoints["authorization_url"])
    bad = requests.Request("GET", _without(url, name), params={name: value}).prepare().url or ""

    seen = google.person().open(bad)

    assert seen.status == status
    assert seen.text.endswith(f"Error {status}: {error}")
    assert seen.sent_to == ""
    assert seen.buttons == []


def test_a_wrong_redirect_address_is_named_in_the_details(google: GoogleServer, application: Application) -> None:
    google.add_client(CLIENT_ID, CLIENT_SECRET, redirect_uris=["https://portal.contoso.test/<b>"])

    assert f"redirect_uri={CALLBACK}" in google.person().open(application.url()).text


@pytest.mark.parametrize(
    ("settings", "status", "error"),
    [
        ({"status": "testing"}, 403, "access_denied"),
        ({"status": "internal", "organisation": "fabrikam.test"}, 403, "org_internal"),
    ],
)
def test_accounts_that_a_project_is_not_for_are_stopped_on_a_page(
    google: GoogleServer, application: Application, settings: dict[str, str], status: int, error: str
) -> None:
    google.add_client(CLIENT_ID, CLIENT_SECRET, redirect_uris=[CALLBACK], **settings)  # type: ignore[arg-type]

    seen = google.person().open(application.url(login_hint=PORTAL))

    assert (seen.status, seen.sent_to) == (status, "")
    assert seen.heading.startswith("Access blocked: Mail Portal")
    assert seen.text.endswith(f"Error {status}: {error}")


def test_a_project_in_testing_names_the_verification_process(google: GoogleServer, application: Application) -> None:
    google.add_client(CLIENT_ID, CLIENT_SECRET, redirect_uris=[CALLBACK], status="testing", test_users=[PORTAL])

    stranger = google.person().open(application.url(login_hint="ada@contoso.test"))
    listed = google.person().open(application.url(login_hint=PORTAL))

    assert "has not completed the Google verification process" in stranger.heading
    assert listed.heading == "Mail Portal wants access to your Google Account"


def test_administrators_who_restrict_apps_stop_consent_and_refresh(
    google: GoogleServer, application: Application
) -> None:
    refresh_token = application.connect().token["refresh_token"]

    google.restrict_apps("contoso.test")

    seen = google.person().open(application.url(login_hint=PORTAL))
    answer = application.refresh(refresh_token)
    assert (seen.status, seen.sent_to) == (400, "")
    assert seen.text.endswith("Error 400: admin_policy_enforced")
    assert (answer.status_code, answer.json()["error"]) == (400, "admin_policy_enforced")
    google.restrict_apps("contoso.test", trusted=[CLIENT_ID])
    assert application.refresh(refresh_token).status_code == 200


def test_a_deleted_client_is_told_so_on_the_page_and_by_the_token_endpoint(
    google: GoogleServer, application: Application
) -> None:
    refresh_token = application.connect().token["refresh_token"]

    google.delete_client(CLIENT_ID)

    seen = google.person().open(application.url())
    answer = application.refresh(refresh_token)
    assert seen.text.endswith("Error 401: deleted_client")
    assert (answer.status_code, answer.json()["error"]) == (401, "deleted_client")


def test_a_browser_inside_an_app_is_refused(google: GoogleServer, application: Application) -> None:
    inside_an_app = google.person("Mozilla/5.0 (Linux; Android 14; wv) AppleWebKit/537.36")

    assert inside_an_app.open(application.url()).text.endswith("Error 403: disallowed_useragent")


def test_an_unverified_app_is_warned_of_before_consent(google: GoogleServer, application: Application) -> None:
    google.add_client(CLIENT_ID, CLIENT_SECRET, redirect_uris=[CALLBACK], is_verified=False)
    person = google.person()

    seen = person.open(application.url(login_hint=PORTAL))

    assert seen.heading == "Google hasn’t verified this app"
    assert person.press(seen, "Go to Mail Portal").heading == "Mail Portal wants access to your Google Account"
    assert parameters_of(person.press(seen, "Back to safety").sent_to)["error"] == "access_denied"


def test_only_who_signs_in_is_not_warned_of(google: GoogleServer, application: Application) -> None:
    google.add_client(CLIENT_ID, CLIENT_SECRET, redirect_uris=[CALLBACK], is_verified=False)

    seen = google.person().open(application.url(scopes=("openid", "email"), login_hint=PORTAL))

    assert seen.heading == "Mail Portal wants access to your Google Account"


def test_pages_cut_the_tie_to_the_window_that_opened_them(
    google: GoogleServer, application: Application, certificate: ServerCertificate, ca_file: Path
) -> None:
    cutting = google.person().open(application.url())
    with GoogleServer(certificate=certificate, cuts_opener=False) as other:
        keeping = other.person().open(other.endpoints["authorization_url"])

    assert cutting.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert keeping.headers["Cross-Origin-Opener-Policy"] is None


def test_the_last_script_that_fits_is_obeyed_as_often_as_it_says(
    google: GoogleServer, application: Application
) -> None:
    refresh_token = application.connect().token["refresh_token"]
    google.on("token", status=503, body="<h1>Service unavailable</h1>")
    google.on("token", about="authorization_code", status=400, body={"error": "invalid_grant"})
    google.on("token", times=1)

    answers = [application.refresh(refresh_token) for _ in range(2)]
    redeemed = application.token_request(grant_type="authorization_code")

    assert [answer.status_code for answer in answers] == [200, 503]
    assert answers[1].text == "<h1>Service unavailable</h1>"
    assert redeemed.json() == {"error": "invalid_grant"}
    google.forget_scripts()
    assert application.refresh(refresh_token).status_code == 200


def test_a_connection_can_be_dropped_before_or_after_the_deed(google: GoogleServer, application: Application) -> None:
    session = application.connect()
    url = google.endpoints["revocation_url"]
    google.on("revoke", drop="after")
    google.on("revoke", drop="before", times=1)

    with pytest.raises(requests.ConnectionError):
        application.plain().post(url, data={"token": session.token["access_token"]})
    before = session.get(google.endpoints["userinfo_url"])
    with pytest.raises(requests.ConnectionError):
        application.plain().post(url, data={"token": session.token["access_token"]})
    after = session.get(google.endpoints["userinfo_url"])

    assert (before.status_code, after.status_code) == (200, 401)


def test_an_answer_can_be_late_without_holding_up_others(google: GoogleServer, application: Application) -> None:
    session = application.connect()
    google.on("userinfo", delay=30)
    began = monotonic()

    with pytest.raises(requests.Timeout):
        session.get(google.endpoints["userinfo_url"], timeout=0.2)

    assert application.refresh(session.token["refresh_token"]).status_code == 200
    assert monotonic() - began < 5


def test_a_client_that_never_shakes_hands_holds_nobody_up(google: GoogleServer, application: Application) -> None:
    with socket.create_connection((google.host, google.port)):
        answer = application.plain().get(google.endpoints["keys_url"], timeout=5)

    assert answer.status_code == 200


def test_many_ask_at_once(google: GoogleServer, application: Application) -> None:
    refresh_token = application.connect().token["refresh_token"]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: application.refresh(refresh_token), range(40)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["access_token"] for answer in answers}) == 40
    assert google.token_requests == ["authorization_code"] + ["refresh_token"] * 40


def test_requests_are_kept_with_their_secrets(google: GoogleServer, application: Application) -> None:
    application.connect()

    asked = [one for one in google.requests if one.path == "/o/oauth2/v2/auth"]
    redeemed = google.requests[-1]
    assert asked[0].query["code_challenge_method"] == "S256"
    assert asked[0].query["scope"] == " ".join(ASKED)
    assert redeemed.method == "POST"
    assert redeemed.form["client_secret"] == CLIENT_SECRET
    assert len(redeemed.form["code_verifier"]) == 43


def test_a_certificate_that_is_not_trusted_is_no_mistake_of_the_server(google: GoogleServer) -> None:
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(google.endpoints["userinfo_url"], timeout=5)

    assert google.requests == []


def test_a_mistake_of_the_stand_in_fails_the_test(certificate: ServerCertificate, ca_file: Path) -> None:
    with pytest.raises(AssertionError, match="made a mistake"), GoogleServer(certificate=certificate) as google:
        google.on("authorize", changes={"there": "is no JSON in a page"})
        with pytest.raises(requests.ConnectionError):
            Application(google, ca_file).plain().get(google.endpoints["authorization_url"])


def test_what_it_does_not_know_is_not_found(google: GoogleServer, application: Application) -> None:
    answers = [application.plain().get(f"{google.url}/{path}") for path in ("", "token", "favicon.ico")]

    assert [answer.status_code for answer in answers] == [404, 404, 404]


def test_pages_are_read_in_their_order(google: GoogleServer, application: Application) -> None:
    person = google.person()
    seen = [person.open(application.url())]

    seen.append(person.press(seen[0], PORTAL))
    seen.append(person.press(seen[1], "Allow"))

    assert [one.status for one in seen] == [200, 200, 302]
    assert all(one.url != other.url for one, other in pairwise(seen))
