"""The kinds of message that the portal writes itself, and what is fixed for each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from portal.wording import N_, Text


class Lane(StrEnum):
    """Who goes first when many messages wait."""

    SECRET = "secret"  # noqa: S105 - a lane, not a password
    NORMAL = "normal"
    BULK = "bulk"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind. `schedule` is the name of a retry schedule: `secret`, `alert`, `normal`, or `once`."""

    name: str
    title: Text
    is_secret: bool  # whoever reads it can act as the recipient: its body is never shown
    lane: Lane
    schedule: str
    lifetime: timedelta  # nothing is handed over after it
    placeholders: tuple[str, ...]  # exactly what its wording needs


class UnknownKind(KeyError):
    """There is no kind of that name."""


_ALL = (
    Kind(
        name="test",
        title=N_("Test message"),
        is_secret=False,
        lane=Lane.NORMAL,
        schedule="once",
        lifetime=timedelta(minutes=10),
        placeholders=("connection_name", "sent_by", "sent_at", "portal_name", "portal_url"),
    ),
    Kind(
        name="password_reset",
        title=N_("Forgotten password"),
        is_secret=True,
        lane=Lane.SECRET,
        schedule="secret",
        lifetime=timedelta(minutes=60),
        placeholders=("name", "link", "code", "means", "expires_in", "requested_at", "portal_name", "portal_url"),
    ),
    Kind(
        name="sign_in_hint",
        title=N_("How to sign in"),
        is_secret=False,
        lane=Lane.NORMAL,
        schedule="normal",
        lifetime=timedelta(minutes=60),
        placeholders=("name", "provider", "link", "requested_at", "portal_name", "portal_url"),
    ),
    Kind(
        name="password_changed",
        title=N_("Password changed"),
        is_secret=False,
        lane=Lane.NORMAL,
        schedule="alert",
        lifetime=timedelta(hours=24),
        placeholders=("name", "changed_at", "contact", "portal_name", "portal_url"),
    ),
    Kind(
        name="invitation",
        title=N_("Invitation"),
        is_secret=True,
        lane=Lane.NORMAL,  # it holds for days: forgotten passwords go first
        schedule="normal",
        lifetime=timedelta(days=7),
        placeholders=("name", "email", "link", "invited_by", "expires_at", "portal_name", "portal_url"),
    ),
    Kind(
        name="account_validation",
        title=N_("Address to be validated"),
        is_secret=True,
        lane=Lane.SECRET,  # somebody waits for it
        schedule="secret",
        lifetime=timedelta(hours=24),
        placeholders=("name", "address", "link", "expires_at", "portal_name", "portal_url"),
    ),
    Kind(
        name="address_changed",
        title=N_("Address changed"),
        is_secret=False,
        lane=Lane.NORMAL,
        schedule="alert",
        lifetime=timedelta(hours=24),
        placeholders=(
            "name",
            "change",
            "address",
            "changed_by",
            "changed_at",
            "contact",
            "portal_name",
            "portal_url",
        ),
    ),
    Kind(
        name="second_factor_changed",
        title=N_("Second factor changed"),
        is_secret=False,
        lane=Lane.NORMAL,
        schedule="alert",
        lifetime=timedelta(hours=24),
        placeholders=("name", "change", "passkey", "changed_at", "contact", "portal_name", "portal_url"),
    ),
    Kind(
        name="second_factor_removed",
        title=N_("Second factor removed"),
        is_secret=False,
        lane=Lane.NORMAL,
        schedule="alert",
        lifetime=timedelta(hours=24),
        placeholders=("name", "removed_by", "removed_at", "contact", "portal_name", "portal_url"),
    ),
    Kind(
        name="connection_alert",
        title=N_("Connection paused"),
        is_secret=False,
        lane=Lane.NORMAL,
        schedule="alert",
        lifetime=timedelta(hours=24),
        placeholders=(
            "connection_name",
            "cause",
            "remedy",
            "server_said",
            "since",
            "link",
            "portal_name",
            "portal_url",
        ),
    ),
    Kind(
        name="expiry_warning",
        title=N_("Secret or certificate expires"),
        is_secret=False,
        lane=Lane.NORMAL,
        schedule="alert",
        lifetime=timedelta(days=3),
        placeholders=(
            "connection_name",
            "credential",
            "secret_name",
            "left",
            "expires_on",
            "consequence",
            "remedy",
            "link",
            "portal_name",
            "portal_url",
        ),
    ),
)
KINDS: dict[str, Kind] = {one.name: one for one in _ALL}


def kind(name: str) -> Kind:
    """The kind of that name. Raises UnknownKind."""
    try:
        return KINDS[name]
    except KeyError:
        raise UnknownKind(name) from None
