"""What somebody proves besides the password: an authenticator app or a passkey, and recovery codes for lost ones.

Whoever adds or loses a factor is told by mail. Recovery codes are no factor of their own: they are made with the
first factor and go with the last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import ColumnElement, exists, or_, select
from sqlalchemy.orm import Session

from portal import audit
from portal.accounts import ceremonies, passkeys, people, recovery_codes, sign_in_settings, totp, ways_in
from portal.accounts.factor_models import AuthenticatorApp, Passkey
from portal.accounts.passkeys import ListedPasskey, NewPasskey
from portal.accounts.people import Person
from portal.accounts.relying_party import RelyingParty
from portal.secret_box import SecretBox

if TYPE_CHECKING:
    from portal.accounts.account_mail import AccountMail

_Changes = Mapping[str, tuple[str | None, str | None] | audit.Changed]
Codes = tuple[str, ...]  # new recovery codes, to be shown once; none where the person has some already


class LastFactor(Exception):
    """An administrator must keep a second factor: this one is the last."""


@dataclass(frozen=True)
class Factors:
    """What a person has."""

    app_since: datetime | None
    passkeys: tuple[ListedPasskey, ...]
    codes_left: int

    @property
    def any(self) -> bool:
        return self.app_since is not None or bool(self.passkeys)


@dataclass(frozen=True)
class Owner:
    """Somebody signed in who changes the own second factor, and how such changes are told."""

    id: UUID
    actor: audit.Actor
    mail: AccountMail


@dataclass(frozen=True)
class _Factor:
    field: str  # of the audit row
    name: str = ""  # of a passkey

    @property
    def kept_as(self) -> str:
        return self.name or "set up"


_APP = _Factor("authenticator_app")


def of(session: Session, user_id: UUID) -> Factors:
    left = recovery_codes.left(session, user_id)
    return Factors(totp.since(session, user_id), passkeys.listed(session, user_id), left)


def has_any(session: Session, user_id: UUID) -> bool:
    """Whether the password alone does not sign this person in."""
    return bool(session.scalar(select(_has_any(user_id))))


def is_due(session: Session, user_id: UUID) -> bool:
    """Whether this administrator must set a second factor up before anything else."""
    return bool(session.scalar(select(sign_in_settings.requires_second_factor() & ~_has_any(user_id))))


def confirm_app(session: Session, owner: Owner, code: str, *, box: SecretBox, now: datetime) -> Codes | None:
    """Count the app from now on; None where this is not its code."""
    if not totp.confirm(session, owner.id, code, box=box, now=now):
        return None
    return _added(session, owner, _APP, "app_added", now=now)


def add_passkey(session: Session, owner: Owner, new: NewPasskey, name: str, *, now: datetime) -> Codes | None:
    """Store a passkey; None where it is somebody's already, or there are too many."""
    if not passkeys.add(session, owner.id, new, name, now=now):
        return None
    return _added(session, owner, _Factor("passkey", name), "passkey_added", now=now)


def register_passkey(
    session: Session, owner: Owner, token: str, answer: str, name: str, *, party: RelyingParty, now: datetime
) -> Codes | None:
    """Store what a browser made for the challenge of this ceremony; None where it does not fit, or came too late."""
    asked = ceremonies.find(session, token, "register", now=now)
    if asked is None or asked.user_id != owner.id or asked.challenge is None:
        return None
    if not ceremonies.finish(session, asked.id, now=now):
        return None
    new = passkeys.judge_new(answer, challenge=asked.challenge, party=party)
    return add_passkey(session, owner, new, name, now=now) if new else None


def remove_app(session: Session, owner: Owner, *, now: datetime) -> bool:
    """Forget the app; False where there is none. Raises LastFactor."""
    people.lock(session, owner.id)
    if totp.since(session, owner.id) is None:
        return False
    totp.remove(session, owner.id)
    _removed(session, owner, _APP, "app_removed", now=now)
    return True


def remove_passkey(session: Session, owner: Owner, passkey_id: UUID, *, now: datetime) -> bool:
    """Forget a passkey; False where this person has no such one. Raises LastFactor, LastWayIn."""
    people.lock(session, owner.id)
    name = passkeys.remove(session, owner.id, passkey_id)
    if name is None:
        return False
    ways_in.require_one(session, owner.id)
    _removed(session, owner, _Factor("passkey", name), "passkey_removed", now=now)
    return True


def renew_codes(session: Session, owner: Owner, *, now: datetime) -> Codes | None:
    """Ten new recovery codes in place of the former; None without a factor that they stand in for."""
    if not has_any(session, owner.id):
        return None
    codes = recovery_codes.make_anew(session, owner.id, now=now)
    person = people.get(session, owner.id)
    _record(session, "user.recovery_codes_renewed", person, owner.actor, {"recovery_codes": audit.CHANGED}, now=now)
    owner.mail.queue_second_factor_changed(session, person, "codes_renewed", now=now)
    return codes


def reset(session: Session, person: Person, *, actor: audit.Actor, mail: AccountMail, now: datetime) -> bool:
    """Take every factor away from somebody who lost them; False where there was none."""
    if not has_any(session, person.id):
        return False
    totp.remove(session, person.id)
    passkeys.remove_all(session, person.id)
    recovery_codes.remove_all(session, person.id)
    _record(session, "user.second_factor_reset", person, actor, {"second_factor": ("set up", None)}, now=now)
    mail.queue_second_factor_removed(session, person, removed_by=actor.name, now=now)
    return True


def _added(session: Session, owner: Owner, factor: _Factor, change: str, *, now: datetime) -> Codes:
    person = people.get(session, owner.id)
    _record(session, "user.second_factor_added", person, owner.actor, {factor.field: (None, factor.kept_as)}, now=now)
    owner.mail.queue_second_factor_changed(session, person, change, name=factor.name, now=now)
    if recovery_codes.left(session, owner.id):
        return ()
    return recovery_codes.make_anew(session, owner.id, now=now)


def _removed(session: Session, owner: Owner, factor: _Factor, change: str, *, now: datetime) -> None:
    """What goes with it. The account's row is locked: of two who remove the last ones at once, one is refused."""
    person = people.get(session, owner.id)
    is_last = not has_any(session, owner.id)
    if is_last and person.role == "admin" and is_due(session, owner.id):
        raise LastFactor
    if is_last:
        recovery_codes.remove_all(session, owner.id)
    gone = {factor.field: (factor.kept_as, None)}
    _record(session, "user.second_factor_removed", person, owner.actor, gone, now=now)
    owner.mail.queue_second_factor_changed(session, person, change, name=factor.name, now=now)


def _record(
    session: Session, action: str, person: Person, actor: audit.Actor, changes: _Changes, *, now: datetime
) -> None:
    audit.record(session, action=action, actor=actor, subject=person.email, changes=changes, now=now)


def _has_any(user_id: UUID) -> ColumnElement[bool]:
    app = exists().where(AuthenticatorApp.user_id == user_id, AuthenticatorApp.confirmed_at.is_not(None))
    return or_(app, exists().where(Passkey.user_id == user_id))
