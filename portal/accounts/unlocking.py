"""Unlocking: the wrong passwords, codes and answers that were counted against an account are forgotten.

What is counted against a client's network address stays: it may be a guesser's.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from portal.accounts import recovery_settings, reset_codes, second_step, security_questions, sign_in
from portal.accounts.cookies import Device
from portal.web import limits


def unlock(engine: Engine, user_id: UUID, email: str, *, device: Device | None = None) -> None:
    """Let somebody try again at once; `device` is the browser at which the person was just proved to be, if any.

    Writes in short transactions of its own: before or after the caller's unit of work, never inside it. The audit
    row `user.unlocked`, where a person unlocked another one, is the caller's.
    """
    for rule in sign_in.PER_ACCOUNT:
        limits.forget(engine, rule, *sign_in.account_key(email))
    for rule in second_step.PER_ACCOUNT:
        limits.forget(engine, rule, *second_step.account_key(user_id))
    with Session(engine) as session:
        attempts = recovery_settings.load(session).attempts
        keys = [*reset_codes.keys_of(session, user_id), security_questions.account_key(user_id)]
    for key in keys:
        limits.forget(engine, f"{attempts}/hour", *key)
    for rule in sign_in.PER_SESSION:
        limits.forget(engine, rule, *sign_in.again_key(user_id))
    if device is not None:
        for rule in sign_in.PER_DEVICE:
            limits.forget(engine, rule, *sign_in.device_key(device.id, user_id))
