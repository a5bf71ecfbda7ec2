"""Signing in by a passkey alone, and giving one again in place of the password.

The device checks its owner by a PIN or a finger, so that the passkey is both factors (NIST SP 800-63B 3.1.7).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from portal import audit
from portal.accounts import ceremonies, passkeys, people
from portal.accounts.relying_party import RelyingParty
from portal.accounts.second_step import record_copy
from portal.accounts.sign_in import SignedIn, Visitor, begin
from portal.web import limits

PER_ADDRESS = "100/10 minutes"  # failures; a whole office may share one
CHALLENGES_PER_ADDRESS = "600/10 minutes"  # each is a row, and every sign-in page asks for one
_GOOD_FOR_A_WHILE = timedelta(minutes=5)


@dataclass(frozen=True)
class Asked:
    """What the browser is asked, and the cookie of the ceremony."""

    options: str
    token: str = field(repr=False)


def ask_anybody(session: Session, token: str, *, party: RelyingParty, now: datetime) -> Asked:
    """A challenge for whoever has a passkey. Pages that are open side by side in one browser share it."""
    open_one = ceremonies.find(session, token, "passkey", now=now)
    if open_one is not None and open_one.expires_at - now > _GOOD_FOR_A_WHILE:
        _same, options = passkeys.request_options(session, party, challenge=open_one.challenge, needs_verification=True)
        return Asked(options, token)
    challenge, options = passkeys.request_options(session, party, needs_verification=True)
    return Asked(options, ceremonies.start(session, "passkey", challenge=challenge, now=now))


def ask_owner(session: Session, user_id: UUID, *, party: RelyingParty, now: datetime) -> Asked:
    """A challenge for one of the passkeys of somebody signed in."""
    challenge, options = passkeys.request_options(session, party, user_id=user_id, needs_verification=True)
    token = ceremonies.start(session, "confirm", user_id=user_id, challenge=challenge, now=now)
    return Asked(options, token)


def sign_in(
    session: Session, token: str, answer: str, *, party: RelyingParty, visitor: Visitor, now: datetime
) -> SignedIn | None:
    """Begin a session by an answer; None where it proves nothing. Either way one audit row at least."""
    proof = _proof(session, token, answer, purpose="passkey", user_id=None, party=party, now=now)
    person = people.lock(session, proof.user_id) if proof.user_id else None
    is_let_in = person is not None and not person.is_disabled and not person.must_reset
    if isinstance(proof, passkeys.Proof) and person is not None and is_let_in:
        return begin(session, person, signed_in_with="passkey", visitor=visitor, now=now)
    if person is not None and isinstance(proof, passkeys.Refused) and proof.is_copied:
        record_copy(session, person, visitor, now=now)
    stranger = audit.Actor(None, "somebody not signed in", visitor.address)
    subject = person.email if person else ""
    audit.record(session, action="user.sign_in_failed", actor=stranger, subject=subject, now=now)
    return None


def is_passkey_of(
    session: Session, user_id: UUID, token: str, answer: str, *, party: RelyingParty, visitor: Visitor, now: datetime
) -> bool:
    """Whether somebody signed in has one of the own passkeys at hand."""
    proof = _proof(session, token, answer, purpose="confirm", user_id=user_id, party=party, now=now)
    if isinstance(proof, passkeys.Refused) and proof.is_copied:
        record_copy(session, people.get(session, user_id), visitor, now=now)
    return isinstance(proof, passkeys.Proof)


def count_challenge(engine: Engine, visitor: Visitor, *, now: datetime) -> None:
    """Raises TooManyRequests."""
    limits.require(engine, CHALLENGES_PER_ADDRESS, "passkey challenge", limits.client_key(visitor.address), now=now)


def count(engine: Engine, visitor: Visitor, *, now: datetime) -> None:
    """Count an answer before it is judged. Raises TooManyRequests."""
    limits.require(engine, PER_ADDRESS, "passkey address", limits.client_key(visitor.address), now=now)


def give_back(engine: Engine, visitor: Visitor, *, now: datetime) -> None:
    """The answer was right: it stays uncounted."""
    limits.give_back(engine, PER_ADDRESS, "passkey address", limits.client_key(visitor.address), now=now)


def _proof(
    session: Session,
    token: str,
    answer: str,
    *,
    purpose: ceremonies.Purpose,
    user_id: UUID | None,
    party: RelyingParty,
    now: datetime,
) -> passkeys.Proof | passkeys.Refused:
    """Use the ceremony up, whatever the answer is, and judge it."""
    open_one = ceremonies.find(session, token, purpose, now=now)
    if open_one is None or open_one.user_id != user_id or open_one.challenge is None:
        return passkeys.Refused()
    if not ceremonies.finish(session, open_one.id, now=now):
        return passkeys.Refused()
    return passkeys.prove(
        session,
        answer,
        challenge=open_one.challenge,
        party=party,
        user_id=user_id,
        needs_verification=True,
        now=now,
    )
