"""The tables of signing in: what it asks for, the organisation's own provider, and who is whom there."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Integer, LargeBinary, String, Text, UniqueConstraint, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from portal.database import UtcDateTime
from portal.extensions import Model

ONLY_ROW = 1


class SignInSettingsRow(Model):
    """Missing until the first save. An empty issuer means that there is no provider."""

    __tablename__ = "sign_in_settings"
    __table_args__ = (CheckConstraint(f"id = {ONLY_ROW}", name="only_row"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    uuid: Mapped[UUID] = mapped_column(Uuid, default=uuid4)  # the secret is sealed for this row
    requires_second_factor: Mapped[bool] = mapped_column(default=False)  # of administrators
    issuer: Mapped[str] = mapped_column(Text, default="")
    client_id: Mapped[str] = mapped_column(String(300), default="")
    sealed_client_secret: Mapped[str | None] = mapped_column(Text)
    scopes: Mapped[str] = mapped_column(Text, default="")
    role_claim: Mapped[str] = mapped_column(String(200), default="")
    roles: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)  # value of the claim: role
    adds_people: Mapped[bool] = mapped_column(default=False)  # somebody unknown becomes a user at the first sign-in
    button_label: Mapped[str] = mapped_column(String(100), default="")
    version: Mapped[int]  # counts saves from 1
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    changed_by: Mapped[str] = mapped_column(Text)  # the actor's name as it was then


class ProviderIdentity(Model):
    """Who a person is at the provider: `sub` of its ID tokens, which never changes hands as an address may."""

    __tablename__ = "provider_identity"
    __table_args__ = (UniqueConstraint("issuer", "subject"),)

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    issuer: Mapped[str] = mapped_column(String(500))
    subject: Mapped[str] = mapped_column(String(255))
    linked_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ProviderSignIn(Model):
    """A sign-in under way at the provider. `state` is stored hashed, verifier and nonce sealed; used once."""

    __tablename__ = "provider_sign_in"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    state_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    browser_hash: Mapped[bytes] = mapped_column(LargeBinary(32))  # of the cookie of the browser that began it
    user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("user.id", ondelete="CASCADE")
    )  # somebody signed in links it
    issuer: Mapped[str] = mapped_column(String(500))
    sealed: Mapped[str] = mapped_column(Text)
    next_path: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
