"""Sign-in by access token: in two steps, over TLS alone, renewed once, and never shown."""

from __future__ import annotations

import json
import re
import smtplib
import socket
import ssl
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from aiosmtpd.smtp import SMTP, AuthResult

from portal.transports import ConnectionFault, QuotaReached, Step, TransientError, TransportError
from portal.transports.smtp_settings import Auth, Security
from tests.outside.certificates import Authority, ServerCertificate
from tests.outside.smtp_server import SMTPServer
from tests.transports.conftest import MakeTransport, always, message, settings_of

MAILBOX = "portal@contoso.test"
GOOD = "ya29.good-token"
LONG = "eyJ0eXAiOiJKV1QifQ." + "abcdefghijklmnopqrstuvwxyz0123456789" * 167  # 6,031 characters


class Tokens:
    """Gives the first token, and each time it is asked to renew the next one."""

    def __init__(self, *tokens: str | TransportError) -> None:
        self.asked: list[bool] = []
        self._tokens = list(tokens)

    def __call__(self, renew: bool) -> str:
        self.asked.append(renew)
        if renew:
            del self._tokens[0]
        token = self._tokens[0]
        if isinstance(token, TransportError):
            raise token
        return token


def a_server(certificate: ServerCertificate, dialect: str = "plain", **changes: Any) -> SMTPServer:
    tokens = {GOOD: MAILBOX, LONG: MAILBOX}
    return SMTPServer(
        **{"tokens": tokens, "dialect": dialect, "tls": "starttls", "certificate": certificate, **changes}
    )


def by_token(authority: Authority, tokens: Tokens, **changes: Any) -> dict[str, Any]:
    return {
        "security": Security.STARTTLS,
        "ca_certificate": authority.pem,
        "auth": Auth.XOAUTH2,
        "username": MAILBOX,
        "access_token": tokens,
        **changes,
    }


def test_google_and_microsoft_are_signed_in_to_in_two_steps(
    transport_to: MakeTransport, authority: Authority, certificate: ServerCertificate
) -> None:
    for dialect in ("google", "exchange"):
        with a_server(certificate, dialect) as server:
            transport = transport_to(server, **by_token(authority, Tokens(GOOD)))

            transport.send(message(), may_proceed=always)

            assert server.messages[0].signed_in_as == MAILBOX
            assert server.commands[3:5] == [
                "AUTH XOAUTH2",
                "dXNlcj1wb3J0YWxAY29udG9zby50ZXN0AWF1dGg9QmVhcmVyIHlhMjkuZ29vZC10b2tlbgEB",
            ]


def test_any_other_server_is_signed_in_to_by_oauthbearer(
    transport_to: MakeTransport, authority: Authority, certificate: ServerCertificate
) -> None:
    with a_server(certificate) as server:
        transport = transport_to(server, **by_token(authority, Tokens(GOOD), auth=Auth.OAUTHBEARER))

        transport.send(message(), may_proceed=always)

        assert server.messages[0].signed_in_as == MAILBOX
        assert server.commands[3] == "AUTH OAUTHBEARER"
        assert b64decode(server.commands[4]).decode() == (
            f"n,a=portal@contoso.test,\1host=127.0.0.1\1port={server.port}\1auth=Bearer ya29.good-token\1\1"
        )


def test_a_stored_token_serves_where_nothing_gives_another(
    transport_to: MakeTransport, authority: Authority, certificate: ServerCertificate
) -> None:
    with a_server(certificate) as server:
        stored = {"auth": Auth.OAUTHBEARER, "access_token": None, "password": GOOD}
        transport = transport_to(server, **by_token(authority, Tokens(), **stored))

        transport.send(message(), may_proceed=always)

        assert server.messages[0].signed_in_as == MAILBOX


@pytest.mark.parametrize("auth", [Auth.XOAUTH2, Auth.OAUTHBEARER])
def test_names_hold_what_the_mechanism_itself_uses(
    transport_to: MakeTransport, authority: Authority, certificate: ServerCertificate, auth: Auth
) -> None:
    name = "größe,=2C@contoso.test"
    with a_server(certificate, tokens={GOOD: name}) as server:
        transport = transport_to(server, **by_token(authority, Tokens(GOOD), auth=auth, username=name))

        transport.send(message(), may_proceed=always)

        assert server.messages[0].signed_in_as == name


