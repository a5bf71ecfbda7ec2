"""Texts of a connection to Google or Microsoft, checked and brought into the form in which they are stored."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path

from portal.connections.oauth.google_service_account import read_service_account_key
from portal.connections.oauth.microsoft import looks_like_a_secret_id
from portal.connections.oauth.microsoft_endpoints import Endpoints
from portal.connections.oauth.provider import Cloud
from portal.connections.smtp_texts import SettingError, parse_ca_certificate, parse_password
from portal.connections.values import (
    CLIENT_SECRET,
    MICROSOFT_METHODS,
    NEXT_CLIENT_SECRET,
    PASSWORD,
    PRIVATE_KEY,
    SERVICE_ACCOUNT_KEY,
    Method,
)
from portal.mail.addresses import parse_address
from portal.wording import N_

_LONGEST = 300
_WORD = re.compile(r"[!-~]+")
_LONGEST_KEY = 65_536


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


def parse_client_secret(text: str, *, method: Method) -> str:
    """An application's secret. Microsoft's Secret ID in its place is told apart. Raises SettingError."""
    secret = parse_password(text).strip()
    if method in MICROSOFT_METHODS and looks_like_a_secret_id(secret):
        raise SettingError(
            N_(
                "This is the Secret ID, which only names the secret. Copy the text in the column Value beside it. "
                "Microsoft shows it once, right after the secret was made: if it is hidden now, make a new one."
            )
        )
    return secret


def parse_private_key(text: str) -> str:
    """A private key in PEM. Raises SettingError."""
    pem = text.replace("\r\n", "\n").strip()
    if pem and (len(pem) > _LONGEST_KEY or not pem.startswith("-----BEGIN ") or "PRIVATE KEY-----" not in pem):
        raise SettingError(N_("This is not a private key in PEM form. It begins with -----BEGIN PRIVATE KEY-----."))
    return pem + "\n" if pem else ""


def parse_service_account_key(text: str) -> str:
    """The JSON file of a service account's key. Raises SettingError and UnusableKey."""
    key = text.strip()
    if len(key) > _LONGEST_KEY:
        raise SettingError(N_("This is longer than %(limit)s characters.", limit=_LONGEST_KEY))
    if key:
        read_service_account_key(key)
    return key


def check_of_secret(field: str, method: Method) -> Callable[[str], str]:
    """What a typed secret must pass."""

    def client_secret(text: str) -> str:
        return parse_client_secret(text, method=method)

    checks: Mapping[str, Callable[[str], str]] = {
        PASSWORD: parse_password,
        CLIENT_SECRET: client_secret,
        NEXT_CLIENT_SECRET: client_secret,
        PRIVATE_KEY: parse_private_key,
        SERVICE_ACCOUNT_KEY: parse_service_account_key,
    }
    return checks[field]


PROVIDER_TEXTS: Mapping[str, Callable[[str], str]] = {
    "client_id": parse_client_id,
    "tenant_id": parse_tenant,
    "mailbox": parse_address,
    "scope": parse_scope,
    "secret_id": parse_secret_id,
    "secret_expires_on": parse_day,
    "client_certificate": parse_ca_certificate,
    "federated_token_file": parse_token_file,
}
