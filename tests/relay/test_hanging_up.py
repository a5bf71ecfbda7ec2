"""A client that hangs up takes its own conversation with it, and nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from portal.relay.connection import Connection
from portal.relay.limits import Limits
from portal.relay.replies import Reply
from portal.relay.server import Relay
from tests.relay.conftest import in_a_loop


class HungUp(asyncio.Transport):
    """A transport whose client was gone before the loop heard of it."""

    was_aborted = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.1", 1) if name == "peername" else default

    def is_closing(self) -> bool:
        return self.was_aborted

    def write(self, data: Any) -> None:
        return

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        raise OSError(107, "Transport endpoint is not connected")

    def abort(self) -> None:
        self.was_aborted = True


def in_a_relay(act: Callable[[Relay], None]) -> None:
    async def run() -> None:
        relay = Relay(cast("Any", None), cast("Any", None), host="x", certificates=None, limits=Limits())
        act(relay)

    in_a_loop(run)


def test_who_is_gone_when_the_last_word_was_said_is_closed_at_once() -> None:
    transport = HungUp()

    def act(relay: Relay) -> None:
        relay.is_stopping = False
        connection = Connection(relay, "plain")
        relay.keep = lambda work: work.close()  # type: ignore[method-assign]
        connection.connection_made(transport)
        connection._refuse(Reply(554, "5.5.1", "No."))

    in_a_relay(act)

    assert transport.was_aborted


def test_replies_of_others_follow_one_that_cannot_be_given() -> None:
    given: list[int] = []

    def fail() -> None:
        raise OSError(107, "Transport endpoint is not connected")

    def act(relay: Relay) -> None:
        relay._told.extend([fail, lambda: given.append(2)])
        relay._tell_all()

    in_a_relay(act)

    assert given == [2]


def test_the_clocks_of_others_are_looked_at_after_one_that_failed() -> None:
    looked: list[str] = []

    class Failing:
        def look_at_clock(self, now: float) -> None:
            looked.append("failing")
            raise OSError(107, "Transport endpoint is not connected")

        def abort(self) -> None:
            looked.append("aborted")

    async def run() -> None:
        relay = Relay(cast("Any", None), cast("Any", None), host="x", certificates=None, limits=Limits())
        relay._connections.add(cast("Any", Failing()))
        watch = relay.loop.create_task(relay._watch())
        while looked.count("failing") < 2 and not watch.done():
            await asyncio.sleep(0.05)
        watch.cancel()

    in_a_loop(run)

    assert looked[:3] == ["failing", "aborted", "failing"]
