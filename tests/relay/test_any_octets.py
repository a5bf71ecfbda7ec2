"""Whatever comes in: the parser never fails, never finds two messages in one, and agrees with aiosmtpd's."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import Any
from uuid import UUID

from aiosmtpd.smtp import SMTP
from hypothesis import given
from hypothesis import strategies as st

from portal.relay.commands import CommandLines, CommandRefused, parse_recipient, parse_sender
from portal.relay.content import Budget, ContentRefused, IncomingContent
from portal.relay.limits import Limits
from portal.relay.replies import Reply
from portal.relay.session import Session
from portal.relay.sign_in import Digest, Password
from portal.relay.talk import Client, StartTLS, Submission
from portal.servers.callers import Caller
from tests.relay.conftest import in_a_loop

CALLER = Caller(UUID(int=1), "Scanner", "network", None, frozenset({"send"}), "live", (), ())
CLIENT = Client(address="192.0.2.1", caller=CALLER, is_legacy=True, largest_message=5000, most_recipients=5)
LIMITS = Limits(failures=10_000, idle_commands=10_000)
ROOM = 1_000_000

WORDS = [
    b"EHLO x\r\n",
    b"HELO x\r\n",
    b"MAIL FROM:<a@contoso.test>\r\n",
    b"MAIL FROM:<>\r\n",
    b"RCPT TO:<b@contoso.test>\r\n",
    b"DATA\r\n",
    b"Subject: x\r\n\r\n",
    b"Hello.\r\n",
    b".\r\n",
    b"..\r\n",
    b".x\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b".",
    b"RSET\r\n",
    b"NOOP\r\n",
    b"QUIT\r\n",
    b"AUTH PLAIN\r\n",
    b"AUTH LOGIN\r\n",
    b"*\r\n",
    b"AGEAYg==\r\n",
    b"STARTTLS\r\n",
    b"BDAT 3 LAST\r\n",
    b"VRFY a\r\n",
    b"\r\n.\r\n",
    b"MAIL FROM:<a@contoso.test> SIZE=9999999\r\n",
    "MAIL FROM:<ä@b.test> SMTPUTF8\r\n".encode(),
]
stream = st.lists(st.one_of(st.sampled_from(WORDS), st.binary(max_size=30)), max_size=40).map(b"".join)
content = st.lists(
    st.one_of(
        st.sampled_from([b"\r\n", b".", b"\r", b"\n", b"\0", b"x", b"From: a@b.test\r\n"]), st.binary(max_size=8)
    ),
    max_size=60,
).map(b"".join)


def cut(octets: bytes, places: list[int]) -> list[bytes]:
    """The octets in pieces, as a network may bring them."""
    bounds = [0, *sorted(place % (len(octets) + 1) for place in places), len(octets)]
    return [octets[start:end] for start, end in pairwise(bounds)]


class Conversation:
    """A session whose questions are answered at once."""

    def __init__(self) -> None:
        self.budget = Budget(ROOM)
        self.session = Session(CLIENT, host="portal.test", scheme="starttls", limits=LIMITS, budget=self.budget)
        self.taken: list[tuple[str, tuple[str, ...], bytes]] = []

    def receive(self, data: bytes) -> None:
        self.session.receive(data)
        while (ask := self.session.asks) is not None and not self.session.is_over:
            if isinstance(ask, Submission):
                self._take(ask)
            elif isinstance(ask, StartTLS):
                self.session.secured()
            else:
                assert isinstance(ask, Password | Digest)
                self.session.signed_in(None)

    def _take(self, submission: Submission) -> None:
        try:
            self.taken.append((submission.mail_from, submission.rcpt_to, submission.content.finished()))
        except ContentRefused as refused:
            self.session.answer(refused.reply)
        else:
            self.session.answer(Reply(250, "2.0.0", "OK"))


@given(stream, st.lists(st.integers(0, 2000), max_size=6))
def test_any_octets_are_answered_by_whole_replies_and_what_is_taken_is_clean(octets: bytes, places: list[int]) -> None:
    conversation = Conversation()

    for piece in cut(octets, places):
        if not conversation.session.is_over:
            conversation.receive(piece)

    session = conversation.session
    said = bytes(session.output)
    assert said == b"" or said.endswith(b"\r\n")
    assert all(
        line[:3].isdigit() and line[3:4] in {b" ", b"-"} and len(line) <= 510 for line in said.split(b"\r\n")[:-1]
    )
    for sender, recipients, taken in conversation.taken:
        assert sender in {"", "a@contoso.test", "ä@b.test"}
        assert recipients == ("b@contoso.test",)
        assert b"\0" not in taken
        assert taken.count(b"\r") == taken.count(b"\n") == taken.count(b"\r\n")
    if session.arriving is None:
        assert conversation.budget.take(ROOM)


@given(content, content, st.lists(st.integers(0, 2000), max_size=6))
def test_a_message_ends_where_aiosmtpd_ends_it_or_is_refused(first: bytes, second: bytes, places: list[int]) -> None:
    octets = first + b"\r\n.\r\n" + second + b"\r\n.\r\n"
    incoming = IncomingContent(100_000, Budget(ROOM))
    rest = None
    pieces = cut(octets, places)
    while rest is None:
        rest = incoming.feed(pieces.pop(0))
    behind = rest + b"".join(pieces)
    whole = octets[: len(octets) - len(behind)]

    try:
        taken: bytes | None = incoming.finished()
    except ContentRefused:
        taken = None

    is_clean = whole.count(b"\r") == whole.count(b"\n") == whole.count(b"\r\n") and b"\0" not in whole
    assert whole.endswith(b"\r\n.\r\n") or whole == b".\r\n"
    assert (taken is not None) == is_clean
    if taken is not None:
        assert taken == aiosmtpd_takes(whole)
        assert dotted(taken) + b".\r\n" == whole or b"\r\n." in b"\r\n" + taken + whole


def dotted(content: bytes) -> bytes:
    return (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:]


@given(content)
def test_what_a_client_dots_arrives_as_it_was(written: bytes) -> None:
    message = written.replace(b"\r", b"").replace(b"\0", b"").replace(b"\n", b"\r\n") + b"\r\n"
    incoming = IncomingContent(100_000, Budget(ROOM))

    rest = incoming.feed(dotted(message) + b".\r\nQUIT\r\n")

    assert rest == b"QUIT\r\n"
    assert incoming.finished() == message


@given(
    st.lists(st.one_of(st.sampled_from([b"\r\n", b"\r", b"\n", b"NOOP", b"x" * 700]), st.binary(max_size=5))).map(
        b"".join
    )
)
def test_lines_are_found_or_refused_and_none_holds_the_end_of_another(octets: bytes) -> None:
    lines = CommandLines()
    lines.feed(octets)
    found: list[bytes] = []

    while True:
        try:
            line = lines.take()
        except CommandRefused as refused:
            if refused.reply.closes:
                break
            continue
        if line is None:
            break
        found.append(line)

    assert all(b"\r" not in line and b"\n" not in line and len(line) <= 2046 for line in found)


@given(st.one_of(st.text(max_size=40), st.from_regex(r"(FROM|TO): ?<?[^<>]{0,30}@?[^<>]{0,20}>?( [A-Z]+=?\w*)?")))
def test_any_argument_is_one_address_or_refused(text: str) -> None:
    argument = text.encode("utf-8", "replace")

    with suppress(CommandRefused):
        recipient = parse_recipient(argument, needs_smtputf8=True)
        assert recipient.count("@") == 1
        assert not set(recipient) & set('<>\r\n %!:"\\,;')
    with suppress(CommandRefused):
        sender = parse_sender(argument).address
        assert sender.count("@") <= 1
        assert not set(sender) & set('<>\r\n "\\,;:')


def aiosmtpd_takes(whole: bytes) -> bytes | None:
    """The content as aiosmtpd hands it on, None where it takes none."""
    return in_a_loop(partial(_oracle, whole))


async def _oracle(whole: bytes) -> bytes | None:
    taken: list[bytes] = []

    class Handler:
        async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
            taken.append(envelope.original_content)
            return "250 OK"

    class Wire(asyncio.Transport):
        def __init__(self) -> None:
            super().__init__()
            self.said = b""
            self.is_closed = False

        def write(self, data: Any) -> None:
            self.said += bytes(data)

        def is_closing(self) -> bool:
            return self.is_closed

        def get_extra_info(self, name: str, default: Any = None) -> Any:
            return ("127.0.0.1", 1) if name == "peername" else default

        def close(self) -> None:
            return

        def get_protocol(self) -> Any:
            return protocol

    protocol = SMTP(Handler(), hostname="peer.test", enable_SMTPUTF8=True, loop=asyncio.get_running_loop())
    wire = Wire()
    protocol.connection_made(wire)
    for data in (
        b"EHLO x\r\nMAIL FROM:<a@contoso.test>\r\nRCPT TO:<b@contoso.test>\r\nDATA\r\n",
        whole,
    ):
        protocol.data_received(data)
        for _ in range(200):
            if taken or (data is not whole and b"354" in wire.said):
                break
            await asyncio.sleep(0)
    wire.is_closed = True
    protocol.connection_lost(None)
    if protocol._handler_coroutine is not None:
        protocol._handler_coroutine.cancel()
        await asyncio.gather(protocol._handler_coroutine, return_exceptions=True)
    return taken[0] if taken else None
