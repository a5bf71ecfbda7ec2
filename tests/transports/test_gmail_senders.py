"""The addresses that Gmail lists for an account, against the stand-in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from portal.network.https import HTTPS, HTTPSSettings
from portal.transports import TransportError
from portal.transports.gmail_senders import ListedSender, may_read_senders, read_senders
from tests.outside.certificates import Authority, ServerCertificate
from tests.outside.google import EMAIL, FULL_MAIL, SEND, GoogleServer, refused
from tests.transports.api_connections import NOW, Tokens

CLIENT = "861228239640-portal.apps.googleusercontent.com"
PORTAL = "portal@contoso.test"
GMAIL = "https://www.googleapis.com/auth/gmail."


@pytest.fixture(scope="module")
def https(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HTTPS]:
    bundle = tmp_path_factory.mktemp("authority") / "ca.pem"
    bundle.write_text(authority.pem)
    with HTTPS(HTTPSSettings(ca_bundle=bundle)) as https:
        yield https


@pytest.fixture
def google(certificate: ServerCertificate) -> Iterator[GoogleServer]:
    """An account with two more addresses, one of them not confirmed."""
    with GoogleServer(certificate=certificate, clock=lambda: NOW) as google:
        google.add_client(CLIENT, "secret", redirect_uris=["https://portal.contoso.test/callback"])
        google.add_account(PORTAL, aliases=["news@contoso.test"], unconfirmed_aliases=["shop@contoso.test"])
        yield google


def read(google: GoogleServer, https: HTTPS, *scopes: str) -> tuple[ListedSender, ...]:
    token = Tokens(google.grant(CLIENT, PORTAL, *scopes).access_token)
    return read_senders(https, api_url=google.url, access_token=token)


@pytest.mark.parametrize("scope", [FULL_MAIL, f"{GMAIL}settings.basic", f"{GMAIL}modify", f"{GMAIL}readonly"])
def test_the_accounts_own_and_its_confirmed_addresses_are_allowed(
    google: GoogleServer, https: HTTPS, scope: str
) -> None:
    assert may_read_senders(frozenset({EMAIL, scope}))
    assert read(google, https, scope) == (
        ListedSender(PORTAL, True),
        ListedSender("news@contoso.test", True),
        ListedSender("shop@contoso.test", False),
    )


def test_the_permission_to_send_alone_does_not_open_the_list(google: GoogleServer, https: HTTPS) -> None:
    assert not may_read_senders(frozenset({EMAIL, SEND, f"{GMAIL}compose"}))
    with pytest.raises(TransportError) as caught:
        read(google, https, SEND)
    assert caught.value.code == "google.scope_missing"


@pytest.mark.parametrize(
    "body",
    [
        b"<h1>Sign in</h1>",
        b"\x00",
        b"[" * 100_000,
        [],
        "sendAs",
        {"sendAs": None},
        {},
        {"error": {"message": "Backend Error"}},
        {"sendAs": []},
        {"sendAs": [7, {}, {"sendAsEmail": "nobody"}]},
    ],
)
def test_an_answer_that_lists_no_address_is_no_list_since_gmail_always_names_the_accounts_own(
    google: GoogleServer, https: HTTPS, body: object
) -> None:
    google.on("send_as", status=200, body=body)

    with pytest.raises(TransportError) as caught:
        read(google, https, FULL_MAIL)

    assert caught.value.code == "http.unexpected_answer"


def test_what_is_no_address_is_left_out_of_a_list(google: GoogleServer, https: HTTPS) -> None:
    own = {"sendAsEmail": PORTAL, "isPrimary": True}
    google.on("send_as", status=200, body={"sendAs": [7, {}, {"sendAsEmail": "nobody"}, own]})

    assert read(google, https, FULL_MAIL) == (ListedSender(PORTAL, True),)


def test_a_refusal_is_told_apart_by_its_code(google: GoogleServer, https: HTTPS) -> None:
    google.on("send_as", **refused("accessNotConfigured"))

    with pytest.raises(TransportError) as caught:
        read(google, https, FULL_MAIL)

    assert caught.value.code == "gmail.api_disabled"
