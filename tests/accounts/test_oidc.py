"""What the portal believes of a provider: its name, its keys, its ID tokens; and what it refuses."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from portal.accounts.oidc import Client, OpenID
from portal.accounts.provider_refusals import ProviderRefused
from portal.network.https import HTTPS, HTTPSSettings
from portal.network.policy import MailPolicy, parse_mail_allow, parse_mail_ports
from tests.outside.oidc_provider import ADA, CLIENT_ID, CLIENT_SECRET, OIDCProvider, signing_key
from tests.outside.stand_in_http import Answer, json_answer

CALLBACK = "http://localhost/sign-in/oidc/callback"
POLICY = MailPolicy(allow=parse_mail_allow("127.0.0.0/8,::1/128"), ports=parse_mail_ports("25"))
HOUR = timedelta(hours=1)
NOW = int(time.time())


@pytest.fixture
def https(ca_file: Path) -> Iterator[HTTPS]:
    with HTTPS(HTTPSSettings(ca_bundle=ca_file), policy=POLICY) as https:
        yield https


@pytest.fixture
def openid(https: HTTPS) -> OpenID:
    return OpenID(https)


def client_of(provider: OIDCProvider, **changes: Any) -> Client:
    return Client(**{"issuer": provider.issuer, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, **changes})


def come_back(
    openid: OpenID,
    provider: OIDCProvider,
    client: Client | None = None,
    *,
    now: datetime | None = None,
    nonce: str = "",
    verifier: str = "",
    wanted: tuple[str, ...] = (),
    **changed: str,
) -> Any:
    """Sign in and come back; the claims that were believed."""
    client, now = client or client_of(provider), now or datetime.now(UTC)
    begun = openid.start(client, redirect_uri=CALLBACK, now=now)
    answer = {name: one[0] for name, one in parse_qs(urlsplit(provider.sign_in(begun.url, **changed)).query).items()}
    return openid.redeem(
        client,
        answer,
        verifier=verifier or begun.verifier,
        nonce=nonce or begun.nonce,
        redirect_uri=CALLBACK,
        wanted=wanted,
        now=now,
    )


def refusal(openid: OpenID, provider: OIDCProvider, **options: Any) -> ProviderRefused:
    with pytest.raises(ProviderRefused) as refused:
        come_back(openid, provider, **options)
    return refused.value


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256"])
def test_a_token_of_the_providers_is_believed(openid: OpenID, provider: OIDCProvider, algorithm: str) -> None:
    provider.algorithm = algorithm

    claims = come_back(openid, provider)

    assert {name: claims[name] for name in ADA} == ADA


@pytest.mark.parametrize("methods", [None, ["client_secret_basic"], ["client_secret_post"]])
def test_the_secret_goes_the_way_that_the_provider_takes(
    openid: OpenID, provider: OIDCProvider, methods: list[str] | None
) -> None:
    provider.metadata = {"token_endpoint_auth_methods_supported": methods}

    come_back(openid, provider)

    asked = next(request for request in provider.requests if request.path == "/token")
    is_in_body = methods == ["client_secret_post"]
    assert ("client_secret" in asked.form, asked.headers["Authorization"] is None) == (is_in_body, is_in_body)


def test_a_provider_may_give_no_secret(openid: OpenID, provider: OIDCProvider) -> None:
    provider.client_secret = ""

    assert come_back(openid, provider, client_of(provider, client_secret=""))["sub"] == "1001"


WRONG_CLAIMS: dict[str, tuple[dict[str, Any], str]] = {
    "another issuer": ({"iss": "https://evil.test"}, "another issuer"),
    "the issuer with a slash": ({"iss": "https://localhost/"}, "another issuer"),
    "no issuer": ({"iss": None}, "another issuer"),
    "another audience": ({"aud": "another"}, "another application"),
    "no audience": ({"aud": None}, "another application"),
    "an audience that contains the name": ({"aud": f"{CLIENT_ID}-2"}, "another application"),
    "several audiences and no azp": ({"aud": [CLIENT_ID, "another"]}, "azp"),
    "several audiences and another azp": ({"aud": [CLIENT_ID, "another"], "azp": "another"}, "azp"),
    "another azp": ({"azp": "another"}, "azp"),
    "another nonce": ({"nonce": "another"}, "nonce"),
    "no nonce": ({"nonce": None}, "nonce"),
    "a nonce that is no text": ({"nonce": 7}, "nonce"),
    "expired": ({"exp": NOW - 120}, "expired"),
    "no end": ({"exp": None}, "no usable exp"),
    "an end that is no number": ({"exp": "never"}, "no usable exp"),
    "from the future": ({"iat": NOW + 86_400}, "in the future"),
    "no beginning": ({"iat": None}, "no usable iat"),
    "not yet": ({"nbf": NOW + 86_400}, "not count yet"),
    "nobody": ({"sub": ""}, "names nobody"),
    "no subject": ({"sub": None}, "names nobody"),
    "a subject that is no text": ({"sub": 1001}, "names nobody"),
    "a subject too long": ({"sub": "x" * 256}, "names nobody"),
}


@pytest.mark.parametrize("case", WRONG_CLAIMS)
def test_a_token_with_a_wrong_claim_is_refused(openid: OpenID, provider: OIDCProvider, case: str) -> None:
    provider.changes, why = WRONG_CLAIMS[case]

    refused = refusal(openid, provider)

    assert (refused.code, why in refused.seen) == ("bad_token", True), refused.seen
    assert "did not pass the checks" in str(refused.reason)


def test_several_audiences_are_taken_where_azp_names_the_portal(openid: OpenID, provider: OIDCProvider) -> None:
    provider.changes = {"aud": [CLIENT_ID, "another"], "azp": CLIENT_ID}

    assert come_back(openid, provider)["sub"] == "1001"


def test_clocks_may_differ_by_a_minute(openid: OpenID, provider: OIDCProvider) -> None:
    now = int(time.time())
    provider.changes = {"exp": now - 40, "iat": now + 40, "nbf": now + 40}

    assert come_back(openid, provider)["sub"] == "1001"


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_a_token_that_is_signed_by_nothing_or_by_the_public_key_is_refused(
    openid: OpenID, provider: OIDCProvider, algorithm: str
) -> None:
    provider.algorithm = algorithm

    assert "not signed in a way that counts" in refusal(openid, provider).seen


def test_a_key_that_the_provider_does_not_name_signs_nothing(openid: OpenID, provider: OIDCProvider) -> None:
    provider.key = signing_key(2)

    assert "signature" in refusal(openid, provider).seen


def test_a_short_key_signs_nothing(openid: OpenID, provider: OIDCProvider) -> None:
    provider.key = signing_key(3, 1024)
    provider.list_key()

    assert "too short" in refusal(openid, provider).seen


@pytest.mark.parametrize("change", [{"use": "enc"}, {"kty": "oct", "k": "c2VjcmV0"}, {"alg": "RS512"}, {"n": "!"}])
def test_a_key_for_something_else_checks_nothing(
    openid: OpenID, provider: OIDCProvider, change: dict[str, Any]
) -> None:
    provider.listed = [{**provider.listed[0], **change}]

    assert refusal(openid, provider).code == "bad_token"


def test_a_token_without_a_key_id_is_checked_by_the_only_key(openid: OpenID, provider: OIDCProvider) -> None:
    provider.key_id = None

    assert come_back(openid, provider)["sub"] == "1001"


def test_a_token_without_a_key_id_is_refused_where_several_keys_could_be_meant(
    openid: OpenID, provider: OIDCProvider
) -> None:
    provider.key_id = None
    provider.listed.append({**provider.listed[0], "kid": "another"})

    assert "no key" in refusal(openid, provider).seen


def test_keys_are_kept_and_asked_for_once_more_when_one_is_unknown(openid: OpenID, provider: OIDCProvider) -> None:
    now = datetime.now(UTC)
    provider.changes = {"exp": NOW + 7200}
    come_back(openid, provider, now=now)
    come_back(openid, provider, now=now + timedelta(minutes=2))
    assert provider.count("/jwks") == 1

    provider.rotate()
    come_back(openid, provider, now=now + timedelta(minutes=3))

    assert provider.count("/jwks") == 2


def test_unknown_keys_do_not_make_the_portal_ask_again_and_again(openid: OpenID, provider: OIDCProvider) -> None:
    now = datetime.now(UTC)
    provider.key_id = "unknown"

    for seconds in (0, 1, 30, 59):
        assert "no key" in refusal(openid, provider, now=now + timedelta(seconds=seconds)).seen

    assert provider.count("/jwks") == 1


def test_a_code_is_worth_nothing_without_its_verifier(openid: OpenID, provider: OIDCProvider) -> None:
    refused = refusal(openid, provider, verifier="v" * 64)

    assert refused.code == "token.invalid_grant"


def test_an_answer_in_the_name_of_another_provider_is_refused_before_its_code_is_redeemed(
    openid: OpenID, provider: OIDCProvider
) -> None:
    assert "another provider" in refusal(openid, provider, iss="https://evil.test").seen
    assert provider.count("/token") == 0


def test_a_provider_that_names_itself_in_answers_does_so_in_each(openid: OpenID, provider: OIDCProvider) -> None:
    provider.metadata, provider.names_itself = {"authorization_response_iss_parameter_supported": True}, False

    assert "another provider" in refusal(openid, provider).seen


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(status=503, content=b"{}"), "out_of_reach"),
        (Answer(content=b"<html>"), "out_of_reach"),
        (json_answer({"error": "invalid_client"}, status=401), "token.invalid_client"),
        (json_answer({"error": "<script>", "error_description": "x" * 9000}, status=400), "token.<script>"),
        (json_answer({"error": {"no": "text"}}, status=400), "token.{'no': 'text'}"),
        (json_answer({"access_token": "a"}), "bad_token"),
        (json_answer({"access_token": "a", "id_token": 7}), "bad_token"),
        (json_answer({"access_token": "a", "id_token": "a.b"}), "bad_token"),
        (json_answer({"access_token": "a", "id_token": "e30.e30.e30"}), "bad_token"),
        (json_answer({"access_token": "a", "id_token": "x" * 60_000}), "bad_token"),
        (Answer(status=302, headers={"Location": "https://evil.test/"}), "out_of_reach"),
    ],
)
def test_token_answers_that_hold_no_token_are_refused(
    openid: OpenID, provider: OIDCProvider, answer: Answer, code: str
) -> None:
    provider.token_answer = answer

    refused = refusal(openid, provider)

    assert refused.code == code
    assert len(str(refused.reason)) < 400


def test_what_the_id_token_lacks_is_asked_for_at_the_userinfo_endpoint(openid: OpenID, provider: OIDCProvider) -> None:
    provider.claims = {"sub": "1001"}
    provider.userinfo = {**ADA, "iss": "https://evil.test"}

    claims = come_back(openid, provider, wanted=("email",))

    assert (claims["email"], claims["email_verified"], claims["iss"]) == ("ada@contoso.test", True, provider.issuer)
    asked = next(request for request in provider.requests if request.path == "/userinfo")
    assert asked.bearer == "an-access-token"


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({"email": "ada@contoso.test"}, {"email": "mallory@evil.test", "email_verified": True, "hd": "contoso.test"}),
        ({"email_verified": True, "xms_edov": True, "hd": "contoso.test"}, {"email": "ada@contoso.test"}),
    ],
)
def test_an_address_is_proved_only_by_what_tells_it(
    openid: OpenID, provider: OIDCProvider, claims: dict[str, object], told: dict[str, object]
) -> None:
    provider.claims, provider.userinfo = {"sub": "1001", **claims}, {"sub": "1001", "groups": ["a"], **told}

    found = come_back(openid, provider, wanted=("email", "groups"))

    assert (found["email"], found["groups"]) == ("ada@contoso.test", ["a"])
    assert {"email_verified", "xms_edov", "hd"}.isdisjoint(found)


def test_a_userinfo_answer_about_somebody_else_is_refused(openid: OpenID, provider: OIDCProvider) -> None:
    provider.claims, provider.userinfo = {"sub": "1001"}, {**ADA, "sub": "2002"}

    assert "another person" in refusal(openid, provider, wanted=("email",)).seen


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"issuer": "https://evil.test"}, "calls itself https://evil.test"),
        ({"issuer": None}, "calls itself ?"),
        ({"token_endpoint": None}, "no usable token_endpoint"),
        ({"token_endpoint": "http://contoso.test/token"}, "no usable token_endpoint"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "no usable authorization_endpoint"),
        ({"jwks_uri": ["https://contoso.test/"]}, "no usable jwks_uri"),
    ],
)
def test_a_provider_must_be_what_it_is_called_and_name_its_endpoints(
    openid: OpenID, provider: OIDCProvider, metadata: dict[str, Any], words: str
) -> None:
    provider.metadata = metadata

    with pytest.raises(ProviderRefused) as refused:
        openid.discover(provider.issuer, now=datetime.now(UTC))

    assert words in str(refused.value.reason)


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "metadata.google.internal", "0.0.0.0"])
def test_addresses_that_nobody_may_reach_from_here_are_not_asked(openid: OpenID, host: str) -> None:
    with pytest.raises(ProviderRefused) as refused:
        openid.discover(f"https://{host}", now=datetime.now(UTC))

    assert refused.value.code == "out_of_reach"


def test_what_a_provider_says_of_itself_is_kept_for_ten_minutes(openid: OpenID, provider: OIDCProvider) -> None:
    now = datetime.now(UTC)

    for minutes in (0, 5, 9):
        openid.discover(provider.issuer, now=now + timedelta(minutes=minutes))
    openid.discover(provider.issuer, now=now + timedelta(minutes=11))
    openid.discover(provider.issuer, now=now + timedelta(minutes=12), anew=True)

    assert provider.count("/.well-known/openid-configuration") == 3
