"""From the name to the sign-in: encryption and passwords fail closed, and each fault has its own name."""

from __future__ import annotations

import socket
import ssl
import threading
import warnings
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from time import monotonic

import pytest

from portal.network.addresses import VettedAddress
from portal.network.policy import MailPolicy, parse_mail_allow, parse_mail_ports
from portal.transports import ConnectionFault, QuotaReached, Step, TransientError, TransportError
from portal.transports.smtp import SMTPTransport
from portal.transports.smtp_opening import Opening
from portal.transports.smtp_settings import Auth, Security
from tests.outside.certificates import Authority, ServerCertificate, self_signed
from tests.outside.smtp_server import SMTPServer
from tests.transports.conftest import MakeTransport, always, message, settings_of

ACCOUNTS = {"relay": "geheim"}
SIGN_IN = {"auth": Auth.PASSWORD, "username": "relay", "password": "geheim"}


@pytest.mark.parametrize(
    ("tls", "security"),
    [("implicit", Security.IMPLICIT_TLS), ("starttls", Security.STARTTLS), ("starttls", Security.AUTO)],
)
def test_a_message_leaves_encrypted_and_signed_in(
    transport_to: MakeTransport, authority: Authority, certificate: ServerCertificate, tls: str, security: Security
) -> None:
    with SMTPServer(accounts=ACCOUNTS, tls=tls, certificate=certificate) as server:
        transport = transport_to(server, security=security, ca_certificate=authority.pem, **SIGN_IN)

        transport.send(message(), may_proceed=always)

        [received] = server.messages
        assert received.is_encrypted
        assert received.signed_in_as == "relay"


