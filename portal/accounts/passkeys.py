"""Passkeys: registered, listed, proved and removed (Web Authentication Level 3).

What a browser sends is judged by py_webauthn; which challenge it must answer is the ceremony's. A challenge is
answered once. A count that does not rise is refused: there may be a copy of the key (section 6.1.1).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import webauthn
from sqlalchemy import and_, delete, literal, or_, select, update
from sqlalchemy.orm import Session
from webauthn.helpers import parse_authentication_credential_json, parse_registration_credential_json
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from portal.accounts.factor_models import Passkey
from portal.accounts.people import Person
from portal.accounts.relying_party import NAME, RelyingParty

LONGEST_NAME = 100  # characters
MOST = 20  # passkeys of one person
LONGEST_ANSWER = 16 * 1024  # characters of what a browser sends; a real one has about two thousand
_TIMEOUT_MS = 5 * 60 * 1000
_UNPARSED = (WebAuthnException, ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError)


@dataclass(frozen=True)
class ListedPasskey:
    """A passkey as its owner sees it."""

    id: UUID
    name: str
    created_at: datetime
    last_used_at: datetime | None
    is_backed_up: bool  # kept by its maker's cloud, so that it outlives the device


@dataclass(frozen=True)
class NewPasskey:
    """A passkey whose registration was right; nothing is stored yet."""

    credential_id: bytes
    public_key: bytes = field(repr=False)
    sign_count: int
    transports: str
    is_backed_up: bool


@dataclass(frozen=True)
class Proof:
    """Somebody has the passkey at hand."""

    user_id: UUID
    name: str


@dataclass(frozen=True)
class Refused:
    """An answer that proves nothing. `user_id`: whose passkey it names; `is_copied`: its count has not risen."""

    user_id: UUID | None = None
    is_copied: bool = False


@dataclass(frozen=True)
class _Known:
    id: UUID
    user_id: UUID
    name: str
    public_key: bytes
    sign_count: int


def listed(session: Session, user_id: UUID) -> tuple[ListedPasskey, ...]:
    """A person's passkeys, the oldest first."""
    columns = (Passkey.id, Passkey.name, Passkey.created_at, Passkey.last_used_at, Passkey.is_backed_up)
    mine = select(*columns).where(Passkey.user_id == user_id).order_by(Passkey.created_at, Passkey.id)
    return tuple(ListedPasskey(*row) for row in session.execute(mine))


def registration_options(session: Session, person: Person, party: RelyingParty) -> tuple[bytes, str]:
    """A new challenge, and the JSON that a browser makes a passkey by. One device makes no second one."""
    options = webauthn.generate_registration_options(
        rp_id=party.id,
        rp_name=NAME,
        user_id=person.id.bytes,
        user_name=person.email,
        user_display_name=person.name or person.email,
        timeout=_TIMEOUT_MS,
        exclude_credentials=_descriptors(session, person.id),
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED, user_verification=UserVerificationRequirement.PREFERRED
        ),
    )
    return options.challenge, webauthn.options_to_json(options)


def request_options(
    session: Session,
    party: RelyingParty,
    *,
    challenge: bytes | None = None,
    user_id: UUID | None = None,
    needs_verification: bool,
) -> tuple[bytes, str]:
    """A challenge, and the JSON that a browser answers it by: with a passkey of this person, or any that it knows.

    `needs_verification`: the device must also check that it is its owner, by a PIN or a finger.
    """
    required, preferred = UserVerificationRequirement.REQUIRED, UserVerificationRequirement.PREFERRED
    options = webauthn.generate_authentication_options(
        rp_id=party.id,
        challenge=challenge,
        timeout=_TIMEOUT_MS,
        allow_credentials=_descriptors(session, user_id) if user_id else [],
        user_verification=required if needs_verification else preferred,
    )
    return options.challenge, webauthn.options_to_json(options)


def judge_new(answer: str, *, challenge: bytes, party: RelyingParty) -> NewPasskey | None:
    """What a browser registered, None where the answer is not right in every part."""
    try:
        credential = parse_registration_credential_json(_object(answer))
        found = webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
        )
    except _UNPARSED:
        return None
    transports = " ".join(str(one.value) for one in credential.response.transports or [])
    return NewPasskey(
        found.credential_id, found.credential_public_key, found.sign_count, transports, found.credential_backed_up
    )


