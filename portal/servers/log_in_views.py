"""Relay log-ins of a server: made and shown once, their passwords renewed, removed."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from flask import Response, flash
from flask_babel import gettext as _

from portal.extensions import secret_box
from portal.servers import log_ins
from portal.servers.key_forms import LoginForm
from portal.servers.log_ins import NewLogin
from portal.servers.server_views import found, refused, server_page
from portal.servers.stored import ChangeRefused
from portal.transaction import unit_of_work
from portal.web import render, see_other
from portal.web.access import admin_required, confirm_password, current_actor


@admin_required
@confirm_password()
def create_login(server_id: UUID) -> Response:
    """Make a log-in and show its password, this once."""
    found(server_id)
    form, now = LoginForm(), datetime.now(UTC)
    if not form.validate_on_submit():
        return server_page(server_id, status=422, login_form=form)
    senders, to = form.login_senders.items(), form.login_recipients.items()
    try:
        with unit_of_work() as session:
            made = log_ins.create(
                session,
                server_id,
                allowed_senders=senders,
                allowed_recipients=to,
                box=secret_box,
                actor=current_actor(),
                now=now,
            )
    except ChangeRefused as error:
        return refused(server_id, error.reason)
    return _shown(server_id, made)


@admin_required
@confirm_password()
def renew_login(server_id: UUID, login_id: UUID) -> Response:
    """Make another password and show it, this once."""
    found(server_id)
    now = datetime.now(UTC)
    try:
        with unit_of_work() as session:
            actor = current_actor()
            made = log_ins.renew_password(session, server_id, login_id, box=secret_box, actor=actor, now=now)
    except ChangeRefused as error:
        return refused(server_id, error.reason)
    return _shown(server_id, made)


@admin_required
def remove_login(server_id: UUID, login_id: UUID) -> Response:
    """The log-in opens nothing from now on."""
    found(server_id)
    try:
        with unit_of_work() as session:
            log_ins.remove(session, server_id, login_id, actor=current_actor(), now=datetime.now(UTC))
    except ChangeRefused as error:
        return refused(server_id, error.reason)
    flash(_("The log-in is removed. What it queued before still leaves."), "ok")
    return see_other("servers.show", server_id=server_id)


def _shown(server_id: UUID, made: NewLogin) -> Response:
    return render("servers/log_in.html", server=found(server_id), made=made)
