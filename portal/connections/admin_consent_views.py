"""Agreement of a Microsoft 365 administrator for the whole organisation: to the provider's page, and back from it.

It lets people of the organisation consent, or an application act as itself. No token comes of it and none is stored,
and whoever agrees never becomes the sender.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from secrets import token_urlsafe
from uuid import UUID, uuid4

from flask import Response, abort, flash, make_response, redirect, url_for
from flask_babel import gettext as _

from portal import audit
from portal.connections import consent_flows, consents
from portal.connections.candidate_views import as_sent_now, asker, own_candidate
from portal.connections.candidates import Candidate, keep
from portal.connections.consent_flows import Claimed, FlowView, NotClaimed, Purpose, Unclaimable
from portal.connections.consent_pages import let_forms_lead_to_consent
from portal.connections.installation import Installation
from portal.connections.oauth import microsoft
from portal.connections.registrations import microsoft_endpoints, registration_of, scopes_of
from portal.connections.stored import StoredConnection, find
from portal.connections.values import MICROSOFT_METHODS, ConnectionValues, Method
from portal.extensions import db, secret_box
from portal.transaction import unit_of_work
from portal.transports import Diagnosis, TransportError
from portal.web import render, see_other
from portal.web.access import admin_required, current_actor, signed_in_user
from portal.web.limits import require
from portal.web.urls import public_url_for

ADMIN_CONSENTS = "10/minute"  # of one person
_ADMIN = (Purpose.ADMIN,)
_LONGEST_TENANT = 320  # characters; a GUID, unless somebody wrote the address


@admin_required
def ask_for_admin_consent(connection_id: UUID) -> Response:
    """What an administrator is asked to agree to, and the button that leads there."""
    present = _found(connection_id)
    if not _may_be_asked_for(present):
        return _not_as_stored(connection_id)
    let_forms_lead_to_consent()
    scopes = scopes_of(present.as_sent, installation=Installation.current())
    is_app = present.values.method is Method.MICROSOFT_APP
    return render("connections/admin_consent.html", connection=present, scopes=scopes, is_app=is_app)


@admin_required
def admin_consent(connection_id: UUID) -> Response:
    """Away to Microsoft's page of admin consent, for the connection as it is stored."""
    present = _found(connection_id)
    if not _may_be_asked_for(present):
        return _not_as_stored(connection_id)
    require(db.engine, ADMIN_CONSENTS, "admin-consent", str(signed_in_user().id))
    state, redirect_uri = token_urlsafe(32), public_url_for("connections.microsoft_callback")
    try:
        url = _url(present.as_sent, redirect_uri=redirect_uri, state=state)
    except TransportError as fault:
        flow_id = _store_flow(present, state, redirect_uri, fault=fault)
        return see_other("connections.admin_consent_result", flow_id=flow_id)
    _store_flow(present, state, redirect_uri)
    return make_response(redirect(url, 303))


def called_back(parameters: Mapping[str, str]) -> Response:
    """Back from Microsoft's page, for the administrator of the portal who went there."""
    mine, now = signed_in_user().session_id, datetime.now(UTC)
    state = parameters.get("state", "")
    try:
        claimed = consent_flows.claim(
            db.engine, state, method=Method.MICROSOFT, session_id=mine, box=secret_box, now=now
        )
    except NotClaimed as refusal:
        return _refused(refusal)
    _settle(claimed, parameters)
    return see_other("connections.admin_consent_result", flow_id=claimed.id)


@admin_required
def admin_consent_result(flow_id: UUID) -> Response:
    """What an administrator answered, or that nobody has yet."""
    flow = _found_flow(flow_id)
    present = find(db.session(), flow.connection_id, box=secret_box) if flow.connection_id else None
    candidate = own_candidate(flow.candidate_check_id)
    let_forms_lead_to_consent()
    return render(
        "connections/admin_consent_result.html",
        flow=flow,
        connection=present,
        is_app=present is not None and present.values.method is Method.MICROSOFT_APP,
        scopes=scopes_of(as_sent_now(candidate), installation=Installation.current()) if candidate else (),
        diagnosis=_diagnosis(flow, candidate),
    )