def add(session: Session, user_id: UUID, new: NewPasskey, name: str, *, now: datetime) -> bool:
    """Store a passkey; False where it is somebody's already, or the person has as many as may be."""
    taken = session.scalar(select(Passkey.id).where(Passkey.credential_id == new.credential_id))
    if taken is not None or len(listed(session, user_id)) >= MOST:
        return False
    row = Passkey(id=uuid4(), user_id=user_id, name=name[:LONGEST_NAME], created_at=now, **new.__dict__)
    session.add(row)
    session.flush()
    return True


def prove(
    session: Session,
    answer: str,
    *,
    challenge: bytes,
    party: RelyingParty,
    user_id: UUID | None = None,
    needs_verification: bool,
    now: datetime,
) -> Proof | Refused:
    """Judge what a browser answered. With `user_id` only that person's passkeys count."""
    try:
        credential = parse_authentication_credential_json(_object(answer))
        known = _known(session, credential.raw_id)
        if known is None or not _is_its_owner(known, user_id, credential.response.user_handle):
            return Refused()
        found = webauthn.verify_authentication_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            credential_public_key=known.public_key,
            credential_current_sign_count=0,  # compared below, where what came of it is kept
            require_user_verification=needs_verification,
        )
    except _UNPARSED:
        return Refused()
    if not _count_up(session, known.id, found.new_sign_count, is_backed_up=found.credential_backed_up, now=now):
        return Refused(known.user_id, is_copied=True)
    return Proof(known.user_id, known.name)


def remove(session: Session, user_id: UUID, passkey_id: UUID) -> str | None:
    """Forget a passkey of this person; its name, None where there is none."""
    mine = and_(Passkey.id == passkey_id, Passkey.user_id == user_id)
    return session.scalar(delete(Passkey).where(mine).returning(Passkey.name))


def remove_all(session: Session, user_id: UUID) -> None:
    session.execute(delete(Passkey).where(Passkey.user_id == user_id))


def _object(answer: str) -> dict[str, Any]:
    """Raises ValueError for what is too long or no object. Unknown words of later browsers are left out."""
    parsed = json.loads(answer) if len(answer) <= LONGEST_ANSWER else None
    if not isinstance(parsed, dict):
        raise ValueError("no JSON object")
    return {name: value for name, value in parsed.items() if name != "authenticatorAttachment"}


def _known(session: Session, credential_id: bytes) -> _Known | None:
    columns = (Passkey.id, Passkey.user_id, Passkey.name, Passkey.public_key, Passkey.sign_count)
    row = session.execute(select(*columns).where(Passkey.credential_id == credential_id)).one_or_none()
    return _Known(*row) if row else None


def _is_its_owner(known: _Known, user_id: UUID | None, handle: bytes | None) -> bool:
    """Who was not known before must be named by the passkey itself (section 7.2, step 6)."""
    if user_id is None:
        return handle == known.user_id.bytes
    return user_id == known.user_id and handle in (None, b"", known.user_id.bytes)


def _count_up(session: Session, passkey_id: UUID, count: int, *, is_backed_up: bool, now: datetime) -> bool:
    """Store the new count, False where it has not risen. Many passkeys do not count: theirs stays 0."""
    rises = or_(Passkey.sign_count < count, and_(Passkey.sign_count == 0, literal(count) == 0))
    counting = update(Passkey).where(Passkey.id == passkey_id, rises)
    values = {"sign_count": count, "is_backed_up": is_backed_up, "last_used_at": now}
    return session.scalar(counting.values(**values).returning(Passkey.id)) is not None


def _descriptors(session: Session, user_id: UUID) -> list[PublicKeyCredentialDescriptor]:
    known = {one.value for one in AuthenticatorTransport}
    rows = session.execute(select(Passkey.credential_id, Passkey.transports).where(Passkey.user_id == user_id))
    return [
        PublicKeyCredentialDescriptor(
            id=credential_id,
            transports=[AuthenticatorTransport(one) for one in transports.split() if one in known] or None,
        )
        for credential_id, transports in rows
    ]
