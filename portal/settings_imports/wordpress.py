"""The settings of three mail plugins of WordPress: WP Mail SMTP, FluentSMTP and Post SMTP.

An option as the plugin stores it (`wp option get NAME --format=json`), or its own export.
"""

from __future__ import annotations

import base64
import binascii
import re
from html import unescape

from portal.settings_file import Node
from portal.settings_imports.source import (
    ABOUT_SENDER,
    CONSENT,
    ELSEWHERE,
    OTHER_WAY,
    OWN_LOG,
    SAME_HERE,
    EntryFields,
    Import,
    Reading,
    at,
    truth,
    written,
)
from portal.wording import N_, Text

WP_MAIL_SMTP, FLUENT_SMTP, POST_SMTP = "WP Mail SMTP", "FluentSMTP", "Post SMTP"
_ENCRYPTED = N_("It is encrypted with a key of that WordPress. Type it into the draft.")
_IN_WP_CONFIG = N_("It stands in the file wp-config.php. Type it into the draft.")
_OTHER_SERVICE = N_(
    "The portal does not speak this service's own interface. Most of them take mail by SMTP too: make a connection "
    "with SMTP server."
)
_BY_PHP = N_("Mail left by the web server itself there, and there is nothing to take over.")
_NEVER_DEFAULT = N_("A draft is not the default by itself: choose that when it is ready.")
_BCC = N_("See Email settings: copies of all mail are set there.")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{54,}={0,2}", re.ASCII)
_SECURITIES = {"ssl": "implicit_tls", "tls": "starttls"}
_CONSENTED = {"gmail": "google", "outlook": "microsoft"}


def is_wp_mail_smtp(top: Node) -> bool:
    return at(top, "mail", "mailer") is not None


def is_fluent_smtp(top: Node) -> bool:
    connections = at(top, "connections")
    nodes = connections.mapping().values() if connections and isinstance(connections.content, dict) else ()
    return any(at(one, "provider_settings") is not None for one in nodes)


def is_post_smtp(top: Node) -> bool:
    return at(top, "transport_type") is not None


def read_wp_mail_smtp(top: Node) -> Import:
    """The option `wp_mail_smtp`. Raises SettingsFileError."""
    reading = Reading(WP_MAIL_SMTP)
    _read_mailer(reading, top, WP_MAIL_SMTP)
    others = at(top, "connections")
    for one in others.mapping().values() if others and isinstance(others.content, dict) else ():
        _read_mailer(reading, one, written(one.child("name")) or WP_MAIL_SMTP)
    return reading.result()


def _read_mailer(reading: Reading, settings: Node, name: str) -> None:
    """One way of sending of WP Mail SMTP: `mail` names the group that holds the rest."""
    mailer = written(at(settings, "mail", "mailer"))
    own = at(settings, mailer)
    if mailer in {"smtp", *_CONSENTED} and own is not None:
        fields = EntryFields(reading, own, _CONSENTED.get(mailer, "smtp"))
        if mailer == "smtp":
            _take_server(reading, fields, own, {"username": "user", "port": "port", "automatic": "autotls"})
            if truth(own.child("auth")):
                _take_password(reading, fields, own.child("pass"), why=_looks_encrypted(own.child("pass")))
        else:
            _take_application(reading, fields, own, why=None)
            fields.take("mailbox", at(own, "user_details", "email"))
        fields.take("from_address", at(settings, "mail", "from_email"))
        fields.take("display_name", at(settings, "mail", "from_name"))
        reading.add(own, name, fields)
    else:
        reading.leave(at(settings, "mail", "mailer"), _BY_PHP if mailer in {"", "mail"} else _OTHER_SERVICE)
    _leave_sender(reading, at(settings, "mail"), "from_email_force", "from_name_force")
    known = frozenset({"mail", mailer, "name", "connections"})
    for key, node in settings.mapping().items():
        if key not in known:
            reading.leave(node, OTHER_WAY if _has_secret(node) else ELSEWHERE)


