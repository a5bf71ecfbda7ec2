"""The list of people: searched, filtered, a page at a time by the key of its order, the address.

Whoever searches types any part of the primary address, a name or a user name, or how another address begins. Of
100,000 people each page takes less than 100 ms: what is searched stands in one column and in an index, in the order of
the list.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import JSON, ColumnElement, and_, cast, exists, false, func, literal, not_, or_, select, true
from sqlalchemy.orm import Session

from portal.accounts import sign_in
from portal.accounts.factor_models import AuthenticatorApp, Passkey
from portal.accounts.models import Invitation, User, UserAddress
from portal.audit.models import AuditEntry
from portal.mail.addresses import same_address_key
from portal.web import limits
from portal.wording import N_

PAGE_SIZE = 50
STATES = {"active": N_("Active"), "invited": N_("Invited"), "disabled": N_("Disabled"), "locked": N_("Locked")}
LONGEST_SEARCH = 100  # characters
_MOST_BY_OTHER = 200  # people that one search finds by another address: whoever looks for one types more of it
_A_DAY = timedelta(days=1)
_FEWEST_FAILURES = min(limits.amount(rule) for rule in sign_in.PER_ACCOUNT)
_BY_LOCKS = ("active", "invited", "locked")  # states that who is locked decides


@dataclass(frozen=True)
class Wanted:
    """Which people; "" stands for all. `after` is the address key of the last one seen."""

    text: str = ""
    role: str = ""
    state: str = ""
    after: str = ""


@dataclass(frozen=True)
class ListedUser:
    """A person as the list shows one. `state` is of STATES."""

    id: UUID
    email: str
    key: str
    name: str
    user_name: str
    role: str
    state: str
    last_sign_in_at: datetime | None
    has_second_factor: bool


@dataclass(frozen=True)
class Listing:
    users: Sequence[ListedUser]
    next_after: str  # "" where this page is the last


def list_users(session: Session, wanted: Wanted, *, now: datetime) -> Listing:
    """A page of the people that are wanted, in the order of their addresses."""
    locked = locked_keys(session, now=now) if wanted.state in _BY_LOCKS else frozenset()
    columns = (User.id, User.email, User.email_key, User.name, User.user_name, User.role, User.is_disabled)
    facts = (is_invited().label("invited"), User.last_sign_in_at, has_second_factor().label("second_factor"))
    is_locked = _is_among(session, locked)
    conditions = (_search(session, wanted.text), _of_role(wanted.role), _in_state(wanted.state, is_locked))
    place = User.email_key > wanted.after if wanted.after else true()
    page = select(*columns, *facts).where(place, *conditions).order_by(User.email_key)
    rows = session.execute(page.limit(PAGE_SIZE + 1)).all()
    locked = _locked_of([row.email_key for row in rows], session, now=now)
    users = [
        ListedUser(
            row.id,
            row.email,
            row.email_key,
            row.name,
            row.user_name,
            row.role,
            state_of(is_disabled=row.is_disabled, is_invited=row.invited, is_locked=row.email_key in locked),
            row.last_sign_in_at,
            row.second_factor,
        )
        for row in rows[:PAGE_SIZE]
    ]
    return Listing(users, users[-1].key if len(rows) > PAGE_SIZE else "")


def state_of(*, is_disabled: bool, is_invited: bool, is_locked: bool) -> str:
    """The one word for an account: what keeps somebody out for longest comes first."""
    if is_disabled:
        return "disabled"
    if is_locked:
        return "locked"
    return "invited" if is_invited else "active"


def is_invited() -> ColumnElement[bool]:
    """Whether the account was made for somebody who has not chosen a password yet."""
    return and_(
        User.password_hash.is_(None),
        exists().where(Invitation.user_id == User.id, Invitation.used_at.is_(None)).correlate(User),
    )


def has_second_factor() -> ColumnElement[bool]:
    """Whether an authenticator app was confirmed, or there is a passkey."""
    app = exists().where(AuthenticatorApp.user_id == User.id, AuthenticatorApp.confirmed_at.is_not(None))
    return or_(app.correlate(User), exists().where(Passkey.user_id == User.id).correlate(User))


def locked_keys(session: Session, *, now: datetime) -> set[str]:
    """The address keys that take no password now, after too many wrong ones.

    The counters name nobody, so the day's failures, which the audit log holds, say whose to look at. Two statements,
    however many there are.
    """
    failures = select(AuditEntry.subject).where(AuditEntry.at > now - _A_DAY)
    suspects = (
        failures.where(AuditEntry.action == "user.sign_in_failed")
        .group_by(AuditEntry.subject)
        .having(func.count() >= _FEWEST_FAILURES)
    )
    return _locked_of(session.scalars(suspects).all(), session, now=now)


def _locked_of(keys: Collection[str], session: Session, *, now: datetime) -> set[str]:
    """Those of the address keys that are locked."""
    counted_by = {key: sign_in.account_key(key) for key in keys}
    uses = {(rule, counted_by[key]): key for key in keys for rule in sign_in.PER_ACCOUNT}
    return {uses[use] for use in limits.used_up(session, list(uses), now=now)}


def is_locked(session: Session, email: str, *, now: datetime) -> bool:
    """Whether too many wrong passwords were given for this address."""
    counted_by = sign_in.account_key(email)
    return any(limits.is_used_up(session, rule, *counted_by, now=now) for rule in sign_in.PER_ACCOUNT)


def _search(session: Session, text: str) -> ColumnElement[bool]:
    text = text.strip()[:LONGEST_SEARCH]
    if not text:
        return true()
    address = same_address_key(text)  # a domain may be typed in its own letters
    spellings = {_as_kept(one) for one in (text, text.lower(), text.upper(), text.title())} | ({address} - {""})
    by_other = _is_among(session, _keys_by_other_address(session, address or text))
    return or_(by_other, *(User.search_key.contains(one, autoescape=True) for one in sorted(spellings)))


def _keys_by_other_address(session: Session, text: str) -> Sequence[str]:
    """The address keys of those of whom a validated address besides the primary one begins so.

    Read first, and not all where there are many: asked for each person, the search would leave its index.
    """
    begins = UserAddress.address_key.startswith(_as_kept(text), autoescape=True)
    keys = select(User.email_key).join(UserAddress, UserAddress.user_id == User.id)
    found = keys.where(UserAddress.validated_at.is_not(None), begins).order_by(UserAddress.address_key)
    return session.scalars(found.limit(_MOST_BY_OTHER)).all()


def _as_kept(text: str) -> str:
    """SQLite lowers ASCII letters alone, so other letters are looked for as they may stand."""
    return "".join(character.lower() if character.isascii() else character for character in text)


def _of_role(role: str) -> ColumnElement[bool]:
    return User.role == role if role else true()


def _is_among(session: Session, keys: Collection[str]) -> ColumnElement[bool]:
    """Whether the account's address key is one of many: handed over as one value, since a statement takes so few."""
    if not keys:
        return false()
    handed = literal(json.dumps(sorted(keys)))
    if session.get_bind().dialect.name == "sqlite":
        return User.email_key.in_(select(func.json_each(handed).table_valued("value").c.value))
    return User.email_key.in_(select(func.json_array_elements_text(cast(handed, JSON)).column_valued()))


def _in_state(state: str, is_locked: ColumnElement[bool]) -> ColumnElement[bool]:
    is_enabled, is_open = User.is_disabled.is_(False), not_(is_locked)
    # Read once for the whole page: asked for each row, PostgreSQL takes it for so dear that it compiles the query.
    waiting = select(Invitation.user_id).where(Invitation.used_at.is_(None))
    conditions = {
        "disabled": User.is_disabled.is_(True),
        "locked": and_(is_enabled, is_locked),
        "invited": and_(is_enabled, is_invited(), is_open),
        "active": and_(is_enabled, or_(User.password_hash.is_not(None), User.id.not_in(waiting)), is_open),
    }
    return conditions.get(state, true())
