"""Which program a text comes from, told by what stands in it, and its reading."""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Callable

from portal.settings_file import Node, SettingsFileError, read, refuse_references
from portal.settings_imports import keycloak, smtp2graph, wordpress
from portal.settings_imports.env_connections import read_env_file
from portal.settings_imports.env_text import is_env
from portal.settings_imports.json_text import read_json
from portal.settings_imports.source import Import, at, unusable
from portal.wording import N_

LARGEST = 1_000_000  # bytes
_MOST_CONNECTIONS = 50
_MOST_USERS = 50
_OPTIONS = ("wp_mail_smtp", "fluentmail-settings", "postman_options")  # where the option's name stands around it
_PACKED = re.compile(r"[A-Za-z0-9+/\s]{40,}={0,2}\s*", re.ASCII)
_READERS: tuple[tuple[Callable[[Node], bool], Callable[[Node], Import]], ...] = (
    (keycloak.is_realm, keycloak.read_realm),
    (wordpress.is_wp_mail_smtp, wordpress.read_wp_mail_smtp),
    (wordpress.is_fluent_smtp, wordpress.read_fluent_smtp),
    (wordpress.is_post_smtp, wordpress.read_post_smtp),
    (smtp2graph.is_config, smtp2graph.read_config),
)
_OWN = N_("this is a settings file of the portal itself: apply it with portal settings apply FILE")
_UNKNOWN = N_(
    "this is no file that the portal knows: a .env file, the settings of WP Mail SMTP, FluentSMTP or Post SMTP, "
    "a realm of Keycloak, or SMTP2Graph's config.yml"
)


def read_import(content: bytes) -> Import:
    """The connections of a text. Raises SettingsFileError, whose place is that in the text."""
    text = _decoded(content)
    if text.lstrip()[:1] in {"{", "["}:
        found = _recognised(read_json(text))
    elif _PACKED.fullmatch(text):
        found = _recognised(read_json(_unpacked(text)))
    elif is_env(text):
        found = read_env_file(text)
    else:
        found = _recognised(read(text.encode(), follow=refuse_references))
    if len(found.entries) > _MOST_CONNECTIONS:
        raise unusable(1, N_("more than %(most)s connections stand here", most=_MOST_CONNECTIONS))
    if len(found.users) > _MOST_USERS:
        raise unusable(1, N_("more than %(most)s users stand here", most=_MOST_USERS))
    return found


def _recognised(top: Node) -> Import:
    for option in _OPTIONS:
        top = at(top, option) or top
    for is_this, reader in _READERS:
        if is_this(top):
            return reader(top)
    keys = top.mapping() if isinstance(top.content, dict) else {}
    is_own = any(isinstance(node.content, tuple) for key, node in keys.items() if key in {"connections", "servers"})
    raise unusable(top.line, _OWN if is_own or "email" in keys else _UNKNOWN)


def _decoded(content: bytes) -> str:
    if len(content) > LARGEST:
        raise unusable(1, N_("the file has more than %(limit)s bytes", limit=f"{LARGEST:,}"))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise unusable(content.count(b"\n", 0, error.start) + 1, N_("this is not UTF-8 text")) from None
    if "\0" in text:
        raise unusable(text.count("\n", 0, text.index("\0")) + 1, N_("control character U+0000"))
    if not text.strip():
        raise unusable(1, N_("nothing stands here"))
    return text


def _unpacked(text: str) -> str:
    """Post SMTP's export: base64 of what zlib made of JSON. Nothing grows beyond the limit."""
    try:
        unpacking = zlib.decompressobj()
        content = unpacking.decompress(base64.b64decode("".join(text.split()), validate=True), LARGEST + 1)
        if len(content) > LARGEST:
            raise unusable(1, N_("the file has more than %(limit)s bytes", limit=f"{LARGEST:,}"))
        return content.decode()
    except (binascii.Error, zlib.error, UnicodeDecodeError):
        raise unusable(1, _UNKNOWN) from None


__all__ = ["LARGEST", "SettingsFileError", "read_import"]
