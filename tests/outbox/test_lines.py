"""Several lines to one server, driven by one thread while the server is quick, and by one each when it is not."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.exc import DatabaseError

from portal import outbox as room
from portal.outbox import lines
from portal.outbox.crew import Crew
from portal.outbox.lines import Line
from portal.outbox.outcomes import Outcome
from portal.outbox.prepared import WayOut
from portal.outbox.sender_threads import SenderThread
from portal.outbox.senders import Sender
from portal.transports import OutgoingMessage, Transport, smtp
from portal.transports.smtp import SMTPTransport
from portal.transports.smtp_conversation import Conversation
from tests.outbox.conftest import Outbox, StartWorker, until
from tests.outbox.scripted import MAIN, message_id_of, way_out
from tests.outbox.worker_to_kill import smtp_to
from tests.outside.smtp_server import SMTPServer

MESSAGES = 600
pytestmark = pytest.mark.parametrize("start_worker", [False], ids=["smtp"], indirect=True)


class Threads:
    """Which thread started messages on which transport, and how many connections are open."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lines: defaultdict[int, set[int]] = defaultdict(set)
        self.started = 0
        self.most_open = 0
        self._conversations: list[Conversation] = []
        start = SMTPTransport.start
        open_conversation = smtp.open_conversation

        def noted(transport: SMTPTransport, message: OutgoingMessage, **others: Any) -> None:
            self.lines[threading.get_ident()].add(id(transport))
            self.started += 1
            start(transport, message, **others)

        def opened(*arguments: Any, **others: Any) -> Conversation:
            conversation = open_conversation(*arguments, **others)
            self._conversations.append(conversation)
            self.most_open = max(self.most_open, self.open_now)
            return conversation

        monkeypatch.setattr(SMTPTransport, "start", noted)
        monkeypatch.setattr(smtp, "open_conversation", opened)

    @property
    def open_now(self) -> int:
        return sum(conversation.wire.socket.fileno() >= 0 for conversation in self._conversations)

    @property
    def most_lines(self) -> int:
        """Of one thread, over time."""
        return max(map(len, self.lines.values()), default=0)


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Threads:
    # The server here shares processor and interpreter with what is tested, and may not be quick by itself.
    monkeypatch.setattr(lines, "QUICK_SECONDS", 0.05)
    return Threads(monkeypatch)


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> list[SenderThread]:
    """No sender gets a thread for a line that it parts with; those that were refused."""
    start = SenderThread.start
    refused: list[SenderThread] = []

    def none_left(sender: SenderThread) -> None:
        if isinstance(threading.current_thread(), SenderThread):
            refused.append(sender)
            raise RuntimeError("can't start new thread")
        start(sender)

    monkeypatch.setattr(SenderThread, "start", none_left)
    return refused


@pytest.fixture
def server(outbox: Outbox) -> Iterator[SMTPServer]:
    with SMTPServer() as server:
        outbox.world.lead("default", [way_out(max_connections=3)])
        lead_to(outbox, {1: server})
        yield server


def lead_to(outbox: Outbox, servers: Mapping[int, SMTPServer]) -> None:
    """By the version of the way out's settings; before the worker starts."""

    def open_transport(way: WayOut) -> Transport:
        return smtp_to(servers[way.version].port)

    outbox.world.open_transport = open_transport  # type: ignore[method-assign]


def add(outbox: Outbox, count: int = MESSAGES) -> None:
    outbox.in_session(lambda session: [outbox.add_in(session) for _ in range(count)])


def seconds_for_as_many_again(outbox: Outbox, server: SMTPServer) -> float:
    """From when they are queued until all have come, each once."""
    add(outbox)
    begun = time.monotonic()
    until(lambda: len(outbox.ended) == 2 * MESSAGES, within=30)
    seconds = time.monotonic() - begun
    assert copies(server) == {1: 2 * MESSAGES}
    return seconds


