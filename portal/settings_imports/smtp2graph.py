"""The file `config.yml` of SMTP2Graph: one application at Microsoft, and a server that takes mail of its users."""

from __future__ import annotations

import re

from portal.servers.values import check_sender
from portal.settings_file import Node
from portal.settings_imports.source import (
    ELSEWHERE,
    SAME_HERE,
    EntryFields,
    Import,
    Reading,
    User,
    at,
    reference_in,
    refers_elsewhere,
    unusable,
    written,
)
from portal.wording import N_

ORIGIN = "SMTP2Graph"
_OWN_DOMAIN = re.compile(r"[A-Za-z0-9-]+", re.ASCII)
_GUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_KEY_FILE = N_("The private key stands in a file on that machine. Paste key and certificate into the draft.")
_LISTENING = N_("The portal takes mail where PORTAL_RELAY_BIND says; whoever runs its machine sets that.")
_LISTS = N_("Add a server under Servers for each program that sends; networks and senders are listed there.")
_PROXY = N_("Set HTTPS_PROXY where the portal runs.")
_REASONS = {
    **dict.fromkeys(("port", "listenAddress", "secure", "tlsKeyPath", "tlsCertPath", "allowInsecureAuth"), _LISTENING),
    "requireAuth": SAME_HERE,
    **dict.fromkeys(("ipWhitelist", "allowedFrom", "allowedRcpt", "rateLimit", "authLimit"), _LISTS),
}


def is_config(top: Node) -> bool:
    """Whether this looks like SMTP2Graph's."""
    return at(top, "send", "appReg") is not None or at(top, "receive") is not None


def read_config(top: Node) -> Import:
    """Raises SettingsFileError."""
    reading = Reading(ORIGIN)
    send, application = at(top, "send"), at(top, "send", "appReg")
    if application is None or send is None:
        raise unusable(top.line, N_("send.appReg is missing: this copy only takes mail and sends none"), "send")
    fields = EntryFields(reading, application, "microsoft_app")
    fields.take("client_id", application.child("id"))
    _take_tenant(fields, application.child("tenant"))
    fields.take("client_secret", application.child("secret"))
    fields.take("mailbox", send.child("forceMailbox"))
    if application.has("certificate") and not fields.text("client_secret"):
        fields.take("credential", application.child("certificate"), "certificate")
    reading.leave(application.child("certificate"), _KEY_FILE)
    reading.add(application, ORIGIN, fields)
    _leave_the_rest(reading, top, send, application)
    return reading.result()


def _take_tenant(fields: EntryFields, tenant: Node | None) -> None:
    """A tenant may be named by the part before .onmicrosoft.com alone."""
    name = written(tenant)
    is_short = _OWN_DOMAIN.fullmatch(name) and not _GUID.fullmatch(name)
    fields.take("tenant_id", tenant, f"{name}.onmicrosoft.com" if is_short else name)


def _leave_the_rest(reading: Reading, top: Node, send: Node, application: Node) -> None:
    reading.leave_others(application, frozenset({"id", "tenant", "secret", "certificate"}))
    for key in ("retryLimit", "retryInterval"):
        reading.leave(send.child(key), SAME_HERE)
    reading.leave_others(send, frozenset({"appReg", "forceMailbox", "retryLimit", "retryInterval"}))
    receive = at(top, "receive")
    taken = _take_users(reading, receive) if receive else frozenset()
    for key, node in receive.mapping().items() if receive else ():
        if key not in taken:
            reading.leave(node, _REASONS.get(key, ELSEWHERE))
    reading.leave(at(top, "httpProxy"), _PROXY)
    reading.leave_others(top, frozenset({"mode", "send", "receive", "httpProxy"}))


def _take_users(reading: Reading, receive: Node) -> frozenset[str]:
    """The users; returns the keys whose values are taken. The common list holds for who has none of its own."""
    users, common = receive.child("users"), receive.child("allowedFrom")
    for user in users.items() if users else ():
        username, password = user.required_text("username"), user.text("password") or ""
        if reference := reference_in(username):
            reading.leave(user.child("username"), refers_elsewhere(reference))
            continue
        senders = _senders(user.child("allowedFrom") or common)
        known = "" if reference_in(password) else password
        reading.add_user(User(user.line, user.path, username, known, senders))
        reading.leave_others(user, frozenset({"username", "password", "allowedFrom"}))
    return frozenset({"users", "allowedFrom"}) if users and users.items() else frozenset({"users"})


def _senders(listed: Node | None) -> tuple[str, ...]:
    found = listed.items() if listed else ()
    return tuple(dict.fromkeys(one.passed(one.as_text(), check_sender) for one in found))
