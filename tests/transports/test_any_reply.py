"""Whatever a submission server says, byte by byte: a reply, or a fault with a name, and never for long."""

from __future__ import annotations

import re
import smtplib
import socket
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from io import BytesIO
from time import monotonic
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.mail.status_codes import split_status_code
from portal.network.policy import MailPolicy
from portal.transports import SendReport, Step, TransportError
from portal.transports.diagnosis import all_codes
from portal.transports.smtp import SMTPTransport
from portal.transports.smtp_capabilities import read_capabilities
from portal.transports.smtp_conversation import Conversation
from portal.transports.smtp_settings import Auth, Security, SMTPSettings
from portal.transports.smtp_wire import LONGEST_LINE, MOST_REPLY_LINES, RawReply, Wire, WireFault
from tests.outside.certificates import Authority, ServerCertificate
from tests.outside.smtp_server import STEPS, SMTPServer
from tests.strangers import json_objects, json_texts, json_values, octets_with, outcome_of
from tests.transports.conftest import always, message, settings_of

PASSWORD = "geheim-9f2c-" + "x7Q" * 12
CODES = {code for code, _ in all_codes()}
LINES = st.binary(max_size=60).map(lambda text: text.replace(b"\n", b"").rstrip(b"\r"))
ODD_REPLIES = octets_with(
    *(b"250", b"220", b"354", b"334", b"235", b"421", b"535", b"550", b"5.7.1", b"99", b"0"),
    *(b" ", b"-", b"\r\n", b"\n", b"\r", b"\0", b"\xff", b"\x15\x03", b"250 ok\r\n", b"550 5.7.60 no\r\n"),
    *(b"250-STARTTLS\r\n", b"250-AUTH PLAIN LOGIN XOAUTH2\r\n", b"250 SIZE 1000\r\n", PASSWORD.encode(), b"9" * 9000),
)

TEXTS = st.sampled_from(
    [
        b"ok",
        b"5.7.1 no",
        b"STARTTLS",
        b"AUTH PLAIN LOGIN XOAUTH2",
        b"x" * 3000,
        b"y" * 8190,
        PASSWORD.encode(),
        b"\xff\0\x1b[2J",
    ]
) | st.binary(max_size=20)
REPLIES = ODD_REPLIES | st.lists(
    st.builds(
        b"%d%s%s%s".__mod__,
        st.tuples(
            st.sampled_from([250, 550]) | st.sampled_from([220, 235, 334, 354, 421, 451, 535, 599, 600, 199]),
            st.sampled_from([b" ", b"-", b"-", b""]),
            TEXTS,
            st.sampled_from([b"\r\n", b"\n"]),
        ),
    ),
    max_size=12,
).map(b"".join)


@contextmanager
def wire_that_hears(*pieces: bytes) -> Iterator[Wire]:
    """A wire whose server says these pieces, each in a packet of its own, and goes."""
    theirs, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, ours:
        for piece in pieces:
            theirs.send(piece)
        theirs.shutdown(socket.SHUT_WR)
        yield Wire(ours, deadline=monotonic() + 5, secrets=(PASSWORD,))


@given(REPLIES)
def test_any_bytes_are_a_reply_or_a_fault_with_a_name(said: bytes) -> None:
    heard: list[RawReply] = []

    with wire_that_hears(*_pieces(said)) as wire, pytest.raises(WireFault) as caught:
        while True:
            heard.append(wire.read_reply(seconds=1))

    assert caught.value.code in CODES
    assert caught.value.seen.isprintable()
    assert PASSWORD not in caught.value.seen
    for reply in heard:
        assert 200 <= reply.code <= 599
        assert len(reply.lines) <= MOST_REPLY_LINES
        assert all(len(line) <= LONGEST_LINE for line in reply.lines)


def _pieces(said: bytes) -> Iterator[bytes]:
    """As a stream brings them; no more than a socket's buffer holds."""
    return (said[start : start + 7000] for start in range(0, min(len(said), 70_000), 7000))