def copies(*servers: SMTPServer) -> Counter[int]:
    """How many messages came so often."""
    ids = Counter(message_id_of(message.content) for server in servers for message in server.messages)
    return Counter(ids.values())


def test_a_quick_servers_lines_are_driven_by_one_thread(
    outbox: Outbox, server: SMTPServer, start_worker: StartWorker, threads: Threads
) -> None:
    add(outbox)
    start_worker()
    until(lambda: len(outbox.ended) == MESSAGES, within=30)

    assert copies(server) == {1: MESSAGES}
    assert outbox.states() == ["sent"] * MESSAGES
    assert threads.started > MESSAGES / 2
    assert threads.most_lines > 1
    assert threads.most_open == 3


def test_a_slow_servers_lines_have_a_thread_each(
    outbox: Outbox, server: SMTPServer, start_worker: StartWorker, threads: Threads
) -> None:
    server.on("CONTENT", delay=0.1)
    add(outbox, 60)
    start_worker()
    until(lambda: len(outbox.ended) == 60, within=30)

    assert copies(server) == {1: 60}
    assert threads.started == 0
    assert threads.most_open == 3


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "CONTENT"])
def test_a_line_that_hangs_holds_up_no_other(
    outbox: Outbox, server: SMTPServer, start_worker: StartWorker, threads: Threads, verb: str
) -> None:
    add(outbox)
    start_worker()
    until(lambda: threads.most_lines > 1)
    server.on(verb, delay=4, times=1)
    begun = time.monotonic()
    add(outbox, 300)

    until(lambda: len(outbox.ended) >= MESSAGES + 300 - 20, within=30)
    most_are_sent_after = time.monotonic() - begun
    until(lambda: len(outbox.ended) == MESSAGES + 300, within=30)

    assert most_are_sent_after < 3.5
    assert copies(server) == {1: MESSAGES + 300}
    assert threads.most_open == 3


def test_a_line_that_trickles_holds_up_no_other(
    outbox: Outbox, server: SMTPServer, start_worker: StartWorker, threads: Threads
) -> None:
    add(outbox)
    start_worker()
    until(lambda: threads.most_lines > 1)
    server.sessions[-1].seconds_per_message = 0.08

    assert seconds_for_as_many_again(outbox, server) < 5


def test_a_fault_of_one_line_is_written_down_at_once(
    outbox: Outbox, server: SMTPServer, start_worker: StartWorker, threads: Threads
) -> None:
    add(outbox, 3 * MESSAGES)
    start_worker()
    until(lambda: threads.most_lines > 1)
    server.sessions[-1].seconds_per_message = 0.08
    server.on("MAIL", "530 5.7.0 authentication required", times=1)
    until(lambda: any(attempt.reply_code == 530 for attempt in outbox.attempts_of_all()))
    seen = next(attempt for attempt in outbox.attempts_of_all() if attempt.reply_code == 530)
    state = outbox.in_session(room.way_out_states)[MAIN]

    assert (state.since - seen.started_at).total_seconds() < 1


def test_without_a_thread_to_be_had_the_line_is_waited_on(
    outbox: Outbox, server: SMTPServer, start_worker: StartWorker, threads: Threads, refused: list[SenderThread]
) -> None:
    """Nothing is lost or sent twice for it."""
    add(outbox, 1500)
    running = start_worker()
    until(lambda: len(outbox.ended) == 1500, within=40)
    running.end()

    assert refused
    assert copies(server) == {1: 1500}
    assert outbox.states() == ["sent"] * 1500


def test_without_a_thread_to_be_had_a_line_that_hangs_runs_out_of_time(
    outbox: Outbox, server: SMTPServer, start_worker: StartWorker, threads: Threads, refused: list[SenderThread]
) -> None:
    """And so does not keep the results of the others from being written down."""
    add(outbox, 150)  # no connection is spent
    running = start_worker()
    until(lambda: threads.most_lines > 1)
    until(lambda: len(outbox.ended) == 150, within=30)
    server.on("MAIL", silent=True, times=1)
    add(outbox, 60)

    until(lambda: sorted(outbox.states()) == ["deferred"] + ["sent"] * 209, within=20)
    assert running.end() < 5
    assert refused


