"""Signing in: the same answer and the same work whether the account exists, is disabled, or the password is wrong.

Wrong passwords are limited per account and per client address. A device on which the person signed in before has
a limit of its own, so that a stranger who guesses on locks nobody out (OWASP, device cookies).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from portal import audit
from portal.accounts import ceremonies, identifiers, people, second_factor, sessions
from portal.accounts.cookies import Device
from portal.accounts.models import User
from portal.accounts.passwords import Bound, hash_password, needs_rehash, verify_password
from portal.accounts.people import Person
from portal.mail.addresses import same_address_key
from portal.web import limits

PER_ACCOUNT = ("10/15 minutes", "60/day")  # fewer than 100 wrong guesses, NIST SP 800-63B 3.2.2
PER_DEVICE = ("10/15 minutes", "30/day")
PER_ADDRESS = ("100/10 minutes",)  # a whole office may share one
PER_SESSION = ("10/15 minutes",)  # for a password that somebody signed in gives again
Limit = limits.Use
_CORES = os.cpu_count() or 1
# At most half of the threads that answer requests, unless configured otherwise: the others are left for pages.
_in_hand = Bound(running=_CORES, waiting=_CORES, patience_seconds=2.0)


@dataclass(frozen=True)
class Visitor:
    """The browser that an attempt comes from, the language that it reads, and the session that it has already."""

    address: str
    agent: str
    device: Device
    session_id: UUID | None = None
    language: str = "en"


@dataclass(frozen=True)
class Attempt:
    """A compared password. `person` is None unless it was right and the account may sign in."""

    email: str  # as typed
    person: Person | None
    new_hash: str | None = field(default=None, repr=False)  # where the stored one has outdated parameters


@dataclass(frozen=True)
class SignedIn:
    """A session that has begun. The token is the cookie's and kept nowhere else."""

    user_id: UUID
    token: str = field(repr=False)


@dataclass(frozen=True)
class SecondFactorAwaited:
    """The password was right, and the account has a second factor. The token is the ceremony's cookie."""

    token: str = field(repr=False)


def check(session: Session, engine: Engine, *, email: str, password: str, visitor: Visitor, now: datetime) -> Attempt:
    """Compare the password, before any unit of work. Raises TooManyRequests, TooBusy."""
    person = identifiers.find_by_address(session, email).person
    used = _limits_of(email, person, visitor)
    with _in_hand.slot():
        may_enter = _may_enter(engine, used, person, password, now)
    if not may_enter or person is None or person.password_hash is None:
        return Attempt(email, None)
    outdated = needs_rehash(person.password_hash)
    return Attempt(email, person, hash_password(password) if outdated else None)


def conclude(
    session: Session, attempt: Attempt, *, visitor: Visitor, next_path: str = "", now: datetime
) -> SignedIn | SecondFactorAwaited | None:
    """Go on from the compared password, None where the attempt failed. Either way one audit row."""
    person = attempt.person
    if person is None or people.lock(session, person.id) != person:  # disabled or changed in the meantime
        # Only an address is kept of what was typed: people type passwords into the wrong field.
        stranger = audit.Actor(None, "somebody not signed in", visitor.address)
        typed = same_address_key(attempt.email)
        audit.record(session, action="user.sign_in_failed", actor=stranger, subject=typed, now=now)
        return None
    if attempt.new_hash:
        session.execute(update(User).where(User.id == person.id).values(password_hash=attempt.new_hash))
    return admit(session, person, signed_in_with="password", visitor=visitor, next_path=next_path, now=now)