def test_the_operators_ca_bundle_is_trusted_too(
    policy: MailPolicy, authority: Authority, certificate: ServerCertificate, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(authority.pem)
    with SMTPServer(tls="starttls", certificate=certificate) as server:
        settings = settings_of(server, security=Security.STARTTLS)
        transport = SMTPTransport(settings, policy=policy, ca_bundle=bundle)

        transport.send(message(), may_proceed=always)
        transport.close()

        assert server.messages[0].is_encrypted


def test_a_name_is_what_the_certificate_is_held_against(transport_to: MakeTransport, authority: Authority) -> None:
    with SMTPServer(tls="implicit", certificate=authority.issue("localhost")) as server:
        transport = transport_to(
            server, host="LocalHost.", security=Security.IMPLICIT_TLS, ca_certificate=authority.pem
        )

        transport.send(message(), may_proceed=always)

        assert len(server.messages) == 1


def test_a_self_signed_certificate_can_be_trusted_by_itself(transport_to: MakeTransport) -> None:
    certificate = self_signed("127.0.0.1")
    with SMTPServer(tls="implicit", certificate=certificate) as server:
        transport = transport_to(server, security=Security.IMPLICIT_TLS, ca_certificate=certificate.pem)

        transport.send(message(), may_proceed=always)

        assert len(server.messages) == 1


def bad_certificates(authority: Authority) -> dict[str, ServerCertificate]:
    return {
        "tls.expired_certificate": authority.issue("127.0.0.1", valid_until=timedelta(hours=-1)),
        "tls.not_yet_valid_certificate": authority.issue("127.0.0.1", valid_from=timedelta(days=2)),
        "tls.wrong_name": authority.issue("mail.elsewhere.test", "127.0.0.2"),
        "tls.unknown_ca": Authority().issue("127.0.0.1"),
        "tls.self_signed_certificate": self_signed("127.0.0.1"),
    }


@pytest.mark.parametrize(
    "code",
    [
        "tls.expired_certificate",
        "tls.not_yet_valid_certificate",
        "tls.wrong_name",
        "tls.unknown_ca",
        "tls.self_signed_certificate",
    ],
)
@pytest.mark.parametrize(("tls", "security"), [("implicit", Security.IMPLICIT_TLS), ("starttls", Security.STARTTLS)])
def test_a_bad_certificate_ends_it_before_the_password_is_said(
    transport_to: MakeTransport, authority: Authority, code: str, tls: str, security: Security
) -> None:
    with SMTPServer(accounts=ACCOUNTS, tls=tls, certificate=bad_certificates(authority)[code]) as server:
        transport = transport_to(server, security=security, ca_certificate=authority.pem, **SIGN_IN)

        with pytest.raises(ConnectionFault) as caught:
            transport.send(message(), may_proceed=always)

        assert caught.value.code == code
        assert caught.value.step is Step.TLS
        assert not any("AUTH" in command for command in server.commands)


def test_the_check_of_certificates_can_be_switched_off(transport_to: MakeTransport) -> None:
    with SMTPServer(tls="implicit", certificate=self_signed("elsewhere.test")) as server:
        transport = transport_to(server, security=Security.IMPLICIT_TLS, verify_certificate=False)

        transport.send(message(), may_proceed=always)

        assert server.messages[0].is_encrypted


def test_an_own_ca_that_is_no_certificate_is_named_so(
    transport_to: MakeTransport, certificate: ServerCertificate
) -> None:
    with SMTPServer(tls="implicit", certificate=certificate) as server:
        transport = transport_to(server, security=Security.IMPLICIT_TLS, ca_certificate="no certificate")

        with pytest.raises(ConnectionFault) as caught:
            transport.send(message(), may_proceed=always)

        assert caught.value.code == "tls.bad_ca_certificate"


def test_tls_older_than_1_2_is_refused(transport_to: MakeTransport, certificate: ServerCertificate) -> None:
    context = certificate.context()
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    with SMTPServer(tls="implicit", context=context) as server:
        transport = transport_to(server, security=Security.IMPLICIT_TLS, verify_certificate=False)

        with pytest.raises(ConnectionFault) as caught:
            transport.send(message(), may_proceed=always)

        assert caught.value.code == "tls.protocol_too_old"


def test_a_plain_server_where_tls_was_expected_is_recognised_at_once(
    server: SMTPServer, transport_to: MakeTransport
) -> None:
    started = monotonic()

    with pytest.raises(ConnectionFault) as caught:
        transport_to(server, security=Security.IMPLICIT_TLS).send(message(), may_proceed=always)

    assert caught.value.code == "tls.expected_plain"
    assert monotonic() - started < 2


def test_a_handshake_that_stalls_ends_with_the_timeout(server: SMTPServer, transport_to: MakeTransport) -> None:
    server.on("CONNECT", silent=True)
    started = monotonic()

    with pytest.raises(TransientError) as caught:
        transport = transport_to(server, security=Security.IMPLICIT_TLS, timeout_seconds=0.3)
        transport.send(message(), may_proceed=always)

    assert caught.value.code == "network.silence"
    assert monotonic() - started < 2


def test_silence_on_a_port_for_implicit_tls_is_taken_for_tls(server: SMTPServer, policy: MailPolicy) -> None:
    server.on("CONNECT", silent=True)
    settings = settings_of(server, port=465, timeout_seconds=0.1)
    opening = Opening(settings, policy=policy, trust=ssl.create_default_context, deadline=monotonic() + 5)
    opening.addresses = (VettedAddress(socket.AF_INET, ("127.0.0.1", server.port), "127.0.0.1"),)
    opening.connect()

    with pytest.raises(ConnectionFault) as caught:
        opening.read_greeting()

    opening.close()
    assert caught.value.code == "tls.expected_tls"


def test_starttls_that_is_not_offered_fails_closed(server: SMTPServer, transport_to: MakeTransport) -> None:
    with pytest.raises(ConnectionFault) as caught:
        transport_to(server, security=Security.STARTTLS, **SIGN_IN).send(message(), may_proceed=always)

    assert caught.value.code == "tls.starttls_not_offered"
    assert server.commands == ["EHLO portal.contoso.test"]


@pytest.mark.parametrize("reply", ["454 4.7.0 TLS not available", "500 5.5.1 unknown", "501 no", "250 ok"])
@pytest.mark.parametrize("security", [Security.STARTTLS, Security.AUTO])
def test_starttls_that_is_refused_fails_closed(
    transport_to: MakeTransport, certificate: ServerCertificate, reply: str, security: Security
) -> None:
    with SMTPServer(accounts=ACCOUNTS, tls="starttls", certificate=certificate) as server:
        server.on("STARTTLS", reply)

        with pytest.raises(TransportError):
            transport_to(server, security=security, **SIGN_IN).send(message(), may_proceed=always)

        assert server.commands == ["EHLO portal.contoso.test", "STARTTLS"]


def test_a_refused_starttls_is_the_way_outs_fault(transport_to: MakeTransport, certificate: ServerCertificate) -> None:
    with SMTPServer(tls="starttls", certificate=certificate) as server:
        server.on("STARTTLS", "454 4.7.0 TLS not available due to local problem")

        with pytest.raises(ConnectionFault) as caught:
            transport_to(server, security=Security.STARTTLS).send(message(), may_proceed=always)

        assert caught.value.code == "tls.starttls_refused"


@contextmanager
def tls_with_injected_replies(certificate: ServerCertificate) -> Iterator[tuple[int, list[bytes]]]:
    """A server whose `220` to STARTTLS comes with replies that somebody on the way put behind it."""
    said: list[bytes] = []

    def serve() -> None:
        connected, _ = listener.accept()
        with connected:
            connected.sendall(b"220 ready\r\n")
            connected.recv(1000)
            connected.sendall(b"250-mail\r\n250 STARTTLS\r\n")
            connected.recv(1000)
            connected.sendall(b"220 go\r\n250-evil\r\n250 AUTH PLAIN\r\n235 signed in\r\n250 ok\r\n250 ok\r\n")
            with certificate.context().wrap_socket(connected, server_side=True) as encrypted:
                said.append(encrypted.recv(1000))
                encrypted.sendall(b"250-mail\r\n250 SIZE 1000\r\n")
                said.append(encrypted.recv(1000))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], said
        thread.join(30)


