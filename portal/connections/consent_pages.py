"""What a connection's form tells of its consent, and the pages of consent that it may lead to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from portal.connections.candidates import LIFETIME as CANDIDATE_LIFETIME
from portal.connections.candidates import Candidate
from portal.connections.consent_flows import FlowView, newest_flow
from portal.connections.consents import consent_origins, explain
from portal.connections.grant_sealing import GrantState
from portal.connections.installation import Installation
from portal.connections.stored import StoredConnection
from portal.connections.values import CONSENT_METHODS
from portal.extensions import db
from portal.transports import Diagnosis
from portal.web.access import signed_in_user
from portal.web.headers import extend_policy


@dataclass(frozen=True, kw_only=True)
class ConsentPart:
    """The part of the form that is about consent."""

    grant: GrantState | None  # of the connection as it is stored
    diagnosis: Diagnosis | None  # why the stored grant is no good any more
    account_to_be_saved: str  # who consented to what the form holds and nobody has saved yet
    newest: FlowView | None  # what this session started last
    is_under_way: bool  # and waits for the provider, or for a person's decision


def consent_part(present: StoredConnection | None, candidate: Candidate | None) -> ConsentPart:
    """For the form of a connection, opened from a candidate where there is one."""
    let_forms_lead_to_consent()
    mine, now = signed_in_user().session_id, datetime.now(UTC)
    newest = newest_flow(db.session(), present.id if present else None, session_id=mine, now=now)
    is_open = newest is not None and newest.state in {"started", "redeeming", "mismatch"}
    grant = present.grant if present and present.values.method in CONSENT_METHODS else None
    return ConsentPart(
        grant=grant,
        diagnosis=_why_dead(present, grant) if present and grant else None,
        account_to_be_saved=candidate.grant.account if candidate and candidate.grant else "",
        newest=newest,
        is_under_way=is_open and newest is not None and newest.age < CANDIDATE_LIFETIME,
    )


def let_forms_lead_to_consent() -> None:
    """Allow the forms of this page to end at a provider: browsers look at the redirect after a form as well."""
    extend_policy("form-action", *consent_origins(Installation.current()))


def _why_dead(present: StoredConnection, grant: GrantState) -> Diagnosis | None:
    if not grant.dead_code:
        return None
    return explain(grant.dead_code, present.values, installation=Installation.current())