@pytest.mark.parametrize("auth", [Auth.XOAUTH2, Auth.OAUTHBEARER])
def test_a_token_of_six_thousand_characters_is_said_like_any_other(
    transport_to: MakeTransport, authority: Authority, certificate: ServerCertificate, auth: Auth
) -> None:
    with a_server(certificate) as server:
        transport = transport_to(server, **by_token(authority, Tokens(LONG), auth=auth))

        transport.send(message(), may_proceed=always)

        assert server.messages[0].signed_in_as == MAILBOX


def test_a_token_that_is_too_long_for_the_server_is_named_so(
    transport_to: MakeTransport, authority: Authority, certificate: ServerCertificate
) -> None:
    with a_server(certificate) as server:
        with pytest.raises(ConnectionFault) as caught:
            transport_to(server, **by_token(authority, Tokens("x" * 9200))).send(message(), may_proceed=always)

        assert caught.value.code == "smtp.command_too_long"


def test_one_sign_in_serves_all_messages_of_a_connection(
    transport_to: MakeTransport, authority: Authority, certificate: ServerCertificate
) -> None:
    tokens = Tokens(GOOD)
    with a_server(certificate, "google") as server:
        transport = transport_to(server, **by_token(authority, tokens))

        transport.send(message(), may_proceed=always)
        server.tokens.clear()
        transport.send(message(), may_proceed=always)

        assert len(server.messages) == 2
        assert tokens.asked == [False]
        assert server.commands.count("AUTH XOAUTH2") == 1


def test_each_connection_asks_for_the_token_of_its_time(
    transport_to: MakeTransport, authority: Authority, certificate: ServerCertificate
) -> None:
    tokens = Tokens(GOOD)
    with a_server(certificate, "google") as server:
        transport = transport_to(server, **by_token(authority, tokens))

        transport.send(message(), may_proceed=always)
        transport.close()
        transport.send(message(), may_proceed=always)

        assert tokens.asked == [False, False]


# Refused


@pytest.mark.parametrize(
    ("dialect", "auth"),
    [
        ("google", Auth.XOAUTH2),
        ("google", Auth.OAUTHBEARER),
        ("exchange", Auth.XOAUTH2),
        ("plain", Auth.XOAUTH2),
        ("plain", Auth.OAUTHBEARER),
    ],
)
def test_a_refused_token_is_replaced_once_on_a_new_connection(
    transport_to: MakeTransport, authority: Authority, certificate: ServerCertificate, dialect: str, auth: Auth
) -> None:
    tokens = Tokens("ya29.run-out", GOOD)
    with a_server(certificate, dialect) as server:
        transport = transport_to(server, **by_token(authority, tokens, auth=auth))

        transport.send(message(), may_proceed=always)

        assert tokens.asked == [False, True]
        assert len(server.messages) == 1
        assert server.messages[0].session == 2
        assert [session.commands.count(f"AUTH {auth.upper()}") for session in server.sessions] == [1, 1]


@pytest.mark.parametrize(
    ("dialect", "auth", "code", "text"),
    [
        (
            "google",
            Auth.XOAUTH2,
            "google.token_refused",
            "Username and Password not accepted. For more information, go to "
            "https://support.google.com/mail/?p=BadCredentials 5b1f17b1804b1-4779e9c4a1asm12345678f8f.1 - gsmtp "
            "status 400, schemes Bearer, scope https://mail.google.com/",
        ),
        (
            "exchange",
            Auth.XOAUTH2,
            "microsoft.token_refused",
            "Authentication unsuccessful "
            "[AM0PR01CA0123.eurprd01.prod.exchangelabs.com 2026-11-20T10:11:12.345Z 08DE2A1B2C3D4E5F]",
        ),
        (
            "plain",
            Auth.OAUTHBEARER,
            "smtp.token_refused",
            "authentication failed status invalid_token, schemes bearer, scope mail",
        ),
    ],
)
def test_a_second_refusal_is_the_way_outs_fault_and_says_what_the_server_said(
    transport_to: MakeTransport,
    authority: Authority,
    certificate: ServerCertificate,
    dialect: str,
    auth: Auth,
    code: str,
    text: str,
) -> None:
    tokens = Tokens("ya29.run-out", "ya29.run-out-too")
    with a_server(certificate, dialect) as server:
        with pytest.raises(ConnectionFault) as caught:
            transport_to(server, **by_token(authority, tokens, auth=auth)).send(message(), may_proceed=always)

        assert caught.value.step is Step.AUTHENTICATE
        assert caught.value.code == code
        assert caught.value.reply is not None
        assert (caught.value.reply.code, caught.value.reply.text) == (535, text)
        assert tokens.asked == [False, True]
        assert server.connections == 2


