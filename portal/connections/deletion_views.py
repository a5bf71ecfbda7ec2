"""Deleting a connection: a page that says what it means, and the deed."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from flask import Response, abort, flash
from flask_babel import gettext as _

from portal.connections import saving
from portal.connections.disconnection_views import end_at_provider
from portal.connections.stored import StoredConnection, find
from portal.connections.values import Role
from portal.connections.withdrawing import consents_to_end, held_consents
from portal.extensions import db, handed_down, secret_box
from portal.transaction import unit_of_work
from portal.web import render, see_other
from portal.web.access import admin_required, confirm_password, current_actor


@admin_required
def ask_to_delete(connection_id: UUID) -> Response:
    """What deleting means, and the button; the default connection has none."""
    return _page(_found(connection_id))


@admin_required
@confirm_password()
def delete(connection_id: UUID) -> Response:
    """Delete, unless it is the default; what was consented to for it is withdrawn as by Disconnect."""
    connection = _found(connection_id)
    try:
        with unit_of_work() as session:
            held = consents_to_end(session, connection_id, connection.values, box=secret_box)
            saving.delete(session, connection_id, actor=current_actor(), now=datetime.now(UTC))
    except saving.IsDefault:
        return _page(connection, status=409)
    flash(_("%(name)s is deleted.", name=connection.values.name), "ok")
    end_at_provider(held)
    return see_other("connections.index")


def _found(connection_id: UUID) -> StoredConnection:
    return find(db.session(), connection_id, box=secret_box) or abort(404)


def _page(connection: StoredConnection, *, status: int = 200) -> Response:
    is_default = connection.values.role is Role.DEFAULT
    return render(
        "connections/deletion.html",
        status=status,
        connection=connection,
        is_default=is_default,
        uses=handed_down("connection_uses")(db.session(), connection.id),
        consents=held_consents(db.session(), connection.id, connection.values, box=secret_box),
    )
