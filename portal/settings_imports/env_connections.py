"""The variables by which programs are told how to send: Laravel, Django, Symfony, Rails, and what others share.

Each family of names becomes one connection, where it names a server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from portal.settings_file import Node
from portal.settings_imports.env_text import Variable, filled_in, read_env
from portal.settings_imports.source import (
    ELSEWHERE,
    EntryFields,
    Import,
    Reading,
    reference_in,
    refers_elsewhere,
    scalar,
    truth,
    unusable,
    written,
)
from portal.wording import N_

ORIGIN = ".env"
_FAMILY_PREFIXES = ("MAIL_", "MAILER_", "EMAIL_", "SMTP_")
# What a variable says of a connection; the first of these that has a value counts.
_NAMES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "MAIL_": {
        "host": ("MAIL_HOST", "MAIL_SERVER", "MAIL_SMTP_HOST"),
        "port": ("MAIL_PORT", "MAIL_SMTP_PORT"),
        "username": ("MAIL_USERNAME", "MAIL_USER"),
        "password": ("MAIL_PASSWORD", "MAIL_PASS"),
        "security": ("MAIL_ENCRYPTION", "MAIL_SCHEME", "MAIL_SECURITY"),
        "from_address": ("MAIL_FROM_ADDRESS", "MAIL_FROM", "MAIL_DEFAULT_SENDER"),
        "display_name": ("MAIL_FROM_NAME",),
        "reply_to": ("MAIL_REPLY_TO_ADDRESS", "MAIL_REPLY_TO"),
        "helo_name": ("MAIL_EHLO_DOMAIN",),
        "starttls": ("MAIL_USE_TLS", "MAIL_STARTTLS"),
        "implicit": ("MAIL_USE_SSL", "MAIL_SSL_TLS"),
        "url": ("MAIL_URL",),
    },
    "EMAIL_": {
        "host": ("EMAIL_HOST",),
        "port": ("EMAIL_PORT",),
        "username": ("EMAIL_HOST_USER", "EMAIL_USER", "EMAIL_USERNAME"),
        "password": ("EMAIL_HOST_PASSWORD", "EMAIL_PASSWORD"),
        "from_address": ("DEFAULT_FROM_EMAIL", "EMAIL_FROM"),
        "starttls": ("EMAIL_USE_TLS",),
        "implicit": ("EMAIL_USE_SSL",),
        "timeout_seconds": ("EMAIL_TIMEOUT",),
        "url": ("EMAIL_URL",),
    },
    "SMTP_": {
        "host": ("SMTP_HOST", "SMTP_SERVER", "SMTP_ADDRESS", "SMTP_HOSTNAME"),
        "port": ("SMTP_PORT",),
        "username": ("SMTP_USERNAME", "SMTP_USER", "SMTP_LOGIN", "SMTP_USER_NAME"),
        "password": ("SMTP_PASSWORD", "SMTP_PASS"),
        "security": ("SMTP_SECURITY", "SMTP_ENCRYPTION"),
        "from_address": ("SMTP_FROM_ADDRESS", "SMTP_FROM", "SMTP_FROM_EMAIL", "SMTP_SENDER"),
        "display_name": ("SMTP_FROM_NAME", "SMTP_SENDER_NAME"),
        "reply_to": ("SMTP_REPLY_TO",),
        "helo_name": ("SMTP_HELO", "SMTP_HELO_NAME", "SMTP_DOMAIN"),
        "starttls": ("SMTP_ENABLE_STARTTLS", "SMTP_STARTTLS", "SMTP_USE_TLS", "SMTP_TLS"),
        "implicit": ("SMTP_SECURE", "SMTP_SSL", "SMTP_USE_SSL"),
        "url": ("SMTP_URL",),
    },
    "MAILER_": {"url": ("MAILER_DSN", "MAILER_URL"), "from_address": ("MAILER_FROM",)},
}
_SECURITIES = {
    **dict.fromkeys(("ssl", "smtps", "implicit", "implicit_tls", "force_tls"), "implicit_tls"),
    **dict.fromkeys(("tls", "starttls"), "starttls"),
    **dict.fromkeys(("null", "none", "off", ""), "none"),
    **dict.fromkeys(("auto", "smtp"), "auto"),
}
_SMTP_SCHEMES = frozenset({"smtp", "smtps", "smtp+tls", "smtp+ssl"})
_TAKEN_AS_TEXT = ("from_address", "display_name", "reply_to", "helo_name", "timeout_seconds")


@dataclass(frozen=True)
class _Family:
    """The variables of one family that stand in the file, by what they say."""

    prefix: str
    values: Mapping[str, Node]


def read_env_file(text: str) -> Import:
    """Raises SettingsFileError."""
    variables = read_env(text)
    reading = Reading(ORIGIN)
    used: set[str] = set()
    for prefix, names in _NAMES.items():
        family = _Family(prefix, _found(names, variables, used))
        if "url" in family.values or "host" in family.values:
            _read_family(reading, family)
    result = reading.result()
    if not result.entries and not result.left_out:
        raise unusable(1, N_("no variable here names a mail server; MAIL_HOST, SMTP_HOST or EMAIL_HOST would"))
    _leave_others(reading, variables, used)
    return reading.result()


def _found(
    names: Mapping[str, tuple[str, ...]], variables: Mapping[str, list[Variable]], used: set[str]
) -> dict[str, Node]:
    found: dict[str, Node] = {}
    for field, spellings in names.items():
        for name in spellings:
            if name not in variables or field in found:
                continue
            if len(variables[name]) > 1:
                second, first = variables[name][1], variables[name][0]
                raise unusable(second.line, N_("this was given before, on line %(line)s", line=first.line), name)
            used.add(name)
            node = filled_in(variables[name][0], variables)
            if written(node) or field == "security":  # empty means none there
                found[field] = node
    return found


def _read_family(reading: Reading, family: _Family) -> None:
    values = family.values
    place = values.get("host") or values["url"]
    fields = EntryFields(reading, place, "smtp")
    if "url" in values and not _take_url(reading, fields, values["url"]):
        return
    for field in ("host", "port", *_TAKEN_AS_TEXT):
        fields.take(field, values.get(field))
    for field in ("username", "password"):
        node = values.get(field)
        fields.take(field, node if written(node).lower() != "null" else None)
    _take_security(fields, values)
    reading.add(place, fields.text("host") or f"{ORIGIN} {family.prefix.rstrip('_')}", fields)


def _take_security(fields: EntryFields, values: Mapping[str, Node]) -> None:
    """What Laravel calls `tls` and Django `USE_TLS` is STARTTLS, but for port 465."""
    is_465 = fields.text("port") == "465"
    if "security" in values:
        word = written(values["security"]).lower()
        if word not in _SECURITIES:
            values["security"].refuse(N_("%(text)s is not one of: %(allowed)s", text=word, allowed="tls, ssl, null"))
        chosen = _SECURITIES[word]
        fields.take("security", values["security"], "implicit_tls" if is_465 and chosen == "starttls" else chosen)
    elif "implicit" in values and truth(values["implicit"]):
        fields.take("security", values["implicit"], "implicit_tls")
    elif "starttls" in values:
        fields.take("security", values["starttls"], "starttls" if _is_starttls(values["starttls"]) else "auto")


def _is_starttls(node: Node) -> bool:
    word = written(node).lower()  # Rails knows these two words besides true and false
    return word == "always" or (word != "auto" and truth(node))


def _take_url(reading: Reading, fields: EntryFields, node: Node) -> bool:
    """`smtp://user:password@host:port?…`; whether there is a server in it."""
    text = written(node)
    if reference := reference_in(text):
        reading.leave(node, refers_elsewhere(reference))
        return False
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        node.refuse(N_("expected smtp://user:password@host:port"))
    if parts.scheme not in _SMTP_SCHEMES or not parts.hostname:
        reading.leave(node, N_("Only addresses that begin with smtp:// or smtps:// name a mail server."))
        return False
    fields.take("host", node, parts.hostname)
    fields.take("port", node, str(port or ""))
    fields.take("username", node, unquote(parts.username or ""))
    fields.take("password", node, unquote(parts.password or ""))
    is_implicit = parts.scheme in {"smtps", "smtp+ssl"} or port == 465
    fields.take("security", node, "implicit_tls" if is_implicit else "starttls" if "+" in parts.scheme else "auto")
    if parse_qs(parts.query).get("verify_peer", ["1"])[-1] in {"0", "false"}:
        fields.take("verify_certificate", node, "false")
    return True


def _leave_others(reading: Reading, variables: Mapping[str, list[Variable]], used: set[str]) -> None:
    """What sounds of mail and was not used; the rest of the file is no business of the portal's."""
    for name, values in variables.items():
        if name in used or not name.startswith(_FAMILY_PREFIXES):
            continue
        node = scalar(values[0].line, name, values[0].text)
        if name.endswith("_FILE"):
            reading.leave(node, refers_elsewhere(values[0].text[:200]))
        elif name not in {"MAIL_MAILER", "MAIL_DRIVER"} or values[0].text != "smtp":
            reading.leave(node, ELSEWHERE)
