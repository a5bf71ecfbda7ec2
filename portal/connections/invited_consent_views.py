"""Consent by the owner of a mailbox, who came by a link and has no account here.

What is bound to a session elsewhere is bound to the visitor's browser: a random value in its signed cookie. Only the
invited mailbox itself is taken, and nothing of another account is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from secrets import token_urlsafe
from uuid import UUID, uuid4

from flask import Response, abort, make_response, redirect, request, session
from sqlalchemy.orm import Session

from portal import audit, email_settings
from portal.connections import consent_flows, consent_invitations, consents, unstored_consents
from portal.connections.candidates import Asker, Candidate, find_candidate, is_as_stored, keep, secrets_of
from portal.connections.consent_flows import Claimed, FlowView, NotClaimed, Purpose
from portal.connections.consent_invitations import Invitation
from portal.connections.consent_pages import let_forms_lead_to_consent
from portal.connections.consent_views import CALLBACKS
from portal.connections.installation import Installation
from portal.connections.labels import METHODS
from portal.connections.oauth.provider import Grant
from portal.connections.permissions import explained
from portal.connections.registrations import consent_provider, registration_of, scopes_of
from portal.connections.senders import as_sent
from portal.connections.stored import StoredConnection, find
from portal.connections.unfilled import refuse_unfilled
from portal.connections.values import Method
from portal.extensions import db, secret_box
from portal.transaction import unit_of_work
from portal.transports import Diagnosis, TransportError
from portal.web import render, see_other
from portal.web.access import public
from portal.web.limits import client_key, require
from portal.web.urls import public_url_for

STARTS = "10/minute"  # by one link
GUESSES = "30/10 minutes"  # of links that do not work, from one client address
_COOKIE_KEY = "consent_visitor"
_INVITED = (Purpose.INVITED,)


@public
def invited_consent(token: str) -> Response:
    """Who asks for what, and the button that leads to the provider."""
    invitation = consent_invitations.find_by_token(db.session(), token, now=datetime.now(UTC))
    present = find(db.session(), invitation.connection_id, box=secret_box) if invitation else None
    if invitation is None or present is None:
        return _dead_link()
    let_forms_lead_to_consent()
    return render(
        "connections/invited.html",
        token=token,
        invitation=invitation,
        provider=METHODS[invitation.method],
        permissions=explained(scopes_of(present.as_sent, installation=Installation.current())),
    )


@public
def begin_invited_consent(token: str) -> Response:
    """Away to the provider's page of consent; a GET uses nothing up, nor does this."""
    invitation = consent_invitations.find_by_token(db.session(), token, now=datetime.now(UTC))
    present = find(db.session(), invitation.connection_id, box=secret_box) if invitation else None
    if invitation is None or present is None:
        require(db.engine, GUESSES, "consent link", client_key(request.remote_addr or ""))
        return _dead_link()
    require(db.engine, STARTS, "invited-consent", str(invitation.id))
    state, redirect_uri = token_urlsafe(32), public_url_for(CALLBACKS[invitation.method])
    installation = Installation.current()
    try:
        refuse_unfilled(present.values)
        asked = consent_provider(invitation.method, installation=installation).authorization_request(
            registration_of(present.values, {}),
            redirect_uri=redirect_uri,
            state=state,
            scopes=scopes_of(present.as_sent, installation=installation),
            login_hint=invitation.mailbox,
        )
    except TransportError as fault:
        flow_id = _store_flow(invitation, present, state, redirect_uri, fault=fault)
        return see_other("connections.invited_outcome", flow_id=flow_id)
    _store_flow(invitation, present, state, redirect_uri, secrets=asked.secrets)
    return make_response(redirect(asked.url, 303))


def called_back(method: Method, parameters: Mapping[str, str]) -> Response:
    """Back from the provider, in whatever browser."""
    state, now = parameters.get("state", ""), datetime.now(UTC)
    try:
        claimed = consent_flows.claim(db.engine, state, method=method, session_id=_visitor(), box=secret_box, now=now)
    except NotClaimed as refusal:
        return render("connections/invited_refused.html", status=400, reason=str(refusal.reason))
    with unstored_consents.explained(claimed.id):
        _redeem(claimed, method, parameters)
    return see_other("connections.invited_outcome", flow_id=claimed.id)


@public
def invited_outcome(flow_id: UUID) -> Response:
    """What it came to, for the browser that was there."""
    now = datetime.now(UTC)
    flow = consent_flows.find_flow(db.session(), flow_id, session_id=_visitor(), now=now, purposes=_INVITED)
    if flow is None:
        abort(404)
    candidate = _candidate(db.session(), flow.candidate_check_id)
    return render(
        "connections/invited_outcome.html",
        flow=flow,
        provider=METHODS[flow.method],
        mailbox=candidate.values.provider.mailbox if candidate and candidate.values.provider else "",
        diagnosis=_diagnosis(flow, candidate),
    )