@given(code=st.integers(200, 599), lines=st.lists(LINES, min_size=1, max_size=8), data=st.data())
def test_any_reply_is_read_back_however_it_is_cut_in_pieces(code: int, lines: list[bytes], data: Any) -> None:
    said = b"".join(b"%d%s%s\r\n" % (code, b"-" if line else b" ", text) for line, text in _numbered(lines))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(said) - 1), max_size=5)))

    with wire_that_hears(*(said[start:end] for start, end in zip([0, *cuts], [*cuts, len(said)], strict=True))) as wire:
        reply = wire.read_reply(seconds=1)

    assert (reply.code, reply.lines) == (code, lines)
    assert (code, b"\n".join(line.strip(b" \t\r\n") for line in lines)) == _as_smtplib_reads(said)


def _numbered(lines: list[bytes]) -> Iterator[tuple[int, bytes]]:
    """Each line with how many follow."""
    return zip(reversed(range(len(lines))), lines, strict=True)


def _as_smtplib_reads(said: bytes) -> tuple[int, bytes]:
    client = smtplib.SMTP()
    client.file = BytesIO(said)  # type: ignore[attr-defined]
    return client.getreply()


@given(step=st.sampled_from(Step), code=st.integers(200, 599), said=REPLIES)
def test_a_refusal_reads_well_and_has_a_known_code(step: Step, code: int, said: bytes) -> None:
    with wire_that_hears() as wire:
        error = Conversation(_settings(), wire).refusal(step, RawReply(code, said.split(b"\n")))

    assert error.code in CODES
    assert error.reply is not None
    assert len(error.reply.text) <= 1000
    assert error.reply.text.isprintable()
    assert PASSWORD not in error.reply.text


def _settings() -> SMTPSettings:
    return SMTPSettings(
        host="mail.contoso.test", port=25, security=Security.NONE, password=PASSWORD, helo_name="portal.contoso.test"
    )


STATUS_CODES = st.builds(
    "{}{}.{}.{}{}".format,
    st.sampled_from(["", " ", "#", "x"]),
    st.sampled_from([2, 4, 5, 5, 6, 55]),
    st.sampled_from([0, 1, 999, 1000]),
    st.sampled_from([0, 139, 999, 1000]),
    st.sampled_from(["", " no", ":", ".", "x", "-"]),
)


@given(STATUS_CODES | st.text(st.sampled_from("0123456789.#:;,- \tx") | st.characters(), max_size=40))
def test_any_text_is_a_status_code_and_the_rest(text: str) -> None:
    code, rest = split_status_code(text)

    assert code is None or re.fullmatch(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}", code)
    assert text.endswith(rest)
    assert (code is None) == (rest == text)


WORDS = (
    "SIZE",
    "STARTTLS",
    "PIPELINING",
    "8BITMIME",
    "SMTPUTF8",
    "AUTH",
    "AUTH=LOGIN",
    "PLAIN",
    "1000",
    "-1",
    "9" * 19,
    "9" * 20,
    "9" * 5000,
)
EXTENSIONS = st.sampled_from(["SIZE " + "9" * 20, "SIZE=5", "AUTH=PLAIN PLAIN", "AUTH " + "X" * 21]) | st.lists(
    st.sampled_from(WORDS) | st.text(max_size=30), max_size=5
).map(" ".join)


@given(st.lists(EXTENSIONS.map(str.encode) | st.binary(max_size=60), max_size=10))
def test_any_answer_to_ehlo_is_a_list_of_extensions(lines: list[bytes]) -> None:
    offered = read_capabilities(lines)

    assert 0 <= offered.largest_message < 10**19
    assert all(re.fullmatch(r"[A-Z0-9_-]{1,20}", name) for name in offered.mechanisms)


