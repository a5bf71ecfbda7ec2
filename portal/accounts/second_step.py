"""The second step of signing in: a code or a passkey, after the password was right and before any session.

Wrong answers are limited per ceremony, per account and per client address; a device on which the person signed in
before has a limit of its own, so that somebody who knows the password cannot keep the owner out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from portal import audit
from portal.accounts import ceremonies, passkeys, people, recovery_codes, sessions, totp
from portal.accounts.ceremonies import UnderWay
from portal.accounts.models import User
from portal.accounts.people import Person
from portal.accounts.relying_party import RelyingParty
from portal.accounts.sign_in import Limit, SignedIn, Visitor, begin
from portal.secret_box import SecretBox
from portal.web import limits

if TYPE_CHECKING:
    from portal.accounts.account_mail import AccountMail

PER_ACCOUNT = ("10/15 minutes", "60/day")  # fewer than 100 guesses, of which three in a million are right
PER_DEVICE = ("10/15 minutes", "30/day")
PER_ADDRESS = ("100/10 minutes",)


@dataclass(frozen=True)
class Awaited:
    """A sign-in that waits for its second factor, and whose it is."""

    under_way: UnderWay
    person: Person

    @property
    def next_path(self) -> str:
        return self.under_way.next_path


@dataclass(frozen=True)
class Wrong:
    """The answer was wrong; after none left the password is asked for again."""

    tries_left: int


@dataclass(frozen=True)
class Entered:
    """A session has begun. `codes_left` is a number where a recovery code was used."""

    signed_in: SignedIn
    codes_left: int | None = None


Outcome = Entered | Wrong | None  # None: the sign-in has ended and begins anew


def find(session: Session, token: str, *, now: datetime) -> Awaited | None:
    """The sign-in of a cookie; None where it has ended, or the account was disabled or its password changed or void."""
    under_way = ceremonies.find(session, token, "sign_in", now=now)
    if under_way is None or under_way.user_id is None:
        return None
    person = people.get(session, under_way.user_id)
    changed_at = session.scalar(select(User.password_changed_at).where(User.id == person.id))
    if person.is_disabled or person.must_reset or changed_at != under_way.password_changed_at:
        return None
    return Awaited(under_way, person)


def _find_locked(session: Session, token: str, *, now: datetime) -> Awaited | None:
    """The same, once nobody else changes the account any more: the row is locked before the ceremony's."""
    under_way = ceremonies.find(session, token, "sign_in", now=now)
    if under_way is None or under_way.user_id is None or people.lock(session, under_way.user_id) is None:
        return None
    return find(session, token, now=now)


def count(engine: Engine, awaited: Awaited, visitor: Visitor, *, now: datetime) -> None:
    """Count an answer before it is judged, so that many at once are not all free. Raises TooManyRequests."""
    limits.require_all(engine, _limits_of(awaited, visitor), now)


def give_back(engine: Engine, awaited: Awaited, visitor: Visitor, *, now: datetime) -> None:
    """The answer was right: it stays uncounted."""
    limits.give_back_all(engine, _limits_of(awaited, visitor), now)


def give_code(
    session: Session, token: str, typed: str, *, visitor: Visitor, box: SecretBox, mail: AccountMail, now: datetime
) -> Outcome:
    """Go on by a code of the app, or a recovery code."""
    awaited = _find_locked(session, token, now=now)
    left = ceremonies.count_try(session, awaited.under_way.id, now=now) if awaited else None
    if awaited is None or left is None:
        return None
    person, code = awaited.person, "".join(letter for letter in typed if letter not in " -")
    if totp.could_be_code(code):
        if totp.take(session, person.id, code, box=box, now=now):
            return _enter(session, awaited, "authenticator app", visitor, now)
    elif recovery_codes.take(session, person.id, typed, now=now):
        mail.queue_second_factor_changed(session, person, "code_used", now=now)
        entered = _enter(session, awaited, "recovery code", visitor, now)
        return entered and replace(entered, codes_left=recovery_codes.left(session, person.id))
    return _wrong(session, person, left, visitor, now)


