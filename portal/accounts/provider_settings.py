"""What is known of the organisation's provider, as one frozen value: load it, save it.

The client secret is sealed for the row and the issuer: what was typed for one provider is never sent to another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy.orm import Session

from portal import audit
from portal.accounts import ways_in
from portal.accounts.oidc import Client
from portal.accounts.provider_models import ONLY_ROW, SignInSettingsRow
from portal.accounts.sign_in_settings import SUBJECT, row_for_change
from portal.connections.values import SecretAction, SecretChange
from portal.secret_box import SecretBox, Unreadable


@dataclass(frozen=True, kw_only=True)
class ProviderSettings:
    """The provider; an empty issuer means that there is none."""

    issuer: str = ""
    client_id: str = ""
    scopes: tuple[str, ...] = ()  # besides openid, email and profile
    role_claim: str = ""  # a path by dots; "" leaves roles to the portal
    roles: Mapping[str, str] = field(default_factory=dict)  # value of the claim: role
    adds_people: bool = False
    button_label: str = ""

    @property
    def is_set_up(self) -> bool:
        return bool(self.issuer)

    @property
    def name(self) -> str:
        """What people read of it: what an administrator called it, else the host of the issuer."""
        return self.button_label or urlsplit(self.issuer).hostname or self.issuer


@dataclass(frozen=True)
class SavedProvider:
    """The stored settings, whether a secret stands beside them, and their version: 0 before the first save."""

    settings: ProviderSettings
    has_secret: bool
    version: int
    changed_at: datetime | None
    changed_by: str


class ChangedMeanwhile(Exception):
    """Somebody saved after the version that a change started from; `present` is what stands now."""

    def __init__(self, present: SavedProvider) -> None:
        super().__init__(f"the sign-in settings are at version {present.version}")
        self.present = present


class NobodyLeft(Exception):
    """No administrator could sign in any more, or nobody knows whether one could. Nothing was written."""


class SecretNeeded(Exception):
    """The stored secret was typed for another issuer. Nothing was written."""


def load(session: Session) -> ProviderSettings:
    """The provider as it is now."""
    return load_saved(session).settings


def load_saved(session: Session) -> SavedProvider:
    row = session.get(SignInSettingsRow, ONLY_ROW)
    return SavedProvider(ProviderSettings(), False, 0, None, "") if row is None else _saved(row)


def client_of(session: Session, *, box: SecretBox) -> Client | None:
    """What the portal is at the provider; None where there is none, or its secret cannot be read any more."""
    row = session.get(SignInSettingsRow, ONLY_ROW)
    if row is None or not row.issuer:
        return None
    secret = box.open(row.sealed_client_secret, context_of(row.uuid, row.issuer)) if row.sealed_client_secret else ""
    if isinstance(secret, Unreadable):
        return None
    scopes = tuple(row.scopes.split())
    return Client(issuer=row.issuer, client_id=row.client_id, client_secret=secret, scopes=scopes)


def client_to_be(
    session: Session, settings: ProviderSettings, secret: SecretChange, *, box: SecretBox
) -> Client | None:
    """What the portal would be at the provider with these settings; None where that is as it was, or there is none."""
    present = client_of(session, box=box)
    is_same_issuer = present is not None and present.issuer == settings.issuer
    stored = present.client_secret if present is not None and is_same_issuer else ""
    wanted = Client(
        issuer=settings.issuer,
        client_id=settings.client_id,
        client_secret=stored if secret.action is SecretAction.KEEP else secret.value,
        scopes=settings.scopes,
    )
    return None if not settings.is_set_up or (present and replace(wanted, scopes=present.scopes) == present) else wanted


def save(
    session: Session,
    settings: ProviderSettings,
    *,
    secret: SecretChange,
    box: SecretBox,
    actor: audit.Actor,
    expected_version: int,
    is_accepted: bool = False,
    now: datetime,
) -> None:
    """Store the provider with an audit row; what is equal already is not a change.

    `is_accepted`: the provider has just taken this client ID and secret. Else they are changed only while an
    administrator can sign in without it; so are the scopes, which it takes or refuses when somebody signs in.
    Raises ChangedMeanwhile, SecretNeeded, NobodyLeft.
    """
    row = row_for_change(session, now)
    present = _saved(row)
    if expected_version != present.version:
        raise ChangedMeanwhile(present)
    is_other_issuer = settings.issuer != present.settings.issuer
    if secret.action is SecretAction.KEEP and is_other_issuer and present.has_secret:
        raise SecretNeeded
    changes = _changes(present.settings, settings)
    is_new_secret = secret.action is SecretAction.REPLACE and bool(secret.value)
    if is_new_secret or (secret.action is not SecretAction.KEEP and present.has_secret):
        changes["client_secret"] = audit.CHANGED
    if not changes:
        return
    is_new_client = not {"client_id", "client_secret"}.isdisjoint(changes)
    adds_scopes = not set(settings.scopes) <= set(present.settings.scopes)
    may_keep_out = is_other_issuer or adds_scopes or (is_new_client and not is_accepted)
    if may_keep_out and present.settings.is_set_up and not _an_administrator_stays(session):
        raise NobodyLeft
    _write(row, settings)
    if secret.action is not SecretAction.KEEP:
        row.sealed_client_secret = box.seal(secret.value, context_of(row.uuid, row.issuer)) if is_new_secret else None
    row.version += 1
    row.changed_at, row.changed_by = now, actor.name
    audit.record(session, action="sign_in_settings.changed", actor=actor, subject=SUBJECT, changes=changes, now=now)


def shown(value: Any) -> str | bool:
    """A setting as the audit log and people read it."""
    if isinstance(value, tuple):
        return " ".join(value)
    if isinstance(value, Mapping):
        return "; ".join(f"{claimed} = {role}" for claimed, role in value.items())
    return value if isinstance(value, bool) else str(value)


def differences(old: ProviderSettings, new: ProviderSettings) -> dict[str, tuple[str | bool, str | bool]]:
    """Field name -> old and new value, for what differs."""
    pairs = {one.name: (getattr(old, one.name), getattr(new, one.name)) for one in fields(ProviderSettings)}
    return {name: (shown(was), shown(wanted)) for name, (was, wanted) in pairs.items() if was != wanted}


def _changes(
    old: ProviderSettings, new: ProviderSettings
) -> dict[str, tuple[str | int | bool | None, str | int | bool | None] | audit.Changed]:
    return dict(differences(old, new))


def _saved(row: SignInSettingsRow) -> SavedProvider:
    settings = ProviderSettings(
        issuer=row.issuer,
        client_id=row.client_id,
        scopes=tuple(row.scopes.split()),
        role_claim=row.role_claim,
        roles=dict(row.roles),
        adds_people=row.adds_people,
        button_label=row.button_label,
    )
    return SavedProvider(settings, row.sealed_client_secret is not None, row.version, row.changed_at, row.changed_by)


def _write(row: SignInSettingsRow, settings: ProviderSettings) -> None:
    row.issuer = settings.issuer
    row.client_id = settings.client_id
    row.scopes = " ".join(settings.scopes)
    row.role_claim = settings.role_claim
    row.roles = dict(settings.roles)
    row.adds_people = settings.adds_people
    row.button_label = settings.button_label


def context_of(uuid: UUID, issuer: str) -> str:
    """What the client secret is sealed for: another issuer must not get it."""
    return f"sign_in_settings.client_secret:{uuid}:{issuer}"


def _an_administrator_stays(session: Session) -> bool:
    """Whether no administrator, or not every one, needs the provider. Locks them all until the unit of work ends."""
    ways_in.lock_administrators(session)
    return bool(ways_in.administrators(session, without_provider=True)) or not ways_in.administrators(session)