def _store_flow(
    invitation: Invitation,
    present: StoredConnection,
    state: str,
    redirect_uri: str,
    *,
    secrets: str = "",
    fault: TransportError | None = None,
) -> UUID:
    flow_id, now = uuid4(), datetime.now(UTC)
    candidate = Candidate(connection_id=present.id, started_from=present.version, values=present.values)
    asker = Asker(_marked_visitor(), invitation.inviter_id, invitation.invited, request.remote_addr or "")
    with unit_of_work() as work:
        check_id = keep(work, candidate, then="show", state="cancelled", asker=asker, box=secret_box, now=now)
        consent_flows.start(
            work,
            flow_id,
            state=state,
            secrets=secrets,
            is_popup=False,
            method=invitation.method,
            connection_id=present.id,
            candidate_check_id=check_id,
            redirect_uri=redirect_uri,
            asker=asker,
            box=secret_box,
            now=now,
            purpose=Purpose.INVITED,
            invitation_id=invitation.id,
        )
        if fault is not None:
            consent_flows.fail(work, flow_id, was="started", code=fault.code, said=fault.seen, now=now)
    return flow_id


def _redeem(claimed: Claimed, method: Method, parameters: Mapping[str, str]) -> None:
    """A code is redeemed only while the link works and the connection is as it was when the owner was asked."""
    with unit_of_work() as work:
        now = datetime.now(UTC)
        invitation = consent_invitations.find_invitation(work, claimed.invitation_id, now=now)
        candidate = _candidate(work, claimed.candidate_check_id)
        if invitation is None or candidate is None or _as_asked(work, candidate) is None:
            _settle(work, claimed, state="cancelled")
            return
        secrets = secrets_of(work, candidate, box=secret_box)
    provider = consent_provider(method, installation=Installation.current())
    try:
        refuse_unfilled(candidate.values)
        grant = provider.redeem(
            registration_of(candidate.values, secrets),
            claimed.secrets,
            parameters,
            redirect_uri=claimed.redirect_uri,
            now=datetime.now(UTC),
        )
    except TransportError as fault:
        with unit_of_work() as work:
            now = datetime.now(UTC)
            consent_flows.fail(work, claimed.id, was="redeeming", code=fault.code, said=fault.seen, now=now)
        return
    _take(claimed, invitation, candidate, grant)


def _take(claimed: Claimed, invitation: Invitation, candidate: Candidate, grant: Grant) -> None:
    """Store what the owner of the very mailbox granted; of somebody else's consent only the address is kept."""
    now = datetime.now(UTC)
    with unit_of_work() as work:
        if consents.is_somebody_else(as_sent(candidate.values, email_settings.load(work)), grant):
            _settle(work, claimed, state="mismatch", account=grant.account)
            return
        if not _settle(work, claimed, state="stored", account=grant.account):
            return
        present = _as_asked(work, candidate)
        if present is None or not consent_invitations.use(work, invitation.id, now=now):
            _settle(work, claimed, was="stored", state="cancelled")
            return
        actor = audit.Actor(None, invitation.invited, request.remote_addr or "")
        consents.store(work, present, grant, box=secret_box, actor=actor, now=now)


def _settle(work: Session, claimed: Claimed, *, was: str = "redeeming", state: str, account: str = "") -> bool:
    return consent_flows.settle(work, claimed.id, was=(was,), state=state, account=account, ended_at=datetime.now(UTC))


def _as_asked(work: Session, candidate: Candidate) -> StoredConnection | None:
    """The connection, if it is still what the owner was asked for."""
    present = find(work, candidate.connection_id, box=secret_box) if candidate.connection_id else None
    return present if present is not None and is_as_stored(candidate, present) else None


def _candidate(work: Session, check_id: UUID) -> Candidate | None:
    return find_candidate(work, check_id, session_id=_visitor(), box=secret_box, now=datetime.now(UTC))


def _visitor() -> UUID:
    """What marks this browser; one that nothing is bound to where it bears no mark."""
    try:
        return UUID(session.get(_COOKIE_KEY, ""))
    except ValueError:
        return uuid4()


def _marked_visitor() -> UUID:
    """The same, and from now on this browser bears it."""
    visitor = _visitor()
    session[_COOKIE_KEY] = str(visitor)
    return visitor


def _diagnosis(flow: FlowView, candidate: Candidate | None) -> Diagnosis | None:
    if not flow.code or candidate is None:
        return None
    return consents.explain(flow.code, candidate.values, installation=Installation.current())


def _dead_link() -> Response:
    """One page for a link that never was, was used, taken back or replaced, is too old, or lost its administrator."""
    return render("connections/invited_dead.html", status=404)
