"""Whatever Google or Microsoft answer: a grant that can be kept, or a fault of the step TOKEN without any secret."""

from __future__ import annotations

import json
import math
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.connections.oauth import google, microsoft
from portal.connections.oauth.google_answers import token_in
from portal.connections.oauth.google_service_account import UnusableKey, read_service_account_key
from portal.connections.oauth.id_tokens import NotOurs, claims_of, text_of
from portal.connections.oauth.microsoft_answers import JudgedClient
from portal.connections.oauth.microsoft_certificates import KeyPair, facts_of, make_key_pair, pair_problem
from portal.connections.oauth.provider import Cloud, Grant, Registration
from portal.connections.oauth.token_answers import LONGEST_LIFE, SHORTEST_LIFE, lifetime, plain_words
from portal.network.https import HTTPS, HTTPSSettings
from portal.transports import Step, TransportError
from portal.transports.diagnosis import all_codes
from tests.outside.https_server import HTTPSServer, Reply
from tests.strangers import ANY_TEXT, json_objects, json_texts, json_values, texts_with

CODES = {code for code, _ in all_codes()}
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
CLIENT_ID, SECRET, CODE = "33333333-3333-4333-8333-333333333333", "abc8Q~geheim und-lang", "0.AXoA-code-of-this-flow"
SECRET_IN_BASE64 = b64encode(SECRET.encode()).decode()
TENANT = "11111111-1111-4111-8111-111111111111"
SCOPES = ("openid", "email")
APP = Registration(client_id=CLIENT_ID, client_secret=SECRET, tenant_id=TENANT)
REFRESH = "1//refresh-token"
WORDS = (
    *(
        CLIENT_ID,
        SECRET,
        CODE,
        REFRESH,
        quote_plus(SECRET),
        "RS256",
        "none",
        "https://accounts.google.com",
        "ada@contoso.test",
    ),
    *("invalid_grant", "invalid_client", "AADSTS700082: expired", "authorization_pending", "openid email", "Bearer"),
    *("ya29.token", "a\nb", "\0", "\ud800", "3600", "1e400", "-1", TENANT),
)
CLAIMS = json_objects("aud", "iss", "email", "hd", "tid", "preferred_username", "nonce", "exp", "sub", words=WORDS)
HEADERS = json_objects("alg", "typ", words=WORDS) | st.builds(lambda value: {"alg": value}, json_values("RS256"))
ANSWERS = json_objects(
    *("error", "error_description", "error_subtype", "error_codes", "suberror", "access_token", "refresh_token"),
    *("expires_in", "scope", "token_type", "id_token", "client_info", "device_code", "user_code", "interval"),
    *("verification_uri", "ext_expires_in", "refresh_in", "expires_at"),
    words=WORDS,
)
CONTENTS = json_texts(ANSWERS | json_values(*WORDS))
STATUSES = st.sampled_from([200, 400, 401, 403, 429, 500, 503]) | st.integers(200, 299) | st.integers(400, 599)


def in_base64(text: str) -> str:
    return urlsafe_b64encode(text.encode("utf-8", "replace")).decode().rstrip("=")


ID_TOKENS = st.one_of(
    st.builds(
        lambda header, claims: f"{in_base64(header)}.{in_base64(claims)}.sig", json_texts(HEADERS), json_texts(CLAIMS)
    ),
    texts_with(".", "e30", "=", "W10"),
)


@given(ID_TOKENS)
def test_any_id_token_is_ours_or_not(id_token: str) -> None:
    try:
        claims = claims_of(id_token, client_id=CLIENT_ID, is_issuer=lambda issuer: issuer.startswith("https://"))
    except NotOurs:
        return

    assert CLIENT_ID in claims["aud"]
    assert claims["iss"].startswith("https://")