def read_fluent_smtp(top: Node) -> Import:
    """The option `fluentmail-settings`, or the plugin's own export. Raises SettingsFileError."""
    reading = Reading(FLUENT_SMTP)
    is_encrypted = written(top.child("use_encrypt")) == "yes"
    for one in (at(top, "connections") or top).mapping().values():
        settings = at(one, "provider_settings")
        if settings is not None:
            _read_fluent(reading, settings, written(one.child("title")), is_encrypted=is_encrypted)
    misc = at(top, "misc")
    for key, node in misc.mapping().items() if misc else ():
        is_role = key in {"default_connection", "fallback_connection"}
        reading.leave(node, _NEVER_DEFAULT if is_role else OWN_LOG if "log" in key else ELSEWHERE)
    return reading.result()


def _read_fluent(reading: Reading, settings: Node, title: str, *, is_encrypted: bool) -> None:
    provider = written(settings.child("provider"))
    is_open = written(settings.child("disable_encryption")) == "yes" or not is_encrypted
    is_in_file = written(settings.child("key_store")) == "wp_config"
    why = _IN_WP_CONFIG if is_in_file else None if is_open else _ENCRYPTED
    if provider not in {"smtp", *_CONSENTED}:
        reading.leave(settings.child("provider"), _BY_PHP if provider == "default" else _OTHER_SERVICE)
        return
    fields = EntryFields(reading, settings, _CONSENTED.get(provider, "smtp"))
    if provider == "smtp":
        _take_server(reading, fields, settings, {"username": "username", "port": "port", "automatic": "auto_tls"})
        if truth(settings.child("auth")):
            _take_password(reading, fields, settings.child("password"), why=why)
    else:
        _take_application(reading, fields, settings, why=why)
        fields.take("mailbox", settings.child("sender_email"))
    fields.take("from_address", settings.child("sender_email"))
    name = settings.child("sender_name")  # escaped where it is the site's title
    fields.take("display_name", name, unescape(written(name)))
    _leave_sender(reading, settings, "force_from_email", "force_from_name")
    reading.add(settings, title or written(settings.child("sender_email")) or FLUENT_SMTP, fields)


def read_post_smtp(top: Node) -> Import:
    """The option `postman_options`, or what the plugin's page exports. Raises SettingsFileError."""
    reading = Reading(POST_SMTP)
    transport, auth = written(top.child("transport_type")), written(top.child("auth_type"))
    fields = EntryFields(reading, top, "google" if transport == "gmail_api" else "smtp")
    if transport == "gmail_api":
        fields.take("client_id", top.child("oauth_client_id"))
        fields.take("client_secret", top.child("oauth_client_secret"))
    elif transport == "smtp":
        _take_server(reading, fields, top, {"host": "hostname", "encryption": "enc_type", "port": "port"})
        _take_post_sign_in(reading, fields, top, auth)
    if transport in {"smtp", "gmail_api"}:
        for theirs, ours in (
            ("sender_email", "from_address"),
            ("sender_name", "display_name"),
            ("reply_to", "reply_to"),
            ("envelope_sender", "envelope_from"),
        ):
            fields.take(ours, top.child(theirs))
        reading.add(top, POST_SMTP, fields)
    else:
        reading.leave(top.child("transport_type"), _BY_PHP if transport in {"", "default"} else _OTHER_SERVICE)
    _read_post_fallback(reading, top)
    _leave_of_post(reading, top)
    return reading.result()


def _take_post_sign_in(reading: Reading, fields: EntryFields, top: Node, auth: str) -> None:
    if auth == "oauth2":
        reading.leave(top.child("auth_type"), CONSENT)
    elif auth not in {"", "none"}:
        fields.take("username", top.child("basic_auth_username"))
        _take_base64(fields, "password", top.child("basic_auth_password"))


