"""By which connections a server's mail leaves, asked before it is queued; what the worker asks is in `routing`."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.orm import Session

from portal import email_settings
from portal.connections import AskedWay, Installation, find_settings, ways_asked_for, with_rules
from portal.connections.values import Role
from portal.mail.addresses import Mailbox, same_address_key
from portal.outbox.prepared import SenderFate, WayOut, WaysOut
from portal.servers import sender_matrix
from portal.servers.inheritance import ServerSettings, load_settings
from portal.servers.remembering import remembered
from portal.servers.routing import asked_way, route_for
from portal.servers.senders import may_write_as
from portal.servers.values import readable_sender
from portal.wording import N_, Text


@remembered
def first_way(session: Session, route: str) -> WayOut | None:
    """The way that a route takes while nothing is paused or switched off; None where there is none."""
    ways = _ways(session, asked_way(session, route)).ways
    return ways[0] if ways else None


def refusal_on_the_way(session: Session, *, server_id: UUID, from_address: str, kind: str) -> Text | None:
    """Why the way that a server's message would take is known to refuse its From; None where nothing is known.

    `from_address` is the one that it is to bear, "" for the way out's own.
    """
    if not from_address or not _is_refused_somewhere(session, from_address):
        return None
    routed = route_for(session, server_id=server_id, from_address=from_address, kind=kind)
    way = first_way(session, routed.route)
    if way is None or way.sender_fate(from_address, routed.route) is not SenderFate.REFUSED:
        return None
    return N_(
        "The connection %(name)s may not send as %(address)s. Use another From address, or ask an administrator to "
        "change that under Servers, Senders.",
        name=way.name,
        address=readable_sender(from_address),
    )


@dataclass(frozen=True, kw_only=True)
class Preview:
    """The way that a message would take. `way` is None where nothing would leave, and `obstacle` says why."""

    way: str | None
    is_kept_here: bool
    later: tuple[str, ...]  # the fallbacks, in their order
    sender: Mailbox | None
    because: Text
    passed_over: Text | None  # why it is not the connection that was chosen
    of_sender: Text
    obstacle: Text | None
    is_refused: bool  # rather than that it would wait
    exemption: Text | None


def preview(session: Session, *, server_id: UUID | None, from_address: str = "", kind: str = "api") -> Preview:
    """What would become of a message now; nothing is stored or sent."""
    settings = load_settings(session, server_id) if server_id else None
    bears, of_sender = _sender(settings, from_address)
    known = bears or (settings.sender if settings else None)
    routed = route_for(session, server_id=server_id, from_address=known.address if known else "", kind=kind)
    asked = asked_way(session, routed.route)
    found = _ways(session, asked)
    first = found.ways[0] if found.ways else None
    is_off = not email_settings.load(session).enabled
    refusal = _why_refused(session, settings, asked, bears, from_address=from_address, kind=kind)
    sender, of_sender, fate = _as_sent(first, routed.route, bears if first else known, of_sender)
    obstacle = refusal or (_SWITCHED_OFF if is_off and not asked.is_exempt else None)
    if obstacle is None and first is None:
        obstacle = found.reason
    if obstacle is None and first and fate is SenderFate.REFUSED:
        obstacle = N_("The connection %(name)s is known to refuse it: the message would wait.", name=first.name)
    return Preview(
        way=first.name if first else None,
        is_kept_here=asked.is_kept_here,
        later=tuple(one.name for one in found.ways[1:]),
        sender=sender,
        because=routed.because,
        passed_over=_passed_over(session, asked, first),
        of_sender=of_sender,
        obstacle=obstacle,
        is_refused=refusal is not None,
        exemption=_EXEMPT if is_off and asked.is_exempt else None,
    )


_SWITCHED_OFF = N_("Sending is switched off under Email settings: the message would wait until it is on again.")
_EXEMPT = N_("Sending is switched off under Email settings, but this server is exempt: its mail leaves all the same.")
_REFUSED = N_("The message names an address which this server may not use, and its settings say to refuse it.")
_NAMED = N_("The message names it.")
_OWN = N_("It is the server's own sender, or the one that it inherits.")
_OF_THE_PORTAL = N_("It is the connection's sender, else that of the email settings.")
_UNLISTED = N_("The message names another address, which this server may not use: its own takes the place.")


def _ways(session: Session, asked: AskedWay) -> WaysOut:
    """With what is known of senders there, as the worker gets them."""
    return with_rules(ways_asked_for(session, asked, installation=Installation.current()), sender_matrix.rules(session))


def _is_refused_somewhere(session: Session, from_address: str) -> bool:
    """Looked at first, since it costs little: most addresses are refused nowhere."""
    refused = [one.refused for one in sender_matrix.rules(session).values() if one.refused]
    key = same_address_key(from_address) if refused else ""
    return any(key in one or f"@{key.rpartition('@')[2]}" in one for one in refused)


def _sender(settings: ServerSettings | None, from_address: str) -> tuple[Mailbox | None, Text]:
    """None leaves it to the way out, which a rule may choose."""
    own = settings.sender if settings and settings.names_sender else None
    if not from_address:
        return own, _OWN if settings else _OF_THE_PORTAL
    if settings is None or may_write_as(settings, from_address):
        return Mailbox(from_address), _NAMED
    return own, _UNLISTED


def _why_refused(
    session: Session,
    settings: ServerSettings | None,
    asked: AskedWay,
    bears: Mailbox | None,
    *,
    from_address: str,
    kind: str,
) -> Text | None:
    """Why the message would not be accepted, in the order in which the intake asks; the portal's own mail always is."""
    if settings is None:
        return None
    if asked.off is not None:
        return asked.off
    is_unlisted = bool(from_address) and not may_write_as(settings, from_address)
    if is_unlisted and settings.values.unlisted_sender == "refuse":
        return _REFUSED
    address = bears.address if bears else ""
    return refusal_on_the_way(session, server_id=settings.id, from_address=address, kind=kind)


def _as_sent(
    way: WayOut | None, route: str, bears: Mailbox | None, of_sender: Text
) -> tuple[Mailbox | None, Text, SenderFate]:
    """The sender as this way lets it through."""
    if way is None or bears is None:
        return bears or (way.from_mailbox if way else None), of_sender, SenderFate.KEPT
    fate = way.sender_fate(bears.address, route)
    if fate is SenderFate.REPLACED:
        said = N_("The connection %(name)s sends as itself; answers go to the one that was named.", name=way.name)
        return way.from_mailbox, said, fate
    return bears, of_sender, fate


def _passed_over(session: Session, asked: AskedWay, first: WayOut | None) -> Text | None:
    """Why the connection that a rule or the server names is not the one that is taken."""
    if asked.is_kept_here or asked.connection_id is None or first is None or first.connection_id == asked.connection_id:
        return None
    chosen = find_settings(session, asked.connection_id)
    if chosen is None:
        return None
    if chosen.role is Role.DRAFT:
        return N_(
            "The connection %(name)s is a draft, which never sends: the default takes its place.", name=chosen.name
        )
    return N_("The connection %(name)s cannot send now: the next one takes its place.", name=chosen.name)
