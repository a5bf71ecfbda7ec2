"""Secrets of a connection as they are typed: checked by field and method, and freed of what pasting brings."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from portal.connections.oauth.google_service_account import read_service_account_key
from portal.connections.oauth.microsoft import looks_like_a_secret_id
from portal.connections.smtp_texts import SettingError, parse_password
from portal.connections.values import (
    CLIENT_SECRET,
    MICROSOFT_METHODS,
    NEXT_CLIENT_SECRET,
    PASSWORD,
    PRIVATE_KEY,
    SERVICE_ACCOUNT_KEY,
    Method,
)
from portal.wording import N_

_LONGEST_KEY = 65_536


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
