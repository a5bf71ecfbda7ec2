"""Texts of a connection to Google or Microsoft, checked and brought into the form in which they are stored."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path

from portal.connections.oauth.microsoft_endpoints import Endpoints
from portal.connections.oauth.provider import Cloud
from portal.connections.smtp_texts import SettingError, parse_ca_certificate
from portal.mail.addresses import parse_address
from portal.mail.header_text import HeaderTextError
from portal.placeholders import allowing, filled_in
from portal.wording import N_, Text

_LONGEST = 300
_WORD = re.compile(r"[!-~]+")


def parse_client_id(text: str) -> str:
    """An application's ID as the provider shows it. Raises SettingError."""
    if len(text) > _LONGEST or not _WORD.fullmatch(text):
        raise SettingError(N_("Copy the client ID as the provider shows it: letters, digits, dots and hyphens alone."))
    return text


def parse_tenant(text: str) -> str:
    """A tenant's ID or domain, or "organizations". Raises SettingError."""
    try:
        Endpoints.of(Cloud.GLOBAL).authority(text)
    except ValueError:
        raise SettingError(
            N_("Enter the tenant's ID or one of the organisation's domains, for example contoso.onmicrosoft.com.")
        ) from None
    return text


def parse_scope(text: str) -> str:
    """Scopes, separated by spaces. Raises SettingError."""
    scopes = text.split()
    if len(text) > _LONGEST or not all(map(_WORD.fullmatch, scopes)):
        raise SettingError(N_("Enter scopes as the provider writes them, separated by spaces."))
    return " ".join(scopes)


def parse_secret_id(text: str) -> str:
    """The Secret ID, which names a secret without being one. Raises SettingError."""
    if len(text) > _LONGEST or not _WORD.fullmatch(text):
        raise SettingError(N_("Copy the Secret ID as the provider shows it."))
    return text


def parse_day(text: str) -> str:
    """A day as YYYY-MM-DD. Raises SettingError."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise SettingError(N_("Enter a day as YYYY-MM-DD, for example 2027-11-30.")) from None


def parse_token_file(text: str) -> str:
    """An absolute path on the portal's machine. Raises SettingError."""
    if "\0" in text or len(text) > 1_000 or not Path(text).is_absolute():
        raise SettingError(N_("Enter the file's whole path, from / on."))
    return text


_CHECKS: Mapping[str, Callable[[str], str]] = {
    "client_id": parse_client_id,
    "tenant_id": parse_tenant,
    "mailbox": parse_address,
    "scope": parse_scope,
    "secret_id": parse_secret_id,
    "secret_expires_on": parse_day,
    "client_certificate": parse_ca_certificate,
    "federated_token_file": parse_token_file,
}
# The portal writes the day itself where Microsoft tells it, and it belongs to the secret that is stored here.
TAKE_PLACEHOLDERS = frozenset(_CHECKS) - {"secret_expires_on"}
PROVIDER_TEXTS: Mapping[str, Callable[[str], str]] = {
    name: allowing(check) if name in TAKE_PLACEHOLDERS else check for name, check in _CHECKS.items()
}


def what_it_stands_for(field: str, typed: str) -> str | Text:
    """The text of a field as it is used, its placeholders filled in; why there is none is a Text."""
    try:
        return _CHECKS[field](filled_in(typed))
    except (SettingError, HeaderTextError) as error:
        return error.reason
