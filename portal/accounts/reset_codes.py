"""Reset codes: eight digits by mail, typed in the browser that asked for them.

A code is stored as HMAC-SHA256 under a key of its own, with its request's id; it works in the browser that asked,
while its request is the newest of that browser, for as long as a link would. Tries are counted by the browser and what
was typed, known or not; those in a browser that asked also by the account in that browser, so that a new code renews no
try. Each browser has the first OWN_TRIES for itself: nobody uses up another one's. What the settings allow beyond them
comes out of one pool of the account. As only so many mails leave in an hour (`password_reset.MAILS_PER_ACCOUNT`), an
hour sees that many times OWN_TRIES guesses at one account and the pool: with 5 tries 50 of 100 million.
Source: NIST SP 800-63B 3.1.3.2, 4.2; OWASP Forgot Password Cheat Sheet.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, LargeBinary, Uuid, literal, or_, select, union_all, update
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from portal.accounts import identifiers, recovery_settings, reset_links
from portal.accounts.models import ResetRequest, User
from portal.accounts.people_identifier import Account, Addressee, written_to_key
from portal.accounts.tokens import token_hash
from portal.mail.header_text import one_line
from portal.web import limits

DIGITS = 8
OWN_TRIES = 10  # in an hour, of one browser
_BROWSERS = 50  # that are looked at when an account is unlocked: more than can ask within an hour
_NOBODY = UUID(int=0)
_STRANGER = Account(_NOBODY, "nobody@nowhere.invalid", "")


@dataclass(frozen=True)
class RightCode:
    """A code that was right, and the account that it is for. It is not used up yet."""

    request_id: UUID
    user_id: UUID
    email: str


class TooManyTries(Exception):
    """So often did this browser try a code for this identifier, known or not, that none is looked at for an hour."""


def new_code() -> str:
    return f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"


def code_mac(key: bytes, request_id: UUID, code: str) -> bytes:
    """What is stored of a code. Blanks and hyphens between digits do not count."""
    digits = "".join(character for character in code if character not in " -\u00a0")
    text = b"reset code" + request_id.bytes + digits[:100].encode(errors="replace")
    return hmac.digest(key, text, hashlib.sha256)


def check(
    session: Session, engine: Engine, key: bytes, *, identifier: str, code: str, browser_token: str, now: datetime
) -> RightCode | None:
    """Compare a code, before any unit of work; None where it is wrong. Raises TooManyTries.

    The same statements and rows whatever was typed. A right code's try is given back: it may be needed again, for a
    password that is not taken.
    """
    settings = recovery_settings.load(session)
    named = identifiers.find_by_identifier(session, identifier, settings.identifiers)
    rule, browser = f"{settings.attempts}/hour", token_hash(browser_token)
    newest = _newest(session, named.read or _STRANGER, browser, now)
    person = named.person if newest.id != _NOBODY else None
    typed = _typed_key(identifier, browser)
    used = [(rule, typed), (rule, browser_key(person.id, browser) if person else ("nowhere", *typed))]
    counted = [limits.allow(engine, rule, *parts, now=now) for rule, parts in used]
    if any(isinstance(one, limits.Allowed) and settings.attempts - one.remaining > OWN_TRIES for one in counted):
        pool = account_key(person.id) if person else ("pool nowhere", *typed)
        used.append((rule, pool))
        counted.append(limits.allow(engine, rule, *pool, now=now))
    matches = hmac.compare_digest(newest.code_mac or bytes(32), code_mac(key, newest.id, code))
    if isinstance(counted[0], limits.Refused):
        raise TooManyTries
    is_refused = any(isinstance(one, limits.Refused) for one in counted)
    if not matches or newest.code_mac is None or person is None or is_refused:
        return None
    limits.give_back_all(engine, used, now)
    return RightCode(newest.id, person.id, person.email)


def browser_key(user_id: UUID, browser_hash: bytes) -> tuple[str, ...]:
    """What wrong codes of one account in one browser are counted by."""
    return ("reset code browser", user_id.hex, browser_hash.hex())


def account_key(user_id: UUID) -> tuple[str, ...]:
    """What wrong codes of one account are counted by that are more than OWN_TRIES in their browser."""
    return ("reset code account", user_id.hex)


def keys_of(session: Session, user_id: UUID) -> list[tuple[str, ...]]:
    """All that this account's wrong codes are counted by, in the browsers that asked of late."""
    asked = select(ResetRequest.identifier, ResetRequest.browser_hash).where(
        ResetRequest.user_id == user_id, ResetRequest.browser_hash.is_not(None)
    )
    keys = {account_key(user_id)}
    for identifier, browser in session.execute(asked.order_by(ResetRequest.answered_at.desc()).limit(_BROWSERS)):
        keys |= {browser_key(user_id, browser or b""), _typed_key(identifier, browser or b"")}
    return sorted(keys)


def _typed_key(identifier: str, browser_hash: bytes) -> tuple[str, ...]:
    return ("reset code typed", one_line(identifier)[: identifiers.LONGEST].lower(), browser_hash.hex())


def use(session: Session, right: RightCode, *, now: datetime) -> UUID | None:
    """Use the code up, and its link with it; returns whose it was, None where it has died since it was compared.

    Whoever calls holds the account's row.
    """
    mailed_to = written_to_key(session, Account(right.user_id, right.email, ""))
    using = update(ResetRequest).where(ResetRequest.id == right.request_id, reset_links.is_open(now))
    using = using.where(reset_links.fits_account(), _was_mailed_to(mailed_to))
    using = using.values(used_at=now).returning(ResetRequest.user_id)
    return session.scalar(using.execution_options(synchronize_session=False))


def _was_mailed_to(key: str) -> ColumnElement[bool]:
    return or_(ResetRequest.mailed_to_key.is_(None), ResetRequest.mailed_to_key == key)


@dataclass(frozen=True)
class _Found:
    id: UUID
    code_mac: bytes | None


def _newest(session: Session, person: Addressee, browser_hash: bytes, now: datetime) -> _Found:
    """The account's open request that this browser asked for, or else nobody's: there is one row in any case.

    There is one open request at most: a newer one voids the others.
    """
    columns = select(ResetRequest.id, ResetRequest.code_mac, literal(0).label("rank"))
    of_browser = ResetRequest.browser_hash == browser_hash
    fitting = columns.join(User, User.id == ResetRequest.user_id).where(ResetRequest.user_id == person.id, of_browser)
    fitting = fitting.where(reset_links.is_open(now), _was_mailed_to(written_to_key(session, person)))
    newest = fitting.where(reset_links.is_as_it_was()).order_by(ResetRequest.requested_at.desc()).limit(1).subquery()
    nobodys = select(literal(_NOBODY, Uuid()), literal(bytes(32), LargeBinary()), literal(1))
    either = union_all(select(newest), nobodys).subquery()
    row = session.execute(select(either.c.id, either.c.code_mac).order_by(either.c.rank).limit(1)).one()
    return _Found(*row)
