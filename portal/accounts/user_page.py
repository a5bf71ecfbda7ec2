"""A person as the page of one shows it: what is known, and which acts are open to whoever looks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal import email_settings
from portal.accounts import (
    invitations,
    outside_sign_in,
    people,
    people_identifier,
    provider_links,
    security_questions,
    sessions,
    user_list,
)
from portal.accounts.invitations import SentInvitation
from portal.accounts.models import User, UserAddress, UserSession
from portal.accounts.people_identifier import WrittenTo
from portal.accounts.user_changes import may_help


@dataclass(frozen=True, kw_only=True)
class ShownUser:
    """An account. `state` is of `user_list.STATES`; the acts are those of whoever looks."""

    id: UUID
    email: str
    name: str
    role: str
    phone: str
    user_name: str
    custom_value: str
    state: str
    must_reset: bool
    has_password: bool
    has_second_factor: bool
    has_security_questions: bool
    signs_in_with: str  # the provider that is the only way in, "" for none
    provider_links: tuple[tuple[str, datetime], ...]  # name and moment of each
    is_self: bool
    may_help: bool
    may_change: bool
    created_at: datetime
    last_sign_in_at: datetime | None
    password_changed_at: datetime | None
    written_to: WrittenTo
    sessions: int
    other_addresses: tuple[str, ...]
    invitation: SentInvitation | None

    @property
    def label(self) -> str:
        return self.name or self.email

    @property
    def is_locked(self) -> bool:
        return self.state == "locked"


def find_user(session: Session, user_id: UUID, *, viewer_id: UUID, viewer_role: str, now: datetime) -> ShownUser | None:
    """The account with this id, None where there is none."""
    facts = (user_list.has_second_factor(), user_list.is_invited(), security_questions.has_some())
    row = session.execute(select(User, *facts).where(User.id == user_id)).one_or_none()
    if row is None:
        return None
    user, has_second_factor, is_invited, has_security_questions = row
    is_locked = user_list.is_locked(session, user.email, now=now)
    return ShownUser(
        id=user.id,
        email=user.email,
        name=user.name,
        role=user.role,
        phone=user.phone,
        user_name=user.user_name,
        custom_value=user.custom_value,
        state=user_list.state_of(is_disabled=user.is_disabled, is_invited=is_invited, is_locked=is_locked),
        must_reset=user.must_reset,
        has_password=user.password_hash is not None,
        has_second_factor=has_second_factor,
        has_security_questions=has_security_questions,
        signs_in_with=outside_sign_in.provider_of(session, people.get(session, user.id)),
        provider_links=provider_links.of_person(session, user.id),
        is_self=user.id == viewer_id,
        may_help=may_help(viewer_role, user.role),
        may_change=viewer_role == "admin",
        created_at=user.created_at,
        last_sign_in_at=user.last_sign_in_at,
        password_changed_at=user.password_changed_at,
        written_to=people_identifier.choose(session, user, email_settings.load(session)),
        sessions=_open_sessions(session, user_id, now),
        other_addresses=_other_addresses(session, user_id),
        invitation=invitations.newest(session, user_id, now=now),
    )


def _open_sessions(session: Session, user_id: UUID, now: datetime) -> int:
    held = (
        UserSession.user_id == user_id,
        UserSession.ended_at.is_(None),
        UserSession.created_at > now - sessions.LIFETIME,
        UserSession.last_seen_at > now - sessions.IDLE,
    )
    return session.scalar(select(func.count()).select_from(UserSession).where(*held)) or 0


def _other_addresses(session: Session, user_id: UUID) -> tuple[str, ...]:
    validated = select(UserAddress.address).where(UserAddress.user_id == user_id, UserAddress.validated_at.is_not(None))
    return tuple(session.scalars(validated.order_by(UserAddress.address_key)))