def admit(
    session: Session,
    person: Person,
    *,
    signed_in_with: str,
    confirmed_at: datetime | None = None,
    visitor: Visitor,
    next_path: str = "",
    now: datetime,
) -> SignedIn | SecondFactorAwaited:
    """Let somebody in who has proved one factor, by `password` or `provider`, or ask for the second one first.

    `person` is as `people.lock` gave it in this unit of work. `confirmed_at` is when that factor was given: None is
    now. `next_path` is where to go afterwards, kept for the time in between.
    """
    if not second_factor.has_any(session, person.id):
        return begin(
            session, person, signed_in_with=signed_in_with, confirmed_at=confirmed_at, visitor=visitor, now=now
        )
    token = ceremonies.start(
        session,
        "sign_in",
        user_id=person.id,
        password_changed_at=session.scalar(select(User.password_changed_at).where(User.id == person.id)),
        began_with=signed_in_with,
        next_path=next_path,
        now=now,
    )
    actor = audit.Actor(person.id, person.name or person.email, visitor.address)
    audit.record(session, action="user.second_factor_asked", actor=actor, subject=person.email, now=now)
    return SecondFactorAwaited(token)


def begin(
    session: Session,
    person: Person,
    *,
    signed_in_with: str,
    proved_by: str | None = None,
    confirmed_at: datetime | None = None,
    visitor: Visitor,
    now: datetime,
) -> SignedIn:
    """Begin a new session for somebody who has proved enough; a former session of this browser ends.

    `person` is as `people.lock` gave it in this unit of work. `proved_by` is the second factor, for the audit row.
    """
    if visitor.session_id is not None:
        sessions.end(session, visitor.session_id, now=now)
    session.execute(update(User).where(User.id == person.id).values(last_sign_in_at=now))
    actor = audit.Actor(person.id, person.name or person.email, visitor.address)
    how: dict[str, tuple[str | None, str | None]] = {
        "signed_in_with": (None, signed_in_with),
        "second_factor": (None, proved_by),
    }
    audit.record(session, action="user.signed_in", actor=actor, subject=person.email, changes=how, now=now)
    address, agent = visitor.address, visitor.agent
    token = sessions.start(
        session,
        person.id,
        address=address,
        agent=agent,
        signed_in_with=signed_in_with,
        confirmed_at=confirmed_at,
        now=now,
    )
    return SignedIn(person.id, token)


def is_password_of(session: Session, engine: Engine, user_id: UUID, password: str, *, now: datetime) -> bool:
    """Whether somebody signed in gave the own password. Raises TooManyRequests, TooBusy."""
    used: list[Limit] = [(rule, again_key(user_id)) for rule in PER_SESSION]
    return _may_enter(engine, used, people.get(session, user_id), password, now)


def account_key(email: str) -> tuple[str, ...]:
    """What wrong passwords of one account are counted by; of what exists nowhere too."""
    return ("sign-in account", same_address_key(email) or email.lower())


def device_key(device_id: str, user_id: UUID) -> tuple[str, ...]:
    """The same for a browser on which the person signed in before."""
    return ("sign-in device", device_id, user_id.hex)


def again_key(user_id: UUID) -> tuple[str, ...]:
    """The same for somebody signed in who gives the own password again."""
    return ("password again", user_id.hex)


def _limits_of(email: str, person: Person | None, visitor: Visitor) -> list[Limit]:
    """What was typed is counted whether it exists or not, or the limit would tell which does."""
    client = limits.client_key(visitor.address)
    by_address: list[Limit] = [(rule, ("sign-in address", client)) for rule in PER_ADDRESS]
    if person is not None and visitor.device.knows(person.id):
        return by_address + [(rule, device_key(visitor.device.id, person.id)) for rule in PER_DEVICE]
    return by_address + [(rule, account_key(email)) for rule in PER_ACCOUNT]


def _may_enter(engine: Engine, used: Sequence[Limit], person: Person | None, password: str, now: datetime) -> bool:
    """Compare within the limits. Counted before, so that many at once are not all free; only failures stay counted."""
    limits.require_all(engine, used, now)
    has_failed = False
    try:
        matches = verify_password(person.password_hash if person else None, password)
        has_failed = person is None or person.is_disabled or person.must_reset or not matches
    finally:
        if not has_failed:
            limits.give_back_all(engine, used, now)
    return not has_failed
