"""Consent: to the provider, back from it, and what came of it, in a pop-up or in the same window.

No transaction is open while a provider is asked: each unit of work ends before, and another begins after.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from secrets import token_urlsafe
from urllib.parse import urlencode
from uuid import UUID, uuid4

from flask import Response, abort, flash, make_response, redirect, request, url_for
from flask_babel import gettext as _

from portal.connections import consent_flows, consents
from portal.connections.candidate_views import ask_for_password, asker, is_confirmed
from portal.connections.candidates import Candidate, keep
from portal.connections.form_views import form_page, typed
from portal.connections.installation import Installation
from portal.connections.oauth.provider import AuthorizationRequest
from portal.connections.registrations import consent_provider, registration_of, scopes_of
from portal.connections.stored import StoredConnection, find
from portal.connections.values import CONSENT_METHODS, ConnectionValues, Method
from portal.extensions import db, secret_box
from portal.transaction import unit_of_work
from portal.transports import TransportError
from portal.web import see_other
from portal.web.access import (
    CONFIRM_PASSWORD_PATH,
    admin_required,
    current_actor,
    signed_in_user,
)
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
    return form_page(form, present, status=422) if candidate is None else _authorize(candidate)


def _authorize(candidate: Candidate) -> Response:
    if not is_confirmed():
        words = _("Nothing was connected yet: give your password, then choose Connect again. What you typed is kept.")
        return ask_for_password(candidate, words=words)
    return begin(candidate, is_popup=is_popup())


def begin(candidate: Candidate, *, is_popup: bool) -> Response:
    """Away to the provider's page of consent; where the provider cannot be asked, to the page that says why."""
    require(db.engine, CONSENTS, "consent", str(signed_in_user().id))
    candidate = replace(candidate, grant=None)
    with unit_of_work() as session:
        now = datetime.now(UTC)
        check_id = keep(session, candidate, then="save", state="cancelled", asker=asker(), box=secret_box, now=now)
    state, redirect_uri = token_urlsafe(32), public_url_for(CALLBACKS[candidate.values.method])
    try:
        asked = _asked(candidate.values, redirect_uri=redirect_uri, state=state)
    except TransportError as fault:
        flow_id = _store_flow(candidate, check_id, state, redirect_uri, secrets="", is_popup=is_popup, fault=fault)
        return result_of(flow_id, is_popup=is_popup)
    _store_flow(candidate, check_id, state, redirect_uri, secrets=asked.secrets, is_popup=is_popup)
    return make_response(redirect(asked.url, 303))


def _asked(values: ConnectionValues, *, redirect_uri: str, state: str) -> AuthorizationRequest:
    """Raises TransportError: Microsoft is asked for the tenant's addresses first."""
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
            candidate_check_id=check_id,
            redirect_uri=redirect_uri,
            asker=asker(),
            box=secret_box,
            now=now,
        )
        if fault is not None:
            consent_flows.fail(session, flow_id, was="started", code=fault.code, said=fault.seen, now=now)
    return flow_id


@admin_required
def disconnect(connection_id: UUID) -> Response:
    """Forget what somebody consented to, and ask the provider to forget it too."""
    present = _found(connection_id)
    here = url_for("connections.show", connection_id=connection_id)
    if not is_confirmed():
        flash(_("Nothing was disconnected yet: give your password, then choose Disconnect again."), "info")
        return see_other(f"{CONFIRM_PASSWORD_PATH}?{urlencode({'next': here})}")
    if present.grant is None or present.values.method not in CONSENT_METHODS:
        flash(_("Nobody's consent is stored here, so there was nothing to disconnect."), "info")
        return see_other(here)
    with unit_of_work() as session:
        held = consents.stored_grant(session, present.id, present.values, box=secret_box)
    provider = consent_provider(present.values.method, installation=Installation.current())
    was_told = held is not None and provider.revoke(registration_of(present.values, {}), held.stored)
    with unit_of_work() as session:
        consents.forget(session, present, actor=current_actor(), now=datetime.now(UTC))
    flash(_disconnected(present.values.method, was_told=was_told), "ok" if was_told else "warn")
    return see_other(here)


def result_of(flow_id: UUID, *, is_popup: bool) -> Response:
    """Away to the page that says what became of a flow."""
    return see_other("connections.consent_result", flow_id=flow_id, **(POPUP if is_popup else {}))


def is_popup() -> bool:
    """Whether the window is one that the script opened for the consent."""
    return request.args.get("popup") == POPUP["popup"]


def _disconnected(method: Method, *, was_told: bool) -> str:
    if was_told:
        return str(_("Disconnected: the consent is deleted here, and Google has withdrawn it."))
    if method is Method.GOOGLE:
        return str(
            _(
                "The consent is deleted here, but Google did not confirm that it was withdrawn there. Whoever "
                "consented can remove the portal at myaccount.google.com/connections."
            )
        )
    return str(
        _(
            "The consent is deleted here. Microsoft lets no application withdraw it there: whoever consented can do "
            "that at myapps.microsoft.com, an administrator in the Entra admin center."
        )
    )


def _found(connection_id: UUID) -> StoredConnection:
    return find(db.session(), connection_id, box=secret_box) or abort(404)
