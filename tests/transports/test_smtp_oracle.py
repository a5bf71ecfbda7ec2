"""smtplib as the oracle: from the same server both senders learn the same, recipient by recipient.

One case is left out: smtplib forgets what it was told about single recipients when the whole message is refused.
"""

from __future__ import annotations

import smtplib
from collections.abc import Callable

import pytest

from portal.transports import Abandoned, OutgoingMessage, SendReport, TransportError, Verdict
from tests.outside.smtp_server import SMTPServer
from tests.transports.conftest import MakeTransport, always, message

SENT, LATER, NEVER = "sent", "later", "never"
RECIPIENTS = ("a@x.test", "b@x.test", "c@x.test")
SCRIPTS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "nothing special": (),
    "one 550": (("RCPT", "550 5.1.1 no such user", "a@"),),
    "one 451": (("RCPT", "451 4.7.1 greylisted", "b@"),),
    "550, 451 and 250": (("RCPT", "550 5.1.1 no such user", "a@"), ("RCPT", "451 4.7.1 greylisted", "b@")),
    "251 for one": (("RCPT", "251 2.1.5 forwarded", "c@"),),
    "all 550": (("RCPT", "550 5.1.1 no such user", ""),),
    "all 451": (("RCPT", "451 4.7.1 greylisted", ""),),
    "550, 451, 450": (
        ("RCPT", "550 5.1.1 no such user", "a@"),
        ("RCPT", "451 4.7.1 greylisted", "b@"),
        ("RCPT", "450 4.2.0 busy", "c@"),
    ),
    "451 to DATA": (("DATA", "451 4.3.0 later", ""),),
    "554 to DATA": (("DATA", "554 5.6.0 no", ""),),
    "451 to the dot": (("CONTENT", "451 4.3.0 later", ""),),
    "552 to the dot": (("CONTENT", "552 5.3.4 too big", ""),),
}


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("pipelining", [True, False], ids=["together", "one by one"])
def test_what_becomes_of_each_recipient_is_what_smtplib_learns(
    transport_to: MakeTransport, name: str, pipelining: bool
) -> None:
    def ours(server: SMTPServer) -> dict[str, str]:
        return by_transport(transport_to(server).send, message(*RECIPIENTS))

    assert on_a_server(name, ours, pipelining=pipelining) == on_a_server(name, by_smtplib, pipelining=True)


@pytest.mark.parametrize("content", [b".\r\n", b"a\r\n.\r\n..\r\nb\r\n", b"no end", b"\r\n\r\n"])
def test_the_same_bytes_arrive_as_from_smtplib(transport_to: MakeTransport, content: bytes) -> None:
    with SMTPServer() as server:
        with smtplib.SMTP(server.host, server.port) as client:
            client.sendmail("portal@contoso.test", ["a@x.test"], content)
        transport_to(server).send(message("a@x.test", content=content), may_proceed=always)

        assert server.messages[0].content == server.messages[1].content
        assert server.messages[0].mail_from == server.messages[1].mail_from


def on_a_server(
    name: str, send: Callable[[SMTPServer], dict[str, str]], *, pipelining: bool
) -> tuple[dict[str, str], list[tuple[str, ...]]]:
    with SMTPServer(pipelining=pipelining) as server:
        for verb, reply, about in SCRIPTS[name]:
            server.on(verb, reply, about=about)
        return send(server), [received.rcpt_to for received in server.messages]


def by_transport(send: Callable[..., SendReport], envelope: OutgoingMessage) -> dict[str, str]:
    words = {Verdict.SENT: SENT, Verdict.DEFERRED: LATER, Verdict.FAILED: NEVER}
    try:
        report = send(envelope, may_proceed=always)
    except (TransportError, Abandoned) as error:
        raise AssertionError(f"these refusals are each recipient's own: {error}") from error
    return {result.address: words[result.verdict] for result in report.recipients}


def by_smtplib(server: SMTPServer) -> dict[str, str]:
    with smtplib.SMTP(server.host, server.port) as client:
        try:
            refused = client.sendmail("portal@contoso.test", RECIPIENTS, b"Subject: x\r\n\r\nx\r\n")
        except smtplib.SMTPRecipientsRefused as error:
            return {address: word(code) for address, (code, _) in error.recipients.items()}
        except smtplib.SMTPDataError as error:
            return dict.fromkeys(RECIPIENTS, word(error.smtp_code))
    return {address: word(refused[address][0]) if address in refused else SENT for address in RECIPIENTS}


def word(code: int) -> str:
    return LATER if code < 500 else NEVER
