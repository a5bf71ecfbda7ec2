"""The room's addresses, and the list of connections."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, Response

from portal.connections import (
    admin_consent_views,
    captured_views,
    check_views,
    consent_callback_views,
    consent_result_views,
    consent_views,
    deletion_views,
    device_code_views,
    disconnection_views,
    form_views,
    invitation_views,
    invited_consent_views,
    labels,
    suggestion_views,
)
from portal.connections.announcing import server_of
from portal.connections.installation import Installation
from portal.connections.secret_expiry import expiry_of
from portal.connections.states import states_of
from portal.connections.stored import all_connections
from portal.extensions import db
from portal.web import render
from portal.web.access import admin_required

blueprint = Blueprint("connections", __name__)


@blueprint.get("/connections")
@admin_required
def index() -> Response:
    """Every way out with its state."""
    session, installation = db.session(), Installation.current()
    found = all_connections(session, box=installation.box)
    states = states_of(session, found, installation=installation)
    servers = {one.id: server_of(one, installation) for one in found}
    return render(
        "connections/index.html",
        connections=found,
        states=states,
        servers=servers,
        methods=labels.METHODS,
        expiries={one.id: expiry_of(one.values, today=datetime.now(UTC).date()) for one in found},
        roles=labels.ROLES,
    )


_ONE = "/connections/<uuid:connection_id>"
_CHECK = "/connection-checks/<uuid:check_id>"
_CONSENT = "/consents-under-way/<uuid:flow_id>"
_ADMIN_CONSENT = "/admin-consents/<uuid:flow_id>"
_INVITED = "/consents/<token>"
_DEVICE_CODE = "/device-codes/<uuid:flow_id>"
_CAPTURED = "/captured-mail/<uuid:message_id>"

for _rule, _method, _view in (
    ("/connections/new", "GET", form_views.new),
    ("/connections/new", "POST", form_views.create),
    ("/connections/suggestion", "GET", suggestion_views.suggest),
    (_ONE, "GET", form_views.show),
    (_ONE, "POST", form_views.change),
    (f"{_ONE}/checks", "POST", check_views.check_stored),
    (f"{_ONE}/deletion", "GET", deletion_views.ask_to_delete),
    (f"{_ONE}/deletion", "POST", deletion_views.delete),
    (f"{_ONE}/authorizations", "POST", consent_views.authorize),
    ("/connections/new/authorizations", "POST", consent_views.authorize_new),
    (f"{_ONE}/disconnection", "POST", disconnection_views.disconnect),
    ("/connections/consents/latest", "GET", consent_result_views.consent_status),
    ("/oauth/google/callback", "GET", consent_callback_views.google_callback),
    ("/oauth/microsoft/callback", "GET", consent_callback_views.microsoft_callback),
    (_CONSENT, "GET", consent_result_views.consent_result),
    (f"{_CONSENT}/error", "POST", consent_result_views.tell_seen_error),
    (f"{_CONSENT}/acceptance", "POST", consent_result_views.accept_account),
    (f"{_CONSENT}/repetition", "POST", consent_result_views.repeat_consent),
    (f"{_ONE}/admin-consent", "GET", admin_consent_views.ask_for_admin_consent),
    (f"{_ONE}/admin-consent", "POST", admin_consent_views.admin_consent),
    (f"{_ONE}/consent-invitations", "GET", invitation_views.consent_invitation),
    (f"{_ONE}/consent-invitations", "POST", invitation_views.invite_to_consent),
    (f"{_ONE}/consent-invitations/revocation", "POST", invitation_views.revoke_invitation),
    (f"{_ONE}/device-codes", "POST", device_code_views.device_code),
    ("/connections/new/device-codes", "POST", device_code_views.device_code_new),
    (_DEVICE_CODE, "GET", device_code_views.device_code_page),
    (f"{_DEVICE_CODE}/polls", "POST", device_code_views.poll_device_code),
    (_INVITED, "GET", invited_consent_views.invited_consent),
    (_INVITED, "POST", invited_consent_views.begin_invited_consent),
    ("/consents/outcomes/<uuid:flow_id>", "GET", invited_consent_views.invited_outcome),
    (_ADMIN_CONSENT, "GET", admin_consent_views.admin_consent_result),
    (_CHECK, "GET", check_views.show_check),
    (f"{_CHECK}/cancellation", "POST", check_views.cancel),
    (f"{_CHECK}/repetition", "POST", check_views.repeat),
    (f"{_CHECK}/saving", "POST", check_views.save),
    ("/captured-mail", "GET", captured_views.captured_mail),
    (_CAPTURED, "GET", captured_views.captured_message),
    (f"{_CAPTURED}/html", "GET", captured_views.captured_html),
):
    blueprint.add_url_rule(_rule, methods=[_method], view_func=_view)