def test_a_complaint_is_answered_as_its_mechanism_wants_it(
    transport_to: MakeTransport, authority: Authority, certificate: ServerCertificate
) -> None:
    answers = {}
    for auth in (Auth.XOAUTH2, Auth.OAUTHBEARER):
        with a_server(certificate) as server:
            stored = {"auth": auth, "access_token": None, "password": "ya29.run-out"}
            transport = transport_to(server, **by_token(authority, Tokens(), **stored))

            with pytest.raises(ConnectionFault):
                transport.send(message(), may_proceed=always)

            answers[auth] = server.commands[5:]

    assert answers == {Auth.XOAUTH2: [""], Auth.OAUTHBEARER: ["AQ=="]}


@pytest.mark.parametrize(
    ("challenge", "text"),
    [
        (b"", "authentication failed"),
        (b"!", "authentication failed"),
        (b"YWJj=YQ", "authentication failed"),
        (b64encode(b"no JSON"), "authentication failed"),
        (b64encode(b"\xff\xfe\xfa"), "authentication failed"),
        (b64encode(b"[1, 2]"), "authentication failed"),
        (b64encode(b"[" * 5000), "authentication failed"),
        (b64encode(b'{"status": ["400"], "scope": null}'), "authentication failed"),
        (b64encode(b'{"status": 401}'), "authentication failed status 401"),
        (b64encode(b'{"scope": "a\\r\\n\\u001b[31mb\\ud800"}'), "authentication failed scope a   [31mb?"),
        (b64encode(json.dumps({"scope": "mail " * 500}).encode()), f"authentication failed scope {'mail ' * 58}mail"),
    ],
)
def test_a_complaint_that_cannot_be_read_is_answered_all_the_same(
    transport_to: MakeTransport, authority: Authority, certificate: ServerCertificate, challenge: bytes, text: str
) -> None:
    with a_server(certificate) as server:
        server.on("TOKEN", b"334 " + challenge + b"\r\n")

        with pytest.raises(ConnectionFault) as caught:
            transport_to(server, **by_token(authority, Tokens("x", "y"))).send(message(), may_proceed=always)

        assert caught.value.reply is not None
        assert caught.value.reply.text == text
        assert caught.value.code == "smtp.token_refused"


@pytest.mark.parametrize(
    ("verb", "reply", "kind", "code"),
    [
        (
            "TOKEN",
            "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
            ConnectionFault,
            "microsoft.smtp_auth_disabled",
        ),
        ("TOKEN", "454 4.7.0 Temporary authentication failure", QuotaReached, "smtp.sign_in_unavailable"),
        ("TOKEN", "421 4.3.2 too busy", TransientError, "smtp.sign_in_unavailable"),
        ("AUTH", "504 5.7.4 Unrecognized authentication type", ConnectionFault, "smtp.auth_mechanism_not_offered"),
        ("AUTH", "503 5.5.1 Bad sequence", ConnectionFault, "smtp.bad_sequence"),
    ],
)
def test_a_refusal_for_another_reason_asks_for_no_other_token(
    transport_to: MakeTransport,
    authority: Authority,
    certificate: ServerCertificate,
    verb: str,
    reply: str,
    kind: type[TransportError],
    code: str,
) -> None:
    tokens = Tokens(GOOD, GOOD)
    with a_server(certificate) as server:
        server.on(verb, reply)

        with pytest.raises(kind) as caught:
            transport_to(server, **by_token(authority, tokens)).send(message(), may_proceed=always)

        assert caught.value.code == code
        assert tokens.asked == [False]
        assert server.connections == 1


def test_a_connection_lost_at_the_token_is_a_passing_fault(
    transport_to: MakeTransport, authority: Authority, certificate: ServerCertificate
) -> None:
    tokens = Tokens(GOOD, GOOD)
    with a_server(certificate) as server:
        server.on("TOKEN", drop="before")

        with pytest.raises(TransientError) as caught:
            transport_to(server, **by_token(authority, tokens)).send(message(), may_proceed=always)

        assert caught.value.code == "network.connection_lost"
        assert tokens.asked == [False]


