"""A realm of Keycloak, as its export or the realm's own JSON: `smtpServer`."""

from __future__ import annotations

from portal.settings_file import Node
from portal.settings_imports.source import ELSEWHERE, MASKED, EntryFields, Import, Reading, truth, unusable, written
from portal.wording import N_

ORIGIN = "Keycloak"
_KNOWN = frozenset(
    {"host", "port", "ssl", "starttls", "auth", "user", "password", "from", "fromDisplayName", "replyTo"}
    | {"envelopeFrom", "authType", "debug", "allowutf8"}
)
_BY_TOKEN = N_("Keycloak signed in with an access token. Make a connection with Microsoft 365 or Google instead.")


def is_realm(top: Node) -> bool:
    """Whether this is a realm, or a list of realms."""
    return any(one.has("smtpServer") for one in _realms(top))


def read_realm(top: Node) -> Import:
    """Raises SettingsFileError."""
    reading = Reading(ORIGIN)
    for realm in _realms(top):
        server = realm.child("smtpServer")
        if server is not None and server.mapping():
            _read_server(reading, realm, server)
    result = reading.result()
    if not result.entries:
        raise unusable(top.line, N_("smtpServer is empty: this realm sends no mail"), "smtpServer")
    return result


def _realms(top: Node) -> list[Node]:
    several = top.content if isinstance(top.content, tuple) else (top,)
    return [one for one in several if isinstance(one.content, dict)]


def _read_server(reading: Reading, realm: Node, server: Node) -> None:
    fields = EntryFields(reading, server, "smtp")
    for theirs, ours in (
        ("host", "host"),
        ("port", "port"),
        ("from", "from_address"),
        ("fromDisplayName", "display_name"),
        ("replyTo", "reply_to"),
        ("envelopeFrom", "envelope_from"),
    ):
        fields.take(ours, server.child(theirs))
    _take_security(fields, server)
    if written(server.child("authType")) == "token":
        reading.leave(server.child("authType"), _BY_TOKEN)
        fields.take("username", server.child("user"))
    elif truth(server.child("auth")):
        fields.take("username", server.child("user"))
        _take_password(reading, fields, server.child("password"))
    reading.leave_others(server, _KNOWN, ELSEWHERE)
    name = written(realm.child("displayName")) or written(realm.child("realm"))
    reading.add(server, f"{ORIGIN} {name}", fields)


def _take_security(fields: EntryFields, server: Node) -> None:
    """Both may be switched on; TLS from the first byte counts then. A realm without a port means 25."""
    if truth(server.child("ssl")):
        fields.take("security", server.child("ssl"), "implicit_tls")
    elif truth(server.child("starttls")):
        fields.take("security", server.child("starttls"), "starttls")
    else:
        fields.take("security", server.child("starttls") or server, "none")
    if not written(server.child("port")):
        fields.take("port", server, "465" if truth(server.child("ssl")) else "25")


def _take_password(reading: Reading, fields: EntryFields, password: Node | None) -> None:
    if password is not None and set(written(password)) == {"*"}:
        reading.leave(password, MASKED)
    else:
        fields.take("password", password)
