"""Signing in: the same answer and the same work whether the account exists, is disabled, or the password is wrong.

Wrong passwords are limited per account and per client address. A device on which the person signed in before has
a limit of its own, so that a stranger who guesses on locks nobody out (OWASP, device cookies).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from portal import audit
from portal.accounts import people, sessions
from portal.accounts.cookies import Device
from portal.accounts.models import User
from portal.accounts.passwords import hash_password, needs_rehash, verify_password
from portal.accounts.people import Person
from portal.mail.addresses import same_address_key
from portal.web import limits

PER_ACCOUNT = ("10/15 minutes", "60/day")  # fewer than 100 wrong guesses, NIST SP 800-63B 3.2.2
PER_DEVICE = ("10/15 minutes", "30/day")
PER_ADDRESS = ("100/10 minutes",)  # a whole office may share one
PER_SESSION = ("10/15 minutes",)  # for a password that somebody signed in gives again
Limit = tuple[str, tuple[str, ...]]  # a rule, and what it is counted by


@dataclass(frozen=True)
class Visitor:
    """The browser that an attempt comes from, and the session that it has already."""

    address: str
    agent: str
    device: Device
    session_id: UUID | None = None


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


def check(session: Session, engine: Engine, *, email: str, password: str, visitor: Visitor, now: datetime) -> Attempt:
    """Compare the password, before any unit of work. Raises TooManyRequests, TooBusy."""
    person = people.find(session, email)
    used = _limits_of(email, person, visitor)
    if not _may_enter(engine, used, person, password, now) or person is None or person.password_hash is None:
        return Attempt(email, None)
    outdated = needs_rehash(person.password_hash)
    return Attempt(email, person, hash_password(password) if outdated else None)


def conclude(session: Session, attempt: Attempt, *, visitor: Visitor, now: datetime) -> SignedIn | None:
    """Begin a new session, None where the attempt failed. Either way one audit row; a former session ends."""
    person = attempt.person
    if person is None or people.find(session, person.email) != person:  # disabled or changed in the meantime
        # Only an address is kept of what was typed: people type passwords into the wrong field.
        stranger = audit.Actor(None, "somebody not signed in", visitor.address)
        typed = same_address_key(attempt.email)
        audit.record(session, action="user.sign_in_failed", actor=stranger, subject=typed, now=now)
        return None
    if attempt.new_hash:
        session.execute(update(User).where(User.id == person.id).values(password_hash=attempt.new_hash))
    if visitor.session_id is not None:
        sessions.end(session, visitor.session_id, now=now)
    actor = audit.Actor(person.id, person.name or person.email, visitor.address)
    audit.record(session, action="user.signed_in", actor=actor, subject=person.email, now=now)
    token = sessions.start(session, person.id, address=visitor.address, agent=visitor.agent, now=now)
    return SignedIn(person.id, token)


def is_password_of(session: Session, engine: Engine, user_id: UUID, password: str, *, now: datetime) -> bool:
    """Whether somebody signed in gave the own password. Raises TooManyRequests, TooBusy."""
    used: list[Limit] = [(rule, ("password again", user_id.hex)) for rule in PER_SESSION]
    return _may_enter(engine, used, people.get(session, user_id), password, now)


def _limits_of(email: str, person: Person | None, visitor: Visitor) -> list[Limit]:
    """What was typed is counted whether it exists or not, or the limit would tell which does."""
    by_address: list[Limit] = [(rule, ("sign-in address", visitor.address)) for rule in PER_ADDRESS]
    if person is not None and visitor.device.knows(person.id):
        device = ("sign-in device", visitor.device.id, person.id.hex)
        return by_address + [(rule, device) for rule in PER_DEVICE]
    account = ("sign-in account", same_address_key(email) or email.lower())
    return by_address + [(rule, account) for rule in PER_ACCOUNT]


def _may_enter(engine: Engine, used: Sequence[Limit], person: Person | None, password: str, now: datetime) -> bool:
    """Compare within the limits. Counted before, so that many at once are not all free; only failures stay counted."""
    for rule, parts in used:
        limits.require(engine, rule, *parts, now=now)
    has_failed = False
    try:
        matches = verify_password(person.password_hash if person else None, password)
        has_failed = person is None or person.is_disabled or not matches
    finally:
        if not has_failed:
            for rule, parts in used:
                limits.give_back(engine, rule, *parts, now=now)
    return not has_failed
