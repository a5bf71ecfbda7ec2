"""What the tests of this room share: who may be connected to, an authority, and a transport for a test server."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator
from dataclasses import replace
from time import monotonic
from typing import Any, Protocol

import pytest

from portal.network.policy import MailPolicy, parse_mail_allow, parse_mail_ports
from portal.transports import OutgoingMessage, SendReport
from portal.transports.smtp import SMTPTransport
from portal.transports.smtp_settings import Security, SMTPSettings
from tests.outside.certificates import Authority, ServerCertificate
from tests.outside.smtp_server import SMTPServer

CONTENT = b"Subject: Hello\r\nMessage-ID: <1@contoso.test>\r\n\r\nGood morning.\r\n"
MESSAGE = OutgoingMessage("portal@contoso.test", ("ada@contoso.test",), CONTENT)


class MakeTransport(Protocol):
    def __call__(self, server: SMTPServer, /, **changes: Any) -> SMTPTransport: ...


@pytest.fixture(scope="session")
def policy() -> MailPolicy:
    return MailPolicy(parse_mail_allow("127.0.0.0/8,::1/128"), parse_mail_ports("1-65535"))


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="session")
def certificate(authority: Authority) -> ServerCertificate:
    return authority.issue("127.0.0.1", "localhost")


@pytest.fixture
def server() -> Iterator[SMTPServer]:
    """A server without TLS and sign-in."""
    with SMTPServer() as server:
        yield server


PATIENCE_SECONDS = 0.1


class DrivenTransport(SMTPTransport):
    """Sends as somebody does who has other lines to look after, wherever it can; `waited` counts where it could not."""

    waited = 0
    driven = 0
    longest_advance = 0.0  # seconds

    def send(
        self, message: OutgoingMessage, *, may_proceed: Callable[[], bool], following: OutgoingMessage | None = None
    ) -> SendReport:
        if not self.can_start(message):
            self.waited += 1
            return super().send(message, may_proceed=may_proceed, following=following)
        self.driven += 1
        self.start(message, may_proceed=may_proceed, following=following)
        end = monotonic() + PATIENCE_SECONDS
        while (report := self._timed_advance()) is None:
            if self.fileno() < 0 or monotonic() > end or not select.select([self], [], [], PATIENCE_SECONDS)[0]:
                return self.finish()
        return report

    def _timed_advance(self) -> SendReport | None:
        begun = monotonic()
        try:
            return self.advance()
        finally:
            self.longest_advance = max(self.longest_advance, monotonic() - begun)


@pytest.fixture(params=[SMTPTransport, DrivenTransport], ids=["waiting", "driven"])
def transport_to(policy: MailPolicy, request: pytest.FixtureRequest) -> Iterator[MakeTransport]:
    """Transports that are closed at the end of the test, each driven in both ways."""
    opened = []

    def make(server: SMTPServer, /, **changes: Any) -> SMTPTransport:
        transport: SMTPTransport = request.param(settings_of(server, **changes), policy=policy)
        opened.append(transport)
        return transport

    yield make
    for transport in opened:
        transport.close()


def settings_of(server: SMTPServer, **changes: Any) -> SMTPSettings:
    """In clear text and without sign-in, unless changed."""
    plain = SMTPSettings(
        host=server.host,
        port=server.port,
        security=Security.NONE,
        helo_name="portal.contoso.test",
        timeout_seconds=5,
    )
    return replace(plain, **changes)


def always() -> bool:
    return True


def message(*rcpt_to: str, **changes: Any) -> OutgoingMessage:
    return replace(MESSAGE, rcpt_to=rcpt_to or MESSAGE.rcpt_to, **changes)
