"""What lets its holder act as the owner goes to no server that a certificate does not vouch for, or nobody meant."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from portal.network.policy import MailPolicy
from portal.transports import ConnectionFault, Step, StepResult, StepStatus
from portal.transports.smtp_check import check_smtp
from portal.transports.smtp_settings import Auth, Security
from tests.outside.certificates import ServerCertificate
from tests.outside.smtp_server import SMTPServer
from tests.transports.conftest import MakeTransport, always, message, settings_of

MAILBOX = "portal@contoso.test"
TOKEN = "ya29.good-token"
HELLO = "EHLO portal.contoso.test"


class Tokens:
    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, renew: bool) -> str:
        self.asked += 1
        return TOKEN


def by_token(tokens: Tokens, **changes: Any) -> dict[str, Any]:
    usual = {"security": Security.STARTTLS, "auth": Auth.XOAUTH2, "username": MAILBOX, "access_token": tokens}
    return {**usual, **changes}


def a_server(certificate: ServerCertificate, tls: str = "starttls") -> SMTPServer:
    return SMTPServer(tokens={TOKEN: MAILBOX}, tls=tls, certificate=certificate)


def settings_step(server: SMTPServer, policy: MailPolicy, **changes: Any) -> tuple[StepResult, bool]:
    """The first step of a check, and whether it was the last that was taken."""
    results = check_smtp(
        settings_of(server, **changes),
        sender=MAILBOX,
        recipient=MAILBOX,
        policy=policy,
        on_step=lambda _: None,
        cancelled=lambda: False,
    )
    return results[0], {one.status for one in results[1:]} == {StepStatus.SKIP}


@pytest.mark.parametrize("auth", [Auth.XOAUTH2, Auth.OAUTHBEARER])
@pytest.mark.parametrize(("security", "tls"), [(Security.STARTTLS, "starttls"), (Security.IMPLICIT_TLS, "implicit")])
def test_no_token_is_fetched_or_said_where_the_certificate_is_not_checked(
    transport_to: MakeTransport, certificate: ServerCertificate, auth: Auth, security: Security, tls: str
) -> None:
    tokens = Tokens()
    with a_server(certificate, tls) as server:
        settings = by_token(tokens, auth=auth, security=security, verify_certificate=False)
        with pytest.raises(ConnectionFault) as caught:
            transport_to(server, **settings).send(message(), may_proceed=always)

        assert caught.value.step is Step.SETTINGS
        assert caught.value.code == "smtp.token_needs_verified_tls"
        assert server.connections == 0
    assert tokens.asked == 0


def test_a_stored_token_goes_to_no_server_whose_certificate_is_not_checked(
    transport_to: MakeTransport, certificate: ServerCertificate
) -> None:
    stored = {"auth": Auth.OAUTHBEARER, "access_token": None, "password": TOKEN, "verify_certificate": False}
    with a_server(certificate) as server:
        with pytest.raises(ConnectionFault) as caught:
            transport_to(server, **by_token(Tokens(), **stored)).send(message(), may_proceed=always)

        assert caught.value.code == "smtp.token_needs_verified_tls"
        assert server.connections == 0


def test_no_token_is_fetched_for_a_host_that_tokens_are_not_meant_for(
    transport_to: MakeTransport, certificate: ServerCertificate
) -> None:
    tokens = Tokens()
    with a_server(certificate) as server:
        with pytest.raises(ConnectionFault) as caught:
            transport_to(server, **by_token(tokens, is_token_host=False)).send(message(), may_proceed=always)

        assert caught.value.code == "smtp.token_host_refused"
        assert caught.value.seen == "127.0.0.1 is not a server of the provider, and PORTAL_MAIL_ALLOW does not name it"
        assert server.connections == 0
    assert tokens.asked == 0


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"verify_certificate": False}, "smtp.token_needs_verified_tls"),
        ({"is_token_host": False}, "smtp.token_host_refused"),
    ],
)
def test_a_check_says_so_with_its_first_step_and_goes_no_further(
    policy: MailPolicy, certificate: ServerCertificate, changes: dict[str, Any], code: str
) -> None:
    with a_server(certificate) as server:
        first, was_last = settings_step(server, policy, **by_token(Tokens(), **changes))

        assert first.status is StepStatus.FAIL
        assert first.diagnosis is not None
        assert first.diagnosis.code == code
        assert was_last
        assert server.connections == 0


def test_a_password_may_still_go_where_the_certificate_is_not_checked(
    transport_to: MakeTransport, certificate: ServerCertificate
) -> None:
    with SMTPServer(accounts={"relay": "geheim"}, tls="starttls", certificate=certificate) as server:
        settings = {"security": Security.STARTTLS, "verify_certificate": False}
        transport = transport_to(server, **settings, auth=Auth.PASSWORD, username="relay", password="geheim")

        transport.send(message(), may_proceed=always)

        assert server.messages[0].signed_in_as == "relay"


# NTLM


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a credential file, and without Kerberos."""
    path = tmp_path / "ntlm"
    path.write_text("CONTOSO:portal:Geheim-4711\n")
    monkeypatch.setenv("NTLM_USER_FILE", str(path))
    monkeypatch.setitem(sys.modules, "gssapi", None)


def ntlm_fault(transport_to: MakeTransport, server: SMTPServer, **settings: Any) -> ConnectionFault:
    with pytest.raises(ConnectionFault) as caught:
        transport_to(server, auth=Auth.DEFAULT_CREDENTIALS, **settings).send(message(), may_proceed=always)
    return caught.value


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("mechanisms", [("NTLM",), ("GSSAPI", "NTLM")])
def test_no_ntlm_is_spoken_in_clear_text_not_even_where_no_encryption_was_chosen(
    transport_to: MakeTransport, mechanisms: tuple[str, ...]
) -> None:
    with SMTPServer(accounts={"nobody": "x"}, mechanisms=mechanisms) as server:
        fault = ntlm_fault(transport_to, server, security=Security.NONE)

        assert fault.step is Step.AUTHENTICATE
        assert fault.code == "smtp.ntlm_needs_verified_tls"
        assert fault.seen == "the connection is not encrypted"
        assert server.commands == [HELLO]


@pytest.mark.usefixtures("host")
def test_no_ntlm_is_spoken_with_a_server_whose_certificate_is_not_checked(
    transport_to: MakeTransport, certificate: ServerCertificate
) -> None:
    options = {"accounts": {"nobody": "x"}, "mechanisms": ("NTLM",)}
    with SMTPServer(tls="starttls", certificate=certificate, **options) as server:
        fault = ntlm_fault(transport_to, server, security=Security.STARTTLS, verify_certificate=False)

        assert fault.code == "smtp.ntlm_needs_verified_tls"
        assert fault.seen == "the server's certificate is not checked"
        assert server.commands == [HELLO, "STARTTLS", HELLO]
