"""The authenticator app: codes of six digits that change every 30 seconds (RFC 6238), each taken once.

The code before and the one after the present one are taken as well, for clocks that differ (RFC 6238 5.2).
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pyotp
import segno
from sqlalchemy import ColumnElement, and_, delete, select, update
from sqlalchemy.orm import Session

from portal.accounts.factor_models import AuthenticatorApp
from portal.secret_box import SecretBox, Unreadable

STEP_SECONDS = 30
WINDOW = 1  # steps before and after the present one
DIGITS = 6
SETTING_UP = timedelta(minutes=30)  # how long the secret of an app that is not confirmed is shown


@dataclass(frozen=True)
class NewApp:
    """What an app must be told. The secret is base32."""

    secret: str = field(repr=False)
    address: str = field(repr=False)  # `otpauth:` as in the QR code

    @property
    def spelled(self) -> str:
        """The secret in groups of four, to be typed."""
        return " ".join(self.secret[start : start + 4] for start in range(0, len(self.secret), 4))

    def qr_code(self) -> str:
        """An SVG element without styles, black on white whatever the page's colours are."""
        code = segno.make(self.address, error="m", micro=False)
        return str(code.svg_inline(scale=4, border=4, dark="#000", light="#fff", svgclass=None, lineclass=None))


def start(session: Session, user_id: UUID, *, box: SecretBox, now: datetime) -> bool:
    """Make a new secret, which counts for nothing until it is confirmed; False where there is an app already."""
    if since(session, user_id) is not None:
        return False
    session.execute(delete(AuthenticatorApp).where(AuthenticatorApp.user_id == user_id))
    app_id = uuid4()
    sealed = box.seal(pyotp.random_base32(), context_of(app_id))
    session.add(AuthenticatorApp(id=app_id, user_id=user_id, sealed=sealed, created_at=now))
    session.flush()
    return True


def being_set_up(
    session: Session, user_id: UUID, *, account: str, issuer: str, box: SecretBox, now: datetime
) -> NewApp | None:
    """What the app must be told; None unless a set-up was begun just now. `account` and `issuer` name the entry."""
    waiting = select(AuthenticatorApp.id, AuthenticatorApp.sealed).where(
        AuthenticatorApp.user_id == user_id, _is_being_set_up(now)
    )
    row = session.execute(waiting).one_or_none()
    secret = _opened(row.id, row.sealed, box) if row else None
    return NewApp(secret, pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=issuer)) if secret else None


def confirm(session: Session, user_id: UUID, code: str, *, box: SecretBox, now: datetime) -> bool:
    """Count the app from now on, if this is its code."""
    taken = _take(session, user_id, code, box=box, now=now, is_confirmed=False)
    if taken:
        session.execute(update(AuthenticatorApp).where(AuthenticatorApp.user_id == user_id).values(confirmed_at=now))
    return taken


def take(session: Session, user_id: UUID, code: str, *, box: SecretBox, now: datetime) -> bool:
    """Whether this is a code of the person's app that was not taken before; it is taken now."""
    return _take(session, user_id, code, box=box, now=now, is_confirmed=True)


def since(session: Session, user_id: UUID) -> datetime | None:
    """When the person's app was confirmed, None without one."""
    return session.scalar(select(AuthenticatorApp.confirmed_at).where(AuthenticatorApp.user_id == user_id))


def remove(session: Session, user_id: UUID) -> None:
    session.execute(delete(AuthenticatorApp).where(AuthenticatorApp.user_id == user_id))


def could_be_code(typed: str) -> bool:
    return typed.isascii() and typed.isdigit() and len(typed) == DIGITS


def matching_step(secret: str, code: str, now: datetime) -> int | None:
    """The time step whose code this is. Every candidate is compared, in constant time."""
    present = int(now.timestamp()) // STEP_SECONDS
    codes, found = pyotp.TOTP(secret), None
    for step in range(present - WINDOW, present + WINDOW + 1):
        if hmac.compare_digest(codes.generate_otp(step), code):
            found = step
    return found


def _take(session: Session, user_id: UUID, code: str, *, box: SecretBox, now: datetime, is_confirmed: bool) -> bool:
    if not could_be_code(code):
        return False
    counts = AuthenticatorApp.confirmed_at.is_not(None) if is_confirmed else _is_being_set_up(now)
    its = select(AuthenticatorApp.id, AuthenticatorApp.sealed).where(AuthenticatorApp.user_id == user_id, counts)
    row = session.execute(its).one_or_none()
    secret = _opened(row.id, row.sealed, box) if row else None
    step = matching_step(secret, code, now) if secret else None
    if row is None or step is None:
        return False
    unused = update(AuthenticatorApp).where(AuthenticatorApp.id == row.id, AuthenticatorApp.last_step < step)
    return session.scalar(unused.values(last_step=step).returning(AuthenticatorApp.id)) is not None


def _is_being_set_up(now: datetime) -> ColumnElement[bool]:
    return and_(AuthenticatorApp.confirmed_at.is_(None), AuthenticatorApp.created_at > now - SETTING_UP)


def _opened(app_id: UUID, sealed: str, box: SecretBox) -> str | None:
    secret = box.open(sealed, context_of(app_id))
    return None if isinstance(secret, Unreadable) else secret


def context_of(app_id: UUID) -> str:
    """What the secret of an app is sealed for."""
    return f"authenticator_app.sealed:{app_id}"