def test_replies_that_were_injected_before_tls_count_for_nothing(
    transport_to: MakeTransport, authority: Authority, certificate: ServerCertificate
) -> None:
    with tls_with_injected_replies(certificate) as (port, said):
        fake = SMTPServer()
        fake.port = port
        transport = transport_to(fake, security=Security.STARTTLS, ca_certificate=authority.pem, **SIGN_IN)

        with pytest.raises(ConnectionFault) as caught:
            transport.send(message(), may_proceed=always)

    assert caught.value.code == "smtp.auth_not_offered"
    assert said == [b"EHLO portal.contoso.test\r\n", b""]


def test_auto_goes_without_encryption_where_none_is_offered(server: SMTPServer, transport_to: MakeTransport) -> None:
    transport_to(server, security=Security.AUTO).send(message(), may_proceed=always)

    assert not server.messages[0].is_encrypted
    assert server.commands.count("EHLO portal.contoso.test") == 1


def test_auto_never_says_a_password_in_clear_text(transport_to: MakeTransport) -> None:
    with SMTPServer(accounts=ACCOUNTS) as server:
        with pytest.raises(ConnectionFault) as caught:
            transport_to(server, security=Security.AUTO, **SIGN_IN).send(message(), may_proceed=always)

        assert caught.value.code == "smtp.auth_needs_tls"
        assert server.commands == ["EHLO portal.contoso.test"]


def test_a_password_goes_in_clear_text_only_where_no_encryption_was_chosen(transport_to: MakeTransport) -> None:
    with SMTPServer(accounts=ACCOUNTS) as server:
        transport_to(server, security=Security.NONE, **SIGN_IN).send(message(), may_proceed=always)

        assert server.messages[0].signed_in_as == "relay"


def test_sign_in_that_waits_for_tls_is_named_so(transport_to: MakeTransport, certificate: ServerCertificate) -> None:
    with SMTPServer(accounts=ACCOUNTS, tls="starttls", certificate=certificate) as server:
        with pytest.raises(ConnectionFault) as caught:
            transport_to(server, security=Security.NONE, **SIGN_IN).send(message(), may_proceed=always)

        assert caught.value.code == "smtp.auth_needs_tls"


