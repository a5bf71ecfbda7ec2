"""Sign-ins under way at the provider: begun in one browser, ended in the same one, once, within ten minutes.

`state` is stored hashed; the verifier and the nonce are sealed. Of two requests that come back at once one wins, by
a conditional UPDATE. Source: RFC 9700 2.1 and 4.7.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID, uuid4

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal.accounts.oidc import Client, Started
from portal.accounts.provider_models import ProviderSignIn
from portal.accounts.tokens import could_be_token, new_token, token_hash
from portal.secret_box import SecretBox, Unreadable

LIFETIME = timedelta(minutes=10)
_LONGEST_STATE = 200


class Purpose(StrEnum):
    SIGN_IN = "sign_in"
    LINK = "link"  # somebody signed in links the account there with the one here
    CONFIRM = "confirm"  # somebody signed in shows once more who it is


@dataclass(frozen=True)
class ComingBack:
    """A sign-in that came back from the provider, and is used up with that."""

    issuer: str
    client_id: str
    purpose: Purpose
    user_id: UUID | None  # who began it; None for a sign-in
    next_path: str
    created_at: datetime
    verifier: str = field(repr=False)
    nonce: str = field(repr=False)


def keep(
    session: Session,
    started: Started,
    *,
    client: Client,
    purpose: Purpose,
    user_id: UUID | None,
    next_path: str,
    box: SecretBox,
    now: datetime,
) -> str:
    """Write down what was started; returns the token of the browser's cookie."""
    token, flow_id = new_token(), uuid4()
    secrets = {
        "verifier": started.verifier,
        "nonce": started.nonce,
        "client_id": client.client_id,
        "purpose": purpose.value,
    }
    session.add(
        ProviderSignIn(
            id=flow_id,
            state_hash=token_hash(started.state),
            browser_hash=token_hash(token),
            user_id=user_id,
            issuer=client.issuer,
            sealed=box.seal(json.dumps(secrets), context_of(flow_id)),
            next_path=next_path,
            created_at=now,
            expires_at=now + LIFETIME,
        )
    )
    session.flush()
    return token


def claim(session: Session, state: str, token: str, *, box: SecretBox, now: datetime) -> ComingBack | None:
    """Use a sign-in up; None where there is none, it is another browser's, too old, or was used before."""
    if not state or len(state) > _LONGEST_STATE or not could_be_token(token):
        return None
    mine = (
        ProviderSignIn.state_hash == token_hash(state),
        ProviderSignIn.browser_hash == token_hash(token),
        ProviderSignIn.used_at.is_(None),
        ProviderSignIn.expires_at > now,
    )
    flow_id = session.scalar(update(ProviderSignIn).where(*mine).values(used_at=now).returning(ProviderSignIn.id))
    if flow_id is None:
        return None
    row = session.scalars(select(ProviderSignIn).where(ProviderSignIn.id == flow_id)).one()
    plain = box.open(row.sealed, context_of(flow_id))
    if isinstance(plain, Unreadable):
        return None
    held = json.loads(plain)
    return ComingBack(
        issuer=row.issuer,
        client_id=held["client_id"],
        purpose=Purpose(held["purpose"]),
        user_id=row.user_id,
        next_path=row.next_path,
        created_at=row.created_at,
        verifier=held["verifier"],
        nonce=held["nonce"],
    )


def context_of(flow_id: UUID) -> str:
    """What the secrets of a sign-in under way are sealed for."""
    return f"provider_sign_in.sealed:{flow_id}"