def _url(values: ConnectionValues, *, redirect_uri: str, state: str) -> str:
    """Raises ConnectionFault for what is no tenant."""
    installation, own = Installation.current(), values.provider
    if own is None:
        raise ValueError(f"{values.method} has no administrator to ask")
    return microsoft.admin_consent_url(
        registration_of(values, {}),
        endpoints=microsoft_endpoints(own, installation),
        redirect_uri=redirect_uri,
        state=state,
        scopes=scopes_of(values, installation=installation),
    )


def _store_flow(
    present: StoredConnection, state: str, redirect_uri: str, *, fault: TransportError | None = None
) -> UUID:
    flow_id, now = uuid4(), datetime.now(UTC)
    candidate = Candidate(connection_id=present.id, started_from=present.version, values=present.values)
    with unit_of_work() as session:
        consent_flows.start(
            session,
            flow_id,
            state=state,
            secrets="",
            is_popup=False,
            method=Method.MICROSOFT,  # whose callback it is
            connection_id=present.id,
            candidate_check_id=keep(
                session, candidate, then="show", state="cancelled", asker=asker(), box=secret_box, now=now
            ),
            redirect_uri=redirect_uri,
            asker=asker(),
            box=secret_box,
            now=now,
            purpose=Purpose.ADMIN,
        )
        if fault is not None:
            consent_flows.fail(session, flow_id, was="started", code=fault.code, said=fault.seen, now=now)
    return flow_id


def _settle(claimed: Claimed, parameters: Mapping[str, str]) -> None:
    """Keep what came of it. The answer is the browser's word alone: it is shown, and nothing is decided by it."""
    now = datetime.now(UTC)
    try:
        tenant = microsoft.admin_consent_given(parameters)[:_LONGEST_TENANT]
    except TransportError as fault:
        with unit_of_work() as session:
            consent_flows.fail(session, claimed.id, was="redeeming", code=fault.code, said=fault.seen, now=now)
        return
    with unit_of_work() as session:
        present = find(session, claimed.connection_id, box=secret_box) if claimed.connection_id else None
        consent_flows.settle(session, claimed.id, was=("redeeming",), state="granted", account=tenant, ended_at=now)
        audit.record(
            session,
            action="connection.admin_consented",
            actor=current_actor(),
            subject=f"connection {present.values.name}" if present else "connection",
            changes={"organisation": (None, tenant)},
            now=now,
        )


def _refused(refusal: NotClaimed) -> Response:
    """A callback that nothing was done with."""
    is_used = refusal.flow_id is not None and refusal.reason is Unclaimable.USED
    result = url_for("connections.admin_consent_result", flow_id=refusal.flow_id) if is_used else ""
    return render(
        "connections/consent_refused.html",
        status=400,
        reason=str(refusal.reason),
        back_url=result or url_for("connections.index"),
        flow=None,
        diagnosis=None,
        is_popup=False,
        candidate=None,
    )


def _may_be_asked_for(present: StoredConnection) -> bool:
    own = present.values.provider
    return present.values.method in MICROSOFT_METHODS and own is not None and bool(own.client_id and own.tenant_id)


def _not_as_stored(connection_id: UUID) -> Response:
    words = _("An administrator is asked about a stored connection to Microsoft: save its client ID and tenant first.")
    flash(words, "warn")
    return see_other("connections.show", connection_id=connection_id)


def _diagnosis(flow: FlowView, candidate: Candidate | None) -> Diagnosis | None:
    if not flow.code or candidate is None:
        return None
    return consents.explain(flow.code, candidate.values, installation=Installation.current())


def _found_flow(flow_id: UUID) -> FlowView:
    mine, now = signed_in_user().session_id, datetime.now(UTC)
    found = consent_flows.find_flow(db.session(), flow_id, session_id=mine, now=now, purposes=_ADMIN)
    return found or abort(404)


def _found(connection_id: UUID) -> StoredConnection:
    return find(db.session(), connection_id, box=secret_box) or abort(404)
