"""The state that a connection is shown in, and that of mail as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

from sqlalchemy.orm import Session

from portal import email_settings, outbox
from portal.connections.installation import Installation
from portal.connections.missing_consents import reason_of
from portal.connections.stored import StoredConnection, all_connections, find_default
from portal.connections.unfilled import unfilled
from portal.connections.values import Method, Role
from portal.outbox import Pause, WayOutState
from portal.outbox.pauses import READY
from portal.wording import N_, Text


class State(StrEnum):
    """What a connection can do now."""

    READY = "ready"
    PAUSED = "paused"  # the outbox found it at fault, and tries it now and then; or a placeholder stands for nothing
    NEEDS_SECRET = "needs_secret"  # noqa: S105 - a state, not a secret
    NEEDS_CONSENT = "needs_consent"
    DRAFT = "draft"


class MailState(StrEnum):
    """What becomes of mail that takes the default route."""

    READY = "ready"
    CAPTURES = "captures"  # it is kept for reading, none leaves
    NO_WAY_OUT = "no_way_out"
    SWITCHED_OFF = "switched_off"


@dataclass(frozen=True)
class ShownState:
    """A state in words, with the colour of its pill: ok, warn, bad or off."""

    state: State
    kind: str
    label: Text
    pause: Pause | None = None
    own_reason: Text | None = None  # in place of what is said of every connection in this state

    @property
    def reason(self) -> Text | None:
        """Why nothing is sent, None where something is."""
        return self.pause.reason if self.pause else self.own_reason or _REASONS.get(self.state)


_REASONS: Mapping[State, Text] = MappingProxyType(
    {
        State.NEEDS_SECRET: N_(
            "Its password or secret is missing, or cannot be opened with this portal's key. An administrator types it "
            "again."
        ),
        State.DRAFT: N_("It is a draft and sends nothing but test messages."),
    }
)


def state_of(connection: StoredConnection, way_out: WayOutState | None, *, captures: bool) -> ShownState:
    """The state of one connection; `way_out` is what the outbox knows of it."""
    if connection.values.role is Role.DRAFT:
        return ShownState(State.DRAFT, "off", N_("Draft"))
    unset = next(iter(unfilled(connection.values).values()), None)  # it may be what secret and consent are for
    if connection.lacks_secret:
        return ShownState(State.NEEDS_SECRET, "bad", _lack_of(connection), own_reason=unset)
    if connection.lacks_consent:
        return ShownState(State.NEEDS_CONSENT, "bad", N_("Needs consent"), own_reason=reason_of(connection))
    if unset is not None:
        return ShownState(State.PAUSED, "bad", N_("Paused"), own_reason=unset)
    if way_out and (way_out.pause or way_out.refused):
        return _paused(way_out)
    return ShownState(State.READY, "warn", N_("Keeps mail here")) if captures else ShownState(State.READY, "ok", _READY)


_READY = N_("Ready")


def _paused(way_out: WayOutState) -> ShownState:
    if way_out.pause:
        return ShownState(State.PAUSED, "bad", N_("Paused"), way_out.pause)
    return ShownState(State.PAUSED, "bad", N_("Sender refused"), next(iter(way_out.refused.values())))


def _lack_of(connection: StoredConnection) -> Text:
    return N_("Needs its password") if connection.values.method is Method.SMTP else N_("Needs its secret")


def states_of(
    session: Session, connections: tuple[StoredConnection, ...], *, installation: Installation
) -> dict[UUID, ShownState]:
    """The states of connections by their ids."""
    known = outbox.way_out_states(session)
    return {one.id: state_of(one, known.get(one.id), captures=installation.captures(one.values)) for one in connections}


def mail_state_of(session: Session, *, installation: Installation) -> MailState:
    """What becomes of mail by the default route. Where all that can send are paused it counts as ready: mail waits."""
    if not email_settings.load(session).enabled:
        return MailState.SWITCHED_OFF
    ways = _default_route(session, installation)
    if not ways:
        return MailState.NO_WAY_OUT
    return MailState.CAPTURES if installation.captures(_in_use(session, ways).values) else MailState.READY


@dataclass(frozen=True)
class StandIn:
    """Mail by the default route leaves by a fallback, because the default connection cannot send now."""

    default: StoredConnection
    fallback: StoredConnection


def stand_in_of(session: Session, *, installation: Installation) -> StandIn | None:
    """Which fallback is at work, None where none is: the default sends, or nothing does."""
    default = find_default(session, box=installation.box)
    ways = _default_route(session, installation)
    if default is None or not ways:
        return None
    in_use = _in_use(session, ways)
    is_paused = outbox.way_out_states(session).get(in_use.id, READY).pause is not None
    return None if in_use.id == default.id or is_paused else StandIn(default, in_use)


def _default_route(session: Session, installation: Installation) -> tuple[StoredConnection, ...]:
    """The default connection and the fallbacks that can send, as the worker is told them; nothing without a default."""
    route = [one for one in all_connections(session, box=installation.box) if one.values.role in _DEFAULT_ROUTE]
    if not any(one.values.role is Role.DEFAULT for one in route):
        return ()
    return tuple(one for one in route if not one.lacks_secret and not one.lacks_consent)


_DEFAULT_ROUTE = frozenset({Role.DEFAULT, Role.FALLBACK})


def _in_use(session: Session, ways: tuple[StoredConnection, ...]) -> StoredConnection:
    """The first that is not paused, as the worker chooses; the first where all are."""
    known = outbox.way_out_states(session)
    return next((one for one in ways if known.get(one.id, READY).pause is None), ways[0])