def test_a_server_that_complains_on_and_on_is_left(
    transport_to: MakeTransport, authority: Authority, certificate: ServerCertificate
) -> None:
    with a_server(certificate) as server:
        server.on("TOKEN", b"334 \r\n" * 50)

        with pytest.raises(TransientError) as caught:
            transport_to(server, **by_token(authority, Tokens(GOOD))).send(message(), may_proceed=always)

        assert caught.value.code == "smtp.malformed_reply"


# Not even tried


@pytest.mark.parametrize(
    ("auth", "mechanisms"),
    [(Auth.XOAUTH2, ("PLAIN", "LOGIN", "OAUTHBEARER")), (Auth.OAUTHBEARER, ("LOGIN", "XOAUTH2"))],
)
def test_a_token_is_not_said_where_its_mechanism_is_not_offered(
    transport_to: MakeTransport,
    authority: Authority,
    certificate: ServerCertificate,
    auth: Auth,
    mechanisms: tuple[str, ...],
) -> None:
    with a_server(certificate, mechanisms=mechanisms) as server:
        with pytest.raises(ConnectionFault) as caught:
            transport_to(server, **by_token(authority, Tokens(GOOD), auth=auth)).send(message(), may_proceed=always)

        assert caught.value.code == "smtp.auth_mechanism_not_offered"
        assert server.commands == ["EHLO portal.contoso.test", "STARTTLS", "EHLO portal.contoso.test"]


@pytest.mark.parametrize("security", [Security.NONE, Security.AUTO])
@pytest.mark.parametrize("auth", [Auth.XOAUTH2, Auth.OAUTHBEARER])
def test_a_token_is_never_said_in_clear_text_not_even_where_no_encryption_was_chosen(
    transport_to: MakeTransport, authority: Authority, auth: Auth, security: Security
) -> None:
    with SMTPServer(tokens={GOOD: MAILBOX}) as server:
        with pytest.raises(ConnectionFault) as caught:
            transport_to(server, **by_token(authority, Tokens(GOOD), auth=auth, security=security)).send(
                message(), may_proceed=always
            )

        assert caught.value.code == "smtp.auth_needs_tls"
        assert server.commands == ["EHLO portal.contoso.test"]


def test_without_a_token_nothing_is_connected(
    transport_to: MakeTransport, authority: Authority, certificate: ServerCertificate
) -> None:
    fault = ConnectionFault(Step.TOKEN, code="provider.refused", seen="the grant was revoked")
    with a_server(certificate) as server:
        with pytest.raises(ConnectionFault) as caught:
            transport_to(server, **by_token(authority, Tokens(fault))).send(message(), may_proceed=always)

        assert caught.value is fault
        assert server.connections == 0


def test_a_token_that_cannot_be_renewed_ends_it_with_that_reason(
    transport_to: MakeTransport, authority: Authority, certificate: ServerCertificate
) -> None:
    fault = TransientError(Step.TOKEN, code="network.too_slow", seen="the provider did not answer")
    with a_server(certificate, "google") as server:
        with pytest.raises(TransientError) as caught:
            transport_to(server, **by_token(authority, Tokens("run-out", fault))).send(message(), may_proceed=always)

        assert caught.value is fault
        assert server.connections == 1


@pytest.mark.parametrize("token", ["", "a\1auth=Bearer b", "a b", "a\r\nb", "a\0b", "größe", "a\x7f"], ids=repr)
def test_what_is_no_token_is_never_said(
    transport_to: MakeTransport, authority: Authority, certificate: ServerCertificate, token: str
) -> None:
    with a_server(certificate) as server:
        with pytest.raises(ConnectionFault) as caught:
            transport_to(server, **by_token(authority, Tokens(token))).send(message(), may_proceed=always)

        assert caught.value.step is Step.TOKEN
        assert server.connections == 0


@pytest.mark.parametrize("auth", [Auth.XOAUTH2, Auth.OAUTHBEARER])
@pytest.mark.parametrize(
    "changes", [{"username": "a\1auth=Bearer x"}, {"username": "a\r\nb"}, {"domain": "a\x7f"}, {"password": "a b"}]
)
def test_what_would_end_a_field_of_the_sign_in_is_no_setting(
    certificate: ServerCertificate, auth: Auth, changes: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match=r"control characters|visible ASCII"):
        settings_of(a_server(certificate), auth=auth, **changes)


# Never shown


