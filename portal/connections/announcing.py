"""What other pages show of the connections: the default one, the pill in the top bar, the banners."""

from __future__ import annotations

from sqlalchemy.orm import Session

from portal import email_settings, outbox
from portal.connections.installation import Installation
from portal.connections.labels import METHODS
from portal.connections.states import MailState, ShownState, State, mail_state_of, state_of
from portal.connections.stored import StoredConnection, all_connections, find_default
from portal.connections.values import Method, Role
from portal.email_settings import ConnectionSummary
from portal.web.announcements import Banner, MailStatus
from portal.wording import N_


def default_connection(session: Session, *, installation: Installation) -> ConnectionSummary | None:
    """The default connection in a few words, for the email settings page."""
    one = find_default(session, box=installation.box)
    if one is None:
        return None
    state = _state(session, one, installation)
    return ConnectionSummary(
        name=one.values.name,
        path=path_of(one),
        method=METHODS[one.values.method],
        where=server_of(one, installation),
        state=state.state,
        state_label=state.label,
        state_kind=state.kind,
        reason=state.reason,
        keeps_mail=installation.captures(one.values),
    )


def mail_status(session: Session, *, installation: Installation) -> MailStatus:
    """The pill in the top bar."""
    match mail_state_of(session, installation=installation):
        case MailState.SWITCHED_OFF:
            return MailStatus("off", N_("Mail is switched off"))
        case MailState.NO_WAY_OUT:
            return MailStatus("bad", N_("Mail cannot leave"))
        case MailState.CAPTURES:
            return MailStatus("warn", N_("Mail stays here"))
    default = find_default(session, box=installation.box)
    if default and _state(session, default, installation).state is State.PAUSED:
        return MailStatus("bad", N_("Mail is paused"), path_of(default))
    return MailStatus("ok", N_("Mail leaves"))


def banners(session: Session, *, installation: Installation) -> tuple[Banner, ...]:
    """What an administrator has to know on every page: why mail does not leave."""
    known = outbox.way_out_states(session)
    found: list[Banner] = []
    for one in all_connections(session, box=installation.box):
        state = state_of(one, known.get(one.id), captures=installation.captures(one.values))
        if state.state is State.PAUSED and state.reason:
            said = N_("%(name)s is paused. %(reason)s", name=one.values.name, reason=str(state.reason))
            found.append(Banner("bad", said, path_of(one), N_("Look at the connection")))
        elif state.state is State.NEEDS_SECRET and one.values.role is not Role.AVAILABLE:
            said = N_("%(name)s cannot send: its password is missing or cannot be opened.", name=one.values.name)
            found.append(Banner("bad", said, path_of(one), N_("Type it again")))
    if find_default(session, box=installation.box) is None:
        none = N_("No connection is the default, so mail waits here.")
        found.append(Banner("bad", none, "/connections", N_("Choose one")))
    if not email_settings.load(session).enabled:
        off = N_("Sending is switched off: mail waits here until it is on again, or expires.")
        found.append(Banner("warn", off, "/email-settings", N_("Email settings")))
    return tuple(found)


def path_of(one: StoredConnection) -> str:
    """The address of a connection's page."""
    return f"/connections/{one.id}"


def server_of(one: StoredConnection, installation: Installation) -> str:
    """ "smtp.contoso.test, port 587"; "" where there is no server."""
    if installation.captures(one.values):
        return ""
    if one.values.method is Method.BUILTIN:
        return f"{installation.builtin.host}, port {installation.builtin.port}"
    return f"{one.values.smtp.host}, port {one.values.smtp.effective_port}" if one.values.smtp.host else ""


def _state(session: Session, one: StoredConnection, installation: Installation) -> ShownState:
    way_out = outbox.way_out_states(session).get(one.id)
    return state_of(one, way_out, captures=installation.captures(one.values))
