"""The stand-in for Microsoft, asked by msal: sign-in, consent, codes and refresh tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import jwt
import msal  # type: ignore[import-untyped]
import pytest
import requests

from tests.outside.certificates import ServerCertificate
from tests.outside.microsoft import MISSING, MicrosoftServer
from tests.outside.microsoft_application import (
    ADMIN,
    CALLBACK,
    CLIENT_ID,
    MAIL_SEND,
    PORTAL,
    SMTP_SEND,
    TENANT,
    USER_READ,
    Application,
    at_contoso,
    parameters_of,
    registered,
)
from tests.outside.microsoft_person import Seen


@pytest.fixture
def microsoft(certificate: ServerCertificate) -> Iterator[MicrosoftServer]:
    with at_contoso(certificate) as microsoft:
        yield microsoft


@pytest.fixture
def application(microsoft: MicrosoftServer, ca_file: Path) -> Iterator[Application]:
    with closing(Application(microsoft, ca_file)) as application:
        yield application


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def test_consent_gives_tokens_of_the_person_who_consented(microsoft: MicrosoftServer, application: Application) -> None:
    tokens = application.connect(MAIL_SEND, USER_READ)

    identity, access = tokens["id_token_claims"], claims_of(tokens["access_token"])
    assert identity["preferred_username"] == PORTAL
    assert identity["tid"] == TENANT
    assert identity["oid"] == "44444444-4444-4444-8444-444444444444"
    assert identity["aud"] == CLIENT_ID
    assert tokens["scope"] == f"openid profile {MAIL_SEND} {USER_READ}"
    assert tokens["expires_in"] == 3599
    assert access["aud"] == "https://graph.microsoft.com"
    assert access["scp"] == "Mail.Send User.Read"
    assert "roles" not in access
    assert microsoft.token_requests == ["authorization_code"]


def test_the_account_in_msals_cache_is_the_person_in_the_tenant(application: Application) -> None:
    client = application.client(tenant="contoso.test")

    application.connect(client=client)

    [account] = client.get_accounts()
    assert account["home_account_id"] == f"44444444-4444-4444-8444-444444444444.{TENANT}"
    assert account["realm"] == TENANT
    assert account["username"] == PORTAL


def test_tokens_are_signed_by_a_published_key(microsoft: MicrosoftServer, application: Application) -> None:
    tokens = application.connect()
    document = application.get(f"{microsoft.login_url}/{TENANT}/v2.0/.well-known/openid-configuration").json()
    [key] = jwt.PyJWKSet.from_dict(application.get(document["jwks_uri"]).json()).keys

    claims = jwt.decode(tokens["id_token"], key, algorithms=["RS256"], audience=CLIENT_ID, issuer=document["issuer"])

    assert claims["preferred_username"] == PORTAL


def test_discovery_of_a_domain_names_its_tenant(microsoft: MicrosoftServer, application: Application) -> None:
    document = application.get(f"{microsoft.login_url}/contoso.test/v2.0/.well-known/openid-configuration").json()

    assert document["issuer"] == f"{microsoft.login_url}/{TENANT}/v2.0"
    assert document["token_endpoint"] == f"{microsoft.login_url}/{TENANT}/oauth2/v2.0/token"


@pytest.mark.parametrize(
    ("tenant", "number"), [("99999999-9999-4999-8999-999999999999", 90002), ("nowhere.test", 90002), ("word", 900023)]
)
def test_an_unknown_tenant_has_no_discovery(
    microsoft: MicrosoftServer, application: Application, tenant: str, number: int
) -> None:
    answer = application.get(f"{microsoft.login_url}/{tenant}/v2.0/.well-known/openid-configuration")

    assert answer.status_code == 400
    assert answer.json()["error_codes"] == [number]
    with pytest.raises(ValueError, match="Unable to get authority configuration"):
        application.client(tenant=tenant)


def test_the_way_to_a_code_is_chooser_consent_and_back(microsoft: MicrosoftServer, application: Application) -> None:
    person = microsoft.person()

    chooser = person.open(application.authorization_url(prompt="select_account", client_info="1"))
    consent = person.press(chooser, PORTAL)
    end = person.press(consent, "Accept")

    assert chooser.heading == "Pick an account"
    assert chooser.buttons == [f"Portal {PORTAL}", f"Admin {ADMIN}", "Bob bob@fabrikam.test"]
    assert chooser.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert consent.heading == "Permissions requested"
    assert "Send mail as you" in consent.text
    assert "Maintain access to data you have given it access to" in consent.text
    assert end.sent_to.startswith(f"{CALLBACK}?code=")
    assert sorted(parameters_of(end.sent_to)) == ["client_info", "code", "session_state", "state"]
    assert parameters_of(end.sent_to)["state"] == "state-1"


def test_the_issuer_is_sent_where_that_is_wanted(certificate: ServerCertificate, ca_file: Path) -> None:
    with (
        at_contoso(certificate, sends_issuer=True) as microsoft,
        closing(Application(microsoft, ca_file)) as application,
    ):
        callback = microsoft.person().accept(application.authorization_url(), account=PORTAL)

    assert parameters_of(callback)["iss"] == f"{microsoft.login_url}/{TENANT}/v2.0"


def test_a_hinted_account_is_not_asked_for_and_given_consent_is_not_asked_again(
    microsoft: MicrosoftServer, application: Application
) -> None:
    url = application.authorization_url(login_hint=PORTAL)
    microsoft.person().accept(url)

    again = microsoft.person().open(url)
    forced = microsoft.person().open(application.authorization_url(login_hint=PORTAL, prompt="consent"))

    assert again.sent_to.startswith(f"{CALLBACK}?code=")
    assert forced.heading == "Permissions requested"


def test_cancelling_comes_back_as_access_denied(microsoft: MicrosoftServer, application: Application) -> None:
    callback = microsoft.person().cancel(application.authorization_url(), account=PORTAL)

    answer = parameters_of(callback)
    assert answer["error"] == "access_denied"
    assert answer["error_subcode"] == "cancel"
    assert answer["error_description"].startswith(
        "AADSTS65004: User declined to consent to access the app.\r\nTrace ID:"
    )
    assert answer["state"] == "state-1"
    assert "code" not in answer


def test_a_wrong_redirect_address_ends_on_a_page(microsoft: MicrosoftServer, application: Application) -> None:
    seen = microsoft.person().open(application.authorization_url(redirect_uri=f"{CALLBACK}/"))

    assert seen.sent_to == ""
    assert seen.status == 400
    assert f"AADSTS50011: The redirect URI '{CALLBACK}/' specified in the request does not match" in seen.text
    assert seen.buttons == []


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"client_id": "unknown"}, "AADSTS700016"),
        ({"tenant": "nowhere.test"}, "AADSTS90002"),
        ({"tenant": "organizations"}, "AADSTS50194"),
    ],
)
def test_what_is_wrong_with_the_app_is_told_to_the_person_alone(
    microsoft: MicrosoftServer, application: Application, changes: dict[str, str], number: str
) -> None:
    seen = microsoft.person().open(application.authorization_url(**changes))

    assert seen.sent_to == ""
    assert number in seen.text


@pytest.mark.parametrize(
    ("changes", "error", "number"),
    [
        ({"scope": "https://graph.microsoft.com/Mail.Sned"}, "invalid_client", "AADSTS650053"),
        ({"scope": "https://graph.microsoft.us/Mail.Send"}, "invalid_resource", "AADSTS500011"),
        ({"prompt": "none"}, "login_required", "AADSTS50058"),
        ({"response_type": "token"}, "unsupported_response_type", "AADSTS70003"),
        ({"code_challenge": "x" * 43, "code_challenge_method": "plain"}, "invalid_request", "AADSTS9002313"),
    ],
)
def test_what_is_wrong_with_the_request_is_told_to_the_app(
    microsoft: MicrosoftServer, application: Application, changes: dict[str, str], error: str, number: str
) -> None:
    seen = microsoft.person().open(application.authorization_url(**changes))

    answer = parameters_of(seen.sent_to)
    assert answer["error"] == error
    assert answer["error_description"].startswith(f"{number}: ")
    assert answer["state"] == "state-1"


def test_an_account_of_another_tenant_cannot_sign_in(microsoft: MicrosoftServer, application: Application) -> None:
    person = microsoft.person()

    seen = person.press(person.open(application.authorization_url()), "bob@fabrikam.test")

    assert seen.sent_to == ""
    assert "AADSTS50020: User account 'bob@fabrikam.test'" in seen.text


def test_an_app_for_all_tenants_takes_the_tenant_of_the_account(
    microsoft: MicrosoftServer, application: Application
) -> None:
    registered(microsoft, is_multitenant=True)
    client = application.client(tenant="organizations")

    tokens = application.connect(client=client, account="bob@fabrikam.test")

    assert tokens["id_token_claims"]["tid"] == "22222222-2222-4222-8222-222222222222"


def test_a_permission_that_reads_mail_needs_an_administrator(
    microsoft: MicrosoftServer, application: Application
) -> None:
    url = application.authorization_url(scope="openid https://graph.microsoft.com/Mail.ReadWrite")
    person = microsoft.person()

    approval = person.press(person.open(url), PORTAL)
    back = person.press(approval, "Return to the application without granting consent")

    assert approval.heading == "Need admin approval"
    assert "AADSTS90094: Mail Portal needs permission to access resources in your organization" in approval.text
    assert parameters_of(back.sent_to)["error"] == "access_denied"
    assert parameters_of(back.sent_to)["error_description"].startswith("AADSTS90094: ")


def consented(application: Application, seen: Seen, **form: str) -> requests.Response:
    """The consent form of this page, sent with what a browser would not have offered."""
    [key] = [one.attributes["value"] for one in seen.page.all("input") if one.attributes["name"] == "ctx"]
    address = f"{application.microsoft.login_url}/{TENANT}/consent"
    return application.post(address, data={"ctx": key, "answer": "accept", **form}, allow_redirects=False)


def test_nobody_accepts_what_takes_an_administrator(microsoft: MicrosoftServer, application: Application) -> None:
    person = microsoft.person()
    url = application.authorization_url(scope="openid https://graph.microsoft.com/Mail.ReadWrite")
    approval = person.press(person.open(url), PORTAL)

    answer = consented(application, approval)

    assert "Location" not in answer.headers
    assert "AADSTS90094" in answer.text


def test_an_administrator_may_tick_a_box_for_everybody(microsoft: MicrosoftServer, application: Application) -> None:
    person = microsoft.person()
    by_a_person = person.open(application.authorization_url(login_hint=PORTAL))
    consented(application, person.open(application.authorization_url(login_hint=ADMIN)), everybody="1")

    seen = microsoft.person().open(application.authorization_url(login_hint=PORTAL))

    assert "on behalf of your organization" not in by_a_person.text
    assert seen.sent_to.startswith(f"{CALLBACK}?code=")


def test_what_an_administrator_consented_to_for_everybody_is_asked_of_nobody(
    microsoft: MicrosoftServer, application: Application
) -> None:
    url = application.authorization_url(scope="openid https://graph.microsoft.com/Mail.ReadWrite")
    microsoft.consent_for_everybody(CLIENT_ID, "Mail.ReadWrite")

    seen = microsoft.person().open(f"{url}&login_hint={PORTAL}")

    assert seen.sent_to.startswith(f"{CALLBACK}?code=")


def test_an_organisation_can_reserve_all_consent_for_its_administrators(
    microsoft: MicrosoftServer, application: Application
) -> None:
    registered(microsoft, needs_admin_consent=True)
    person = microsoft.person()

    for_a_person = person.press(person.open(application.authorization_url()), PORTAL)
    for_an_administrator = person.press(person.open(application.authorization_url()), ADMIN)

    assert for_a_person.heading == "Need admin approval"
    assert for_an_administrator.heading == "Permissions requested"
    assert "Consent on behalf of your organization" in for_an_administrator.text


def test_the_admin_consent_page_lets_the_app_act_as_itself(
    microsoft: MicrosoftServer, application: Application
) -> None:
    registered(microsoft, has_admin_consent=False)
    before = claims_of(microsoft.app_token(CLIENT_ID))
    address = f"{microsoft.login_url}/{TENANT}/v2.0/adminconsent?client_id={CLIENT_ID}&state=state-1"

    callback = microsoft.person().accept(
        f"{address}&redirect_uri={CALLBACK}&scope=https://graph.microsoft.com/.default"
    )

    assert "roles" not in before
    assert parameters_of(callback) == {
        "admin_consent": "True",
        "tenant": TENANT,
        "scope": "https://graph.microsoft.com/.default",
        "state": "state-1",
    }
    assert claims_of(microsoft.app_token(CLIENT_ID))["roles"] == ["Mail.Send"]


def test_admin_consent_can_be_refused(microsoft: MicrosoftServer) -> None:
    registered(microsoft, has_admin_consent=False)
    address = f"{microsoft.login_url}/contoso.test/adminconsent?client_id={CLIENT_ID}&state=state-1"

    callback = microsoft.person().cancel(f"{address}&redirect_uri={CALLBACK}")

    assert parameters_of(callback)["error"] == "access_denied"
    assert parameters_of(callback)["state"] == "state-1"
    assert "roles" not in claims_of(microsoft.app_token(CLIENT_ID))


def test_admin_consent_without_any_redirect_address_is_given_and_ends_on_a_page(microsoft: MicrosoftServer) -> None:
    registered(microsoft, has_admin_consent=False, redirect_uris=[])
    person = microsoft.person()

    asked = person.open(f"{microsoft.login_url}/{TENANT}/adminconsent?client_id={CLIENT_ID}")
    seen = person.press(asked, "Accept")

    assert "AADSTS500113" in seen.text
    assert claims_of(microsoft.app_token(CLIENT_ID))["roles"] == ["Mail.Send"]


def test_a_code_is_good_once(microsoft: MicrosoftServer, application: Application) -> None:
    callback = microsoft.person().accept(application.authorization_url(), account=PORTAL)
    first = application.redeem(callback)

    second = application.redeem(callback)

    assert first.status_code == 200
    assert second.status_code == 400
    assert second.json()["error"] == "invalid_grant"
    assert second.json()["error_codes"] == [54005]


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"code": "stolen"}, 9002313),
        ({"redirect_uri": "https://portal.contoso.test/elsewhere"}, 500112),
        ({"code_verifier": "another" * 8}, 501481),
        ({"code_verifier": ""}, 50147),
        ({"scope": f"{MAIL_SEND} {SMTP_SEND}"}, 700022),
        ({"scope": USER_READ}, 65001),
    ],
)
def test_a_code_is_redeemed_only_as_it_was_asked_for(
    microsoft: MicrosoftServer, application: Application, changes: dict[str, str], number: int
) -> None:
    flow = application.flow(MAIL_SEND, SMTP_SEND)
    callback = microsoft.person().accept(flow["auth_uri"], account=PORTAL)

    answer = application.redeem(callback, **({"code_verifier": flow["code_verifier"], "scope": MAIL_SEND} | changes))

    assert answer.status_code == 400
    assert answer.json()["error_codes"] == [number]


def test_a_code_is_redeemed_at_the_tenant_it_was_issued_for(
    microsoft: MicrosoftServer, application: Application
) -> None:
    registered(microsoft, is_multitenant=True)
    callback = microsoft.person().accept(application.authorization_url(tenant="organizations"), account=PORTAL)

    answer = application.redeem(callback, tenant="fabrikam.test")

    assert answer.json()["error_codes"] == [700005]


def test_a_code_ends_after_ten_minutes(microsoft: MicrosoftServer, application: Application) -> None:
    callback = microsoft.person().accept(application.authorization_url(), account=PORTAL)
    microsoft.pass_time(timedelta(minutes=10))

    answer = application.redeem(callback)

    assert answer.json()["error_codes"] == [70008]


def test_the_codes_of_a_single_page_app_are_not_for_servers(
    microsoft: MicrosoftServer, application: Application
) -> None:
    registered(microsoft, platform="spa")

    tokens = application.connect()

    assert tokens["error"] == "invalid_request"
    assert tokens["error_codes"] == [9002327]


def test_a_refresh_hands_out_a_new_token_and_leaves_the_old_one_good(application: Application) -> None:
    first = application.connect()["refresh_token"]

    second = application.refresh(first, scope=f"offline_access openid {MAIL_SEND}").json()["refresh_token"]

    assert second != first
    assert application.refresh(first).status_code == 200
    assert application.refresh(second).status_code == 200


def test_msal_refreshes_from_its_cache(microsoft: MicrosoftServer, application: Application) -> None:
    cache = msal.SerializableTokenCache()
    application.connect(client=application.client(token_cache=cache))
    stored = msal.SerializableTokenCache()
    stored.deserialize(cache.serialize())
    client = application.client(token_cache=stored)

    tokens = client.acquire_token_silent_with_error([MAIL_SEND], account=client.get_accounts()[0], force_refresh=True)

    assert tokens["token_source"] == "identity_provider"
    assert claims_of(tokens["access_token"])["scp"] == "Mail.Send"
    assert microsoft.token_requests == ["authorization_code", "refresh_token"]
    assert stored.has_state_changed


def test_a_refresh_token_is_for_every_resource_that_was_consented_to(application: Application) -> None:
    refresh_token = application.connect(MAIL_SEND)["refresh_token"]
    before = application.refresh(refresh_token, scope=SMTP_SEND)
    application.connect(SMTP_SEND)

    after = application.refresh(refresh_token, scope=SMTP_SEND)

    assert before.json()["error"] == "invalid_grant"
    assert before.json()["error_codes"] == [65001]
    assert before.json()["suberror"] == "consent_required"
    assert claims_of(after.json()["access_token"])["aud"] == "https://outlook.office.com"


def test_with_strict_rotation_a_replaced_token_kills_its_family(certificate: ServerCertificate, ca_file: Path) -> None:
    with (
        at_contoso(certificate, strict_rotation=True) as microsoft,
        closing(Application(microsoft, ca_file)) as application,
    ):
        first = application.connect()["refresh_token"]
        second = application.refresh(first).json()["refresh_token"]

        reused, heir = application.refresh(first), application.refresh(second)

    assert reused.json()["error_codes"] == [70000]
    assert heir.json()["error_codes"] == [70000]


@pytest.mark.parametrize(
    ("number", "suberror", "words"),
    [
        (50173, "bad_token", "The provided grant has expired due to it being revoked, a fresh auth token is needed."),
        (700082, "", "The refresh token has expired due to inactivity."),
        (65001, "consent_required", "The user or administrator has not consented to use the application with ID"),
        (50076, "basic_action", "Due to a configuration change made by your administrator"),
    ],
)  # fmt: skip
def test_a_revoked_grant_says_why_at_the_next_refresh(
    microsoft: MicrosoftServer, application: Application, number: int, suberror: str, words: str
) -> None:
    client = application.client()
    application.connect(client=client)
    microsoft.revoke_grants(PORTAL, aadsts=number)

    answer = client.acquire_token_silent_with_error([MAIL_SEND], account=client.get_accounts()[0], force_refresh=True)

    assert answer["error"] == "invalid_grant"
    assert answer["error_codes"] == [number]
    assert answer.get("suberror", "") == suberror
    assert answer["error_description"].startswith(f"AADSTS{number}: {words}")
    assert application.connect()["token_type"] == "Bearer"


@pytest.mark.parametrize(("number", "is_asked_again"), [(50173, False), (65001, True)])
def test_only_consent_that_was_withdrawn_is_asked_for_again(
    microsoft: MicrosoftServer, application: Application, number: int, *, is_asked_again: bool
) -> None:
    microsoft.grant(CLIENT_ID, PORTAL, MAIL_SEND)
    microsoft.revoke_grants(PORTAL, aadsts=number)

    seen = microsoft.person().open(application.authorization_url(login_hint=PORTAL))

    assert (seen.heading == "Permissions requested") is is_asked_again


def test_a_refusal_has_the_shape_of_microsofts(application: Application, microsoft: MicrosoftServer) -> None:
    answer = application.token_request(grant_type="client_credentials", client_secret="wrong", scope="x")

    body = answer.json()
    assert answer.status_code == 401
    assert sorted(body) == [
        "correlation_id", "error", "error_codes", "error_description", "error_uri", "timestamp", "trace_id",
    ]  # fmt: skip
    assert re.fullmatch(
        r"AADSTS7000215: Invalid client secret provided\. .* for a secret added to app '[-0-9a-f]{36}'\.\r\n"
        r"Trace ID: [-0-9a-f]{36}\r\nCorrelation ID: [-0-9a-f]{36}\r\nTimestamp: \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ",
        body["error_description"],
    )
    assert body["error_uri"] == f"{microsoft.login_url}/error?code=7000215"
    assert body["trace_id"] in body["error_description"]


def test_refresh_tokens_end_unused_after_ninety_days(microsoft: MicrosoftServer, application: Application) -> None:
    refresh_token = application.connect()["refresh_token"]
    microsoft.pass_time(timedelta(days=90))

    answer = application.refresh(refresh_token)

    assert answer.json()["error_codes"] == [700082]


def test_a_disabled_account_neither_signs_in_nor_refreshes(
    microsoft: MicrosoftServer, application: Application
) -> None:
    mailbox = microsoft.add_mailbox(TENANT, "leaver@contoso.test")
    refresh_token = application.connect(account="leaver@contoso.test")["refresh_token"]
    mailbox.is_disabled = True

    seen = microsoft.person().open(application.authorization_url(login_hint="leaver@contoso.test"))

    assert "AADSTS50057: The user account is disabled." in seen.text
    assert application.refresh(refresh_token).json()["error_codes"] == [50057]


def test_a_grant_can_be_there_without_a_browser(microsoft: MicrosoftServer, application: Application) -> None:
    granted = microsoft.grant(CLIENT_ID, PORTAL, MAIL_SEND)

    answer = application.refresh(granted.refresh_token, scope=MAIL_SEND)

    assert claims_of(granted.access_token)["scp"] == "Mail.Send"
    assert answer.status_code == 200


def test_msal_refuses_an_id_token_with_another_nonce(microsoft: MicrosoftServer, application: Application) -> None:
    microsoft.on("token", id_token={"nonce": "stolen"})

    with pytest.raises(RuntimeError, match="nonce"):
        application.connect()


def test_an_id_token_can_lie_and_members_can_be_missing(microsoft: MicrosoftServer, application: Application) -> None:
    microsoft.on("token", id_token={"tid": "elsewhere"}, changes={"refresh_token": MISSING, "expires_in": "3600"})

    tokens = application.connect()

    assert tokens["id_token_claims"]["tid"] == "elsewhere"
    assert "refresh_token" not in tokens
    assert tokens["expires_in"] == "3600"


def test_a_scripted_refusal_goes_by_its_number(microsoft: MicrosoftServer, application: Application) -> None:
    microsoft.on("token", aadsts=53003, times=1)

    refused = application.client().acquire_token_for_client(["https://graph.microsoft.com/.default"])
    later = application.client().acquire_token_for_client(["https://graph.microsoft.com/.default"])

    assert refused["error"] == "invalid_grant"
    assert refused["error_codes"] == [53003]
    assert refused["suberror"] == "message_only"
    assert "access_token" in later


def test_a_scripted_outage_reaches_msal_as_one(microsoft: MicrosoftServer, application: Application) -> None:
    client = application.client()
    microsoft.on("token", status=503, headers={"Retry-After": "7"})

    with pytest.raises(msal.exceptions.MsalServiceError, match="503"):
        client.acquire_token_for_client(["https://graph.microsoft.com/.default"])


def test_scripts_refuse_pages_delay_and_drop(microsoft: MicrosoftServer, application: Application) -> None:
    url = f"{microsoft.login_url}/{TENANT}/v2.0/.well-known/openid-configuration"
    microsoft.on("authorize", aadsts=50105)
    microsoft.on("discovery", drop="before", times=1)
    microsoft.on("discovery", delay=0.2, times=1)

    begun = monotonic()
    slow = application.get(url)
    took = monotonic() - begun

    assert slow.status_code == 200
    assert took >= 0.2
    with pytest.raises(requests.ConnectionError):
        application.get(url)
    assert application.get(url).status_code == 200
    assert "AADSTS50105" in microsoft.person().open(application.authorization_url()).text


def test_a_dropped_answer_leaves_what_was_done(microsoft: MicrosoftServer, application: Application) -> None:
    callback = microsoft.person().accept(application.authorization_url(), account=PORTAL)
    microsoft.on("token", drop="after", times=1)

    with pytest.raises(requests.ConnectionError):
        application.redeem(callback)

    assert application.redeem(callback).json()["error_codes"] == [54005]


def test_a_word_that_is_no_step_is_refused(microsoft: MicrosoftServer) -> None:
    with pytest.raises(ValueError, match="is none of"):
        microsoft.on("tokens", status=500)


def test_a_mistake_of_the_stand_in_fails_the_test(certificate: ServerCertificate, ca_file: Path) -> None:
    with (
        pytest.raises(AssertionError, match="the stand-in for Microsoft made a mistake"),
        at_contoso(certificate) as microsoft,
        closing(Application(microsoft, ca_file)) as application,
    ):
        microsoft.on("sendMail", changes={"not": "JSON"})
        with pytest.raises(requests.ConnectionError):
            application.graph(
                "POST",
                "/v1.0/me/sendMail",
                microsoft.grant(CLIENT_ID, PORTAL, MAIL_SEND).access_token,
                data="VG86IGFkYUBjb250b3NvLnRlc3QNCg0KSGk=",
                headers={"Content-Type": "text/plain"},
            )