def test_a_token_stands_in_no_repr_and_makes_no_difference_between_settings(certificate: ServerCertificate) -> None:
    server = a_server(certificate)

    settings = settings_of(server, auth=Auth.XOAUTH2, password=GOOD, access_token=Tokens(GOOD))

    assert GOOD not in repr(settings)
    assert "Tokens" not in repr(settings)
    assert settings == settings_of(server, auth=Auth.XOAUTH2, password=GOOD, access_token=Tokens(LONG))


SECRET = "ya29.A0ARrdaM-" + "kX7vT2pQ9sZ4wN8bL1cY6hJ3mG5dF0eU" * 5
SAID = b64encode(f"user={MAILBOX}\1auth=Bearer {SECRET}\1\1".encode()).decode()
SAID_BEFORE_TOKEN = 50  # characters: 37 octets stand before the token


@pytest.mark.parametrize(
    "echo",
    [
        f"bad token {SECRET}",
        f"bad token {SECRET[:40]}",
        f"bad token ...{SECRET[60:110]}...",
        f"Bearer:{SECRET}:wrong",
        f"cannot decode {SAID}",
        f"cannot decode {SAID[:120]}",
        "\r\n535-".join(["", *(SAID[start : start + 64] for start in range(0, len(SAID), 64)), ""]),
        b64encode(SECRET.encode()).decode(),
        b64encode(b"x" + SECRET.encode()).decode(),
        b64encode(b"xy" + SECRET.encode() + b"z").decode(),
    ],
)
def test_a_token_that_the_server_echoes_is_blotted_out_whole_or_in_part(
    transport_to: MakeTransport, authority: Authority, certificate: ServerCertificate, echo: str
) -> None:
    with a_server(certificate) as server:
        server.on("TOKEN", f"535-{echo}\r\n535 no")

        with pytest.raises(ConnectionFault) as caught:
            transport_to(server, **by_token(authority, Tokens(SECRET), access_token=lambda renew: SECRET)).send(
                message(), may_proceed=always
            )

        shown = f"{caught.value} {caught.value.seen} {caught.value.reply}"
        assert "********" in shown
        assert longest_shared_part(shown, SECRET) < 12
        assert longest_shared_part(shown, SAID[SAID_BEFORE_TOKEN:]) < 16


@pytest.mark.parametrize("token", ["a-token-of-20-octets", "a-token-of-21-octets.", "a-token-of-22-octets.."])
@pytest.mark.parametrize("before", ["", "x", "xy"])
def test_a_short_token_is_blotted_out_wherever_it_stands_in_other_base64(
    transport_to: MakeTransport, authority: Authority, certificate: ServerCertificate, token: str, before: str
) -> None:
    with a_server(certificate) as server:
        server.on("TOKEN", f"535 no {b64encode(f'{before}{token}:and more'.encode()).decode()}")
        transport = transport_to(server, **by_token(authority, Tokens(token, token)))

        with pytest.raises(ConnectionFault) as caught:
            transport.send(message(), may_proceed=always)

        assert caught.value.reply is not None
        assert re.fullmatch(r"no .{0,4}\*{8}(.{12,16})?", caught.value.reply.text)


def longest_shared_part(text: str, secret: str) -> int:
    return max(
        length
        for start in range(len(secret))
        for length in range(len(secret) - start + 1)
        if secret[start : start + length] in text
    )


# The same by other hands


@pytest.mark.parametrize(
    ("dialect", "extensions"),
    [
        (
            "google",
            "smtp.gmail.com at your service, [127.0.0.1]\nSIZE 35882577\n8BITMIME\n"
            "AUTH LOGIN PLAIN XOAUTH2 PLAIN-CLIENTTOKEN OAUTHBEARER XOAUTH\n"
            "ENHANCEDSTATUSCODES\nPIPELINING\nCHUNKING\nSMTPUTF8",
        ),
        (
            "exchange",
            "AM0PR01CA0123.outlook.office365.com Hello [127.0.0.1]\nSIZE 157286400\nPIPELINING\nDSN\n"
            "ENHANCEDSTATUSCODES\nAUTH LOGIN XOAUTH2\n8BITMIME\nBINARYMIME\nCHUNKING\nSMTPUTF8",
        ),
    ],
)
def test_the_servers_of_the_tests_offer_what_the_real_ones_do(
    authority: Authority, certificate: ServerCertificate, dialect: str, extensions: str
) -> None:
    with a_server(certificate, dialect) as server, smtplib.SMTP(server.host, server.port) as client:
        before = client.ehlo()[1].decode()
        client.starttls(context=ssl.create_default_context(cadata=authority.pem))

        after = client.ehlo()[1].decode()

        assert after == extensions
        assert "STARTTLS" in before
        assert "AUTH" not in before


