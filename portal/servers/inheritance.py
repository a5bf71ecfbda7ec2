"""What holds for a server: its own value, else the connection's, else the organisation's, and where each is from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy.orm import Session

from portal import email_settings
from portal.connections import find_settings, sender_texts
from portal.connections.values import ConnectionValues, Role
from portal.email_settings import EmailSettings
from portal.mail.addresses import AddressError, Mailbox, same_address_key
from portal.placeholders import filled_in_or_empty, has_placeholder, names_server
from portal.servers.remembering import remembered
from portal.servers.stored import StoredServer, find
from portal.servers.values import DEFAULT_LARGEST_MESSAGE, DEFAULT_MOST_RECIPIENTS, ServerValues
from portal.wording import N_, Text

# "instead": it takes the place of an own value that cannot hold now
Origin = Literal["server", "connection", "organisation", "reference", "message", "default", "instead"]


@dataclass(frozen=True)
class Effective:
    """A value that holds, where it comes from, and that in words."""

    value: Any
    origin: Origin
    where: Text


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """What the one door needs of a server, everything inherited filled in. `own_sender` is None: none is known."""

    id: UUID
    name: str
    values: ServerValues
    organisation: EmailSettings
    connection: ConnectionValues | None  # by which its mail leaves unless a rule says otherwise
    sender: Mailbox | None
    reply_to: str
    automatic_bcc: str
    format: str
    largest_message: int
    most_recipients: int
    says_server: bool = False  # what is inherited depends on the server that sends

    @property
    def names_sender(self) -> bool:
        """Whether the sender is the server's own, rather than whatever the way out has when it sends."""
        return bool(self.values.from_address or self.values.display_name or self.says_server)


@remembered
def load_settings(session: Session, server_id: UUID) -> ServerSettings | None:
    """The settings that hold for a server now; None where there is none."""
    stored = find(session, server_id)
    return settings_of(session, stored) if stored else None


def settings_of(session: Session, stored: StoredServer) -> ServerSettings:
    """The same of a server that was read already."""
    own, organisation = stored.values, email_settings.load(session)
    leaving_by = _leaving_by(session, own)
    connection = leaving_by.connection
    asked = email_settings.load_saved(session).settings
    of = {name: one.value for name, one in _effective(own, leaving_by, asked).items()}
    return ServerSettings(
        id=stored.id,
        name=own.name,
        values=own,
        organisation=organisation,
        connection=connection,
        sender=_mailbox(of["from_address"], of["display_name"]),
        says_server=any(map(names_server, _sender_texts(own, connection, asked))),
        reply_to=of["reply_to"],
        automatic_bcc=of["automatic_bcc"],
        format=of["format"],
        largest_message=of["largest_message"],
        most_recipients=of["most_recipients"],
    )


def effective_settings(session: Session, server_id: UUID) -> dict[str, Effective]:
    """Every value that holds for a server, by field name; nothing where there is no such server."""
    stored = find(session, server_id)
    if stored is None:
        return {}
    leaving_by = _leaving_by(session, stored.values)
    return _effective(stored.values, leaving_by, email_settings.load_saved(session).settings)


def effective_for_new(session: Session) -> dict[str, Effective]:
    """What a server that overrides nothing inherits."""
    nothing = ServerValues(name="")
    return _effective(nothing, _leaving_by(session, nothing), email_settings.load_saved(session).settings)


class _LeavingBy(NamedTuple):
    """The connection by which mail leaves unless a rule says otherwise, and the draft that is passed over for it."""

    connection: ConnectionValues | None
    draft: ConnectionValues | None = None


def _leaving_by(session: Session, own: ServerValues) -> _LeavingBy:
    chosen = find_settings(session, own.connection_id)
    if chosen is not None and chosen.role is Role.DRAFT:
        return _LeavingBy(find_settings(session), chosen)
    return _LeavingBy(chosen or find_settings(session))