def test_a_server_without_sign_in_is_named_so(server: SMTPServer, transport_to: MakeTransport) -> None:
    with pytest.raises(ConnectionFault) as caught:
        transport_to(server, **SIGN_IN).send(message(), may_proceed=always)

    assert caught.value.code == "smtp.auth_not_offered"


@pytest.mark.parametrize(
    ("auth", "mechanisms", "command"),
    [
        (Auth.PASSWORD, ("LOGIN", "PLAIN"), "AUTH PLAIN AHJlbGF5AGdlaGVpbQ=="),
        (Auth.PASSWORD, ("CRAM-MD5", "LOGIN", "XOAUTH2"), "AUTH LOGIN"),
        (Auth.LOGIN, ("LOGIN", "PLAIN"), "AUTH LOGIN"),
        (Auth.PLAIN, ("LOGIN", "PLAIN"), "AUTH PLAIN AHJlbGF5AGdlaGVpbQ=="),
    ],
)
def test_the_mechanism_is_the_best_that_both_sides_know(
    transport_to: MakeTransport, auth: Auth, mechanisms: tuple[str, ...], command: str
) -> None:
    with SMTPServer(accounts=ACCOUNTS, mechanisms=mechanisms) as server:
        transport_to(server, **{**SIGN_IN, "auth": auth}).send(message(), may_proceed=always)

        assert command in server.commands
        assert server.messages[0].signed_in_as == "relay"


@pytest.mark.parametrize(
    ("auth", "mechanisms"),
    [(Auth.PASSWORD, ("CRAM-MD5", "XOAUTH2")), (Auth.PLAIN, ("LOGIN",)), (Auth.LOGIN, ("PLAIN",))],
)
def test_a_mechanism_that_is_not_offered_is_not_tried(
    transport_to: MakeTransport, auth: Auth, mechanisms: tuple[str, ...]
) -> None:
    with SMTPServer(accounts=ACCOUNTS, mechanisms=mechanisms) as server:
        with pytest.raises(ConnectionFault) as caught:
            transport_to(server, **{**SIGN_IN, "auth": auth}).send(message(), may_proceed=always)

        assert caught.value.code == "smtp.auth_mechanism_not_offered"
        assert server.commands == ["EHLO portal.contoso.test"]


@pytest.mark.parametrize("auth", [Auth.PLAIN, Auth.LOGIN])
def test_a_domain_and_any_script_can_stand_in_the_sign_in(transport_to: MakeTransport, auth: Auth) -> None:
    with SMTPServer(accounts={"CONTOSO\\größe": "pässwörd 密码 🔑"}) as server:
        transport = transport_to(server, auth=auth, domain="CONTOSO", username="größe", password="pässwörd 密码 🔑")

        transport.send(message(), may_proceed=always)

        assert server.messages[0].signed_in_as == "CONTOSO\\größe"


def test_a_sign_in_longer_than_a_command_line_goes_in_two_steps(transport_to: MakeTransport) -> None:
    with SMTPServer(accounts={"relay": "x" * 600}) as server:
        transport_to(server, **{**SIGN_IN, "password": "x" * 600}).send(message(), may_proceed=always)

        assert "AUTH PLAIN" in server.commands
        assert server.messages[0].signed_in_as == "relay"


