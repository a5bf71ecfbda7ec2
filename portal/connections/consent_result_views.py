"""What became of a consent, and a person's say where another account consented than the one that was expected."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlencode
from uuid import UUID

from flask import Response, abort, flash, make_response, request, url_for
from flask_babel import gettext as _

from portal.connections import consent_flows, consents
from portal.connections.candidate_views import (
    as_sent_now,
    ask_for_password,
    form_id,
    form_url,
    is_confirmed,
    own_candidate,
)
from portal.connections.candidates import Candidate
from portal.connections.consent_callback_views import take
from portal.connections.consent_flows import FlowView, Purpose
from portal.connections.consent_pages import let_forms_lead_to_consent
from portal.connections.consent_views import begin, is_popup, result_of
from portal.connections.device_code_views import begin as begin_by_device_code
from portal.connections.installation import Installation
from portal.connections.labels import METHODS
from portal.connections.oauth.provider import Grant
from portal.connections.stored import find
from portal.connections.values import Role
from portal.extensions import db, secret_box
from portal.transaction import unit_of_work
from portal.transports import Diagnosis
from portal.web import render, see_other
from portal.web.access import admin_required, signed_in_user

_LONGEST_ERROR = 4096  # characters; whole pages are pasted
_STATUS = "connections.consent_status"
_SLOW_SECONDS = 15  # after which the page asks whether the provider showed an error
_UNSTARTED_SECONDS = 30  # longer than Microsoft is asked for a tenant's addresses before a flow begins
_NEVER_STARTED_SECONDS = 600  # after which no flow is waited for any more


@admin_required
def consent_result(flow_id: UUID) -> Response:
    """What became of a flow, or that it is under way. In a pop-up, the window that opened it goes on."""
    flow = _found(flow_id)
    if flow.purpose is Purpose.DEVICE and flow.state == "started":
        return see_other("connections.device_code_page", flow_id=flow_id)
    if flow.is_waiting:
        return _waiting(flow)
    if flow.state == "granted" and flow.check_id and not is_popup():
        return see_other("connections.show_check", check_id=flow.check_id)
    let_forms_lead_to_consent()
    candidate = own_candidate(flow.candidate_check_id)
    return render(
        f"connections/{_page_of(flow, candidate)}.html",
        flow=flow,
        reason=flow.state,
        provider=METHODS[flow.method],
        candidate=candidate,
        diagnosis=_diagnosis(flow, candidate),
        may_share=candidate is not None and consents.may_be_shared(as_sent_now(candidate)),
        expected=consents.expected_account(as_sent_now(candidate)) if candidate else "",
        is_draft=_is_draft(flow.connection_id),
        is_popup=is_popup(),
        back_url=_back_url(flow, candidate),
    )


def _page_of(flow: FlowView, candidate: Candidate | None) -> str:
    if flow.state == "mismatch" and candidate is not None:
        return "consent_mismatch"
    is_to_be_saved = flow.state == "granted" and (flow.check_id is not None or candidate is not None)
    return "consent_done" if flow.state == "stored" or is_to_be_saved else "consent_refused"


def _is_draft(connection_id: UUID | None) -> bool:
    present = find(db.session(), connection_id, box=secret_box) if connection_id else None
    return present is not None and present.values.role is Role.DRAFT


@admin_required
def consent_status() -> Response:
    """How far this session's newest flow of a connection is; `after` is one that does not count any more."""
    connection_id, mine = request.args.get("connection", type=UUID), signed_in_user().session_id
    flow = consent_flows.newest_flow(
        db.session(), connection_id, form_id=form_id(), session_id=mine, now=datetime.now(UTC)
    )
    if flow is not None and flow.id == request.args.get("after", type=UUID):
        flow = None
    if flow is not None and flow.state == "stored" and connection_id is not None:
        return _leave_for(url_for("connections.show", connection_id=connection_id))
    if flow is not None and flow.check_id:
        return _leave_for(url_for("connections.show_check", check_id=flow.check_id))
    return _waiting(flow, connection_id, is_opener=True)


@admin_required
def tell_seen_error(flow_id: UUID) -> Response:
    """Explain what a person saw on the provider's page; the flow goes on."""
    flow = _found(flow_id)
    code, said = consents.seen_error(flow.method, request.form.get("seen_error", "")[:_LONGEST_ERROR])
    with unit_of_work() as session:
        if said:
            consent_flows.settle(session, flow_id, was=("started",), code=code, said=said)
    return result_of(flow_id, is_popup=is_popup())