def _effective(own: ServerValues, leaving_by: _LeavingBy, organisation: EmailSettings) -> dict[str, Effective]:
    variables, connection = own.placeholders(), leaving_by.connection
    organisation = email_settings.with_placeholders(organisation, variables)
    by_connection = sender_texts(connection, variables) if connection else {}
    if connection and not by_connection["from_address"]:
        by_connection["from_address"] = _mailbox_of(connection)
    found = {
        name: _first(
            _own(own, name, variables),
            by_connection.get(name),
            connection,
            getattr(organisation, name),
            is_reference=has_placeholder(getattr(own, name)),
        )
        for name in ("from_address", "display_name", "reply_to", "automatic_bcc", "format")
    }
    found["connection"] = _connection(own, leaving_by)
    found["fallbacks"] = Effective(own.fallback_ids, *(_OWN if own.fallback_ids is not None else _FALLBACKS))
    for name, usual in _LIMITS.items():
        value = getattr(own, name)
        found[name] = Effective(value, *_OWN) if value is not None else Effective(usual, *_USUAL)
    is_on = own.is_enabled and (organisation.enabled or own.is_exempt)
    found["enabled"] = Effective(is_on, *(_OWN if not own.is_enabled or own.is_exempt else _ORGANISATION))
    return found


_ADDRESSES = frozenset({"from_address", "reply_to", "automatic_bcc"})
_OWN: tuple[Origin, Text] = ("server", N_("Own"))
_REFERENCE: tuple[Origin, Text] = ("reference", N_("Own, from a placeholder"))
_ORGANISATION: tuple[Origin, Text] = ("organisation", N_("Inherited from the email settings"))
_FALLBACKS: tuple[Origin, Text] = ("organisation", N_("Inherited: the fallbacks of the organisation"))
_USUAL: tuple[Origin, Text] = ("default", N_("Usual value"))
_LIMITS: dict[str, int | None] = {
    "messages_per_minute": None,
    "messages_per_day": None,
    "largest_message": DEFAULT_LARGEST_MESSAGE,
    "most_recipients": DEFAULT_MOST_RECIPIENTS,
}


def _first(
    own: str,
    of_connection: str | None,
    connection: ConnectionValues | None,
    organisation: str,
    *,
    is_reference: bool = False,
) -> Effective:
    if own:
        return Effective(own, *(_REFERENCE if is_reference else _OWN))
    if of_connection and connection:
        where = N_("Inherited from the connection %(name)s", name=connection.name)
        return Effective(of_connection, "connection", where)
    if organisation:
        return Effective(organisation, *_ORGANISATION)
    return Effective("", "default", N_("Not set anywhere"))


def _connection(own: ServerValues, leaving_by: _LeavingBy) -> Effective:
    name = leaving_by.connection.name if leaving_by.connection else ""
    if leaving_by.draft is not None:
        where = N_("The default connection, since its own, %(name)s, is a draft", name=leaving_by.draft.name)
        return Effective(name, "instead", where)
    if own.connection_id is not None:
        return Effective(name, *_OWN)
    return Effective(name, "organisation", N_("Inherited: the default connection"))


def _mailbox_of(connection: ConnectionValues) -> str:
    return connection.provider.mailbox if connection.provider else ""


def _own(own: ServerValues, name: str, variables: Mapping[str, str]) -> str:
    text: str = getattr(own, name)
    if not has_placeholder(text):
        return text
    filled = filled_in_or_empty(text, variables)
    return filled if name not in _ADDRESSES or same_address_key(filled) else ""


def _sender_texts(own: ServerValues, connection: ConnectionValues | None, organisation: EmailSettings) -> list[str]:
    """What decides on the sender, as typed."""
    sources = (own, connection, organisation)
    return [getattr(one, name) for one in sources if one for name in ("from_address", "display_name")]


def _mailbox(address: str, name: str) -> Mailbox | None:
    """None where a placeholder stands for no address any more."""
    try:
        return Mailbox(address, name) if address else None
    except AddressError:
        return None