def _read_post_fallback(reading: Reading, top: Node) -> None:
    if not truth(top.child("fallback_smtp_enabled")):
        return
    fields = EntryFields(reading, top, "smtp")
    keys = {"host": "fallback_smtp_hostname", "encryption": "fallback_smtp_security", "port": "fallback_smtp_port"}
    _take_server(reading, fields, top, keys)
    if written(top.child("fallback_smtp_use_auth")) not in {"", "none"}:
        fields.take("username", top.child("fallback_smtp_username"))
        _take_base64(fields, "password", top.child("fallback_smtp_password"))
    fields.take("from_address", top.child("fallback_from_email"))
    reading.add(top, f"{POST_SMTP} fallback", fields)


def _leave_of_post(reading: Reading, top: Node) -> None:
    for key, node in top.mapping().items():
        if key.startswith("prevent_sender_"):
            reading.leave(node, ABOUT_SENDER)
        elif key.startswith("forced_"):
            reading.leave(node, _BCC if key == "forced_bcc" else ELSEWHERE)
        elif key.startswith("mail_log_") or key in {"log_level", "transcript_size"}:
            reading.leave(node, OWN_LOG)
        elif key.endswith(("_api_key", "_secret_key")):
            reading.leave(node, OTHER_WAY)
        elif key in {"headers", "read_timeout", "connection_timeout", "run_mode", "notification_service"}:
            reading.leave(node, ELSEWHERE)


def _take_server(reading: Reading, fields: EntryFields, settings: Node, keys: dict[str, str]) -> None:
    """Host, port, encryption and user name. Without encryption, `automatic` means: where the server offers it."""
    fields.take("host", settings.child(keys.get("host", "host")))
    fields.take("port", settings.child(keys["port"]))
    encryption = settings.child(keys.get("encryption", "encryption"))
    word = written(encryption).lower()
    if word not in {"", "none", *_SECURITIES} and encryption is not None:
        encryption.refuse(N_("%(text)s is not one of: %(allowed)s", text=word, allowed="none, ssl, tls"))
    automatic = settings.child(keys["automatic"]) if "automatic" in keys else None
    fields.take("security", encryption or settings, _SECURITIES.get(word, "auto" if truth(automatic) else "none"))
    if "username" in keys and truth(settings.child("auth")):
        fields.take("username", settings.child(keys["username"]))
    if "automatic" in keys and word in _SECURITIES:
        reading.leave(automatic, SAME_HERE)


def _take_application(reading: Reading, fields: EntryFields, settings: Node, *, why: Text | None) -> None:
    fields.take("client_id", settings.child("client_id"))
    _take_password(reading, fields, settings.child("client_secret"), why=why, field="client_secret")
    for key in ("access_token", "refresh_token", "auth_token"):
        reading.leave(settings.child(key), CONSENT)


def _take_password(
    reading: Reading, fields: EntryFields, node: Node | None, *, why: Text | None, field: str = "password"
) -> None:
    if why is None:
        fields.take(field, node)
    else:
        reading.leave(node, why)


def _take_base64(fields: EntryFields, field: str, node: Node | None) -> None:
    """Post SMTP writes passwords in base64, which hides nothing."""
    if node is None:
        return
    try:
        fields.take(field, node, base64.b64decode(written(node).encode(), validate=True).decode())
    except (binascii.Error, UnicodeError):
        node.refuse(N_("this is not base64, in which Post SMTP writes passwords"))


def _looks_encrypted(node: Node | None) -> Text | None:
    """WP Mail SMTP encrypts the password wherever PHP can: base64 of a nonce (24 bytes), a mark (16) and the text."""
    text = written(node)
    return _ENCRYPTED if _BASE64.fullmatch(text) and len(text) % 4 == 0 else None


def _leave_sender(reading: Reading, settings: Node | None, *forced: str) -> None:
    for key in forced:
        reading.leave(at(settings, key), ABOUT_SENDER)
    reading.leave(at(settings, "return_path"), SAME_HERE)


def _has_secret(node: Node) -> bool:
    keys = node.mapping() if isinstance(node.content, dict) else {}
    return any(key in {"pass", "client_secret", "api_key", "secret_key", "server_api_token"} for key in keys)