@pytest.mark.parametrize(
    ("reply", "kind", "code"),
    [
        ("535 5.7.8 Authentication credentials invalid", ConnectionFault, "smtp.bad_credentials"),
        (
            "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
            ConnectionFault,
            "microsoft.smtp_auth_disabled",
        ),
        ("534 5.7.9 Application-specific password required.", ConnectionFault, "google.app_password_needed"),
        (
            "550 5.7.30 Basic authentication is not supported for Client Submission.",
            ConnectionFault,
            "microsoft.basic_auth_retired",
        ),
        ("454 4.7.0 Too many login attempts, please try again later.", QuotaReached, "smtp.sign_in_throttled"),
        ("451 4.3.0 database is down", TransientError, "smtp.sign_in_unavailable"),
    ],
)
def test_a_refused_sign_in_is_told_apart(
    transport_to: MakeTransport, reply: str, kind: type[TransportError], code: str
) -> None:
    with SMTPServer(accounts=ACCOUNTS) as server:
        server.on("AUTH", reply)

        with pytest.raises(kind) as caught:
            transport_to(server, **SIGN_IN).send(message(), may_proceed=always)

        assert caught.value.code == code
        assert caught.value.step is Step.AUTHENTICATE
        assert server.messages == []


def test_a_wrong_password_is_tried_once_by_one_mechanism(transport_to: MakeTransport) -> None:
    with SMTPServer(accounts=ACCOUNTS) as server:
        with pytest.raises(ConnectionFault):
            transport_to(server, **{**SIGN_IN, "password": "falsch"}).send(message(), may_proceed=always)

        assert sum(command.startswith("AUTH") for command in server.commands) == 1


@pytest.mark.parametrize("auth", [Auth.PLAIN, Auth.LOGIN])
def test_a_server_that_asks_on_and_on_is_left(transport_to: MakeTransport, auth: Auth) -> None:
    with SMTPServer(accounts=ACCOUNTS) as server:
        server.on("AUTH", b"334 VXNlcm5hbWU6\r\n" * 50)

        with pytest.raises(TransientError) as caught:
            transport_to(server, **{**SIGN_IN, "auth": auth}).send(message(), may_proceed=always)

        assert caught.value.code == "smtp.malformed_reply"
        assert len(server.commands) <= 4


@pytest.mark.parametrize("echo", ["geheim", "R2VoZWlt", "AHJlbGF5AEdlaGVpbQ=="])
def test_a_password_that_the_server_echoes_is_blotted_out(transport_to: MakeTransport, echo: str) -> None:
    with SMTPServer(accounts=ACCOUNTS) as server:
        server.on("AUTH", f"535 5.7.8 bad sign-in relay:{echo} <b>\x1b[31m\x07")
        password = "geheim" if echo == "geheim" else "Geheim"

        with pytest.raises(ConnectionFault) as caught:
            transport_to(server, **{**SIGN_IN, "password": password}).send(message(), may_proceed=always)

        assert caught.value.reply is not None
        assert caught.value.reply.text.startswith("bad sign-in relay:********")
        assert "\x1b" not in caught.value.reply.text
        assert echo.rstrip("=") not in str(caught.value)


def test_a_password_stands_in_no_repr(server: SMTPServer, transport_to: MakeTransport) -> None:
    settings = settings_of(server, **SIGN_IN)

    assert "geheim" not in repr(settings)
    assert b64encode(b"geheim").decode() not in repr(settings)


def test_a_reply_is_kept_to_a_thousand_characters(server: SMTPServer, transport_to: MakeTransport) -> None:
    server.on("CONNECT", "554 5.7.1 " + "no " * 1000)

    with pytest.raises(ConnectionFault) as caught:
        transport_to(server).send(message(), may_proceed=always)

    assert caught.value.reply is not None
    assert len(caught.value.reply.text) == 1000


@pytest.mark.parametrize("reply", ["500 5.5.1 unknown", "502 5.5.1 unknown", "504 no"])
def test_helo_is_enough_where_neither_tls_nor_sign_in_is_needed(
    server: SMTPServer, transport_to: MakeTransport, reply: str
) -> None:
    server.on("EHLO", reply)

    transport_to(server).send(message(), may_proceed=always)

    assert server.commands[:3] == [
        "EHLO portal.contoso.test",
        "HELO portal.contoso.test",
        "MAIL FROM:<portal@contoso.test>",
    ]


