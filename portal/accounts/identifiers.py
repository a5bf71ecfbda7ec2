"""How a person is named by what somebody types: an address, a user name, or the organisation's own attribute.

A stranger may type what is nobody's. One row of an account is read in any case, so that neither the look-up nor what
comes after it takes longer where there is an account.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, String, bindparam, literal, select, true, union_all
from sqlalchemy.orm import Session

from portal.accounts import people
from portal.accounts.models import User, UserAddress
from portal.accounts.people import Person
from portal.accounts.recovery_settings import IDENTIFIERS
from portal.accounts.user_names import name_key
from portal.mail.addresses import same_address_key
from portal.mail.header_text import one_line

KINDS = IDENTIFIERS
LONGEST = 320  # characters; what follows is not looked at
_STANDS_IN = 4  # ranks from here on name nobody


@dataclass(frozen=True)
class Found:
    """Whom something typed names, None for nobody.

    `read` is the account whose row was read: that person's or, where nobody is named, some other one's, to do the same
    work with. Nothing of it may show. None only where there is no account at all.
    """

    person: Person | None
    read: Person | None


def find_by_identifier(session: Session, typed: str, kinds: Collection[str]) -> Found:
    """The account that `typed` names by one of `kinds`: where several do, an address goes before a user name.

    One and the same statement whatever is typed and whichever kinds count. Addresses are the account's own and
    further ones that were validated. Mail goes to what is stored, never to what was typed.
    """
    typed = one_line(typed)[:LONGEST]
    address = same_address_key(typed) if "address" in kinds else ""
    user_name = name_key(typed) if "user_name" in kinds else ""
    custom = name_key(typed) if "custom" in kinds else ""
    return _read(session, _BY_IDENTIFIER, address=address, user_name=user_name, custom=custom)


def find_by_address(session: Session, typed: str) -> Found:
    """The account whose own address `typed` is. One and the same statement whatever is typed."""
    return _read(session, _BY_ADDRESS, address=same_address_key(typed))


def _read(session: Session, reading: Select[*tuple[Any, ...]], **keys: str) -> Found:
    first = people.find_ranked(session, reading, keys)
    if first is None:
        return Found(None, None)
    person, rank = first
    return Found(person if rank < _STANDS_IN else None, person)


def _ranked(rank: int, condition: ColumnElement[bool]) -> Select[UUID, int]:
    return select(User.id.label("id"), literal(rank).label("rank")).where(condition)


def _next(rank: int, condition: ColumnElement[bool]) -> Select[UUID, int]:
    one = select(User.id).where(condition).order_by(User.email_key).limit(1).subquery()
    return select(one.c.id.label("id"), literal(rank).label("rank"))


def _first_of(*named: Select[UUID, int]) -> Select[*tuple[Any, ...]]:
    """The one of the lowest rank. For nobody stands in who comes next to the address, or else the first of all."""
    stand_ins = (_next(_STANDS_IN, User.email_key >= _ADDRESS), _next(_STANDS_IN + 1, true()))
    every = union_all(*named, *stand_ins).subquery()
    return people.with_rank(select(every.c.id, every.c.rank).order_by(every.c.rank).limit(1).subquery())


# Made once: to make one takes longer than to run it. Nobody has the key "": what is empty is stored as NULL, and no
# address is empty.
_ADDRESS = bindparam("address", type_=String())
_OWN = _ranked(0, User.email_key == _ADDRESS)
_FURTHER = select(UserAddress.user_id.label("id"), literal(1).label("rank")).where(
    UserAddress.address_key == _ADDRESS, UserAddress.validated_at.is_not(None)
)
_BY_ADDRESS = _first_of(_OWN)
_BY_IDENTIFIER = _first_of(
    _OWN,
    _FURTHER,
    _ranked(2, User.user_name_key == bindparam("user_name", type_=String())),
    _ranked(3, User.custom_key == bindparam("custom", type_=String())),
)