PROPER = {
    "SIZE": st.integers(0, 10**12).map(str),
    "AUTH": st.lists(st.sampled_from(["PLAIN", "LOGIN", "XOAUTH2", "CRAM-MD5"]), min_size=1, unique=True).map(" ".join),
} | dict.fromkeys(("STARTTLS", "PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "X-EXTENSION"), st.just(""))


@given(st.lists(st.sampled_from(sorted(PROPER)), unique=True), st.data())
def test_a_proper_answer_to_ehlo_says_what_smtplib_finds_in_it(names: list[str], data: Any) -> None:
    lines = [f"{name} {data.draw(PROPER[name])}".strip() for name in names]

    offered = read_capabilities(line.encode() for line in lines)

    client = smtplib.SMTP()
    client.docmd = lambda *_: (250, "\n".join(["mail.contoso.test", *lines]).encode())  # type: ignore[method-assign]
    client.putcmd = lambda *_: None  # type: ignore[method-assign]
    client.getreply = client.docmd  # type: ignore[method-assign]
    client.ehlo("portal.contoso.test")
    switches = (offered.starttls, offered.pipelining, offered.eight_bit, offered.smtputf8, offered.has_size)
    extensions = ("starttls", "pipelining", "8bitmime", "smtputf8", "size")
    assert switches == tuple(map(client.has_extn, extensions))
    assert offered.largest_message == int(client.esmtp_features.get("size") or 0)
    assert list(offered.mechanisms) == client.esmtp_features.get("auth", "").split()


@pytest.fixture(scope="module")
def plain_server() -> Iterator[SMTPServer]:
    with SMTPServer() as server:
        yield server


@pytest.fixture(scope="module")
def token_server(certificate: ServerCertificate) -> Iterator[SMTPServer]:
    with SMTPServer(tokens={}, tls="implicit", certificate=certificate) as server:
        yield server


@settings(max_examples=60)
@given(script=st.dictionaries(st.sampled_from(STEPS), REPLIES, min_size=1, max_size=3))
def test_whatever_is_said_at_any_step_sending_ends_with_a_report_or_a_fault(
    plain_server: SMTPServer, policy: MailPolicy, script: dict[str, bytes]
) -> None:
    plain_server.forget_scripts()
    for step, said in script.items():
        plain_server.on(step, said, drop="" if said.endswith(b"\n") else "after")

    outcome = sent_by(SMTPTransport(settings_of(plain_server, timeout_seconds=0.2), policy=policy))

    if isinstance(outcome, SendReport):
        assert [result.address for result in outcome.recipients] == ["ada@contoso.test", "bob@contoso.test"]
        assert all(result.reply.text.isprintable() for result in outcome.recipients)
    else:
        assert outcome.code in CODES
        assert str(outcome).isprintable()


COMPLAINTS = json_objects("status", "schemes", "scope", words=("400", "Bearer", PASSWORD)) | json_values("status")
CHALLENGES = st.one_of(
    json_texts(COMPLAINTS)
    .filter(lambda text: len(text) < 6000)
    .map(lambda text: b64encode(text.encode("utf-8", "replace"))),
    octets_with(b"eyJ9", b"=", b" ", b"\r\n334-"),
)


@settings(max_examples=30)
@given(CHALLENGES)
def test_any_complaint_about_a_token_ends_the_sign_in_with_a_fault_that_does_not_show_the_token(
    token_server: SMTPServer, policy: MailPolicy, authority: Authority, challenge: bytes
) -> None:
    token_server.forget_scripts()
    token_server.on("TOKEN", b"334 " + challenge + b"\r\n")
    by_token = {"security": Security.IMPLICIT_TLS, "ca_certificate": authority.pem, "auth": Auth.XOAUTH2}
    signing_in = settings_of(token_server, **by_token, username="portal@contoso.test", password=PASSWORD)

    outcome = sent_by(SMTPTransport(replace(signing_in, timeout_seconds=0.5), policy=policy))

    assert isinstance(outcome, TransportError)
    assert outcome.code in CODES
    assert PASSWORD not in f"{outcome} {outcome.seen}"


def sent_by(transport: SMTPTransport) -> SendReport | TransportError:
    to_both = message("ada@contoso.test", "bob@contoso.test")
    with closing(transport):
        return outcome_of(lambda: transport.send(to_both, may_proceed=always), TransportError)