@pytest.mark.parametrize("changes", [SIGN_IN, {"security": Security.STARTTLS}])
def test_helo_is_not_enough_where_tls_or_sign_in_is_needed(
    server: SMTPServer, transport_to: MakeTransport, changes: dict[str, object]
) -> None:
    server.on("EHLO", "500 5.5.1 unknown")

    with pytest.raises(ConnectionFault) as caught:
        transport_to(server, **changes).send(message(), may_proceed=always)

    assert caught.value.step is Step.CAPABILITIES
    assert server.commands == ["EHLO portal.contoso.test"]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("554 5.7.1 your address is on a block list", ConnectionFault),
        ("521 no mail here", ConnectionFault),
        ("421 4.3.2 too busy", TransientError),
        ("450 4.3.2 later", TransientError),
    ],
)
@pytest.mark.parametrize("verb", ["CONNECT", "EHLO"])
def test_a_refusal_at_the_door_concerns_the_way_out_or_passes(
    server: SMTPServer, transport_to: MakeTransport, verb: str, reply: str, kind: type[TransportError]
) -> None:
    server.on(verb, reply)

    with pytest.raises(kind):
        transport_to(server).send(message(), may_proceed=always)


@pytest.mark.parametrize("verb", ["CONNECT", "EHLO", "STARTTLS", "AUTH"])
@pytest.mark.parametrize("drop", ["before", "after"])
def test_a_connection_lost_while_it_opens_is_a_passing_fault(
    transport_to: MakeTransport, authority: Authority, certificate: ServerCertificate, verb: str, drop: str
) -> None:
    with SMTPServer(accounts=ACCOUNTS, tls="starttls", certificate=certificate) as server:
        server.on(verb, drop=drop)
        transport = transport_to(server, security=Security.STARTTLS, ca_certificate=authority.pem, **SIGN_IN)

        with pytest.raises(TransientError):
            transport.send(message(), may_proceed=always)

        assert server.messages == []


def test_a_closed_port_is_a_passing_fault(transport_to: MakeTransport) -> None:
    with SMTPServer() as server:
        transport = transport_to(server)

    with pytest.raises(TransientError) as caught:
        transport.send(message(), may_proceed=always)

    assert caught.value.code == "network.connection_refused"
    assert caught.value.step is Step.CONNECT


@pytest.mark.parametrize(
    ("allow", "ports", "code"),
    [("", "1-65535", "network.address_refused"), ("127.0.0.0/8", "25", "network.port_refused")],
)
def test_what_the_operator_closed_is_the_way_outs_fault(server: SMTPServer, allow: str, ports: str, code: str) -> None:
    policy = MailPolicy(parse_mail_allow(allow), parse_mail_ports(ports))

    with pytest.raises(ConnectionFault) as caught:
        SMTPTransport(settings_of(server), policy=policy).send(message(), may_proceed=always)

    assert caught.value.code == code
    assert server.connections == 0


def test_a_text_that_is_no_host_name_is_the_way_outs_fault(server: SMTPServer, transport_to: MakeTransport) -> None:
    with pytest.raises(ConnectionFault) as caught:
        transport_to(server, host="no host").send(message(), may_proceed=always)

    assert caught.value.code == "network.name_not_found"


def test_ipv6_works_like_ipv4(transport_to: MakeTransport, authority: Authority) -> None:
    with SMTPServer(host="::1", tls="implicit", certificate=authority.issue("::1")) as server:
        transport = transport_to(server, host="[::1]", security=Security.IMPLICIT_TLS, ca_certificate=authority.pem)

        transport.send(message(), may_proceed=always)

        assert len(server.messages) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"helo_name": ""},
        {"helo_name": "x\r\nMAIL FROM:<v@x.test>"},
        {"helo_name": "portal contoso"},
        {"helo_name": "größe.test"},
        {"password": "a\0b"},
        {"username": "a\0b"},
        {"password": "\ud800"},
        {"timeout_seconds": 0},
    ],
)
def test_what_cannot_be_said_in_a_command_is_no_setting(server: SMTPServer, changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"EHLO|user name|timeout"):
        settings_of(server, **changes)
