"""The room's addresses, and the list of connections."""

from __future__ import annotations

from flask import Blueprint, Response

from portal.connections import captured_views, check_views, deletion_views, form_views, labels
from portal.connections.announcing import server_of
from portal.connections.installation import Installation
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
        roles=labels.ROLES,
    )


_ONE = "/connections/<uuid:connection_id>"
_CHECK = "/connection-checks/<uuid:check_id>"
_CAPTURED = "/captured-mail/<uuid:message_id>"

for _rule, _method, _view in (
    ("/connections/new", "GET", form_views.new),
    ("/connections/new", "POST", form_views.create),
    (_ONE, "GET", form_views.show),
    (_ONE, "POST", form_views.change),
    (f"{_ONE}/checks", "POST", check_views.check_stored),
    (f"{_ONE}/deletion", "GET", deletion_views.ask_to_delete),
    (f"{_ONE}/deletion", "POST", deletion_views.delete),
    (_CHECK, "GET", check_views.show_check),
    (f"{_CHECK}/cancellation", "POST", check_views.cancel),
    (f"{_CHECK}/repetition", "POST", check_views.repeat),
    (f"{_CHECK}/saving", "POST", check_views.save),
    ("/captured-mail", "GET", captured_views.captured_mail),
    (_CAPTURED, "GET", captured_views.captured_message),
    (f"{_CAPTURED}/html", "GET", captured_views.captured_html),
):
    blueprint.add_url_rule(_rule, methods=[_method], view_func=_view)
