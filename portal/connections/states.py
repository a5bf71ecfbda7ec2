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
from portal.connections.stored import StoredConnection, find_default
from portal.connections.values import Role
from portal.outbox import Pause, WayOutState
from portal.wording import N_, Text


class State(StrEnum):
    """What a connection can do now."""

    READY = "ready"
    PAUSED = "paused"  # the outbox found it at fault, and tries it now and then
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

    @property
    def reason(self) -> Text | None:
        """Why nothing is sent, None where something is."""
        return self.pause.reason if self.pause else _REASONS.get(self.state)


_REASONS: Mapping[State, Text] = MappingProxyType(
    {
        State.NEEDS_SECRET: N_(
            "Its password is missing, or cannot be opened with this portal's key. An administrator types it again."
        ),
        State.DRAFT: N_("It is a draft and sends nothing but test messages."),
    }
)


def state_of(connection: StoredConnection, way_out: WayOutState | None, *, captures: bool) -> ShownState:
    """The state of one connection; `way_out` is what the outbox knows of it."""
    if connection.values.role is Role.DRAFT:
        return ShownState(State.DRAFT, "off", N_("Draft"))
    if connection.lacks_password:
        return ShownState(State.NEEDS_SECRET, "bad", N_("Needs its password"))
    if way_out and way_out.pause:
        return ShownState(State.PAUSED, "bad", N_("Paused"), way_out.pause)
    if way_out and way_out.refused:
        return ShownState(State.PAUSED, "bad", N_("Sender refused"), next(iter(way_out.refused.values())))
    if captures:
        return ShownState(State.READY, "warn", N_("Keeps mail here"))
    return ShownState(State.READY, "ok", N_("Ready"))


def states_of(
    session: Session, connections: tuple[StoredConnection, ...], *, installation: Installation
) -> dict[UUID, ShownState]:
    """The states of connections by their ids."""
    known = outbox.way_out_states(session)
    return {one.id: state_of(one, known.get(one.id), captures=installation.captures(one.values)) for one in connections}


def mail_state_of(session: Session, *, installation: Installation) -> MailState:
    """What becomes of mail by the default route. A paused connection counts as ready: its mail waits for it."""
    if not email_settings.load(session).enabled:
        return MailState.SWITCHED_OFF
    default = find_default(session, box=installation.box)
    if default is None or default.lacks_password:
        return MailState.NO_WAY_OUT
    return MailState.CAPTURES if installation.captures(default.values) else MailState.READY
