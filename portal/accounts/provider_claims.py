"""What an ID token's checked claims tell of a person: who it is there, a proved address, a name and a role."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from portal.accounts.provider_settings import ProviderSettings
from portal.accounts.user_names import parse_name
from portal.mail.addresses import AddressError, parse_address

RANKS = ("user", "helpdesk", "admin")  # from the lowest
_GOOGLE = "accounts.google.com"
_GOOGLES_OWN = ("gmail.com", "googlemail.com")
_MICROSOFT = ("login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn")


@dataclass(frozen=True)
class Arrival:
    """Somebody who signed in at the provider."""

    issuer: str
    subject: str
    address: str  # "" where the provider does not vouch for it
    name: str
    role: str | None  # None: the provider does not tell, and the portal's own stays
    signed_in_at: datetime | None = None  # at the provider; None where it does not tell


def arrival(claims: Mapping[str, Any], settings: ProviderSettings) -> Arrival:
    """Who came, from claims that `oidc` has checked."""
    address, name = proved_address(claims, settings.issuer), claims.get("name")
    signed_in_at = _moment(claims.get("auth_time"))
    return Arrival(settings.issuer, claims["sub"], address, _usable_name(name), role_in(claims, settings), signed_in_at)


def wanted_claims(settings: ProviderSettings) -> tuple[str, ...]:
    """The claims that are asked for at the userinfo endpoint where the ID token lacks them."""
    claim = settings.role_claim
    return ("email", *(() if not claim else (claim if "://" in claim else claim.split(".")[0],)))


def proved_address(claims: Mapping[str, Any], issuer: str) -> str:
    """The address, if the provider vouches that it is this person's; else "".

    Of Google's own accounts anybody may have one with a foreign address that was proved once, years ago: there it
    counts only where Google hosts the mailbox. Microsoft's `email` is what an administrator typed, unless `xms_edov`
    says that its domain was proved.
    """
    host, address = urlsplit(issuer).hostname, claims.get("email")
    is_proved = claims.get("email_verified") is True
    if host in _MICROSOFT:
        is_proved = is_proved or claims.get("xms_edov") is True
    if not is_proved or not isinstance(address, str):
        return ""
    try:
        address = parse_address(address)
    except AddressError:
        return ""
    domain = address.rpartition("@")[2].lower()
    return "" if host == _GOOGLE and domain not in (*_GOOGLES_OWN, claims.get("hd")) else address


def role_in(claims: Mapping[str, Any], settings: ProviderSettings) -> str | None:
    """The highest role that the claim stands for, `user` where it stands for none; None where it is not looked at."""
    if not settings.role_claim or not settings.roles:
        return None
    found = _at(claims, settings.role_claim)
    left_out = claims.get("_claim_names")
    if found is None and isinstance(left_out, Mapping) and settings.role_claim in left_out:
        return None  # Microsoft leaves groups out where there are too many: that says nothing
    values = found if isinstance(found, list) else [found]
    held = {value for value in values if isinstance(value, str)}
    roles = (role for claimed, role in settings.roles.items() if claimed in held)
    return max(roles, key=RANKS.index, default="user")


def _at(claims: Mapping[str, Any], path: str) -> Any:
    """The claim of that name, which may hold dots itself, or what the path by dots leads to."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _moment(seconds: object) -> datetime | None:
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _usable_name(name: object) -> str:
    try:
        return parse_name(name) if isinstance(name, str) else ""
    except AddressError:
        return ""
