"""Google's addresses and scopes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

API_SCOPE = "https://www.googleapis.com/auth/gmail.send"
SMTP_SCOPE = "https://mail.google.com/"  # the only one that smtp.gmail.com takes
_IDENTITY = ("openid", "email")


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """Google's addresses; each can be set by the operator."""

    authorization_url: str = "https://accounts.google.com/o/oauth2/v2/auth"
    token_url: str = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
    revocation_url: str = "https://oauth2.googleapis.com/revoke"
    userinfo_url: str = "https://openidconnect.googleapis.com/v1/userinfo"
    api_url: str = "https://gmail.googleapis.com"  # without path

    @classmethod
    def of(cls, overrides: Mapping[str, str]) -> Self:
        """The public ones, but for those that the environment sets, by the names of the fields."""
        return cls(**overrides)

    @property
    def consent_origin(self) -> str:
        """Scheme, host and port of the pages on which people consent."""
        parts = urlsplit(self.authorization_url)
        return f"{parts.scheme}://{parts.netloc}"


def scopes_for(*, by_smtp: bool) -> tuple[str, ...]:
    """The least that sending needs, and the address of who consents."""
    return with_identity((SMTP_SCOPE if by_smtp else API_SCOPE,))


def with_identity(permissions: Iterable[str]) -> tuple[str, ...]:
    """The permissions, and what lets Google tell which account gave them: without it no answer says so."""
    return tuple(dict.fromkeys((*_IDENTITY, *permissions)))
