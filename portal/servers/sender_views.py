"""Which From may leave by which connection."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from flask import Response, abort, flash, request
from flask_babel import gettext as _

from portal.connections import all_connections, find
from portal.extensions import db, secret_box
from portal.servers import sender_matrix
from portal.servers.routing_forms import SenderForm
from portal.servers.sender_matrix import Verdict
from portal.servers.values import is_sender
from portal.transaction import unit_of_work
from portal.web import render, see_other
from portal.web.access import admin_required, current_actor


@admin_required
def senders() -> Response:
    """What is known, by connection, and the form for what a person knows."""
    return _page(_form(formdata=None))


@admin_required
def decide() -> Response:
    """Store what a person knows."""
    form = _form()
    if not form.validate_on_submit():
        return _page(form, status=422)
    verdict = cast("Verdict", form.verdict.data)
    with unit_of_work() as session:
        connection = find(session, UUID(form.connection.data), box=secret_box) or abort(404)
        now = datetime.now(UTC)
        sender_matrix.decide(session, connection, form.sender.value(), verdict, actor=current_actor(), now=now)
    flash(_("This is noted, and acts on the next message."), "ok")
    return see_other("servers.senders")


@admin_required
def forget() -> Response:
    """Take a decision back."""
    connection_id = request.form.get("connection", type=UUID) or abort(400)
    with unit_of_work() as session:
        connection = find(session, connection_id, box=secret_box) or abort(404)
        sender = request.form.get("sender", "")
        if not is_sender(sender):
            abort(400)
        sender_matrix.forget(session, connection, sender, actor=current_actor(), now=datetime.now(UTC))
    flash(_("The decision is taken back."), "ok")
    return see_other("servers.senders")


def _form(**options: Any) -> SenderForm:
    return SenderForm(connections=all_connections(db.session(), box=secret_box), **options)


def _page(form: SenderForm, *, status: int = 200) -> Response:
    session = db.session()
    connections = all_connections(session, box=secret_box)
    known = sender_matrix.findings(session, connections)
    matrix = [(one, [finding for finding in known if finding.connection_id == one.id]) for one in connections]
    return render("servers/senders.html", status=status, form=form, matrix=matrix)
