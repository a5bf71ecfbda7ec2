"""Consent on another device: the portal shows a code, a person types it at Microsoft, and the page asks now and then.

For portals that no browser with the right account reaches. It ends as every consent does.
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from secrets import token_urlsafe
from uuid import UUID, uuid4

from flask import Response, abort, flash, make_response, request, url_for
from flask_babel import gettext as _

from portal import email_settings
from portal.connections import consent_flows, device_codes
from portal.connections.candidate_views import ask_for_password, asker, form_id, is_confirmed, own_candidate
from portal.connections.candidates import Candidate, keep, secrets_of
from portal.connections.consent_callback_views import judge
from portal.connections.consent_flows import FlowView, Purpose
from portal.connections.consent_views import CONSENTS, OWN_FIELDS, result_of
from portal.connections.device_codes import Turn
from portal.connections.form_views import form_page, typed
from portal.connections.installation import Installation
from portal.connections.oauth import microsoft
from portal.connections.oauth.microsoft import DeviceCode
from portal.connections.oauth.provider import Grant
from portal.connections.oauth.token_answers import MustWait
from portal.connections.registrations import microsoft_endpoints, registration_of, scopes_of
from portal.connections.senders import as_sent
from portal.connections.stored import StoredConnection, find
from portal.connections.unfilled import refuse_unfilled
from portal.connections.unstored_consents import explained
from portal.connections.values import Method
from portal.extensions import db, secret_box
from portal.transaction import unit_of_work
from portal.transports import TransientError, TransportError
from portal.web import render, see_other
from portal.web.access import admin_required, signed_in_user
from portal.web.limits import require
from portal.wording import N_

_DEVICE = (Purpose.DEVICE,)


@admin_required
def device_code(connection_id: UUID) -> Response:
    """Ask for a code: with what was typed, or with nothing typed for the connection as it is stored."""
    present = find(db.session(), connection_id, box=secret_box) or abort(404)
    if set(request.form) > OWN_FIELDS:
        return _with_what_was_typed(present)
    if present.values.method is not Method.MICROSOFT or present.lacks_secret:
        flash(_("There is no code for it as it is stored. Fill in the form, then choose Use a device code."), "warn")
        return see_other("connections.show", connection_id=connection_id)
    return _begin_confirmed(Candidate(connection_id=present.id, started_from=present.version, values=present.values))


@admin_required
def device_code_new() -> Response:
    """Ask for a code for a connection that is typed and not stored yet."""
    return _with_what_was_typed(None)


def _with_what_was_typed(present: StoredConnection | None) -> Response:
    form, candidate = typed(present)
    if candidate is not None and candidate.values.method is not Method.MICROSOFT:
        form.method.errors = [N_("Only Microsoft 365 has device codes that allow sending.")]
        candidate = None
    return form_page(form, present, status=422) if candidate is None else _begin_confirmed(candidate)


def _begin_confirmed(candidate: Candidate) -> Response:
    if is_confirmed():
        return begin(candidate, of_form=form_id())
    words = _("There is no code yet: give your password, then choose Use a device code again. What you typed is kept.")
    return ask_for_password(candidate, words=words)


def begin(candidate: Candidate, *, of_form: UUID | None) -> Response:
    """Away to the page with a new code; where Microsoft gives none, to the page that says why."""
    require(db.engine, CONSENTS, "consent", str(signed_in_user().id))
    candidate = replace(candidate, grant=None)
    own, installation = candidate.values.provider, Installation.current()
    if own is None:
        raise ValueError(f"{candidate.values.method} has no device codes")
    with unit_of_work() as session:
        sent = as_sent(candidate.values, email_settings.load(session))
    try:
        refuse_unfilled(candidate.values)
        code = microsoft.device_code(
            registration_of(candidate.values, {}),
            scopes=scopes_of(sent, installation=installation),
            https=installation.https,
            endpoints=microsoft_endpoints(own, installation),
            now=datetime.now(UTC),
        )
    except TransportError as fault:
        return result_of(_store_flow(candidate, fault, of_form), is_popup=False)
    return see_other("connections.device_code_page", flow_id=_store_flow(candidate, code, of_form))


def _store_flow(candidate: Candidate, begun: DeviceCode | TransportError, of_form: UUID | None) -> UUID:
    flow_id, now = uuid4(), datetime.now(UTC)
    with unit_of_work() as session:
        check_id = keep(session, candidate, then="save", state="cancelled", asker=asker(), box=secret_box, now=now)
        consent_flows.start(
            session,
            flow_id,
            state=token_urlsafe(32),  # never told anybody: no callback belongs to it
            secrets="",
            is_popup=False,
            method=Method.MICROSOFT,
            connection_id=candidate.connection_id,
            form_id=of_form if candidate.connection_id is None else None,
            candidate_check_id=check_id,
            redirect_uri="",
            asker=asker(),
            box=secret_box,
            now=now,
            purpose=Purpose.DEVICE,
        )
        if isinstance(begun, DeviceCode):
            device_codes.wait(session, flow_id, begun, box=secret_box, now=now)
        else:
            consent_flows.fail(session, flow_id, was="started", code=begun.code, said=begun.seen, now=now)
    return flow_id


@admin_required
def device_code_page(flow_id: UUID) -> Response:
    """The code, as long as it waits to be typed; then what it came to."""
    flow = _found(flow_id)
    if flow.state != "started":
        return _leave_for(url_for("connections.consent_result", flow_id=flow_id))
    code = device_codes.code_of(db.session(), flow_id, box=secret_box) or abort(404)
    own_end = datetime.now(UTC) + consent_flows.LIFETIME - flow.age
    left = min(code.expires_at, own_end) - datetime.now(UTC)
    candidate = own_candidate(flow.candidate_check_id)
    return render(
        "connections/device_code.html",
        fragment="connections/_device_code_wait.html",
        flow=flow,
        code=code,
        minutes_left=max(0, math.ceil(left.total_seconds())) // 60,
        seconds_left=max(0, math.ceil(left.total_seconds())) % 60,
        delay_ms=round(code.interval.total_seconds() * 1000) + 250,
        mailbox=candidate.values.provider.mailbox if candidate and candidate.values.provider else "",
    )


@admin_required
def poll_device_code(flow_id: UUID) -> Response:
    """Ask Microsoft whether somebody has agreed, if it is time to; then see."""
    _found(flow_id)
    with unit_of_work() as session:
        mine, now = signed_in_user().session_id, datetime.now(UTC)
        turn = device_codes.take_turn(session, flow_id, session_id=mine, box=secret_box, now=now)
        candidate = own_candidate(turn.candidate_check_id) if turn else None
        secrets = secrets_of(session, candidate, box=secret_box) if candidate else {}
    if turn is not None and candidate is not None:
        _ask(turn, candidate, secrets)
    return see_other("connections.device_code_page", flow_id=flow_id)


def _ask(turn: Turn, candidate: Candidate, secrets: dict[str, str]) -> None:
    """While Microsoft is out of reach the code goes on waiting: it is good until its time is over."""
    try:
        answer = _answer(turn, candidate, secrets)
    except MustWait as fault:
        answer = replace(turn.begun, interval=max(turn.begun.interval, fault.retry_after))
    except TransientError:
        answer = turn.begun
    except TransportError as fault:
        with unit_of_work() as session:
            code, said, now = fault.code, fault.seen, datetime.now(UTC)
            consent_flows.fail(session, turn.flow_id, was="started", code=code, said=said, now=now)
        return
    with unit_of_work() as session:
        if isinstance(answer, DeviceCode):
            device_codes.wait(session, turn.flow_id, answer, box=secret_box, now=datetime.now(UTC))
            return
        is_wanted = consent_flows.settle(session, turn.flow_id, was=("started",), state="redeeming", sealed=None)
    if is_wanted:
        with explained(turn.flow_id):
            judge(turn.flow_id, candidate, answer)


def _answer(turn: Turn, candidate: Candidate, secrets: dict[str, str]) -> Grant | DeviceCode:
    """Raises TransportError, before anybody is asked where a variable has gone since the code was shown."""
    refuse_unfilled(candidate.values)
    own, installation = candidate.values.provider, Installation.current()
    if own is None:
        raise ValueError(f"{candidate.values.method} has no device codes")
    return microsoft.poll_device_code(
        registration_of(candidate.values, secrets),
        turn.begun,
        https=installation.https,
        endpoints=microsoft_endpoints(own, installation),
        now=datetime.now(UTC),
    )


def _found(flow_id: UUID) -> FlowView:
    mine, now = signed_in_user().session_id, datetime.now(UTC)
    found = consent_flows.find_flow(db.session(), flow_id, session_id=mine, now=now, purposes=_DEVICE)
    return found or abort(404)


def _leave_for(target: str) -> Response:
    """The whole window goes there, also where htmx asks for a part of it."""
    if "HX-Request" not in request.headers:
        return see_other(target)
    response = make_response("", 200)
    response.headers["HX-Redirect"] = target
    return response
