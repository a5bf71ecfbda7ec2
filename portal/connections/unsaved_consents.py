"""Consents at Google that are given and stored with no connection yet: they wait in their flow, or in its check."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session, aliased

from portal.connections.candidates import LIFETIME
from portal.connections.models import ConnectionCheck, ConsentFlow
from portal.connections.unfilled import unfilled
from portal.connections.values import ConnectionValues, Method
from portal.mail.addresses import same_address_key


def unsaved_consents(session: Session, account: str, client_id: str, *, now: datetime) -> tuple[str, ...]:
    """The names of the connections that an account is being connected to now, for one application.

    While a code is redeemed nobody knows yet whose consent it is: it counts for every account.
    """
    candidate, check = aliased(ConnectionCheck), aliased(ConnectionCheck)
    waits = or_(ConsentFlow.sealed_grant.is_not(None), check.sealed_grant.is_not(None))
    is_given = or_(
        ConsentFlow.state == "redeeming",
        and_(ConsentFlow.state.in_(("granted", "mismatch")), waits),
    )
    found = session.execute(
        select(ConsentFlow.state, ConsentFlow.account, candidate.name, candidate.candidate)
        .join(candidate, candidate.id == ConsentFlow.candidate_check_id)
        .outerjoin(check, check.id == ConsentFlow.check_id)
        .where(ConsentFlow.method == Method.GOOGLE, ConsentFlow.created_at > now - LIFETIME, is_given)
        .order_by(candidate.name)
    )
    key = same_address_key(account)
    return tuple(
        name
        for state, its_account, name, values in found
        if values is not None and may_be_for(ConnectionValues.from_json(values), client_id)
        if state == "redeeming" or same_address_key(its_account) == key
    )


def may_be_for(values: ConnectionValues, client_id: str) -> bool:
    """Whether its application at Google is this one, or cannot be told: another process may know its variable."""
    at_google = replace(values, method=Method.GOOGLE)
    return at_google.google.filled_in().client_id == client_id or "client_id" in unfilled(at_google)
