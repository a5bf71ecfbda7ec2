"""The room's addresses, and the list of servers."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, Response

from portal import email_settings
from portal.extensions import db
from portal.servers import (
    key_views,
    log_in_views,
    routing_views,
    sender_views,
    server_views,
    sheet_views,
    webhook_views,
)
from portal.servers.listing import listed
from portal.web import render
from portal.web.access import admin_required

blueprint = Blueprint("servers", __name__)


@blueprint.get("/servers")
@admin_required
def index() -> Response:
    """Every server with when it was last seen and what it sent today."""
    session = db.session()
    return render(
        "servers/index.html",
        servers=listed(session, now=datetime.now(UTC)),
        is_switched_off=not email_settings.load(session).enabled,
    )


_SERVER = "/servers/<uuid:server_id>"
_KEY, _LOGIN = f"{_SERVER}/keys/<uuid:key_id>", f"{_SERVER}/log-ins/<uuid:login_id>"
blueprint.get("/servers/new")(server_views.new)
blueprint.post("/servers/new")(server_views.create)
blueprint.get(_SERVER)(server_views.show)
blueprint.post(_SERVER)(server_views.change)
blueprint.get(f"{_SERVER}/settings")(server_views.settings)
blueprint.post(f"{_SERVER}/inheritance")(server_views.inherit)
blueprint.post(f"{_SERVER}/switch")(server_views.switch)
blueprint.get(f"{_SERVER}/deletion")(server_views.ask_to_delete)
blueprint.post(f"{_SERVER}/deletion")(server_views.delete)
blueprint.get(f"{_SERVER}/sheet")(sheet_views.sheet)
blueprint.get(f"{_SERVER}/keys/new")(key_views.new_key)
blueprint.post(f"{_SERVER}/keys")(key_views.create_key)
blueprint.post(f"{_KEY}/replacement")(key_views.rotate_key)
blueprint.post(f"{_KEY}/revocation")(key_views.revoke_key)
blueprint.post(f"{_SERVER}/log-ins")(log_in_views.create_login)
blueprint.post(f"{_LOGIN}/password")(log_in_views.renew_login)
blueprint.post(f"{_LOGIN}/removal")(log_in_views.remove_login)
blueprint.get("/servers/routing")(routing_views.routing_rules)
blueprint.post("/servers/routing")(routing_views.add_rule)
blueprint.post("/servers/routing/<int:rule_id>/removal")(routing_views.remove_rule)
blueprint.post("/servers/routing/<int:rule_id>/moves")(routing_views.move_rule)
blueprint.get("/servers/senders")(sender_views.senders)
blueprint.post("/servers/senders")(sender_views.decide)
blueprint.post("/servers/senders/removal")(sender_views.forget)
webhook_views.add_routes(blueprint)
