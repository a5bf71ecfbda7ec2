"""Second factors of a furnished portal: an administrator has every kind, a user sets an app up just now."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

from flask import Flask
from sqlalchemy import update

from portal.accounts import recovery_codes, totp
from portal.accounts.factor_models import AuthenticatorApp, Passkey
from portal.transaction import unit_of_work


def furnish_factors(app: Flask, *, administrator: UUID, user: UUID) -> tuple[dict[str, str], dict[str, str]]:
    """The ids of what there is now, and the secrets by what they are."""
    box, now, passkey_id = app.extensions["secret_box"], datetime.now(UTC), uuid4()
    with app.app_context(), unit_of_work() as session:
        for owner in (administrator, user):
            assert totp.start(session, owner, box=box, now=now)
        key = totp.being_set_up(session, administrator, account="ada", issuer="Portal", box=box, now=now)
        mine = update(AuthenticatorApp).where(AuthenticatorApp.user_id == administrator)
        session.execute(mine.values(confirmed_at=now))
        codes = recovery_codes.make_anew(session, administrator, now=now)
        session.add(
            Passkey(
                id=passkey_id,
                user_id=administrator,
                credential_id=b"a furnished credential",
                public_key=b"a furnished key",
                sign_count=0,
                name="Blue security key",
                is_backed_up=True,
                created_at=now,
            )
        )
    assert key is not None
    secrets = {"the key of an authenticator app": key.secret, "a recovery code": codes[0]}
    return {"passkey": str(passkey_id)}, secrets
