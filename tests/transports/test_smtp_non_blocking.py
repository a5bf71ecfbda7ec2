"""A message that is started and left alone while the server thinks: the same end as if it had been waited for."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from portal.network.policy import MailPolicy
from portal.transports import Abandoned, OutgoingMessage, SendReport, TransportError, Verdict
from portal.transports.smtp import MOST_MESSAGES, SMTPTransport
from portal.transports.smtp_settings import Security
from tests.outside.certificates import Authority, ServerCertificate
from tests.outside.smtp_server import SMTPServer
from tests.transports.conftest import DrivenTransport, always, message, settings_of

FIRST = message("first@contoso.test")
SECOND = message("second@contoso.test", "third@contoso.test")
THIRD = message("fourth@contoso.test")
NOT_SMTP = b"no reply at all\r\n"
STEPS = ("MAIL", "RCPT", "DATA", "CONTENT")
ANSWERS = {
    "refused for now": {"reply": "451 4.3.0 later"},
    "refused": {"reply": "554 5.7.1 no"},
    "refused in two lines": {"reply": b"554-5.7.1 no\r\n554 5.7.1 and no\r\n"},
    "goodbye": {"reply": "421 4.3.2 enough", "drop": "after"},
    "goodbye without an end": {"reply": "421 4.3.2 enough"},
    "gone before": {"drop": "before"},
    "gone after": {"drop": "after"},
    "no reply": {"reply": NOT_SMTP},
    "another success": {"reply": "354 go on"},
    "half an answer more": {"reply": b"354 go on\r\n25"},
    "slow": {"delay": 0.2},
    "byte by byte": {"trickle": 0.01},
    "silent": {"silent": True},
    "endless": {"flood": b"250-still thinking\r\n"},
}


@pytest.fixture
def driven(server: SMTPServer, policy: MailPolicy) -> Iterator[DrivenTransport]:
    transport = DrivenTransport(settings_of(server), policy=policy)
    yield transport
    transport.close()


def what_comes_of(transport: SMTPTransport, *messages: OutgoingMessage, announced: bool) -> list[str]:
    """In words, message by message; without what differs from run to run."""
    told = []
    for place, one in enumerate(messages):
        following = messages[place + 1] if announced and place + 1 < len(messages) else None
        try:
            report = transport.send(one, may_proceed=always, following=following)
        except TransportError as error:
            told.append(f"{type(error).__name__} {error.step} {error.code} {error.reply}")
        else:
            told += [f"{result.verdict} {result.reply.code} {result.code}" for result in report.recipients]
    transport.close()
    return told


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "not announced"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("answer", ANSWERS)
def test_whatever_the_server_does_comes_to_the_same(
    server: SMTPServer, policy: MailPolicy, step: str, answer: str, announced: bool
) -> None:
    told = []
    taken = []
    settings = settings_of(server, timeout_seconds=0.6)
    waiting, driven = SMTPTransport(settings, policy=policy), DrivenTransport(settings, policy=policy)
    for transport in (waiting, driven):
        transport.send(THIRD, may_proceed=always)
        before = len(server.messages)
        server.on(step, about="second@" if step in {"RCPT"} else "", times=1, **ANSWERS[answer])  # type: ignore[arg-type]
        told.append(what_comes_of(transport, SECOND, FIRST, announced=announced))
        server.forget_scripts()
        taken.append([received.rcpt_to for received in server.messages[before:]])

    assert told[1] == told[0]
    assert taken[1] == taken[0]
    assert driven.driven  # else nothing was shown
    assert driven.longest_advance < 0.4


def test_nobody_waits_for_the_answer(server: SMTPServer, driven: DrivenTransport) -> None:
    driven.send(FIRST, may_proceed=always)
    server.on("CONTENT", delay=0.5, times=1)

    begun = time.monotonic()
    driven.start(SECOND, may_proceed=always)
    answers: list[SendReport | None] = []
    longest = 0.0
    while not (answers and answers[-1]):
        asked = time.monotonic()
        answers.append(driven.advance())
        longest = max(longest, time.monotonic() - asked)
        select.select([driven], [], [], 0.05)

    assert time.monotonic() - begun >= 0.5
    assert longest < 0.25
    assert [result.verdict for result in answers[-1].recipients] == [Verdict.SENT, Verdict.SENT]
    assert len(server.wait_for_messages(2)) == 2


def test_the_permit_is_asked_once_and_heeded(server: SMTPServer, driven: DrivenTransport) -> None:
    driven.send(FIRST, may_proceed=always)
    asked: list[bool] = []

    def never() -> bool:
        asked.append(True)
        return False

    with pytest.raises(Abandoned):
        driven.send(SECOND, may_proceed=never)
    driven.send(THIRD, may_proceed=always)

    assert (driven.driven, len(asked)) == (1, 1)
    assert [received.rcpt_to for received in server.wait_for_messages(2)] == [FIRST.rcpt_to, THIRD.rcpt_to]


@pytest.mark.parametrize("moves", [1, 2, 3])
def test_a_message_that_is_forsaken_is_none(server: SMTPServer, driven: DrivenTransport, moves: int) -> None:
    """Nothing of it is taken, nor is the farewell taken for its content."""
    server.on("RCPT", about="second@", delay=0.2)
    driven.send(FIRST, may_proceed=always)

    driven.start(SECOND, may_proceed=always)
    for _ in range(moves):
        assert driven.advance() is None
    driven.close()
    server.wait_until_idle()

    assert [received.rcpt_to for received in server.messages] == [FIRST.rcpt_to]
    assert "QUIT" not in server.commands


def test_what_would_take_waiting_is_not_started(server: SMTPServer, policy: MailPolicy) -> None:
    now = 0.0
    transport = SMTPTransport(settings_of(server), policy=policy, clock=lambda: now)
    large = replace(FIRST, content=FIRST.content + b"x\r\n" * 20_000)
    to_many = message(*(f"user{number}@contoso.test" for number in range(40)))

    assert not transport.can_start(FIRST)  # there is no connection
    transport.send(FIRST, may_proceed=always, following=SECOND)
    assert transport.can_start(SECOND)
    assert not transport.can_start(THIRD)  # another one is announced
    transport.send(SECOND, may_proceed=always)
    assert transport.can_start(THIRD)
    assert not transport.can_start(large)
    assert not transport.can_start(to_many)
    now = 29.0
    assert transport.can_start(THIRD)
    now = 31.0
    assert not transport.can_start(THIRD)
    transport.close()


@pytest.mark.parametrize("farewell", [b"421 4.4.2 idle for too long\r\n", b"42", b""])
def test_a_server_that_went_meanwhile_is_met_with_a_new_connection(
    server: SMTPServer, driven: DrivenTransport, farewell: bytes
) -> None:
    driven.send(FIRST, may_proceed=always)
    assert driven.can_start(SECOND)
    server.sessions[0].tell(farewell)
    server.sessions[0].close()
    until_readable(driven)

    assert not driven.can_start(SECOND)
    [first, _] = driven.send(SECOND, may_proceed=always).recipients
    assert first.verdict is Verdict.SENT
    assert (driven.driven, server.connections) == (0, 2)


def until_readable(transport: SMTPTransport) -> None:
    assert select.select([transport], [], [], 5)[0]


def test_a_refused_message_must_be_reset_first(server: SMTPServer, driven: DrivenTransport) -> None:
    server.on("RCPT", "550 5.1.1 no such user", about="second@")
    driven.send(message("second@contoso.test"), may_proceed=always)

    assert not driven.can_start(THIRD)
    driven.send(THIRD, may_proceed=always)
    assert driven.can_start(FIRST)


def test_a_spent_connection_is_changed_by_who_may_wait(driven: DrivenTransport) -> None:
    for _ in range(MOST_MESSAGES):
        driven.send(FIRST, may_proceed=always)

    assert not driven.can_start(FIRST)


def test_without_pipelining_each_command_is_waited_for(policy: MailPolicy) -> None:
    with SMTPServer(pipelining=False) as server:
        transport = SMTPTransport(settings_of(server), policy=policy)
        transport.send(FIRST, may_proceed=always)

        assert not transport.can_start(SECOND)
        transport.close()


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_over_tls(
    policy: MailPolicy, authority: Authority, certificate: ServerCertificate, tls: str, drive: Drive
) -> None:
    security = {"starttls": Security.STARTTLS, "implicit": Security.IMPLICIT_TLS}[tls]
    with SMTPServer(tls=tls, certificate=certificate) as server:
        settings = settings_of(server, security=security, ca_certificate=authority.pem)
        transport = DrivenTransport(settings, policy=policy)

        drive(transport)

        assert (transport.waited, transport.driven) == (1, 29)
        assert len(server.wait_for_messages(30)) == 30
        transport.close()


Drive = Callable[[SMTPTransport], None]


@pytest.fixture
def drive() -> Drive:
    def drive(transport: SMTPTransport) -> None:
        messages = [message(f"user{number}@contoso.test") for number in range(30)]
        for one, following in zip(messages, [*messages[1:], None], strict=True):
            [result] = transport.send(one, may_proceed=always, following=following).recipients
            assert result.verdict is Verdict.SENT

    return drive
