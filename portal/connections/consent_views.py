"""Consent: to the provider, back from it, and what came of it, in a pop-up or in the same window.

No transaction is open while a provider is asked: each unit of work ends before, and another begins after.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from secrets import token_urlsafe
from uuid import UUID, uuid4

from flask import Response, abort, flash, make_response, redirect, request
from flask_babel import gettext as _

from portal import email_settings
from portal.connections import consent_flows
from portal.connections.candidate_views import ask_for_password, asker, form_id, is_confirmed
from portal.connections.candidates import Candidate, keep
from portal.connections.form_views import form_page, typed
from portal.connections.forms import ConnectionForm
from portal.connections.installation import Installation
from portal.connections.oauth.provider import AuthorizationRequest
from portal.connections.registrations import consent_provider, registration_of, scopes_of
from portal.connections.senders import as_sent
from portal.connections.stored import StoredConnection, find
from portal.connections.unfilled import refuse_unfilled
from portal.connections.values import CONSENT_METHODS, ConnectionValues, Method
from portal.extensions import db, secret_box
from portal.transaction import unit_of_work
from portal.transports import TransportError
from portal.web import render, see_other
from portal.web.access import admin_required, signed_in_user
from portal.web.limits import require
from portal.web.urls import public_url_for
from portal.wording import N_

CONSENTS = "10/minute"  # of one person
POPUP = {"popup": "1"}
CALLBACKS = {Method.GOOGLE: "connections.google_callback", Method.MICROSOFT: "connections.microsoft_callback"}
OWN_FIELDS = frozenset({"csrf_token"})  # what a button sends that stands in no form


@admin_required
def authorize(connection_id: UUID) -> Response:
    """Ask for consent to a connection: with what was typed, or with nothing typed as it is stored."""
    present = _found(connection_id)
    if set(request.form) > OWN_FIELDS:
        return _authorize_typed(present)
    if present.values.method not in CONSENT_METHODS or present.lacks_secret:
        flash(_("It cannot be connected as it is stored. Fill in the form, then choose Connect."), "warn")
        return see_other("connections.show", connection_id=connection_id)
    candidate = Candidate(connection_id=present.id, started_from=present.version, values=present.values)
    return _authorize(candidate)


@admin_required
def authorize_new() -> Response:
    """Ask for consent to a connection that is typed and not stored yet."""
    return _authorize_typed(None)


def _authorize_typed(present: StoredConnection | None) -> Response:
    form, candidate = typed(present)
    if candidate is not None and candidate.values.method not in CONSENT_METHODS:
        form.method.errors = [N_("Only Google and Microsoft 365 ask a person for consent. Choose one of them.")]
        candidate = None
    if candidate is not None:
        return _authorize(candidate)
    return _refused_in_popup(form, present) if is_popup() else form_page(form, present, status=422)


def _refused_in_popup(form: ConnectionForm, present: StoredConnection | None) -> Response:
    """What the form lacks. The form itself, with all that was typed, stands in the window that opened this one."""
    connection_id = present.id if present else None
    with unit_of_work() as session:
        consent_flows.refuse(
            session,
            method=Method(form.method.data) if form.method.data in set(Method) else Method.SMTP,
            connection_id=connection_id,
            form_id=form_id() if present is None else None,
            asker=asker(),
            box=secret_box,
            now=datetime.now(UTC),
        )
    return render("connections/consent_unstarted.html", status=422, form=form, connection_id=connection_id)


def _authorize(candidate: Candidate) -> Response:
    if not is_confirmed():
        words = _("Nothing was connected yet: give your password, then choose Connect again. What you typed is kept.")
        return ask_for_password(candidate, words=words)
    return begin(candidate, is_popup=is_popup(), of_form=form_id())


def begin(candidate: Candidate, *, is_popup: bool, of_form: UUID | None) -> Response:
    """Away to the provider's page of consent; where the provider cannot be asked, to the page that says why."""
    require(db.engine, CONSENTS, "consent", str(signed_in_user().id))
    candidate = replace(candidate, grant=None)
    with unit_of_work() as session:
        now = datetime.now(UTC)
        check_id = keep(session, candidate, then="save", state="cancelled", asker=asker(), box=secret_box, now=now)
        sent = as_sent(candidate.values, email_settings.load(session))
    state, redirect_uri = token_urlsafe(32), public_url_for(CALLBACKS[candidate.values.method])
    try:
        asked = _asked(sent, redirect_uri=redirect_uri, state=state)
    except TransportError as fault:
        flow_id = _store_flow(
            candidate, check_id, state, redirect_uri, secrets="", is_popup=is_popup, of_form=of_form, fault=fault
        )
        return result_of(flow_id, is_popup=is_popup)
    _store_flow(candidate, check_id, state, redirect_uri, secrets=asked.secrets, is_popup=is_popup, of_form=of_form)
    return make_response(redirect(asked.url, 303))


def _asked(values: ConnectionValues, *, redirect_uri: str, state: str) -> AuthorizationRequest:
    """Raises TransportError: Microsoft is asked for the tenant's addresses first.

    With a variable gone, the mailbox would be whoever consents, and the application another or none.
    """
    refuse_unfilled(values)
    installation = Installation.current()
    return consent_provider(values.method, installation=installation).authorization_request(
        registration_of(values, {}),
        redirect_uri=redirect_uri,
        state=state,
        scopes=scopes_of(values, installation=installation),
        login_hint=values.provider.mailbox if values.provider else "",
    )


def _store_flow(
    candidate: Candidate,
    check_id: UUID,
    state: str,
    redirect_uri: str,
    *,
    secrets: str,
    is_popup: bool,
    of_form: UUID | None,
    fault: TransportError | None = None,
) -> UUID:
    flow_id, now = uuid4(), datetime.now(UTC)
    with unit_of_work() as session:
        consent_flows.start(
            session,
            flow_id,
            state=state,
            secrets=secrets,
            is_popup=is_popup,
            method=candidate.values.method,
            connection_id=candidate.connection_id,
            form_id=of_form if candidate.connection_id is None else None,
            candidate_check_id=check_id,
            redirect_uri=redirect_uri,
            asker=asker(),
            box=secret_box,
            now=now,
        )
        if fault is not None:
            consent_flows.fail(session, flow_id, was="started", code=fault.code, said=fault.seen, now=now)
    return flow_id


def result_of(flow_id: UUID, *, is_popup: bool) -> Response:
    """Away to the page that says what became of a flow."""
    return see_other("connections.consent_result", flow_id=flow_id, **(POPUP if is_popup else {}))


def is_popup() -> bool:
    """Whether the window is one that the script opened for the consent."""
    return request.args.get("popup") == POPUP["popup"]


def _found(connection_id: UUID) -> StoredConnection:
    return find(db.session(), connection_id, box=secret_box) or abort(404)
