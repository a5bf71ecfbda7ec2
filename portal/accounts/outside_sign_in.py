"""People who have no password here: they sign in with the organisation's provider alone."""

from __future__ import annotations

from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.accounts.people import Person
from portal.accounts.provider_models import ProviderIdentity, SignInSettingsRow


def provider_of(session: Session, person: Person) -> str:
    """The name of the provider that is the person's only way in; "" for everybody else.

    A provider that was switched off is nobody's way in: a password is needed then.
    """
    if person.password_hash is not None:
        return ""
    linked = select(SignInSettingsRow.button_label, SignInSettingsRow.issuer).join(
        ProviderIdentity, ProviderIdentity.issuer == SignInSettingsRow.issuer
    )
    row = session.execute(linked.where(ProviderIdentity.user_id == person.id).limit(1)).one_or_none()
    return (row.button_label or urlsplit(row.issuer).hostname or row.issuer) if row else ""