@pytest.mark.parametrize("header", ['{"alg": []}', '{"alg": {}}', "[" * 100_000])
@pytest.mark.parametrize("payload", ['{"aud": "x"}', "[" * 100_000])
def test_an_id_token_of_odd_parts_is_not_ours(header: str, payload: str) -> None:
    with pytest.raises(NotOurs):
        claims_of(f"{in_base64(header)}.{in_base64(payload)}.sig", client_id="x", is_issuer=bool)


@given(ANSWERS)
def test_what_is_read_of_an_answer_can_be_kept(answer: dict[str, Any]) -> None:
    for name in answer:
        text = text_of(answer, name)

        assert "\0" not in text
        assert text.encode().decode() == text


def test_what_no_database_keeps_is_a_space_in_a_text() -> None:
    answer = {"email": "a\0b\ud800@contoso.test", "error": "", "error_description": "no\0w"}

    assert text_of(answer, "email") == "a b @contoso.test"
    assert text_of(answer, "error", "error_description") == "no w"


@given(json_values(*WORDS) | st.floats() | ANY_TEXT)
def test_any_lifetime_is_between_a_minute_and_a_day(expires_in: Any) -> None:
    assert SHORTEST_LIFE <= lifetime(expires_in) <= LONGEST_LIFE
    assert lifetime(expires_in).microseconds == 0


@given(json_values(*WORDS) | texts_with(*WORDS[:4], SECRET_IN_BASE64, "Trace ID: x", ". ", "\u202e", "\r\n", " "))
def test_any_words_are_one_short_line_without_the_secret(text: Any) -> None:
    words = plain_words(text, without=(SECRET, CODE))

    assert len(words) <= 300
    assert words.isprintable()
    assert not any(secret in words for secret in (SECRET, CODE, quote_plus(SECRET), SECRET_IN_BASE64))


@given(STATUSES, CONTENTS)
def test_any_answer_of_google_holds_a_token_or_is_a_fault(status: int, text: str) -> None:
    try:
        answer = token_in(status, text, sent=(SECRET, CODE), headers={})
    except TransportError as error:
        assert_fault(error)
        return

    assert answer["access_token"].isascii()
    assert answer["access_token"].isprintable()


@dataclass(frozen=True)
class Said:
    """An HTTP client whose server always answers the same."""

    status_code: int
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def get(self, url: str, **_: Any) -> Said:
        return self

    def post(self, url: str, **_: Any) -> Said:
        return self

    def close(self) -> None: ...


@given(STATUSES, CONTENTS, st.sampled_from([{"code": CODE}, {"grant_type": "authorization_code", "code": CODE}]))
def test_any_answer_of_microsoft_is_good_or_a_fault(status: int, text: str, form: dict[str, str]) -> None:
    client = JudgedClient(Said(status, text))

    try:
        answer = client.post("https://login.contoso.test/token", data=form | {"client_secret": SECRET})
    except TransportError as error:
        assert_fault(error)
        return

    said = json.loads(answer.text)
    assert isinstance(said, dict)
    if "access_token" in said:
        assert timedelta(seconds=said["expires_in"]) == lifetime(said["expires_in"])
        assert "grant_type" not in form or said["access_token"].isprintable()


@pytest.mark.parametrize("error", [[], {}, ["authorization_pending"], 5, None])
def test_an_error_of_an_odd_kind_is_a_refusal(error: object) -> None:
    with pytest.raises(TransportError) as caught:
        JudgedClient(Said(200, json.dumps({"error": error}))).get("https://login.contoso.test/")

    assert caught.value.code == "provider.refused"


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX-Header: b", "\ud800", "ü", "\0", 7, None])
def test_a_token_that_no_header_can_hold_is_none(token: object) -> None:
    text = json.dumps({"access_token": token, "token_type": "Bearer"})

    for ask in (
        lambda: token_in(200, text, sent=(), headers={}),
        lambda: JudgedClient(Said(200, text)).post("https://login.contoso.test/", data={"grant_type": "x"}),
    ):
        with pytest.raises(TransportError, match="the answer holds no access token") as caught:
            ask()
        assert caught.value.code == "http.unexpected_answer"


