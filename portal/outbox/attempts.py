"""One attempt: a message to a way out, and what came of it. Holds one sender's transport."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import overload

import structlog

from portal.mail.headers import HeaderInjection
from portal.outbox import outcomes, outgrown
from portal.outbox.contents import Loaded, outgoing
from portal.outbox.outcomes import Outcome, Part
from portal.outbox.prepared import WayOut
from portal.outbox.states import State
from portal.secret_box import Unreadable
from portal.transports import (
    Abandoned,
    NonBlockingTransport,
    OutgoingMessage,
    SendReport,
    Transport,
    TransportError,
)

_log = structlog.get_logger("portal.outbox")


class Attempts:
    """Attempts of one sender, over one transport that is opened when needed and again when settings changed."""

    def __init__(
        self,
        open_transport: Callable[[WayOut], Transport],
        *,
        clock: Callable[[], datetime],
        chance: random.Random,
        has_lease: Callable[[int], bool],
    ) -> None:
        self._open_transport = open_transport
        self._clock = clock
        self._chance = chance
        self._has_lease = has_lease
        self._transport: Transport | None = None
        self._non_blocking: NonBlockingTransport | None = None  # the same one, if it is
        self._under_way: _UnderWay | None = None
        self._opened_for: WayOut | None = None
        self._announced: tuple[Loaded, WayOut, OutgoingMessage] | None = None

    def attempt(self, loaded: Loaded, way_out: WayOut, *, following: Loaded | None = None) -> Outcome:
        """Try to hand over one message; never raises. `following` is the one whose turn is next, if all goes well."""
        under_way = self._begun(loaded, way_out)
        content = loaded.content
        if content is None or isinstance(content, Unreadable):
            return self._outcome(under_way, outcomes.unsendable(loaded, now=self._clock()))

        def send() -> SendReport:
            under_way.message = self._outgoing(loaded, content, way_out)
            transport = self._open(way_out)
            ahead = self._announce(following, way_out)
            return transport.send(under_way.message, may_proceed=under_way.permit, following=ahead)

        return self._come_of(under_way, send)

    def start(self, loaded: Loaded, way_out: WayOut, *, following: Loaded | None = None) -> bool:
        """Take up a message if all of it but the server's own thinking takes no waiting; else it is to be attempted."""
        transport, message = self._startable(loaded, way_out)
        if transport is None or message is None:
            return False
        under_way = self._under_way = self._begun(loaded, way_out)
        under_way.message = message
        transport.start(message, may_proceed=under_way.permit, following=self._announce(following, way_out))
        return True

    def can_start(self, loaded: Loaded, way_out: WayOut) -> bool:
        """Whether `start` would take it up."""
        return self._startable(loaded, way_out)[1] is not None

    def advance(self) -> Outcome | None:
        """What became of the message that was started, if that is known without waiting; never raises."""
        return self._go_on(lambda transport: transport.advance())

    def finish(self) -> Outcome:
        """What becomes of the message that was started; never raises."""
        outcome = self._go_on(lambda transport: transport.finish())
        assert outcome is not None  # noqa: S101 - only `advance` answers with None
        return outcome

    def fileno(self) -> int:
        """What becomes readable when there is something to `advance`; -1 where only `finish` can go on."""
        return self._non_blocking.fileno() if self._non_blocking is not None else -1

    def close(self) -> None:
        """End the conversation, if there is one."""
        transport, self._transport, self._opened_for = self._transport, None, None
        self._non_blocking = self._under_way = None
        if transport is not None:
            with suppress(Exception):
                transport.close()

    def _startable(
        self, loaded: Loaded, way_out: WayOut
    ) -> tuple[NonBlockingTransport, OutgoingMessage] | tuple[None, None]:
        transport = self._non_blocking
        if transport is None or not self._is_opened_for(way_out):
            return None, None
        message = self._announced_as(loaded, way_out) or self._announce(loaded, way_out)
        return (transport, message) if message is not None and transport.can_start(message) else (None, None)

    def _begun(self, loaded: Loaded, way_out: WayOut) -> _UnderWay:
        return _UnderWay(
            loaded, way_out, self._clock(), time.monotonic(), _Permit(loaded, self._clock, self._has_lease)
        )

    def _go_on(self, step: Callable[[NonBlockingTransport], SendReport | None]) -> Outcome | None:
        transport, under_way = self._non_blocking, self._under_way
        if transport is None or under_way is None:
            raise RuntimeError("no message was started")
        self._under_way = None
        outcome = self._come_of(under_way, lambda: step(transport))
        if outcome is None:
            self._under_way = under_way
        return outcome

    @overload
    def _come_of(self, under_way: _UnderWay, send: Callable[[], SendReport]) -> Outcome: ...
    @overload
    def _come_of(self, under_way: _UnderWay, send: Callable[[], SendReport | None]) -> Outcome | None: ...
    def _come_of(self, under_way: _UnderWay, send: Callable[[], SendReport | None]) -> Outcome | None:
        """The outcome of sending, whatever it raises; None where it has not come to its end."""
        loaded, permit = under_way.loaded, under_way.permit
        try:
            report = send()
            if report is None:
                return None
            parts = outcomes.parts_of_report(loaded, report, now=self._clock(), chance=self._chance)
            kept = under_way.message.content if report.kept and under_way.message else None
            return self._outcome(under_way, parts, kept=kept)
        except Abandoned:
            state = State.EXPIRED if permit.is_too_late() else State.QUEUED
            return self._outcome(under_way, outcomes.given_back(loaded, state), was_tried=False)
        except HeaderInjection:
            return self._outcome(under_way, outcomes.malformed(loaded))
        except TransportError as error:
            parts = outcomes.parts_of_error(loaded, error, now=self._clock(), chance=self._chance)
            return self._outcome(under_way, parts, error=error)
        except Exception:  # noqa: BLE001 - a flaw of ours in one message must not stop the others
            return self._outcome(under_way, self._unexpected(under_way))

    def _outcome(
        self,
        under_way: _UnderWay,
        parts: tuple[Part, ...],
        *,
        error: TransportError | None = None,
        kept: bytes | None = None,
        was_tried: bool = True,
    ) -> Outcome:
        loaded, way_out = under_way.loaded, under_way.way_out
        if way_out.stands_in_on(loaded.claimed.route):  # others spare nothing, and need no look at the clock
            parts = outgrown.spared(loaded, way_out, parts, now=self._clock())
        return Outcome(
            loaded,
            parts,
            under_way.started_at,
            round((time.monotonic() - under_way.since) * 1000),
            way_out.connection_id,
            way_out.name,
            error=error,
            kept=kept,
            was_tried=was_tried,
        )

    def _outgoing(self, loaded: Loaded, content: bytes, way_out: WayOut) -> OutgoingMessage:
        announced = self._announced_as(loaded, way_out)
        self._announced = None
        return announced or outgoing(loaded, content, way_out)

    def _announced_as(self, loaded: Loaded, way_out: WayOut) -> OutgoingMessage | None:
        """The very message that the transport may have been told of."""
        announced = self._announced
        is_it = announced is not None and announced[0] is loaded and announced[1] is way_out
        return announced[2] if announced is not None and is_it else None

    def _announce(self, following: Loaded | None, way_out: WayOut) -> OutgoingMessage | None:
        """The next message as it will leave; None where it cannot, which is told in its own turn."""
        if following is None or not isinstance(following.content, bytes):
            return None
        try:
            message = outgoing(following, following.content, way_out)
        except Exception:  # noqa: BLE001 - it is told in its own turn, and not held against this message
            return None
        self._announced = following, way_out, message
        return message

    def _unexpected(self, under_way: _UnderWay) -> tuple[Part, ...]:
        loaded, name = under_way.loaded, under_way.way_out.name
        _log.exception("unexpected error", message_id=str(loaded.claimed.message_id), connection=name)
        self.close()
        may_have_left = under_way.permit.was_given
        return outcomes.unexpected(loaded, may_have_left=may_have_left, now=self._clock(), chance=self._chance)

    def _is_opened_for(self, way_out: WayOut) -> bool:
        return self._transport is not None and (self._opened_for is way_out or self._opened_for == way_out)

    def _open(self, way_out: WayOut) -> Transport:
        if self._transport is not None and self._is_opened_for(way_out):
            return self._transport
        self.close()
        self._transport, self._opened_for = self._open_transport(way_out), way_out
        self._non_blocking = self._transport if isinstance(self._transport, NonBlockingTransport) else None
        return self._transport


