"""What a connection's form tells of its consent, and the pages of consent that it may lead to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

from portal.connections.candidates import LIFETIME as CANDIDATE_LIFETIME
from portal.connections.candidates import Candidate
from portal.connections.consent_flows import FlowView, newest_flow
from portal.connections.consents import consent_origins, explain
from portal.connections.grant_sealing import GrantState
from portal.connections.installation import Installation
from portal.connections.stored import StoredConnection
from portal.connections.values import CONSENT_METHODS
from portal.connections.withdrawing import held_consents
from portal.extensions import db, secret_box
from portal.transports import Diagnosis
from portal.web.access import signed_in_user
from portal.web.headers import extend_policy


@dataclass(frozen=True, kw_only=True)
class ConsentPart:
    """The part of the form that is about consent."""

    grant: GrantState | None  # of the connection as it is stored
    diagnosis: Diagnosis | None  # why the stored grant is no good any more
    shared_with: tuple[str, ...]  # other connections that live by the same consent at the provider
    account_to_be_saved: str  # who consented to what the form holds and nobody has saved yet
    form_id: UUID | None  # of a new connection: names this form among others that are open
    newest: FlowView | None  # what this session started last
    is_under_way: bool  # and waits for the provider, or for a person's decision


def consent_part(present: StoredConnection | None, candidate: Candidate | None, *, form_id: UUID | None) -> ConsentPart:
    """For the form of a connection, opened from a candidate where there is one; `form_id` as the address names it."""
    let_forms_lead_to_consent()
    mine, now = signed_in_user().session_id, datetime.now(UTC)
    form_id = None if present else form_id or uuid4()
    newest = newest_flow(db.session(), present.id if present else None, form_id=form_id, session_id=mine, now=now)
    is_open = newest is not None and newest.state in {"started", "redeeming", "mismatch"}
    grant = present.grant if present and present.values.method in CONSENT_METHODS else None
    return ConsentPart(
        grant=grant,
        diagnosis=_why_dead(present, grant) if present and grant else None,
        shared_with=_shared_with(present) if present and grant else (),
        account_to_be_saved=candidate.grant.account if candidate and candidate.grant else "",
        form_id=form_id,
        newest=newest,
        is_under_way=is_open and newest is not None and newest.age < CANDIDATE_LIFETIME,
    )


def _shared_with(present: StoredConnection) -> tuple[str, ...]:
    held = held_consents(db.session(), present.id, present.values, box=secret_box)
    return next((one.others for one in held if one.method is present.values.method), ())


def let_forms_lead_to_consent() -> None:
    """Allow the forms of this page to end at a provider, or wherever on https the provider sends people on to.

    Chromium holds every redirect that follows a form against `form-action`. For an organisation that signs in at a
    server of its own (AD FS, for example) the provider may redirect there before it shows anything itself: to a host
    that nobody can name beforehand, and the window would stay blank. Hence the scheme, on these pages alone; on all
    others forms end at the portal. A provider on plain http, which only an operator can set, is named besides.
    """
    origins = consent_origins(Installation.current())
    extend_policy("form-action", "https:", *(origin for origin in origins if not origin.startswith("https://")))


def _why_dead(present: StoredConnection, grant: GrantState) -> Diagnosis | None:
    if not grant.dead_code:
        return None
    return explain(grant.dead_code, present.values, installation=Installation.current())
