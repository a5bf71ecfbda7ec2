"""One attempt: a message to a way out, and what came of it. Holds one sender's transport."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

import structlog

from portal.mail.headers import HeaderInjection
from portal.outbox import outcomes, outgrown
from portal.outbox.contents import Loaded, outgoing
from portal.outbox.outcomes import Outcome, Part
from portal.outbox.prepared import WayOut
from portal.outbox.states import State
from portal.secret_box import Unreadable
from portal.transports import Abandoned, OutgoingMessage, Transport, TransportError

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
        self._opened_for: WayOut | None = None
        self._announced: tuple[Loaded, WayOut, OutgoingMessage] | None = None

    def attempt(self, loaded: Loaded, way_out: WayOut, *, following: Loaded | None = None) -> Outcome:
        """Try to hand over one message; never raises. `following` is the one whose turn is next, if all goes well."""
        started_at, since = self._clock(), time.monotonic()
        permit = _Permit(loaded, self._clock, self._has_lease)
        error: TransportError | None = None
        kept: bytes | None = None
        was_tried = True
        try:
            parts, kept = self._sent(loaded, way_out, permit, following)
        except Abandoned:
            was_tried = False
            parts = outcomes.given_back(loaded, State.EXPIRED if permit.is_too_late() else State.QUEUED)
        except HeaderInjection:
            parts = outcomes.malformed(loaded)
        except TransportError as raised:
            error = raised
            parts = outcomes.parts_of_error(loaded, raised, now=self._clock(), chance=self._chance)
        except Exception:  # noqa: BLE001 - a flaw of ours in one message must not stop the others
            parts = self._unexpected(loaded, way_out, may_have_left=permit.was_given)
        if way_out.is_fallback:  # others spare nothing, and need no look at the clock
            parts = outgrown.spared(loaded, way_out, parts, now=self._clock())
        elapsed_ms = round((time.monotonic() - since) * 1000)
        return Outcome(
            loaded,
            parts,
            started_at,
            elapsed_ms,
            way_out.connection_id,
            way_out.name,
            error=error,
            kept=kept,
            was_tried=was_tried,
        )

    def close(self) -> None:
        """End the conversation, if there is one."""
        transport, self._transport, self._opened_for = self._transport, None, None
        if transport is not None:
            with suppress(Exception):
                transport.close()

    def _sent(
        self, loaded: Loaded, way_out: WayOut, permit: Callable[[], bool], following: Loaded | None
    ) -> tuple[tuple[Part, ...], bytes | None]:
        if loaded.content is None or isinstance(loaded.content, Unreadable):
            return outcomes.unsendable(loaded, now=self._clock()), None
        message = self._outgoing(loaded, loaded.content, way_out)
        report = self._open(way_out).send(message, may_proceed=permit, following=self._announce(following, way_out))
        parts = outcomes.parts_of_report(loaded, report, now=self._clock(), chance=self._chance)
        return parts, message.content if report.kept else None

    def _outgoing(self, loaded: Loaded, content: bytes, way_out: WayOut) -> OutgoingMessage:
        announced, self._announced = self._announced, None
        if announced is not None and announced[0] is loaded and announced[1] is way_out:
            return announced[2]
        return outgoing(loaded, content, way_out)

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

    def _unexpected(self, loaded: Loaded, way_out: WayOut, *, may_have_left: bool) -> tuple[Part, ...]:
        _log.exception("unexpected error", message_id=str(loaded.claimed.message_id), connection=way_out.name)
        self.close()
        return outcomes.unexpected(loaded, may_have_left=may_have_left, now=self._clock(), chance=self._chance)

    def _open(self, way_out: WayOut) -> Transport:
        if self._transport is not None and (self._opened_for is way_out or self._opened_for == way_out):
            return self._transport
        self.close()
        self._transport, self._opened_for = self._open_transport(way_out), way_out
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


def given_back(loaded: Loaded, way_out: WayOut, now: datetime) -> Outcome:
    """The outcome of a message that was in hand and was not tried."""
    parts = outcomes.given_back(loaded, State.QUEUED)
    return Outcome(loaded, parts, now, 0, way_out.connection_id, way_out.name, was_tried=False)