class _Permit:
    """Asked just before the point of no return: is the lease still ours, and the message still worth sending?"""

    def __init__(self, loaded: Loaded, clock: Callable[[], datetime], has_lease: Callable[[int], bool]) -> None:
        self._claimed = loaded.claimed
        self._clock = clock
        self._has_lease = has_lease
        self.was_given = False

    def is_too_late(self) -> bool:
        return self._clock() >= self._claimed.deliver_by

    def __call__(self) -> bool:
        self.was_given = self._has_lease(self._claimed.id) and not self.is_too_late()
        return self.was_given


class _UnderWay:
    """One attempt that has begun."""

    __slots__ = ("loaded", "message", "permit", "since", "started_at", "way_out")

    def __init__(self, loaded: Loaded, way_out: WayOut, started_at: datetime, since: float, permit: _Permit) -> None:
        self.loaded = loaded
        self.way_out = way_out
        self.started_at = started_at
        self.since = since  # of `time.monotonic()`
        self.permit = permit
        self.message: OutgoingMessage | None = None  # once it is built


def given_back(loaded: Loaded, way_out: WayOut, now: datetime) -> Outcome:
    """The outcome of a message that was in hand and was not tried."""
    parts = outcomes.given_back(loaded, State.QUEUED)
    return Outcome(loaded, parts, now, 0, way_out.connection_id, way_out.name, was_tried=False)