def test_a_gatherer_that_ends_is_given_no_line(
    outbox: Outbox,
    server: SMTPServer,
    start_worker: StartWorker,
    threads: Threads,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given_too_late: list[Line] = []
    ending: list[threading.Thread] = []
    end, give = SenderThread._end, Crew.give

    def noting_end(sender: SenderThread) -> None:
        if sender._crew._gatherer is sender:
            ending.append(sender)
        end(sender)

    def noting_give(crew: Crew, line: Line, *, by: threading.Thread) -> bool:
        gatherer = crew._gatherer
        is_given = give(crew, line, by=by)
        if is_given and gatherer in ending:
            given_too_late.append(line)
        return is_given

    monkeypatch.setattr(SenderThread, "_end", noting_end)
    monkeypatch.setattr(Crew, "give", noting_give)
    server.on("QUIT", silent=True)  # each farewell takes a second
    add(outbox, 300)
    start_worker(idle_after=timedelta(seconds=0.5))
    until(lambda: threads.most_lines > 1)
    until(lambda: len(outbox.ended) == 300, within=30)
    until(lambda: ending)
    add(outbox, MESSAGES)

    until(lambda: len(outbox.ended) == 300 + MESSAGES, within=30)
    assert given_too_late == []


def test_lines_that_were_given_do_not_wait_for_those_that_trickle(
    outbox: Outbox, server: SMTPServer, start_worker: StartWorker, threads: Threads
) -> None:
    """While all lines of the gatherer trickle, others that it was given are not left idle."""
    add(outbox)
    start_worker()
    until(lambda: threads.most_lines > 1)
    until(lambda: len(outbox.ended) == MESSAGES, within=30)
    for session in server.sessions[:2]:
        session.seconds_per_message = 0.08

    assert seconds_for_as_many_again(outbox, server) < 6


def test_a_farewell_without_an_answer_holds_up_nobody(
    outbox: Outbox, server: SMTPServer, start_worker: StartWorker, threads: Threads
) -> None:
    server.on("QUIT", silent=True)
    add(outbox, 300)  # no connection is spent
    start_worker(idle_after=timedelta(seconds=0.5))
    until(lambda: threads.most_lines > 1)
    until(lambda: len(outbox.ended) == 300, within=30)
    longest = 0.0
    for count in range(1, 41):
        begun = time.monotonic()
        outbox.add()
        until(lambda count=count: len(outbox.ended) == 300 + count)  # type: ignore[misc]
        longest = max(longest, time.monotonic() - begun)
        time.sleep(0.05)

    assert "QUIT" in server.commands
    assert longest < 0.9  # a farewell takes a second


@pytest.mark.parametrize("error", [DatabaseError("no", None, Exception()), RuntimeError("a flaw")])
def test_an_error_behind_the_commit_leaves_nothing_in_nobodys_hands(
    outbox: Outbox,
    server: SMTPServer,
    start_worker: StartWorker,
    threads: Threads,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    add(outbox, 3 * MESSAGES)
    start_worker(lease=timedelta(seconds=1))
    until(lambda: threads.most_lines > 1)
    after_recording = Sender._after_recording
    raised: list[Exception] = []

    def once(sender: Sender, outcomes: Sequence[Outcome]) -> None:
        if not raised:
            raised.append(error)
            raise error
        after_recording(sender, outcomes)

    monkeypatch.setattr(Sender, "_after_recording", once)
    until(lambda: raised)
    until(lambda: set(outbox.states()) == {"sent"}, within=30)

    assert copies(server) == {1: 3 * MESSAGES}


@pytest.mark.parametrize(
    ("verb", "script"),
    [
        ("CONTENT", {"drop": "after"}),
        ("MAIL", {"reply": "421 4.3.2 enough for this connection", "drop": "after"}),
        ("MAIL", {"drop": "before"}),
    ],
)
def test_connections_that_end_cost_no_message(
    outbox: Outbox,
    server: SMTPServer,
    start_worker: StartWorker,
    threads: Threads,
    verb: str,
    script: dict[str, Any],
) -> None:
    add(outbox, MESSAGES)
    start_worker()
    until(lambda: threads.most_lines > 1)
    server.on(verb, times=1, **script)  # the next one may meet the same message again
    add(outbox, MESSAGES)
    until(lambda: outbox.states().count("sent") == 2 * MESSAGES, within=40)

    assert copies(server) == {1: 2 * MESSAGES}
    assert server.connections > 3


def test_an_answer_that_is_lost_concerns_its_own_message_alone(
    outbox: Outbox, server: SMTPServer, start_worker: StartWorker, threads: Threads
) -> None:
    add(outbox, MESSAGES)
    start_worker()
    until(lambda: threads.most_lines > 1)
    server.on("CONTENT", drop="before", is_taken=True, times=3)
    add(outbox, MESSAGES)
    until(lambda: set(outbox.states()) == {"sent", "uncertain"} and len(outbox.ended) == 2 * MESSAGES - 3, within=30)

    assert outbox.states().count("uncertain") == 3
    assert copies(server) == {1: 2 * MESSAGES}


def test_a_stop_in_the_midst_leaves_nothing_half_done(
    outbox: Outbox, server: SMTPServer, start_worker: StartWorker, threads: Threads
) -> None:
    add(outbox, 3 * MESSAGES)
    running = start_worker()
    until(lambda: threads.most_lines > 1)
    running.end(within=5)
    server.wait_until_idle()

    states = Counter(outbox.states())
    assert set(states) <= {"sent", "queued"}
    assert states["sent"] == len(server.messages)
    assert copies(server) == {1: states["sent"]}
    assert all(row.lease_until is None for row in outbox.deliveries())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("outbox-main")]


def test_changed_settings_act_on_all_lines(
    outbox: Outbox, server: SMTPServer, start_worker: StartWorker, threads: Threads
) -> None:
    add(outbox, 3 * MESSAGES)
    with SMTPServer() as other:
        lead_to(outbox, {1: server, 2: other})
        running = start_worker()
        until(lambda: threads.most_lines > 1)
        outbox.world.lead("default", [way_out(max_connections=3, version=2)])
        outbox.add()  # a commit, as the change of settings is one
        until(lambda: other.messages)
        before = len(server.messages)
        until(lambda: len(outbox.ended) == 3 * MESSAGES + 1, within=30)

        assert copies(server, other) == {1: 3 * MESSAGES + 1}
        assert len(server.messages) - before <= 3  # what was being handed over
        running.end()


def test_lines_beyond_what_is_allowed_now_are_closed(
    outbox: Outbox, server: SMTPServer, start_worker: StartWorker, threads: Threads
) -> None:
    add(outbox)
    start_worker()
    until(lambda: threads.most_lines > 1)
    outbox.world.lead("default", [way_out(max_connections=1)])

    def one_is_left() -> bool:
        add(outbox, 5)
        return threads.open_now == 1

    until(one_is_left, within=20)
    until(lambda: set(outbox.states()) == {"sent"}, within=20)
    assert max(copies(server)) == 1


def test_lines_without_work_are_closed(
    outbox: Outbox, server: SMTPServer, start_worker: StartWorker, threads: Threads
) -> None:
    add(outbox)
    start_worker(idle_after=timedelta(seconds=0.3))
    until(lambda: threads.most_lines > 1)
    until(lambda: len(outbox.ended) == MESSAGES, within=30)

    server.wait_until_idle(10)

    assert server.commands[-1] == "QUIT"
