"""Ending a consent: forgotten here and, where no other connection lives by it, withdrawn at the provider.

Google keeps one grant of an account for an application. Withdrawn for one connection, it ends for every other with the
same account and client ID, and its mail with it. So who lives by it is decided under locks, and looked at once more
just before Google is asked: somebody may have consented meanwhile. A client ID from a variable is not what it was when
somebody consented, perhaps: what was granted tells for which it was.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from portal.connections.grant_sealing import open_grant
from portal.connections.installation import Installation
from portal.connections.models import Connection, ConnectionGrant
from portal.connections.oauth.provider import Registration
from portal.connections.registrations import consent_provider, registration_of
from portal.connections.stored_values import values_of
from portal.connections.unsaved_consents import may_be_for, unsaved_consents
from portal.connections.values import CONSENT_METHODS, ConnectionValues, Method
from portal.mail.addresses import same_address_key
from portal.secret_box import SecretBox


class Withdrawal(StrEnum):
    """What became of a consent at its provider."""

    DONE = "done"
    UNCONFIRMED = "unconfirmed"  # Google was out of reach, or the consent cannot be opened any more
    SHARED = "shared"  # other connections live by it, so nobody was asked
    NOT_OFFERED = "not_offered"  # Microsoft lets no application do it


@dataclass(frozen=True)
class HeldConsent:
    """A consent that a connection holds, and what withdraws it."""

    method: Method
    account: str
    others: tuple[str, ...]  # the names of the connections that would lose it, too
    registration: Registration
    stored: str = field(repr=False)  # "" where it cannot be opened
    box: SecretBox = field(repr=False)  # opens those of the others, when they are looked at once more


def held_consents(
    session: Session, connection_id: UUID, values: ConnectionValues, *, box: SecretBox
) -> tuple[HeldConsent, ...]:
    """Every consent of a connection: each method keeps its own, also while another one is in use."""
    mine = ConnectionGrant.connection_id == connection_id, ConnectionGrant.method.in_(CONSENT_METHODS)
    rows = session.scalars(select(ConnectionGrant).where(*mine).order_by(ConnectionGrant.method)).all()
    return tuple(_held(session, row, replace(values, method=Method(row.method)), box=box) for row in rows)


def consents_to_end(
    session: Session, connection_id: UUID, values: ConnectionValues, *, box: SecretBox
) -> tuple[HeldConsent, ...]:
    """The same, to be forgotten in this transaction; to be asked for before it locks or writes anything.

    Of two connections that end at once, the later one sees that it is the last.
    """
    of_google = select(ConnectionGrant.connection_id).where(ConnectionGrant.method == Method.GOOGLE)
    rows = select(Connection.id).where(or_(Connection.id == connection_id, Connection.id.in_(of_google)))
    session.execute(rows.order_by(Connection.id).with_for_update())
    return held_consents(session, connection_id, values, box=box)


def as_it_stands(session: Session, forgotten: HeldConsent, *, now: datetime) -> HeldConsent:
    """What was forgotten, with those who live by it now: whoever has consented since, or is about to, keeps it."""
    if forgotten.method is not Method.GOOGLE or forgotten.others:
        return forgotten
    client_id = forgotten.registration.client_id
    living = _living_by(session, forgotten.account, client_id, box=forgotten.box)
    return replace(forgotten, others=(*living, *unsaved_consents(session, forgotten.account, client_id, now=now)))


def withdraw(held: HeldConsent, *, installation: Installation) -> Withdrawal:
    """Ask the provider to forget the consent. Calls it: not to be called within a transaction."""
    if held.method is not Method.GOOGLE:
        return Withdrawal.NOT_OFFERED
    if held.others:
        return Withdrawal.SHARED
    provider = consent_provider(held.method, installation=installation)
    is_told = bool(held.stored) and provider.revoke(held.registration, held.stored)
    return Withdrawal.DONE if is_told else Withdrawal.UNCONFIRMED


def _held(session: Session, row: ConnectionGrant, values: ConnectionValues, *, box: SecretBox) -> HeldConsent:
    opened = open_grant(row, values, box=box)
    return HeldConsent(
        method=values.method,
        account=row.account,
        others=_others(session, row, values, box=box),
        registration=registration_of(values, {}),
        stored=opened.stored if opened else "",
        box=box,
    )


def _others(session: Session, row: ConnectionGrant, values: ConnectionValues, *, box: SecretBox) -> tuple[str, ...]:
    if values.method is not Method.GOOGLE:
        return ()
    client_id = values.google.filled_in().client_id
    return _living_by(session, row.account, client_id, but=row.connection_id, box=box)


def _living_by(
    session: Session, account: str, client_id: str, *, but: UUID | None = None, box: SecretBox
) -> tuple[str, ...]:
    """By name. One that uses another method for now keeps its consent for the way back, and counts."""
    both = select(ConnectionGrant, Connection).join(Connection, Connection.id == ConnectionGrant.connection_id)
    elsewhere = ConnectionGrant.method == Method.GOOGLE, ConnectionGrant.connection_id.is_distinct_from(but)
    found = session.execute(both.where(*elsewhere).order_by(Connection.name_key))
    key = same_address_key(account)
    return tuple(
        other.name
        for its_grant, other in found
        if same_address_key(its_grant.account) == key and _lives_by(its_grant, values_of(other), client_id, box=box)
    )


def _lives_by(row: ConnectionGrant, values: ConnectionValues, client_id: str, *, box: SecretBox) -> bool:
    """Whether a grant is the application's by what the settings say now, or by what they said when it was given."""
    as_given = replace(values, method=Method.GOOGLE, google=replace(values.google, client_id=client_id))
    return may_be_for(values, client_id) or open_grant(row, as_given, box=box) is not None