def assert_fault(error: TransportError, *, sent: tuple[str, ...] = (SECRET, CODE)) -> None:
    """`sent` are the secrets of the request: those that the answer could repeat."""
    assert error.step is Step.TOKEN
    assert error.code in CODES
    assert error.seen.isprintable()
    assert not any(secret in f"{error} {error.seen}" for secret in sent)


# The whole way, by the libraries that ask


@pytest.fixture(scope="module")
def server() -> Iterator[HTTPSServer]:
    with HTTPSServer() as server:
        yield server


@pytest.fixture(scope="module")
def plain() -> Iterator[HTTPS]:
    with HTTPS(HTTPSSettings()) as https:
        yield https


OF_ADA = "the ID token of Ada"
GRANT = {
    "access_token": "ya29.token",
    "refresh_token": REFRESH,
    "id_token": OF_ADA,
    "scope": "openid email",
    "token_type": "Bearer",
}
SPOILT = st.builds(
    lambda without, odd, id_token: {name: said for name, said in (GRANT | id_token | odd).items() if name != without},
    st.sampled_from(["", *GRANT]),
    st.just({}) | ANSWERS,
    st.just({}) | ID_TOKENS.map(lambda id_token: {"id_token": id_token}),
)
SAID = st.tuples(st.just(200), SPOILT) | st.tuples(STATUSES, CONTENTS)


def reply_of(said: tuple[int, dict[str, Any] | str], *, issuer: str, nonce: str = "") -> Reply:
    status, answer = said
    if isinstance(answer, str):
        return Reply(status, answer.encode("utf-8", "replace"))
    if answer.get("id_token") == OF_ADA:
        claims = {"aud": CLIENT_ID, "iss": issuer, "sub": "1", "email": "ada@contoso.test", "exp": 2_000_000_000}
        claims |= {"nonce": sha256(nonce.encode()).hexdigest(), "tid": TENANT}
        answer = answer | {"id_token": f"{in_base64(json.dumps({'alg': 'RS256'}))}.{in_base64(json.dumps(claims))}.sig"}
    return Reply.of_json(answer, status=status)


def assert_grants_or_fails(ask: Callable[[], Grant], *, sent: tuple[str, ...] = (SECRET, CODE)) -> None:
    try:
        grant = ask()
    except TransportError as error:
        assert_fault(error, sent=sent)
        return
    assert grant.access_token.isascii()
    assert grant.access_token.isprintable()
    assert NOW + SHORTEST_LIFE <= grant.expires_at <= NOW + LONGEST_LIFE
    for text in (grant.stored, grant.account, grant.tenant, *grant.scopes):
        assert "\0" not in text
        assert text.encode().decode() == text


@given(SAID)
def test_whatever_google_answers_a_consent_and_its_renewal_end_with_a_grant_or_a_fault(
    server: HTTPSServer, plain: HTTPS, said: tuple[int, dict[str, Any] | str]
) -> None:
    server.on("/token", answer=lambda _: reply_of(said, issuer="https://accounts.google.com", nonce="n"))
    consented = google.Google(
        plain, google.Endpoints.of(dict.fromkeys(("token_url", "revocation_url"), server.url("/token")))
    )
    secrets = json.dumps({"verifier": "v" * 64, "nonce": sha256(b"n").hexdigest(), "scopes": SCOPES})
    stored = held(renewal=REFRESH)

    assert_grants_or_fails(
        lambda: consented.redeem(APP, secrets, {"code": CODE}, redirect_uri="https://portal.test/x", now=NOW)
    )
    assert_grants_or_fails(lambda: consented.renew(APP, stored, scopes=SCOPES, now=NOW), sent=(SECRET, REFRESH))
    assert consented.revoke(APP, stored) in {True, False}


