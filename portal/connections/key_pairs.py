"""Proofs of an application that the form changes itself: a new key pair, and the next client secret in its place."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy.orm import Session

from portal.connections.candidates import Candidate, secrets_of
from portal.connections.oauth.microsoft_certificates import make_key_pair, pair_problem
from portal.connections.provider_values import Credential
from portal.connections.values import CLIENT_SECRET, NEXT_CLIENT_SECRET, PRIVATE_KEY, Method, SecretAction, SecretChange
from portal.secret_box import SecretBox
from portal.wording import Text


def with_new_key_pair(candidate: Candidate, common_name: str, *, now: datetime) -> Candidate:
    """The same connection, which proves itself by a key pair made here; its private key never leaves the portal."""
    own = candidate.values.typed_provider
    if candidate.values.method is not Method.MICROSOFT_APP or own is None:
        return candidate
    pair = make_key_pair(common_name, now=now)
    proved = replace(own, credential=Credential.CERTIFICATE, client_certificate=pair.public_certificate)
    private_key = SecretChange(SecretAction.REPLACE, pair.private_key)
    return replace(
        candidate,
        values=candidate.values.with_provider(proved),
        secrets={**candidate.secrets, PRIVATE_KEY: private_key},
    )


def with_next_secret_promoted(session: Session, candidate: Candidate, *, box: SecretBox) -> Candidate:
    """The next client secret becomes the client secret, and makes room for another; unchanged where there is none.

    Secret ID and day of expiry were those of the former secret, and are forgotten with it.
    """
    own, promoted = candidate.values.typed_provider, secrets_of(session, candidate, box=box).get(NEXT_CLIENT_SECRET)
    if own is None or not promoted:
        return candidate
    return replace(
        candidate,
        values=candidate.values.with_provider(replace(own, secret_id="", secret_expires_on="")),
        secrets={
            **candidate.secrets,
            CLIENT_SECRET: SecretChange(SecretAction.REPLACE, promoted),
            NEXT_CLIENT_SECRET: SecretChange(SecretAction.CLEAR),
        },
    )


def pair_problem_of(session: Session, candidate: Candidate, *, box: SecretBox) -> Text | None:
    """Why Microsoft would not take the candidate's key pair; None where it has none, or nothing is known against it."""
    own = candidate.values.provider
    if candidate.values.method is not Method.MICROSOFT_APP or own is None:
        return None
    private_key = secrets_of(session, candidate, box=box).get(PRIVATE_KEY, "")
    if own.credential is not Credential.CERTIFICATE or not private_key or not own.client_certificate:
        return None
    return pair_problem(private_key, own.client_certificate)