@admin_required
def accept_account(flow_id: UUID) -> Response:
    """Take the account that consented, as `action` says; with "shared" it sends for the mailbox."""
    flow, installation = _found(flow_id), Installation.current()
    candidate = own_candidate(flow.candidate_check_id)
    held = consent_flows.held_grant(db.session(), flow_id, candidate, box=secret_box) if candidate else None
    if candidate is None or held is None:
        return result_of(flow_id, is_popup=is_popup())
    wanted = _with_account(candidate, held)
    if not consents.covers(as_sent_now(candidate), as_sent_now(wanted), installation=installation):
        return _begin_again(flow, wanted) if is_confirmed() else ask_for_password(wanted)
    take(flow_id, wanted, held, was=flow.state, until_checked=flow.state)
    return result_of(flow_id, is_popup=is_popup())


def _with_account(candidate: Candidate, grant: Grant) -> Candidate:
    """The candidate, sending as the account, or signed in as it for a shared mailbox, as `action` says."""
    sent = as_sent_now(candidate)
    if request.form.get("action") == "shared" and consents.may_be_shared(sent):
        shared = consents.as_shared(candidate.values, grant.account, sender=sent.from_address)
        return replace(candidate, values=shared)
    return replace(candidate, values=consents.with_account(candidate.values, grant, sender=sent.from_address))


@admin_required
def repeat_consent(flow_id: UUID) -> Response:
    """Ask for the same consent anew."""
    flow = _found(flow_id)
    candidate = own_candidate(flow.candidate_check_id)
    if candidate is None:
        flash(_("What was typed is gone: it is kept for 15 minutes. Choose Connect again."), "warn")
        return see_other(_back_url(flow, None))
    if not is_confirmed():
        words = _("Nothing was connected yet: give your password, then choose Connect again. What you typed is kept.")
        return ask_for_password(candidate, words=words)
    return _begin_again(flow, candidate)


def _begin_again(flow: FlowView, candidate: Candidate) -> Response:
    """In the way that the flow went."""
    if flow.purpose is Purpose.DEVICE:
        return begin_by_device_code(candidate, of_form=flow.form_id)
    return begin(candidate, is_popup=is_popup(), of_form=flow.form_id)


def _found(flow_id: UUID) -> FlowView:
    mine = signed_in_user().session_id
    return consent_flows.find_flow(db.session(), flow_id, session_id=mine, now=datetime.now(UTC)) or abort(404)


def _waiting(flow: FlowView | None, connection_id: UUID | None = None, *, is_opener: bool = False) -> Response:
    """The part that asks again by itself; `is_opener`: in the form, beside the pop-up."""
    candidate = own_candidate(flow.candidate_check_id) if flow else None
    chosen = {name: value for name, value in request.args.items() if name in {"connection", "form", "after", "popup"}}
    waited = 0
    if is_opener and flow is None:
        now = int(datetime.now(UTC).timestamp())
        since = request.args.get("since", now, type=int)
        waited, chosen["since"] = now - since, str(since)
    query = f"?{urlencode(chosen)}" if chosen else ""
    here = url_for("connections.consent_result", flow_id=flow.id) if flow and not is_opener else url_for(_STATUS)
    return render(
        "connections/consent_wait.html",
        fragment="connections/_consent_wait.html",
        flow=flow,
        here=here + query,
        is_opener=is_opener,
        is_popup=is_popup(),
        is_unstarted=waited > _UNSTARTED_SECONDS,
        is_given_up=waited > _NEVER_STARTED_SECONDS,
        is_slow=flow is not None and flow.age.total_seconds() > _SLOW_SECONDS,
        diagnosis=_diagnosis(flow, candidate) if flow and flow.code else None,
        back_url=_back_url(flow, candidate) if flow else _form_of(connection_id),
    )


def _diagnosis(flow: FlowView, candidate: Candidate | None) -> Diagnosis | None:
    if not flow.code or candidate is None:
        return None
    return consents.explain(flow.code, candidate.values, installation=Installation.current())


def _back_url(flow: FlowView, candidate: Candidate | None) -> str:
    """The form with what was typed, as long as that is there."""
    if candidate is None:
        return _form_of(flow.connection_id)
    return form_url(candidate, flow.candidate_check_id, of_form=flow.form_id)


def _form_of(connection_id: UUID | None) -> str:
    if connection_id is None:
        return url_for("connections.new")
    return url_for("connections.show", connection_id=connection_id)


def _leave_for(target: str) -> Response:
    """The whole window goes there, also where htmx asks for a part of it."""
    if "HX-Request" not in request.headers:
        return see_other(target)
    response = make_response("", 200)
    response.headers["HX-Redirect"] = target
    return response