def test_smtplib_signs_in_at_the_same_server_with_the_same_words(
    transport_to: MakeTransport, authority: Authority, certificate: ServerCertificate
) -> None:
    payload = f"user={MAILBOX}\1auth=Bearer {GOOD}\1\1"
    with a_server(certificate, "google") as server:
        with smtplib.SMTP(server.host, server.port, local_hostname="portal.contoso.test") as client:
            client.starttls(context=ssl.create_default_context(cadata=authority.pem))
            client.ehlo()
            signed_in = client.auth("XOAUTH2", lambda challenge=None: payload, initial_response_ok=False)
            refused = client.docmd("AUTH", "XOAUTH2")
        transport_to(server, **by_token(authority, Tokens(GOOD))).send(message(), may_proceed=always)

        assert signed_in[0] == 235
        assert refused[0] == 503
        theirs, ours = (session.commands for session in server.sessions)
        assert theirs[-4:-2] == ours[3:5]


class Independent(Message):
    """The server of another project, taught both mechanisms in the way it provides for."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port
        self.responses: list[tuple[str, bytes]] = []
        self.answers: list[bytes] = []
        self.content = ""

    def handle_message(self, message: Any) -> None:
        self.content = message.as_string()

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> AuthResult:
        return await self._judge(server, args, good=f"user={MAILBOX}\1auth=Bearer {LONG}\1\1".encode())

    async def auth_OAUTHBEARER(self, server: SMTP, args: list[str]) -> AuthResult:
        where = f"host=127.0.0.1\1port={self.port}"
        return await self._judge(server, args, good=f"n,a={MAILBOX},\1{where}\1auth=Bearer {LONG}\1\1".encode())

    async def _judge(self, server: SMTP, args: list[str], *, good: bytes) -> AuthResult:
        response = await server.challenge_auth("")
        assert isinstance(response, bytes)
        self.responses.append((" ".join(args), response))
        if response == good:
            return AuthResult(success=True)
        answer = await server.challenge_auth('{"status":"401","schemes":"bearer","scope":"mail"}')
        assert isinstance(answer, bytes)
        self.answers.append(answer)
        await server.push("535 5.7.8 Authentication credentials invalid")
        return AuthResult(success=False, handled=True)


class Patient(SMTP):
    """With room for the lines that RFC 4954 asks for."""

    line_length_limit = 65536
    command_size_limit = 65536


@contextmanager
def independent_server(certificate: ServerCertificate) -> Iterator[tuple[Independent, SMTPServer]]:
    """What it learned, and a server of ours, never begun, that lends host and port to the settings."""
    address = SMTPServer()
    with socket.create_server((address.host, 0)) as listener:
        address.port = listener.getsockname()[1]
    handler = Independent(address.port)

    class Encrypting(Controller):
        def factory(self) -> SMTP:
            return Patient(handler, tls_context=certificate.context(), auth_required=True, hostname="mail.contoso.test")

    controller = Encrypting(handler, hostname=address.host, port=address.port)
    controller.start()
    try:
        yield handler, address
    finally:
        controller.stop()


@pytest.mark.parametrize("auth", [Auth.XOAUTH2, Auth.OAUTHBEARER])
def test_another_projects_server_takes_the_sign_in(
    transport_to: MakeTransport, authority: Authority, certificate: ServerCertificate, auth: Auth
) -> None:
    with independent_server(certificate) as (handler, server):
        transport = transport_to(server, **by_token(authority, Tokens(LONG), auth=auth))

        transport.send(message(), may_proceed=always)
        transport.close()

        assert handler.responses[0][0] == auth.upper()
        assert "Good morning." in handler.content


@pytest.mark.parametrize(("auth", "answer"), [(Auth.XOAUTH2, b""), (Auth.OAUTHBEARER, b"\1")])
def test_another_projects_server_refuses_and_is_answered(
    transport_to: MakeTransport, authority: Authority, certificate: ServerCertificate, auth: Auth, answer: bytes
) -> None:
    with independent_server(certificate) as (handler, server):
        transport = transport_to(server, **by_token(authority, Tokens("bad", LONG), auth=auth))

        transport.send(message(), may_proceed=always)
        transport.close()

        assert handler.answers == [answer]
        assert len(handler.responses) == 2
        assert "Good morning." in handler.content
