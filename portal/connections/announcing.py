"""What other pages show of the connections: the default one, the pill in the top bar, the banners."""

from __future__ import annotations

from datetime import UTC, date, datetime

from sqlalchemy.orm import Session

from portal import email_settings, outbox
from portal.connections.installation import Installation
from portal.connections.labels import METHODS
from portal.connections.missing_consents import cause_of
from portal.connections.secret_expiry import Expiry, expiry_of
from portal.connections.states import MailState, ShownState, StandIn, State, mail_state_of, stand_in_of, state_of
from portal.connections.stored import StoredConnection, all_connections, find_default
from portal.connections.values import Method, Role
from portal.email_settings import ConnectionSummary
from portal.outbox import WayOutState
from portal.outbox.pauses import READY
from portal.web.announcements import Banner, MailStatus
from portal.wording import N_, Text, joined


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
    if stand_in := stand_in_of(session, installation=installation):
        return MailStatus("warn", N_("Mail leaves by a fallback"), path_of(stand_in.default))
    default = find_default(session, box=installation.box)
    if default and _state(session, default, installation).state is State.PAUSED:
        return MailStatus("bad", N_("Mail is paused"), path_of(default))
    return MailStatus("ok", N_("Mail leaves"))


def banners(session: Session, *, installation: Installation, today: date | None = None) -> tuple[Banner, ...]:
    """What an administrator has to know on every page: why mail does not leave, or soon will not.

    `today` is the day in UTC, that of the clock unless given.
    """
    today = today or datetime.now(UTC).date()
    known = outbox.way_out_states(session)
    found: list[Banner] = []
    for one in all_connections(session, box=installation.box):
        state = state_of(one, known.get(one.id), captures=installation.captures(one.values))
        is_missed = _is_missed(one, known.get(one.id, READY))
        if state.state is State.PAUSED and state.reason:
            said = N_("%(name)s is paused. %(reason)s", name=one.values.name, reason=state.reason)
            found.append(Banner("bad", said, path_of(one), N_("Look at the connection")))
        elif state.state is State.NEEDS_SECRET and is_missed:
            said = N_(
                "%(name)s cannot send: its password or secret is missing or cannot be opened.", name=one.values.name
            )
            found.append(Banner("bad", said, path_of(one), N_("Type it again")))
        elif state.state is State.NEEDS_CONSENT and (is_missed or one.grant):
            said = N_("%(name)s cannot send. %(reason)s", name=one.values.name, reason=cause_of(one))
            found.append(Banner("bad", said, path_of(one), N_("Connect it again") if one.grant else N_("Connect it")))
        if one.uses_next_secret and one.values.role is not Role.DRAFT:
            found.append(Banner("warn", _next_secret_in_use(one), path_of(one), N_("Put it in its place")))
        expiry = expiry_of(one.values, today=today)
        if expiry and expiry.is_near and one.values.role is not Role.DRAFT:
            said = _ends_soon(one, expiry)
            found.append(Banner("bad" if expiry.kind == "bad" else "warn", said, path_of(one), N_("Add the next one")))
    if stand_in := stand_in_of(session, installation=installation):
        found.append(Banner("warn", _leaves_by(stand_in), path_of(stand_in.fallback), N_("Look at the fallback")))
    if find_default(session, box=installation.box) is None:
        none = N_("No connection is the default, so mail waits here.")
        found.append(Banner("bad", none, "/connections", N_("Choose one")))
    if not email_settings.load(session).enabled:
        off = N_("Sending is switched off: mail waits here until it is on again, or expires.")
        found.append(Banner("warn", off, "/email-settings", N_("Email settings")))
    return tuple(found)


def _is_missed(one: StoredConnection, way_out: WayOutState) -> bool:
    """Whether mail takes it, as far as this room knows: an available one was set up for whoever names it."""
    return one.values.role is not Role.AVAILABLE or way_out.pause is not None


def _ends_soon(one: StoredConnection, expiry: Expiry) -> Text:
    what = {"name": one.values.name, "day": expiry.on.isoformat()}
    if expiry.days < 0:
        return N_("The secret or certificate of %(name)s expired on %(day)s.", **what)
    if expiry.days == 0:
        return N_("The secret or certificate of %(name)s expires today, %(day)s.", **what)
    if expiry.days == 1:
        return N_("The secret or certificate of %(name)s expires tomorrow, on %(day)s.", **what)
    return N_("The secret or certificate of %(name)s expires in %(days)s days, on %(day)s.", days=expiry.days, **what)


def _next_secret_in_use(one: StoredConnection) -> Text:
    return N_(
        "%(name)s sends by its next client secret, since the first is refused. Make the next one the client secret, "
        "and add another before it expires.",
        name=one.values.name,
    )


def _leaves_by(stand_in: StandIn) -> Text:
    names = {"fallback": stand_in.fallback.values.name, "default": stand_in.default.values.name}
    if stand_in.default.lacks_secret or stand_in.default.lacks_consent:
        return N_("Mail leaves by %(fallback)s while %(default)s cannot send.", **names)
    return N_("Mail leaves by %(fallback)s while %(default)s is paused.", **names)


def path_of(one: StoredConnection) -> str:
    """The address of a connection's page."""
    return f"/connections/{one.id}"


def server_of(one: StoredConnection, installation: Installation) -> Text | str:
    """ "smtp.contoso.test, port 587"; "" where there is no server."""
    if installation.captures(one.values):
        return ""
    if one.values.method is Method.BUILTIN:
        return _at(installation.builtin.host, installation.builtin.port)
    if one.values.provider is not None:
        server = one.values.provider.server
        by_smtp = _at(server.host or installation.usual_host(one.values), server.effective_port)
        whose = one.values.provider.mailbox or (one.grant.account if one.grant else "")
        return joined(", ", (whose, by_smtp if one.values.provider.uses_smtp else ""))
    return _at(one.values.smtp.host, one.values.smtp.effective_port) if one.values.smtp.host else ""


def _at(host: str, port: int) -> Text:
    return N_("%(host)s, port %(port)s", host=host, port=port)


def _state(session: Session, one: StoredConnection, installation: Installation) -> ShownState:
    way_out = outbox.way_out_states(session).get(one.id)
    return state_of(one, way_out, captures=installation.captures(one.values))