def held(*, renewal: str) -> str:
    ended = (NOW - timedelta(days=1)).isoformat()
    stored = {
        "renewal": renewal,
        "access_token": "",
        "expires_at": ended,
        "scopes": SCOPES,
        "account": "",
        "tenant": "",
    }
    return json.dumps(stored)


DISCOVERY = f"/{TENANT}/v2.0/.well-known/openid-configuration"


def discovery(server: HTTPSServer, **changes: Any) -> Mapping[str, Any]:
    paths = {
        "authorization_endpoint": "authorize",
        "token_endpoint": "token",
        "device_authorization_endpoint": "device",
    }
    return {name: server.url(f"/{path}") for name, path in paths.items()} | {"issuer": server.url("/")} | changes


@given(SAID)
def test_whatever_microsoft_answers_a_consent_and_tokens_of_its_own_end_with_a_grant_or_a_fault(
    server: HTTPSServer, plain: HTTPS, said: tuple[int, dict[str, Any] | str]
) -> None:
    server.on(DISCOVERY, json=discovery(server))
    overrides = {"login_url": server.url("")}
    endpoints = microsoft.Endpoints.of(Cloud.GLOBAL, overrides)
    consented = microsoft.Microsoft(plain, overrides)
    uri = "https://portal.test/x"
    begun = consented.authorization_request(APP, redirect_uri=uri, state="state", scopes=SCOPES[1:], login_hint="")
    nonce = json.loads(begun.secrets)["flow"]["nonce"]
    for path in ("/token", "/device"):
        server.on(path, answer=lambda _: reply_of(said, issuer=server.url(""), nonce=nonce))

    assert_grants_or_fails(lambda: consented.redeem(APP, begun.secrets, {"code": CODE}, redirect_uri=uri, now=NOW))
    assert_grants_or_fails(
        lambda: microsoft.app_token(APP, scope="https://x/.default", https=plain, endpoints=endpoints, now=NOW),
        sent=(SECRET,),
    )
    try:
        shown = microsoft.device_code(APP, scopes=SCOPES[1:], https=plain, endpoints=endpoints, now=NOW)
    except TransportError as error:
        assert_fault(error, sent=())
    else:
        assert shown.verification_url.startswith("https://")


@pytest.mark.parametrize("field", ["expires_in", "interval"])
@pytest.mark.parametrize("seconds", [-86_399_999_913_601, -63_930_859_201, 10**30, math.inf, math.nan, "soon", None])
def test_a_time_out_of_all_bounds_in_place_of_a_code_is_an_odd_answer(
    server: HTTPSServer, plain: HTTPS, field: str, seconds: object
) -> None:
    server.on(DISCOVERY, json=discovery(server))
    server.on("/device", json={field: seconds})
    endpoints = microsoft.Endpoints.of(Cloud.GLOBAL, {"login_url": server.url("")})

    with pytest.raises(TransportError) as caught:
        microsoft.device_code(APP, scopes=SCOPES[1:], https=plain, endpoints=endpoints, now=NOW)

    assert caught.value.code == "http.unexpected_answer"


def test_an_id_token_nested_without_end_is_an_odd_answer_and_no_other_flows(server: HTTPSServer, plain: HTTPS) -> None:
    server.on(DISCOVERY, json=discovery(server))
    server.on("/token", json=GRANT | {"id_token": f"{in_base64('{}')}.{in_base64('[' * 100_000)}.sig"})
    consented, uri = microsoft.Microsoft(plain, {"login_url": server.url("")}), "https://portal.test/x"
    begun = consented.authorization_request(APP, redirect_uri=uri, state="state", scopes=SCOPES[1:], login_hint="")

    with pytest.raises(TransportError) as caught:
        consented.redeem(APP, begun.secrets, {"code": CODE}, redirect_uri=uri, now=NOW)

    assert caught.value.code == "http.unexpected_answer"


