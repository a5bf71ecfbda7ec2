"""The setting-up sheet of a device: what to type where, to copy and to print."""

from __future__ import annotations

from uuid import UUID

from flask import Response

from portal.config import RelayBind
from portal.extensions import config, db
from portal.servers import log_ins
from portal.servers.inheritance import load_settings
from portal.servers.server_views import found
from portal.web import render
from portal.web.access import admin_required


@admin_required
def sheet(server_id: UUID) -> Response:
    """The values to type into a device that sends through the relay, one set for each port it listens on."""
    stored, session = found(server_id), db.session()
    settings = load_settings(session, server_id)
    return render(
        "servers/sheet.html",
        server=stored,
        host=config.public_host,
        ports=[_port(one) for one in config.relay_bind],
        log_ins=log_ins.of_server(session, server_id),
        sender=settings.sender.address if settings and settings.sender else "",
        api_url=f"{config.public_url}/api/v1/messages",
    )


def _port(bind: RelayBind) -> tuple[int, str]:
    return bind.address.port, bind.scheme