def is_app_code_of(session: Session, user_id: UUID, typed: str, *, box: SecretBox, now: datetime) -> bool:
    """Whether somebody signed in, who has no password to give again, has the own app at hand."""
    person = people.lock(session, user_id)
    code = "".join(letter for letter in typed if letter not in " -")
    is_asked = person is not None and person.password_hash is None and totp.could_be_code(code)
    return is_asked and totp.take(session, user_id, code, box=box, now=now)


def count_confirmation(engine: Engine, user_id: UUID, *, now: datetime) -> None:
    """Count such a code before it is judged. Raises TooManyRequests."""
    limits.require_all(engine, _limits_of_confirmation(user_id), now)


def give_back_confirmation(engine: Engine, user_id: UUID, *, now: datetime) -> None:
    """The code was right: it stays uncounted."""
    limits.give_back_all(engine, _limits_of_confirmation(user_id), now)


def challenge(session: Session, awaited: Awaited, party: RelyingParty) -> str:
    """The JSON that the browser answers by one of this person's passkeys."""
    new, options = passkeys.request_options(session, party, user_id=awaited.person.id, needs_verification=False)
    ceremonies.set_challenge(session, awaited.under_way.id, new)
    return options


def give_passkey(
    session: Session, token: str, answer: str, *, party: RelyingParty, visitor: Visitor, now: datetime
) -> Outcome:
    """Go on by a passkey of this person."""
    awaited = _find_locked(session, token, now=now)
    left = ceremonies.count_try(session, awaited.under_way.id, now=now) if awaited else None
    if awaited is None or left is None:
        return None
    asked, person = ceremonies.take_challenge(session, awaited.under_way), awaited.person
    if asked is not None:
        proof = passkeys.prove(
            session, answer, challenge=asked, party=party, user_id=person.id, needs_verification=False, now=now
        )
        if isinstance(proof, passkeys.Proof):
            return _enter(session, awaited, "passkey", visitor, now)
        if proof.is_copied:
            record_copy(session, person, visitor, now=now)
    return _wrong(session, person, left, visitor, now)


def record_copy(session: Session, person: Person, visitor: Visitor, *, now: datetime) -> None:
    """Somebody may have a copy of the passkey: its count has not risen."""
    stranger = audit.Actor(None, "somebody not signed in", visitor.address)
    audit.record(session, action="user.passkey_count_fell", actor=stranger, subject=person.email, now=now)


def _enter(session: Session, awaited: Awaited, proved_by: str, visitor: Visitor, now: datetime) -> Entered | None:
    if not ceremonies.finish(session, awaited.under_way.id, now=now):
        return None
    way = awaited.under_way.began_with
    # A provider may have let the browser in without a question, and here a passkey need not check its owner.
    is_confirmed = (way, proved_by) != ("provider", "passkey")
    begun = begin(
        session,
        awaited.person,
        signed_in_with=way,
        proved_by=proved_by,
        confirmed_at=now if is_confirmed else sessions.NOT_CONFIRMED,
        visitor=visitor,
        now=now,
    )
    return Entered(begun)


def _wrong(session: Session, person: Person, left: int, visitor: Visitor, now: datetime) -> Wrong:
    stranger = audit.Actor(None, "somebody not signed in", visitor.address)
    audit.record(session, action="user.second_factor_failed", actor=stranger, subject=person.email, now=now)
    return Wrong(left)


def account_key(user_id: UUID) -> tuple[str, ...]:
    """What wrong codes of one account are counted by."""
    return ("second factor account", user_id.hex)


def _limits_of_confirmation(user_id: UUID) -> list[Limit]:
    """Apart from those of signing in: whoever guesses in a stolen session keeps the owner out of nothing."""
    return [(rule, ("app code again", user_id.hex)) for rule in PER_ACCOUNT]


def _limits_of(awaited: Awaited, visitor: Visitor) -> list[Limit]:
    user_id, client = awaited.person.id, limits.client_key(visitor.address)
    by_address: list[Limit] = [(rule, ("second factor address", client)) for rule in PER_ADDRESS]
    if visitor.device.knows(user_id):
        device = ("second factor device", visitor.device.id, user_id.hex)
        return by_address + [(rule, device) for rule in PER_DEVICE]
    return by_address + [(rule, account_key(user_id)) for rule in PER_ACCOUNT]