@given(st.sampled_from(["authorization_endpoint", "token_endpoint", "issuer", ""]), json_values(*WORDS), CONTENTS)
def test_whatever_microsoft_says_of_a_tenant_a_consent_begins_or_ends_with_a_fault(
    server: HTTPSServer, plain: HTTPS, name: str, value: Any, text: str
) -> None:
    if name:
        server.on(DISCOVERY, json=discovery(server, **{name: value}))
    else:
        server.on(DISCOVERY, content=text.encode("utf-8", "replace"))
    consented = microsoft.Microsoft(plain, {"login_url": server.url("")})

    try:
        begun = consented.authorization_request(
            APP, redirect_uri="https://portal.test/x", state="state", scopes=SCOPES[1:], login_hint=""
        )
    except TransportError as error:
        assert_fault(error, sent=())
        return

    assert begun.url.startswith(f"{server.url('')}/")


# What people paste


@pytest.fixture(scope="module")
def pair() -> KeyPair:
    return make_key_pair("portal.contoso.test", now=NOW)


PEMS = texts_with(
    *("-----BEGIN PRIVATE KEY-----\n", "-----END PRIVATE KEY-----\n", "-----BEGIN CERTIFICATE-----\n", "AAAA\n", "="),
    *("-----END CERTIFICATE-----\n", "-----BEGIN EC PRIVATE KEY-----\n", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"),
)


@settings(max_examples=20)  # each reading of a key proves its primes
@given(data=st.data())
def test_any_text_is_a_key_pair_or_there_is_a_reason(pair: KeyPair, data: Any) -> None:
    key = data.draw(st.just(pair.private_key) | PEMS | ANY_TEXT | _altered(pair.private_key))
    certificate = data.draw(PEMS | ANY_TEXT | _altered(pair.public_certificate))

    problem = pair_problem(key, certificate)

    assert problem is None or str(problem)
    try:
        facts = facts_of(certificate)
    except ValueError:
        return
    assert len(facts.thumbprint) == 40


RSA_KEY, MD2_WITH_RSA = bytes.fromhex("06092a864886f70d010101"), bytes.fromhex("06092a864886f70d010102")


def test_keys_for_an_unknown_algorithm_cannot_be_read(pair: KeyPair) -> None:
    key, certificate = (_of_another_kind(pem) for pem in (pair.private_key, pair.public_certificate))

    assert str(pair_problem(key, pair.public_certificate)).startswith("The private key cannot be read.")
    assert str(pair_problem(pair.private_key, certificate)).startswith("The certificate cannot be read.")
    with pytest.raises(UnusableKey, match="The private key in the file cannot be read"):
        read_service_account_key(_key_file(key))


def _of_another_kind(pem: str) -> str:
    first, *lines, last = pem.splitlines()
    changed = b64encode(b64decode("".join(lines)).replace(RSA_KEY, MD2_WITH_RSA)).decode()
    return "\n".join([first, *(changed[start : start + 64] for start in range(0, len(changed), 64)), last, ""])


def _key_file(private_key: str) -> str:
    named = dict.fromkeys(("client_email", "client_id", "private_key_id"), "x")
    return json.dumps({"type": "service_account", **named, "private_key": private_key})


def _altered(pem: str) -> st.SearchStrategy[str]:
    places, characters = st.integers(0, len(pem) - 1), st.sampled_from("ABCxyz019+/=\n-")
    return st.builds(lambda place, character: pem[:place] + character + pem[place + 1 :], places, characters)


KEY_FILES = json_texts(
    json_objects(*("type", "client_email", "client_id", "private_key_id", "private_key"), words=("service_account",))
)


@given(KEY_FILES, PEMS)
def test_any_text_is_a_service_accounts_key_or_there_is_a_reason(text: str, pem: str) -> None:
    for given_text in (text, _key_file(pem)):
        with pytest.raises(UnusableKey) as caught:
            read_service_account_key(given_text)
        assert str(caught.value.reason)
